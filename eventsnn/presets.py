"""Complete experiments as plain settings: data, network, loss, optimiser and training in one Preset, or a TOML file.

A TOML file has the tables and keys of ``Preset``; ``base = "spoken-digits"`` starts from a named preset, and what is
not given keeps its value there. Every key that is not known is refused.
"""

import difflib
import math
import tomllib
import types
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from . import losses
from .data import (
    Augmentation,
    Dataset,
    hdf5,
    load_braille,
    load_braille_analog,
    load_spoken_digits,
    load_yin_yang,
    sequence_detection,
)
from .data.dataset import find_file
from .data.shd import ORIGIN
from .errors import InvalidInput
from .initializers import Normal, Uniform
from .network import NEURON_ATTRIBUTES, Network
from .optimizers import SGD, Adam, ConstantRate, Cosine, EaseIn, Exponential, OneCycle
from .sharding import N_SHARDS
from .training import TrainingOptions

DELAYS = ("learned", "fixed", "none", "feed-forward", "recurrent")
SHARED_DELAY = 1.0  # ms: what a recurrent connection has where delays are "none", or the network's min_delay if longer
SOURCES = ("spoken-digits", "yin-yang", "sequence", "files", "braille", "braille-analog")
LOSSES = {
    "exponential_mean_voltage": (losses.ExponentialMeanVoltage, ("tau_window",)),
    "mean_voltage": (losses.MeanVoltage, ()),
    "max_voltage": (losses.MaxVoltage, ()),
    "first_spike": (losses.FirstSpike, ("tau",)),
    "relative_first_spike": (losses.RelativeFirstSpike, ("delta",)),
}
SCHEDULES = ("constant", "cosine", "one_cycle")
OPTIMIZERS = {"adam": Adam, "sgd": SGD}


@dataclass(frozen=True)
class DataSettings:
    """Where samples come from.

    ``source``: "spoken-digits" (shipped; ``folder``: where, None: found), "yin-yang", "sequence"; "files": ``train``
    and ``test``, and ``validation`` where there is one, are spike files in SHD's layout with ``n_units`` channels;
    "braille" and "braille-analog": ``train`` is the .npz file, of which ``test_fraction`` of each class are the test
    set, and ``threshold`` codes the analog sweeps as events. Files are looked for in the folder EVENTSNN_DATA too.
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
    merge: int = 1
    duration: float | None = None
    validation_groups: list = field(default_factory=list)
    validation_fraction: float = 0.1
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class NetworkSettings:
    """Input, hidden LIF layers of the sizes ``hidden``, output; taus in ms.

    ``output``: "readout" (leaky integrators) or "spikes" (LIF). Weights are [mean, sd] of a normal distribution or one
    number; delays (ms) are [low, high] of a uniform distribution, one number, a matrix, or "none". ``input_*`` is the
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
    tau_syn: float = 5.0
    v_threshold: float = 1.0
    output_tau_mem: float = 20.0
    output_tau_syn: float = 5.0
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
class LossSettings:
    """``kind``: a key of LOSSES; ``tau_window`` (None: the duration), ``tau``, ``delta``: ms, where the loss has it."""

    kind: str = "exponential_mean_voltage"
    tau_window: float | None = None
    tau: float = 5.0
    delta: float = 1.0


