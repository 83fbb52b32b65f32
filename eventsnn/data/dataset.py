"""Dataset: labelled spike samples in memory, and the ways to choose, regroup and iterate over them."""

import copy
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Integers, Milliseconds
from ..arrays import plain_array
from ..checks import answers_keywords, whole
from ..errors import InvalidInput, Unsupported
from ..random import stream
from ..spikes.batch import SpikeBatch, check_factor
from .stores.stored import Chosen, StoredSpikes

DATA_FOLDER = "EVENTSNN_DATA"  # the environment variable that names the folder of data files
PACKAGE = __name__.partition(".")[0]
# {ending of a packed file: the command that leaves the unpacked one beside it}
UNPACKING = {".xz": "xz --decompress --keep", ".gz": "gunzip --keep", ".zip": "unzip"}
MOST_TO_ONE = 1032  # the bytes that gzip and zip can make of one (deflate, RFC 1951: 258 from two bits)
FRACTION_TOLERANCE = 1e-9
TO_WHOLE_NUMBERS = "names, values = np.unique(values, return_inverse=True) numbers what they are from 0."
# Fewer classes than this can lack their first one by chance.
CLASSES_TO_JUDGE = 3


def find_file(path: str | os.PathLike[str], origin: str) -> Path:
    """Return ``path`` as it is when it exists, else as a file in the folder EVENTSNN_DATA.

    ``origin`` says where the file can be had; it ends the message of the InvalidInput that is raised when there is
    none, or when the file is still packed.
    """
    found = _find(path, "path", "file", Path.is_file, origin)
    if found.suffix in UNPACKING:
        remedy = f"Unpack {found.name} first: {UNPACKING[found.suffix]} {shlex.quote(str(found))}"
        raise InvalidInput("path", None, str(found), "an unpacked file", remedy)
    return found


def find_folder(path: str | os.PathLike[str], origin: str) -> Path:
    """Return a folder as ``find_file`` does a file."""
    return _find(path, "folder", "folder", Path.is_dir, origin).absolute()


def _find(path: str | os.PathLike[str], name: str, what: str, exists: Callable[[Path], bool], origin: str) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInput(name, None, path, f"the path of a {what}", origin)
    path, folder = Path(path), os.environ.get(DATA_FOLDER)
    places = [path] if folder is None or path.is_absolute() else [path, Path(folder) / path]
    found = next((place for place in places if exists(place)), None)
    if found is None:
        looked = " and ".join(f"{place}, which is no {what}" if place.exists() else str(place) for place in places)
        hint = "" if folder else f" The environment variable {DATA_FOLDER} can name the folder of the data files."
        raise InvalidInput(name, None, str(path), f"an existing {what} (looked for {looked})", origin + hint)
    return found


def _vector(values: npt.ArrayLike, name: str, n_samples: int) -> Integers:
    array = plain_array(values, name)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        remedy = TO_WHOLE_NUMBERS if array.ndim == 1 else "values.argmax(axis=1) makes them of one-hot rows."
        raise InvalidInput(name, None, (array.dtype, array.shape), "a one-dimensional array of integers", remedy)
    if array.size != n_samples:
        raise InvalidInput(name, None, array.size, f"one entry for each of the {n_samples} samples")
    if (bad := np.flatnonzero(array > np.iinfo(np.int64).max)).size:  # which int64 would make negative
        index = int(bad[0])
        raise InvalidInput(name, index, array[index], f"integers up to {np.iinfo(np.int64).max}", TO_WHOLE_NUMBERS)
    return array.astype(np.int64)


