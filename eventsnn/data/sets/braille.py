"""Braille letters read by a robot fingertip, as events or as analog sweeps.

Müller-Cleve, Fra, Khacef, Pequeño-Zurro, Klepatsch, Forno, Ivanovich, Rastogi, Urgese, Zenke and Bartolozzi, "Braille
letter reading: a benchmark for spatio-temporal pattern recognition on neuromorphic hardware", Frontiers in
Neuroscience 16:951164 (2022). Published accuracies belong to one threshold each: name it beside every figure.
"""

import io
import os
import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...aliases import Array, Floats, Integers, Milliseconds
from ...arrays import exact_times, is_number, plain_array
from ...checks import answers_keywords, positive
from ...errors import InvalidInput, UnsafeFile, said_as
from ...spikes.batch import SpikeBatch
from ...spikes.structured import milliseconds_per
from ..dataset import MOST_TO_ONE, Dataset, find_file
from ..readers.spike_file import LONGEST_IN_SECONDS, SAY_THE_UNIT

N_TAXELS = 12
FRAME = 25.0  # ms between two frames of the analog sweeps (40 Hz)
SECONDS = 1000.0  # ms
MAX_BYTES = 2**26  # of all arrays of one file, unpacked: twice the analog sweeps as float64
MAX_VALUES = 2**23  # of one array: 30 times the events of the published recordings
MAX_SAMPLES = 2**17  # 24 times the recordings
MAX_EVENTS = 2**23  # that sweeps are coded as
MAX_HEAD = 1000  # characters of the description of an array, which takes about a hundred
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # NumPy's two
ORIGIN = "The recordings are published with https://doi.org/10.3389/fnins.2022.951164 (Müller-Cleve et al. 2022)."


def _arrays(path: str | os.PathLike[str], names: Sequence[str]) -> list[Array]:
    """Return the named arrays of an .npz file, without pickle and within MAX_BYTES."""
    path = find_file(path, ORIGIN)
    if not zipfile.is_zipfile(path) and path.suffix != ".npz":
        raise InvalidInput("path", None, str(path), "an .npz file of arrays, as the recordings are published")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive)
            present = [name.removesuffix(".npy") for name in archive.namelist()]
            if missing := [name for name in names if name not in present]:
                remedy = f"Found: {', '.join(present)}."
                raise InvalidInput(f"{path}: {missing[0]}", None, None, "an array of this name", remedy)
            return [_array(archive.read(f"{name}.npy")) for name in names]
    except (InvalidInput, UnsafeFile, MemoryError):
        raise
    except Exception as error:  # of damaged files, whatever the code of zipfile, zlib and NumPy runs into
        reason = f"is cut short or damaged, or holds what only pickle could read ({error})"
        raise UnsafeFile(str(path), "archive", reason) from None


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive whose members claim more than the file could hold, before any is unpacked."""
    size, stored = 0, path.stat().st_size
    most = min(MAX_BYTES, MOST_TO_ONE * stored)
    for member in archive.infolist():
        if member.compress_type not in COMPRESSIONS:
            reason = f"is compressed by the method {member.compress_type}, which is none of NumPy's"
            raise UnsafeFile(str(path), member.filename, reason)
        if member.compress_size > stored:
            reason = f"claims {member.compress_size} bytes of a file of {stored}"
            raise UnsafeFile(str(path), member.filename, reason)
        size += member.file_size
    if size > most:
        raise UnsafeFile(str(path), "archive", f"unpacks to {size} bytes; allowed: {most}")


def _array(raw: bytes) -> Array:
    """Return the array of an .npy file's bytes, which its head must account for; raises ValueError."""
    file = io.BytesIO(raw)
    heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in heads:
        raise ValueError(f"an array in version {version} of NumPy's format")
    shape, in_columns, dtype = heads[version](file, max_header_size=MAX_HEAD)
    if dtype.hasobject:
        raise ValueError("objects")
    count, size = prod(shape), len(raw) - file.tell()
    if count * dtype.itemsize != size or min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {shape} and {dtype} in {size} bytes")
    if count > MAX_VALUES:
        raise ValueError(f"an array of {count} values; allowed: {MAX_VALUES}")
    values = np.frombuffer(raw, dtype, count, file.tell()) if count else np.zeros(0, dtype)
    return values.reshape(shape, order="F" if in_columns else "C")


