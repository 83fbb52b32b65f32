"""Checkpoints under attack: flipped bytes, truncation, forged headers, kill -9, full disks, read-only folders."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

from eventsnn import checkpoints, writing
from eventsnn.checkpoints import MAGIC, MAX_HEADER, PREFIX, VERSION, load, save
from eventsnn.errors import CheckpointError

ROOT = Path(checkpoints.__file__).resolve().parents[1]
needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, fork or resource limits")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run.ckpt")


def files(path):
    return sorted(os.listdir(os.path.dirname(path)))


def small_checkpoint(path):
    arrays = {"a.weight": np.arange(4.0), "b": np.array([True, False]), "n": np.array(3)}
    save(path, arrays, {"epoch": 1, "name": "x"}, keep=1)
    return Path(path).read_bytes()


def fields_by_byte(data):
    """The field that every byte of a checkpoint written by `small_checkpoint` belongs to."""
    header_length = PREFIX.unpack(data[: PREFIX.size])[2]
    header = json.loads(data[PREFIX.size : PREFIX.size + header_length])
    fields = ["magic"] * 8 + ["version"] * 4 + ["header"] * (PREFIX.size - 12 + header_length)
    fields += ["meta"] * header["meta"]["bytes"]
    for entry, size in zip(header["arrays"], (32, 2, 8), strict=True):
        fields += [f"array {entry['name']}"] * size
    assert len(fields) == len(data)
    return fields


def field_refused(path, data):
    Path(path).write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        load(path)
    return caught.value.field


def test_every_flipped_byte_is_refused_and_its_field_named(path):
    data = small_checkpoint(path)
    for position, field in enumerate(fields_by_byte(data)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            assert field_refused(path, damaged) == field, (position, flip)


def test_every_truncation_is_refused_and_the_field_where_it_ends_is_named(path):
    data = small_checkpoint(path)
    fields = fields_by_byte(data)
    for length in range(len(data)):
        expected = "header" if length < PREFIX.size else fields[length]
        assert field_refused(path, data[:length]) == expected, length


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 4096, MAGIC])
def test_bytes_after_the_end_are_refused(path, extra):
    assert field_refused(path, small_checkpoint(path) + extra) == "end"


def test_sampled_flips_and_truncations_of_a_larger_checkpoint(path):
    rng = np.random.default_rng(0)
    save(path, {"weight": rng.normal(size=(300, 400)), "delay": rng.normal(size=5_000)}, {"x": list(range(99))}, keep=1)
    data = Path(path).read_bytes()
    for position in rng.integers(0, len(data), 60):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(0, 8))
        field_refused(path, damaged)
        field_refused(path, data[:position])


def test_an_overlong_header_is_refused_before_it_is_read(path):
    Path(path).write_bytes(PREFIX.pack(MAGIC, VERSION, MAX_HEADER + 1, bytes(32)))
    os.truncate(path, 2 * MAX_HEADER)  # sparse: the bytes the header claims are there
    with pytest.raises(CheckpointError, match=f"header: {MAX_HEADER + 1} bytes, more than"):
        load(path)


def test_swapped_arrays_of_equal_size_are_refused(path):
    save(path, {"a": np.zeros(4), "b": np.ones(4)}, {}, keep=1)
    data = Path(path).read_bytes()
    assert field_refused(path, data[:-64] + data[-32:] + data[-64:-32]) == "array a"


# --------------------------------------------------------------------------- forged: checksums right, content not


def forge(header, body=b"", version=VERSION):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return PREFIX.pack(MAGIC, version, len(text), hashlib.sha256(text).digest()) + text + body


def sha(data):
    return hashlib.sha256(data).hexdigest()


def describe(**changes):
    return {"name": "w", "dtype": "f8", "shape": [1], "sha256": sha(bytes(8)), **changes}


def forge_array(*entries, body=bytes(8), meta=b"{}", **meta_changes):
    meta_entry = {"bytes": len(meta), "sha256": sha(meta), **meta_changes}
    return forge({"arrays": list(entries), "meta": meta_entry}, meta + body)


def test_the_forger_can_write_a_good_checkpoint(path):
    Path(path).write_bytes(forge_array(describe()))
    arrays, meta = load(path)
    assert arrays["w"].tolist() == [0.0] and meta == {}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (forge_array(describe(shape=[2**40])), "array w"),
        (forge_array(describe(shape=[2**62, 2**62])), "array w"),
        (forge_array(describe(shape=[2**64])), "array w"),
        (forge_array(describe(shape=[10**300])), "array w"),
        (forge_array(describe(shape=[0, 2**62], sha256=sha(b"")), body=b""), "array w"),
        (forge_array(describe(shape=[-1])), "array w"),
        (forge_array(describe(shape=[-1, -1])), "array w"),
        (forge_array(describe(shape=[True])), "array w"),
        (forge_array(describe(shape=[1.0])), "array w"),
        (forge_array(describe(shape=1)), "array w"),
        (forge_array(describe(shape=[1] * 65)), "array w"),
        (forge_array(describe(shape=None)), "array w"),
        (forge_array(describe(dtype="O")), "array w"),
        (forge_array(describe(dtype="O8")), "array w"),
        (forge_array(describe(dtype="V8")), "array w"),
        (forge_array(describe(dtype="f16")), "array w"),
        (forge_array(describe(dtype=">f8")), "array w"),
        (forge_array(describe(dtype=["f8"])), "array w"),
        (forge_array(describe(dtype="f8,f8")), "array w"),
        (forge_array(describe(sha256=None)), "array w"),
        (forge_array(describe(dtype="b1", sha256=sha(b"\x02")), body=b"\x02"), "array w"),
        (forge_array(describe(name=3)), "header"),
        (forge_array("w"), "header"),
        (forge_array(describe(), describe(), body=bytes(16)), "header"),
        (forge_array(describe(name="b"), describe(name="a"), body=bytes(16)), "header"),
        (forge_array(describe(), bytes=-1), "header"),
        (forge_array(describe(), bytes=2**40), "header"),
        (forge_array(describe(), bytes=True), "header"),
        (forge_array(describe(), bytes=None), "header"),
        (forge_array(describe(), bytes=2**20), "meta"),
        (forge_array(describe(), sha256=0), "meta"),
        (forge_array(describe(), meta=b"[]"), "meta"),
        (forge_array(describe(), meta=b"{"), "meta"),
        (forge_array(describe(), meta=b"\xff\xff"), "meta"),
        (forge_array(describe(), meta=b'{"a":' + b"[" * 200_000), "meta"),
        (forge_array(describe(), meta=b'{"a":' + b"9" * 5_000 + b"}"), "meta"),
        (forge(b"[" * 100_000), "header"),
        (forge(b"[]"), "header"),
        (forge(b"{}"), "header"),
        (forge({"arrays": {}, "meta": {"bytes": 2, "sha256": sha(b"{}")}}, b"{}"), "header"),
        (forge({"arrays": [], "meta": []}), "header"),
        (forge(b""), "header"),
        (forge({}, version=0), "version"),
        (forge({}, version=3), "version"),
        (PREFIX.pack(MAGIC, VERSION, 2**32 - 1, bytes(32)), "header"),
        (PREFIX.pack(MAGIC, VERSION, MAX_HEADER, bytes(32)), "header"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "magic"),
        (b"PK\x03\x04" + bytes(100), "magic"),
        (b"\x80\x04\x95" + bytes(100), "magic"),
        (b"", "header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_forged_files_are_refused_fast_and_in_little_memory(path, data, field):
    start = time.thread_time()  # of this thread alone: the machine may be busy
    tracemalloc.start()
    try:
        assert field_refused(path, data) == field
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20
    assert time.thread_time() - start < 2.0


# ---------------------------------------------------------------------------- lists of the metadata that are arrays


def with_lists(path):
    """The bytes of a checkpoint with two long lists in its metadata, and where the first of them begins."""
    save(path, {"w": np.arange(2.0)}, {"a": [0.5] * 1_024, "b": [{"c": [True] * 2_048}], "k": None}, keep=1)
    data = Path(path).read_bytes()
    return data, len(data) - 1_024 * 8 - 2_048


def test_flipped_bytes_of_lists_are_refused_and_their_place_named(path):
    data, start = with_lists(path)
    rng = np.random.default_rng(0)
    for position in [start, len(data) - 1, *rng.integers(start, len(data), 40)]:
        damaged = bytearray(data)
        damaged[position] ^= 1
        name = "array meta.a" if position < len(data) - 2_048 else "array meta.b[0].c"
        assert field_refused(path, damaged) == name
        assert field_refused(path, data[:position]) == name


def test_a_file_with_lists_is_kept_as_the_generation_before(path):
    data, _ = with_lists(path)
    save(path, {}, {})
    assert Path(path + ".previous").read_bytes() == data


def forge_list(path_in_meta, meta=b'{"a":null,"b":[null,{"c":null}],"d":3}', version=2, **changes):
    body = bytes(8)
    entry = {"path": path_in_meta, "dtype": "f8", "shape": [1], "sha256": sha(body), **changes}
    header = {"arrays": [], "lists": [entry], "meta": {"bytes": len(meta), "sha256": sha(meta)}}
    return forge(header, meta + body, version)


def test_the_forger_can_write_a_good_list(path):
    for place, found in ((["a"], "a"), (["b", 1, "c"], "c"), (["b", 0], 0)):
        Path(path).write_bytes(forge_list(place))
        meta = load(path)[1]
        for key in place[:-1]:
            meta = meta[key]
        assert meta[found] == [0.0]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (forge_list(["e"]), "meta.e"),
        (forge_list(["d"]), "meta.d"),
        (forge_list(["d", "x"]), "meta.d.x"),
        (forge_list(["b"]), "meta.b"),
        (forge_list(["b", 2]), "meta.b[2]"),
        (forge_list(["b", "0"]), "meta.b.0"),
        (forge_list(["b", 10**30]), f"meta.b[{10**30}]"),
        (forge_list([0]), "meta[0]"),
        (forge_list(["b", -1]), "header"),
        (forge_list(["b", True]), "header"),
        (forge_list(["b", 1.0]), "header"),
        (forge_list([]), "header"),
        (forge_list(["a"] * 65), "header"),
        (forge_list("a"), "header"),
        (forge_list(None), "header"),
        (forge_list(["a"], shape=[2**40]), "array meta.a"),
        (forge_list(["a"], dtype="O"), "array meta.a"),
        (forge_list(["a"], sha256=None), "array meta.a"),
        (forge({"arrays": [], "lists": {}, "meta": {"bytes": 2, "sha256": sha(b"{}")}}, b"{}", 2), "header"),
        (forge({"arrays": [], "lists": ["a"], "meta": {"bytes": 2, "sha256": sha(b"{}")}}, b"{}", 2), "header"),
        (forge({"arrays": [], "meta": {"bytes": 2, "sha256": sha(b"{}")}}, b"{}", 2), "header"),
        (forge_list(["a"], version=1), "end"),
    ],
    ids=range(22),
)
def test_forged_lists_are_refused(path, data, field):
    assert field_refused(path, data) == field


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_regular_file_is_refused_without_waiting(path, kind):
    if kind == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    (os.mkdir if kind == "folder" else os.mkfifo)(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        load(path)


# ------------------------------------------------------------------------------------------------------- kill -9


SAVER = """
import sys
import numpy as np
from eventsnn.checkpoints import save
step = int(sys.argv[2])
while True:
    save(sys.argv[1], {"w": np.full(30_000, float(step)), "step": np.array(step)}, {"step": step})
    print(step, flush=True)
    step += 1
