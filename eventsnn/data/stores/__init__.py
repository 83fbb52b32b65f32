"""Spikes that take less memory than a batch of them: packed, or computed when asked for."""
