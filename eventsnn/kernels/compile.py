"""The ways to compile a kernel, with a file cache that notices a change in any kernel source, and damage.

Numba's own cache looks only at the file of the function it compiled, so an edit to an imported helper would go
unnoticed. Here every kernel is cached in a folder named after a hash of all kernel sources and of the versions of
Numba and LLVM: a changed source is a new folder. It lies beside the sources in a checkout, and in the user's cache for
an installed package: pip would leave it behind, and with it a folder that looks like a package. EVENTSNN_CACHE=off
turns the file cache off; EVENTSNN_CACHE=/path moves it.

Numba also loads whatever its files hold: damaged machine code is run. Here a file ends with a checksum, and what does
not fit it is compiled again. A cache that cannot be written is read all the same.
"""

import hashlib
import io
import os
import pathlib
import shutil
import sys
import time
import warnings
from contextlib import contextmanager
from functools import cache

import llvmlite
import numba
from numba.core import caching

FOLDER_PREFIX = "eventsnn-kernels-"
# In a folder that several installations share, a cache is stale when none has used it for so long.
STALE_SECONDS = 30 * 86400.0


def source_stamp(folder=None):
    """Return 16 hex digits that change with any kernel source in ``folder`` and with the versions of the compiler."""
    folder = pathlib.Path(__file__).parent if folder is None else pathlib.Path(folder)
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _candidate_roots():
    if chosen := os.environ.get("EVENTSNN_CACHE"):
        return [] if chosen == "off" else [pathlib.Path(chosen)]
    roots = [pathlib.Path(__file__).parent / "__pycache__", _user_cache()]
    return roots[::-1] if _is_installed() else roots


def _user_cache():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "eventsnn"


def _is_installed():
    return bool({"site-packages", "dist-packages"} & set(pathlib.Path(__file__).parts))


def cache_folder():
    """Return the folder that compiled kernels are written to, or None when caching is off or none can be written."""
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


def readable_folders():
    """Return the folders that compiled kernels are read from: all there are, the one that is written to first."""
    folders = [root / (FOLDER_PREFIX + source_stamp()) for root in _candidate_roots()]
    return sorted(filter(os.path.isdir, folders), key=lambda folder: folder != CACHE_FOLDER)


CACHE_FOLDER = cache_folder()
READABLE_FOLDERS = readable_folders()


class _Place:
    """What Numba asks about a kernel's place in the cache; it is the same wherever the package is installed."""

    def __init__(self, function):
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function, path):
        return cls(function)

    def get_cache_path(self):
        return str(CACHE_FOLDER)

    def get_source_stamp(self):
        return ""  # the folder has it in its name

    def get_disambiguator(self):
        return str(self._line)

    def ensure_cache_path(self):
        CACHE_FOLDER.mkdir(parents=True, exist_ok=True)


class _Compiled(caching.CompileResultCacheImpl):
    """How compiled code is turned into bytes and back, for a file in `_Place`."""

    _locator_classes: list = [_Place]


class _CheckedFiles(caching.IndexDataCacheFile):
    """The cache files of a kernel in one folder: each ends with a checksum, behind where Numba stops to read.

    Machine code is kept with the key that it was compiled for: two processes that save at once may give one name to
    two files, and where their processors differ, the index could lead one to the code of the other.
    """

    def save(self, key, data):
        super().save(key, (key, data))

    def load(self, key):
        stored = super().load(key)
        return stored[1] if stored is not None and stored[0] == key else None

    @contextmanager
    def _open_for_write(self, path):
        with super()._open_for_write(path) as file:
            content = io.BytesIO()
            yield content
            file.write(content.getvalue() + _checksum(content.getvalue()))

    def _load_index(self):
        return super()._load_index() if self._is_sound(self._index_path) else {}

    def _load_data(self, name):
        return super()._load_data(name) if self._is_sound(self._data_path(name)) else None

    def _is_sound(self, path):
        """True for a file as it was written, or none at all; whatever else is there is not looked at, with a word."""
        try:
            content = pathlib.Path(path).read_bytes()
        except FileNotFoundError:
            return True
        except OSError as error:
            _warn_once(f"compiled kernels in {self._cache_path} cannot be read: {error.strerror}")
            return False
        if _checksum(content[:-CHECKSUM_BYTES]) == content[-CHECKSUM_BYTES:]:
            return True
        _warn_once(f"a file of compiled kernels in {self._cache_path} is damaged: it is compiled again")
        return False


CHECKSUM_BYTES = hashlib.sha256().digest_size


def _checksum(content):
    return hashlib.sha256(content).digest()


class _Cache(caching.FunctionCache):
    """The cache of one kernel: read from every folder, written to one, and never a reason to fail."""

    _impl_class = _Compiled

    def __init__(self, function):
        super().__init__(function)
        self._files = [_CheckedFiles(str(folder), self._impl.filename_base, "") for folder in READABLE_FOLDERS]
        self._cache_file = self._files[0] if CACHE_FOLDER is not None else None

    def load_overload(self, sig, target_context):
        """Return the compiled code for a signature, or None after saying that it will be compiled."""
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        for files in self._files:
            if (data := files.load(key)) is not None:
                return self._impl.rebuild(target_context, data)
        _say_that_it_takes_time()
        return None

    def save_overload(self, sig, data):
        """Keep compiled code for later processes, if it can be written."""
        if self._cache_file is None:
            _warn_of_no_folder()
            return
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_once(f"compiled kernels cannot be kept in {CACHE_FOLDER}: {error.strerror}; they work all the same")


def _warn_of_no_folder():
    if roots := " and ".join(map(str, _candidate_roots())):
        text = f"compiled kernels cannot be kept: no folder can be made or written in {roots}, and every process"
        text = f"{text} compiles again. Set EVENTSNN_CACHE to a folder that can be written, or to off."
        _warn_once(text)


@cache
def _warn_once(text):
    """Warn; Python would do so again and again, because Numba changes the filters while it compiles."""
    warnings.warn(text, RuntimeWarning, stacklevel=3)


@cache
def _say_that_it_takes_time():
    kept = "" if CACHE_FOLDER is None else ", once for this installation"
    print(f"eventsnn: compiling kernels{kept}; this can take a minute", file=sys.stderr, flush=True)


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


def merged(function):
    """Compile a kernel as if its text stood in its caller: for what has one, and all the work to do.

    Numba optimises a kernel together with everything that it calls, and so each caller once more from the beginning:
    a kernel with one caller fewer between it and the entry is a third less of the time until the first call.
    """
    return numba.njit(**OPTIONS, no_cpython_wrapper=True, inline="always")(function)


def entry(function):
    """Compile a function that Python calls too; with everything it calls it is cached on disk.

    It returns numbers: a member of an enumeration would be made by Python code, in which a signal's handler could
    raise, and the result of the kernel would be lost.
    """
    dispatcher = numba.njit(**OPTIONS)(function)
    # as Dispatcher.enable_caching does it, for a cache of Numba's own
    dispatcher._cache = _Cache(function)
    return dispatcher
