"""Integrals of what decays, along a stretch of time, by Gauss's rule."""

import math
from collections.abc import Iterator

import numpy as np

from ...aliases import Milliseconds

# Exact for polynomials of degree 23. On pieces that grow so, the integral of e^{-u} is right to 1e-15.
GAUSS, GROWTH = np.polynomial.legendre.leggauss(12), 2.0


def nodes(start: Milliseconds, end: Milliseconds, tau: Milliseconds) -> Iterator[tuple[float, float]]:
    """Yield (time, weight): the integral from ``start`` to ``end`` is the sum of the weighted values at these times.

    ``tau``: nothing of what is integrated decays faster (ms).
    """
    for middle, half in _pieces(start, end, tau):
        for node, weight in zip(*GAUSS, strict=True):
            yield middle + half * node, half * weight


def _pieces(start: Milliseconds, end: Milliseconds, tau: Milliseconds) -> Iterator[tuple[float, float]]:
    """(middle, half length) of pieces that begin with tau at both ends of a stretch and grow towards its middle.

    All that is integrated is a sum of exponentials that decay from either end: where a piece is longer than tau, those
    that could not be integrated over it have decayed. So the number of pieces grows with the logarithm of the stretch.
    """
    left, right, length = start, end, tau
    while right - left > 2 * length:
        yield left + 0.5 * length, 0.5 * length
        yield right - 0.5 * length, 0.5 * length
        left, right, length = left + length, right - length, GROWTH * length
    n_left = math.ceil((right - left) / length)
    for piece in range(n_left):
        half = 0.5 * (right - left) / n_left
        yield left + (2 * piece + 1) * half, half