def _warn_of_labels_from_one(labels: Integers, n_classes: int, name: str) -> None:
    """Warn where every class but the first has samples: the labels may count from 1."""
    if n_classes >= CLASSES_TO_JUDGE and np.array_equal(np.unique(labels), np.arange(1, n_classes)):
        text = f"no sample of {name or 'the data set'} has label 0, and all other labels to {n_classes - 1} occur"
        remedy = "where they count from 1, give labels - 1 and one class less, or label by np.unique"
        warnings.warn(f"{text}: {remedy}(labels, return_inverse=True)[1].", stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """The stacklevel, for who calls this, of the first code outside this package: who made or read a data set."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(f"{PACKAGE}."):
        frame, level = frame.f_back, level + 1
    return level


def _outside(values: Array, stop: int) -> int | None:
    hits = np.flatnonzero((values < 0) | (values >= stop))
    return int(hits[0]) if hits.size else None


@answers_keywords
@dataclass(frozen=True)
class Dataset:
    """Labelled samples: ``spikes`` and ``labels`` (n,) int64 from 0 to ``n_classes - 1``, their meaning.

    ``spikes`` is a SpikeBatch, or PackedSpikes or Frames, which take less memory and give SpikeBatches when indexed.
    ``n_units`` is the number of input channels, ``duration`` (ms, > 0) the T that losses integrate to, ``groups`` (n,)
    int64 or None says who or what each sample came from (the speaker), ``name`` is for messages and tables. Raises
    InvalidInput for labels or units out of range and for arrays of another length than the batch.
    """

    spikes: SpikeBatch | Any  # or StoredSpikes; "| Any", because who chose knows which
    labels: Integers
    n_units: int
    n_classes: int
    duration: Milliseconds
    groups: Integers | Any = None
    name: str = ""

    if TYPE_CHECKING:  # lists too become the arrays above

        def __init__(
            self,
            spikes: SpikeBatch | StoredSpikes,
            labels: npt.ArrayLike,
            n_units: int,
            n_classes: int,
            duration: Milliseconds,
            groups: npt.ArrayLike | None = None,
            name: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.spikes, (SpikeBatch, StoredSpikes)):
            raise InvalidInput(
                "spikes", None, type(self.spikes).__name__, "a SpikeBatch", "SpikeBatch.from_lists makes one."
            )
        for name in ("n_units", "n_classes"):
            object.__setattr__(self, name, whole(getattr(self, name), name, 1))
        labels = _vector(self.labels, "labels", len(self.spikes))
        if (bad := _outside(labels, self.n_classes)) is not None:
            allowed = f"labels from 0 to n_classes - 1 = {self.n_classes - 1}"
            raise InvalidInput("labels", bad, int(labels[bad]), allowed, TO_WHOLE_NUMBERS)
        self._check_units()
        duration = plain_array(self.duration, "duration")
        if duration.ndim or duration.dtype.kind not in "fiu" or not 0 < duration < np.inf:
            raise InvalidInput("duration", None, self.duration, "a finite number of ms > 0")
        groups = None if self.groups is None else _vector(self.groups, "groups", len(self.spikes))
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "duration", float(duration))
        _warn_of_labels_from_one(labels, self.n_classes, self.name)

    def _check_units(self) -> None:
        sample = spike = 0
        for block in self.spikes.blocks():
            if (bad := _outside(block.units, self.n_units)) is not None:
                sample += int(np.searchsorted(block.offsets, bad, side="right")) - 1
                allowed = f"units from 0 to n_units - 1 = {self.n_units - 1} (sample {sample})"
                raise InvalidInput("spikes.units", spike + bad, int(block.units[bad]), allowed)
            sample, spike = sample + len(block), spike + block.units.size

    def __len__(self) -> int:
        return len(self.spikes)

    def select(self, indices: Chosen) -> Self:
        """Return the samples at ``indices`` (ints, a boolean mask or a slice), in that order, as a Dataset.

        Raises InvalidInput naming the first index that is out of range.
        """
        chosen = indices if isinstance(indices, slice) else self._checked(plain_array(indices, "indices"))
        groups = None if self.groups is None else self.groups[chosen]
        return self._with(spikes=self.spikes.select(chosen), labels=self.labels[chosen], groups=groups)

    def _with(self, **fields: Any) -> Self:
        """A copy with other fields, made of fields that have been checked."""
        other = copy.copy(self)
        for name, value in fields.items():
            object.__setattr__(other, name, value)
        return other

    def _checked(self, chosen: Array) -> Array:
        if chosen.ndim != 1:
            raise InvalidInput("indices", None, chosen.shape, "a one-dimensional array, a list or a slice")
        if chosen.dtype.kind == "b":
            if chosen.size != len(self):
                raise InvalidInput("indices", None, chosen.size, f"a mask with one entry per sample ({len(self)})")
            return np.flatnonzero(chosen)
        if chosen.size == 0:
            return chosen.astype(np.int64)
        if chosen.dtype.kind not in "iu":
            raise InvalidInput("indices", None, chosen.dtype, "integers, booleans or a slice")
        wrong = np.flatnonzero((chosen < -len(self)) | (chosen >= len(self)))
        if wrong.size:
            first = int(wrong[0])
            raise InvalidInput("indices", first, int(chosen[first]), f"indices below {len(self)}")
        return chosen

    def split_by_group(self, groups: npt.ArrayLike) -> tuple[Self, Self]:
        """Return ``(rest, chosen)``: the samples whose group is not in ``groups``, and those whose group is.

        Raises InvalidInput when the data set has no groups, or none of the named ones.
        """
        if self.groups is None:
            raise Unsupported("groups", None, None, "a data set that says which group each sample is from")
        wanted = np.atleast_1d(plain_array(groups, "groups"))
        absent = wanted[~np.isin(wanted, self.groups)]
        if absent.size:
            known = np.unique(self.groups).tolist()
            raise InvalidInput("groups", None, absent.tolist(), f"groups of this data set: {known}")
        mask = np.isin(self.groups, wanted)
        return self.select(~mask), self.select(mask)

    def leave_one_group_out(self) -> Iterator[tuple[int, Self, Self]]:
        """Yield ``(group, rest, chosen)`` for every group: the samples of all others, and those of this one.

        Validation by speaker: train on ``rest`` and validate on ``chosen``, once for each, and average. Raises
        InvalidInput when the data set has no groups, or only one.
        """
        known = [] if self.groups is None else np.unique(self.groups).tolist()
        if len(known) < 2:
            raise InvalidInput("groups", None, known or None, "a data set with samples of at least two groups")
        for group in known:
            yield group, *self.split_by_group([group])

    @answers_keywords
    def split(self, fractions: npt.ArrayLike, seed: int) -> tuple[Self, ...]:
        """Return one Dataset per fraction: disjoint, drawn at random, each with its share of every class.

        ``fractions`` are numbers > 0 that add up to 1, for example (0.7, 0.1, 0.2). The split is a function of
        ``seed`` and the labels. Raises InvalidInput for other fractions.
        """
        shares: Array = plain_array(fractions, "fractions")
        good = shares.ndim == 1 and shares.dtype.kind in "fiu" and (shares > 0).all()
        if not good or abs(shares.sum() - 1) > FRACTION_TOLERANCE:
            raise InvalidInput("fractions", None, shares.tolist(), "numbers > 0 that add up to 1")
        ends = np.cumsum(shares)
        part = np.empty(len(self), dtype=np.int64)
        for label in np.unique(self.labels):
            members = stream(seed, "split", sample=int(label)).permutation(np.flatnonzero(self.labels == label))
            bounds = np.rint(ends[:-1] * members.size).astype(np.int64)
            part[members] = np.searchsorted(bounds, np.arange(members.size), side="right")
        return tuple(self.select(np.flatnonzero(part == index)) for index in range(shares.size))

    @answers_keywords
    def merge_channels(self, factor: int) -> Self:
        """Return the data set with each ``factor`` neighbouring channels made one (``unit // factor``).

        Spikes that now share time and channel become one spike whose count is their number (or the sum of their
        counts). Raises InvalidInput for a factor that is not an int >= 1.
        """
        factor = check_factor(factor)
        return self._with(spikes=self.spikes.merge_channels(factor), n_units=-(-self.n_units // factor))

    def order(self, seed: int, epoch: int, shuffle: bool = True) -> Integers:
        """Return the order (n,) int64 in which epoch ``epoch`` visits the samples, a function of its arguments only."""
        if not shuffle:
            return np.arange(len(self))
        return stream(seed, "shuffle", epoch).permutation(len(self))

    @answers_keywords
    def batches(
        self, batch_size: int, seed: int, epoch: int, shuffle: bool = True, drop_last: bool = False
    ) -> Iterator[tuple[Integers, SpikeBatch, Integers]]:
        """Yield ``(indices, SpikeBatch, labels)`` over all samples, ``batch_size`` at a time.

        The order is ``order(seed, epoch)``; the last batch is smaller when the sizes do not divide, or left out with
        ``drop_last``. Raises InvalidInput for batch_size < 1.
        """
        batch_size = whole(batch_size, "batch_size", 1)
        order = self.order(seed, epoch, shuffle)
        stop = len(order) - len(order) % batch_size if drop_last else len(order)
        return (self._batch(order[start : start + batch_size]) for start in range(0, stop, batch_size))

    def _batch(self, indices: Integers) -> tuple[Integers, SpikeBatch, Integers]:
        return indices, self.spikes[indices], self.labels[indices]
