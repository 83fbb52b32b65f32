"""Lay a network and its parameters out in the flat arrays that kernels take, and carry gradients back.

The window length is the lookahead of a conservative discrete-event simulation: a connection with a delay of at least
one window cannot act in the window in which its spike is fired, and the others must form no cycle. So the lookahead is
the largest d such that the connections with a smallest delay below d form none (docs/engine.md).
"""

import math

import numpy as np

from .errors import NetworkError, ZeroDelayCycle
from .kernels.membrane import TAU_FRACTION, window_series
from .kernels.state import LIF, READOUT, READOUT_MAXIMUM, Gradients, Net, Spikes
from .network import find_cycle
from .spikes import Probe

# More ring slots than this (per connection) mean a shortest delay absurdly far below the longest one.
MOST_RING_SLOTS = 2**24


class Layout:
    """The kernel arrays of one network with one set of parameters (``net``), and the way back to parameter names."""

    def __init__(self, network, parameters, run):
        self.network, self.parameters, self.run = network, parameters, run
        shortest = {name: self._shortest_delay(c) for name, c in network.connections.items()}
        lookahead = _lookahead(network, shortest)
        neurons = [p for p in network.populations.values() if p.kind != "input"]
        taus = [network.value_of(p.name, key, parameters).min() for p in neurons for key in ("tau_mem", "tau_syn")]
        limit = min([lookahead, *(TAU_FRACTION * tau for tau in taus), 2.0**60])
        self.h = 2.0 ** math.floor(math.log2(limit))
        self.populations = _in_order(neurons, network, shortest, self.h)
        sizes = [p.n for p in self.populations]
        self.starts = dict(zip((p.name for p in self.populations), np.cumsum([0, *sizes])[:-1].tolist(), strict=True))
        self.slices = {p.name: (self.starts[p.name], self.starts[p.name] + p.n) for p in self.populations}
        self.inputs = [p for p in network.populations.values() if p.kind == "input"]
        # per-synapse connections come first, so that only they take room in the delay array
        self.connections = sorted(network.connections.values(), key=lambda c: not _per_synapse(c))
        self.net = self._build()

    def _delays(self, connection):
        """All delay values of a connection, None without any."""
        return None if connection.delay is None else self.parameters[f"{connection.name}.delay"]

    def _shortest_delay(self, connection):
        delays = self._delays(connection)
        if connection.n_synapses == 0:
            return math.inf
        return 0.0 if delays is None else float(delays.min())

    def _build(self):
        populations, run = self.populations, self.run
        rank = {p.name: index for index, p in enumerate([*populations, *self.inputs])}
        in_ptr, in_conn = _lists([[k for k, c in enumerate(self.connections) if c.post == p.name] for p in populations])
        out_ptr, out_conn = _lists([[k for k, c in enumerate(self.connections) if c.pre == name] for name in rank])
        columns = {key: self._column(key) for key in ("tau_mem", "tau_syn", "v_threshold")}
        pairs, series_of = np.unique(
            np.stack([columns["tau_mem"], columns["tau_syn"]], axis=1), axis=0, return_inverse=True
        )
        series_of = series_of.reshape(-1).astype(np.int64)
        probes = [run.probes.get(p.name, Probe()) for p in populations]
        kinds = [
            LIF if p.kind == "lif" else READOUT_MAXIMUM if probe.maximum else READOUT
            for p, probe in zip(populations, probes, strict=True)
        ]
        rows = self._rows()
        longest = max([float(np.max(d)) for c in self.connections if np.size(d := self._delays(c)) and d is not None]
                      or [0.0])  # fmt: skip
        n_windows = max(1, math.ceil(run.duration / self.h))
        return Net(
            h=self.h,
            duration=float(run.duration),
            n_windows=n_windows,
            ring_mask=self._ring_slots(min(longest, run.duration)) - 1,
            pop_start=np.array([*self.starts.values(), sum(p.n for p in populations)], np.int64),
            pop_kind=np.array(kinds, np.int64),
            pop_uniform=np.array([np.ptp(series_of[slice(*self.slices[p.name])]) == 0 for p in populations], bool),
            decay_rate=np.array([probe.decay_rate for probe in probes], float),
            in_ptr=in_ptr,
            in_conn=in_conn,
            out_ptr=out_ptr,
            out_conn=out_conn,
            source_pop=np.repeat([rank[p.name] for p in self.inputs], [p.n for p in self.inputs]).astype(np.int64),
            source_local=np.concatenate([np.zeros(0), *(np.arange(p.n) for p in self.inputs)]).astype(np.int64),
            tau_mem=columns["tau_mem"],
            tau_syn=columns["tau_syn"],
            threshold=columns["v_threshold"],
            series_of=series_of,
            series=np.stack([window_series(*pair) for pair in pairs]) if len(pairs) else np.zeros((0, 4, 11)),
            per_synapse=np.array([_per_synapse(c) for c in self.connections], bool),
            dense=np.array([c.indptr is None for c in self.connections], bool),
            conn_target=np.array([rank[c.post] for c in self.connections], np.int64),
            **rows,
        )

    def _column(self, key):
        values = [
            self.network.value_of(p.name, key, self.parameters) if key in p.settings else np.full(p.n, np.inf)
            for p in self.populations
        ]
        return np.ascontiguousarray(np.concatenate([np.zeros(0), *values]))

    def _ring_slots(self, longest):
        slots = 2 ** math.ceil(math.log2(longest / self.h + 3.0))
        if slots > MOST_RING_SLOTS:
            raise NetworkError(
                f"a delay of {longest:.6g} ms needs {slots} windows of {self.h:.3g} ms: the smallest delay around a "
                "cycle, or a time constant, is too small beside the longest delay. Raise it, or shorten the delays."
            )
        return slots

    def _rows(self):
        """The row and synapse arrays; remembers how each connection's parameters were permuted."""
        first_row, sizes, row_delays, targets, weights, delays = [], [], [], [], [], []
        self.first_synapse, self.orders = {}, {}
        n_rows = n_synapses = 0
        for c in self.connections:
            first_row.append(n_rows)
            self.first_synapse[c.name] = n_synapses
            delay, weight = self._delays(c), self.parameters[f"{c.name}.weight"]
            target = np.arange(c.n_post, dtype=np.int32) if c.indptr is None else c.indices
            if _per_synapse(c):
                order = _delay_order(c, delay)
                self.orders[c.name] = order
                weight, delay = weight.reshape(-1)[order], delay.reshape(-1)[order]
                target = (order % c.n_post).astype(np.int32) if c.indptr is None else target[order]
                delays.append(delay)
                row_delays.append(np.zeros(c.n_pre))
            else:
                target = np.tile(target, c.n_pre) if c.indptr is None else target
                row_delays.append(np.broadcast_to(0.0 if delay is None else delay, (c.n_pre,)))
            targets.append(target + np.int32(self.starts[c.post]))
            weights.append(weight.reshape(-1))
            sizes.append(np.full(c.n_pre, c.n_post) if c.indptr is None else np.diff(c.indptr))
            n_rows += c.n_pre
            n_synapses += c.n_synapses
        return {
            "first_row": np.array(first_row, np.int64),
            "row_ptr": np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *sizes]))]).astype(np.int64),
            "row_delay": np.concatenate([np.zeros(0), *row_delays]),
            "target": np.concatenate([np.zeros(0, np.int32), *targets]),
            "weight": np.concatenate([np.zeros(0), *weights]),
            "delay": np.concatenate([np.zeros(0), *delays]),
        }

    def gather_inputs(self, batches):
        """Merge the input populations' batches into one Spikes; remembers where each spike came from."""
        self.input_order = None
        if len(self.inputs) == 1:
            batch = batches[self.inputs[0].name]
            counts = np.ones(batch.times.size) if batch.counts is None else batch.counts
            return Spikes(batch.times, batch.units, counts, batch.offsets)
        starts = np.cumsum([0, *(p.n for p in self.inputs)])
        given = [batches[p.name] for p in self.inputs]
        times = np.concatenate([np.zeros(0), *(b.times for b in given)])
        sources = np.concatenate([np.zeros(0, np.int32), *(b.units + np.int32(s) for b, s in zip(given, starts))])
        counts = np.concatenate([np.zeros(0), *(np.ones(b.times.size) if b.counts is None else b.counts for b in given)])
        n_samples = given[0].n_samples if given else 0
        sample = np.concatenate([np.zeros(0, int), *(np.repeat(np.arange(n_samples), np.diff(b.offsets)) for b in given)])
        self.input_order = np.lexsort((sources, times, sample))
        offsets = np.searchsorted(sample[self.input_order], np.arange(n_samples + 1))
        order = self.input_order
        return Spikes(times[order], sources[order].astype(np.int32), counts[order], offsets.astype(np.int64))

    def split_inputs(self, values, batches):
        """Carry one value per merged input spike back to {input population: array}."""
        if self.input_order is not None:
            unmerged = np.empty_like(values)
            unmerged[self.input_order] = values
            values = unmerged
        edges = np.cumsum([0, *(batches[p.name].times.size for p in self.inputs)])
        return {p.name: values[a:b] for p, a, b in zip(self.inputs, edges[:-1], edges[1:], strict=True)}

    def empty_gradients(self, input_times):
        """Zeroed gradient arrays for one shard; ``input_times`` is shared by all shards."""
        net = self.net
        n = net.tau_mem.size
        return Gradients(
            np.zeros(net.weight.size), np.zeros(net.delay.size), np.zeros(net.row_delay.size),
            np.zeros(n), np.zeros(n), np.zeros(n), input_times,
        )  # fmt: skip

    def name_gradients(self, sums, names):
        """Carry the summed kernel gradients back to {parameter: array} for the given names."""
        gradients = {}
        for row, c in zip(self.net.first_row, self.connections, strict=True):
            first = self.first_synapse[c.name]
            chosen = slice(first, first + c.n_synapses)
            if f"{c.name}.weight" in names:
                gradients[f"{c.name}.weight"] = self._unsorted(c, sums.weight[chosen])
            if f"{c.name}.delay" in names:
                if c.delay_per == "synapse":
                    gradients[f"{c.name}.delay"] = self._unsorted(c, sums.delay[chosen])
                else:
                    rows = sums.row_delay[row : row + c.n_pre]
                    gradients[f"{c.name}.delay"] = rows.copy() if c.delay_per == "neuron" else np.asarray(rows.sum())
        for p in self.populations:
            start, stop = self.slices[p.name]
            for key in p.settings:
                if f"{p.name}.{key}" in names:
                    values = getattr(sums, "threshold" if key == "v_threshold" else key)[start:stop]
                    gradients[f"{p.name}.{key}"] = values.copy() if p.shape(key) else np.asarray(values.sum())
        return {name: gradients[name] for name in names}

    def _unsorted(self, connection, values):
        if connection.name not in self.orders:
            return values.reshape(connection.weight_shape).copy()
        result = np.empty(values.size)
        result[self.orders[connection.name]] = values
        return result.reshape(connection.weight_shape)


