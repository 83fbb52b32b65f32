"""The journal of a sweep: Optuna's records in a file, one a line, with what it takes to notice that a line is damaged.

A record carries the byte at which its line begins ("at") and a CRC-32 of itself ("check"), both of which Optuna's own
tools pass over; theirs have neither and are read all the same. So a changed line does not pass for another one, and a
line that is missing is noticed at the next; whole lines that are missing at the very end cannot be noticed. What a
killed process or a full disk has left of the last line is put aside, if all before it is sound.
"""

import contextlib
import json
import os
import re
import shlex
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from ..errors import EventsnnError, FileError
from ..writing import reason, write_all, write_file

CHECK = re.compile(rb',"check":"([0-9a-f]{8})"\}\n\Z')
GRACE = 30  # seconds after which the lock of a process that was killed is taken away, by Optuna too


class Journal:
    """The records in the file ``path``, for ``optuna.storages.JournalStorage``; raises FileError naming the line."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from optuna.storages.journal import JournalFileSymlinkLock

        # the lock is a link to this path, and has to lead there from the journal's folder
        self.path = os.path.abspath(path)
        self._lock = JournalFileSymlinkLock(self.path, grace_period=GRACE)
        self._ends = [0]  # of the lines that were read, in bytes
        self.line, self._start = 0, 0  # that was read last, from 1 on, and where it begins
        if not os.path.exists(self.path):
            with self._opened("ab"):
                pass

    @contextlib.contextmanager
    def _opened(self, mode: str) -> Iterator[IO[bytes]]:
        try:
            with open(self.path, mode, buffering=0 if mode == "r+b" else -1) as file:
                yield file
        except FileError:
            raise
        except OSError as error:
            verb = "read" if mode == "rb" else "written"
            raise FileError(self.path, f"cannot be {verb}: {reason(error)}") from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock that all have to hold who write to the journal."""
        try:
            self._remove_lock_that_leads_nowhere()
            self._lock.acquire()
        except OSError as error:
            raise FileError(self.path, f"cannot be locked: {reason(error)}") from error
        try:
            yield
        except BaseException:
            with contextlib.suppress(RuntimeError):  # the first failure is what is told
                self._lock.release()
            raise
        try:
            self._lock.release()
        except RuntimeError as error:
            raise self._taken_over() from error

    def _remove_lock_that_leads_nowhere(self) -> None:
        """Remove what a process has left that was killed before the folder was moved: Optuna would wait without end."""
        lock, given_up = self.path + ".lock", time.monotonic() + GRACE
        while os.path.islink(lock) and not os.path.exists(lock):
            if time.monotonic() > given_up:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(lock)
                return
            time.sleep(0.1)

    def _taken_over(self) -> FileError:
        text = f"another process took its lock over, because this one stood still for more than {GRACE} s"
        return FileError(self.path, f"{text}. Start the same sweep again: it goes on with what was tried")

    # -- what JournalStorage asks for

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from a number on, as far as their lines are whole: of the last one a part may be there."""
        with self._opened("rb") as file:
            if os.fstat(file.fileno()).st_size < self._ends[log_number_from]:
                raise FileError(self.path, "has become shorter since it was read; start the sweep again")
            file.seek(self._ends[log_number_from])
            for number, line in enumerate(file, start=log_number_from + 1):
                if not line.endswith(b"\n"):
                    return
                start = self._ends[number - 1]
                self.line, self._start = number, start
                record = self._record(line, start)
                self._ends[number:] = [start + len(line)]
                yield record

    def append_logs(self, logs: Iterable[Mapping[str, Any]]) -> None:
        """Append records: all of them, or none where they cannot be written."""
        with self._alone(), self._opened("r+b") as file:
            at = self._put_aside_what_is_torn(file)
            lines = b"".join(_lines(logs, at))
            if file.seek(0, os.SEEK_END) != at:
                raise self._taken_over()
            try:
                write_all(file.fileno(), lines)
                os.fsync(file)
            except BaseException:
                file.truncate(at)
                raise

    # -- damage

    def mend(self) -> None:
        """Put the last line aside if it is torn, and say so; raises FileError for damage above a torn line."""
        with self._alone(), self._opened("r+b") as file:
            self._put_aside_what_is_torn(file, check=True)

    @contextlib.contextmanager
    def replayed(self) -> Iterator[None]:
        """While the records are carried out: those that cannot be are damage too."""
        try:
            yield
        except EventsnnError:
            raise
        except Exception as error:  # Optuna takes for granted what is in its records
            reason = f"cannot be carried out ({type(error).__name__}: {error})"
            raise self._damage(reason) from error

    def _record(self, line: bytes, start: int) -> dict[str, Any]:
        """The record of a line that begins at a byte; raises FileError if it is not what was written there."""
        record, found = self._whole(line), CHECK.search(line)
        if found and record.get("at") != start:
            raise self._damage("was not written at this place: lines are missing or too many above it")
        return record

    def _whole(self, line: bytes) -> dict[str, Any]:
        """The record of a line, wherever that stands."""
        found = CHECK.search(line)
        if found and not _matches(found):
            raise self._damage("does not match its checksum")
        self._refuse_changed_line_ends(line)
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise self._damage("is no JSON") from None
        if not isinstance(record, dict) or (not found and not {"at", "check"}.isdisjoint(record)):
            raise self._damage("is no record")
        return record

    def _refuse_changed_line_ends(self, line: bytes) -> None:
        """Refuse a line that would be whole without a carriage return at its end."""
        found = line.endswith(b"\r\n") and CHECK.search(line[:-2] + b"\n")
        if found and _matches(found):
            journal, mended = shlex.quote(self.path), shlex.quote(f"{self.path}.mended")
            remedy = (
                f"Copy it once more in binary mode, or: tr -d '\\r' < {journal} > {mended} && mv {mended} {journal}"
            )
            raise FileError(self.path, f"its line ends were changed (CR LF), as a transfer in text mode does. {remedy}")

    def _damage(self, what: str) -> FileError:
        if self.line <= 1:
            return FileError(self.path, f"{what}. Nothing stands before it: give the sweep another folder", self.line)
        remedy = f"truncate -s {self._start} {shlex.quote(self.path)}"
        return FileError(
            self.path, f"{what}. To go on with what was tried before it, cut the file there: {remedy}", self.line
        )

    def _put_aside_what_is_torn(self, file: IO[bytes], check: bool = False) -> int:
        """Put what stands after the last whole line aside; return where the journal ends then, in bytes.

        With ``check`` the last line has to be a record as well. What is damaged above a torn line is an error, and
        nothing is put aside: no killed process has left that. The lock has to be held: nobody completes the line now.
        """
        size = file.seek(0, os.SEEK_END)
        start = _start_of_last_line(file, size)
        file.seek(start)
        tail = file.read(size - start)
        self._refuse_changed_line_ends(tail)
        if not tail or (tail.endswith(b"\n") and not (check and self._is_torn(tail))):
            return size
        self._check_lines_before(start)
        aside = f"{self.path}.torn-{start}"
        write_file(aside, tail)
        file.truncate(start)
        text = f"{self.path}: its last line was torn; {len(tail)} bytes are put aside in {aside}, all before is kept"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return start

    def _is_torn(self, line: bytes) -> bool:
        """True for a line that is damaged in itself, and not only out of its place."""
        try:
            self._whole(line)
        except FileError:
            return True
        return False

    def _check_lines_before(self, end: int) -> None:
        self._start = 0
        with self._opened("rb") as file:
            for self.line, line in enumerate(file, start=1):
                if self._start == end:
                    return
                self._record(line, self._start)
                self._start += len(line)


def _matches(found: re.Match[bytes]) -> bool:
    """Whether a line, as CHECK has found it, fits its checksum."""
    return zlib.crc32(found.string[: found.start()]) == int(found[1], 16)


def _start_of_last_line(file: IO[bytes], size: int, block: int = 65536) -> int:
    """Where the last line of a file begins, whether or not it has an end."""
    stop = size - 1  # the line feed at the very end belongs to the last line
    while stop > 0:
        start = max(0, stop - block)
        file.seek(start)
        place = file.read(stop - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        stop = start
    return 0


def _lines(logs: Iterable[Mapping[str, Any]], at: int) -> Iterator[bytes]:
    """Yield records as lines of which the first begins at byte ``at``."""
    for log in logs:
        body = json.dumps({**log, "at": at}, separators=(",", ":")).encode("ascii")[:-1]
        line = body + b',"check":"%08x"}\n' % zlib.crc32(body)
        at += len(line)
        yield line
