"""The numbers that the reference engine computes with: float64, complex steps, or mpmath's of any length."""

import cmath
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Arithmetic:
    """The functions and the number of Newton steps that a kind of number needs."""

    exp: object = math.exp
    log1p: object = math.log1p
    newton_steps: int = 1


def _complex_log1p(z):
    """log1p to first order in the imaginary part, which a complex step keeps far below rounding."""
    z = complex(z)
    return complex(math.log1p(z.real), z.imag / (1 + z.real))


FLOAT = Arithmetic()
COMPLEX = Arithmetic(cmath.exp, _complex_log1p, 2)


def mpmath_arithmetic():
    """Return the Arithmetic of mpmath at its working precision."""
    import mpmath

    return Arithmetic(mpmath.exp, mpmath.log1p, 6)


def real(x):
    return float(x.real)
