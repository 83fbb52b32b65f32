"""Checks for networks and losses of one's own: gradients against differences, engine against engine, random networks.

``check_gradients`` and ``compare_engines`` return a report, and raise with the worst coordinate where a bar is missed.
``networks``, ``parameters_for`` and ``batches_for`` are hypothesis strategies (hypothesis is imported when one is
called); ``random_case`` draws a whole learning problem from a seed with numpy alone.
"""

from .. import renamed
from .cases import LOSSES, TOPOLOGIES, Case, random_case
from .engines import Comparison, EngineMismatch, compare_engines
from .errors import floors, largest_of, relative_errors
from .gradients import Differences, GradientMismatch, GradientReport, Tolerances, check_gradients
from .signatures import Signature, dense_delays, signature
from .strategies import batches_for, networks, parameters_for

__all__ = [
    "LOSSES",
    "TOPOLOGIES",
    "Case",
    "Comparison",
    "Differences",
    "EngineMismatch",
    "GradientMismatch",
    "GradientReport",
    "Signature",
    "Tolerances",
    "batches_for",
    "check_gradients",
    "compare_engines",
    "dense_delays",
    "floors",
    "largest_of",
    "networks",
    "parameters_for",
    "random_case",
    "relative_errors",
    "signature",
]


def __getattr__(name: str) -> object:
    return renamed.find("testing", name)
