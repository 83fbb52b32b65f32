"""The spikes of a whole data set in a third of the memory, exactly."""

import numpy as np

from ..errors import InvalidInput
from ..spikes import SpikeBatch, SpikeTrain

SAMPLES_AT_ONCE = 32


class PackedSpikes:
    """The spikes of many samples at four bytes each, unpacked to a SpikeBatch where they are used.

    SHD's files hold times as float16 and channels as uint16. The bits of a float16 >= 0 grow with its value, so that
    both make one 32-bit key whose order is that of (time, unit), and from which the float64 time follows exactly.
    ``packed[indices]`` is the SpikeBatch of those samples, ``packed[k]`` the SpikeTrain of one.

    Parameters: ``keys`` (n_spikes,) uint32, sorted within each sample; ``lengths`` (n_samples,) spikes of each sample;
    ``milliseconds_per_unit``: the time of a float16 of 1.
    """

    def __init__(self, keys, lengths, milliseconds_per_unit):
        lengths = np.asarray(lengths, np.int64)
        if lengths.sum() != keys.size:
            raise InvalidInput("lengths", None, int(lengths.sum()), f"lengths that add up to {keys.size}")
        self._keys, self._milliseconds_per_unit, self._merge = keys, float(milliseconds_per_unit), None
        self._starts, self.lengths = np.concatenate([[0], np.cumsum(lengths)])[:-1], lengths

    @staticmethod
    def key(halves, units):
        """Return the sorted keys of one sample: ``halves`` (n,) float16 >= 0, ``units`` (n,) uint16, in any order."""
        keys = halves.view(np.uint16).astype(np.uint32) << 16 | units
        keys.sort()
        return keys

    @property
    def n_samples(self):
        """Number of samples."""
        return self.lengths.size

    def __len__(self):
        return self.n_samples

    def __getitem__(self, index):
        """One sample as a SpikeTrain for an int; the chosen samples as a SpikeBatch for a slice or an index array."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"sample {index} of {len(self)}")
            return SpikeTrain(*self.arrays(index))
        chosen = np.arange(len(self))[index]
        times, units, counts, offsets = self._unpacked(chosen)
        return SpikeBatch(times, units, offsets, counts)

    def arrays(self, index):
        """Return ``(times, units, counts or None)`` of one sample."""
        return self._unpacked([index])[:3]

    def _unpacked(self, chosen):
        """(times, units, counts or None, offsets) of the samples ``chosen``, one behind the other."""
        starts, lengths = self._starts[chosen], self.lengths[chosen]
        parts = [self._keys[start : start + length] for start, length in zip(starts, lengths, strict=True)]
        keys = np.concatenate([np.zeros(0, np.uint32), *parts])
        offsets, counts = np.concatenate([[0], np.cumsum(lengths)]), None
        if self._merge is not None:
            # a time keeps its place in the upper half, and unit // merge never decreases with unit
            keys = keys - (keys & 0xFFFF) + (keys & 0xFFFF) // np.uint32(self._merge)
            new = np.ones(keys.size, bool)
            new[1:] = keys[1:] != keys[:-1]
            new[offsets[:-1][lengths > 0]] = True
            first = np.flatnonzero(new)
            counts = np.diff(np.append(first, keys.size)).astype(np.float64)
            keys, offsets = keys[first], np.searchsorted(first, offsets)
        times = (keys >> 16).astype(np.uint16).view(np.float16).astype(np.float64) * self._milliseconds_per_unit
        return times, (keys & 0xFFFF).astype(np.int32), counts, offsets

    def select(self, indices):
        """Return the samples at ``indices`` (ints, a mask or a slice), in that order; the keys are shared."""
        selected = object.__new__(PackedSpikes)
        selected.__dict__.update(vars(self), _starts=self._starts[indices], lengths=self.lengths[indices])
        return selected

    def merge_channels(self, factor):
        """Return the spikes with ``factor`` neighbouring channels made one; equal spikes become counts."""
        merged = self.select(slice(None))
        merged._merge = (self._merge or 1) * factor
        return merged

    def blocks(self):
        """Yield all samples as SpikeBatches, a few at a time."""
        for first in range(0, max(len(self), 1), SAMPLES_AT_ONCE):
            yield self[first : first + SAMPLES_AT_ONCE]
