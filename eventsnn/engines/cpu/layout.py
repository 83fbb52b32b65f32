"""Lay a network and its parameters out in the flat arrays that kernels take, and carry gradients back."""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from ...aliases import Array, Floats, Integers, Milliseconds, Parameters
from ...errors import NetworkError
from ...kernels.blocks import FIXED_BITS
from ...kernels.neurons.laying import Span
from ...kernels.state import BLOCK, INPUT_SPIKE, TARGET, Gradients, Net, Spikes, Way
from ...network.network import Network
from ...network.parts import Connection, Population
from ...spikes.batch import SpikeBatch
from ..problem import Run
from .skeleton import Told, has_own_delays, row_sizes, skeleton_of
from .ways import MOST_REACH, choose_ways, fixed_delays, is_layered
from .windows import in_order, lookahead, power_of_two_below

# More buckets than this (8 bytes each, on each thread) mean a shortest delay absurdly far below the longest one.
MOST_BUCKETS = 2**25
# A row should hand over about so many synapses at a visit, and a stretch of windows is at most so long.
SYNAPSES_A_VISIT, MOST_STRETCH = 48, 32
# A synapse is taken to bring an arrival every so many ms, where that decides on the length of a window.
ARRIVAL_TIME = 40.0
# Synapses whose modes are computed together.
SYNAPSES_AT_ONCE = 2**14
# Delays are counted in fractions of a window, so small that times of up to so many windows are known to one of them.
MOST_TICK_BITS, MOST_TICKED_WINDOWS = 16, 2.0**34
# Windows are counted in float64 too, and a window must have a length and a reciprocal.
MOST_WINDOWS, SHORTEST_WINDOW = 2**53, 2.0**-1000


