"""The settings of optimisers by patterns of names: rates, decays and bounds."""

import fnmatch
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Bound, Bounds, Floats, Shape
from ..arrays import plain_array
from ..checks import number
from ..errors import InvalidInput
from .schedules import Schedule, as_schedule


class Rate(NamedTuple):
    """Learning rate and schedule of one pattern; None stands for the optimiser's common one."""

    value: float | None
    schedule: Schedule | None


# What users give for one pattern, and for the bounds of one parameter: a Rate and two floats in the end, or arrays.
RateLike: TypeAlias = float | Schedule | tuple[float | None, Schedule | None]
Limits: TypeAlias = Sequence[Bound | None | list[Any]] | tuple[Bound | None, Bound | None]
Value = TypeVar("Value")


def as_rate(entry: RateLike, name: str) -> Rate:
    """Normalise a number, a Schedule or a pair (number, Schedule) to a Rate."""
    if isinstance(entry, Schedule):
        return Rate(None, entry)
    value, schedule = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, None)
    if value is not None:
        value = number(value, name, "a number >= 0, a Schedule, or a pair (number, Schedule)", 0.0)
    return Rate(value, schedule if schedule is None else as_schedule(schedule, name))


def as_decay(weight_decay: float | dict[str, float]) -> dict[str, float]:
    """Normalise weight_decay to {pattern: number}; a bare number means the weights and spares delays and constants."""
    if not isinstance(weight_decay, dict):
        value = number(weight_decay, "weight_decay", "a finite number >= 0, or {pattern: number}", 0.0)
        return {"*.weight": value} if value > 0 else {}
    return {
        as_pattern(pattern, "weight_decay"): number(value, f"weight_decay[{pattern!r}]", "a finite number >= 0", 0.0)
        for pattern, value in weight_decay.items()
    }


def as_pattern(pattern: object, name: str) -> str:
    if not isinstance(pattern, str):
        raise InvalidInput(name, None, pattern, 'name patterns such as "*.delay" as keys')
    return pattern


def _as_limit(value: object, name: str, infinite: float, shape: Shape | None) -> Bound:
    """Return one side of a pair of bounds as a float, or an array of this shape; None and `infinite`: unbounded.

    Without a ``shape`` an array is a copy that nobody can change, of the shape that it has.
    """
    if not (isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim)):
        value = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
        if value is None or (isinstance(value, float) and value == infinite):
            return infinite
        return number(value, name, "a number, or None for no bound")
    limits = plain_array(_filled(value, infinite), name)
    allowed = "numbers, or None for no bound"
    if limits.dtype.kind not in "iuf":
        raise InvalidInput(name, None, limits.dtype, allowed)
    limits = limits.astype(np.float64)
    limits.flags.writeable = False
    odd = np.isnan(limits) | (limits == -infinite)
    if odd.any():
        raise InvalidInput(name, None, float(limits[odd][0]), allowed)
    return limits if shape is None else _of_shape(limits, name, shape)


def _filled(values: Any, infinite: float) -> Any:
    """The same lists with `infinite` in place of None, however deep; an array as it is."""
    if isinstance(values, (list, tuple)):
        return [_filled(value, infinite) for value in values]
    return infinite if values is None else values


def _of_shape(limits: Floats, name: str, shape: Shape) -> Floats:
    """The limits of every entry of a parameter of this shape."""
    try:
        return np.ascontiguousarray(np.broadcast_to(limits, shape))
    except ValueError:
        remedy = "Give a number for all entries, one number per entry, or an array that broadcasts to them."
        raise InvalidInput(name, None, f"of shape {limits.shape}", f"limits of shape {shape}", remedy) from None


class KnownBounds(dict[str, tuple[Bound, Bound]]):
    """{name: (low, high)} that are equal if all numbers are, those in arrays too."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnownBounds) and self.described() == other.described()

    def described(self) -> dict[str, list[Any]]:
        """Return them as JSON holds them."""
        return {name: [describe_limit(side) for side in pair] for name, pair in self.items()}


def as_bounds(bounds: Mapping[str, Limits] | None, shapes: Mapping[str, Shape] | None = None) -> KnownBounds:
    """Normalise {name: (low, high)} to pairs of floats and arrays; with ``shapes``, arrays of those of parameters."""
    limits = KnownBounds()
    for name, pair in ({} if bounds is None else dict(bounds)).items():
        label = f"bounds[{name!r}]"
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InvalidInput(label, None, pair, "a pair (low, high)")
        shape = None if shapes is None else shapes[name]
        low, high = _as_limit(pair[0], label, -math.inf, shape), _as_limit(pair[1], label, math.inf, shape)
        try:
            ordered = bool(np.all(np.less_equal(low, high)))
        except ValueError:
            both = f"{np.shape(low)} and {np.shape(high)}"
            raise InvalidInput(label, None, f"of the shapes {both}", "low and high of one shape") from None
        if not ordered:
            raise InvalidInput(label, None, pair, "low <= high")
        limits[name] = (low, high)
    return limits


def describe_limit(limit: Bound) -> Any:
    """Return one side of a pair of bounds as JSON holds it: a number or nested lists, None for no bound."""
    if isinstance(limit, np.ndarray):
        return [describe_limit(part) for part in limit] if limit.ndim else describe_limit(float(limit))
    return float(limit) if math.isfinite(limit) else None


def check_within(params: Mapping[str, npt.ArrayLike], bounds: Bounds) -> None:
    """Raise InvalidInput naming the first entry of ``params`` outside ``bounds`` {name: (low, high)}.

    The first step would move it to the bound, whatever the gradient and the learning rate.
    """
    for name, (low, high) in bounds.items():
        array = np.asarray(params[name])
        outside = (array < low) | (array > high)
        if outside.any():
            index = tuple(int(i) for i in np.argwhere(outside)[0])
            remedy = (
                "The first step would move it there: begin within them, move them (Network(min_delay=...), bounds= of "
                "the optimiser), or leave it untrained (train=)."
            )
            low, high = (np.broadcast_to(side, array.shape)[index] for side in (low, high))
            allowed = f"numbers from {low:g} to {high:g}, the bounds in training"
            shown = index[0] if len(index) == 1 else index or None
            raise InvalidInput(name, shown, float(array[index]), allowed, remedy)


def last_match(patterns: dict[str, Value], name: str, default: Value) -> Value:
    """Value of the last pattern that matches `name`."""
    return next((value for p, value in reversed(patterns.items()) if fnmatch.fnmatchcase(name, p)), default)


def check_patterns(patterns: Collection[str], names: Collection[str], what: str) -> None:
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise InvalidInput(what, None, pattern, f"a pattern that matches one of {', '.join(sorted(names))}")


def known(name: str, names: Collection[str], what: str) -> None:
    if name not in names:
        raise InvalidInput(what, None, name, f"the names {', '.join(sorted(names))}")


def _number_or_array(values: Array) -> Bound:
    return values if values.ndim else float(values)


def joint_bounds(first: Bounds, second: Bounds | None) -> dict[str, tuple[Bound, Bound]]:
    """The intersection of two sets of bounds."""
    joint = dict(first)
    for name, (low, high) in (second or {}).items():
        before = joint.get(name, (-math.inf, math.inf))
        joint[name] = _number_or_array(np.maximum(low, before[0])), _number_or_array(np.minimum(high, before[1]))
    return joint
