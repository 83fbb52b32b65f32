"""Exact gradients of a loss with respect to every trained parameter, by replaying the spikes backwards."""

import numpy as np

from . import compiled, reference
from .errors import InvalidInput, NotFinite
from .sharding import Share
from .simulation import check_duration, forward, warn_of_batch
from .spikes import Cotangents, Probe


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

    own, tape = run() if share is None else share.together(run)
    share = Share(own.n_samples) if share is None else share
    if share.n_samples == 0:
        raise InvalidInput("batch", None, "0 samples", "at least one sample")
    recording = share.whole(own)
    value, cotangents = evaluate(losses, recording, labels)
    names = network.trainable
    if engine == "compiled":
        gradients, times = compiled.backward(network, own, tape, cotangents, names, input_times, share)
    else:
        gradients, times = reference.backward(
            network, network.check_parameters(parameters), recording, tape, cotangents
        )
        gradients = {name: gradients[name] for name in names}
    check_finite(value, gradients)
    result = (value, gradients)
    if input_times:
        result += (times,)
    return (*result, recording) if return_recording else result


def check_finite(value, gradients):
    """Refuse a loss or gradients, {parameter: array}, that are NaN or infinite, naming the first of them."""
    if not np.isfinite(value):
        raise NotFinite(f"the loss ({value})")
    for name, gradient in gradients.items():
        if not np.isfinite(gradient).all():
            index = tuple(map(int, np.argwhere(~np.isfinite(gradient))[0]))
            place = f"{name}{list(index)}" if index else name
            raise NotFinite(f"the gradient of {place} ({gradient[index]})")


def joint_probes(losses, network, duration):
    """What several losses together ask of each readout; raises InvalidInput where they contradict each other."""
    probes = {}
    for loss in losses:
        if isinstance(loss, type) or not hasattr(loss, "probes"):
            allowed = "an object such as losses.MeanVoltage() (see docs/how-to/write-a-loss.md)"
            raise InvalidInput("loss", None, loss, allowed)
        for name, probe in loss.probes(network, duration).items():
            before = probes.get(name, probe)
            rates = {p.decay_rate for p in (before, probe)} - {None}
            if len(rates) > 1:
                raise InvalidInput("regularizers", None, sorted(rates), f"one decay rate for the readout {name!r}")
            probes[name] = Probe(rates.pop() if rates else None, before.maximum or probe.maximum)
    return probes


def evaluate(losses, recording, labels):
    """Return (mean value, mean's Cotangents of the samples simulated here) of a loss and its regularizers."""
    total, cotangents = 0.0, Cotangents()
    for loss in losses:
        values, part = loss(recording, labels)
        total, cotangents = total + values.mean(), cotangents.plus(part)
    value = total if np.iscomplexobj(total) else float(total)
    return value, recording.own(cotangents).scaled(1.0 / recording.n_samples)
