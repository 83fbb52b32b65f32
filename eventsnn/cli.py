"""The command ``eventsnn``: train, sweep, evaluate, info, plot, presets.

Errors that eventsnn raises on purpose are one line on stderr and exit code 2; Ctrl-C is 130 and SIGTERM 143. Where the
reader of what is printed has gone (`eventsnn presets | head -1`) the command ends without a word, with 141. Under
mpiexec train and evaluate share the work; rank 0 alone prints and writes.
"""

import argparse
import contextlib
import json
import os
import shlex
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import __version__, checkpoints, communicator
from .errors import EventsnnError, FileError, InvalidInput
from .naming import said_as
from .signals import exit_status, sigterm_as_interrupt
from .writing import Output, Words, reason

# presets.DELAYS, which would take the import of all the rest
MODES = ("learned", "fixed", "none", "feed-forward", "recurrent")
FAILED = 2
READER_GONE = 141  # what shells say of a program that was ended by SIGPIPE
# what arguments are called that options were given for
OPTIONS = {
    "n_threads": "--threads", "checkpoint_every": "--checkpoint-every", "neurons": "--neurons",
    "population": "--population", "step": "--round-delays",
}  # fmt: skip
TIME_UNITS = ("s", "ms", "us", "ns")
NOT_READ_AT_MOST = 10  # lines of ``info`` about what in a file is not read
PICTURES = ("raster", "voltage", "adjoint", "delays", "curve", "comparison")


class UsageError(EventsnnError):
    """A command that cannot be carried out as it stands."""


def main(argv=None):
    """Run the command line ``argv`` (None: that of the process) and return its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with _only_rank_0_prints(), sigterm_as_interrupt():
        # what rank 0 alone prints to: in this order
        with contextlib.redirect_stdout(Output(sys.stdout, "standard output")):
            code, message = _flushed(*_outcome(argv))
    return communicator.finish(code, lambda: message and print(message, file=Words(sys.stderr, "standard error")))


def _outcome(argv):
    """(exit code, what to say on stderr) of a command line."""
    try:
        arguments = _parser().parse_args(argv)
        with _warnings_in_one_line(), said_as(OPTIONS), contextlib.redirect_stderr(Words(sys.stderr, "standard error")):
            return arguments.run(arguments, argv) or (0, "")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED, ""
    except EventsnnError as error:
        return _failure(error)
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        return FAILED, f"eventsnn: {place}{reason(error)}"
    except KeyboardInterrupt as interrupt:
        return exit_status(interrupt), "eventsnn: interrupted"


def _flushed(code, message):
    """The outcome of a command, which has failed if what it printed is lost."""
    try:
        sys.stdout.flush()
    except FileError as error:
        return (FAILED, message) if message else _failure(error)
    return code, message


def _failure(error):
    """The outcome of a command that an error of eventsnn has ended; a reader that went away is none."""
    if isinstance(error.__cause__, BrokenPipeError):
        return READER_GONE, ""
    return FAILED, f"eventsnn: {error}"


@contextlib.contextmanager
def _warnings_in_one_line():
    """Warnings as the errors are: what is the matter, without the line of code that noticed it."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *place: print(f"eventsnn: warning: {message}", file=sys.stderr)
        yield


