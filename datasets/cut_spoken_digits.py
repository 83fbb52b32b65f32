"""Cut datasets/spoken_digits_{train,test}.h5.xz from the rebuilt Spiking Heidelberg Digits, or check the shipped files.

    python datasets/cut_spoken_digits.py TRAIN.h5 TEST.h5 [--into FOLDER]
    python datasets/cut_spoken_digits.py --check [--into FOLDER]

The cut draws no random numbers: of the recordings of one speaker and one digit, in the order of the source, it takes
evenly spaced ones. Training: 9 of each English digit from each speaker except 4 and 5. Test: 15 of each from 4 and 5.
"""

import argparse
import hashlib
import lzma
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

N_CLASSES = 10  # English digits; the labels 10 to 19 of the source are German
TEST_SPEAKERS = (4, 5)
TRAIN_PER_CELL = 9
TEST_PER_CELL = 15
SECTION = 65536  # bytes hashed at a time


def choose(labels, speakers, chosen_speakers, per_cell):
    """Return the sorted indices of `per_cell` evenly spaced recordings of each (speaker, digit)."""
    taken = []
    for speaker in chosen_speakers:
        for digit in range(N_CLASSES):
            cell = np.flatnonzero((speakers == speaker) & (labels == digit))
            if cell.size < per_cell:
                raise SystemExit(f"speaker {speaker}, digit {digit}: {cell.size} recordings, {per_cell} are needed")
            taken.append(cell[np.arange(per_cell) * cell.size // per_cell])
    return np.sort(np.concatenate(taken))


def copy_recordings(source, target, indices):
    """Write the chosen recordings in SHD's own layout, spike for spike and in the source's order of spikes."""
    target.attrs.update({name: source.attrs[name] for name in sorted(source.attrs)})
    target.attrs["subset"] = "English digits of the rebuilt Spiking Heidelberg Digits, see datasets/spoken_digits.md"
    for name, dtype in (("times", np.float16), ("units", np.uint16)):
        rows = target.create_dataset(f"spikes/{name}", (indices.size,), h5py.vlen_dtype(dtype))
        for row, index in enumerate(indices):
            rows[row] = source[f"spikes/{name}"][index]
    target["labels"] = source["labels"][:][indices]
    target["extra/keys"] = source["extra/keys"][:N_CLASSES]
    target["extra/speaker"] = source["extra/speaker"][:][indices]
    target["extra/speaker_names"] = source["extra/speaker_names"][:]
    target["extra/files"] = source["extra/files"][:][indices]
    target["extra/source_index"] = indices.astype(np.uint16)


def cut(source_path, target_path, test):
    """Cut one file and pack it with xz; returns the number of recordings."""
    with h5py.File(source_path, "r") as source:
        labels, speakers = source["labels"][:], source["extra/speaker"][:]
        others = sorted(set(speakers.tolist()) - set(TEST_SPEAKERS))
        indices = choose(labels, speakers, TEST_SPEAKERS if test else others, TEST_PER_CELL if test else TRAIN_PER_CELL)
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "cut.h5"
            with h5py.File(unpacked, "w") as target:
                copy_recordings(source, target, indices)
            packed = lzma.compress(unpacked.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    target_path.write_bytes(packed)
    return indices.size


def sha256(path):
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while section := file.read(SECTION):
            digest.update(section)
    return digest.hexdigest()


def check(folder):
    """Compare the files in `folder` with the checksums in the loader; returns the number of files that differ."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from eventsnn.data.spoken_digits import CHECKSUMS

    wrong = 0
    for name, expected in CHECKSUMS.items():
        path = folder / name
        found = sha256(path) if path.is_file() else "missing"
        wrong += found != expected
        print(f"{'ok' if found == expected else 'WRONG'}  {name}  {found}")
    return wrong


def main(arguments=None):
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?", type=Path, help="shd_rebuilt_train.h5, unpacked")
    parser.add_argument("test", nargs="?", type=Path, help="shd_rebuilt_test.h5, unpacked")
    parser.add_argument("--into", type=Path, default=Path(__file__).resolve().parent, help="folder of the packed files")
    parser.add_argument("--check", action="store_true", help="only compare the packed files with their checksums")
    options = parser.parse_args(arguments)
    if options.check:
        return 1 if check(options.into) else 0
    if options.train is None or options.test is None:
        parser.error("give TRAIN.h5 and TEST.h5, or --check")
    for source, name in ((options.train, "train"), (options.test, "test")):
        target = options.into / f"spoken_digits_{name}.h5.xz"
        count = cut(source, target, test=name == "test")
        print(f"{sha256(target)}  {target.name}  {count} recordings, {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
