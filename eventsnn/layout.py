"""Lay a network and its parameters out in the flat arrays that kernels take, and carry gradients back.

The window length is the lookahead of a conservative discrete-event simulation: a connection with a delay of at least
one window cannot act in the window in which its spike is fired, and the others must form no cycle. So the lookahead is
the largest d such that the connections with a smallest delay below d form none (docs/engine.md).
"""

import math

import numpy as np

from .errors import NetworkError
from .kernels.membrane import DEGREE, TAU_FRACTION, write_series
from .kernels.simd import BLOCK
from .kernels.state import (
    CONNECTION,
    INPUT_SPIKE,
    LIF,
    NEURON,
    POPULATION,
    READOUT,
    READOUT_MAXIMUM,
    SOURCE,
    Gradients,
    Net,
    Spikes,
)
from .network import NEURON_ATTRIBUTES, find_cycle
from .spikes import Probe

# More buckets than this (8 bytes each, on each thread) mean a shortest delay absurdly far below the longest one.
MOST_BUCKETS = 2**25
# A row should hand over about so many synapses at a visit, and a stretch of windows is at most so long. One of a single
# window copies whole blocks, which pays from fewer synapses on.
SYNAPSES_A_VISIT, ENOUGH_FOR_A_BLOCK, MOST_STRETCH = 8, 4, 32
# Windows are counted in float64 too, and a window must have a length and a reciprocal.
MOST_WINDOWS, SHORTEST_WINDOW = 2**53, 2.0**-1000


