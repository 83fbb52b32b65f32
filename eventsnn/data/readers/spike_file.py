"""A file of spikes in the layout of the Heidelberg data sets, read a sample at a time."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from ...aliases import Array, Floats, Integers, Milliseconds
from ...arrays import exact_times, is_number
from ...errors import InvalidInput, UnsafeFile
from ...spikes.batch import SpikeBatch, chosen_samples
from ...spikes.structured import MILLISECONDS, milliseconds_per, refuse_former_name
from ..dataset import Dataset
from ..stores.packed import PackedSpikes
from ..stores.stored import Chosen
from .hdf5_attributes import text_of_attribute
from .hdf5_storage import Heap, Rows, plain
from .safe_hdf5 import NEEDED, USED, BinaryFile, Bytes, FoundArray, Handle, Survey, check_count, opened, read_guarded

# The layout has seconds. Later spikes than this are taken for those of another unit, unless it was given: words take
# about one second, gestures some six; ten of the units of a file in ms are soon over.
LONGEST_IN_SECONDS = 20.0
MAX_UNITS, MAX_CLASSES = 2**22, 2**16  # where nothing but the largest says how many there are
SAY_THE_UNIT = 'Give time_unit="ms" or "us", or time_unit="s" if they are seconds.'
MAX_EXTRA_BYTES = 2**26  # all of extra/ as it is stored
HALF_INFINITY = 0x7C00  # bits of a float16; below it they grow with the value, above are NaN and negative numbers
SECONDS = MILLISECONDS["s"]
UNIT_ATTRIBUTES = ("time_unit", "units", "unit")  # of spikes/times, whose text names the unit; write makes the first
WORDS = {
    "s": ("second", "seconds", "sec"),
    "ms": ("millisecond", "milliseconds"),
    "us": ("microsecond", "microseconds"),
}
WORDS |= {"ns": ("nanosecond", "nanoseconds")}
UNIT_OF_TEXT = {text: unit for unit, words in WORDS.items() for text in (unit, *words)}


class SpikeFile:
    """A spike file in SHD's HDF5 layout, open for reading sample by sample.

    Parameters: ``path``, or a file opened in binary mode; ``n_units`` (int or None: number of channels, units from it
    on are refused); ``n_classes`` (int or None: as many as extra/keys names, else one above the largest label);
    ``time_unit``: that of spikes/times, "s", "ms", "us", "ns" or how many ms one unit is (None: what the attribute
    time_unit, units or unit of spikes/times says, else s, and times that can hardly be seconds are refused: whole
    numbers, and those above 20); ``image`` (bytes of the file, to be read in place of the file ``path``, which then is
    only a name). Attributes: ``labels`` (n,) int64, ``speakers`` (n,) int64 or
    None, ``keys`` (list of str: the names of the classes, or None), ``extra`` (dict of the plain arrays in extra/),
    ``lengths`` (n,) int64: spikes per sample, ``time_unit`` (as given or as the file says, or None),
    ``ignored`` (dict: all else in the file, and why it is left alone).
    Raises UnsafeFile for structures of what is used that a spike file has no need of, and for damage, InvalidInput for
    values out of range, for what is missing and for ``milliseconds_per_unit``, the name of time_unit before.
    """

    _doubts = True  # whether times that can hardly be seconds are refused

    def __init__(
        self,
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryFile,
        n_units: int | None = None,
        n_classes: int | None = None,
        time_unit: str | float | None = None,
        image: bytes | None = None,
        *,
        milliseconds_per_unit: object = None,
    ) -> None:
        refuse_former_name(milliseconds_per_unit)
        check_count("n_units", n_units)
        check_count("n_classes", n_classes)
        self.n_units, self.time_unit = n_units, time_unit
        self.milliseconds_per_unit = milliseconds_per("s" if time_unit is None else time_unit)
        self._source = Bytes(path, image)
        self.path = self._source.path
        try:
            self._source.check_superblock()
            with opened(self._source) as identifier:
                read_guarded(self.path, "file", lambda: self._load(identifier))
            self._check_lengths()
            self._check_labels(n_classes)
        except BaseException:
            self.close()
            raise

    def _load(self, identifier: Handle) -> None:
        from h5py import h5g

        survey = Survey(self.path, h5g.open(identifier, b"/"))
        found, self.ignored = survey.datasets, survey.ignored
        for name in NEEDED:
            if name not in found:
                present = ", ".join(sorted({*found, *self.ignored})) or "no dataset at all"
                remedy = f"Found: {present}."
                raise InvalidInput(f"{self.path}: {name}", None, None, "a dataset of this name (SHD's layout)", remedy)
        self._heap = Heap(self._source)
        self._settle_unit(found["spikes/times"])
        self._times = self._rows("spikes/times", found, "fiu", "seconds as numbers")
        self._units = self._rows("spikes/units", found, "iu", "channel numbers of an integer type")
        if np.isfinite(self._longest) and self._times.inner.kind in "iu":
            self._refuse_seconds("spikes/times", None, f"rows of {self._times.inner}", "numbers with fractions")
        self.labels = self._integers("labels", plain(self._source, "labels", found["labels"], self._heap))
        self.extra = self._extra({name: array for name, array in found.items() if name.startswith("extra/")})
        keys = self.extra.get("keys")
        self.keys = None if keys is None else [str(key) for key in keys.reshape(-1)]
        speakers = self.extra.get("speaker")
        self.speakers = None if speakers is None else self._integers("extra/speaker", speakers)
        self.lengths = self._times.lengths

    def _settle_unit(self, times: FoundArray) -> None:
        """Take the times in the unit that was given, else in the one that the file says, else in seconds, if likely."""
        said = self._said_unit(times.handle)
        if said is not None and self.time_unit is None:
            self.time_unit, self.milliseconds_per_unit = said, MILLISECONDS[said]
        elif said is not None and self.milliseconds_per_unit != MILLISECONDS[said]:
            allowed = f"{said!r}, as an attribute of {self.path}: spikes/times says"
            raise InvalidInput(
                "time_unit", None, self.time_unit, allowed, "Leave time_unit out, or mend the attribute."
            )
        doubted = self.time_unit is None and self._doubts
        self._longest = LONGEST_IN_SECONDS if doubted else np.inf

    def _said_unit(self, handle: Handle) -> str | None:
        """The unit that the attributes of the times name, or None; what is none that is known is noted as ignored."""
        from h5py import h5a

        found = {}
        for name in UNIT_ATTRIBUTES:
            if not h5a.exists(handle, name.encode()):
                continue
            item = f"spikes/times, attribute {name!r}"
            text = read_guarded(
                self.path, item, text_of_attribute, self._source, self._heap, handle, name.encode(), item
            )
            if text in UNIT_OF_TEXT:
                found[name] = UNIT_OF_TEXT[text]
            else:
                self.ignored[item] = f"is {text!r}, no unit that is known ({', '.join(MILLISECONDS)}); give time_unit"
        if len(set(found.values())) > 1:
            raise InvalidInput(f"{self.path}: spikes/times", None, found, "attributes that name one unit of time")
        return next(iter(found.values()), None)

    def _extra(self, arrays: Mapping[str, FoundArray]) -> dict[str, Array]:
        """Read extra/ as far as there is room, what is used first; what cannot be read and is not used is ignored."""
        extra, size = {}, 0
        for name in sorted(arrays, key=lambda name: name not in USED):
            array = arrays[name]
            size += array.size * array.dtype.itemsize
            try:
                if size > MAX_EXTRA_BYTES:
                    reason = f"is one array of extra/ too many; allowed: {MAX_EXTRA_BYTES} bytes"
                    raise UnsafeFile(self.path, name, reason)
                values = read_guarded(self.path, name, plain, self._source, name, array, self._heap)
                extra[name.removeprefix("extra/")] = values
            except UnsafeFile as error:
                if name in USED:
                    raise
                self.ignored[name] = error.reason
        return extra

    def _refuse_seconds(self, name: str, index: int | None, value: object, allowed: str) -> NoReturn:
        allowed = f"seconds, as the layout has them: {allowed}"
        raise InvalidInput(f"{self.path}: {name}", index, value, allowed, SAY_THE_UNIT)

    def _rows(self, name: str, found: Mapping[str, FoundArray], kinds: str, allowed: str) -> Rows:
        array = found[name]
        if array.inner is None or array.inner.kind not in kinds or len(array.shape) != 1:
            kind = array.dtype if array.inner is None else f"rows of {array.inner}"
            raise InvalidInput(
                f"{self.path}: {name}", None, f"{kind}, shape {array.shape}", f"one row per sample of {allowed}"
            )
        return Rows(self._source, name, array, array.inner, self._heap)

    def _integers(self, name: str, values: Array) -> Integers:
        if values.ndim != 1 or values.dtype.kind not in "iub":
            found, allowed = f"{values.dtype}, shape {values.shape}", "one integer per sample"
            remedy = "np.unique(values, return_inverse=True) numbers words and other values from 0."
            raise InvalidInput(f"{self.path}: {name}", None, found, allowed, remedy)
        values = values.astype(np.uint8) if values.dtype.kind == "b" else values
        wrong = np.flatnonzero((values < 0) | (values > np.iinfo(np.int32).max))
        if wrong.size:
            allowed = "integers from 0 to 2147483647"
            raise InvalidInput(f"{self.path}: {name}", int(wrong[0]), int(values[wrong[0]]), allowed)
        return values.astype(np.int64)

    def _check_lengths(self) -> None:
        n_samples = len(self)
        for name, size in (("spikes/units", self._units.lengths.size), ("labels", self.labels.size)):
            if size != n_samples:
                allowed = f"one entry for each of the {n_samples} samples of spikes/times"
                raise InvalidInput(f"{self.path}: {name}", None, size, allowed)
        if self.speakers is not None and self.speakers.size != n_samples:
            allowed = f"one entry for each of the {n_samples} samples"
            raise InvalidInput(f"{self.path}: extra/speaker", None, self.speakers.size, allowed)
        unequal = np.flatnonzero(self._units.lengths != self.lengths)
        if unequal.size:
            sample = int(unequal[0])
            allowed = f"as many units as times ({self.lengths[sample]})"
            length = int(self._units.lengths[sample])
            raise InvalidInput(f"{self.path}: spikes/units[sample {sample}]", None, f"{length} long", allowed)

    def _check_labels(self, n_classes: int | None) -> None:
        if n_classes is None:
            n_classes = len(self.keys) if self.keys else self._count_classes()
        self.n_classes = n_classes
        wrong = np.flatnonzero(self.labels >= self.n_classes)
        if wrong.size:
            sample = int(wrong[0])
            allowed = f"labels below the number of classes ({self.n_classes})"
            raise InvalidInput(f"{self.path}: labels", sample, int(self.labels[sample]), allowed)

    def _count_classes(self) -> int:
        """One above the largest label, as nothing else says how many classes there are."""
        largest = int(self.labels.max(initial=0))
        if largest >= MAX_CLASSES:
            allowed = f"labels below {MAX_CLASSES}, as neither n_classes nor extra/keys says how many classes there are"
            raise InvalidInput(f"{self.path}: labels", int(self.labels.argmax()), largest, allowed)
        return largest + 1

    def doubt_of_seconds(self, last: Milliseconds) -> str | None:
        """Return why times up to ``last`` (ms) can hardly be the seconds that they are taken for, or None."""
        if self._times.inner.kind in "iu":
            return f"they are whole numbers ({self._times.inner})"
        if last > LONGEST_IN_SECONDS * SECONDS:
            return f"they reach {last / SECONDS:.6g}, and few samples last longer than {LONGEST_IN_SECONDS:g} s"
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reading spikes afterwards is an error, the other attributes stay."""
        self._source.close()

    def __len__(self) -> int:
        return self._times.lengths.size

    def __getitem__(self, sample: int | np.integer) -> tuple[Floats, NDArray[np.int32]]:
        """Return ``(times, units)`` of one sample: float64 ms and int32, sorted by (time, unit), equal ones kept.

        Raises IndexError, and InvalidInput for other indices than ints, or naming the sample and the spike that is
        out of range.
        """
        if not isinstance(sample, (int, np.integer)):
            remedy = "Write file.batch(index): it takes a slice, a mask or an array of indices."
            raise InvalidInput("sample", None, sample, "an int", remedy)
        if not -len(self) <= sample < len(self):
            raise IndexError(f"sample {sample} of a file of {len(self)}")
        sample = int(sample) % len(self)
        times, units = self._times[sample], self._units[sample]
        if (found := self._packed(times, units)) is not None:
            # sorted in a tenth of the time of a general sort
            return PackedSpikes(*found, [times.size], self.milliseconds_per_unit).arrays(0)[:2]
        return self._sorted(sample, times, units)

    def _packed(self, times: Array, units: Array) -> tuple[NDArray[np.uint16], NDArray[np.uint16]] | None:
        """(bits of the times, units), sorted, of a sample in SHD's own types, all in range; None for any other."""
        if times.dtype != np.float16 or units.dtype != np.uint16:
            return None
        halves = times.astype("=f2")
        # above infinity are NaN and negative numbers, -0.0 among them
        limit = HALF_INFINITY if np.isinf(self._longest) else np.float16(self._longest).view(np.uint16) + 1
        bad = halves.view(np.uint16).max(initial=0) >= min(limit, HALF_INFINITY)
        bad |= self.n_units is not None and units.max(initial=0) >= self.n_units
        return None if bad else PackedSpikes.ordered(halves, units)

    def _sorted(self, sample: int, times: Array, units: Array) -> tuple[Floats, NDArray[np.int32]]:
        place = f"{self.path}: spikes/times[sample {sample}]"
        times = exact_times(times, place)
        largest = (MAX_UNITS if self.n_units is None else self.n_units) - 1
        checks = (
            ("spikes/times", times, ~np.isfinite(times), "finite times"),
            ("spikes/times", times, times < 0, "times >= 0"),
            ("spikes/units", units, (units < 0) | (units > largest), f"channels from 0 to {largest}"),
        )
        for name, values, wrong, allowed in checks:
            if wrong.any():
                index = int(np.flatnonzero(wrong)[0])
                beyond = name == "spikes/units" and not self.n_units and values[index] > largest
                remedy = "Give n_units if there are more channels." if beyond else ""
                place = f"{self.path}: {name}[sample {sample}]"
                raise InvalidInput(place, index, values[index].item(), allowed, remedy)
        if times.max(initial=0.0) > self._longest:
            index = int(times.argmax())
            allowed = f"times up to {self._longest:g}"
            self._refuse_seconds(f"spikes/times[sample {sample}]", index, float(times[index]), allowed)
        times = times * self.milliseconds_per_unit + 0.0
        order = np.lexsort((units, times))
        return times[order], units[order].astype(np.int32)

    def batch(self, indices: Chosen) -> SpikeBatch:
        """Return the samples at ``indices`` (a slice, or ints in any order) as a SpikeBatch."""
        chosen = chosen_samples(indices, len(self))
        offsets = np.concatenate([[0], np.cumsum(self.lengths[chosen])])
        times, units = np.empty(offsets[-1]), np.empty(offsets[-1], np.int32)
        for place in np.flatnonzero(self.lengths[chosen]):  # a small file can claim a million empty rows
            span = slice(offsets[place], offsets[place + 1])
            times[span], units[span] = self[chosen[place]]
        return SpikeBatch(times, units, offsets)

    def packed(self, indices: Chosen) -> SpikeBatch | PackedSpikes:
        """Return the samples at ``indices`` as PackedSpikes; as a SpikeBatch where the file has other types than SHD's.

        Raises as reading the samples one by one does.
        """
        chosen = chosen_samples(indices, len(self))
        ends = np.concatenate([[0], np.cumsum(self.lengths[chosen])])
        halves, units = np.empty(ends[-1], np.uint16), np.empty(ends[-1], np.uint16)
        if (self._times.inner, self._units.inner) != (np.float16, np.uint16):
            return self.batch(chosen)
        for place in np.flatnonzero(self.lengths[chosen]):
            sample = chosen[place]
            if (found := self._packed(self._times[sample], self._units[sample])) is None:
                return self.batch(chosen)
            span = slice(ends[place], ends[place + 1])
            halves[span], units[span] = found
        return PackedSpikes(halves, units, self.lengths[chosen], self.milliseconds_per_unit)

    def dataset(
        self,
        indices: Chosen | None = None,
        duration: Milliseconds | None = None,
        name: str | None = None,
        packed: bool = False,
    ) -> Dataset:
        """Return the samples at ``indices`` (None: all) as a Dataset in memory, its groups the speakers.

        ``duration`` (ms) is the smallest whole number of ms above the last spike unless given. Without ``n_units``
        the number of channels is one above the largest unit. ``packed``: hold the spikes as PackedSpikes, in a third
        of the memory, where the file's types allow. Times up to a given ``duration`` are never taken for those of
        another unit.
        """
        if duration is not None and is_number(duration):
            self._longest = max(self._longest, duration / self.milliseconds_per_unit)
        chosen = chosen_samples(slice(None) if indices is None else indices, len(self))
        spikes = self.packed(chosen) if packed else self.batch(chosen)
        groups = None if self.speakers is None else self.speakers[chosen]
        n_units, last = 0, 0.0
        for block in spikes.blocks():
            n_units, last = max(n_units, int(block.units.max(initial=-1)) + 1), max(last, block.times.max(initial=0.0))
        n_units = max(n_units, 1) if self.n_units is None else self.n_units
        duration = np.floor(last) + 1.0 if duration is None else duration
        name = Path(self.path).stem if name is None else name
        return Dataset(spikes, self.labels[chosen], n_units, self.n_classes, duration, groups, name)
