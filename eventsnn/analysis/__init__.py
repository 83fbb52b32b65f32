"""Exact quantities of recorded networks, and what delays are worth."""

from .adjoint import AdjointTraces, adjoint_values
from .delays import permuted_delays, rounded_delays
from .voltage import psp, voltages

__all__ = [
    "AdjointTraces",
    "adjoint_values",
    "permuted_delays",
    "psp",
    "rounded_delays",
    "voltages",
]
