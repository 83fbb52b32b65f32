"""Delays on a grid: how a delay of d steps spreads over whole lags k = 0, 1, ..., and what it spreads to when it moves.

Gaussian (DCLS, Hammouamri et al. 2024): h(k) proportional to exp(-((k - d)/sigma)^2 / 2), and of sum 1 over the lags.
Triangle (DelRec, Queant et al. 2025): h(k) = max(0, 1 + sigma - |k - d|) / (1 + sigma)^2; with sigma 0 it is linear
interpolation between two lags. What is drawn here for synapses is drawn for neurons and layers as well: arrays
broadcast, lags along ``axis``. Each returns h and, in a list, its slopes by what of ("delay", "sigma") is ``wanted``.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ..aliases import Array

Taps: TypeAlias = tuple[Array, list[Array]]


def gaussian(lags: Array, delay: Array, sigma: Array, axis: int, wanted: Sequence[str] = ()) -> Taps:
    """Return (h, slopes) at ``lags``; computed from the largest exponent, so that no sigma underflows."""
    distance = lags - delay
    exponent = -0.5 * (distance / sigma) ** 2
    h = np.exp(exponent - exponent.max(axis=axis, keepdims=True))
    h /= h.sum(axis=axis, keepdims=True)
    found = []
    for name in wanted:
        slope = distance / sigma**2 if name == "delay" else distance**2 / sigma**3
        slope -= (h * slope).sum(axis=axis, keepdims=True)
        slope *= h
        found.append(slope)
    return h, found


def triangle(lags: Array, delay: Array, sigma: Array, axis: int, wanted: Sequence[str] = ()) -> Taps:
    """Return (h, slopes) at ``lags``; at a corner of the triangle, the slopes of its inside are 0."""
    distance, reach = lags - delay, 1.0 + sigma
    height = np.maximum(0.0, reach - np.abs(distance))
    inside = height > 0
    slopes = {
        "delay": lambda: np.where(inside, np.sign(distance), 0.0) / reach**2,
        "sigma": lambda: np.where(inside, 1.0, 0.0) / reach**2 - 2.0 * height / reach**3,
    }
    return height / reach**2, [slopes[name]() for name in wanted]


def nearest(lags: Array, delay: Array, sigma: Array, axis: int, wanted: Sequence[str] = ()) -> Taps:
    """Return (h, slopes of 0): all at the lag that a delay, which is a whole number, names."""
    h = (lags == delay).astype(np.result_type(delay))
    return h, [np.zeros_like(h) for _ in wanted]


SPREADS: dict[str, Callable[..., Taps]] = {"gaussian": gaussian, "triangle": triangle, "nearest": nearest}
