"""Working memory that outlives a call: fresh pages from the system cost more than the arithmetic done in them.

A buffer set is taken, used by one thread, and given back. Only the sets of the most recent key of each kind are kept,
so what is held is what the last simulation and the last gradient needed.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Taken = TypeVar("Taken")

# {kind: (the most recent key, idle buffer sets of that key)}
_idle: dict[str, tuple[object, list[Any]]] = {}


def take(kind: str, key: object, make: Callable[[], Taken]) -> Taken:
    """Return an idle buffer set of this kind and key, or ``make()`` a new one.

    List operations are atomic, so threads need no lock.
    """
    known, idle = _idle.get(kind, (None, []))
    if known != key:
        idle = []
        _idle[kind] = (key, idle)
    try:
        return idle.pop()
    except IndexError:
        return make()


def give(kind: str, key: object, buffers: object) -> None:
    """Give a buffer set back for later use; one that no longer fits what is being run is dropped."""
    known, idle = _idle.get(kind, (None, []))
    if known == key:
        idle.append(buffers)


def release_memory() -> None:
    """Give all idle working memory back to the system."""
    _idle.clear()
