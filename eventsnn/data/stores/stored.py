"""What spikes that are not held as spikes have in common: they become a SpikeBatch where they are indexed."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from ...aliases import Array, Floats, Integers
from ...spikes.batch import SpikeBatch, SpikeTrain, chosen_samples

SAMPLES_AT_ONCE = 32
Chosen: TypeAlias = slice | Sequence[int] | Array
"""Which samples: a slice, ints or a mask."""
SampleArrays: TypeAlias = tuple[Floats, NDArray[np.int32], Floats | None]
"""(times, units, counts or None) of one sample."""
SamplesArrays: TypeAlias = tuple[Floats, NDArray[np.int32], Floats | None, Integers]
"""(times, units, counts or None, offsets) of samples, one behind the other."""


class StoredSpikes:
    """Base class of PackedSpikes and Frames: ``stored[indices]`` is a SpikeBatch, ``stored[k]`` a SpikeTrain.

    Subclasses have ``n_samples``, ``n_spikes``, ``select``, ``merge_channels`` and ``_unpacked(chosen)``: times, units,
    counts or None, and offsets of the samples ``chosen``, one behind the other.
    """

    if TYPE_CHECKING:

        @property
        def n_samples(self) -> int: ...
        @property
        def n_spikes(self) -> int: ...
        def select(self, indices: Chosen) -> "StoredSpikes": ...
        def merge_channels(self, factor: int) -> "StoredSpikes": ...
        def _unpacked(self, chosen: list[Any] | Integers) -> SamplesArrays: ...

    def __len__(self) -> int:
        return self.n_samples

    @overload
    def __getitem__(self, index: int | np.integer) -> SpikeTrain: ...
    @overload
    def __getitem__(self, index: Chosen) -> SpikeBatch: ...
    def __getitem__(self, index: int | np.integer | Chosen) -> SpikeTrain | SpikeBatch:
        """One sample as a SpikeTrain for an int; the chosen samples as a SpikeBatch for a slice or an index array."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"sample {index} of {len(self)}")
            return SpikeTrain(*self.arrays(index))
        times, units, counts, offsets = self._unpacked(chosen_samples(index, len(self)))
        return SpikeBatch(times, units, offsets, counts)

    def arrays(self, index: int | np.integer) -> SampleArrays:
        """Return ``(times, units, counts or None)`` of one sample."""
        return self._unpacked([index])[:3]

    def blocks(self) -> Iterator[SpikeBatch]:
        """Yield all samples as SpikeBatches, a few at a time."""
        for first in range(0, max(len(self), 1), SAMPLES_AT_ONCE):
            yield self[first : first + SAMPLES_AT_ONCE]
