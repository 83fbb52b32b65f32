"""The training loop: batches, gradients, updates, validation, checkpoints, and a resume that ends with the same bytes.

Everything that a run is at one instant stands in one immutable state, which each step replaces as a whole. So an
interruption at any place leaves a state to save, and what is saved is enough to go on in the middle of an epoch: the
order of the samples, their augmentation and every other draw are functions of (seed, epoch, sample).
"""

import dataclasses
import hashlib
import json
import math
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

import numpy as np

from . import checkpoints, communicator, resuming
from .arrays import is_whole
from .data.dataset import Dataset
from .engines import class_population, engine_of, outcome, places_in
from .errors import CheckpointError, InvalidInput, NotFinite
from .gradients import joint_probes
from .kernels.compile import CACHE_FOLDER
from .network import Network
from .optimizers import Optimizer, check_within
from .plausibility import doubts, unexcited, warn_of_doubts
from .sharding import N_SHARDS
from .signals import Terminated, sigterm_as_interrupt, uninterrupted
from .simulation import check_budget, check_duration
from .warming import warmup

FORMAT = 1
KIND = "eventsnn training run"
NORMAL_QUANTILE = 1.959963984540054  # of 0.975: two-sided 95 % intervals
MONITORS = ("accuracy", "loss")
# What may be another when a run goes on: a budget stops a run, or changes nothing.
IRRELEVANT = ("options.max_spikes",)
NOT_A_DATASET = "data.Dataset(spikes, labels, ...) makes one of a SpikeBatch."
# The average follows the parameters closely at first: its decay in step t is at most (1 + t) / (AVERAGE_START + t).
AVERAGE_START = 10


@dataclass(frozen=True)
class TrainingOptions:
    """What determines a run's result, besides network, parameters, loss, optimiser, data and number of epochs.

    ``duration``: T in ms (None: the training set's); ``batch_size`` (>= 1); ``seed`` (>= 0): sample order and
    augmentation; ``regularizers``: losses that are added in training; ``augmentation`` (data.Augmentation or None);
    ``silent_raise``: losses.SilentNeuronRaise rules, applied after each epoch; ``patience``: stop after this many
    epochs without a better validation (None: never); ``monitor``: "accuracy" (ties: the smaller loss) or "loss" of the
    validation decides which epoch is best; ``average``: decay per step, in (0, 1), of an exponential moving average of
    the parameters that is used in place of them in evaluation (None: off); ``neuron_drop``: the probability p, below 1,
    with which a LIF neuron sends nothing for the length of one batch, while those that do send 1/(1 - p) as much
    (dropout, Srivastava et al. 2014, with one draw per batch; it fires all the same, and is counted; loss and accuracy
    in training are those of the thinned network); ``max_spikes``: budget of one sample (None: as in ``simulate``);
    ``shards``: into how many parts a batch is cut for threads and ranks (at most so many ranks can share a run; the
    last bits of gradients depend on it).
    """

    duration: float | None = None
    batch_size: int = 32
    seed: int = 0
    regularizers: tuple = ()
    augmentation: object = None
    silent_raise: tuple = ()
    patience: int | None = None
    monitor: str = "accuracy"
    average: float | None = None
    neuron_drop: float = 0.0
    max_spikes: int | None = None
    shards: int = N_SHARDS

    def __post_init__(self):
        if self.duration is not None:
            check_duration(self.duration)
        _check_whole("batch_size", self.batch_size, 1)
        _check_whole("seed", self.seed, 0)
        if self.max_spikes is not None:
            check_budget(self.max_spikes)
        _check_whole("shards", self.shards, 1)
        if self.patience is not None:
            _check_whole("patience", self.patience, 1)
        if self.monitor not in MONITORS:
            raise InvalidInput("monitor", None, self.monitor, f"one of {MONITORS}")
        if self.average is not None and not 0 < self.average < 1:
            raise InvalidInput("average", None, self.average, "None or a decay per step with 0 < average < 1")
        if not 0 <= self.neuron_drop < 1:
            raise InvalidInput("neuron_drop", None, self.neuron_drop, "a probability with 0 <= neuron_drop < 1")
        if self.augmentation is not None and not callable(self.augmentation):
            allowed = "None, a data.Augmentation, or a function (docs/how-to/load-your-data.md)"
            raise InvalidInput("augmentation", None, self.augmentation, allowed)
        for name in ("regularizers", "silent_raise"):
            if not isinstance(getattr(self, name), (tuple, list)):
                raise InvalidInput(name, None, getattr(self, name), "a tuple of them")
            object.__setattr__(self, name, tuple(getattr(self, name)))


def _check_whole(name, value, low):
    if not is_whole(value) or value < low:
        raise InvalidInput(name, None, value, f"an int >= {low}")


