"""The spikes of a whole data set in a third of the memory, exactly."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...aliases import Array, Integers, Milliseconds
from ...errors import InvalidInput
from ...spikes.batch import check_factor, chosen_samples
from .stored import Chosen, SamplesArrays, StoredSpikes

SPIKES_AT_ONCE = 2**20


class PackedSpikes(StoredSpikes):
    """The spikes of many samples at four bytes each, or three, unpacked to a SpikeBatch where they are used.

    SHD's files hold times as float16 and channels as uint16. The bits of a float16 >= 0 grow with its value, so they
    are sorted as whole numbers, and the float64 time follows from them exactly. Up to 256 channels take one byte.
    ``packed[indices]`` is the SpikeBatch of those samples, ``packed[k]`` the SpikeTrain of one.

    Parameters: ``halves`` (n_spikes,) uint16, the bits of the times; ``units`` (n_spikes,) uint16 or uint8, both sorted
    by (time, unit) within each sample; ``lengths`` (n_samples,) spikes of each sample; ``milliseconds_per_unit``: the
    time of a float16 of 1.
    """

    def __init__(
        self,
        halves: npt.NDArray[np.uint16],
        units: npt.NDArray[np.uint16] | npt.NDArray[np.uint8],
        lengths: npt.ArrayLike,
        milliseconds_per_unit: Milliseconds,
    ) -> None:
        lengths = np.asarray(lengths, np.int64)
        if lengths.ndim != 1 or (bad := np.flatnonzero((lengths < 0) | (lengths > halves.size))).size:
            index = int(bad[0]) if lengths.ndim == 1 else None
            value = int(lengths[index]) if lengths.ndim == 1 else lengths.shape
            raise InvalidInput("lengths", index, value, f"one number per sample, from 0 to {halves.size} spikes")
        if not lengths.sum() == halves.size == units.size:
            allowed = f"lengths that add up to the number of times and of units, {halves.size} and {units.size}"
            raise InvalidInput("lengths", None, int(lengths.sum()), allowed)
        self._halves, self._units, self._merged = halves, units, False
        self._milliseconds_per_unit = float(milliseconds_per_unit)
        self._starts, self.lengths = np.concatenate([[0], np.cumsum(lengths)])[:-1], lengths

    @staticmethod
    def ordered(
        halves: npt.NDArray[np.float16], units: npt.NDArray[np.uint16]
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
        """Return (bits of the times, units), both (n,) uint16 and sorted, of ``halves`` float16 >= 0 in any order."""
        keys = halves.view(np.uint16).astype(np.uint32) << 16 | units
        keys.sort()
        return (keys >> 16).astype(np.uint16), keys.astype(np.uint16)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.lengths.size

    @property
    def n_spikes(self) -> int:
        """Number of spikes; those that a merge makes one are counted apart."""
        return int(self.lengths.sum())

    def _unpacked(self, chosen: list[Any] | Integers) -> SamplesArrays:
        """(times, units, counts or None, offsets) of the samples ``chosen``, one behind the other."""
        starts, lengths = self._starts[chosen], self.lengths[chosen]
        spans = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        halves, units = (
            np.concatenate([array[:0], *(array[span] for span in spans)]) for array in (self._halves, self._units)
        )
        offsets, counts = np.concatenate([[0], np.cumsum(lengths)]), None
        if self._merged:
            new = np.ones(halves.size, bool)
            new[1:] = (halves[1:] != halves[:-1]) | (units[1:] != units[:-1])
            new[offsets[:-1][lengths > 0]] = True
            first = np.flatnonzero(new)
            counts = np.diff(np.append(first, halves.size)).astype(np.float64)
            halves, units, offsets = halves[first], units[first], np.searchsorted(first, offsets)
        times = halves.view(np.float16).astype(np.float64) * self._milliseconds_per_unit
        return times, units.astype(np.int32), counts, offsets

    def select(self, indices: Chosen) -> "PackedSpikes":
        """Return the samples at ``indices`` (ints, a mask or a slice), in that order; the spikes are shared."""
        chosen, selected = chosen_samples(indices, len(self)), object.__new__(PackedSpikes)
        selected.__dict__.update(vars(self), _starts=self._starts[chosen], lengths=self.lengths[chosen])
        return selected

    def merge_channels(self, factor: int) -> "PackedSpikes":
        """Return the spikes with ``factor`` neighbouring channels made one; equal spikes become counts."""
        factor = check_factor(factor)
        fits = int(self._units.max(initial=0)) // factor <= np.iinfo(np.uint8).max
        units: Array = np.empty(self._units.size, np.uint8 if fits else np.uint16)
        for first in range(0, units.size, SPIKES_AT_ONCE):
            # unit // factor never decreases with unit: the order stays
            units[first : first + SPIKES_AT_ONCE] = self._units[first : first + SPIKES_AT_ONCE] // np.int64(factor)
        merged = self.select(slice(None))
        merged._units, merged._merged = units, True
        return merged
