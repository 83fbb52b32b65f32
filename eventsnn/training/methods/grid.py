"""Training on a grid: surrogate gradients."""

from collections.abc import Iterator
from typing import Any

from ... import surrogate
from ...aliases import Array, Milliseconds, Parameters
from ...data.dataset import Dataset
from ...errors import Conflict, Unsupported
from ...losses.together import joint_probes
from ...spikes.batch import SpikeBatch
from ...surrogate.binning import n_steps
from ...surrogate.network import GridNetwork
from ...surrogate.recording import GridRecording
from ...surrogate.simulation import simulated
from ..options import TrainingOptions
from .base import Step, augmented, outcome, slices

# How many values of all populations and steps together are evaluated on a grid at a time; where delays are not rounded,
# the last bits depend on it.
GRID_VALUES = 2**24


class GridMethod:
    """A GridNetwork: surrogate gradients, one process."""

    def __init__(self, network: GridNetwork) -> None:
        self.network = network

    def check(self, options: TrainingOptions) -> None:
        """Refuse options that are not for a grid."""
        for name, value in (("neuron_drop", options.neuron_drop), ("silent_raise", options.silent_raise)):
            if value:
                raise Unsupported(name, None, value, "nothing of the kind for a GridNetwork, which has dropout=")
        normalised = [p.name for p in self.network.populations.values() if p.kind == "lif" and p.batch_norm]
        if options.average is not None and normalised:
            allowed = f"None with batch normalisation ({normalised[0]}), whose statistics belong to other weights"
            raise Conflict("average", None, options.average, allowed)

    def at_epoch(self, parameters: Parameters, epoch: int) -> Parameters:
        """Return the parameters with the widths of the spread delays as they are in an epoch (from 0)."""
        return self.network.at(parameters, epoch)

    def after_epoch(self, parameters: Parameters) -> Parameters:
        """Return the parameters as an epoch leaves them: some delays rounded, where their spread asks for it."""
        return self.network.after_epoch(parameters)

    def gradient(
        self, parameters: Parameters, train: Dataset, labels: Array, indices: Array, when: tuple[int, int], *,
        loss: Any, options: TrainingOptions, duration: Milliseconds, team: Any, n_threads: int | None,
    ) -> Step:  # fmt: skip
        """Return the Step of the samples ``indices`` of a training set; ``when``: (epoch, batch), from 0."""
        _alone(team)
        batch = augmented(train, indices, options, when[0])
        value, gradients, recording = surrogate.value_and_grad(
            self.network, parameters, batch, labels, loss=loss, duration=duration, regularizers=options.regularizers,
            seed=options.seed, epoch=when[0], samples=indices, n_threads=n_threads, return_recording=True,
        )  # fmt: skip
        return Step(value, gradients, outcome(self.network, recording, loss, labels), recording.statistics)

    def recordings(
        self, parameters: Parameters, spikes: Any, *, loss: Any, duration: Milliseconds, team: Any,
        n_threads: int | None, max_spikes: int | None, delays: str | None = None,
    ) -> Iterator[tuple[slice, GridRecording]]:  # fmt: skip
        """Yield (slice of samples, their GridRecording), a batch of samples at a time; delays None: "rounded"."""
        _alone(team)
        settings: dict[str, Any] = {
            "duration": duration, "delays": "rounded" if delays is None else delays, "n_threads": n_threads,
            "probes": joint_probes((loss,), self.network, duration),
        }  # fmt: skip
        values = n_steps(duration, self.network.dt) * sum(p.n for p in self.network.populations.values())
        for part in slices(len(spikes), GRID_VALUES // values):
            yield part, simulated(self.network, parameters, spikes[part], **settings)

    def run_nothing(
        self, parameters: Parameters, nothing: SpikeBatch, duration: Milliseconds, n_threads: int | None
    ) -> None:
        """Simulate no samples: whatever is wrong with the network or the duration is said now."""
        simulated(self.network, parameters, nothing, duration=duration, n_threads=n_threads)

    def record(self, parameters: Parameters, spikes: SpikeBatch, duration: Milliseconds) -> GridRecording:
        """Return the GridRecording of a few samples, delays rounded, to look at."""
        return simulated(self.network, parameters, spikes, duration=duration, n_threads=1)


def _alone(team: Any) -> None:
    if team.size > 1:
        allowed = "1 for a GridNetwork, whose batches are normalised as a whole"
        raise Unsupported("the number of ranks", None, team.size, allowed, "Start it without mpiexec.")
