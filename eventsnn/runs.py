"""A run: one preset trained in a folder of its own, with its checkpoint, its result and its pictures; and many runs.

A run that was stopped goes on where it was, and one that is finished is only read.
"""

import json
import math
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import __version__, checkpoints, communicator, presets
from .arrays import is_number
from .engines import engine_of
from .errors import CheckpointError, FileError, InvalidInput
from .memory import MEGABYTE, forget_peak, peak_memory
from .surrogate import GridNetwork
from .training import History, Trainer, differences, load_model, wilson_interval
from .writing import reason, write_file

CHECKPOINT, RESULT, COMPARISON, LOCK = "checkpoint", "result.json", "comparison.json", ".lock"
SECONDS_PER_MINUTE = 60.0
# of a table of summaries: intervals over seeds and over test samples
COLUMNS = (
    "seeds", "test accuracy (%)", "95 %, seeds", "95 %, samples", "weights", "delays", "spikes", "epochs", "minutes",
    "memory (MB)",
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------ one run


def train(preset, data, folder, *, command="", test=True, progress=True, report=lambda result: None, **settings):
    """Train a Preset in ``folder`` to its end, or find that it has got there; return its result (dict).

    Parameters: ``data``: (train, validation, test) of ``presets.load_data``; ``command``: how a user makes this run
    again; ``test``: False leaves the test set closed, and the result's "accuracy" None; ``progress``: show it on
    stderr; ``report``: called with the result as soon as it is written, before pictures are drawn; further settings are
    the Trainer's: n_threads, checkpoint_every, callbacks.

    A checkpoint in the folder is gone on from; pictures that are missing are drawn. Raises CheckpointError if the
    checkpoint is of another run, or if another process is training there, and FileError if the result cannot be
    written; a picture that cannot be is a warning.
    """
    team, folder, held = communicator.world(), Path(folder), []
    done = team.on_first(lambda: finished(preset, folder, test))
    if done is not None:
        if progress:
            print(f"{folder}: this run is finished.", file=sys.stderr)
        report(done)
        if test:
            team.on_first(lambda: _draw(data, folder))
        return done
    measured = forget_peak()
    # what is refused is refused before a folder is made
    trainer = _trainer(preset, data, folder, command, progress=progress, **settings)
    team.on_first(lambda: held.append(_locked(folder)))
    try:
        result = _train(preset, data, folder, trainer, test, measured)
        report(result)
        if test:  # a run that is not tested is one of many: its pictures can be drawn by `eventsnn plot`
            team.on_first(lambda: _draw(data, folder))
        return result
    finally:
        for lock in held:
            lock.release()


def _locked(folder):
    """The lock of a run's folder, taken: the operating system opens it should this process die."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(folder / LOCK))
    try:
        lock.acquire(blocking=False)
    except NotImplementedError:  # a file system without locks keeps nobody out
        return lock
    except Timeout:
        reason = "another process is training in this folder: wait for it, or choose another one"
        raise CheckpointError(folder / CHECKPOINT, "lock", reason) from None
    return lock


def _trainer(preset, data, folder, command, **settings):
    """The Trainer of a run, which has written nothing yet."""
    built = presets.build(preset, data)
    if communicator.world().on_first(lambda: checkpoints.exists(folder / CHECKPOINT)):
        parameters = built.network.initialize(preset.training.seed)  # those of the checkpoint come in their place
    else:
        parameters = presets.initialize(preset, built.network)
    return Trainer(
        built.network, parameters, loss=built.loss, optimizer=built.optimizer,
        options=built.options, checkpoint=folder / CHECKPOINT,
        notes={"preset": preset.to_dict(), "command": command}, **settings,
    )  # fmt: skip


def _train(preset, data, folder, trainer, test, measured):
    team = communicator.world()
    resume = team.on_first(lambda: checkpoints.exists(folder / CHECKPOINT))
    if trainer.progress:
        print(f"{preset.name}, delays {preset.delays}, seed {preset.training.seed} -> {folder}", file=sys.stderr)
    training, validation, testing = data
    try:
        trainer.fit(training, validation, epochs=preset.training.epochs, resume=resume)
    except CheckpointError:
        team.on_first(lambda: _name_other_settings(preset, folder / CHECKPOINT))
        raise
    result = _result(preset, trainer, trainer.evaluate(testing) if test else None)
    if test and isinstance(trainer.network, GridNetwork):
        # its delays are rounded to steps, unless one asks for what lies between them
        result["accuracy_fractional"] = trainer.evaluate(testing, delays="fractional").accuracy
    # that of this process, and since the run began or was last gone on with
    result["peak_memory"] = peak_memory() / MEGABYTE if measured else None
    team.on_first(lambda: write_json(folder / RESULT, result))
    return plain(result)


def _name_other_settings(preset, path):
    """Refuse a checkpoint of other settings in their words; the Trainer names what was made of them."""
    try:
        described = checkpoints.load(path)[1]["notes"]["preset"]
        before = presets.stored(described).to_dict()
    except (CheckpointError, InvalidInput, KeyError):
        return
    changes = [item for item in differences(before, preset.to_dict()) if item[0] not in ("name", "description")]
    if changes:
        place, old, new = changes[0]
        more = f", and {len(changes) - 1} more differ" if len(changes) > 1 else ""
        reason = f"was {old!r} and is now {new!r}{more}. Resume with the same settings, or start another run."
        raise CheckpointError(path, place, reason) from None


def finished(preset, folder, test=True):
    """Return the result in a folder if this very run is finished there (with ``test``: and tested), else None.

    A damaged result is none: a RuntimeWarning says so, and the checkpoint is what it is made from once more.
    """
    path = Path(folder) / RESULT
    try:
        result = read_json(path)
        if result is None:
            return None
        _check_result(path, result)
    except FileError as error:
        warnings.warn(f"{error}; it is made once more", RuntimeWarning, stacklevel=2)
        return None
    tested = result["accuracy"] is not None or not test
    return result if tested and same_settings(result["preset"], preset) else None


# what stands in a result; OPTIONAL may be None or missing, TESTED is None in one that was not tested
TEXTS, NUMBERS = ("name", "delays", "command"), ("epochs", "minutes", "seed")
OPTIONAL = (
    "spikes_per_neuron", "validation_accuracy", "validation_loss", "best_epoch", "peak_memory", "accuracy_fractional",
)  # fmt: skip
TESTED = ("accuracy", "n_test", "test_loss")


def _check_result(path, result):
    """Refuse a result that ``train`` has not written."""
    kinds = {key: isinstance(result.get(key), str) for key in TEXTS}
    kinds |= {key: _is_finite(result.get(key)) for key in NUMBERS}
    kinds |= {key: result.get(key) is None or _is_finite(result[key]) for key in OPTIONAL}
    kinds["preset"] = isinstance(result.get("preset"), dict)
    if result.get("accuracy") is None:
        kinds |= {"accuracy": "accuracy" in result, "interval": result.get("interval") is None}
    else:
        kinds |= {key: _is_finite(result.get(key)) for key in TESTED}
        kinds["interval"] = _is_interval(result.get("interval"))
    counts = result.get("parameters")
    kinds["parameters"] = isinstance(counts, dict) and all(
        isinstance(counts.get(key), int) for key in ("weights", "delays", "other")
    )
    if wrong := [key for key, sound in kinds.items() if not sound]:
        raise FileError(path, f"{wrong[0]} is {result.get(wrong[0])!r}, which no run has written")


def _is_finite(value):
    return is_number(value) and -math.inf < value < math.inf


def _is_interval(value):
    return isinstance(value, list) and len(value) == 2 and all(map(_is_finite, value))


def same_settings(described, preset):
    """True where a description of earlier makes this Preset: one of before a setting was known has its default.

    The text that a preset is described with settles nothing, and the budget of spikes stops a run or changes nothing.
    """
    if not isinstance(described, dict):
        return False
    try:
        before = presets.stored(described)
    except InvalidInput:  # it had a setting that is known no more
        return False
    plain = [
        replace(item, description="", training=replace(item.training, max_spikes=None)) for item in (before, preset)
    ]
    return plain[0] == plain[1]


def _draw(data, folder):
    """Draw the pictures of a finished run that are missing, from its checkpoint."""
    training, validation, _ = data
    samples = training if validation is None else validation
    if not checkpoints.exists(folder / CHECKPOINT):  # of a result that was kept alone
        return
    drawings = picture(folder, lambda plotting: _drawings(plotting, samples, folder)) or {}
    for path, draw in drawings.items():
        if not path.is_file():
            picture(path, lambda plotting, draw=draw: draw())


def _drawings(plotting, samples, folder):
    network, parameters, meta = load_model(folder / CHECKPOINT)
    recording = engine_of(network).record(parameters, samples.spikes[:1], meta["duration"])
    history = History(tuple(meta["state"]["history"]), meta["state"]["best_epoch"])
    return plotting.of_run(network, parameters, meta["initial"], recording, history, folder)


def picture(path, draw):
    """Return ``draw(plotting)``; whatever goes wrong with a picture is a warning, and costs nothing else."""
    from . import plotting

    try:
        return draw(plotting)
    except FileError as error:
        text = str(error)
    except plotting.PlotError as error:
        text = f"no pictures: {error}"
    except Exception as error:  # runs that are still to come must not be lost for it
        text = f"{path}: not drawn: {type(error).__name__}: {error}"
    warnings.warn(text, RuntimeWarning, stacklevel=2)
    return None


def count_parameters(network, parameters):
    """Return {"weights": n, "delays": n, "other": n}, the numbers of trained values."""
    counts = {"weights": 0, "delays": 0, "other": 0}
    kinds = {"weight": "weights", "delay": "delays"}
    for name in network.trainable:
        mask = network.present(name) if isinstance(network, GridNetwork) else None
        n = np.size(parameters[name]) if mask is None else np.count_nonzero(mask)
        counts[kinds.get(name.rpartition(".")[2], "other")] += int(n)
    return counts


def _result(preset, trainer, test):
    history, best = trainer.history, trainer.history.best_epoch
    chosen = None if not len(history) else history.records[-1 if best is None else best - 1]
    tested = {"accuracy": None, "interval": None, "n_test": None, "test_loss": None}
    if test is not None:
        tested = {"accuracy": test.accuracy, "interval": list(test.interval), "n_test": test.n, "test_loss": test.loss}
    return {
        "name": preset.name,
        "delays": preset.delays,
        **tested,
        "spikes_per_neuron": _spikes_per_neuron(chosen) if test is None else test.spikes_per_neuron,
        "validation_accuracy": None if chosen is None else chosen["validation_accuracy"],
        "validation_loss": None if chosen is None else chosen["validation_loss"],
        "best_epoch": best,
        "epochs": len(history),
        "stopped_early": trainer.stopped,
        "parameters": count_parameters(trainer.network, trainer.parameters),
        "minutes": float(history.column("seconds").sum() / SECONDS_PER_MINUTE),
        "seed": preset.training.seed,
        "command": trainer.notes["command"],
        "version": __version__,
        "preset": preset.to_dict(),
    }


def _spikes_per_neuron(record):
    """Those of an epoch's validation, of its training where there was none."""
    validation = record["validation_spikes_per_neuron"]
    return record["spikes_per_neuron"] if validation is None else validation


def plain(value):
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def read_json(path):
    """Return the dict that a file of JSON holds, None where there is no file; raises FileError if it holds no dict."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileError(path, f"cannot be read: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"is damaged: {error}") from error
    if not isinstance(value, dict):
        raise FileError(path, f"is damaged: it holds {type(value).__name__} instead of named values")
    return value


def write_json(path, value):
    """Write a file of JSON, which is there as a whole or not at all; raises FileError."""
    write_file(path, (json.dumps(value, indent=2) + "\n").encode())


# ----------------------------------------------------------------------------------------------------- many runs


def train_all(preset, data, folder, *, modes, seeds, report, compare=lambda summaries: None, **settings):
    """Train every seed in every mode of delays; return {mode: summary of its runs}, written to the folder too.

    None where the runs were not tested (``test=False``): there is nothing to compare yet.

    Runs lie in ``folder`` or, of several seeds, in ``folder/seed-N``; those of other modes than the preset's in
    ``controls/MODE`` in there. What there is of them already is gone on from, and controls that were trained there
    before are in the summary too. ``report`` is called with each result as it comes, ``compare`` with the summaries of
    several runs before they are written. Settings: as for ``train``.
    """
    folder, runs = Path(folder), {mode: [] for mode in modes}
    for mode in modes:
        presets.with_mode(preset, mode)  # what cannot be is refused before the first is trained

    def place_of(seed, mode):
        place = seed_folder(folder, seed, seeds)
        chosen = replace(presets.with_mode(preset, mode), training=replace(preset.training, seed=seed))
        return chosen, place if mode == preset.delays else place / "controls" / mode

    def earlier(mode):
        """The results of controls that an earlier command has trained, if it has with every seed."""
        found = communicator.world().on_first(lambda: [finished(*place_of(seed, mode)) for seed in seeds])
        return found if all(found) else None

    for seed in seeds:
        for mode in modes:
            chosen, place = place_of(seed, mode)
            runs[mode].append(train(chosen, data, place, report=report, **settings))
    if not settings.get("test", True):
        return None
    runs |= {mode: done for mode in presets.control_modes(preset) if mode not in runs and (done := earlier(mode))}
    summaries = {mode: summary(results) for mode, results in runs.items()}
    if len(modes) > 1 or len(seeds) > 1:
        compare(summaries)
        communicator.world().on_first(lambda: _write_comparison(summaries, folder))
    return summaries


def seed_folder(folder, seed, seeds):
    """Where the run of one of ``seeds`` lies."""
    return folder if len(seeds) == 1 else folder / f"seed-{seed}"


def _write_comparison(summaries, folder):
    write_json(folder / COMPARISON, summaries)
    place = folder / "comparison.png"
    picture(place, lambda plotting: plotting.comparison(summaries, place))


def read_comparison(path):
    """Return {mode: summary} of a file of ``train_all``, None where there is none; raises FileError if it is none."""
    found = read_json(path)
    for mode, item in (found or {}).items():
        shares = [item, *(item.get("runs") or [])] if isinstance(item, dict) else [item]
        sound = all(isinstance(share, dict) and is_number(share.get("accuracy")) for share in shares)
        if not (sound and _is_interval(item.get("interval")) and _is_interval(item.get("seed_interval") or [0, 0])):
            raise FileError(path, f"is damaged: it has no summary of {mode!r}")
    return found


def summary(results):
    """Return the summary (dict) of the results of several seeds of one preset.

    "accuracy" and "sd" (None for one seed): mean and standard deviation of the test accuracy over seeds;
    "seed_interval" (None for one seed): the 95 % interval of the mean over seeds (Student's t), for these test samples;
    "interval": its 95 % Wilson interval for "n_test", the number of test samples, which all seeds share; means of
    "validation_accuracy", "spikes_per_neuron", "epochs" and "minutes", and of "accuracy_fractional" for networks on a
    grid; "peak_memory" (MB): the most of any; "parameters"; "seeds"; "command"; "preset": the settings, with the first
    seed; "runs": the results without their settings.
    """
    shares = np.array([result["accuracy"] for result in results])
    n_test = results[0]["n_test"]
    means = ["validation_accuracy", "spikes_per_neuron", "epochs", "minutes"]
    if "accuracy_fractional" in results[0]:
        means.append("accuracy_fractional")
    peaks = [result.get("peak_memory") for result in results]
    return {
        "accuracy": float(shares.mean()),
        "sd": float(shares.std(ddof=1)) if len(results) > 1 else None,
        "seed_interval": _seed_interval(shares),
        "interval": list(wilson_interval(float(shares.mean()) * n_test, n_test)),
        "n_test": n_test,
        **{key: _mean(results, key) for key in means},
        "peak_memory": None if None in peaks else max(peaks),
        "parameters": results[0]["parameters"],
        "seeds": [result["seed"] for result in results],
        "command": results[0]["command"],
        "preset": results[0]["preset"],
        "runs": [{key: value for key, value in result.items() if key != "preset"} for result in results],
    }


def cells(found):
    """Return a summary as the texts (tuple) of its COLUMNS; other trained values stand beside the weights.

    Of a network on a grid the accuracy is that with rounded delays, and that with fractional ones in brackets.
    """
    counts = found["parameters"]
    spread = "" if found["sd"] is None else f" +- {100 * found['sd']:.1f}"
    between = f" ({100 * found['accuracy_fractional']:.1f})" if "accuracy_fractional" in found else ""
    memory = found.get("peak_memory")
    other = f" + {counts['other']:,}" if counts["other"] else ""
    return (
        f"{len(found['seeds'])}", f"{100 * found['accuracy']:.1f}{spread}{between}", _percent(found["seed_interval"]),
        _percent(found["interval"]), f"{counts['weights']:,}{other}", f"{counts['delays']:,}",
        f"{found['spikes_per_neuron']:.1f}", f"{found['epochs']:.0f}", f"{found['minutes']:.1f}",
        "" if memory is None else f"{memory:.0f}",
    )  # fmt: skip


def _percent(interval):
    return "" if interval is None else " to ".join(f"{100 * bound:.1f}" for bound in interval)


def _seed_interval(shares):
    """The 95 % interval of the mean of accuracies over seeds, within 0 and 1; None for one seed."""
    if len(shares) < 2:
        return None
    from scipy.special import stdtrit

    half = stdtrit(len(shares) - 1, 0.975) * shares.std(ddof=1) / math.sqrt(len(shares))
    return [max(0.0, float(shares.mean() - half)), min(1.0, float(shares.mean() + half))]


def _mean(results, key):
    values = [math.nan if result[key] is None else result[key] for result in results]
    return None if np.isnan(values).any() else float(np.mean(values))


def load(place):
    """Return (network, parameters, meta) of a checkpoint file or run folder; see ``training.load_model``."""
    path = Path(place)
    if path.is_dir() and not checkpoints.exists(path / CHECKPOINT) and (seeds := sorted(path.glob("seed-*"))):
        remedy = f"Name one of {', '.join(str(seed) for seed in seeds)}."
        raise InvalidInput("run", None, str(path), "the folder of a single run", remedy)
    return load_model(path / CHECKPOINT if path.is_dir() else path)


def preset_of(meta, place):
    """Return the Preset that a run's checkpoint was made with; raises InvalidInput if it was not made by a run."""
    if "preset" not in meta["notes"]:
        allowed = "a checkpoint of `eventsnn train`, which says what data and loss it is for"
        raise InvalidInput("checkpoint", None, str(place), allowed)
    return presets.stored(meta["notes"]["preset"])