@dataclass(frozen=True)
class OptimizerSettings:
    """``kind`` "adam" or "sgd"; rates of weights, of delays (ms per step), of trained time constants (ms per step).

    ``output_learning_rate``: of the weights to the output (None: as the others): a mean over a long duration makes
    small logits, which larger output weights make up for.
    ``schedule``: "constant", "cosine" or "one_cycle" over all steps of the run; ``final``: where the cosine ends;
    ``decay``: factor on the rate after each epoch; ``ease_in``: initial factor that grows by 5 % a step (None: off);
    ``max_delay`` (ms, None: no limit); ``clip_norm`` (None: off); ``weight_decay`` of the weights, decoupled.
    """

    kind: str = "adam"
    learning_rate: float = 1e-3
    delay_learning_rate: float = 0.2
    tau_learning_rate: float = 0.05
    output_learning_rate: float | None = None
    schedule: str = "constant"
    final: float = 0.0
    decay: float = 1.0
    ease_in: float | None = None
    max_delay: float | None = None
    clip_norm: float | None = None
    weight_decay: float = 0.0


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
    """One experiment. ``delays``: "learned", "fixed" (as drawn) or "none" (a recurrent connection then has 1 ms).

    "feed-forward" and "recurrent": those delays are learned, and the other connections have none.
    """

    name: str = "custom"
    description: str = ""
    delays: str = "learned"
    data: DataSettings = field(default_factory=DataSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def to_dict(self):
        """Return the settings as nested dicts that JSON and TOML can hold; ``from_dict`` builds an equal Preset."""
        return asdict(self)


# -------------------------------------------------------------------------------------------------- the numbers

_SPOKEN_DIGITS = {
    "name": "spoken-digits",
    "description": "English spoken digits, unheard speakers: recurrent network with learned delays",
    "data": {"source": "spoken-digits", "merge": 10, "validation_groups": [3]},
    "network": {
        "hidden": [128],
        "recurrent": True,
        "tau_mem": 20.0,
        "tau_syn": 10.0,
        "output_tau_mem": 20.0,
        "output_tau_syn": 10.0,
        # nearly as wide as they become: narrower ones cost the first epochs
        "input_weight": [0.006, 0.03],
        "recurrent_weight": [0.0, 0.03],
        "output_weight": [0.0, 1.0],
        "input_delay": [0.0, 200.0],
        "recurrent_delay": [1.0, 100.0],
    },
    "loss": {"kind": "exponential_mean_voltage"},
    "optimizer": {
        "learning_rate": 2e-3,
        "delay_learning_rate": 1.0,
        "output_learning_rate": 3e-2,
        "schedule": "cosine",
        "final": 0.05,
    },
    "training": {
        "epochs": 30,
        "batch_size": 16,
        "average": 0.995,
        "monitor": "loss",
        "spike_target": 14.0,
        "spike_strength": 1e-5,
    },
    # the channels are merged before: 4 of them are 40 of the 700
    "augmentation": {"blend": 0.4, "channel_shift": 4, "time_scale": 0.15, "spike_drop": 0.5, "gain": 0.2},
}

_SPOKEN_DIGITS_QUICK = {
    "base": "spoken-digits",
    "name": "spoken-digits-quick",
    "description": "the same in about a minute: 32 hidden neurons, 70 channels, 8 epochs",
    "network": {"hidden": [32]},
    "optimizer": {"learning_rate": 3e-3, "output_learning_rate": 5e-2},
    "training": {"epochs": 8, "average": "none"},
    "augmentation": {"blend": 0.0, "channel_shift": 1, "time_scale": 0.0, "gain": 0.0},
}

_YIN_YANG = {
    "name": "yin-yang",
    "description": "points of the Yin-Yang disc as four spike times; 30 hidden neurons, first spike decides",
    "data": {"source": "yin-yang"},
    "network": {
        "hidden": [30],
        "recurrent": False,
        "output": "spikes",
        "input_weight": [2.5, 1.5],
        "output_weight": [1.0, 1.0],
        "input_delay": [0.0, 10.0],
        "output_delay": [0.0, 10.0],
    },
    "loss": {"kind": "relative_first_spike", "delta": 2.0},
    "optimizer": {"learning_rate": 2e-2, "delay_learning_rate": 0.05, "schedule": "cosine", "final": 0.01},
    "training": {"epochs": 200, "batch_size": 50, "average": 0.99, "silent_raise": 0.1},
}

_SEQUENCE = {
    "name": "sequence",
    "description": "which of two inputs spiked first, told apart by delays alone: they start where they are wrong",
    "data": {"source": "sequence", "duration": 50.0},
    "network": {
        "hidden": [],
        "output_tau_mem": 10.0,
        "output_tau_syn": 5.0,
        "output_weight": [1.0, 0.1],
        "output_delay": [[0.0, 10.0], [10.0, 0.0]],
        "train_weights": False,
    },
    "loss": {"kind": "max_voltage"},
    "optimizer": {"delay_learning_rate": 2.0},
    "training": {"epochs": 20, "batch_size": 2},
}

_SHD = {
    "base": "spoken-digits",
    "name": "shd",
    "description": "Spiking Heidelberg Digits, 20 classes: the files shd_train.h5 and shd_test.h5 in EVENTSNN_DATA",
    "data": {
        "source": "files",
        "train": "shd_train.h5",
        "test": "shd_test.h5",
        "n_units": 700,
        "merge": 5,
        "duration": 1200.0,
        "validation_groups": [3],
    },
    "training": {"batch_size": 32},
    # 8 of the merged channels are 40 of the 700
    "augmentation": {"channel_shift": 8},
}

_SSC = {
    "base": "shd",
    "name": "ssc",
    "description": "Spiking Speech Commands, 35 words: ssc_train.h5, ssc_valid.h5 and ssc_test.h5 in EVENTSNN_DATA",
    "data": {
        "train": "ssc_train.h5",
        "validation": "ssc_valid.h5",
        "test": "ssc_test.h5",
        "duration": 1000.0,
        "validation_groups": [],
    },
    "network": {"hidden": [256]},
}

_BRAILLE = {
    "name": "braille",
    "description": "27 Braille letters under a robot fingertip, threshold 10: braille_th10.npz in EVENTSNN_DATA",
    # the last event comes at 1300 ms: time for most of them to arrive
    "data": {"source": "braille", "train": "braille_th10.npz", "duration": 1600.0},
    # some forty events in 1.3 s: long memory, long delays, and from each taxel eight of them to choose from
    "network": {
        "hidden": [512],
        "recurrent": False,
        "tau_mem": 50.0,
        "tau_syn": 20.0,
        "output_tau_mem": 50.0,
        "output_tau_syn": 20.0,
        "input_synapses": 8,
        "input_weight": [0.1, 0.7],
        "output_weight": [0.0, 1.0],
        "input_delay": [0.0, 600.0],
    },
    "optimizer": {
        "learning_rate": 2e-2,
        "delay_learning_rate": 3.0,
        "output_learning_rate": 5e-2,
        "schedule": "cosine",
        "final": 0.05,
    },
    "training": {
        "epochs": 30,
        "average": 0.995,
        "neuron_drop": 0.2,
        "monitor": "loss",
        "spike_target": 6.0,
        "spike_strength": 1e-3,
        "spike_only_above": True,
    },
    # no event is dropped: there are few enough
    "augmentation": {"time_jitter": 10.0, "time_scale": 0.05},
}

_BRAILLE_ANALOG = {
    "base": "braille",
    "name": "braille-analog",
    "description": "the same letters from the analog sweeps, coded at a threshold: braille_analog.npz in EVENTSNN_DATA",
    # sweeps of 1900 ms
    "data": {"source": "braille-analog", "train": "braille_analog.npz", "threshold": 5.0, "duration": 2200.0},
}

_PRESETS = {
    item["name"]: item
    for item in (
        _SPOKEN_DIGITS, _SPOKEN_DIGITS_QUICK, _YIN_YANG, _SEQUENCE, _SHD, _SSC, _BRAILLE, _BRAILLE_ANALOG
    )
}  # fmt: skip


# ------------------------------------------------------------------------------------------- reading and changing


def names():
    """Return the names of the presets."""
    return list(_PRESETS)


def _nearest(key, known):
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"Did you mean {found[0]!r}?" if found else ""


def _unknown(place, key, known):
    return InvalidInput(f"{place} key", None, key, f"one of {', '.join(known)}", _nearest(key, known))


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
    if name not in _PRESETS:
        raise InvalidInput("preset", None, name, f"one of {', '.join(_PRESETS)}", _nearest(str(name), list(_PRESETS)))
    return from_dict(_PRESETS[name])


def load(name_or_path):
    """Return a Preset by its name or from a TOML file."""
    path = Path(name_or_path)
    if str(name_or_path) in _PRESETS or not (path.suffix == ".toml" or path.is_file()):
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
    _choice("data.source", preset.data.source, SOURCES)
    _choice("network.output", preset.network.output, ("readout", "spikes"))
    _choice("loss.kind", preset.loss.kind, tuple(LOSSES))
    _choice("optimizer.kind", preset.optimizer.kind, tuple(OPTIMIZERS))
    _choice("optimizer.schedule", preset.optimizer.schedule, SCHEDULES)
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


def control_modes(preset):
    """Return the modes of delays that a Preset can be compared with: two where nothing is recurrent, else four."""
    modes = DELAYS if preset.network.recurrent and preset.network.hidden else DELAYS[:3]
    return [mode for mode in modes if mode != preset.delays]


# --------------------------------------------------------------------------------------------------------- building


class Built(NamedTuple):
    """What ``build`` returns; ``data`` is (train, validation, test)."""

    network: Network
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
    network = build_network(preset, data[0])
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
    names = {"files": ("train", "test", "n_units", "duration"), "braille": ("train",), "braille-analog": ("train",)}
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
    if settings.source == "spoken-digits":
        train, test = load_spoken_digits(settings.folder, **_duration(settings))
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
    for pre, post in zip(path[:-1], path[1:], strict=True):
        role = "output" if post == "output" else "input" if pre == "input" else "between"
        _connect(network, preset, role, (pre, post))
    if settings.recurrent:
        for name in layers:
            _connect(network, preset, "recurrent", (name, name))
    return network


def _layers(settings):
    """The names of the hidden populations."""
    several = len(settings.hidden) > 1
    return [f"hidden{number}" if several else "hidden" for number in range(1, len(settings.hidden) + 1)]


def _connect(network, preset, role, ends):
    settings = preset.network
    delay, sharing = _distribution(f"{role}_delay", getattr(settings, f"{role}_delay"), Uniform), "synapse"
    weight = _distribution(f"{role}_weight", getattr(settings, f"{role}_weight"), Normal)
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
    """A pair of numbers as the two settings of a distribution; anything else as it is."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(item, (int, float)) for item in value):
        return kind(*value)
    if isinstance(value, str):
        raise InvalidInput(f"network.{name}", None, value, "a number, a pair of numbers, a matrix or none")
    if isinstance(value, (int, float)) and name.endswith("delay"):
        # a constant one stays a scalar per synapse: Uniform draws it in the array's shape
        return Uniform(value, value)
    return value


def build_loss(preset):
    """Return the loss of a Preset."""
    kind, arguments = LOSSES[preset.loss.kind]
    return kind(**{name: getattr(preset.loss, name) for name in arguments})


def build_optimizer(preset, network, n_batches):
    """Return the optimiser of a Preset; ``n_batches``: steps per epoch, which schedules count in."""
    settings = preset.optimizer
    total = max(1, preset.training.epochs * n_batches)
    schedule = {
        "constant": ConstantRate(),
        "cosine": Cosine(total, settings.final),
        "one_cycle": OneCycle(total),
    }[settings.schedule]
    if settings.decay != 1.0:
        schedule = schedule * Exponential(settings.decay, n_batches)
    if settings.ease_in is not None:
        schedule = schedule * EaseIn(settings.ease_in)
    delays = [f"{c.name}.delay" for c in network.connections.values() if "delay" in c.train]
    limited = {} if settings.max_delay is None else {name: (0.0, settings.max_delay) for name in delays}
    rates = {"*.delay": settings.delay_learning_rate} if delays else {}
    rates |= {f"*.{key}": settings.tau_learning_rate for key in preset.network.train_neurons if key != "v_threshold"}
    if settings.output_learning_rate is not None:
        rates["*->output.weight"] = settings.output_learning_rate
    return OPTIMIZERS[settings.kind](
        settings.learning_rate,
        learning_rates=rates,
        schedule=schedule,
        bounds=limited,
        clip_norm=settings.clip_norm,
        weight_decay=settings.weight_decay,
        decoupled=True,
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
