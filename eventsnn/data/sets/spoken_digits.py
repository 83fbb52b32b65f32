"""The spoken digits that ship with the project: 900 + 300 recordings of English digits as spikes of 700 channels.

A balanced subset of the Heidelberg Digits (Cramer, Stradmann, Schemmel, Zenke 2022, CC BY 4.0), turned into spikes with
the lauscher 1.0.1 cochlea model; not the published SHD spikes. datasets/spoken_digits.md is its card.
"""

import hashlib
import lzma
import os
from pathlib import Path

from ...aliases import Milliseconds
from ...checks import answers_keywords
from ...errors import InvalidInput, UnsafeFile
from ...parallel.threads import in_order
from ..dataset import Dataset
from ..readers.spike_file import SpikeFile

N_UNITS, N_CLASSES = 700, 10
DURATION = 1200.0  # ms; the longest of these recordings ends at 1159.2, and both files share one T
MAX_BYTES = 2**24  # of one file, packed
CHECKSUMS = {
    "spoken_digits_train.h5.xz": "b50ae9608ca92749be33d9153805160c45ae529a8e32c7dbcefef339e7044e79",
    "spoken_digits_test.h5.xz": "02b10e65829767fa8049fee397cda4b1ad1793545566d693d12b5c60154097d0",
}


def find_spoken_digits(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds both files: ``folder``, else EVENTSNN_DATA, else datasets/ of the checkout.

    Raises InvalidInput that lists where it looked.
    """
    if folder is not None:
        places = [Path(folder)]
    else:
        places = [Path(os.environ["EVENTSNN_DATA"])] if os.environ.get("EVENTSNN_DATA") else []
        places += [Path(__file__).resolve().parents[3] / "datasets", Path.cwd() / "datasets"]
    for place in places:
        if all((place / name).is_file() for name in CHECKSUMS):
            return place
    looked = ", ".join(str(place) for place in places)
    remedy = f"Looked in: {looked}. They are in the folder datasets/ of the project's repository."
    raise InvalidInput("folder", None, folder, f"a folder with {' and '.join(CHECKSUMS)}", remedy)


def _unpack(path: Path) -> bytes:
    with path.open("rb") as file:
        packed = file.read(MAX_BYTES)  # a larger file has another checksum all the same
    found = hashlib.sha256(packed).hexdigest()
    if found != CHECKSUMS[path.name]:
        reason = f"has the SHA-256 {found} and should have {CHECKSUMS[path.name]}; fetch it again"
        raise UnsafeFile(str(path), f"{len(packed)} bytes", reason)
    return lzma.decompress(packed)


@answers_keywords
def load_spoken_digits(
    folder: str | os.PathLike[str] | None = None, duration: Milliseconds = DURATION, packed: bool = False
) -> tuple[Dataset, Dataset]:
    """Return ``(train, test)`` Datasets of English digits: 700 channels, 10 classes, groups = speakers, times in ms.

    Training (900): 9 recordings of each digit from each of 10 speakers, for training and validation by speaker. Test
    (300): 15 of each digit from speakers 4 and 5, who are not in training. ``duration`` (ms) is the T of both;
    ``packed``: hold the spikes as PackedSpikes, in a third of the memory, exactly. Raises InvalidInput when the files
    are absent, UnsafeFile when one is not what was shipped (checksum).
    """
    place = find_spoken_digits(folder)
    # unpacking releases Python's lock, so the two files take as long as the larger one
    with in_order(lambda path, stop: _unpack(path), [place / name for name in CHECKSUMS], len(CHECKSUMS)) as images:
        unpacked = dict(zip(CHECKSUMS, images, strict=True))
    datasets = []
    for name, image in unpacked.items():
        name = name.removesuffix(".h5.xz")
        with SpikeFile(name, N_UNITS, N_CLASSES, image=image) as file:
            datasets.append(file.dataset(duration=duration, name=name, packed=packed))
    train, test = datasets
    return train, test
