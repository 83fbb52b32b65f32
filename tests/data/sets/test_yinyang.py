"""The Yin-Yang task: the figure, the balance of its classes, and the coding as spike times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data.sets.yinyang import load_yin_yang, yin_yang_class, yin_yang_points, yin_yang_spikes
from eventsnn.errors import InvalidInput
from eventsnn.random import stream

YIN, YANG, DOT = 0, 1, 2


def published_class(x, y, r_small=0.1, r_big=0.5):
    """The published definition, criterion by criterion, one point at a time."""
    to_right = np.sqrt((x - 1.5 * r_big) ** 2 + (y - r_big) ** 2)
    to_left = np.sqrt((x - 0.5 * r_big) ** 2 + (y - r_big) ** 2)
    in_right_dot = to_right <= r_small
    around_left_dot = r_small < to_left <= 0.5 * r_big
    above_right = y > r_big and to_right > 0.5 * r_big
    if to_right < r_small or to_left < r_small:
        return DOT
    return YIN if in_right_dot or around_left_dot or above_right else YANG


@pytest.mark.parametrize(
    ("point", "label"),
    [
        ((0.25, 0.5), DOT),
        ((0.75, 0.59), DOT),
        ((0.75, 0.61), YANG),
        ((0.25, 0.39), YIN),
        ((0.5, 0.9), YIN),
        ((0.5, 0.1), YANG),
        ((0.75, 0.3), YANG),
        ((0.25, 0.7), YIN),
    ],
)
def test_known_points(point, label):
    assert yin_yang_class(*point) == label


@given(st.floats(0, 1), st.floats(0, 1))
def test_every_point_is_classed_as_published(x, y):
    assert yin_yang_class(x, y) == published_class(x, y)


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_half_a_turn_swaps_yin_and_yang(x, y):
    distances = [np.hypot(x - 0.25, y - 0.5), np.hypot(x - 0.75, y - 0.5)]
    edges = [abs(distance - radius) for distance in distances for radius in (0.1, 0.25)]
    if min(*edges, abs(y - 0.5)) < 1e-6:
        return
    assert yin_yang_class(1 - x, 1 - y) == {YIN: YANG, YANG: YIN, DOT: DOT}[int(yin_yang_class(x, y))]


def test_points_lie_in_the_disc_and_have_the_class_they_are_given():
    points, labels = yin_yang_points(3000, stream(0, "test"))
    assert (np.hypot(points[:, 0] - 0.5, points[:, 1] - 0.5) <= 0.5).all()
    assert np.array_equal(yin_yang_class(points[:, 0], points[:, 1]), labels)
    assert np.bincount(labels).tolist() == [1000, 1000, 1000]
    assert len(np.unique(points, axis=0)) == 3000


def test_points_are_uniform_within_a_class():
    points, labels = yin_yang_points(6000, stream(1, "test"))
    dots = points[labels == DOT]
    left = dots[:, 0] < 0.5
    assert abs(left.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)
    inner = np.hypot(np.where(left, dots[:, 0] - 0.25, dots[:, 0] - 0.75), dots[:, 1] - 0.5) < 0.1 / np.sqrt(2)
    assert abs(inner.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)


def test_the_order_of_classes_is_mixed():
    _, labels = yin_yang_points(300, stream(2, "test"))
    assert (np.diff(labels) != 0).mean() < 0.9


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10])
def test_small_sets_are_balanced_to_within_one(size):
    points, labels = yin_yang_points(size, stream(0, "test"))
    counts = np.bincount(labels, minlength=3)
    assert points.shape == (size, 2) and counts.max() - counts.min() <= 1


def test_coding_is_one_spike_per_unit_with_late_for_large():
    train = yin_yang_spikes(np.array([[0.0, 1.0]]), 1.5, 20.0)[0]
    assert train.times.tolist() == [1.5, 1.5, 20.0, 20.0] and train.units.tolist() == [0, 3, 1, 2]
    train = yin_yang_spikes(np.array([[0.25, 0.5]]), 2.0, 10.0, bias=3.0)[0]
    assert dict(zip(train.units.tolist(), train.times.tolist(), strict=True)) == {
        0: 4.0,
        1: 6.0,
        2: 8.0,
        3: 6.0,
        4: 3.0,
    }


@pytest.mark.parametrize("arguments", [(5.0, 5.0), (-1.0, 5.0), (1.0, np.inf), (1.5, 20.0, -1.0), (1.5, 20.0, np.nan)])
def test_coding_refuses_other_times(arguments):
    with pytest.raises(InvalidInput):
        yin_yang_spikes(np.array([[0.5, 0.5]]), *arguments)


def test_the_three_sets():
    sets = load_yin_yang(seed=3)
    assert [len(data) for data in sets] == [5000, 1000, 1000]
    for data in sets:
        assert (data.n_units, data.n_classes) == (4, 3)
        assert (np.diff(data.spikes.offsets) == 4).all()
        assert data.spikes.times.min() >= 1.5 and data.spikes.times.max() <= 20.0
        counts = np.bincount(data.labels)
        assert counts.max() - counts.min() <= 1
    firsts = [data.spikes.times[:400].tobytes() for data in sets]
    assert len(set(firsts)) == 3


def test_sets_are_functions_of_the_seed():
    one, two, other = (load_yin_yang(seed, (60, 30, 30)) for seed in (1, 1, 2))
    assert all(np.array_equal(a.spikes.times, b.spikes.times) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0].spikes.times, other[0].spikes.times)
    assert load_yin_yang(1, (6, 3, 3), bias=0.0)[0].n_units == 5
    with pytest.raises(InvalidInput):
        load_yin_yang(1, (6, 3))
