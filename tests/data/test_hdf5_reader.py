"""Reading spike files in SHD's layout: what h5py wrote comes back, whatever storage it chose."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn.data.hdf5 import SpikeFile, describe, read
from eventsnn.errors import InvalidInput, UnsafeFile
from eventsnn.spikes import SpikeBatch

KEYS = ["zero", "one", "two"]


def rows(n_samples=12, n_units=50, seed=0, dtype=np.float16):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 60, n_samples)
    return [(rng.random(size).astype(dtype), rng.integers(0, n_units, size)) for size in lengths]


def write(path, samples, labels=None, types=(np.float16, np.uint16), libver=None, chunks=None, **filters):
    labels = np.arange(len(samples)) % 3 if labels is None else labels
    chunked = {"chunks": chunks} if chunks else {}
    with h5py.File(path, "w", libver=libver) as file:
        for place, name in enumerate(("times", "units")):
            data = file.create_dataset(f"spikes/{name}", (len(samples),), h5py.vlen_dtype(types[place]), **chunked)
            for index, sample in enumerate(samples):
                data[index] = np.asarray(sample[place]).astype(types[place])
        file.create_dataset("labels", data=labels, **filters)
        file.create_dataset("extra/speaker", data=np.arange(len(samples)) % 2 + 4, **filters)
        file["extra/keys"] = np.array(KEYS, dtype="S5")
        file["extra/meta_info/age"] = np.array([31.5, 42.0])
        file["extra/notes"] = ["variable", "length", "ü"]
    return path


def expected(samples):
    return SpikeBatch.from_lists([(times.astype(np.float64) * 1000.0, units) for times, units in samples])


def same(first, second):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("times", "units", "offsets"))


STORAGE = {
    "plain": {},
    "latest": {"libver": "latest"},
    "chunked": {"chunks": (5,)},
    "chunked, latest": {"chunks": (5,), "libver": "latest"},
    "gzip": {"chunks": (5,), "compression": "gzip"},
    "gzip, shuffle, fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf, latest": {"compression": "lzf", "shuffle": True, "libver": "latest"},
    "fletcher32": {"fletcher32": True},
}


@pytest.mark.parametrize("storage", STORAGE.values(), ids=STORAGE.keys())
def test_every_allowed_storage_reads_back(tmp_path, storage):
    samples = rows()
    path = write(tmp_path / "spikes.h5", samples, **storage)
    data = read(path, n_units=50)
    assert same(data.spikes, expected(samples))
    assert data.labels.tolist() == [index % 3 for index in range(12)]
    assert data.groups.tolist() == [4, 5] * 6
    assert (data.n_units, data.n_classes, data.name) == (50, 3, "spikes")


@pytest.mark.parametrize(
    "types", [(np.float16, np.uint16), (np.float32, np.uint8), (np.float64, np.int64), (">f4", ">i4")]
)
def test_every_numeric_type_reads_back(tmp_path, types):
    samples = rows(dtype=np.float16)
    path = write(tmp_path / "spikes.h5", samples, types=types)
    assert same(read(path).spikes, expected(samples))


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 9), st.integers(0, 2**16), st.sampled_from([None, (1,), (4,)]))
def test_random_files_read_back(tmp_path_factory, n_samples, seed, chunks):
    samples = rows(n_samples, seed=seed)
    path = write(tmp_path_factory.mktemp("random") / "spikes.h5", samples, chunks=chunks)
    assert same(read(path).spikes, expected(samples))


def test_half_precision_is_widened_before_it_is_scaled(tmp_path):
    time = np.float16(1.2051)
    path = write(tmp_path / "spikes.h5", [(np.array([time]), np.array([3]))])
    found = read(path).spikes.times[0]
    assert found == float(time) * 1000.0
    assert found != float(np.float16(time * np.float16(1000.0)))


def test_equal_times_and_pairs_are_kept_and_sorted_by_unit(tmp_path):
    times = np.array([0.5, 0.25, 0.5, 0.5, 0.25])
    path = write(tmp_path / "spikes.h5", [(times, np.array([9, 3, 2, 2, 1]))])
    spikes = read(path).spikes
    assert spikes.times.tolist() == [250.0, 250.0, 500.0, 500.0, 500.0]
    assert spikes.units.tolist() == [1, 3, 2, 2, 9]


def test_minus_zero_becomes_zero(tmp_path):
    for dtype in (np.float16, np.float32):
        path = write(tmp_path / "spikes.h5", [(np.array([-0.0, 0.0]), np.array([2, 1]))], types=(dtype, np.uint16))
        with SpikeFile(path) as file:
            times, units = file[0]
        assert units.tolist() == [1, 2]
        assert not np.signbit(times).any()


def test_duration_is_the_next_whole_millisecond_or_what_was_given(tmp_path):
    path = write(tmp_path / "spikes.h5", [(np.array([0.25]), np.array([0])), (np.array([0.5]), np.array([0]))])
    assert read(path).duration == 501.0
    assert read(path, duration=700.0).duration == 700.0
    path = write(tmp_path / "spikes.h5", [(np.array([0.1]), np.array([0]))])
    assert read(path).duration == np.ceil(float(np.float16(0.1)) * 1000.0) == 100.0


def test_empty_samples_and_empty_files(tmp_path):
    empty = (np.zeros(0, np.float16), np.zeros(0, np.uint16))
    data = read(write(tmp_path / "spikes.h5", [empty, (np.array([0.5]), np.array([7])), empty]))
    assert data.spikes.offsets.tolist() == [0, 0, 1, 1] and data.n_units == 8
    data = read(write(tmp_path / "none.h5", [], labels=np.zeros(0, np.uint16)), n_units=5)
    assert len(data) == 0 and data.n_units == 5 and data.n_classes == 3


def test_sample_by_sample_and_by_range(tmp_path):
    samples = rows()
    whole = expected(samples)
    with SpikeFile(write(tmp_path / "spikes.h5", samples), n_units=50) as file:
        assert len(file) == 12
        assert np.array_equal(file.lengths, np.diff(whole.offsets))
        for index in (0, 5, 11, -1):
            times, units = file[index]
            assert np.array_equal(times, whole[index].times) and np.array_equal(units, whole[index].units)
        assert same(file.batch(slice(3, 7)), whole[3:7])
        assert same(file.batch([9, 2]), whole[[9, 2]])
        assert file.dataset([4, 1]).labels.tolist() == [1, 1]
        with pytest.raises(IndexError):
            file[12]
    assert file.labels.tolist() == [index % 3 for index in range(12)]
    with pytest.raises(InvalidInput, match="closed"):
        file[int(np.argmax(file.lengths))]


def test_keys_speakers_and_every_extra_array(tmp_path):
    with SpikeFile(write(tmp_path / "spikes.h5", rows())) as file:
        assert file.keys == KEYS
        assert file.speakers.tolist() == [4, 5] * 6
        assert file.extra["meta_info/age"].tolist() == [31.5, 42.0]
        assert file.extra["notes"].tolist() == ["variable", "length", "ü"]


def test_rows_of_variable_length_scalars_and_nothing_in_extra(tmp_path):
    path = write(tmp_path / "spikes.h5", rows())
    with h5py.File(path, "a") as file:
        file.create_dataset("extra/rows", (2,), h5py.vlen_dtype("u1"))[0] = np.arange(3)
        file["extra/one"] = 7
        file["extra/none"] = np.zeros((0, 3))
    with SpikeFile(path) as file:
        assert "rows" not in file.extra
        assert file.extra["one"].shape == () and file.extra["one"] == 7
        assert file.extra["none"].shape == (0, 3)


def test_a_file_can_be_read_from_memory(tmp_path):
    samples = rows()
    image = write(tmp_path / "spikes.h5", samples).read_bytes()
    with SpikeFile("in memory", image=image) as file:
        assert same(file.batch(slice(None)), expected(samples))


def test_a_file_that_is_open_elsewhere_is_not_called_damaged(tmp_path):
    path = write(tmp_path / "spikes.h5", rows())
    with h5py.File(path, "r"), pytest.raises(UnsafeFile, match="is open elsewhere in this process"):
        SpikeFile(path)
    with SpikeFile(path) as file:
        assert same(file.batch(slice(None)), expected(rows()))


def test_the_number_of_classes_without_keys(tmp_path):
    path = write(tmp_path / "spikes.h5", rows(), labels=np.arange(12))
    with h5py.File(path, "a") as file:
        del file["extra"]
    data = read(path)
    assert data.n_classes == 12 and data.groups is None
    assert read(path, n_classes=20).n_classes == 20


def test_describe_counts_what_is_there(tmp_path):
    samples = rows()
    facts = describe(write(tmp_path / "spikes.h5", samples), n_units=50)
    whole = expected(samples)
    last = np.array([train.times[-1] if len(train) else 0.0 for train in whole])
    assert facts["samples"] == 12 and facts["spikes"] == whole.times.size and facts["n_units"] == 50
    assert facts["samples_per_class"] == [4, 4, 4] and facts["samples_per_speaker"] == {4: 6, 5: 6}
    assert facts["duration"] == {"min": last.min(), "mean": last.mean(), "max": last.max()}
    assert facts["spikes_per_sample"]["mean"] == whole.times.size / 12
    counts = np.bincount(whole.units, minlength=50)
    assert np.allclose(facts["rates"], counts / (last.sum() / 1000.0), rtol=1e-12)
    assert facts["keys"] == KEYS and facts["n_classes"] == 3


def test_describe_finds_the_number_of_channels(tmp_path):
    facts = describe(
        write(tmp_path / "spikes.h5", [(np.array([0.5]), np.array([3])), (np.array([0.5]), np.array([6]))])
    )
    assert facts["n_units"] == 7 and facts["rates"] == [0, 0, 0, 1.0, 0, 0, 1.0]
