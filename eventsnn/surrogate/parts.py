"""Kernels on threads, each on a range of samples or neurons of its own: no sum depends on how many there are."""

from ..sharding import shards
from ..threads import map_in_order, resolve_n_threads

N_PARTS = 16


def run(kernel, n, mode, *arguments):
    """Call ``kernel(*arguments, first, last)`` for ranges that make up 0..n."""
    parts = shards(n, N_PARTS)
    for _ in map_in_order(lambda part: kernel(*arguments, *part), parts, resolve_n_threads(mode.n_threads)):
        pass
