"""Who computes what of a batch, and in which order gradients are added: fixed, whoever computes.

A batch is cut into shards, and the gradients of the shards are added along a binary tree: a node stands for the shards
first..last and is the sum of its two halves. Both depend on the numbers of samples and shards alone, never on the
number of threads or ranks, and so does every rounding. A rank adds what it can on its own, the nodes whose shards are
all its own; a node that several ranks share is added on the rank of its first shard.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar, cast

import numpy as np

from ..aliases import Array, Integers
from ..errors import EventStorm
from ..spikes.batch import SpikeBatch
from ..spikes.cotangents import Cotangents
from ..spikes.recording import Counters, Readout, Recording
from .communicator import Alone, Ranks

N_SHARDS = 16
ALONE = Alone()

Arrays = TypeVar("Arrays", bound=tuple[Array, ...])
Simulated = TypeVar("Simulated")
Gather: TypeAlias = Callable[[Array], Array]
Node: TypeAlias = tuple[int, int]


def shards(n_samples: int, n_shards: int = N_SHARDS) -> list[tuple[int, int]]:
    """Return the (first, last) sample ranges of the shards of a batch, in order; none is empty."""
    n = min(n_shards, n_samples)
    edges = [n_samples * k // n for k in range(n + 1)] if n else []
    return list(zip(edges[:-1], edges[1:], strict=True))


@dataclass(frozen=True)
class Share:
    """What one rank computes of a batch of ``n_samples``, cut into ``n_shards`` shards (at most one per sample)."""

    n_samples: int
    communicator: Alone = ALONE
    n_shards: int = N_SHARDS

    @property
    def _numbers(self) -> list[tuple[int, int]]:
        """The (first, last) numbers of each rank's shards; a rank has none where there are more ranks than shards."""
        n, size = min(self.n_shards, self.n_samples), self.communicator.size
        return [(n * rank // size, n * (rank + 1) // size) for rank in range(size)]

    @property
    def samples(self) -> slice:
        """The slice of the batch's samples that this rank computes."""
        first, last = self._numbers[self.communicator.rank]
        own = shards(self.n_samples, self.n_shards)[first:last]
        return slice(own[0][0], own[-1][1]) if own else slice(0, 0)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The sample ranges of this rank's shards, counted from its first sample."""
        first, last = self._numbers[self.communicator.rank]
        own = shards(self.n_samples, self.n_shards)[first:last]
        return [(start - own[0][0], stop - own[0][0]) for start, stop in own]

    def add(self, parts: Iterator[Arrays], take: Callable[[], Arrays], give: Callable[[Arrays], object]) -> Arrays:
        """Return the sum of the arrays of all shards of all ranks, on every rank; the batch must not be empty.

        ``parts``: an iterator of tuples of contiguous arrays, one for each of this rank's shards in order; they are
        added to in place. ``take()`` returns such a tuple to receive into, ``give(arrays)`` has one back.
        """
        tree = _Tree(self.communicator, self._numbers, take, give)
        root = (0, min(self.n_shards, self.n_samples))
        tree.add_own(root, parts)
        return tree.add_shared(root)

    def together(self, simulate: Callable[[], Simulated]) -> Simulated:
        """Return ``simulate()``; an exception on any rank is raised on all; an EventStorm names the batch's sample."""

        def simulate_own() -> Simulated:
            try:
                return simulate()
            except EventStorm as storm:
                raise storm.of_sample(self.samples.start + storm.sample) from None

        return self.communicator.together(simulate_own)

    def whole(self, recording: Recording) -> Recording:
        """Return the Recording of the whole batch from that of this rank's samples; every rank has to ask."""
        return recording if self.communicator.size == 1 else _WholeRecording(recording, self)


class _Tree(Generic[Arrays]):
    """The sums that one rank holds on the way to the root of a tree; ``numbers``: see Share."""

    def __init__(
        self,
        communicator: Alone,
        numbers: list[tuple[int, int]],
        take: Callable[[], Arrays],
        give: Callable[[Arrays], object],
    ) -> None:
        # where there is but one rank, nothing is asked for that Ranks alone can do
        self._communicator, self._take, self._give = cast(Ranks, communicator), take, give
        self._own = numbers[communicator.rank]
        self._owner = [rank for rank, (first, last) in enumerate(numbers) for _ in range(first, last)]
        self._sums: dict[Node, Arrays] = {}

    def add_own(self, node: Node, parts: Iterator[Arrays]) -> None:
        """Add this rank's shards up to the largest nodes that are all its own; as few sums as can be are alive."""
        (first, last), (own_first, own_last) = node, self._own
        if last <= own_first or own_last <= first:
            return
        if last - first == 1:
            self._sums[node] = next(parts)
            return
        left, right = _halves(node)
        self.add_own(left, parts)
        self.add_own(right, parts)
        if left in self._sums and right in self._sums:
            self._add(node, left, self._sums.pop(right))

    def add_shared(self, root: Node) -> Arrays:
        """Add the nodes that ranks share, and return the root's sum on every rank."""
        self._join(root)
        source = self._owner[0]
        sums = self._sums.pop(root) if self._communicator.rank == source else self._take()
        if self._communicator.size > 1:
            self._communicator.broadcast(_filled(sums), source)
        return sums

    def _join(self, node: Node) -> None:
        """Each rank meets its messages in the order of the tree, so that no two wait for each other."""
        rank, (first, last) = self._communicator.rank, node
        if node in self._sums or rank not in self._owner[first:last]:
            return
        left, right = _halves(node)
        self._join(left)
        self._join(right)
        adder, sender = self._owner[left[0]], self._owner[right[0]]
        if rank == adder:
            part = self._sums.pop(right) if sender == adder else self._received(sender)
            self._add(node, left, part)
        elif rank == sender:
            part = self._sums.pop(right)
            self._communicator.send(_filled(part), adder)
            self._give(part)

    def _received(self, sender: int) -> Arrays:
        part = self._take()
        self._communicator.receive(_filled(part), sender)
        return part

    def _add(self, node: Node, left: Node, part: Arrays) -> None:
        total = self._sums[node] = self._sums.pop(left)
        for array, more in zip(total, part, strict=True):
            array += more
        self._give(part)


def _halves(node: Node) -> tuple[Node, Node]:
    first, last = node
    middle = (first + last) // 2
    return (first, middle), (middle, last)


def _filled(arrays: Iterable[Array]) -> list[Array]:
    return [array for array in arrays if array.size]


class _WholeRecording(Recording):
    """The Recording of a batch whose samples several ranks have simulated: the bytes that one process would have.

    What is read is gathered when it is first read, and only that: a loss on voltages moves no spikes. So every rank
    must read the same in the same order, as losses do, which see the same on every rank.
    """

    def __init__(self, own: Recording, share: Share) -> None:
        self._recording, self._share = own, share
        self.duration, self.slices, self.outputs, self._order = own.duration, own.slices, own.outputs, {}

    def __getattr__(self, name: str) -> Any:
        if name not in _GATHER:
            raise AttributeError(name)
        value = _GATHER[name](getattr(self._recording, name), self._share.communicator.gather_rows)
        setattr(self, name, value)
        return value

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self._share.n_samples

    def spike_totals(self) -> Integers:
        """Return the number of spikes of each neuron in all samples: whole numbers, added without moving spikes."""
        return self._share.communicator.add(self._recording.spike_totals())

    def spike_counts(self, population: str) -> Integers:
        """Return the number of spikes of each neuron, int64 of shape (n_samples, n)."""
        return self._share.communicator.gather_rows(self._recording.spike_counts(population))

    def own(self, cotangents: Cotangents) -> Cotangents:
        """Return the part of a loss's cotangents that belongs to the samples simulated on this rank."""
        own, times = self._share.samples, cotangents.spike_times
        parts = {
            kind: {name: values[own] for name, values in getattr(cotangents, kind).items()}
            for kind in ("integral", "maximum", "counts")
        }
        if times is not None:
            times = times[self.offsets[own.start] : self.offsets[own.stop]]
        return Cotangents(**parts, spike_times=times)


def _offsets(offsets: Integers, gather: Gather) -> Integers:
    return np.concatenate([[0], np.cumsum(gather(np.diff(offsets)))])


def _inputs(batches: Mapping[str, SpikeBatch], gather: Gather) -> dict[str, SpikeBatch]:
    def joined(batch: SpikeBatch) -> SpikeBatch:
        counts = None if batch.counts is None else gather(batch.counts)
        return SpikeBatch(gather(batch.times), gather(batch.units), _offsets(batch.offsets, gather), counts)

    return {name: joined(batch) for name, batch in batches.items()}


def _readouts(readouts: Mapping[str, Readout], gather: Gather) -> dict[str, Readout]:
    def joined(readout: Readout) -> Readout:
        fields = {name: value for name, value in vars(readout).items() if isinstance(value, np.ndarray)}
        gathered: dict[str, Any] = {name: gather(rows) for name, rows in fields.items()}
        return replace(readout, **gathered)

    return {name: joined(readout) for name, readout in readouts.items()}


def _rows(rows: Array, gather: Gather) -> Array:
    return gather(rows)


def _counters(counters: Counters, gather: Gather) -> Counters:
    return Counters(*map(gather, vars(counters).values()))


_GATHER: dict[str, Callable[[Any, Gather], Any]] = {
    "times": _rows,
    "neurons": _rows,
    "slopes": _rows,
    "offsets": _offsets,
    "inputs": _inputs,
    "readouts": _readouts,
    "counters": _counters,
}
