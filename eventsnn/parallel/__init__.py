"""Threads, signals that interrupt them, and ranks."""
