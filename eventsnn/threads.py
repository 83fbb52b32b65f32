"""The only module that starts threads: ordered, bounded, with results that do not depend on how many there are."""

import mmap
import os
import signal
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from itertools import repeat

import numpy as np

from .errors import InvalidInput


def available_cores():
    """Return the numbers of the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def resolve_n_threads(n_threads=None, n_cores=None):
    """Return the number of threads: the argument, else EVENTSNN_NUM_THREADS, else ``n_cores``, else all cores."""
    name = "n_threads"
    if n_threads is None and (text := os.environ.get("EVENTSNN_NUM_THREADS")):
        name, n_threads = "EVENTSNN_NUM_THREADS", int(text) if text.isdecimal() else text
    if n_threads is None:
        return len(available_cores()) if n_cores is None else n_cores
    if not isinstance(n_threads, int) or isinstance(n_threads, bool) or n_threads < 1:
        raise InvalidInput(name, None, n_threads, "an int >= 1")
    return n_threads


class Stop:
    """What tells the kernels of one call to end before they are done: they look at ``flag``, uint8 (1,).

    ``address`` is that of the flag, which lasts as long as this object.
    """

    def __init__(self, flag, signals=None):
        self._signals = signals
        self._look_at(flag)

    def _look_at(self, flag):
        self.flag, self.address = flag, flag.ctypes.data

    def set(self):
        """Tell every kernel of the call to end."""
        self.flag[0] = 1

    def look_further(self):
        """Let work start again, because a signal has ended a kernel and its handler raised nothing.

        It takes as many signals again as have come so far to end it once more: so one that comes every few
        milliseconds does not keep the work from its end, and who presses Ctrl-C again and again is heard. Raises
        Stopped on a thread whose results nobody waits for any more.
        """
        if self._signals is None:
            raise Stopped
        place = 2 * np.count_nonzero(self._signals)
        self._look_at(self._signals[place : place + 1] if place < self._signals.size else np.zeros(1, np.uint8))


class Stopped(Exception):
    """Ends the work of a thread; nobody gets to see it."""


def in_order(function, items, n_threads):
    """Return a context with an iterator over ``function(item, stop)`` in the order of the items, run on threads.

    At most ``n_threads`` are running and as many waiting; ``stop``: the Stop that the kernels of an item look at. When
    the block ends, all has ended: what was not asked for is stopped. An interrupt in the meantime is raised from the
    block, where one that falls into a generator's finaliser would be printed and forgotten.
    """
    if n_threads == 1 or len(items) <= 1:
        return _InTurn(function, items)
    return _on_threads(function, items, n_threads)


@contextmanager
def _on_threads(function, items, n_threads):
    stop = Stop(np.zeros(1, np.uint8))
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="eventsnn", initializer=_ended.clear)
    try:
        yield _results(pool, function, items, stop, 2 * n_threads)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        _ended.append(pool)


# Pools that have ended, until a thread of the next one lets go of them. Python code of the standard library runs when
# they are freed; on the main thread a signal may fall into it, and what its handler raises there is forgotten.
_ended: deque = deque()


def _results(pool, function, items, stop, most):
    pending = deque()
    for item in items:
        if len(pending) == most:
            yield pending.popleft().result()
        pending.append(pool.submit(function, item, stop))
    while pending:
        yield pending.popleft().result()


class StoppedBySignals:
    """A context with a Stop for kernels on this very thread: on the main thread, a signal sets it.

    A handler in Python has to wait for the kernel's end; the number of the signal, which Python writes to a file at
    once, need not, and that file is memory that the kernel reads. So looking costs no thread and no call.
    """

    def __enter__(self):
        self._file, signals, flag = _signal_file()
        try:
            self._before = signal.set_wakeup_fd(self._file)
        except ValueError:  # not the main thread, the only one that handles signals
            self._file = None
            return Stop(np.zeros(1, np.uint8), np.zeros(0, np.uint8))
        if flag[0]:
            os.lseek(self._file, 0, os.SEEK_SET)
            signals[:] = 0
        return Stop(flag, signals)

    def __exit__(self, *_):
        if self._file is None:
            return
        signal.set_wakeup_fd(self._before)
        _, signals, flag = _signal_file()
        if flag[0] and self._before not in (-1, self._file):
            with suppress(OSError):  # an event loop that wants to be woken
                os.write(self._before, signals[signals > 0].tobytes())


class _InTurn(StoppedBySignals):
    """What `in_order` returns for one thread, or one item: this thread does it."""

    def __init__(self, function, items):
        self._function, self._items = function, items

    def __enter__(self):
        return map(self._function, self._items, repeat(super().__enter__()))


@cache
def _signal_file():
    """(file, its first bytes, the first alone): what `signal.set_wakeup_fd` has Python write signals to."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("eventsnn-signals")
    else:
        file = os.dup(tempfile.TemporaryFile().fileno())
    os.ftruncate(file, mmap.PAGESIZE)
    os.set_blocking(file, False)
    signals = np.frombuffer(mmap.mmap(file, mmap.PAGESIZE), np.uint8)
    return file, signals, signals[:1]


if hasattr(os, "register_at_fork"):  # a child's signals are its own
    os.register_at_fork(after_in_child=_signal_file.cache_clear)


def one_blas_thread():
    """Return a context in which each product of NumPy stays on the thread that asks for it."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
