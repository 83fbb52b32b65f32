"""Google Speech Commands from wav files: how loud each of 140 mel bands is in each step of 10 ms.

Warden 2018, "Speech Commands: a dataset for limited-vocabulary speech recognition", CC BY 4.0. As many bands as
DCLS-delays has (Hammouamri et al. 2024), which reads the real values of a mel spectrogram too.
"""

import hashlib
import io
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...aliases import Floats, Milliseconds
from ...arrays import is_number
from ...checks import answers_keywords
from ...errors import InvalidInput
from ..dataset import Dataset, find_folder
from ..stores.frames import Frames

RATE = 16_000  # Hz
N_BANDS, STEP, WINDOW, N_FFT = 140, 160, 400, 2048  # samples: a step of 10 ms, a window of 25 ms
RANGE = 80.0  # dB below the loudest of the recording, which are worth 0
LEVELS = 255  # of the range, held as bytes
MAX_BYTES = 2**24  # of one recording: nine minutes
NOISE = "_background_noise_"
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
# Of the data set's own rule for files that are in no list: shares of speakers by a hash of their names, in percent.
VALIDATION_SHARE, TEST_SHARE, LARGEST_HASH = 10, 10, 2**27 - 1
ORIGIN = (
    "Speech Commands is at http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz; unpack it into the folder."
)


@answers_keywords
def load_speech_commands(
    folder: str | os.PathLike[str], duration: Milliseconds = 1000.0
) -> tuple[Dataset, Dataset, Dataset]:
    """Return (train, validation, test) Datasets of 140 mel bands in steps of 10 ms, each value between 0 and 1.

    ``folder`` (looked for in EVENTSNN_DATA too) holds one folder of 16 kHz mono wav files per word, which are the
    classes in alphabetical order. The sets are those of validation_list.txt and testing_list.txt, or without them of
    the published rule by speaker, and groups (speakers) are numbered by name. A value is how far the band is above
    80 dB below the recording's loudest, as a share of 80 dB. Recordings are cut or filled up with silence to
    ``duration`` (a multiple of 10 ms). Raises InvalidInput for absent folders, for one list without the other, and for
    files that are not such recordings.
    """
    dt = 1000.0 * STEP / RATE
    if not (is_number(duration) and 0 < duration < np.inf and duration % dt == 0):
        raise InvalidInput("duration", None, duration, f"a multiple of {dt:g} ms above 0")
    n_steps, folder = round(duration / dt), find_folder(folder, ORIGIN)
    words = sorted(item.name for item in folder.iterdir() if item.is_dir() and item.name != NOISE)
    files = [(path, label) for label, word in enumerate(words) for path in sorted((folder / word).glob("*.wav"))]
    if not files:
        deeper = [f"Did you mean {item}?" for item in sorted(folder.iterdir()) if any(item.glob("*/*.wav"))]
        remedy = next(iter(deeper), ORIGIN)
        raise InvalidInput("folder", None, str(folder), "folders of wav files, one for each word", remedy)
    parts = _parts(folder, [path for path, _ in files])
    bands, values = mel_bands(), np.empty((len(files), n_steps, N_BANDS), np.uint8)
    for row, (path, _) in enumerate(files):
        values[row] = np.rint(LEVELS * loudness(read_wav(path), bands, n_steps))
    frames, labels = Frames(values, dt=dt, scale=1.0 / LEVELS), np.array([label for _, label in files])
    speakers = np.unique([speaker_of(path.name) for path, _ in files], return_inverse=True)[1]
    whole = Dataset(frames, labels, N_BANDS, len(words), float(duration), speakers, f"Speech Commands in {folder}")
    train, validation, test = (whole.select(np.flatnonzero(parts == part)) for part in ("train", "validation", "test"))
    return train, validation, test


def _parts(folder: Path, paths: Sequence[Path]) -> NDArray[np.str_]:
    """Which set each file belongs to, (n,) of text."""
    present = [name for name in LISTS.values() if (folder / name).is_file()]
    if not present:
        return np.array([part_of(speaker_of(path.name)) for path in paths])
    if len(present) == 1:
        allowed = f"{' and '.join(LISTS.values())}, or neither"
        remedy = "What is in neither is for training, so that without one of them its files would be trained on."
        raise InvalidInput("folder", None, f"{folder}: {present[0]} alone", allowed, remedy)
    listed = {line: part for part, name in LISTS.items() for line in _lines(folder / name)}
    return np.array([listed.get(f"{path.parent.name}/{path.name}", "train") for path in paths])


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise InvalidInput("path", None, str(path), f"a list of files as UTF-8 text: {error}") from None
    if not any(lines):
        raise InvalidInput("path", None, str(path), "a list of files, one on each line: it is empty")
    return lines


