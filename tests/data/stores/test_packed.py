"""Packed spikes are the spikes: same samples, same bits, same training, in a third or a quarter of the memory."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data import hdf5
from eventsnn.data.augment import Augmentation
from eventsnn.data.stores.packed import PackedSpikes
from eventsnn.errors import InvalidInput
from eventsnn.training import data_fingerprint


def write(path, samples, time_type=np.float16):
    with h5py.File(path, "w") as file:
        for name, kind, column in (("times", time_type, 0), ("units", np.uint16, 1)):
            rows = file.create_dataset(f"spikes/{name}", (len(samples),), h5py.vlen_dtype(kind))
            for index, sample in enumerate(samples):
                rows[index] = sample[column].astype(kind)
        file["labels"] = np.arange(len(samples)) % 3
        file["extra/speaker"] = np.arange(len(samples)) % 4


def drawn(seed, n_samples=40):
    """Samples with repeated times and units, and some without spikes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 60, n_samples) * (rng.random(n_samples) > 0.2)
    return [(np.float16(rng.integers(0, 40, n) / 64), rng.integers(0, 50, n)) for n in sizes]


@pytest.fixture
def both(tmp_path):
    """The same file as a Dataset in memory and as a packed one."""
    write(tmp_path / "spikes.h5", drawn(0))
    plain, packed = (hdf5.read(tmp_path / "spikes.h5", 50, duration=700.0, packed=p) for p in (False, True))
    assert isinstance(packed.spikes, PackedSpikes) and not isinstance(plain.spikes, PackedSpikes)
    return plain, packed


def assert_same(one, other):
    for name in ("times", "units", "offsets", "counts"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and a.tobytes() == b.tobytes()), name


@pytest.mark.parametrize("factor", [1, 5, 7])
def test_indices_give_the_same_samples(both, factor):
    plain, packed = (data if factor == 1 else data.merge_channels(factor) for data in both)
    everything = np.arange(40)
    for chosen in (slice(None), slice(3, 30, 4), everything[::-1], [5], [], everything % 3 == 1, np.array([7, 7, -1])):
        assert_same(packed.spikes[chosen], plain.spikes[chosen])
        if not isinstance(chosen, np.ndarray) or chosen.dtype != bool:
            assert_same(packed.spikes.select(chosen)[:], plain.spikes.select(chosen)[:])
    for sample in (0, 13, -1):
        for a, b in zip(vars(packed.spikes[sample]).values(), vars(plain.spikes[sample]).values(), strict=True):
            assert (a is None and b is None) or a.tobytes() == b.tobytes()
    with pytest.raises(IndexError):
        packed.spikes[40]


def test_a_unit_takes_one_byte_where_it_fits(both):
    _, packed = both
    assert packed.spikes._units.dtype == np.uint16 and packed.merge_channels(5).spikes._units.dtype == np.uint8
    wide = PackedSpikes(np.zeros(2, np.uint16), np.array([0, 511], np.uint16), [2], 1.0)
    assert wide.merge_channels(1)._units.dtype == np.uint16 and wide.merge_channels(2)._units.dtype == np.uint8
    assert wide.merge_channels(2)[0].units.tolist() == [0, 255]


def test_merging_twice_is_merging_by_the_product(both):
    _, packed = both
    assert_same(packed.merge_channels(2).merge_channels(5).spikes[:], packed.merge_channels(10).spikes[:])


@pytest.mark.parametrize("factor", [1, 5])
def test_splits_batches_augmentation_and_fingerprints_are_the_same(both, factor):
    plain, packed = (data.merge_channels(factor) for data in both)
    for one, other in zip(plain.split((0.5, 0.5), 3), packed.split((0.5, 0.5), 3), strict=True):
        assert_same(other.spikes[:], one.spikes[:])
        assert data_fingerprint(one) == data_fingerprint(other)
    rest, chosen = packed.split_by_group([2])
    assert_same(chosen.spikes[:], plain.split_by_group([2])[1].spikes[:])
    assert_same(rest.split_by_group([1])[1].spikes[:], plain.split_by_group([1])[1].spikes[:])
    augmentation = Augmentation(blend=0.5, channel_shift=2, time_scale=0.1, time_jitter=1.0, spike_drop=0.2)
    assert_same(augmentation(packed, range(40), 1, 2), augmentation(plain, range(40), 1, 2))
    assert data_fingerprint(packed) != data_fingerprint(packed.select(np.arange(40)[::-1]))


