"""Compiled kernels: pure functions on arrays that return a Status and never raise."""
