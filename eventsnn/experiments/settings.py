"""What can be set: the tables and keys of a Preset, and the words that some of them take."""

from dataclasses import asdict, dataclass, field
from typing import Any

from .. import losses
from ..aliases import Description, Milliseconds
from ..data import sources
from ..data.augment import Augmentation
from ..optimizers.rules import SGD, Adam
from ..parallel.sharding import N_SHARDS

DELAYS = ("learned", "fixed", "none", "feed-forward", "recurrent")
# the settings of data that only some sources have a use for
SOURCES = {name: source.uses for name, source in sources.SOURCES.items()}
# those that bring a validation set of their own
WITH_VALIDATION = tuple(name for name, source in sources.SOURCES.items() if source.own_validation)
# {name: (class, its settings, what it reads)}, losses that are entered later too: see losses.register
LOSSES = losses.KNOWN
SCHEDULES = ("constant", "cosine", "one_cycle")
OPTIMIZERS: dict[str, type[Adam] | type[SGD]] = {"adam": Adam, "sgd": SGD}


@dataclass(frozen=True)
class DataSettings:
    """Where samples come from.

    ``source``: "spoken-digits" (shipped; ``folder``: where, None: found), "yin-yang", "sequence"; "files": ``train``
    and ``test``, and ``validation`` where there is one, are spike files with ``n_units`` channels, in SHD's or another
    layout of data.sources.FORMATS, and ``time_unit`` that of their times, "s", "ms", "us" or "ns" ("none": as the
    layout has them; in SHD's s, and what can hardly be seconds is refused);
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
    time_unit: str | None = field(default=None, kw_only=True)  # release 0.1.0 has another one in its place
    permuted: bool = True
    pool: int = 1
    merge: int = 1
    duration: Milliseconds | None = None
    validation_groups: list[int] = field(default_factory=list)
    validation_fraction: float = 0.1
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class NetworkSettings:
    """Input, hidden LIF layers of the sizes ``hidden``, output; taus in ms (``tau_syn`` "none": on a grid alone).

    ``output``: "readout" (leaky integrators) or "spikes" (LIF). Weights are [mean, sd] of a normal distribution or one
    number; delays (ms) are [low, high] of a uniform distribution, one number, a matrix, or "none"; both may be named,
    with the numbers of that distribution in eventsnn.network: "kaiming", ["half_normal", 67]. ``input_*`` is the
    connection from the input, ``between_*`` from layer to layer, ``recurrent_*`` within each layer (``recurrent``
    switches it), ``output_*`` to the output; ``input_synapses``: how many synapses each input has on each neuron, with
    weights and delays of their own (without delays, one with the sum of their weights); ``*_sparsity`` is the fraction
    of absent synapses, drawn from the data's seed. ``train_weights``: False keeps the weights as drawn.
    ``train_neurons``: which of "tau_mem", "tau_syn" and "v_threshold" each hidden neuron learns for itself.
    """

    hidden: list[int] = field(default_factory=lambda: [128])
    recurrent: bool = True
    output: str = "readout"
    tau_mem: Milliseconds = 20.0
    tau_syn: Milliseconds | None = 5.0
    v_threshold: float = 1.0
    output_tau_mem: Milliseconds = 20.0
    output_tau_syn: Milliseconds | None = 5.0
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
    min_delay: Milliseconds = 1.0
    train_weights: bool = True
    train_neurons: list[str] = field(default_factory=list)


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

    dt: Milliseconds | None = None
    reset: str = "hard"
    detach_reset: bool = True
    surrogate: str = "arctangent"
    surrogate_slope: float = 5.0
    batch_norm: bool = True
    bias: Any = False
    dropout: float = 0.0
    input_dropout: float = 0.0
    synapses: int = 1
    longest_delay: Milliseconds | None = None
    sigma: list[Milliseconds] = field(default_factory=lambda: [120.0, 5.0])
    sigma_epochs: float = 0.25
    recurrent_layers: list[int] = field(default_factory=list)
    recurrent_delay_per: str = "neuron"
    recurrent_sigma: list[Milliseconds] = field(default_factory=lambda: [100.0, 0.6])
    recurrent_sigma_epochs: float = 1.0
    recurrent_dropout: float = 0.0
    learned_width: bool = False
    round_delays: bool = False


@dataclass(frozen=True)
class LossSettings:
    """``kind``: a key of LOSSES; ``tau_window`` (None: the duration), ``tau``, ``delta``: ms, where the loss has it."""

    kind: str = "exponential_mean_voltage"
    tau_window: Milliseconds | None = None
    tau: Milliseconds = 5.0
    delta: Milliseconds = 1.0


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
    max_delay: Milliseconds | None = None
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
    max_spikes: int | None = None
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

    def to_dict(self) -> Description:
        """Return the settings as nested dicts that JSON and TOML can hold; ``from_dict`` builds an equal Preset."""
        return asdict(self)

    def role_of(self, pre: str, post: str) -> str:
        """Return which settings of the network are those of a connection: "input", "between", "recurrent", "output"."""
        if pre == post:
            return "recurrent"
        return "output" if post == "output" else "input" if pre == "input" else "between"

    @property
    def roles(self) -> list[str]:
        """The roles of the connections that this preset has, those forward first."""
        n_layers = len(self.network.hidden)
        forward = ["input", "between"][: min(n_layers, 2)] + ["output"]
        return [*forward, "recurrent"] if self.network.recurrent and n_layers else forward

    def delayed(self, *kinds: str) -> list[str]:
        """Return the roles of these kinds, "feed-forward" and "recurrent", that have delays unless the mode says no."""
        with_delays = [role for role in self.roles if getattr(self.network, f"{role}_delay") is not None]
        return [role for role in with_delays if ("recurrent" if role == "recurrent" else "feed-forward") in kinds]

    @property
    def kept_delays(self) -> list[str]:
        """The roles whose delays are there in this mode."""
        both = ("feed-forward", "recurrent")
        kinds: dict[str, tuple[str, ...]] = {"none": (), **{kind: (kind,) for kind in both}}
        return self.delayed(*kinds.get(self.delays, both))

    @property
    def trained_delays(self) -> list[str]:
        """The roles whose delays are trained in this mode."""
        return [] if self.delays == "fixed" else self.kept_delays
