"""Files that are written as a whole or not at all, and streams that a full disk does not turn into a traceback."""

import contextlib
import os
import time

from .errors import FileError

UNFINISHED = ".writing-"
ABANDONED = 3600.0  # seconds after which nobody is still at work on an unfinished file


def write_file(path, data):
    """Write bytes to ``path``: then it holds all of them, or what it held before, and nothing else lies beside it.

    Raises FileError, which names the file and the reason.
    """
    target = os.path.realpath(path)
    fresh = f"{target}{UNFINISHED}{os.getpid()}-{os.urandom(4).hex()}"
    if os.path.lexists(target) and not os.path.isfile(target):
        raise FileError(path, "cannot be written: what is there is no regular file")
    try:
        _remove_abandoned(target)
        with open(fresh, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file)
        os.replace(fresh, target)
    except OSError as error:
        raise FileError(path, f"cannot be written: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(fresh)


def _remove_abandoned(target):
    """Remove what a process that was killed while it wrote this file has left."""
    folder, name = os.path.split(target)
    for found in os.listdir(folder):
        place = os.path.join(folder, found)
        if found.startswith(name + UNFINISHED):
            with contextlib.suppress(FileNotFoundError):  # another process removes it too
                if time.time() - os.stat(place).st_mtime > ABANDONED:
                    os.unlink(place)


def reason(error):
    """What an OSError says, without its number."""
    return error.strerror or str(error)


class Output:
    """A text stream whose failures are FileErrors with its name; once text was lost, ``flush`` fails as well."""

    def __init__(self, stream, name):
        self._stream, self._name, self._lost = stream, name, None

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        if self._stream is not None:  # as it is where the shell has closed it
            with self._named():
                self._stream.write(text)
        return len(text)

    def flush(self):
        if self._lost is not None:  # and whoever wrote it may have passed over that, as argparse does
            raise self._lost
        if self._stream is not None:
            with self._named():
                self._stream.flush()

    @contextlib.contextmanager
    def _named(self):
        try:
            yield
        except OSError as error:
            self._drop()
            self._lost = FileError(self._name, f"cannot be written: {reason(error)}")
            raise self._lost from error

    def _drop(self):
        """Let the interpreter lose what is still to be written: it would fail with it once more when it ends."""
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


class Words(Output):
    """A text stream for progress and warnings: where they cannot be written, work goes on without them."""

    @contextlib.contextmanager
    def _named(self):
        with contextlib.suppress(OSError):
            yield
