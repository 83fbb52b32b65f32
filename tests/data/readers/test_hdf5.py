"""Reading spike files in SHD's layout: what h5py wrote comes back, whatever storage it chose."""

import gzip
import io
import os

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn.data import hdf5
from eventsnn.data.dataset import Dataset
from eventsnn.data.hdf5 import describe, read
from eventsnn.data.readers import safe_hdf5
from eventsnn.data.readers.spike_file import SpikeFile
from eventsnn.data.sets.shd import load_shd, load_ssc
from eventsnn.data.stores.packed import PackedSpikes
from eventsnn.errors import FileError, InvalidInput, UnsafeFile
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


class Quantity(float):
    """A number with a unit, as quantities and astropy have them."""

    units = unit = "s"


def test_a_duration_with_a_unit_is_refused(tmp_path):
    path = write(tmp_path / "spikes.h5", rows())
    for duration in (Quantity(2.0), np.timedelta64(2, "s")):
        for load in (read, load_shd, load_ssc):
            with pytest.raises(InvalidInput, match="^duration"):
                load(path, duration=duration)
    with SpikeFile(path) as file, pytest.raises(InvalidInput, match="^duration"):
        file.dataset(duration=Quantity(2.0))
    assert type(read(path, duration=np.int64(2000)).duration) is float


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
        for index in (slice(0, 2), [0, 1], 1.0, None):
            with pytest.raises(InvalidInput, match=r"sample is .*; allowed: an int\. Write file\.batch\(index\)"):
                file[index]
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


@pytest.mark.parametrize("chunks", [None, (2,), (1,)])
def test_rows_that_were_never_written_are_empty_as_in_h5py(tmp_path, chunks):
    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        for name, kind in (("times", np.float32), ("units", np.uint16)):
            file.create_dataset(f"spikes/{name}", (4,), h5py.vlen_dtype(kind), chunks=chunks)
        file["labels"] = np.arange(4)
    data = read(tmp_path / "spikes.h5")
    assert data.spikes.offsets.tolist() == [0] * 5 and data.labels.tolist() == [0, 1, 2, 3]
    with h5py.File(tmp_path / "spikes.h5", "a") as file:
        file["spikes/times"][2], file["spikes/units"][2] = np.float32([0.25]), np.uint16([7])
    data = read(tmp_path / "spikes.h5")
    assert data.spikes.offsets.tolist() == [0, 0, 0, 1, 1]
    assert data.spikes.times.tolist() == [250.0] and data.spikes.units.tolist() == [7]


def test_truth_values_are_labels(tmp_path):
    for options in ({}, {"compression": "gzip"}):
        path = write(tmp_path / "spikes.h5", rows(4), labels=np.array([True, False, True, True]), **options)
        assert read(path).labels.tolist() == [1, 0, 1, 1]
        with h5py.File(path, "a") as file:
            file["extra/male"] = np.array([False, True, True, False])
        with SpikeFile(path) as file:
            assert file.extra["male"].dtype == bool and file.extra["male"].tolist() == [False, True, True, False]


def test_labels_that_are_words_are_refused_with_the_way_to_number_them(tmp_path):
    path = write(tmp_path / "spikes.h5", rows(4), labels=np.array([b"a", b"b", b"a", b"a"]))
    with pytest.raises(InvalidInput, match="np.unique.*return_inverse"):
        read(path)


def test_files_that_are_open_are_read_from_their_beginning(tmp_path):
    samples = rows()
    path = write(tmp_path / "spikes.h5", samples)
    with open(path, "rb") as file:
        file.read(100)
        data = read(file, n_units=50)
    assert same(data.spikes, expected(samples)) and data.name == "spikes"
    assert same(read(io.BytesIO(path.read_bytes())).spikes, expected(samples))
    (tmp_path / "spikes.h5.gz").write_bytes(gzip.compress(path.read_bytes()))
    with gzip.open(tmp_path / "spikes.h5.gz") as file:
        assert same(read(file).spikes, expected(samples))


