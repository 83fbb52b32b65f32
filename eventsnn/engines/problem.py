"""What is simulated: how long, up to how many spikes, with how many threads, and what is read."""

from dataclasses import dataclass

from ..spikes.cotangents import Probe


@dataclass(frozen=True)
class Run:
    """Settings of one simulation: ``duration`` (ms), ``probes`` {readout: Probe}, threads, budget, buffer size."""

    duration: float
    probes: dict
    n_threads: int = 1
    max_spikes: int = 10_000_000
    capacity: int = 4096

    def __post_init__(self):
        # a rate that every loss left to the others is no weighting at all
        plain = {name: Probe(probe.decay_rate or 0.0, probe.maximum) for name, probe in self.probes.items()}
        object.__setattr__(self, "probes", plain)
