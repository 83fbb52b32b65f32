"""Checks that many places share: each returns what it was given in one form, or says what is wrong."""

import difflib
import functools
import inspect
import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from . import renamed
from .aliases import AnyPopulation, Milliseconds, Shape
from .arrays import LARGEST_UNIT, is_number, is_whole
from .errors import InvalidInput, NetworkError
from .neurons.base import absent

F = TypeVar("F", bound=Callable[..., Any])
LARGEST = sys.float_info.max
SMALLEST = sys.float_info.min


def number(
    value: object, name: str, allowed: str = "a finite number", low: float = -LARGEST, high: float = LARGEST
) -> float:
    """Return ``value`` as a finite float within [low, high]; raises InvalidInput for anything else."""
    if is_number(value):
        try:
            found = float(value)
        except OverflowError:  # of an int that no float holds
            found = math.inf
        if low <= found <= high:  # NaN and infinities are not
            return found
    raise InvalidInput(name, None, value, allowed)


def positive(value: object, name: str, allowed: str = "a finite number > 0") -> float:
    """Return ``value`` as a finite float > 0; raises InvalidInput for anything else."""
    found = number(value, name, allowed)
    if found <= 0:
        raise InvalidInput(name, None, value, allowed)
    return found


def share(value: object, name: str, allowed: str = "a probability p with 0 <= p < 1") -> float:
    """Return ``value`` as a float >= 0 and below 1; raises InvalidInput for anything else."""
    found = number(value, name, allowed, 0.0)
    if found >= 1:
        raise InvalidInput(name, None, value, allowed)
    return found


def whole(value: object, name: str, low: int, allowed: str = "") -> int:
    """Return ``value`` as an int >= low; raises InvalidInput for anything else."""
    if not is_whole(value) or value < low:
        raise InvalidInput(name, None, value, allowed or f"an int >= {low}")
    return int(value)


def flag(value: object, name: str) -> bool:
    """Return a truth value; raises InvalidInput for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidInput(name, None, value, "True or False")
    return bool(value)


def one_of(value: object, name: str, choices: Collection[object], allowed: str = "") -> None:
    """Refuse what is not among the ``choices``; ``allowed``: how the message names them (otherwise: as they are)."""
    if not any(isinstance(value, type(choice)) and value == choice for choice in choices):
        words = [choice for choice in choices if isinstance(choice, str)]
        remedy = nearest(value, words) if isinstance(value, str) else ""
        raise InvalidInput(name, None, value, allowed or f"one of {choices}", remedy)


def check_given(
    value: object, name: str, kinds: type | tuple[type, ...], begins: str, remedy: str = "", allowed: str = ""
) -> None:
    """Refuse an argument of none of these ``kinds``, and say with which ones the arguments begin.

    ``remedy``: what to say in place of that; ``allowed``: how the message names the kinds (otherwise: as they are).
    """
    if not isinstance(value, kinds):
        known = kinds if isinstance(kinds, tuple) else (kinds,)
        allowed = allowed or " or ".join(f"a {kind.__name__}" for kind in known)
        remedy = remedy or f"The arguments begin with {begins}, in this order."
        raise InvalidInput(name, None, type(value).__name__, allowed, remedy)


def wrong_shape(name: str, found: Shape, wanted: Shape, remedy: str = "") -> InvalidInput:
    """The refusal of an array that has another shape than the ``wanted`` one."""
    allowed = f"{wanted}" if wanted else "(), which is a single number"
    return InvalidInput(f"{name}.shape", None, found, allowed, remedy)


def nearest(key: str, known: Sequence[str]) -> str:
    """Return a question after the known word that is most like ``key``, whatever its case; nothing where none is."""
    folded = {word.casefold(): word for word in reversed(known)}
    found = difflib.get_close_matches(key.casefold(), folded, n=1, cutoff=0.4)
    return f"Did you mean {folded[found[0]]!r}?" if found else ""


def check_keywords(
    given: Iterable[str], known: Sequence[str], function: str, allowed: str = "", others: Sequence[str] = ()
) -> None:
    """Refuse a keyword that a function does not know, and ask for the one that was meant, ``others`` among them.

    ``allowed``: what the known ones are.
    """
    for name in given:
        if name not in known:
            remedy = absent(name) or nearest(name, [*known, *others])
            raise InvalidInput(f"a keyword of {function}", None, name, f"{allowed}{', '.join(known)}", remedy)


def answers_keywords(function: F) -> F:
    """Let a function, or the making of a class, answer a keyword that it does not know with those that there are.

    In place of a TypeError. A class method is decorated before it is one.
    """
    made = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    name, known = function.__name__, [key for key in inspect.signature(made).parameters if key not in ("self", "cls")]
    allowed = frozenset(known)

    @functools.wraps(made)
    def answering(*arguments: Any, **keywords: Any) -> Any:
        if not allowed.issuperset(keywords):
            check_keywords(keywords, known, name)
        return made(*arguments, **keywords)

    if not isinstance(function, type):
        return cast(F, answering)
    function.__init__ = answering  # type: ignore[misc]
    return function


def check_duration(duration: object, name: str = "duration") -> Milliseconds:
    """Return ``duration`` as a float; raises InvalidInput unless it is finite and > 0 ms."""
    return positive(duration, name, "a finite number > 0 (ms)")


def check_budget(max_spikes: object) -> int:
    """Return ``max_spikes``; raises InvalidInput unless it is an int >= 1."""
    if not is_whole(max_spikes) or not 0 < max_spikes <= 2**62:
        raise InvalidInput("max_spikes", None, max_spikes, "an int from 1 to 2**62")
    return int(max_spikes)


def check_seed(seed: object) -> int:
    return whole(seed, "seed", 0)


def check_count(n: object) -> int:
    return whole(n, "n", 1)


def check_size(n: object, populations: Mapping[str, AnyPopulation]) -> int:
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
            remedy = nearest(str(population), sorted(populations))
            raise InvalidInput(role, None, population, f"one of the populations {sorted(populations)}", remedy)


def check_names(chosen: bool | str | Iterable[str], allowed: tuple[str, ...], argument: str) -> tuple[str, ...]:
    """Return the chosen names as a tuple in the order of `allowed`; True means all, False none."""
    if isinstance(chosen, bool):
        return allowed if chosen else ()
    chosen = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    for name in chosen:
        if name not in allowed:
            remedy = nearest(str(name), allowed)
            raise InvalidInput(argument, None, name, f"names among {allowed}, or True, or False", remedy)
    return tuple(name for name in allowed if name in chosen)


def __getattr__(name: str) -> object:
    return renamed.find("checks", name)
