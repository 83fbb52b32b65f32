"""Gradients against complex steps and central differences, thousands of them; what value_and_grad returns."""

from dataclasses import dataclass

import mpmath
import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, simulate, stream, value_and_grad
from eventsnn.errors import InvalidInput
from eventsnn.losses import ExponentialMeanVoltage, MaxVoltage, MeanVoltage, SpikeCountTarget
from eventsnn.spikes import Cotangents, Probe
from eventsnn.testing import LOSSES, Tolerances, check_gradients, random_case

# The bars are on all coordinates together: a single network's worst one may do what it likes up to here.
ANY = Tolerances(np.inf, np.inf, np.inf)
SMALL = {"n_samples": 1, "duration": 30.0, "max_spikes": 30}
# {kind: how many derivatives of it are held at least}; a reset acts where a neuron goes on after a spike alone
KINDS = dict.fromkeys(("weight", "delay", "tau_mem", "tau_syn", "v_threshold", "v_rest", "bias", "times"), 50)
KINDS |= {"v_reset": 20}


def lively_cases(first_seed, n_cases):
    """(seed, Case) of random networks in which every LIF population fires: silent ones have no gradient to check."""
    seed = first_seed
    while n_cases:
        case = random_case(seed, loss=LOSSES[seed % len(LOSSES)], **SMALL)
        recording = simulate(case.network, case.parameters, case.batch, duration=case.duration, n_threads=1)
        lif = [p.name for p in case.network.populations.values() if p.kind == "lif"]
        if all(recording.spike_counts(name).any() for name in lif):
            n_cases -= 1
            yield seed, case
        seed += 1


def pooled(method, cases, n_each):
    """All differences of ``method`` over many random networks: (names, errors, live, excluded)."""
    names, errors, live, excluded = [], [], [], 0
    for seed, case in cases:
        report = check_gradients(
            *case[:4], loss=case.loss, duration=case.duration, method=method, n_coordinates=n_each, seed=seed,
            tolerances=ANY,
        )  # fmt: skip
        part = getattr(report, method)
        names += [name for name, _ in part.coordinates]
        errors.append(part.errors)
        live.append((part.analytic != 0) | (part.numeric != 0))
        excluded += len(part.excluded)
    return np.array(names), np.concatenate(errors), np.concatenate(live), excluded


def test_complex_steps():
    names, errors, live, excluded = pooled("complex", lively_cases(2000, 90), 45)
    assert np.max(errors) <= 1e-8
    assert excluded == 0 and np.sum(live) >= 2000
    for kind, least in KINDS.items():
        assert np.sum(live & np.char.endswith(names, f".{kind}")) >= least, kind


def test_central_differences():
    names, errors, live, excluded = pooled("central", lively_cases(4000, 96), 45)
    assert np.sum(live) >= 2000
    # coordinates whose derivative is exactly 0 on both sides would flatter the figures
    assert np.median(errors[live]) <= 1e-8
    assert np.quantile(errors[live], 0.99) <= 1e-5
    assert excluded <= 0.01 * (errors.size + excluded)
    for kind, least in KINDS.items():
        assert np.sum(live & np.char.endswith(names, f".{kind}")) >= least, kind


def test_reference_engine_against_central_differences():
    errors = []
    for seed in range(3):
        case = random_case(600 + seed, **SMALL)
        report = check_gradients(
            *case[:4], loss=case.loss, duration=case.duration, method="central", n_coordinates=25, engine="reference",
            tolerances=ANY,
        )  # fmt: skip
        errors.append(report.central.errors)
    assert np.quantile(np.concatenate(errors), 0.99) <= 1e-5


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_maximum_at_an_inhibitory_arrival(engine):
    # the second arrival ends the rise: the maximum is where it arrives, and moves with it
    network = Network()
    network.add_input("in", 2)
    network.add_readout("out", 2)
    network.connect("in", "out", weight=np.array([[1.0, 0.2], [-3.0, 0.1]]), delay=1.0)
    batch = SpikeBatch.from_lists([([10.0, 12.0], [0, 1])])
    report = check_gradients(
        network, network.initialize(), batch, np.array([0]), loss=MaxVoltage(), duration=60.0, engine=engine
    )
    assert report.central.excluded == ()


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_maximum_at_the_end(engine):
    network = Network()
    network.add_input("in", 1)
    network.add_readout("out", 2, train=True)
    network.connect("in", "out", weight=np.array([[1.0, 0.2]]), delay=1.0)
    batch = SpikeBatch.from_lists([([10.0], [0])])
    report = check_gradients(
        network, network.initialize(), batch, np.array([0]), loss=MaxVoltage(), duration=14.0, engine=engine
    )
    assert report.central.excluded == () and report.central.n_coordinates >= 7


