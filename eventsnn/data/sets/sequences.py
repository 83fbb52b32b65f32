"""Sequence detection: the same inputs spike at the same times, and only their order tells the classes apart.

The smallest task that needs delays: Mészáros, Knight and Nowotny, Nature Communications 2025 (arXiv 2501.07331).
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt

from ...aliases import Array, Integers, Milliseconds
from ...arrays import in_milliseconds
from ...checks import answers_keywords, number, whole
from ...errors import InvalidInput
from ...random import stream
from ...spikes.batch import SpikeBatch
from ..dataset import Dataset

MAX_ALL_ORDERS = 6  # inputs; beyond, n! classes are no longer a data set


@answers_keywords
def sequence_detection(
    times: npt.ArrayLike = (0.0, 10.0),
    orders: Sequence[Sequence[int]] | Array | None = None,
    repeats: int = 1,
    jitter: Milliseconds = 0.0,
    seed: int = 0,
    duration: Milliseconds = 50.0,
) -> Dataset:
    """Return a Dataset in which class c has unit ``orders[c][k]`` spike at ``times[k]``, ``repeats`` samples per class.

    Parameters: ``times`` (n,) ms >= 0, one per input; ``orders``: permutations of 0..n-1 (None: all of them, for up
    to six inputs; for two inputs these are (0, 1) and (1, 0)); ``jitter``: standard deviation in ms of a normal
    deviation of each time, reflected at 0, drawn from ``seed``; ``duration`` (ms). Labels run 0, 1, ..., 0, 1, ...
    Raises InvalidInput for arguments outside these ranges.
    """
    given: Array = in_milliseconds(times, "times")
    if given.dtype.kind not in "fiu":
        raise InvalidInput("times", None, str(given.dtype), "numbers of ms")
    means = given.astype(np.float64)
    if means.ndim != 1 or means.size == 0 or not (np.isfinite(means) & (means >= 0)).all():
        raise InvalidInput("times", None, means.tolist(), "at least one finite time >= 0 ms")
    orders = _orders(orders, means.size)
    repeats = whole(repeats, "repeats", 1)
    jitter = number(jitter, "jitter", "a standard deviation in ms >= 0", 0.0)
    samples = []
    for index in range(repeats * len(orders)):
        deviation = jitter * stream(seed, "sequence.jitter", sample=index).standard_normal(means.size)
        samples.append((np.abs(means + deviation), orders[index % len(orders)]))
    labels = np.arange(len(samples)) % len(orders)
    spikes = SpikeBatch.from_lists(samples)
    return Dataset(spikes, labels, means.size, len(orders), duration, name="sequence_detection")


def _orders(orders: Sequence[Sequence[int]] | Array | None, n_units: int) -> Integers:
    if orders is None:
        if n_units > MAX_ALL_ORDERS:
            allowed = f"a list of orders when there are more than {MAX_ALL_ORDERS} inputs"
            raise InvalidInput("orders", None, None, allowed)
        orders = list(permutations(range(n_units)))
    if len(orders) == 0:
        raise InvalidInput("orders", None, orders, "at least one order")
    for index, order in enumerate(orders):
        if sorted(order) != list(range(n_units)):
            raise InvalidInput("orders", index, tuple(order), f"a permutation of 0 to {n_units - 1}")
    return np.array(orders, dtype=np.int64)
