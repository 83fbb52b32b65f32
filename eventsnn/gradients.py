"""Exact gradients of a loss with respect to every trained parameter, by replaying the spikes backwards."""

from . import renamed
from .checks import check_duration
from .engines.base import get
from .engines.checking import forward, warn_of_batch
from .errors import InvalidInput
from .losses.together import check_finite, evaluate, joint_probes
from .parallel.sharding import Share


def value_and_grad(
    network, parameters, batch, labels, *, loss, duration, engine="compiled", n_threads=None, max_spikes=None,
    regularizers=(), input_times=False, return_recording=False, share=None,
):  # fmt: skip
    """Return the mean loss over a batch and its gradient: ``(value, {parameter: array})``.

    Parameters as for ``simulate``, and: ``labels`` (what the loss takes, one entry per sample); ``loss`` (see
    eventsnn.losses); ``regularizers`` (further losses, added in); ``input_times=True`` appends {input population:
    (n_spikes,) dL/dt}; ``return_recording=True`` appends the Recording. Gradients are given for the trained
    parameters, as float64 arrays of the parameter's shape. ``share`` (sharding.Share; compiled engine): several ranks
    compute one batch. Then ``batch`` holds the samples of this rank and ``labels`` are those of all; what is returned
    is that of the whole batch, but for the input times.

    The gradient is the exact EventProp gradient (Wunderlich & Pehle 2021; delays: Mészáros, Knight & Nowotny 2025)
    of the continuous-time network, wherever the loss is differentiable: see docs/mathematics.md.

    Raises as ``simulate`` does, and NotFinite for a loss or a gradient that is NaN or infinite.
    """
    duration = check_duration(duration)
    if share is None:  # else this is one of many batches, whose data are judged as a whole
        warn_of_batch(network, parameters, batch, duration)
    losses = (loss, *regularizers)
    probes = joint_probes(losses, network, duration)

    def run():
        return forward(network, parameters, batch, duration, engine, n_threads, max_spikes, probes)

    problem, own, tape = run() if share is None else share.together(run)
    share = Share(own.n_samples) if share is None else share
    if share.n_samples == 0:
        raise InvalidInput("batch", None, "0 samples", "at least one sample")
    recording = share.whole(own)
    value, cotangents = evaluate(losses, recording, labels)
    gradients, times = get(engine).backward(
        problem, own, tape, cotangents, names=network.trainable, input_times=input_times, share=share
    )
    check_finite(value, gradients)
    result = (value, gradients)
    if input_times:
        result += (times,)
    return (*result, recording) if return_recording else result


def __getattr__(name: str) -> object:
    return renamed.find("gradients", name)
