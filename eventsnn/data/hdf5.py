"""Read, write and describe spikes in HDF5 files with the layout of the Heidelberg data sets."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import renamed
from ..aliases import Array, Description, Floats, Integers, Milliseconds
from ..checks import answers_keywords
from ..errors import InvalidInput
from ..writing import write_file
from .dataset import Dataset
from .readers.hdf5_storage import MAX_SPIKES_PER_SAMPLE
from .readers.safe_hdf5 import MAX_ARRAY_BYTES, MAX_ELEMENTS, BinaryFile, holds
from .readers.spike_file import SECONDS, UNIT_ATTRIBUTES, SpikeFile
from .readers.summary import spread
from .stores.stored import SampleArrays

__all__ = ["SpikeFile", "describe", "read", "recognises", "write"]


def recognises(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is HDF5 with a group ``spikes``, as SHD's layout has one."""
    return holds(path, ("spikes",))


@answers_keywords
def read(
    path: str | os.PathLike[str] | BinaryFile,
    n_units: int | None = None,
    n_classes: int | None = None,
    duration: Milliseconds | None = None,
    name: str | None = None,
    packed: bool = False,
    time_unit: str | float | None = None,
) -> Dataset:
    """Return a spike file in SHD's layout as a Dataset in memory, 12 bytes per spike (4 if ``packed``).

    Parameters: ``path``, or a file opened in binary mode; ``n_units`` and ``n_classes`` (int or None: taken from the
    file), ``duration`` (ms, None: the smallest whole number of ms above the last spike), ``name``; ``packed``: see
    SpikeFile.dataset; ``time_unit``: see SpikeFile. Raises UnsafeFile and InvalidInput as SpikeFile does.
    """
    with SpikeFile(path, n_units, n_classes, time_unit) as file:
        return file.dataset(None, duration, name, packed)


@answers_keywords
def write(path: str | os.PathLike[str], data: Dataset, keys: Iterable[str] | None = None) -> None:
    """Write a Dataset as a spike file in SHD's layout, in place of what ``path`` held before, or not at all.

    ``keys``: names of the classes, one for each (None: their numbers). Groups become extra/speaker, and a spike that
    counts n becomes n spikes. Times are written in seconds, as float16 where that loses nothing, else as float64, which
    ``read`` gives back to within one part in 2^52; the attribute time_unit of spikes/times says that they are seconds.
    The layout has no place for ``n_units`` and ``duration``: give them to ``read``, which needs n_units for channels
    from 4,194,304 on. Raises InvalidInput for counts that are no whole numbers and for what ``read`` would refuse,
    FileError where the file cannot be written.
    """
    from h5py import File

    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInput("path", None, path, "the path of a file")
    if not isinstance(data, Dataset):
        raise InvalidInput("data", None, type(data).__name__, "a Dataset")
    keys = list(map(str, range(data.n_classes) if keys is None else keys))
    if len(keys) != data.n_classes:
        raise InvalidInput("keys", None, len(keys), f"a name for each of the {data.n_classes} classes")
    keys = _encoded(keys)
    _check_writable(data)
    with File("spikes", "w", driver="core", backing_store=False) as file:
        _fill(file, data, keys)
        file.flush()
        image = file.id.get_file_image()
    write_file(path, image)


def _encoded(keys: list[str]) -> NDArray[np.bytes_]:
    """Return the names of the classes as the file holds them, an array of bytes all as long as the longest."""
    encoded = []
    for index, key in enumerate(keys):
        try:
            encoded.append(key.encode())
        except UnicodeEncodeError:  # half of a pair of UTF-16
            raise InvalidInput("keys", index, key, "text that UTF-8 can hold") from None
        if key.endswith("\0"):
            raise InvalidInput("keys", index, key, "text that does not end in a zero, which the file has as padding")
    size = len(encoded) * max(map(len, encoded))
    if len(encoded) > MAX_ELEMENTS or size > MAX_ARRAY_BYTES:
        allowed = f"at most {MAX_ELEMENTS} classes, and {MAX_ARRAY_BYTES} bytes for their names, each as the longest"
        raise InvalidInput("keys", None, f"{len(encoded)} names in {size} bytes", allowed, "Give shorter keys.")
    return np.array(encoded, "S")


def _check_writable(data: Dataset) -> None:
    """Refuse what the layout cannot hold, and more than ``read`` would take."""
    if len(data) > MAX_ELEMENTS:
        raise InvalidInput("data", None, f"{len(data)} samples", f"at most {MAX_ELEMENTS}", "Write several files.")
    groups = np.zeros(0) if data.groups is None else data.groups
    wrong = np.flatnonzero((groups < 0) | (groups > np.iinfo(np.int32).max))
    if wrong.size:
        raise InvalidInput("data.groups", int(wrong[0]), int(groups[wrong[0]]), "integers from 0 to 2147483647")
    for sample, (times, _, counts) in enumerate(_samples(data)):
        counts = np.ones(times.size) if counts is None else counts
        wrong = np.flatnonzero(counts != np.rint(counts))
        if wrong.size:
            place, allowed = f"data.spikes[{sample}].counts", "whole numbers: a spike file has no place for values"
            raise InvalidInput(place, int(wrong[0]), float(counts[wrong[0]]), allowed)
        if counts.sum() > MAX_SPIKES_PER_SAMPLE:
            place, allowed = f"data.spikes[{sample}]", f"at most {MAX_SPIKES_PER_SAMPLE} spikes"
            raise InvalidInput(place, None, f"{counts.sum():.0f} spikes", allowed)