def speaker_of(name: str) -> str:
    """Return the speaker that a file's name begins with: all before "_nohash_"."""
    return re.sub(r"_nohash_.*$", "", name)


def part_of(speaker: str) -> str:
    """Return "train", "validation" or "test" by the data set's published rule: all of a speaker in one set."""
    number = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (LARGEST_HASH + 1)
    percent = 100.0 * number / LARGEST_HASH
    if percent < VALIDATION_SHARE:
        return "validation"
    return "test" if percent < VALIDATION_SHARE + TEST_SHARE else "train"


def read_wav(path: Path) -> Floats:
    """Return the samples of a 16 kHz mono wav file, (n,) float64 between -1 and 1.

    Raises InvalidInput for files that are damaged, of another kind, or longer than nine minutes.
    """
    from scipy.io import wavfile

    raw = _whole_file(path)
    try:
        with warnings.catch_warnings():
            # a file that is cut short is a warning there, and would be a shorter word here
            warnings.filterwarnings("error", message="Reached EOF", category=wavfile.WavFileWarning)
            rate, sound = wavfile.read(io.BytesIO(raw))  # from memory: of a file it takes as much as the head claims
    except Exception as error:  # of damaged files, whatever its code runs into
        raise InvalidInput("path", None, str(path), f"a whole wav file: {error}", "Fetch it again.") from None
    if rate != RATE or sound.ndim != 1 or sound.dtype != np.int16:
        found = f"{rate} Hz, shape {sound.shape}, {sound.dtype}"
        raise InvalidInput("path", None, f"{path}: {found}", f"{RATE} Hz, one channel, 16 bits")
    if sound.size == 0:
        raise InvalidInput("path", None, str(path), "a wav file with at least one sample")
    return sound / 32768.0


def _whole_file(path: Path) -> bytes:
    """The bytes of a wav file, each of whose parts is as long as it says."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidInput("path", None, f"{path}: {size} bytes", f"a recording of at most {MAX_BYTES} bytes")
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidInput("path", None, str(path), f"a readable wav file ({error.strerror})") from None
    place, stop = len(b"RIFF....WAVE"), min(len(raw), 8 + int.from_bytes(raw[4:8], "little"))
    while place + 8 <= stop:  # what stands behind the end of all parts, such as tags, is nobody's
        end = place + 8 + int.from_bytes(raw[place + 4 : place + 8], "little")
        if end > len(raw):
            allowed = f"a whole wav file: its part {raw[place : place + 4]!r} claims to end at byte {end}"
            raise InvalidInput("path", None, f"{path}: {len(raw)} bytes", allowed, "Fetch it again.")
        place = end + end % 2
    return raw


def mel_bands() -> Floats:
    """Return the triangular bands (N_FFT // 2 + 1, N_BANDS), evenly spaced in mel (O'Shaughnessy 1987) to 8 kHz."""
    mel = lambda hertz: 2595.0 * np.log10(1.0 + hertz / 700.0)  # noqa: E731
    edges = 700.0 * (10.0 ** (np.linspace(0.0, mel(RATE / 2), N_BANDS + 2) / 2595.0) - 1.0)
    bins = np.fft.rfftfreq(N_FFT, 1.0 / RATE)[:, None]
    low, top, high = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0.0, np.minimum((bins - low) / (top - low), (high - bins) / (high - top)))


def loudness(sound: Floats, bands: Floats, n_steps: int) -> Floats:
    """Return how loud each band is in each step, (n_steps, N_BANDS) from 0 (80 dB below the loudest, or less) to 1."""
    padded = np.zeros(n_steps * STEP + WINDOW)
    sound = sound[: padded.size - WINDOW]
    padded[WINDOW // 2 : WINDOW // 2 + sound.size] = sound
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP][:n_steps]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), N_FFT)) ** 2 @ bands
    loudest = power.max()
    if loudest == 0.0:
        return power
    decibels = 10.0 * np.log10(np.maximum(power / loudest, 10.0 ** (-RANGE / 10.0)))
    return 1.0 + decibels / RANGE
