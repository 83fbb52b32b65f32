"""Losses: values in closed form, cotangents against differences, predictions, regularizers and their errors."""

import numpy as np
import pytest

from eventsnn import Network, SpikeBatch
from eventsnn.errors import InvalidInput
from eventsnn.losses import (
    ExponentialMeanVoltage,
    FirstSpike,
    MaxVoltage,
    MeanSquaredError,
    MeanVoltage,
    RelativeFirstSpike,
    SilentNeuronRaise,
    SpikeCountTarget,
    SpikeTimeRegression,
)
from eventsnn.losses.base import cross_entropy
from eventsnn.spikes import Counters, Readout, Recording

RNG = np.random.default_rng(0)
H = 1e-20


def recording(times=(), neurons=(), offsets=(0, 0, 0), integral=None, maximum=None, n=3):
    """A hand-made recording of two samples with one LIF population "lif" and one readout "out", n neurons each."""
    n_samples = len(offsets) - 1
    zeros = np.zeros(n_samples, np.int64)
    integral = np.zeros((n_samples, n)) if integral is None else integral
    readout = Readout(integral, 0.0, maximum, None if maximum is None else np.ones(maximum.shape))
    times = np.array(times)
    return Recording(
        duration=50.0, times=times, neurons=np.array(neurons, np.int32), slopes=np.ones(times.size),
        offsets=np.array(offsets), slices={"lif": (0, n), "out": (n, 2 * n)}, inputs={}, readouts={"out": readout},
        counters=Counters(zeros, zeros, zeros, zeros, zeros), outputs=("lif",),
    )  # fmt: skip


TIMES = np.array([3.0, 4.5, 7.0, 1.0, 2.0, 9.0])
NEURONS = np.array([1, 0, 1, 2, 0, 1])
OFFSETS = (0, 3, 6)
LABELS = np.array([1, 2])


def test_of_equal_times_the_first_on_the_tape_counts():
    # as in Recording.spike_indices, so that a gradient goes to the same spike
    made = recording([3.0, 1.0, 1.0, 1.0, 2.0, 1.0], [0, 0, 0, 1, 1, 0], (0, 6, 6))
    assert made.first_spikes("lif").tolist() == [[1, 3, -1], [-1, -1, -1]]
    assert made.spike_indices("lif", 0)[0] == 1


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


TARGETS = np.array([[3.0, 9.0, np.nan], [2.0, 5.0, 5.0]])


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (FirstSpike(tau=3.0), LABELS),
        (RelativeFirstSpike(delta=2.0), LABELS),
        (SpikeTimeRegression(), TARGETS),
        (SpikeTimeRegression("lif"), TARGETS),
    ],
)
def test_cotangents_of_spike_times(loss, labels):
    expected = np.zeros(TIMES.size)
    for k in range(TIMES.size):
        moved = TIMES.astype(complex)
        moved[k] += 1j * H
        expected[k] = np.imag(np.sum(loss(recording(moved, NEURONS, OFFSETS), labels)[0])) / H
    values, cotangents = loss(recording(TIMES, NEURONS, OFFSETS), labels)
    np.testing.assert_allclose(cotangents.spike_times, expected, rtol=1e-12, atol=1e-15)
    assert values.shape == (2,) and np.all(np.isfinite(values))
    assert cotangents.spike_times[2] == 0.0  # a second spike counts for nothing


def test_first_spike_in_closed_form():
    values, _ = FirstSpike(tau=3.0)(recording(TIMES, NEURONS, OFFSETS), LABELS)
    # sample 0: neuron 0 at 4.5, 1 at 3, 2 silent, which counts as the duration
    weights = np.exp(-np.array([4.5, 3.0, 50.0]) / 3.0)
    assert values[0] == pytest.approx(-np.log(weights[1] / weights.sum()), rel=1e-13)


def test_relative_first_spike_in_closed_form():
    values, _ = RelativeFirstSpike(delta=2.0)(recording(TIMES, NEURONS, OFFSETS), LABELS)
    assert values[0] == pytest.approx(0.5 * ((4.5 - 3 - 2) ** 2 + (50 - 3 - 2) ** 2))
    # sample 1, label 2: neuron 2 at 1, neuron 0 at 2, neuron 1 at 9
    assert values[1] == pytest.approx(0.5 * ((2 - 1 - 2) ** 2 + (9 - 1 - 2) ** 2))


def test_regression_in_closed_form():
    values, _ = SpikeTimeRegression()(recording(TIMES, NEURONS, OFFSETS), TARGETS)
    assert values.tolist() == pytest.approx([0.5 * (1.5**2 + 6**2), 0.5 * (0**2 + 4**2 + 4**2)])


