"""Simulate a network: check everything once, pick an engine, return a Recording, or one after the other."""

import numpy as np

from . import compiled, reference
from .arrays import is_number, is_whole
from .errors import InvalidInput
from .network import Network
from .plausibility import doubts, warn_of_doubts
from .spikes import Probe, Run, SpikeBatch
from .threads import resolve_n_threads

ENGINES = ("compiled", "reference")
# The default budget of spikes (default_budget): a storm is to end within minutes, and nothing else is to meet it. A
# mean of 1 spike per ms over a whole network is beyond any code; of small networks a single neuron may be that fast.
SPIKES_PER_NEURON, SPIKES_PER_MS = 100, 1.0
LEAST_BUDGET, MOST_BUDGET = 100_000, 5_000_000
# Parts of a stream, so that they can be counted in float64.
MOST_PARTS = 2**53


def simulate(
    network, parameters, batch, *, duration, engine="compiled", n_threads=None, max_spikes=None, probes=None
):  # fmt: skip
    """Simulate a batch of samples from rest for ``duration`` ms and return its Recording.

    Parameters: ``network`` (Network); ``parameters`` ({name: array}, see Network.initialize); ``batch`` (a SpikeBatch,
    or {input population: SpikeBatch} for several inputs); ``duration`` (ms, > 0: spikes and arrivals at or after it do
    not act, and Recording.counters.after_end counts the input spikes among them); ``engine`` ("compiled" or
    "reference"); ``n_threads`` (default: EVENTSNN_NUM_THREADS, else all cores; the result does not depend on it);
    ``max_spikes`` (budget of each sample; None: ``default_budget``); ``probes`` ({readout: Probe}; default: plain
    integral and maximum of every readout).

    Raises InvalidInput for bad values, ZeroDelayCycle, and EventStorm for a sample over its budget. Warns where all
    spikes come after the end, or before a hundredth of it, and of time constants and delays that can hardly be in ms.
    """
    warn_of_batch(network, parameters, batch, duration)
    return forward(network, parameters, batch, duration, engine, n_threads, max_spikes, probes)[0]


def stream(network, parameters, batch, *, duration, every, max_spikes=None, probes=None):
    """Simulate one long sample and yield a Recording of each ``every`` ms: memory holds the spikes of one part.

    Parameters as for ``simulate``, without ``engine`` and ``n_threads``, and but for ``batch`` (one sample), ``every``
    (ms, > 0: the last part is shorter where it does not divide the duration) and ``max_spikes`` (budget of each part;
    None: ``default_budget`` of so many ms).
    A part holds the spikes from ``recording.start`` = k * every to ``recording.duration``, inputs included; times
    count from the start of the whole run, and are those of one ``simulate`` to the last bit. What readouts gave over
    the whole run is in the last part. Counters add up to those of the run; events are counted when the stretch of
    windows in which they arrive is over, so some of them in the part after. Parameters are read when ``stream`` is
    called.

    Raises as ``simulate`` does; an EventStorm when its part is asked for.
    """
    probes = _full_probes(network) if probes is None else probes
    every = check_duration(every, "every")
    budget_for = min(every, check_duration(duration))
    parameters, inputs, run = _checked(network, parameters, batch, duration, 1, max_spikes, probes, budget_for)
    if run.duration / every > MOST_PARTS:
        raise InvalidInput("every", None, every, f"at least {run.duration / MOST_PARTS:.3g} ms for this duration")
    if (n_samples := next((part.n_samples for part in inputs.values()), 0)) != 1:
        remedy = "batch[k : k + 1] takes one of many." if n_samples else "Give the one sample, with or without spikes."
        raise InvalidInput("batch", None, f"{n_samples} samples", "one sample", remedy)
    warn_of_doubts(doubts(network, parameters, list(inputs.values()), run.duration), stacklevel=2)
    return _parts(compiled.stream(network, parameters, inputs, run, every), spiking_outputs(network))


def _parts(recordings, outputs):
    for recording in recordings:
        recording.outputs = outputs
        yield recording


def _full_probes(network):
    return {p.name: Probe(maximum=True) for p in network.populations.values() if p.kind == "readout"}


def forward(
    network, parameters, batch, duration, engine="compiled", n_threads=None, max_spikes=None, probes=None
):  # fmt: skip
    """Check the arguments and run the forward pass; returns (Recording, tape for the engine's backward pass).

    Without the warnings of ``simulate``: for one of many batches whose data are judged as a whole, too.
    """
    probes = _full_probes(network) if probes is None else probes
    if engine not in ENGINES:
        raise InvalidInput("engine", None, engine, f"one of {ENGINES}")
    parameters, inputs, run = _checked(network, parameters, batch, duration, n_threads, max_spikes, probes)
    if engine == "compiled":
        recording, tape = compiled.forward(network, parameters, inputs, run)
    else:
        recording, tape = reference.forward(network, parameters, inputs, run)
    recording.outputs = spiking_outputs(network)
    return recording, tape


