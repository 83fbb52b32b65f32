"""Sweeps: many settings of one preset, each trained and judged on validation, shared by processes through a folder.

What has been tried stands in an Optuna study in the folder's journal file, which several processes or hosts may have
open at once. Each of them takes the next settings, trains them with all seeds and writes down the mean validation
accuracy. The test set stays closed: settings that were chosen on it would make its accuracy worthless.
"""

import contextlib
import itertools
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import is_number
from ..checks import whole
from ..errors import EventsnnError, EventStorm, FileError, InvalidInput, NotFinite
from ..training.trainer import Trainer
from . import checking, presets, runs, sources
from .axes import Axis, Study, Trial, read_axis
from .journal import Journal
from .results import Result, plain
from .settings import DataSettings, Preset
from .sources import Sets

if TYPE_CHECKING:
    from filelock import BaseFileLock

JOURNAL, LOCK, PICTURE = "study.journal", "lock", "sweep.png"
# what decides on which samples a trial is judged: accuracies on different ones cannot be compared
JUDGES = (
    "source", "folder", "train", "test", "validation", "test_fraction", "validation_groups", "validation_fraction",
    "seed",
)  # fmt: skip
# of the result of a run, in the study
KEPT = ("validation_accuracy", "spikes_per_neuron", "minutes", "epochs", "best_epoch", "parameters")
MOST_COMBINATIONS = 1000  # that are looked at before a sweep begins
FEW = 10  # trials before the sampler proposes from what was found, and runs before pruning begins


class SweepError(EventsnnError, RuntimeError):
    """A sweep cannot be carried out: a library is missing, or the folder holds another study."""


