"""Which synapses a connection has: all of them, those of a mask, or those that a sparsity leaves."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..aliases import Indices, Integers
from ..arrays import plain_array
from ..checks import check_seed, share
from ..errors import Conflict, InvalidInput
from ..random import stream
from .synapses import Rows, SparseMatrix, Values, structure_of


def structured(
    weight: Values, mask: npt.ArrayLike | SparseMatrix | None, sparsity: float | None, seed: int, name: str,
    shape: tuple[int, int],
) -> tuple[Rows, npt.ArrayLike | SparseMatrix | None]:  # fmt: skip
    """Return where the synapses of a connection are, and the mask that says so: given, or the entries of a weight."""
    mask = structure_of(weight, mask, sparsity, name, shape)
    indptr, indices = draw_structure(mask, sparsity, shape, structure_stream(seed, name))
    return (indptr, indices, shape), mask


def structure_stream(seed: int, name: str) -> np.random.Generator:
    """The random stream that draws a connection's structure."""
    return stream(check_seed(seed), f"{name}.structure")


def draw_structure(
    mask: npt.ArrayLike | SparseMatrix | None, sparsity: float | None, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Integers, Indices] | tuple[None, None]:
    """Return (indptr, indices) of the synapses that exist, or (None, None) for all of them."""
    if mask is not None and sparsity is not None:
        raise Conflict("sparsity", None, sparsity, "either mask or sparsity, not both")
    if sparsity is not None:
        sparsity = share(sparsity, "sparsity", "a number in [0, 1): the fraction of absent synapses")
        sizes = rng.binomial(shape[1], 1.0 - sparsity, shape[0])
        chosen = [np.sort(rng.choice(shape[1], size, replace=False, shuffle=False)) for size in sizes]
        return np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(chosen).astype(np.int32)
    if mask is None:
        return None, None
    matrix: Any = mask if hasattr(mask, "tocsr") else plain_array(mask, "mask")
    if tuple(matrix.shape) != shape:
        raise InvalidInput("mask", None, matrix.shape, f"shape (n_pre, n_post) = {shape}")
    if hasattr(matrix, "tocsr"):
        csr = matrix.astype(np.float64).tocsr()  # a copy; in uint8, entries of one place, 128 + 128, would be 0
        if hasattr(csr, "sum_duplicates"):
            csr.sum_duplicates()
            csr.eliminate_zeros()
        return np.asarray(csr.indptr, np.int64), np.asarray(csr.indices, np.int32)
    if matrix.dtype != bool:
        raise InvalidInput("mask", None, matrix.dtype, "dtype bool", "Write mask != 0.")
    rows, columns = np.nonzero(matrix)
    return np.searchsorted(rows, np.arange(shape[0] + 1)), columns.astype(np.int32)
