"""What a Trainer asks of a network, event by event or on a grid: the gradient of a batch, and what samples come to."""

import contextlib
from typing import NamedTuple

import numpy as np

from ...engines.checking import spiking_outputs
from ...errors import EventStorm, InvalidInput

# How many samples are evaluated at a time, and about how many input spikes; the results do not depend on it.
EVALUATION_BATCH, EVALUATION_SPIKES = 128, 2**17


class Outcome(NamedTuple):
    """What samples came to: ``losses`` and ``predictions`` (n,), ``spikes`` {LIF population: (n,) of all samples}."""

    losses: np.ndarray
    predictions: np.ndarray
    spikes: dict


class Step(NamedTuple):
    """The gradient of a batch: ``value`` with regularizers, {parameter: gradient}, the Outcome of its samples.

    ``statistics``: {parameter: new value} of what a step changes without a gradient.
    """

    value: float
    gradients: dict
    outcome: Outcome
    statistics: dict


def class_population(network, loss):
    """Return the population that has a neuron for each class, None for a loss that does not say."""
    if isinstance(loss, type) or not hasattr(loss, "class_population"):
        return None
    readouts = [p.name for p in network.populations.values() if p.kind == "readout"]
    return loss.class_population(readouts, spiking_outputs(network))


@contextlib.contextmanager
def places_in(name, places):
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


def outcome(network, recording, loss, labels):
    spikes = recording.spike_totals()
    lif = [p.name for p in network.populations.values() if p.kind == "lif"]
    totals = {name: spikes[slice(*recording.slice_of(name))] for name in lif}
    return Outcome(loss(recording, labels)[0], loss.predict(recording), totals)


def augmented(train, indices, options, epoch):
    """The samples of a training set as they are trained on in an epoch."""
    if options.augmentation is None:
        return train.spikes[indices]
    return options.augmentation(train, indices, options.seed, epoch)


def batches_of(spikes):
    """Slices of samples that are evaluated at a time."""
    per_sample = spikes.n_spikes / max(len(spikes), 1)
    return slices(len(spikes), int(EVALUATION_SPIKES / max(per_sample, 1.0)))


def slices(n_samples, most):
    """Yield slices of at most so many samples, and of no more than EVALUATION_BATCH."""
    at_once = min(EVALUATION_BATCH, max(1, most))
    for first in range(0, n_samples, at_once):
        yield slice(first, min(first + at_once, n_samples))
