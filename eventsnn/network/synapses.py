"""Weights and delays given as matrices: which synapses they mean, and their values in the order of the network.

The order is that of compressed sparse rows with the columns of each row sorted, each synapse once. A scipy.sparse
matrix may hold its values in another order, so they are never taken from their place in ``matrix.data``.
"""

from typing import Any, Protocol, TypeAlias, TypeGuard, overload

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Floats, Indices, Integers, Shape
from ..arrays import plain_array
from ..errors import Conflict, InvalidInput
from .initializers import Initializer


class SparseMatrix(Protocol):
    """A scipy.sparse matrix or array of any format."""

    @property
    def nnz(self) -> int: ...

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def astype(self, dtype: Any, /) -> Any: ...

    def tocsr(self, copy: bool = False) -> Any: ...

    def copy(self) -> Any: ...


Values: TypeAlias = npt.ArrayLike | Initializer | SparseMatrix
"""What ``Network.connect`` takes as weights and delays."""
Rows: TypeAlias = tuple[Integers | None, Indices | None, tuple[int, int]]
"""Where the synapses are: (indptr, indices, (n_pre, n_post)), indptr and indices None for all of them."""


def is_sparse(value: object) -> TypeGuard[SparseMatrix]:
    """True for a scipy.sparse matrix or array of any format."""
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


def structure_of(
    weight: Values,
    mask: npt.ArrayLike | SparseMatrix | None,
    sparsity: float | None,
    name: str,
    shape: tuple[int, int],
) -> npt.ArrayLike | SparseMatrix | None:
    """Return the mask of a connection: the given one, or the entries of a sparse weight, which are its synapses."""
    if not is_sparse(weight):
        return mask
    for key, value in (("mask", mask), ("sparsity", sparsity)):
        if value is not None:
            remedy = f"Leave {key} out, or give a dense weight (n_pre, n_post)."
            value = value if key == "sparsity" else type(value).__name__
            raise Conflict(key, None, value, "None with a sparse weight, which has a structure of its own", remedy)
    matrix = _rows(weight, f"{name}.weight", shape)
    matrix.data = np.ones(matrix.nnz, bool)  # a weight of 0 is a synapse too: it may learn
    return matrix


def check_sharing(delay: object, delay_per: str, name: str) -> None:
    """Refuse a matrix of delays where synapses share them."""
    if is_sparse(delay) and delay_per != "synapse":
        remedy = "Say delay_per='synapse', or give the shared values."
        raise Conflict(f"{name}.delay", None, "a sparse matrix", f"one delay per {delay_per}", remedy)


@overload
def per_synapse(values: SparseMatrix, name: str, rows: Rows, mask: object = None) -> Array: ...


@overload
def per_synapse(values: Values, name: str, rows: Rows, mask: object = None) -> Values: ...


def per_synapse(values: Values, name: str, rows: Rows, mask: object = None) -> Values:
    """Return weights or delays as ``Network.connect`` was given them, with matrices as one value per synapse.

    ``rows``: (indptr, indices, (n_pre, n_post)) of a sparse connection, indptr None for a dense one; ``mask``: what the
    structure was given as, by which one value per synapse is laid out. Numbers and Initializers stay.
    """
    indptr, indices, shape = rows
    if is_sparse(values):
        return _of_sparse(values, name, rows)
    if indptr is None or not isinstance(values, (np.ndarray, list, tuple)):
        return values
    sizes = np.shape(values) if isinstance(values, np.ndarray) else _shape(values)
    if sizes == shape:
        return _of_dense(values, name, rows)
    if len(sizes) == 1 and is_sparse(mask) and not _in_order(mask):
        allowed = "values of a mask in canonical order: rows, sorted columns, no zeros, nothing twice"
        raise InvalidInput(name, None, f"{sizes[0]} values", allowed, f"Give the matrix itself: {_key(name)}=matrix.")
    return values


def to_sparse(values: npt.ArrayLike, rows: Rows) -> Any:
    """Return one value per synapse as a scipy.sparse.csr_array (n_pre, n_post), zeros stored."""
    from scipy.sparse import csr_array

    indptr, indices = _written_out(rows)
    return csr_array((np.array(values, float).reshape(-1), indices.copy(), indptr.copy()), rows[2])


