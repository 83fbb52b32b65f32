"""The checks that eventsnn.testing offers must be able to fail: each is shown a fault and must name it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import Network, SpikeBatch, testing
from eventsnn.errors import InvalidInput
from eventsnn.losses import FirstSpike, MaxVoltage, MeanVoltage, SpikeCountTarget, SpikeTimeRegression
from eventsnn.spikes import Cotangents
from eventsnn.testing import (
    LOSSES,
    TOPOLOGIES,
    EngineMismatch,
    GradientMismatch,
    Tolerances,
    check_gradients,
    compare_engines,
    random_case,
)
from eventsnn.testing import engines as module

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


def test_signature_sees_an_arrival_that_passes_a_spike():
    network = Network()
    network.add_input("in", 2)
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "hidden", weight=np.array([[6.0], [1.0]]))
    parameters = network.initialize()
    batch = SpikeBatch.from_lists([([5.0], [0])])
    time = testing.forward(network, parameters, {"in": batch}, 40.0, "compiled", 1, 100, {})[0].times[0]
    causes = []
    for shift in (-1e-3, 1e-3):
        batch = {"in": SpikeBatch.from_lists([([5.0, time + shift], [0, 1])])}
        recording, _ = testing.forward(network, parameters, batch, 40.0, "compiled", 1, 100, {})
        causes.append(testing.signature(network, parameters, recording).causes)
    assert causes[0][0] == 2 and causes[1][0] == 1


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


def test_relative_errors_have_a_floor_and_no_blind_spot():
    assert testing.relative_errors(1.0, 1.0 + 1e-6, 1e-3) == pytest.approx(1e-6, rel=1e-3)
    assert testing.relative_errors(1e-9, 0.0, 1e-3) == pytest.approx(1e-6)
    assert testing.relative_errors(np.nan, 1.0, 1e-3) == np.inf
    floor = testing.floors({"a": np.array([1e-3, 2.0]), "b": np.zeros(2), "c": np.zeros(0)})
    assert floor == {"a": 2e-3, "b": 2e-6, "c": 2e-6}


def test_what_is_left_of_terms_that_cancel_is_no_difference_and_nothing_else_is_excused():
    errors = testing.relative_errors([9e-16, 1e-13, 1.0], [-1e-16, 0.0, 1.0 + 1e-12], 1e-7, largest=0.07)
    assert errors[0] <= testing.ROUNDINGS * np.finfo(float).eps  # 60 eps of the largest
    assert errors[1] == pytest.approx(1e-6) and errors[2] == pytest.approx(1e-12, rel=1e-3)
    assert testing.largest_of({"a": np.array([-3.0, 1.0]), "b": np.zeros(0)}) == 3.0
    # an infinite gradient would excuse every other difference
    assert testing.largest_of({"a": np.array([np.inf]), "b": np.ones(2)}) == 0.0 == testing.largest_of({})


@pytest.mark.parametrize("seed", [101774, 102290])
def test_engines_agree_where_a_loss_on_a_maximum_has_gradients_of_exactly_zero(seed):
    case = random_case(seed, loss=LOSSES[seed % 6], topology=TOPOLOGIES[seed // 6 % 5])
    assert isinstance(case.loss, MaxVoltage)
    assert compare_engines(*case[:4], loss=case.loss, duration=case.duration).n_spikes > 0


def test_a_gradient_of_exactly_zero_agrees_with_complex_steps():
    case = random_case(200016, n_samples=1, duration=40.0, max_spikes=60)
    arguments = {"loss": case.loss, "duration": case.duration, "method": "complex", "n_coordinates": 60}
    assert check_gradients(*case[:4], seed=200016, **arguments).complex.quantile(1.0) <= 1e-8


def test_compare_engines_sees_a_wrong_gradient(monkeypatch):
    case = random_case(1, loss="mean")
    right = module.value_and_grad

    def wrong(*args, **kwargs):
        value, gradients, times, recording = right(*args, **kwargs)
        if kwargs["engine"] == "compiled":
            gradients["hidden->out.weight" if "hidden->out.weight" in gradients else next(iter(gradients))] *= 1 + 1e-7
        return value, gradients, times, recording

    assert compare_engines(*case[:4], loss=case.loss, duration=case.duration).gradient_error < 1e-8
    monkeypatch.setattr(module, "value_and_grad", wrong)
    with pytest.raises(EngineMismatch) as caught:
        compare_engines(*case[:4], loss=case.loss, duration=case.duration)
    assert caught.value.what in case.parameters and not caught.value.comparison.ill_conditioned


@pytest.mark.parametrize(("change", "what"), [("times", "times"), ("neurons", "spikes"), ("drop", "spikes")])
def test_compare_engines_sees_a_wrong_spike(monkeypatch, change, what):
    cases = (random_case(seed, loss="mean", topology="recurrent") for seed in range(100))
    case = next(case for case in cases if case.network.populations["hidden"].n > 1)
    right = module.value_and_grad

    def wrong(*args, **kwargs):
        result = right(*args, **kwargs)
        recording = result[-1]
        if kwargs["engine"] == "compiled":
            recording._order.clear()
            if change == "times":
                recording.times[0] += 2e-9
            elif change == "neurons":
                recording.neurons[0] += 1 if recording.neurons[0] == recording.slices["hidden"][0] else -1
            else:
                recording.offsets[1:] -= 1
        return result

    monkeypatch.setattr(module, "value_and_grad", wrong)
    with pytest.raises(EngineMismatch) as caught:
        compare_engines(*case[:4], loss=case.loss, duration=case.duration)
    assert caught.value.what == what


def test_random_cases_are_functions_of_their_seed_and_cover_the_ground():
    cases = [random_case(seed) for seed in range(150)]
    again = random_case(7)
    assert again.network.fingerprint() == cases[7].network.fingerprint()
    assert all(np.array_equal(again.parameters[k], cases[7].parameters[k]) for k in again.parameters)
    connections = [c for case in cases for c in case.network.connections.values()]
    assert {c.delay_per for c in connections if c.delay is not None} == {"synapse", "neuron", "connection"}
    assert any(c.delay is None for c in connections) and any(c.indptr is not None for c in connections)
    assert any(c.pre == c.post for c in connections)
    assert {len(case.batch) for case in cases} == {1, 2}
    assert {type(case.loss).__name__ for case in cases} >= {"MeanVoltage", "MaxVoltage", "RelativeFirstSpike"}
    taus = [
        case.network.value_of(p.name, key, case.parameters)
        for case in cases
        for p in case.network.populations.values()
        if p.kind == "lif"
        for key in ("tau_mem", "tau_syn")
    ]
    ratios = [mem[0] / syn[0] for mem, syn in zip(taus[::2], taus[1::2], strict=True)]
    assert 1.0 in ratios and any(0 < abs(r - 1) < 1e-6 for r in ratios)
    assert any(np.ptp(tau) > 0 for tau in taus)
    trained = {name.rsplit(".", 1)[1] for case in cases for name in case.network.trainable}
    assert trained == {"weight", "delay", "tau_mem", "tau_syn", "v_threshold"}
    batches = [batch for case in cases for batch in case.batch.values()]
    assert any(batch.counts is not None for batch in batches)
    assert any(np.any((np.diff(b.times) == 0) & (np.diff(b.units) != 0)) for b in batches)
    assert any(np.any(b.times >= case.duration) for case in cases for b in case.batch.values())
    assert any(
        np.max(v, initial=0) > case.duration for case in cases for k, v in case.parameters.items() if "delay" in k
    )


@given(st.data())
def test_strategies_make_networks_that_run(data):
    network = data.draw(testing.networks())
    parameters = data.draw(testing.parameters_for(network))
    batch = data.draw(testing.batches_for(network))
    loss = MeanVoltage("out")
    labels = np.zeros(len(batch["in"]), int)
    comparison = compare_engines(network, parameters, batch, labels, loss=loss, duration=60.0, max_spikes=5000)
    assert comparison.time_error <= 1e-9 and comparison.n_spikes >= 0


def test_named_losses_are_those_of_the_module():
    assert isinstance(random_case(0, loss="first").loss, FirstSpike)
    assert isinstance(random_case(0, loss="regression").loss, SpikeTimeRegression)
