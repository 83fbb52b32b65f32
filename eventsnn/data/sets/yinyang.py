"""The Yin-Yang task: a point in the plane, coded as four spike times, lies in the yin, the yang or one of the dots.

Kriener, Göltz and Petrovici, "The Yin-Yang dataset", NICE 2022 (arXiv 2102.08211). A disc of radius R_BIG about
(R_BIG, R_BIG) is divided by two half circles of half that radius; each half holds a dot of radius R_SMALL.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...aliases import Array, Floats, Integers, Milliseconds
from ...arrays import is_whole, plain_array
from ...checks import answers_keywords, number, whole
from ...errors import InvalidInput
from ...random import stream
from ...spikes.batch import SpikeBatch
from ..dataset import Dataset

R_SMALL, R_BIG = 0.1, 0.5
CLASSES = ("yin", "yang", "dot")
SETS = ("train", "validation", "test")
DRAWN = 1024  # points proposed at a time; any number gives a valid, but another, data set


def yin_yang_class(x: npt.ArrayLike, y: npt.ArrayLike) -> Integers:
    """Return the class of points (arrays of equal shape) inside the disc: 0 yin, 1 yang, 2 dot (int64)."""
    across, up = (plain_array(values, name).astype(np.float64) for values, name in ((x, "x"), (y, "y")))
    to_right = np.hypot(across - 1.5 * R_BIG, up - R_BIG)
    to_left = np.hypot(across - 0.5 * R_BIG, up - R_BIG)
    yin = (to_left <= 0.5 * R_BIG) | ((up > R_BIG) & (to_right > 0.5 * R_BIG))
    dot = (to_right < R_SMALL) | (to_left < R_SMALL)
    return np.where(dot, 2, np.where(yin, 0, 1))


def yin_yang_points(size: int, generator: np.random.Generator) -> tuple[Floats, Integers]:
    """Return ``(points, labels)``: points (size, 2) uniform in each class, classes equal in number to within 1."""
    wanted = generator.permutation(np.arange(size) % len(CLASSES))
    points = np.empty((size, 2))
    open_places = [np.flatnonzero(wanted == label).tolist() for label in range(len(CLASSES))]
    while any(open_places):
        drawn = 2 * R_BIG * generator.random((DRAWN, 2))
        drawn = drawn[np.hypot(drawn[:, 0] - R_BIG, drawn[:, 1] - R_BIG) <= R_BIG]
        labels = yin_yang_class(drawn[:, 0], drawn[:, 1])
        for label, places in enumerate(open_places):
            fitting = drawn[labels == label][: len(places)]
            points[places[: len(fitting)]] = fitting
            del places[: len(fitting)]
    return points, wanted


@answers_keywords
def yin_yang_spikes(
    points: npt.ArrayLike, first: Milliseconds = 1.5, last: Milliseconds = 20.0, bias: Milliseconds | None = None
) -> SpikeBatch:
    """Code points (n, 2) as one spike each of the units x, y, 1 - x, 1 - y, from ``first`` (0) to ``last`` ms (1).

    With ``bias`` (ms) a fifth unit spikes at that time in every sample. Raises InvalidInput unless 0 <= first < last.
    """
    if not 0 <= first < last < np.inf:
        raise InvalidInput("first, last", None, (first, last), "times in ms with 0 <= first < last")
    if bias is not None:
        bias = number(bias, "bias", "None or a time in ms >= 0", 0.0)
    places: Array = plain_array(points, "points")
    values = np.concatenate([places, 1.0 - places], axis=1)
    times = first + (last - first) * values
    if bias is not None:
        times = np.concatenate([times, np.full((len(times), 1), float(bias))], axis=1)
    units = np.arange(times.shape[1])
    return SpikeBatch.from_lists([(row, units) for row in times])


def _checked_sizes(sizes: Any) -> tuple[int, ...]:
    """The number of samples of each set, of which the first is not to be empty."""
    if not isinstance(sizes, (tuple, list, np.ndarray)) or len(sizes) != len(SETS):
        remedy = f"Write sizes=({sizes}, {sizes}, {sizes}) for three of that size." if is_whole(sizes) else ""
        raise InvalidInput("sizes", None, sizes, "three numbers of samples: train, validation, test", remedy)
    least = (1, 0, 0)
    named = enumerate(zip(SETS, sizes, least, strict=True))
    return tuple(whole(n, f"sizes[{k}]", low, f"an int >= {low}, the samples of {name}") for k, (name, n, low) in named)


@answers_keywords
def load_yin_yang(
    seed: int = 0,
    sizes: Sequence[int] = (5000, 1000, 1000),
    first: Milliseconds = 1.5,
    last: Milliseconds = 20.0,
    bias: Milliseconds | None = None,
    duration: Milliseconds = 40.0,
) -> tuple[Dataset, Dataset, Dataset]:
    """Return ``(train, validation, test)`` Datasets of the Yin-Yang task: 4 units (5 with ``bias``), 3 classes.

    Parameters: ``seed`` (int >= 0), ``sizes`` (three ints, the first > 0), ``first``, ``last`` and ``bias`` as for
    ``yin_yang_spikes``, ``duration`` (ms). The three sets come from separate random streams of the seed.
    """
    sizes = _checked_sizes(sizes)
    n_units = 4 if bias is None else 5
    datasets = []
    for name, size in zip(SETS, sizes, strict=True):
        points, labels = yin_yang_points(size, stream(seed, f"yin-yang.{name}"))
        spikes = yin_yang_spikes(points, first, last, bias)
        datasets.append(Dataset(spikes, labels, n_units, len(CLASSES), duration, name=f"yin_yang_{name}"))
    train, validation, test = datasets
    return train, validation, test
