"""The buffers of one thread in the backward pass, and what stands where in them."""

from typing import NamedTuple

import numpy as np

from .queue import Queue, make_queue
from .simd import BLOCK
from .state import NEVER, Status

OK, INTERRUPTED = int(Status.OK), int(Status.INTERRUPTED)
NO_SPIKE = -1
# Rows of Adjoint.states: lambda_V and lambda_I at the end of the window, and zero once a jump is found inside it.
LAMBDA_V, LAMBDA_I = range(2)
# Rows of the tails: running integrals against e^{-x/tau_mem}, psp and e^{-x/tau_syn} (docs/mathematics.md, section 5).
RESET_TAIL, PSP_TAIL, CURRENT_TAIL = range(3)
# Rows of Adjoint.lost: what rounding took from lambda_V and lambda_I, and from the three tails after them
# (membrane.step_on).
LOST_V, LOST_I, LOST_TAILS = range(3)
# Rows of Adjoint.steps: the loss's pull on each readout; the backward flow over one whole window: e^{-h/tau} - 1, and
# what lambda_V adds to lambda_I; what lambda_V and lambda_I add to the tails, as far as there are any.
DRIVE, FALL_V, FALL_I, V_TO_I, V_TO_RESET, V_TO_PSP, I_TO_PSP, V_TO_CURRENT, I_TO_CURRENT = range(9)
N_STEPS = 9
# A synapse whose target jumps in the window in which a spike arrives there; as in queue.EVENT.
LATE = np.dtype(
    [(name, np.float64) for name in ("time", "by_mem", "by_syn")] + [(name, np.int64) for name in ("synapse", "spike")]
)
# How many are put off before they are collected: enough for their lines to come.
MOST_LATE = 256


class Adjoint(NamedTuple):
    """The buffers of one thread; the row names above say what is where.

    ``tails`` and ``jump_tails`` have no columns unless time constants are trained.
    """

    states: np.ndarray  # (2, stretch * n_state and a block to spare) one window of the stretch after the other
    modes: np.ndarray  # (stretch * n_state * 2,) the states as modes, or not a number where the neuron jumps
    first: np.ndarray  # (stretch * n_state,) the earliest jump inside the window so far, or NO_SPIKE
    tails: np.ndarray  # (3, stretch * n_state)
    entries: np.ndarray  # (2, stretch * n_pops) the first jump of each window and population; the one after the last
    steps: np.ndarray  # (N_STEPS, n_state)
    lost: np.ndarray  # (2, n_state), with tails (5, n_state)
    jump_states: np.ndarray  # (2, n_jumps) just before each jump of the sample
    jump_ends: np.ndarray  # (2, n_jumps) for the last jump of a neuron in a window: at the window's end
    jump_modes: np.ndarray  # (2, n_jumps) those of modal populations as modes, at the end of the stretch
    jump_tails: np.ndarray  # (3, n_jumps)
    home: np.ndarray  # (n_jumps,) the first event of each jump that has come to the stretch of its own spike
    pulls: np.ndarray  # sums of w (lambda_V - lambda_I) over the arrivals of each spike: jumps, then input spikes
    total: np.ndarray  # (2,) sum of charges times modes over the synapses of one visit
    place: np.ndarray  # (BLOCK,) of the arrivals at hand, as in the forward pass
    missed: np.ndarray  # (BLOCK,) those of them whose targets jump in the same window
    late: np.ndarray  # LATE
    n_late: np.ndarray  # (1,) of them
    queue: Queue
    stop: int  # address of a byte, not 0 when the kernel is to end: looked at in whatever a storm makes long


def make_adjoint(n_state, n_pops, stretch, n_buckets, n_jumps, n_spikes, n_events, with_tails):
    """Buffers for samples of ``n_jumps`` jumps, ``n_spikes`` jumps and input spikes, ``n_events`` events at once."""
    return Adjoint(
        states=np.zeros((2, stretch * n_state + BLOCK)),
        modes=np.zeros(stretch * n_state * 2),
        first=np.zeros(stretch * n_state, np.int64),
        tails=np.zeros((3, stretch * n_state if with_tails else 0)),
        entries=np.zeros((2, stretch * n_pops), np.int64),
        steps=np.zeros((N_STEPS, n_state)),
        lost=np.zeros((LOST_TAILS + 3 * with_tails, n_state)),
        jump_states=np.zeros((2, n_jumps)),
        jump_ends=np.zeros((2, n_jumps)),
        jump_modes=np.zeros((2, n_jumps)),
        jump_tails=np.zeros((3, n_jumps if with_tails else 0)),
        home=np.zeros(n_jumps, np.int32),
        pulls=np.zeros(n_spikes),
        total=np.zeros(2),
        place=np.zeros(BLOCK, np.uint32),
        missed=np.zeros(BLOCK, np.int64),
        late=np.zeros(MOST_LATE, LATE),
        n_late=np.zeros(1, np.int64),
        queue=make_queue(n_buckets, n_events),
        stop=NEVER.ctypes.data,
    )