class BrokenRun(EventsnnError):
    """The settings of a trial are of no use: its network cannot be built, bursts, or diverges."""


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError:
        raise SweepError("sweeps need Optuna: .venv/bin/pip install -e '.[sweep]' in the checkout") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Sweep:
    """Trains ``preset`` with the settings that ``vary`` spans, and keeps the study in ``folder``.

    Parameters: ``vary``: texts for ``read_axis``, none for the preset as it is; ``seeds``: each setting is trained
    with all of them; ``trials``: how many settings to try, proposed by a tree-structured Parzen estimator (Bergstra et
    al. 2011) from what was found so far; None tries every combination of choices. ``prune``: stop a run whose
    validation accuracy is below the median of the others at its epoch. Settings that change on which samples a trial
    is judged (JUDGES, of the data) cannot be varied.

    A folder that has a study of the same sweep in it is gone on with; of another one it is refused (SweepError). Of a
    journal whose last line is torn that line is put aside (RuntimeWarning); any other damage is a FileError.
    """

    def __init__(
        self, preset: Preset, vary: Iterable[str], folder: str | os.PathLike[str], *, seeds: Iterable[int],
        trials: int | None = None, prune: bool = False,
    ) -> None:  # fmt: skip
        self.preset, self.folder, self.seeds, self.trials = preset, Path(folder), list(dict.fromkeys(seeds)), trials
        self.axes = [read_axis(text) for text in vary]
        keys = [axis.key for axis in self.axes]
        if len(set(keys)) < len(keys):
            raise InvalidInput("--vary", None, keys, "each setting once")
        for axis in self.axes:
            if axis.key == "training.seed":
                allowed = "settings, of which every seed is tried"
                raise InvalidInput("--vary", None, axis.key, allowed, "Name the seeds with --seeds.")
            for value in axis.examples:
                _check_judge(axis.key, preset, self._example(axis, value))
            if trials is None and not axis.choices:
                allowed = "a number of trials, because a range has no end of values"
                raise InvalidInput("--trials", None, None, allowed, "Pass --trials N, or give choices.")
        self._refuse_idle()
        if trials is not None:
            whole(trials, "--trials", 1)
        self.prune = prune
        self._data: tuple[DataSettings, Sets] | None = None

    def _example(self, axis: Axis, value: object) -> Preset:
        """The preset with one value of an axis, and with what others need to be if it is refused alone."""
        alone = [f"{axis.key}={value}"]
        try:
            return presets.change(self.preset, alone)
        except InvalidInput as error:
            others = [[f"{other.key}={item}" for item in other.examples] for other in self.axes if other is not axis]
            if math.prod(map(len, others)) > MOST_COMBINATIONS:
                return presets.altered(self.preset, alone)  # the trials will tell
            for chosen in itertools.product(*others):
                with contextlib.suppress(InvalidInput):
                    return presets.change(self.preset, [*alone, *chosen])
            raise error

    def _refuse_idle(self) -> None:
        """Refuse an axis that no combination of (examples of) the others has a use for: all its trials are one."""
        combinations = [[f"{axis.key}={value}" for value in axis.examples] for axis in self.axes]
        found = []
        if math.prod(map(len, combinations)) > MOST_COMBINATIONS:
            return  # some of them do not tell what the others would look at
        for chosen in itertools.product(*combinations):
            with contextlib.suppress(InvalidInput):
                found.append(presets.change(self.preset, chosen))
        for axis in self.axes:
            if found and (reason := checking.idle(found).get(axis.key)) is not None:
                raise InvalidInput("--vary", None, axis.key, "settings that make a difference", f"{reason}.")

    # -- the study

    def open(self) -> Study:
        """Open the study, or begin it; return it (optuna.Study)."""
        _optuna()  # without it no folder is made
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            Journal(self.folder / JOURNAL).mend()
            study = self._study()
            described = plain({
                "preset": self.preset.to_dict(), "vary": [axis._asdict() for axis in self.axes], "seeds": self.seeds,
                "trials": self.trials is not None, "prune": self.prune,
            })  # fmt: skip
            before = study.user_attrs.get("sweep")
            _check_study(study, self.folder / JOURNAL)
            if before is None:
                study.set_user_attr("sweep", described)
            elif changed := ", ".join(self._changes(before, described)):
                raise SweepError(f"{self.folder} holds another sweep ({changed} differ): choose another --out")
            for trial in study.get_trials(deepcopy=False):
                _check_trial(trial, {axis.key: axis for axis in self.axes}, self.folder / JOURNAL)
            if self.trials is None:
                self._list(study)
        return study

    def _changes(self, before: Mapping[str, Any], described: Mapping[str, Any]) -> Iterator[str]:
        """Yield what this sweep and the one in its folder differ in."""
        for key, value in described.items():
            same = value == before.get(key)
            if key == "preset":
                same = runs.same_settings(before.get(key), self.preset)
            if not same:
                yield key

    def _study(self) -> Study:
        """The study in the folder as it is now; where there is one already, nothing is written."""
        optuna = _optuna()
        journal = Journal(self.folder / JOURNAL)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=FEW) if self.prune else optuna.pruners.NopPruner()
        with journal.replayed():
            settings = {"storage": optuna.storages.JournalStorage(journal), "study_name": "sweep", "pruner": pruner}
            try:
                study = optuna.load_study(**settings)
            except KeyError:
                study = optuna.create_study(**settings, direction="maximize")
        return study

    def _list(self, study: Study) -> None:
        """Put every combination of choices on the list that is not there yet."""
        for number, values in enumerate(itertools.product(*(axis.choices for axis in self.axes))):
            chosen = {axis.key: value for axis, value in zip(self.axes, values, strict=True)}
            place = {"folder": f"trial-{number:03d}", "settings": chosen}
            study.enqueue_trial(chosen, user_attrs=place, skip_if_exists=True)

    def _lock(self, trial: Trial | None = None) -> "BaseFileLock":
        """The lock of the sweep, held while its list is changed, or of a trial, held while that is trained.

        The operating system opens the locks of a process that dies, so what is running and not locked was killed.
        """
        from filelock import FileLock

        folder = self.folder if trial is None else self.folder / _folder_name(trial)
        folder.mkdir(exist_ok=True)
        return FileLock(str(folder / LOCK))

    def _retake_what_was_killed(self, study: Study) -> None:
        """Put back what a process that is no more had begun."""
        from filelock import Timeout

        for trial in study.get_trials(deepcopy=False, states=(_optuna().trial.TrialState.RUNNING,)):
            try:
                with self._lock(trial).acquire(blocking=False):
                    _put_back(study, trial)
            except Timeout:
                continue

    def next_trial(self, study: Study) -> tuple[Trial, "BaseFileLock"] | None:
        """Return (the next trial of the study to train, its lock, which is held), or None when all have been taken."""
        optuna = _optuna()
        with self._lock():
            self._retake_what_was_killed(study)
            if self._left(study.get_trials(deepcopy=False)) <= 0:
                return None
            trial = study.ask()
            # drawn for this trial alone: processes that begin together do not try the same
            study.sampler = optuna.samplers.TPESampler(n_startup_trials=FEW, seed=trial.number)
            lock = self._lock(trial)
            lock.acquire()
            return trial, lock

    def _left(self, trials: Iterable[Trial]) -> int:
        """How many trials nobody has taken yet."""
        states = _optuna().trial.TrialState
        if self.trials is None:
            return sum(trial.state == states.WAITING for trial in trials)
        return self.trials - sum(_counts(trial, states) for trial in trials)

    # -- training

    def run(self, *, n_threads: int | None = None, progress: bool = True) -> Study:
        """Take and train trials until none is left; return the study.

        Raises KeyboardInterrupt after putting the trial at work back, to be gone on with.
        """
        study = self.open()
        while (taken := self.next_trial(study)) is not None:
            trial, lock = taken
            try:
                self._train(study, trial, n_threads=n_threads, progress=progress)
            finally:
                lock.release()
        return study

    def _train(self, study: Study, trial: Trial, **settings: Any) -> None:
        optuna = _optuna()
        values = {axis.key: axis.suggest(trial) for axis in self.axes}
        folder = self.folder / _folder_name(trial)
        if settings["progress"]:
            said = ", ".join(f"{key}={value}" for key, value in values.items()) or self.preset.name
            print(f"trial {trial.number}: {said}", file=sys.stderr)
        results: list[Result] = []
        try:
            preset = _changed(self.preset, values)
            data = self._data_of(preset)
            for seed in self.seeds:
                chosen = replace(preset, training=replace(preset.training, seed=seed))
                pruned = _pruner(trial) if self.prune and not results else ()
                place = runs.seed_folder(folder, seed, self.seeds)
                results.append(_trained(chosen, data, place, callbacks=pruned, **settings))
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except BrokenRun as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        except BaseException:
            # a journal that cannot be written now has the trial put back when the sweep is gone on with
            with contextlib.suppress(FileError), self._lock():
                _put_back(study, study.trials[trial.number])
            raise
        else:
            accuracies = [result["validation_accuracy"] for result in results]
            trial.set_user_attr("runs", [{key: result[key] for key in KEPT} for result in results])
            study.tell(trial, float(np.mean(accuracies)))

    def _data_of(self, preset: Preset) -> Sets:
        """What ``_load`` returns; where a setting that is varied is refused, that is a result too."""
        try:
            return self._load(preset)
        except InvalidInput as error:
            if error.array in [axis.key for axis in self.axes]:
                raise BrokenRun(str(error)) from error
            raise

    def _load(self, preset: Preset) -> Sets:
        """(train, validation, None) of a preset; read again only where the trial varies the data."""
        if self._data is None or self._data[0] != preset.data:
            data = sources.load_data(preset, test=False)
            if data[1] is None:
                raise InvalidInput("data.validation_fraction", None, 0.0, "a validation set for a sweep to judge by")
            self._data = (preset.data, data)
        return self._data[1]

    # -- what was found

    columns = ("trial", "settings", "validation", "best epoch", "weights", "delays", "spikes", "minutes")

    def rows(self) -> list[tuple[str, ...]]:
        """Return the trials as rows of text, the best on validation first and what failed last."""
        states = _optuna().trial.TrialState
        trials = [trial for trial in self._study().trials if _counts(trial, states)]
        trials.sort(key=lambda trial: trial.value if _is_complete(trial) else -np.inf, reverse=True)
        return [self._row(trial) for trial in trials]

    def _row(self, trial: Trial) -> tuple[str, ...]:
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

    def picture(self) -> Path | None:
        """Draw what was found as ``sweep.png`` in the folder; return its path, None where no trial has ended."""
        trials = [trial for trial in self._study().trials if _is_complete(trial)]
        if not trials:
            return None
        from .. import plotting

        settings = {axis.key: [trial.params[axis.key] for trial in trials] for axis in self.axes}
        spikes = [np.mean([run["spikes_per_neuron"] for run in trial.user_attrs["runs"]]) for trial in trials]
        return plotting.sweep(settings, [trial.value for trial in trials], spikes, self.folder / PICTURE)

    def best(self) -> list[str] | None:
        """Return the settings of the best trial as texts "KEY=VALUE"; None where none has come to its end."""
        finished = [trial for trial in self._study().trials if _is_complete(trial)]
        if not finished:
            return None
        best = max(finished, key=lambda trial: trial.value)
        return [f"{key}={value}" for key, value in best.params.items()]


