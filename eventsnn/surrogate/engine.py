"""A batch of binned spikes through a GridNetwork, and back: population by population, then in reverse."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..aliases import Array, Parameters
from ..checks import one_of
from ..spikes.cotangents import Probe
from .layers import Layer
from .network import GridNetwork
from .recording import GridRecording

DELAYS = ("spread", "rounded", "fractional")


class Mode(NamedTuple):
    """How a batch is run.

    ``training``: statistics of the batch and dropout, else running statistics and none; ``delays``: "spread" as
    trained, "rounded" to whole steps, or "fractional" (linear interpolation); ``smooth``: spikes are the smooth
    function whose derivative the surrogate is, to test gradients; ``seed``, ``epoch``, ``samples`` (n_samples,):
    what dropout is drawn from; ``dtype``: float32 or float64; ``n_threads`` (None: all cores).
    """

    training: bool = False
    delays: str = "rounded"
    smooth: bool = False
    seed: int = 0
    epoch: int = 0
    samples: Array | None = None
    dtype: type[np.floating[Any]] = np.float32
    n_threads: int | None = None


def run(
    network: GridNetwork, parameters: Parameters, values: Mapping[str, Array], mode: Mode,
    probes: Mapping[str, Probe] | None = None,
) -> tuple[GridRecording, dict[str, Layer]]:  # fmt: skip
    """Run a batch; returns its GridRecording and the tape for ``backward``.

    ``values``: {input population: (sample, step, n)} of ``mode.dtype``.
    """
    one_of(mode.delays, "delays", DELAYS)
    sent = dict(values)
    tape: dict[str, Layer] = {}
    n_samples, n_steps = next(iter(values.values())).shape[:2]
    recording = GridRecording(n_steps * network.dt, network.dt, probes=probes or {})
    for population in network.populations.values():
        if population.kind == "input":
            continue
        layer = Layer(network, population, parameters, mode)
        inputs = np.zeros((n_samples, n_steps, population.n), mode.dtype)
        for connection in network.incoming(population.name):
            inputs += layer.receive(connection, sent[connection.pre])
        layer.run(inputs)
        tape[population.name] = layer
        if population.kind == "readout":
            recording.voltages[population.name] = layer.potentials
        else:
            recording.counts[population.name] = np.count_nonzero(layer.spikes, axis=1)
            if not mode.training:
                recording.fired[population.name] = layer.spikes
                recording.potentials[population.name] = layer.potentials
            recording.statistics |= layer.statistics
            sent[population.name] = layer.pass_on()
    return recording, tape


def backward(
    network: GridNetwork, parameters: Parameters, tape: dict[str, Layer], d_voltages: Mapping[str, Array],
    d_spikes: Mapping[str, Array] | None = None,
) -> Parameters:  # fmt: skip
    """Return {trained parameter: float64 gradient} from dL/d(voltages) of the readouts, {readout: array}.

    ``d_spikes``: {LIF population: dL/d(spikes)} of what the loss asks of spikes, before dropout.

    With rounded delays those of delays and widths are 0, with fractional ones those of widths.
    """
    d_sent: dict[str, Array] = {}
    gradients: dict[str, Array] = {}
    d_voltages = dict(d_voltages)
    for population in reversed(network.populations.values()):
        if population.kind == "input":
            continue
        layer = tape.pop(population.name)
        later = d_voltages if population.kind == "readout" else d_sent
        d_inputs = layer.back(later.pop(population.name, None), (d_spikes or {}).get(population.name))
        for connection in network.incoming(population.name):
            wanted = network.populations[connection.pre].kind != "input"
            d_values = layer.send_back(connection, d_inputs, wanted)
            if d_values is not None:
                before = d_sent.get(connection.pre)
                d_sent[connection.pre] = d_values if before is None else before + d_values
        gradients |= layer.gradients
    unused = {name: np.zeros_like(parameters[name]) for name in network.trainable}
    return {name: np.asarray(gradients.get(name, unused[name]), dtype=np.float64) for name in network.trainable}
