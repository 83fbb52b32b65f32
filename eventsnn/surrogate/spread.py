"""Delays spread over steps of a grid, and narrowed in training."""

import math
from dataclasses import dataclass
from typing import Any, cast

from ..aliases import Milliseconds
from ..arrays import is_number
from ..checks import answers_keywords, flag, one_of, positive
from ..citing import DCLS_DELAYS, DELREC, Paper
from ..errors import InvalidInput

SPREAD_KINDS = ("gaussian", "triangle")


@answers_keywords
@dataclass(frozen=True)
class Spread:
    """How delays spread over the steps of the grid in training, and how that shrinks.

    ``kind``: "gaussian" or "triangle" (eventsnn.surrogate.taps). ``longest`` (ms): delays are kept at or below it, and
    a gaussian spreads over all lags up to it; None, for a triangle, sets no limit: its buffer grows with the delays.
    ``sigma`` (ms, > 0): at first and at last; between, it falls exponentially over ``epochs`` epochs.
    ``learned``: each delay has a width p of its own, 2 sigmoid(p) sigma. ``rounds``: after each epoch the delays
    themselves are rounded to steps, from which the next epoch goes on (as in the DelRec code).
    """

    kind: str
    sigma: tuple[Milliseconds, Milliseconds] | Milliseconds
    epochs: float = 1.0
    longest: Milliseconds | None = None
    learned: bool = False
    rounds: bool = False

    def __post_init__(self) -> None:
        one_of(self.kind, "spread.kind", SPREAD_KINDS)
        sigma: Any = (self.sigma, self.sigma) if is_number(self.sigma) else self.sigma
        pair = isinstance(sigma, (tuple, list)) and len(sigma) == 2
        if not pair or not all(is_number(s) and 0 < s < math.inf for s in sigma):
            raise InvalidInput("spread.sigma", None, self.sigma, "two widths > 0 (ms): at first and at the end")
        object.__setattr__(self, "sigma", tuple(map(float, sigma)))
        for key, value in (("learned", self.learned), ("rounds", self.rounds)):
            flag(value, f"spread.{key}")
        positive(self.epochs, "spread.epochs", "a finite number of epochs > 0")
        if self.longest is None and self.kind == "gaussian":
            raise InvalidInput(
                "spread.longest", None, None, "the longest delay (ms) of a gaussian, which spreads over all"
            )
        if self.longest is not None:
            positive(self.longest, "spread.longest", "a finite number > 0 (ms), or None")

    @property
    def papers(self) -> tuple[Paper, ...]:
        """Where delays were first spread so."""
        return {"gaussian": (DCLS_DELAYS,), "triangle": (DELREC,)}[self.kind]

    def width(self, epoch: float) -> Milliseconds:
        """Return sigma (ms) in an epoch, counted from 0."""
        first, last = cast(tuple[float, float], self.sigma)  # two since __post_init__
        return first * (last / first) ** min(epoch / self.epochs, 1.0)