def chain():
    network = Network()
    network.add_input("in", 2)
    network.add_lif("hidden", 3, train=("v_threshold",))
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=7.0, delay=2.0, train="weight")
    network.connect("hidden", "out", weight=np.array([[1.0, 0.5]] * 3), delay=1.0, train=False)
    return network, network.initialize()


BATCH = SpikeBatch.from_lists([([5.0, 6.0], [0, 1]), ([3.0], [0]), ([], [])])
LABELS = np.array([0, 1, 0])


def test_only_trained_parameters_have_gradients():
    network, parameters = chain()
    value, gradients = value_and_grad(
        network, parameters, BATCH, LABELS, loss=MeanVoltage(), duration=30.0, n_threads=1
    )
    assert isinstance(value, float)
    assert list(gradients) == network.trainable == ["hidden.v_threshold", "in->hidden.weight"]
    for name, values in gradients.items():
        assert values.dtype == np.float64 and values.shape == parameters[name].shape


def test_optional_results_come_in_their_order():
    network, parameters = chain()
    result = value_and_grad(
        network, parameters, BATCH, LABELS, loss=MeanVoltage(), duration=30.0, n_threads=1, input_times=True,
        return_recording=True,
    )  # fmt: skip
    value, gradients, times, recording = result
    assert times["in"].shape == BATCH.times.shape and len(recording) == 3
    assert np.isfinite(value) and np.any(times["in"] != 0)


def test_gradient_is_the_mean_over_samples():
    network, parameters = chain()
    arguments = {"loss": MeanVoltage(), "duration": 30.0, "n_threads": 1}
    whole = value_and_grad(network, parameters, BATCH, LABELS, **arguments)
    parts = [value_and_grad(network, parameters, BATCH[[k]], LABELS[[k]], **arguments) for k in range(3)]
    assert whole[0] == pytest.approx(np.mean([value for value, _ in parts]), rel=1e-14)
    for name, values in whole[1].items():
        np.testing.assert_allclose(values, np.mean([g[name] for _, g in parts], axis=0), rtol=1e-12, atol=1e-18)


def test_gradients_do_not_change_their_arguments():
    network, parameters = chain()
    before = {name: values.copy() for name, values in parameters.items()}
    value_and_grad(network, parameters, BATCH, LABELS, loss=MeanVoltage(), duration=30.0, n_threads=1)
    assert all(np.array_equal(before[name], parameters[name]) for name in before)


def test_regularizer_adds_its_value_and_pushes_counts_towards_the_target():
    network, parameters = chain()
    arguments = {"loss": MeanVoltage(), "duration": 30.0, "n_threads": 1, "return_recording": True}
    plain = value_and_grad(network, parameters, BATCH, LABELS, **arguments)
    counts = plain[2].spike_counts("hidden").mean(axis=0)
    regularizer = SpikeCountTarget("hidden", target=0.0, strength=2.0)
    held = value_and_grad(network, parameters, BATCH, LABELS, regularizers=(regularizer,), **arguments)
    assert held[0] == pytest.approx(plain[0] + np.sum(counts**2), rel=1e-13)
    # fewer spikes are wanted: descent must lower the weights and raise the thresholds
    pull = held[1]["in->hidden.weight"] - plain[1]["in->hidden.weight"]
    assert np.all(pull > 0)
    assert np.all(held[1]["hidden.v_threshold"] - plain[1]["hidden.v_threshold"] < 0)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_count_pseudo_gradient_is_that_of_a_voltage_before_the_spike(engine):
    # one spike caused by one arrival: the count grows by dV/theta, and dV/dw at the spike is the response to a unit
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0, v_threshold=1.5)
    network.connect("in", "hidden", weight=8.0)
    arguments = {"duration": 25.0, "engine": engine, "n_threads": 1, "return_recording": True}
    batch = SpikeBatch.from_lists([([1.0], [0])])
    loss = SpikeCountTarget("hidden", target=0.0, strength=3.0)
    _, gradients, recording = value_and_grad(network, network.initialize(), batch, [0], loss=loss, **arguments)
    assert recording.times.size == 1
    y = np.exp(-(recording.times[0] - 1.0) / 20.0)
    # kick: lambda_V gains -3/(tau_mem theta), and dL/dw = -tau_syn lambda_I
    assert gradients["in->hidden.weight"][0, 0] == pytest.approx(3.0 * (y - y**2) / 1.5, rel=1e-10)


