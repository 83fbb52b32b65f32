"""What a trained network is worth on a data set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from ..aliases import Floats, Integers, Milliseconds, Parameters
from ..checks import answers_keywords, check_duration
from ..data.dataset import Dataset
from ..engines.base import Engine
from ..errors import InvalidInput, NotFinite
from ..losses.base import Loss
from ..losses.together import check_loss, joint_probes
from ..network.base import BaseNetwork
from ..network.plausibility import doubts, warn_of_doubts
from ..parallel import communicator
from .methods.base import class_population, outcome, places_in
from .methods.choosing import check_network, method_of

NORMAL_QUANTILE = 1.959963984540054  # of 0.975: two-sided 95 % intervals
NOT_A_DATASET = "data.Dataset(spikes, labels, ...) makes one of a SpikeBatch."


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of a proportion of ``correct`` among ``n`` (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    z2, share = NORMAL_QUANTILE**2, correct / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Evaluation:
    """Results on one data set: mean ``loss`` (without regularizers), ``accuracy`` and its 95 % Wilson ``interval``.

    ``n``: samples; ``spikes_per_neuron``: mean over LIF neurons and samples; ``predictions``: (n,) int64.
    """

    loss: float
    accuracy: float
    n: int
    interval: tuple[float, float]
    spikes_per_neuron: float
    predictions: Integers = field(repr=False)

    def __str__(self) -> str:
        low, high = (100 * bound for bound in self.interval)
        interval = f"95 % interval {low:.1f} to {high:.1f}"
        return f"{100 * self.accuracy:.1f} % correct of {self.n} ({interval}), loss {self.loss:.4f}"


def per_neuron(spikes: Mapping[str, Integers], samples: int) -> float:
    neurons = sum(counts.size for counts in spikes.values())
    return float(sum(int(counts.sum()) for counts in spikes.values()) / (neurons * samples)) if neurons else 0.0


def n_correct(predictions: Integers, labels: Integers) -> int:
    """Number of labels that were predicted."""
    return int(np.sum(predictions == labels))


def added(first: Mapping[str, Integers], second: Mapping[str, Integers]) -> dict[str, Integers]:
    return {name: counts + first[name] if name in first else counts for name, counts in second.items()}


@answers_keywords
def evaluate(
    network: BaseNetwork, parameters: Mapping[str, npt.ArrayLike], dataset: Dataset, *, loss: Loss,
    duration: Milliseconds | None = None, n_threads: int | None = None, max_spikes: int | None = None,
    delays: str | None = None, engine: str | Engine = "compiled",
) -> Evaluation:  # fmt: skip
    """Return the Evaluation of a network on a Dataset; ``duration`` in ms (None: the data set's).

    ``engine`` as for ``simulate``. ``delays``, of a GridNetwork: "rounded" to its steps (None), "fractional" or
    "spread", as in training. Under mpiexec the ranks share the samples, as in training. Warns of what can hardly be
    meant, as ``fit`` does. Raises NotFinite where the loss is not finite.
    """
    check_network(network, "network, parameters, dataset")
    if not isinstance(dataset, Dataset):
        raise InvalidInput("dataset", None, type(dataset).__name__, "a Dataset", NOT_A_DATASET)
    check_loss(loss)
    if len(dataset) == 0:
        raise InvalidInput("dataset", None, 0, "at least one sample")
    check_channels(network, dataset, "dataset")
    if communicator.world().rank == 0:
        checked = network.check_parameters(parameters)
        time = check_duration(dataset.duration if duration is None else duration)
        name = dataset.name or "the data set"
        warn_of_doubts(doubts(network, checked, [dataset.spikes], time, name, some_late=True), stacklevel=3)
    return evaluated(network, parameters, dataset, loss, duration, n_threads, max_spikes, delays, engine)


def evaluated(
    network: BaseNetwork, parameters: Mapping[str, npt.ArrayLike], dataset: Dataset, loss: Loss,
    duration: Milliseconds | None, n_threads: int | None, max_spikes: int | None, delays: str | None = None,
    engine: str | Engine = "compiled",
) -> Evaluation:  # fmt: skip
    """The Evaluation of a data set that has been looked at."""
    duration = dataset.duration if duration is None else duration
    joint_probes((loss,), network, duration)  # which refuses what is no loss of this network
    check_classes(network, loss, dataset, "dataset")
    values: list[Floats] = []
    guesses: list[Integers] = []
    spikes: dict[str, Integers] = {}
    method, team = method_of(network, engine), communicator.world()
    recordings = method.recordings(
        cast(Parameters, parameters), dataset.spikes, loss=loss, duration=duration, team=team, n_threads=n_threads,
        max_spikes=max_spikes, delays=delays,
    )  # fmt: skip
    for chosen, recording in recordings:
        with places_in("dataset", np.arange(len(dataset))[chosen]):
            found = outcome(network, recording, loss, dataset.labels[chosen])
        values.append(found.losses)
        guesses.append(found.predictions)
        spikes = added(spikes, found.spikes)
    predictions = np.concatenate(guesses)
    n, correct = len(dataset), n_correct(predictions, dataset.labels)
    mean = float(np.concatenate(values).mean())
    if not np.isfinite(mean):
        raise NotFinite(f"the loss of the evaluation ({mean})")
    return Evaluation(mean, correct / n, n, wilson_interval(correct, n), per_neuron(spikes, n), predictions)


def check_channels(network: BaseNetwork, dataset: Dataset, name: str) -> None:
    """Refuse data that have not as many channels as the network: its last ones would be silent without a word."""
    inputs = [network.populations[name] for name in network.inputs]
    if len(inputs) == 1 and dataset.n_units != inputs[0].n:
        remedy = ""
        if dataset.n_units < inputs[0].n:
            remedy = f"dataclasses.replace(dataset, n_units={inputs[0].n}) says that the others are silent."
        if dataset.n_units + 1 == inputs[0].n and network.method == "exact":
            remedy = "Perhaps it is a network of release 0.1.0 that needs its clock: see surrogate.with_clock."
        allowed = f"{inputs[0].n}, the channels of input {inputs[0].name!r}"
        raise InvalidInput(f"{name}.n_units", None, dataset.n_units, allowed, remedy)


def check_classes(network: BaseNetwork, loss: Loss, dataset: Dataset, name: str) -> None:
    """Refuse labels for which the network has no output, and a loss that predicts none."""
    if not hasattr(loss, "predict"):
        remedy = "A loss is an object with three methods: see docs/how-to/write-a-loss.md."
        raise InvalidInput("loss", None, type(loss).__name__, "one with predict(recording), the labels", remedy)
    if (population := class_population(network, loss)) is None:
        return
    n = network.populations[population].n
    if np.any(bad := dataset.labels >= n):
        index = int(np.argmax(bad))
        allowed = f"classes from 0 to {n - 1}, the neurons of {population!r}"
        remedy = f"Give {population!r} {dataset.n_classes} neurons, one for each class."
        raise InvalidInput(f"{name}.labels", index, int(dataset.labels[index]), allowed, remedy)
