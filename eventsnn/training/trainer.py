"""The training loop: batches, gradients, updates, validation, checkpoints, and a resume that ends with the same bytes.

Everything that a run is at one instant stands in one immutable state, which each step replaces as a whole. So an
interruption at any place leaves a state to save, and what is saved is enough to go on in the middle of an epoch: the
order of the samples, their augmentation and every other draw are functions of (seed, epoch, sample).
"""

import hashlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .. import checkpoints
from ..aliases import Description, Integers, Milliseconds, Parameters
from ..checks import answers_keywords, whole
from ..data.dataset import Dataset
from ..data.stores.stored import StoredSpikes
from ..engines.base import Engine
from ..errors import CheckpointError, Conflict, InvalidInput, NotFinite
from ..kernels.compile import CACHE_FOLDER
from ..losses.base import Loss
from ..losses.together import check_loss, joint_probes
from ..network.base import BaseNetwork
from ..network.network import Network
from ..network.plausibility import Doubt, doubts, warn_of_doubts
from ..optimizers.base import Optimizer
from ..optimizers.settings import as_bounds, check_within, joint_bounds
from ..parallel import communicator
from ..parallel.signals import Terminated, sigterm_as_interrupt, uninterrupted
from ..spikes.batch import SpikeBatch
from ..warming import warmup
from . import resuming
from .evaluation import NOT_A_DATASET, Evaluation, check_channels, check_classes, evaluate, evaluated, per_neuron
from .identity import ENGINE, data_fingerprint, describe, described_engine, engine_name, refuse_changes
from .methods.base import places_in, spikes_of
from .methods.choosing import check_network, method_of
from .options import Callback, TrainingOptions, check_callbacks, check_settings
from .progress import Progress
from .silence import warn_of_idle_outputs, warn_of_silence
from .state import FORMAT, KIND, History, Record, Running, State, counted, load_run, pack_state, unpack_state

# The average follows the parameters closely at first: its decay in step t is at most (1 + t) / (AVERAGE_START + t).
AVERAGE_START = 10


