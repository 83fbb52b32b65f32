"""The buffers of one thread in the forward pass, and what stands where in them."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from .blocks import NO_BLOCKS, OCTET, Groups, Trains, make_groups, make_trains
from .queue import NOTHING, Queue, make_queue
from .state import BLOCK, NEVER, SPIKE


class Row(IntEnum):
    """Rows of Workspace.values, one number for each state neuron; `simd.advance_calm` reads them by these numbers.

    V, I; what rounding took from them, to be given back (membrane.step_on); the effect of arrivals on them at the
    window's end, and that of excitatory ones alone on V; constants of the flow over a window, e^{-h/tau} - 1 and psp;
    what V must not reach unseen.
    """

    V = 0
    I = 1  # noqa: E741
    LOST_V = 2
    LOST_I = 3
    DV = 4
    DI = 5
    UP = 6
    FALL_V = 7
    FALL_I = 8
    PSP = 9
    LIMIT = 10


class Factor(IntEnum):
    """Rows of Workspace.row_factors: what a unit weight adds to V and to I."""

    V = 0
    I = 1  # noqa: E741


class Arrival(IntEnum):
    """Rows of Workspace.sorted, the arrivals of one neuron, the latest first: time left in the window, and weight."""

    LEFT = 0
    WEIGHT = 1


# Rows of synapses that are added together.
MOST_ROWS = 64
# So many arrivals are sorted by insertion: few are sorted fastest so.
RUN = 32
# No arrival yet in a list of arrivals.
NONE = np.uint32(2**32 - 1)
# Up to BLOCK arrivals of one spike: arrival number BLOCK * b + k of the stretch is that of synapse ``first`` + k.
ARRIVALS = np.dtype([("time", np.float64), ("count", np.float64), ("first", np.int64)])
# A window of the stretch for one population. ``touched``: 1 if it has arrivals from per-synapse delays; ``first_row``:
# the event of the first of its whole rows.
CELL = np.dtype([("touched", np.int64), ("first_row", np.int64)])
# A synapse of a whole row that ends at a suspect, the row's event, and the place of the suspect's next one.
FOUND = np.dtype([("synapse", np.int64), ("event", np.int32), ("next", np.int32)])
# The synapses of whole rows found for a suspect: where the first and the last stand, or NOTHING.
ENDS = np.dtype([("first", np.int32), ("last", np.int32)])
# How far a thread has come: suspects of the window at hand, and dense whole rows there; spikes on the tape, and how
# many there may be at the sample's end; arrivals of the stretch at hand, and blocks of them. Then where a sample goes
# on: the next window (0: from the start), the stretch at hand, the next input spike; the first window of the block at
# hand, and the first input spike after it.
PROGRESS = np.dtype(
    [(name, np.int64) for name in ("n_suspects", "n_dense", "n_spikes", "most_spikes", "n_arrivals", "n_blocks")]
    + [(name, np.int64) for name in ("window", "stretch", "next_input", "first_window", "known_input")]
)


class Workspace(NamedTuple):
    """The buffers of one thread in the forward pass.

    An arrival is added to the modes of its neuron, window and sign, and linked to the others there: most neurons need
    no more than the sums, and those that might fire find their arrivals in the list.
    """

    queue: Queue
    values: np.ndarray  # (len(Row), n_state and a block to spare)
    suspects: np.ndarray  # (n_state,)
    found: np.ndarray  # (capacity,) the arrivals of one suspect after the other
    found_until: np.ndarray  # (n_state,) where those of each suspect end
    number: np.ndarray  # (n_state,) of each suspect, while whole rows are looked through for them, else NOTHING
    in_rows: np.ndarray  # (capacity,) FOUND, those of all suspects
    in_rows_of: np.ndarray  # (n_state,) ENDS, one for each suspect
    cells: np.ndarray  # (stretch * n_pops,) CELL
    modes: np.ndarray  # (stretch * n_state * 4,) sums that decay with tau_mem and tau_syn, excitatory and inhibitory
    head: np.ndarray  # (stretch * n_state * 2,) the newest arrival of each window, neuron and sign, or NONE
    link: np.ndarray  # (blocks * BLOCK,) the arrival before each arrival of the stretch in its list
    blocks: np.ndarray  # (capacity / 4,) ARRIVALS
    place: np.ndarray  # (BLOCK,)
    row_first: np.ndarray  # (MOST_ROWS,) the first synapses of dense rows at hand
    row_factors: np.ndarray  # (len(Factor), MOST_ROWS)
    sorted: np.ndarray  # (len(Arrival), capacity)
    spare: np.ndarray  # (len(Arrival), capacity / 2) room to merge sorted runs in
    progress: np.ndarray  # (1,) PROGRESS
    tape: np.ndarray  # SPIKE
    trains: Trains
    scanned: np.ndarray  # (capacity,) the spikes in trains that may arrive at one suspect after the other
    scanned_until: np.ndarray  # (n_state * n_conns,) where those of each suspect and connection end
    groups: Groups
    octet_modes: np.ndarray  # (OCTET, 4 * lines) modes of eight neurons over a block, as in ``modes``; zero in between
    sums: np.ndarray  # (n_octets, block * 3 * OCTET) what arrives by columns: onto V, onto I, excitatory alone onto V
    busy: np.ndarray  # (n_pops, block) 1 where anything does
    tails: np.ndarray  # (n_octets, OCTET, 4 * reach) the modes of what arrives in the next block
    tailed: np.ndarray  # (n_pops,) not 0 where there are any
    ring: np.ndarray  # (reach * n_octets * OCTET * 4,) the modes of what arrives by the ring, window by window
    ring_until: np.ndarray  # (n_pops,) in no later window does anything
    stop: int  # address of a byte, not 0 when the kernel is to end: looked at in whatever a storm makes long


def make_workspace(n_state, n_pops, stretch, n_buckets, capacity, shape=NO_BLOCKS):
    """Buffers for ``n_state`` neurons with room for ``capacity`` spikes, events, and arrivals in a stretch."""
    return Workspace(
        queue=make_queue(n_buckets, capacity),
        values=np.zeros((len(Row), n_state + BLOCK)),
        suspects=np.zeros(n_state, np.int64),
        found=np.zeros(capacity, np.uint32),
        found_until=np.zeros(n_state, np.int64),
        number=np.full(n_state, NOTHING, np.int32),
        in_rows=np.zeros(capacity, FOUND),
        in_rows_of=np.zeros(n_state, ENDS),
        cells=np.zeros(stretch * n_pops, CELL),
        modes=np.zeros(stretch * n_state * 4),
        head=np.full(stretch * n_state * 2, NONE),
        link=np.zeros(-(-capacity // 4) * BLOCK, np.uint32),
        blocks=np.zeros(-(-capacity // 4), ARRIVALS),
        place=np.zeros(BLOCK, np.uint32),
        row_first=np.zeros(MOST_ROWS, np.int64),
        row_factors=np.zeros((len(Factor), MOST_ROWS)),
        sorted=np.zeros((len(Arrival), capacity)),
        spare=np.zeros((len(Arrival), -(-capacity // 2))),
        progress=np.zeros(1, PROGRESS),
        tape=np.zeros(capacity, SPIKE),
        trains=make_trains(shape, capacity),
        scanned=np.zeros(capacity * (shape.block > 0), np.uint32),
        scanned_until=np.zeros(n_state * shape.n_conns, np.int64),
        groups=make_groups(shape, capacity),
        octet_modes=np.zeros((OCTET, 4 * shape.lines)),
        sums=np.zeros((shape.n_octets, shape.block * 3 * OCTET)),
        busy=np.zeros((n_pops, shape.block), np.uint8),
        tails=np.zeros((shape.n_octets, OCTET, 4 * shape.reach)),
        tailed=np.zeros(n_pops, np.int64),
        ring=np.zeros(shape.reach * shape.n_octets * OCTET * 4),
        ring_until=np.zeros(n_pops, np.int64),
        stop=NEVER.ctypes.data,
    )
