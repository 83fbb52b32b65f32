"""Adam and SGD as pure functions on flat dicts {name: float64 array}, with schedules, bounds and gradient clipping.

    state = optimizer.initialize(params)
    params, state = optimizer.step(params, grads, state)

Nothing is changed in place: a step either returns the new parameters and state or raises and has done nothing. The
state is a flat dict of numpy arrays, so that a checkpoint can hold it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Bound, Description, Floats, Parameters
from ..arrays import plain_array
from ..checks import SMALLEST, number
from ..citing import Paper
from ..errors import InvalidInput, NotFinite
from .schedules import Schedule, as_schedule, build_described
from .settings import (
    KnownBounds,
    Limits,
    Rate,
    RateLike,
    as_bounds,
    as_decay,
    as_pattern,
    as_rate,
    check_patterns,
    known,
    last_match,
)

# Arrays are walked in blocks whose temporaries (128 KiB each) stay in the second-level cache.
BLOCK = 16384
# {kind: class} of all optimisers, which enter themselves where they are defined.
KINDS: dict[str, type["Optimizer"]] = {}


def _as_parameter(value: npt.ArrayLike, name: str) -> Floats:
    array = plain_array(value, name)
    if array.dtype != np.float64:
        raise InvalidInput(name, None, array.dtype, "a float64 array")
    return array


def _flat(array: Floats) -> Floats:
    return np.ascontiguousarray(array).reshape(-1)


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def _first_not_finite(array: Floats) -> tuple[int, ...] | None:
    """Return the index of the first entry that is not finite, or None."""
    flat = _flat(array)
    for part in _blocks(flat.size):
        finite = np.isfinite(flat[part])
        if not finite.all():
            place = part.start + int(np.argmin(finite))
            return tuple(int(i) for i in np.unravel_index(place, array.shape))
    return None


def _place(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name


class Plan(NamedTuple):
    """What one array's update needs to know besides its values."""

    rate: float
    decay: float
    decoupled: bool
    scale: float
    largest: float
    low: Bound
    high: Bound
    updates: int

    def prepare(self, gradient: Floats, parameter: Floats, out: Floats) -> Floats:
        """Clip the gradient and add the coupled weight decay; writes to `out` only where there is something to do."""
        if self.largest < math.inf:
            gradient = np.clip(gradient, -self.largest, self.largest, out=out)
        if self.scale != 1.0:
            gradient = np.multiply(gradient, self.scale, out=out)
        if self.decay > 0 and not self.decoupled:
            gradient = self.decay * parameter + gradient
        return gradient

    def finish(self, parameter: Floats, update: Floats, out: Floats, part: slice) -> int:
        """Write parameter - update, after decoupled weight decay, within the bounds; returns how many were moved.

        ``part``: where the block stands in the array.
        """
        if self.decay > 0 and self.decoupled:
            parameter = parameter * (1.0 - self.rate * self.decay)
        np.subtract(parameter, update, out=out)
        low, high = (_flat(side)[part] if isinstance(side, np.ndarray) else side for side in (self.low, self.high))
        if np.ndim(low) == np.ndim(high) == 0 and low == -math.inf and high == math.inf:
            return 0
        moved = int(np.count_nonzero((out < low) | (out > high)))
        if moved:
            np.clip(out, low, high, out=out)
        return moved


DECOUPLED = Paper(("I. Loshchilov", "F. Hutter"), "Decoupled weight decay regularization", "ICLR", 2019)


