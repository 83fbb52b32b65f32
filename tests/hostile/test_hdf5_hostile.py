"""Hostile and damaged spike files: each is refused, quickly, in little memory, and without opening another file."""

import ctypes
import os
import random
import struct
import subprocess
import sys
import textwrap
import time
import zlib

import h5py
import numpy as np
import pytest

from eventsnn.data.hdf5 import describe, read
from eventsnn.data.readers.spike_file import SpikeFile
from eventsnn.errors import InvalidInput, UnsafeFile

SECONDS_ALLOWED = 30.0  # of processor time, for one file: a reader that comes to no end takes them on any machine
BYTES_ALLOWED = 256 * 2**20
N_UNITS = 50


def write(path, libver=None):
    """A sound file of four samples, to be spoiled."""
    with h5py.File(path, "w", libver=libver) as file:
        for name, dtype in (("times", np.float16), ("units", np.uint16)):
            rows = file.create_dataset(f"spikes/{name}", (4,), h5py.vlen_dtype(dtype))
            for index in range(4):
                rows[index] = np.arange(5 + index).astype(dtype) / (16 if name == "times" else 1)
        file["labels"] = np.arange(4, dtype=np.uint16) % 2
        file["extra/speaker"] = np.zeros(4, np.uint16)
    return path


def spoil(path, change):
    with h5py.File(write(path), "a") as file:
        change(file)


def replace(name, make):
    def change(file):
        del file[name]
        make(file)

    return change


def rows_of(name, dtype, values):
    def make(file):
        rows = file.create_dataset(name, (len(values),), h5py.vlen_dtype(dtype))
        for index, value in enumerate(values):
            rows[index] = np.asarray(value, dtype=dtype)

    return replace(name, make)


def plain(name, *arguments, **options):
    return replace(name, lambda file: file.create_dataset(name, *arguments, **options))


def row(name, index, values):
    def change(file):
        file[name][index] = np.asarray(values, dtype=file[name].id.dtype.metadata["vlen"])

    return change


def virtual(file):
    layout = h5py.VirtualLayout((4,), np.uint16)
    layout[:] = h5py.VirtualSource("decoy.h5", "labels", shape=(4,))
    file.create_virtual_dataset("labels", layout)


def unlimited_virtual(file):
    layout = h5py.VirtualLayout((4,), np.uint16, maxshape=(None,))
    source = h5py.VirtualSource("decoy.h5", "labels", shape=(4,), maxshape=(None,))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    file.create_virtual_dataset("labels", layout)


def external_storage(file):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_external(b"decoy.h5", 0, 8)
    h5py.h5d.create(file.id, b"labels", h5py.h5t.STD_U16LE, h5py.h5s.create_simple((4,)), plan)


def references(file):
    target = file["extra/speaker"]
    file.create_dataset("extra/reference", data=np.array([target.ref], dtype=h5py.ref_dtype))


def region_references(file):
    target = file["extra/speaker"]
    file.create_dataset("extra/region", data=np.array([target.regionref[0:2]], dtype=h5py.regionref_dtype))


def link(name, target):
    def change(file):
        if name in file:
            del file[name]
        file[name] = target(file)

    return change


def bomb(file):
    # a chunk of 32 bytes that inflates to 64 MB
    data = file.create_dataset("labels", (4,), np.uint64, chunks=(4,), compression="gzip")
    data[:] = 0
    data.id.write_direct_chunk((0,), zlib.compress(bytes(2**26), 9))


def bomb_in_extra(file):
    data = file.create_dataset("extra/bomb", (4,), np.uint64, chunks=(4,), compression="gzip")
    data[:] = 0
    data.id.write_direct_chunk((0,), zlib.compress(bytes(2**26), 9))


def link_virtual(file):
    layout = h5py.VirtualLayout((4,), np.uint16)
    layout[:] = h5py.VirtualSource("decoy.h5", "labels", shape=(4,))
    file.create_virtual_dataset("extra/virtual", layout)


