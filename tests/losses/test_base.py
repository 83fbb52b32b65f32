"""What all losses share: predictions, cross-entropy, and the population whose neurons stand for classes."""

import numpy as np
import pytest

from eventsnn.errors import InvalidInput, Unsupported
from eventsnn.losses import (
    ExponentialMeanVoltage,
    FirstSpike,
    MaxVoltage,
    MeanSquaredError,
    MeanVoltage,
    SpikeCountTarget,
    SpikeTimeRegression,
)
from eventsnn.losses.base import cross_entropy
from tests.losses.recordings import LABELS, NEURONS, OFFSETS, TIMES, network, recording


def test_predictions():
    assert FirstSpike().predict(recording(TIMES, NEURONS, OFFSETS)).tolist() == [1, 2]
    logits = np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 1.0]])
    for loss, made in ((MeanVoltage(), recording(integral=logits)), (MaxVoltage(), recording(maximum=logits))):
        predicted = loss.predict(made)
        assert predicted.tolist() == [1, 0] and predicted.dtype == np.int64


def test_cross_entropy_of_huge_logits_is_finite():
    values, gradient = cross_entropy(np.array([[1e4, 0.0], [-1e4, 0.0]]), np.array([0, 0]))
    assert values.tolist() == [0.0, 1e4]
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [-1.0, 1.0]], atol=1e-300)
    values, gradient = cross_entropy(np.zeros((1, 4)), np.array([2]))
    assert values[0] == pytest.approx(np.log(4))
    assert gradient.tolist() == [[0.25, 0.25, -0.75, 0.25]]


def test_what_losses_ask_to_be_read():
    assert MeanVoltage().probes(network(), 20.0)["out"].decay_rate == 0.0
    assert ExponentialMeanVoltage().probes(network(), 20.0)["out"].decay_rate == pytest.approx(1 / 20)
    assert ExponentialMeanVoltage(tau_window=8.0).probes(network(), 20.0)["out"].decay_rate == 0.125
    assert MaxVoltage().probes(network(), 20.0)["out"].maximum
    assert FirstSpike(population="lif").probes(network(), 20.0) == {} == FirstSpike().probes(network(0), 20.0)
    assert SpikeCountTarget("lif").probes(network(), 20.0) == {}


def test_losses_name_the_population_of_the_classes():
    assert (
        MeanVoltage().class_population(["out"], ("lif",))
        == "out"
        == MaxVoltage("out").class_population(["a", "out"], ())
    )
    assert (
        FirstSpike().class_population([], ("lif",))
        == "lif"
        == FirstSpike(population="lif").class_population(["out"], ())
    )
    with pytest.raises(InvalidInput, match="Pass population="):
        FirstSpike().class_population([], ("a", "b"))
    for loss in (MeanSquaredError(), SpikeTimeRegression(), SpikeCountTarget("lif")):
        with pytest.raises(Unsupported, match=f"^loss is '{type(loss).__name__}'; allowed: a loss on class labels"):
            loss.class_population(["out"], ("lif",))


def test_losses_without_classes_refuse_to_predict_them_in_words():
    for loss, remedy in ((MeanSquaredError(), "takes targets"), (SpikeCountTarget("lif"), "regularizers=")):
        with pytest.raises(Unsupported, match=f"^loss is '{type(loss).__name__}'; .*predict returns.*{remedy}"):
            loss.predict(recording(TIMES, NEURONS, OFFSETS))


def test_several_readouts_need_a_name():
    with pytest.raises(InvalidInput, match="population="):
        MeanVoltage().probes(network(2), 20.0)
    assert list(MeanVoltage("out1").probes(network(2), 20.0)) == ["out1"]
    with pytest.raises(InvalidInput, match="'lif'"):
        MaxVoltage("lif").probes(network(2), 20.0)


def test_several_outputs_need_a_name():
    made = recording(TIMES, NEURONS, OFFSETS)
    made.outputs = ("lif", "out")
    with pytest.raises(InvalidInput, match="population="):
        FirstSpike()(made, LABELS)
    assert np.all(np.isfinite(FirstSpike(population="lif")(made, LABELS)[0]))
