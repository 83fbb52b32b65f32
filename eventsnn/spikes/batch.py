"""Spikes as ragged arrays of real-valued times: SpikeTrain (one sample), SpikeBatch (many), Recording (a simulation's).

Times are float64 milliseconds, units are int32 indices of an input population. Nothing is padded and nothing is binned.
The one order everywhere is (time, unit): results cannot depend on the order in which spikes were given.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Indices, Integers
from ..arrays import LARGEST_UNIT, exact_times, in_milliseconds, plain_array
from ..checks import answers_keywords
from ..errors import InvalidInput
from .structured import EventLayout, listed, refuse_former_name

# Spikes merged in one: with weights as large as may be they are no sum that overflows.
LARGEST_COUNT = 1e30
# What is asked for again and again by who has one train for each neuron.
ONE_TRAIN_PER_NEURON = (
    "Trains of the neurons, one for each, are one sample as (np.concatenate(trains), "
    "np.repeat(np.arange(len(trains)), [len(train) for train in trains])), "
    "each of them numbers in ms (of neo: train.rescale('ms').magnitude)."
)

Chosen: TypeAlias = slice | Sequence[int] | Array
"""Which samples: a slice, a mask or their numbers."""


def _first(condition: Array) -> int | None:
    """Index of the first true element, or None."""
    hits = np.flatnonzero(condition)
    return int(hits[0]) if hits.size else None


def _as_vector(values: object, name: str, kind: str) -> Array:
    """Return `values` as a one-dimensional array whose dtype kind is among the letters `kind`."""
    array = plain_array(values, name)
    if array.size == 0 and array.ndim == 1:
        return array.astype(np.float64)
    if array.dtype.kind not in kind:
        raise InvalidInput(name, None, array.dtype, f"a numeric dtype of kind {'/'.join(kind)}")
    if array.ndim != 1:
        raise InvalidInput(name, None, array.shape, "a one-dimensional array", "Give each sample's spikes as one list.")
    return array


def _check_times(given: object, name: str) -> Floats:
    times = exact_times(_as_vector(in_milliseconds(given, name), name, "fiu"), name)
    if (bad := _first(~np.isfinite(times))) is not None:
        raise InvalidInput(name, bad, times[bad], "finite times in ms", "Remove the spike or repair the file.")
    if (bad := _first(times < 0)) is not None:
        raise InvalidInput(name, bad, times[bad], "times >= 0 ms", "Shift the sample so that it starts at 0.")
    return times + 0.0  # turns -0.0 into 0.0, so that equal times have equal bytes


def _check_units(given: object, n_spikes: int, name: str) -> Indices:
    try:
        units = _as_vector(given, name, "iu")
    except InvalidInput as error:
        remedy = f"{error.remedy} {ONE_TRAIN_PER_NEURON}".strip()
        raise InvalidInput(error.array, error.index, error.value, error.allowed, remedy) from None
    if units.size != n_spikes:
        allowed = f"as many entries as there are times ({n_spikes})"
        raise InvalidInput(name, None, units.size, allowed, ONE_TRAIN_PER_NEURON)
    if (bad := _first((units < 0) | (units > LARGEST_UNIT))) is not None:
        raise InvalidInput(name, bad, units[bad], f"unit indices from 0 to {LARGEST_UNIT}")
    return units.astype(np.int32)


def _check_counts(given: object, n_spikes: int, name: str) -> Floats | None:
    if given is None:
        return None
    counts = _as_vector(given, name, "fiu").astype(np.float64)
    if counts.size != n_spikes:
        raise InvalidInput(name, None, counts.size, f"as many entries as there are times ({n_spikes})")
    if (bad := _first(~((counts > 0) & (counts <= LARGEST_COUNT)))) is not None:
        allowed = f"counts above 0, to {LARGEST_COUNT:g}"
        raise InvalidInput(name, bad, counts[bad], allowed, "Leave a spike out instead of counting it 0.")
    return counts


def _are_sorted(keys: tuple[Array, ...]) -> bool:
    """Return whether arrays are in the order that np.lexsort would put them in: the last key counts most."""
    ties = np.ones(max(keys[0].size - 1, 0), bool)
    for key in reversed(keys):
        if np.any(ties & (key[1:] < key[:-1])):
            return False
        ties &= key[1:] == key[:-1]
    return True


@answers_keywords
@dataclass(frozen=True)
class SpikeTrain:
    """The spikes of one sample: ``times`` (n,) float64 ms, ``units`` (n,) int32, optional ``counts`` (n,) float64.

    Spikes are sorted by (time, unit) on construction. A count c stands for c merged spikes. Times that carry a unit of
    time (timedelta64, neo, quantities, pint, astropy) are converted to ms. Raises InvalidInput for NaN, infinite or
    negative times, negative units, counts <= 0, arrays of unequal length, masked entries and any other unit.
    """

    times: Floats
    units: Indices
    counts: Floats | None = None

    if TYPE_CHECKING:  # the fields are what becomes of the arguments

        def __init__(self, times: npt.ArrayLike, units: npt.ArrayLike, counts: npt.ArrayLike | None = None) -> None: ...

    def __post_init__(self) -> None:
        times = _check_times(self.times, "times")
        units = _check_units(self.units, times.size, "units")
        counts = _check_counts(self.counts, times.size, "counts")
        # counts are the last key: spikes that share time and unit must not keep the order they came in
        keys = (units, times) if counts is None else (counts, units, times)
        order = np.arange(times.size) if _are_sorted(keys) else np.lexsort(keys)
        object.__setattr__(self, "times", times[order])
        object.__setattr__(self, "units", units[order])
        object.__setattr__(self, "counts", None if counts is None else counts[order])

    def __len__(self) -> int:
        return self.times.size

    def merged(self) -> "SpikeTrain":
        """Return the train with each repeated (time, unit) pair as one spike that carries the summed count."""
        if len(self) == 0:
            return SpikeTrain(self.times, self.units, np.ones(0))
        new = np.r_[True, (np.diff(self.times) != 0) | (np.diff(self.units) != 0)]
        counts = np.ones(len(self)) if self.counts is None else self.counts
        return SpikeTrain(self.times[new], self.units[new], np.add.reduceat(counts, np.flatnonzero(new)))


def check_factor(factor: object) -> int:
    """Return how many neighbouring channels are to be made one; raises InvalidInput for what is no int >= 1."""
    if not isinstance(factor, (int, np.integer)) or isinstance(factor, bool) or not 1 <= factor <= LARGEST_UNIT:
        raise InvalidInput("factor", None, factor, f"an int >= 1, and at most {LARGEST_UNIT}")
    return int(factor)


def chosen_samples(index: Chosen, n_samples: int) -> Integers:
    """The places (ints >= 0) that a slice, a mask or an index array means; one with masked entries is refused."""
    return np.arange(n_samples)[plain_array(index, "index") if isinstance(index, np.ma.MaskedArray) else index]


def _train(place: str, *sample: Any) -> SpikeTrain:
    """The SpikeTrain of one sample, whose place the errors name."""
    try:
        return SpikeTrain(*sample)
    except InvalidInput as error:
        raise InvalidInput(f"{place}.{error.array}", error.index, error.value, error.allowed, error.remedy) from None


@answers_keywords
@dataclass(frozen=True)
class SpikeBatch:
    """The spikes of many samples, one behind the other.

    ``times`` (n_spikes,) float64 ms, ``units`` (n_spikes,) int32, ``offsets`` (n_samples + 1,) int64: sample s owns
    the spikes ``offsets[s]:offsets[s + 1]``; ``counts`` (n_spikes,) float64 or None. The constructor takes arrays
    that are already sorted by (time, unit) within each sample and refuses others; ``from_lists`` sorts.
    """

    times: Floats
    units: Indices
    offsets: Integers
    counts: Floats | None = None

    if TYPE_CHECKING:  # the fields are what becomes of the arguments

        def __init__(
            self,
            times: npt.ArrayLike,
            units: npt.ArrayLike,
            offsets: npt.ArrayLike,
            counts: npt.ArrayLike | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        times = _check_times(self.times, "times")
        units = _check_units(self.units, times.size, "units")
        counts = _check_counts(self.counts, times.size, "counts")
        offsets = _as_vector(self.offsets, "offsets", "iu").astype(np.int64)
        if offsets.size == 0 or offsets[0] != 0:
            raise InvalidInput("offsets", 0, offsets[0] if offsets.size else None, "0 as the first offset")
        if (bad := _first(np.diff(offsets) < 0)) is not None:
            raise InvalidInput("offsets", bad + 1, offsets[bad + 1], "offsets that never decrease")
        if offsets[-1] != times.size:
            raise InvalidInput("offsets", offsets.size - 1, offsets[-1], f"the number of spikes ({times.size}) at last")
        later = (times[1:] > times[:-1]) | ((times[1:] == times[:-1]) & (units[1:] >= units[:-1]))
        starts = offsets[(offsets > 0) & (offsets < times.size)] - 1
        later[starts] = True
        if (bad := _first(~later)) is not None:
            remedy = "SpikeBatch.from_lists sorts for you."
            raise InvalidInput("times", bad + 1, times[bad + 1], "spikes sorted by (time, unit) in each sample", remedy)
        for name, value in (("times", times), ("units", units), ("offsets", offsets), ("counts", counts)):
            object.__setattr__(self, name, value)

    @classmethod
    @answers_keywords
    def from_lists(cls, samples: Iterable[SpikeTrain | Sequence[npt.ArrayLike]]) -> Self:
        """Build a batch from one entry per sample: ``(times, units)``, ``(times, units, counts)`` or a SpikeTrain.

        Each sample's spikes may come in any order; equal (time, unit) pairs are kept as separate spikes. A sample is
        never one list for each neuron: two lists of whole numbers are its times and its units. Raises InvalidInput
        naming the sample.
        """
        trains = []
        if not np.iterable(samples):
            raise InvalidInput("samples", None, samples, "a list with one entry per sample")
        for index, sample in enumerate(samples):
            if isinstance(sample, SpikeTrain):
                trains.append(sample)
                continue
            if not isinstance(sample, (tuple, list)) or len(sample) not in (2, 3):
                allowed = "a SpikeTrain, (times, units) or (times, units, counts)"
                raise InvalidInput("samples", index, sample, allowed, ONE_TRAIN_PER_NEURON)
            trains.append(_train(f"samples[{index}]", *sample))
        return cls._join(trains)

    @classmethod
    @answers_keywords
    def from_structured(
        cls,
        arrays: Iterable[Array],
        time_unit: str | float | None = None,
        *,
        sensor_size: Sequence[int] | None = None,
        polarity: Literal["keep", "drop", "merge"] | None = None,
        milliseconds_per_unit: object = None,
    ) -> "SpikeBatch":
        """Build a batch from one structured array of events per sample, as tonic, faery, aedat and others make them.

        Fields: ``t`` (or timestamp), ``x``, and perhaps ``y`` and a polarity (``p``, polarity, on, is_increase), whose
        values are bools, 0 and 1, or -1 and +1. The channel of an event depends on the arguments alone:
        pixel = y * width + x, and unit = pixel, or 2 * pixel + p where the polarity is kept.

        Parameters: ``time_unit``: what ``t`` counts, "s", "ms", "us", "ns" or a number of ms (None: us for whole
        numbers; timedelta64 has its own); ``sensor_size``: (width, height) or (width, height, polarities), needed where
        y is not 0; ``polarity``: "keep", "drop" (both on one channel) or "merge" (the same, and spikes of one time and
        channel become one that counts), needed where there is a polarity and sensor_size does not say that there are
        two. Raises InvalidInput for everything else: fields of other names, pixels outside, fractions, real times
        without a unit. ``milliseconds_per_unit``, the name of time_unit before, is refused.
        """
        refuse_former_name(milliseconds_per_unit)
        layout = EventLayout(sensor_size, polarity, time_unit)
        places = {f"arrays[{index}]": array for index, array in enumerate(listed(arrays))}
        batch = cls._join([_train(place, *layout.read(array, place)) for place, array in places.items()])
        return batch.merge_channels(1) if polarity == "merge" else batch

    @classmethod
    def _join(cls, trains: Sequence[SpikeTrain]) -> Self:
        offsets = np.cumsum([0, *(len(train) for train in trains)])
        counts = None
        if any(train.counts is not None for train in trains):
            counts = np.concatenate([np.ones(len(t)) if t.counts is None else t.counts for t in trains])
        times = np.concatenate([np.zeros(0), *(train.times for train in trains)])
        units = np.concatenate([np.zeros(0, np.int32), *(train.units for train in trains)])
        return cls(times, units, offsets, counts)

    @property
    def n_spikes(self) -> int:
        """Number of spikes in all samples."""
        return self.times.size

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.offsets.size - 1

    def __len__(self) -> int:
        return self.n_samples

    @overload
    def __getitem__(self, index: int | np.integer) -> SpikeTrain: ...

    @overload
    def __getitem__(self, index: Chosen) -> "SpikeBatch": ...

    def __getitem__(self, index: int | np.integer | Chosen) -> "SpikeTrain | SpikeBatch":
        """One sample as a SpikeTrain for an int; the chosen samples as a SpikeBatch for a slice or an index array."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"sample {index} of a batch of {len(self)}")
            start, stop = self.offsets[index % len(self)], self.offsets[index % len(self) + 1]
            counts = None if self.counts is None else self.counts[start:stop]
            return SpikeTrain(self.times[start:stop], self.units[start:stop], counts)
        chosen = chosen_samples(index, len(self))
        starts, lengths = self.offsets[chosen], np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        take = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return SpikeBatch(
            self.times[take], self.units[take], offsets, None if self.counts is None else self.counts[take]
        )

    def __iter__(self) -> Iterator[SpikeTrain]:
        return (self[index] for index in range(len(self)))

    def arrays(self, index: int) -> tuple[Floats, Indices, Floats | None]:
        """Return ``(times, units, counts or None)`` of one sample, as they lie here."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        return self.times[span], self.units[span], None if self.counts is None else self.counts[span]

    def select(self, indices: Chosen) -> "SpikeBatch":
        """Return the samples at ``indices`` (ints, a mask or a slice), in that order."""
        return self[indices]

    def blocks(self) -> Iterator["SpikeBatch"]:
        """Yield all samples as SpikeBatches: this one."""
        yield self

    @answers_keywords
    def merge_channels(self, factor: int) -> "SpikeBatch":
        """Return the spikes with ``factor`` (an int >= 1) neighbouring channels made one; equal spikes become counts.

        Raises InvalidInput for other factors.
        """
        units = self.units // np.int32(check_factor(factor))
        new = np.ones(units.size, dtype=bool)
        new[1:] = (self.times[1:] != self.times[:-1]) | (units[1:] != units[:-1])
        new[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        first = np.flatnonzero(new)
        counts = np.ones(units.size) if self.counts is None else self.counts
        summed = np.add.reduceat(counts, first) if first.size else np.zeros(0)
        # unit // factor never decreases with unit, so the order by (time, unit) still holds
        return SpikeBatch(self.times[first], units[first], np.searchsorted(first, self.offsets), summed)