def plain_aside(name, *arguments, **options):
    return lambda file: file.create_dataset(name, *arguments, **options)


def deep(file):
    name = "extra/a"
    for _ in range(20):
        name += "/a"
    file.create_group(name)


def crowd(file):
    for index in range(5000):
        file.create_group(f"group{index}")


def crowd_in_extra(file):
    for index in range(5000):
        file.create_group(f"extra/group{index}")


NAMED_TYPE = np.dtype([("x", "f4"), ("y", "f4")])
STRUCTURES = {
    "external link": (link("labels", lambda file: h5py.ExternalLink("decoy.h5", "/labels")), "labels.*external link"),
    "external link to a pipe": (link("labels", lambda file: h5py.ExternalLink("pipe", "/x")), "labels.*external link"),
    "external group": (link("spikes", lambda file: h5py.ExternalLink("decoy.h5", "/spikes")), "spikes.*external link"),
    "soft link": (link("labels", lambda file: h5py.SoftLink("/extra/speaker")), "labels.*soft link"),
    "soft link to itself": (link("labels", lambda file: h5py.SoftLink("/labels")), "labels.*soft link"),
    "virtual dataset": (replace("labels", virtual), "labels.*virtual"),
    "unlimited virtual dataset": (replace("labels", unlimited_virtual), "labels.*virtual"),
    "external storage": (replace("labels", external_storage), "labels.*external file"),
    "references as labels": (plain("labels", (4,), h5py.ref_dtype), "labels.*reference"),
    "compound": (plain("labels", (4,), NAMED_TYPE), "labels.*compound"),
    "rows of compound": (plain("spikes/times", (4,), h5py.vlen_dtype(NAMED_TYPE)), "spikes/times.*compound"),
    "rows of rows": (plain("spikes/times", (4,), h5py.vlen_dtype(h5py.vlen_dtype("f4"))), "spikes/times.*nested"),
    "enumeration": (plain("labels", (4,), h5py.enum_dtype({"a": 0, "b": 1})), "labels.*enumeration"),
    "opaque": (plain("labels", (4,), "V4"), "labels.*opaque"),
    "array type": (plain("labels", (4,), np.dtype(("f4", (2,)))), "labels.*array type"),
    "complex": (plain("labels", (4,), np.complex64), "labels.*(compound|unknown)"),
    "scale-offset filter": (plain("labels", data=np.arange(4), chunks=(4,), scaleoffset=0), "labels.*filter number 6"),
    "2^40 labels": (plain("labels", (2**40,), "u2"), "labels.*1099511627776"),
    "2^40 labels in chunks": (plain("labels", (2**40,), "u2", chunks=(2**10,)), "labels.*1099511627776"),
    "2^40 packed labels": (plain("labels", (2**40,), "u2", chunks=(2**10,), compression="gzip"), "labels"),
    "2^40 rows": (plain("spikes/times", (2**40,), h5py.vlen_dtype("f2")), "spikes/times.*1099511627776"),
    "more than the file holds": (plain("labels", (2**19,), "u2"), "labels.*holds 0 bytes"),
    "missing chunks": (plain("labels", (2**19,), "u2", chunks=(2**9,), compression="gzip"), "labels.*holds 0"),
    "huge chunk": (plain("labels", (4,), "u2", chunks=(2**27,), maxshape=(None,)), "labels"),
    "huge extra": (plain("extra/speaker", (2**30,), "u1", chunks=(2**20,)), "extra/speaker"),
    "gzip bomb": (replace("labels", bomb), "labels.*gzip"),
}
ASIDE = {
    "external link": (link("aside", lambda file: h5py.ExternalLink("decoy.h5", "/x")), "aside", "an external link"),
    "external link to a pipe": (link("aside", lambda file: h5py.ExternalLink("pipe", "/x")), "aside", "external link"),
    "external link in extra": (link("extra/x", lambda file: h5py.ExternalLink("decoy.h5", "/")), "extra/x", "external"),
    "soft link": (link("aside", lambda file: h5py.SoftLink("/labels")), "aside", "is a soft link"),
    "soft link in extra": (link("extra/x", lambda file: h5py.SoftLink("/nowhere")), "extra/x", "is a soft link"),
    "cyclic hard link": (link("extra/back", lambda file: file["/"]), "extra/back", "cyclic"),
    "cyclic hard link to itself": (link("extra/me", lambda file: file["extra"]), "extra/me", "cyclic"),
    "hard link to a used one": (link("again", lambda file: file["spikes/times"]), "again", "no part of the layout"),
    "virtual dataset": (link_virtual, "extra/virtual", "virtual dataset"),
    "object references": (references, "extra/reference", "reference"),
    "region references": (region_references, "extra/region", "reference"),
    "compound": (plain_aside("extra/pairs", data=np.zeros(4, NAMED_TYPE)), "extra/pairs", "compound"),
    "compound outside extra": (plain_aside("pairs", data=np.zeros(4, NAMED_TYPE)), "pairs", "no part of the layout"),
    "named type": (link("extra/kind", lambda file: NAMED_TYPE), "extra/kind", "neither"),
    "null dataset": (link("extra/null", lambda file: h5py.Empty("f4")), "extra/null", "null"),
    "24 MB of sound": (plain_aside("extra/sound", data=np.zeros(3 * 2**20)), "extra/sound", "claims the shape"),
    "24 MB of sound outside extra": (plain_aside("sound", data=np.zeros(3 * 2**20)), "sound", "no part of the layout"),
    "24 MB of packed sound": (
        plain_aside("extra/sound", data=np.zeros(3 * 2**20), compression="gzip"), "extra/sound", "claims the shape"
    ),
    "rows in extra": (plain_aside("extra/rows", (2,), h5py.vlen_dtype("u1")), "extra/rows", "variable length"),
    "bomb in extra": (bomb_in_extra, "extra/bomb", "gzip"),
    "group": (lambda file: file.create_group("more/and/more"), "more", "no part of the layout"),
    "other rows": (plain_aside("spikes/weights", (2,), h5py.vlen_dtype("f4")), "spikes/weights", "no part"),
    "deep groups": (deep, "extra/a/a/a/a/a/a/a", "deeper"),
    "crowd of groups": (crowd, "/", "more than"),
    "crowd in extra": (crowd_in_extra, "extra", "more than"),
}  # fmt: skip
VALUES = {
    "NaN time": (row("spikes/times", 2, [0.1, np.nan, 0.2, 0, 0, 0, 0]), r"spikes/times\[sample 2\]\[1\].*nan"),
    "infinite time": (row("spikes/times", 1, [np.inf, 0, 0, 0, 0, 0]), r"spikes/times\[sample 1\]\[0\].*inf"),
    "negative time": (row("spikes/times", 3, [0] * 7 + [-0.5]), r"spikes/times\[sample 3\]\[7\].*-0\.5"),
    "unit too large": (row("spikes/units", 2, [0, 1, 2, 3, N_UNITS, 5, 6]), r"spikes/units\[sample 2\]\[4\] is 50"),
    "fewer units": (row("spikes/units", 1, [1, 2]), r"spikes/units\[sample 1\].*2 long.*\(6\)"),
    "more units": (row("spikes/units", 0, [1] * 9), r"spikes/units\[sample 0\].*9 long.*\(5\)"),
    "NaN double time": (rows_of("spikes/times", "f8", [[0] * 5, [0] * 6, [0] * 7, [np.nan] * 8]), "sample 3"),
    "negative unit": (rows_of("spikes/units", "i2", [[0] * 5, [-1] * 6, [0] * 7, [0] * 8]), r"sample 1\]\[0\] is -1"),
    "fractional units": (
        rows_of("spikes/units", "f4", [[0.5] * 5, [0] * 6, [0] * 7, [0] * 8]),
        "spikes/units.*integer",
    ),
    "fewer rows of units": (rows_of("spikes/units", "u2", [[0] * 5, [0] * 6]), "spikes/units is 2.*4 samples"),
    "plain times": (plain("spikes/times", data=np.zeros((4, 5))), "spikes/times.*one row per sample"),
    "fewer labels": (plain("labels", data=np.arange(3)), "labels is 3.*4 samples"),
    "fewer speakers": (plain("extra/speaker", data=np.arange(3)), "extra/speaker is 3.*4 samples"),
    "negative label": (plain("labels", data=np.array([0, 1, -1, 0])), r"labels\[2\] is -1"),
    "label beyond the keys": (
        link("extra/keys", lambda file: np.array(["a"], "S1")),
        r"labels\[1\] is 1.*classes \(1\)",
    ),
    "fractional labels": (plain("labels", data=np.zeros(4)), "labels is 'float64.*integer"),
    "labels as a table": (plain("labels", data=np.zeros((4, 1), int)), "labels.*one integer per sample"),
    "no labels": (replace("labels", lambda file: None), "labels is None.*Found: extra/speaker, spikes/times"),
    "no units": (replace("spikes/units", lambda file: None), "spikes/units is None.*Found"),
    "no spikes": (replace("spikes", lambda file: None), "spikes/times is None.*Found: extra/speaker, labels"),
    "a group for a dataset": (replace("labels", lambda file: file.create_group("labels")), "labels is None"),
}


