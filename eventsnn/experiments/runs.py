"""A run: one preset trained in a folder of its own, with its checkpoint, its result and its pictures; and many runs.

A run that was stopped goes on where it was, and one that is finished is only read.
"""

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .. import checkpoints, engines
from ..data.dataset import Dataset
from ..errors import CheckpointError, FileError, InvalidInput
from ..parallel import communicator
from ..training.identity import ENGINE, differences, engine_name, engine_of
from ..training.methods.choosing import method_of
from ..training.state import CHECKPOINT, History, load_model
from ..training.trainer import Trainer
from . import building, presets
from .memory import MEGABYTE, forget_peak, peak_memory
from .results import (
    COMPARISON,
    LOCK,
    RESULT,
    Result,
    Summary,
    check_result,
    plain,
    read_json,
    result_of,
    summary,
    write_json,
)
from .settings import Preset
from .sources import Sets

if TYPE_CHECKING:
    from filelock import BaseFileLock

Drawn = TypeVar("Drawn")


def train(
    preset: Preset,
    data: Sets,
    folder: str | os.PathLike[str],
    *,
    command: str = "",
    test: bool = True,
    progress: bool = True,
    report: Callable[[Result], object] = lambda result: None,
    **settings: Any,
) -> Result:
    """Train a Preset in ``folder`` to its end, or find that it has got there; return its result (dict).

    Parameters: ``data``: (train, validation, test) of ``experiments.load_data``; ``command``: how a user makes this run
    again; ``test``: False leaves the test set closed, and the result's "accuracy" None; ``progress``: show it on
    stderr; ``report``: called with the result as soon as it is written, before pictures are drawn; further settings are
    the Trainer's: n_threads, checkpoint_every, callbacks, engine.

    A checkpoint in the folder is gone on from; pictures that are missing are drawn. Raises CheckpointError if the
    checkpoint is of another run, or if another process is training there, and FileError if the result cannot be
    written; a picture that cannot be is a warning.
    """
    team, place = communicator.world(), Path(folder)
    held: list[BaseFileLock] = []
    done = team.on_first(lambda: finished(preset, place, test, engine_name(settings.get("engine", ENGINE))))
    if done is not None:
        if progress:
            print(f"{place}: this run is finished.", file=sys.stderr)
        report(done)
        if test:
            team.on_first(lambda: _draw(data, place))
        return done
    measured = forget_peak()
    # what is refused is refused before a folder is made
    trainer = _trainer(preset, data, place, command, progress=progress, **settings)
    team.on_first(lambda: held.append(_locked(place)))
    try:
        result = _train(preset, data, place, trainer, test, measured)
        report(result)
        if test:  # a run that is not tested is one of many: its pictures can be drawn by `eventsnn plot`
            team.on_first(lambda: _draw(data, place))
        return result
    finally:
        for lock in held:
            lock.release()


def _locked(folder: Path) -> "BaseFileLock":
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


def _trainer(preset: Preset, data: Sets, folder: Path, command: str, **settings: Any) -> Trainer:
    """The Trainer of a run, which has written nothing yet."""
    built = building.build(preset, data)
    if communicator.world().on_first(lambda: checkpoints.exists(folder / CHECKPOINT)):
        parameters = built.network.initialize(preset.training.seed)  # those of the checkpoint come in their place
    else:
        parameters = building.initialize(preset, built.network)
    return Trainer(
        built.network, parameters, loss=built.loss, optimizer=built.optimizer,
        options=built.options, checkpoint=folder / CHECKPOINT,
        notes={"preset": preset.to_dict(), "command": command}, **settings,
    )  # fmt: skip


def _train(preset: Preset, data: Sets, folder: Path, trainer: Trainer, test: bool, measured: bool) -> Result:
    team = communicator.world()
    resume = team.on_first(lambda: checkpoints.exists(folder / CHECKPOINT))
    if trainer.progress:
        print(f"{preset.name}, delays {preset.delays}, seed {preset.training.seed} -> {folder}", file=sys.stderr)
    training, validation, _ = data
    testing = cast(Dataset, data[2])  # unless the test set stays closed
    try:
        trainer.fit(training, validation, epochs=preset.training.epochs, resume=resume)
    except CheckpointError:
        team.on_first(lambda: _name_other_settings(preset, folder / CHECKPOINT))
        raise
    result = result_of(preset, trainer, trainer.evaluate(testing) if test else None)
    if test and trainer.network.method == "surrogate":
        # its delays are rounded to steps, unless one asks for what lies between them
        result["accuracy_fractional"] = trainer.evaluate(testing, delays="fractional").accuracy
    # that of this process, and since the run began or was last gone on with
    peak = peak_memory() if measured else None
    result["peak_memory"] = None if peak is None else peak / MEGABYTE
    team.on_first(lambda: write_json(folder / RESULT, result))
    return plain(result)


def _name_other_settings(preset: Preset, path: Path) -> None:
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