@given(st.integers(0, 2**32))
def test_a_key_keeps_every_time_and_unit(seed):
    rng = np.random.default_rng(seed)
    halves = rng.integers(0, 0x7C00, 200).astype(np.uint16).view(np.float16)
    units = rng.integers(0, 2**16, 200).astype(np.uint16)
    times, found, counts = PackedSpikes(*PackedSpikes.ordered(halves, units), [200], 1000.0).arrays(0)
    order = np.lexsort((units, halves))
    assert counts is None and found.tolist() == units[order].tolist()
    assert times.tobytes() == (halves[order].astype(float) * 1000.0).tobytes()


def test_other_types_are_held_unpacked(tmp_path):
    write(tmp_path / "spikes.h5", drawn(1), np.float32)
    data = hdf5.read(tmp_path / "spikes.h5", 50, packed=True)
    assert_same(data.spikes, hdf5.read(tmp_path / "spikes.h5", 50).spikes)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_bad_time_is_named_as_ever(tmp_path, bad):
    samples = drawn(2)
    samples[7] = (np.array([0.5, bad]), np.array([1, 2]))
    write(tmp_path / "spikes.h5", samples)
    with pytest.raises(InvalidInput, match=r"spikes/times\[sample 7\]"):
        hdf5.read(tmp_path / "spikes.h5", 50, packed=True)


def test_a_unit_out_of_range_is_named_with_its_sample(tmp_path):
    samples = [drawn(3, 300)[0]] * 299 + [(np.array([0.5, 0.5]), np.array([1, 60]))]
    write(tmp_path / "spikes.h5", samples)
    with pytest.raises(InvalidInput, match=r"spikes/units\[sample 299\]"):
        hdf5.read(tmp_path / "spikes.h5", 50, packed=True)
    wide = hdf5.read(tmp_path / "spikes.h5", packed=True)
    assert wide.n_units == 61
    with pytest.raises(InvalidInput, match="sample 299"):
        type(wide)(wide.spikes, wide.labels, 50, 3, 700.0)


def test_lengths_must_add_up():
    with pytest.raises(InvalidInput, match="lengths"):
        PackedSpikes(np.zeros(3, np.uint16), np.zeros(3, np.uint8), [1, 1], 1000.0)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [([-1, 3], r"lengths\[0\] is -1"), ([2**62, 2], r"lengths\[0\] is 4611686018427387904"), ([[2]], "lengths is")],
)
def test_lengths_are_compared_one_by_one_before_they_are_added(lengths, message):
    with pytest.raises(InvalidInput, match=f"{message}.*from 0 to 2 spikes"):
        PackedSpikes(np.zeros(2, np.uint16), np.zeros(2, np.uint16), lengths, 1.0)


def test_masked_indices_choose_nothing(tmp_path):
    packed = PackedSpikes(np.arange(3, dtype=np.uint16), np.zeros(3, np.uint16), [1, 1, 1], 1000.0)
    data = hdf5.Dataset(packed, [0, 0, 0], 1, 1, 3.0)
    hdf5.write(tmp_path / "spikes.h5", data)
    index = np.ma.array([0, 1], mask=[False, True])
    with hdf5.SpikeFile(tmp_path / "spikes.h5") as file:
        for choose in (packed.select, file.batch, file.packed, file.dataset):
            with pytest.raises(InvalidInput, match=r"index\[1\] is 'masked'"):
                choose(index)
            assert len(choose(np.ma.array([2, 1]))) == 2
