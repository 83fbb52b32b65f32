"""Complete experiments as plain settings: data, network, loss, optimiser and training in one Preset, or a TOML file.

A TOML file has the tables and keys of ``Preset``; ``base = "spoken-digits"`` starts from a named preset, and what is
not given keeps its value there. Every key that is not known is refused.
"""

import difflib
import math
import tomllib
import types
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from . import losses, surrogate
from .catalogue import PRESETS
from .data import (
    Augmentation,
    Dataset,
    hdf5,
    load_braille,
    load_braille_analog,
    load_sequential_mnist,
    load_speech_commands,
    load_spoken_digits,
    load_yin_yang,
    sequence_detection,
)
from .data.dataset import find_file
from .data.shd import ORIGIN
from .errors import InvalidInput
from .initializers import Initializer, Normal, Uniform
from .network import NEURON_ATTRIBUTES, Network
from .optimizers import SGD, Adam, ConstantRate, Cosine, EaseIn, Exponential, OneCycle
from .sharding import N_SHARDS
from .training import TrainingOptions

DELAYS = ("learned", "fixed", "none", "feed-forward", "recurrent")
SHARED_DELAY = 1.0  # ms: what a recurrent connection has where delays are "none", or the network's min_delay if longer
# the settings of data that only some sources have a use for
SOURCES = {
    "spoken-digits": ("folder", "validation_groups"),
    "yin-yang": (),
    "sequence": (),
    "files": ("train", "test", "validation", "n_units", "validation_groups"),
    "braille": ("train", "test_fraction"),
    "braille-analog": ("train", "test_fraction", "threshold"),
    "sequential-mnist": ("folder", "permuted", "pool"),
    "speech-commands": ("folder",),
}
LOSSES = {
    "exponential_mean_voltage": (losses.ExponentialMeanVoltage, ("tau_window",)),
    "mean_voltage": (losses.MeanVoltage, ()),
    "max_voltage": (losses.MaxVoltage, ()),
    "first_spike": (losses.FirstSpike, ("tau",)),
    "relative_first_spike": (losses.RelativeFirstSpike, ("delta",)),
    "summed_softmax": (losses.SummedSoftmax, ()),
    "summed_voltage": (losses.SummedVoltage, ()),
}
SCHEDULES = ("constant", "cosine", "one_cycle")
OPTIMIZERS = {"adam": Adam, "sgd": SGD}


@dataclass(frozen=True)
class DataSettings:
    """Where samples come from.

    ``source``: "spoken-digits" (shipped; ``folder``: where, None: found), "yin-yang", "sequence"; "files": ``train``
    and ``test``, and ``validation`` where there is one, are spike files in SHD's layout with ``n_units`` channels;
    "braille" and "braille-analog": ``train`` is the .npz file, of which ``test_fraction`` of each class are the test
    set, and ``threshold`` codes the analog sweeps as events; "sequential-mnist": ``folder`` is where its IDX files are,
    ``permuted`` deals the pixels and ``pool`` (2, 4, 7) makes squares of that side one pixel; "speech-commands":
    ``folder`` holds one folder of wav files per word. Files and folders are looked for in the folder EVENTSNN_DATA too.
    ``merge``: neighbouring channels made one; ``duration`` (ms, None: the source's own; needed for "files");
    ``validation_groups``: groups (speakers) held out of training, else ``validation_fraction`` of each class is (a
    ``validation`` file, "yin-yang" and "sequence" have a set of their own in its place); 0: nothing is, and the last
    epoch's parameters are the result;
    ``samples``: use only so many training samples; ``seed``: generated data and drawn splits.
    """

    source: str = "spoken-digits"
    folder: str | None = None
    train: str | None = None
    test: str | None = None
    validation: str | None = None
    threshold: float = 5.0
    test_fraction: float = 0.2
    n_units: int | None = None
    permuted: bool = True
    pool: int = 1
    merge: int = 1
    duration: float | None = None
    validation_groups: list = field(default_factory=list)
    validation_fraction: float = 0.1
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class NetworkSettings:
    """Input, hidden LIF layers of the sizes ``hidden``, output; taus in ms (``tau_syn`` "none": on a grid alone).

    ``output``: "readout" (leaky integrators) or "spikes" (LIF). Weights are [mean, sd] of a normal distribution or one
    number; delays (ms) are [low, high] of a uniform distribution, one number, a matrix, or "none"; both may be named,
    with the numbers of that distribution in eventsnn.initializers: "kaiming", ["half_normal", 67]. ``input_*`` is the
    connection from the input, ``between_*`` from layer to layer, ``recurrent_*`` within each layer (``recurrent``
    switches it), ``output_*`` to the output; ``input_synapses``: how many synapses each input has on each neuron, with
    weights and delays of their own (without delays, one with the sum of their weights); ``*_sparsity`` is the fraction
    of absent synapses, drawn from the data's seed. ``train_weights``: False keeps the weights as drawn.
    ``train_neurons``: which of "tau_mem", "tau_syn" and "v_threshold" each hidden neuron learns for itself.
    """

    hidden: list = field(default_factory=lambda: [128])
    recurrent: bool = True
    output: str = "readout"
    tau_mem: float = 20.0
    tau_syn: float | None = 5.0
    v_threshold: float = 1.0
    output_tau_mem: float = 20.0
    output_tau_syn: float | None = 5.0
    input_weight: Any = field(default_factory=lambda: [0.03, 0.01])
    between_weight: Any = field(default_factory=lambda: [0.02, 0.03])
    recurrent_weight: Any = field(default_factory=lambda: [0.0, 0.02])
    output_weight: Any = field(default_factory=lambda: [0.0, 0.03])
    input_delay: Any = field(default_factory=lambda: [0.0, 100.0])
    between_delay: Any = field(default_factory=lambda: [0.0, 100.0])
    recurrent_delay: Any = field(default_factory=lambda: [1.0, 30.0])
    output_delay: Any = None
    input_synapses: int = 1
    input_sparsity: float = 0.0
    between_sparsity: float = 0.0
    recurrent_sparsity: float = 0.0
    output_sparsity: float = 0.0
    min_delay: float = 1.0
    train_weights: bool = True
    train_neurons: list = field(default_factory=list)


