"""Augmentation: each option does what it says, to spikes, as a function of (seed, epoch, sample)."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data.augment import (
    Augmentation,
    blend,
    change_gain,
    drop_spikes,
    jitter_time,
    mask_channels,
    mask_time,
    scale_time,
    shift_channels,
)
from eventsnn.data.dataset import Dataset
from eventsnn.errors import InvalidInput
from eventsnn.spikes import SpikeBatch

N_UNITS = 60
ALL = Augmentation(
    blend=0.5,
    time_scale=0.1,
    channel_shift=5,
    time_jitter=1.0,
    channel_mask=9,
    time_mask=20.0,
    spike_drop=0.2,
    gain=0.5,
)


def make(n_samples=12, n_classes=3, size=200, seed=0, counts=False):
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(n_samples):
        sample = (np.sort(rng.integers(0, 800, size) / 4), rng.integers(10, N_UNITS - 10, size))
        samples.append((*sample, rng.integers(1, 4, size).astype(float)) if counts else sample)
    labels = np.arange(n_samples) % n_classes
    return Dataset(SpikeBatch.from_lists(samples), labels, N_UNITS, n_classes, 250.0)


def same(first, second):
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("times", "units", "offsets", "counts")]
    return all((a is None and b is None) or np.array_equal(a, b) for a, b in pairs)


def sample_of(batch, index):
    train = batch[index]
    return train.times, train.units, train.counts


def test_without_options_nothing_changes():
    data = make()
    assert same(Augmentation()(data, [3, 1], seed=0, epoch=0), data.spikes[[3, 1]])
    assert len(Augmentation()(data, [], seed=0, epoch=0)) == 0


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_sample_does_not_depend_on_the_batch_it_is_in(seed, epoch):
    data = make()
    together = ALL(data, [7, 2, 9], seed, epoch)
    alone = ALL(data, [2], seed, epoch)
    assert same(together[[1]], alone)
    assert same(alone, ALL(data, np.array([2]), seed, epoch))


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(blend=1.0),
        Augmentation(time_scale=0.2),
        Augmentation(channel_shift=8),
        Augmentation(time_jitter=2.0),
        Augmentation(channel_mask=20),
        Augmentation(time_mask=50.0),
        Augmentation(spike_drop=0.3),
    ],
)
def test_every_option_draws_from_seed_epoch_and_sample(augmentation):
    data = make(n_classes=1)
    batches = [augmentation(data, range(12), seed, epoch) for seed, epoch in ((1, 2), (1, 3), (2, 2))]
    assert same(batches[0], augmentation(data, range(12), 1, 2))
    assert not same(batches[0], batches[1]) and not same(batches[0], batches[2])
    twins = replace(data, spikes=data.spikes[[0] * 12])
    changed = augmentation(twins, range(12), 1, 2)
    assert len({(train.times.tobytes(), train.units.tobytes()) for train in changed}) > 3


def test_switching_one_option_off_leaves_the_others_draws():
    data = make()
    shifted = Augmentation(channel_shift=5)(data, range(12), 1, 0)
    both = Augmentation(channel_shift=5, time_scale=0.1)(data, range(12), 1, 0)
    assert np.array_equal(shifted.units, both.units)
    assert np.array_equal(shifted.offsets, both.offsets) and not np.array_equal(shifted.times, both.times)


def test_a_shift_is_one_number_for_the_whole_sample_and_within_range():
    data = make()
    shifts = set()
    for epoch in range(40):
        changed = Augmentation(channel_shift=3)(data, [4], 0, epoch)
        assert np.array_equal(changed.times, data.spikes[4].times)
        moved = set((changed.units - data.spikes[4].units).tolist())
        assert len(moved) == 1
        shifts |= moved
    assert shifts == {-3, -2, -1, 0, 1, 2, 3}


def test_spikes_that_leave_the_channels_are_dropped():
    spikes = (np.arange(60.0), np.arange(60), None)
    for seed in range(20):
        times, units, _ = shift_channels(spikes, np.random.default_rng(seed), 40, N_UNITS)
        shift = int(units[0] - times[0])
        expected = np.arange(max(0, -shift), min(60, 60 - shift))
        assert np.array_equal(times, expected) and np.array_equal(units, expected + shift)


@given(st.integers(0, 1000), st.integers(0, 60), st.integers(0, 60))
def test_a_blend_moves_both_to_the_common_centre(seed, first_size, second_size):
    rng = np.random.default_rng(seed)
    parts = []
    for size, low in ((first_size, 20), (second_size, 30)):
        times = np.sort(rng.uniform(100, 150 + low, size))
        parts.append((times, rng.integers(low, low + 9, size).astype(np.int32), None))
    times, units, counts = blend(*parts, np.random.default_rng(1), N_UNITS, keep=1.0)
    assert counts is None and times.size == first_size + second_size
    assert np.array_equal(np.lexsort((units, times)), np.arange(times.size))
    if first_size and second_size:
        middle = np.mean([part[0].mean() for part in parts])
        assert np.isclose(times.mean(), middle, rtol=1e-12)
        middle = np.mean([part[1].mean() for part in parts])
        assert abs(units.mean() - middle) <= 0.5 + 1e-12
    elif times.size:
        assert np.array_equal(times, parts[0][0] if first_size else parts[1][0])


def test_a_blend_keeps_half_of_each():
    rng = np.random.default_rng(0)
    times = [np.sort(rng.uniform(50, 300, 4000)) for _ in range(2)]
    first = (times[0], np.full(4000, 20, np.int32), np.full(4000, 1.0))
    second = (times[1], np.full(4000, 30, np.int32), np.full(4000, 2.0))  # the counts tell them apart afterwards
    _, units, counts = blend(first, second, np.random.default_rng(1), N_UNITS)
    assert set(units) == {25}
    for count in (1.0, 2.0):
        assert abs((counts == count).sum() - 2000) < 4 * np.sqrt(4000) / 2


def test_a_blend_drops_what_leaves_the_range():
    low = (np.array([0.0, 10.0]), np.array([0, 10], np.int32), None)
    high = (np.array([100.0, 101.0]), np.array([58, 59], np.int32), None)
    wide = (np.array([0.0, 200.0]), np.array([0, 59], np.int32), None)
    times, units, _ = blend(low, wide, np.random.default_rng(0), N_UNITS, keep=1.0)
    # centres 5 and 100 ms, channels 5 and 29.5: the first moves by 47.5 and 12, the second by -47.5 and -12
    assert times.tolist() == [47.5, 57.5, 152.5] and units.tolist() == [12, 22, 47]
    times, units, _ = blend(wide, high, np.random.default_rng(0), N_UNITS, keep=1.0)
    assert (units < N_UNITS).all() and (units >= 0).all() and len(times) == 3


def test_blends_are_of_one_class_and_not_with_oneself():
    rng = np.random.default_rng(0)
    samples = [(np.sort(rng.uniform(50, 60, 30)), np.full(30, 10 + 10 * (index % 3))) for index in range(9)]
    data = Dataset(SpikeBatch.from_lists(samples), np.arange(9) % 3, N_UNITS, 3, 100.0)
    for epoch in range(10):
        blended = Augmentation(blend=1.0, blend_keep=1.0)(data, range(9), 0, epoch)
        assert (np.diff(blended.offsets) == 60).all()
        for index, train in enumerate(blended):
            assert set(train.units) == {10 + 10 * (index % 3)}
            assert np.unique(np.diff(np.sort(train.times))).size > 30


def test_a_class_of_one_is_left_alone():
    data = make(n_samples=3, n_classes=3)
    assert same(Augmentation(blend=1.0)(data, range(3), 0, 0), data.spikes)


def test_the_fraction_of_blends():
    data = make(n_samples=400, size=5)
    lengths = np.diff(Augmentation(blend=0.25, blend_keep=1.0)(data, range(400), 0, 0).offsets)
    blended = (lengths != 5).mean()
    assert abs(blended - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 400)


def test_scaling_is_one_factor_per_sample():
    spikes = sample_of(make().spikes, 0)
    factors = []
    for seed in range(200):
        times, units, _ = scale_time(spikes, np.random.default_rng(seed), 0.2)
        ratio = times[-1] / spikes[0][-1]
        assert np.allclose(times, spikes[0] * ratio, rtol=1e-14) and np.array_equal(units, spikes[1])
        factors.append(ratio)
    assert 0.8 <= min(factors) < 0.83 and 1.17 < max(factors) <= 1.2


def test_jitter_has_its_deviation_and_no_negative_times():
    spikes = (np.full(20000, 50.0), np.arange(20000) % N_UNITS, None)
    times, units, _ = jitter_time(spikes, np.random.default_rng(0), 2.0)
    assert abs(times.mean() - 50.0) < 4 * 2.0 / np.sqrt(20000)
    assert abs(times.std() - 2.0) < 4 * 2.0 / np.sqrt(40000)
    assert np.array_equal(np.bincount(units), np.bincount(spikes[1])) and (np.diff(times) >= 0).all()
    early, _, _ = jitter_time((np.zeros(100), np.arange(100), None), np.random.default_rng(0), 1.0)
    assert (early > 0).all()


def test_drop_keeps_its_share_in_order():
    spikes = (np.arange(20000.0), np.arange(20000) % N_UNITS, np.arange(1.0, 20001.0))
    times, units, counts = drop_spikes(spikes, np.random.default_rng(0), 0.3)
    assert abs(times.size / 20000 - 0.7) < 4 * np.sqrt(0.21 / 20000)
    assert np.array_equal(units, times % N_UNITS) and np.array_equal(counts, (times + 1.0) / 0.7)


@pytest.mark.parametrize("counts", [None, np.full(20000, 3.0)])
def test_dropped_spikes_leave_the_expected_input_as_it_is(counts):
    spikes = (np.arange(20000.0), np.arange(20000) % N_UNITS, counts)
    _, _, kept = drop_spikes(spikes, np.random.default_rng(0), 0.5)
    total = 20000.0 if counts is None else counts.sum()
    assert abs(kept.sum() / total - 1.0) < 4 * np.sqrt(1 / 20000)


def test_a_channel_mask_silences_one_band():
    spikes = (np.arange(float(N_UNITS)), np.arange(N_UNITS), np.arange(1.0, N_UNITS + 1.0))
    widths, silenced = set(), np.zeros(N_UNITS)
    for seed in range(500):
        times, units, counts = mask_channels(spikes, np.random.default_rng(seed), 9, N_UNITS)
        gone = np.setdiff1d(spikes[1], units)
        widths.add(gone.size)
        silenced[gone] += 1
        assert gone.size == 0 or gone[-1] - gone[0] == gone.size - 1
        assert np.array_equal(times, units) and np.array_equal(counts, units + 1.0)
    assert widths == set(range(10)) and silenced.min() > 0
    left = {mask_channels(spikes, np.random.default_rng(seed), 10**6, N_UNITS)[0].size for seed in range(500)}
    assert {0, N_UNITS} <= left <= set(range(N_UNITS + 1))


def test_a_time_mask_silences_one_stretch():
    spikes = (np.arange(2000) / 10, np.arange(2000) % N_UNITS, np.arange(2000.0))
    lengths = []
    for seed in range(300):
        times, units, counts = mask_time(spikes, np.random.default_rng(seed), 50.0)
        gone = np.setdiff1d(spikes[0], times)
        lengths.append(gone.size / 10)
        assert gone.size == 0 or gone[-1] - gone[0] < 50.0
        assert np.allclose(np.diff(gone), 0.1) and np.array_equal(counts, np.rint(10 * times))
        assert np.array_equal(units, np.rint(10 * times) % N_UNITS)
    assert 40 < max(lengths) <= 50.1 and 15 < np.mean(lengths) < 27
    nothing = (np.zeros(0), np.zeros(0, int), None)
    assert mask_time(nothing, np.random.default_rng(0), 50.0) == nothing


@pytest.mark.parametrize("counts", [None, np.arange(1.0, 5.0)])
def test_gain_is_one_factor_on_all_counts(counts):
    spikes = (np.arange(4.0), np.arange(4), counts)
    factors = []
    for seed in range(400):
        times, units, changed = change_gain(spikes, np.random.default_rng(seed), 1.0)
        assert times is spikes[0] and units is spikes[1]
        ratio = changed / (1.0 if counts is None else counts)
        assert np.ptp(ratio) < 1e-12
        factors.append(ratio[0])
    assert 0.5 <= min(factors) < 0.52 and 1.95 < max(factors) <= 2.0
    assert abs(np.mean(np.log(factors))) < 4 * np.log(2.0) / np.sqrt(3 * 400)


@given(st.integers(0, 300), st.booleans())
def test_results_are_valid_batches_within_the_channels(seed, counts):
    data = make(seed=seed % 7, counts=counts)
    changed = ALL(data, range(12), seed, 1)  # the constructor of SpikeBatch refuses unsorted or negative times
    assert len(changed) == 12 and changed.times.size > 0
    assert changed.units.min() >= 0 and changed.units.max() < N_UNITS
    assert changed.counts is not None  # dropping gives those that stay a count
    plain = replace(ALL, spike_drop=0.0, gain=0.0)(data, range(12), seed, 1)
    assert (plain.counts is None) != counts


def test_counts_travel_with_their_spikes():
    data = make(counts=True)
    changed = Augmentation(channel_shift=4)(data, range(12), 0, 0)
    assert np.array_equal(changed.counts, data.spikes.counts)
    spikes = data.spikes
    later = SpikeBatch(spikes.times + 50.0, spikes.units, spikes.offsets, spikes.counts)  # so that none leaves at 0 ms
    blended = Augmentation(blend=1.0, blend_keep=1.0)(replace(data, spikes=later), [0], 0, 0)
    totals = {data.spikes[index].counts.sum() for index in (3, 6, 9)}
    assert blended.counts.sum() - data.spikes[0].counts.sum() in totals


@pytest.mark.parametrize(
    "options",
    [
        {"blend": 1.5},
        {"blend": -0.1},
        {"blend_keep": np.nan},
        {"time_scale": 1.0},
        {"channel_shift": -1},
        {"channel_shift": 2.5},
        {"channel_shift": np.inf},
        {"time_jitter": -1.0},
        {"time_jitter": np.inf},
        {"channel_mask": 1.5},
        {"channel_mask": -1},
        {"time_mask": -1.0},
        {"spike_drop": 1.0},
        {"gain": -0.1},
        {"gain": np.inf},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InvalidInput) as error:
        Augmentation(**options)
    assert error.value.array == next(iter(options))


def test_an_index_out_of_range_is_refused():
    with pytest.raises(InvalidInput, match="12"):
        Augmentation()(make(), [12], 0, 0)


def calls_of(compute):
    """How many functions of Python and C a call of ``compute`` calls."""
    n = 0

    def count(frame, event, argument):
        nonlocal n
        n += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        compute()
    finally:
        sys.setprofile(None)
    return n


def test_spikes_are_augmented_as_arrays():
    """As many calls for 7500 spikes a sample as for 75: a hundredfold batch takes tens of milliseconds, not seconds."""
    rng, augmentation, found = np.random.default_rng(0), Augmentation(blend=0.5, channel_shift=40), []
    for n in (75, 7500):
        samples = [(rng.random(n) * 1000, rng.integers(0, 700, n)) for _ in range(40)]
        data = Dataset(SpikeBatch.from_lists(samples), np.arange(40) % 2, 700, 2, 1000.0)
        augmentation(data, np.arange(32), 0, 0)  # what is imported or kept at the first call is not counted
        found.append(calls_of(lambda data=data: augmentation(data, np.arange(32), 0, 1)))
    assert found[1] <= 1.1 * found[0]