@contextlib.contextmanager
def _only_rank_0_prints():
    """The other ranks say nothing: what they would say is the same."""
    if communicator.launched_rank() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _parser():
    parser = argparse.ArgumentParser(prog="eventsnn", description="Exact event-driven spiking networks with delays.")
    parser.add_argument("--version", action="version", version=f"eventsnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_sweep(commands)
    command = _command(commands, "evaluate", _evaluate, "accuracy of a trained network on a data set")
    command.add_argument("checkpoint", help="checkpoint file or run folder")
    chosen = command.add_mutually_exclusive_group()
    chosen.add_argument("--data", metavar="FILE.h5", help="spike file in SHD's layout (default: the run's test set)")
    command.add_argument(
        "--time-unit", choices=TIME_UNITS, help="of the times in --data (default: as in the run's data)"
    )
    chosen.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="set of the run's data"
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--round-delays", type=float, metavar="MS", help="with all delays rounded to multiples of MS")
    text = "with the delays of each connection permuted, N times"
    what.add_argument("--permute-delays", type=int, metavar="N", help=text)
    text = "of a network on a grid: rounded to its steps (default), interpolated between them, or spread as in training"
    what.add_argument("--delays", choices=("rounded", "fractional", "spread"), help=text)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--threads", type=int, metavar="N", help="number of threads")
    command = _command(commands, "info", _info, "what a spike file holds")
    command.add_argument("file", metavar="FILE.h5")
    command.add_argument("--units", type=int, metavar="N", help="number of channels (default: the largest found)")
    command.add_argument("--time-unit", choices=TIME_UNITS, help="of its times (default: s, as in SHD)")
    command.add_argument("--json", action="store_true", help="print JSON, channel rates included")
    _add_plot(commands)
    command = _command(commands, "presets", _presets, "list the presets, or print one as TOML")
    command.add_argument("name", nargs="?", help="preset to print")
    return parser


def _command(commands, name, run, text):
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _add_train(commands):
    command = _command(commands, "train", _train, "train a preset or a TOML file")
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
    command.add_argument("--quiet", action="store_true", help="no progress")


def _add_sweep(commands):
    text = "choose settings by their accuracy on validation; the test set stays closed"
    command = _command(commands, "sweep", _sweep, text)
    command.add_argument("preset", help="name of a preset, or a TOML file")
    text = "KEY=A,B,C: choices; KEY=LOW..HIGH or KEY=log:LOW..HIGH: a range (needs --trials)"
    command.add_argument("--vary", nargs="+", action="extend", required=True, metavar="KEY=VALUES", help=text)
    text = "how many settings to try, proposed from what was found so far (default: every combination of the choices)"
    command.add_argument("--trials", type=int, metavar="N", help=text)
    command.add_argument("--seeds", type=int, nargs="+", metavar="N", help="train each setting with these seeds")
    command.add_argument("--prune", action="store_true", help="stop runs that are below the median at their epoch")
    command.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="changes")
    text = "folder of the study (default: sweeps/NAME); processes that name the same one share its trials"
    command.add_argument("--out", metavar="FOLDER", help=text)
    command.add_argument("--threads", type=int, metavar="N", help="number of threads of each run")
    command.add_argument("--quiet", action="store_true", help="no progress")


def _add_plot(commands):
    command = _command(commands, "plot", _plot, "pictures of a trained network, or of a comparison")
    command.add_argument("checkpoint", help="checkpoint file or run folder")
    what = "default: all but adjoint, which the slow reference engine computes"
    command.add_argument("--what", nargs="+", choices=PICTURES, help=what)
    text = "default: validation, or train where there is none"
    command.add_argument("--split", choices=("train", "validation", "test"), help=text)
    command.add_argument("--sample", type=int, default=0, metavar="N", help="sample of that set")
    command.add_argument("--population", metavar="NAME", help="for voltage and adjoint (default: the first LIF one)")
    command.add_argument("--neurons", type=int, nargs="+", metavar="N", help="default: 0 1 2")
    command.add_argument("--out", metavar="FOLDER", help="where to write (default: beside the checkpoint)")


# --------------------------------------------------------------------------------------------------------- train


def _train(arguments, argv):
    from . import presets, runs

    preset = _chosen_preset(arguments)
    command = shlex.join(["eventsnn", *(item for item in argv if item != "--resume")])
    if arguments.preset is None:
        command = _as_it_was(arguments)
    folder = Path(arguments.out or Path("runs") / preset.name)
    preset = _with_options(preset, arguments)
    seeds = arguments.seeds or [preset.training.seed]
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {' '.join(map(str, seeds))}: each seed once, the same one makes the same run")
    communicator.world().on_first(lambda: _check_folder(folder, seeds, arguments))
    modes = [preset.delays]
    if arguments.controls is not None:
        if arguments.controls == modes:
            raise UsageError(f"--controls {modes[0]}: that is the run itself; name other modes, or none for all")
        modes = list(dict.fromkeys([*modes, *(arguments.controls or presets.control_modes(preset))]))
    presets.check_used([presets.with_mode(preset, mode) for mode in modes], map(_key_of, arguments.changes))
    test = not arguments.no_test
    data = presets.load_data(preset, test)
    try:
        runs.train_all(
            preset, data, folder, modes=modes, seeds=seeds, report=print_result, compare=_print_comparison,
            command=command, test=test, n_threads=arguments.threads, checkpoint_every=arguments.checkpoint_every,
            progress=not arguments.quiet,
        )  # fmt: skip
    except KeyboardInterrupt as interrupt:
        if not _begun(folder, seeds):
            return exit_status(interrupt), "Nothing was saved yet: the same command starts anew."
        again = shlex.join(["eventsnn", *argv] if arguments.resume else ["eventsnn", *argv, "--resume"])
        return exit_status(interrupt), f"To resume: {again}"
    print(f"{'folder':<15}{folder}")


