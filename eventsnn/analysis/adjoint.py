"""Exact adjoint variables of a recorded network, at any time."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..aliases import Floats, Milliseconds, Parameters
from ..checks import answers_keywords, check_duration
from ..engines.checking import check_batch, check_network, spiking_outputs
from ..engines.problem import Run
from ..engines.reference.adjoint import Stretch, empty_sums, replay
from ..engines.reference.simulation import forward as reference_forward
from ..losses.together import evaluate, joint_probes
from ..network.network import Network
from ..spikes.batch import SpikeBatch
from .voltage import check_neurons


class AdjointTraces(NamedTuple):
    """``v`` and ``i``: lambda_V and lambda_I of the chosen neurons at ``times`` (ms), each (n_neurons, n_times)."""

    times: Floats
    v: Floats
    i: Floats


@answers_keywords
def adjoint_values(
    network: Network, parameters: Parameters, spikes: SpikeBatch, labels: npt.ArrayLike, *, loss: Any,
    duration: Milliseconds, population: str, neurons: Sequence[int], times: npt.ArrayLike, progress: bool = False,
) -> AdjointTraces:  # fmt: skip
    """Return AdjointTraces of one sample's backward pass in the reference engine (slow: for small networks).

    ``spikes``: a SpikeBatch of one sample, ``labels`` its label (1,), ``loss`` any loss; ``progress``: say on stderr
    how far it is. lambda_V and lambda_I are what the replay carries (docs/mathematics.md): at an arrival of weight w
    the gradient is -tau_syn lambda_I. At an event's own time the value is that after the event in time, from where the
    replay comes.
    """
    check_network(network)
    check_neurons(network, population, neurons)
    inputs, parameters = check_batch(network, spikes), network.check_parameters(parameters)
    duration = check_duration(duration)
    run = Run(duration, joint_probes((loss,), network, duration))
    if progress:
        print("adjoint: simulating with the slow reference engine; to replay it takes longer", file=sys.stderr)
    recording, (simulation,) = reference_forward(network, parameters, inputs, run)
    recording.outputs = spiking_outputs(network)
    _, cotangents = evaluate((loss,), recording, labels)
    times = np.sort(np.asarray(times, dtype=float))
    v, i = np.zeros((2, len(neurons), times.size))
    sums = empty_sums(parameters, recording)
    stretches = replay(network, parameters, recording, (0, simulation), cotangents, sums)
    total = len(simulation.log) + len(simulation.neurons)
    for name, first, last, adjoint in _shown(stretches, total) if progress else stretches:
        if name[0] != population or name[1] not in neurons:
            continue
        row = list(neurons).index(name[1])
        inside = np.flatnonzero((times >= first) & ((times < last) | ((last == duration) & (times == last))))
        for place in inside:
            v[row, place], i[row, place] = adjoint(times[place])
    return AdjointTraces(times, v, i)


def _shown(stretches: Iterator[Stretch], total: int) -> Iterable[Stretch]:
    """The stretches of a replay, with a bar on a terminal that says how many of the ``total`` are done."""
    from tqdm import tqdm

    return tqdm(stretches, "adjoint", total, unit="event", unit_scale=True, disable=None, dynamic_ncols=True)