@dataclass(frozen=True)
class Optimizer:
    """Base class of Adam and SGD: options, checks, clipping and the walk over blocks.

    ``learning_rate`` (>= 0); ``schedule`` multiplies it; ``learning_rates``: {pattern: number, Schedule or (number,
    Schedule)}, where a number replaces learning_rate, a Schedule replaces schedule, the last matching pattern wins and
    patterns are those of fnmatch ("*.delay"); ``bounds``: {name: (low, high)} applied after every step, each side a
    number, None for no bound, or an array of one per entry, as ``Network.bounds`` returns them; ``clip_value`` limits
    each gradient entry, ``clip_norm`` then the norm of all of them together;
    ``weight_decay``: a number for "*.weight", or {pattern: number}, added to the gradient or, with ``decoupled``,
    taken off the parameter at the same rate (Loshchilov & Hutter 2019).
    """

    learning_rate: float
    _: KW_ONLY
    learning_rates: Mapping[str, RateLike] = field(default_factory=dict)
    schedule: Schedule | None = None
    bounds: Mapping[str, Limits] | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    weight_decay: float | dict[str, float] = 0.0
    decoupled: bool = False
    kind: ClassVar[str] = ""
    slots: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[Paper, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            KINDS.setdefault(cls.kind, cls)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "learning_rate", number(self.learning_rate, "learning_rate", "a finite number >= 0", 0.0))
        if self.schedule is not None:
            as_schedule(self.schedule, "schedule")
        rates = {
            as_pattern(pattern, "learning_rates"): as_rate(entry, f"learning_rates[{pattern!r}]")
            for pattern, entry in dict(self.learning_rates).items()
        }
        set_field(self, "learning_rates", rates)
        set_field(self, "weight_decay", as_decay(self.weight_decay))
        set_field(self, "bounds", as_bounds(self.bounds))
        for name in ("clip_norm", "clip_value"):
            if (value := getattr(self, name)) is not None:
                set_field(self, name, number(value, name, "a finite number > 0, or None", SMALLEST))

    @property
    def papers(self) -> tuple[Paper, ...]:
        """What the optimiser is after, and how its weights decay."""
        return (*self.sources, DECOUPLED) if self.weight_decay and self.decoupled else self.sources

    # what __post_init__ has made of these fields
    @property
    def _rates(self) -> dict[str, Rate]:
        return cast(dict[str, Rate], self.learning_rates)

    @property
    def _decay(self) -> dict[str, float]:
        return cast(dict[str, float], self.weight_decay)

    @property
    def _limits(self) -> KnownBounds:
        return cast(KnownBounds, self.bounds)

    def _slots(self) -> tuple[str, ...]:
        """Names of the arrays that are kept beside each parameter."""
        return self.slots

    def _update(self, plan: Plan, gradient: Floats, old: dict[str, Floats], new: dict[str, Floats]) -> Floats:
        """Fill the slot blocks `new` from `old`; return the update to subtract (a block the caller may keep)."""
        raise NotImplementedError

    def initialize(self, params: Mapping[str, Floats], names: Iterable[str] | None = None) -> dict[str, Array]:
        """Return the state before the first step: a flat dict of numpy arrays.

        ``params``: {name: finite float64 array}; ``names``: those that will be updated (all, if None).
        Keys: "step", "clipped_steps", "clipped_entries" (int64, 0-d) and for each name "updates/NAME" and
        "projected/NAME" (int64, 0-d: updates made, entries moved back into bounds so far) and the moments.
        Raises InvalidInput for bad parameters and for a pattern or bound that fits no parameter.
        """
        names = list(params) if names is None else list(names)
        check_patterns(self.learning_rates, params, "learning_rates")
        check_patterns(self._decay, params, "weight_decay")
        for name in self._limits:
            known(name, params, "bounds")
        as_bounds(self._limits, {name: np.shape(values) for name, values in params.items()})
        state: dict[str, Array] = {
            key: np.zeros((), dtype=np.int64) for key in ("step", "clipped_steps", "clipped_entries")
        }
        for name in names:
            known(name, params, "names")
            parameter = _as_parameter(params[name], name)
            if (bad := _first_not_finite(parameter)) is not None:
                raise InvalidInput(name, bad, float(parameter[bad]), "finite numbers")
            for key in ("updates", "projected"):
                state[f"{key}/{name}"] = np.zeros((), dtype=np.int64)
            for slot in self._slots():
                state[f"{slot}/{name}"] = np.zeros(parameter.shape)
        return state

    def rates(self, names: Iterable[str], step: int) -> dict[str, float]:
        """Return {name: learning rate} that update ``step`` (0 for the first) uses."""
        found = {}
        for name in names:
            value, schedule = last_match(self._rates, name, Rate(None, None))
            value = self.learning_rate if value is None else value
            schedule = self.schedule if schedule is None else schedule
            factor = 1.0 if schedule is None else float(schedule(step))
            found[name] = number(value * factor, f"learning rate of {name}", "a finite number >= 0", 0.0)
        return found

    def step(
        self,
        params: Mapping[str, Floats],
        grads: Mapping[str, Floats],
        state: Mapping[str, Array],
        bounds: Mapping[str, Limits] | None = None,
    ) -> tuple[Parameters, dict[str, Array]]:
        """Return (new params, new state) after one update.

        ``grads``: {name: float64 array of the parameter's shape}; parameters without a gradient are handed on as the
        same array objects. ``bounds``: {name: (low, high)}, instead of the optimiser's own. Raises InvalidInput for
        unknown names and wrong shapes, NotFinite for a gradient with NaN or inf and for an update that overflows.
        """
        for name in self._limits if bounds is None else bounds:
            known(name, params, "bounds")
        shapes = {name: np.shape(values) for name, values in params.items()}
        limits = as_bounds(self._limits if bounds is None else bounds, shapes)
        step = _counter(state, "step")
        gradients = self._check(params, grads, state, step)
        scale, clipped_entries = self._clip(gradients)
        rates = self.rates(gradients, step)
        new_params, new_state = dict(params), dict(state)
        for name, gradient in gradients.items():
            low, high = limits.get(name, (-math.inf, math.inf))
            largest = math.inf if self.clip_value is None else self.clip_value
            decay = last_match(self._decay, name, 0.0)
            updates = _counter(state, f"updates/{name}") + 1
            plan = Plan(rates[name], decay, self.decoupled, scale, largest, low, high, updates)
            new_params[name], changed = self._advance(name, params[name], gradient, state, plan)
            new_state.update(changed)
        _count(new_state, "step", 1)
        _count(new_state, "clipped_steps", int(scale != 1.0))
        _count(new_state, "clipped_entries", clipped_entries)
        return new_params, new_state

    def _check(
        self, params: Mapping[str, Floats], grads: Mapping[str, Floats], state: Mapping[str, Array], step: int
    ) -> Parameters:
        """Return {name: gradient array} in the order of `params`, all checked before anything is computed."""
        for name in grads:
            known(name, params, "gradients")
        gradients = {}
        for name in params:
            if name not in grads:
                continue
            parameter = _as_parameter(params[name], name)
            gradient = _as_parameter(grads[name], f"gradient of {name}")
            if gradient.shape != parameter.shape:
                raise InvalidInput(f"gradient of {name}", None, gradient.shape, f"the shape {parameter.shape}")
            for slot in self._slots():
                kept = state.get(f"{slot}/{name}")
                if not isinstance(kept, np.ndarray) or kept.shape != parameter.shape or kept.dtype != np.float64:
                    found = None if kept is None else (np.shape(kept), getattr(kept, "dtype", type(kept)))
                    remedy = "Use the state that initialize or the last step of this optimiser returned."
                    allowed = f"a float64 array of shape {parameter.shape}"
                    raise InvalidInput(f"state['{slot}/{name}']", None, found, allowed, remedy)
            if (bad := _first_not_finite(gradient)) is not None:
                raise NotFinite(f"gradient of {_place(name, bad)} ({gradient[bad]})", step)
            gradients[name] = gradient
        return gradients

    def _clip(self, gradients: Parameters) -> tuple[float, int]:
        """Return (factor that brings the global norm down to clip_norm, number of entries beyond clip_value)."""
        largest = math.inf if self.clip_value is None else self.clip_value
        if self.clip_value is None and self.clip_norm is None:
            return 1.0, 0
        flats = [_flat(gradient) for gradient in gradients.values()]
        beyond = 0
        if self.clip_value is not None:
            beyond = sum(int(np.count_nonzero(np.abs(flat[p]) > largest)) for flat in flats for p in _blocks(flat.size))
        if self.clip_norm is None:
            return 1.0, beyond
        top, root = _norm(flats, largest)
        return (self.clip_norm / top / root if top * root > self.clip_norm else 1.0), beyond

    def _advance(
        self, name: str, parameter: Floats, gradient: Floats, state: Mapping[str, Array], plan: Plan
    ) -> tuple[Floats, dict[str, Array]]:
        """Return (new parameter, changed state entries) of one array, block by block."""
        old = {slot: _flat(state[f"{slot}/{name}"]) for slot in self._slots()}
        new = {slot: np.empty_like(values) for slot, values in old.items()}
        shape, parameter, gradient = np.shape(parameter), _flat(parameter), _flat(gradient)
        result = np.empty_like(parameter)
        work = np.empty(min(BLOCK, parameter.size))
        moved = 0
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                for part in _blocks(parameter.size):
                    piece = plan.prepare(gradient[part], parameter[part], work[: parameter[part].size])
                    olds = {slot: values[part] for slot, values in old.items()}
                    news = {slot: values[part] for slot, values in new.items()}
                    update = self._update(plan, piece, olds, news)
                    moved += plan.finish(parameter[part], update, result[part], part)
        except FloatingPointError:
            raise NotFinite(f"update of {name}", _counter(state, "step")) from None
        changed: dict[str, Array] = {f"{slot}/{name}": values.reshape(shape) for slot, values in new.items()}
        changed[f"updates/{name}"] = np.array(plan.updates, dtype=np.int64)
        changed[f"projected/{name}"] = np.array(_counter(state, f"projected/{name}") + moved, dtype=np.int64)
        return result.reshape(shape), changed

    def to_dict(self) -> Description:
        """Return a JSON-able description; patterns are a list of pairs, because their order matters."""
        described: Description = {"kind": self.kind}
        for item in fields(self):
            value = getattr(self, item.name)
            described[item.name] = list(value) if isinstance(value, tuple) else value
        described["schedule"] = None if self.schedule is None else self.schedule.to_dict()
        described["learning_rates"] = [
            [pattern, rate.value, None if rate.schedule is None else rate.schedule.to_dict()]
            for pattern, rate in self._rates.items()
        ]
        described["weight_decay"] = [[pattern, value] for pattern, value in self._decay.items()]
        described["bounds"] = self._limits.described()
        return described

    @staticmethod
    def from_dict(description: Description) -> "Optimizer":
        """Return the Optimizer that ``to_dict`` described; raises InvalidInput for anything else."""
        if not isinstance(description, dict):
            raise InvalidInput("optimizer", None, description, "a dict that to_dict returned")
        arguments = dict(description)
        try:
            if arguments.get("schedule") is not None:
                arguments["schedule"] = Schedule.from_dict(arguments["schedule"])
            arguments["learning_rates"] = {
                pattern: (value, None if schedule is None else Schedule.from_dict(schedule))
                for pattern, value, schedule in arguments.get("learning_rates", [])
            }
            arguments["weight_decay"] = dict(arguments.get("weight_decay", []))
            if isinstance(arguments.get("betas"), list):
                arguments["betas"] = tuple(arguments["betas"])
        except (TypeError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput("optimizer", None, description, "a dict that to_dict returned") from None
        return build_described(KINDS, arguments, "optimizer")


def _counter(state: Mapping[str, Array], key: str) -> int:
    """Read a 0-d integer of the state."""
    value = np.asarray(state.get(key, np.nan))
    if value.ndim != 0 or value.dtype.kind not in "iu" or value < 0:
        remedy = "Use the state that initialize or the last step of this optimiser returned."
        raise InvalidInput(f"state['{key}']", None, state.get(key), "an integer >= 0 (0-d)", remedy)
    return int(value)


def _count(state: dict[str, Array], key: str, more: int) -> None:
    state[key] = np.array(_counter(state, key) + more, dtype=np.int64)


def _norm(flats: Sequence[Floats], largest: float) -> tuple[float, float]:
    """Return (a, b) with a * b the norm of all entries, each limited to +-largest; neither overflows or underflows.

    Block sums are added exactly and no BLAS is used, so that the result does not depend on a number of threads.
    """
    top = max((max(float(flat.max()), -float(flat.min())) for flat in flats if flat.size), default=0.0)
    top = min(top, largest)
    if top == 0.0:
        return 0.0, 0.0
    squares = []
    for flat in flats:
        for part in _blocks(flat.size):
            piece = np.clip(flat[part], -top, top)
            piece /= top
            squares.append(float(np.square(piece, out=piece).sum()))
    return top, math.sqrt(math.fsum(squares))
