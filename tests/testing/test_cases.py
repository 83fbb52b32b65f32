"""Random cases are functions of their seed and cover the ground."""

import numpy as np

from eventsnn import simulate
from eventsnn.losses import FirstSpike, SpikeTimeRegression
from eventsnn.testing import random_case


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
    assert trained == {"weight", "delay", "tau_mem", "tau_syn", "v_threshold", "v_reset", "v_rest", "bias"}
    batches = [batch for case in cases for batch in case.batch.values()]
    assert any(batch.counts is not None for batch in batches)
    assert any(np.any((np.diff(b.times) == 0) & (np.diff(b.units) != 0)) for b in batches)
    assert any(np.any(b.times >= case.duration) for case in cases for b in case.batch.values())
    assert any(
        np.max(v, initial=0) > case.duration for case in cases for k, v in case.parameters.items() if "delay" in k
    )


def test_random_cases_have_resets_rests_and_biases_of_every_kind_and_none():
    cases = [random_case(seed) for seed in range(150)]
    kinds, fired_by_themselves, apart, plain = set(), 0, 0, 0
    deep_resets = low_rests = just_below = 0
    for case in cases:
        of_neurons = [p for p in case.network.populations.values() if p.kind != "input"]
        given = [(p, key) for p in of_neurons for key in ("v_reset", "v_rest", "bias") if key in p.settings]
        kinds |= {(p.kind, key, type(p.settings[key]).__name__, key in p.train) for p, key in given}
        plain += not given
        for p in of_neurons:
            if p.kind == "lif":
                reset, rest, bias, threshold = (
                    case.network.value_of(p.name, key, case.parameters)
                    for key in ("v_reset", "v_rest", "bias", "v_threshold")
                )
                fired_by_themselves += np.any(rest + bias > threshold)
                apart += np.max(reset) >= np.min(threshold)
                # in units of the way from rest to threshold, wherever the zero of V is
                way = threshold - rest
                deep_resets += np.any(rest - reset > 1.2 * way)
                low_rests += np.any(rest < -1.5)
                just_below += np.any((0.75 * way < bias) & (bias < way))
    for key in ("v_reset", "v_rest", "bias"):
        assert {("lif", key, form, trained) for form in ("Constant", "Given") for trained in (True, False)} <= kinds
    assert {("readout", key, "Given", True) for key in ("v_rest", "bias")} <= kinds
    assert ("lif", "bias", "Uniform", False) in kinds
    assert plain >= 15 and fired_by_themselves >= 10 and apart >= 10
    assert min(deep_resets, low_rests, just_below) >= 10, (deep_resets, low_rests, just_below)


def test_random_cases_far_from_zero_fire_and_do_not_storm():
    fired = []
    for seed in range(60):
        case = random_case(seed, max_spikes=100)
        settings = {"duration": case.duration, "n_threads": 1, "max_spikes": 100}
        fired.append(simulate(case.network, case.parameters, case.batch, **settings).times.size)
    assert np.count_nonzero(fired) > 50 and np.median(fired) > 20


def test_named_losses_are_those_of_the_module():
    assert isinstance(random_case(0, loss="first").loss, FirstSpike)
    assert isinstance(random_case(0, loss="regression").loss, SpikeTimeRegression)
