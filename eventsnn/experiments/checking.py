"""Refuse settings that no other part of the library would refuse by name, and before any data are read."""

import math
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

from ..aliases import Milliseconds
from ..checks import nearest, positive, share
from ..data.sets.mnist import POOLS
from ..errors import Conflict, InvalidInput, Unsupported, said_as
from ..spikes.structured import MILLISECONDS
from ..surrogate.network import DELAY_SHARING, RESETS
from ..surrogate.slopes import SURROGATES
from ..surrogate.spread import Spread
from .settings import (
    DELAYS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    SOURCES,
    WITH_VALIDATION,
    DataSettings,
    GridSettings,
    Preset,
)

# What each hidden neuron may learn for itself.
TRAINED_CONSTANTS = ("tau_mem", "tau_syn", "v_threshold")
LEAST = {
    "data.merge": 1, "data.samples": 1, "data.seed": 0, "network.input_synapses": 1, "grid.synapses": 1,
    "training.epochs": 1, "training.batch_size": 1, "training.shards": 1, "training.seed": 0,
    "training.spike_strength": 0, "training.silent_raise": 0,
}  # fmt: skip
# The default of earlier: the settings of a grid that were written then hold it.
FORMER_MAX_SPIKES = 10_000_000
ON_GRID = "a network on a grid has no use for it"


def checked(preset: Preset) -> Preset:
    """Return the preset; raises InvalidInput for what it cannot be made with."""
    if Path(preset.name).name != preset.name or preset.name in ("", ".", ".."):
        raise InvalidInput("name", None, preset.name, "a name that a folder can have: a run lies in runs/NAME")
    _check_data(preset.data)
    _check_network(preset)
    if (dt := preset.grid.dt) is not None:
        _check_grid(preset, dt)
    else:
        for item in fields(GridSettings):
            _check_unused("grid", preset.grid, item.name, "the network is not on a grid: grid.dt is none")
    _check_loss(preset)
    _check_optimizer(preset)
    for place, least in LEAST.items():
        table, _, name = place.partition(".")
        value = getattr(getattr(preset, table), name)
        if value is not None and not least <= value < math.inf:
            raise InvalidInput(place, None, value, f"a number >= {least}")
    return preset


def check_used(presets: Sequence[Preset], keys: Iterable[str]) -> None:
    """Refuse settings (``keys``, such as "network.recurrent_delay") that were asked for and are idle.

    ``presets``: one for each mode of delays that is to be trained. What none of these looks at, but another mode would,
    is warned of: one of several modes may be trained alone. A preset may hold idle settings all the same: one switches
    recurrence off, whatever is said of it.
    """
    never, now = idle([replace(preset, delays="learned") for preset in presets]), idle(presets)
    for key in keys:
        table, _, name = key.partition(".")
        if key in never:
            value = getattr(getattr(presets[0], table), name)
            raise Unsupported(key, None, value, f"nothing, because {never[key]}", "Leave it out.")
        if key in now:
            warnings.warn(f"{key} makes no difference, because {now[key]}", stacklevel=2)


def idle(presets: Sequence[Preset]) -> dict[str, str]:
    """Return {setting: why} of the settings that nothing looks at in any of these presets."""
    found = [_idle(preset) for preset in presets]
    return {key: reason for key, reason in found[0].items() if all(key in other for other in found[1:])}


def choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a word that is not among the allowed ones."""
    if value not in allowed:
        raise InvalidInput(name, None, value, f"one of {', '.join(allowed)}", nearest(str(value), list(allowed)))


def check_reach(preset: Preset, duration: Milliseconds) -> None:
    """Refuse delays that are all as long as the data: what is sent arrives after their end.

    But for those that are spread over steps in training, which may find their way back.
    """
    spread = preset.trained_delays if preset.grid.dt is not None else ()
    for role in (role for role in preset.kept_delays if role not in spread):
        delay = getattr(preset.network, f"{role}_delay")
        if min(_numbers(delay), default=0.0) >= duration:
            raise InvalidInput(f"network.{role}_delay", None, delay, f"delays below the {duration:g} ms of the data")


def _check_longest(preset: Preset, roles: Iterable[str], longest: Milliseconds, allowed: str) -> None:
    """Refuse numbers of delays above a limit."""
    for role in roles:
        delay = getattr(preset.network, f"{role}_delay")
        if max(_numbers(delay), default=0.0) > longest:
            raise InvalidInput(f"network.{role}_delay", None, delay, allowed)


def _idle(preset: Preset) -> dict[str, str]:
    """{setting: why nothing looks at it} of the settings that others make idle."""
    found: dict[str, str] = {}

    def add(table: str, keys: Iterable[str], reason: str) -> None:
        found.update({f"{table}.{key}": reason for key in keys})

    optimizer, none_trained = preset.optimizer, f"no delays are trained: delays is {preset.delays!r}"
    for role, what in (("input", "hidden layers"), ("between", "second hidden layer"), ("recurrent", "recurrence")):
        if role not in preset.roles:
            keys = (f"{role}_{key}" for key in ("weight", "delay", "sparsity"))
            add("network", keys, f"the network has no {what}")
    for role in preset.delayed("feed-forward", "recurrent"):
        if role not in preset.kept_delays:
            add("network", [f"{role}_delay"], f"delays is {preset.delays!r}")
    if "recurrent" not in preset.roles:
        add("grid", ("recurrent_layers", "recurrent_dropout"), "the network has no recurrence")
    if not preset.delayed("recurrent"):
        add("grid", ("recurrent_delay_per",), "the network has no recurrent delays")
    if "recurrent" not in preset.trained_delays:
        reason = "no recurrent delays are trained"
        add("grid", ("recurrent_sigma", "recurrent_sigma_epochs", "learned_width"), reason)
        add("optimizer", ("width_learning_rate",), reason)
    if not preset.delayed("feed-forward"):
        add("grid", ("synapses",), "no feed-forward connection has delays")
    if not set(preset.trained_delays) - {"recurrent"}:
        add("grid", ("sigma", "sigma_epochs", "longest_delay"), "no feed-forward delays are trained")
    if not preset.trained_delays:
        add("grid", ("round_delays",), none_trained)
        add("optimizer", ("delay_learning_rate", "delay_schedule", "max_delay"), none_trained)
    if not preset.network.hidden:
        of_layers = ("reset", "detach_reset", "surrogate", "surrogate_slope", "batch_norm", "dropout", "input_dropout")
        add("grid", of_layers, "the network has no hidden layers")
    if not {"tau_mem", "tau_syn"} & set(preset.network.train_neurons):
        add("optimizer", ("tau_learning_rate",), "network.train_neurons has no time constants")
    if "cosine" not in (optimizer.schedule, optimizer.delay_schedule):
        add("optimizer", ("final",), "no schedule is a cosine")
    if optimizer.weight_decay == 0:
        add("optimizer", ("decoupled",), "optimizer.weight_decay is 0")
    if preset.training.spike_strength == 0:
        add("training", ("spike_target", "spike_only_above"), "training.spike_strength is 0")
    if preset.augmentation.blend == 0:
        add("augmentation", ("blend_keep",), "augmentation.blend is 0")
    if preset.data.validation_groups:
        add("data", ("validation_fraction",), "data.validation_groups say what is held out")
    elif preset.data.validation_fraction > 0 and (preset.data.source in WITH_VALIDATION or preset.data.validation):
        add("data", ("validation_fraction",), "these data have a validation set of their own; 0 does without it")
    return found


def _check_unused(table: str, settings: object, name: str, reason: str) -> None:
    """Refuse a setting that nothing would look at, unless it has its default."""
    value, default = getattr(settings, name), getattr(type(settings)(), name)
    if value != default:
        raise Unsupported(f"{table}.{name}", None, value, f"{default!r}, because {reason}")


def _check_kind(table: str, settings: object, key: str, uses: Mapping[str, Collection[str]]) -> None:
    """Refuse settings that are for other values of ``key`` than its own; ``uses``: {value: names of settings}."""
    kind = getattr(settings, key)
    for name in sorted({name for names in uses.values() for name in names} - set(uses[kind])):
        users = " or ".join(user for user, names in uses.items() if name in names)
        _check_unused(table, settings, name, f"{table}.{key} {kind!r} has no use for it: it is for {users}")


def _check_data(settings: DataSettings) -> None:
    choice("data.source", settings.source, tuple(SOURCES))
    _check_kind("data", settings, "source", SOURCES)
    if settings.time_unit is not None:
        choice("data.time_unit", settings.time_unit, tuple(MILLISECONDS))
    if settings.pool not in POOLS:
        raise InvalidInput("data.pool", None, settings.pool, f"one of {', '.join(map(str, POOLS))}")
    shares = {name: getattr(settings, name) for name in ("validation_fraction", "test_fraction")}
    for name, value in shares.items():
        share(value, f"data.{name}", "a share from 0 to 1 (excluded)")
    if settings.source.startswith("braille") and not 0 < sum(shares.values()) < 1:
        allowed = f"with data.validation_fraction, {settings.validation_fraction:g}, above 0 and below 1"
        raise InvalidInput("data.test_fraction", None, settings.test_fraction, allowed)


def _check_network(preset: Preset) -> None:
    settings = preset.network
    choice("network.output", settings.output, ("readout", "spikes"))
    for role in ("input", "between", "recurrent", "output"):
        value = getattr(settings, f"{role}_delay")
        # what is drawn from a range is kept above, so that nobody else would say so
        if min(_numbers(value), default=0.0) < 0:
            raise InvalidInput(f"network.{role}_delay", None, value, "delays >= 0 ms")
    for key in settings.train_neurons:
        choice("network.train_neurons", key, TRAINED_CONSTANTS)
    for index, size in enumerate(settings.hidden):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InvalidInput("network.hidden", index, size, "numbers of neurons >= 1")
    if settings.input_synapses > 1 and not settings.hidden:
        raise Conflict("network.input_synapses", None, settings.input_synapses, "1 without hidden layers")
    choice("delays", preset.delays, DELAYS)
    if preset.delays in ("feed-forward", "recurrent") and not preset.delayed(preset.delays):
        allowed = f"learned, fixed or none: this network has no {preset.delays} delays that could be learned alone"
        raise Unsupported("delays", None, preset.delays, allowed)


def _numbers(delay: object) -> list[float]:
    """The numbers of a setting of delays, whatever its nesting; none of a distribution that is named."""
    if isinstance(delay, (int, float)) and not isinstance(delay, bool):
        return [delay]
    if isinstance(delay, (list, tuple)) and not any(isinstance(item, str) for item in delay):
        return [number for item in delay for number in _numbers(item)]
    return []


def _check_grid(preset: Preset, dt: Milliseconds) -> None:
    """Refuse what a grid has no use for, and numbers of layers that are not there."""
    network, grid = preset.network, preset.grid
    positive(dt, "grid.dt", "a time > 0 ms, or none")
    if network.output != "readout":
        raise Unsupported("network.output", None, network.output, "readout, because the network is on a grid")
    if network.input_synapses > 1:
        raise Unsupported("network.input_synapses", None, network.input_synapses, "1: see grid.synapses")
    taus = ("tau_mem",) if network.tau_syn is None else ("tau_mem", "tau_syn")
    for key in network.train_neurons:
        choice("network.train_neurons", key, taus)
    _check_unused("network", network, "min_delay", ON_GRID)
    for name in ("shards", "neuron_drop", "silent_raise"):
        _check_unused("training", preset.training, name, ON_GRID)
    if preset.training.max_spikes != FORMER_MAX_SPIKES:
        _check_unused("training", preset.training, "max_spikes", ON_GRID)
    if preset.training.average is not None and grid.batch_norm and network.hidden:
        allowed = "none with grid.batch_norm, whose statistics belong to other weights than the averages"
        raise Conflict("training.average", None, preset.training.average, allowed)
    words = {"reset": RESETS, "surrogate": tuple(SURROGATES), "recurrent_delay_per": DELAY_SHARING}
    for name, known in words.items():
        choice(f"grid.{name}", getattr(grid, name), known)
    layers = range(1, len(network.hidden) + 1)
    for index, number in enumerate(grid.recurrent_layers):
        if number not in layers:
            raise InvalidInput("grid.recurrent_layers", index, number, f"numbers of hidden layers: {list(layers)}")
    _check_spread(preset)


def _check_spread(preset: Preset) -> None:
    """Refuse widths that cannot be, used or not, and delays longer than what they spread over."""
    grid, longest = preset.grid, preset.grid.longest_delay
    for kind, role in (("gaussian", ""), ("triangle", "recurrent_")):
        with said_as({"spread.sigma": f"grid.{role}sigma"}):
            spread_out = Spread(kind, getattr(grid, f"{role}sigma"), longest=1.0)
        first, last = cast(tuple[Milliseconds, Milliseconds], spread_out.sigma)
        if first < last:
            allowed = "two widths, the second not above the first"
            raise InvalidInput(f"grid.{role}sigma", None, getattr(grid, f"{role}sigma"), allowed)
        part = getattr(grid, f"{role}sigma_epochs")
        if not 0 < part <= 1:
            raise InvalidInput(f"grid.{role}sigma_epochs", None, part, "a share of the epochs, 0 < share <= 1")
    if longest is not None:
        positive(longest, "grid.longest_delay", "a time > 0 ms, or none")
    spread = [role for role in preset.trained_delays if role != "recurrent"]
    if longest is not None:
        _check_longest(preset, spread, longest, f"delays up to grid.longest_delay, {longest:g} ms")
    elif spread:
        allowed = f"the longest delay (ms) that network.{spread[0]}_delay may come to, over which it is spread"
        raise InvalidInput("grid.longest_delay", None, None, allowed)


def _check_loss(preset: Preset) -> None:
    """Refuse a loss that reads what the output is not, and settings of other losses."""
    kind, on_grid = preset.loss.kind, preset.grid.dt is not None
    choice("loss.kind", kind, tuple(LOSSES))
    _check_kind("loss", preset.loss, "kind", {kind: names for kind, (_, names, _) in LOSSES.items()})
    readable = {"readout", "grid"} if on_grid else {preset.network.output}
    if LOSSES[kind][2] not in readable:
        allowed = ", ".join(name for name, (_, _, reads) in LOSSES.items() if reads in readable)
        where = "the network is on a grid" if on_grid else f"network.output is {preset.network.output!r}, in events"
        raise Unsupported("loss.kind", None, kind, f"one of {allowed}, because {where}")


def _check_optimizer(preset: Preset) -> None:
    settings = preset.optimizer
    choice("optimizer.kind", settings.kind, tuple(OPTIMIZERS))
    choice("optimizer.schedule", settings.schedule, SCHEDULES)
    if settings.delay_schedule is not None:
        choice("optimizer.delay_schedule", settings.delay_schedule, SCHEDULES)
    if not preset.grid.learned_width:
        reason = "no width is learned: see grid.learned_width"
        _check_unused("optimizer", settings, "width_learning_rate", reason)
    longest = settings.max_delay
    if longest is None:
        return
    if not longest > 0:
        raise InvalidInput("optimizer.max_delay", None, longest, "a time > 0 ms, or none")
    allowed = f"delays up to optimizer.max_delay, {longest:g} ms, which the first step would cut off"
    _check_longest(preset, preset.trained_delays, longest, allowed)
