"""Kernels and products on threads, each on a part of its own: no sum depends on how many threads there are."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from ..aliases import Array
from ..parallel.sharding import shards
from ..parallel.threads import Stop, in_order, resolve_n_threads

N_PARTS = 16
T = TypeVar("T")


class RunMode(Protocol):
    """What is read of a `Mode`, which is in a file above."""

    @property
    def training(self) -> bool: ...
    @property
    def delays(self) -> str: ...
    @property
    def smooth(self) -> bool: ...
    @property
    def seed(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def samples(self) -> Array | None: ...
    @property
    def dtype(self) -> type[np.floating[Any]]: ...
    @property
    def n_threads(self) -> int | None: ...


def run(kernel: Callable[..., object], n: int, mode: RunMode, *arguments: object) -> None:
    """Call ``kernel(*arguments, first, last)`` for ranges that make up 0..n."""
    if not getattr(kernel, "overloads", True):
        kernel(*arguments, 0, 0)  # compiled on this thread, which can be interrupted
    with _in_order(lambda part, stop: kernel(*arguments, *part), n, mode) as parts:
        for _ in parts:
            pass


def product(left: Array, right: Array, mode: RunMode) -> Array:
    """Return ``left @ right`` of matrices, or of stacks of them; ``right`` is a stack only where ``left`` is one."""
    out = np.empty((*left.shape[:-1], right.shape[-1]), np.result_type(left, right))

    def some(first: int, last: int) -> None:
        np.matmul(left[first:last], right[first:last] if right.ndim == 3 else right, out=out[first:last])

    run(some, len(left), mode)
    return out


def product_of_rows(left: Array, right: Array, mode: RunMode) -> Array:
    """Return ``left.T @ right`` of two matrices with many rows, which are the same samples and steps."""
    with _in_order(lambda part, stop: left[slice(*part)].T @ right[slice(*part)], len(left), mode) as parts:
        return cast(Array, sum(parts))


def _in_order(
    function: Callable[[tuple[int, int], Stop], T], n: int, mode: RunMode
) -> AbstractContextManager[Iterator[T]]:
    return in_order(function, shards(n, N_PARTS), resolve_n_threads(mode.n_threads))