def _chosen_preset(arguments):
    """The preset that was named, or with --resume alone the one that the run folder's checkpoint holds."""
    from . import presets

    if arguments.preset is not None:
        return presets.load(arguments.preset)
    if not (arguments.resume and arguments.out):
        raise UsageError(
            "name a preset (`eventsnn presets` lists them) or a TOML file, or give --resume and --out FOLDER"
        )
    return presets.stored(_first_notes(arguments)["preset"])


def _as_it_was(arguments):
    """Take over from the run that is resumed what is not given: seeds, controls, a closed test set; return its command.

    Controls that are asked for now are added to the command: they would be missing from what it makes.
    """
    from . import runs

    words = shlex.split(_first_notes(arguments)["command"])
    if words[:2] != ["eventsnn", "train"]:  # trained by a sweep, or from Python
        return shlex.join(words)
    before = _parser().parse_args(words[1:])
    arguments.no_test |= before.no_test
    # the folder of one seed among several is resumed for itself
    whole = before.seeds is None or not checkpoints.exists(Path(arguments.out) / runs.CHECKPOINT)
    if whole and arguments.seeds is None and arguments.seed is None:
        arguments.seeds, arguments.seed = before.seeds, before.seed
    if arguments.controls is None:
        arguments.controls = before.controls
    elif before.controls != []:  # which means all
        words = _with_controls(words, [*(before.controls or []), *arguments.controls] if arguments.controls else [])
    return shlex.join(words)


def _with_controls(words, modes):
    """A command with these controls in place of its own."""
    if "--controls" in words:
        start = words.index("--controls")
        rest = (k for k, word in enumerate(words) if k > start and word.startswith("-"))
        words = words[:start] + words[next(rest, len(words)) :]
    return [*words, "--controls", *dict.fromkeys(modes)]


def _first_notes(arguments):
    """What the checkpoint in the run folder, or in that of its first seed, says of its run."""
    from . import runs

    folder = Path(arguments.out)
    seeds = sorted(folder.glob("seed-*"))
    place = folder if checkpoints.exists(folder / runs.CHECKPOINT) or not seeds else seeds[0]
    return communicator.world().on_first(lambda: runs.load(place)[2]["notes"])


def _with_options(preset, arguments):
    from . import presets

    given = {"training.epochs": arguments.epochs, "training.seed": arguments.seed, "delays": arguments.delays}
    changes = [f"{key}={value}" for key, value in given.items() if value is not None]
    if twice := {_key_of(text) for text in changes} & {_key_of(text) for text in arguments.changes}:
        raise UsageError(f"{min(twice)} is set twice, by --set and by the option of its own: leave one of them out")
    changes += arguments.changes
    return presets.change(preset, changes) if changes else preset  # a run that goes on is not judged anew


def _key_of(assignment):
    """The key of a text "KEY=VALUE"."""
    return assignment.partition("=")[0].strip()


def _begun(folder, seeds):
    """Whether there is a checkpoint of any seed's run."""
    from . import runs

    return any(checkpoints.exists(runs.seed_folder(folder, seed, seeds) / runs.CHECKPOINT) for seed in seeds)


def _check_folder(folder, seeds, arguments):
    from . import runs

    if arguments.resume:
        if not _begun(folder, seeds):
            raise UsageError(f"there is no run to resume in {folder}; leave --resume out to start one there")
    # a run that was refused before it began leaves its lock
    elif folder.exists() and (not folder.is_dir() or any(item.name != runs.LOCK for item in folder.iterdir())):
        raise UsageError(f"{folder} exists already: continue that run with --resume, or choose another --out")


def print_result(result):
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


