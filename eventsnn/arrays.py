"""Arrays of other libraries as plain NumPy arrays: what a conversion would lose without a word is converted or refused.

Three things can stand beside the numbers of an array, and are gone after ``numpy.asarray``: a physical unit (neo,
quantities, pint, astropy, unyt, brian2, xarray), a mask (numpy.ma), and the gradient that PyTorch is to trace.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeGuard

import numpy as np

from .aliases import Array, Floats
from .errors import InvalidInput

PLAIN_TYPES = (bool, int, float, complex, str, bytes, type(None), np.generic)
# Units of timedelta64 that are no fixed number of milliseconds.
NO_FIXED_LENGTH = ("generic", "Y", "M")
LARGEST_WHOLE = 2**53  # up to which every whole number is a float64


def plain_array(values: object, name: str) -> Array:
    """Return ``values`` as a NumPy array of the dtype and shape they have; ``name`` is for messages.

    Raises InvalidInput for values with a unit, a masked entry or a gradient to trace, and for what is no array at all.
    """
    for part, place in _parts(values, name):
        if (unit := _unit(part)) is not None:
            remedy = "Convert them to what is asked for and give the numbers alone: .magnitude or .value, or x / unit."
            raise InvalidInput(place, None, f"in the unit {unit}", "numbers without a unit", remedy)
        if getattr(part, "requires_grad", False) is True:
            remedy = "Write .detach(): a gradient is not traced through here."
            raise InvalidInput(place, None, "a tensor that requires a gradient", "numbers alone", remedy)
        if isinstance(part, np.ma.MaskedArray):
            _refuse_masked(part, place)
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        # what another library says of its own array is the best advice there is
        remedy = "" if isinstance(values, (list, tuple)) else str(error)
        raise InvalidInput(name, None, type(values).__name__, "a rectangular array of numbers", remedy) from None


def is_number(value: object) -> TypeGuard[float]:
    """Return whether ``value`` is one real number, of Python or NumPy; a truth value and a timedelta64 are none.

    A timedelta64 is an np.integer to isinstance, and a length of time in a unit of its own.
    """
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, (bool, np.timedelta64))


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether ``value`` is an integer, of Python or NumPy; a truth value and a timedelta64 are none."""
    return is_number(value) and isinstance(value, (int, np.integer))


def in_milliseconds(values: object, name: str) -> Array:
    """Return times as an array of ms: those in another unit of time, or timedelta64, as float64, all others as given.

    Raises InvalidInput as ``plain_array`` does, and for units and dates that are no lengths of time.
    """
    if (unit := _unit(values)) is not None:
        factor = _milliseconds_per(unit, name)
        array = plain_array(getattr(values, "magnitude", getattr(values, "value", None)), name)
        # before it is scaled: in float16, 70 s would be infinitely many ms
        return exact_times(array, name) * factor if array.dtype.kind in "fiu" else array
    if isinstance(values, (list, tuple)) and _all_have_units(values, name):
        return np.array([in_milliseconds(value, f"{name}[{index}]") for index, value in enumerate(values)])
    array = plain_array(values, name)
    return _from_timedelta(array, name) if array.dtype.kind in "mM" else array


def _all_have_units(values: list[Any] | tuple[Any, ...], name: str) -> bool:
    """Whether the entries of a list have a unit of time each; refuses a list in which only some have."""
    kinds = set(map(type, values))
    if not any(issubclass(kind, (np.timedelta64, timedelta)) or not issubclass(kind, PLAIN_TYPES) for kind in kinds):
        return False
    united = [_says_its_unit(value, name) for value in values]
    if any(united) and not all(united):
        index = united.index(False)
        remedy = "Give all entries a unit, or all as numbers of ms."
        raise InvalidInput(name, index, values[index], "a time with a unit, as other entries have one", remedy)
    return any(united)


def _says_its_unit(value: object, name: str) -> bool:
    """Whether a time, or any in a list of them, has a unit of its own: of another library, or timedelta64."""
    return any(
        _unit(part) is not None
        or isinstance(part, timedelta)
        or getattr(getattr(part, "dtype", None), "kind", "") == "m"
        for part, _ in _parts(value, name)
    )


