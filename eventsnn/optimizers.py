"""Adam and SGD as pure functions on flat dicts {name: float64 array}, with schedules, bounds and gradient clipping.

    state = optimizer.initialize(params)
    params, state = optimizer.step(params, grads, state)

Nothing is changed in place: a step either returns the new parameters and state or raises and has done nothing. The
state is a flat dict of numpy arrays, so that a checkpoint can hold it.
"""

import fnmatch
import math
import sys
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .arrays import is_number, is_whole, plain_array
from .errors import InvalidInput, NotFinite

# Arrays are walked in blocks whose temporaries (128 KiB each) stay in the second-level cache.
BLOCK = 16384
# A moment that only decays ends in denormal numbers, which cost Adam a factor 1.6 or more. At beta = 0.9 the way from
# NEGLIGIBLE to the first denormal is about 390 steps, so clearing every FLUSH_EVERY steps comes in time.
FLUSH_EVERY = 256
NEGLIGIBLE = 1e-290


LARGEST = sys.float_info.max
SMALLEST = sys.float_info.min


def _number(value, name, allowed, low=-LARGEST, high=LARGEST):
    """Return `value` as a finite float within [low, high], or raise InvalidInput."""
    if not is_number(value):
        raise InvalidInput(name, None, value, allowed)
    if not low <= value <= high:  # refuses NaN and infinities too
        raise InvalidInput(name, None, value, allowed)
    return float(value)


def _whole(value, name, low):
    if not is_whole(value) or value < low:
        raise InvalidInput(name, None, value, f"an int >= {low}")
    return int(value)


# ---------------------------------------------------------------------------------------------------- schedules