class Trainer:
    """Trains a network on a Dataset; ``fit``, ``evaluate``, ``predict``, and ``parameters`` and ``history`` to read.

    Under mpiexec the ranks share the samples of each batch, and every rank ends with the bytes of a run in one process:
    each has to make the same calls, with the same arguments. Rank 0 alone reads and writes checkpoints and shows
    progress; callbacks are called on every rank.
    """

    def __init__(
        self, network: BaseNetwork, parameters: Mapping[str, npt.ArrayLike], *, loss: Loss,
        optimizer: Optimizer, options: TrainingOptions | None = None, n_threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None, checkpoint_every: int | None = None,
        callbacks: Sequence[Callback] = (), progress: bool = True, notes: Description | None = None,
        engine: str | Engine = "compiled", **settings: Any,
    ) -> None:  # fmt: skip
        """Set up a run; nothing is written yet.

        Parameters: ``network``, ``parameters`` (from network.initialize), ``loss`` (see eventsnn.losses), ``optimizer``
        (Adam, SGD); ``options`` (TrainingOptions), or its fields as further keyword arguments, such as batch_size=64;
        ``n_threads`` (results do not depend on it); ``checkpoint``: a file path, written after each epoch, when the
        run is interrupted and, with ``checkpoint_every``, every so many steps; ``callbacks``: functions of
        (trainer, kind, values), called with kind "step" ({"epoch", "batch", "step", "loss"}) after each step and
        "epoch" (the epoch's record) after each epoch; ``progress``: show it on stderr; ``notes``: a JSON-able dict to
        keep in the checkpoint; ``engine`` as for ``simulate``, part of what the run is.
        """
        check_network(network, "network, parameters")
        options = TrainingOptions() if options is None else options
        check_settings(settings, ["loss", "optimizer", *(Trainer.__init__.__kwdefaults__ or {})])
        if not isinstance(optimizer, Optimizer):
            raise InvalidInput("optimizer", None, optimizer, "an optimiser, such as Adam(learning_rate=1e-3)")
        check_loss(loss)
        self.network, self.loss, self.optimizer, self.engine = network, loss, optimizer, engine
        self._method = method_of(network, engine)
        self.options = replace(options, **settings)
        self._method.check(self.options)
        self.communicator = communicator.world()
        self.n_threads = self.communicator.resolve_n_threads(n_threads)
        self.callbacks, self.notes = check_callbacks(callbacks), notes or {}
        self.progress = progress and self.communicator.rank == 0
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every
        if checkpoint_every is not None:
            whole(checkpoint_every, "checkpoint_every", 1)
        checked = network.check_parameters(parameters)
        spiking = network.spiking
        for rule in self.options.silent_raise:
            if rule.population not in spiking:
                raise InvalidInput(
                    "silent_raise.population", None, rule.population, f"one of the populations {spiking}"
                )
        average = None if self.options.average is None else dict(checked)
        state = optimizer.initialize(checked, names=network.trainable)
        self._state = State(dict(checked), state, dict(checked), average)
        self._bounds = joint_bounds(network.bounds(), as_bounds(optimizer.bounds))
        self._run: Description | None = None
        self._duration = self.options.duration
        self._validation: Dataset | None = None

    @property
    def parameters(self) -> Parameters:
        """The parameters to use: of the best epoch on validation, else the averaged ones, else the latest."""
        return self._state.evaluated if self._state.best is None else self._state.best

    @property
    def initial_parameters(self) -> Parameters:
        """The parameters before the first step."""
        return self._state.initial

    @property
    def duration(self) -> Milliseconds | None:
        """T in ms: of the options, else of the training set once a fit has begun, else None."""
        return self._duration

    @property
    def _length(self) -> Milliseconds:
        """T in ms of the fit that goes on."""
        return cast(Milliseconds, self._duration)

    @property
    def history(self) -> History:
        """History of the finished epochs."""
        return History(self._state.records, self._state.best_epoch)

    @property
    def stopped(self) -> bool:
        """True once patience ran out."""
        return self._state.stopped

    @answers_keywords
    def fit(self, train: Dataset, validation: Dataset | None = None, *, epochs: int, resume: bool = False) -> History:
        """Train until ``epochs`` epochs are done in all, or patience runs out; return the History.

        ``train`` and ``validation`` are Datasets of one duration. With ``resume`` the run goes on from the checkpoint,
        also in the middle of an epoch, to the same bytes as a run that was never interrupted; a checkpoint of
        another network, data set, loss, optimiser, engine or options is refused. Called again, it continues with more
        epochs.

        Raises CheckpointError, NotFinite (a loss or gradient; names the step, no update is made), EventStorm, and
        KeyboardInterrupt after saving. SIGTERM saves as well, and then ends the process, unless it is handled already.
        """
        whole(epochs, "epochs", 0)
        # of several ranks, one that died by a signal would take the others with it before they have saved
        with sigterm_as_interrupt(ends=self.communicator.size == 1):
            self._prepare(train, validation, resume)
            if not resume:
                self._warn_if_done(epochs)
            self._train(train, validation, epochs)
        return self.history

    def _train(self, train: Dataset, validation: Dataset | None, epochs: int) -> None:
        n_batches = -(-len(train) // self.options.batch_size)
        done = self._state.epoch * n_batches + self._state.batch
        try:
            with Progress(self.progress, epochs * n_batches, done) as progress:
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

    def _say_what_is_kept(self, interrupt: KeyboardInterrupt) -> None:
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

    def _warn_if_done(self, epochs: int) -> None:
        """Warn where a fit that goes on with a run finds nothing left to train."""
        state = self._state
        if state.epoch == 0 or self.communicator.rank != 0:
            return
        if state.stopped:
            text = (
                f"patience has stopped this run after epoch {state.epoch}: nothing is trained. Begin another Trainer."
            )
            warnings.warn(text, stacklevel=4)
        elif state.epoch >= epochs:
            more = f"epochs={state.epoch + epochs} trains {epochs} more." if epochs else "Pass a larger number."
            text = (
                f"epochs={epochs} counts all epochs of this run, and {state.epoch} are done: nothing is trained. {more}"
            )
            warnings.warn(text, stacklevel=4)

    def _prepare(self, train: Dataset, validation: Dataset | None, resume: bool) -> None:
        """Check the data, describe the run, and load or begin its checkpoint."""
        for name, data in (("train", train), ("validation", validation)):
            if not (isinstance(data, Dataset) or (name == "validation" and data is None)):
                raise InvalidInput(name, None, type(data).__name__, "a Dataset", NOT_A_DATASET)
            if data is not None:
                check_channels(self.network, data, name)
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
                check_classes(self.network, self.loss, data, name)
        run = {
            "network": self.network.fingerprint(),
            "train": data_fingerprint(train),
            "validation": data_fingerprint(validation),
            "loss": describe(self.loss),
            "optimizer": self.optimizer.to_dict(),
            "options": describe(self.options),
            **described_engine(self.engine),
        }
        self._check_same("the run (network, data, loss, optimiser, options or engine)", json.dumps(run).encode())
        path = self.checkpoint
        if self._run is not None:
            refuse_changes(path or "in memory", self._run, run)
        elif resume:
            self._resume(run, train)
        elif path is not None and self.communicator.on_first(lambda: checkpoints.exists(path)):
            raise CheckpointError(path, "file", "exists already: pass resume=True, or choose another path")
        self._validation = validation
        self._doubts = self._found_doubts(train, validation)
        first, self._run = self._run is None and not resume, json.loads(json.dumps(run))
        self._check_same_parameters()
        compiles = engine_name(self.engine) == ENGINE and CACHE_FOLDER is not None
        if self.communicator.size > 1 and compiles:
            # the first rank compiles, the others find the kernels in the cache
            self.communicator.in_turns(warmup)
        if first:
            # whatever is wrong is said before anything is written
            self._check_beginning(validation)
            self._run_nothing(train)
            self._save()

    def _check_beginning(self, validation: Dataset | None) -> None:
        """Refuse what a run can only begin with, and one of earlier may have gone on with."""
        check_within(self._state.parameters, self._bounds)
        if validation is None and self.options.patience is not None:
            remedy = "Pass a validation set to fit, or leave patience out."
            raise Conflict("patience", None, self.options.patience, "None without validation", remedy)

    def _check_ranks(self) -> None:
        """Refuse more ranks than can have work."""
        size, options = self.communicator.size, self.options
        if size > (most := min(options.shards, options.batch_size)):
            allowed = f"at most {most}: the smaller of shards ({options.shards}) and batch_size ({options.batch_size})"
            remedy = f"Start fewer ranks, or begin a run with shards and batch_size of {size} or more."
            raise InvalidInput("the number of ranks", None, size, allowed, remedy)

    def _check_same(self, what: str, *parts: bytes | memoryview) -> None:
        digest = hashlib.sha256()
        for part in parts if self.communicator.size > 1 else ():
            digest.update(part)
        self.communicator.check_same(what, digest.digest())

    def _check_same_parameters(self) -> None:
        """Every rank computes the updates for itself: say so if they drift apart, before a result rests on it."""
        self._check_same("the parameters", *(np.ascontiguousarray(p).data for p in self._state.parameters.values()))

    def _found_doubts(self, train: Dataset, validation: Dataset | None) -> list[Doubt]:
        """What is hardly meant of the data, delays and time constants, each said once."""
        found: list[Doubt] = []
        for name, data in (("train", train), ("validation", validation)):
            if data is not None:
                spikes = [data.spikes]
                found += doubts(self.network, self._state.parameters, spikes, self._length, name, some_late=True)
        return list(dict.fromkeys(found))

    def _run_nothing(self, train: Dataset) -> None:
        nothing = train.spikes[np.zeros(0, int)]
        self._method.run_nothing(self._state.parameters, nothing, self._length, self.n_threads)
        if self.communicator.rank == 0:
            warn_of_doubts(self._doubts, stacklevel=5)
            warn_of_idle_outputs(self.network, self.loss, train)

    def _resume(self, run: Description, train: Dataset) -> None:
        if (path := self.checkpoint) is None:
            raise Conflict("resume", None, True, "False without a checkpoint", "Pass checkpoint= to the Trainer.")
        arrays, meta = self.communicator.load_on_first(lambda: load_run(path))
        refuse_changes(path, meta.get("run"), run)
        state = unpack_state(path, arrays, meta)
        resuming.check_groups(path, self.network, state)
        resuming.check_progress(path, state, -(-len(train) // self.options.batch_size))
        fresh = self.optimizer.initialize(state.parameters, names=self.network.trainable)
        resuming.check_moments(path, state, fresh)
        self._state = state

    def _save(self) -> None:
        self.communicator.on_first(self._write)

    def _write(self) -> None:
        if self.checkpoint is None:
            return
        arrays, state = pack_state(self._state)
        meta = {"kind": KIND, "format": FORMAT, "network": self.network.to_dict(), "run": self._run, "state": state}
        checkpoints.save(self.checkpoint, arrays, {**meta, "duration": self._duration, "notes": self.notes})

    # -- one epoch

    def _run_batches(self, train: Dataset, n_batches: int, progress: Progress) -> None:
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

    def _step(self, train: Dataset, indices: Integers) -> float:
        """One update: everything is computed first, then the state is replaced in one assignment."""
        started, state = time.perf_counter(), self._state
        labels, parameters = train.labels[indices], self._method.at_epoch(state.parameters, state.epoch)
        with places_in("train", indices), _at_step(state.step):
            step = self._method.gradient(
                parameters, train, labels, indices, (state.epoch, state.batch), loss=self.loss, options=self.options,
                duration=self._length, team=self.communicator, n_threads=self.n_threads,
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
            running=counted(state.running, step.outcome, labels, started),
        )
        return step.value

    def _averaged(self, state: State, parameters: Parameters) -> Parameters | None:
        if state.average is None:
            return None
        decay = min(cast(float, self.options.average), (1 + state.step) / (AVERAGE_START + state.step))
        average = dict(parameters)
        for name in self.network.trainable:
            average[name] = decay * state.average[name] + (1 - decay) * parameters[name]
        return average

    def _finish_epoch(self, validation: Dataset | None, epochs: int, progress: Progress) -> None:
        """Raise silent neurons, round delays, validate, compare with the best, begin the next epoch: one assignment."""
        started, state = time.perf_counter(), self._state
        parameters = state.parameters
        if self.communicator.rank == 0:
            warn_of_silence(self.network, self.loss, state, self.options.silent_raise, self._doubts)
        for rule in self.options.silent_raise:
            parameters = rule(cast(Network, self.network), parameters, state.running.spikes[rule.population])
        state = replace(state, parameters=self._method.after_epoch(parameters))
        result = None if validation is None else self.evaluate(validation, state.evaluated)
        record = self._record(state, result, started)
        state = replace(
            state, epoch=state.epoch + 1, batch=0, running=Running(), records=(*state.records, record)
        )  # fmt: skip
        better = False
        if result is not None:
            score = (result.accuracy, -result.loss) if self.options.monitor == "accuracy" else (-result.loss,)
            better = state.best_score is None or score > state.best_score
            if better:
                state = replace(state, best=state.evaluated, best_epoch=state.epoch, best_score=score)
            patience = self.options.patience
            stopped = patience is not None and state.epoch - cast(int, state.best_epoch) >= patience
            state = replace(state, stopped=stopped)
        self._state = state
        self._check_same_parameters()
        self._save()
        progress.epoch(record, epochs, better)
        for callback in self.callbacks:
            callback(self, "epoch", record)

    def _record(self, state: State, result: Evaluation | None, started: float) -> Record:
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
            "spikes_per_neuron": per_neuron(running.spikes, running.samples),
            "seconds": running.seconds + time.perf_counter() - started,
            "learning_rates": rates,
        }

    # -- use

    @answers_keywords
    def evaluate(
        self, dataset: Dataset, parameters: Mapping[str, npt.ArrayLike] | None = None, delays: str | None = None
    ) -> Evaluation:
        """Return the Evaluation of a Dataset with ``self.parameters``, or the given ones; ``delays``: see evaluate."""
        parameters = self.parameters if parameters is None else parameters
        looked_at = dataset is not None and dataset is self._validation  # fit has warned of what is hardly meant
        function: Callable[..., Evaluation] = evaluated if looked_at else evaluate
        return function(
            self.network, parameters, dataset, loss=self.loss, duration=self._duration, n_threads=self.n_threads,
            max_spikes=self.options.max_spikes, delays=delays, engine=self.engine,
        )  # fmt: skip

    @answers_keywords
    def predict(self, spikes: Dataset | SpikeBatch | StoredSpikes) -> Integers:
        """Return the predicted labels (n,) int64 of a Dataset or SpikeBatch; needs a duration: of options or a fit."""
        spikes = spikes_of(spikes)
        if self._duration is None:
            raise InvalidInput("duration", None, None, "a duration in ms", "Pass duration=, or fit first.")
        recordings = self._method.recordings(
            self.parameters, spikes, loss=self.loss, duration=self._duration, team=self.communicator,
            n_threads=self.n_threads, max_spikes=self.options.max_spikes,
        )  # fmt: skip
        return np.concatenate([np.zeros(0, np.int64), *(self.loss.predict(recording) for _, recording in recordings)])


@contextmanager
def _at_step(step: int) -> Iterator[None]:
    """Have a loss or a gradient that is not finite name the optimiser's step."""
    try:
        yield
    except NotFinite as error:
        raise NotFinite(error.what, step) from None
