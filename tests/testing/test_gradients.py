"""The checker of gradients finds wrong ones, and leaves out what has none."""

import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, simulate
from eventsnn.errors import InvalidInput
from eventsnn.losses import MeanVoltage, SpikeCountTarget
from eventsnn.spikes import Cotangents
from eventsnn.testing import GradientMismatch, Tolerances, check_gradients, random_case
from eventsnn.testing.gradients import _Problem
from eventsnn.testing.signatures import signature

ANY = Tolerances(np.inf, np.inf, np.inf)


class WrongGradient(MeanVoltage):
    """A loss whose cotangent is one part in a thousand too large."""

    def __call__(self, recording, labels):
        values, cotangents = super().__call__(recording, labels)
        return values, cotangents.scaled(1.001)


class LateSpikes:
    """A user's loss: the sum of all spike times of one population."""

    def __init__(self, population):
        self.population = population

    def probes(self, network, duration):
        return {}

    def __call__(self, recording, labels):
        start, stop = recording.slices[self.population]
        mine = ((recording.neurons >= start) & (recording.neurons < stop)).astype(float)
        sample = np.repeat(np.arange(recording.n_samples), np.diff(recording.offsets))
        values = np.zeros(recording.n_samples, recording.times.dtype)
        np.add.at(values, sample, recording.times * mine)
        return values, Cotangents(spike_times=mine)


def chain(weight=6.0, threshold=1.0):
    """One input, one neuron with tau_mem = 2 tau_syn, one readout."""
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0, v_threshold=threshold, train=True)
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=weight, delay=1.0)
    network.connect("hidden", "out", weight=np.array([[1.0, 0.5]]))
    return network, network.initialize()


ONE_SPIKE = SpikeBatch.from_lists([([5.0], [0])])


def test_check_gradients_reports_both_methods():
    # no crossing of this case is so flat that rounding shows in 30 central differences
    case = random_case(2, loss="mean")
    report = check_gradients(*case[:4], loss=case.loss, duration=case.duration, n_coordinates=30)
    assert report.central.n_coordinates == report.complex.n_coordinates == 30
    assert report.complex.quantile(1.0) <= 1e-8
    assert "central: 30 coordinates" in str(report) and "complex: 30 coordinates" in str(report)


@pytest.mark.parametrize("method", ["central", "complex"])
def test_check_gradients_names_the_worst_coordinate_of_a_wrong_loss(method):
    network, parameters = chain()
    with pytest.raises(GradientMismatch) as caught:
        check_gradients(network, parameters, ONE_SPIKE, [1], loss=WrongGradient(), duration=40.0, method=method)
    name, index = caught.value.coordinate
    assert name in network.trainable or name == "in.times"
    assert isinstance(index, int)
    assert caught.value.analytic == pytest.approx(1.001 * caught.value.numeric, rel=1e-5)
    assert f"{name}[{index}]" in str(caught.value)


def test_user_loss_on_spike_times_passes():
    network, parameters = chain()
    report = check_gradients(network, parameters, ONE_SPIKE, None, loss=LateSpikes("hidden"), duration=40.0)
    # the last shift symmetry: moving the input moves every spike of the chain alike
    assert report.value > 0
    assert report.central.excluded == () and report.complex.quantile(1.0) < 1e-12


def test_detector_excludes_a_discontinuity_and_counts_it():
    network, parameters = chain()
    peak = 1.0 / 4.0  # of the response to a unit jump for tau_mem = 2 tau_syn, at t = tau_mem log 2
    # so close to the peak that every step changes the number of spikes
    parameters["in->hidden.weight"] = np.array([[1.0 / peak * (1.0 + 1e-14)]])
    report = check_gradients(
        network, parameters, ONE_SPIKE, [1], loss=MeanVoltage(), duration=40.0, method="central", tolerances=ANY
    )
    excluded = {name for name, _ in report.central.excluded}
    assert {"in->hidden.weight", "hidden.v_threshold", "hidden.tau_mem", "hidden.tau_syn"} <= excluded
    assert report.central.excluded_share == len(report.central.excluded) / report.central.n_coordinates
    # readout weights and a common shift of everything change no spike
    assert "hidden->out.weight" not in excluded and "in.times" not in excluded
    assert report.central.quantile(1.0) <= 1e-4 or ("in.times", 0) in report.central.coordinates


