"""Batch normalisation on a grid."""

import math

import numpy as np

from ..compile import entry


# ------------------------------------------------------------------------------------------------- counting spikes
@entry
def count(times, units, counts, offsets, steps, out):
    """Add the spikes of a batch to out (sample, step, unit) where they fall; ``counts``: of each, or none at all.

    ``steps``: (dt, duration, rounding). A time that is a whole number of steps but for ``rounding`` is that number;
    what is at or after the duration does not count.
    """
    dt, duration, rounding = steps
    for b in range(out.shape[0]):
        for k in range(offsets[b], offsets[b + 1]):
            if times[k] < duration:
                position = times[k] / dt
                nearest = np.rint(position)
                whole = abs(position - nearest) <= rounding * max(nearest, 1.0)
                step = min(int(nearest if whole else math.floor(position)), out.shape[1] - 1)
                out[b, step, units[k]] += counts[k] if counts.size else 1.0


# --------------------------------------------------------------------------------------------- batch normalisation
@entry
def moments(values, others, sums, first, last):
    """Add the sums over steps of values and of values * others to ``sums`` (sample, 2, neuron) of float64."""
    for b in range(first, last):
        for t in range(values.shape[1]):
            for i in range(values.shape[2]):
                sums[b, 0, i] += values[b, t, i]
                sums[b, 1, i] += np.float64(values[b, t, i]) * others[b, t, i]


@entry
def normalise(values, mean, scale, gain, offset, out, first, last):
    """Normalise values in their place, and write what is made of them, normal * gain + offset, to ``out``."""
    for b in range(first, last):
        for t in range(values.shape[1]):
            for i in range(values.shape[2]):
                normal = (values[b, t, i] - mean[i]) * scale[i]
                values[b, t, i] = normal
                out[b, t, i] = normal * gain[i] + offset[i]


@entry
def normalise_back(d_values, normal, mean, slope, scale, first, last):
    """d = (d - mean - normal * slope) * scale, in the place of dL/d(out)."""
    for b in range(first, last):
        for t in range(d_values.shape[1]):
            for i in range(d_values.shape[2]):
                d_values[b, t, i] = (d_values[b, t, i] - mean[i] - normal[b, t, i] * slope[i]) * scale[i]
