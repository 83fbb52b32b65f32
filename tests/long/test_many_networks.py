"""Thousands of random networks: what the fast tests sample, at length. Run with ``make test-long``."""

import numpy as np
import pytest

from eventsnn.testing import (
    LOSSES,
    TOPOLOGIES,
    EngineMismatch,
    Tolerances,
    check_gradients,
    compare_engines,
    random_case,
)

pytestmark = pytest.mark.long
N_PARTS, N_NETWORKS = 20, 200


@pytest.mark.parametrize("part", range(N_PARTS))
def test_engines_agree_on_thousands_of_networks(part):
    excused, n_spikes = [], 0
    for seed in range(100_000 + part * N_NETWORKS, 100_000 + (part + 1) * N_NETWORKS):
        case = random_case(seed, loss=LOSSES[seed % 6], topology=TOPOLOGIES[seed // 6 % 5])
        try:
            n_spikes += compare_engines(*case[:4], loss=case.loss, duration=case.duration).n_spikes
        except EngineMismatch as mismatch:
            assert mismatch.comparison.ill_conditioned, f"seed {seed}: {mismatch}"
            excused.append(seed)
    assert len(excused) <= N_NETWORKS // 100, excused
    assert n_spikes >= 10 * N_NETWORKS


@pytest.mark.parametrize("part", range(4))
def test_gradients_on_many_coordinates(part):
    central, excluded = [], 0
    free = Tolerances(np.inf, np.inf, 1e-8)
    for seed in range(200_000 + 60 * part, 200_060 + 60 * part):
        case = random_case(seed, n_samples=1, duration=40.0, max_spikes=60)
        report = check_gradients(
            *case[:4], loss=case.loss, duration=case.duration, n_coordinates=60, seed=seed, tolerances=free
        )
        part_ = report.central
        central.append(part_.errors[(part_.analytic != 0) | (part_.numeric != 0)])
        excluded += len(part_.excluded)
    central = np.concatenate(central)
    assert np.median(central) <= 1e-8 and np.quantile(central, 0.99) <= 1e-5
    assert excluded <= 0.01 * (central.size + excluded)