class Layout:
    """The kernel arrays of one network with one set of parameters (``net``), and the way back to parameter names."""

    input_order: Integers | None
    """Which spike of the input populations, one after the other, each merged one is; None: they are in order."""

    def __init__(self, network: Network, parameters: Parameters, run: Run) -> None:
        self.network, self.parameters, self.run = network, parameters, run
        self._skeleton = skeleton = skeleton_of(network)
        self.laying, self.inputs, self.connections = skeleton.laying, skeleton.inputs, skeleton.connections
        # the shortest and the longest delay of each connection that has synapses
        self._spans = {c.name: self._span(c) for c in self.connections if c.n_synapses}
        shortest = {name: self._spans[name][0] if name in self._spans else math.inf for name in network.connections}
        told = skeleton.told(network, parameters)
        self.h = self._window(lookahead(network, shortest), told.reach)
        if self.h < SHORTEST_WINDOW or run.duration / self.h > MOST_WINDOWS:
            raise NetworkError(
                f"{run.duration:.6g} ms are too many windows of {self.h:.3g} ms, the longest that the time constants "
                "and the delays around cycles allow. Raise the shortest of them, or lower duration."
            )
        # the backward pass may ask for more of a network without cycles than that no window holds one
        within = math.inf if skeleton.is_acyclic else self.h
        self._order = order = skeleton.order(in_order(skeleton.neurons, network, shortest, within))
        self.populations, self.slices, self.rank = order.populations, order.slices, order.rank
        self.net = self._build(told)
        self._write_charges()

    def _span(self, connection: Connection) -> tuple[Milliseconds, Milliseconds]:
        """The shortest and the longest delay of a connection."""
        if connection.delay is None:
            return 0.0, 0.0
        delays = self._delays(connection)
        return float(delays.min()), float(delays.max())

    def _is_modal(self, population: Population, until: Milliseconds) -> bool:
        """Whether arrivals with delays of their own are summed mode by mode, which they can be ``until`` some delay."""
        own = [c for c in self.connections if c.post == population.name and has_own_delays(c) and c.n_synapses]
        # a delay beyond the end is as good as one there
        longest = min(max((self._spans[c.name][1] for c in own), default=math.inf), self.run.duration)
        return population.fires and len(own) > 0 and longest <= until

    def _window(self, limit: Milliseconds, reach: tuple[Milliseconds, Milliseconds]) -> Milliseconds:
        """The window length h in ms: for an arrival or two per neuron, but no longer than ``limit``.

        ``reach``: (how long it may be at no cost, and at most), as the neurons say.
        """
        skeleton = self._skeleton
        fair = min(reach[1], ARRIVAL_TIME * skeleton.n_targets / max(skeleton.n_synapses, 1))
        return power_of_two_below(min(limit, max(reach[0], fair)))

    def _delays(self, connection: Connection) -> Floats:
        """All delay values of a connection that has any."""
        return self.parameters[f"{connection.name}.delay"]

    def _build(self, told: Told) -> Net:
        run, skeleton = self.run, self._skeleton
        modal = {p.name: self._is_modal(p, told.modal_until[p.name]) for p in self.populations}
        until = {name: told.modal_until[name] if own else -1.0 for name, own in modal.items()}
        self._chosen = chosen = choose_ways(skeleton, self.h, run, self._spans, until)
        stretch = self._stretch()
        span = Span(self.h, run.duration, stretch, chosen.block + chosen.reach)
        ways = [chosen.ways[c.name] for c in self.connections]
        pops, conns, known, neurons, model = self._order.constants(
            skeleton, told.groups, list(modal.values()), span, run, ways
        )
        rows = self._rows()
        fixed, near, near_bits = self._known_delays(rows["delay"])
        longest_delay = max((longest for _, longest in self._spans.values()), default=0.0)
        longest = min(longest_delay, run.duration)
        bits, n_windows = self._tick_bits(longest, stretch), max(1, math.ceil(run.duration / self.h))
        return Net(
            h=self.h,
            per_ms=1.0 / self.h,
            duration=float(run.duration),
            n_windows=n_windows,
            longest=longest_delay,
            stretch=stretch,
            shift=stretch.bit_length() - 1,
            layered=int(is_layered(skeleton, run, chosen.ways, until)),
            ring_mask=self._ring_slots(longest, stretch) - 1,
            block=chosen.block,
            reach=chosen.reach,
            n_octets=int(pops["n_octets"].sum()),
            n_trains=int(pops["train"].max(initial=-1)) + 1,
            n_pops=len(self.populations),
            pops=pops,
            neurons=neurons,
            conns=conns,
            conn_longest=np.array([self._spans.get(c.name, (0.0, 0.0))[1] for c in self.connections]),
            sources=self._order.sources,
            links=self._order.links,
            known=known,
            row_ptr=skeleton.row_ptr,
            first_shared=skeleton.first_shared,
            model=model,
            bits=bits,
            # a delay beyond the end is as good as one there
            tick=(np.minimum(rows["delay"], longest) * (2.0**bits / self.h)).astype(np.uint32),
            fixed=fixed,
            near=near,
            near_bits=near_bits,
            charge=np.zeros(2 * rows["delay"].size),
            **rows,
        )

    def _known_delays(self, delays: Floats) -> tuple[Array, Array, int]:
        """(fixed, near, near_bits) of `kernels.state.Net`; a delay beyond the end is as good as one there."""
        known = [c for c in self.connections if self._chosen.ways[c.name] != Way.QUEUE]
        n = max((self._skeleton.synapses[c.name].stop for c in known), default=0)
        fixed = fixed_delays(np.minimum(delays[:n], min(self.run.duration, MOST_REACH * self.h)), self.h)
        # so that spikes on their way are told from those that have long arrived, in 16 bits
        bits = 16 - self._chosen.reach.bit_length()
        near = (fixed >> (FIXED_BITS - bits)).astype(np.uint16)
        for c in known:
            if self._chosen.ways[c.name] == Way.RING:
                mine = self._skeleton.synapses[c.name]
                near[mine] = near[mine].reshape(c.n_pre, c.n_post).T.reshape(-1)
        return fixed, near, bits

    def _write_charges(self) -> None:
        """What a spike adds to the two modes of each modal target, were it to arrive when it is fired."""
        charges = self.net.charge.reshape(-1, 2)
        for c in self.connections:
            pop = self.rank[c.post]
            if self.net.pops["modal"][pop] and has_own_delays(c):
                for part in _parts(self._skeleton.synapses[c.name]):
                    charges[part] = self.laying.charges(self.net, pop, self.net.weight[part], self.net.delay[part])

    def _stretch(self) -> int:
        """Windows that a row hands its synapses over for at a time: so many that a visit is worth its while."""
        stretch, windows, synapses = 1, 0.0, 0.0
        for c in self.connections:
            if has_own_delays(c) and c.n_synapses and self._chosen.ways[c.name] == Way.QUEUE:
                shortest, longest = self._spans[c.name]
                windows += c.n_pre * (min(longest - shortest, self.run.duration) / self.h + 1.0)
                synapses += c.n_synapses
        while stretch < MOST_STRETCH and synapses * stretch < SYNAPSES_A_VISIT * windows:
            stretch *= 2
        return stretch

    def _tick_bits(self, longest: Milliseconds, stretch: int) -> int:
        """As many bits of a window as fit into 32, with a sign, beside the longest delay; 0: times are too large."""
        if self.run.duration / self.h > MOST_TICKED_WINDOWS:
            return 0
        windows = longest / self.h + 2 * stretch + 2
        return max(0, min(MOST_TICK_BITS, 30 - math.ceil(math.log2(windows))))

    def _ring_slots(self, longest: Milliseconds, stretch: int) -> int:
        stretches = longest / (self.h * stretch) + 3.0
        if stretches * len(self.populations) > MOST_BUCKETS:
            raise NetworkError(
                f"a delay of {longest:.6g} ms is {longest / self.h:.3g} windows of {self.h:.3g} ms: a time constant "
                "or the smallest delay around a cycle, is too small beside it. Raise that, or shorten the delays."
            )
        return 2 ** math.ceil(math.log2(stretches))

    def _rows(self) -> dict[str, Any]:
        """The row and synapse arrays; remembers how each connection's parameters were permuted."""
        skeleton = self._skeleton
        # a block to spare at both ends (see kernels.simd)
        n = skeleton.n_synapses + 2 * BLOCK
        slots, weights = np.zeros(n, np.uint32), np.zeros(n)
        delays, row_delays = np.zeros(skeleton.first_shared + BLOCK), [np.zeros(0)]
        self.orders = {}
        for c in self.connections:
            weight, mine = self.parameters[f"{c.name}.weight"].reshape(-1), skeleton.synapses[c.name]
            if (way := self._chosen.ways[c.name]) != Way.QUEUE:
                delay = self._delays(c)
                # by target, then by source; or as it is
                delays[mine] = (delay.T if way == Way.COLUMNS else delay).reshape(-1)
                weights[mine] = (self.parameters[f"{c.name}.weight"].T if way == Way.COLUMNS else weight).reshape(-1)
                row_delays.append(np.zeros(c.n_pre))
                continue
            if has_own_delays(c):
                delay = self._delays(c)
                order, target = _delay_order(c, delay)
                self.orders[c.name] = order
                np.take(delay.reshape(-1), order, out=delays[mine])
                np.take(weight, order, out=weights[mine])
                row_delays.append(np.zeros(c.n_pre))
            else:
                target = np.tile(np.arange(c.n_post), c.n_pre) if c.indices is None else c.indices
                weights[mine] = weight
                row_delays.append(np.broadcast_to(0.0 if c.delay is None else self._delays(c), (c.n_pre,)))
            slots[mine] = (target + self.slices[c.post][0]) << TARGET
            slots[mine] |= (weights[mine] < 0).astype(np.uint32) << np.uint32(1)
        return {"row_delay": np.concatenate(row_delays), "slot": slots, "weight": weights, "delay": delays}

    def gather_inputs(self, batches: Mapping[str, SpikeBatch]) -> Spikes:
        """Merge the input populations' batches into one Spikes; remembers where each spike came from."""
        given = [batches[p.name] for p in self.inputs]
        events = np.zeros(sum(batch.times.size for batch in given), INPUT_SPIKE)
        first = source = 0
        for population, batch in zip(self.inputs, given, strict=True):
            rows = slice(first, first + batch.times.size)
            events["time"][rows], events["source"][rows] = batch.times, batch.units + source
            events["count"][rows] = 1.0 if batch.counts is None else batch.counts
            first, source = rows.stop, source + population.n
        self.input_order = None
        if len(given) == 1:
            return Spikes(events, given[0].offsets.copy())
        n_samples = given[0].n_samples if given else 0
        sample = np.concatenate([np.zeros(0, int), *(np.repeat(range(n_samples), np.diff(b.offsets)) for b in given)])
        self.input_order = np.lexsort((events["source"], events["time"], sample))
        offsets = np.searchsorted(sample[self.input_order], np.arange(n_samples + 1))
        return Spikes(events[self.input_order], offsets)

    def split_inputs(self, values: Floats, batches: Mapping[str, SpikeBatch]) -> dict[str, Floats]:
        """Carry one value per merged input spike back to {input population: array}."""
        if self.input_order is not None:
            unmerged = np.empty_like(values)
            unmerged[self.input_order] = values
            values = unmerged
        edges = np.cumsum([0, *(batches[p.name].times.size for p in self.inputs)])
        return {p.name: values[a:b] for p, a, b in zip(self.inputs, edges[:-1], edges[1:], strict=True)}

    def empty_gradients(self) -> Gradients:
        """Zeroed gradient arrays for one shard, but for ``input_times``, which all shards share."""
        net = self.net
        return Gradients(
            np.zeros(2 * net.delay.size), np.zeros(net.weight.size - net.first_shared), np.zeros(net.row_delay.size),
            np.zeros((len(self.laying.Constant), net.neurons.size)), np.zeros(0),
        )  # fmt: skip

    def name_gradients(self, sums: Gradients, names: Collection[str]) -> Parameters:
        """Carry the summed kernel gradients back to {parameter: array} for the given names."""
        gradients = {}
        for row, c in zip(self.net.conns["first_row"], self.connections, strict=True):
            if not {f"{c.name}.weight", f"{c.name}.delay"} & set(names):
                continue
            if has_own_delays(c):
                gradients[f"{c.name}.weight"], gradients[f"{c.name}.delay"] = self._per_synapse_gradients(c, sums)
                continue
            first = self._skeleton.synapses[c.name].start - self.net.first_shared
            mine = sums.weight[first : first + c.n_synapses]
            gradients[f"{c.name}.weight"] = mine.reshape(c.weight_shape).copy()
            rows = sums.row_delay[row : row + c.n_pre]
            gradients[f"{c.name}.delay"] = rows.copy() if c.delay_per == "neuron" else np.asarray(rows.sum())
        for p in self.populations:
            start, stop = self.slices[p.name]
            if asked := _asked(p, names):
                found = self.laying.field_gradients(sums.neurons[:, start:stop])
                for key in asked:
                    gradients[f"{p.name}.{key}"] = found[key].copy() if p.shape(key) else np.asarray(found[key].sum())
        return {name: gradients[name] for name in names}

    def needs_tails(self, names: Collection[str]) -> bool:
        """Whether gradients of any of these parameters need the tails of the backward pass."""
        return self.laying.needs_tails({key for p in self.populations for key in _asked(p, names)})

    def _per_synapse_gradients(self, connection: Connection, sums: Gradients) -> Floats:
        """(dL/dweight, dL/ddelay) of a connection from what its synapses collected (docs/engine.md)."""
        pop, pairs = self.rank[connection.post], sums.per_synapse.reshape(-1, 2)
        mine, order = self._skeleton.synapses[connection.name], self.orders.get(connection.name)
        modal, results = self.net.pops["modal"][pop], np.empty((2, connection.n_synapses))
        for part in _parts(mine):
            weight, delay = pairs[part].T
            if modal:
                own = self.net.weight[part], self.net.delay[part]
                weight, delay = self.laying.by_modes(self.net, pop, pairs[part], *own)
            here: Any = slice(part.start - mine.start, part.stop - mine.start)
            here = here if order is None else order[here]
            results[0, here], results[1, here] = weight, delay
        if self._chosen.ways[connection.name] == Way.COLUMNS:
            return results.reshape(2, *connection.weight_shape[::-1]).swapaxes(1, 2)
        return results.reshape(2, *connection.weight_shape)


def _asked(population: Population, names: Collection[str]) -> list[str]:
    """Those constants of a population that are among these parameters."""
    return [key for key in population.settings if f"{population.name}.{key}" in names]


def _parts(synapses: slice) -> Iterator[slice]:
    """Cut a slice into pieces that stay in the cache while several things are done with them."""
    for first in range(synapses.start, synapses.stop, SYNAPSES_AT_ONCE):
        yield slice(first, min(first + SYNAPSES_AT_ONCE, synapses.stop))


def _delay_order(connection: Connection, delay: Floats) -> tuple[Integers, Array]:
    """(indices that sort the synapses of each row by delay, their targets in that order)."""
    if connection.indptr is None or connection.indices is None:
        target = np.argsort(delay, axis=1)
        return (target + np.arange(connection.n_pre)[:, None] * connection.n_post).reshape(-1), target.reshape(-1)
    order, sizes = np.empty(delay.size, np.int64), row_sizes(connection)
    # rows of one length are sorted together, which is many times as fast as one sort of all synapses
    for size in np.unique(sizes):
        places = connection.indptr[:-1][sizes == size][:, None] + np.arange(size)
        order[places] = np.take_along_axis(places, np.argsort(delay[places], axis=1), axis=1)
    return order, connection.indices[order]
