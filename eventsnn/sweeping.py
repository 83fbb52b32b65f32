"""Sweeps: many settings of one preset, each trained and judged on validation, shared by processes through a folder.

What has been tried stands in an Optuna study in the folder's journal file, which several processes or hosts may have
open at once. Each of them takes the next settings, trains them with all seeds and writes down the mean validation
accuracy. The test set stays closed: settings that were chosen on it would make its accuracy worthless.
"""

import itertools
import os
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import presets, runs
from .errors import EventsnnError, EventStorm, InvalidInput, NotFinite

JOURNAL = "study.journal"
RANGE = re.compile(r"(log:)?\s*([^\s.]\S*?|\.\d\S*?)\s*\.\.\s*(\S+)\Z")
FEW = 10  # trials before the sampler proposes from what was found, and runs before pruning begins


class SweepError(EventsnnError, RuntimeError):
    """A sweep cannot be carried out: a library is missing, or the folder holds another study."""


class Axis(NamedTuple):
    """One setting that a sweep varies: ``choices`` (texts), or numbers from ``low`` to ``high`` (ints or floats)."""

    key: str
    choices: tuple = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def suggest(self, trial):
        """Return the trial's value of this setting."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        suggest = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return suggest(self.key, self.low, self.high, log=self.log)

    @property
    def examples(self):
        """Values that must all be allowed for the axis to make sense."""
        return self.choices or (self.low, self.high)


def read_axis(text):
    """Return the Axis of "KEY=A,B,C" (choices), "KEY=LOW..HIGH" or "KEY=log:LOW..HIGH" (a range).

    A comma within brackets does not part choices; a range between whole numbers is one of whole numbers. Raises
    InvalidInput for anything else.
    """
    key, equals, values = text.partition("=")
    if not (key.strip() and equals and values.strip()):
        raise InvalidInput("--vary", None, text, "KEY=A,B,C or KEY=LOW..HIGH", "For example training.batch_size=16,32")
    key = key.strip()
    if (found := RANGE.match(values.strip())) is None:
        choices = tuple(item.strip() for item in re.split(r",(?![^\[]*\])", values))
        if "" in choices or len(set(choices)) < len(choices):
            raise InvalidInput("--vary", None, text, "choices that are given and differ from each other")
        return Axis(key, choices)
    low, high = (_number(text, end) for end in found.group(2, 3))
    log = found.group(1) is not None
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    if not low < high or (log and low <= 0):
        raise InvalidInput("--vary", None, text, "LOW < HIGH" + (", and LOW > 0 for log:" if log else ""))
    return Axis(key, low=low, high=high, log=log)


def _number(text, end):
    try:
        value = float(end)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InvalidInput("--vary", None, text, "KEY=LOW..HIGH with finite numbers")
    return int(end) if re.fullmatch(r"[+-]?\d+", end) else value


def _optuna():
    try:
        import optuna
    except ImportError:
        raise SweepError("sweeps need Optuna: pip install 'eventsnn[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Sweep:
    """Trains ``preset`` with the settings that ``vary`` spans, and keeps the study in ``folder``.

    Parameters: ``vary``: texts for ``read_axis``, none for the preset as it is; ``seeds``: each setting is trained
    with all of them; ``trials``: how many settings to try, proposed by a tree-structured Parzen estimator (Bergstra et
    al. 2011) from what was found so far; None tries every combination of choices. ``prune``: stop a run whose
    validation accuracy is below the median of the others at its epoch.

    A folder that has a study of the same sweep in it is gone on with; of another one it is refused (SweepError).
    """

    def __init__(self, preset, vary, folder, *, seeds, trials=None, prune=False):
        self.preset, self.folder, self.seeds, self.trials = preset, Path(folder), list(dict.fromkeys(seeds)), trials
        self.axes = [read_axis(text) for text in vary]
        keys = [axis.key for axis in self.axes]
        if len(set(keys)) < len(keys):
            raise InvalidInput("--vary", None, keys, "each setting once")
        for axis in self.axes:
            for value in axis.examples:
                presets.change(preset, [f"{axis.key}={value}"])
            if trials is None and not axis.choices:
                allowed = "a number of trials, because a range has no end of values"
                raise InvalidInput("--trials", None, None, allowed, "Pass --trials N, or give choices.")
        if trials is not None and trials < 1:
            raise InvalidInput("--trials", None, trials, "an int >= 1")
        self.prune = prune
        self._data, self._taken = (None, None), set()

    # -- the study

    def open(self):
        """Open the study, or begin it; return it (optuna.Study)."""
        optuna = _optuna()
        from optuna.storages.journal import JournalFileBackend

        self.folder.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.folder / JOURNAL)))
        pruner = optuna.pruners.MedianPruner(n_startup_trials=FEW) if self.prune else optuna.pruners.NopPruner()
        study = optuna.create_study(
            storage=storage, study_name="sweep", direction="maximize", load_if_exists=True, pruner=pruner
        )
        described = runs.plain({"preset": self.preset.to_dict(), "vary": [axis._asdict() for axis in self.axes],
                                "seeds": self.seeds})  # fmt: skip
        before = study.user_attrs.get("sweep")
        if before is None:
            study.set_user_attr("sweep", described)
        elif before != described:
            changed = ", ".join(key for key in described if described[key] != before[key])
            raise SweepError(f"{self.folder} holds another sweep ({changed} differ): choose another --out")
        if self.trials is None:
            for number, values in enumerate(itertools.product(*(axis.choices for axis in self.axes))):
                chosen = {axis.key: value for axis, value in zip(self.axes, values, strict=True)}
                place = {"folder": f"trial-{number:03d}", "settings": chosen}
                study.enqueue_trial(chosen, user_attrs=place, skip_if_exists=True)
        self._retake_what_was_killed(study)
        return study

    def _retake_what_was_killed(self, study):
        """Put back what a process of this host, which is no more, had begun."""
        for trial in study.get_trials(deepcopy=False, states=(_optuna().trial.TrialState.RUNNING,)):
            host, process = trial.user_attrs.get("process", (None, None))
            if host != socket.gethostname():
                continue
            # in a container a process may have the number of the one before it
            runs_on = trial.number in self._taken if process == os.getpid() else _runs(process)
            if not runs_on:
                self._put_back(study, trial)

    def _put_back(self, study, trial):
        """Let the next process that asks go on with this trial, from the checkpoints in its folder."""
        study.tell(trial.number, state=_optuna().trial.TrialState.FAIL)
        # what was on the list may have been given back before it asked for its values
        settings = trial.user_attrs.get("settings", trial.params)
        study.enqueue_trial(settings, user_attrs={"folder": _folder_name(trial), "settings": settings})

    def _next(self, study):
        """The next trial to train, or None when all have been taken."""
        optuna = _optuna()
        states = optuna.trial.TrialState
        while self._left(study.get_trials(deepcopy=False), states) > 0:
            trial = study.ask()
            if self.trials is None and _is_surplus(trial, study.get_trials(deepcopy=False), states):
                study.tell(trial, state=states.FAIL)
                continue
            # drawn for this trial alone: processes that begin together do not try the same
            study.sampler = optuna.samplers.TPESampler(n_startup_trials=FEW, seed=trial.number)
            self._taken.add(trial.number)
            trial.set_user_attr("process", [socket.gethostname(), os.getpid()])
            return trial
        return None

    def _left(self, trials, states):
        """How many trials nobody has taken yet."""
        if self.trials is None:
            return sum(trial.state == states.WAITING for trial in trials)
        return self.trials - sum(_counts(trial, states) for trial in trials)

    # -- training

    def run(self, *, n_threads=None, progress=True):
        """Take and train trials until none is left; return the study.

        Raises KeyboardInterrupt after putting the trial at work back, to be gone on with.
        """
        study = self.open()
        while (trial := self._next(study)) is not None:
            self._train(study, trial, n_threads=n_threads, progress=progress)
        return study

    def _train(self, study, trial, **settings):
        optuna = _optuna()
        values = {axis.key: axis.suggest(trial) for axis in self.axes}
        preset = presets.change(self.preset, [f"{key}={value}" for key, value in values.items()])
        folder = self.folder / _folder_name(trial)
        if settings["progress"]:
            print(f"trial {trial.number}: " + (", ".join(f"{k}={v}" for k, v in values.items()) or preset.name))
        results = []
        try:
            for seed in self.seeds:
                chosen = replace(preset, training=replace(preset.training, seed=seed))
                pruned = _pruner(trial) if self.prune and not results else ()
                place = runs.seed_folder(folder, seed, self.seeds)
                result = runs.train(chosen, self._load(preset), place, test=False, callbacks=pruned, **settings)
                results.append(result)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except (EventStorm, NotFinite) as error:
            # settings under which a network bursts or diverges are a result too
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        except BaseException:
            self._put_back(study, study.trials[trial.number])
            raise
        else:
            accuracies = [result["validation_accuracy"] for result in results]
            kept = ("validation_accuracy", "spikes_per_neuron", "minutes", "epochs", "best_epoch", "parameters")
            trial.set_user_attr("runs", [{key: result[key] for key in kept} for result in results])
            study.tell(trial, float(np.mean(accuracies)))

    def _load(self, preset):
        """(train, validation, None) of a preset; read again only where the trial varies the data."""
        if self._data[0] != preset.data:
            data = presets.load_data(preset)
            if data[1] is None:
                raise InvalidInput("data.validation_fraction", None, 0.0, "a validation set for a sweep to judge by")
            self._data = (preset.data, data)
        return self._data[1]

    # -- what was found

    columns = ("trial", "settings", "validation", "best epoch", "weights", "delays", "spikes", "minutes")

    def rows(self):
        """Return the trials as rows of text, the best on validation first and what failed last."""
        states = _optuna().trial.TrialState
        trials = [trial for trial in self.open().trials if _counts(trial, states)]
        trials.sort(key=lambda trial: trial.value if _is_complete(trial) else -np.inf, reverse=True)
        return [self._row(trial) for trial in trials]

    def _row(self, trial):
        settings = " ".join(f"{key}={_short(value)}" for key, value in trial.params.items())
        if not _is_complete(trial):
            word = "failed: " + trial.user_attrs["error"].splitlines()[0] if "error" in trial.user_attrs else ""
            return (str(trial.number), settings, word or trial.state.name.lower(), *[""] * 5)
        found = trial.user_attrs["runs"]
        shares = 100 * np.array([run["validation_accuracy"] for run in found])
        spread = f" +- {shares.std(ddof=1):.1f}" if shares.size > 1 else ""
        epochs, spikes, minutes = (
            np.mean([run[k] for run in found]) for k in ("best_epoch", "spikes_per_neuron", "minutes")
        )
        counts = found[0]["parameters"]
        return (
            str(trial.number), settings, f"{shares.mean():.1f}{spread} %", f"{epochs:.0f}", f"{counts['weights']:,}",
            f"{counts['delays']:,}", f"{spikes:.1f}", f"{minutes:.1f}",
        )  # fmt: skip

    def picture(self):
        """Draw what was found as ``sweep.png`` in the folder; return its path, None where no trial has ended."""
        trials = [trial for trial in self.open().trials if _is_complete(trial)]
        if not trials:
            return None
        from . import plotting

        settings = {axis.key: [trial.params[axis.key] for trial in trials] for axis in self.axes}
        spikes = [np.mean([run["spikes_per_neuron"] for run in trial.user_attrs["runs"]]) for trial in trials]
        return plotting.sweep(settings, [trial.value for trial in trials], spikes, self.folder / "sweep.png")

    def best(self):
        """Return the settings of the best trial as texts "KEY=VALUE"; None where none has come to its end."""
        finished = [trial for trial in self.open().trials if _is_complete(trial)]
        if not finished:
            return None
        best = max(finished, key=lambda trial: trial.value)
        return [f"{key}={value}" for key, value in best.params.items()]


def _counts(trial, states):
    """True unless the trial waits, or was put back and is tried again under another number."""
    return trial.state in (states.COMPLETE, states.PRUNED, states.RUNNING) or "error" in trial.user_attrs


def _is_complete(trial):
    """True where all seeds came to their end; a pruned trial has a value too, that of its last epoch."""
    return "runs" in trial.user_attrs


def _is_surplus(trial, trials, states):
    """True for what two processes put on the list both, or for what is not on it because they both took the last."""
    folder = trial.user_attrs.get("folder")
    return folder is None or any(
        other.number < trial.number and other.state != states.FAIL and other.user_attrs.get("folder") == folder
        for other in trials
    )


def _folder_name(trial):
    return trial.user_attrs.get("folder", f"trial-{trial.number:03d}")


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _pruner(trial):
    """Callbacks that tell the study each epoch's validation accuracy and stop a run that is not worth its time."""

    def report(trainer, kind, values):
        if kind != "epoch":
            return
        trial.report(values["validation_accuracy"], values["epoch"])
        if trial.should_prune():
            raise _optuna().TrialPruned

    return (report,)
