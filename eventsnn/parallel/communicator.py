"""The processes of a run and what they say to each other; the only module that imports mpi4py, and only under mpiexec.

Every rank of a run executes the same program, so all ranks meet in the same calls in the same order. Work that can
fail on one rank alone goes through ``together`` or ``on_first``, which raise its error on every rank: none is left
waiting for another. Whatever escapes all the same, and Ctrl-C, ends the whole run (``finish``); a rank whose program
ends says so to the others, and who still waits for it raises RankFailed. Messages are arrays and JSON, never pickles.
"""

import atexit
import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..aliases import Array, Integers
from ..errors import EventsnnError, InvalidInput, RankFailed
from .signals import SIGNALLED, exit_status
from .threads import available_cores, resolve_n_threads

# What the launchers of MPI (MPICH, Intel MPI and Cray; Open MPI; PMIx and Slurm) tell each process: its rank, how many.
LAUNCHED_RANK = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
LAUNCHED_SIZE = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
GRACE = 3.0  # seconds that a failing rank gives the others to fail as well, before it ends them; and messages to come
LAST_WORDS = 1.0  # seconds that mpiexec has to pass on what this rank printed, before it throws the rest away
# Seconds: a message is on its way for less than SPIN. Who waits longer waits for another rank's work and naps, so that
# a rank with more threads, or one that shares the core, gets on.
SPIN, NAP = 0.01, 1e-4
LOOK_AROUND = 0.2  # seconds of waiting, after which a rank looks whether another has left
_yield_core = getattr(os, "sched_yield", lambda: time.sleep(0))


Computed = TypeVar("Computed")
Scalar = TypeVar("Scalar", bound=np.generic)