def _accuracies(result):
    """Rows of what the run was judged by."""
    if result["validation_accuracy"] is not None:
        yield "validation", f"{100 * result['validation_accuracy']:.1f} %, loss {result['validation_loss']:.4f}"
    if result["accuracy"] is not None:
        low, high = result["interval"]
        yield "test accuracy", f"{100 * result['accuracy']:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
        yield "test samples", f"{result['n_test']:,}"
    if "accuracy_fractional" in result:
        yield "between steps", f"{100 * result['accuracy_fractional']:.1f} % of the test with delays not rounded"


def _print_comparison(summaries):
    from . import runs

    rows = [(mode, *runs.cells(found)) for mode, found in summaries.items()]
    print("\n" + table(("delays", *runs.COLUMNS), rows))


def table(columns, rows):
    """Return rows of text below their headings, the first column to the left and the others to the right."""
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    lines = []
    for first, *others in (columns, *rows):
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------- sweep


def _sweep(arguments, argv):
    from . import presets, runs, sweeping

    if communicator.world().size > 1:
        raise UsageError("a sweep is shared by processes that know nothing of each other: start the command twice")
    if twice := {_key_of(text) for text in arguments.changes} & {_key_of(text) for text in arguments.vary}:
        raise UsageError(f"{min(twice)} is set twice, by --set and by --vary: leave one of them out")
    preset = presets.change(presets.load(arguments.preset), arguments.changes)
    folder = Path(arguments.out or Path("sweeps") / preset.name)
    sweep = sweeping.Sweep(
        preset, arguments.vary, folder, seeds=arguments.seeds or [preset.training.seed], trials=arguments.trials,
        prune=arguments.prune,
    )  # fmt: skip
    try:
        sweep.run(n_threads=arguments.threads, progress=not arguments.quiet)
    except KeyboardInterrupt as interrupt:
        return exit_status(interrupt), f"To resume: {shlex.join(['eventsnn', *argv])}"
    print(table(sweep.columns, sweep.rows()))
    if (changes := sweep.best()) is None:
        return FAILED, f"no trial of {folder} has come to its end"
    # what makes no difference in the best of them would be refused by train
    idle = presets.idle([replace(presets.change(preset, changes), delays="learned")])
    changes = [text for text in (*arguments.changes, *changes) if _key_of(text) not in idle]
    chosen = [arguments.preset, *(["--set", *changes] if changes else [])]
    print(f"\nbest on validation: {shlex.join(['eventsnn', 'train', *chosen])}", flush=True)
    runs.picture(folder / sweeping.PICTURE, lambda plotting: sweep.picture())


# ------------------------------------------------------------------------------------------------ evaluate, info


def _split(preset, name):
    from . import presets

    data = presets.load_data(preset, test=name == "test")[("train", "validation", "test").index(name)]
    if data is None:
        raise InvalidInput("--split", None, name, "train or test, because this run was made without validation")
    return data


def _split_to_show(preset):
    from . import presets

    train, validation, _ = presets.load_data(preset, test=False)
    return train if validation is None else validation


def _evaluate(arguments, argv):
    from . import presets, runs
    from .training import evaluate

    network, parameters, meta = runs.load(arguments.checkpoint)
    preset = runs.preset_of(meta, arguments.checkpoint)
    if arguments.delays is not None and preset.grid.dt is None:
        allowed = "nothing, because this network is not on a grid: its delays are real numbers"
        raise InvalidInput("--delays", None, arguments.delays, allowed, "Leave --delays out.")
    if arguments.time_unit is not None and arguments.data is None:
        raise UsageError("--time-unit is that of a file: name it with --data")
    if arguments.data is None:
        data = _split(preset, arguments.split)
    else:
        data = _data_of_file(arguments, network, preset, meta["duration"])
    settings = {
        "loss": presets.build_loss(preset), "duration": meta["duration"], "n_threads": arguments.threads,
        "delays": arguments.delays,
    }  # fmt: skip
    results = [evaluate(network, chosen, data, **settings) for chosen in _chosen_delays(arguments, network, parameters)]
    if arguments.json:
        found = [_evaluation(result, data) for result in results]
        print(json.dumps(found if arguments.permute_delays else found[0]))
        return
    for result in results:
        print(f"{data.name}: {result}, {result.spikes_per_neuron:.1f} spikes per neuron")
    if len(results) > 1:
        shares = np.array([100 * result.accuracy for result in results])
        print(f"mean of {shares.size}: {shares.mean():.1f} +- {shares.std(ddof=1):.1f} %")