@dataclass(frozen=True)
class GridSettings:
    """Steps of ``dt`` ms and surrogate gradients in place of events (``dt`` "none"): DCLS-delays, DelRec, both.

    Neurons: ``reset``, ``detach_reset``, ``surrogate`` and ``surrogate_slope``, ``batch_norm``, ``bias`` (false, a
    number, or a distribution as of weights; that of the output too), ``dropout`` and ``input_dropout`` as in
    surrogate.GridNetwork.add_lif. Feed-forward delays are those of synapses, up to ``longest_delay`` ms, and in
    training spread as gaussians of width ``sigma`` [first, last] ms, which falls during the first ``sigma_epochs`` (a
    share) of the run; ``synapses`` from each neuron to each. Recurrent delays, in the layers ``recurrent_layers``
    (numbers from 1; []: in all), belong to each "neuron" (axonal) or "synapse" (``recurrent_delay_per``) and spread as
    triangles of ``recurrent_sigma`` that falls during ``recurrent_sigma_epochs``, with ``learned_width`` by a factor of
    their own; ``recurrent_dropout``: of recurrent input. ``round_delays``: after each epoch the delays are rounded to
    steps, from which the next goes on.
    """

    dt: float | None = None
    reset: str = "hard"
    detach_reset: bool = True
    surrogate: str = "arctangent"
    surrogate_slope: float = 5.0
    batch_norm: bool = True
    bias: Any = False
    dropout: float = 0.0
    input_dropout: float = 0.0
    synapses: int = 1
    longest_delay: float | None = None
    sigma: list = field(default_factory=lambda: [120.0, 5.0])
    sigma_epochs: float = 0.25
    recurrent_layers: list = field(default_factory=list)
    recurrent_delay_per: str = "neuron"
    recurrent_sigma: list = field(default_factory=lambda: [100.0, 0.6])
    recurrent_sigma_epochs: float = 1.0
    recurrent_dropout: float = 0.0
    learned_width: bool = False
    round_delays: bool = False


@dataclass(frozen=True)
class LossSettings:
    """``kind``: a key of LOSSES; ``tau_window`` (None: the duration), ``tau``, ``delta``: ms, where the loss has it."""

    kind: str = "exponential_mean_voltage"
    tau_window: float | None = None
    tau: float = 5.0
    delta: float = 1.0