def refused(path, kind, message):
    start = time.process_time()  # of this process alone: the machine may be busy
    with pytest.raises(kind, match=f"(?s){message}") as error:
        read(path, n_units=N_UNITS)
    assert time.process_time() - start < SECONDS_ALLOWED
    assert str(path) in str(error.value)
    return error.value


def test_the_file_that_is_spoiled_below_is_sound(tmp_path):
    data = read(write(tmp_path / "file.h5"), n_units=N_UNITS)
    assert np.diff(data.spikes.offsets).tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize(("change", "message"), STRUCTURES.values(), ids=STRUCTURES.keys())
def test_structures_that_spike_files_have_no_need_of(tmp_path, monkeypatch, change, message):
    write(tmp_path / "decoy.h5")
    os.mkfifo(tmp_path / "pipe")  # whoever opens it waits for ever
    monkeypatch.chdir(tmp_path)
    spoil(tmp_path / "file.h5", change)
    error = refused(tmp_path / "file.h5", UnsafeFile, message)
    assert error.item and error.reason


@pytest.mark.parametrize(("change", "name", "reason"), ASIDE.values(), ids=ASIDE.keys())
def test_what_is_not_used_is_left_alone_and_reported(tmp_path, monkeypatch, change, name, reason):
    write(tmp_path / "decoy.h5")
    os.mkfifo(tmp_path / "pipe")  # whoever opens it waits for ever
    monkeypatch.chdir(tmp_path)
    sound = read(write(tmp_path / "file.h5"), n_units=N_UNITS)
    spoil(tmp_path / "file.h5", change)
    data = read(tmp_path / "file.h5", n_units=N_UNITS)
    assert np.array_equal(data.spikes.times, sound.spikes.times) and np.array_equal(data.labels, sound.labels)
    assert np.array_equal(data.groups, sound.groups)
    with SpikeFile(tmp_path / "file.h5") as file:
        assert list(file.ignored) == [name] and reason in file.ignored[name]
        assert list(file.extra) == ["speaker"]
    assert describe(tmp_path / "file.h5")["ignored"] == file.ignored