def _offsets(counts: Array, total: int, name: str) -> Integers:
    # each number is compared before they are added: a sum of large ones would come round to the total
    wrong = counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any() or (counts > total).any()
    if wrong or counts.sum(dtype=np.int64) != total:
        raise InvalidInput(name, None, f"{counts.dtype}, shape {counts.shape}", f"counts >= 0 that add up to {total}")
    if counts.size > MAX_SAMPLES:
        raise InvalidInput(name, None, f"{counts.size} samples", f"at most {MAX_SAMPLES}")
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _as_numbers(values: Array, name: str) -> Floats:
    """Return float64; raises InvalidInput for what a conversion would change without a word."""
    if values.dtype.kind not in "fiu":
        raise InvalidInput(name, None, str(values.dtype), "real numbers")
    return values.astype(np.float64)


def _milliseconds(times: Array, name: str, duration: Milliseconds | None, time_unit: str | float | None) -> Floats:
    """Return times of a file in ms; without a word on their unit they are seconds, unless they can hardly be."""
    factor = milliseconds_per("s" if time_unit is None else time_unit)
    if times.dtype.kind not in "fiu":
        raise InvalidInput(name, None, str(times.dtype), "real numbers")
    if time_unit is None:
        longest = LONGEST_IN_SECONDS
        longest = max(longest, duration / SECONDS) if duration is not None and is_number(duration) else longest
        if times.dtype.kind in "iu":
            raise InvalidInput(name, None, str(times.dtype), "seconds: numbers with fractions", SAY_THE_UNIT)
        if (late := np.flatnonzero(np.ravel(times) > longest)).size:
            value = np.ravel(times)[late[0]]
            raise InvalidInput(name, int(late[0]), value, f"seconds: times up to {longest:g}", SAY_THE_UNIT)
    return exact_times(times, name) * factor


@answers_keywords
def load_braille(
    path: str | os.PathLike[str], duration: Milliseconds | None = None, time_unit: str | float | None = None
) -> Dataset:
    """Return the coded letters as a Dataset: 24 channels (2 x taxel + polarity), 27 classes, times in ms.

    Parameters: ``path`` of an .npz with ``times`` (s), ``channels``, ``counts``, ``labels`` and ``letters`` (as it is,
    or in the folder EVENTSNN_DATA); ``duration`` (ms; None: the smallest whole number above the last spike);
    ``time_unit``: that of times, "s", "ms", "us", "ns" or a number of ms (None: s, and times that can hardly be seconds
    are refused: whole numbers, and those above 20 and above ``duration``). Raises InvalidInput when the file is absent
    or holds values out of range, UnsafeFile when it is no plain .npz.
    """
    times, channels, counts, labels, letters = _arrays(path, ("times", "channels", "counts", "labels", "letters"))
    offsets = _offsets(counts, times.size, f"{path}: counts")
    if channels.shape != times.shape or times.ndim != 1:
        found, allowed = f"shape {channels.shape}", f"a channel for each of the times, which have shape {times.shape}"
        raise InvalidInput(f"{path}: channels", None, found, allowed)
    times = _milliseconds(times, f"{path}: times", duration, time_unit)
    spans = [slice(*span) for span in zip(offsets[:-1], offsets[1:], strict=True)]
    spikes = SpikeBatch.from_lists([(times[span], channels[span]) for span in spans])
    return _dataset(path, spikes, labels, letters, duration)


