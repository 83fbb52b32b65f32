"""The compiled engine agrees with the reference on random networks."""

import pytest

from eventsnn.testing import LOSSES, TOPOLOGIES, EngineMismatch, compare_engines, random_case

# Networks on which the engines are compared in every run; `tests/long` takes many more.
N_NETWORKS = 510


@pytest.mark.parametrize("part", range(10))
def test_compiled_engine_agrees_with_the_reference(part):
    excused, times, gradients, n_spikes = [], [], [], 0
    for seed in range(1000 + part, 1000 + N_NETWORKS, 10):
        # every pair of loss and topology comes up
        choice = {"loss": LOSSES[seed % len(LOSSES)], "topology": TOPOLOGIES[seed // 2 % len(TOPOLOGIES)]}
        # half of the runs end within a window
        duration = 40.0 if seed % 4 < 2 else 39.3
        case = random_case(seed, **choice, n_samples=2, duration=duration, max_spikes=150)
        try:
            found = compare_engines(*case[:4], loss=case.loss, duration=case.duration)
        except EngineMismatch as mismatch:
            # an excuse must be earned: only a contact too flat for double precision gives one
            assert mismatch.comparison.ill_conditioned, f"seed {seed}: {mismatch}"
            excused.append(seed)
            continue
        times.append(found.time_error)
        gradients.append(found.gradient_error)
        n_spikes += found.n_spikes
    assert len(times) + len(excused) == N_NETWORKS // 10
    assert len(excused) <= 1, excused
    assert max(times) <= 1e-9 and max(gradients) <= 1e-8
    assert n_spikes >= 500