@pytest.mark.parametrize(("change", "message"), VALUES.values(), ids=VALUES.keys())
def test_values_out_of_range(tmp_path, change, message):
    spoil(tmp_path / "file.h5", change)
    refused(tmp_path / "file.h5", InvalidInput, message)


def test_describe_refuses_what_read_refuses(tmp_path):
    spoil(tmp_path / "file.h5", row("spikes/times", 2, [np.nan] * 7))
    with pytest.raises(InvalidInput, match="sample 2"):
        describe(tmp_path / "file.h5")


def test_a_link_name_with_a_slash_is_not_walked(tmp_path):
    path = write(tmp_path / "file.h5")
    with h5py.File(path, "a") as file:
        file["aliaslabels"] = file["labels"]
    image = path.read_bytes()
    assert image.count(b"aliaslabels") == 1
    path.write_bytes(image.replace(b"aliaslabels", b"alias/label"))
    with SpikeFile(path) as file:
        assert "has a link whose name is" in file.ignored["alias/label"]


def test_not_hdf5_at_all(tmp_path):
    for content in (
        b"",
        b"\x89HDF",
        b"not HDF5 " * 100,
        b"\x89HDF\r\n\x1a\n" + bytes(4000),
        b"\x80\x04N." + bytes(600),
    ):
        (tmp_path / "file.h5").write_bytes(content)
        refused(tmp_path / "file.h5", UnsafeFile, "")


