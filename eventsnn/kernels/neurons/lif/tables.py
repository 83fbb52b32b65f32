"""The tables of the neuron that kernels read: one record for each neuron, and what neurons share."""

from typing import NamedTuple

import numpy as np

# ``series``: which table of polynomial coefficients the neuron uses. The threshold of a readout is infinite.
NEURON = np.dtype(
    [
        ("tau_mem", np.float64),
        ("tau_syn", np.float64),
        ("threshold", np.float64),
        ("series", np.int64),
        ("pop", np.int64),
    ]
)


class Lif(NamedTuple):
    """What LIF neurons share, beside the records of `NEURON`."""

    series: np.ndarray  # (n_tables, 4, DEGREE + 1)
    growth: np.ndarray  # (n_pops, stretch, 2): e^{x/tau_mem}, e^{x/tau_syn}, x from a window's end to the stretch's
    doublings: int  # a window is 2^doublings times as long as the polynomials of ``series`` hold
    part: float  # 2^-doublings
    integrals: np.ndarray  # (n_state,) membrane.INTEGRAL
