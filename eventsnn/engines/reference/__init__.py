"""The reference engine: a plain event loop, slow and simple enough to be believed."""