def test_what_is_no_open_file_is_refused_with_the_remedy(tmp_path, monkeypatch):
    path = write(tmp_path / "spikes.h5", rows())
    for encoding in ("latin-1", "utf-8"):
        with open(path, encoding=encoding) as file, pytest.raises(InvalidInput, match=r'Write open\(path, "rb"\)'):
            read(file)
    with open(path, "rb") as file:
        pass
    with pytest.raises(InvalidInput, match="read from its beginning .*closed"):
        read(file)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(path.read_bytes())[:100])
    with gzip.open(tmp_path / "cut.gz") as file, pytest.raises(InvalidInput, match="cut.gz.*end-of-stream"):
        read(file)
    for wrong in (None, 3, h5py.File(path)):
        with pytest.raises(InvalidInput, match="path is .*; allowed: a path, or a file opened in binary mode"):
            read(wrong)
    with pytest.raises(InvalidInput, match="null"):
        read("a\0b")
    monkeypatch.setattr(safe_hdf5, "MAX_IMAGE_BYTES", 1000)
    with open(path, "rb") as file, pytest.raises(InvalidInput, match="at most 1000 bytes.*Give its path"):
        read(file)


# -------------------------------------------------------------------------------------------------------- units of time


MILLISECONDS = [(np.array([100.5, 900.0], np.float32), np.array([1, 2]))]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1000.0), ("ms", 1.0), ("us", 1e-3), ("ns", 1e-6), (0.1, 0.1)])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int32])
def test_times_in_other_units_become_milliseconds(tmp_path, unit, factor, kind):
    path = write(tmp_path / "spikes.h5", MILLISECONDS, types=(kind, np.uint16))
    stored = MILLISECONDS[0][0].astype(kind).astype(float)
    assert read(path, time_unit=unit).spikes.times.tolist() == (stored * factor).tolist()
    assert read(path, time_unit=unit, packed=True).spikes[0].times.tolist() == (stored * factor).tolist()
    assert describe(path, time_unit=unit)["duration"]["max"] == stored[1] * factor


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("packed", [False, True])
def test_times_that_can_hardly_be_seconds_are_refused_unless_somebody_says_so(tmp_path, kind, packed):
    path = write(tmp_path / "spikes.h5", [(np.array([0.5]), np.array([0])), *MILLISECONDS], types=(kind, np.uint16))
    place, remedy = r"spikes/times\[sample 1\]\[1\] is 900.0; allowed: seconds", 'time_unit="ms" or "us"'
    with pytest.raises(InvalidInput, match=f"{place}.*{remedy}"):
        read(path, packed=packed)
    with SpikeFile(path) as file, pytest.raises(InvalidInput, match=place):
        file[1]
    assert read(path, packed=packed, time_unit="s").duration == 900_001.0
    # who says that samples last so long has looked at the times
    assert read(path, packed=packed, duration=1e6).spikes.n_spikes == 3


def test_whole_numbers_can_hardly_be_seconds(tmp_path):
    path = write(tmp_path / "spikes.h5", [(np.array([1, 3]), np.array([0, 1]))], types=(np.uint32, np.uint16))
    with pytest.raises(InvalidInput, match="spikes/times is 'rows of uint32'; allowed: seconds.*time_unit="):
        read(path)
    assert read(path, time_unit="ms").spikes.times.tolist() == [1.0, 3.0]
    assert describe(path)["time_doubt"] == "they are whole numbers (uint32)"


def test_describe_says_that_times_can_hardly_be_seconds(tmp_path):
    path = write(tmp_path / "spikes.h5", MILLISECONDS, types=(np.float32, np.uint16))
    facts = describe(path)
    assert facts["time_unit"] == "s" and facts["time_doubt"].startswith("they reach 900, and few samples")
    facts = describe(path, time_unit="ms")
    assert facts["time_unit"] == "ms" and facts["time_doubt"] is None and facts["duration"]["max"] == 900.0
    assert describe(write(tmp_path / "spikes.h5", rows()))["time_doubt"] is None


