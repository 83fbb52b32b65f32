"""The event loops: they know when something happens, and leave what it does to the neurons."""
