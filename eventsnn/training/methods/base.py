"""What a Trainer asks of a network, event by event or on a grid: the gradient of a batch, and what samples come to."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from ...aliases import Array, Floats, Integers, Milliseconds, Parameters
from ...data.dataset import Dataset
from ...data.stores.stored import StoredSpikes
from ...engines.checking import spiking_outputs
from ...errors import EventStorm, InvalidInput
from ...network.base import BaseNetwork
from ...spikes.batch import SpikeBatch, SpikeTrain
from ..options import TrainingOptions

# How many samples are evaluated at a time, and about how many input spikes; the results do not depend on it.
EVALUATION_BATCH, EVALUATION_SPIKES = 128, 2**17


class Outcome(NamedTuple):
    """What samples came to: ``losses`` and ``predictions`` (n,), ``spikes`` {LIF population: (n,) of all samples}."""

    losses: Floats
    predictions: Integers
    spikes: dict[str, Integers]


class Step(NamedTuple):
    """The gradient of a batch: ``value`` with regularizers, {parameter: gradient}, the Outcome of its samples.

    ``statistics``: {parameter: new value} of what a step changes without a gradient.
    """

    value: float
    gradients: Parameters
    outcome: Outcome
    statistics: Parameters


class Method(Protocol):
    """Trains one kind of network; ``team``: the communicator of all ranks, ``when``: (epoch, batch), from 0."""

    network: Any

    def check(self, options: TrainingOptions) -> None:
        """Refuse options that this kind of network has no use for."""

    def at_epoch(self, parameters: Parameters, epoch: int) -> Parameters:
        """Return the parameters as an epoch (from 0) begins."""

    def after_epoch(self, parameters: Parameters) -> Parameters:
        """Return the parameters as an epoch leaves them."""

    def gradient(
        self, parameters: Parameters, train: Dataset, labels: Array, indices: Array, when: tuple[int, int], *,
        loss: Any, options: TrainingOptions, duration: Milliseconds, team: Any, n_threads: int | None,
    ) -> Step:  # fmt: skip
        """Return the Step of the samples ``indices`` of a training set."""

    def recordings(
        self, parameters: Parameters, spikes: Any, *, loss: Any, duration: Milliseconds, team: Any,
        n_threads: int | None, max_spikes: int | None, delays: str | None = None,
    ) -> Iterator[tuple[slice, Any]]:  # fmt: skip
        """Yield (slice of samples, their recording as the loss wants it), a batch of samples at a time."""

    def run_nothing(
        self, parameters: Parameters, nothing: SpikeBatch, duration: Milliseconds, n_threads: int | None
    ) -> None:
        """Simulate no samples: whatever is wrong with the network, the duration or the threads is said now."""

    def record(self, parameters: Parameters, spikes: SpikeBatch, duration: Milliseconds) -> Any:
        """Return the recording of a few samples, to look at."""


def class_population(network: BaseNetwork, loss: Any) -> str | None:
    """Return the population that has a neuron for each class, None for a loss that does not say."""
    if isinstance(loss, type) or not hasattr(loss, "class_population"):
        return None
    return loss.class_population(network.readouts, spiking_outputs(network))


@contextlib.contextmanager
def places_in(name: str, places: Array) -> Iterator[None]:
    """Have errors about a sample of a batch name its place in the data set ``name``; ``places``: those of the batch."""
    try:
        yield
    except EventStorm as storm:
        raise storm.of_sample(int(places[storm.sample])) from None
    except InvalidInput as error:
        if error.array != "labels" or error.index is None:
            raise
        index = int(places[error.index])
        raise InvalidInput(f"{name}.labels", index, error.value, error.allowed, error.remedy) from None


def spikes_of(given: object) -> SpikeBatch | StoredSpikes:
    """Return the spikes of a Dataset, or what are spikes themselves."""
    if isinstance(given, Dataset):
        return given.spikes
    if isinstance(given, (SpikeBatch, StoredSpikes)):
        return given
    remedy = "SpikeBatch.from_lists([(times, units), ...]) makes one, one pair for each sample."
    if isinstance(given, SpikeTrain):
        remedy = "Write SpikeBatch.from_lists([train]) for one sample."
    raise InvalidInput("spikes", None, type(given).__name__, "a Dataset or a SpikeBatch", remedy)


def outcome(network: BaseNetwork, recording: Any, loss: Any, labels: Array) -> Outcome:
    """Return what the samples of a recording have come to."""
    spikes = recording.spike_totals()
    totals = {name: spikes[slice(*recording.slice_of(name))] for name in network.spiking}
    return Outcome(loss(recording, labels)[0], loss.predict(recording), totals)


def augmented(train: Dataset, indices: Array, options: TrainingOptions, epoch: int) -> Any:
    """The samples of a training set as they are trained on in an epoch."""
    if options.augmentation is None:
        return train.spikes[indices]
    return options.augmentation(train, indices, options.seed, epoch)


def batches_of(spikes: Any) -> Iterator[slice]:
    """Slices of samples that are evaluated at a time."""
    per_sample = spikes.n_spikes / max(len(spikes), 1)
    return slices(len(spikes), int(EVALUATION_SPIKES / max(per_sample, 1.0)))


def slices(n_samples: int, most: int) -> Iterator[slice]:
    """Yield slices of at most so many samples, and of no more than EVALUATION_BATCH."""
    at_once = min(EVALUATION_BATCH, max(1, most))
    for first in range(0, n_samples, at_once):
        yield slice(first, min(first + at_once, n_samples))