def test_contradicting_decay_rates_are_refused():
    network, parameters = chain()
    with pytest.raises(InvalidInput, match="decay rate"):
        value_and_grad(
            network, parameters, BATCH, LABELS, loss=ExponentialMeanVoltage(tau_window=5.0), duration=30.0,
            regularizers=(ExponentialMeanVoltage(tau_window=6.0),),
        )  # fmt: skip


def test_a_plain_and_a_weighted_mean_of_one_readout_are_refused_together():
    network, parameters = chain()
    with pytest.raises(InvalidInput, match="decay rate"):
        value_and_grad(
            network, parameters, BATCH, LABELS, loss=MeanVoltage(), duration=30.0,
            regularizers=(ExponentialMeanVoltage(tau_window=6.0),),
        )  # fmt: skip


def test_maximum_joins_a_weighted_mean():
    network, parameters = chain()
    arguments = {"duration": 30.0, "n_threads": 1}
    weighted = ExponentialMeanVoltage(tau_window=6.0)
    parts = [value_and_grad(network, parameters, BATCH, LABELS, loss=l, **arguments) for l in (weighted, MaxVoltage())]
    joint = value_and_grad(network, parameters, BATCH, LABELS, loss=weighted, regularizers=(MaxVoltage(),), **arguments)
    assert joint[0] == pytest.approx(parts[0][0] + parts[1][0], rel=1e-14)
    for name, values in joint[1].items():
        np.testing.assert_allclose(values, parts[0][1][name] + parts[1][1][name], rtol=1e-11, atol=1e-16)


def test_empty_batch_is_refused():
    network, parameters = chain()
    with pytest.raises(InvalidInput, match="0 samples"):
        value_and_grad(
            network, parameters, SpikeBatch.from_lists([]), np.zeros(0, int), loss=MeanVoltage(), duration=30.0
        )


@dataclass(frozen=True)
class FirstIntegral:
    """A loss that is the weighted voltage integral of the readout's first neuron."""

    decay_rate: float

    def probes(self, network, duration):
        return {"out": Probe(decay_rate=self.decay_rate)}

    def __call__(self, recording, labels):
        integral = recording.readouts["out"].integral
        return integral[:, 0], Cotangents(integral={"out": np.tile([1.0, 0.0], (len(integral), 1))})


# (unit, time, count) of three input spikes, and the delays of four synapses, in durations: their sums are exact
SPIKES, WEIGHTS = ((0, 1 / 32, 1.0), (1, 1 / 4, 2.0), (0, 3 / 8, 3.0)), np.array([[1.5, 0.5], [0.7, -0.2]])
DELAYS = np.array([[1 / 8, 1 / 4], [1 / 16, 1 / 2]])
# Relative step of exact differences, and where equal time constants are moved apart.
STEP = mpmath.mpf(10) ** -40


