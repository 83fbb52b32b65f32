"""Networks on a time grid with spread delays and surrogate gradients: DCLS-delays, DelRec and their relatives."""

from .bridge import to_events, with_clock
from .network import ArcTangent, GridNetwork, Spread, Triangle, surrogate_of
from .recording import GridRecording
from .simulation import simulate, value_and_grad

__all__ = [
    "ArcTangent",
    "GridNetwork",
    "GridRecording",
    "Spread",
    "Triangle",
    "simulate",
    "surrogate_of",
    "to_events",
    "value_and_grad",
    "with_clock",
]