@dataclass(frozen=True)
class Schedule:
    """Base class: ``schedule(step)`` is the factor (>= 0) on the learning rate of update ``step`` = 0, 1, 2, ..."""

    kind: ClassVar[str] = ""

    def __call__(self, step):
        raise NotImplementedError

    def __mul__(self, other):
        """Return the product with another schedule or with a number."""
        other = other if isinstance(other, Schedule) else ConstantRate(other)
        return Product(self, other)

    __rmul__ = __mul__

    def to_dict(self):
        """Return a JSON-able description, for example {"kind": "cosine", "total_steps": 100, "final": 0.0}."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {"kind": self.kind, **{k: v.to_dict() if isinstance(v, Schedule) else v for k, v in values.items()}}

    @staticmethod
    def from_dict(description):
        """Return the Schedule that ``to_dict`` described; raises InvalidInput for an unknown kind or field."""
        return _build(_SCHEDULES, description, "schedule")


@dataclass(frozen=True)
class ConstantRate(Schedule):
    """The same ``factor`` (>= 0) at every step."""

    factor: float = 1.0
    kind: ClassVar[str] = "constant"

    def __post_init__(self):
        object.__setattr__(self, "factor", _number(self.factor, "ConstantRate.factor", "a finite number >= 0", 0.0))

    def __call__(self, step):
        return self.factor


@dataclass(frozen=True)
class EaseIn(Schedule):
    """``start * growth**step``, at most 1 (0 < ``start`` <= 1 <= ``growth``): Mészáros et al. 2025 use growth 1.05."""

    start: float
    growth: float = 1.05
    kind: ClassVar[str] = "ease_in"

    def __post_init__(self):
        object.__setattr__(self, "start", _number(self.start, "EaseIn.start", "0 < start <= 1", SMALLEST, 1.0))
        object.__setattr__(self, "growth", _number(self.growth, "EaseIn.growth", "a finite number >= 1", 1.0))

    def __call__(self, step):
        if step * math.log(self.growth) >= -math.log(self.start):  # also keeps the power from overflowing
            return 1.0
        return min(1.0, self.start * self.growth**step)


@dataclass(frozen=True)
class Exponential(Schedule):
    """``decay ** (step // every)``: the rate falls by ``decay`` (in (0, 1]) once in ``every`` steps."""

    decay: float
    every: int = 1
    kind: ClassVar[str] = "exponential"

    def __post_init__(self):
        object.__setattr__(self, "decay", _number(self.decay, "Exponential.decay", "0 < decay <= 1", SMALLEST, 1.0))
        object.__setattr__(self, "every", _whole(self.every, "Exponential.every", 1))

    def __call__(self, step):
        return self.decay ** (step // self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 at step 0 to ``final`` (>= 0) at ``total_steps`` and after (Loshchilov & Hutter 2017)."""

    total_steps: int
    final: float = 0.0
    kind: ClassVar[str] = "cosine"

    def __post_init__(self):
        object.__setattr__(self, "total_steps", _whole(self.total_steps, "Cosine.total_steps", 1))
        object.__setattr__(self, "final", _number(self.final, "Cosine.final", "a finite number >= 0", 0.0))

    def __call__(self, step):
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

    def __post_init__(self):
        object.__setattr__(self, "total_steps", _whole(self.total_steps, "OneCycle.total_steps", 1))
        object.__setattr__(self, "peak", _number(self.peak, "OneCycle.peak", "a finite number >= 0", 0.0))
        object.__setattr__(self, "warmup", _number(self.warmup, "OneCycle.warmup", "0 <= warmup <= 1", 0.0, 1.0))
        for name in ("start_div", "final_div"):
            value = _number(getattr(self, name), f"OneCycle.{name}", "a finite number >= 1", 1.0)
            object.__setattr__(self, name, value)

    def __call__(self, step):
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

    def __post_init__(self):
        for name in ("first", "second"):
            _as_schedule(getattr(self, name), f"Product.{name}")

    def __call__(self, step):
        return self.first(step) * self.second(step)


def _between(start, end, part):
    """Half a cosine from `start` at part 0 to `end` at part 1, exact at both ends."""
    weight = (1.0 + math.cos(math.pi * part)) / 2.0
    return start * weight + end * (1.0 - weight)


_SCHEDULES = {kind.kind: kind for kind in (ConstantRate, EaseIn, Exponential, Cosine, OneCycle, Product)}


def _build(kinds, description, what):
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


def _as_schedule(value, name):
    if not isinstance(value, Schedule):
        raise InvalidInput(name, None, value, "a Schedule, for example Cosine(1000)")
    return value


# ------------------------------------------------------------------------------------------- options and checks


class Rate(NamedTuple):
    """Learning rate and schedule of one pattern; None stands for the optimiser's common one."""

    value: float | None
    schedule: Schedule | None


def _as_rate(entry, name):
    """Normalise a number, a Schedule or a pair (number, Schedule) to a Rate."""
    if isinstance(entry, Schedule):
        return Rate(None, entry)
    value, schedule = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, None)
    if value is not None:
        value = _number(value, name, "a number >= 0, a Schedule, or a pair (number, Schedule)", 0.0)
    return Rate(value, schedule if schedule is None else _as_schedule(schedule, name))


def _as_decay(weight_decay):
    """Normalise weight_decay to {pattern: number}; a bare number means the weights and spares delays and constants."""
    if not isinstance(weight_decay, dict):
        value = _number(weight_decay, "weight_decay", "a finite number >= 0, or {pattern: number}", 0.0)
        return {"*.weight": value} if value > 0 else {}
    return {
        _as_pattern(pattern, "weight_decay"): _number(value, f"weight_decay[{pattern!r}]", "a finite number >= 0", 0.0)
        for pattern, value in weight_decay.items()
    }


def _as_pattern(pattern, name):
    if not isinstance(pattern, str):
        raise InvalidInput(name, None, pattern, 'name patterns such as "*.delay" as keys')
    return pattern


def _as_limit(value, name, infinite):
    """Return one side of a pair of bounds as a float; None and `infinite` mean unbounded."""
    if value is None or (isinstance(value, float) and value == infinite):
        return infinite
    return _number(value, name, "a number, or None for no bound")


def _as_bounds(bounds):
    """Normalise {name: (low, high)} to pairs of floats."""
    limits = {}
    for name, pair in ({} if bounds is None else dict(bounds)).items():
        label = f"bounds[{name!r}]"
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InvalidInput(label, None, pair, "a pair (low, high)")
        low, high = _as_limit(pair[0], label, -math.inf), _as_limit(pair[1], label, math.inf)
        if low > high:
            raise InvalidInput(label, None, pair, "low <= high")
        limits[name] = (low, high)
    return limits


def check_within(params, bounds):
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
            allowed = f"numbers from {low:g} to {high:g}, the bounds in training"
            shown = index[0] if len(index) == 1 else index or None
            raise InvalidInput(name, shown, float(array[index]), allowed, remedy)


def _last_match(patterns, name, default):
    """Value of the last pattern that matches `name`."""
    return next((value for p, value in reversed(patterns.items()) if fnmatch.fnmatchcase(name, p)), default)


def _check_patterns(patterns, names, what):
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise InvalidInput(what, None, pattern, f"a pattern that matches one of {', '.join(sorted(names))}")


def _known(name, names, what):
    if name not in names:
        raise InvalidInput(what, None, name, f"the names {', '.join(sorted(names))}")


def _as_parameter(value, name):
    array = plain_array(value, name)
    if array.dtype != np.float64:
        raise InvalidInput(name, None, array.dtype, "a float64 array")
    return array


def _flat(array):
    return np.ascontiguousarray(array).reshape(-1)


def _blocks(size):
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def _first_not_finite(array):
    """Return the index of the first entry that is not finite, or None."""
    flat = _flat(array)
    for part in _blocks(flat.size):
        finite = np.isfinite(flat[part])
        if not finite.all():
            place = part.start + int(np.argmin(finite))
            return tuple(int(i) for i in np.unravel_index(place, array.shape))
    return None


def _place(name, index):
    return f"{name}[{', '.join(map(str, index))}]" if index else name


# ----------------------------------------------------------------------------------------------------- the step


class _Plan(NamedTuple):
    """What one array's update needs to know besides its values."""

    rate: float
    decay: float
    decoupled: bool
    scale: float
    largest: float
    low: float
    high: float
    updates: int

    def prepare(self, gradient, parameter, out):
        """Clip the gradient and add the coupled weight decay; writes to `out` only where there is something to do."""
        if self.largest < math.inf:
            gradient = np.clip(gradient, -self.largest, self.largest, out=out)
        if self.scale != 1.0:
            gradient = np.multiply(gradient, self.scale, out=out)
        if self.decay > 0 and not self.decoupled:
            gradient = self.decay * parameter + gradient
        return gradient

    def finish(self, parameter, update, out):
        """Write parameter - update, after decoupled weight decay, within the bounds; returns how many were moved."""
        if self.decay > 0 and self.decoupled:
            parameter = parameter * (1.0 - self.rate * self.decay)
        np.subtract(parameter, update, out=out)
        if self.low == -math.inf and self.high == math.inf:
            return 0
        moved = int(np.count_nonzero((out < self.low) | (out > self.high)))
        if moved:
            np.clip(out, self.low, self.high, out=out)
        return moved


@dataclass(frozen=True)
class Optimizer:
    """Base class of Adam and SGD: options, checks, clipping and the walk over blocks.

    ``learning_rate`` (>= 0); ``schedule`` multiplies it; ``learning_rates``: {pattern: number, Schedule or (number,
    Schedule)}, where a number replaces learning_rate, a Schedule replaces schedule, the last matching pattern wins and
    patterns are those of fnmatch ("*.delay"); ``bounds``: {name: (low, high)} applied after every step;
    ``clip_value`` limits each gradient entry, ``clip_norm`` then the norm of all of them together;
    ``weight_decay``: a number for "*.weight", or {pattern: number}, added to the gradient or, with ``decoupled``,
    taken off the parameter at the same rate (Loshchilov & Hutter 2019).
    """

    learning_rate: float
    _: KW_ONLY
    learning_rates: dict = field(default_factory=dict)
    schedule: Schedule | None = None
    bounds: dict | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    weight_decay: Any = 0.0
    decoupled: bool = False
    kind: ClassVar[str] = ""
    slots: ClassVar[tuple] = ()

    def __post_init__(self):
        set_field = object.__setattr__
        set_field(self, "learning_rate", _number(self.learning_rate, "learning_rate", "a finite number >= 0", 0.0))
        if self.schedule is not None:
            _as_schedule(self.schedule, "schedule")
        rates = {
            _as_pattern(pattern, "learning_rates"): _as_rate(entry, f"learning_rates[{pattern!r}]")
            for pattern, entry in dict(self.learning_rates).items()
        }
        set_field(self, "learning_rates", rates)
        set_field(self, "weight_decay", _as_decay(self.weight_decay))
        set_field(self, "bounds", _as_bounds(self.bounds))
        for name in ("clip_norm", "clip_value"):
            if (value := getattr(self, name)) is not None:
                set_field(self, name, _number(value, name, "a finite number > 0, or None", SMALLEST))

    def _slots(self):
        """Names of the arrays that are kept beside each parameter."""
        return self.slots

    def _update(self, plan, gradient, old, new):
        """Fill the slot blocks `new` from `old`; return the update to subtract (a block the caller may keep)."""
        raise NotImplementedError

    def initialize(self, params, names=None):
        """Return the state before the first step: a flat dict of numpy arrays.

        ``params``: {name: finite float64 array}; ``names``: those that will be updated (all, if None).
        Keys: "step", "clipped_steps", "clipped_entries" (int64, 0-d) and for each name "updates/NAME" and
        "projected/NAME" (int64, 0-d: updates made, entries moved back into bounds so far) and the moments.
        Raises InvalidInput for bad parameters and for a pattern or bound that fits no parameter.
        """
        names = list(params) if names is None else list(names)
        _check_patterns(self.learning_rates, params, "learning_rates")
        _check_patterns(self.weight_decay, params, "weight_decay")
        for name in self.bounds:
            _known(name, params, "bounds")
        state = {key: np.zeros((), dtype=np.int64) for key in ("step", "clipped_steps", "clipped_entries")}
        for name in names:
            _known(name, params, "names")
            parameter = _as_parameter(params[name], name)
            if (bad := _first_not_finite(parameter)) is not None:
                raise InvalidInput(name, bad, float(parameter[bad]), "finite numbers")
            for key in ("updates", "projected"):
                state[f"{key}/{name}"] = np.zeros((), dtype=np.int64)
            for slot in self._slots():
                state[f"{slot}/{name}"] = np.zeros(parameter.shape)
        return state

    def rates(self, names, step):
        """Return {name: learning rate} that update ``step`` (0 for the first) uses."""
        found = {}
        for name in names:
            value, schedule = _last_match(self.learning_rates, name, Rate(None, None))
            value = self.learning_rate if value is None else value
            schedule = self.schedule if schedule is None else schedule
            factor = 1.0 if schedule is None else float(schedule(step))
            found[name] = _number(value * factor, f"learning rate of {name}", "a finite number >= 0", 0.0)
        return found

    def step(self, params, grads, state, bounds=None):
        """Return (new params, new state) after one update.

        ``grads``: {name: float64 array of the parameter's shape}; parameters without a gradient are handed on as the
        same array objects. ``bounds``: {name: (low, high)}, instead of the optimiser's own. Raises InvalidInput for
        unknown names and wrong shapes, NotFinite for a gradient with NaN or inf and for an update that overflows.
        """
        limits = self.bounds if bounds is None else _as_bounds(bounds)
        for name in limits:
            _known(name, params, "bounds")
        step = _counter(state, "step")
        gradients = self._check(params, grads, state, step)
        scale, clipped_entries = self._clip(gradients)
        rates = self.rates(gradients, step)
        new_params, new_state = dict(params), dict(state)
        for name, gradient in gradients.items():
            low, high = limits.get(name, (-math.inf, math.inf))
            largest = math.inf if self.clip_value is None else self.clip_value
            decay = _last_match(self.weight_decay, name, 0.0)
            updates = _counter(state, f"updates/{name}") + 1
            plan = _Plan(rates[name], decay, self.decoupled, scale, largest, low, high, updates)
            new_params[name], changed = self._advance(name, params[name], gradient, state, plan)
            new_state.update(changed)
        _count(new_state, "step", 1)
        _count(new_state, "clipped_steps", int(scale != 1.0))
        _count(new_state, "clipped_entries", clipped_entries)
        return new_params, new_state

    def _check(self, params, grads, state, step):
        """Return {name: gradient array} in the order of `params`, all checked before anything is computed."""
        for name in grads:
            _known(name, params, "gradients")
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

    def _clip(self, gradients):
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

    def _advance(self, name, parameter, gradient, state, plan):
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
                    moved += plan.finish(parameter[part], update, result[part])
        except FloatingPointError:
            raise NotFinite(f"update of {name}", _counter(state, "step")) from None
        changed = {f"{slot}/{name}": values.reshape(shape) for slot, values in new.items()}
        changed[f"updates/{name}"] = np.array(plan.updates, dtype=np.int64)
        changed[f"projected/{name}"] = np.array(_counter(state, f"projected/{name}") + moved, dtype=np.int64)
        return result.reshape(shape), changed

    def to_dict(self):
        """Return a JSON-able description; patterns are a list of pairs, because their order matters."""
        described = {"kind": self.kind}
        for item in fields(self):
            value = getattr(self, item.name)
            described[item.name] = list(value) if isinstance(value, tuple) else value
        described["schedule"] = None if self.schedule is None else self.schedule.to_dict()
        described["learning_rates"] = [
            [pattern, rate.value, None if rate.schedule is None else rate.schedule.to_dict()]
            for pattern, rate in self.learning_rates.items()
        ]
        described["weight_decay"] = [[pattern, value] for pattern, value in self.weight_decay.items()]
        described["bounds"] = {
            name: [limit if math.isfinite(limit) else None for limit in pair] for name, pair in self.bounds.items()
        }
        return described

    @staticmethod
    def from_dict(description):
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
        return _build(_OPTIMIZERS, arguments, "optimizer")


def _counter(state, key):
    """Read a 0-d integer of the state."""
    value = np.asarray(state.get(key, np.nan))
    if value.ndim != 0 or value.dtype.kind not in "iu" or value < 0:
        remedy = "Use the state that initialize or the last step of this optimiser returned."
        raise InvalidInput(f"state['{key}']", None, state.get(key), "an integer >= 0 (0-d)", remedy)
    return int(value)


def _count(state, key, more):
    state[key] = np.array(_counter(state, key) + more, dtype=np.int64)


def _norm(flats, largest):
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


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam with bias correction (Kingma & Ba 2015, algorithm 1); with ``decoupled`` weight decay it is AdamW.

    ``betas`` in [0, 1) twice, ``epsilon`` > 0, added outside the square root; the rest as in Optimizer. A parameter
    that gets a gradient only now and then has its own count of updates for the bias correction.
    """

    learning_rate: float = 1e-3
    betas: tuple = (0.9, 0.999)
    epsilon: float = 1e-8
    kind: ClassVar[str] = "adam"
    slots: ClassVar[tuple] = ("first", "second")

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise InvalidInput("betas", None, self.betas, "a pair of numbers, each 0 <= beta < 1")
        below_one = math.nextafter(1.0, 0.0)
        betas = tuple(_number(beta, "betas", "0 <= beta < 1", 0.0, below_one) for beta in self.betas)
        object.__setattr__(self, "betas", betas)
        object.__setattr__(self, "epsilon", _number(self.epsilon, "epsilon", "a finite number > 0", SMALLEST))

    def _update(self, plan, gradient, old, new):
        beta1, beta2 = self.betas
        first, second = new["first"], new["second"]
        work = np.multiply(gradient, 1.0 - beta1)
        np.multiply(old["first"], beta1, out=first)
        first += work
        np.multiply(gradient, gradient, out=work)
        work *= 1.0 - beta2
        np.multiply(old["second"], beta2, out=second)
        second += work
        if plan.updates % FLUSH_EVERY == 0:
            first[np.abs(first) < NEGLIGIBLE] = 0.0
            second[second < NEGLIGIBLE] = 0.0
        np.divide(second, 1.0 - beta2**plan.updates, out=work)
        np.sqrt(work, out=work)
        work += self.epsilon
        update = np.divide(first, 1.0 - beta1**plan.updates)
        update /= work
        update *= plan.rate
        return update


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with ``momentum`` in [0, 1) and, if ``nesterov``, a look ahead (Sutskever et al. 2013).

    velocity = momentum * velocity + gradient; the update is rate * velocity, or rate * (gradient + momentum *
    velocity) with ``nesterov``; the rest as in Optimizer.
    """

    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False
    kind: ClassVar[str] = "sgd"
    slots: ClassVar[tuple] = ("velocity",)

    def __post_init__(self):
        super().__post_init__()
        below_one = math.nextafter(1.0, 0.0)
        momentum = _number(self.momentum, "momentum", "0 <= momentum < 1", 0.0, below_one)
        object.__setattr__(self, "momentum", momentum)
        if self.nesterov and momentum == 0.0:
            raise InvalidInput("nesterov", None, self.nesterov, "False where momentum is 0")

    def _slots(self):
        return self.slots if self.momentum > 0 else ()

    def _update(self, plan, gradient, old, new):
        if self.momentum == 0.0:
            return gradient * plan.rate
        velocity = new["velocity"]
        np.multiply(old["velocity"], self.momentum, out=velocity)
        velocity += gradient
        if plan.updates % FLUSH_EVERY == 0:
            velocity[np.abs(velocity) < NEGLIGIBLE] = 0.0
        if not self.nesterov:
            return velocity * plan.rate
        update = velocity * self.momentum
        update += gradient
        update *= plan.rate
        return update


_OPTIMIZERS = {"adam": Adam, "sgd": SGD}