def _data_of_file(arguments, network, preset, duration):
    """The spike file that --data names, read as the run has read its data."""
    from .data import hdf5

    n_inputs, n_classes = network.populations["input"].n, network.populations["output"].n
    unit = arguments.time_unit or preset.data.time_unit
    if arguments.time_unit is None and unit is not None:
        text = f"eventsnn: the times in {arguments.data} are taken as {unit}, as in the run's data; or say --time-unit"
        print(text, file=sys.stderr)
    with said_as({}, {hdf5.SAY_THE_UNIT: "Give --time-unit ms or us, or s if they are seconds."}):
        data = hdf5.read(arguments.data, n_inputs * preset.data.merge, n_classes, duration, time_unit=unit)
    return data if preset.data.merge == 1 else data.merge_channels(preset.data.merge)


def _evaluation(result, data):
    counts = {"accuracy": result.accuracy, "interval": list(result.interval), "n": result.n, "loss": result.loss}
    return {**counts, "spikes_per_neuron": result.spikes_per_neuron, "data": data.name}


def _chosen_delays(arguments, network, parameters):
    """The parameters to be evaluated one after the other: as trained, or with other delays."""
    from . import controls

    if arguments.round_delays is not None:
        return [controls.rounded_delays(network, parameters, arguments.round_delays)]
    if arguments.permute_delays is None:
        return [parameters]
    if arguments.permute_delays < 1:
        raise InvalidInput("--permute-delays", None, arguments.permute_delays, "a number of permutations >= 1")
    return [controls.permuted_delays(network, parameters, seed) for seed in range(arguments.permute_delays)]


def _info(arguments, argv):
    from .data import hdf5
    from .data.dataset import find_file

    path = find_file(arguments.file, "An HDF5 file of spikes in SHD's layout is needed.")
    with said_as({"n_units": "--units"}):
        found = hdf5.describe(path, arguments.units, arguments.time_unit)
    if arguments.json:
        print(json.dumps(found))
        return
    rates = np.array(found["rates"])
    rows = [
        ("file", found["path"]),
        ("samples", f"{found['samples']:,}"),
        ("spikes", f"{found['spikes']:,}"),
        ("channels", f"{found['n_units']:,}, mean rate {rates.mean() if rates.size else 0.0:.2f} Hz"),
        ("classes", f"{found['n_classes']}" + (f": {', '.join(map(str, found['keys']))}" if found["keys"] else "")),
        ("per class", " ".join(map(str, found["samples_per_class"]))),
        ("last spike", _spread(found["duration"], "ms")),
        ("per sample", _spread(found["spikes_per_sample"], "spikes")),
        ("time unit", _time_unit(found)),
    ]
    if found["samples_per_speaker"]:
        text = " ".join(f"{speaker}:{n}" for speaker, n in found["samples_per_speaker"].items())
        rows.insert(6, ("per speaker", text))
    left_alone = [f"{name if name.isprintable() else ascii(name)} {why}" for name, why in found["ignored"].items()]
    rows += [("not read", text) for text in left_alone[:NOT_READ_AT_MOST]]
    if (more := len(left_alone) - NOT_READ_AT_MOST) > 0:
        rows.append(("not read", f"and {more} more"))
    print("\n".join(f"{label:<13}{text}" for label, text in rows))


def _time_unit(found):
    if found["time_doubt"] is None:
        return found["time_unit"]
    return f"taken as s, but {found['time_doubt']}: say --time-unit ms or us, or s; reading the file asks for it too"


def _spread(numbers, unit):
    return f"{numbers['min']:.5g} to {numbers['max']:.5g} {unit}, mean {numbers['mean']:.5g}"


# ------------------------------------------------------------------------------------------------- plot, presets


