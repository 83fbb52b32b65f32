"""What tests/parallel/test_mpi.py runs on one or more ranks: python mpi_program.py WHAT FOLDER.

Each rank R works in a folder of its own, FOLDER/rankR, as if hosts shared no files, and leaves FOLDER/outcomeR.json.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eventsnn import InvalidInput, Network, SpikeBatch, value_and_grad
from eventsnn.losses import FirstSpike, MaxVoltage
from eventsnn.network import Normal, Uniform
from eventsnn.optimizers import Adam
from eventsnn.parallel import communicator
from eventsnn.parallel.sharding import Share
from eventsnn.spikes import Cotangents
from tests.training.tasks import EPOCHS, HANG, OPTIONS, TRAIN, VALIDATION, make_trainer


@dataclass(frozen=True)
class EverythingCoupled:
    """A regularizer whose value for each sample depends on all samples, by everything that a recording holds."""

    def probes(self, network, duration):
        return {}

    def __call__(self, recording, labels):
        counts = recording.spike_counts("output")
        others = recording.inputs["input"].times.max() + recording.counters.events.max() + recording.slopes.sum()
        values = np.full(recording.n_samples, 1e-6 * (counts.max() * others + recording.neurons.sum()))
        return values, Cotangents(counts={"output": 1e-6 * others * (counts - counts.mean())})


def spiking_network():
    network = Network()
    network.add_input("input", 6)
    network.add_lif("output", 2, tau_mem=20.0, tau_syn=5.0)
    network.connect("input", "output", weight=Normal(1.5, 0.5), delay=Uniform(0.0, 10.0))
    return network


def cases():
    """{name: Trainer}: what couples samples, what gathers spikes, batches with fewer samples than ranks."""
    plain = replace(OPTIONS, silent_raise=())
    coupled = replace(plain, regularizers=(EverythingCoupled(),), batch_size=7)
    return {
        "whole": lambda **more: make_trainer(**more),
        "uneven": lambda **more: make_trainer(replace(plain, batch_size=4, patience=1), loss=MaxVoltage(), **more),
        "spikes": lambda **more: make_trainer(coupled, loss=FirstSpike(), network=spiking_network(), **more),
        "shards": lambda **more: make_trainer(replace(plain, shards=5), optimizer=Adam(0.02), **more),
    }


def outcome(trainer):
    """What this rank ends with, as JSON; wall-clock seconds are left out."""
    result = trainer.evaluate(VALIDATION)
    return {
        "parameters": {name: values.tobytes().hex() for name, values in trainer.parameters.items()},
        "history": [{**record, "seconds": 0} for record in trainer.history.records],
        "evaluation": [repr(result.loss), result.accuracy, repr(result.spikes_per_neuron)],
        "predictions": trainer.predict(VALIDATION.spikes).tolist(),
    }


def train(rank):
    found = {}
    for name, make in cases().items():
        trainer = make(checkpoint=name, n_threads=None)
        trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
        found[name] = outcome(trainer)
    return found


def resume(rank):
    trainer = make_trainer(checkpoint="checkpoint")
    trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    return outcome(trainer)


def slow(rank):
    """Leaves time to be killed or interrupted between and within steps, as long as it takes on a busy machine."""

    def slowly(trainer, kind, values):
        Path(f"../pid{rank}").write_text(str(os.getpid()))
        time.sleep(0.05 if values.get("step", 0) < 4 else HANG)

    make_trainer(checkpoint="checkpoint", checkpoint_every=1, callbacks=[slowly]).fit(TRAIN, VALIDATION, epochs=EPOCHS)


def fail(rank):
    """Rank 1 alone fails where nothing carries its error to the others."""

    def fails(trainer, kind, values):
        if rank == 1 and values.get("step") == 2:
            raise ValueError("on purpose")

    make_trainer(checkpoint="checkpoint", callbacks=[fails]).fit(TRAIN, VALIDATION, epochs=EPOCHS)


def leave(rank):
    """Rank 1 alone ends its program in the middle, with the exit code that the folder's file says."""
    code = int(Path("../code").read_text())

    def leaves(trainer, kind, values):
        if rank == 1 and values.get("step") == 2:
            sys.exit(code)

    make_trainer(checkpoint="checkpoint", callbacks=[leaves]).fit(TRAIN, VALIDATION, epochs=EPOCHS)


def linger(rank):
    """Rank 1 is done long before rank 0 is: nobody waits for it, so nothing is wrong."""
    communicator.world().gather_rows(np.zeros(1))
    if rank == 0:
        time.sleep(2.0)
    return "done"


def raised(compute):
    """The error of a call, as (class, message, attributes)."""
    try:
        compute()
    except Exception as error:
        return [type(error).__name__, str(error), vars(error)]
    raise AssertionError("nothing was raised")


def talk(rank):
    """The communicator itself, on several ranks: errors that travel, turns, rows, what rank 0 loads, threads."""
    team = communicator.world()

    def divide():
        return 1 / (rank != 1)

    def refuse():
        if rank == 1:
            raise InvalidInput("array", 3, 4.5, "less", "Write less.")

    times = []
    team.in_turns(lambda: times.extend([time.monotonic(), time.sleep(0.05), time.monotonic()]))
    times = team.gather_rows(np.array([times[::2]]))
    arrays, value = team.load_on_first(lambda: ({"a": np.arange(3.0), "b": np.ones((0, 2), bool)}, {"rank": rank}))
    return {
        "alone at first": bool(times[0, 1] <= times[1:, 0].min()),
        "first": team.on_first(lambda: rank),
        "loaded": [{name: [array.dtype.str, array.tolist()] for name, array in arrays.items()}, value],
        "rows": team.gather_rows(np.arange(rank)).tolist(),
        "sum": team.add(np.array([1, rank])).tolist(),
        "refused": raised(lambda: team.together(refuse)),
        "divided": raised(lambda: team.together(divide)),
        "differ": raised(lambda: team.check_same("the data", bytes([rank // 2]))),
        "storm": raised(lambda: storm(team)),
        "threads": team.resolve_n_threads(),
    }


def storm(team):
    """A batch of which the first two samples are silent: the third is over its budget, on whichever rank it is."""
    network, share, silent = spiking_network(), Share(8, team), ([], [])
    batch = SpikeBatch.from_lists([silent, silent, *TRAIN.spikes[:6]])
    value_and_grad(
        network, network.initialize(0), batch[share.samples], TRAIN.labels[:8], loss=FirstSpike(), duration=60.0,
        max_spikes=1, share=share,
    )  # fmt: skip


def main(what, folder):
    rank = communicator.launched_rank()
    place = Path(folder) / f"rank{rank}"
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    programs = (train, resume, slow, fail, leave, linger, talk)
    found = {program.__name__: program for program in programs}[what](rank)
    assert ("mpi4py" in sys.modules) == (communicator.world().size > 1)
    Path(f"../outcome{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