def _check_callbacks(callbacks):
    """Return the callbacks as a tuple of functions."""
    if not isinstance(callbacks, (tuple, list)):
        raise InvalidInput("callbacks", None, callbacks, "a list of functions", "Write callbacks=[function].")
    for index, callback in enumerate(callbacks):
        if not callable(callback):
            raise InvalidInput("callbacks", index, callback, "a function of (trainer, kind, values)")
    return tuple(callbacks)


def wilson_interval(correct, n):
    """Return the 95 % interval (low, high) of a proportion of ``correct`` among ``n`` (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    z2, share = NORMAL_QUANTILE**2, correct / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Evaluation:
    """Results on one data set: mean ``loss`` (without regularizers), ``accuracy`` and its 95 % Wilson ``interval``.

    ``n``: samples; ``spikes_per_neuron``: mean over LIF neurons and samples; ``predictions``: (n,) int64.
    """

    loss: float
    accuracy: float
    n: int
    interval: tuple
    spikes_per_neuron: float
    predictions: np.ndarray = field(repr=False)

    def __str__(self):
        low, high = (100 * bound for bound in self.interval)
        interval = f"95 % interval {low:.1f} to {high:.1f}"
        return f"{100 * self.accuracy:.1f} % correct of {self.n} ({interval}), loss {self.loss:.4f}"


@dataclass(frozen=True)
class History:
    """One dict per finished epoch: epoch (from 1), train_loss, train_accuracy, validation_loss, validation_accuracy,
    validation_n, validation_spikes_per_neuron, spikes_per_neuron (in training: of augmented samples),
    seconds, learning_rates ({parameter: rate of the last step}).

    The validation entries are None without validation. ``best_epoch`` counts from 1, None without validation.
    """

    records: tuple = ()
    best_epoch: int | None = None

    def __len__(self):
        return len(self.records)

    def column(self, name):
        """Return one entry of all epochs as a float64 array (epochs,), NaN where there is none."""
        return np.array([math.nan if record[name] is None else record[name] for record in self.records], dtype=float)


# ------------------------------------------------------------------------------------------------- descriptions


def describe(value):
    """Return a JSON-able description of a loss, an optimiser, options and whatever they contain.

    ``to_dict`` is used where there is one; a dataclass becomes its class name and fields; any other object is known by
    its class name alone, so give a loss of your own one of the first two if it has settings.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if callable(getattr(value, "to_dict", None)):
        return value.to_dict()
    described = {"kind": type(value).__name__}
    if dataclasses.is_dataclass(value):
        described.update({item.name: describe(getattr(value, item.name)) for item in fields(value)})
    return described


