"""Simulate a GridNetwork on a SpikeBatch, and its surrogate gradient: what eventsnn.simulate and value_and_grad are."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from ..aliases import Milliseconds, Parameters
from ..arrays import plain_array
from ..checks import answers_keywords, check_duration, check_given
from ..errors import InvalidInput
from ..losses.together import check_finite, evaluate, joint_probes
from ..network.network import Network
from ..network.plausibility import doubts, warn_of_doubts
from ..parallel.threads import one_blas_thread
from ..spikes.batch import SpikeBatch
from ..spikes.cotangents import Probe
from .binning import bin_spikes
from .engine import Mode, backward, run
from .layers import Layer
from .network import GridNetwork
from .recording import GridRecording


@answers_keywords
def simulate(
    network: GridNetwork, parameters: Parameters, spikes: SpikeBatch, *, duration: Milliseconds,
    delays: str = "rounded", probes: Mapping[str, Probe] | None = None, n_threads: int | None = None,
) -> GridRecording:  # fmt: skip
    """Return the GridRecording of a trained GridNetwork: running statistics of batch normalisation, no dropout.

    ``spikes`` (SpikeBatch), counted in the steps of ``network.dt``; ``duration`` in ms; ``delays``: "rounded" to
    steps, "fractional" (linear interpolation between two steps) or "spread", as training has them. Warns as
    eventsnn.simulate does.
    """
    _warn_of_batch(network, parameters, spikes, duration)
    return simulated(
        network, parameters, spikes, duration=duration, delays=delays, probes=probes, n_threads=n_threads
    )  # fmt: skip


def simulated(
    network: GridNetwork, parameters: Parameters, spikes: SpikeBatch, *, duration: Milliseconds,
    delays: str = "rounded", probes: Mapping[str, Probe] | None = None, n_threads: int | None = None,
) -> GridRecording:  # fmt: skip
    """Return what ``simulate`` does, without its warnings: for one of many batches whose data are judged as a whole."""
    _check_on_grid(network)
    parameters = network.check_parameters(parameters)
    mode = Mode(delays=delays, n_threads=n_threads)
    with one_blas_thread():
        return _run(network, parameters, spikes, duration, mode, probes)[0]


@overload
def value_and_grad(
    network: GridNetwork, parameters: Parameters, spikes: SpikeBatch, labels: npt.ArrayLike, *, loss: Any,
    duration: Milliseconds, regularizers: Iterable[Any] = (), seed: int = 0, epoch: int = 0,
    samples: npt.ArrayLike | None = None, n_threads: int | None = None, return_recording: Literal[False] = False,
) -> tuple[float, Parameters]: ...  # fmt: skip


@overload
def value_and_grad(
    network: GridNetwork, parameters: Parameters, spikes: SpikeBatch, labels: npt.ArrayLike, *, loss: Any,
    duration: Milliseconds, regularizers: Iterable[Any] = (), seed: int = 0, epoch: int = 0,
    samples: npt.ArrayLike | None = None, n_threads: int | None = None, return_recording: Literal[True],
) -> tuple[float, Parameters, GridRecording]: ...  # fmt: skip


@answers_keywords
def value_and_grad(
    network: GridNetwork, parameters: Parameters, spikes: SpikeBatch, labels: npt.ArrayLike, *, loss: Any,
    duration: Milliseconds, regularizers: Iterable[Any] = (), seed: int = 0, epoch: int = 0,
    samples: npt.ArrayLike | None = None, n_threads: int | None = None, return_recording: bool = False,
) -> tuple[float, Parameters] | tuple[float, Parameters, GridRecording]:  # fmt: skip
    """Return (mean loss, {trained parameter: surrogate gradient}) of a batch as training sees it, and its recording.

    Delays are spread, batches normalised by themselves, and dropout is drawn from ``seed``, ``epoch`` and ``samples``
    (the batch's places in the training set; None: 0, 1, ...). The recording comes with ``return_recording``; its
    ``statistics`` are the new running means and variances. Sources and equations: docs/surrogates.md.
    """
    _check_on_grid(network)
    parameters = network.check_parameters(parameters)
    if samples is None:  # else this is one of many batches, whose data are judged as a whole
        _warn_of_batch(network, parameters, spikes, duration)
    places = np.arange(len(spikes)) if samples is None else plain_array(samples, "samples")
    if places.shape != (len(spikes),) or places.dtype.kind not in "iu" or places.min(initial=0) < 0:
        raise InvalidInput("samples", None, places.shape, f"{len(spikes)} places >= 0, one for each sample")
    if len(spikes) == 0:
        raise InvalidInput("spikes", None, "0 samples", "at least one sample")
    mode = Mode(True, "spread", seed=seed, epoch=epoch, samples=places, n_threads=n_threads)
    losses = (loss, *regularizers)
    probes = joint_probes(losses, network, duration)
    with one_blas_thread():
        recording, tape = _run(network, parameters, spikes, duration, mode, probes)
        value, cotangents = evaluate(losses, recording, labels)
        gradients = backward(network, parameters, tape, *recording.by_step(cotangents))
    check_finite(value, gradients)
    return (value, gradients, recording) if return_recording else (value, gradients)


def _check_on_grid(network: object) -> None:
    remedy = "eventsnn.simulate and eventsnn.value_and_grad run a Network." if isinstance(network, Network) else ""
    check_given(network, "network", GridNetwork, "network, parameters, spikes", remedy)


def _warn_of_batch(network: GridNetwork, parameters: Parameters, spikes: SpikeBatch, duration: Milliseconds) -> None:
    """Warn who called the caller of what can hardly be meant; raises InvalidInput for what is not allowed."""
    _check_on_grid(network)
    _check_spikes(spikes)
    found = doubts(network, network.check_parameters(parameters), [spikes], check_duration(duration))
    warn_of_doubts(found, stacklevel=4)


def _check_spikes(spikes: object) -> None:
    if not isinstance(spikes, SpikeBatch):
        raise InvalidInput("spikes", None, type(spikes).__name__, "a SpikeBatch", "SpikeBatch.from_lists makes one.")


def _run(
    network: GridNetwork, parameters: Parameters, spikes: SpikeBatch, duration: Milliseconds, mode: Mode,
    probes: Mapping[str, Probe] | None,
) -> tuple[GridRecording, dict[str, Layer]]:  # fmt: skip
    """(GridRecording, tape) of a SpikeBatch."""
    names = network.inputs
    if len(names) != 1:
        raise InvalidInput("network", None, names, "one input population")
    _check_spikes(spikes)
    n = network.populations[names[0]].n
    values = {names[0]: bin_spikes(spikes, n, dt=network.dt, duration=duration, dtype=mode.dtype)}
    recording, tape = run(network, parameters, values, mode, probes)
    recording.inputs = {names[0]: spikes}
    return recording, tape
