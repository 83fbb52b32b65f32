"""What ``mutated_files`` damages of runs and sweeps: the journal, results, comparisons, and run folders as a whole."""

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import re
import warnings

from eventsnn import experiments
from eventsnn.arrays import is_number
from eventsnn.cli import main
from eventsnn.cli.text import FAILED
from eventsnn.cli.train import print_result
from eventsnn.errors import EventsnnError, FileError
from eventsnn.experiments import results, runs
from eventsnn.experiments.sweeping import JOURNAL, Sweep, SweepError

DRAWS = importlib.util.find_spec("matplotlib") is not None  # an extra, which tests may lack
TINY = ["data.samples=40", "network.hidden=[4]", "training.epochs=1"]
AXES = ["optimizer.learning_rate=1e-3,1e-2", "training.batch_size=10,20"]
RESULT = {
    "validation_accuracy": 0.5, "spikes_per_neuron": 2.0, "minutes": 0.1, "epochs": 1, "best_epoch": 1,
    "parameters": {"weights": 28, "delays": 28, "other": 0},
}  # fmt: skip


class Refused(EventsnnError):
    """The command line has said in one line what is wrong."""


def tiny():
    return experiments.change(experiments.named("yin-yang"), TINY)


# ------------------------------------------------------------------------------------------------------- journals


def sweep_in(folder):
    return Sweep(tiny(), AXES, folder, seeds=[0], prune=True)


def journal(folder):
    """A sweep of which one trial has come to its end, one has failed, one was pruned, and one is at work."""
    import optuna

    sweep, states = sweep_in(folder / "sweep"), optuna.trial.TrialState
    study = sweep.open()
    for state in (states.COMPLETE, states.FAIL, states.PRUNED, None):
        trial, lock = sweep.next_trial(study)
        for axis in sweep.axes:
            axis.suggest(trial)
        trial.report(0.4, 1)
        if state == states.COMPLETE:
            trial.set_user_attr("runs", [RESULT])
            study.tell(trial, 0.5)
        elif state == states.FAIL:
            trial.set_user_attr("error", "it burst")
        if state in (states.FAIL, states.PRUNED):
            study.tell(trial, state=state)
        lock.release()
    return folder / "sweep" / JOURNAL


def journal_of_before(folder):
    """The same as it was written before there were checksums."""
    path = journal(folder)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [{key: value for key, value in record.items() if key not in ("at", "check")} for record in records]
    path.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in kept))
    return path


def go_on(path):
    """Open a sweep and do all that is done with its study, but for the training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is put aside
        sweep = sweep_in(path.parent)
        study = sweep.open()
        taken = sweep.next_trial(study)
        if taken is not None:
            trial, lock = taken
            try:
                for axis in sweep.axes:
                    assert axis.suggest(trial) in axis.choices
                trial.report(0.5, 1)
                trial.should_prune()
            finally:
                lock.release()
        assert all(isinstance(text, str) for row in sweep.rows() for text in row)
        sweep.best()
        if DRAWS:
            sweep.picture()


def named(read):
    """A reader whose refusals of a damaged file have to name the file."""

    def checked(path):
        try:
            read(path)
        except FileError as error:
            assert os.fspath(path) in str(error) or ".torn-" in str(error), error
            raise

    return checked


# ------------------------------------------------------------------------------------------- results and run folders


def run(folder):
    preset = tiny()
    runs.train_all(
        preset, experiments.load_data(preset), folder / "run", modes=["learned", "none"], seeds=[0],
        report=lambda result: None, progress=False, n_threads=1,
    )  # fmt: skip
    return folder / "run"


def file_of_run(name):
    return lambda folder: run(folder) / name


def command(*arguments):
    """Carry out a command; raises Refused where it ends with code 2 and lines of its own."""
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        code = main([*arguments])
    lines = errors.getvalue().splitlines()
    assert "Traceback" not in errors.getvalue()
    if code:
        assert code == FAILED and all(re.match(r"eventsnn: ", line) for line in lines), errors.getvalue()
        raise Refused(lines[-1])


def use_result(path):
    """Read a result as a run that is gone on with does, and print and sum up what is found."""
    preset = tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            result = runs.finished(preset, path.parent)
        except RuntimeWarning as damage:
            raise Refused(str(damage)) from None
    if result is not None:
        with contextlib.redirect_stdout(io.StringIO()):
            print_result(result)
        assert is_number(runs.summary([result])["accuracy"]) and results.cells(runs.summary([result]))


def use_run(path):
    folder = str(pathlib.Path(path).parent)
    if DRAWS:
        command("plot", folder, "--what", "comparison", "delays", "curve")
    command("evaluate", folder, "--threads", "1")


ALLOWED = (EventsnnError,)
TARGETS = {
    "journal": {"make": journal, "read": named(go_on), "allowed": (FileError, SweepError)},
    "journal of before": {"make": journal_of_before, "read": named(go_on), "allowed": (FileError, SweepError)},
    "result": {"make": file_of_run(runs.RESULT), "read": use_result, "allowed": ALLOWED},
    "run folder": {"make": file_of_run(runs.CHECKPOINT), "read": use_run, "allowed": ALLOWED},
}
if DRAWS:  # nothing else reads it
    TARGETS["comparison"] = {"make": file_of_run(runs.COMPARISON), "read": use_run, "allowed": ALLOWED}
