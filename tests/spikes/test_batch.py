"""Trains and batches of spikes: sorted, merged, indexed, refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import SpikeBatch, SpikeTrain
from eventsnn.errors import InvalidInput

SPIKES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(1, 3)), max_size=15)


def columns(spikes):
    table = np.array(spikes, float).reshape(-1, 3)
    return table[:, 0] / 4, table[:, 1].astype(int), table[:, 2]


@given(SPIKES, st.randoms(use_true_random=False))
def test_a_train_is_sorted_whatever_the_order_given(spikes, random):
    shuffled = list(spikes)
    random.shuffle(shuffled)
    one, two = SpikeTrain(*columns(spikes)), SpikeTrain(*columns(shuffled))
    keys = list(zip(one.times, one.units, one.counts, strict=True))
    assert keys == sorted((t / 4, u, c) for t, u, c in spikes)
    for name in ("times", "units", "counts"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


@given(SPIKES)
def test_merging_keeps_every_spike_once(spikes):
    merged = SpikeTrain(*columns(spikes)).merged()
    expected = {}
    for t, u, c in spikes:
        expected[t / 4, u] = expected.get((t / 4, u), 0) + c
    assert dict(zip(zip(merged.times, merged.units, strict=True), merged.counts, strict=True)) == expected
    assert len(merged) == len(expected)


def test_dtypes_and_counts_by_default():
    train = SpikeTrain([3, 1], [0, 2])
    assert train.times.dtype == np.float64 and train.units.dtype == np.int32 and train.counts is None
    assert train.times.tolist() == [1.0, 3.0] and train.units.tolist() == [2, 0]
    assert train.merged().counts.tolist() == [1.0, 1.0]
    assert len(SpikeTrain([], [])) == len(SpikeTrain([], []).merged()) == 0


def test_negative_zero_and_zero_are_one_time():
    assert SpikeTrain([-0.0], [0]).times.tobytes() == SpikeTrain([0.0], [0]).times.tobytes()
    assert len(SpikeTrain([0.0, -0.0], [1, 1]).merged()) == 1


def test_float16_times_become_float64_without_change():
    times = np.array([0.1, 2.5], np.float16)
    assert SpikeTrain(times, [0, 1]).times.tolist() == times.astype(float).tolist()


@given(st.lists(SPIKES, min_size=1, max_size=5), st.data())
def test_a_batch_gives_back_its_samples(samples, data):
    batch = SpikeBatch.from_lists([columns(spikes) for spikes in samples])
    assert len(batch) == batch.n_samples == len(samples)
    for train, spikes in zip(batch, samples, strict=True):
        expected = SpikeTrain(*columns(spikes))
        assert train.times.tolist() == expected.times.tolist() and train.counts.tolist() == expected.counts.tolist()
    chosen = data.draw(st.lists(st.integers(0, len(samples) - 1), max_size=6))
    part = batch[chosen]
    assert len(part) == len(chosen)
    for train, index in zip(part, chosen, strict=True):
        assert (
            train.times.tolist() == batch[index].times.tolist() and train.units.tolist() == batch[index].units.tolist()
        )


def test_indexing_by_slices_masks_and_negative_numbers():
    batch = SpikeBatch.from_lists([([1.0], [0]), ([2.0, 3.0], [1, 1]), ([], [])])
    assert [len(train) for train in batch[1:]] == [2, 0]
    assert [len(train) for train in batch[::-1]] == [0, 2, 1]
    assert [len(train) for train in batch[np.array([True, False, True])]] == [1, 0]
    assert batch[-2].times.tolist() == [2.0, 3.0]
    for index in (3, -4):
        with pytest.raises(IndexError, match="batch of 3"):
            batch[index]


def test_samples_with_and_without_counts_mix():
    batch = SpikeBatch.from_lists([([1.0], [0]), SpikeTrain([2.0], [0], [3.0])])
    assert batch.counts.tolist() == [1.0, 3.0]
    assert SpikeBatch.from_lists([([1.0], [0])]).counts is None


def test_equal_spikes_stay_separate_in_a_batch():
    assert SpikeBatch.from_lists([([1.0, 1.0], [0, 0])]).times.size == 2


def test_constructor_checks_order_within_samples_only():
    batch = SpikeBatch(np.array([5.0, 1.0]), np.array([0, 0]), np.array([0, 0, 1, 2, 2]))
    assert [len(train) for train in batch] == [0, 1, 1, 0]
    with pytest.raises(InvalidInput, match="from_lists"):
        SpikeBatch(np.array([5.0, 1.0]), np.array([0, 0]), np.array([0, 2]))


@pytest.mark.parametrize(
    "trains",
    [[[1.5, 2.5], [3.5, 4.5]], [[1, 2], [3]], [[1.0], [2.0], [3.0], [4.0]], [[1.0, 2.0]]],
)
def test_one_train_for_each_neuron_is_refused_with_what_to_write_instead(trains):
    with pytest.raises(InvalidInput, match=r"np.concatenate\(trains\), np.repeat\(np.arange\(len\(trains\)\)"):
        SpikeBatch.from_lists([trains])
    units = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    batch = SpikeBatch.from_lists([(np.concatenate(trains), units)])
    assert batch.units.tolist() == units.tolist() and batch.times.tolist() == sum(trains, [])


def test_trains_with_a_unit_as_one_sample_are_refused_with_what_to_write_instead():
    quantities = pytest.importorskip("quantities")  # which trains of neo are
    trains = [np.array(times) * quantities.s for times in ([0.001, 0.002], [0.003, 0.004])]
    with pytest.raises(InvalidInput, match=r"units is 'in the unit .*np\.repeat.*rescale\('ms'\)\.magnitude"):
        SpikeBatch.from_lists([trains])
    trains = [train.rescale("ms").magnitude for train in trains]
    batch = SpikeBatch.from_lists([(np.concatenate(trains), np.repeat(np.arange(2), [len(train) for train in trains]))])
    assert batch.times.tolist() == [1.0, 2.0, 3.0, 4.0] and batch.units.tolist() == [0, 0, 1, 1]
