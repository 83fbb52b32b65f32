"""Random cases are functions of their seed and cover the ground."""

import numpy as np

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
    assert trained == {"weight", "delay", "tau_mem", "tau_syn", "v_threshold"}
    batches = [batch for case in cases for batch in case.batch.values()]
    assert any(batch.counts is not None for batch in batches)
    assert any(np.any((np.diff(b.times) == 0) & (np.diff(b.units) != 0)) for b in batches)
    assert any(np.any(b.times >= case.duration) for case in cases for b in case.batch.values())
    assert any(
        np.max(v, initial=0) > case.duration for case in cases for k, v in case.parameters.items() if "delay" in k
    )


def test_named_losses_are_those_of_the_module():
    assert isinstance(random_case(0, loss="first").loss, FirstSpike)
    assert isinstance(random_case(0, loss="regression").loss, SpikeTimeRegression)
