"""Training event by event: exact gradients."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...aliases import Array, Floats, Milliseconds, Parameters
from ...data.dataset import Dataset
from ...engines.base import Engine
from ...engines.checking import forward
from ...errors import Unsupported
from ...gradients import value_and_grad
from ...losses.together import joint_probes
from ...network.network import Network
from ...parallel.sharding import Share
from ...random import stream
from ...spikes.batch import SpikeBatch
from ...spikes.recording import Recording
from ..options import TrainingOptions
from .base import Step, augmented, batches_of, outcome, places_in


class ExactMethod:
    """An event-driven Network: exact gradients, samples shared among ranks."""

    def __init__(self, network: Network, engine: str | Engine = "compiled") -> None:
        self.network, self.engine = network, engine

    def check(self, options: TrainingOptions) -> None:
        """Refuse options that this kind of network has no use for: none."""

    def at_epoch(self, parameters: Parameters, epoch: int) -> Parameters:
        """Return the parameters as an epoch (from 0) begins: nothing here follows the epochs."""
        return parameters

    def after_epoch(self, parameters: Parameters) -> Parameters:
        """Return the parameters as an epoch leaves them: as they are."""
        return parameters

    def gradient(
        self, parameters: Parameters, train: Dataset, labels: Array, indices: Array, when: tuple[int, int], *,
        loss: Any, options: TrainingOptions, duration: Milliseconds, team: Any, n_threads: int | None,
    ) -> Step:  # fmt: skip
        """Return the Step of the samples ``indices`` of a training set; ``when``: (epoch, batch), from 0."""
        share = Share(len(indices), team, options.shards)
        batch = augmented(train, indices[share.samples], options, when[0])
        factors = self._dropout(options, when)
        thinned = {**parameters, **{name: parameters[name] * kept for name, kept in factors.items()}}
        value, gradients, recording = value_and_grad(
            self.network, thinned, batch, labels, loss=loss, duration=duration, engine=self.engine, n_threads=n_threads,
            max_spikes=options.max_spikes, regularizers=options.regularizers, return_recording=True, share=share,
        )  # fmt: skip
        gradients |= {name: gradients[name] * kept for name, kept in factors.items() if name in gradients}
        return Step(value, gradients, outcome(self.network, recording, loss, labels), {})

    def run_nothing(
        self, parameters: Parameters, nothing: SpikeBatch, duration: Milliseconds, n_threads: int | None
    ) -> None:
        """Simulate no samples: whatever is wrong with the network, the duration or the threads is said now."""
        forward(self.network, parameters, nothing, duration, self.engine, n_threads)

    def record(self, parameters: Parameters, spikes: SpikeBatch, duration: Milliseconds) -> Recording:
        """Return the Recording of a few samples, to look at."""
        return forward(self.network, parameters, spikes, duration, self.engine, n_threads=1)[1]

    def _dropout(self, options: TrainingOptions, when: tuple[int, int]) -> dict[str, Floats]:
        """{weight: factor on each synapse, 0 where the neuron before it is silenced} for the batch to come."""
        if not (share := options.neuron_drop):
            return {}
        sends = {}
        for population in self.network.populations.values():
            if population.fires:
                draws = stream(options.seed, f"neuron_drop.{population.name}", *when)
                sends[population.name] = (draws.random(population.n) >= share) / (1.0 - share)
        return {
            f"{c.name}.weight": c.per_synapse(sends[c.pre]) for c in self.network.connections.values() if c.pre in sends
        }

    def recordings(
        self, parameters: Parameters, spikes: Any, *, loss: Any, duration: Milliseconds, team: Any,
        n_threads: int | None, max_spikes: int | None, delays: str | None = None,
    ) -> Iterator[tuple[slice, Recording]]:  # fmt: skip
        """Yield (slice of samples, their recording as the loss wants it), a batch of samples at a time."""
        if delays is not None:
            raise Unsupported("delays", None, delays, "None: an event-driven network has real-valued delays")
        probes = joint_probes((loss,), self.network, duration)
        settings = (duration, self.engine, team.resolve_n_threads(n_threads), max_spikes, probes)
        for part in batches_of(spikes):
            batch = spikes[part]
            share = Share(len(batch), team, len(batch))

            def simulated(mine: SpikeBatch = batch[share.samples]) -> Recording:
                return forward(self.network, parameters, mine, *settings)[1]

            with places_in("dataset", np.arange(part.start, part.stop)):
                own = share.together(simulated)
            yield part, share.whole(own)
