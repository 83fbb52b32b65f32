"""Learning rates that change from step to step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..aliases import Description
from ..checks import SMALLEST, number, whole
from ..citing import Paper
from ..errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WARM_RESTARTS = Paper(
    ("I. Loshchilov", "F. Hutter"), "SGDR: stochastic gradient descent with warm restarts", "ICLR", 2017
)
SUPER_CONVERGENCE = Paper(
    ("L. N. Smith", "N. Topin"),
    "Super-convergence: very fast training of neural networks using large learning rates", "arXiv", 2018, "1708.07120",
    journal=True,
)  # fmt: skip

Described = TypeVar("Described", bound="DataclassInstance")


@dataclass(frozen=True)
class Schedule:
    """Base class: ``schedule(step)`` is the factor (>= 0) on the learning rate of update ``step`` = 0, 1, 2, ..."""

    kind: ClassVar[str] = ""

    def __call__(self, step: int) -> float:
        raise NotImplementedError

    def __mul__(self, other: Schedule | float) -> Product:
        """Return the product with another schedule or with a number."""
        other = other if isinstance(other, Schedule) else ConstantRate(other)
        return Product(self, other)

    __rmul__ = __mul__

    def to_dict(self) -> Description:
        """Return a JSON-able description, for example {"kind": "cosine", "total_steps": 100, "final": 0.0}."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {"kind": self.kind, **{k: v.to_dict() if isinstance(v, Schedule) else v for k, v in values.items()}}

    @staticmethod
    def from_dict(description: Description) -> Schedule:
        """Return the Schedule that ``to_dict`` described; raises InvalidInput for an unknown kind or field."""
        return build_described(_SCHEDULES, description, "schedule")


@dataclass(frozen=True)
class ConstantRate(Schedule):
    """The same ``factor`` (>= 0) at every step."""

    factor: float = 1.0
    kind: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", number(self.factor, "ConstantRate.factor", "a finite number >= 0", 0.0))

    def __call__(self, step: int) -> float:
        return self.factor


@dataclass(frozen=True)
class EaseIn(Schedule):
    """``start * growth**step``, at most 1 (0 < ``start`` <= 1 <= ``growth``): Mészáros et al. 2025 use growth 1.05."""

    start: float
    growth: float = 1.05
    kind: ClassVar[str] = "ease_in"

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", number(self.start, "EaseIn.start", "0 < start <= 1", SMALLEST, 1.0))
        object.__setattr__(self, "growth", number(self.growth, "EaseIn.growth", "a finite number >= 1", 1.0))

    def __call__(self, step: int) -> float:
        if step * math.log(self.growth) >= -math.log(self.start):  # also keeps the power from overflowing
            return 1.0
        return min(1.0, self.start * self.growth**step)


@dataclass(frozen=True)
class Exponential(Schedule):
    """``decay ** (step // every)``: the rate falls by ``decay`` (in (0, 1]) once in ``every`` steps."""

    decay: float
    every: int = 1
    kind: ClassVar[str] = "exponential"

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", number(self.decay, "Exponential.decay", "0 < decay <= 1", SMALLEST, 1.0))
        object.__setattr__(self, "every", whole(self.every, "Exponential.every", 1))

    def __call__(self, step: int) -> float:
        return self.decay ** (step // self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 at step 0 to ``final`` (>= 0) at ``total_steps`` and after (Loshchilov & Hutter 2017)."""

    total_steps: int
    final: float = 0.0
    kind: ClassVar[str] = "cosine"
    papers: ClassVar[tuple[Paper, ...]] = (WARM_RESTARTS,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total_steps", whole(self.total_steps, "Cosine.total_steps", 1))
        object.__setattr__(self, "final", number(self.final, "Cosine.final", "a finite number >= 0", 0.0))

    def __call__(self, step: int) -> float:
        return _between(1.0, self.final, min(step / self.total_steps, 1.0))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine up to ``peak`` in the first ``warmup`` part of the steps, half a cosine down in the rest.

    Starts at peak / ``start_div`` and ends, at step total_steps - 1 and after, at peak / (start_div * ``final_div``):
    the steps and defaults of torch.optim.lr_scheduler.OneCycleLR (Smith & Topin 2018), whose max_lr is peak times the
    learning rate; Adam's beta1 stays as it is, which torch lets fall and rise unless cycle_momentum is False.
    """

    total_steps: int
    peak: float = 1.0
    warmup: float = 0.3
    start_div: float = 25.0
    final_div: float = 1e4
    kind: ClassVar[str] = "one_cycle"
    papers: ClassVar[tuple[Paper, ...]] = (SUPER_CONVERGENCE,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total_steps", whole(self.total_steps, "OneCycle.total_steps", 1))
        object.__setattr__(self, "peak", number(self.peak, "OneCycle.peak", "a finite number >= 0", 0.0))
        object.__setattr__(self, "warmup", number(self.warmup, "OneCycle.warmup", "0 <= warmup <= 1", 0.0, 1.0))
        for name in ("start_div", "final_div"):
            value = number(getattr(self, name), f"OneCycle.{name}", "a finite number >= 1", 1.0)
            object.__setattr__(self, name, value)

    def __call__(self, step: int) -> float:
        start = self.peak / self.start_div
        top = max(self.warmup * self.total_steps - 1.0, 0.0)
        last = max(self.total_steps - 1.0, top)
        if step < top:
            return _between(start, self.peak, step / top)
        fallen = 0.0 if step == top else 1.0 if step >= last else (step - top) / (last - top)
        return _between(self.peak, start / self.final_div, fallen)


@dataclass(frozen=True)
class Product(Schedule):
    """The product of two schedules; ``a * b`` builds it."""

    first: Schedule
    second: Schedule
    kind: ClassVar[str] = "product"

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            as_schedule(getattr(self, name), f"Product.{name}")

    def __call__(self, step: int) -> float:
        return self.first(step) * self.second(step)


def _between(start: float, end: float, part: float) -> float:
    """Half a cosine from `start` at part 0 to `end` at part 1, exact at both ends."""
    weight = (1.0 + math.cos(math.pi * part)) / 2.0
    return start * weight + end * (1.0 - weight)


_SCHEDULES: dict[str, type[Schedule]] = {
    kind.kind: kind for kind in (ConstantRate, EaseIn, Exponential, Cosine, OneCycle, Product)
}


def build_described(kinds: Mapping[str, type[Described]], description: Any, what: str) -> Described:
    """Build an object from the dict its to_dict wrote; nested schedules are built first."""
    if not isinstance(description, dict) or description.get("kind") not in list(kinds):
        raise InvalidInput(what, None, description, f'a dict whose "kind" is one of {", ".join(sorted(kinds))}')
    build = kinds[description["kind"]]
    names = [item.name for item in fields(build)]
    unknown = [name for name in description if name != "kind" and name not in names]
    if unknown:
        raise InvalidInput(what, None, unknown[0], f"the fields {', '.join(names)}")
    arguments = {name: value for name, value in description.items() if name != "kind"}
    if build is Product:
        arguments = {name: Schedule.from_dict(value) for name, value in arguments.items()}
    try:
        return build(**arguments)
    except TypeError:
        raise InvalidInput(what, None, sorted(arguments), f"all of the fields {', '.join(names)}") from None


def as_schedule(value: object, name: str) -> Schedule:
    if not isinstance(value, Schedule):
        raise InvalidInput(name, None, value, "a Schedule, for example Cosine(1000)")
    return value