def _plot(arguments, argv):
    from . import runs
    from .surrogate import GridNetwork

    path = Path(arguments.checkpoint)
    wanted = arguments.what or [picture for picture in PICTURES if picture != "adjoint"]
    compared = runs.read_comparison(path / runs.COMPARISON)
    if compared is not None and not checkpoints.exists(path / runs.CHECKPOINT):
        wanted = ["comparison"]  # a folder of several seeds: each of them has its own pictures
    if "comparison" in (arguments.what or []) and compared is None:
        raise UsageError(f"{path} holds no {runs.COMPARISON}: there is nothing to compare in the run of one seed")
    if wanted != ["comparison"]:
        network, parameters, meta = runs.load(path)
        if "adjoint" in wanted and isinstance(network, GridNetwork):
            raise UsageError(f"{path} is a network on a grid: the adjoint that can be drawn is that of events")
    folder = Path(arguments.out) if arguments.out else path if path.is_dir() else path.parent
    drawings = {}  # name of a picture: function that draws it to a path
    if compared is not None and "comparison" in wanted:
        from . import plotting

        drawings["comparison.png"] = lambda place: plotting.comparison(compared, place)
    if "delays" in wanted or "curve" in wanted:
        drawings |= _drawings_of_training(meta, parameters, wanted)
    if {"raster", "voltage", "adjoint"} & set(wanted):
        drawings |= _drawings_of_sample(arguments, (network, parameters, meta), wanted)
    if not drawings:
        raise UsageError(f"there is nothing to draw of {' or '.join(wanted)} in {path}")
    with _filled(folder):
        return _drawn(drawings, folder)


def _drawn(drawings, folder):
    """Draw what can be drawn, print where; the outcome of the command, which names what could not be written."""
    failed = []
    for name, draw in drawings.items():
        try:
            place = draw(folder / name)
        except FileError as error:
            failed.append(f"eventsnn: {error}")
        else:
            print(place)
    return (FAILED, "\n".join(failed)) if failed else None


@contextlib.contextmanager
def _filled(folder):
    """A folder to write to, which is not left behind empty."""
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if fresh and not any(folder.iterdir()):
            folder.rmdir()


def _drawings_of_training(meta, parameters, wanted):
    from . import plotting
    from .training import History

    found = {}
    history = History(tuple(meta["state"]["history"]), meta["state"]["best_epoch"])
    if "curve" in wanted and len(history):
        found["learning_curve.png"] = lambda place: plotting.learning_curve(history, place)
    if "delays" in wanted and plotting.has_delays(parameters):
        found["delays.png"] = lambda place: plotting.delay_histogram(meta["initial"], parameters, place)
    return found


def _drawings_of_sample(arguments, model, wanted):
    from . import plotting, presets, runs
    from .engines import engine_of

    network, parameters, meta = model
    preset = runs.preset_of(meta, arguments.checkpoint)
    data = _split(preset, arguments.split) if arguments.split else _split_to_show(preset)
    if not 0 <= arguments.sample < len(data):
        raise InvalidInput("--sample", None, arguments.sample, f"0 to {len(data) - 1}")
    chosen = [arguments.sample]
    spikes, labels, duration = data.spikes[chosen], data.labels[chosen], meta["duration"]
    spiking = [p for p in network.populations.values() if p.kind != "input"]
    population = arguments.population or spiking[0].name
    neurons = arguments.neurons or list(range(min(3, spiking[0].n)))
    recording = engine_of(network).record(parameters, spikes, duration)
    found = {
        "raster": lambda place: plotting.raster(recording, 0, place, network=network),
        "voltage": lambda place: plotting.voltage_trace(
            network, parameters, recording, 0, population, neurons, place
        ),
        "adjoint": lambda place: plotting.adjoint_traces(
            network, parameters, spikes, labels, loss=presets.build_loss(preset), duration=duration,
            population=population, neurons=neurons, path=place,
        ),
    }  # fmt: skip
    return {f"{what}.png": draw for what, draw in found.items() if what in wanted}


def _presets(arguments, argv):
    from . import presets

    if arguments.name is not None:
        print(to_toml(presets.named(arguments.name).to_dict()))
        return
    for name in presets.names():
        print(f"{name:<22}{presets.named(name).description}")


def to_toml(description):
    """Return the nested dicts of Preset.to_dict as TOML text; no value is written "none", as presets read it."""
    lines, tables = [], []
    for key, value in description.items():
        if isinstance(value, dict):
            tables.append((key, value))
        else:
            lines.append(f"{key} = {json.dumps('none' if value is None else value)}")
    for key, table in tables:
        lines += ["", f"[{key}]", to_toml(table)]
    return "\n".join(lines)