def to_dense(values: npt.ArrayLike, rows: Rows, absent: float) -> Floats:
    """Return one value per synapse as an array (n_pre, n_post) that holds ``absent`` where there is no synapse."""
    indptr, indices, shape = rows
    if indptr is None or indices is None:
        return np.array(values, float).reshape(shape)
    dense = np.full(shape, absent, float)
    dense[_presynaptic(indptr), indices] = values
    return dense


def _presynaptic(indptr: Array) -> Integers:
    return np.repeat(np.arange(indptr.size - 1), np.diff(indptr))


def _key(name: str) -> str:
    return name.rpartition(".")[2]


def _shape(values: npt.ArrayLike) -> Shape:
    try:
        return np.shape(values)
    except ValueError:  # ragged, which the initializer refuses in words
        return ()


def _of_dense(values: npt.ArrayLike, name: str, rows: Rows) -> Array:
    """The entries of a dense matrix at which there are synapses; what stands elsewhere, masked too, means nothing."""
    indptr, indices = _written_out(rows)
    values = values if isinstance(values, np.ndarray) else plain_array(values, name)
    return plain_array(values[_presynaptic(indptr), indices], name)


def _of_sparse(matrix: SparseMatrix, name: str, rows: Rows) -> Array:
    """The entries of a sparse matrix, which must be those of the synapses."""
    full, shape = rows[0] is None, rows[2]
    csr = _rows(matrix, name, shape)
    wanted, found = (_presynaptic(p) * shape[1] + i for p, i in (_written_out(rows), (csr.indptr, csr.indices)))
    for odd, allowed in (
        (np.setdiff1d(wanted, found), "an entry, though it be 0, for every synapse"),
        (np.setdiff1d(found, wanted), "no entry where there is no synapse"),
    ):
        if odd.size:
            place = tuple(int(k) for k in divmod(odd[0], shape[1]))
            value = "no entry" if odd[0] in wanted else float(csr[place])
            remedy = "Or give a dense matrix (n_pre, n_post): what stands where there is no synapse is not looked at."
            raise InvalidInput(name, place, value, allowed, remedy)
    return csr.data.reshape(shape) if full else csr.data


def _written_out(rows: Rows) -> tuple[Integers, Array]:
    """(indptr, indices) of all synapses, of a dense connection too."""
    indptr, indices, (n_pre, n_post) = rows
    if indptr is None or indices is None:
        return np.arange(n_pre + 1) * n_post, np.tile(np.arange(n_post), n_pre)
    return indptr, indices


def _rows(matrix: SparseMatrix, name: str, shape: tuple[int, int]) -> Any:
    """A copy as compressed sparse rows, sorted, values of the same place added up as scipy does; stored zeros stay."""
    if matrix.dtype.kind not in "fiu":
        raise InvalidInput(name, None, matrix.dtype, "a real numeric dtype, best float64")
    if matrix.shape != shape:
        raise InvalidInput(name, None, matrix.shape, f"shape (n_pre, n_post) = {shape}")
    # before values of one place are added up: in int8, 100 + 100 would be -56
    csr = matrix.astype(np.float64).tocsr(copy=True)
    csr.sum_duplicates()
    if (bad := np.flatnonzero(~np.isfinite(csr.data))).size:
        place = int(_presynaptic(csr.indptr)[bad[0]]), int(csr.indices[bad[0]])
        raise InvalidInput(name, place, csr.data[bad[0]], "finite numbers")
    return csr


def _in_order(mask: SparseMatrix) -> bool:
    """True where ``mask.data`` has one value per synapse, in the network's order."""
    data = getattr(mask, "data", None)
    if not isinstance(data, np.ndarray) or data.shape != (mask.nnz,) or not data.all():
        return False
    numbered = mask.copy()
    numbered.data = np.arange(1.0, mask.nnz + 1)
    numbered = numbered.tocsr(copy=True)
    numbered.sum_duplicates()
    return np.array_equal(numbered.data, np.arange(1.0, mask.nnz + 1))
