"""The cache of compiled kernels, as a target of mutated_files.py: what is damaged is compiled again."""

import pathlib

from eventsnn.kernels import compile as compiling


def twice(x):
    return 2 * x


def _run(folder):
    """Compile or load a kernel with this folder as its cache, and run it."""
    compiling.CACHE_FOLDER, compiling.READABLE_FOLDERS = folder, [folder]
    assert compiling.entry(twice)(21) == 42


def _make(suffix):
    def make(folder):
        folder = pathlib.Path(folder) / "cache"
        folder.mkdir()
        _run(folder)
        (path,) = folder.glob(f"*{suffix}")
        return path

    return make


def _read(path):
    _run(path.parent)


# nothing may be raised, whatever the file holds
TARGETS = {
    "kernel cache, index": {"make": _make(".nbi"), "read": _read, "allowed": ()},
    "kernel cache, code": {"make": _make(".nbc"), "read": _read, "allowed": ()},
}
