"""The only module that starts threads: ordered, bounded, with results that do not depend on how many there are."""

from __future__ import annotations

import _thread
import mmap
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from itertools import repeat
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checks import whole

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")
Given = TypeVar("Given")
Bytes: TypeAlias = NDArray[np.uint8]
# What a thread makes of an item: (result, None), or (None, error).
Ended: TypeAlias = "SimpleQueue[tuple[Any, BaseException | None]]"

LOOK_UP = 0.1  # seconds


def available_cores() -> set[int]:
    """Return the numbers of the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def resolve_n_threads(n_threads: int | None = None, n_cores: int | None = None) -> int:
    """Return the number of threads: the argument, else EVENTSNN_NUM_THREADS, else ``n_cores``, else all cores."""
    name = "n_threads"
    asked: int | str | None = n_threads
    if asked is None and (text := os.environ.get("EVENTSNN_NUM_THREADS")):
        name, asked = "EVENTSNN_NUM_THREADS", int(text) if text.isdecimal() else text
    if asked is None:
        return len(available_cores()) if n_cores is None else n_cores
    return whole(asked, name, 1)


class Stop:
    """What tells the kernels of one call to end before they are done: they look at ``flag``, uint8 (1,).

    ``address`` is that of the flag, which lasts as long as this object.
    """

    def __init__(self, flag: Bytes, address: int, signals: Bytes | None = None) -> None:
        self.flag, self.address, self._signals = flag, address, signals

    @classmethod
    def at(cls, flag: Bytes, signals: Bytes | None = None) -> Stop:
        """A Stop with this flag; asking NumPy for an address takes longer than all the rest."""
        return cls(flag, flag.ctypes.data, signals)

    def set(self) -> None:
        """Tell every kernel of the call to end."""
        self.flag[0] = 1

    def look_further(self) -> None:
        """Let work start again, because a signal has ended a kernel and its handler raised nothing.

        It takes as many signals again as have come so far to end it once more: so one that comes every few
        milliseconds does not keep the work from its end, and who presses Ctrl-C again and again is heard. Raises
        Stopped on a thread whose results nobody waits for any more.
        """
        if self._signals is None:
            raise Stopped
        place = 2 * np.count_nonzero(self._signals)
        self.flag = self._signals[place : place + 1] if place < self._signals.size else np.zeros(1, np.uint8)
        self.address = self.flag.ctypes.data


class Stopped(Exception):
    """Ends the work of a thread; nobody gets to see it."""


def in_order(
    function: Callable[[Item, Stop], Result], items: Sequence[Item], n_threads: int
) -> AbstractContextManager[Iterator[Result]]:
    """Return a context with an iterator over ``function(item, stop)`` in the order of the items, run on threads.

    At most ``n_threads`` are running and as many waiting; ``stop``: the Stop that the kernels of an item look at. When
    the block ends, all has ended: what was not asked for is stopped. An interrupt in the meantime is raised from the
    block, where one that falls into a generator's finaliser would be printed and forgotten.
    """
    if n_threads == 1 or len(items) <= 1:
        return _InTurn(function, items)
    return _on_threads(function, items, n_threads)


@contextmanager
def _on_threads(
    function: Callable[[Item, Stop], Result], items: Sequence[Item], n_threads: int
) -> Iterator[Iterator[Result]]:
    """`in_order` on threads, by what of Python's threads is written in C alone.

    An interrupt between two lines of a lock, an event or a pool that are written in Python leaves a lock that is never
    released, or comes out as another error; and when such objects are freed, as nothing.
    """
    stop = Stop.at(np.zeros(1, np.uint8))
    tasks: SimpleQueue[tuple[Item, Ended] | None] = SimpleQueue()
    ended: SimpleQueue[None] = SimpleQueue()
    started = 0
    try:
        for _ in range(min(n_threads, len(items))):
            _thread.start_new_thread(_work, (function, tasks, stop, ended))
            started += 1
        yield _results(items, tasks, 2 * n_threads)
    finally:
        stop.set()
        for _ in range(n_threads):
            tasks.put(None)
        for _ in range(started):
            _wait_for(ended)


def _work(
    function: Callable[[Item, Stop], object],
    tasks: SimpleQueue[tuple[Item, Ended] | None],
    stop: Stop,
    ended: SimpleQueue[None],
) -> None:
    """What each thread does: tasks, (item, queue for (result, error)), until there are none or it is told to stop."""
    while (task := tasks.get()) is not None and not stop.flag[0]:
        item, result = task
        try:
            result.put((function(item, stop), None))
        except BaseException as error:
            result.put((None, error))
    ended.put(None)


def _results(items: Sequence[Item], tasks: SimpleQueue[tuple[Item, Ended] | None], most: int) -> Iterator[Any]:
    """The results of all items in their order; ``most`` of them at most are tasks, or done and not asked for."""
    pending: deque[Ended] = deque()
    for item in items:
        if len(pending) == most:
            yield _result(pending.popleft())
        pending.append(SimpleQueue())
        tasks.put((item, pending[-1]))
    while pending:
        yield _result(pending.popleft())


def _result(queue: Ended) -> Any:
    result, error = _wait_for(queue)
    if error is not None:
        raise error
    return result


def _wait_for(queue: SimpleQueue[Item]) -> Item:
    """What comes out of a queue; a signal that falls between Python's last look and the wait itself is seen soon."""
    while True:
        try:
            return queue.get(timeout=LOOK_UP)
        except Empty:
            pass


