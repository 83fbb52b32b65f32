"""The only module that starts threads: ordered, bounded, with results that do not depend on how many there are."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache

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


def map_in_order(function, items, n_threads):
    """Yield ``function(item)`` in the order of the items, with at most ``n_threads`` running and as many waiting."""
    if n_threads == 1 or len(items) <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n_threads, thread_name_prefix="eventsnn") as pool:
        pending = deque()
        try:
            for item in items:
                if len(pending) >= 2 * n_threads:
                    yield pending.popleft().result()
                pending.append(pool.submit(function, item))
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def one_blas_thread():
    """Return a context in which each product of NumPy stays on the thread that asks for it."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
