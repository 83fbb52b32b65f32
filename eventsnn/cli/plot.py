"""eventsnn plot: pictures of runs, comparisons, sweeps and samples."""

import argparse
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .. import checkpoints
from ..errors import FileError, InvalidInput
from .evaluate import split, split_to_show
from .text import FAILED, Commands, Outcome, UsageError, add_command

if TYPE_CHECKING:
    from ..aliases import Parameters
    from ..network.base import BaseNetwork
    from ..network.network import Network

Drawings: TypeAlias = dict[str, Callable[[Path], object]]  # {name of a picture: function that draws it to a path}

PICTURES = ("raster", "voltage", "adjoint", "delays", "curve", "comparison")


def add_plot(commands: Commands) -> None:
    command = add_command(commands, "plot", plot_command, "pictures of a trained network, or of a comparison")
    command.add_argument("checkpoint", help="checkpoint file or run folder")
    what = "default: all but adjoint, which the slow reference engine computes"
    command.add_argument("--what", nargs="+", choices=PICTURES, help=what)
    text = "default: validation, or train where there is none"
    command.add_argument("--split", choices=("train", "validation", "test"), help=text)
    command.add_argument("--sample", type=int, default=0, metavar="N", help="sample of that set")
    command.add_argument("--population", metavar="NAME", help="for voltage and adjoint (default: the first LIF one)")
    command.add_argument("--neurons", type=int, nargs="+", metavar="N", help="default: 0 1 2")
    command.add_argument("--out", metavar="FOLDER", help="where to write (default: beside the checkpoint)")


def plot_command(arguments: argparse.Namespace, argv: Sequence[str]) -> Outcome | None:
    from ..experiments import results
    from ..training.state import CHECKPOINT, load_model

    path = Path(arguments.checkpoint)
    wanted = arguments.what or [picture for picture in PICTURES if picture != "adjoint"]
    compared = results.read_comparison(path / results.COMPARISON)
    if compared is not None and not checkpoints.exists(path / CHECKPOINT):
        wanted = ["comparison"]  # a folder of several seeds: each of them has its own pictures
    if "comparison" in (arguments.what or []) and compared is None:
        raise UsageError(f"{path} holds no {results.COMPARISON}: there is nothing to compare in the run of one seed")
    if wanted != ["comparison"]:
        network, parameters, meta = load_model(path)
        _check_chosen(network, arguments)
        if "adjoint" in wanted and network.method != "exact":
            raise UsageError(f"{path} is a network on a grid: the adjoint that can be drawn is that of events")
    folder = Path(arguments.out) if arguments.out else path if path.is_dir() else path.parent
    drawings: Drawings = {}
    if compared is not None and "comparison" in wanted:
        from .. import plotting

        drawings["comparison.png"] = lambda place: plotting.comparison(compared, place)
    if "delays" in wanted or "curve" in wanted:
        drawings |= _drawings_of_training(meta, parameters, wanted)
    if {"raster", "voltage", "adjoint"} & set(wanted):
        drawings |= _drawings_of_sample(arguments, (network, parameters, meta), wanted)
    if not drawings:
        raise UsageError(f"there is nothing to draw of {' or '.join(wanted)} in {path}")
    with _filled(folder):
        return _drawn(drawings, folder)


def _population(network: "BaseNetwork", arguments: argparse.Namespace) -> str:
    """The population whose neurons are drawn: that of the option, or the first that is no input."""
    return arguments.population or next(p.name for p in network.populations.values() if p.kind != "input")


def _check_chosen(network: "BaseNetwork", arguments: argparse.Namespace) -> None:
    """Refuse neurons that are not there, whether the pictures that are wanted would look at them or not."""
    from ..analysis.voltage import check_neurons

    check_neurons(network, _population(network, arguments), arguments.neurons or [])


def _drawn(drawings: Drawings, folder: Path) -> Outcome | None:
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
def _filled(folder: Path) -> Iterator[None]:
    """A folder to write to, which is not left behind empty."""
    fresh = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if fresh and not any(folder.iterdir()):
            folder.rmdir()


def _drawings_of_training(meta: Mapping[str, Any], parameters: "Parameters", wanted: Collection[str]) -> Drawings:
    from .. import plotting
    from ..training.state import History

    found: Drawings = {}
    history = History(tuple(meta["state"]["history"]), meta["state"]["best_epoch"])
    if "curve" in wanted and len(history):
        found["learning_curve.png"] = lambda place: plotting.learning_curve(history, place)
    if "delays" in wanted and plotting.has_delays(parameters):
        found["delays.png"] = lambda place: plotting.delay_histogram(meta["initial"], parameters, place)
    return found


def _drawings_of_sample(
    arguments: argparse.Namespace, model: tuple["BaseNetwork", "Parameters", dict[str, Any]], wanted: Collection[str]
) -> Drawings:
    from .. import experiments, plotting
    from ..experiments import runs
    from ..training.methods.choosing import method_of

    network, parameters, meta = model
    preset = runs.preset_of(meta, arguments.checkpoint)
    data = split(preset, arguments.split) if arguments.split else split_to_show(preset)
    if not 0 <= arguments.sample < len(data):
        raise InvalidInput("--sample", None, arguments.sample, f"0 to {len(data) - 1}")
    chosen = [arguments.sample]
    spikes, labels, duration = data.spikes[chosen], data.labels[chosen], meta["duration"]
    population = _population(network, arguments)
    neurons = arguments.neurons or list(range(min(3, network.populations[population].n)))
    recording = method_of(network, runs.engine_to_show(meta)).record(parameters, spikes, duration)
    of_events = cast("Network", network)  # where the adjoint is wanted: plot_command has refused a grid
    found: Drawings = {
        "raster": lambda place: plotting.raster(recording, 0, place, network=network),
        "voltage": lambda place: plotting.voltage_trace(
            network, parameters, recording, 0, population, neurons, place
        ),
        "adjoint": lambda place: plotting.adjoint_traces(
            of_events, parameters, spikes, labels, loss=experiments.build_loss(preset), duration=duration,
            population=population, neurons=neurons, path=place, progress=True,
        ),
    }  # fmt: skip
    return {f"{what}.png": draw for what, draw in found.items() if what in wanted}
