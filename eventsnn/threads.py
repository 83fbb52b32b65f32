"""The only module that starts threads: ordered, bounded, with results that do not depend on how many there are."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from .errors import InvalidInput

# Samples are cut into this many shards whatever the number of threads, and shards are summed in order.
N_SHARDS = 16


def resolve_n_threads(n_threads=None):
    """Return the number of threads: the argument, else EVENTSNN_NUM_THREADS, else all cores."""
    name = "n_threads"
    if n_threads is None and (text := os.environ.get("EVENTSNN_NUM_THREADS")):
        name, n_threads = "EVENTSNN_NUM_THREADS", int(text) if text.isdecimal() else text
    if n_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(n_threads, int) or isinstance(n_threads, bool) or n_threads < 1:
        raise InvalidInput(name, None, n_threads, "an int >= 1")
    return n_threads


def shards(n_samples):
    """Return the (first, last) sample ranges of the fixed shards, in order; none is empty."""
    n = min(N_SHARDS, n_samples)
    edges = [n_samples * k // n for k in range(n + 1)] if n else []
    return list(zip(edges[:-1], edges[1:], strict=True))


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
