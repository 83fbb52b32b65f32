"""A loss and its regularizers as one: what they ask of readouts, their sum and its cotangents."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Milliseconds
from ..errors import Conflict, InvalidInput, NotFinite, Unsupported
from ..spikes.cotangents import Cotangents, Probe
from .base import AnyNetwork, AnyRecording, Regularizer


def joint_probes(losses: Iterable[Regularizer], network: AnyNetwork, duration: Milliseconds) -> dict[str, Probe]:
    """What several losses together ask of each readout; raises InvalidInput where they contradict each other."""
    probes: dict[str, Probe] = {}
    for loss in losses:
        check_loss(loss)
        for name, probe in loss.probes(network, duration).items():
            before = probes.get(name, probe)
            rates = {p.decay_rate for p in (before, probe)} - {None}
            if len(rates) > 1:
                raise Conflict("regularizers", None, sorted(rates), f"one decay rate for the readout {name!r}")
            probes[name] = Probe(rates.pop() if rates else None, before.maximum or probe.maximum)
    return probes


def check_loss(loss: object) -> None:
    """Refuse what is no loss: a class, which is still to be called, or a name."""
    if isinstance(loss, type) or not hasattr(loss, "probes"):
        remedy = f"Write {loss.__name__}()." if isinstance(loss, type) and hasattr(loss, "probes") else ""
        allowed = "an object such as losses.MeanVoltage() (see docs/how-to/write-a-loss.md)"
        raise InvalidInput("loss", None, loss, allowed, remedy)


def evaluate(
    losses: Iterable[Regularizer], recording: AnyRecording, labels: npt.ArrayLike
) -> tuple[Any, Cotangents]:  # the value is a float, but complex where the recording is
    """Return (mean value, mean's Cotangents of the samples simulated here) of a loss and its regularizers."""
    total: Any = 0.0
    cotangents = Cotangents()
    for loss in losses:
        values, part = loss(recording, labels)
        total, cotangents = total + values.mean(), cotangents.plus(part)
    _check_read(recording, cotangents)
    value = total if np.iscomplexobj(total) else float(total)
    return value, recording.own(cotangents).scaled(1.0 / recording.n_samples)


def _check_read(recording: AnyRecording, cotangents: Cotangents) -> None:
    """Refuse the cotangents of what no probe has asked for: the engines could not follow it back."""
    asked = {*cotangents.integral, *cotangents.maximum}
    readouts = recording.readouts if asked else {}
    for name in asked:
        if name not in readouts:
            raise Unsupported("cotangents", name, "those of its voltages", f"of what probes asks for: {list(readouts)}")
        if name in cotangents.maximum and readouts[name].maximum is None:
            remedy = "Let probes return {" + repr(name) + ": Probe(maximum=True)}."
            raise Unsupported("cotangents.maximum", name, "that of a voltage", "what probes asks for", remedy)


def check_finite(value: complex, gradients: Mapping[str, Array]) -> None:
    """Refuse a loss or gradients, {parameter: array}, that are NaN or infinite, naming the first of them."""
    if not np.isfinite(value):
        raise NotFinite(f"the loss ({value})")
    for name, gradient in gradients.items():
        if not np.isfinite(gradient).all():
            index = tuple(map(int, np.argwhere(~np.isfinite(gradient))[0]))
            place = f"{name}{list(index)}" if index else name
            raise NotFinite(f"the gradient of {place} ({gradient[index]})")
