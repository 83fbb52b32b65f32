"""Spikes counted on a grid: the one place where a time is rounded, down to the step that it falls in."""

import numpy as np

from ..errors import InvalidInput
from ..simulation import check_duration

ROUNDING = 4 * np.finfo(np.float64).eps


def n_steps(duration, dt):
    """Return the number of steps of ``dt`` ms that cover ``duration`` ms: a last one that is begun counts."""
    duration = check_duration(duration)
    # a duration that is a whole number of steps up to rounding has just so many
    steps = duration / dt
    return max(1, int(np.rint(steps)) if abs(steps - np.rint(steps)) < 1e-9 * steps else int(np.ceil(steps)))


def _step_of(position):
    """The step that a time in steps falls in; one that is whole but for the rounding of a product is whole."""
    nearest = np.rint(position)
    whole = np.abs(position - nearest) <= ROUNDING * np.maximum(nearest, 1.0)
    return np.where(whole, nearest, np.floor(position)).astype(np.int64)


def bin_spikes(batch, n_units, *, dt, duration, dtype=np.float32):
    """Return the spikes of a SpikeBatch counted in steps of ``dt`` ms, (sample, step, unit) of ``dtype``.

    A spike at t is in step floor(t/dt), a multiple of dt up to rounding in its own, and acts in it; those at or after
    ``duration`` (ms) do not count.
    """
    if batch.units.size and batch.units.max() >= n_units:
        bad = int(np.argmax(batch.units >= n_units))
        raise InvalidInput("units", bad, int(batch.units[bad]), f"units below {n_units}, the size of the input")
    steps = n_steps(duration, dt)
    inside = batch.times < duration
    sample = np.repeat(np.arange(batch.n_samples), np.diff(batch.offsets))[inside]
    step = np.minimum(_step_of(batch.times[inside] / dt), steps - 1)
    place = (sample * steps + step) * n_units + batch.units[inside]
    counts = None if batch.counts is None else batch.counts[inside]
    size = batch.n_samples * steps * n_units
    return np.bincount(place, counts, size).astype(dtype).reshape(batch.n_samples, steps, n_units)