def _samples(data: Dataset) -> Iterator[SampleArrays]:
    """Yield (times, units, counts or None) of each sample."""
    for block in data.spikes.blocks():
        yield from (block.arrays(sample) for sample in range(len(block)))


def _fill(file: Any, data: Dataset, keys: NDArray[np.bytes_]) -> None:
    from h5py import vlen_dtype

    kinds = (
        np.float16 if all(_is_half(times) for times, _, _ in _samples(data)) else np.float64,
        np.uint16 if data.n_units <= np.iinfo(np.uint16).max + 1 else np.int32,
    )
    names = ("spikes/times", "spikes/units")
    rows = [file.create_dataset(name, (len(data),), vlen_dtype(kind)) for name, kind in zip(names, kinds, strict=True)]
    # of fixed length, and so read everywhere; with it, samples longer than 20 s are no doubtful seconds
    rows[0].attrs[UNIT_ATTRIBUTES[0]] = np.bytes_("s")
    for sample, (times, units, counts) in enumerate(_samples(data)):
        repeats = 1 if counts is None else counts.astype(np.int64)
        columns: tuple[Array, Array] = (times / SECONDS, units)
        for row, values in zip(rows, columns, strict=True):
            row[sample] = np.repeat(values, repeats)
    file["labels"] = data.labels
    if data.groups is not None:
        file["extra/speaker"] = data.groups
    file["extra/keys"] = keys


def _is_half(times: Floats) -> bool:
    """Whether times (ms) in seconds are numbers of float16."""
    seconds = times / SECONDS
    with np.errstate(over="ignore"):
        return bool((seconds.astype(np.float16) == seconds).all())


class _AnySpikeFile(SpikeFile):
    """A spike file whose times are looked at, not used: they may be unlikely."""

    _doubts = False


@answers_keywords
def describe(
    path: str | os.PathLike[str] | BinaryFile, n_units: int | None = None, time_unit: str | float | None = None
) -> Description:
    """Return what a spike file holds as a dict of plain numbers and lists, reading one sample at a time.

    Keys: ``path``, ``samples``, ``spikes``, ``n_units``, ``n_classes``, ``keys``, ``samples_per_class``,
    ``samples_per_speaker`` (dict, or None), ``duration`` and ``spikes_per_sample`` (dicts of min, mean, max; a
    sample's duration is the time of its last spike, ms), ``rates`` (mean rate of each channel in Hz), ``time_unit``
    (as given or as the file says, or "s") and ``time_doubt`` (why it can hardly be seconds where neither says, or
    None), ``ignored`` (dict: what in the file is not read, and why).
    """
    with _AnySpikeFile(path, n_units, time_unit=time_unit) as file:
        last, counts = np.zeros(len(file)), np.zeros(0 if n_units is None else n_units, np.int64)
        for sample in np.flatnonzero(file.lengths):
            times, units = file[sample]
            last[sample] = times[-1]
            counts = _counted(counts, units)
        counts = np.trim_zeros(counts, "b") if n_units is None else counts
        speakers = None
        if file.speakers is not None:
            values, numbers = np.unique(file.speakers, return_counts=True)
            speakers = dict(zip(values.tolist(), numbers.tolist(), strict=True))
        return {
            "path": file.path,
            "samples": len(file),
            "spikes": int(file.lengths.sum()),
            "n_units": counts.size,
            "n_classes": file.n_classes,
            "keys": file.keys,
            "samples_per_class": np.bincount(file.labels, minlength=file.n_classes).tolist(),
            "samples_per_speaker": speakers,
            "duration": spread(last),
            "spikes_per_sample": spread(file.lengths),
            "rates": (counts / max(last.sum() / SECONDS, np.finfo(float).tiny)).tolist(),
            "time_unit": "s" if file.time_unit is None else file.time_unit,
            "time_doubt": None if file.time_unit is not None else file.doubt_of_seconds(last.max(initial=0.0)),
            "ignored": file.ignored,
        }


def _counted(counts: Integers, units: NDArray[np.int32]) -> Integers:
    """Return the spikes of each channel with those of one more sample; the time goes with the spikes, not channels."""
    found, numbers = np.unique(units, return_counts=True)
    if found[-1] >= counts.size:
        counts = np.pad(counts, (0, max(int(found[-1]) + 1, 2 * counts.size) - counts.size))
    counts[found] += numbers
    return counts


def __getattr__(name: str) -> object:
    return renamed.find("data.hdf5", name)
