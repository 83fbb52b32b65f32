"""Simulate a network: check everything once, pick an engine, return a Recording, or one after the other."""

from collections.abc import Iterator, Mapping

import numpy.typing as npt

from . import renamed
from .aliases import Milliseconds
from .checks import answers_keywords, check_duration
from .engines.base import Engine, get
from .engines.checking import check_network, checked, forward, full_probes, spiking_outputs
from .errors import InvalidInput
from .network.network import Network
from .network.plausibility import doubts, warn_of_doubts
from .spikes.batch import SpikeBatch
from .spikes.cotangents import Probe
from .spikes.recording import Recording

# Parts of a stream, so that they can be counted in float64.
MOST_PARTS = 2**53


@answers_keywords
def simulate(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], *,
    duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, probes: Mapping[str, Probe] | None = None,
) -> Recording:  # fmt: skip
    """Simulate a batch of samples from rest for ``duration`` ms and return its Recording.

    Parameters: ``network`` (Network); ``parameters`` ({name: array}, see Network.initialize); ``batch`` (a SpikeBatch,
    or {input population: SpikeBatch} for several inputs); ``duration`` (ms, > 0: spikes and arrivals at or after it do
    not act, and Recording.counters.after_end counts the input spikes among them); ``engine`` ("compiled",
    "reference", or an engines.Engine); ``n_threads`` (default: EVENTSNN_NUM_THREADS, else all cores; the result does
    not depend on it); ``max_spikes`` (budget of each sample; None: ``default_budget``); ``probes`` ({readout: Probe};
    default: plain integral and maximum of every readout).

    Raises InvalidInput for bad values, ZeroDelayCycle, and EventStorm for a sample over its budget. Warns where all
    spikes come after the end, or before a hundredth of it, and of time constants and delays that can hardly be in ms.
    """
    return forward(network, parameters, batch, duration, engine, n_threads, max_spikes, probes, warn=True)[1]


@answers_keywords
def stream(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], *,
    duration: Milliseconds, every: Milliseconds, engine: str | Engine = "compiled", max_spikes: int | None = None,
    probes: Mapping[str, Probe] | None = None,
) -> Iterator[Recording]:  # fmt: skip
    """Simulate one long sample and yield a Recording of each ``every`` ms: memory holds the spikes of one part.

    Parameters as for ``simulate``, without ``n_threads``, and but for ``batch`` (one sample), ``every``
    (ms, > 0: the last part is shorter where it does not divide the duration) and ``max_spikes`` (budget of each part;
    None: ``default_budget`` of so many ms).
    A part holds the spikes from ``recording.start`` = k * every to ``recording.duration``, inputs included; times
    count from the start of the whole run, and are those of one ``simulate`` to the last bit. What readouts gave over
    the whole run is in the last part. Counters add up to those of the run; events are counted when the stretch of
    windows in which they arrive is over, so some of them in the part after. Parameters are read when ``stream`` is
    called.

    Raises as ``simulate`` does; an EventStorm when its part is asked for.
    """
    check_network(network)
    engine, probes = get(engine), full_probes(network) if probes is None else probes
    every = check_duration(every, "every")
    budget_for = min(every, check_duration(duration))
    problem = checked(network, parameters, batch, duration, 1, max_spikes, probes, budget_for)
    inputs, run = problem.inputs, problem.run
    if run.duration / every > MOST_PARTS:
        raise InvalidInput("every", None, every, f"at least {run.duration / MOST_PARTS:.3g} ms for this duration")
    if (n_samples := next((part.n_samples for part in inputs.values()), 0)) != 1:
        remedy = "batch[k : k + 1] takes one of many." if n_samples else "Give the one sample, with or without spikes."
        raise InvalidInput("batch", None, f"{n_samples} samples", "one sample", remedy)
    warn_of_doubts(doubts(network, problem.parameters, list(inputs.values()), run.duration), stacklevel=3)
    return _parts(engine.stream(problem, every), spiking_outputs(network))


def _parts(recordings: Iterator[Recording], outputs: tuple[str, ...]) -> Iterator[Recording]:
    for recording in recordings:
        recording.outputs = outputs
        yield recording


def __getattr__(name: str) -> object:
    return renamed.find("simulation", name)
