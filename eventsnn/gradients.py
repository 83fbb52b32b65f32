"""Exact gradients of a loss with respect to every trained parameter, by replaying the spikes backwards."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, overload

import numpy.typing as npt

from . import renamed
from .aliases import Floats, Milliseconds, Parameters
from .checks import answers_keywords, check_duration
from .engines.base import Engine, get
from .engines.checking import check_network, forward
from .errors import InvalidInput
from .losses.base import Regularizer
from .losses.together import check_finite, evaluate, joint_probes
from .network.network import Network
from .parallel.sharding import Share
from .spikes.batch import SpikeBatch
from .spikes.recording import Recording


@overload
def value_and_grad(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], labels: Any,
    *, loss: Regularizer, duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, regularizers: Iterable[Regularizer] = (), input_times: Literal[False] = False,
    return_recording: Literal[False] = False, share: Share | None = None,
) -> tuple[float, Parameters]: ...  # fmt: skip


@overload
def value_and_grad(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], labels: Any,
    *, loss: Regularizer, duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, regularizers: Iterable[Regularizer] = (), input_times: Literal[True],
    return_recording: Literal[False] = False, share: Share | None = None,
) -> tuple[float, Parameters, dict[str, Floats]]: ...  # fmt: skip


@overload
def value_and_grad(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], labels: Any,
    *, loss: Regularizer, duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, regularizers: Iterable[Regularizer] = (), input_times: Literal[False] = False,
    return_recording: Literal[True], share: Share | None = None,
) -> tuple[float, Parameters, Recording]: ...  # fmt: skip


@overload
def value_and_grad(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], labels: Any,
    *, loss: Regularizer, duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, regularizers: Iterable[Regularizer] = (), input_times: Literal[True],
    return_recording: Literal[True], share: Share | None = None,
) -> tuple[float, Parameters, dict[str, Floats], Recording]: ...  # fmt: skip


@overload
def value_and_grad(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], labels: Any,
    *, loss: Regularizer, duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, regularizers: Iterable[Regularizer] = (), input_times: bool = False,
    return_recording: bool = False, share: Share | None = None,
) -> tuple[Any, ...]: ...  # fmt: skip


@answers_keywords
def value_and_grad(
    network: Network, parameters: Mapping[str, npt.ArrayLike], batch: SpikeBatch | dict[str, SpikeBatch], labels: Any,
    *, loss: Regularizer, duration: Milliseconds, engine: str | Engine = "compiled", n_threads: int | None = None,
    max_spikes: int | None = None, regularizers: Iterable[Regularizer] = (), input_times: bool = False,
    return_recording: bool = False, share: Share | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """Return the mean loss over a batch and its gradient: ``(value, {parameter: array})``.

    Parameters as for ``simulate``, and: ``labels`` (what the loss takes, one entry per sample); ``loss`` (see
    eventsnn.losses); ``regularizers`` (further losses, added in); ``input_times=True`` appends {input population:
    (n_spikes,) dL/dt}; ``return_recording=True`` appends the Recording. Gradients are given for the trained
    parameters, as float64 arrays of the parameter's shape. ``share`` (sharding.Share): several ranks
    compute one batch. Then ``batch`` holds the samples of this rank and ``labels`` are those of all; what is returned
    is that of the whole batch, but for the input times.

    The gradient is the exact EventProp gradient (Wunderlich & Pehle 2021; delays: Mészáros, Knight & Nowotny 2025)
    of the continuous-time network, wherever the loss is differentiable: see docs/mathematics.md.

    Raises as ``simulate`` does, and NotFinite for a loss or a gradient that is NaN or infinite.
    """
    check_network(network)
    duration = check_duration(duration)
    losses = (loss, *regularizers)
    probes = joint_probes(losses, network, duration)
    given = (network, parameters, batch, duration, engine, n_threads, max_spikes, probes)
    if share is None:
        problem, own, tape = forward(*given, warn=True)
        share = Share(own.n_samples)
    else:  # this is one of many batches, whose data are judged as a whole
        problem, own, tape = share.together(lambda: forward(*given))
    if share.n_samples == 0:
        raise InvalidInput("batch", None, "0 samples", "at least one sample")
    recording = share.whole(own)
    value, cotangents = evaluate(losses, recording, labels)
    gradients, times = get(engine).backward(
        problem, own, tape, cotangents, names=network.trainable, input_times=input_times, share=share
    )
    check_finite(value, gradients)
    result: tuple[Any, ...] = (value, gradients)
    if input_times:
        result += (times,)
    return (*result, recording) if return_recording else result


def __getattr__(name: str) -> object:
    return renamed.find("gradients", name)
