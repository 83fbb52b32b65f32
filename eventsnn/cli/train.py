"""eventsnn train: a preset, with other settings, seeds and controls."""

import argparse
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import checkpoints, engines
from ..errors import CheckpointError
from ..parallel import communicator
from ..parallel.signals import exit_status
from .text import MODES, Commands, Outcome, UsageError, add_command, key_of, program, table

if TYPE_CHECKING:
    from ..experiments import Preset
    from ..experiments.results import Result, Summary


def add_train(commands: Commands) -> None:
    command = add_command(commands, "train", train_command, "train a preset or a TOML file")
    command.add_argument("preset", nargs="?", help="name of a preset, or a TOML file (with --resume: as it was)")
    command.add_argument("--out", metavar="FOLDER", help="run folder (default: runs/NAME)")
    command.add_argument("--resume", action="store_true", help="continue the run in that folder")
    command.add_argument("--epochs", type=int, metavar="N")
    seed = command.add_mutually_exclusive_group()
    seed.add_argument("--seed", type=int, metavar="N", help="initial parameters, sample order, augmentation")
    seed.add_argument("--seeds", type=int, nargs="+", metavar="N", help="one run for each, and their mean")
    command.add_argument("--delays", choices=MODES)
    command.add_argument("--threads", type=int, metavar="N", help="number of threads; results do not depend on it")
    text = "train these modes of delays too, or all others, and compare"
    command.add_argument("--controls", nargs="*", choices=MODES, metavar="MODE", help=text)
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="changes")
    text = "leave the test set closed: for runs that settings are chosen by"
    command.add_argument("--no-test", action="store_true", help=text)
    command.add_argument("--checkpoint-every", type=int, metavar="STEPS", help="save this often, besides each epoch")
    text = f"what simulates and gives gradients (default: {engines.names()[0]}, or as it was)"
    command.add_argument("--engine", choices=engines.names(), help=text)
    command.add_argument("--quiet", action="store_true", help="no progress")


def train_command(arguments: argparse.Namespace, argv: Sequence[str]) -> Outcome | None:
    from .. import experiments
    from ..experiments import runs

    preset = _chosen_preset(arguments)
    command = shlex.join(["eventsnn", *(item for item in argv if item != "--resume")])
    if arguments.preset is None:
        command = _as_it_was(arguments)
    folder = Path(arguments.out or Path("runs") / preset.name)
    preset = with_options(preset, arguments)
    seeds = arguments.seeds or [preset.training.seed]
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {' '.join(map(str, seeds))}: each seed once, the same one makes the same run")
    communicator.world().on_first(lambda: _check_folder(folder, seeds, arguments))
    modes = [preset.delays]
    if arguments.controls is not None:
        if arguments.controls == modes:
            raise UsageError(f"--controls {modes[0]}: that is the run itself; name other modes, or none for all")
        modes = list(dict.fromkeys([*modes, *(arguments.controls or experiments.control_modes(preset))]))
    experiments.check_used([experiments.with_mode(preset, mode) for mode in modes], map(key_of, arguments.changes))
    test, engine = not arguments.no_test, arguments.engine or _engine_as_it_was(folder, arguments.resume)
    data = experiments.load_data(preset, test)
    try:
        runs.train_all(
            preset, data, folder, modes=modes, seeds=seeds, report=print_result, compare=_print_comparison,
            command=command, test=test, n_threads=arguments.threads, checkpoint_every=arguments.checkpoint_every,
            progress=not arguments.quiet, engine=engine,
        )  # fmt: skip
    except KeyboardInterrupt as interrupt:
        if not _begun(folder, seeds):
            return exit_status(interrupt), "Nothing was saved yet: the same command starts anew."
        again = shlex.join([program(), *argv] if arguments.resume else [program(), *argv, "--resume"])
        return exit_status(interrupt), f"To resume: {again}"
    print(f"{'folder':<15}{folder}")
    return None


def _chosen_preset(arguments: argparse.Namespace) -> "Preset":
    """The preset that was named, or with --resume alone the one that the run folder's checkpoint holds."""
    from .. import experiments

    if arguments.preset is not None:
        if arguments.preset not in experiments.names() and checkpoints.exists(first_checkpoint(Path(arguments.preset))):
            again = shlex.join([program(), "train", "--resume", "--out", arguments.preset])
            raise UsageError(f"{arguments.preset} is the folder of a run: `{again}` goes on with it")
        return experiments.load(arguments.preset)
    if not (arguments.resume and arguments.out):
        raise UsageError(
            f"name a preset (`{program()} presets` lists them) or a TOML file, or give --resume and --out FOLDER"
        )
    return experiments.stored(_first_notes(arguments)["preset"])


def _engine_as_it_was(folder: Path, resume: bool) -> str:
    """The engine of the run that is resumed, or the one that is taken if nothing is said."""
    from ..training.identity import ENGINE, engine_of

    if not resume:
        return ENGINE
    try:
        run = communicator.world().on_first(lambda: checkpoints.load(first_checkpoint(folder))[1].get("run"))
    except CheckpointError:  # which is said where the run goes on
        return ENGINE
    return engine_of(run) if isinstance(run, dict) else ENGINE


