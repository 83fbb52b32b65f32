"""How far two gradients are apart, relative to what rounding explains."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats

# A gradient is a sum over spikes, and where its terms cancel the digits that are left say nothing about the code. An
# error is therefore measured against at least FLOOR times the largest gradient in the same array, and GLOBAL_FLOOR
# times the largest of all: a shared delay may have a derivative of exactly 0, which sums of rounded terms miss.
FLOOR = 1e-3
GLOBAL_FLOOR = 1e-6
# Where a gradient is 0 because its terms cancel, what is left of it is their rounding, and that is no difference. On a
# maximum of a readout the terms are those of dV/dt, which is 0 there: I/tau_mem and V/tau_mem, each a sum of few
# arrivals, rounded by a few eps. On their way to a weight or a threshold they are multiplied by the weight after the
# spike (up to about 5) and divided by the spike's slope I - v_threshold (few are below 0.1); the largest gradient is in
# turn about the response to a unit jump (1/4). So 5 / 0.1 / (1/4) = 200 times a few eps of the largest gradient; the
# most that was seen in 4,240 random networks is 200 eps.
ROUNDINGS = 1000
TIMES = "times"


def floors(gradients: Mapping[str, Array]) -> dict[str, float]:
    """{name: the size below which no gradient of that array counts as smaller}, from FLOOR and GLOBAL_FLOOR."""
    largest = {name: float(np.max(np.abs(values), initial=0.0)) for name, values in gradients.items()}
    least = max(GLOBAL_FLOOR * max(largest.values(), default=0.0), np.finfo(float).tiny)
    return {name: max(FLOOR * scale, least) for name, scale in largest.items()}


def largest_of(gradients: Mapping[str, Array]) -> float:
    """The largest absolute value in {name: gradient}, 0 without any; NaN or infinite ones excuse nothing: 0 too."""
    largest = max((float(np.max(np.abs(values), initial=0.0)) for values in gradients.values()), default=0.0)
    return largest if np.isfinite(largest) else 0.0


def relative_errors(one: npt.ArrayLike, other: npt.ArrayLike, floor: float | Floats, largest: float = 0.0) -> Floats:
    """|one - other| / max(|one|, |other|, floor) elementwise; infinite where that is not a number.

    A difference within ROUNDINGS eps of ``largest``, the largest gradient of all, counts as ROUNDINGS eps at most.
    """
    one, other = np.asarray(one, float), np.asarray(other, float)
    difference, rounded = np.abs(one - other), ROUNDINGS * np.finfo(float).eps
    errors = difference / np.maximum(np.maximum(np.abs(one), np.abs(other)), floor)
    errors = np.where(difference <= rounded * largest, np.minimum(errors, rounded), errors)
    return np.where(np.isnan(errors), np.inf, errors)