@dataclass(frozen=True)
class OptimizerSettings:
    """``kind`` "adam" or "sgd"; rates of weights, of delays (ms per step), of trained time constants (ms per step).

    ``width_learning_rate``: of the learned widths of delays on a grid (None: as of weights).
    ``output_learning_rate``: of the weights to the output (None: as the others): a mean over a long duration makes
    small logits, which larger output weights make up for.
    ``schedule``: "constant", "cosine" or "one_cycle" over all steps of the run; ``final``: where the cosine ends;
    ``delay_schedule``: that of delays, and of widths with a rate of their own (None: the same);
    ``decay``: factor on the rate after each epoch; ``ease_in``: initial factor that grows by 5 % a step (None: off);
    ``max_delay`` (ms, None: no limit); ``clip_norm`` (None: off); ``weight_decay`` of the weights, ``decoupled`` or
    added to their gradient.
    """

    kind: str = "adam"
    learning_rate: float = 1e-3
    delay_learning_rate: float = 0.2
    tau_learning_rate: float = 0.05
    width_learning_rate: float | None = None
    output_learning_rate: float | None = None
    schedule: str = "constant"
    delay_schedule: str | None = None
    final: float = 0.0
    decay: float = 1.0
    ease_in: float | None = None
    max_delay: float | None = None
    clip_norm: float | None = None
    weight_decay: float = 0.0
    decoupled: bool = True


@dataclass(frozen=True)
class TrainingSettings:
    """The loop: see training.TrainingOptions.

    ``spike_target`` and ``spike_strength`` (0: off) are losses.SpikeCountTarget on each hidden layer, and
    ``spike_only_above`` its only_above; ``silent_raise`` (0: off) is the amount of losses.SilentNeuronRaise.
    """

    epochs: int = 20
    batch_size: int = 32
    seed: int = 0
    patience: int | None = None
    monitor: str = "accuracy"
    average: float | None = None
    neuron_drop: float = 0.0
    spike_target: float = 14.0
    spike_strength: float = 0.0
    spike_only_above: bool = False
    silent_raise: float = 0.0
    max_spikes: int = 10_000_000
    shards: int = N_SHARDS


