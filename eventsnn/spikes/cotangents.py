"""What a loss asks of a recording, and what it says of its gradient."""

from dataclasses import dataclass, field

import numpy as np

from ..aliases import Floats
from ..errors import InvalidInput


@dataclass
class Cotangents:
    """The derivative of a loss with respect to a Recording, from which the adjoint pass starts.

    ``integral`` and ``maximum``: {readout: (n_samples, n)}, by Readout.integral and Readout.maximum. ``spike_times``:
    by each entry of Recording.times, or None. ``counts``: {LIF population: (n_samples, n)}, by the number of spikes;
    a count has no exact gradient, so the engines use a pseudo-gradient in which the count grows by dV / v_threshold
    for a change dV of the voltage just before each spike. ``voltages``: {readout: (n_samples, steps, n)}, by the
    voltages in each step of a GridRecording.
    """

    integral: dict[str, Floats] = field(default_factory=dict)
    maximum: dict[str, Floats] = field(default_factory=dict)
    counts: dict[str, Floats] = field(default_factory=dict)
    voltages: dict[str, Floats] = field(default_factory=dict)
    spike_times: Floats | None = None

    def plus(self, other: "Cotangents") -> "Cotangents":
        """Return the sum of these cotangents and another loss's."""
        total = Cotangents(**{kind: dict(getattr(self, kind)) for kind in COTANGENTS}, spike_times=self.spike_times)
        for kind in COTANGENTS:
            mine = getattr(total, kind)
            for name, values in getattr(other, kind).items():
                mine[name] = mine[name] + values if name in mine else values
        if other.spike_times is not None:
            total.spike_times = other.spike_times if self.spike_times is None else self.spike_times + other.spike_times
        return total

    def scaled(self, factor: float) -> "Cotangents":
        """Return these cotangents times a number."""
        scaled = {kind: {name: values * factor for name, values in getattr(self, kind).items()} for kind in COTANGENTS}
        return Cotangents(**scaled, spike_times=None if self.spike_times is None else self.spike_times * factor)


# The fields of Cotangents that hold {population: array}, in their order.
COTANGENTS = ("integral", "maximum", "counts", "voltages")


@dataclass(frozen=True)
class Probe:
    """What to read from a readout: its voltage integral weighted with e^{-decay_rate t} (1/ms), and its maximum.

    A loss that reads only the maximum gives None as its rate and so leaves the integral to other losses.
    """

    decay_rate: float | None = 0.0
    maximum: bool = False

    def __post_init__(self) -> None:
        if self.decay_rate is not None and not 0 <= self.decay_rate < np.inf:
            raise InvalidInput("decay_rate", None, self.decay_rate, "a finite number >= 0 (1/ms), or None")
