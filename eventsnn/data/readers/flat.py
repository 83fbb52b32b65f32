"""Spikes in HDF5 as one long row: times and units, and where each sample begins.

The layout that docs/how-to/simulate-for-long.md writes, a part at a time: ``times`` and ``units``, one entry for each
spike, are one sample. With ``offsets`` (n + 1 numbers from 0, as in a SpikeBatch) they are n samples, and ``labels``
says their classes (without them all are of class 0). Files are not trusted: see safe_hdf5.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...aliases import Array, Description, Integers, Milliseconds
from ...arrays import exact_times
from ...errors import InvalidInput
from ...spikes.batch import SpikeBatch
from ...spikes.structured import milliseconds_per
from ..dataset import Dataset
from .hdf5_storage import Heap, plain
from .safe_hdf5 import Bytes, Survey, check_count, holds, opened, read_guarded
from .spike_file import MAX_CLASSES, MAX_UNITS
from .summary import description

NEEDED = ("times", "units")
USED = (*NEEDED, "offsets", "labels")
MOST_SPIKES = 2**24  # of one file: 128 MB of times


def recognises(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is HDF5 with ``times`` and ``units`` at its root."""
    return holds(path, NEEDED)


def read(
    path: str | os.PathLike[str],
    n_units: int | None = None,
    n_classes: int | None = None,
    duration: Milliseconds | None = None,
    name: str | None = None,
    packed: bool = False,
    time_unit: str | float | None = None,
) -> Dataset:
    """Return a flat file as a Dataset in memory, 12 bytes per spike.

    Parameters: as of ``hdf5.read``, but that ``time_unit`` is "ms" unless given, and ``packed`` makes no difference.
    Raises UnsafeFile for structures that such a file has no need of, and for damage, InvalidInput for values out of
    range and for what is missing.
    """
    check_count("n_units", n_units)
    check_count("n_classes", n_classes)
    found, _ = _arrays(path)
    place = os.fspath(path)
    times = exact_times(found["times"], f"{place}: times") * milliseconds_per("ms" if time_unit is None else time_unit)
    units, offsets = found["units"], _offsets(place, found, times.size)
    _refuse(f"{place}: times", times, ~(np.isfinite(times) & (times >= 0)), "finite times >= 0")
    limit = MAX_UNITS if n_units is None else n_units
    _refuse(f"{place}: units", units, (units < 0) | (units >= limit), f"channels from 0 to {limit - 1}")
    labels = found.get("labels", np.zeros(offsets.size - 1, np.int64))
    if labels.size != offsets.size - 1:
        raise InvalidInput(f"{place}: labels", None, labels.size, f"one for each of the {offsets.size - 1} samples")
    limit = MAX_CLASSES if n_classes is None else n_classes
    _refuse(f"{place}: labels", labels, (labels < 0) | (labels >= limit), f"classes from 0 to {limit - 1}")
    order = np.lexsort((units, times, np.repeat(np.arange(offsets.size - 1), np.diff(offsets))))
    return Dataset(
        SpikeBatch(times[order] + 0.0, units[order].astype(np.int32), offsets),
        labels.astype(np.int64),
        int(units.max(initial=0)) + 1 if n_units is None else n_units,
        int(labels.max(initial=0)) + 1 if n_classes is None else n_classes,
        np.floor(times.max(initial=0.0)) + 1.0 if duration is None else duration,
        name=Path(path).stem if name is None else name,
    )


def describe(
    path: str | os.PathLike[str], n_units: int | None = None, time_unit: str | float | None = None
) -> Description:
    """Return what a flat file holds, with the keys of ``hdf5.describe``."""
    unit = "ms" if time_unit is None else time_unit
    return description(os.fspath(path), read(path, n_units, time_unit=unit), unit, _arrays(path)[1])


def _arrays(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """({name: array} of what is used, {name: why it is left alone} of all else)."""
    from h5py import h5g

    source = Bytes(path)
    try:
        source.check_superblock()
        with opened(source) as identifier:
            return read_guarded(source.path, "file", lambda: _load(source, h5g.open(identifier, b"/")))
    finally:
        source.close()


def _load(source: Bytes, root: Any) -> tuple[dict[str, Array], dict[str, str]]:
    survey, heap = Survey(source.path, root, USED, MOST_SPIKES), Heap(source)
    arrays = {name: plain(source, name, survey.datasets[name], heap) for name in USED if name in survey.datasets}
    for name in NEEDED:
        if name not in arrays:
            raise InvalidInput(f"{source.path}: {name}", None, None, "a dataset of this name")
    for name, values in arrays.items():
        kinds, allowed = ("fiu", "numbers") if name == "times" else ("iu", "integers")
        if values.ndim != 1 or values.dtype.kind not in kinds:
            place = f"{source.path}: {name}"
            raise InvalidInput(place, None, f"{values.dtype}, shape {values.shape}", f"one row of {allowed}")
    if arrays["units"].size != arrays["times"].size:
        allowed = f"as many as times ({arrays['times'].size})"
        raise InvalidInput(f"{source.path}: units", None, arrays["units"].size, allowed)
    return arrays, survey.ignored


def _offsets(place: str, found: dict[str, Array], n_spikes: int) -> Integers:
    """Where samples begin and end; one sample where the file does not say."""
    offsets = found.get("offsets", np.array([0, n_spikes]))
    ends = offsets.size < 2 or offsets[0] != 0 or offsets[-1] != n_spikes
    if ends or np.any(offsets[1:] < offsets[:-1]):
        allowed = f"numbers that do not fall, from 0 to the number of spikes, {n_spikes}"
        raise InvalidInput(f"{place}: offsets", None, offsets.tolist()[:8], allowed)
    return offsets.astype(np.int64)


def _refuse(place: str, values: Array, wrong: Array, allowed: str) -> None:
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise InvalidInput(place, index, values[index].item(), allowed)
