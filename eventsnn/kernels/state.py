"""The named tuples that kernels take: a network laid out in flat arrays, and the growing buffers of one thread."""

from typing import NamedTuple

import numpy as np

# What a population does with its voltage.
LIF, READOUT, READOUT_MAXIMUM = 0, 1, 2


class Net(NamedTuple):
    """A network with its parameters, laid out for kernels (built by eventsnn.layout).

    State neurons (LIF and readout) are numbered so that a connection whose smallest delay is below the window length
    ``h`` only points to higher numbers. A row is the synapses of one presynaptic neuron in one connection; the rows of
    a per-synapse delay are sorted by delay. ``h`` is a power of two, so that window arithmetic is exact.
    """

    h: float
    duration: float
    n_windows: int
    ring_mask: int
    pop_start: np.ndarray  # (n_pops + 1,) first state neuron of each population
    pop_kind: np.ndarray  # LIF, READOUT or READOUT_MAXIMUM
    pop_uniform: np.ndarray  # True where all neurons of the population share their time constants
    decay_rate: np.ndarray  # (n_pops,) rate of the exponential weight of the readout integral, 1/ms
    in_ptr: np.ndarray  # connections into population p: in_conn[in_ptr[p]:in_ptr[p + 1]]
    in_conn: np.ndarray
    out_ptr: np.ndarray  # connections out of a population; inputs come behind the state populations
    out_conn: np.ndarray
    source_pop: np.ndarray  # (n_sources,) population of each input unit
    source_local: np.ndarray  # (n_sources,) its index there
    tau_mem: np.ndarray  # (n_state,)
    tau_syn: np.ndarray
    threshold: np.ndarray  # infinite for readouts
    series_of: np.ndarray  # (n_state,) which table of `series` a neuron uses
    series: np.ndarray  # (n_tables, 4, DEGREE + 1)
    first_row: np.ndarray  # (n_conns,)
    per_synapse: np.ndarray  # (n_conns,) True where each synapse has its own delay
    dense: np.ndarray  # (n_conns,) True where a row reaches every neuron of the target population
    conn_target: np.ndarray  # (n_conns,) target population
    row_ptr: np.ndarray  # (n_rows + 1,)
    row_delay: np.ndarray  # (n_rows,) the delay of a row whose synapses share one
    target: np.ndarray  # (n_synapses,) state neuron
    weight: np.ndarray
    delay: np.ndarray  # (synapses of per-synapse connections, which come first,)


class Spikes(NamedTuple):
    """Input spikes of all samples: sample s owns ``offsets[s]:offsets[s + 1]``, sorted by (time, source)."""

    times: np.ndarray
    sources: np.ndarray
    counts: np.ndarray
    offsets: np.ndarray


class Tape(NamedTuple):
    """Emitted spikes in the order (window, neuron, time)."""

    times: np.ndarray
    neurons: np.ndarray
    slopes: np.ndarray


class Readings(NamedTuple):
    """What a sample leaves in its readouts: (n_samples, n_state) each."""

    weighted: np.ndarray  # sum over arrivals of w e^{-decay_rate s}
    voltage: np.ndarray  # V and I at the end
    current: np.ndarray
    maximum: np.ndarray
    maximum_time: np.ndarray


class Jumps(NamedTuple):
    """Where the adjoint jumps: the tape, with what the loss adds to each entry, in tape order; per-sample offsets.

    A maximum of a readout voltage is an entry with an infinite slope, so that only its ``kick`` acts.
    """

    times: np.ndarray
    neurons: np.ndarray
    slopes: np.ndarray
    time_cotangents: np.ndarray  # dL/dt of the spike
    kicks: np.ndarray  # added to lambda_V as it stands
    offsets: np.ndarray


class Gradients(NamedTuple):
    """Gradient sums of one shard, aligned with the arrays of Net; ``input_times`` with the input spikes."""

    weight: np.ndarray
    delay: np.ndarray
    row_delay: np.ndarray
    tau_mem: np.ndarray
    tau_syn: np.ndarray
    threshold: np.ndarray
    input_times: np.ndarray
