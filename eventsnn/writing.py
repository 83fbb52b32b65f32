"""Files that are written as a whole or not at all, and streams that a full disk does not turn into a traceback."""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from .errors import FileError

UNFINISHED = ".writing-"
ABANDONED = 3600.0  # seconds after which nobody is still at work on an unfinished file
AT_ONCE = 2**26  # bytes of one write, between which signals are looked at


def write_file(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write bytes to ``path``: then it holds all of them, or what it held before, and nothing else lies beside it.

    A file that was there keeps its permissions. Raises FileError, which names the file and the reason.
    """
    target = os.path.realpath(path)
    fresh = unfinished_name(target)
    if os.path.lexists(target) and not os.path.isfile(target):
        raise FileError(path, "cannot be written: what is there is no regular file")
    try:
        remove_unfinished(target, ABANDONED)
        write_beside(target, fresh, [data])
        os.replace(fresh, target)
    except OSError as error:
        raise FileError(path, f"cannot be written: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(fresh)


def unfinished_name(target: str) -> str:
    """The name under which one writer writes what is to be renamed to ``target``."""
    return f"{target}{UNFINISHED}{os.getpid()}-{os.urandom(4).hex()}"


def write_beside(target: str, fresh: str, pieces: Iterable[bytes | memoryview]) -> None:
    """Create the file ``fresh`` with the permissions of ``target``, write the pieces and bring them to the disk."""
    try:
        mode: int | None = stat.S_IMODE(os.stat(target).st_mode)
    except OSError:  # nothing is there: as the system makes new files
        mode = None

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    file = os.open(fresh, flags, 0o666 if mode is None else mode)  # so that nobody else can read it meanwhile
    try:
        for piece in pieces:
            write_all(file, piece)
        os.fsync(file)
    finally:
        os.close(file)
    if mode is not None:
        with contextlib.suppress(OSError):  # what the umask took away; some file systems know no permissions
            os.chmod(fresh, mode)


def write_all(file: int, data: bytes | memoryview) -> None:
    """Write bytes to an open file (its descriptor), which may take a part of them at a time."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left[:AT_ONCE]) :]


def remove_unfinished(target: str, age: float | None = None) -> None:
    """Remove what killed writers of ``target`` have left; with ``age`` only what is older than so many seconds."""
    folder, name = os.path.split(target)
    for found in os.listdir(folder):
        place = os.path.join(folder, found)
        if found.startswith(name + UNFINISHED):
            with contextlib.suppress(FileNotFoundError):  # another process removes it too
                if age is None or time.time() - os.stat(place).st_mtime > age:
                    os.unlink(place)


def reason(error: BaseException) -> str:
    """What an exception says, an OSError without its number."""
    return getattr(error, "strerror", None) or str(error)


class Output:
    """A text stream whose failures are FileErrors with its name; once text was lost, ``flush`` fails as well."""

    def __init__(self, stream: TextIO | None, name: str) -> None:
        self._stream, self._name = stream, name
        self._lost: FileError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if self._stream is not None:  # as it is where the shell has closed it
            with self._named():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if self._lost is not None:  # and whoever wrote it may have passed over that, as argparse does
            raise self._lost
        if self._stream is not None:
            with self._named():
                self._stream.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._drop()
            self._lost = FileError(self._name, f"cannot be written: {reason(error)}")
            raise self._lost from error

    def _drop(self) -> None:
        """Let the interpreter lose what is still to be written: it would fail with it once more when it ends."""
        assert self._stream is not None  # it has just failed
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


class Words(Output):
    """A text stream for progress and warnings: where they cannot be written, work goes on without them."""

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        with contextlib.suppress(OSError):
            yield


def sync_folder(folder: str) -> None:
    """Make renames in `folder` durable, where the system can."""
    if os.name == "nt":
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(file)


def unlink_if_there(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
