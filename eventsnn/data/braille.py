"""Braille letters read by a robot fingertip, as events or as analog sweeps.

Müller-Cleve, Fra, Khacef, Pequeño-Zurro, Klepatsch, Forno, Ivanovich, Rastogi, Urgese, Zenke and Bartolozzi, "Braille
letter reading: a benchmark for spatio-temporal pattern recognition on neuromorphic hardware", Frontiers in
Neuroscience 16:951164 (2022). Published accuracies belong to one threshold each: name it beside every figure.
"""

import zipfile

import numpy as np

from ..arrays import plain_array
from ..errors import InvalidInput, UnsafeFile
from ..spikes import SpikeBatch
from .dataset import Dataset, find_file

N_TAXELS = 12
FRAME = 25.0  # ms between two frames of the analog sweeps (40 Hz)
SECONDS = 1000.0  # ms
MAX_BYTES = 2**28  # of all arrays of one file, unpacked
ORIGIN = "The recordings are published with https://doi.org/10.3389/fnins.2022.951164 (Müller-Cleve et al. 2022)."


def _arrays(path, names):
    """Return the named arrays of an .npz file, without pickle and within MAX_BYTES."""
    path = find_file(path, ORIGIN)
    if not zipfile.is_zipfile(path) and path.suffix != ".npz":
        raise InvalidInput("path", None, str(path), "an .npz file of arrays, as the recordings are published")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise UnsafeFile(str(path), "archive", f"unpacks to {size} bytes; allowed: {MAX_BYTES}")
        with np.load(path, allow_pickle=False) as archive:
            if missing := [name for name in names if name not in archive.files]:
                remedy = f"Found: {', '.join(archive.files)}."
                raise InvalidInput(f"{path}: {missing[0]}", None, None, "an array of this name", remedy)
            return [archive[name] for name in names]
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, MemoryError) as error:
        if isinstance(error, (InvalidInput, UnsafeFile)):
            raise
        raise UnsafeFile(
            str(path), "archive", f"is cut short or damaged, or holds what only pickle could read ({error})"
        ) from None


def _offsets(counts, total, name):
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any() or counts.sum() != total:
        raise InvalidInput(name, None, f"{counts.dtype}, shape {counts.shape}", f"counts >= 0 that add up to {total}")
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def load_braille(path, duration=None):
    """Return the coded letters as a Dataset: 24 channels (2 x taxel + polarity), 27 classes, times in ms.

    Parameters: ``path`` of an .npz with ``times`` (s), ``channels``, ``counts``, ``labels`` and ``letters`` (as it is,
    or in the folder EVENTSNN_DATA); ``duration`` (ms; None: the smallest whole number above the last spike). Raises
    InvalidInput when the file is absent or holds values out of range, UnsafeFile when it is no plain .npz.
    """
    times, channels, counts, labels, letters = _arrays(path, ("times", "channels", "counts", "labels", "letters"))
    offsets = _offsets(counts, times.size, f"{path}: counts")
    times = times.astype(np.float64) * SECONDS
    spans = [slice(*span) for span in zip(offsets[:-1], offsets[1:], strict=True)]
    spikes = SpikeBatch.from_lists([(times[span], channels[span]) for span in spans])
    return _dataset(spikes, labels, letters, duration)


def load_braille_analog(path, threshold, duration=None):
    """Return the analog sweeps coded by ``delta_events`` as a Dataset: 24 channels, 27 classes, times in ms.

    Parameters: ``path`` of an .npz with ``taxels`` (rows of 12), ``lengths``, ``labels`` and ``letters``;
    ``threshold`` (> 0, units of a taxel; the benchmark uses 1, 2, 5 and 10); ``duration`` and errors as in
    ``load_braille``.
    """
    taxels, lengths, labels, letters = _arrays(path, ("taxels", "lengths", "labels", "letters"))
    if taxels.ndim != 2 or taxels.shape[1] != N_TAXELS:
        raise InvalidInput(f"{path}: taxels", None, taxels.shape, f"rows of {N_TAXELS}")
    offsets = _offsets(lengths, len(taxels), f"{path}: lengths")
    sweeps = np.split(taxels.astype(np.float64), offsets[1:-1])
    spikes = SpikeBatch.from_lists([delta_events(sweep, threshold, FRAME) for sweep in sweeps])
    return _dataset(spikes, labels, letters, duration)


def _dataset(spikes, labels, letters, duration):
    if duration is None:
        duration = float(np.floor(spikes.times.max(initial=0.0)) + 1.0)
    return Dataset(spikes, labels, 2 * N_TAXELS, len(letters), duration, name="braille")


def delta_events(signal, threshold, frame):
    """Code a signal (n_frames, n_channels) as events: one each time it has moved by ``threshold`` since the last.

    Between frames (``frame`` ms apart) the signal is taken as linear, so that times are real-valued. Returns
    ``(times, units)``: ms and 2 x channel for a rise, 2 x channel + 1 for a fall. Raises InvalidInput for a threshold
    that is not a finite number > 0 and for a signal with NaN or infinities.
    """
    if not (isinstance(threshold, (int, float, np.integer, np.floating)) and 0 < threshold < np.inf):
        raise InvalidInput("threshold", None, threshold, "a finite number > 0")
    signal = plain_array(signal, "signal")
    if signal.dtype.kind not in "fiu" or signal.ndim != 2 or not np.isfinite(signal).all():
        raise InvalidInput("signal", None, signal.shape, "a finite array (n_frames, n_channels)")
    signal = signal.astype(np.float64)
    times, units = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    level = signal[0].copy() if len(signal) else None
    for index in range(1, len(signal)):
        before, after = signal[index - 1], signal[index]
        steps = np.trunc((after - level) / threshold).astype(np.int64)
        channel = np.repeat(np.arange(steps.size), np.abs(steps))
        nth = np.arange(channel.size) - np.repeat(np.cumsum(np.abs(steps)) - np.abs(steps), np.abs(steps)) + 1
        crossed = level[channel] + np.sign(steps)[channel] * nth * threshold
        part = (crossed - before[channel]) / (after - before)[channel]
        times.append(frame * (index - 1 + np.clip(part, 0.0, 1.0)))
        units.append(2 * channel + (steps[channel] < 0))
        level += steps * threshold
    return np.concatenate(times), np.concatenate(units)
