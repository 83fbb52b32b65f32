"""Augmentation of spikes as spikes: shifted channels, blends of one class, changed times, masks, dropped spikes, gain.

Nothing is binned. Every draw is a function of (seed, epoch, sample), so a sample's augmentation does not depend on the
batch it is in, and a resumed run sees the same spikes. Channel shift and blend: Nowotny, Turner and Knight,
"Loss shaping enhances exact gradient learning with EventProp", and Mészáros, Knight and Nowotny (arXiv 2501.07331).
Masks: Park et al., "SpecAugment" (Interspeech 2019).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..aliases import Array, Floats, Milliseconds
from ..arrays import is_number
from ..checks import answers_keywords
from ..errors import InvalidInput
from ..random import stream
from ..spikes.batch import SpikeBatch
from .dataset import Dataset
from .stores.stored import SampleArrays


def _pick(spikes: SampleArrays, chosen: Array) -> SampleArrays:
    times, units, counts = spikes
    return times[chosen], units[chosen], None if counts is None else counts[chosen]


def _in_range(spikes: SampleArrays, n_units: int) -> SampleArrays:
    times, units, _ = spikes
    return _pick(spikes, (times >= 0) & (units >= 0) & (units < n_units))


def _is_ordered(times: Floats, units: NDArray[np.int32]) -> np.bool:
    step = np.diff(times)
    return ((step > 0) | ((step == 0) & (np.diff(units) >= 0))).all()


def _ordered(spikes: SampleArrays) -> SampleArrays:
    """Sort by (time, unit); quick for spikes that are sorted, or two sorted runs, already."""
    times, units, counts = spikes
    if _is_ordered(times, units):
        return spikes
    order = np.argsort(times, kind="stable")  # merges sorted runs in one pass; units of equal times may be out of order
    if not _is_ordered(times[order], units[order]):
        order = np.lexsort((units, times) if counts is None else (counts, units, times))
    return _pick(spikes, order)


def _centre(spikes: SampleArrays) -> tuple[np.float64, np.float64]:
    times, units, counts = spikes
    return np.average(times, weights=counts), np.average(units, weights=counts)


def blend(
    first: SampleArrays, second: SampleArrays, generator: np.random.Generator, n_units: int, keep: float = 0.5
) -> SampleArrays:
    """Return a blend of two samples, each ``(times, units, counts or None)``, sorted by (time, unit).

    Both are moved so that their mean channel (to the nearest whole channel) and mean time fall on the middle between
    the two; then each spike is kept with probability ``keep``. Spikes moved out of the channels 0 to n_units - 1 or
    before 0 ms are dropped: with ``keep`` 0.5 a blend has about as many as the two have on average. A blend with an
    empty sample is the other sample, thinned.
    """
    parts = [part for part in (first, second) if part[0].size]
    if len(parts) == 2:
        centres = np.array([_centre(part) for part in parts])
        moves = centres.mean(axis=0) - centres
        parts = [
            (times + time, units + np.int32(np.rint(channel)), counts)
            for (times, units, counts), (time, channel) in zip(parts, moves, strict=True)
        ]
    parts = [_in_range(_pick(part, generator.random(part[0].size) < keep), n_units) for part in parts]
    if not parts:
        return first
    times, units = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    counted = any(part[2] is not None for part in parts)
    ones = [np.ones(part[0].size) if part[2] is None else part[2] for part in parts]
    return _ordered((times, units, np.concatenate(ones) if counted else None))


def shift_channels(spikes: SampleArrays, generator: np.random.Generator, largest: int, n_units: int) -> SampleArrays:
    """Move all spikes by one whole number of channels, uniform from -largest to largest; what leaves is dropped."""
    shift = generator.integers(-largest, largest + 1)
    times, units, counts = spikes
    return _in_range((times, units + np.int32(shift), counts), n_units)


def scale_time(spikes: SampleArrays, generator: np.random.Generator, spread: float) -> SampleArrays:
    """Multiply all times by one factor, uniform from 1 - spread to 1 + spread."""
    times, units, counts = spikes
    return _ordered((times * generator.uniform(1.0 - spread, 1.0 + spread), units, counts))


def jitter_time(spikes: SampleArrays, generator: np.random.Generator, deviation: Milliseconds) -> SampleArrays:
    """Add to each time a normal deviation (standard deviation in ms), reflected at 0 ms."""
    times, units, counts = spikes
    return _ordered((np.abs(times + deviation * generator.standard_normal(times.size)), units, counts))


def mask_channels(spikes: SampleArrays, generator: np.random.Generator, widest: int, n_units: int) -> SampleArrays:
    """Drop the spikes of a band of neighbouring channels: its width is uniform from 0 to ``widest``, its place too."""
    width = generator.integers(0, min(widest, n_units) + 1)
    first = generator.integers(0, n_units - width + 1)
    units = spikes[1]
    return _pick(spikes, (units < first) | (units >= first + width))


def mask_time(spikes: SampleArrays, generator: np.random.Generator, longest: Milliseconds) -> SampleArrays:
    """Drop the spikes of one stretch of time: its length (ms) is uniform from 0 to ``longest``.

    Its middle lies anywhere between the first and the last spike.
    """
    times = spikes[0]
    length, place = generator.uniform(0.0, longest), generator.random()
    if times.size == 0:
        return spikes
    middle = times[0] + place * (times[-1] - times[0])
    return _pick(spikes, np.abs(times - middle) >= length / 2)


def change_gain(spikes: SampleArrays, generator: np.random.Generator, spread: float) -> SampleArrays:
    """Multiply the counts of all spikes by one factor from 1/(1 + spread) to 1 + spread, its logarithm uniform."""
    times, units, counts = spikes
    factor = (1.0 + spread) ** generator.uniform(-1.0, 1.0)
    return times, units, factor * (np.ones(times.size) if counts is None else counts)


def drop_spikes(spikes: SampleArrays, generator: np.random.Generator, probability: float) -> SampleArrays:
    """Drop each spike (with all its count) with the given probability; those that stay count 1/(1 - probability).

    So the expected input stays what it is in evaluation, where nothing is dropped (inverted dropout).
    """
    times, units, counts = _pick(spikes, generator.random(spikes[0].size) >= probability)
    return times, units, (np.ones(times.size) if counts is None else counts) / (1.0 - probability)


@answers_keywords
@dataclass(frozen=True)
class Augmentation:
    """What to do to each sample of a batch; an option at 0 is off and draws nothing.

    ``blend``: probability that a sample is blended with another of its class (0.5: as many blends as originals);
    ``blend_keep``: the probability with which a blend keeps a spike; ``time_scale``: largest relative change of all
    times (below 1); ``channel_shift``: largest shift in channels; ``time_jitter``: standard deviation in ms;
    ``channel_mask`` and ``time_mask``: the widest band of channels and the longest stretch of time (ms) that is
    silenced, one of each; ``spike_drop``: the probability p with which a spike is dropped; the others count 1/(1 - p);
    ``gain``: the counts of all spikes are multiplied by one factor from 1/(1 + gain) to 1 + gain, as louder and softer
    voices are. They are applied in this order, each from its own random stream, so that switching one off leaves the
    draws of the others as they were.
    Raises InvalidInput for values out of these ranges.
    """

    blend: float = 0.0
    blend_keep: float = 0.5
    time_scale: float = 0.0
    channel_shift: int = 0
    time_jitter: Milliseconds = 0.0
    channel_mask: int = 0
    time_mask: Milliseconds = 0.0
    spike_drop: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        below_one = {"time_scale", "spike_drop"}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            limit = 1.0 if name in below_one | {"blend", "blend_keep"} else np.inf
            if not is_number(value) or not 0 <= value <= limit or value == np.inf or (name in below_one and value == 1):
                allowed = f"a number from 0 to {limit:g}{' (excluded)' if name in below_one else ''}"
                raise InvalidInput(name, None, value, allowed)
        for name in ("channel_shift", "channel_mask"):
            if getattr(self, name) != int(getattr(self, name)):
                raise InvalidInput(name, None, getattr(self, name), "a whole number of channels")

    def __call__(self, dataset: Dataset, indices: Iterable[int | np.integer], seed: int, epoch: int) -> SpikeBatch:
        """Return the samples at ``indices`` (n,) of a Dataset, augmented, as a SpikeBatch; labels stay as they were.

        The result is a function of (seed, epoch, index, data set): partners of blends come from the same data set.
        """
        samples = [self._augmented(dataset, int(index), seed, epoch) for index in indices]
        if not samples:
            return dataset.spikes[np.zeros(0, dtype=np.int64)]
        offsets = np.concatenate([[0], np.cumsum([times.size for times, _, _ in samples])]).astype(np.int64)
        times, units = (np.concatenate([sample[place] for sample in samples]) for place in (0, 1))
        counts = None if samples[0][2] is None else np.concatenate([sample[2] for sample in samples])
        return SpikeBatch(times, units, offsets, counts)

    def _augmented(self, dataset: Dataset, index: int, seed: int, epoch: int) -> SampleArrays:
        spikes = _sample(dataset, index)

        def draws(purpose: str) -> np.random.Generator:
            return stream(seed, f"augment.{purpose}", epoch, index)

        if self.blend:
            generator = draws("blend")
            if generator.random() < self.blend:
                spikes = self._blended(dataset, index, spikes, generator)
        if self.time_scale:
            spikes = scale_time(spikes, draws("time_scale"), self.time_scale)
        if self.channel_shift:
            spikes = shift_channels(spikes, draws("channel_shift"), int(self.channel_shift), dataset.n_units)
        if self.time_jitter:
            spikes = jitter_time(spikes, draws("time_jitter"), self.time_jitter)
        if self.channel_mask:
            spikes = mask_channels(spikes, draws("channel_mask"), int(self.channel_mask), dataset.n_units)
        if self.time_mask:
            spikes = mask_time(spikes, draws("time_mask"), self.time_mask)
        if self.spike_drop:
            spikes = drop_spikes(spikes, draws("spike_drop"), self.spike_drop)
        if self.gain:
            spikes = change_gain(spikes, draws("gain"), self.gain)
        return spikes

    def _blended(
        self, dataset: Dataset, index: int, spikes: SampleArrays, generator: np.random.Generator
    ) -> SampleArrays:
        others = np.flatnonzero(dataset.labels == dataset.labels[index])
        others = others[others != index]
        if others.size == 0:
            return spikes
        partner = _sample(dataset, int(others[generator.integers(others.size)]))
        return blend(spikes, partner, generator, dataset.n_units, self.blend_keep)


def _sample(dataset: Dataset, index: int) -> SampleArrays:
    """The spikes of one sample as they lie in the data set, without the checks that made it one."""
    if not 0 <= index < len(dataset):
        raise InvalidInput("indices", None, index, f"sample indices from 0 to {len(dataset) - 1}")
    return dataset.spikes.arrays(index)
