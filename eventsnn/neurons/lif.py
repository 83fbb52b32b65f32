"""The leaky integrate-and-fire neuron with exponential synapses, and the readout, which is one without a threshold.

    tau_mem dV/dt = -(V - v_rest) + I + bias        tau_syn dI/dt = -I

V starts at v_rest. Where it crosses v_threshold from below a spike is fired, and V goes on from v_reset. A bias is a
constant current, in units of V; one above v_threshold - v_rest lets the neuron fire by itself.
"""

import math
from collections.abc import Iterable
from functools import reduce
from typing import Any, TypedDict

import numpy as np

from ..aliases import Bounds
from ..errors import InvalidInput
from .base import LARGEST, Constants, Field, Model

# A trained time constant or threshold may come this close to zero (ms), or to v_reset and v_rest, before the projection
# holds it.
SMALLEST_TAU = 0.1
SMALLEST_THRESHOLD = 1e-3
DEFAULT_THRESHOLD = 1.0


class ReadoutSettings(TypedDict, total=False):
    """The constants of a readout: each a number, an array (n,), or an Initializer."""

    tau_mem: Any
    tau_syn: Any
    v_rest: Any
    bias: Any


class LifSettings(ReadoutSettings, total=False):
    """The constants of LIF neurons: each a number, an array (n,), or an Initializer."""

    v_threshold: Any
    v_reset: Any


TAUS = (
    Field("tau_mem", "ms", 20.0, "time constant of the membrane", 0.0, SMALLEST_TAU, said=True, memory=True),
    Field("tau_syn", "ms", 5.0, "time constant of the synaptic current", 0.0, SMALLEST_TAU, said=True),
)
REST = (
    Field("v_rest", "", 0.0, "where V starts, and rests without input"),
    Field("bias", "", 0.0, "a constant current, in units of V", largest=LARGEST),
)


def _check_order(known: Constants, settled: Constants) -> None:
    """Refuse v_reset and v_rest at or above v_threshold; the one that was given is named."""
    for name in sorted(settled, key=lambda name: name not in known):
        threshold, value = known.get("v_threshold", math.inf), settled[name]
        above = np.greater(threshold, value)
        if above.all():
            continue
        first = int(np.argmin(above))
        top, level = (float(array.flat[first]) for array in np.broadcast_arrays(threshold, value))
        remedy = f"Lower {name}, or raise v_threshold."
        if name in known and top == DEFAULT_THRESHOLD:
            place = first if np.ndim(value) else None
            raise InvalidInput(name, place, level, f"numbers < v_threshold, {top:g}", remedy)
        remedy = remedy if name in known else f"{name} is {level:g} unless it is given: give it too."
        place = first if np.ndim(threshold) else None
        raise InvalidInput("v_threshold", place, top, f"numbers > {name}, {level:g}", remedy)


def _below_threshold(known: Constants, unknown: Iterable[str], drawn: Constants) -> Bounds:
    """v_reset and v_rest of a neuron stay below its v_threshold, whichever of them is trained."""
    names = ("v_reset", "v_rest")
    settled = {name: known.get(name, 0.0) for name in names if name in known or name not in unknown}
    _check_order(known, settled)
    highest = reduce(np.maximum, list(settled.values()) or [-math.inf])
    threshold = known.get("v_threshold", math.inf)
    # draws count where they lie on their side of what is known
    lowest = drawn.get("v_threshold", math.inf)
    threshold = np.where(np.greater(lowest, highest), np.minimum(threshold, lowest), threshold)
    for top in (drawn[name] for name in names if name in drawn):
        highest = np.where(np.less(top, threshold), np.maximum(highest, top), highest)
    # nothing is known of them: they have all the room below the threshold
    below = np.where(np.isposinf(threshold), 0.0, threshold - 2.0 * SMALLEST_THRESHOLD)
    highest = np.where(np.isneginf(highest), below, highest)
    if moves := set(names) & set(unknown):
        # all three may move: they stay on their sides of the middle
        both = "v_threshold" in unknown
        middle = np.where(np.isposinf(threshold), highest, 0.5 * (threshold + highest))
        low, high = middle + SMALLEST_THRESHOLD, middle if both else threshold - SMALLEST_THRESHOLD
        return {"v_threshold": (low, math.inf), **{name: (-math.inf, high) for name in moves}}
    return {"v_threshold": (highest + SMALLEST_THRESHOLD, math.inf)}


CROSSED = "a spike is fired where V crosses it; above v_reset and v_rest"
LIF = Model(
    "lif",
    "lif",
    (
        *TAUS,
        Field("v_threshold", "", DEFAULT_THRESHOLD, CROSSED, said=True),
        Field("v_reset", "", 0.0, "where V goes on after a spike"),
        *REST,
    ),
    fires=True,
    rule=_below_threshold,
    threshold="v_threshold",
)
READOUT = Model("readout", "lif", (*TAUS, *REST), fires=False)
MODELS = (LIF, READOUT)