@answers_keywords
def load_braille_analog(
    path: str | os.PathLike[str], threshold: float, duration: Milliseconds | None = None
) -> Dataset:
    """Return the analog sweeps coded by ``delta_events`` as a Dataset: 24 channels, 27 classes, times in ms.

    Parameters: ``path`` of an .npz with ``taxels`` (rows of 12), ``lengths``, ``labels`` and ``letters``;
    ``threshold`` (> 0, units of a taxel; the benchmark uses 1, 2, 5 and 10); ``duration`` and errors as in
    ``load_braille``.
    """
    taxels, lengths, labels, letters = _arrays(path, ("taxels", "lengths", "labels", "letters"))
    if taxels.ndim != 2 or taxels.shape[1] != N_TAXELS:
        raise InvalidInput(f"{path}: taxels", None, taxels.shape, f"rows of {N_TAXELS}")
    offsets = _offsets(lengths, len(taxels), f"{path}: lengths")
    sweeps, n_events, samples = np.split(_as_numbers(taxels, f"{path}: taxels"), offsets[1:-1]), 0, []
    for sample, sweep in enumerate(sweeps[: lengths.size]):
        with said_as({"signal": f"{path}: taxels (sample {sample})"}):
            samples.append(delta_events(sweep, threshold, FRAME))
        n_events += samples[-1][0].size
        if n_events > MAX_EVENTS:
            allowed = f"at most {MAX_EVENTS} events at threshold {threshold:g}"
            raise InvalidInput(f"{path}: taxels", None, f"more, by sample {sample}", allowed, "Raise threshold.")
    return _dataset(path, SpikeBatch.from_lists(samples), labels, letters, duration)


def _dataset(
    path: str | os.PathLike[str], spikes: SpikeBatch, labels: Array, letters: Array, duration: Milliseconds | None
) -> Dataset:
    if letters.ndim != 1 or letters.dtype.kind not in "US":
        found = f"{letters.dtype}, shape {letters.shape}"
        raise InvalidInput(f"{path}: letters", None, found, "the names of the classes, one after the other")
    if duration is None:
        duration = float(np.floor(spikes.times.max(initial=0.0)) + 1.0)
    with said_as({"labels": f"{path}: labels", "spikes.units": f"{path}: channels"}):
        return Dataset(spikes, labels, 2 * N_TAXELS, len(letters), duration, name="braille")


def delta_events(signal: npt.ArrayLike, threshold: float, frame: Milliseconds) -> tuple[Floats, Integers]:
    """Code a signal (n_frames, n_channels) as events: one each time it has moved by ``threshold`` since the last.

    Between frames (``frame`` ms apart) the signal is taken as linear, so that times are real-valued. Returns
    ``(times, units)``: ms and 2 x channel for a rise, 2 x channel + 1 for a fall. Raises InvalidInput for a threshold
    that is not a finite number > 0 and for a signal with NaN or infinities, or of more than 8 million events.
    """
    threshold = positive(threshold, "threshold")
    given: Array = plain_array(signal, "signal")
    if given.ndim != 2 or given.dtype.kind not in "fiu":
        found = f"{given.dtype}, shape {given.shape}"
        raise InvalidInput("signal", None, found, "an array of real numbers (n_frames, n_channels)")
    values = given.astype(np.float64)
    if (bad := np.argwhere(~np.isfinite(values))).size:
        place = tuple(map(int, bad[0]))
        raise InvalidInput("signal", place, float(values[place]), "finite numbers")
    times, units = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    level = values[0].copy() if len(values) else np.zeros(0)
    for index in range(1, len(values)):
        before, after = values[index - 1], values[index]
        steps = _steps(index, (after - level) / threshold)
        channel = np.repeat(np.arange(steps.size), np.abs(steps))
        nth = np.arange(channel.size) - np.repeat(np.cumsum(np.abs(steps)) - np.abs(steps), np.abs(steps)) + 1
        crossed = level[channel] + np.sign(steps)[channel] * nth * threshold
        part = (crossed - before[channel]) / (after - before)[channel]
        times.append(frame * (index - 1 + np.clip(part, 0.0, 1.0)))
        units.append(2 * channel + (steps[channel] < 0))
        level += steps * threshold
    return np.concatenate(times), np.concatenate(units)


def _steps(index: int, moved: Floats) -> Integers:
    """How many thresholds each channel has moved, as int64; as many events are made."""
    if not np.abs(moved).sum() <= MAX_EVENTS:
        channel = int(np.abs(moved).argmax())
        allowed = f"at most {MAX_EVENTS} thresholds away from the frame before"
        raise InvalidInput("signal", (index, channel), f"{moved[channel]:.3g} thresholds away", allowed)
    return np.trunc(moved).astype(np.int64)
