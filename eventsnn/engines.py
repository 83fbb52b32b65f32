"""What a Trainer asks of a network, event by event or on a grid: the gradient of a batch, and what samples come to."""

import contextlib
from typing import NamedTuple

import numpy as np

from . import surrogate
from .errors import EventStorm, InvalidInput
from .gradients import joint_probes, value_and_grad
from .random import stream
from .sharding import Share
from .simulation import forward, spiking_outputs
from .surrogate.binning import n_steps
from .surrogate.network import GridNetwork
from .surrogate.simulation import simulated

# How many samples are evaluated at a time, and about how many input spikes; the results do not depend on it.
EVALUATION_BATCH, EVALUATION_SPIKES = 128, 2**17
# How many values of all populations and steps together are evaluated on a grid at a time; where delays are not rounded,
# the last bits depend on it.
GRID_VALUES = 2**24


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


def engine_of(network):
    """Return the engine that runs a Network, or a GridNetwork."""
    return (GridEngine if isinstance(network, GridNetwork) else EventEngine)(network)


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


class EventEngine:
    """An event-driven Network: exact gradients, samples shared among ranks."""

    def __init__(self, network):
        self.network = network

    def check(self, options):
        """Refuse options that this kind of network has no use for: none."""

    def at_epoch(self, parameters, epoch):
        """Return the parameters as an epoch (from 0) begins: nothing here follows the epochs."""
        return parameters

    def after_epoch(self, parameters):
        """Return the parameters as an epoch leaves them: as they are."""
        return parameters

    def gradient(self, parameters, train, labels, indices, when, *, loss, options, duration, team, n_threads):
        """Return the Step of the samples ``indices`` of a training set; ``when``: (epoch, batch), from 0."""
        share = Share(len(indices), team, options.shards)
        batch = augmented(train, indices[share.samples], options, when[0])
        factors = self._dropout(options, when)
        thinned = {**parameters, **{name: parameters[name] * kept for name, kept in factors.items()}}
        value, gradients, recording = value_and_grad(
            self.network, thinned, batch, labels, loss=loss, duration=duration, n_threads=n_threads,
            max_spikes=options.max_spikes, regularizers=options.regularizers, return_recording=True, share=share,
        )  # fmt: skip
        gradients |= {name: gradients[name] * kept for name, kept in factors.items() if name in gradients}
        return Step(value, gradients, outcome(self.network, recording, loss, labels), {})

    def run_nothing(self, parameters, nothing, duration, n_threads):
        """Simulate no samples: whatever is wrong with the network, the duration or the threads is said now."""
        forward(self.network, parameters, nothing, duration, n_threads=n_threads)

    def record(self, parameters, spikes, duration):
        """Return the Recording of a few samples, to look at."""
        return forward(self.network, parameters, spikes, duration, n_threads=1)[0]

    def _dropout(self, options, when):
        """{weight: factor on each synapse, 0 where the neuron before it is silenced} for the batch to come."""
        if not (share := options.neuron_drop):
            return {}
        sends = {}
        for population in self.network.populations.values():
            if population.kind == "lif":
                draws = stream(options.seed, f"neuron_drop.{population.name}", *when)
                sends[population.name] = (draws.random(population.n) >= share) / (1.0 - share)
        return {
            f"{c.name}.weight": c.per_synapse(sends[c.pre]) for c in self.network.connections.values() if c.pre in sends
        }

    def recordings(self, parameters, spikes, *, loss, duration, team, n_threads, max_spikes, delays=None):
        """Yield (slice of samples, their recording as the loss wants it), a batch of samples at a time."""
        if delays is not None:
            raise InvalidInput("delays", None, delays, "None: an event-driven network has real-valued delays")
        settings = {
            "duration": duration, "n_threads": team.resolve_n_threads(n_threads), "max_spikes": max_spikes,
            "probes": joint_probes((loss,), self.network, duration),
        }  # fmt: skip
        for part in batches_of(spikes):
            batch = spikes[part]
            share = Share(len(batch), team, len(batch))
            with places_in("dataset", np.arange(part.start, part.stop)):
                own = share.together(
                    lambda mine=batch[share.samples]: forward(self.network, parameters, mine, **settings)[0]
                )
            yield part, share.whole(own)


class GridEngine:
    """A GridNetwork: surrogate gradients, one process."""

    def __init__(self, network):
        self.network = network

    def check(self, options):
        """Refuse options that are not for a grid."""
        for name, value in (("neuron_drop", options.neuron_drop), ("silent_raise", options.silent_raise)):
            if value:
                raise InvalidInput(name, None, value, "nothing of the kind for a GridNetwork, which has dropout=")
        normalised = [p.name for p in self.network.populations.values() if p.kind == "lif" and p.batch_norm]
        if options.average is not None and normalised:
            allowed = f"None with batch normalisation ({normalised[0]}), whose statistics belong to other weights"
            raise InvalidInput("average", None, options.average, allowed)

    def at_epoch(self, parameters, epoch):
        """Return the parameters with the widths of the spread delays as they are in an epoch (from 0)."""
        return self.network.at(parameters, epoch)

    def after_epoch(self, parameters):
        """Return the parameters as an epoch leaves them: some delays rounded, where their spread asks for it."""
        return self.network.after_epoch(parameters)

    def gradient(self, parameters, train, labels, indices, when, *, loss, options, duration, team, n_threads):
        """Return the Step of the samples ``indices`` of a training set; ``when``: (epoch, batch), from 0."""
        _alone(team)
        batch = augmented(train, indices, options, when[0])
        value, gradients, recording = surrogate.value_and_grad(
            self.network, parameters, batch, labels, loss=loss, duration=duration, regularizers=options.regularizers,
            seed=options.seed, epoch=when[0], samples=indices, n_threads=n_threads, return_recording=True,
        )  # fmt: skip
        return Step(value, gradients, outcome(self.network, recording, loss, labels), recording.statistics)

    def recordings(self, parameters, spikes, *, loss, duration, team, n_threads, max_spikes, delays=None):
        """Yield (slice of samples, their GridRecording), a batch of samples at a time; delays None: "rounded"."""
        _alone(team)
        settings = {
            "duration": duration, "delays": "rounded" if delays is None else delays, "n_threads": n_threads,
            "probes": joint_probes((loss,), self.network, duration),
        }  # fmt: skip
        values = n_steps(duration, self.network.dt) * sum(p.n for p in self.network.populations.values())
        for part in slices(len(spikes), GRID_VALUES // values):
            yield part, simulated(self.network, parameters, spikes[part], **settings)

    def run_nothing(self, parameters, nothing, duration, n_threads):
        """Simulate no samples: whatever is wrong with the network or the duration is said now."""
        simulated(self.network, parameters, nothing, duration=duration, n_threads=n_threads)

    def record(self, parameters, spikes, duration):
        """Return the GridRecording of a few samples, delays rounded, to look at."""
        return simulated(self.network, parameters, spikes, duration=duration, n_threads=1)


def _alone(team):
    if team.size > 1:
        allowed = "1 for a GridNetwork, whose batches are normalised as a whole"
        raise InvalidInput("the number of ranks", None, team.size, allowed, "Start it without mpiexec.")


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
