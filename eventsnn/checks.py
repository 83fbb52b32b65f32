"""Checks that descriptions of networks share: each returns what it was given in one form, or says what is wrong."""

import sys
from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from . import renamed
from .aliases import Milliseconds
from .arrays import LARGEST_UNIT, is_number, is_whole
from .errors import InvalidInput, NetworkError


def check_duration(duration: object, name: str = "duration") -> Milliseconds:
    """Return ``duration`` as a float; raises InvalidInput unless it is finite and > 0 ms."""
    if not (is_number(duration) and 0 < duration < np.inf):
        raise InvalidInput(name, None, duration, "a finite number > 0 (ms)")
    return float(duration)


def check_budget(max_spikes: object) -> int:
    """Return ``max_spikes``; raises InvalidInput unless it is an int >= 1."""
    if not is_whole(max_spikes) or not 0 < max_spikes <= 2**62:
        raise InvalidInput("max_spikes", None, max_spikes, "an int from 1 to 2**62")
    return int(max_spikes)


def check_whole(name: str, value: object, low: int) -> None:
    if not is_whole(value) or value < low:
        raise InvalidInput(name, None, value, f"an int >= {low}")


LARGEST = sys.float_info.max
SMALLEST = sys.float_info.min


def number(value: object, name: str, allowed: str, low: float = -LARGEST, high: float = LARGEST) -> float:
    """Return `value` as a finite float within [low, high], or raise InvalidInput."""
    if not is_number(value):
        raise InvalidInput(name, None, value, allowed)
    if not low <= value <= high:  # refuses NaN and infinities too
        raise InvalidInput(name, None, value, allowed)
    return float(value)


def whole(value: object, name: str, low: int) -> int:
    if not is_whole(value) or value < low:
        raise InvalidInput(name, None, value, f"an int >= {low}")
    return int(value)


def check_seed(seed: object) -> int:
    if not is_whole(seed) or seed < 0:
        raise InvalidInput("seed", None, seed, "an int >= 0")
    return int(seed)


class HasSize(Protocol):
    """A population, of whatever network."""

    @property
    def n(self) -> int: ...


def check_count(n: object) -> int:
    if not is_whole(n) or n < 1:
        raise InvalidInput("n", None, n, "an int >= 1")
    return int(n)


def check_size(n: object, populations: Mapping[str, HasSize]) -> int:
    """Return how many neurons a population to come has; all of a network together are addressed with 32 bits."""
    n, before = check_count(n), sum(population.n for population in populations.values())
    if n > LARGEST_UNIT - before:
        remedy = f"A network holds at most {LARGEST_UNIT} neurons and channels, and this one has {before}."
        raise InvalidInput("n", None, n, f"an int from 1 to {LARGEST_UNIT - before}", remedy)
    return n


def check_new_name(name: object, populations: Mapping[str, object]) -> str:
    """Return the name of a population to come."""
    if not isinstance(name, str) or not name or "->" in name or "." in name:
        raise InvalidInput("name", None, name, "a non-empty string without '->' and '.'")
    if name in populations:
        raise NetworkError(f"population {name!r} exists already; choose another name.")
    return name


def check_ends(pre: str, post: str, populations: Mapping[str, object]) -> None:
    """Refuse ends of a connection that are no populations."""
    for role, population in (("pre", pre), ("post", post)):
        if population not in populations:
            raise InvalidInput(role, None, population, f"one of the populations {sorted(populations)}")


def check_names(chosen: bool | str | Iterable[str], allowed: tuple[str, ...], argument: str) -> tuple[str, ...]:
    """Return the chosen names as a tuple in the order of `allowed`; True means all, False none."""
    if isinstance(chosen, bool):
        return allowed if chosen else ()
    chosen = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    for name in chosen:
        if name not in allowed:
            raise InvalidInput(argument, None, name, f"names among {allowed}, or True, or False")
    return tuple(name for name in allowed if name in chosen)


def __getattr__(name: str) -> object:
    return renamed.find("checks", name)
