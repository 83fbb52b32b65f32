"""eventsnn sweep: settings varied, one run each."""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..parallel import communicator
from ..parallel.signals import exit_status
from .text import FAILED, Commands, Outcome, UsageError, add_command, key_of, table


def add_sweep(commands: Commands) -> None:
    text = "choose settings by their accuracy on validation; the test set stays closed"
    command = add_command(commands, "sweep", sweep_command, text)
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


def sweep_command(arguments: argparse.Namespace, argv: Sequence[str]) -> Outcome | None:
    from .. import experiments
    from ..experiments import runs, sweeping

    if communicator.world().size > 1:
        raise UsageError("a sweep is shared by processes that know nothing of each other: start the command twice")
    if twice := {key_of(text) for text in arguments.changes} & {key_of(text) for text in arguments.vary}:
        raise UsageError(f"{min(twice)} is set twice, by --set and by --vary: leave one of them out")
    preset = experiments.change(experiments.load(arguments.preset), arguments.changes)
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
    idle = experiments.idle([replace(experiments.change(preset, changes), delays="learned")])
    changes = [text for text in (*arguments.changes, *changes) if key_of(text) not in idle]
    chosen = [arguments.preset, *(["--set", *changes] if changes else [])]
    print(f"\nbest on validation: {shlex.join(['eventsnn', 'train', *chosen])}", flush=True)
    runs.picture(folder / sweeping.PICTURE, lambda plotting: sweep.picture())
    return None
