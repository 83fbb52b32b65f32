"""Damaged files of every kind are read or refused in words: a few here, thousands with the long tests."""

import importlib.util
import pathlib
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("limits memory with Linux's resource and /proc", allow_module_level=True)

SPEC = importlib.util.spec_from_file_location("mutated_files", pathlib.Path(__file__).with_name("mutated_files.py"))
mutated_files = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutated_files)

NAMES = list(mutated_files.targets())
FEW, MANY = 15, 5000  # of one target; of all

# what a reader can do wrong, and what is said of it; each fault is that of one damaged file of three
FAULTS = """
import os, time
import numpy as np
def make(folder):
    (folder / "file").write_bytes(bytes(16))
    return folder / "file"
def target(fault):
    calls = []
    def read(path):
        calls.append(path.read_bytes())
        if len(calls) == 3:
            fault(path)
    return {"make": make, "read": read, "allowed": (ValueError,)}
def hidden(path):
    try:
        bytearray(2**30)
    except MemoryError:
        raise ValueError("too large") from None
def refuse(path):
    raise ValueError("no")
def moved(path):
    path.rename(path.with_name("aside"))
def spin(path):
    while True:
        pass
TARGETS = {
    "raw": target(lambda path: {}["x"]),
    "crash": target(lambda path: os.abort()),
    "hang": target(spin),
    "memory": target(lambda path: bytearray(2**30)),
    "hidden": target(hidden),
    "refused": target(refuse),
    "moved": target(moved),
}
"""


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_read_or_refused(name):
    found = mutated_files.run(name, FEW)
    assert len(found) == FEW
    assert mutated_files.failures(found) == {}


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_thousands_of_damaged_files_are_read_or_refused(name):
    assert mutated_files.failures(mutated_files.run(name, -(-MANY // len(NAMES)), seed=1)) == {}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raw", "raw: KeyError: 'x'"),
        ("crash", "crash: SIGABRT"),
        ("hang", "hang"),
        ("memory", "memory: MemoryError"),
        ("hidden", "memory: ValueError after a MemoryError"),
        ("refused", "refused"),
        ("moved", "read"),
    ],
)
def test_every_fault_of_a_reader_is_seen_and_the_files_behind_it_are_read(tmp_path, name, said):
    (tmp_path / "mutated_faults.py").write_text(FAULTS)
    found = mutated_files.run(name, 4, cpu_seconds=0.2, beside=tmp_path)
    # the first reading is that of the sound file; a process that was started again counts anew
    died = said.startswith(("crash", "hang"))
    assert found == {0: "read", 1: said, 2: "read", 3: said if died else "read"}


def test_mutations_are_many_and_the_same_each_time():
    image = bytes(range(256)) * 4
    first = [mutated_files.mutated(image, 0, "name", k) for k in range(200)]
    assert first == [mutated_files.mutated(image, 0, "name", k) for k in range(200)]
    assert len(set(first)) > 190 and sum(data == image for data in first) < 5
    assert min(map(len, first)) < 512 < 1024 < max(map(len, first))