def test_folders_pipes_and_missing_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "missing"):
        refused(tmp_path / name, InvalidInput, "path is")


def test_a_user_block_is_refused(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w", userblock_size=512):
        pass
    refused(tmp_path / "file.h5", UnsafeFile, "superblock")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_every_truncation_is_refused(tmp_path, libver):
    image = write(tmp_path / "whole.h5", libver).read_bytes()
    assert len(read(tmp_path / "whole.h5")) == 4
    for size in [*range(0, len(image), 61), len(image) - 1]:
        (tmp_path / "part.h5").write_bytes(image[:size])
        refused(tmp_path / "part.h5", UnsafeFile, "")


def descriptor(path, name, index):
    """Where in the file the 16 bytes of one variable-length element lie."""
    with h5py.File(path) as file:
        return file[name].id.get_offset() + 16 * index


def patch(path, offset, form, value):
    image = bytearray(path.read_bytes())
    struct.pack_into(form, image, offset, value)
    path.write_bytes(image)


@pytest.mark.parametrize(
    ("place", "form", "value", "message"),
    [
        (0, "<I", 2**32 - 1, "spikes/times.*claims"),
        (0, "<I", 2000, r"spikes/times\[sample 2\].*claims 2000 values and refers to 14 bytes"),
        (0, "<I", 20000, r"spikes/times.*claims 20019 values"),
        (0, "<I", 6, r"spikes/times\[sample 2\].*claims 6 values and refers to 14 bytes"),
        (0, "<I", 8, r"spikes/times\[sample 2\].*claims 8 values and refers to 14 bytes"),
        (4, "<Q", 2**63, r"spikes/times\[sample 2\].*points to byte"),
        (4, "<Q", 2**64 - 1, r"spikes/times\[sample 2\].*points to byte"),
        (4, "<Q", 1, r"spikes/times\[sample 2\].*no global heap"),
        (12, "<I", 0, r"spikes/times\[sample 2\].*refers to object 0"),
        (12, "<I", 60000, r"spikes/times\[sample 2\].*refers to object 60000"),
    ],
)
def test_lying_references_into_the_heap(tmp_path, place, form, value, message):
    path = write(tmp_path / "file.h5")
    for name in ("spikes/times", "spikes/units"):
        patch(path, descriptor(path, name, 2) + place, form, value)
    refused(path, UnsafeFile, message)


def heap(path):
    return path.read_bytes().index(b"GCOL")


@pytest.mark.parametrize(
    ("place", "form", "value", "message"),
    [
        (0, "<I", 0, "no global heap"),
        (4, "<B", 9, "no global heap"),
        (8, "<Q", 2**62, "points to byte"),
        (8, "<Q", 20, "which has 0 of them"),
        (24, "<Q", 2**40, "overruns"),
        (24, "<Q", 2**64 - 8, "overruns"),
    ],
)
def test_lying_heaps(tmp_path, place, form, value, message):
    path = write(tmp_path / "file.h5")
    patch(path, heap(path) + place, form, value)
    refused(path, UnsafeFile, message)


def test_many_samples_that_share_one_row_are_refused(tmp_path):
    path = tmp_path / "file.h5"
    n_samples = 1000
    with h5py.File(path, "w") as file:
        for name, dtype in (("times", np.float16), ("units", np.uint16)):
            rows = file.create_dataset(f"spikes/{name}", (n_samples,), h5py.vlen_dtype(dtype))
            rows[0] = np.zeros(20000, dtype)
        file["labels"] = np.zeros(n_samples, np.uint16)
    for name in ("times", "units"):
        start = descriptor(path, f"spikes/{name}", 0)
        image = bytearray(path.read_bytes())
        image[start : start + 16 * n_samples] = image[start : start + 16] * n_samples
        path.write_bytes(image)
    refused(path, UnsafeFile, "spikes/times.*claims 20000000 values")


def inotify(folder):
    """Watch a folder for files that are opened; returns a function that tells whether any was since the last call."""
    library = ctypes.CDLL(None, use_errno=True)
    watch_open, non_blocking = 0x20, 0x800
    queue = library.inotify_init1(non_blocking)
    assert queue >= 0 and library.inotify_add_watch(queue, os.fsencode(folder), watch_open) >= 0

    def opened():
        try:
            return bool(os.read(queue, 4096))
        except BlockingIOError:
            return False

    return opened


@pytest.mark.skipif(sys.platform != "linux", reason="watches the folder with inotify, which is Linux's")
def test_no_other_file_is_opened(tmp_path, monkeypatch):
    others = tmp_path / "others"
    others.mkdir()
    write(others / "decoy.h5")
    monkeypatch.chdir(others)  # the library looks for relative names here, too
    cases = {name: case for name, case in STRUCTURES.items() if "external" in name or "virtual" in name}
    assert len(cases) == 6
    for name, (change, message) in cases.items():
        spoil(tmp_path / "file.h5", change)
        opened = inotify(others)
        refused(tmp_path / "file.h5", UnsafeFile, message)
        assert not opened(), name
    aside = {name: case for name, case in ASIDE.items() if "external" in name or "virtual" in name}
    assert len(aside) == 4
    for name, (change, _, _) in aside.items():
        spoil(tmp_path / "file.h5", change)
        opened = inotify(others)
        read(tmp_path / "file.h5", n_units=N_UNITS)
        assert not opened(), name
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["link"] = h5py.ExternalLink("decoy.h5", "/labels")
        opened = inotify(others)
        assert len(file["link"]) == 4
    assert opened(), "the watch does not see what it is there to see"


MEASURE = """
import sys
from eventsnn.data.hdf5 import read
from eventsnn.errors import InvalidInput, UnsafeFile
for path in sys.argv[1:]:
    try:
        read(path, n_units=50)
    except (UnsafeFile, InvalidInput):
        continue
    if "aside" not in path:
        raise SystemExit(f"{path} was read")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) * 1024)
"""


def in_a_process(code, *arguments):
    found = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory with Linux's /proc")
def test_all_of_them_together_stay_within_the_memory(tmp_path):
    paths = []
    for index, (change, *_) in enumerate([*STRUCTURES.values(), *VALUES.values(), *ASIDE.values()]):
        name = "file" if index < len(STRUCTURES) + len(VALUES) else "aside"
        paths.append(tmp_path / f"{name}{index}.h5")
        spoil(paths[-1], change)
    assert int(in_a_process(MEASURE, *map(str, paths))) < BYTES_ALLOWED


FLIPS = textwrap.dedent("""
    import random, sys, time
    from pathlib import Path
    from eventsnn.data.hdf5 import read
    from eventsnn.errors import InvalidInput, UnsafeFile
    draw, sound, slowest = random.Random(int(sys.argv[2])), Path(sys.argv[1]), 0.0
    image, refused = sound.read_bytes(), 0
    for _ in range(1200):
        damaged = bytearray(image)
        for _ in range(draw.choice([1, 1, 4])):
            damaged[draw.randrange(len(image))] = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
        sound.with_suffix(".flip").write_bytes(damaged)
        start = time.process_time()
        try:
            read(sound.with_suffix(".flip"), n_units=50)
        except (UnsafeFile, InvalidInput):
            refused += 1
        slowest = max(slowest, time.process_time() - start)
    assert slowest < float(sys.argv[3]), slowest
    print(refused)
""")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_damage_anywhere_is_refused_or_harmless(tmp_path, libver):
    path = write(tmp_path / "file.h5", libver)
    refused = int(in_a_process(FLIPS, str(path), "1", str(SECONDS_ALLOWED)))
    assert refused > 200


def test_damaged_spikes_in_a_large_row(tmp_path):
    """Errors keep the index that the spike has in the file, although samples are sorted."""
    times = np.linspace(1.0, 0.0, 5000).astype(np.float16)
    place = random.Random(0).randrange(5000)
    times[place] = -1.0
    with h5py.File(tmp_path / "file.h5", "w") as file:
        for name, values in (("times", times), ("units", np.zeros(5000, np.uint16))):
            file.create_dataset(f"spikes/{name}", (1,), h5py.vlen_dtype(values.dtype))[0] = values
        file["labels"] = np.zeros(1, int)
    error = refused(tmp_path / "file.h5", InvalidInput, "sample 0")
    assert (error.index, error.value) == (place, -1.0)


def test_a_failed_opening_leaves_no_file_open(tmp_path):
    errors = []
    for name in ("soft link", "compound", "virtual dataset"):
        spoil(tmp_path / "file.h5", STRUCTURES[name][0])  # which the library refuses while the file is open
        with pytest.raises(UnsafeFile) as error:
            SpikeFile(tmp_path / "file.h5")
        errors.append(error)
    spoil(tmp_path / "file.h5", VALUES["fewer labels"][0])
    with pytest.raises(InvalidInput) as error:
        SpikeFile(tmp_path / "file.h5")
    assert len(read(write(tmp_path / "file.h5"))) == 4
    assert len(errors) == 3 and error.value.value == 3


def small(path, *, units=(0,), labels=(0,), n_samples=1):
    with h5py.File(path, "w") as file:
        for name, values in (("times", np.zeros(len(units))), ("units", np.array(units, np.int64))):
            file.create_dataset(f"spikes/{name}", (n_samples,), h5py.vlen_dtype(values.dtype))[0] = values
        file.create_dataset("labels", data=np.resize(labels, n_samples), compression="gzip")
    return path


LARGEST = {
    "unit": ({"units": [3, 2**31 - 1]}, r"spikes/units\[sample 0\]\[1\] is 2147483647.*4194303.*Give n_units"),
    "label": ({"labels": [2**31 - 1]}, r"labels\[0\] is 2147483647.*below 65536"),
}


@pytest.mark.parametrize(("made", "message"), LARGEST.values(), ids=LARGEST.keys())
def test_memory_does_not_follow_the_largest_number_in_a_small_file(tmp_path, made, message):
    path = small(tmp_path / "file.h5", **made)
    for look in (read, describe):
        with pytest.raises(InvalidInput, match=message):
            look(path)


def test_empty_rows_are_not_looked_at_one_by_one(tmp_path, monkeypatch):
    path, looked = small(tmp_path / "file.h5", n_samples=2**14), []
    sample = SpikeFile.__getitem__
    monkeypatch.setattr(SpikeFile, "__getitem__", lambda file, index: looked.append(index) or sample(file, index))
    assert len(read(path)) == 2**14 and looked == [0]
    assert describe(path)["samples"] == 2**14 and looked == [0, 0]