class _Stoppable(Generic[Given]):
    """A context in which, on the main thread, a signal sets a Stop; subclasses say what its block is given for that.

    A handler in Python has to wait for the kernel's end; the number of the signal, which Python writes to a file at
    once, need not, and that file is memory that the kernel reads. So looking costs no thread and no call.
    """

    def __enter__(self) -> Given:
        self._file = _signal_file()
        self._before: list[int] = []
        if self._file is None:
            return self._given(Stop.at(np.zeros(1, np.uint8), np.zeros(0, np.uint8)))
        file, signals, flag, address = self._file
        try:
            # in one call, so that no handler runs between the change and the note of what was before
            self._before.extend(map(signal.set_wakeup_fd, (file,)))
            if flag[0]:
                os.lseek(file, 0, os.SEEK_SET)
                signals[:] = 0
            return self._given(Stop(flag, address, signals))
        except BaseException:  # of a handler: nobody calls __exit__ then
            if self._before:
                signal.set_wakeup_fd(*self._before)
            raise

    def __exit__(self, *exception: object) -> None:
        if self._file is None:
            return
        signal.set_wakeup_fd(*self._before)
        file, signals, flag, _ = self._file
        if flag[0] and self._before[0] not in (-1, file):
            with suppress(OSError):  # an event loop that wants to be woken
                os.write(self._before[0], signals[signals > 0].tobytes())

    def _given(self, stop: Stop) -> Given:
        """What the context gives to its block."""
        raise NotImplementedError


class StoppedBySignals(_Stoppable[Stop]):
    """A context with a Stop for kernels on this very thread: on the main thread, a signal sets it."""

    def _given(self, stop: Stop) -> Stop:
        return stop


class _InTurn(_Stoppable[Iterator[Result]], Generic[Item, Result]):
    """What `in_order` returns for one thread, or one item: this thread does it."""

    def __init__(self, function: Callable[[Item, Stop], Result], items: Sequence[Item]) -> None:
        self._function, self._items = function, items

    def _given(self, stop: Stop) -> Iterator[Result]:
        return map(self._function, self._items, repeat(stop))


def _signal_file() -> tuple[int, Bytes, Bytes, int] | None:
    """What `_made_signal_file` returns, or None: no file can be had, or this is not the thread that handles signals."""
    if _thread.get_ident() != threading.main_thread().ident:
        return None
    try:
        return _made_signal_file()
    except OSError as error:
        if error.errno is None:  # of a handler, such as TimeoutError
            raise
        return None


@cache
def _made_signal_file() -> tuple[int, Bytes, Bytes, int]:
    """(file, its first bytes, the first, its address): what `signal.set_wakeup_fd` has Python write signals to."""
    file = _nameless_file()
    try:
        os.ftruncate(file, mmap.PAGESIZE)
        os.set_blocking(file, False)
        signals = np.frombuffer(mmap.mmap(file, mmap.PAGESIZE), np.uint8)
    except BaseException:
        os.close(file)
        raise
    return file, signals, signals[:1], signals.ctypes.data


def _nameless_file() -> int:
    """The descriptor of a new file: in memory, where that is possible and allowed."""
    with suppress(OSError, AttributeError):
        return os.memfd_create("eventsnn-signals")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _part_from_parent() -> None:
    """In a forked child: its signals are its own, and must not be written to the file that its parent reads."""
    if _made_signal_file.cache_info().currsize:
        file, *_ = _made_signal_file()
        before = signal.set_wakeup_fd(-1)
        if before not in (-1, file):
            signal.set_wakeup_fd(before)
        _made_signal_file.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_part_from_parent)


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which each product of NumPy stays on the thread that asks for it."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
