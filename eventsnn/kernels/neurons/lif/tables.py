"""The tables of the neuron that kernels read: one record for each neuron, and what neurons share.

Kernels know U = V - b, where b = v_rest + bias is where V rests with its bias (docs/mathematics.md, section 1): the
flow of U has no constant, so that v_rest and bias only move the threshold, the reset and the start.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

# ``threshold``: of U; that of a readout is infinite. ``series``: which table of polynomial coefficients it uses.
NEURON = np.dtype(
    [
        ("tau_mem", np.float64),
        ("tau_syn", np.float64),
        ("threshold", np.float64),
        ("series", np.int64),
        ("pop", np.int64),
    ]
)
# What few kernels ask for: U after a spike and at time 0; b; how far U falls at a spike; and the size of what rounding
# and contacts are relative to.
SHIFT = np.dtype([(name, np.float64) for name in ("reset", "start", "rest", "fall", "scale")])


class Constant(IntEnum):
    """Rows of Gradients.neurons: dL/d of the time constants, of the threshold, the reset and the start of U.

    WHOLE: dL/d of what is added to all of V at once.
    """

    TAU_MEM = 0
    TAU_SYN = 1
    THRESHOLD = 2
    RESET = 3
    START = 4
    WHOLE = 5


class Lif(NamedTuple):
    """What LIF neurons share, beside the records of `NEURON`."""

    series: np.ndarray  # (n_tables, 4, DEGREE + 1)
    growth: np.ndarray  # (n_pops, stretch, 2): e^{x/tau_mem}, e^{x/tau_syn}, x from a window's end to the stretch's
    rise: np.ndarray  # (n_pops, windows of a block and its reach + 1, 2): e^{t/tau}, t from its start to a window's
    fall: np.ndarray  # e^{-t/tau}
    doublings: int  # a window is 2^doublings times as long as the polynomials of ``series`` hold
    part: float  # 2^-doublings
    integrals: np.ndarray  # (n_state,) membrane.INTEGRAL
    shifts: np.ndarray  # (n_state,) SHIFT
    moved: int  # 1 where any neuron does not start and rest at U = V = 0, or the gradient of that is asked for


def fill(neurons, shifts, values):
    """Write the constants of a population, {field: (n,)} of `eventsnn.neurons.lif`, into its records."""
    rest = values["v_rest"] + values["bias"]
    neurons["tau_mem"], neurons["tau_syn"], neurons["threshold"] = values["tau_mem"], values["tau_syn"], np.inf
    shifts["rest"], shifts["start"] = rest, values["v_rest"] - rest
    if "v_threshold" in values:
        neurons["threshold"], shifts["reset"] = values["v_threshold"] - rest, values["v_reset"] - rest
        shifts["fall"] = values["v_threshold"] - values["v_reset"]
        shifts["scale"] = np.maximum(np.abs(neurons["threshold"]), np.abs(shifts["reset"]))


def field_gradients(sums):
    """Return {field: (n,) dL/dfield} of a population from its columns of Gradients.neurons."""
    moved = sums[Constant.WHOLE] - sums[Constant.THRESHOLD] - sums[Constant.RESET]
    return {
        "tau_mem": sums[Constant.TAU_MEM],
        "tau_syn": sums[Constant.TAU_SYN],
        "v_threshold": sums[Constant.THRESHOLD],
        "v_reset": sums[Constant.RESET],
        "v_rest": moved,
        "bias": moved - sums[Constant.START],
    }