@pytest.mark.parametrize("loss", [FirstSpike(), RelativeFirstSpike()])
def test_silence_is_a_value_without_gradient(loss):
    values, cotangents = loss(recording(offsets=(0, 0, 0)), LABELS)
    assert np.all(np.isfinite(values)) and cotangents.spike_times.size == 0
    assert loss.predict(recording(offsets=(0, 0, 0))).tolist() == [0, 0]


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


def network(n_readouts=1):
    net = Network()
    net.add_input("in", 2)
    net.add_lif("lif", 3)
    for k in range(n_readouts):
        net.add_readout("out" if k == 0 else f"out{k}", 3)
    net.connect("in", "lif", weight=1.0, delay=1.0)
    net.connect("lif", "lif", weight=0.5, delay=1.0)
    net.connect("in", "lif", weight=1.0, mask=np.array([[True, False, True], [False, False, True]]), name="sparse")
    return net


def test_what_losses_ask_to_be_read():
    assert MeanVoltage().probes(network(), 20.0)["out"].decay_rate == 0.0
    assert ExponentialMeanVoltage().probes(network(), 20.0)["out"].decay_rate == pytest.approx(1 / 20)
    assert ExponentialMeanVoltage(tau_window=8.0).probes(network(), 20.0)["out"].decay_rate == 0.125
    assert MaxVoltage().probes(network(), 20.0)["out"].maximum
    assert FirstSpike(population="lif").probes(network(), 20.0) == {} == FirstSpike().probes(network(0), 20.0)
    assert SpikeCountTarget("lif").probes(network(), 20.0) == {}


@pytest.mark.parametrize("kind", [FirstSpike, RelativeFirstSpike, SpikeTimeRegression])
def test_a_spike_time_loss_does_not_take_hidden_neurons_for_the_classes_of_a_readout(kind):
    with pytest.raises(InvalidInput, match=r"one of the LIF populations \['lif'\].*readout, 'out'.*MeanVoltage"):
        kind().probes(network(), 20.0)
    with pytest.raises(InvalidInput, match=r"population is 'out'; allowed: one of the LIF populations \['lif'\]"):
        kind(population="out").probes(network(), 20.0)


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
    for loss in (MeanSquaredError(), SpikeTimeRegression()):
        with pytest.raises(InvalidInput, match="a loss on class labels"):
            loss.class_population(["out"], ("lif",))


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


def test_count_target():
    made = recording(TIMES, NEURONS, OFFSETS)  # counts: [1, 2, 0] and [1, 1, 1]; means 1, 1.5, 0.5
    values, cotangents = SpikeCountTarget("lif", target=1.0, strength=4.0)(made, None)
    assert values.tolist() == [0.5 * 4.0 * (0.25 + 0.25)] * 2
    np.testing.assert_allclose(cotangents.counts["lif"], [[0.0, 2.0, -2.0]] * 2)
    values, cotangents = SpikeCountTarget("lif", target=1.0, strength=4.0, only_above=True)(made, None)
    assert values.tolist() == [0.5] * 2
    np.testing.assert_allclose(cotangents.counts["lif"], [[0.0, 2.0, 0.0]] * 2)


@pytest.mark.parametrize(
    "arguments", [{"target": -1.0}, {"strength": np.nan}, {"strength": np.inf}, {"target": np.nan}]
)
def test_count_target_refuses_nonsense(arguments):
    with pytest.raises(InvalidInput, match=next(iter(arguments))):
        SpikeCountTarget("lif", **arguments)


def test_silent_neurons_are_raised_feed_forward_only():
    net = network()
    parameters = net.initialize()
    raised = SilentNeuronRaise("lif", amount=0.25)(net, parameters, np.array([0, 5, 0]))
    # two connections from one population share what one would be raised by
    np.testing.assert_array_equal(raised["in->lif.weight"], [[1.125, 1.0, 1.125]] * 2)
    np.testing.assert_array_equal(raised["sparse.weight"], [1.125, 1.125, 1.125])
    for name in ("lif->lif.weight", "in->lif.delay"):
        assert raised[name] is parameters[name]
    assert np.all(parameters["in->lif.weight"] == 1.0)
    assert SilentNeuronRaise("lif")(net, parameters, np.array([1, 5, 2])) is parameters


def test_missing_first_sample_does_not_matter():
    batch = SpikeBatch.from_lists([([], []), ([1.0], [0])])
    assert len(batch) == 2
    made = recording(TIMES[:3], NEURONS[:3], (0, 0, 3))
    values, cotangents = FirstSpike()(made, LABELS)
    assert values[0] == pytest.approx(np.log(3)) and np.any(cotangents.spike_times != 0)
