"""The buffers of one thread in the backward pass, and what stands where in them."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from .blocks import OCTET, Groups, make_groups
from .queue import Queue, make_queue
from .state import BLOCK, NEVER

NO_SPIKE = -1


class Lambda(IntEnum):
    """Rows of Adjoint.states and of what stands beside it: lambda_V and lambda_I."""

    V = 0
    I = 1  # noqa: E741


class Mode(IntEnum):
    """Rows of modes, and places in pairs of them: what decays with tau_mem, and with tau_syn."""

    MEM = 0
    SYN = 1


class Tail(IntEnum):
    """Rows of Adjoint.tails: running integrals against e^{-x/tau_mem}, psp and e^{-x/tau_syn}.

    See docs/mathematics.md, section 5.
    """

    RESET = 0
    PSP = 1
    CURRENT = 2


class Lost(IntEnum):
    """Rows of Adjoint.lost: what rounding took from lambda_V, lambda_I and the tails (membrane.step_on)."""

    V = 0
    I = 1  # noqa: E741
    RESET = 2
    PSP = 3
    CURRENT = 4


class Step(IntEnum):
    """Rows of Adjoint.steps, one number for each state neuron.

    The loss's pull on each readout; the backward flow over one whole window: e^{-h/tau} - 1, and what lambda_V adds to
    lambda_I; what lambda_V and lambda_I add to the tails, as far as there are any.
    """

    DRIVE = 0
    FALL_V = 1
    FALL_I = 2
    V_TO_I = 3
    V_TO_RESET = 4
    V_TO_PSP = 5
    I_TO_PSP = 6
    V_TO_CURRENT = 7
    I_TO_CURRENT = 8


# A synapse whose target jumps in the window in which a spike arrives there; as in queue.EVENT.
LATE = np.dtype(
    [(name, np.float64) for name in ("time", "by_mem", "by_syn")] + [(name, np.int64) for name in ("synapse", "spike")]
)
# A jump, by its neuron: the modes just before it, counted from the start of the trial; ``entry``: its number.
JUMPED = np.dtype([(name, np.float64) for name in ("time", "mem", "syn")] + [("entry", np.int64)])
# How many are put off before they are collected: enough for their lines to come.
MOST_LATE = 256


class Adjoint(NamedTuple):
    """The buffers of one thread; the enumerations above say what is where.

    ``tails`` and ``jump_tails`` have no columns unless time constants are trained.
    """

    states: np.ndarray  # (len(Lambda), stretch * n_state and a block to spare): one window after the other
    modes: np.ndarray  # (stretch * n_state * 2,) the states as modes, or not a number where the neuron jumps
    first: np.ndarray  # (stretch * n_state,) the earliest jump inside the window so far, or NO_SPIKE
    tails: np.ndarray  # (len(Tail), stretch * n_state)
    entries: np.ndarray  # (2, stretch * n_pops) the first jump of each window and population; the one after the last
    steps: np.ndarray  # (len(Step), n_state)
    lost: np.ndarray  # (len(Lost), n_state), without tails the first two rows
    jump_states: np.ndarray  # (len(Lambda), n_jumps) just before each jump of the sample
    jump_ends: np.ndarray  # (len(Lambda), n_jumps) for the last jump of a neuron in a window: at the window's end
    jump_modes: np.ndarray  # (len(Mode), n_jumps) those of modal populations as modes, at the end of the stretch
    jump_tails: np.ndarray  # (len(Tail), n_jumps)
    home: np.ndarray  # (n_jumps,) the first event of each jump that has come to the stretch of its own spike
    pulls: np.ndarray  # sums of w (lambda_V - lambda_I) over the arrivals of each spike: jumps, then input spikes
    total: np.ndarray  # (len(Mode),) sum of charges times modes over the synapses of one visit
    place: np.ndarray  # (BLOCK,) of the arrivals at hand, as in the forward pass
    missed: np.ndarray  # (BLOCK,) those of them whose targets jump in the same window
    late: np.ndarray  # LATE
    n_late: np.ndarray  # (1,) of them
    queue: Queue
    groups: Groups
    held: np.ndarray  # (n_octets * OCTET, 2 * lines) modes of a block; where a neuron jumps (NaN, its first jump there)
    block_modes: np.ndarray  # (len(Mode), n_jumps) just before each jump, at the start of the block
    late_groups: np.ndarray  # (n_groups,) groups at a neuron that jumps in one of their windows
    jumping: np.ndarray  # (n_state,) targets of a row that do
    jumped: np.ndarray  # (n_jumps,) JUMPED
    ends: np.ndarray  # (n_state + 2,) where those of each neuron begin
    stop: int  # address of a byte, not 0 when the kernel is to end: looked at in whatever a storm makes long


class Room(NamedTuple):
    """The most of each that any sample has: jumps; jumps and input spikes; events at once; groups in a block."""

    n_jumps: int
    n_spikes: int
    n_events: int
    n_groups: int


def make_adjoint(n_state, n_pops, stretch, n_buckets, room, with_tails, shape):
    """Buffers for samples as large as ``room`` says."""
    n_jumps, n_spikes, n_events, n_groups = room
    return Adjoint(
        states=np.zeros((len(Lambda), stretch * n_state + BLOCK)),
        modes=np.zeros(stretch * n_state * 2),
        first=np.zeros(stretch * n_state, np.int64),
        tails=np.zeros((len(Tail), stretch * n_state if with_tails else 0)),
        entries=np.zeros((2, stretch * n_pops), np.int64),
        steps=np.zeros((len(Step), n_state)),
        lost=np.zeros((len(Lost) if with_tails else len(Lambda), n_state)),
        jump_states=np.zeros((len(Lambda), n_jumps)),
        jump_ends=np.zeros((len(Lambda), n_jumps)),
        jump_modes=np.zeros((len(Mode), n_jumps)),
        jump_tails=np.zeros((len(Tail), n_jumps if with_tails else 0)),
        home=np.zeros(n_jumps, np.int32),
        pulls=np.zeros(n_spikes),
        total=np.zeros(len(Mode)),
        place=np.zeros(BLOCK, np.uint32),
        missed=np.zeros(BLOCK, np.int64),
        late=np.zeros(MOST_LATE, LATE),
        n_late=np.zeros(1, np.int64),
        queue=make_queue(n_buckets, n_events),
        groups=make_groups(shape, n_groups),
        held=np.zeros((shape.n_octets * OCTET, 2 * shape.lines)),
        block_modes=np.zeros((len(Mode), n_jumps)),
        late_groups=np.zeros(n_groups, np.int64),
        jumping=np.zeros(n_state, np.int64),
        jumped=np.zeros(n_jumps, JUMPED),
        ends=np.zeros(n_state + 2, np.int64),
        stop=NEVER.ctypes.data,
    )
