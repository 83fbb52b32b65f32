"""Pictures of recordings: rasters, voltages, adjoints."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..aliases import Floats, Milliseconds, Parameters
from ..analysis.adjoint import adjoint_values
from ..analysis.voltage import BEGINS, check_neurons, in_place_of, voltages
from ..checks import answers_keywords, check_duration, check_given, whole
from ..errors import Conflict, InvalidInput, Unsupported
from ..network.base import BaseNetwork
from ..network.network import Network
from ..neurons import MODELS
from ..spikes.batch import SpikeBatch
from ..spikes.recording import Recording, check_sample
from ..surrogate.recording import GridRecording
from .style import BLUE, COLOURS, GREY, ORANGE, Place, new_figure, whole_numbers

TALLEST_RASTER = 9.0  # inches


@answers_keywords
def raster(
    recording: Recording | GridRecording, sample: int, path: Place, populations: Iterable[str] | None = None,
    network: BaseNetwork | None = None,
) -> Place:  # fmt: skip
    """Draw one dot per spike of one sample, one panel per population, over time.

    ``sample``: index in the recording; ``populations``: names, in the order of the panels (default: inputs, then all
    that can spike: with ``network`` its readouts are left out).
    """
    _check_recording(recording, "recording, sample, path")
    check_sample(sample, recording.n_samples)
    known = [*recording.inputs, *recording.slices]
    readouts = recording.readouts if network is None else network.readouts
    names = [name for name in known if name not in readouts] if populations is None else list(populations)
    if unknown := [name for name in names if name not in known]:
        raise InvalidInput("populations", None, unknown[0], f"a list of names of {known}")
    sizes = [_n_units(recording, name, network) for name in names]
    heights = [1.0 + math.log2(1 + size) / 4 for size in sizes]
    height = min(TALLEST_RASTER, 0.8 + sum(heights))
    with new_figure(path, len(names), (8, height), sharex=True, height_ratios=heights) as (_, axes):
        for axis, name, size, colour in zip(axes, names, sizes, COLOURS * len(names), strict=False):
            times, units = recording.spikes(name, sample)
            marker = 9.0 if size <= 40 else 3.0 if size <= 200 else 1.2
            axis.scatter(times, units, s=marker, color=colour, linewidths=0, rasterized=True)
            axis.set_ylim(-0.5 - 0.02 * size, size - 0.5 + 0.02 * size)
            axis.set_ylabel("channel" if name in recording.inputs else "neuron")
            axis.yaxis.set_major_locator(whole_numbers(5))
            # a recording does not say how many channels an input has
            whole = f" of {size}" if network is not None or name in recording.slices else ""
            axis.set_title(f"{name}: {times.size:,} spikes, {np.unique(units).size}{whole} active")
        axes[-1].set_xlim(recording.start, recording.duration)
        axes[-1].set_xlabel("time (ms)")
    return path


def _n_units(recording: Recording | GridRecording, name: str, network: BaseNetwork | None) -> int:
    if network is not None:
        return network.populations[name].n
    if name in recording.slices:
        start, stop = recording.slices[name]
        return stop - start
    units = recording.inputs[name].units
    return int(units.max()) + 1 if units.size else 1


def _times_with_spikes(
    recording: Recording, sample: int, population: str, neurons: Sequence[int], n_times: int
) -> Floats:
    """Evenly spaced times, and just before and at each spike of the neurons, so that resets are drawn upright."""
    times = np.linspace(0.0, recording.duration, whole(n_times, "n_times", 2))
    fired, units = recording.spikes(population, sample)
    fired = fired[np.isin(units, neurons)]
    return np.unique(np.concatenate([times, fired, np.nextafter(fired, 0.0)]))


def _check_recording(recording: object, begins: str) -> None:
    check_given(recording, "recording", (Recording, GridRecording), begins, in_place_of(recording))


def _check_panels(network: BaseNetwork, population: str, neurons: Sequence[int]) -> None:
    """Refuse what is no list of neurons, one for each panel."""
    check_neurons(network, population, neurons)
    if len(neurons) == 0:
        raise InvalidInput("neurons", None, neurons, "at least one neuron", "[0] draws the first one.")


def _check_kinds(network: BaseNetwork, recording: Recording | GridRecording) -> None:
    """Refuse what is no network or no recording, and the two where one is of events and the other of a grid."""
    check_given(network, "network", BaseNetwork, BEGINS, in_place_of(network), "a Network or a GridNetwork")
    _check_recording(recording, BEGINS)
    on_grid = not isinstance(network, Network)
    if on_grid != isinstance(recording, GridRecording):
        fitting = "GridRecording" if on_grid else "Recording"
        allowed = f"a {fitting}, as the network is a {type(network).__name__}"
        raise Conflict("recording", None, type(recording).__name__, allowed, "Pass the network that was simulated.")


@answers_keywords
def voltage_trace(
    network: BaseNetwork, parameters: Parameters, recording: Recording | GridRecording, sample: int,
    population: str, neurons: Sequence[int], path: Place, n_times: int = 2000,
) -> Place:  # fmt: skip
    """Draw the exact voltages of some neurons in one sample, one panel each, with threshold and spikes marked.

    Of a GridNetwork: the potentials before the reset, step by step. Raises InvalidInput for a recording of the other
    kind of network, and for one of training, which keeps no potentials.
    """
    _check_kinds(network, recording)
    check_sample(sample, recording.n_samples)
    _check_panels(network, population, neurons)
    parameters = network.check_parameters(parameters)
    kind, fires = network.populations[population].kind, network.populations[population].fires
    if isinstance(recording, GridRecording):
        kept = recording.potentials if fires else recording.voltages
        if population not in kept:
            allowed = "the GridRecording of surrogate.simulate"
            raise Unsupported("recording", None, f"one without the voltages of {population!r}", allowed)
        traces = kept[population][sample].T[np.asarray(neurons)]
        times = recording.dt * np.arange(traces.shape[1])
    else:
        times = _times_with_spikes(recording, sample, population, neurons, n_times)
        traces = voltages(cast(Network, network), parameters, recording, sample, population, neurons, times)
    fired, units = recording.spikes(population, sample) if fires else (np.zeros(0), np.zeros(0, int))
    style = "steps-post" if isinstance(recording, GridRecording) else "default"
    threshold_of = MODELS[kind].threshold
    thresholds = network.value_of(population, threshold_of, parameters) if threshold_of else None
    with new_figure(path, len(neurons), (8, 0.7 + 1.6 * len(neurons)), sharex=True) as (_, axes):
        for axis, neuron, trace in zip(axes, neurons, traces, strict=True):
            axis.plot(times, trace, color=BLUE, linewidth=1.1, drawstyle=style)
            if thresholds is not None:
                threshold = thresholds[neuron]
                own = fired[units == neuron]
                axis.axhline(threshold, color=GREY, linewidth=1, linestyle=(0, (5, 3)))
                axis.scatter(own, np.full(own.size, threshold), s=16, color=ORANGE, zorder=3, linewidths=0)
                spikes = f"{own.size} spike{'' if own.size == 1 else 's'}"
                axis.set_title(f"{population}[{neuron}]: {spikes} (dots), threshold dashed")
            else:
                axis.set_title(f"{population}[{neuron}]")
            axis.set_ylabel("voltage V")
        axes[-1].set_xlim(0, recording.duration)
        axes[-1].set_xlabel("time (ms)")
    return path


@answers_keywords
def adjoint_traces(
    network: Network, parameters: Parameters, spikes: SpikeBatch, labels: npt.ArrayLike, *, loss: Any,
    duration: Milliseconds, population: str, neurons: Sequence[int], path: Place, n_times: int = 1500,
    progress: bool = False,
) -> Place:  # fmt: skip
    """Draw lambda_V and lambda_I of some neurons over time, one panel each; arguments as for ``adjoint_values``."""
    if not isinstance(network, Network):
        raise InvalidInput("network", None, type(network).__name__, "a Network: the adjoint is that of events")
    _check_panels(network, population, neurons)
    grid = np.linspace(0.0, check_duration(duration), whole(n_times, "n_times", 2))
    traces = adjoint_values(
        network, parameters, spikes, labels, loss=loss, duration=duration, population=population, neurons=neurons,
        times=grid, progress=progress,
    )  # fmt: skip
    with new_figure(path, len(neurons), (8, 0.7 + 1.6 * len(neurons)), sharex=True) as (_, axes):
        for axis, neuron, v, i in zip(axes, neurons, traces.v, traces.i, strict=True):
            axis.plot(traces.times, v, color=BLUE, linewidth=1.1, label=r"$\lambda_V$")
            axis.plot(traces.times, i, color=ORANGE, linewidth=1.1, label=r"$\lambda_I$")
            axis.set_title(f"{population}[{neuron}]")
            axis.set_ylabel("adjoint (1/ms)")
            axis.ticklabel_format(axis="y", scilimits=(-2, 3))
        axes[0].legend(loc="upper right", ncols=2)
        axes[-1].set_xlim(0, duration)
        axes[-1].set_xlabel("time (ms), replayed from right to left")
    return path
