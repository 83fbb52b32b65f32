"""Real values of channels in steps, held as small numbers and given out as weighted spikes."""

from typing import Any, Never, cast

import numpy as np
import numpy.typing as npt

from ...aliases import Array, Floats, Integers, Milliseconds
from ...arrays import plain_array
from ...checks import positive
from ...errors import InvalidInput
from ...spikes.batch import chosen_samples
from .stored import SAMPLES_AT_ONCE, Chosen, SamplesArrays, StoredSpikes


class Frames(StoredSpikes):
    """What each of n channels is worth in each step, as spikes in the middle of the step, whose counts are the values.

    ``frames[indices]`` is the SpikeBatch of those samples, ``frames[k]`` the SpikeTrain of one; a value of 0 is no
    spike. So pictures and spectrograms go wherever spikes go, for a byte or two per value instead of twenty.

    Parameters: ``values`` (n_samples, n_steps, n) of any real type, finite and >= 0; ``scale`` (> 0): what a value of 1
    counts; ``dt``: ms per step (> 0); ``order`` (n_steps,), the order in which steps are gone through, or None.
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        *,
        dt: Milliseconds,
        scale: float = 1.0,
        order: npt.ArrayLike | None = None,
    ) -> None:
        given: Array = plain_array(values, "values")
        dt, scale = positive(dt, "dt"), positive(scale, "scale")
        if given.ndim != 3 or given.dtype.kind not in "fiu":
            raise InvalidInput("values", None, (given.dtype, given.shape), "real numbers (samples, steps, channels)")
        for first in range(0, len(given), SAMPLES_AT_ONCE):
            part = given[first : first + SAMPLES_AT_ONCE]
            if (bad := np.argwhere(~(np.isfinite(part) & (part >= 0)))).size:
                index = (first + int(bad[0][0]), *map(int, bad[0][1:]))
                raise InvalidInput("values", index, float(given[index]), "finite numbers >= 0")
        steps: Array | None = None if order is None else plain_array(order, "order")
        if steps is not None and not np.array_equal(np.sort(steps), np.arange(given.shape[1])):
            raise InvalidInput("order", None, np.shape(steps), f"each of the {given.shape[1]} steps once")
        self._values, self._scale, self._dt, self._order = given, scale, dt, steps
        self._chosen = np.arange(len(given))

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self._chosen.size

    @property
    def n_spikes(self) -> int:
        """Number of values of the samples, zeros counted: what the memory for a batch of them depends on."""
        return self.n_samples * self._values.shape[1] * self._values.shape[2]

    def _unpacked(self, chosen: list[Any] | Integers) -> SamplesArrays:
        values = self._values[self._chosen[chosen]]
        if self._order is not None:
            values = values[:, self._order]
        sample, step, unit = np.nonzero(values)
        offsets = np.searchsorted(sample, np.arange(len(values) + 1))
        counts = self._scale * values[sample, step, unit].astype(np.float64)
        return cast(Floats, self._dt * (step + 0.5)), unit.astype(np.int32), counts, offsets

    def select(self, indices: Chosen) -> "Frames":
        """Return the samples at ``indices`` (ints, a mask or a slice), in that order; the values are shared."""
        selected = object.__new__(Frames)
        selected.__dict__.update(vars(self), _chosen=self._chosen[chosen_samples(indices, len(self))])
        return selected

    def merge_channels(self, factor: int) -> Never:
        """Refuse: channels of real values are what their maker made them."""
        raise InvalidInput("merge", None, factor, "1 for real values", "Make fewer channels when the data are loaded.")