class Layout:
    """The kernel arrays of one network with one set of parameters (``net``), and the way back to parameter names."""

    def __init__(self, network, parameters, run):
        self.network, self.parameters, self.run = network, parameters, run
        shortest = {name: self._shortest_delay(c) for name, c in network.connections.items()}
        lookahead = _lookahead(network, shortest)
        neurons = [p for p in network.populations.values() if p.kind != "input"]
        taus = [network.value_of(p.name, key, parameters).min() for p in neurons for key in ("tau_mem", "tau_syn")]
        limit = min([lookahead, *(TAU_FRACTION * tau for tau in taus), 2.0**60])
        self.h = _power_of_two_below(limit)
        if self.h < SHORTEST_WINDOW or run.duration / self.h > MOST_WINDOWS:
            raise NetworkError(
                f"{run.duration:.6g} ms are too many windows of {self.h:.3g} ms, the longest that the time constants "
                "and the delays around cycles allow. Raise the shortest of them, or lower duration."
            )
        self.populations = _in_order(neurons, network, shortest, self.h)
        sizes = [p.n for p in self.populations]
        self.starts = dict(zip((p.name for p in self.populations), np.cumsum([0, *sizes])[:-1].tolist(), strict=True))
        self.slices = {p.name: (self.starts[p.name], self.starts[p.name] + p.n) for p in self.populations}
        self.inputs = [p for p in network.populations.values() if p.kind == "input"]
        self.rank = {p.name: number for number, p in enumerate([*self.populations, *self.inputs])}
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
        run, rows = self.run, self._rows()
        neurons, series = self._neurons()
        stretch = self._stretch()
        delays = [np.max(delay) for c in self.connections if (delay := self._delays(c)) is not None and delay.size]
        return Net(
            h=self.h,
            per_ms=1.0 / self.h,
            duration=run.duration,
            n_windows=max(1, math.ceil(run.duration / self.h)),
            stretch=stretch,
            shift=stretch.bit_length() - 1,
            ring_mask=self._ring_slots(min(max([0.0, *delays]), run.duration), stretch) - 1,
            n_pops=len(self.populations),
            pops=self._pops(neurons),
            neurons=neurons,
            conns=self._conns(),
            sources=np.array([(self.rank[p.name], k) for p in self.inputs for k in range(p.n)], SOURCE),
            links=np.array([number for name in self.rank for number in self._links(name)], np.int64),
            series=series,
            **rows,
        )

    def _links(self, population):
        """Numbers of the connections out of a population."""
        return [number for number, c in enumerate(self.connections) if c.pre == population]

    def _pops(self, neurons):
        pops = np.zeros(len(self.rank), POPULATION)
        link = 0
        for row, p in zip(pops, [*self.populations, *self.inputs], strict=True):
            row["first_link"], row["last_link"] = link, link + len(self._links(p.name))
            link = row["last_link"]
            if p.kind != "input":
                row["start"], row["stop"] = self.slices[p.name]
                probe = self.run.probes.get(p.name, Probe())
                row["kind"] = LIF if p.kind == "lif" else READOUT_MAXIMUM if probe.maximum else READOUT
                row["uniform"] = np.ptp(neurons["series"][slice(*self.slices[p.name])]) == 0
                row["decay_rate"] = probe.decay_rate
        return pops

    def _neurons(self):
        """The neuron table, and one table of polynomial coefficients for each pair of time constants."""
        neurons = np.zeros(sum(p.n for p in self.populations), NEURON)
        for p in self.populations:
            rows = neurons[slice(*self.slices[p.name])]
            rows["pop"], rows["threshold"] = self.rank[p.name], np.inf
            for key in p.settings:
                rows["threshold" if key == "v_threshold" else key] = self.network.value_of(p.name, key, self.parameters)
        pairs = np.stack([neurons["tau_mem"], neurons["tau_syn"]], axis=1)
        pairs, series = np.unique(pairs, axis=0, return_inverse=True)
        neurons["series"] = series.reshape(-1)
        tables = np.zeros((len(pairs), 4, DEGREE + 1))
        for table, pair in zip(tables, pairs, strict=True):
            write_series(table, *pair)
        return neurons, tables

    def _conns(self):
        conns = np.zeros(len(self.connections), CONNECTION)
        conns["first_row"] = np.cumsum([0, *(c.n_pre for c in self.connections)])[:-1]
        conns["per_synapse"] = [_per_synapse(c) for c in self.connections]
        conns["dense"] = [c.indptr is None for c in self.connections]
        conns["target"] = [self.rank[c.post] for c in self.connections]
        return conns

    def _stretch(self):
        """Windows that a row hands its synapses over for at a time: so many that a visit is worth its while."""
        stretch, windows, synapses = 1, 0.0, 0.0
        for c in self.connections:
            if _per_synapse(c) and c.n_synapses:
                delays = self._delays(c)
                windows += c.n_pre * (min(float(delays.max() - delays.min()), self.run.duration) / self.h + 1.0)
                synapses += c.n_synapses
        if synapses >= ENOUGH_FOR_A_BLOCK * windows:
            return 1
        while stretch < MOST_STRETCH and synapses * stretch < SYNAPSES_A_VISIT * windows:
            stretch *= 2
        return stretch

    def _ring_slots(self, longest, stretch):
        stretches = longest / (self.h * stretch) + 3.0
        if stretches * len(self.populations) > MOST_BUCKETS:
            raise NetworkError(
                f"a delay of {longest:.6g} ms is {longest / self.h:.3g} windows of {self.h:.3g} ms: a time constant "
                "or the smallest delay around a cycle, is too small beside it. Raise that, or shorten the delays."
            )
        return 2 ** math.ceil(math.log2(stretches))

    def _rows(self):
        """The row and synapse arrays; remembers how each connection's parameters were permuted."""
        sizes, row_delays = [np.zeros(0, int)], [np.zeros(0)]
        # a block to spare at both ends (see kernels.simd)
        targets, weights, delays = [np.zeros(BLOCK, int)], [np.zeros(BLOCK)], [np.zeros(BLOCK)]
        self.first_synapse, self.orders = {}, {}
        n_synapses = BLOCK
        for c in self.connections:
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
            targets.append(target + self.starts[c.post])
            weights.append(weight.reshape(-1))
            sizes.append(np.full(c.n_pre, c.n_post) if c.indptr is None else np.diff(c.indptr))
            n_synapses += c.n_synapses
        for values, kind in ((targets, int), (weights, float), (delays, float)):
            values.append(np.zeros(BLOCK, kind))
        return {
            "row_ptr": BLOCK + np.concatenate([[0], np.cumsum(np.concatenate(sizes))]),
            "row_delay": np.concatenate(row_delays),
            "target": np.concatenate(targets).astype(np.uint32),
            "weight": np.concatenate(weights),
            "delay": np.concatenate(delays),
        }

    def gather_inputs(self, batches):
        """Merge the input populations' batches into one Spikes; remembers where each spike came from."""
        given = [batches[p.name] for p in self.inputs]
        n_samples = given[0].n_samples if given else 0
        events = np.zeros(sum(batch.times.size for batch in given), INPUT_SPIKE)
        sample = np.zeros(events.size, np.int64)
        first = source = 0
        for population, batch in zip(self.inputs, given, strict=True):
            rows = slice(first, first + batch.times.size)
            events["time"][rows], events["source"][rows] = batch.times, batch.units + source
            events["count"][rows] = 1.0 if batch.counts is None else batch.counts
            sample[rows] = np.repeat(np.arange(n_samples), np.diff(batch.offsets))
            first, source = rows.stop, source + population.n
        self.input_order = None
        if len(given) != 1:
            self.input_order = np.lexsort((events["source"], events["time"], sample))
            events, sample = events[self.input_order], sample[self.input_order]
        return Spikes(events, np.searchsorted(sample, np.arange(n_samples + 1)))

    def split_inputs(self, values, batches):
        """Carry one value per merged input spike back to {input population: array}."""
        if self.input_order is not None:
            unmerged = np.empty_like(values)
            unmerged[self.input_order] = values
            values = unmerged
        edges = np.cumsum([0, *(batches[p.name].times.size for p in self.inputs)])
        return {p.name: values[a:b] for p, a, b in zip(self.inputs, edges[:-1], edges[1:], strict=True)}

    def empty_gradients(self):
        """Zeroed gradient arrays for one shard, but for ``input_times``, which all shards share."""
        net = self.net
        return Gradients(
            np.zeros(net.weight.size), np.zeros(net.delay.size), np.zeros(net.row_delay.size),
            np.zeros((3, net.neurons.size)), np.zeros(0),
        )  # fmt: skip

    def name_gradients(self, sums, names):
        """Carry the summed kernel gradients back to {parameter: array} for the given names."""
        gradients = {}
        for row, c in zip(self.net.conns["first_row"], self.connections, strict=True):
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
                    values = sums.neurons[NEURON_ATTRIBUTES.index(key), start:stop]
                    gradients[f"{p.name}.{key}"] = values.copy() if p.shape(key) else np.asarray(values.sum())
        return {name: gradients[name] for name in names}

    def _unsorted(self, connection, values):
        if connection.name not in self.orders:
            return values.reshape(connection.weight_shape).copy()
        result = np.empty(values.size)
        result[self.orders[connection.name]] = values
        return result.reshape(connection.weight_shape)


def _power_of_two_below(limit):
    """The largest power of two <= limit, exactly: a rounded logarithm could return the one above."""
    _, exponent = math.frexp(limit)
    return math.ldexp(1.0, exponent - 1)


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


def _lookahead(network, shortest):
    """The largest d such that connections with a smallest delay below d form no cycle (checked parameters: d > 0)."""
    edges = []
    for delay, name in sorted((delay, name) for name, delay in shortest.items() if delay < math.inf):
        edges.append((network.connections[name].pre, network.connections[name].post))
        if find_cycle(edges[-1:] + edges[:-1]):
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
        if not ready:
            raise NetworkError(f"no order of {sorted(names)} suits windows of {h} ms")
        ordered += ready
        left = [p for p in left if p.name in waiting]
        names -= {p.name for p in ready}
    return ordered
