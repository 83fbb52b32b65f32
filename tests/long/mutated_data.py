"""What ``mutated_files`` damages of the readers of data: spike files, archives, pictures, sounds and presets."""

import gzip
import io
import random
import zipfile

import h5py
import numpy as np
from scipy.io import wavfile

from eventsnn import experiments
from eventsnn.cli.text import to_toml
from eventsnn.data import hdf5
from eventsnn.data.dataset import Dataset
from eventsnn.data.sets import mnist, speech_commands
from eventsnn.data.sets.braille import load_braille, load_braille_analog
from eventsnn.data.sets.mnist import load_sequential_mnist
from eventsnn.errors import InvalidInput, UnsafeFile
from eventsnn.spikes import SpikeBatch

REFUSED = (InvalidInput, UnsafeFile)


def spike_file(**options):
    """``make`` of a spike file in SHD's layout, with storage and filters of its plain data sets."""
    libver, chunks = options.pop("libver", None), options.pop("chunks", None)

    def make(folder):
        rng = np.random.default_rng(0)
        with h5py.File(folder / "spikes.h5", "w", libver=libver) as file:
            for name, dtype in (("times", np.float16), ("units", np.uint16)):
                rows = file.create_dataset(f"spikes/{name}", (6,), h5py.vlen_dtype(dtype), chunks=chunks)
                for index in range(6):
                    values = rng.random(5 + index) if name == "times" else rng.integers(0, 50, 5 + index)
                    rows[index] = values.astype(dtype)
            file.create_dataset("labels", data=np.arange(6, dtype=np.uint16) % 3, **options)
            file.create_dataset("extra/speaker", data=np.arange(6, dtype=np.uint16) % 2, **options)
            file["extra/keys"] = np.array(["zero", "one", "two"], "S5")
        return folder / "spikes.h5"

    return make


def own_file(folder):
    """One of ours, with rows that were never written and items that are not used beside those that are."""
    batch = SpikeBatch.from_lists([([5.0, 3.5], [1, 7]), ([], []), ([20.25], [3])])
    hdf5.write(folder / "spikes.h5", Dataset(batch, [0, 1, 1], 50, 2, 30.0, groups=[4, 5, 4]))
    with h5py.File(folder / "spikes.h5", "a") as file:
        del file["labels"]
        file["labels"] = np.array([False, True, True])
        file["extra/pairs"] = np.zeros(3, [("x", "f4"), ("y", "f4")])
        file["extra/notes"] = ["of", "any", "length"]
        file["alias"] = h5py.SoftLink("/labels")
        file.create_dataset("extra/rows", (4,), h5py.vlen_dtype("f4"), chunks=(2,))[3] = [1.0, 2.0]
    return folder / "spikes.h5"


def read_spike_file(path):
    """All ways to read one, the first refusal kept to the last so that none is left out."""
    refusals = []
    for read in (
        lambda: hdf5.read(path, n_units=50),
        lambda: hdf5.read(path, packed=True),
        lambda: hdf5.describe(path),
    ):
        try:
            read()
        except REFUSED as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def archive(**change):
    arrays = {"labels": np.array([0, 26, 5], np.uint8), "letters": np.array([f"letter {k}" for k in range(27)])}
    return {**arrays, **change}


CODED = archive(
    times=np.array([0.2, 0.1, 0.5, 1.25], np.float32),
    channels=np.array([3, 23, 0, 5], np.uint8),
    counts=np.array([2, 0, 2], np.int32),
)
ANALOG = archive(
    taxels=np.random.default_rng(0).integers(0, 255, (40, 12)).astype(np.uint8), lengths=np.array([20, 0, 20])
)


def archived(arrays, save):
    def make(folder):
        save(folder / "letters.npz", **arrays)
        return folder / "letters.npz"

    return make


def member(arrays, name):
    """``make`` of one array of an archive as it is before it is archived, and what archives it with the others."""

    def make(folder):
        np.save(folder / "letters.npy", arrays[name])
        (folder / "letters.npy").rename(folder / "letters.npz")
        return folder / "letters.npz"

    def pack(data):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as files:
            for other, array in arrays.items():
                raw = io.BytesIO()
                np.save(raw, array)
                files.writestr(f"{other}.npy", data if other == name else raw.getvalue())
        return packed.getvalue()

    return {"make": make, "pack": pack}


def idx(array):
    head = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