def data_fingerprint(dataset):
    """Return a SHA-256 (hex) of a Dataset's spikes, labels, sizes and duration; None for None."""
    if dataset is None:
        return None
    digest = hashlib.sha256(repr((dataset.n_units, dataset.n_classes, float(dataset.duration))).encode())
    n_spikes = [0]
    for name in ("times", "units", "counts"):
        for block in dataset.spikes.blocks():
            array = getattr(block, name)
            digest.update(b"none" if array is None else np.ascontiguousarray(array))
            if name == "times":
                n_spikes.extend(np.diff(block.offsets))
    for array in (np.cumsum(n_spikes), dataset.labels):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def differences(before, now, place=""):
    """Yield (place, value before, value now) of everything that differs between two descriptions."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from differences(before.get(key), now.get(key), f"{place}.{key}" if place else key)
    elif before != now and not (before != before and now != now):
        yield place, before, now


def _refuse_changes(path, before, now):
    changes = [item for item in differences(before, json.loads(json.dumps(now))) if item[0] not in IRRELEVANT]
    if not changes:
        return
    parts = []
    for place, old, new in changes[:5]:
        hashes = place.split(".")[0] in ("network", "train", "validation")
        parts.append(f"{place} is not the same" if hashes else f"{place} was {old!r} and is now {new!r}")
    more = f", and {len(changes) - 5} more" if len(changes) > 5 else ""
    reason = f"this run differs from the one that was saved: {'; '.join(parts)}{more}"
    raise CheckpointError(path, changes[0][0], f"{reason}. Resume with the same settings, or start another run.")


# --------------------------------------------------------------------------------------------------------- state


@dataclass(frozen=True)
class _Running:
    """Sums over the samples that the current epoch has seen; ``spikes``: {LIF population: (n,) int64}."""

    samples: int = 0
    correct: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    spikes: dict = field(default_factory=dict)


@dataclass(frozen=True)
class _State:
    """A run at one instant, between two steps. ``batch`` counts the batches done in this epoch (from 0)."""

    parameters: dict
    optimizer: dict
    initial: dict
    average: dict | None = None
    best: dict | None = None
    best_epoch: int | None = None
    best_score: tuple | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    stopped: bool = False
    running: _Running = field(default_factory=_Running)
    records: tuple = ()

    @property
    def evaluated(self):
        """The parameters that an evaluation of this instant uses."""
        return self.parameters if self.average is None else self.average


_GROUPS = ("parameters", "optimizer", "initial", "average", "best")
_SCALARS = ("best_epoch", "epoch", "batch", "step", "stopped")


def _pack_state(state):
    """Split a state into arrays and JSON-able metadata."""
    arrays = {}
    for group in _GROUPS:
        for name, value in (getattr(state, group) or {}).items():
            arrays[f"{group}/{name}"] = np.asarray(value)
    arrays.update({f"running/{name}": counts for name, counts in state.running.spikes.items()})
    running = {key: getattr(state.running, key) for key in ("samples", "correct", "loss", "seconds")}
    meta = {name: getattr(state, name) for name in _SCALARS}
    score = None if state.best_score is None else list(state.best_score)
    return arrays, {**meta, "best_score": score, "running": running, "history": list(state.records)}


def _group(arrays, group):
    prefix = f"{group}/"
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def _unpack_state(path, arrays, meta):
    """Rebuild the state that ``_pack_state`` split."""
    try:
        found = meta["state"]
        resuming.check_described(path, found)
        running = _Running(**found["running"], spikes=_group(arrays, "running"))
        groups = {group: _group(arrays, group) for group in _GROUPS}
        optional = {group: groups[group] or None for group in ("average", "best")}
        score = None if found["best_score"] is None else tuple(found["best_score"])
        scalars = {name: found[name] for name in _SCALARS}
        records = tuple(found["history"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(path, "state", f"incomplete: {error}") from None
    return _State(**{**groups, **optional}, **scalars, best_score=score, running=running, records=records)


def _load_run(path):
    """Return (arrays, meta) of a training checkpoint; refuses checkpoints of anything else."""
    arrays, meta = checkpoints.load(path)
    if meta.get("kind") != KIND or meta.get("format") != FORMAT:
        found = (meta.get("kind"), meta.get("format"))
        raise CheckpointError(path, "kind", f"{found!r}; this release reads {(KIND, FORMAT)!r}")
    return arrays, meta


def load_model(path):
    """Return ``(network, parameters, meta)`` of a training checkpoint.

    ``parameters`` are those of the best epoch on validation, else the averaged ones, else the last. ``meta`` (dict)
    holds "duration" (ms), "run" (loss, optimiser, options), "notes" (what the Trainer was given) and "state", where
    "history" is; "initial" ({name: array}) are the parameters before training. Raises CheckpointError.
    """
    arrays, meta = _load_run(path)
    state = _unpack_state(path, arrays, meta)
    network = resuming.network_of(path, meta)
    resuming.check_groups(path, network, state)
    parameters = state.evaluated if state.best is None else state.best
    initial = network.check_parameters(state.initial)  # in the network's order, not in that of the file
    return network, network.check_parameters(parameters), {**meta, "initial": initial}


def load_history(path):
    """Return the History in a training checkpoint."""
    state = _unpack_state(path, *_load_run(path))
    return History(state.records, state.best_epoch)


# ------------------------------------------------------------------------------------------------------ progress


class _Progress:
    """A bar over all steps of the fit on a terminal, one line per epoch everywhere; or nothing at all."""

    def __init__(self, shown, total, done):
        self.bar = None
        if shown:
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, unit="batch", disable=None, dynamic_ncols=True, smoothing=0.05)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.bar is not None:
            self.bar.close()

    def step(self, epoch, running):
        if self.bar is not None and running.samples:
            text = f"loss {running.loss / running.samples:.3f}, {100 * running.correct / running.samples:.1f} %"
            self.bar.set_description(f"epoch {epoch + 1}", refresh=False)
            spikes = _per_neuron(running.spikes, running.samples)
            self.bar.set_postfix_str(f"{text}, {spikes:.1f} spikes per neuron", refresh=False)
            self.bar.update()

    def epoch(self, record, epochs, best):
        if self.bar is None:
            return
        line = f"epoch {record['epoch']:3d}/{epochs}"
        line += f"  loss {record['train_loss']:7.4f}  {_percent(record['train_accuracy'])}"
        if record["validation_loss"] is not None:
            line += f"  validation {record['validation_loss']:7.4f}  {_percent(record['validation_accuracy'])}"
        line += f"  {record['spikes_per_neuron']:5.1f} spikes per neuron  {record['seconds']:6.1f} s"
        self.bar.write(line + ("  best" if best else ""), file=sys.stderr)


def _percent(share):
    return f"{100 * share:5.1f} %"


def _per_neuron(spikes, samples):
    neurons = sum(counts.size for counts in spikes.values())
    return float(sum(int(counts.sum()) for counts in spikes.values()) / (neurons * samples)) if neurons else 0.0


def _counted(running, outcome, labels, started):
    return _Running(
        running.samples + len(labels),
        running.correct + _correct(outcome.predictions, labels),
        running.loss + float(outcome.losses.sum()),
        running.seconds + time.perf_counter() - started,
        _added(running.spikes, outcome.spikes),
    )


def _correct(predictions, labels):
    """Number of labels that were predicted."""
    return int(np.sum(predictions == labels))


def _added(first, second):
    return {name: counts + first[name] if name in first else counts for name, counts in second.items()}


# ------------------------------------------------------------------------------------------------------- trainer


class Trainer:
    """Trains a network on a Dataset; ``fit``, ``evaluate``, ``predict``, and ``parameters`` and ``history`` to read.

    Under mpiexec the ranks share the samples of each batch, and every rank ends with the bytes of a run in one process:
    each has to make the same calls, with the same arguments. Rank 0 alone reads and writes checkpoints and shows
    progress; callbacks are called on every rank.
    """

    def __init__(
        self, network, parameters, *, loss, optimizer, options=None, n_threads=None, checkpoint=None,
        checkpoint_every=None, callbacks=(), progress=True, notes=None, **settings,
    ):  # fmt: skip
        """Set up a run; nothing is written yet.

        Parameters: ``network``, ``parameters`` (from network.initialize), ``loss`` (see eventsnn.losses), ``optimizer``
        (Adam, SGD); ``options`` (TrainingOptions), or its fields as further keyword arguments, such as batch_size=64;
        ``n_threads`` (results do not depend on it); ``checkpoint``: a file path, written after each epoch, when the
        run is interrupted and, with ``checkpoint_every``, every so many steps; ``callbacks``: functions of
        (trainer, kind, values), called with kind "step" ({"epoch", "batch", "step", "loss"}) after each step and
        "epoch" (the epoch's record) after each epoch; ``progress``: show it on stderr; ``notes``: a JSON-able dict to
        keep in the checkpoint.
        """
        options = TrainingOptions() if options is None else options
        names = [item.name for item in fields(TrainingOptions)]
        if unknown := [name for name in settings if name not in names]:
            raise InvalidInput("settings", None, unknown[0], f"the fields of TrainingOptions: {', '.join(names)}")
        if not isinstance(optimizer, Optimizer):
            raise InvalidInput("optimizer", None, optimizer, "an optimiser, such as Adam(learning_rate=1e-3)")
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self._engine = engine_of(network)
        self.options = replace(options, **settings)
        self._engine.check(self.options)
        self.communicator = communicator.world()
        self.n_threads = self.communicator.resolve_n_threads(n_threads)
        self.callbacks, self.notes = _check_callbacks(callbacks), notes or {}
        self.progress = progress and self.communicator.rank == 0
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every
        if checkpoint_every is not None:
            _check_whole("checkpoint_every", checkpoint_every, 1)
        parameters = network.check_parameters(parameters)
        lif = [p.name for p in network.populations.values() if p.kind == "lif"]
        for rule in self.options.silent_raise:
            if rule.population not in lif:
                raise InvalidInput("silent_raise.population", None, rule.population, f"one of the populations {lif}")
        average = None if self.options.average is None else dict(parameters)
        state = optimizer.initialize(parameters, names=network.trainable)
        self._state = _State(dict(parameters), state, dict(parameters), average)
        self._bounds = _joint_bounds(network.bounds(), optimizer.bounds)
        self._run, self._duration, self._validation = None, self.options.duration, None

    @property
    def parameters(self):
        """The parameters to use: of the best epoch on validation, else the averaged ones, else the latest."""
        return self._state.evaluated if self._state.best is None else self._state.best

    @property
    def initial_parameters(self):
        """The parameters before the first step."""
        return self._state.initial

    @property
    def duration(self):
        """T in ms: of the options, else of the training set once a fit has begun, else None."""
        return self._duration

    @property
    def history(self):
        """History of the finished epochs."""
        return History(self._state.records, self._state.best_epoch)

    @property
    def stopped(self):
        """True once patience ran out."""
        return self._state.stopped

    def fit(self, train, validation=None, *, epochs, resume=False):
        """Train until ``epochs`` epochs are done in all, or patience runs out; return the History.

        ``train`` and ``validation`` are Datasets of one duration. With ``resume`` the run goes on from the checkpoint,
        also in the middle of an epoch, to the same bytes as a run that was never interrupted; a checkpoint of
        another network, data set, loss, optimiser or options is refused. Called again, it continues with more epochs.

        Raises CheckpointError, NotFinite (a loss or gradient; names the step, no update is made), EventStorm, and
        KeyboardInterrupt after saving. SIGTERM saves as well, and then ends the process, unless it is handled already.
        """
        _check_whole("epochs", epochs, 0)
        # of several ranks, one that died by a signal would take the others with it before they have saved
        with sigterm_as_interrupt(ends=self.communicator.size == 1):
            self._prepare(train, validation, resume)
            if not resume:
                self._warn_if_done(epochs)
            self._train(train, validation, epochs)
        return self.history

    def _train(self, train, validation, epochs):
        n_batches = -(-len(train) // self.options.batch_size)
        done = self._state.epoch * n_batches + self._state.batch
        try:
            with _Progress(self.progress, epochs * n_batches, done) as progress:
                while self._state.epoch < epochs and not self._state.stopped:
                    self._run_batches(train, n_batches, progress)
                    self._finish_epoch(validation, epochs, progress)
        except KeyboardInterrupt as interrupt:
            if self.communicator.rank != 0:
                raise
            with uninterrupted():
                self._write()  # without the other ranks: they are interrupted too
                self._say_what_is_kept(interrupt)
            raise

    def _say_what_is_kept(self, interrupt):
        """Say on stderr where an interrupted run stands, and how it goes on."""
        kept = "nothing is saved on disk; another fit of this Trainer continues"
        if isinstance(interrupt, Terminated):  # which ends the process, and the Trainer with it
            kept = "SIGTERM ends the run, and nothing is saved on disk; a Trainer with checkpoint= would have saved it"
        if self.checkpoint is not None:
            kept = f"saved in {self.checkpoint}"
            if not self.notes.get("command"):  # else who runs the command says how it goes on
                kept += "; fit(..., resume=True) continues there"
        where = f"interrupted in epoch {self._state.epoch + 1} after step {self._state.step}"
        print(f"{where}: {kept}.", file=sys.stderr)

    def _warn_if_done(self, epochs):
        """Warn where a fit that goes on with a run finds nothing left to train."""
        state = self._state
        if state.epoch == 0 or self.communicator.rank != 0:
            return
        if state.stopped:
            text = (
                f"patience has stopped this run after epoch {state.epoch}: nothing is trained. Begin another Trainer."
            )
            warnings.warn(text, stacklevel=3)
        elif state.epoch >= epochs:
            more = f"epochs={state.epoch + epochs} trains {epochs} more." if epochs else "Pass a larger number."
            text = (
                f"epochs={epochs} counts all epochs of this run, and {state.epoch} are done: nothing is trained. {more}"
            )
            warnings.warn(text, stacklevel=3)

    def _prepare(self, train, validation, resume):
        """Check the data, describe the run, and load or begin its checkpoint."""
        for name, data in (("train", train), ("validation", validation)):
            if not (isinstance(data, Dataset) or (name == "validation" and data is None)):
                raise InvalidInput(name, None, type(data).__name__, "a Dataset", NOT_A_DATASET)
            if data is not None:
                _check_channels(self.network, data, name)
        if len(train) == 0:
            raise InvalidInput("train", None, 0, "at least one sample")
        if validation is not None and len(validation) == 0:
            raise InvalidInput("validation", None, 0, "at least one sample, or None")
        self._check_ranks()
        if validation is not None and self.options.duration is None and validation.duration != train.duration:
            allowed, remedy = f"{train.duration} ms as in train", "Load them with one duration, or pass duration=."
            raise InvalidInput("validation.duration", None, validation.duration, allowed, remedy)
        self._duration = train.duration if self.options.duration is None else self.options.duration
        # which refuses what is no loss, or not one of this network
        joint_probes((self.loss, *self.options.regularizers), self.network, self._duration)
        for name, data in (("train", train), ("validation", validation)):
            if data is not None:
                _check_classes(self.network, self.loss, data, name)
        run = {
            "network": self.network.fingerprint(),
            "train": data_fingerprint(train),
            "validation": data_fingerprint(validation),
            "loss": describe(self.loss),
            "optimizer": self.optimizer.to_dict(),
            "options": describe(self.options),
        }
        self._check_same("the run (network, data, loss, optimiser or options)", json.dumps(run).encode())
        if self._run is not None:
            _refuse_changes(self.checkpoint or "in memory", self._run, run)
        elif resume:
            self._resume(run, train)
        elif self.checkpoint is not None and self.communicator.on_first(lambda: checkpoints.exists(self.checkpoint)):
            raise CheckpointError(self.checkpoint, "file", "exists already: pass resume=True, or choose another path")
        self._validation = validation
        self._doubts = self._found_doubts(train, validation)
        first, self._run = self._run is None and not resume, json.loads(json.dumps(run))
        self._check_same_parameters()
        if self.communicator.size > 1 and CACHE_FOLDER is not None:
            # the first rank compiles, the others find the kernels in the cache
            self.communicator.in_turns(warmup)
        if first:
            # whatever is wrong is said before anything is written
            self._check_beginning(validation)
            self._run_nothing(train)
            self._save()

    def _check_beginning(self, validation):
        """Refuse what a run can only begin with, and one of earlier may have gone on with."""
        check_within(self._state.parameters, self._bounds)
        if validation is None and self.options.patience is not None:
            remedy = "Pass a validation set to fit, or leave patience out."
            raise InvalidInput("patience", None, self.options.patience, "None without validation", remedy)

    def _check_ranks(self):
        """Refuse more ranks than can have work."""
        size, options = self.communicator.size, self.options
        if size > (most := min(options.shards, options.batch_size)):
            allowed = f"at most {most}: the smaller of shards ({options.shards}) and batch_size ({options.batch_size})"
            remedy = f"Start fewer ranks, or begin a run with shards and batch_size of {size} or more."
            raise InvalidInput("the number of ranks", None, size, allowed, remedy)

    def _check_same(self, what, *parts):
        digest = hashlib.sha256()
        for part in parts if self.communicator.size > 1 else ():
            digest.update(part)
        self.communicator.check_same(what, digest.digest())

    def _check_same_parameters(self):
        """Every rank computes the updates for itself: say so if they drift apart, before a result rests on it."""
        self._check_same("the parameters", *map(np.ascontiguousarray, self._state.parameters.values()))

    def _found_doubts(self, train, validation):
        """What is hardly meant of the data, delays and time constants, each said once."""
        found = []
        for name, data in (("train", train), ("validation", validation)):
            if data is not None:
                spikes = [data.spikes]
                found += doubts(self.network, self._state.parameters, spikes, self._duration, name, some_late=True)
        return list(dict.fromkeys(found))

    def _run_nothing(self, train):
        nothing = train.spikes[np.zeros(0, int)]
        self._engine.run_nothing(self._state.parameters, nothing, self._duration, self.n_threads)
        if self.communicator.rank == 0:
            warn_of_doubts(self._doubts, stacklevel=4)
            self._warn_of_idle_outputs(train)

    def _warn_of_idle_outputs(self, train):
        name = class_population(self.network, self.loss)
        n = 0 if name is None else self.network.populations[name].n
        if n > train.n_classes:
            text = f"{name!r} has {n} neurons for the {train.n_classes} classes of train: the others stand for none."
            warnings.warn(text, stacklevel=5)

    def _resume(self, run, train):
        if self.checkpoint is None:
            raise InvalidInput("resume", None, True, "False without a checkpoint", "Pass checkpoint= to the Trainer.")
        arrays, meta = self.communicator.load_on_first(lambda: _load_run(self.checkpoint))
        _refuse_changes(self.checkpoint, meta.get("run"), run)
        state = _unpack_state(self.checkpoint, arrays, meta)
        resuming.check_groups(self.checkpoint, self.network, state)
        resuming.check_progress(self.checkpoint, state, -(-len(train) // self.options.batch_size))
        fresh = self.optimizer.initialize(state.parameters, names=self.network.trainable)
        resuming.check_moments(self.checkpoint, state, fresh)
        self._state = state

    def _save(self):
        self.communicator.on_first(self._write)

    def _write(self):
        if self.checkpoint is None:
            return
        arrays, state = _pack_state(self._state)
        meta = {"kind": KIND, "format": FORMAT, "network": self.network.to_dict(), "run": self._run, "state": state}
        checkpoints.save(self.checkpoint, arrays, {**meta, "duration": self._duration, "notes": self.notes})

    # -- one epoch

    def _run_batches(self, train, n_batches, progress):
        size, epoch = self.options.batch_size, self._state.epoch
        order = train.order(self.options.seed, epoch)
        while self._state.batch < n_batches:
            first = self._state.batch * size
            loss = self._step(train, order[first : first + size])
            state = self._state
            progress.step(epoch, state.running)
            if self.checkpoint_every is not None and state.step % self.checkpoint_every == 0:
                self._save()
            values = {"epoch": epoch, "batch": state.batch, "step": state.step, "loss": loss}
            for callback in self.callbacks:
                callback(self, "step", values)

    def _step(self, train, indices):
        """One update: everything is computed first, then the state is replaced in one assignment."""
        started, state = time.perf_counter(), self._state
        labels, parameters = train.labels[indices], self._engine.at_epoch(state.parameters, state.epoch)
        with places_in("train", indices), _at_step(state.step):
            step = self._engine.gradient(
                parameters, train, labels, indices, (state.epoch, state.batch), loss=self.loss, options=self.options,
                duration=self._duration, team=self.communicator, n_threads=self.n_threads,
            )  # fmt: skip
        parameters, optimizer = self.optimizer.step(parameters, step.gradients, state.optimizer, bounds=self._bounds)
        parameters |= step.statistics
        self._state = replace(
            state,
            parameters=parameters,
            optimizer=optimizer,
            average=self._averaged(state, parameters),
            batch=state.batch + 1,
            step=state.step + 1,
            running=_counted(state.running, step.outcome, labels, started),
        )
        return step.value

    def _averaged(self, state, parameters):
        if state.average is None:
            return None
        decay = min(self.options.average, (1 + state.step) / (AVERAGE_START + state.step))
        average = dict(parameters)
        for name in self.network.trainable:
            average[name] = decay * state.average[name] + (1 - decay) * parameters[name]
        return average

    def _finish_epoch(self, validation, epochs, progress):
        """Raise silent neurons, round delays, validate, compare with the best, begin the next epoch: one assignment."""
        started, state = time.perf_counter(), self._state
        parameters = state.parameters
        self._warn_of_silence()
        for rule in self.options.silent_raise:
            parameters = rule(self.network, parameters, state.running.spikes[rule.population])
        state = replace(state, parameters=self._engine.after_epoch(parameters))
        result = None if validation is None else self.evaluate(validation, state.evaluated)
        record = self._record(state, result, started)
        state = replace(
            state, epoch=state.epoch + 1, batch=0, running=_Running(), records=(*state.records, record)
        )  # fmt: skip
        better = False
        if result is not None:
            score = (result.accuracy, -result.loss) if self.options.monitor == "accuracy" else (-result.loss,)
            better = state.best_score is None or score > state.best_score
            if better:
                state = replace(state, best=state.evaluated, best_epoch=state.epoch, best_score=score)
            patience = self.options.patience
            stopped = patience is not None and state.epoch - state.best_epoch >= patience
            state = replace(state, stopped=stopped)
        self._state = state
        self._check_same_parameters()
        self._save()
        progress.epoch(record, epochs, better)
        for callback in self.callbacks:
            callback(self, "epoch", record)

    def _warn_of_silence(self):
        """Warn of LIF populations that have not fired in this epoch, and that no rule will raise."""
        if self.communicator.rank != 0:
            return
        populations = self._state.running.spikes
        silent = [name for name, counts in populations.items() if not counts.any()]
        raised = [rule.population for rule in self.options.silent_raise]
        if len(silent) < len(populations):
            texts = {self._silence_of(name): [name] for name in silent if name not in raised}
        else:
            texts = {"no LIF neuron has fired in this epoch": silent} if silent and not raised else {}
        for text, concerned in texts.items():
            remedy = self._causes(concerned) or "raise the weights, or use silent_raise"
            warnings.warn(f"{text}: {remedy}", stacklevel=5)

    def _silence_of(self, name):
        """What a LIF population that alone has not fired means for learning."""
        text = f"no neuron of {name!r} has fired in this epoch, while others have"
        if name == class_population(self.network, self.loss):
            text += ". The loss reads its spikes: there is no gradient, and it learns nothing"
        return text

    def _causes(self, silent):
        """All that is found that can keep these populations silent, as one text."""
        found = [doubt.text for doubt in self._doubts if not doubt.populations.isdisjoint(silent)]
        return " ".join([*found, *unexcited(self.network, self._state.parameters, silent)])

    def _record(self, state, result, started):
        running = state.running
        rates = self.optimizer.rates(self.network.trainable, max(state.step - 1, 0))
        return {
            "epoch": state.epoch + 1,
            "train_loss": running.loss / running.samples,
            "train_accuracy": running.correct / running.samples,
            "validation_loss": None if result is None else result.loss,
            "validation_accuracy": None if result is None else result.accuracy,
            "validation_n": None if result is None else result.n,
            "validation_spikes_per_neuron": None if result is None else result.spikes_per_neuron,
            "spikes_per_neuron": _per_neuron(running.spikes, running.samples),
            "seconds": running.seconds + time.perf_counter() - started,
            "learning_rates": rates,
        }

    # -- use

    def evaluate(self, dataset, parameters=None, delays=None):
        """Return the Evaluation of a Dataset with ``self.parameters``, or the given ones; ``delays``: see evaluate."""
        parameters = self.parameters if parameters is None else parameters
        looked_at = dataset is not None and dataset is self._validation  # fit has warned of what is hardly meant
        function = _evaluated if looked_at else evaluate
        return function(
            self.network, parameters, dataset, loss=self.loss, duration=self._duration, n_threads=self.n_threads,
            max_spikes=self.options.max_spikes, delays=delays,
        )  # fmt: skip

    def predict(self, spikes):
        """Return the predicted labels (n,) int64 of a SpikeBatch; needs a duration, from options or a fit."""
        if self._duration is None:
            raise InvalidInput("duration", None, None, "a duration in ms", "Pass duration=, or fit first.")
        recordings = self._engine.recordings(
            self.parameters, spikes, loss=self.loss, duration=self._duration, team=self.communicator,
            n_threads=self.n_threads, max_spikes=self.options.max_spikes,
        )  # fmt: skip
        return np.concatenate([np.zeros(0, np.int64), *(self.loss.predict(recording) for _, recording in recordings)])


def evaluate(
    network, parameters, dataset, *, loss, duration=None, n_threads=None, max_spikes=None, delays=None
):  # fmt: skip
    """Return the Evaluation of a network on a Dataset; ``duration`` in ms (None: the data set's).

    ``delays``, of a GridNetwork: "rounded" to its steps (None), "fractional" or "spread", as in training.
    Under mpiexec the ranks share the samples, as in training. Warns of what can hardly be meant, as ``fit`` does.
    Raises NotFinite where the loss is not finite.
    """
    if not isinstance(dataset, Dataset):
        raise InvalidInput("dataset", None, type(dataset).__name__, "a Dataset", NOT_A_DATASET)
    if len(dataset) == 0:
        raise InvalidInput("dataset", None, 0, "at least one sample")
    _check_channels(network, dataset, "dataset")
    if communicator.world().rank == 0:
        checked = network.check_parameters(parameters)
        time = check_duration(dataset.duration if duration is None else duration)
        name = dataset.name or "the data set"
        warn_of_doubts(doubts(network, checked, [dataset.spikes], time, name, some_late=True), stacklevel=2)
    return _evaluated(network, parameters, dataset, loss, duration, n_threads, max_spikes, delays)


def _evaluated(network, parameters, dataset, loss, duration, n_threads, max_spikes, delays=None):
    """The Evaluation of a data set that has been looked at."""
    duration = dataset.duration if duration is None else duration
    joint_probes((loss,), network, duration)  # which refuses what is no loss of this network
    _check_classes(network, loss, dataset, "dataset")
    values, predictions, spikes = [], [], {}
    engine, team = engine_of(network), communicator.world()
    recordings = engine.recordings(
        parameters, dataset.spikes, loss=loss, duration=duration, team=team, n_threads=n_threads,
        max_spikes=max_spikes, delays=delays,
    )  # fmt: skip
    for chosen, recording in recordings:
        with places_in("dataset", np.arange(len(dataset))[chosen]):
            found = outcome(network, recording, loss, dataset.labels[chosen])
        values.append(found.losses)
        predictions.append(found.predictions)
        spikes = _added(spikes, found.spikes)
    predictions = np.concatenate(predictions)
    n, correct = len(dataset), _correct(predictions, dataset.labels)
    mean = float(np.concatenate(values).mean())
    if not np.isfinite(mean):
        raise NotFinite(f"the loss of the evaluation ({mean})")
    return Evaluation(mean, correct / n, n, wilson_interval(correct, n), _per_neuron(spikes, n), predictions)


@contextmanager
def _at_step(step):
    """Have a loss or a gradient that is not finite name the optimiser's step."""
    try:
        yield
    except NotFinite as error:
        raise NotFinite(error.what, step) from None


def _check_channels(network, dataset, name):
    """Refuse data that have not as many channels as the network: its last ones would be silent without a word."""
    inputs = [p for p in network.populations.values() if p.kind == "input"]
    if len(inputs) == 1 and dataset.n_units != inputs[0].n:
        remedy = ""
        if dataset.n_units < inputs[0].n:
            remedy = f"dataclasses.replace(dataset, n_units={inputs[0].n}) says that the others are silent."
        if dataset.n_units + 1 == inputs[0].n and isinstance(network, Network):
            remedy = "A network of surrogate.to_events may need its clock: surrogate.with_clock adds it to the data."
        allowed = f"{inputs[0].n}, the channels of input {inputs[0].name!r}"
        raise InvalidInput(f"{name}.n_units", None, dataset.n_units, allowed, remedy)


def _check_classes(network, loss, dataset, name):
    """Refuse labels for which the network has no output."""
    if (population := class_population(network, loss)) is None:
        return
    n = network.populations[population].n
    if np.any(bad := dataset.labels >= n):
        index = int(np.argmax(bad))
        allowed = f"classes from 0 to {n - 1}, the neurons of {population!r}"
        remedy = f"Give {population!r} {dataset.n_classes} neurons, one for each class."
        raise InvalidInput(f"{name}.labels", index, int(dataset.labels[index]), allowed, remedy)


def _joint_bounds(first, second):
    """The intersection of two sets of bounds."""
    joint = dict(first)
    for name, (low, high) in (second or {}).items():
        before = joint.get(name, (-math.inf, math.inf))
        joint[name] = (max(low, before[0]), min(high, before[1]))
    return joint