def _counts(trial: Trial, states: Any) -> bool:
    """True unless the trial waits, or was put back and is tried again under another number."""
    return trial.state in (states.COMPLETE, states.PRUNED, states.RUNNING) or "error" in trial.user_attrs


def _is_complete(trial: Trial) -> bool:
    """True where all seeds came to their end; a pruned trial has a value too, that of its last epoch."""
    return trial.state == _optuna().trial.TrialState.COMPLETE


def _check_study(study: Study, path: Path) -> None:
    """Refuse a journal whose records can be carried out, but are none that a sweep has written."""
    if [direction.name for direction in study.directions] != ["MAXIMIZE"]:
        raise FileError(path, "holds a study that is not of a sweep")
    if not isinstance(study.user_attrs.get("sweep", {}), dict):
        raise FileError(path, "does not say what its sweep varies")


def _check_trial(trial: Trial, axes: Mapping[str, Axis], path: Path) -> None:
    """Refuse what no sweep over these axes ({key: Axis}) has written of a trial."""
    if wrong := next((what for what, sound in _parts(trial, axes) if not sound), None):
        raise FileError(path, f"trial {trial.number} has {wrong} that no sweep has written")


def _parts(trial: Trial, axes: Mapping[str, Axis]) -> Iterator[tuple[str, bool]]:
    """Yield (what, whether it is as a sweep writes it) of all that is read from a trial."""
    found = trial.user_attrs
    yield "a folder", bool(re.fullmatch(r"trial-\d{3,9}", str(_folder_name(trial))))
    for settings in (found.get("settings", {}), trial.system_attrs.get("fixed_params", {}), trial.params):
        yield "settings", _are_settings(settings, axes)
    yield "an error", isinstance(found.get("error", ""), str)
    yield "accuracies of epochs", all(map(is_number, trial.intermediate_values.values()))
    if _is_complete(trial):
        yield "settings", set(axes) <= set(trial.params)
        yield "an accuracy", isinstance(trial.values, list) and len(trial.values) == 1 and is_number(trial.values[0])
        yield "results", _are_results(found.get("runs"))


