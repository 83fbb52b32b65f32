"""eventsnn evaluate: a trained network on a part of its data, or on a file."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import InvalidInput, Unsupported, said_as
from .text import UsageError

if TYPE_CHECKING:
    from ..aliases import Milliseconds, Parameters
    from ..data.dataset import Dataset
    from ..experiments import Preset
    from ..network.base import BaseNetwork
    from ..network.network import Network
    from ..training.evaluation import Evaluation


def split(preset: "Preset", name: str) -> "Dataset":
    from .. import experiments

    data = experiments.load_data(preset, test=name == "test")[("train", "validation", "test").index(name)]
    if data is None:
        raise Unsupported("--split", None, name, "train or test, because this run was made without validation")
    return data


def split_to_show(preset: "Preset") -> "Dataset":
    from .. import experiments

    train, validation, _ = experiments.load_data(preset, test=False)
    return train if validation is None else validation


def evaluate_command(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from .. import experiments
    from ..experiments import runs
    from ..training.evaluation import evaluate
    from ..training.identity import engine_of
    from ..training.state import load_model

    network, parameters, meta = load_model(arguments.checkpoint)
    preset = runs.preset_of(meta, arguments.checkpoint)
    if arguments.delays is not None and preset.grid.dt is None:
        allowed = "nothing, because this network is not on a grid: its delays are real numbers"
        raise Unsupported("--delays", None, arguments.delays, allowed, "Leave --delays out.")
    if arguments.time_unit is not None and arguments.data is None:
        raise UsageError("--time-unit is that of a file: name it with --data")
    if arguments.data is None:
        data = split(preset, arguments.split)
    else:
        data = _data_of_file(arguments, network, preset, meta["duration"])
    settings: dict[str, Any] = {
        "loss": experiments.build_loss(preset), "duration": meta["duration"], "n_threads": arguments.threads,
        "delays": arguments.delays, "engine": arguments.engine or engine_of(meta["run"]),
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


def _data_of_file(
    arguments: argparse.Namespace, network: "BaseNetwork", preset: "Preset", duration: "Milliseconds"
) -> "Dataset":
    """The spike file that --data names, read as the run has read its data."""
    from ..data import sources
    from ..data.readers.spike_file import SAY_THE_UNIT

    n_inputs, n_classes = network.populations["input"].n, network.populations["output"].n
    unit = arguments.time_unit or preset.data.time_unit
    if arguments.time_unit is None and unit is not None:
        text = f"eventsnn: the times in {arguments.data} are taken as {unit}, as in the run's data; or say --time-unit"
        print(text, file=sys.stderr)
    with said_as({}, {SAY_THE_UNIT: "Give --time-unit ms or us, or s if they are seconds."}):
        data = sources.read(arguments.data, n_inputs * preset.data.merge, n_classes, duration, time_unit=unit)
    return data if preset.data.merge == 1 else data.merge_channels(preset.data.merge)


def _evaluation(result: "Evaluation", data: "Dataset") -> dict[str, Any]:
    counts = {"accuracy": result.accuracy, "interval": list(result.interval), "n": result.n, "loss": result.loss}
    return {**counts, "spikes_per_neuron": result.spikes_per_neuron, "data": data.name}


def _chosen_delays(
    arguments: argparse.Namespace, network: "BaseNetwork", parameters: "Parameters"
) -> list["Parameters"]:
    """The parameters to be evaluated one after the other: as trained, or with other delays."""
    from .. import analysis as controls

    if arguments.round_delays is not None:
        # one on a grid is refused there
        return [controls.rounded_delays(cast("Network", network), parameters, arguments.round_delays)]
    if arguments.permute_delays is None:
        return [parameters]
    if arguments.permute_delays < 1:
        raise InvalidInput("--permute-delays", None, arguments.permute_delays, "a number of permutations >= 1")
    return [controls.permuted_delays(network, parameters, seed) for seed in range(arguments.permute_delays)]