class Alone:
    """The communicator of a run in one process: there is nobody to talk to."""

    rank, size = 0, 1

    def together(self, compute: Callable[[], Computed]) -> Computed:
        """Return ``compute()``; an exception on any rank is raised on every rank."""
        return compute()

    def on_first(self, compute: Callable[[], Computed]) -> Computed:
        """Return ``compute()`` of rank 0, run there alone: JSON-able. An exception is raised on every rank."""
        return compute()

    def load_on_first(self, load: Callable[[], tuple[dict[str, Array], Computed]]) -> tuple[dict[str, Array], Computed]:
        """Return ``load()`` of rank 0, run there alone: ({name: array}, JSON-able). As ``on_first`` otherwise."""
        return load()

    def gather_rows(self, rows: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return the rows (n, ...) of all ranks in the order of the ranks; only ``n`` may differ between them."""
        return rows

    def add(self, integers: Integers) -> Integers:
        """Return the sum over ranks of an int64 array: exact, so no order matters."""
        return integers

    def in_turns(self, compute: Callable[[], object]) -> None:
        """Run ``compute()`` on every rank: on rank 0 first, then on one rank of each host, then on the others."""
        compute()

    def check_same(self, what: str, digest: bytes) -> None:
        """Raise RankFailed on every rank unless the bytes ``digest`` are those of rank 0."""

    def resolve_n_threads(self, n_threads: int | None = None) -> int:
        """Return the number of threads of this rank: as for one process, but by default its share of the host."""
        return resolve_n_threads(n_threads)


class Ranks(Alone):
    """The communicator of the ranks that mpiexec started; ``bytes_moved`` counts what this rank sent and received."""

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._world = mpi, mpi.COMM_WORLD
        self.rank, self.size, self.bytes_moved = self._world.rank, self._world.size, 0
        # ranks that fail meet on a channel of their own: they may have left others in the middle of a collective
        self._closing = self._world.Dup()
        self._host = self._world.Split_type(mpi.COMM_TYPE_SHARED)
        # a launcher that binds ranks to cores has shared the host out already; without one every rank may use them all
        mine = np.array(sorted(available_cores()))
        of_host = np.unique(self._gather(self._host, mine)).size
        self._cores = max(1, min(mine.size, of_host // self._host.size))

    def together(self, compute: Callable[[], Computed]) -> Computed:
        """Return ``compute()``; an exception on any rank is raised on every rank, that of the lowest such rank."""
        result: Any = None
        error: Exception | None = None
        try:
            result = compute()
        except Exception as raised:
            error = raised
        text = np.frombuffer(b"" if error is None else _packed(error, self.rank), np.uint8)
        lengths = self.gather_rows(np.array([text.size]))
        if not lengths.any():
            return result
        first = int(np.argmax(lengths > 0))
        text = text if first == self.rank else np.empty(lengths[first], np.uint8)
        self.broadcast([text], first)
        if error is not None and first == self.rank:
            raise error
        raise _unpacked(text.tobytes())

    def on_first(self, compute: Callable[[], Computed]) -> Computed:
        """Return ``compute()`` of rank 0, run there alone: JSON-able. An exception is raised on every rank."""
        text = self.together(lambda: json.dumps(compute()).encode() if self.rank == 0 else b"")
        return json.loads(self._text_of_first(text))

    def load_on_first(self, load: Callable[[], tuple[dict[str, Array], Computed]]) -> tuple[dict[str, Array], Computed]:
        """Return ``load()`` of rank 0, run there alone: ({name: array}, JSON-able). As ``on_first`` otherwise."""
        arrays, value = self.together(load if self.rank == 0 else lambda: ({}, None))
        layout = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
        layout, value = json.loads(self._text_of_first(json.dumps([layout, value]).encode()))
        if self.rank != 0:
            arrays = {name: np.empty(shape, dtype) for name, (dtype, shape) in layout.items()}
        self.broadcast([array.reshape(-1).view(np.uint8) for array in arrays.values()], 0)
        return arrays, value

    def _text_of_first(self, text: bytes) -> bytes:
        length = int(self.gather_rows(np.array([len(text)]))[0])
        shared = np.frombuffer(text, np.uint8) if self.rank == 0 else np.empty(length, np.uint8)
        self.broadcast([shared], 0)
        return shared.tobytes()

    def gather_rows(self, rows: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return the rows (n, ...) of all ranks in the order of the ranks; only ``n`` may differ between them."""
        return self._gather(self._world, rows)

    def _gather(self, group: Any, rows: NDArray[Scalar]) -> NDArray[Scalar]:
        rows, numbers = np.ascontiguousarray(rows), np.empty(group.size, np.int64)
        self._wait(group.Iallgather(np.array([len(rows)], np.int64), numbers), numbers.nbytes)
        gathered = np.empty((numbers.sum(), *rows.shape[1:]), rows.dtype)
        row_bytes = rows.dtype.itemsize * int(np.prod(rows.shape[1:]))
        parts = [gathered, numbers * row_bytes, self._mpi.BYTE]
        self._wait(group.Iallgatherv([rows, rows.nbytes, self._mpi.BYTE], parts), gathered.nbytes)
        return gathered

    def add(self, integers: Integers) -> Integers:
        """Return the sum over ranks of an int64 array: exact, so no order matters."""
        total = np.array(integers, np.int64)
        self._wait(self._world.Iallreduce(self._mpi.IN_PLACE, total, self._mpi.SUM), total.nbytes)
        return total

    def send(self, arrays: Iterable[Array], rank: int) -> None:
        """Send contiguous arrays to another rank, which calls ``receive``."""
        for array in arrays:
            self._wait(self._world.Isend(array, rank), array.nbytes)

    def receive(self, arrays: Iterable[Array], rank: int) -> None:
        """Fill contiguous arrays with what another rank sends."""
        for array in arrays:
            self._wait(self._world.Irecv(array, rank), array.nbytes)

    def broadcast(self, arrays: Iterable[Array], rank: int) -> None:
        """Fill contiguous arrays on every rank with those of one."""
        for array in arrays:
            self._wait(self._world.Ibcast(array, rank), array.nbytes)

    def _wait(self, request: Any, n_bytes: int) -> None:
        """Wait for a request in small steps: within one long call of MPI, Ctrl-C would not be noticed.

        Raises RankFailed when a rank has left the run and what it said before has had the time to come.
        """
        now = time.monotonic()
        patient, look, last = now + SPIN, now + LOOK_AROUND, None
        while not request.Test():
            now = time.monotonic()
            _yield_core() if now < patient else time.sleep(NAP)
            if now > look:
                look, gone = now + LOOK_AROUND, self._gone()
                last = now + GRACE if last is None and gone is not None else last
                if last is not None and now > last:
                    raise RankFailed(cast(int, gone), "its program ended while other ranks were waiting for it")
        self.bytes_moved += n_bytes

    def leave(self) -> None:
        """Tell the other ranks that this one will not take part in anything any more."""
        for rank in set(range(self.size)) - {self.rank}:
            self._closing.Isend(np.zeros(0, np.uint8), rank)

    def _gone(self) -> int | None:
        """The lowest rank that has left the run, or None."""
        others = (rank for rank in range(self.size) if rank != self.rank)
        return next((rank for rank in others if self._closing.Iprobe(source=rank)), None)

    def in_turns(self, compute: Callable[[], object]) -> None:
        """Run ``compute()`` on every rank: on rank 0 first, then on one rank of each host, then on the others."""
        turn = 0 if self.rank == 0 else 1 if self._host.rank == 0 else 2
        for now in range(3):
            self.together(compute if now == turn else lambda: None)

    def check_same(self, what: str, digest: bytes) -> None:
        """Raise RankFailed on every rank unless the bytes ``digest`` are those of rank 0."""
        digests = self.gather_rows(np.frombuffer(digest, np.uint8)[None])
        differ = np.any(digests != digests[0], axis=1)
        if differ.any():
            remedy = "all hosts need the same data, processors and versions"
            raise RankFailed(int(np.argmax(differ)), f"{what} is not the same there as on rank 0; {remedy}")

    def resolve_n_threads(self, n_threads: int | None = None) -> int:
        """Return the number of threads of this rank: as for one process, but by default its share of the host."""
        return resolve_n_threads(n_threads, self._cores)

    def all_finish(self) -> bool:
        """Wait for all ranks to get here, but only for the grace period; return whether they did."""
        request, deadline = self._closing.Ibarrier(), time.monotonic() + GRACE
        while not (done := request.Test()) and time.monotonic() < deadline and self._gone() is None:
            time.sleep(NAP)
        return done

    def abort(self, code: int) -> None:
        """End every rank of the run now."""
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(LAST_WORDS)
        self._world.Abort(code)


def _packed(error: Exception, rank: int) -> bytes:
    """An exception as JSON (bytes); one that is not of this package travels as RankFailed with its traceback."""
    if not isinstance(error, EventsnnError):
        error = RankFailed(rank, "".join(traceback.format_exception(error)).rstrip())
    return json.dumps([type(error).__name__, str(error), vars(error)], default=str).encode()


def _unpacked(text: bytes) -> EventsnnError:
    kind, message, attributes = json.loads(text)
    kind = getattr(errors, kind, EventsnnError)
    error = kind.__new__(kind)
    error.args, error.__dict__ = (message,), attributes
    return error


def launched_rank() -> int:
    """Return the rank that mpiexec gave this process; 0 without mpiexec."""
    return _of_launcher(LAUNCHED_RANK, 0)


def _of_launcher(names: Sequence[str], default: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()), default)