def test_detector_shrinks_the_step_before_it_gives_up():
    network, parameters = chain()
    # the first step reaches past the peak, the second does not
    parameters["in->hidden.weight"] = np.array([[4.0 + 3e-6]])
    report = check_gradients(
        network, parameters, ONE_SPIKE, [1], loss=MeanVoltage(), duration=40.0, method="central", tolerances=ANY
    )
    assert ("in->hidden.weight", 0) in report.central.coordinates


def test_delay_at_its_bound_is_differentiated_from_one_side():
    network, parameters = chain()
    parameters["in->hidden.delay"] = np.zeros((1, 1))
    batch = SpikeBatch.from_lists([([0.0], [0])])
    report = check_gradients(
        network, parameters, batch, [1], loss=MeanVoltage(), duration=40.0, method="central", tolerances=ANY
    )
    errors = dict(zip(report.central.coordinates, report.central.errors, strict=True))
    assert errors["in->hidden.delay", 0] < 1e-5 and errors["in.times", 0] < 1e-5


def test_pseudo_gradient_is_refused():
    network, parameters = chain()
    with pytest.raises(InvalidInput, match="SpikeCountTarget"):
        check_gradients(
            network, parameters, ONE_SPIKE, [1], loss=MeanVoltage(), duration=40.0,
            regularizers=(SpikeCountTarget("hidden"),),
        )  # fmt: skip


def test_unknown_method_is_refused():
    network, parameters = chain()
    with pytest.raises(InvalidInput, match="method"):
        check_gradients(network, parameters, ONE_SPIKE, [1], loss=MeanVoltage(), duration=40.0, method="forward")


def test_coordinates_are_spread_over_all_arrays_and_none_means_all():
    case = random_case(3, loss="mean")
    arguments = {"loss": case.loss, "duration": case.duration, "method": "central", "tolerances": ANY}
    everything = check_gradients(*case[:4], n_coordinates=None, **arguments).central
    names = {name for name, _ in (*everything.coordinates, *everything.excluded)}
    assert set(case.network.trainable) <= names
    assert {f"{name}.times" for name in case.batch} <= names
    few = check_gradients(*case[:4], n_coordinates=len(names), **arguments).central
    assert {name for name, _ in (*few.coordinates, *few.excluded)} == names
    without = check_gradients(*case[:4], n_coordinates=None, input_times=False, **arguments).central
    assert not any(name.endswith(".times") for name, _ in without.coordinates)


def test_a_gradient_of_exactly_zero_agrees_with_complex_steps():
    case = random_case(200016, n_samples=1, duration=40.0, max_spikes=60)
    arguments = {"loss": case.loss, "duration": case.duration, "method": "complex", "n_coordinates": 60}
    assert check_gradients(*case[:4], seed=200016, **arguments).complex.quantile(1.0) <= 1e-8


def test_voltages_below_zero_are_no_bounds(monkeypatch):
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, v_reset=-0.4, v_rest=-0.2, bias=-0.1, train=("v_reset", "v_rest", "bias"))
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=9.0, delay=0.0)
    network.connect("hidden", "out", weight=np.array([[1.0, 0.5]]))
    moved, shifts = _Problem._moved, {}

    def seen(self, coordinate, shift):
        shifts.setdefault(coordinate[0].split(".")[1], []).append(shift)
        return moved(self, coordinate, shift)

    monkeypatch.setattr(_Problem, "_moved", seen)
    check_gradients(
        network, network.initialize(), ONE_SPIKE, [1], loss=MeanVoltage(), duration=40.0, n_coordinates=None
    )  # fmt: skip
    # a delay of 0 is at its bound, and is moved up alone; a voltage below 0 is at none
    assert min(shifts["delay"]) > 0
    for key in ("v_reset", "v_rest", "bias"):
        assert shifts[key][0] == -shifts[key][1] != 0


def test_a_maximum_below_zero_has_its_time_and_one_where_v_starts_has_none():
    network = Network()
    network.add_input("in", 1)
    network.add_readout("out", 3, v_rest=[-3.0, -3.0, 2.0])
    network.connect("in", "out", weight=np.array([[1.0, -1.0, -1.0]]))
    recording = simulate(network, network.initialize(), ONE_SPIKE, duration=40.0)
    found = signature(network, network.initialize(), recording).maximum_times["out"]
    assert recording.readouts["out"].maximum[0, 0] < 0
    assert found.tolist() == [[recording.readouts["out"].maximum_time[0, 0], -1.0, -1.0]] and found[0, 0] > 5.0