def pictures(mutated, suffix="", store=bytes):
    """``make`` of MNIST's four files; ``mutated`` is the one to be damaged, and ``store`` what it is packed with."""

    def make(folder):
        mnist.N_TRAIN = 4
        rng = np.random.default_rng(0)
        for part, n in (("train", 6), ("t10k", 2)):
            images, labels = rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n)
            for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
                raw, chosen = idx(array), name == mutated
                (folder / (name + suffix * chosen)).write_bytes(store(raw) if chosen else raw)
        return folder / (mutated + suffix)

    return make


def sound(folder):
    time = np.arange(2000) / speech_commands.RATE
    wavfile.write(folder / "word.wav", speech_commands.RATE, (10_000 * np.sin(2500 * time)).astype(np.int16))
    return folder / "word.wav"


def preset(folder):
    path = folder / "mine.toml"
    path.write_text(to_toml(experiments.named(experiments.names()[0]).to_dict()), encoding="utf-8")
    return path


def short_preset(folder):
    """A short one, so that more of the faults hit what has a meaning."""
    path = folder / "mine.toml"
    path.write_text('base = "spoken-digits"\n[training]\nepochs = 5\n[network]\nhidden = [32, 16]\n', encoding="utf-8")
    return path


# what a setting may hold in TOML, of which each type of settings takes little
VALUES = (
    "0", "1", "-1", "1e308", "-1e-300", "nan", "inf", "9" * 400, "0x7fffffffffffffff", "true", '""', '"none"',
    '"learned"', '"\\u0000"', '"../x"', "[]", "[[]]", "[0]", "[nan, inf]", '["kaiming"]', '["uniform", 1]', '[{a = 1}]',
    "{}", "{a = {b = 1}}", "1979-05-27", "07:32:00", "[true]", "[1, [2]]", '[1, "a"]', "[" * 50 + "]" * 50,
)  # fmt: skip


NO_DRAW = bytes(range(16))  # stands for a sound preset


def draw_of_settings(folder):
    (folder / "mine.toml").write_bytes(NO_DRAW)
    return folder / "mine.toml"


def drawn_settings(data):
    """A preset of which some settings, drawn by the damaged bytes, have values of all kinds: faults of meaning."""
    draw, settings = random.Random(data), {}
    description = experiments.named(draw.choice(experiments.names())).to_dict()
    for _ in range(0 if data == NO_DRAW else draw.choice((1, 1, 2, 5))):
        table = draw.choice(list(description))
        keys = list(description[table]) if isinstance(description[table], dict) else []
        place = f"{table}.{draw.choice(keys)}" if keys and draw.random() < 0.9 else draw.choice((table, "base", "x"))
        settings[place] = draw.choice(VALUES)
    return "\n".join(f"{place} = {value}" for place, value in settings.items()).encode()


def target(make, read, **more):
    return {"make": make, "read": read, "allowed": REFUSED, **more}


def read_pictures(path):
    return load_sequential_mnist(path.parent)


def read_analog(path):
    return load_braille_analog(path, 5.0)


TARGETS = {
    "hdf5": target(spike_file(), read_spike_file),
    "hdf5 latest": target(spike_file(libver="latest", chunks=(4,)), read_spike_file),
    "hdf5 gzip": target(spike_file(chunks=(4,), compression="gzip", shuffle=True), read_spike_file),
    "hdf5 lzf": target(spike_file(libver="latest", compression="lzf", fletcher32=True), read_spike_file),
    "hdf5 own": target(own_file, read_spike_file),
    "npz": target(archived(CODED, np.savez), load_braille),
    "npz compressed": target(archived(CODED, np.savez_compressed), load_braille),
    "npz counts": target(read=load_braille, **member(CODED, "counts")),
    "npz times": target(read=load_braille, **member(CODED, "times")),
    "npz analog": target(archived(ANALOG, np.savez), read_analog),
    "npz analog compressed": target(archived(ANALOG, np.savez_compressed), read_analog),
    "npz taxels": target(read=read_analog, **member(ANALOG, "taxels")),
    "idx images": target(pictures("t10k-images-idx3-ubyte"), read_pictures),
    "idx labels": target(pictures("train-labels-idx1-ubyte"), read_pictures),
    "idx gzip": target(pictures("t10k-labels-idx1-ubyte", ".gz"), read_pictures, pack=gzip.compress),
    "idx gzip bytes": target(pictures("t10k-images-idx3-ubyte", ".gz", gzip.compress), read_pictures),
    "wav": target(sound, speech_commands.read_wav),
    "toml": target(preset, experiments.load),
    "toml short": target(short_preset, experiments.load),
    "toml values": target(draw_of_settings, experiments.load, pack=drawn_settings),
}
