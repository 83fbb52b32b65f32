"""Two engines on the same problem: the same spikes, readouts and gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..aliases import Milliseconds, Parameters
from ..checks import answers_keywords
from ..errors import Portable
from ..gradients import value_and_grad
from ..network.network import Network
from ..spikes.batch import SpikeBatch
from ..spikes.recording import Readout, Recording
from .errors import TIMES, floors, largest_of, relative_errors

# Below this slope (in units of V) a spike's time, hence every gradient through it, has lost four digits.
STEEP = 1e-4


class EngineMismatch(Portable, AssertionError):
    """Two engines that disagree; ``what``: "spikes", "times", a readout or a parameter; ``comparison``: how far."""

    def __init__(self, what: str, message: str, comparison: "Comparison") -> None:
        self.what, self.comparison = what, comparison
        super().__init__(f"{what}: {message}; {comparison}")


@dataclass(frozen=True)
class Comparison:
    """What ``compare_engines`` found.

    ``n_spikes``; ``time_error`` (ms, largest); ``gradient_error`` (relative, largest); ``grazing``: contacts counted by
    either engine; ``slope``: the smallest I - v_threshold at a spike, infinite without spikes.
    """

    n_spikes: int
    time_error: Milliseconds = 0.0
    gradient_error: float = 0.0
    grazing: int = 0
    slope: float = np.inf

    @property
    def ill_conditioned(self) -> bool:
        """True where a contact was so flat that the two engines may differ by rounding."""
        return self.grazing > 0 or self.slope < STEEP


@answers_keywords
def compare_engines(
    network: Network, parameters: Parameters, batch: SpikeBatch | dict[str, SpikeBatch], labels: npt.ArrayLike, *,
    loss: Any, duration: Milliseconds, regularizers: Sequence[Any] = (), time_tolerance: Milliseconds = 1e-9,
    gradient_tolerance: float = 1e-8, max_spikes: int | None = None,
) -> Comparison:  # fmt: skip
    """Hold the compiled engine to the reference: same spikes in the same order, times and gradients within tolerance.

    Parameters as for ``value_and_grad``; ``time_tolerance`` in ms, ``gradient_tolerance`` relative as in
    ``check_gradients``. Returns a Comparison; raises EngineMismatch, whose ``comparison.ill_conditioned`` says whether
    a grazing contact excuses the difference.
    """
    results = {}
    for engine in ("compiled", "reference"):
        _, gradients, times, recording = value_and_grad(
            network, parameters, batch, labels, loss=loss, duration=duration, engine=engine, n_threads=1,
            max_spikes=max_spikes, regularizers=regularizers, input_times=True, return_recording=True,
        )  # fmt: skip
        results[engine] = gradients | {f"{name}.{TIMES}": values for name, values in times.items()}, recording
    (mine, compiled), (theirs, oracle) = results["compiled"], results["reference"]
    comparison = _compare_spikes(compiled, oracle, time_tolerance)
    floor, largest = floors(theirs), largest_of(theirs)
    errors = {
        name: relative_errors(mine[name], theirs[name], floor[name], largest) for name in theirs if theirs[name].size
    }
    if not errors:
        return comparison
    worst = max(errors, key=lambda name: errors[name].max())
    comparison = replace(comparison, gradient_error=float(errors[worst].max()))
    if comparison.gradient_error > gradient_tolerance:
        index = int(np.argmax(errors[worst]))
        pair = f"compiled {mine[worst].flat[index]:.17g}, reference {theirs[worst].flat[index]:.17g} at {index}"
        raise EngineMismatch(worst, pair, comparison)
    return comparison


def _compare_spikes(one: Recording, other: Recording, tolerance: Milliseconds) -> Comparison:
    """Comparison of the spikes of two recordings; raises EngineMismatch."""
    n_spikes, error = int(other.times.size), 0.0
    slope = float(min(np.min(one.slopes, initial=np.inf), np.min(other.slopes, initial=np.inf)))
    grazing = int(max(one.counters.grazing.sum(), other.counters.grazing.sum()))
    base = Comparison(n_spikes, grazing=grazing, slope=slope)
    if not np.array_equal(one.counters.after_end, other.counters.after_end):
        raise EngineMismatch("counters.after_end", f"{one.counters.after_end} against {other.counters.after_end}", base)
    for sample in range(other.n_samples):
        for name in other.slices:
            (t1, u1), (t2, u2) = one.spikes(name, sample), other.spikes(name, sample)
            if t1.size != t2.size:
                raise EngineMismatch("spikes", f"{name}, sample {sample}: {t1.size} against {t2.size}", base)
            differs = np.flatnonzero((u1 != u2) | (np.abs(t1 - t2) > tolerance))
            if differs.size:
                k = differs[0]
                text = f"{name}, sample {sample}, spike {k}: {u1[k]} at {t1[k]!r} against {u2[k]} at {t2[k]!r}"
                raise EngineMismatch("times" if u1[k] == u2[k] else "spikes", text, base)
            error = max(error, np.max(np.abs(t1 - t2), initial=0.0))
    for name, readout in other.readouts.items():
        _compare_readouts(name, one.readouts[name], readout, base)
    return Comparison(n_spikes, float(error), 0.0, grazing, slope)


def _compare_readouts(name: str, one: Readout, other: Readout, base: Comparison) -> None:
    """Raise EngineMismatch unless integrals and maxima agree to 1e-9 of their size."""
    for key in ("integral", "maximum"):
        a, b = getattr(one, key), getattr(other, key)
        if b is not None and not np.allclose(a, b, rtol=1e-9, atol=1e-9 * np.max(np.abs(b), initial=0.0)):
            raise EngineMismatch(f"{name}.{key}", f"{a} against {b}", base)
