"""Braille letters: coded events, delta coding of analog sweeps, and files that are refused."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.data.sets.braille import delta_events, load_braille, load_braille_analog
from eventsnn.errors import InvalidInput, UnsafeFile

LETTERS = np.array(["Space", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"])


def coded(path, **change):
    arrays = {
        "times": np.array([0.2, 0.1, 0.5, 1.25], np.float32),
        "channels": np.array([3, 23, 0, 5], np.uint8),
        "counts": np.array([2, 0, 2], np.int32),
        "labels": np.array([0, 26, 5], np.uint8),
        "letters": LETTERS,
    } | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_events_come_back_in_ms_and_sorted(tmp_path):
    data = load_braille(coded(tmp_path / "braille.npz"))
    assert data.spikes.offsets.tolist() == [0, 2, 2, 4]
    assert data.spikes.units.tolist() == [23, 3, 0, 5]
    assert np.array_equal(data.spikes.times, np.float32([0.1, 0.2, 0.5, 1.25]).astype(float) * 1000.0)
    assert (data.n_units, data.n_classes, data.duration) == (24, 27, 1251.0)
    assert data.labels.tolist() == [0, 26, 5]
    assert load_braille(tmp_path / "braille.npz", duration=1400.0).duration == 1400.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.array([2, 1, 2])}, "counts.*add up to 4"),
        ({"counts": np.array([5, -1, 0])}, "counts.*add up to 4"),
        ({"times": np.array([0.2, np.nan, 0.5, 1.0])}, r"samples\[0\].times\[1\] is .*nan"),
        ({"channels": np.array([3, 24, 0, 5])}, "24"),
        ({"labels": np.array([0, 27, 5])}, r"labels\[1\] is 27"),
        ({"labels": np.array([0, 1])}, "labels"),
        ({"letters": None}, "letters.*Found: times, channels, counts, labels"),
        ({"letters": np.array("A")}, "letters.*shape ()"),
        ({"letters": np.arange(27)}, "letters.*names of the classes"),
        # what comes round to 4 when it is added
        ({"counts": np.array([2**63, 2**63, 4], np.uint64)}, "counts.*add up to 4"),
        ({"counts": np.array([2**62, 2**62, 2**62, 2**62, 4])}, "counts.*add up to 4"),
        ({"counts": np.array([2.0, 0.0, 2.0])}, "counts.*float64"),
        ({"channels": np.array([3, 23, 0])}, "channels.*a channel for each of the times"),
        ({"times": np.array([[0.2, 0.1], [0.5, 1.25]])}, "channels.*which have shape"),
        # what a conversion to float64 would make numbers of
        ({"times": np.array(["0.2", "0.1", "0.5", "1.25"])}, "times is '<U4'; allowed: real numbers"),
        ({"times": np.array([0.2, 0.1, 0.5, 1.25 + 1j])}, "times is 'complex128'"),
        ({"times": np.array([200, 100, 500, 1250], "m8[ms]")}, "times is 'timedelta64"),
        ({"times": np.array([True, False, True, True])}, "times is 'bool'"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, change, message):
    with pytest.raises(InvalidInput, match=message):
        load_braille(coded(tmp_path / "braille.npz", **change))


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    coded(tmp_path / "object.npz", times=np.array([Trap()] * 4, dtype=object))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("object.npz", "pickle.npz"):
        with pytest.raises(UnsafeFile, match=name):
            load_braille(tmp_path / name)
    assert not (tmp_path / "trapped").exists()


def test_damaged_and_bloated_archives_are_refused(tmp_path):
    image = coded(tmp_path / "braille.npz").read_bytes()
    (tmp_path / "braille.npz").write_bytes(image[:-30])
    with pytest.raises(UnsafeFile):
        load_braille(tmp_path / "braille.npz")
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("times.npy", "w") as member,
    ):
        for _ in range(2**9 + 1):
            member.write(bytes(2**19))
    with pytest.raises(UnsafeFile, match="unpacks to"):
        load_braille(tmp_path / "bomb.npz")


def rewritten(path, name, data, compression=zipfile.ZIP_STORED):
    """The archive with one member that holds other bytes."""
    with zipfile.ZipFile(coded(path)) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for item, old in members.items():
            archive.writestr(item, data(old) if item == name else old)
    return path


DAMAGED = {
    "no array": lambda raw: b"not NumPy's" + raw,
    "shape beyond the bytes": lambda raw: raw.replace(b"(4,), }        ", b"(2199023255552,)}"[:15].ljust(15)),
    "negative shape": lambda raw: raw.replace(b"(4,), }  ", b"(-4,-1),}"),
    "head without end": lambda raw: raw.replace(b"}", b"{"),
    "another version": lambda raw: raw[:6] + b"\x09" + raw[7:],
    "cut head": lambda raw: raw[:20],
    "cut values": lambda raw: raw[:-1],
    "minus signs": lambda raw: raw[:10] + raw[10:].replace(b"(4,)", b"----"),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_arrays_are_refused(tmp_path, damage):
    changed = []
    path = rewritten(tmp_path / "x.npz", "times.npy", lambda raw: changed.append(damage(raw) != raw) or damage(raw))
    assert changed == [True]
    with pytest.raises(UnsafeFile, match="x.npz"):
        load_braille(path)


def test_every_byte_of_a_compressed_archive_may_be_wrong(tmp_path):
    path = tmp_path / "x.npz"
    image = rewritten(path, "times.npy", bytes, zipfile.ZIP_DEFLATED).read_bytes()
    refused = 0
    for place in range(0, len(image), 3):
        path.write_bytes(image[:place] + bytes([image[place] ^ 0x55]) + image[place + 1 :])
        try:
            load_braille(path)
        except (InvalidInput, UnsafeFile):
            refused += 1
    assert refused > len(image) / 6


def test_other_compressions_and_claims_beyond_the_file_are_refused(tmp_path):
    with pytest.raises(UnsafeFile, match="times.npy: is compressed by the method 14"):
        load_braille(rewritten(tmp_path / "x.npz", "counts.npy", bytes, zipfile.ZIP_LZMA))
    path = rewritten(tmp_path / "y.npz", "counts.npy", bytes)
    image = bytearray(path.read_bytes())
    entry = image.index(b"PK\x01\x02")
    image[entry + 20 : entry + 24] = (2**31).to_bytes(4, "little")  # the size of the first member as it is packed
    path.write_bytes(image)
    with pytest.raises(UnsafeFile, match="claims 2147483648 bytes of a file of"):
        load_braille(path)


def test_a_small_archive_that_makes_many_samples_is_refused(tmp_path):
    zeros = {"times": np.zeros(0), "channels": np.zeros(0, np.uint8), "counts": np.zeros(2**18, np.uint8)}
    np.savez_compressed(tmp_path / "x.npz", labels=zeros["counts"], letters=LETTERS, **zeros)
    with pytest.raises(InvalidInput, match="262144 samples'; allowed: at most 131072"):
        load_braille(tmp_path / "x.npz")


def test_an_absent_file_is_explained(monkeypatch):
    monkeypatch.delenv("EVENTSNN_DATA", raising=False)
    with pytest.raises(InvalidInput, match="Müller-Cleve"):
        load_braille("no_such_braille.npz")


def test_delta_events_of_a_ramp_stand_where_the_line_crosses():
    times, units = delta_events(np.array([[0.0, 10.0], [10.0, 10.0], [10.0, 4.0]]), 4.0, 25.0)
    assert np.allclose(times, [10.0, 20.0, 25.0 + 25.0 * 4 / 6], rtol=1e-15)
    assert units.tolist() == [0, 0, 3]


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.sampled_from([1.0, 2.5, 5.0, 10.0]))
def test_delta_events_follow_the_signal_to_within_the_threshold(values, threshold):
    signal = np.array(values, dtype=float)[:, None]
    times, units = delta_events(signal, threshold, 25.0)
    assert (np.diff(times) >= 0).all() and set(units) <= {0, 1}
    steps = np.where(units == 0, threshold, -threshold)
    for frame, value in enumerate(values):
        level = values[0] + steps[times <= frame * 25.0].sum()
        assert abs(level - value) < threshold + 1e-9


@pytest.mark.parametrize(
    ("signal", "threshold"), [([[1.0]], 0.0), ([[1.0]], np.nan), ([[1.0]], "a"), ([[np.nan]], 1.0), ([1.0], 1.0)]
)
def test_delta_events_refuse_other_arguments(signal, threshold):
    with pytest.raises(InvalidInput):
        delta_events(signal, threshold, 25.0)


def test_analog_sweeps_are_coded(tmp_path):
    taxels = np.full((5, 12), 100, np.uint8)
    taxels[1, 3], taxels[4, 11] = 120, 90
    arrays = {"taxels": taxels, "lengths": np.array([3, 2]), "labels": np.array([1, 2]), "letters": LETTERS}
    np.savez(tmp_path / "analog.npz", **arrays)
    data = load_braille_analog(tmp_path / "analog.npz", threshold=10)
    assert data.spikes.offsets.tolist() == [0, 4, 5]
    assert data.spikes.units.tolist() == [6, 6, 7, 7, 23]
    assert data.spikes.times.tolist() == [12.5, 25.0, 37.5, 50.0, 25.0]
    np.savez(tmp_path / "analog.npz", **(arrays | {"taxels": taxels[:, :11]}))
    with pytest.raises(InvalidInput, match="rows of 12"):
        load_braille_analog(tmp_path / "analog.npz", threshold=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taxels": np.full((5, 12), "1")}, "taxels is '<U1'; allowed: real numbers"),
        ({"taxels": np.full((5, 12), np.nan)}, r"taxels \(sample 0\)\[0, 0\] is nan"),
        ({"taxels": np.arange(60.0).reshape(5, 12) ** 99}, r"taxels \(sample 0\)\[1, 11\] is '.*thresholds away"),
        ({"lengths": np.array([2**63, 2**63, 5], np.uint64)}, "lengths.*add up to 5"),
        ({"labels": np.array([1, 99])}, r"analog.npz: labels\[1\] is 99"),
        ({"labels": np.array([1, 2, 3])}, "analog.npz: labels is 3"),
    ],
)
def test_analog_files_that_no_sweeps_are_in_are_refused(tmp_path, change, message):
    arrays = {"taxels": np.ones((5, 12)), "lengths": np.array([3, 2]), "labels": np.array([1, 2]), "letters": LETTERS}
    np.savez(tmp_path / "analog.npz", **(arrays | change))
    with pytest.raises(InvalidInput, match=message):
        load_braille_analog(tmp_path / "analog.npz", threshold=10)


def test_sweeps_of_no_length_at_all(tmp_path):
    nothing = {"taxels": np.ones((0, 12)), "lengths": np.zeros(0, int), "labels": np.zeros(0, int), "letters": LETTERS}
    np.savez(tmp_path / "analog.npz", **nothing)
    assert len(load_braille_analog(tmp_path / "analog.npz", threshold=10)) == 0


def data_file(name):
    folder = os.environ.get("EVENTSNN_DATA")
    if not folder or not (Path(folder) / name).is_file():
        pytest.skip(f"{name} is not in a folder named by the environment variable EVENTSNN_DATA")
    return name


def test_the_coded_letters():
    data = load_braille(data_file("braille_th10.npz"))
    assert len(data) == 5400 and (np.bincount(data.labels) == 200).all()
    assert 35 < data.spikes.times.size / len(data) < 50
    assert [len(part) for part in data.split((0.7, 0.1, 0.2), seed=0)] == [3780, 540, 1080]


def test_the_analog_letters():
    name = data_file("braille_analog.npz")
    sizes = [load_braille_analog(name, threshold).spikes.times.size for threshold in (2, 5, 10)]
    assert sizes == sorted(sizes, reverse=True)


def test_times_that_can_hardly_be_seconds_are_refused_unless_somebody_says_so(tmp_path):
    path = tmp_path / "braille.npz"
    for kind, words in (
        (np.int32, "times is 'int32'; allowed: seconds"),
        (np.float64, r"times\[0\] is 100.0; .*to 20"),
    ):
        coded(path, times=np.array([100, 900, 1, 2], kind))
        with pytest.raises(InvalidInput, match=f"{words}.*time_unit="):
            load_braille(path)
        assert load_braille(path, time_unit="ms").spikes.times.tolist() == [100.0, 900.0, 1.0, 2.0]
        assert load_braille(path, time_unit="s").spikes.times.max() == 900_000.0
    assert load_braille(path, duration=1e6).spikes.times.max() == 900_000.0
