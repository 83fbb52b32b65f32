"""Check what a simulation is given, once, for all engines, and hand it to the one that was chosen."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..aliases import Milliseconds
from ..checks import check_budget, check_duration, check_given
from ..errors import InvalidInput
from ..network.base import BaseNetwork
from ..network.network import Network
from ..network.plausibility import doubts, warn_of_doubts
from ..parallel.threads import resolve_n_threads
from ..spikes.batch import SpikeBatch
from ..spikes.cotangents import Probe
from ..spikes.recording import Recording
from .base import Engine, get
from .problem import Problem, Run

# The default budget of spikes (default_budget): a storm is to end within minutes, and nothing else is to meet it. A
# mean of 1 spike per ms over a whole network is beyond any code; of small networks a single neuron may be that fast.
SPIKES_PER_NEURON, SPIKES_PER_MS = 100, 1.0
LEAST_BUDGET, MOST_BUDGET = 100_000, 5_000_000


def full_probes(network: Network) -> dict[str, Probe]:
    return dict.fromkeys(network.readouts, Probe(maximum=True))


def check_network(network: object) -> None:
    """Refuse what is no network of events."""
    on_grid = isinstance(network, BaseNetwork) and network.method == "surrogate"
    remedy = "surrogate.simulate and surrogate.value_and_grad run a GridNetwork, Trainer both." if on_grid else ""
    check_given(network, "network", Network, "network, parameters, batch", remedy)


def forward(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch],
    duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, probes: Mapping[str, Probe] | None = None, warn: bool = False,
) -> tuple[Problem, Recording, Any]:  # fmt: skip
    """Check the arguments and run the forward pass; returns (Problem, Recording, tape for the engine's backward pass).

    ``warn``: tell who called the caller of this function, which answers keywords, of what can hardly be meant; not for
    one of many batches, whose data are judged as a whole.
    """
    check_network(network)
    probes = full_probes(network) if probes is None else probes
    engine = get(engine)
    problem = checked(network, parameters, batch, duration, n_threads, max_spikes, probes)
    if warn:
        found = doubts(network, problem.parameters, list(problem.inputs.values()), problem.run.duration)
        warn_of_doubts(found, stacklevel=4)
    recording, tape = engine.forward(problem)
    recording.outputs = spiking_outputs(network)
    return problem, recording, tape


def checked(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch],
    duration: Milliseconds, n_threads: int | None, max_spikes: int | None, probes: Mapping[str, Probe],
    budget_for: Milliseconds | None = None,
) -> Problem:  # fmt: skip
    """Return the Problem after all checks.

    ``budget_for``: over how many ms the spikes of a sample are counted (None: the duration).
    """
    check_network(network)
    parameters = network.check_parameters(parameters)
    inputs = check_batch(network, batch)
    readouts = network.readouts
    if unknown := [name for name in probes if name not in readouts]:
        raise InvalidInput("probes", None, unknown[0], f"names of readouts: {readouts}")
    for name, probe in probes.items():
        if not isinstance(probe, Probe):
            raise InvalidInput(f"probes[{name!r}]", None, probe, "a Probe, such as Probe(decay_rate=0.1, maximum=True)")
    duration = check_duration(duration)
    if max_spikes is None:
        max_spikes = default_budget(network, duration if budget_for is None else budget_for)
    run = Run(duration, probes, resolve_n_threads(n_threads), check_budget(max_spikes))
    return Problem(network, parameters, inputs, run)


def default_budget(network: Network, duration: Milliseconds) -> int:
    """Return how many spikes a sample may fire in ``duration`` ms if nothing is said of it.

    SPIKES_PER_NEURON, and SPIKES_PER_MS more for each ms, of every neuron in the mean; no fewer than LEAST_BUDGET in
    all, and no more than MOST_BUDGET, unless that were fewer than SPIKES_PER_NEURON of each.
    """
    n = network.n_neurons
    wanted = n * (SPIKES_PER_NEURON + SPIKES_PER_MS * duration)
    return int(min(max(wanted, LEAST_BUDGET), max(MOST_BUDGET, n * SPIKES_PER_NEURON)))


def check_batch(network: Network, batch: SpikeBatch | dict[str, SpikeBatch]) -> dict[str, SpikeBatch]:
    """Return {input population: SpikeBatch} after checking names, numbers of samples and unit ranges."""
    names = network.inputs
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


def spiking_outputs(network: BaseNetwork) -> tuple[str, ...]:
    """Names of the LIF populations that send no spikes to other LIF populations."""
    spiking = network.spiking
    busy = {c.pre for c in network.connections.values() if c.post in spiking and c.post != c.pre}
    return tuple(name for name in spiking if name not in busy)