@functools.cache
def world() -> Alone:
    """Return the communicator of all ranks that mpiexec started, or Alone without mpiexec.

    Raises InvalidInput under mpiexec without mpi4py, or with one that belongs to another MPI.
    """
    if not any(name in os.environ for name in LAUNCHED_RANK) or _of_launcher(LAUNCHED_SIZE, 2) == 1:
        return Alone()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        allowed = "an installed mpi4py, because mpiexec started this process"
        remedy = ".venv/bin/pip install -e '.[mpi]' in the checkout installs one."
        raise InvalidInput("mpi4py", None, str(error), allowed, remedy) from None
    size = MPI.COMM_WORLD.size
    # a launcher that does not say how many it has started says the number of each: any but 0 is one of several
    least = launched_rank() + 1
    expected = _of_launcher(LAUNCHED_SIZE, max(size, least))
    if expected != size:
        allowed = f"{'at least ' if expected == least else ''}{expected}, as mpiexec started"
        remedy = "mpi4py was built for another MPI than that of mpiexec: use the one that belongs to it."
        raise InvalidInput("the number of ranks", None, size, allowed, remedy)
    ranks = Ranks(MPI)
    report = sys.excepthook

    def end_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        code = exit_status(error) if issubclass(kind, KeyboardInterrupt) else 1
        finish(code, lambda: report(kind, error, trace))

    sys.excepthook = end_all
    atexit.register(ranks.leave)  # sys.exit does not come through the hook
    return ranks


def finish(code: int, report: Callable[[], object] = lambda: None) -> int:
    """End this rank with an exit code; one that failed ends all ranks, and one of them reports the failure.

    Rank 0 calls ``report()``; another rank only if the others have not failed within the grace period. A process
    without MPI just reports. Returns ``code``.
    """
    team = world() if world.cache_info().currsize else Alone()
    if code != 0 and launched_rank() == 0:
        report()
    if team.size == 1 or code == 0:
        return code
    ranks = cast(Ranks, team)  # as there are several
    done = ranks.all_finish()
    if not done and team.rank != 0:
        print(f"rank {team.rank}:", end=" ", file=sys.stderr)
        report()
    if not done or code > SIGNALLED:  # an interrupted collective can never be completed
        ranks.abort(code)
    return code