def _checked(network, parameters, batch, duration, n_threads, max_spikes, probes, budget_for=None):
    """(parameters, {input population: SpikeBatch}, Run) after all checks.

    ``budget_for``: over how many ms the spikes of a sample are counted (None: the duration).
    """
    if not isinstance(network, Network):
        remedy = "surrogate.simulate and surrogate.value_and_grad run a GridNetwork, Trainer both."
        raise InvalidInput("network", None, type(network).__name__, "a Network", remedy)
    parameters = network.check_parameters(parameters)
    inputs = check_batch(network, batch)
    readouts = [p.name for p in network.populations.values() if p.kind == "readout"]
    if unknown := [name for name in probes if name not in readouts]:
        raise InvalidInput("probes", None, unknown[0], f"names of readouts: {readouts}")
    for name, probe in probes.items():
        if not isinstance(probe, Probe):
            raise InvalidInput(f"probes[{name!r}]", None, probe, "a Probe, such as Probe(decay_rate=0.1, maximum=True)")
    duration = check_duration(duration)
    if max_spikes is None:
        max_spikes = default_budget(network, duration if budget_for is None else budget_for)
    run = Run(duration, probes, resolve_n_threads(n_threads), check_budget(max_spikes))
    return parameters, inputs, run


def warn_of_batch(network, parameters, batch, duration):
    """Warn who called the caller of what can hardly be meant; raises InvalidInput for what is not allowed."""
    parameters, inputs, run = _checked(network, parameters, batch, duration, 1, 1, {})
    warn_of_doubts(doubts(network, parameters, list(inputs.values()), run.duration), stacklevel=3)


def check_duration(duration, name="duration"):
    """Return ``duration`` as a float; raises InvalidInput unless it is finite and > 0 ms."""
    if not (is_number(duration) and 0 < duration < np.inf):
        raise InvalidInput(name, None, duration, "a finite number > 0 (ms)")
    return float(duration)


def default_budget(network, duration):
    """Return how many spikes a sample may fire in ``duration`` ms if nothing is said of it.

    SPIKES_PER_NEURON, and SPIKES_PER_MS more for each ms, of every neuron in the mean; no fewer than LEAST_BUDGET in
    all, and no more than MOST_BUDGET, unless that were fewer than SPIKES_PER_NEURON of each.
    """
    n = network.n_neurons
    wanted = n * (SPIKES_PER_NEURON + SPIKES_PER_MS * duration)
    return int(min(max(wanted, LEAST_BUDGET), max(MOST_BUDGET, n * SPIKES_PER_NEURON)))


def check_budget(max_spikes):
    """Return ``max_spikes``; raises InvalidInput unless it is an int >= 1."""
    if not is_whole(max_spikes) or not 0 < max_spikes <= 2**62:
        raise InvalidInput("max_spikes", None, max_spikes, "an int from 1 to 2**62")
    return int(max_spikes)


def check_batch(network, batch):
    """Return {input population: SpikeBatch} after checking names, numbers of samples and unit ranges."""
    names = [p.name for p in network.populations.values() if p.kind == "input"]
    if isinstance(batch, SpikeBatch):
        if len(names) != 1:
            raise InvalidInput("batch", None, "one SpikeBatch", f"a dict with one SpikeBatch for each input of {names}")
        batch = {names[0]: batch}
    if not isinstance(batch, dict) or not all(isinstance(value, SpikeBatch) for value in batch.values()):
        remedy = "SpikeBatch.from_lists([(times, units), ...]) makes one, SpikeBatch.from_lists([train]) too."
        raise InvalidInput("batch", None, type(batch).__name__, "a SpikeBatch or a dict of them", remedy)
    if set(batch) != set(names):
        raise InvalidInput("batch", None, sorted(batch), f"one SpikeBatch for each input of {names}")
    for name in names:
        units, n = batch[name].units, network.populations[name].n
        if units.size and units.max() >= n:
            bad = int(np.argmax(units >= n))
            sample = int(np.searchsorted(batch[name].offsets, bad, side="right")) - 1
            remedy = f"It is in sample {sample}."
            raise InvalidInput(f"{name}.units", bad, int(units[bad]), f"units below {n}, the size of {name!r}", remedy)
        if len(batch[name]) != len(batch[names[0]]):
            raise InvalidInput(f"batch[{name!r}]", None, len(batch[name]), f"{len(batch[names[0]])} samples")
    return {name: batch[name] for name in names}


def spiking_outputs(network):
    """Names of the LIF populations that send no spikes to other LIF populations."""
    lif = [p.name for p in network.populations.values() if p.kind == "lif"]
    busy = {c.pre for c in network.connections.values() if c.post in lif and c.post != c.pre}
    return tuple(name for name in lif if name not in busy)