"""

CRASHER = """
import os, signal, sys, warnings
import numpy as np
from eventsnn.checkpoints import load, save
folder, links, damaged = sys.argv[1], sys.argv[2] == "links", sys.argv[3] == "damaged"
warnings.simplefilter("ignore")

def write(path, generation):
    save(path, {"w": np.full(9, float(generation))}, {"generation": generation})

def crash_at(call):
    # Every system call that save makes is replaced by one that counts; the one numbered `call` never returns.
    left = [call]
    def counted(function):
        def wrapper(*args, **kwargs):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*args, **kwargs)
        return wrapper
    for name in ("open", "write", "fsync", "close", "replace", "unlink", "listdir"):
        setattr(os, name, counted(getattr(os, name)))
    if links:
        os.link = counted(os.link)

def refuse(*_):
    raise OSError("no links")

if not links:
    os.link = refuse
seen, call, killed = set(), 0, True
while killed:
    path = os.path.join(folder, f"{call}.ckpt")
    write(path, 1)
    write(path, 2)
    if damaged:
        with open(path, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")
    child = os.fork()
    if child == 0:
        crash_at(call)
        write(path, 3)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    arrays, meta = load(path)
    assert arrays["w"].tolist() == [float(meta["generation"])] * 9
    assert meta["generation"] >= (3 if not killed else 1 if damaged else 2)
    seen.add(meta["generation"])
    write(path, 4)
    assert load(path)[1]["generation"] == 4
    names = [name for name in os.listdir(folder) if name.startswith(f"{call}.ckpt")]
    assert sorted(names) == [f"{call}.ckpt", f"{call}.ckpt.previous"], names
    call += 1
print(call, sorted(seen))
"""


def python(script, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options)


@needs_posix
@pytest.mark.parametrize("links", ["links", "no links"])
@pytest.mark.parametrize("state", ["intact", "damaged"])
def test_kill_at_every_system_call_leaves_a_good_checkpoint(tmp_path, links, state):
    with python(CRASHER, tmp_path, links, state) as process:
        output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    calls, seen = output.split(maxsplit=1)
    assert int(calls) >= 10
    assert seen.strip() == ("[2, 3]" if state == "intact" else "[1, 3]")


@needs_posix
def test_20_kills_in_the_middle_of_repeated_saves(path):
    # more where none came into a save: on a busy machine a save may always wait for its turn
    rng = np.random.default_rng(5)
    step = caught_writing = kills = 0
    while kills < 20 or (caught_writing == 0 and kills < 500):
        kills += 1
        with python(SAVER, path, step) as process:
            reported = int(process.stdout.readline())
            time.sleep(float(rng.uniform(0.0, 0.02)))
            process.send_signal(signal.SIGKILL)
            reported = max([reported, *(int(line) for line in process.stdout if line.endswith("\n"))])
        caught_writing += any(writing.UNFINISHED in name for name in files(path))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # with hard links the newest generation never goes missing
            arrays, meta = load(path)
        assert np.all(arrays["w"] == meta["step"]) and arrays["step"] == meta["step"]
        assert meta["step"] >= reported
        step = meta["step"] + 1
    assert caught_writing > 0  # else the kills came between the saves and showed nothing
    save(path, {}, {})
    assert files(path) == ["run.ckpt", "run.ckpt.previous"]


# ----------------------------------------------------------------------------------------- disks that do not obey


def keep_two(path):
    for generation in (1, 2):
        save(path, {"w": np.full(100, float(generation))}, {"generation": generation})
    return {name: Path(path).with_name(name).read_bytes() for name in files(path)}


def fail_at(monkeypatch, name, call, error):
    """Make the call numbered `call` of os.`name` raise; returns a list that ends up non-empty if it was reached."""
    real, calls, reached = getattr(os, name), [0], []

    def failing(*args, **kwargs):
        calls[0] += 1
        if calls[0] == call:
            reached.append(call)
            raise OSError(error, os.strerror(error))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, failing)
    return reached


@pytest.mark.parametrize(
    ("name", "call", "error"),
    [
        ("open", 1, errno.EACCES),
        ("open", 1, errno.EROFS),
        ("open", 1, errno.ENOSPC),
        ("write", 1, errno.ENOSPC),
        ("write", 2, errno.EDQUOT),
        ("write", 4, errno.EIO),
        ("fsync", 1, errno.ENOSPC),
        ("fsync", 1, errno.EIO),
        ("replace", 1, errno.EACCES),
        ("listdir", 1, errno.EACCES),
    ],
)
def test_a_failed_save_leaves_everything_as_it_was(path, monkeypatch, name, call, error):
    before = keep_two(path)
    with monkeypatch.context() as patched:
        reached = fail_at(patched, name, call, error)
        with pytest.raises(CheckpointError, match=os.strerror(error)) as caught:
            save(path, {"w": np.zeros(100)}, {"generation": 3})
    assert reached and caught.value.field == "file"
    assert {name: Path(path).with_name(name).read_bytes() for name in files(path)} == before
    assert load(path)[1]["generation"] == 2


@pytest.mark.parametrize(("name", "call"), [("replace", 2), ("fsync", 2), ("fsync", 3)])
def test_a_failure_after_the_new_file_is_in_place_loses_nothing(path, monkeypatch, name, call):
    keep_two(path)
    with monkeypatch.context() as patched:
        reached = fail_at(patched, name, call, errno.EIO)
        with pytest.raises(CheckpointError, match="can still be loaded"):
            save(path, {"w": np.zeros(100)}, {"generation": 3})
    assert reached
    assert load(path)[1]["generation"] == 3
    assert load(path + ".previous")[1]["generation"] in (1, 2)
    assert files(path) == ["run.ckpt", "run.ckpt.previous"]


def test_folders_that_cannot_be_synced_are_no_error(path, monkeypatch):
    keep_two(path)
    reached = fail_at(monkeypatch, "fsync", 2, errno.EINVAL)
    save(path, {"w": np.zeros(100)}, {"generation": 3})
    assert reached and load(path)[1]["generation"] == 3


def test_partial_writes_are_continued(path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:7]))
    save(path, {"w": np.arange(50.0)}, {"k": "v"})
    arrays, meta = load(path)
    assert arrays["w"].tolist() == list(range(50)) and meta == {"k": "v"}


def test_ctrl_c_during_a_save_leaves_no_temporary(path, monkeypatch):
    before = keep_two(path)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(path, {"w": np.zeros(100)}, {})
    assert {name: Path(path).with_name(name).read_bytes() for name in files(path)} == before


def test_temporaries_of_killed_saves_are_removed_and_nothing_else(path):
    keep_two(path)
    folder = Path(path).parent
    for name in (
        "run.ckpt.writing-1-ab",
        "run.ckpt.writing-1-ab.previous",
        "run.ckpt.notes",
        "other.ckpt.writing-1-ab",
    ):
        (folder / name).write_bytes(b"left behind")
    save(path, {}, {})
    assert files(path) == ["other.ckpt.writing-1-ab", "run.ckpt", "run.ckpt.notes", "run.ckpt.previous"]


FULL_DISK = """
import os, resource, sys
import numpy as np
from eventsnn.checkpoints import load, save
from eventsnn.errors import CheckpointError
path = sys.argv[1]
save(path, {"w": np.ones(10)}, {"generation": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(path, {"w": np.ones(100_000)}, {"generation": 2})
except CheckpointError as error:
    print(error.field, os.listdir(os.path.dirname(path)), load(path)[1])
"""


@needs_posix
def test_a_size_limit_of_the_system_in_a_process_of_its_own(path):
    with python(FULL_DISK, path) as process:
        output, _ = process.communicate(timeout=600)
    assert output.strip() == "file ['run.ckpt'] {'generation': 1}"


@needs_posix
def test_a_read_only_folder(path):
    before = keep_two(path)
    folder = os.path.dirname(path)
    os.chmod(folder, 0o500)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("root may write anywhere; the refusals of the system are simulated in other tests")
        with pytest.raises(CheckpointError, match="Permission denied"):
            save(path, {}, {})
        assert {name: Path(path).with_name(name).read_bytes() for name in files(path)} == before
    finally:
        os.chmod(folder, 0o700)


@pytest.mark.parametrize("place", ["missing folder", "folder", "below a file", "name too long"])
def test_places_where_no_file_can_be(path, tmp_path, place):
    target = {
        "missing folder": tmp_path / "no" / "run.ckpt",
        "folder": tmp_path / "run",
        "below a file": tmp_path / "file" / "run.ckpt",
        "name too long": tmp_path / ("x" * 300),
    }[place]
    (tmp_path / "run").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save(target, {}, {})
    assert files(path) == ["file", "run"]
