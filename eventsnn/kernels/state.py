"""The arrays that kernels take: a network laid out flat, spikes, the tape, readings, jumps and gradient sums.

Many small arrays would make every compiled function slow to compile, so what belongs together stands in one structured
array, whose fields kernels read by name.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np


class Status(IntEnum):
    """How a kernel ended: kernels never raise and never allocate, they say which buffer is too small.

    INTERRUPTED: they were told to end before they were done.
    """

    OK = 0
    TOO_MANY_SPIKES = 1
    QUEUE_FULL = 2
    ARRIVALS_FULL = 3
    TAPE_FULL = 4
    INTERRUPTED = 5
    IN_ROWS_FULL = 6
    TRAINS_FULL = 7
    GROUPS_FULL = 8


class Kind(IntEnum):
    """What a population does with its voltage: cross a threshold, nothing, or reach its largest value."""

    SPIKING = 0
    READOUT = 1
    READOUT_MAXIMUM = 2


class Way(IntEnum):
    """How arrivals with a delay per synapse come to their targets (docs/engine.md).

    QUEUE: by the calendar queue. COLUMNS: spikes that are known beforehand, target by target for a block of windows.
    RING: at once, when the spike is fired, into the windows in which they arrive.
    """

    QUEUE = 0
    COLUMNS = 1
    RING = 2


class Reading(IntEnum):
    """Rows of the readings of a sample (one number for each state neuron).

    The integral of e^{-decay_rate t} V, the largest voltage, when it was reached, and the share of its pull that
    arrivals at that very instant feel.
    """

    INTEGRAL = 0
    MAXIMUM = 1
    MAXIMUM_TIME = 2
    SHARE = 3


class Count(IntEnum):
    """Columns of the table of counters, as in `eventsnn.spikes.Counters`."""

    EVENTS = 0
    WALKED = 1
    SCREENED = 2
    GRAZED = 3
    AFTER_END = 4


# Synapses that are taken at a time, and the room to spare at both ends of each array of synapses (see simd).
BLOCK = 16
# What kernels look at that nothing is to stop.
NEVER = np.zeros(1, np.uint8)
# A silence of fewer windows is crossed window by window: that costs less than the exponentials of one long step.
LEAST_LEAP = 8
# Net.slot shifted right by this is the target.
TARGET = np.uint32(2)
# ``kind``: a Kind. ``links[first_link:last_link]`` are the connections out of a population.
# ``uniform``: all its neurons share their time constants. ``modal``: arrivals from per-synapse delays are summed mode
# by mode (docs/engine.md). ``known[first_known:last_known]`` are the connections into it whose Way is not QUEUE;
# ``queued``: any with a delay per synapse is QUEUE. ``octet``, ``n_octets``: its groups of eight neurons in blocks.
# ``train``: the row of its spikes in `blocks.Trains`, or -1. ``decay_rate`` (1/ms): of the weighted voltage integral.
# ``psp_scale``: psp is this times (e^{-t/tau_mem} - e^{-t/tau_syn}). ``slack``: e^{h/tau_syn}, for the bound of the
# screening. ``decay_mem`` to ``growth_syn``: how the modes change over a stretch, forwards and backwards.
POPULATION = np.dtype(
    [(name, np.int64) for name in ("start", "stop", "kind", "uniform", "modal", "first_link", "last_link")]
    + [(name, np.int64) for name in ("first_known", "last_known", "queued", "octet", "n_octets", "train")]
    + [
        (name, np.float64)
        for name in ("decay_rate", "psp_scale", "slack", "decay_mem", "decay_syn", "growth_mem", "growth_syn")
    ]
)
# ``per_synapse``: each synapse has its own delay. ``dense``: a row reaches every neuron of the target population.
# ``trained_delay``: the gradient of a delay that a row shares is asked for. ``way``: a Way. ``first``: its first
# synapse; ``source``, ``n_pre``: its presynaptic population and how many neurons it has; ``channels``: where those of a
# connection in COLUMNS stand among all such (`blocks.Groups`).
CONNECTION = np.dtype(
    [(name, np.int64) for name in ("first_row", "per_synapse", "dense", "target", "trained_delay")]
    + [(name, np.int64) for name in ("way", "first", "source", "n_pre", "channels")]
)
SOURCE = np.dtype([("pop", np.int64), ("local", np.int64)])
INPUT_SPIKE = np.dtype([("time", np.float64), ("count", np.float64), ("source", np.int64)])
SPIKE = np.dtype([("time", np.float64), ("slope", np.float64), ("neuron", np.int64)])
# ``pull``: dL/dt of the spike; ``kick``: added to lambda_V as it stands. A maximum of a readout voltage is a jump with
# an infinite slope, so that only its kick acts; minus infinity says that it was reached at the start.
JUMP = np.dtype(
    [("time", np.float64), ("slope", np.float64), ("pull", np.float64), ("kick", np.float64), ("neuron", np.int64)]
)


class Net(NamedTuple):
    """A network with its parameters, laid out for kernels by `eventsnn.engines.cpu.layout`.

    State neurons (LIF and readout) are numbered so that a connection whose smallest delay is below the window length
    ``h`` only points to higher numbers. A row is the synapses of one presynaptic neuron in one connection; the rows of
    a per-synapse delay are sorted by delay where their Way is QUEUE. Where it is RING they are in the order of their
    targets, and of COLUMNS the synapses are listed by target, then by source. ``h`` is a power of two, so that window
    arithmetic is exact.
    """

    h: float
    per_ms: float  # 1 / h
    duration: float
    n_windows: int
    stretch: int  # windows of a stretch, a power of two
    shift: int  # its logarithm
    longest: float  # no delay is longer (ms)
    block: int  # windows of a block, a power of two; 0 where all connections are QUEUE
    reach: int  # a power of two: so many windows after a spike everything but the QUEUE has arrived
    n_octets: int  # groups of eight neurons that the others lead to
    n_trains: int  # populations that they lead from
    layered: int  # 1 where the adjoint needs no windows (events.layers)
    ring_mask: int  # buckets of the queue less one, in stretches
    n_pops: int  # state populations; input populations follow them in ``pops``
    pops: np.ndarray  # POPULATION
    neurons: np.ndarray  # one record of the model for each; its "pop" is the population
    conns: np.ndarray  # CONNECTION
    conn_longest: np.ndarray  # (n_conns,) the longest delay of each (ms)
    sources: np.ndarray  # SOURCE, one per input channel
    links: np.ndarray  # connection numbers
    known: np.ndarray  # connection numbers
    row_ptr: np.ndarray  # (n_rows + 1,) synapses of row r: row_ptr[r]:row_ptr[r + 1]
    row_delay: np.ndarray  # (n_rows,) the delay of a row whose synapses share one
    slot: np.ndarray  # (n_synapses,) four times the target, a state neuron, and two more where the weight is negative
    weight: np.ndarray  # (n_synapses,)
    delay: np.ndarray  # (synapses of per-synapse connections, which come first,)
    bits: int  # 2^bits ticks are a window
    tick: np.ndarray  # (as delay,) the delays in ticks, rounded down
    fixed: np.ndarray  # (up to the last synapse that is not QUEUE,) the delays in 2^-50 of a window, rounded down
    near: np.ndarray  # (as fixed,) 2^near_bits times the delay in windows, rounded down; by target, then by source
    near_bits: int
    charge: np.ndarray  # (2 per delay,) onto modal populations: weight e^{delay/tau_mem}, weight e^{delay/tau_syn}
    first_shared: int  # the first synapse of a row that shares one delay
    model: Any  # a NamedTuple: the tables of the neuron model, whose type chooses its kernels (neurons.base)


class Spikes(NamedTuple):
    """Input spikes of all samples, sorted by (time, source): sample s owns ``events[offsets[s]:offsets[s + 1]]``."""

    events: np.ndarray  # INPUT_SPIKE
    offsets: np.ndarray


class Chosen(NamedTuple):
    """What a call of the forward pass is to do: samples ``first`` to ``last`` - 1, each until window ``until``.

    ``most_spikes`` of one sample are allowed. Short of the last window the one sample is left there, to go on from.
    """

    first: int
    last: int
    most_spikes: int
    until: int


class Outputs(NamedTuple):
    """What samples leave behind beside their spikes, zero at first."""

    readings: np.ndarray  # (n_samples, len(Reading), n_state)
    counters: np.ndarray  # (n_samples, len(Count))


class Jumps(NamedTuple):
    """Where the adjoint jumps: sample s owns ``entries[offsets[s]:offsets[s + 1]]``, sorted (window, neuron, time)."""

    entries: np.ndarray  # JUMP
    offsets: np.ndarray


class Gradients(NamedTuple):
    """Gradient sums of one shard, aligned with the arrays of Net; ``input_times`` with the input spikes."""

    per_synapse: np.ndarray  # (2 per delay,) the modes at modal targets; else dL/dweight and dL/ddelay
    weight: np.ndarray  # (n_synapses - first_shared,)
    row_delay: np.ndarray
    neurons: np.ndarray  # (constants, n_state): rows as the model's tables name them
    input_times: np.ndarray
