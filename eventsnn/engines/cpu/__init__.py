"""The compiled engine, on the threads of one processor."""
