"""A preset made: its network, loss, optimiser and options of training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np

from .. import losses, surrogate
from ..aliases import Milliseconds, Parameters
from ..checks import nearest
from ..data.augment import Augmentation
from ..data.dataset import Dataset
from ..errors import InvalidInput, in_table, said_as
from ..network.base import BaseNetwork
from ..network.initializers import Initializer, Normal, Uniform
from ..network.network import Network
from ..optimizers.base import Optimizer
from ..optimizers.schedules import ConstantRate, Cosine, EaseIn, Exponential, OneCycle, Schedule
from ..surrogate.network import GridNetwork
from ..training.options import TrainingOptions
from .checking import check_reach, checked
from .settings import DELAYS, LOSSES, OPTIMIZERS, NetworkSettings, Preset
from .sources import Sets, load_data

Ends: TypeAlias = tuple[str, str]  # the populations before and after a connection

SHARED_DELAY = 1.0  # ms: what a recurrent connection has where delays are "none", or the network's min_delay if longer


def control_modes(preset: Preset) -> list[str]:
    """Return the modes of delays that a Preset can be compared with: four where both kinds of delays are, else two."""
    modes = DELAYS if preset.delayed("feed-forward") and preset.delayed("recurrent") else DELAYS[:3]
    return [mode for mode in modes if mode != preset.delays and _can_be(preset, mode)]


def _can_be(preset: Preset, mode: str) -> bool:
    try:
        with_mode(preset, mode)
    except InvalidInput:  # fixed delays need no longest_delay, learned ones do
        return False
    return True


def with_mode(preset: Preset, delays: str) -> Preset:
    """Return the Preset in another mode of delays; raises InvalidInput where its network cannot be in that mode.

    One that would itself be refused today is that of a run of before, and not judged anew.
    """
    changed = replace(preset, delays=delays)
    try:
        checked(preset)
    except InvalidInput:
        return changed
    return checked(changed)


class Built(NamedTuple):
    """What ``build`` returns: a Network or a GridNetwork and so on; ``data`` is (train, validation, test)."""

    network: BaseNetwork
    loss: Any
    optimizer: Optimizer
    options: TrainingOptions
    data: Sets


def build(preset: Preset, data: Sets | None = None) -> Built:
    """Return ``(network, loss, optimizer, options, (train, validation, test))`` of a Preset.

    ``data``: what ``load_data`` returned before, to spare a second reading. The test set is for the very end: training
    and the choice of the best epoch take train and validation.
    """
    data = load_data(preset) if data is None else data
    check_reach(preset, data[0].duration if preset.data.duration is None else preset.data.duration)
    on_grid = preset.grid.dt is not None
    network = build_grid_network(preset, data[0]) if on_grid else build_network(preset, data[0])
    n_batches = -(-len(data[0]) // preset.training.batch_size)
    return Built(network, build_loss(preset), build_optimizer(preset, network, n_batches), build_options(preset), data)


def initialize(preset: Preset, network: BaseNetwork) -> Parameters:
    """Draw the parameters of a Preset's network from its training.seed; see Network.initialize.

    Raises InvalidInput for drawn delays beyond what the settings allow, instead of cutting them off.
    """
    settings = _names_of_neurons(_layers(preset.network))
    for c in network.connections.values():
        settings |= _names_of_synapses(c.name, preset.role_of(c.pre, c.post))
    with said_as(settings):
        parameters = network.initialize(preset.training.seed)
    longest = preset.optimizer.max_delay
    for c in network.connections.values():
        drawn = np.max(parameters[f"{c.name}.delay"], initial=0.0) if "delay" in c.train else 0.0
        if longest is not None and drawn > longest:
            remedy = "Draw shorter ones, or raise optimizer.max_delay: the first step would cut them off."
            place = f"network.{preset.role_of(c.pre, c.post)}_delay"
            raise InvalidInput(place, None, float(drawn), f"draws <= {longest:g} ms", remedy)
    return parameters


def build_network(preset: Preset, train: Dataset) -> Network:
    """Return the Network of a Preset for the channels and classes of a Dataset."""
    settings = preset.network
    with said_as({"min_delay": "network.min_delay"}):
        network = Network(min_delay=settings.min_delay)
    network.add_input("input", train.n_units)
    layers = _layers(settings)
    constants: dict[str, Any] = {key: getattr(settings, key) for key in ("tau_mem", "tau_syn", "v_threshold")}
    output_taus: dict[str, Any] = {"tau_mem": settings.output_tau_mem, "tau_syn": settings.output_tau_syn}
    with said_as(_names_of_neurons(layers)):
        for name, size in zip(layers, settings.hidden, strict=True):
            own = {key: np.full(size, constants[key]) for key in settings.train_neurons}
            network.add_lif(name, size, **{**constants, **own}, train=settings.train_neurons)
        if settings.output == "readout":
            network.add_readout("output", train.n_classes, **output_taus)
        else:
            network.add_lif("output", train.n_classes, **output_taus, v_threshold=settings.v_threshold)
    for pre, post in [*pairwise(["input", *layers, "output"]), *_loops(preset, layers)]:
        _connect(network, preset, (pre, post))
    return network


def build_grid_network(preset: Preset, train: Dataset) -> GridNetwork:
    """Return the GridNetwork of a Preset for the channels and classes of a Dataset."""
    settings, grid = preset.network, preset.grid
    network = GridNetwork(cast(Milliseconds, grid.dt))  # which refuses None
    network.add_input("input", train.n_units)
    layers = _layers(settings)
    same = ("reset", "detach_reset", "batch_norm", "dropout", "input_dropout")
    bias = _distribution("grid.bias", grid.bias, Normal)
    with said_as({"surrogate.slope": "grid.surrogate_slope"}):
        derivative = surrogate.surrogate_of(grid.surrogate, grid.surrogate_slope)
    with said_as(_names_of_neurons(layers)):
        for name, size in zip(layers, settings.hidden, strict=True):
            own = {key: np.full(size, getattr(settings, key)) for key in settings.train_neurons}
            taus: dict[str, Any] = {"tau_mem": settings.tau_mem, "tau_syn": settings.tau_syn, **own}
            network.add_lif(
                name, size, **taus,
                v_threshold=settings.v_threshold, surrogate=derivative, train=settings.train_neurons, bias=bias,
                **{key: getattr(grid, key) for key in same},
            )  # fmt: skip
        network.add_readout(
            "output", train.n_classes, tau_mem=settings.output_tau_mem, tau_syn=settings.output_tau_syn, bias=bias
        )  # fmt: skip
    for pre, post in pairwise(("input", *layers, "output")):
        spread = {
            "kind": "gaussian", "sigma": grid.sigma, "epochs": grid.sigma_epochs, "longest": grid.longest_delay
        }  # fmt: skip
        _connect_on_grid(network, preset, (pre, post), spread, count=grid.synapses)
    spread = {
        "kind": "triangle", "sigma": grid.recurrent_sigma, "epochs": grid.recurrent_sigma_epochs,
        "learned": grid.learned_width,
    }  # fmt: skip
    for number, ends in enumerate(_loops(preset, layers), 1):
        if number in (grid.recurrent_layers or [number]):
            more: dict[str, Any] = {"delay_per": grid.recurrent_delay_per, "dropout": grid.recurrent_dropout}
            _connect_on_grid(network, preset, ends, spread, **more)
    return network


def _names_of_neurons(layers: Sequence[str]) -> dict[str, str]:
    """What populations and their attributes were set by, for ``said_as``."""
    shared = ("tau_mem", "tau_syn", "v_threshold")
    found = {f"{layer}.{key}": f"network.{key}" for layer in layers for key in shared}
    found |= {layer: "grid" for layer in layers}
    found |= {f"output.{key}": f"network.output_{key}" for key in ("tau_mem", "tau_syn")}
    return {**found, "output.v_threshold": "network.v_threshold", "output.bias": "grid.bias"}


def _names_of_synapses(name: str, role: str) -> dict[str, str]:
    """The same of a connection."""
    found = {f"{name}.{key}": f"network.{role}_{key}" for key in ("weight", "delay")}
    return {**found, "sparsity": f"network.{role}_sparsity", f"{name}.dropout": "grid.recurrent_dropout"}


def _loops(preset: Preset, layers: Sequence[str]) -> list[Ends]:
    """The ends of recurrent connections."""
    return [(name, name) for name in layers] if preset.network.recurrent else []


def _connect_on_grid(
    network: GridNetwork, preset: Preset, ends: Ends, spread: Mapping[str, Any], *, count: int = 1, **more: Any
) -> None:
    """Connect as the mode of delays asks: spread and trained, whole steps as drawn, or none."""
    settings, role = preset.network, preset.role_of(*ends)
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
    with said_as(_names_of_synapses("->".join(ends), role)):
        network.connect(
            *ends, weight=weight, delay=delay, count=count, sparsity=getattr(settings, f"{role}_sparsity") or None,
            spread=surrogate.Spread(**spread) if learned else None, seed=preset.data.seed,
            train=(*train, "delay") if learned else train, **more,
        )  # fmt: skip


def _layers(settings: NetworkSettings) -> list[str]:
    """The names of the hidden populations."""
    several = len(settings.hidden) > 1
    return [f"hidden{number}" if several else "hidden" for number in range(1, len(settings.hidden) + 1)]


def _connect(network: Network, preset: Preset, ends: Ends) -> None:
    settings, role = preset.network, preset.role_of(*ends)
    delay = _distribution(f"network.{role}_delay", getattr(settings, f"{role}_delay"), Uniform)
    sharing: Literal["synapse", "connection"] = "synapse"
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
    train: tuple[str, ...] = ("weight",) if settings.train_weights else ()
    if learned:
        train += ("delay",)
    name = "->".join(ends)
    for synapse in (name, *(f"{name} ({number})" for number in range(2, synapses + 1))):
        with said_as(_names_of_synapses(synapse, role)):
            network.connect(
                *ends, weight=weight, delay=delay, delay_per=sharing, train=train, sparsity=sparsity,
                seed=preset.data.seed, name=synapse,
            )  # fmt: skip


def _sum_of(weight: Any, n: int) -> Any:
    """The distribution of the sum of n weights; what is the same in each synapse is n times as much."""
    if isinstance(weight, Normal):
        return Normal(n * weight.mean, math.sqrt(n) * weight.sd)
    return weight if n == 1 else n * np.asarray(weight)


def _distribution(name: str, value: Any, kind: type[Normal] | type[Uniform]) -> Any:
    """What a setting says of weights, delays or biases: a distribution, or the numbers themselves."""
    with said_as({cls.__name__: name for cls in Initializer.__subclasses__()}):
        return _distribution_of(name, value, kind)


def _distribution_of(name: str, value: Any, kind: type[Normal] | type[Uniform]) -> Any:
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


def _named_distribution(place: str, kind: str, *numbers: Any) -> Initializer:
    """The Initializer of a name and of its fields in their order."""
    known = {cls.kind: cls for cls in Initializer.__subclasses__() if cls.kind}
    if kind not in known:
        first = "true, false" if place == "grid.bias" else "a pair of numbers, a matrix, none"
        allowed = f"a number, {first}, or one of {', '.join(sorted(known))} and its numbers"
        raise InvalidInput(place, None, kind, allowed, nearest(kind, list(known)))
    names = [item.name for item in fields(known[kind])]
    if len(numbers) > len(names):
        raise InvalidInput(place, None, [kind, *numbers], f"{kind} and at most its {', '.join(names)}")
    if len(numbers) < sum(item.default is MISSING for item in fields(known[kind])):
        raise InvalidInput(place, None, [kind, *numbers], f"{kind} and its {', '.join(names)}")
    return Initializer.from_dict({"kind": kind, **dict(zip(names, numbers, strict=False))})


@said_as(in_table("loss", "tau_window", "tau", "delta"))
def build_loss(preset: Preset) -> Any:
    """Return the loss of a Preset."""
    kind, arguments, _ = LOSSES[preset.loss.kind]
    return kind(**{name: getattr(preset.loss, name) for name in arguments})


_NAMES_OF_RATES = {
    f"learning_rates['*{what}']": f"optimizer.{key}_learning_rate"
    for key, what in (("delay", ".delay"), ("width", ".width"), ("tau", ".tau_mem"), ("output", "->output.weight"))
}
_NAMES_OF_RATES |= {"learning_rates['*.tau_syn']": "optimizer.tau_learning_rate"}
_NAMES_OF_RATES |= {"Cosine.final": "optimizer.final", "Exponential.decay": "optimizer.decay"}
_NAMES_OF_RATES |= {"EaseIn.start": "optimizer.ease_in", **in_table("optimizer", "learning_rate", "clip_norm")}


@said_as({**_NAMES_OF_RATES, "weight_decay": "optimizer.weight_decay"})
def build_optimizer(preset: Preset, network: BaseNetwork, n_batches: int) -> Optimizer:
    """Return the optimiser of a Preset; ``n_batches``: steps per epoch, which schedules count in."""
    settings = preset.optimizer
    total = max(1, preset.training.epochs * n_batches)

    def scheduled(name: str) -> Schedule:
        schedule: Schedule = {
            "constant": ConstantRate(),
            "cosine": Cosine(total, settings.final),
            "one_cycle": OneCycle(total),
        }[name]
        if settings.decay != 1.0:
            schedule = schedule * Exponential(settings.decay, n_batches)
        return schedule if settings.ease_in is None else schedule * EaseIn(settings.ease_in)

    delays = [f"{c.name}.delay" for c in network.connections.values() if "delay" in c.train]
    limited = {} if settings.max_delay is None else {name: (0.0, settings.max_delay) for name in delays}
    rates: dict[str, float | tuple[float, Schedule]] = {}
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


# what TrainingOptions call as the settings do
_OPTIONS = ("batch_size", "seed", "patience", "monitor", "average", "neuron_drop", "max_spikes", "shards")


@said_as(
    {
        **in_table("training", *_OPTIONS),
        "target": "training.spike_target",
        "strength": "training.spike_strength",
        "amount": "training.silent_raise",
        "duration": "data.duration",
    }
)
def build_options(preset: Preset) -> TrainingOptions:
    """Return the TrainingOptions of a Preset."""
    settings = preset.training
    layers = _layers(preset.network)
    homeostasis: tuple[losses.SpikeCountTarget, ...] = ()
    if settings.spike_strength > 0:
        rule = (settings.spike_target, settings.spike_strength, settings.spike_only_above)
        homeostasis = tuple(losses.SpikeCountTarget(name, *rule) for name in layers)
    raises: tuple[losses.SilentNeuronRaise, ...] = ()
    if settings.silent_raise > 0:
        raised = [*layers, "output"] if preset.network.output == "spikes" else layers
        raises = tuple(losses.SilentNeuronRaise(name, settings.silent_raise) for name in raised)
    augmentation = None if preset.augmentation == Augmentation() else preset.augmentation
    return TrainingOptions(
        duration=preset.data.duration,
        regularizers=homeostasis,
        augmentation=augmentation,
        silent_raise=raises,
        **{name: getattr(settings, name) for name in _OPTIONS},
    )