def finished(
    preset: Preset, folder: str | os.PathLike[str], test: bool = True, engine: str = ENGINE
) -> Result | None:  # fmt: skip
    """Return the result in a folder if this very run is finished there (with ``test``: and tested), else None.

    A damaged result is none: a RuntimeWarning says so, and the checkpoint is what it is made from once more.
    """
    path = Path(folder) / RESULT
    try:
        result = read_json(path)
        if result is None:
            return None
        check_result(path, result)
    except FileError as error:
        warnings.warn(f"{error}; it is made once more", RuntimeWarning, stacklevel=2)
        return None
    tested = result["accuracy"] is not None or not test
    same = engine_of(result) == engine and same_settings(result["preset"], preset)
    return result if tested and same else None


def same_settings(described: object, preset: Preset) -> bool:
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


def _draw(data: Sets, folder: Path) -> None:
    """Draw the pictures of a finished run that are missing, from its checkpoint."""
    training, validation, _ = data
    samples = training if validation is None else validation
    if not checkpoints.exists(folder / CHECKPOINT):  # of a result that was kept alone
        return
    drawings = picture(folder, lambda plotting: _drawings(plotting, samples, folder)) or {}
    for path, draw in drawings.items():

        def drawn(plotting: ModuleType, draw: Callable[[], object] = draw) -> object:
            return draw()

        if not path.is_file():
            picture(path, drawn)


def _drawings(plotting: ModuleType, samples: Dataset, folder: Path) -> dict[Path, Callable[[], object]]:
    network, parameters, meta = load_model(folder / CHECKPOINT)
    recording = method_of(network, engine_to_show(meta)).record(parameters, samples.spikes[:1], meta["duration"])
    history = History(tuple(meta["state"]["history"]), meta["state"]["best_epoch"])
    return plotting.of_run(network, parameters, meta["initial"], recording, history, folder)


def engine_to_show(meta: Mapping[str, Any]) -> str:
    """Return the engine that draws a run: its own, or, where that was an object of the user's, the first one."""
    engine = engine_of(meta["run"])
    return engine if engine in engines.names() else ENGINE


def picture(path: Path, draw: Callable[[ModuleType], Drawn]) -> Drawn | None:
    """Return ``draw(plotting)``; whatever goes wrong with a picture is a warning, and costs nothing else."""
    from .. import plotting

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


def train_all(
    preset: Preset,
    data: Sets,
    folder: str | os.PathLike[str],
    *,
    modes: Sequence[str],
    seeds: Sequence[int],
    report: Callable[[Result], object],
    compare: Callable[[dict[str, Summary]], object] = lambda summaries: None,
    **settings: Any,
) -> dict[str, Summary] | None:
    """Train every seed in every mode of delays; return {mode: summary of its runs}, written to the folder too.

    None where the runs were not tested (``test=False``): there is nothing to compare yet.

    Runs lie in ``folder`` or, of several seeds, in ``folder/seed-N``; those of other modes than the preset's in
    ``controls/MODE`` in there. What there is of them already is gone on from, and controls that were trained there
    before are in the summary too. ``report`` is called with each result as it comes, ``compare`` with the summaries of
    several runs before they are written. Settings: as for ``train``.
    """
    whole = Path(folder)
    engine = engine_name(settings.get("engine", ENGINE))
    runs: dict[str, list[Result]] = {mode: [] for mode in modes}
    for mode in modes:
        building.with_mode(preset, mode)  # what cannot be is refused before the first is trained

    def place_of(seed: int, mode: str) -> tuple[Preset, Path]:
        place = seed_folder(whole, seed, seeds)
        chosen = replace(building.with_mode(preset, mode), training=replace(preset.training, seed=seed))
        return chosen, place if mode == preset.delays else place / "controls" / mode

    def earlier(mode: str) -> list[Result] | None:
        """The results of controls that an earlier command has trained, if it has with every seed."""
        places = [place_of(seed, mode) for seed in seeds]
        found = communicator.world().on_first(lambda: [finished(*place, engine=engine) for place in places])
        done = [result for result in found if result]
        return done if len(done) == len(found) else None

    for seed in seeds:
        for mode in modes:
            chosen, place = place_of(seed, mode)
            runs[mode].append(train(chosen, data, place, report=report, **settings))
    if not settings.get("test", True):
        return None
    runs |= {mode: done for mode in building.control_modes(preset) if mode not in runs and (done := earlier(mode))}
    summaries = {mode: summary(results) for mode, results in runs.items()}
    if len(modes) > 1 or len(seeds) > 1:
        compare(summaries)
        communicator.world().on_first(lambda: _write_comparison(summaries, whole))
    return summaries


def seed_folder(folder: Path, seed: int, seeds: Sequence[int]) -> Path:
    """Where the run of one of ``seeds`` lies."""
    return folder if len(seeds) == 1 else folder / f"seed-{seed}"


def _write_comparison(summaries: Mapping[str, Summary], folder: Path) -> None:
    write_json(folder / COMPARISON, summaries)
    place = folder / "comparison.png"
    picture(place, lambda plotting: plotting.comparison(summaries, place))


def preset_of(meta: Mapping[str, Any], place: str | os.PathLike[str]) -> Preset:
    """Return the Preset that a run's checkpoint was made with; raises InvalidInput if it was not made by a run."""
    if "preset" not in meta["notes"]:
        allowed = "a checkpoint of `eventsnn train`, which says what data and loss it is for"
        raise InvalidInput("checkpoint", None, str(place), allowed)
    return presets.stored(meta["notes"]["preset"])
