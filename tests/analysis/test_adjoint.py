"""Adjoint variables over time give the gradients."""

import numpy as np
import pytest

from eventsnn import plotting
from eventsnn.analysis import adjoint_values
from eventsnn.gradients import value_and_grad
from eventsnn.losses import FirstSpike, MaxVoltage, MeanVoltage
from tests.analysis.models import DURATION


@pytest.mark.parametrize(
    "loss", [MeanVoltage(), MaxVoltage(), FirstSpike(population="hidden")], ids=lambda x: type(x).__name__
)
def test_adjoint_values_give_the_weight_gradients(model, loss):
    """dL/dw of a synapse is -tau_syn times the sum of count * lambda_I over its arrivals."""
    network, parameters, batch, _ = model
    one, labels = batch[:1], np.array([1])
    _, gradients, recording = value_and_grad(
        network, parameters, one, labels, loss=loss, duration=DURATION, n_threads=1, return_recording=True
    )  # fmt: skip
    pre, neuron = 2, 1
    times, units = one[0].times, one[0].units
    arriving = times[units == pre] + parameters["input->hidden.delay"][pre, neuron]
    counts = one[0].counts[units == pre][arriving < DURATION]
    arriving = arriving[arriving < DURATION]
    assert arriving.size >= 3
    traces = plotting.adjoint_values(
        network, parameters, one, labels, loss=loss, duration=DURATION, population="hidden", neurons=[0, neuron],
        times=arriving,
    )  # fmt: skip
    expected = -5.0 * np.sum(counts[np.argsort(arriving)] * traces.i[1])
    assert expected != 0.0
    assert gradients["input->hidden.weight"][pre, neuron] == pytest.approx(expected, rel=1e-9)


def test_adjoint_ends_at_zero_and_is_finite(model):
    network, parameters, batch, _ = model
    traces = plotting.adjoint_values(
        network, parameters, batch[:1], np.array([0]), loss=MeanVoltage(), duration=DURATION, population="output",
        neurons=[0, 1], times=[DURATION, 0.0, 40.0],
    )  # fmt: skip
    assert traces.times.tolist() == [0.0, 40.0, DURATION]
    np.testing.assert_allclose([traces.v[:, 2], traces.i[:, 2]], 0.0, atol=1e-15)
    assert np.abs(traces.v[:, 1]).min() > 0


def test_a_replay_says_how_far_it_is_where_that_is_asked_for(model, monkeypatch, capsys):
    network, parameters, batch, _ = model
    bars = []

    def bar(stretches, text, total, **settings):
        done = list(stretches)
        bars.append((text, total, len(done)))
        return done

    monkeypatch.setattr("tqdm.tqdm", bar)
    settings = {"loss": MeanVoltage(), "duration": DURATION, "population": "hidden", "neurons": [0], "times": [1.0]}
    silent = adjoint_values(network, parameters, batch[:1], [0], **settings)
    assert bars == [] and capsys.readouterr().err == ""
    shown = adjoint_values(network, parameters, batch[:1], [0], **settings, progress=True)
    assert np.array_equal(silent.v, shown.v) and "reference engine" in capsys.readouterr().err
    ((text, total, done),) = bars
    assert text == "adjoint" and done == total > 100
