"""Check the arrays of parameters: names, shapes, dtypes, finite numbers."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Parameters, Shape
from ..arrays import plain_array
from ..checks import wrong_shape
from ..errors import InvalidInput
from ..neurons.base import LARGEST, Field

# Parameters of connections, by the last part of their names, that may be negative; and such as may be 0, on a grid too.
SIGNED = ("weight",)
UNSIGNED = ("delay", "running_variance")


def check_arrays(
    parameters: Mapping[str, npt.ArrayLike], shapes: Mapping[str, Shape], fields: Mapping[str, Field] | None = None,
    signed: Collection[str] = SIGNED,
) -> Parameters:  # fmt: skip
    """Return {name: float64 array} of all parameters that a network has, {name: shape}, after checking each.

    ``fields``: {name: Field} of those that are constants of neurons; ``signed``: last parts of the names of others that
    may be negative.
    """
    if not isinstance(parameters, dict):
        raise InvalidInput("parameters", None, type(parameters).__name__, "a dict of arrays: network.initialize()")
    for name in parameters:
        if name not in shapes:
            raise InvalidInput("parameters", None, name, f"the names {list(shapes)}")
    for name, shape in shapes.items():
        if name not in parameters:
            remedy = "network.initialize() makes all of them."
            raise InvalidInput("parameters", name, None, f"an array of shape {shape}", remedy)
    fields = {} if fields is None else fields
    return {
        name: check_array(name, parameters[name], shape, fields.get(name), signed) for name, shape in shapes.items()
    }


def check_array(
    name: str, values: npt.ArrayLike, shape: Shape, field: Field | None = None, signed: Collection[str] = SIGNED
) -> Floats:
    """Return values as a float64 array; weights are at most 1e30 in size, delays not below 0, all else above 0."""
    array = plain_array(values, name)
    if array.dtype.kind not in "fiu":
        raise InvalidInput(name, None, array.dtype, "a real numeric dtype, best float64")
    if array.shape != shape:
        raise wrong_shape(name, array.shape, shape)
    array = np.ascontiguousarray(array, dtype=np.float64).reshape(shape)
    bad, allowed = ~np.isfinite(array), "finite numbers"
    if not bad.any():
        bad, allowed = _outside(name.rsplit(".", 1)[-1], array, signed) if field is None else field.outside(array)
    if bad.any():
        first = tuple(int(k) for k in np.argwhere(bad)[0]) if shape else None
        index = first[0] if first is not None and len(first) == 1 else first
        raise InvalidInput(name, index, float(array[index] if index is not None else array), allowed)
    return array


def _outside(kind: str, array: Floats, signed: Collection[str]) -> tuple[Array, str]:
    """Where the values are not what a parameter of this kind may be, and what it may be."""
    if kind in UNSIGNED:
        return array < 0, "delays >= 0 ms" if kind == "delay" else "numbers >= 0"
    if kind in signed:
        return np.abs(array) > LARGEST, f"numbers from {-LARGEST:g} to {LARGEST:g}"
    return array <= 0, "numbers > 0"
