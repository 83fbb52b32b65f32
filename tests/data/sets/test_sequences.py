"""Sequence detection: the same spikes in every order."""

import numpy as np
import pytest

from eventsnn.data.sets.sequences import sequence_detection
from eventsnn.errors import InvalidInput


def test_two_inputs_in_either_order():
    data = sequence_detection()
    assert (len(data), data.n_units, data.n_classes) == (2, 2, 2)
    first, second = data.spikes
    assert first.times.tolist() == second.times.tolist() == [0.0, 10.0]
    assert first.units.tolist() == [0, 1] and second.units.tolist() == [1, 0]
    assert data.labels.tolist() == [0, 1]


def test_all_orders_of_three_inputs_repeated():
    data = sequence_detection(times=(1.0, 4.0, 9.0), repeats=2, duration=60.0)
    assert (len(data), data.n_classes, data.duration) == (12, 6, 60.0)
    orders = {tuple(train.units.tolist()) for train in data.spikes}
    assert len(orders) == 6
    assert data.labels.tolist() == list(range(6)) * 2
    for label in range(6):
        assert len({tuple(data.spikes[index].units) for index in np.flatnonzero(data.labels == label)}) == 1


def test_chosen_orders():
    data = sequence_detection(times=(0.0, 5.0, 10.0), orders=[(2, 0, 1), (0, 1, 2)])
    assert [train.units.tolist() for train in data.spikes] == [[2, 0, 1], [0, 1, 2]]


def test_jitter_is_a_function_of_the_seed_and_stays_positive():
    one, two, other = (sequence_detection(repeats=50, jitter=3.0, seed=seed).spikes for seed in (1, 1, 2))
    assert np.array_equal(one.times, two.times) and not np.array_equal(one.times, other.times)
    assert (one.times >= 0).all()
    late = one.times[one.times > 5.0]
    assert abs(late.mean() - 10.0) < 1.5 and 2.0 < late.std() < 4.0


def test_times_with_a_unit_are_converted():
    assert sequence_detection(np.array([0, 10_000], "m8[us]")).spikes.times.tolist() == [0.0, 10.0] * 2


@pytest.mark.parametrize(
    "change",
    [
        {"times": ()},
        {"times": (0.0, -1.0)},
        {"times": (0.0, np.nan)},
        {"times": ("0", "10")},
        {"times": (0j, 10 + 1j)},
        {"times": np.array([0, 10], "M8[s]")},
        {"times": (False, True)},
        {"times": tuple(range(7))},
        {"orders": []},
        {"orders": [(0, 0)]},
        {"orders": [(0, 1), (0, 1, 2)]},
        {"repeats": 0},
        {"repeats": 1.5},
        {"jitter": -1.0},
        {"jitter": np.nan},
        {"duration": 0.0},
    ],
)
def test_other_arguments_are_refused(change):
    with pytest.raises(InvalidInput):
        sequence_detection(**change)
