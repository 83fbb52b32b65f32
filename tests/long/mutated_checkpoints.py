"""What ``mutated_files`` damages of checkpoints: either generation, of both kinds of network, with checksums or not.

Checksums refuse nearly every damaged byte, so half of the targets put them right again: then it is what the header and
the metadata say that has to be looked at.
"""

import hashlib
import json
import math
import warnings

import numpy as np

from eventsnn import Adam, Network, SpikeBatch, Trainer, checkpoints, load_model
from eventsnn.checkpoints import PREFIX, PREVIOUS
from eventsnn.data.dataset import Dataset
from eventsnn.errors import CheckpointError
from eventsnn.losses import MeanVoltage
from eventsnn.surrogate.network import GridNetwork
from eventsnn.surrogate.spread import Spread
from eventsnn.training import load_history

DATA = Dataset(SpikeBatch.from_lists([([1.0, 2.0], [0, 1]), ([2.0], [1]), ([3.0], [0])]), [0, 1, 0], 2, 2, 20.0)
EPOCHS = 2


def event_driven():
    """A network whose description holds lists long enough to be stored as arrays."""
    network, rng = Network(), np.random.default_rng(0)
    network.add_input("in", 2)
    network.add_lif("hidden", 40, tau_mem=rng.uniform(10.0, 20.0, 40), train=("tau_mem",))
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=9.0, delay=1.0)
    network.connect("hidden", "hidden", weight=rng.normal(0, 0.1, (40, 40)), delay=2.0, mask=rng.random((40, 40)) < 0.9)
    network.connect("hidden", "out", weight=1.0)
    return network


def on_a_grid():
    network, rng = GridNetwork(1.0), np.random.default_rng(0)
    network.add_input("in", 2)
    network.add_lif("hidden", 40, batch_norm=True)
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=3.0, delay=2.0, spread=Spread("triangle", 2.0))
    network.connect("hidden", "hidden", weight=rng.normal(0, 0.1, (40, 40)), mask=rng.random((40, 40)) < 0.9)
    network.connect("hidden", "out", weight=1.0)
    return network


def trainer(network, path):
    return Trainer(
        network, network.initialize(), loss=MeanVoltage(), optimizer=Adam(1e-3), checkpoint=path, progress=False,
        n_threads=1, batch_size=2, average=None if isinstance(network, GridNetwork) else 0.9,
    )  # fmt: skip


def read(describe):
    """``read`` of a run: all that is made of a checkpoint, up to where training would go on."""

    def read_run(path):
        path = path.with_name(path.name.removesuffix(PREVIOUS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the generation before was loaded
            load_history(path)
            load_model(path)
            trainer(describe(), path).fit(DATA, DATA, epochs=EPOCHS, resume=True)

    return read_run


def make(describe, generation=""):
    """``make`` of a run's folder; ``generation``: of the checkpoint that is damaged, PREVIOUS where it is the only."""

    def make_run(folder):
        path = folder / "checkpoint"
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trainer(describe(), path).fit(DATA, DATA, epochs=EPOCHS)
        if generation:
            path.replace(folder / f"checkpoint{PREVIOUS}")
        return folder / f"checkpoint{generation}"

    return make_run


def alone(made):
    """The same without a generation before, which would be read in place of a damaged file."""

    def make_alone(folder):
        path = made(folder)
        for other in folder.iterdir():
            if other != path:
                other.unlink()
        return path

    return make_alone


def with_checksums(data):
    """The file with checksums of what it holds, as far as its parts can be told apart."""
    try:
        magic, version, length, _ = PREFIX.unpack(data[: PREFIX.size])
        header, place = json.loads(data[PREFIX.size : PREFIX.size + length]), PREFIX.size + length
        entries = [*header["arrays"], *header.get("lists", [])]
        sizes = [header["meta"]["bytes"], *(math.prod(e["shape"]) * np.dtype(e["dtype"]).itemsize for e in entries)]
        for entry, size in zip([header["meta"], *entries], sizes, strict=True):
            entry["sha256"] = hashlib.sha256(data[place : place + size]).hexdigest()
            place += size
        text = json.dumps(header).encode()
        prefix = PREFIX.pack(magic, version, len(text), hashlib.sha256(text).digest())
    except Exception:  # whatever is wrong with it: it is a damaged file
        return data
    return prefix + text + data[PREFIX.size + length :]


def plain(path):
    arrays, meta = checkpoints.load(path)
    assert isinstance(arrays, dict) and isinstance(meta, dict)


def make_plain(folder):
    checkpoints.save(folder / "checkpoint", {"w": np.arange(3.0), "b": np.array(True)}, {"a": [0.5] * 1_500, "k": [1]})
    return folder / "checkpoint"


def target(made, reader, **more):
    return {"make": made, "read": reader, "allowed": (CheckpointError,), **more}


TARGETS = {
    "checkpoint": target(make(event_driven), read(event_driven)),
    "checkpoint-previous": target(make(event_driven, PREVIOUS), read(event_driven)),
    "checkpoint-forged": target(alone(make(event_driven)), read(event_driven), pack=with_checksums),
    "checkpoint-grid": target(alone(make(on_a_grid)), read(on_a_grid), pack=with_checksums),
    "checkpoint-plain": target(make_plain, plain, pack=with_checksums),
}
