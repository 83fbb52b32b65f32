"""Dataset: choosing, splitting, merging channels, batches."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data import hdf5
from eventsnn.data.dataset import Dataset, find_file
from eventsnn.errors import InvalidInput
from eventsnn.spikes import SpikeBatch, SpikeTrain


def make(n_samples=10, n_units=20, n_classes=3, n_spikes=15, seed=0):
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(n_samples):
        size = rng.integers(0, n_spikes)
        samples.append((rng.integers(0, 40, size) / 2, rng.integers(0, n_units, size)))
    labels = np.arange(n_samples) % n_classes
    return Dataset(SpikeBatch.from_lists(samples), labels, n_units, n_classes, 25.0, np.arange(n_samples) % 4, "made")


def same(first, second):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("times", "units", "offsets"))


@pytest.mark.parametrize(
    ("change", "array"),
    [
        ({"labels": np.array([0, 1, 3])}, "labels"),
        ({"labels": np.array([0, -1, 1])}, "labels"),
        ({"labels": np.array([0, 1])}, "labels"),
        ({"labels": np.array([0.0, 1.0, 1.0])}, "labels"),
        ({"n_units": 2}, "spikes.units"),
        ({"duration": 0.0}, "duration"),
        ({"duration": np.nan}, "duration"),
        ({"groups": np.array([1, 2])}, "groups"),
        ({"spikes": [[1.0]]}, "spikes"),
    ],
)
def test_wrong_arguments_are_refused_by_name(change, array):
    spikes = SpikeBatch.from_lists([([1.0], [0]), ([1.0, 2.0], [0, 2]), ([], [])])
    good = {"spikes": spikes, "labels": np.array([0, 1, 2]), "n_units": 3, "n_classes": 3, "duration": 5.0}
    Dataset(**good)
    with pytest.raises(InvalidInput) as error:
        Dataset(**(good | change))
    assert error.value.array == array


def test_a_unit_out_of_range_names_its_sample():
    spikes = SpikeBatch.from_lists([([1.0], [0]), ([1.0, 2.0], [0, 2])])
    with pytest.raises(InvalidInput, match="sample 1"):
        Dataset(spikes, np.array([0, 0]), 2, 1, 5.0)


def test_select_takes_lists_masks_and_slices_in_order():
    data = make()
    chosen = data.select([7, 2, 2])
    assert chosen.labels.tolist() == [1, 2, 2] and chosen.groups.tolist() == [3, 2, 2]
    assert np.array_equal(chosen.spikes[0].times, data.spikes[7].times)
    assert np.array_equal(chosen.spikes[2].units, data.spikes[2].units)
    mask = data.labels == 1
    assert same(data.select(mask).spikes, data.select(np.flatnonzero(mask)).spikes)
    assert same(data.select(slice(2, 5)).spikes, data.select([2, 3, 4]).spikes)
    assert len(data.select([])) == 0 and data.select([]).n_classes == data.n_classes


@pytest.mark.parametrize("indices", [[10], [-11], [0.5], [[1]], np.ones(3, dtype=bool)])
def test_select_refuses_other_indices(indices):
    with pytest.raises(InvalidInput):
        make().select(indices)


def test_split_by_group_parts_the_samples():
    data = make()
    rest, chosen = data.split_by_group([1, 3])
    assert set(chosen.groups) == {1, 3} and set(rest.groups) == {0, 2}
    assert len(rest) + len(chosen) == len(data)
    rest, chosen = data.split_by_group(2)
    assert set(chosen.groups) == {2} and 2 not in rest.groups


def test_leaving_one_group_out_visits_each_once():
    data = make()
    found = list(data.leave_one_group_out())
    assert [group for group, _, _ in found] == np.unique(data.groups).tolist()
    for group, rest, chosen in found:
        assert set(chosen.groups.tolist()) == {group} and group not in rest.groups
        assert len(rest) + len(chosen) == len(data)
    for without in (replace(data, groups=None), data.split_by_group([0])[1]):
        with pytest.raises(InvalidInput, match="groups"):
            next(without.leave_one_group_out())


def test_split_by_group_refuses_unknown_and_missing_groups():
    data = make()
    with pytest.raises(InvalidInput, match="9"):
        data.split_by_group([1, 9])
    without = Dataset(data.spikes, data.labels, data.n_units, data.n_classes, data.duration)
    with pytest.raises(InvalidInput, match="group"):
        without.split_by_group([1])


@given(st.integers(1, 7), st.integers(0, 1000))
def test_merged_channels_are_what_merging_each_train_gives(factor, seed):
    data = make(6, seed=seed)
    merged = data.merge_channels(factor)
    assert merged.n_units == -(-data.n_units // factor)
    for before, after in zip(data.spikes, merged.spikes, strict=True):
        expected = SpikeTrain(before.times, before.units // factor).merged()
        for name in ("times", "units", "counts"):
            assert np.array_equal(getattr(expected, name), getattr(after, name))


def test_equal_spikes_of_neighbouring_samples_are_not_merged():
    spikes = SpikeBatch.from_lists([([1.0, 3.0], [0, 1]), ([3.0, 4.0], [0, 1])])
    merged = Dataset(spikes, np.zeros(2, int), 2, 1, 5.0).merge_channels(2)
    assert merged.spikes.offsets.tolist() == [0, 2, 4] and merged.spikes.counts.tolist() == [1.0] * 4


def test_merging_keeps_the_number_of_spikes_and_adds_counts():
    spikes = SpikeBatch.from_lists([([1.0, 1.0, 2.0], [0, 1, 0], [2.0, 3.0, 1.0]), ([], []), ([1.0], [1])])
    merged = Dataset(spikes, np.zeros(3, int), 2, 1, 5.0).merge_channels(2)
    assert merged.spikes.counts.tolist() == [5.0, 1.0, 1.0]
    assert merged.spikes.offsets.tolist() == [0, 2, 2, 3]


@pytest.mark.parametrize("factor", [0, -1, 1.5, "2", True, None, 2**31])
def test_merging_refuses_other_factors(factor):
    data = make()
    for merging in (data, data.spikes):
        with pytest.raises(InvalidInput, match="factor is .*; allowed: an int >= 1"):
            merging.merge_channels(factor)


def test_merging_takes_whole_numbers_of_numpy_and_the_largest():
    spikes = SpikeBatch.from_lists([([1.0, 2.0], [0, 5])])
    assert spikes.merge_channels(np.uint8(2)).units.tolist() == [0, 2]
    assert spikes.merge_channels(2**31 - 1).units.tolist() == [0, 0]


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_batches_visit_every_sample_once(batch_size, seed, epoch, shuffle):
    data = make()
    seen = []
    for indices, spikes, labels in data.batches(batch_size, seed, epoch, shuffle):
        assert np.array_equal(labels, data.labels[indices])
        assert same(spikes, data.spikes[indices])
        seen.extend(indices)
    assert sorted(seen) == list(range(10))
    assert shuffle or seen == list(range(10))


def test_the_order_is_a_function_of_seed_and_epoch():
    data = make(100)
    order = data.order(3, 5)
    assert np.array_equal(order, data.order(3, 5))
    assert not np.array_equal(order, data.order(3, 6)) and not np.array_equal(order, data.order(4, 5))
    indices = np.concatenate([indices for indices, _, _ in data.batches(7, 3, 5)])
    assert np.array_equal(indices, order)


def test_the_last_batch_is_kept_or_dropped():
    data = make()
    assert [len(indices) for indices, _, _ in data.batches(4, 0, 0)] == [4, 4, 2]
    assert [len(indices) for indices, _, _ in data.batches(4, 0, 0, drop_last=True)] == [4, 4]
    with pytest.raises(InvalidInput):
        data.batches(0, 0, 0)


def test_split_gives_each_part_its_share_of_every_class():
    data = make(300)
    parts = data.split((0.7, 0.1, 0.2), seed=1)
    assert [np.bincount(part.labels).tolist() for part in parts] == [[70] * 3, [10] * 3, [20] * 3]
    again = data.split((0.7, 0.1, 0.2), seed=1)
    assert all(same(one.spikes, two.spikes) for one, two in zip(parts, again, strict=True))
    assert not same(parts[0].spikes, data.split((0.7, 0.1, 0.2), seed=2)[0].spikes)
    lengths = np.sort(np.concatenate([np.diff(part.spikes.offsets) for part in parts]))
    assert np.array_equal(lengths, np.sort(np.diff(data.spikes.offsets)))


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.5, -0.5), (0.0, 1.0), 1.0])
def test_split_refuses_other_fractions(fractions):
    with pytest.raises(InvalidInput):
        make().split(fractions, 0)


def test_a_file_is_found_by_path_or_in_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "some.h5").write_bytes(b"x")
    monkeypatch.delenv("EVENTSNN_DATA", raising=False)
    assert find_file(tmp_path / "some.h5", "") == tmp_path / "some.h5"
    with pytest.raises(InvalidInput, match="EVENTSNN_DATA"):
        find_file("some.h5", "It is at example.org.")
    monkeypatch.setenv("EVENTSNN_DATA", str(tmp_path))
    assert find_file("some.h5", "") == tmp_path / "some.h5"
    with pytest.raises(InvalidInput, match=r"It is at example\.org"):
        find_file("other.h5", "It is at example.org.")


def test_a_packed_file_is_named_as_such(tmp_path):
    (tmp_path / "some.h5.xz").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="Unpack some.h5.xz"):
        find_file(tmp_path / "some.h5.xz", "")


def labelled(labels, n_classes, name=""):
    spikes = SpikeBatch.from_lists([([1.0], [0])] * len(labels))
    return Dataset(spikes, labels, 1, n_classes, 5.0, name=name)


def test_labels_that_count_from_one_are_pointed_out_with_the_remedy():
    with pytest.warns(
        UserWarning, match=r"no sample of digits has label 0.*np\.unique\(labels, return_inverse=True"
    ) as caught:
        labelled([1, 2, 3, 1], 4, "digits")
    assert caught[0].filename == __file__
    with pytest.raises(InvalidInput, match=r"labels\[2\] is 3; .*return_inverse=True"):
        labelled([1, 2, 3, 1], 3)


def test_classes_may_be_empty_where_labels_do_not_count_from_one(recwarn):
    labelled([0, 2, 3], 4)  # another one is empty
    labelled([2, 3, 2], 4)  # as are several
    labelled([1, 1], 2)  # data of one of two classes
    labelled([], 3)
    data = labelled([0, 1, 2], 3)
    for part in (data.select([1, 2]), data.select(data.labels > 0), data.select(slice(1, 3)).merge_channels(1)):
        assert sorted(part.labels.tolist()) == [1, 2] and part.n_classes == 3
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (["a", "b", "a"], "return_inverse=True"),
        ([0.0, 1.0, 0.5], "return_inverse=True"),
        (np.array([True, False, True]), "return_inverse=True"),
        (np.eye(3), "argmax"),
        (np.eye(3, dtype=int), "argmax"),
    ],
)
def test_labels_of_other_kinds_are_refused_with_the_remedy(labels, remedy):
    with pytest.raises(InvalidInput, match=f"^labels is .*{remedy}"):
        labelled(labels, 3)
    _, whole = np.unique(np.asarray(labels).reshape(3, -1).argmax(1), return_inverse=True)
    labelled(whole, 3)


@pytest.mark.parametrize("duration", [None, "5", 1j, [5.0], np.array([5.0]), -1.0])
def test_a_duration_is_one_number(duration):
    with pytest.raises(InvalidInput, match="^duration is"):
        Dataset(SpikeBatch.from_lists([]), [], 1, 1, duration)


def test_a_duration_with_a_unit_is_refused():
    seconds = pytest.importorskip("quantities").Quantity(1.4, "s")
    with pytest.raises(InvalidInput, match="^duration is 'in the unit"):
        Dataset(SpikeBatch.from_lists([]), [], 1, 1, seconds)


def test_labels_of_a_file_that_count_from_one_are_pointed_out(tmp_path):
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file.create_dataset("labels", data=np.array([1, 2, 1]))
        for name, kind in (("times", np.float64), ("units", np.int64)):
            rows = file.create_dataset(f"spikes/{name}", 3, h5py.vlen_dtype(kind))
            for row in range(3):
                rows[row] = np.array([0])
    with pytest.warns(UserWarning, match="no sample of mine has label 0"):
        assert hdf5.read(tmp_path / "mine.h5").n_classes == 3


@pytest.mark.parametrize("name", ["n_units", "n_classes"])
@pytest.mark.parametrize("value", [0, -1, "1", 2.5, np.nan, True, None, np.timedelta64(3, "s")])
def test_numbers_of_channels_and_classes_are_whole(name, value):
    arguments = {"spikes": SpikeBatch.from_lists([([1.0], [0])]), "labels": [0], "n_units": 1, "n_classes": 1}
    with pytest.raises(InvalidInput, match=f"^{name} is .*; allowed: an int >= 1"):
        Dataset(**{**arguments, "duration": 3.0, name: value})


@pytest.mark.parametrize("name", ["labels", "groups"])
def test_numbers_beyond_int64_do_not_become_negative(name):
    arguments = {"labels": [0, 0], "groups": [0, 1], name: np.array([0, 2**64 - 1], np.uint64)}
    spikes = SpikeBatch.from_lists([([1.0], [0])] * 2)
    with pytest.raises(InvalidInput, match=rf"^{name}\[1\] is 18446744073709551615; "):
        Dataset(spikes, n_units=1, n_classes=1, duration=3.0, **arguments)


def test_labels_from_one_are_warned_of_where_the_data_set_is_made():
    with pytest.warns(UserWarning, match="no sample of") as caught:
        Dataset(SpikeBatch.from_lists([([1.0], [0])] * 2), [1, 2], 1, 3, 3.0)
    assert caught[0].filename == __file__
