"""The full Heidelberg data sets, by path: labels, languages, and what is said when they are absent."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.data.sets.shd import load_shd, load_ssc
from eventsnn.errors import InvalidInput

SHD_SIZES = {"shd_train.h5": 8156, "shd_rebuilt_train.h5": 8156, "shd_test.h5": 2264, "shd_rebuilt_test.h5": 2264}


def write(path, n_classes=20, unit=699):
    n_samples = 2 * n_classes
    with h5py.File(path, "w") as file:
        for name, dtype, value in (("times", np.float16, 0.5), ("units", np.uint16, unit)):
            rows = file.create_dataset(f"spikes/{name}", (n_samples,), h5py.vlen_dtype(dtype))
            for index in range(n_samples):
                rows[index] = np.full(index % 3 + 1, value, dtype)
        file["labels"] = (np.arange(n_samples) % n_classes).astype(np.uint16)
        file["extra/speaker"] = (np.arange(n_samples) % 12).astype(np.uint16)
        file["extra/keys"] = np.array([f"word{index}" for index in range(n_classes)], dtype="S7")
    return path


def full_file(*names):
    """The first of these files in the folder EVENTSNN_DATA, or a skip that says what is missing."""
    folder = os.environ.get("EVENTSNN_DATA")
    if not folder:
        pytest.skip("the environment variable EVENTSNN_DATA does not name a folder with the full data sets")
    for name in names:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    pytest.skip(f"none of {', '.join(names)} is in EVENTSNN_DATA")


def test_both_languages_and_each(tmp_path):
    path = write(tmp_path / "shd.h5")
    both, english, german = load_shd(path), load_shd(path, "english"), load_shd(path, "german")
    assert (len(both), both.n_classes, both.n_units, both.duration) == (40, 20, 700, 501.0)
    for part, first in ((english, 0), (german, 10)):
        mask = (both.labels >= first) & (both.labels < first + 10)
        assert part.n_classes == 10 and len(part) == 20
        assert np.array_equal(part.labels, both.labels[mask] - first)
        assert np.array_equal(part.groups, both.groups[mask])
        assert np.array_equal(part.spikes.offsets, both.spikes[mask].offsets)


def test_a_given_duration_is_used(tmp_path):
    path = write(tmp_path / "shd.h5")
    assert load_shd(path, duration=1400.0).duration == 1400.0
    assert load_ssc(path, duration=1000.0).duration == 1000.0


def test_ssc_has_as_many_classes_as_the_file_names(tmp_path):
    data = load_ssc(write(tmp_path / "ssc.h5", n_classes=35))
    assert data.n_classes == 35 and len(data) == 70


def test_a_channel_beyond_700_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="sample 0.*is 700"):
        load_shd(write(tmp_path / "shd.h5", unit=700))


def test_an_unknown_language_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="french"):
        load_shd(write(tmp_path / "shd.h5"), "french")


@pytest.mark.parametrize("load", [load_shd, load_ssc])
def test_a_missing_file_is_explained(tmp_path, monkeypatch, load):
    monkeypatch.setenv("EVENTSNN_DATA", str(tmp_path))
    with pytest.raises(InvalidInput, match=r"zenkelab\.org") as error:
        load("shd_train.h5")
    assert str(tmp_path) in str(error.value)


def test_a_packed_file_is_to_be_unpacked(tmp_path):
    (tmp_path / "shd_train.h5.gz").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="Unpack shd_train.h5.gz"):
        load_shd(tmp_path / "shd_train.h5.gz")


def test_the_full_test_file():
    path = full_file("shd_test.h5", "shd_rebuilt_test.h5")
    data = load_shd(path, language="german")
    assert data.n_classes == 10 and np.bincount(data.labels).min() > 50
    assert {4, 5} <= set(data.groups.tolist())
    assert 1000.0 < data.duration < 1500.0


def test_the_full_training_file_holds_what_is_known_of_it():
    from eventsnn.data.readers.spike_file import SpikeFile

    path = full_file("shd_train.h5", "shd_rebuilt_train.h5")
    with SpikeFile(path, 700) as file:
        assert len(file) == SHD_SIZES[path.name]
        assert not {4, 5} & set(file.speakers.tolist())
        assert np.bincount(file.labels).size == 20
        times, units = file[len(file) - 1]
        assert times.size == units.size == file.lengths[-1] and (np.diff(times) >= 0).all()


def test_the_sample_of_ssc():
    data = load_ssc(full_file("ssc_sample.h5", "ssc_test.h5"))
    assert data.n_classes in (30, 35) and np.bincount(data.labels).min() > 0


@pytest.mark.parametrize("load", [load_shd, load_ssc])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
def test_files_in_other_units_are_refused_or_converted(tmp_path, load, kind):
    path = tmp_path / "ms.h5"
    with h5py.File(path, "w") as file:
        for name, dtype, values in (("times", kind, [100.0, 900.0]), ("units", np.uint16, [3, 4])):
            file.create_dataset(f"spikes/{name}", (1,), h5py.vlen_dtype(dtype))[0] = np.array(values, dtype)
        file["labels"] = [0]
    with pytest.raises(InvalidInput, match='allowed: seconds.*time_unit="ms"'):
        load(path)
    data = load(path, time_unit="ms")
    assert data.spikes.times.tolist() == [100.0, 900.0] and data.duration == 901.0
