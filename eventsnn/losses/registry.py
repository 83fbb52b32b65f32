"""Losses by name: what presets call them, what they read, and which settings they take."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from ..errors import InvalidInput

Class = TypeVar("Class", bound=type)
READS = ("readout", "spikes", "grid")


class Known(NamedTuple):
    """A loss that has a name: its class, the settings of [loss] that it takes, and what it reads."""

    loss: Callable[..., Any]
    settings: tuple[str, ...]
    reads: str


# {name: Known}
KNOWN: dict[str, Known] = {}


def register(kind: str, *, reads: str, settings: tuple[str, ...] = ()) -> Callable[[Class], Class]:
    """Return a decorator that enters a loss under the name ``kind``, which presets may then give as ``loss.kind``.

    ``reads``: what the loss reads, the "readout" or the "spikes" of the output, or the voltages of a "grid" step by
    step; ``settings``: those of the table [loss] of a preset (tau_window, tau, delta) that its class takes, all other
    fields keep their defaults. Raises InvalidInput for a name that another class has.
    """
    if reads not in READS:
        raise InvalidInput("reads", None, reads, f"one of {', '.join(READS)}")

    def entered(loss: Class) -> Class:
        before = KNOWN.get(kind)
        # the same class once more, of a file that was loaded anew, takes the place of the first
        if before is not None and getattr(before.loss, "__qualname__", None) != loss.__qualname__:
            raise InvalidInput("kind", None, kind, f"a name that is free: {before.loss.__name__} has this one")
        KNOWN[kind] = Known(loss, settings, reads)
        return loss

    return entered
