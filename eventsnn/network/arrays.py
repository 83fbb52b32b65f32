"""Check the arrays of parameters: names, shapes, dtypes, finite numbers."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Parameters, Shape
from ..arrays import plain_array
from ..errors import InvalidInput

# Parameters, by the last part of their names, that may be negative, and that may be 0; all others are positive.
SIGNED = ("weight", "bias", "gain", "offset", "width", "running_mean")
# Constants of neurons of which any value may be right; their model judges them together.
FREE = ("v_threshold", "v_reset", "v_rest")
UNSIGNED = ("delay", "running_variance")
# Of a parameter that may be negative: no sum of such overflows, with counts in float64, nor in float32 on a grid.
LARGEST_SIGNED = 1e30


def check_arrays(parameters: Mapping[str, npt.ArrayLike], shapes: Mapping[str, Shape]) -> Parameters:
    """Return {name: float64 array} of all parameters that a network has, {name: shape}, after checking each."""
    if not isinstance(parameters, dict):
        raise InvalidInput("parameters", None, type(parameters).__name__, "a dict of arrays: network.initialize()")
    for name in parameters:
        if name not in shapes:
            raise InvalidInput("parameters", None, name, f"the names {list(shapes)}")
    for name, shape in shapes.items():
        if name not in parameters:
            remedy = "network.initialize() makes all of them."
            raise InvalidInput("parameters", name, None, f"an array of shape {shape}", remedy)
    return {name: check_array(name, parameters[name], shape) for name, shape in shapes.items()}


def check_array(name: str, values: npt.ArrayLike, shape: Shape) -> Floats:
    """Return values as a float64 array; weights are at most 1e30 in size, delays not below 0, all else above 0."""
    array = plain_array(values, name)
    if array.dtype.kind not in "fiu":
        raise InvalidInput(name, None, array.dtype, "a real numeric dtype, best float64")
    if array.shape != shape:
        raise InvalidInput(name, None, array.shape, f"shape {shape}")
    array = np.ascontiguousarray(array, dtype=np.float64).reshape(shape)
    bad, allowed = ~np.isfinite(array), "finite numbers"
    if not bad.any():
        bad, allowed = _outside(name.rsplit(".", 1)[-1], array)
    if bad.any():
        first = tuple(int(k) for k in np.argwhere(bad)[0]) if shape else None
        index = first[0] if first is not None and len(first) == 1 else first
        raise InvalidInput(name, index, float(array[index] if index is not None else array), allowed)
    return array


def _outside(kind: str, array: Floats) -> tuple[Array, str]:
    """Where the values are not what a parameter of this kind may be, and what it may be."""
    if kind in UNSIGNED:
        return array < 0, "delays >= 0 ms" if kind == "delay" else "numbers >= 0"
    if kind in SIGNED:
        return np.abs(array) > LARGEST_SIGNED, f"numbers from {-LARGEST_SIGNED:g} to {LARGEST_SIGNED:g}"
    if kind in FREE:
        return np.zeros(array.shape, bool), ""
    return array <= 0, "numbers > 0"
