"""The numbers that the reference engine computes with: float64, complex steps, or mpmath's of any length."""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Number: TypeAlias = Any
"""A number of the arithmetic at hand: no type is common to floats, complex numbers and those of mpmath."""


@dataclass(frozen=True)
class Arithmetic:
    """The functions and the number of Newton steps that a kind of number needs."""

    exp: Callable[[Number], Number] = math.exp
    log1p: Callable[[Number], Number] = math.log1p
    newton_steps: int = 1


def _complex_log1p(z: complex) -> complex:
    """log1p to first order in the imaginary part, which a complex step keeps far below rounding."""
    z = complex(z)
    return complex(math.log1p(z.real), z.imag / (1 + z.real))


FLOAT = Arithmetic()
COMPLEX = Arithmetic(cmath.exp, _complex_log1p, 2)


def mpmath_arithmetic() -> Arithmetic:
    """Return the Arithmetic of mpmath at its working precision."""
    import mpmath

    return Arithmetic(mpmath.exp, mpmath.log1p, 6)


def real(x: Number) -> float:
    """The real part, as a float."""
    return float(x.real)


def relative_growth(x: Number, arithmetic: Arithmetic) -> Number:
    """(1 - e^{-x}) / x for real part of x >= 0, by its series where the quotient would cancel."""
    if real(x) > 0.5:
        return (1 - arithmetic.exp(-x)) / x
    term = total = 1 + 0 * x
    for n in range(2, 40):
        term = -term * x / n
        total = total + term
        if abs(term) < 1e-40:
            break
    return total


def constant_integral(t: Number, rate: float, arithmetic: Arithmetic = FLOAT) -> Number:
    """The integral of e^{-rate u} over 0 <= u <= t."""
    return t * relative_growth(t * rate, arithmetic)
