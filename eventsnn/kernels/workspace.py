"""The buffers of one thread in the forward pass, and what stands where in them."""

from typing import NamedTuple

import numpy as np

from .simd import BLOCK
from .state import NEVER, SPIKE, Status

OK, TOO_MANY_SPIKES, QUEUE_FULL, ARRIVALS_FULL, TAPE_FULL, INTERRUPTED = (int(status) for status in Status)
# Rows of Workspace.values: V, I; what rounding took from them, to be given back (membrane.step_on); the effect of
# arrivals on them at the window's end, and that of excitatory ones alone on V; constants of the flow over a window,
# e^{-h/tau} - 1 and psp; what V must not reach unseen.
V, I, LOST_V, LOST_I, DV, DI, UP, FALL_V, FALL_I, PSP, LIMIT = range(11)
N_VALUES = 11
# Rows of Workspace.row_factors: what a unit weight adds to V and I; and the rows that are added together.
TO_V, TO_I = range(2)
MOST_ROWS = 64
# Rows of Workspace.sorted, the arrivals of one neuron, the latest first: time left to the window's end, and weight.
LEFT, WEIGHT = range(2)
# So many arrivals are sorted by insertion: few are sorted fastest so.
RUN = 32
# Places in Workspace.size: suspects, spikes on the tape, spikes that the sample may reach; arrivals of the stretch at
# hand, and blocks of them. Then where a sample goes on: the next window (0: from the start), the stretch at hand, the
# next input spike.
N_SUSPECTS, N_SPIKES, MOST_SPIKES, N_ARRIVALS, N_BLOCKS, WINDOW, STRETCH, INPUT = range(8)
# Rows of Workspace.cells: 1 if a window has arrivals from per-synapse delays, and the first of its whole rows.
TOUCHED, FIRST_ROW = range(2)
# No arrival yet in a list of arrivals.
NONE = np.uint32(2**32 - 1)
# Up to BLOCK arrivals of one spike: arrival number BLOCK * b + k of the stretch is that of synapse ``first`` + k.
ARRIVALS = np.dtype([("time", np.float64), ("count", np.float64), ("first", np.int64)])


class Workspace(NamedTuple):
    """The buffers of one thread beside its queue; the row names above say what is where.

    An arrival is added to the modes of its neuron, window and sign, and linked to the others there: most neurons need
    no more than the sums, and those that might fire find their arrivals in the list.
    """

    values: np.ndarray  # (N_VALUES, n_state and a block to spare)
    suspects: np.ndarray  # (n_state,)
    found: np.ndarray  # (capacity,) the arrivals of one suspect after the other
    found_until: np.ndarray  # (n_state,) where those of each suspect end
    cells: np.ndarray  # (2, n_cells): a cell is a window of the stretch, times populations, plus a population
    modes: np.ndarray  # (stretch * n_state * 4,) sums that decay with tau_mem and tau_syn, excitatory and inhibitory
    head: np.ndarray  # (stretch * n_state * 2,) the newest arrival of each window, neuron and sign, or NONE
    link: np.ndarray  # (blocks * BLOCK,) the arrival before each arrival of the stretch in its list
    blocks: np.ndarray  # (capacity / 4,) ARRIVALS
    place: np.ndarray  # (BLOCK,)
    row_first: np.ndarray  # (MOST_ROWS,) the first synapses of dense rows at hand
    row_factors: np.ndarray  # (2, MOST_ROWS)
    sorted: np.ndarray  # (2, capacity)
    spare: np.ndarray  # (2, capacity / 2) room to merge sorted runs in
    size: np.ndarray  # (8,)
    tape: np.ndarray  # SPIKE
    stop: int  # address of a byte, not 0 when the kernel is to end: looked at in whatever a storm makes long


def make_workspace(n_state, n_pops, stretch, capacity):
    """Buffers for ``n_state`` neurons with room for ``capacity`` spikes, and for as many arrivals in a stretch."""
    return Workspace(
        values=np.zeros((N_VALUES, n_state + BLOCK)),
        suspects=np.zeros(n_state, np.int64),
        found=np.zeros(capacity, np.uint32),
        found_until=np.zeros(n_state, np.int64),
        cells=np.zeros((2, stretch * n_pops), np.int64),
        modes=np.zeros(stretch * n_state * 4),
        head=np.full(stretch * n_state * 2, NONE),
        link=np.zeros(-(-capacity // 4) * BLOCK, np.uint32),
        blocks=np.zeros(-(-capacity // 4), ARRIVALS),
        place=np.zeros(BLOCK, np.uint32),
        row_first=np.zeros(MOST_ROWS, np.int64),
        row_factors=np.zeros((2, MOST_ROWS)),
        sorted=np.zeros((2, capacity)),
        spare=np.zeros((2, -(-capacity // 2))),
        size=np.zeros(8, np.int64),
        tape=np.zeros(capacity, SPIKE),
        stop=NEVER.ctypes.data,
    )
