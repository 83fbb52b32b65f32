"""What an engine is given: a network, its parameters, input spikes, and how to run them; all of it checked before."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..aliases import Milliseconds, Parameters
from ..network.network import Network
from ..spikes.batch import SpikeBatch
from ..spikes.cotangents import Probe


@dataclass(frozen=True)
class Run:
    """Settings of one simulation: ``duration`` (ms), ``probes`` {readout: Probe}, threads, budget, buffer size."""

    duration: Milliseconds
    probes: Mapping[str, Probe]
    n_threads: int = 1
    max_spikes: int = 10_000_000
    capacity: int = 4096

    def __post_init__(self) -> None:
        # a rate that every loss left to the others is no weighting at all
        plain = {name: Probe(probe.decay_rate or 0.0, probe.maximum) for name, probe in self.probes.items()}
        object.__setattr__(self, "probes", plain)

    def decay_rate(self, readout: str) -> float:
        """Return the rate (1/ms) at which the voltage integral of a readout is weighted; 0 for one without a probe."""
        return self.probes[readout].decay_rate or 0.0 if readout in self.probes else 0.0


@dataclass(frozen=True)
class Problem:
    """What is simulated; engines trust it, because ``checking.checked`` has looked at everything.

    ``parameters``: {name: float64 array}; ``inputs``: {input population: SpikeBatch}, all of as many samples.
    """

    network: Network
    parameters: Parameters
    inputs: dict[str, SpikeBatch]
    run: Run