def exact_readout(duration, rate, taus):
    """{name: value} of the integral of a readout's first neuron and of its derivatives, to 60 digits."""

    def unit(arrival, tau_mem, tau_syn):
        left, parts = duration - arrival, []
        for tau in (tau_mem, tau_syn):
            parts.append(-mpmath.expm1(-left * (rate + 1 / tau)) / (rate + 1 / tau))
        return mpmath.exp(-rate * arrival) * tau_syn / (tau_mem - tau_syn) * (parts[0] - parts[1])

    def slope(function, x):
        return (function(x * (1 + STEP)) - function(x * (1 - STEP))) / (2 * STEP * x)

    tau_mem, tau_syn = map(mpmath.mpf, taus)
    tau_syn *= 1 if tau_syn != tau_mem else 1 + STEP**2
    arrivals = [(u, mpmath.mpf(c), duration * (mpmath.mpf(t) + mpmath.mpf(DELAYS[u, 0]))) for u, t, c in SPIKES]
    charges = [mpmath.mpf(WEIGHTS[u, 0]) * c for u, c, _ in arrivals]
    later = [w * slope(lambda s: unit(s, tau_mem, tau_syn), s) for w, (*_, s) in zip(charges, arrivals, strict=True)]

    def integral(tau_mem, tau_syn):
        return sum(w * unit(s, tau_mem, tau_syn) for w, (*_, s) in zip(charges, arrivals, strict=True))

    values = {
        "integral": [integral(tau_mem, tau_syn)],
        "tau_mem": [slope(lambda tau: integral(tau, tau_syn), tau_mem)],
        "tau_syn": [slope(lambda tau: integral(tau_mem, tau), tau_syn)],
        "weight": [sum(c * unit(s, tau_mem, tau_syn) for v, c, s in arrivals if v == u) for u in range(2)],
        "delay": [later[0] + later[2], later[1]],
        "times": later,
    }
    return {name: np.array([float(x) for x in value]) for name, value in values.items()}


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("rate", [0.0, 0.03])
@pytest.mark.parametrize("per", ["synapse", "neuron"])
@pytest.mark.parametrize("others", ["alike", "different"])
def test_readouts_keep_their_digits_beside_long_time_constants(engine, rate, per, others):
    cases = [((10.0**k, 5.0), 128.0) for k in (10, 12, 15)] + [((5.0, 1e12), 128.0), ((1e10, 1e10), 128.0)]
    cases += [((20.0, 5.0), 2.0**-7), ((20.0, 5.0), 128.0), ((20.0, 20.0), 4.0), ((20.0, 20.0 * (1 + 1e-9)), 32.0)]
    cases += [((20.0, 20.0 * 1.0015), 32.0), ((1e15, 1e15 * (1 + 1e-12)), 128.0)]
    for taus, duration in cases:
        network = Network()
        network.add_input("in", 2)
        tau_mem = taus[0] if others == "alike" else np.array([taus[0], 33.0])
        network.add_readout("out", 2, tau_mem=tau_mem, tau_syn=taus[1], train=True)
        delays = DELAYS if per == "synapse" else DELAYS[:, 0]
        network.connect("in", "out", weight=WEIGHTS, delay=duration * delays, delay_per=per)
        units, times, counts = zip(*SPIKES, strict=True)
        batch = SpikeBatch.from_lists([(duration * np.array(times), units, counts)])
        parameters, loss = network.initialize(), FirstIntegral(rate)
        arguments = {"loss": loss, "duration": duration, "engine": engine, "n_threads": 1, "input_times": True}
        value, gradients, by_time = value_and_grad(network, parameters, batch, [0], **arguments)
        found = {"integral": [value], "times": by_time["in"]}
        for key in ("tau_mem", "tau_syn"):
            found[key] = gradients[f"out.{key}"].reshape(-1)[:1]
        for key in ("weight", "delay"):
            found[key] = gradients[f"in->out.{key}"].reshape(2, -1)[:, 0]
        with mpmath.workdps(160):
            exact = exact_readout(mpmath.mpf(duration), mpmath.mpf(rate), taus)
        for key, values in exact.items():
            np.testing.assert_allclose(found[key], values, rtol=1e-14, err_msg=f"{key}, {taus}, {duration}")
        if engine == "compiled":
            probes = loss.probes(network, duration)
            *_, last = stream(network, parameters, batch, duration=duration, every=duration / 3, probes=probes)
            np.testing.assert_allclose(last.readouts["out"].integral[0, 0], exact["integral"][0], rtol=1e-14)