def _as_it_was(arguments: argparse.Namespace) -> str:
    """Take over from the run that is resumed what is not given: seeds, controls, a closed test set; return its command.

    Controls that are asked for now are added to the command: they would be missing from what it makes.
    """
    from ..training.state import CHECKPOINT

    words = shlex.split(_first_notes(arguments)["command"])
    if words[:2] != ["eventsnn", "train"]:  # trained by a sweep, or from Python
        return shlex.join(words)
    before = arguments.parse(words[1:])
    arguments.no_test |= before.no_test
    # the folder of one seed among several is resumed for itself
    whole = before.seeds is None or not checkpoints.exists(Path(arguments.out) / CHECKPOINT)
    if whole and arguments.seeds is None and arguments.seed is None:
        arguments.seeds, arguments.seed = before.seeds, before.seed
    if arguments.controls is None:
        arguments.controls = before.controls
    elif before.controls != []:  # which means all
        words = _with_controls(words, [*(before.controls or []), *arguments.controls] if arguments.controls else [])
    return shlex.join(words)


def _with_controls(words: list[str], modes: Iterable[str]) -> list[str]:
    """A command with these controls in place of its own."""
    if "--controls" in words:
        start = words.index("--controls")
        rest = (k for k, word in enumerate(words) if k > start and word.startswith("-"))
        words = words[:start] + words[next(rest, len(words)) :]
    return [*words, "--controls", *dict.fromkeys(modes)]


def _first_notes(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the checkpoint in the run folder, or in that of its first seed, says of its run."""
    from ..training.state import load_model

    path = first_checkpoint(Path(arguments.out))
    return communicator.world().on_first(lambda: load_model(path)[2]["notes"])


def first_checkpoint(folder: Path) -> Path:
    """The checkpoint in a run folder, or, of several seeds, that of the first that has begun."""
    from ..training.state import CHECKPOINT

    places = [place / CHECKPOINT for place in (folder, *sorted(folder.glob("seed-*")))]
    return next(filter(checkpoints.exists, places), places[0])


def with_options(preset: "Preset", arguments: argparse.Namespace) -> "Preset":
    """The preset with what the options of the command say."""
    from .. import experiments

    given = {"training.epochs": arguments.epochs, "training.seed": arguments.seed, "delays": arguments.delays}
    changes = [f"{key}={value}" for key, value in given.items() if value is not None]
    if twice := {key_of(text) for text in changes} & {key_of(text) for text in arguments.changes}:
        raise UsageError(f"{min(twice)} is set twice, by --set and by the option of its own: leave one of them out")
    changes += arguments.changes
    return experiments.change(preset, changes) if changes else preset  # a run that goes on is not judged anew


def _begun(folder: Path, seeds: Sequence[int]) -> bool:
    """Whether there is a checkpoint of any seed's run."""
    from ..experiments import runs
    from ..training.state import CHECKPOINT

    return any(checkpoints.exists(runs.seed_folder(folder, seed, seeds) / CHECKPOINT) for seed in seeds)


def _check_folder(folder: Path, seeds: Sequence[int], arguments: argparse.Namespace) -> None:
    from ..experiments import results

    if arguments.resume:
        if not _begun(folder, seeds):
            raise UsageError(f"there is no run to resume in {folder}; leave --resume out to start one there")
    # a run that was refused before it began leaves its lock
    elif folder.exists() and (not folder.is_dir() or any(item.name != results.LOCK for item in folder.iterdir())):
        raise UsageError(f"{folder} exists already: continue that run with --resume, or choose another --out")


def print_result(result: "Result") -> None:
    """Print what a run has come to, as its ``result.json`` says it."""
    counts = result["parameters"]
    other = f", {counts['other']:,} other" if counts["other"] else ""
    epoch = "" if result["best_epoch"] is None else f" (parameters of epoch {result['best_epoch']}, best on validation)"
    rows = [
        ("run", f"{result['name']}, delays {result['delays']}, seed {result['seed']}"),
        *_accuracies(result),
        ("trained", f"{counts['weights']:,} weights, {counts['delays']:,} delays{other}"),
        ("spikes", f"{result['spikes_per_neuron']:.1f} per neuron and sample"),
        ("epochs", f"{result['epochs']}{epoch}"),
        ("minutes", f"{result['minutes']:.1f}"),
        *([] if result.get("peak_memory") is None else [("peak memory", f"{result['peak_memory']:,.0f} MB")]),
        ("command", result["command"]),
    ]
    print("\n".join(f"{label:<15}{text}" for label, text in rows), flush=True)


def _accuracies(result: "Result") -> Iterator[tuple[str, str]]:
    """Rows of what the run was judged by."""
    if result["validation_accuracy"] is not None:
        yield "validation", f"{100 * result['validation_accuracy']:.1f} %, loss {result['validation_loss']:.4f}"
    if result["accuracy"] is not None:
        low, high = result["interval"]
        yield "test accuracy", f"{100 * result['accuracy']:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
        yield "test samples", f"{result['n_test']:,}"
    if "accuracy_fractional" in result:
        yield "between steps", f"{100 * result['accuracy_fractional']:.1f} % of the test with delays not rounded"


def _print_comparison(summaries: Mapping[str, "Summary"]) -> None:
    from ..experiments import results

    rows = [(mode, *results.cells(found)) for mode, found in summaries.items()]
    print("\n" + table(("delays", *results.COLUMNS), rows))
