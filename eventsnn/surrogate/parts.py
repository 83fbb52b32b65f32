"""Kernels and products on threads, each on a part of its own: no sum depends on how many threads there are."""

import numpy as np

from ..parallel.sharding import shards
from ..parallel.threads import in_order, resolve_n_threads

N_PARTS = 16


def run(kernel, n, mode, *arguments):
    """Call ``kernel(*arguments, first, last)`` for ranges that make up 0..n."""
    if not getattr(kernel, "overloads", True):
        kernel(*arguments, 0, 0)  # compiled on this thread, which can be interrupted
    with _in_order(lambda part, stop: kernel(*arguments, *part), n, mode) as parts:
        for _ in parts:
            pass


def product(left, right, mode):
    """Return ``left @ right`` of matrices, or of stacks of them; ``right`` is a stack only where ``left`` is one."""
    out = np.empty((*left.shape[:-1], right.shape[-1]), np.result_type(left, right))

    def some(first, last):
        np.matmul(left[first:last], right[first:last] if right.ndim == 3 else right, out=out[first:last])

    run(some, len(left), mode)
    return out


def product_of_rows(left, right, mode):
    """Return ``left.T @ right`` of two matrices with many rows, which are the same samples and steps."""
    with _in_order(lambda part, stop: left[slice(*part)].T @ right[slice(*part)], len(left), mode) as parts:
        return sum(parts)


def _in_order(function, n, mode):
    return in_order(function, shards(n, N_PARTS), resolve_n_threads(mode.n_threads))
