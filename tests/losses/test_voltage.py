"""Losses on voltages: cotangents against complex steps."""

import numpy as np
import pytest

from eventsnn.losses import ExponentialMeanVoltage, MaxVoltage, MeanVoltage
from tests.losses.recordings import LABELS, H, recording

RNG = np.random.default_rng(0)


def complex_step(loss, labels, shape, place):
    """d sum(values) / d x for every entry of x, where ``place(x)`` is a recording made with x."""
    base, result = RNG.normal(size=shape), np.zeros(shape)
    for index in np.ndindex(*shape):
        moved = base.astype(complex)
        moved[index] += 1j * H
        result[index] = np.imag(np.sum(loss(place(moved), labels)[0])) / H
    return base, result


@pytest.mark.parametrize("loss", [MeanVoltage(), ExponentialMeanVoltage(), MeanVoltage("out")])
def test_cotangents_of_voltage_integrals(loss):
    base, expected = complex_step(loss, LABELS, (2, 3), lambda x: recording(offsets=(0, 0, 0), integral=x))
    values, cotangents = loss(recording(offsets=(0, 0, 0), integral=base), LABELS)
    np.testing.assert_allclose(cotangents.integral["out"], expected, rtol=1e-12, atol=1e-16)
    logits = base / 50.0
    np.testing.assert_allclose(values, np.log(np.exp(logits).sum(1)) - logits[[0, 1], LABELS], rtol=1e-13)
    assert cotangents.spike_times is None and not cotangents.maximum


def test_cotangents_of_maxima():
    loss = MaxVoltage()
    base, expected = complex_step(loss, LABELS, (2, 3), lambda x: recording(offsets=(0, 0, 0), maximum=x))
    values, cotangents = loss(recording(offsets=(0, 0, 0), maximum=base), LABELS)
    np.testing.assert_allclose(cotangents.maximum["out"], expected, rtol=1e-12, atol=1e-16)
    assert not cotangents.integral and values.shape == (2,)