@pytest.mark.parametrize("unit", ["sec", "", 0, -1.0, np.nan, np.inf, True, ["s"]])
def test_unknown_units_are_refused(tmp_path, unit):
    with pytest.raises(InvalidInput, match="time_unit is .*one of .*us"):
        read(write(tmp_path / "spikes.h5", rows()), time_unit=unit)


@pytest.mark.parametrize("name", ["n_units", "n_classes"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3"])
def test_numbers_of_channels_and_classes_are_whole(tmp_path, name, value):
    with pytest.raises(InvalidInput, match=f"{name} is"):
        SpikeFile(write(tmp_path / "spikes.h5", rows()), **{name: value})


def test_labels_from_one_without_names_are_warned_of(tmp_path):
    path = write(tmp_path / "spikes.h5", rows(), labels=np.arange(12) % 3 + 1)
    with h5py.File(path, "a") as file:
        del file["extra"]
    with pytest.warns(UserWarning, match="no sample of spikes has label 0, and all other labels to 3 occur") as caught:
        assert read(path).n_classes == 4
    assert [warning.filename for warning in caught] == [__file__]


def test_a_unit_beyond_int64_is_named_as_it_is(tmp_path):
    path = write(tmp_path / "spikes.h5", [(np.array([0.5]), np.array([2**64 - 1], np.uint64))], types=("f4", "u8"))
    with pytest.raises(InvalidInput, match=r"\[0\] is 18446744073709551615; .*Give n_units"):
        read(path)
    path = write(tmp_path / "spikes.h5", [(np.array([0.5]), np.array([-1]))], types=("f4", "i8"))
    with pytest.raises(InvalidInput, match=r"\[0\] is -1; allowed: channels from 0 to \d+\.$"):
        read(path)


def test_whole_times_beyond_float64_are_refused(tmp_path):
    times = np.array([1_700_000_000_000_000_000, 1_700_000_000_000_000_100], np.uint64)
    path = write(tmp_path / "spikes.h5", [(times, np.array([0, 1]))], types=("u8", "u2"))
    with pytest.raises(InvalidInput, match=r"spikes/times\[sample 0\]\[0\] is 17000.*Subtract"):
        read(path, time_unit="ns")


# -------------------------------------------------------------------------------------------------------------- writing


def dataset(**change):
    spikes = SpikeBatch.from_lists([([10.0, 0.1, 10.0], [4, 0, 1]), ([], []), ([1 / 3, 1234.5], [2, 2])])
    arguments = {"labels": [1, 0, 1], "n_units": 5, "n_classes": 4, "duration": 1300.0, "groups": [7, 0, 7]}
    return Dataset(**{"spikes": spikes, **arguments, **change})


def test_what_is_written_comes_back(tmp_path):
    data, path = dataset(), tmp_path / "spikes.h5"
    hdf5.write(path, data)
    found = read(path, n_units=5, duration=1300.0)
    np.testing.assert_allclose(found.spikes.times, data.spikes.times, rtol=2.0**-52, atol=0)
    assert np.array_equal(found.spikes.units, data.spikes.units)
    assert np.array_equal(found.spikes.offsets, data.spikes.offsets)
    assert np.array_equal(found.labels, data.labels) and np.array_equal(found.groups, data.groups)
    assert (found.n_classes, found.n_units, found.duration) == (4, 5, 1300.0)
    assert [item.name for item in tmp_path.iterdir()] == ["spikes.h5"]


def test_times_of_half_precision_stay_so_and_come_back_exactly(tmp_path):
    original = read(write(tmp_path / "first.h5", rows()), n_units=50, packed=True)
    hdf5.write(tmp_path / "second.h5", original, keys=KEYS)
    again = read(tmp_path / "second.h5", n_units=50, packed=True)
    assert type(again.spikes) is type(original.spikes) is PackedSpikes
    assert same(again.spikes[:], original.spikes[:])
    with SpikeFile(tmp_path / "second.h5") as file:
        assert file.keys == KEYS and file.ignored == {}


def test_h5py_reads_what_is_written(tmp_path):
    hdf5.write(tmp_path / "spikes.h5", dataset(groups=None), keys=["a", "b", "ü", "d"])
    with h5py.File(tmp_path / "spikes.h5") as file:
        assert [row.tolist() for row in file["spikes/units"]] == [[0, 1, 4], [], [2, 2]]
        assert file["spikes/times"][0].tolist() == [0.1 / 1000, 0.01, 0.01]
        assert [key.decode() for key in file["extra/keys"]] == ["a", "b", "ü", "d"]
        assert "speaker" not in file["extra"]


def test_counts_are_written_as_so_many_spikes(tmp_path):
    merged = dataset().merge_channels(3)
    hdf5.write(tmp_path / "spikes.h5", merged)
    found = read(tmp_path / "spikes.h5", n_units=2)
    assert found.spikes[0].units.tolist() == [0, 0, 1] and found.spikes[0].times.tolist() == [0.1, 10.0, 10.0]
    values = SpikeBatch.from_lists([([1.0, 2.0], [0, 0], [1.0, 0.5])])
    data = Dataset(values, [0], 1, 1, 3.0)
    with pytest.raises(InvalidInput, match=r"data.spikes\[0\].counts\[1\] is 0.5; allowed: whole numbers"):
        hdf5.write(tmp_path / "values.h5", data)
    many = Dataset(SpikeBatch.from_lists([([1.0], [0], [1e12])]), [0], 1, 1, 3.0)
    with pytest.raises(InvalidInput, match=r"data.spikes\[0\] is '1000000000000 spikes'"):
        hdf5.write(tmp_path / "values.h5", many)
    assert not (tmp_path / "values.h5").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "data is 'NoneType'; allowed: a Dataset"),
        ((dataset(), ["a"]), "keys is 1; allowed: a name for each of the 4 classes"),
        ((dataset(groups=[0, -1, 0]),), r"data.groups\[1\] is -1"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, arguments, message):
    with pytest.raises(InvalidInput, match=message):
        hdf5.write(tmp_path / "spikes.h5", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_file_of_before(tmp_path, monkeypatch):
    path = write(tmp_path / "spikes.h5", rows())
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FileError, match="spikes.h5.*No space left"):
            hdf5.write(path, dataset())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    (tmp_path / "folder").mkdir()
    for place in ("absent/spikes.h5", "folder"):
        with pytest.raises(FileError, match=place):
            hdf5.write(tmp_path / place, dataset())
    with pytest.raises(InvalidInput, match="path is None"):
        hdf5.write(None, dataset())


def test_spikes_after_twenty_seconds_come_back_without_a_word(tmp_path):
    data = Dataset(SpikeBatch.from_lists([([1.0, 60_000.0], [0, 0])]), [0], 1, 1, 70_000.0)
    hdf5.write(tmp_path / "long.h5", data)
    assert read(tmp_path / "long.h5").spikes.times.tolist() == [1.0, 60_000.0]
    assert describe(tmp_path / "long.h5")["time_doubt"] is None
    with pytest.raises(InvalidInput, match="^time_unit is 'ms'; allowed: 's', as an attribute of"):
        read(tmp_path / "long.h5", time_unit="ms")


def test_more_spikes_in_a_sample_than_are_read_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_SPIKES_PER_SAMPLE", 5)
    for n, counts in ((6, None), (3, [1.0, 2.0, 3.0])):
        spikes = SpikeBatch.from_lists([(np.arange(float(n)), np.zeros(n, int), counts)])
        with pytest.raises(InvalidInput, match=r"data.spikes\[0\] is '6 spikes'; allowed: at most 5"):
            hdf5.write(tmp_path / "spikes.h5", Dataset(spikes, [0], 1, 1, 9.0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "limit", "keys"),
    [("MAX_ELEMENTS", 3, list("abcd")), ("MAX_ARRAY_BYTES", 99, ["a" * 25, *"bcd"])],
)
def test_names_of_classes_that_are_not_read_are_not_written(tmp_path, monkeypatch, name, limit, keys):
    hdf5.write(tmp_path / "spikes.h5", dataset(), keys)
    monkeypatch.setattr(hdf5, name, limit)
    with pytest.raises(InvalidInput, match=r"^keys is '4 names in \d+ bytes'"):
        hdf5.write(tmp_path / "spikes.h5", dataset(), keys)


@pytest.mark.parametrize("key", ["\ud800", "a\0"])
def test_a_name_that_does_not_come_back_is_not_written(tmp_path, key):
    with pytest.raises(InvalidInput, match=r"^keys\[1\] is .*; allowed: text that"):
        hdf5.write(tmp_path / "spikes.h5", dataset(), ["a", key, "c", "d"])


# ------------------------------------------------------------------------------------- units of time that a file names


def named(path, libver=None, **attributes):
    """A file in whole ms whose spikes/times has these attributes."""
    write(path, [(np.array([100, 900]), np.array([0, 1]))], types=(np.int32, np.uint16), libver=libver)
    with h5py.File(path, "a", libver=libver) as file:
        file["spikes/times"].attrs["about"] = "x" * 300
        for name, value in attributes.items():
            file["spikes/times"].attrs[name] = value
    return path


def test_the_name_that_time_unit_had_is_refused_with_the_one_it_has(tmp_path):
    path = write(tmp_path / "spikes.h5", rows())
    with pytest.raises(InvalidInput, match=r"^milliseconds_per_unit is 1.0; .*Write time_unit=1.0"):
        SpikeFile(path, milliseconds_per_unit=1.0)


@pytest.mark.parametrize("libver", [None, "latest"])
@pytest.mark.parametrize("name", ["units", "unit", "time_unit"])
@pytest.mark.parametrize("text", ["ms", np.bytes_("ms"), "milliseconds", np.array(["ms"], h5py.string_dtype())])
def test_a_unit_that_the_file_names_is_honoured(tmp_path, libver, name, text):
    path = named(tmp_path / "spikes.h5", libver, **{name: text})
    for unit in (None, "ms", 1.0):
        assert read(path, time_unit=unit).spikes.times.tolist() == [100.0, 900.0]
    for unit in ("s", "us", 2.0):
        with pytest.raises(InvalidInput, match="^time_unit is .*; allowed: 'ms', as an attribute of"):
            read(path, time_unit=unit)
    with SpikeFile(path) as file:
        assert file.time_unit == "ms" and "spikes/times" not in " ".join(file.ignored)
    found = describe(path)
    assert (found["time_unit"], found["time_doubt"], found["duration"]["max"]) == ("ms", None, 900.0)


@pytest.mark.parametrize("value", ["minutes", "", 3.0, np.array(["ms", "ms"], "S2"), h5py.Empty("f")])
def test_an_attribute_that_names_no_known_unit_is_listed_and_names_none(tmp_path, value):
    path = named(tmp_path / "spikes.h5", units=value)
    with pytest.raises(InvalidInput, match="spikes/times is 'rows of int32'; allowed: seconds"):
        read(path)
    with SpikeFile(path, time_unit="ms") as file:
        assert "no unit that is known" in file.ignored["spikes/times, attribute 'units'"]


def test_attributes_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="spikes/times is .*; allowed: attributes that name one unit of time"):
        read(named(tmp_path / "spikes.h5", units="ms", time_unit="s"))


@pytest.mark.parametrize("libver", [None, "latest"])
def test_a_file_with_an_attribute_that_is_cut_or_changed_never_breaks_the_reader(tmp_path, libver):
    path = named(tmp_path / "spikes.h5", libver, units="ms")
    image = path.read_bytes()
    places = [place for place in range(len(image)) if image[place : place + 5] == b"units"]
    for offset in sorted({place + step for place in places for step in range(-32, 48)}):
        for value in (0, 255):
            changed = bytearray(image)
            changed[offset] = value
            try:
                data = read(io.BytesIO(bytes(changed)), time_unit=None)
                assert data.spikes.times.max() <= 900_000.0
            except (UnsafeFile, InvalidInput):
                pass