def _per_synapse(connection):
    return connection.delay is not None and connection.delay_per == "synapse"


def _delay_order(connection, delay):
    """Indices that sort the synapses of each row by delay; equal delays keep the order of their targets."""
    if connection.indptr is None:
        order = np.argsort(delay, axis=1, kind="stable")
        order += np.arange(connection.n_pre)[:, None] * connection.n_post
        return order.reshape(-1)
    rows = np.repeat(np.arange(connection.n_pre), np.diff(connection.indptr))
    return np.lexsort((delay, rows))


def _lists(lists):
    """Lists of ints as (offsets, concatenation)."""
    flat = [value for values in lists for value in values]
    return np.cumsum([0, *(len(values) for values in lists)]).astype(np.int64), np.array(flat, np.int64)


def _lookahead(network, shortest):
    """The largest d such that connections with a smallest delay below d form no cycle; raises ZeroDelayCycle for 0."""
    edges = []
    for delay, name in sorted((delay, name) for name, delay in shortest.items() if delay < math.inf):
        edges.append((network.connections[name].pre, network.connections[name].post))
        if cycle := find_cycle(edges[-1:] + edges[:-1]):
            if delay == 0:
                raise ZeroDelayCycle(cycle)
            return delay
    return math.inf


def _in_order(populations, network, shortest, h):
    """The populations so that each connection with a smallest delay below h points forward."""
    edges = [(c.pre, c.post) for name, c in network.connections.items() if shortest[name] < h]
    ordered, left = [], list(populations)
    names = {p.name for p in populations}
    while left:
        waiting = {post for pre, post in edges if pre in names}
        ready = [p for p in left if p.name not in waiting]
        ordered += ready
        left = [p for p in left if p.name in waiting]
        names -= {p.name for p in ready}
    return ordered