def _are_settings(found: object, axes: Mapping[str, Axis]) -> bool:
    return isinstance(found, dict) and all(key in axes and axes[key].allows(value) for key, value in found.items())


def _are_results(found: object) -> bool:
    """True for what a trial keeps of its runs."""
    if not (isinstance(found, list) and found and all(isinstance(run, dict) for run in found)):
        return False
    counts = found[0].get("parameters")
    numbers = [run.get(key) for run in found for key in KEPT if key != "parameters"]
    numbers += [counts.get(key) for key in ("weights", "delays")] if isinstance(counts, dict) else [None]
    return all(map(is_number, numbers))


def _put_back(study: Study, trial: Trial) -> None:
    """Let the next process that asks go on with this trial, from the checkpoints in its folder.

    It is on the list before it is given up: a process that is killed in between loses nothing.
    """
    states = _optuna().trial.TrialState
    folder = _folder_name(trial)
    listed = (other for other in study.get_trials(deepcopy=False) if other.number > trial.number)
    if not any(_folder_name(other) == folder and other.state != states.FAIL for other in listed):
        # what was on the list may have been given back before it asked for its values
        settings = trial.user_attrs.get("settings", trial.params)
        study.enqueue_trial(settings, user_attrs={"folder": folder, "settings": settings})
    study.tell(trial.number, state=states.FAIL, skip_if_finished=True)


def _changed(preset: Preset, values: Mapping[str, object]) -> Preset:
    """The preset of a trial; values that contradict each other are a result of a sweep too."""
    try:
        return presets.change(preset, [f"{key}={value}" for key, value in values.items()])
    except InvalidInput as error:
        raise BrokenRun(str(error)) from error


def _trained(preset: Preset, data: Sets, folder: Path, **settings: Any) -> Result:
    """The result of one run, not tested; settings of no use raise BrokenRun: they are a result of a sweep too."""
    try:
        return runs.train(preset, data, folder, test=False, **settings)
    except (EventStorm, NotFinite, InvalidInput) as error:
        raise BrokenRun(str(error)) from error


def _check_judge(key: str, preset: Preset, changed: Preset) -> None:
    if any(getattr(changed.data, name) != getattr(preset.data, name) for name in JUDGES):
        allowed = "settings that leave the validation samples as they are"
        remedy = "Start one sweep for each value, and compare their means."
        raise InvalidInput("--vary", None, key, allowed, remedy)


def _folder_name(trial: Trial) -> str:
    return trial.user_attrs.get("folder", f"trial-{trial.number:03d}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pruner(trial: Trial) -> tuple[Callable[[Trainer, str, Mapping[str, Any]], None]]:
    """Callbacks that tell the study each epoch's validation accuracy and stop a run that is not worth its time."""

    def report(trainer: Trainer, kind: str, values: Mapping[str, Any]) -> None:
        if kind != "epoch":
            return
        trial.report(values["validation_accuracy"], values["epoch"])
        if trial.should_prune():
            raise _optuna().TrialPruned

    return (report,)
