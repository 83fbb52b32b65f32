"""Checks that descriptions of networks share: each returns what it was given in one form, or says what is wrong."""

import numpy as np

from .arrays import is_number, is_whole, plain_array
from .errors import InvalidInput, NetworkError
from .random import stream
from .structured import LARGEST_UNIT

# Parameters, by the last part of their names, that may be negative, and that may be 0; all others are positive.
SIGNED = ("weight", "bias", "gain", "offset", "width", "running_mean")
UNSIGNED = ("delay", "running_variance")
# Of a parameter that may be negative: no sum of such overflows, with counts in float64, nor in float32 on a grid.
LARGEST_SIGNED = 1e30


def structure_stream(seed, name):
    """The random stream that draws a connection's structure."""
    return stream(check_seed(seed), f"{name}.structure")


def check_seed(seed):
    if not is_whole(seed) or seed < 0:
        raise InvalidInput("seed", None, seed, "an int >= 0")
    return int(seed)


def check_count(n):
    if not is_whole(n) or n < 1:
        raise InvalidInput("n", None, n, "an int >= 1")
    return int(n)


def check_size(n, populations):
    """Return how many neurons a population to come has; all of a network together are addressed with 32 bits."""
    n, before = check_count(n), sum(population.n for population in populations.values())
    if n > LARGEST_UNIT - before:
        remedy = f"A network holds at most {LARGEST_UNIT} neurons and channels, and this one has {before}."
        raise InvalidInput("n", None, n, f"an int from 1 to {LARGEST_UNIT - before}", remedy)
    return n


def check_new_name(name, populations):
    """Return the name of a population to come."""
    if not isinstance(name, str) or not name or "->" in name or "." in name:
        raise InvalidInput("name", None, name, "a non-empty string without '->' and '.'")
    if name in populations:
        raise NetworkError(f"population {name!r} exists already; choose another name.")
    return name


def check_ends(pre, post, populations):
    """Refuse ends of a connection that are no populations."""
    for role, population in (("pre", pre), ("post", post)):
        if population not in populations:
            raise InvalidInput(role, None, population, f"one of the populations {sorted(populations)}")


def check_names(chosen, allowed, argument):
    """Return the chosen names as a tuple in the order of `allowed`; True means all, False none."""
    if isinstance(chosen, bool):
        return allowed if chosen else ()
    chosen = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    for name in chosen:
        if name not in allowed:
            raise InvalidInput(argument, None, name, f"names among {allowed}, or True, or False")
    return tuple(name for name in allowed if name in chosen)


def draw_structure(mask, sparsity, shape, rng):
    """Return (indptr, indices) of the synapses that exist, or (None, None) for all of them."""
    if mask is not None and sparsity is not None:
        raise InvalidInput("sparsity", None, sparsity, "either mask or sparsity, not both")
    if sparsity is not None:
        if not (is_number(sparsity) and 0 <= sparsity < 1):
            raise InvalidInput("sparsity", None, sparsity, "a number in [0, 1): the fraction of absent synapses")
        sizes = rng.binomial(shape[1], 1.0 - sparsity, shape[0])
        rows = [np.sort(rng.choice(shape[1], size, replace=False, shuffle=False)) for size in sizes]
        return np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(rows).astype(np.int32)
    if mask is None:
        return None, None
    mask = mask if hasattr(mask, "tocsr") else plain_array(mask, "mask")
    if tuple(mask.shape) != shape:
        raise InvalidInput("mask", None, mask.shape, f"shape (n_pre, n_post) = {shape}")
    if hasattr(mask, "tocsr"):
        csr = mask.astype(np.float64).tocsr()  # a copy; in uint8, entries of one place, 128 + 128, would be 0
        if hasattr(csr, "sum_duplicates"):
            csr.sum_duplicates()
            csr.eliminate_zeros()
        return np.asarray(csr.indptr, np.int64), np.asarray(csr.indices, np.int32)
    if mask.dtype != bool:
        raise InvalidInput("mask", None, mask.dtype, "dtype bool", "Write mask != 0.")
    rows, columns = np.nonzero(mask)
    return np.searchsorted(rows, np.arange(shape[0] + 1)), columns.astype(np.int32)


def check_arrays(parameters, shapes):
    """Return {name: float64 array} of all parameters that a network has, {name: shape}, after checking each."""
    if not isinstance(parameters, dict):
        raise InvalidInput("parameters", None, type(parameters).__name__, "a dict of arrays: network.initialize()")
    for name in parameters:
        if name not in shapes:
            raise InvalidInput("parameters", None, name, f"the names {list(shapes)}")
    for name, shape in shapes.items():
        if name not in parameters:
            remedy = "network.initialize() makes all of them."
            raise InvalidInput("parameters", name, None, f"an array of shape {shape}", remedy)
    return {name: check_array(name, parameters[name], shape) for name, shape in shapes.items()}


def check_array(name, values, shape):
    """Return values as a float64 array; weights are at most 1e30 in size, delays not below 0, all else above 0."""
    array = plain_array(values, name)
    if array.dtype.kind not in "fiu":
        raise InvalidInput(name, None, array.dtype, "a real numeric dtype, best float64")
    if array.shape != shape:
        raise InvalidInput(name, None, array.shape, f"shape {shape}")
    array = np.ascontiguousarray(array, dtype=np.float64).reshape(shape)
    bad, allowed = ~np.isfinite(array), "finite numbers"
    if not bad.any():
        bad, allowed = _outside(name.rsplit(".", 1)[-1], array)
    if bad.any():
        index = tuple(int(k) for k in np.argwhere(bad)[0]) if shape else None
        index = index[0] if index is not None and len(index) == 1 else index
        raise InvalidInput(name, index, float(array[index] if index is not None else array), allowed)
    return array


def _outside(kind, array):
    """Where the values are not what a parameter of this kind may be, and what it may be."""
    if kind in UNSIGNED:
        return array < 0, "delays >= 0 ms" if kind == "delay" else "numbers >= 0"
    if kind in SIGNED:
        return np.abs(array) > LARGEST_SIGNED, f"numbers from {-LARGEST_SIGNED:g} to {LARGEST_SIGNED:g}"
    return array <= 0, "numbers > 0"
