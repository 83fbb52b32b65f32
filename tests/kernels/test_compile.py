"""The file cache: changed sources and damage are noticed, it can be moved, turned off or read-only, all with a word."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from eventsnn.kernels import compile as compiling
from eventsnn.kernels.compile import FOLDER_PREFIX, source_stamp

KERNELS = pathlib.Path(compiling.__file__).parent
SOURCES = sorted(path.relative_to(KERNELS).as_posix() for path in KERNELS.rglob("*.py"))


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir()
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(KERNELS / name, folder / name)
    return folder


def test_the_stamp_is_that_of_the_sources(copy):
    assert source_stamp(copy) == source_stamp() == source_stamp(KERNELS)
    assert len(source_stamp()) == 16 and set(source_stamp()) <= set("0123456789abcdef")


@pytest.mark.parametrize("name", SOURCES)
def test_the_stamp_changes_with_every_source(copy, name):
    before = source_stamp(copy)
    text = (copy / name).read_text()
    (copy / name).write_text(text + "\n")
    assert source_stamp(copy) != before
    (copy / name).write_text(text)
    assert source_stamp(copy) == before
    (copy / name).rename((copy / name).with_name(f"x{pathlib.Path(name).name}"))
    assert source_stamp(copy) != before


def test_the_stamp_changes_with_numba(monkeypatch):
    before = source_stamp()
    monkeypatch.setattr(compiling.numba, "__version__", "0.0.0")
    assert source_stamp() != before


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=KERNELS.parent.parent,
        env=os.environ | environment,
    )  # fmt: skip


SERIES = """
import numpy as np
from eventsnn.kernels.neurons.lif import membrane
from eventsnn.kernels.compile import CACHE_FOLDER
series = np.zeros((4, membrane.DEGREE + 1))
membrane.write_series(series, 20.0, 5.0)
print(series[1, 1], CACHE_FOLDER)
"""


def test_the_cache_can_be_turned_off(tmp_path):
    result = run(SERIES, EVENTSNN_CACHE="off", HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert result.stdout.split() == ["0.05", "None"] and "Warning" not in result.stderr, result.stderr
    assert list(tmp_path.rglob("*")) == []


def test_the_cache_can_be_moved_and_drops_what_is_stale(tmp_path):
    stale = tmp_path / f"{FOLDER_PREFIX}0123456789abcdef"
    stale.mkdir()
    (stale / "old.nbi").write_bytes(b"x")
    keep = tmp_path / "mine.txt"
    keep.write_text("not a cache")
    result = run(SERIES, EVENTSNN_CACHE=str(tmp_path))
    folder = tmp_path / (FOLDER_PREFIX + source_stamp())
    assert result.stdout.split() == ["0.05", str(folder)], result.stderr
    assert list(folder.rglob("*.nbi")) and not stale.exists() and keep.exists()


def test_code_for_another_processor_or_another_python_is_not_taken_for_cached(tmp_path):
    says = lambda **settings: "compiling kernels" in run(SERIES, EVENTSNN_CACHE=str(tmp_path), **settings).stderr  # noqa: E731
    assert says() and not says()
    other = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
    assert says(**other) and not says(**other) and not says()
    for path in tmp_path.rglob("*write_series*"):
        path.rename(path.with_name(path.name.replace(".py3", ".py2")))
    assert says()


def test_that_it_compiles_is_said_once_and_only_when_it_does(tmp_path):
    code = SERIES + "membrane.write_series(series[:, ::-1], 20.0, 5.0)\n"  # other types: another compilation
    first, second = (run(code, EVENTSNN_CACHE=str(tmp_path)) for _ in range(2))
    assert first.stderr.count("compiling kernels, once") == first.stderr.count("\n") == 1
    assert second.stderr == ""
    assert run(code, EVENTSNN_CACHE="off").stderr.count("compiling kernels;") == 1


def filled(folder):
    """The files of a cache that holds one kernel: {suffix: path}."""
    assert run(SERIES, EVENTSNN_CACHE=str(folder)).returncode == 0
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert sorted(path.suffix for path in paths) == [".nbc", ".nbi"]
    return {path.suffix: path for path in paths}


def flipped(data):
    return data[:-200] + bytes([data[-200] ^ 1]) + data[-199:]


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "zeroed": lambda data: bytes(len(data)),
    "flipped": flipped,
    "longer": lambda data: data + b"x",
}


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_compiled_again_with_one_word_and_is_sound_afterwards(tmp_path, suffix):
    path = filled(tmp_path)[suffix]
    sound = path.read_bytes()
    for kind, damage in DAMAGE.items():
        path.write_bytes(damage(sound))
        result = run(SERIES, EVENTSNN_CACHE=str(tmp_path))
        assert result.stdout.split()[0] == "0.05", (kind, result.stderr)
        assert result.stderr.count("RuntimeWarning: a file of compiled kernels") == 1, (kind, result.stderr)
        assert path.read_bytes() != damage(sound), kind  # it was written again
    assert run(SERIES, EVENTSNN_CACHE=str(tmp_path)).stderr == ""


@pytest.mark.parametrize("last", ["mine", "other"])
def test_two_that_save_at_once_never_get_each_others_code(tmp_path, monkeypatch, last):
    # both have read an empty index, so both choose the same name for their code
    keys = {"mine": ("signature", "this processor"), "other": ("signature", "another processor")}
    files = {name: compiling._CheckedFiles(str(tmp_path), "kernel", "") for name in keys}
    write = files["mine"]._save_data

    def write_after_the_other(name, data):
        if last == "other":
            write(name, data)
        monkeypatch.setattr(files["other"], "_load_index", dict)
        files["other"].save(keys["other"], "code of other")
        if last == "mine":
            write(name, data)

    monkeypatch.setattr(files["mine"], "_save_data", write_after_the_other)
    files["mine"].save(keys["mine"], "code of mine")
    monkeypatch.undo()
    for name, key in keys.items():
        assert files[name].load(key) in (None, f"code of {name}")
    # and each can be saved again
    for name, key in keys.items():
        files[name].save(key, f"code of {name}")
    for name, key in keys.items():
        assert files[name].load(key) == f"code of {name}"


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_a_full_disk_means_no_cache_and_is_said(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    result = run(limit + SERIES, EVENTSNN_CACHE=str(tmp_path))
    assert result.stdout.split()[0] == "0.05", result.stderr
    assert result.stderr.count("RuntimeWarning: compiled kernels cannot be kept in") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert run(SERIES, EVENTSNN_CACHE=str(tmp_path)).stdout.split()[0] == "0.05"


READ_ONLY = """
import os
def refuse(*arguments, **more):
    raise PermissionError(13, "read-only")
