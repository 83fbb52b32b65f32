"""Losses on voltages: cotangents against complex steps.

Hazards: a maximum that nobody asked for, read as None deep inside; an integral that weights time in another way, read
as if it were the loss's own.
"""

import numpy as np
import pytest

from eventsnn import GridNetwork, Probe, SpikeBatch, engines, simulate, stream, surrogate, value_and_grad
from eventsnn.errors import Unsupported
from eventsnn.losses import ExponentialMeanVoltage, MaxVoltage, MeanVoltage
from eventsnn.spikes import Cotangents
from tests.losses.recordings import LABELS, H, network, recording

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
    rate = 1 / 50.0 if isinstance(loss, ExponentialMeanVoltage) else 0.0
    base, expected = complex_step(loss, LABELS, (2, 3), lambda x: recording(integral=x, rate=rate))
    values, cotangents = loss(recording(integral=base, rate=rate), LABELS)
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


BATCH = SpikeBatch.from_lists([([1.0, 2.0], [0, 1]), ([3.0], [0])])


def simulated(engine="compiled", **probes):
    net = network()
    return simulate(net, net.initialize(), BATCH, duration=20.0, engine=engine, **probes)


@pytest.mark.parametrize("engine", engines.names())
@pytest.mark.parametrize(
    ("loss", "probe", "said"),
    [
        (MaxVoltage(), Probe(), r"\['out'\].maximum is None; allowed: what MaxVoltage reads, the maximum"),
        (ExponentialMeanVoltage(), Probe(maximum=True), r".decay_rate is 0.0; allowed: 0.05 \(1/ms\), as Exponential"),
        (ExponentialMeanVoltage(tau_window=5.0), Probe(0.1), r".decay_rate is 0.1; allowed: 0.2 \(1/ms\), as Exp"),
        (MeanVoltage(), Probe(0.1), r".decay_rate is 0.1; allowed: 0 \(1/ms\), as MeanVoltage weights time"),
    ],
)
def test_what_was_not_asked_of_the_readout_is_refused_in_words(engine, loss, probe, said):
    made = simulated(engine, probes={"out": probe})
    for attempt in (loss.predict, lambda recording: loss(recording, LABELS)):
        with pytest.raises(Unsupported, match=f"^recording.readouts.*{said}.*probes=loss.probes\\(network, dur"):
            attempt(made)
    right = simulated(engine, probes=loss.probes(network(), 20.0))
    assert np.isfinite(loss(right, LABELS)[0]).all() and loss.predict(right).shape == (2,)


def test_a_part_of_a_stream_without_readouts_is_refused_in_words():
    net = network()
    first, last = stream(net, net.initialize(), BATCH[:1], duration=20.0, every=10.0)
    with pytest.raises(Unsupported, match="^recording.readouts is {}; .*what MeanVoltage reads.*the last part alone"):
        MeanVoltage().predict(first)
    assert MeanVoltage().predict(last).shape == (1,)


@pytest.mark.parametrize("duration", [19.0, 20.0])
def test_a_grid_rounds_its_duration_and_is_read_all_the_same(duration):
    grid, loss = GridNetwork(2.0), ExponentialMeanVoltage()
    grid.add_input("in", 2)
    grid.add_readout("out", 3)
    grid.connect("in", "out", weight=1.0)
    probes = loss.probes(grid, duration)
    made = surrogate.simulate(grid, grid.initialize(), BATCH, duration=duration, probes=probes)
    assert loss.predict(made).shape == (2,)
    with pytest.raises(Unsupported, match="decay_rate"):
        loss.predict(surrogate.simulate(grid, grid.initialize(), BATCH, duration=duration))


@pytest.mark.parametrize("engine", engines.names())
@pytest.mark.parametrize(
    ("probes", "kind", "said"),
    [
        (
            {"out": Probe()},
            "maximum",
            r"cotangents.maximum\[out\] is .*Let probes return {.out.: Probe\(max",
        ),
        ({}, "integral", r"cotangents\[out\] is .*of what probes asks for: \[\]"),
    ],
)
def test_a_loss_of_one_s_own_cannot_pull_at_what_it_did_not_ask_for(engine, probes, kind, said):
    class Own:
        def probes(self, network, duration):
            return probes

        def __call__(self, recording, labels):
            return np.zeros(2), Cotangents(**{kind: {"out": np.ones((2, 3))}})

    net = network()
    with pytest.raises(Unsupported, match=said):
        value_and_grad(net, net.initialize(), BATCH, LABELS, loss=Own(), duration=20.0, engine=engine)
