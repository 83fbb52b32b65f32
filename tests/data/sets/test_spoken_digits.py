"""The shipped recordings: what the card says of them is so, and a damaged file is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eventsnn.data.sets.spoken_digits import CHECKSUMS, find_spoken_digits, load_spoken_digits
from eventsnn.errors import InvalidInput, UnsafeFile

DATASETS = Path(__file__).resolve().parents[3] / "datasets"
TRAIN, TEST = CHECKSUMS


@pytest.fixture(scope="module")
def digits():
    return load_spoken_digits(DATASETS)


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(DATASETS / "cut_spoken_digits.py")


def test_the_sets_are_balanced_over_digits_and_speakers(digits):
    train, test = digits
    for data, speakers, each in ((train, [0, 1, 2, 3, 6, 7, 8, 9, 10, 11], 9), (test, [4, 5], 15)):
        assert np.unique(data.groups).tolist() == speakers
        table = np.zeros((12, 10), int)
        np.add.at(table, (data.groups, data.labels), 1)
        assert (table[speakers] == each).all()
        assert (data.n_units, data.n_classes, data.duration) == (700, 10, 1200.0)
    assert (len(train), len(test)) == (900, 300)


def test_the_spikes_are_those_the_card_tells_of(digits):
    train, test = digits
    assert (train.spikes.times.size, test.spikes.times.size) == (6_559_013, 2_264_785)
    assert train.spikes.times.max() == 1159.1796875 and test.spikes.times.max() == 973.6328125
    assert np.diff(train.spikes.offsets).min() == 2209 and np.diff(test.spikes.offsets).max() == 11430
    for data in digits:
        assert set(np.unique(data.spikes.units)) <= set(range(700))
        half = (data.spikes.times / 1000.0).astype(np.float16).astype(np.float64) * 1000.0
        assert np.array_equal(half, data.spikes.times)


def test_no_recording_is_there_twice(digits):
    trains = [train for data in digits for train in data.spikes]
    assert len({(train.times.tobytes(), train.units.tobytes()) for train in trains}) == 1200


def test_a_channel_group_tells_speakers_and_digits_apart(digits):
    """Counts in 35 channel groups and 10 time bins: the nearest class mean is right far more often than chance."""
    features = []
    for data in digits:
        sample = np.repeat(np.arange(len(data)), np.diff(data.spikes.offsets))
        counts = np.zeros((len(data), 10, 35))
        np.add.at(counts, (sample, (data.spikes.times / 120.0).astype(int), data.spikes.units // 20), 1)
        features.append(np.sqrt(counts.reshape(len(data), -1)))
    train, test = digits
    means = np.array([features[0][train.labels == digit].mean(axis=0) for digit in range(10)])
    nearest = ((features[1][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == test.labels).mean() > 0.5


def test_a_chosen_duration_is_used():
    assert [data.duration for data in load_spoken_digits(DATASETS, duration=900.0)] == [900.0, 900.0]


@pytest.mark.parametrize("damage", ["flip", "truncate", "swap"])
def test_a_file_that_was_not_shipped_is_refused(tmp_path, damage):
    for name in CHECKSUMS:
        shutil.copy(DATASETS / name, tmp_path)
    image = bytearray((tmp_path / TEST).read_bytes())
    if damage == "flip":
        image[len(image) // 2] ^= 1
    elif damage == "truncate":
        image = image[:-1]
    else:
        image = (DATASETS / TRAIN).read_bytes()
    (tmp_path / TEST).write_bytes(image)
    with pytest.raises(UnsafeFile, match=f"{TEST}.*SHA-256"):
        load_spoken_digits(tmp_path)


def test_the_folder_is_found_or_the_message_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.delenv("EVENTSNN_DATA", raising=False)
    assert find_spoken_digits() == DATASETS
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        find_spoken_digits(tmp_path)
    for name in CHECKSUMS:
        shutil.copy(DATASETS / name, tmp_path)
    monkeypatch.setenv("EVENTSNN_DATA", str(tmp_path))
    assert find_spoken_digits() == tmp_path
    monkeypatch.setenv("EVENTSNN_DATA", str(tmp_path / "elsewhere"))
    assert find_spoken_digits() == DATASETS


def test_the_card_gives_the_checksums_and_the_files_are_small():
    card = (DATASETS / "spoken_digits.md").read_text()
    for name, checksum in CHECKSUMS.items():
        assert name in card and checksum in card
    assert sum((DATASETS / name).stat().st_size for name in CHECKSUMS) < 20e6


def test_the_script_checks_the_files(tmp_path):
    command = [sys.executable, str(DATASETS / "cut_spoken_digits.py"), "--check"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0 and found.stdout.count("ok  spoken") == 2
    shutil.copy(DATASETS / TRAIN, tmp_path)
    (tmp_path / TRAIN).write_bytes((DATASETS / TRAIN).read_bytes() + b"x")
    found = subprocess.run([*command, "--into", str(tmp_path)], capture_output=True, text=True, timeout=600)
    assert found.returncode == 1 and found.stdout.count("WRONG") == 2 and "missing" in found.stdout


def test_the_cut_is_evenly_spaced_in_each_cell(script):
    labels, speakers = np.tile(np.arange(20), 40), np.repeat(np.arange(2), 400)
    chosen = script.choose(labels, speakers, [1], per_cell=5)
    assert len(chosen) == 50 and (np.diff(chosen) > 0).all()
    assert (speakers[chosen] == 1).all() and (np.bincount(labels[chosen]) == 5).all() and labels[chosen].max() == 9
    assert chosen[labels[chosen] == 0].tolist() == [400, 480, 560, 640, 720]
    with pytest.raises(SystemExit, match="20 recordings"):
        script.choose(labels, speakers, [1], per_cell=21)


def test_a_cut_of_a_small_source_reads_back(script, tmp_path):
    import h5py

    from eventsnn.data.hdf5 import read

    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "source.h5", "w") as file:
        for name, dtype in (("times", np.float16), ("units", np.uint16)):
            rows = file.create_dataset(f"spikes/{name}", (600,), h5py.vlen_dtype(dtype))
            for index in range(600):
                rows[index] = (rng.random(8) if name == "times" else rng.integers(0, 700, 8)).astype(dtype)
        file["labels"] = np.repeat(np.arange(20), 30).astype(np.uint16)
        file["extra/speaker"] = np.tile([4, 5], 300).astype(np.uint16)
        file["extra/keys"] = np.array([f"word{index}" for index in range(20)], dtype="S6")
        file["extra/speaker_names"] = np.array(["a", "b"], dtype="S1")
        file["extra/files"] = np.array([f"file{index}" for index in range(600)], dtype="S8")
        file.attrs["source"] = "made"
    for name in ("one.h5.xz", "two.h5.xz"):
        assert script.cut(tmp_path / "source.h5", tmp_path / name, test=True) == 300
    assert (tmp_path / "one.h5.xz").read_bytes() == (tmp_path / "two.h5.xz").read_bytes()
    import lzma

    (tmp_path / "cut.h5").write_bytes(lzma.decompress((tmp_path / "one.h5.xz").read_bytes()))
    source, cut = read(tmp_path / "source.h5", 700), read(tmp_path / "cut.h5", 700)
    assert cut.n_classes == 10 and (np.bincount(cut.labels) == 30).all()
    assert np.array_equal(cut.spikes.times, source.select(source.labels < 10).spikes.times)


def test_packed_spikes_are_the_same_spikes():
    for whole, packed in zip(load_spoken_digits(), load_spoken_digits(packed=True), strict=True):
        some = slice(0, len(whole), 37)
        for a, b in zip(whole.spikes[some], packed.spikes[some], strict=True):
            np.testing.assert_array_equal(a.times, b.times)
            np.testing.assert_array_equal(a.units, b.units)
        np.testing.assert_array_equal(whole.labels, packed.labels)
        np.testing.assert_array_equal(whole.groups, packed.groups)
