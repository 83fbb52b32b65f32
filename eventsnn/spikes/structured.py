"""Structured arrays of events, as libraries of event cameras make them, read as times (ms) and channels.

Which channel an event becomes follows from the arguments alone, never from what else a call contains: training and test
data that are read in two calls have one layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Integers
from ..arrays import LARGEST_UNIT, exact_times, in_milliseconds, is_number, is_whole, plain_array
from ..errors import InvalidInput

# Names of each field, titles of a dtype in brackets: tonic and metavision say t and p, event-stream p (on), faery and
# aedat on (p), loris is_increase (p), dv timestamp and polarity, evlib polarity.
FIELDS = {"t": ("t", "timestamp"), "x": ("x",), "y": ("y",), "p": ("p", "polarity", "on", "is_increase")}
POLARITIES = ("keep", "drop", "merge")
MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
# What polarity may be with 1 or 2 polarities in sensor_size: one channel of each pixel, or two.
WORDS_FOR: dict[int, tuple[str | None, ...]] = {1: (None, "drop", "merge"), 2: (None, "keep")}


def listed(arrays: Any) -> list[Array]:
    """Return the structured arrays of a call as a list; refuses one array in place of a list."""
    if getattr(getattr(arrays, "dtype", None), "fields", None) and np.ndim(arrays) < 2:
        allowed = "a list with one structured array for each sample"
        raise InvalidInput("arrays", None, "one structured array", allowed, "Write [array] for one sample.")
    if not np.iterable(arrays):
        raise InvalidInput("arrays", None, arrays, "a list with one structured array for each sample")
    return list(arrays)


@dataclass(frozen=True)
class EventLayout:
    """How events become spikes; the arguments are those of SpikeBatch.from_structured, which explains them.

    ``read`` gives the times and channels of one sample. Raises InvalidInput for arguments that say nothing sensible.
    """

    sensor_size: tuple[int, int, int | None] | None
    polarity: str | None
    time_unit: float | None

    if TYPE_CHECKING:  # the fields are what becomes of the arguments

        def __init__(
            self, sensor_size: Sequence[int] | None, polarity: str | None, time_unit: str | float | None
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.polarity is not None and self.polarity not in POLARITIES:
            raise InvalidInput("polarity", None, self.polarity, f"one of {POLARITIES}")
        if self.sensor_size is not None:
            object.__setattr__(self, "sensor_size", _checked_size(self.sensor_size))
        if self.time_unit is not None:
            object.__setattr__(self, "time_unit", milliseconds_per(self.time_unit))
        polarities = None if self.sensor_size is None else self.sensor_size[2]
        if polarities is not None and self.polarity not in WORDS_FOR[polarities]:
            allowed = f"one of {WORDS_FOR[polarities]} with {polarities} for the polarities in sensor_size"
            remedy = "Or say sensor_size=(width, height), and polarity alone what becomes of it."
            raise InvalidInput("polarity", None, self.polarity, allowed, remedy)

    def read(self, array: npt.ArrayLike, name: str) -> tuple[Floats, Integers]:
        """Return ``(times, units)`` of a structured array: (n,) in ms and (n,) int64; ``name`` is for messages."""
        array = array if isinstance(array, np.ndarray) else plain_array(array, name)  # an array may carry a mask
        fields = _fields(array, name)
        places = {key: f"{name}[{field!r}]" for key, field in fields.items()}
        values = {key: array[field] for key, field in fields.items()}
        times = self._times(values["t"], places["t"])
        pixels = self._pixels(values, places)
        return times, self._with_polarity(pixels, values.get("p"), places.get("p", ""), name)

    def _times(self, values: Array, place: str) -> Floats:
        if values.dtype.kind in "mM":
            times = in_milliseconds(values, place)
            if self.time_unit is not None:
                allowed = "None, because these times say their unit"
                raise InvalidInput("time_unit", None, f"{self.time_unit:g} ms for {values.dtype}", allowed)
            return times
        times = plain_array(values, place)
        if times.dtype.kind not in "fiu":
            raise InvalidInput(place, None, times.dtype, "real numbers or timedelta64")
        if self.time_unit is None and times.dtype.kind == "f":
            remedy = 'Say time_unit="s", "ms", "us" or "ns"; without a word, whole numbers are us.'
            raise InvalidInput(place, None, times.dtype, "whole numbers of us, or a time_unit", remedy)
        return exact_times(times, place) * (MILLISECONDS["us"] if self.time_unit is None else self.time_unit)

    def _pixels(self, values: Mapping[str, Array], places: Mapping[str, str]) -> Integers:
        if self.sensor_size is None:
            if "y" in values:
                remedy = "Say sensor_size=(width, height); or leave y out where x alone numbers the channels."
                _whole(values["y"], places["y"], 0, "0 where no sensor_size is given", remedy)
            # two channels of each x must have numbers, too
            return _whole(values["x"], places["x"], LARGEST_UNIT // 2)
        width, height, _ = self.sensor_size
        if "y" not in values and height > 1:
            allowed = f"a field y for a sensor_size of {height} rows"
            raise InvalidInput(places["x"].removesuffix("['x']"), None, "without y", allowed)
        x = _whole(values["x"], places["x"], width - 1, f"whole numbers below the width, {width}")
        if "y" not in values:
            return x
        return width * _whole(values["y"], places["y"], height - 1, f"whole numbers below the height, {height}") + x

    def _with_polarity(self, pixels: Integers, values: Array | None, place: str, name: str) -> Integers:
        if self.polarity in ("drop", "merge"):
            return pixels
        known = None if self.sensor_size is None else self.sensor_size[2]
        if values is None:
            if self.polarity is None and known != 2:
                return pixels
            raise InvalidInput(name, None, "without polarity", f"one of the fields {FIELDS['p']} to keep", _ways())
        if self.polarity is None and known is None:
            raise InvalidInput("polarity", None, None, f"a word on {place}", _ways())
        if known == 1:  # which of the two it is may differ from sample to sample
            allowed = f'"drop" or "merge", as sensor_size has 1 polarity and {place} may have two'
            raise InvalidInput("polarity", None, None, allowed, _ways())
        return 2 * pixels + _polarities(values, place)


def refuse_former_name(milliseconds_per_unit: object) -> None:
    """Refuse the name that ``time_unit`` had in release 0.1.0, with what to write now."""
    if milliseconds_per_unit is not None:
        remedy = f"Write time_unit={milliseconds_per_unit!r}."
        raise InvalidInput("milliseconds_per_unit", None, milliseconds_per_unit, "time_unit in its place", remedy)


def milliseconds_per(time_unit: object) -> float:
    """Return the ms in one ``time_unit``: "s", "ms", "us", "ns", or a number of ms > 0."""
    if isinstance(time_unit, str) and time_unit in MILLISECONDS:
        return MILLISECONDS[time_unit]
    if not (is_number(time_unit) and 0 < time_unit < np.inf):
        raise InvalidInput("time_unit", None, time_unit, f"one of {tuple(MILLISECONDS)}, or a number of ms > 0")
    return float(time_unit)


def _ways() -> str:
    keep = 'polarity="keep" makes two channels of each pixel (2 pixel + p)'
    return f'{keep}, "drop" one; "merge" makes one, and spikes of one time counts.'


def _checked_size(size: object) -> tuple[int, int, int | None]:
    """(width, height, polarities or None) of a sensor_size."""
    entries = tuple(size) if np.iterable(size) and not isinstance(size, str) else ()
    whole = all(is_whole(n) and n >= 1 for n in entries)
    if len(entries) not in (2, 3) or not whole or entries[2:] not in ((), (1,), (2,)):
        allowed = "(width, height) or (width, height, polarities): ints >= 1, and 1 or 2 polarities"
        raise InvalidInput("sensor_size", None, size, allowed)
    width, height, *polarities = map(int, entries)
    if 2 * width * height > LARGEST_UNIT:
        raise InvalidInput("sensor_size", None, size, f"at most {LARGEST_UNIT // 2} pixels")
    return width, height, polarities[0] if polarities else None


def _fields(array: Array, name: str) -> dict[str, str]:
    """{"t", "x" and, where they are there, "y" and "p": the name of that field}, of a one-dimensional array."""
    known: Mapping[str, tuple[Any, ...]] = array.dtype.fields or {}
    found = {}
    for key, names in FIELDS.items():
        # a title is a second name of the same field; two fields of one meaning are not
        places = {known[n][1]: n for n in names if n in known}
        if len(places) > 1:
            raise InvalidInput(name, None, tuple(places.values()), f"one field for {key}", "Leave the others out.")
        if places:
            found[key] = next(iter(places.values()))
    if missing := {"t", "x"} - set(found):
        allowed = f"a structured array with fields t and x (missing: {sorted(missing)})"
        remedy = (
            "Of a table, frame.to_records(index=False) (pandas) or frame.to_numpy(structured=True) (polars) is one."
        )
        raise InvalidInput(name, None, array.dtype.names or array.dtype, allowed, "" if known else remedy)
    used = {known[field][1] for field in found.values()}
    others = [n for n in array.dtype.names or () if known[n][1] not in used and not n.startswith("_")]
    if others:
        remedy = f"Leave out what is not meant to count: array[{[field for field in found.values()]}]."
        raise InvalidInput(name, None, f"with the fields {others}", f"fields for {', '.join(FIELDS)} only", remedy)
    if array.ndim != 1:
        raise InvalidInput(name, None, array.shape, "a one-dimensional array of events")
    return found


def _whole(values: Array, place: str, largest: int, allowed: str = "", remedy: str = "") -> Integers:
    """Return whole numbers from 0 to ``largest`` as int64; refuses fractions, NaN and numbers beyond."""
    values = plain_array(values, place)
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        raise InvalidInput(place, None, (values.dtype, values.shape), "one whole number for each event")
    # in float16, the largest number would be infinite, and infinity no larger
    values = values.astype(np.float64) if values.dtype.kind == "f" else values
    inside = (values >= 0) & (values <= largest)
    inside &= values == np.floor(values) if values.dtype.kind == "f" else True
    if (bad := np.flatnonzero(~inside)).size:
        allowed = allowed or f"whole numbers from 0 to {largest}"
        raise InvalidInput(place, int(bad[0]), values[bad[0]], allowed, remedy)
    return values.astype(np.int64)


def _polarities(values: Array, place: str) -> Integers:
    """Return polarities as 0 and 1: bools, 0 and 1, or -1 and +1; anything else, and 0 beside -1, is refused."""
    values = plain_array(values, place)
    if values.dtype.kind not in "bfiu" or values.ndim != 1:
        raise InvalidInput(place, None, (values.dtype, values.shape), "one polarity for each event")
    numbers = values.astype(np.int8) if values.dtype.kind == "b" else values
    off = numbers == (-1 if (numbers == -1).any() else 0)
    if (bad := np.flatnonzero(~off & (numbers != 1))).size:
        allowed = "polarities False and True, 0 and 1, or -1 and +1, in one way throughout"
        raise InvalidInput(place, int(bad[0]), values[bad[0]], allowed)
    return (~off).astype(np.int64)
