"""What an engine is given: a network, its parameters, input spikes, and how to run them; all of it checked before."""

from dataclasses import dataclass

from ..aliases import Milliseconds, Parameters
from ..network.network import Network
from ..spikes.batch import SpikeBatch
from ..spikes.cotangents import Probe


@dataclass(frozen=True)
class Run:
    """Settings of one simulation: ``duration`` (ms), ``probes`` {readout: Probe}, threads, budget, buffer size."""

    duration: Milliseconds
    probes: dict[str, Probe]
    n_threads: int = 1
    max_spikes: int = 10_000_000
    capacity: int = 4096

    def __post_init__(self) -> None:
        # a rate that every loss left to the others is no weighting at all
        plain = {name: Probe(probe.decay_rate or 0.0, probe.maximum) for name, probe in self.probes.items()}
        object.__setattr__(self, "probes", plain)


@dataclass(frozen=True)
class Problem:
    """What is simulated; engines trust it, because ``checking.checked`` has looked at everything.

    ``parameters``: {name: float64 array}; ``inputs``: {input population: SpikeBatch}, all of as many samples.
    """

    network: Network
    parameters: Parameters
    inputs: dict[str, SpikeBatch]
    run: Run
