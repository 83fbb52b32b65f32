"""Networks on a time grid with spread delays and surrogate gradients: DCLS-delays, DelRec and their relatives."""

from .bridge import to_events, with_clock
from .network import GridNetwork
from .recording import GridRecording
from .simulation import simulate, value_and_grad
from .slopes import ArcTangent, Triangle, surrogate_of
from .spread import Spread

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
