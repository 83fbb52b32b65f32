"""The command ``eventsnn``: train, sweep, evaluate, info, plot, presets.

Errors that eventsnn raises on purpose are one line on stderr and exit code 2; Ctrl-C is 130 and SIGTERM 143. Where the
reader of what is printed has gone (`eventsnn presets | head -1`) the command ends without a word, with 141. Under
mpiexec train and evaluate share the work; rank 0 alone prints and writes.
"""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence

from .. import __version__, engines
from ..errors import EventsnnError, FileError, said_as
from ..parallel import communicator
from ..parallel.signals import exit_status, sigterm_as_interrupt
from ..writing import Output, Words, reason
from .evaluate import evaluate_command
from .info import TIME_UNITS, info_command
from .plot import add_plot
from .sweep import add_sweep
from .text import FAILED, Outcome, add_command, to_toml
from .train import add_train

READER_GONE = 141  # what shells say of a program that was ended by SIGPIPE
# what arguments are called that options were given for
OPTIONS = {
    "n_threads": "--threads", "checkpoint_every": "--checkpoint-every", "neurons": "--neurons",
    "population": "--population", "step": "--round-delays", "engine": "--engine",
}  # fmt: skip


def main(argv: Iterable[str] | None = None) -> int:
    """Run the command line ``argv`` (None: that of the process) and return its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with _only_rank_0_prints(), sigterm_as_interrupt():
        # what rank 0 alone prints to: in this order
        with contextlib.redirect_stdout(Output(sys.stdout, "standard output")):
            code, message = _flushed(*_outcome(argv))
    return communicator.finish(code, lambda: message and print(message, file=Words(sys.stderr, "standard error")))


def _outcome(argv: Sequence[str]) -> Outcome:
    """(exit code, what to say on stderr) of a command line."""
    try:
        arguments = make_parser().parse_args(argv)
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


def _flushed(code: int, message: str) -> Outcome:
    """The outcome of a command, which has failed if what it printed is lost."""
    try:
        sys.stdout.flush()
    except FileError as error:
        return (FAILED, message) if message else _failure(error)
    return code, message


def _failure(error: EventsnnError) -> Outcome:
    """The outcome of a command that an error of eventsnn has ended; a reader that went away is none."""
    if isinstance(error.__cause__, BrokenPipeError):
        return READER_GONE, ""
    return FAILED, f"eventsnn: {error}"


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Warnings as the errors are: what is the matter, without the line of code that noticed it."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *place: print(f"eventsnn: warning: {message}", file=sys.stderr)
        yield


@contextlib.contextmanager
def _only_rank_0_prints() -> Iterator[None]:
    """The other ranks say nothing: what they would say is the same."""
    if communicator.launched_rank() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eventsnn", description="Exact event-driven spiking networks with delays.")
    parser.add_argument("--version", action="version", version=f"eventsnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_train(commands)
    add_sweep(commands)
    command = add_command(commands, "evaluate", evaluate_command, "accuracy of a trained network on a data set")
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
    text = "what simulates (default: the engine that trained it)"
    command.add_argument("--engine", choices=engines.names(), help=text)
    command = add_command(commands, "info", info_command, "what a spike file holds")
    command.add_argument("file", metavar="FILE.h5")
    command.add_argument("--units", type=int, metavar="N", help="number of channels (default: the largest found)")
    command.add_argument("--time-unit", choices=TIME_UNITS, help="of its times (default: s, as in SHD)")
    command.add_argument("--json", action="store_true", help="print JSON, channel rates included")
    add_plot(commands)
    command = add_command(commands, "presets", _presets, "list the presets, or print one as TOML")
    command.add_argument("name", nargs="?", help="preset to print")
    parser.set_defaults(parse=parser.parse_args)
    return parser


def _presets(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from .. import experiments

    if arguments.name is not None:
        print(to_toml(experiments.named(arguments.name).to_dict()))
        return
    for name in experiments.names():
        print(f"{name:<22}{experiments.named(name).description}")
