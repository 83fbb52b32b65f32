"""Spikes counted on a grid: the one place where a time is rounded, down to the step that it falls in."""

from typing import Any

import numpy as np

from ..aliases import Array, Milliseconds
from ..checks import check_duration
from ..errors import InvalidInput
from ..kernels import grid as kernels
from ..spikes.batch import SpikeBatch

ROUNDING = float(4 * np.finfo(np.float64).eps)


def n_steps(duration: Milliseconds, dt: Milliseconds) -> int:
    """Return the number of steps of ``dt`` ms that cover ``duration`` ms: a last one that is begun counts."""
    duration = check_duration(duration)
    # a duration that is a whole number of steps up to rounding has just so many
    steps = duration / dt
    return max(1, int(np.rint(steps)) if abs(steps - np.rint(steps)) < 1e-9 * steps else int(np.ceil(steps)))


def bin_spikes(
    batch: SpikeBatch, n_units: int, *, dt: Milliseconds, duration: Milliseconds,
    dtype: type[np.floating[Any]] = np.float32,
) -> Array:  # fmt: skip
    """Return the spikes of a SpikeBatch counted in steps of ``dt`` ms, (sample, step, unit) of ``dtype``.

    A spike at t is in step floor(t/dt), a multiple of dt up to rounding in its own, and acts in it; those at or after
    ``duration`` (ms) do not count.
    """
    if batch.units.size and batch.units.max() >= n_units:
        bad = int(np.argmax(batch.units >= n_units))
        raise InvalidInput("units", bad, int(batch.units[bad]), f"units below {n_units}, the size of the input")
    shape = (batch.n_samples, n_steps(duration, dt), n_units)
    try:
        out = np.zeros(shape, dtype)
    except (MemoryError, ValueError):
        allowed = (
            f"a time that fits into memory in steps of {dt:g} ms: {shape[1]:,} of them for {shape[0]} samples do not"
        )
        raise InvalidInput("duration", None, duration, allowed) from None
    counts = np.empty(0) if batch.counts is None else np.asarray(batch.counts, np.float64)
    kernels.count(batch.times, batch.units, counts, batch.offsets, (float(dt), float(duration), ROUNDING), out)
    return out