@dataclass(frozen=True)
class Preset:
    """One experiment. ``delays``: "learned", "fixed" (as drawn), "none", or one kind alone.

    "feed-forward" and "recurrent": those delays are learned, and the other connections have none. A recurrent
    connection without delays has 1 ms, on a grid one step.
    """

    name: str = "custom"
    description: str = ""
    delays: str = "learned"
    data: DataSettings = field(default_factory=DataSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    grid: GridSettings = field(default_factory=GridSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def to_dict(self):
        """Return the settings as nested dicts that JSON and TOML can hold; ``from_dict`` builds an equal Preset."""
        return asdict(self)


# ------------------------------------------------------------------------------------------- reading and changing


def names():
    """Return the names of the presets."""
    return list(PRESETS)


def _nearest(key, known):
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"Did you mean {found[0]!r}?" if found else ""


def _unknown(place, key, known):
    full = [f"{table.name}.{key}" for table in fields(Preset) if key in _keys_of(table)] if place == "preset" else []
    remedy = f"Did you mean {' or '.join(map(repr, full))}?" if full else _nearest(key, known)
    return InvalidInput(f"{place} key", None, key, f"one of {', '.join(known)}", remedy)


def _keys_of(table):
    """The keys of a field of Preset that is a table of settings; of any other, none."""
    kind = get_type_hints(Preset)[table.name]
    return [item.name for item in fields(kind)] if is_dataclass(kind) else []


def _convert(place, value, kind):
    """Return a setting as its annotated type; None and "none" stand for no value where that is allowed."""
    if kind is Any:
        return None if value == "none" else value
    if isinstance(kind, types.UnionType):
        if value is None or value == "none":
            return None
        kind = next(item for item in get_args(kind) if item is not type(None))
    kind = get_origin(kind) or kind
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is list and isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InvalidInput(place, None, value, f"a value of type {kind.__name__}")
    return value


def _updated(settings, changes, place):
    """Return a settings dataclass with nested ``changes`` made; unknown keys are refused."""
    if not isinstance(changes, dict):
        raise InvalidInput(place, None, changes, f"a table with keys of {[item.name for item in fields(settings)]}")
    hints = get_type_hints(type(settings))
    values = {}
    for key, value in changes.items():
        if key not in hints:
            raise _unknown(place, key, list(hints))
        inside = f"{place}.{key}" if place != "preset" else key
        old = getattr(settings, key)
        values[key] = _updated(old, value, inside) if is_dataclass(old) else _convert(inside, value, hints[key])
    return replace(settings, **values)


def from_dict(description):
    """Return the Preset of nested dicts such as a TOML file holds; "base" names the preset to start from.

    Raises InvalidInput for unknown keys, naming the nearest known one, and for values of the wrong type or range.
    """
    changes = dict(description)
    base = changes.pop("base", None)
    preset = Preset() if base is None else named(base)
    return _checked(_updated(preset, changes, "preset"))


def named(name):
    """Return the preset of that name; raises InvalidInput naming the nearest one."""
    if name not in PRESETS:
        raise InvalidInput("preset", None, name, f"one of {', '.join(PRESETS)}", _nearest(str(name), list(PRESETS)))
    return from_dict(PRESETS[name])


def load(name_or_path):
    """Return a Preset by its name or from a TOML file."""
    path = Path(name_or_path)
    if str(name_or_path) in PRESETS or not (path.suffix == ".toml" or path.is_file()):
        return named(str(name_or_path))
    try:
        description = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput("preset", None, str(path), "a readable TOML file", f"It is not: {error}.") from None
    return from_dict({"name": path.stem, **description})


def change(preset, assignments):
    """Return a Preset with settings changed by strings such as "training.epochs=5" or "delays=fixed".

    Values are read as TOML (numbers, true, [1, 2]); anything else is text.
    """
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput("setting", None, text, "KEY=VALUE, for example training.epochs=5")
        *tables, last = key.strip().split(".")
        change = {last: _value(value.strip())}
        for table in reversed(tables):
            change = {table: change}
        preset = _updated(preset, change, "preset")
    return _checked(preset)


def _value(text):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _choice(name, value, allowed):
    if value not in allowed:
        raise InvalidInput(name, None, value, f"one of {', '.join(allowed)}", _nearest(str(value), list(allowed)))


def _checked(preset):
    """Refuse settings that no other part of the library would refuse by name."""
    _choice("delays", preset.delays, DELAYS)
    _choice("data.source", preset.data.source, tuple(SOURCES))
    _check_kind("data", preset.data, "source", SOURCES)
    _choice("network.output", preset.network.output, ("readout", "spikes"))
    _choice("loss.kind", preset.loss.kind, tuple(LOSSES))
    _check_kind("loss", preset.loss, "kind", {kind: names for kind, (_, names) in LOSSES.items()})
    _choice("optimizer.kind", preset.optimizer.kind, tuple(OPTIMIZERS))
    _choice("optimizer.schedule", preset.optimizer.schedule, SCHEDULES)
    if preset.optimizer.delay_schedule is not None:
        _choice("optimizer.delay_schedule", preset.optimizer.delay_schedule, SCHEDULES)
    _check_delays(preset.network)
    if preset.grid.dt is not None:
        _check_grid(preset)
    else:
        for item in fields(GridSettings):
            _check_unused("grid", preset.grid, item.name, "the network is not on a grid: grid.dt is none")
    if not preset.grid.learned_width:
        reason = "no width is learned: see grid.learned_width"
        _check_unused("optimizer", preset.optimizer, "width_learning_rate", reason)
    for key in preset.network.train_neurons:
        _choice("network.train_neurons", key, NEURON_ATTRIBUTES)
    for index, size in enumerate(preset.network.hidden):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InvalidInput("network.hidden", index, size, "numbers of neurons >= 1")
    if preset.network.input_synapses > 1 and not preset.network.hidden:
        raise InvalidInput("network.input_synapses", None, preset.network.input_synapses, "1 without hidden layers")
    counts = {f"training.{name}": getattr(preset.training, name) for name in ("epochs", "batch_size", "shards")}
    for name, value in {**counts, "network.input_synapses": preset.network.input_synapses}.items():
        if value < 1:
            raise InvalidInput(name, None, value, "an int >= 1")
    return preset


def _check_unused(table, settings, name, reason):
    """Refuse a setting that nothing would look at, unless it has its default."""
    value, default = getattr(settings, name), getattr(type(settings)(), name)
    if value != default:
        raise InvalidInput(f"{table}.{name}", None, value, f"{default!r}, because {reason}")


def _check_kind(table, settings, key, uses):
    """Refuse settings that are for other values of ``key`` than its own; ``uses``: {value: names of settings}."""
    kind = getattr(settings, key)
    for name in sorted({name for names in uses.values() for name in names} - set(uses[kind])):
        users = " or ".join(user for user, names in uses.items() if name in names)
        _check_unused(table, settings, name, f"{table}.{key} {kind!r} has no use for it: it is for {users}")


def _check_delays(settings):
    """Refuse numbers of delays below 0: what is drawn from a range is kept above, so that nobody else would say so."""
    for role in ("input", "between", "recurrent", "output"):
        value = getattr(settings, f"{role}_delay")
        if min(_numbers(value), default=0.0) < 0:
            raise InvalidInput(f"network.{role}_delay", None, value, "delays >= 0 ms")


def _numbers(delay):
    """The numbers of a setting of delays, whatever its nesting; none of a distribution that is named."""
    if isinstance(delay, (int, float)) and not isinstance(delay, bool):
        return [delay]
    if isinstance(delay, (list, tuple)) and not any(isinstance(item, str) for item in delay):
        return [number for item in delay for number in _numbers(item)]
    return []


def _check_grid(preset):
    """Refuse what a grid has no use for, and numbers of layers that are not there."""
    if preset.network.output != "readout":
        raise InvalidInput("network.output", None, preset.network.output, "readout, because the network is on a grid")
    if preset.network.input_synapses > 1:
        raise InvalidInput("network.input_synapses", None, preset.network.input_synapses, "1: see grid.synapses")
    taus = ("tau_mem",) if preset.network.tau_syn is None else ("tau_mem", "tau_syn")
    for key in preset.network.train_neurons:
        _choice("network.train_neurons", key, taus)
    longest = preset.grid.longest_delay
    if longest is not None and not longest > 0:
        raise InvalidInput("grid.longest_delay", None, longest, "a time > 0 ms, or none")
    learned = preset.delays in ("learned", "feed-forward")
    roles = ("input", "between", "output") if len(preset.network.hidden) > 1 else ("input", "output")
    delayed = [role for role in roles if getattr(preset.network, f"{role}_delay") is not None]
    if learned and delayed and longest is None:
        allowed = f"the longest delay (ms) that network.{delayed[0]}_delay may come to, over which it is spread"
        raise InvalidInput("grid.longest_delay", None, None, allowed)
    for role in ("input", "between", "output"):
        delay = getattr(preset.network, f"{role}_delay")
        if longest is not None and max(_numbers(delay), default=0.0) > longest:
            raise InvalidInput(f"network.{role}_delay", None, delay, f"delays up to grid.longest_delay, {longest:g} ms")
    reason = "a network on a grid has no use for it"
    _check_unused("network", preset.network, "min_delay", reason)
    for name in ("max_spikes", "shards"):
        _check_unused("training", preset.training, name, reason)
    layers = range(1, len(preset.network.hidden) + 1)
    for index, number in enumerate(preset.grid.recurrent_layers):
        if number not in layers:
            raise InvalidInput("grid.recurrent_layers", index, number, f"numbers of hidden layers: {list(layers)}")


def control_modes(preset):
    """Return the modes of delays that a Preset can be compared with: four where both kinds of delays are, else two."""
    settings = preset.network
    roles = ("input", "between", "output") if len(settings.hidden) > 1 else ("input", "output")
    forward = any(getattr(settings, f"{role}_delay") is not None for role in roles)
    recurrent = settings.recurrent and settings.hidden and settings.recurrent_delay is not None
    modes = DELAYS if forward and recurrent else DELAYS[:3]
    return [mode for mode in modes if mode != preset.delays]


# --------------------------------------------------------------------------------------------------------- building


class Built(NamedTuple):
    """What ``build`` returns: a Network or a GridNetwork and so on; ``data`` is (train, validation, test)."""

    network: Any
    loss: Any
    optimizer: Any
    options: TrainingOptions
    data: tuple


def build(preset, data=None):
    """Return ``(network, loss, optimizer, options, (train, validation, test))`` of a Preset.

    ``data``: what ``load_data`` returned before, to spare a second reading. The test set is for the very end: training
    and the choice of the best epoch take train and validation.
    """
    data = load_data(preset) if data is None else data
    network = (build_network if preset.grid.dt is None else build_grid_network)(preset, data[0])
    n_batches = -(-len(data[0]) // preset.training.batch_size)
    return Built(network, build_loss(preset), build_optimizer(preset, network, n_batches), build_options(preset), data)


def load_data(preset, test=True):
    """Return (train, validation, test) Datasets of a Preset; validation is None where nothing is held out for it.

    ``test``: False leaves the test set closed, and None in its place.
    """
    settings = preset.data
    train, validation, testing = _read(settings, test)
    sets = (train, validation, testing if test else None)
    if settings.validation_fraction == 0 and not settings.validation_groups:
        sets = (train, None, sets[2])
    elif settings.source in ("spoken-digits", "files") and validation is None:
        sets = (*_split(settings, train), sets[2])
    elif settings.validation_groups:
        allowed = "[] where the data have a validation set of their own, or say no groups (speakers)"
        raise InvalidInput("data.validation_groups", None, settings.validation_groups, allowed)
    for name, data in zip(("training", "validation", "test"), sets, strict=True):
        if data is not None and len(data) == 0:
            allowed = f"a share that leaves samples for each set: none are left for {name}"
            raise InvalidInput("data.validation_fraction", None, settings.validation_fraction, allowed)
    train = sets[0]
    if settings.samples is not None and settings.samples < len(train):
        share = settings.samples / len(train)
        train, _ = train.split((share, 1 - share), settings.seed)
    return (train, *sets[1:])


def _merged(data, factor):
    return data if data is None or factor == 1 else data.merge_channels(factor)


def _duration(settings):
    return {} if settings.duration is None else {"duration": settings.duration}


def _read(settings, test):
    """[train, validation or None, test] of a source, channels merged; a test file is not opened unless ``test``.

    They are merged before they are split, so that the parts share what lies in memory.
    """
    names = {
        "files": ("train", "test", "n_units", "duration"), "braille": ("train",), "braille-analog": ("train",),
        "sequential-mnist": ("folder",), "speech-commands": ("folder",),
    }  # fmt: skip
    for name in names.get(settings.source, ()):
        if getattr(settings, name) is None:
            raise InvalidInput(f"data.{name}", None, None, f"a value, because data.source is {settings.source!r}")
    if settings.source == "files":
        return _read_files(settings, test)
    return [_merged(data, settings.merge) for data in _read_whole(settings)]


def _read_whole(settings):
    if settings.source == "yin-yang":
        return load_yin_yang(settings.seed, **_duration(settings))
    if settings.source == "sequence":
        return (sequence_detection(**_duration(settings)),) * 3
    if settings.source == "sequential-mnist":
        return load_sequential_mnist(settings.folder, settings.permuted, settings.pool)
    if settings.source == "speech-commands":
        return load_speech_commands(settings.folder, **_duration(settings))
    if settings.source == "spoken-digits":
        train, test = load_spoken_digits(settings.folder, **_duration(settings), packed=True)
        return train, None, test
    if settings.source == "braille":
        data = load_braille(settings.train, **_duration(settings))
    else:
        data = load_braille_analog(settings.train, settings.threshold, **_duration(settings))
    validation, tested = settings.validation_fraction, settings.test_fraction
    if validation == 0:
        train, testing = data.split((1 - tested, tested), settings.seed)
        return train, None, testing
    return data.split((1 - validation - tested, validation, tested), settings.seed)


def _read_files(settings, test):
    sets, n_classes = [], None
    for name in ("train", "validation", "test"):
        path = getattr(settings, name)
        if path is None or (name == "test" and not test):
            sets.append(None)
            continue
        data = hdf5.read(find_file(path, ORIGIN), settings.n_units, n_classes, settings.duration, packed=True)
        if len(data) == 0:
            raise InvalidInput(f"data.{name}", None, path, "a file with at least one sample")
        n_classes, data = data.n_classes, _merged(data, settings.merge)
        sets.append(data)  # and what it was merged from is gone before the next is read
    return sets


def _split(settings, train):
    if settings.validation_groups:
        if train.groups is None:
            allowed = "[] for a data set that does not say which group (speaker) each sample is from"
            remedy = "Set validation_fraction instead."
            raise InvalidInput("data.validation_groups", None, settings.validation_groups, allowed, remedy)
        return train.split_by_group(settings.validation_groups)
    share = settings.validation_fraction
    return train.split((1 - share, share), settings.seed)


def build_network(preset, train: Dataset):
    """Return the Network of a Preset for the channels and classes of a Dataset."""
    settings = preset.network
    network = Network(min_delay=settings.min_delay)
    network.add_input("input", train.n_units)
    layers = _layers(settings)
    constants = {"tau_mem": settings.tau_mem, "tau_syn": settings.tau_syn, "v_threshold": settings.v_threshold}
    for name, size in zip(layers, settings.hidden, strict=True):
        own = {key: np.full(size, constants[key]) for key in settings.train_neurons}
        network.add_lif(name, size, **{**constants, **own}, train=settings.train_neurons)
    output_taus = {"tau_mem": settings.output_tau_mem, "tau_syn": settings.output_tau_syn}
    if settings.output == "readout":
        network.add_readout("output", train.n_classes, **output_taus)
    else:
        network.add_lif("output", train.n_classes, **output_taus, v_threshold=settings.v_threshold)
    path = ["input", *layers, "output"]
    for pre, post in pairwise(path):
        role = "output" if post == "output" else "input" if pre == "input" else "between"
        _connect(network, preset, role, (pre, post))
    if settings.recurrent:
        for name in layers:
            _connect(network, preset, "recurrent", (name, name))
    return network


def build_grid_network(preset, train: Dataset):
    """Return the GridNetwork of a Preset for the channels and classes of a Dataset."""
    settings, grid = preset.network, preset.grid
    network = surrogate.GridNetwork(grid.dt)
    network.add_input("input", train.n_units)
    layers = _layers(settings)
    same = ("reset", "detach_reset", "batch_norm", "dropout", "input_dropout")
    bias = _distribution("grid.bias", grid.bias, Normal)
    for name, size in zip(layers, settings.hidden, strict=True):
        own = {key: np.full(size, getattr(settings, key)) for key in settings.train_neurons}
        network.add_lif(
            name, size, **{"tau_mem": settings.tau_mem, "tau_syn": settings.tau_syn, **own},
            v_threshold=settings.v_threshold, surrogate=surrogate.surrogate_of(grid.surrogate, grid.surrogate_slope),
            train=settings.train_neurons, bias=bias, **{key: getattr(grid, key) for key in same},
        )  # fmt: skip
    network.add_readout(
        "output", train.n_classes, tau_mem=settings.output_tau_mem, tau_syn=settings.output_tau_syn, bias=bias
    )  # fmt: skip
    for pre, post in pairwise(("input", *layers, "output")):
        role = "output" if post == "output" else "input" if pre == "input" else "between"
        spread = {
            "kind": "gaussian", "sigma": grid.sigma, "epochs": grid.sigma_epochs, "longest": grid.longest_delay
        }  # fmt: skip
        _connect_on_grid(network, preset, role, (pre, post), spread, count=grid.synapses)
    spread = {
        "kind": "triangle", "sigma": grid.recurrent_sigma, "epochs": grid.recurrent_sigma_epochs,
        "learned": grid.learned_width,
    }  # fmt: skip
    for number, name in enumerate(layers, 1):
        if settings.recurrent and number in (grid.recurrent_layers or [number]):
            more = {"delay_per": grid.recurrent_delay_per, "dropout": grid.recurrent_dropout}
            _connect_on_grid(network, preset, "recurrent", (name, name), spread, **more)
    return network


def _connect_on_grid(network, preset, role, ends, spread, *, count=1, **more):
    """Connect as the mode of delays asks: spread and trained, whole steps as drawn, or none."""
    settings = preset.network
    weight = _distribution(f"network.{role}_weight", getattr(settings, f"{role}_weight"), Normal)
    delay = _distribution(f"network.{role}_delay", getattr(settings, f"{role}_delay"), Uniform)
    kind = "recurrent" if role == "recurrent" else "feed-forward"
    learned = preset.delays in ("learned", kind) and delay is not None
    if not learned and preset.delays != "fixed":
        delay = None
    if delay is None:
        # synapses that differ in nothing but their weights are one
        count, more = 1, {key: value for key, value in more.items() if key != "delay_per"}
    spread = {**spread, "epochs": spread["epochs"] * preset.training.epochs, "rounds": preset.grid.round_delays}
    train = ("weight",) if settings.train_weights else ()
    network.connect(
        *ends, weight=weight, delay=delay, count=count, sparsity=getattr(settings, f"{role}_sparsity") or None,
        spread=surrogate.Spread(**spread) if learned else None, seed=preset.data.seed,
        train=(*train, "delay") if learned else train, **more,
    )  # fmt: skip


def _layers(settings):
    """The names of the hidden populations."""
    several = len(settings.hidden) > 1
    return [f"hidden{number}" if several else "hidden" for number in range(1, len(settings.hidden) + 1)]


def _connect(network, preset, role, ends):
    settings = preset.network
    delay, sharing = _distribution(f"network.{role}_delay", getattr(settings, f"{role}_delay"), Uniform), "synapse"
    weight = _distribution(f"network.{role}_weight", getattr(settings, f"{role}_weight"), Normal)
    kind = "recurrent" if role == "recurrent" else "feed-forward"
    learned = preset.delays in ("learned", kind)
    synapses = settings.input_synapses if role == "input" else 1
    sparsity = getattr(settings, f"{role}_sparsity") or None
    if not learned and preset.delays != "fixed":
        shared = max(SHARED_DELAY, settings.min_delay)
        delay, sharing = (shared, "connection") if role == "recurrent" else (None, "synapse")
        if sparsity is None:
            # synapses that differ in nothing but their weights are one
            weight, synapses = _sum_of(weight, synapses), 1
    train = ("weight",) if settings.train_weights else ()
    if learned:
        train += ("delay",)
    name = "->".join(ends)
    for synapse in (name, *(f"{name} ({number})" for number in range(2, synapses + 1))):
        network.connect(
            *ends, weight=weight, delay=delay, delay_per=sharing, train=train, sparsity=sparsity,
            seed=preset.data.seed, name=synapse,
        )  # fmt: skip


def _sum_of(weight, n):
    """The distribution of the sum of n weights; what is the same in each synapse is n times as much."""
    if isinstance(weight, Normal):
        return Normal(n * weight.mean, math.sqrt(n) * weight.sd)
    return weight if n == 1 else n * np.asarray(weight)


def _distribution(name, value, kind):
    """A pair of numbers as the two settings of a distribution, a name and its numbers as one; else as it is."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(item, (int, float)) for item in value):
        return kind(*value)
    words = [value] if isinstance(value, str) else value
    if isinstance(words, (list, tuple)) and words and isinstance(words[0], str):
        return _named_distribution(name, *words)
    if isinstance(value, (int, float)) and name.endswith("delay"):
        # a constant one stays a scalar per synapse: Uniform draws it in the array's shape
        return Uniform(value, value)
    return value


def _named_distribution(place, kind, *numbers):
    """The Initializer of a name and of its fields in their order."""
    known = {cls.kind: cls for cls in Initializer.__subclasses__() if cls.kind}
    if kind not in known:
        first = "true, false" if place == "grid.bias" else "a pair of numbers, a matrix, none"
        allowed = f"a number, {first}, or one of {', '.join(sorted(known))} and its numbers"
        raise InvalidInput(place, None, kind, allowed, _nearest(kind, list(known)))
    names = [item.name for item in fields(known[kind])]
    if len(numbers) > len(names):
        raise InvalidInput(place, None, [kind, *numbers], f"{kind} and at most its {', '.join(names)}")
    return Initializer.from_dict({"kind": kind, **dict(zip(names, numbers, strict=False))})


def build_loss(preset):
    """Return the loss of a Preset."""
    kind, arguments = LOSSES[preset.loss.kind]
    return kind(**{name: getattr(preset.loss, name) for name in arguments})


def build_optimizer(preset, network, n_batches):
    """Return the optimiser of a Preset; ``n_batches``: steps per epoch, which schedules count in."""
    settings = preset.optimizer
    total = max(1, preset.training.epochs * n_batches)

    def scheduled(name):
        schedule = {
            "constant": ConstantRate(),
            "cosine": Cosine(total, settings.final),
            "one_cycle": OneCycle(total),
        }[name]
        if settings.decay != 1.0:
            schedule = schedule * Exponential(settings.decay, n_batches)
        return schedule if settings.ease_in is None else schedule * EaseIn(settings.ease_in)

    delays = [f"{c.name}.delay" for c in network.connections.values() if "delay" in c.train]
    limited = {} if settings.max_delay is None else {name: (0.0, settings.max_delay) for name in delays}
    rates: dict = {}
    own = settings.delay_schedule
    for key, rate in (("delay", settings.delay_learning_rate), ("width", settings.width_learning_rate)):
        if rate is not None and any(name.endswith(f".{key}") for name in network.trainable):
            rates[f"*.{key}"] = rate if own is None else (rate, scheduled(own))
    rates |= {f"*.{key}": settings.tau_learning_rate for key in preset.network.train_neurons if key != "v_threshold"}
    if settings.output_learning_rate is not None:
        rates["*->output.weight"] = settings.output_learning_rate
    return OPTIMIZERS[settings.kind](
        settings.learning_rate,
        learning_rates=rates,
        schedule=scheduled(settings.schedule),
        bounds=limited,
        clip_norm=settings.clip_norm,
        weight_decay=settings.weight_decay,
        decoupled=settings.decoupled,
    )


def build_options(preset):
    """Return the TrainingOptions of a Preset."""
    settings = preset.training
    layers = _layers(preset.network)
    homeostasis = ()
    if settings.spike_strength > 0:
        rule = (settings.spike_target, settings.spike_strength, settings.spike_only_above)
        homeostasis = tuple(losses.SpikeCountTarget(name, *rule) for name in layers)
    raises = ()
    if settings.silent_raise > 0:
        raised = [*layers, "output"] if preset.network.output == "spikes" else layers
        raises = tuple(losses.SilentNeuronRaise(name, settings.silent_raise) for name in raised)
    augmentation = None if preset.augmentation == Augmentation() else preset.augmentation
    same = ("batch_size", "seed", "patience", "monitor", "average", "neuron_drop", "max_spikes", "shards")
    return TrainingOptions(
        duration=preset.data.duration,
        regularizers=homeostasis,
        augmentation=augmentation,
        silent_raise=raises,
        **{name: getattr(settings, name) for name in same},
    )