os.access = lambda path, mode: mode != os.W_OK
"""


def test_a_read_only_cache_is_read(tmp_path):
    # whoever runs the tests may be allowed to write everywhere, so the system's answer is given here
    filled(tmp_path)
    code = READ_ONLY + "os.utime = os.replace = os.unlink = refuse\n" + SERIES
    result = run(code, EVENTSNN_CACHE=str(tmp_path))
    assert result.stdout.split() == ["0.05", "None"] and result.stderr == ""
    empty = tmp_path / "empty"
    result = run(code, EVENTSNN_CACHE=str(empty))
    assert result.stdout.split() == ["0.05", "None"] and "compiling kernels;" in result.stderr


def test_a_cache_that_cannot_be_opened_is_no_reason_to_fail(tmp_path):
    path = filled(tmp_path)[".nbi"]
    path.unlink()
    path.mkdir()
    result = run(SERIES, EVENTSNN_CACHE=str(tmp_path))
    assert result.stdout.split()[0] == "0.05" and "cannot be read" in result.stderr, result.stderr


def test_a_folder_that_cannot_be_made_turns_the_cache_off(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    result = run(SERIES, EVENTSNN_CACHE=str(blocked))
    assert result.stdout.split() == ["0.05", "None"], result.stderr
    said = f"RuntimeWarning: compiled kernels cannot be kept: no folder can be made or written in {blocked}, and every"
    assert result.stderr.count(said) == 1 and "Set EVENTSNN_CACHE to a folder that can be written" in result.stderr


def test_an_installed_package_is_cached_where_pip_leaves_nothing_behind(tmp_path):
    package, shared = tmp_path / "site-packages" / "eventsnn", tmp_path / "cache" / "eventsnn"
    shutil.copytree(KERNELS.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    old, recent = shared / f"{FOLDER_PREFIX}0123456789abcdef", shared / f"{FOLDER_PREFIX}fedcba9876543210"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    # two months ago: nobody needs it; another version's that was used today stays
    os.utime(old, (0, 0))
    environment = os.environ | {"PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("EVENTSNN_CACHE", None)
    done = subprocess.run([sys.executable, "-c", SERIES], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.split()[1] == str(shared / (FOLDER_PREFIX + source_stamp())), done.stderr
    assert not old.exists() and recent.exists()
    assert not list(package.rglob(FOLDER_PREFIX + "*"))


HELPER = """
from .compile import kernel

@kernel
def helper():
    return 10
"""
CALLER = """
from .compile import entry
from .helping import helper

@entry
def caller():
    return 2 * helper()
"""


def test_an_edited_helper_is_compiled_again(tmp_path):
    # Numba's own cache would return the old result: it looks only at the file of the function that it compiled
    package = tmp_path / "eventsnn"
    shutil.copytree(KERNELS.parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "kernels" / "helping.py").write_text(HELPER)
    (package / "kernels" / "calling.py").write_text(CALLER)
    environment = os.environ | {"EVENTSNN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def result():
        code = "from eventsnn.kernels.calling import caller; print(caller())"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert result() == 20 == result()
    assert list((tmp_path / "cache").rglob("calling*.nbi"))
    (package / "kernels" / "helping.py").write_text(HELPER.replace("10", "505"))
    assert result() == 1010


def test_other_users_of_numba_keep_their_cache_folder(tmp_path):
    code = (
        "import numba; import eventsnn.kernels.events.forward; from numba.core import config; print(config.CACHE_DIR)"
    )
    result = run(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert result.stdout.strip() == str(tmp_path), result.stderr
