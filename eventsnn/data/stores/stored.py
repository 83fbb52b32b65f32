"""What spikes that are not held as spikes have in common: they become a SpikeBatch where they are indexed."""

import numpy as np

from ...spikes.batch import SpikeBatch, SpikeTrain, chosen_samples

SAMPLES_AT_ONCE = 32


class StoredSpikes:
    """Base class of PackedSpikes and Frames: ``stored[indices]`` is a SpikeBatch, ``stored[k]`` a SpikeTrain.

    Subclasses have ``n_samples``, ``n_spikes``, ``select``, ``merge_channels`` and ``_unpacked(chosen)``: times, units,
    counts or None, and offsets of the samples ``chosen``, one behind the other.
    """

    def __len__(self):
        return self.n_samples

    def __getitem__(self, index):
        """One sample as a SpikeTrain for an int; the chosen samples as a SpikeBatch for a slice or an index array."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"sample {index} of {len(self)}")
            return SpikeTrain(*self.arrays(index))
        times, units, counts, offsets = self._unpacked(chosen_samples(index, len(self)))
        return SpikeBatch(times, units, offsets, counts)

    def arrays(self, index):
        """Return ``(times, units, counts or None)`` of one sample."""
        return self._unpacked([index])[:3]

    def blocks(self):
        """Yield all samples as SpikeBatches, a few at a time."""
        for first in range(0, max(len(self), 1), SAMPLES_AT_ONCE):
            yield self[first : first + SAMPLES_AT_ONCE]
