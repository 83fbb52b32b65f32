"""Handwritten digits as a sequence: one pixel after the other, in their order or in one of chance (PS-MNIST).

LeCun, Cortes & Burges, the MNIST database of handwritten digits, CC BY-SA 3.0; as a permuted sequence: Le, Jaitly &
Hinton 2015.
"""

import gzip
import os
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...aliases import Integers
from ...checks import answers_keywords
from ...errors import InvalidInput, UnsafeFile
from ..dataset import MOST_TO_ONE, Dataset, find_folder
from ..readers.safe_hdf5 import BinaryFile
from ..stores.frames import Frames

SIDE, N_TRAIN, WHITE = 28, 50_000, 255
POOLS = (1, 2, 4, 7)
PERMUTATION_SEED = 20251
MAX_BYTES = 2**27  # of one file, unpacked: 2.8 times the training images
ORIGIN = (
    "MNIST's four IDX files (train-images-idx3-ubyte and so on, each with or without .gz) are at "
    "https://yann.lecun.com/exdb/mnist/ and https://ossci-datasets.s3.amazonaws.com/mnist/"
)


def permutation(n_pixels: int = SIDE**2) -> Integers:
    """Return the order of pixels of permuted sequential MNIST, (n_pixels,) int64: the same for all who use it."""
    # by sorting drawn numbers: the generator's own shuffle may change with its version, PCG64's raw output does not
    return np.argsort(np.random.PCG64(PERMUTATION_SEED).random_raw(n_pixels), kind="stable")


@answers_keywords
def load_sequential_mnist(
    folder: str | os.PathLike[str], permuted: bool = True, pool: int = 1
) -> tuple[Dataset, Dataset, Dataset]:
    """Return (train, validation, test) Datasets of one channel: pixel k is a spike at k + 0.5 ms that counts 0 to 1.

    50,000, 10,000 (the last of the training file) and 10,000 samples of 784 ms. ``folder`` holds the four IDX files,
    packed or not, and is looked for in EVENTSNN_DATA too. ``pool``: 2, 4 or 7 makes squares with sides of so many
    pixels one, their mean, before they are permuted: shorter sequences, of 196, 49 or 16 ms. Raises InvalidInput for
    absent and damaged files, UnsafeFile for one that claims more than it can hold.
    """
    if isinstance(pool, bool) or pool not in POOLS:
        raise InvalidInput("pool", None, pool, f"one of {', '.join(map(str, POOLS))}")
    folder = find_folder(folder, ORIGIN)
    train, test = (_read(folder, part, permuted, int(pool)) for part in ("train", "t10k"))
    if len(train) <= N_TRAIN:
        raise InvalidInput("folder", None, str(folder), f"more than {N_TRAIN:,} training images: {len(train):,} found")
    return train.select(slice(0, N_TRAIN)), train.select(slice(N_TRAIN, None)), test


def _read(folder: Path, part: str, permuted: bool, pool: int) -> Dataset:
    images = _idx(folder, f"{part}-images-idx3-ubyte", 3)
    labels = _idx(folder, f"{part}-labels-idx1-ubyte", 1)
    if len(images) != len(labels) or images.shape[1:] != (SIDE, SIDE):
        found = f"{len(images)} images of {images.shape[1:]} pixels, {len(labels)} labels"
        raise InvalidInput(f"{part} files", None, found, f"as many labels as images, each of {SIDE} x {SIDE} pixels")
    if pool > 1:
        squares = images.reshape(len(images), SIDE // pool, pool, SIDE // pool, pool)
        images = squares.sum(axis=(2, 4), dtype=np.uint16)
    pixels = images.reshape(len(images), -1, 1)
    n_pixels = pixels.shape[1]
    order = permutation(n_pixels) if permuted else None
    frames = Frames(pixels, dt=1.0, scale=1.0 / (WHITE * pool**2), order=order)
    return Dataset(frames, labels.astype(np.int64), 1, 10, float(n_pixels), name=f"sequential MNIST, {part}")


def _idx(folder: Path, name: str, n_dimensions: int) -> NDArray[np.uint8]:
    """The array of bytes in an IDX file: two zeros, 8 (bytes), the number of dimensions, each of them, the values."""
    path = folder / name
    if not path.is_file():
        path = folder / f"{name}.gz"
    if not path.is_file():
        raise InvalidInput("folder", None, str(folder), f"a folder with {name} or {path.name}", ORIGIN)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return _read_idx(path, file, n_dimensions)
    except (OSError, EOFError, zlib.error) as error:
        what = "gzip" if path.suffix == ".gz" else "IDX"
        raise InvalidInput("path", None, str(path), f"a whole {what} file: {error}") from None


def _read_idx(path: Path, file: BinaryFile, n_dimensions: int) -> NDArray[np.uint8]:
    """The array of an IDX file that is open; what its head claims is compared with the file before it is read."""
    head = file.read(4 + 4 * n_dimensions)
    if len(head) < 4 + 4 * n_dimensions or head[:4] != bytes((0, 0, 8, n_dimensions)):
        raise InvalidInput("path", None, str(path), f"an IDX file of bytes in {n_dimensions} dimensions")
    shape = struct.unpack(f">{n_dimensions}I", head[4:])
    size, stored = prod(shape), path.stat().st_size
    most = min(MAX_BYTES, stored * (MOST_TO_ONE if path.suffix == ".gz" else 1))
    if size > most:
        reason = f"claims {shape} values, {size} bytes; allowed: {most}, for a file of {stored} bytes"
        raise UnsafeFile(str(path), "head", reason)
    raw = file.read(size + 1)
    if len(raw) != size or size == 0:
        found = f"{len(raw)} are there" if len(raw) <= size else "more are there"
        remedy = f"{found}: it is cut short or damaged, fetch it again."
        raise InvalidInput("path", None, str(path), f"a file with {shape} values, as its head says", remedy)
    return np.frombuffer(raw, np.uint8).reshape(shape)
