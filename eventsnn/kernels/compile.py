"""The ways to compile a kernel, with a file cache that notices a change in any kernel source.

Numba's own cache looks only at the file of the function it compiled, so an edit to an imported helper would go
unnoticed. Here every kernel is cached in a folder named after a hash of all kernel sources and of the Numba version:
a changed source is a new folder. It lies beside the sources in a checkout, and in the user's cache for an installed
package: pip would leave it behind, and with it a folder that looks like a package. EVENTSNN_CACHE=off turns the file
cache off; EVENTSNN_CACHE=/path moves it.
"""

import hashlib
import os
import pathlib
import shutil
import time
from contextlib import contextmanager

import numba
from numba.core import config

FOLDER_PREFIX = "eventsnn-kernels-"
# In a folder that several installations share, a cache is stale when none has used it for so long.
STALE_SECONDS = 30 * 86400.0


def source_stamp(folder=None):
    """Return 16 hex digits that change with any kernel source in ``folder`` and with the Numba version."""
    folder = pathlib.Path(__file__).parent if folder is None else pathlib.Path(folder)
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _candidate_roots():
    if chosen := os.environ.get("EVENTSNN_CACHE"):
        return [pathlib.Path(chosen)]
    roots = [pathlib.Path(__file__).parent / "__pycache__", _user_cache()]
    return roots[::-1] if _is_installed() else roots


def _user_cache():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "eventsnn"


def _is_installed():
    return bool({"site-packages", "dist-packages"} & set(pathlib.Path(__file__).parts))


def cache_folder():
    """Return the folder for compiled kernels, or None when caching is off or no candidate can be written."""
    if os.environ.get("EVENTSNN_CACHE") == "off":
        return None
    for root in _candidate_roots():
        folder = root / (FOLDER_PREFIX + source_stamp())
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            os.utime(folder)
            _remove_stale(root, folder)
            return folder
    return None


def _remove_stale(root, current):
    """Delete the caches of earlier sources: at once, but in the user's cache, which several installations share."""
    oldest = time.time() - STALE_SECONDS if root == _user_cache() else float("inf")
    for folder in root.glob(FOLDER_PREFIX + "*"):
        try:
            stale = folder != current and folder.stat().st_mtime < oldest
        except FileNotFoundError:  # another process was faster
            continue
        if stale:
            shutil.rmtree(folder, ignore_errors=True)


CACHE_FOLDER = cache_folder()


def is_cached(name):
    """True where the compiled code of an entry of this name lies in the file cache."""
    return CACHE_FOLDER is not None and any(CACHE_FOLDER.rglob(f"*.{name}-*.nbc"))


@contextmanager
def _numba_cache_at(folder):
    """Numba reads its cache path when a function is decorated; other users of Numba must not see ours."""
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "no_cfunc_wrapper": True, "_nrt": False}


def kernel(function):
    """Compile a function that only other kernels call: no GIL, IEEE division, fused multiply-add and nothing else.

    No wrapper for Python is made, which for arguments of dozens of arrays is most of the compilation time.
    """
    return numba.njit(**OPTIONS, no_cpython_wrapper=True)(function)


def inlined(function):
    """Compile a kernel into each of its callers: for whatever is called in every window, walk or visit.

    A call passes every array of every argument by value, hundreds of words: more work than such a kernel does itself.
    """
    return numba.njit(**OPTIONS, no_cpython_wrapper=True, forceinline=True)(function)


def entry(function):
    """Compile a function that Python calls too; with everything it calls it is cached on disk."""
    if CACHE_FOLDER is None:
        return numba.njit(**OPTIONS)(function)
    with _numba_cache_at(CACHE_FOLDER):
        return numba.njit(**OPTIONS, cache=True)(function)