def exact_times(values: Array, name: str) -> Floats:
    """Return times, an array of real numbers, as float64; refuses whole numbers so large that some would become equal.

    Such as ns since 1970, of which 256 are one float64.
    """
    if values.dtype.kind in "iu":
        beyond = np.argwhere((values > LARGEST_WHOLE) | (values < -LARGEST_WHOLE))
        if beyond.size:
            index = tuple(int(place) for place in beyond[0])
            allowed = (
                f"whole numbers up to 2**53 = {LARGEST_WHOLE}, beyond which float64 takes different ones for equal"
            )
            remedy = (
                "Subtract the time at which the sample starts, such as its first, before the numbers are converted."
            )
            raise InvalidInput(name, index[0] if len(index) == 1 else index, values[index], allowed, remedy)
    return values.astype(np.float64)


def _parts(values: object, name: str) -> Iterator[tuple[object, str]]:
    """Yield (part, its name) for ``values`` and for everything in lists and tuples that is no plain number."""
    yield values, name
    if isinstance(values, (list, tuple)):
        foreign = {kind for kind in set(map(type, values)) if not issubclass(kind, PLAIN_TYPES)}
        for index, value in enumerate(values) if foreign else ():
            if type(value) in foreign:
                yield from _parts(value, f"{name}[{index}]")


def _unit(values: object) -> Any:
    """The unit that stands beside the numbers of an array, or None."""
    if getattr(getattr(values, "dtype", None), "kind", "") in ("m", "M") or isinstance(values, timedelta):
        return None  # a unit that NumPy knows
    # brian2 has no other sure mark: its numbers without a unit are in radian
    dimension: Any = getattr(values, "dim", None)
    if hasattr(dimension, "is_dimensionless"):
        return None if dimension.is_dimensionless else dimension
    for unit in (getattr(values, "units", None), getattr(values, "unit", None)):
        if unit is not None and type(unit) is not np.ndarray:  # the units of a SpikeTrain are channels
            return unit
    return None


def _milliseconds_per(unit: Any, name: str) -> float:
    """How many ms one of ``unit`` is, by the library that the unit comes from."""
    try:
        one = 1.0 * unit
        converted = (one.rescale if hasattr(one, "rescale") else one.to)("ms")
        number: Any = getattr(converted, "magnitude", getattr(converted, "value", None))
        return float(number)
    except Exception:  # each library has errors of its own for units that are not of time
        allowed = "times in a unit of time, or numbers without a unit, in ms"
        remedy = "Convert them to ms and give the numbers alone: .magnitude or .value, or times / ms."
        raise InvalidInput(name, None, f"in the unit {unit}", allowed, remedy) from None


def _from_timedelta(array: Array, name: str) -> Floats:
    if array.dtype.kind == "M":
        remedy = "Subtract the time at which the sample starts."
        raise InvalidInput(name, None, array.dtype, "times since the start of the sample, in ms", remedy)
    if np.datetime_data(array.dtype)[0] in NO_FIXED_LENGTH:
        allowed = "timedelta64 with a unit of fixed length, such as timedelta64[us]"
        raise InvalidInput(name, None, array.dtype, allowed)
    exact_times(array.astype(np.int64)[~np.isnat(array)], name)
    return array / np.timedelta64(1, "ms")  # NaT becomes NaN


def _refuse_masked(array: np.ma.MaskedArray[Any, Any], name: str) -> None:
    mask = np.ma.getmaskarray(array)
    if not mask.any():
        return
    first = tuple(int(place) for place in np.argwhere(mask)[0])
    index = (first[0] if len(first) == 1 else first) if first else None
    remedy = "Leave masked entries out (x[~x.mask], in all arrays that belong together), or fill them: x.filled(value)."
    raise InvalidInput(name, index, "masked", "entries that are all there", remedy)


LARGEST_UNIT = np.iinfo(np.int32).max
