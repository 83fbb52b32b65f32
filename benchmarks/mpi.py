"""What a training step costs on one rank and on several, and what it moves; see docs/how-to/train-over-mpi.md.

Run: python benchmarks/mpi.py [--ranks 1 2] [--samples 32] [--steps 4] [--rounds 2]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import networks
import numpy as np

from eventsnn import Adam, Trainer
from eventsnn.data.dataset import Dataset
from eventsnn.engines.cpu.layout import Layout
from eventsnn.engines.problem import Run
from eventsnn.parallel import communicator
from eventsnn.parallel.sharding import Share

N_HIDDEN = 256
MEGABYTES = (0.2, 0.8, 4.0)
REPEATS = 30


def time_steps(n_samples, n_steps):
    """Least seconds and the bytes moved of a training step of ``n_samples``; the first step is not counted."""
    task = networks.recurrent(N_HIDDEN, n_samples=n_samples)
    data = Dataset(task.batch, task.labels, networks.CHANNELS, networks.CLASSES, task.duration)
    team, seen = communicator.world(), []

    def note(trainer, kind, values):
        if kind == "step":
            seen.append((time.perf_counter(), getattr(team, "bytes_moved", 0)))

    trainer = Trainer(
        task.network, task.parameters, loss=task.loss, optimizer=Adam(1e-3), batch_size=n_samples, n_threads=1,
        progress=False, callbacks=[note],
    )  # fmt: skip
    trainer.fit(data, epochs=n_steps + 1)
    steps = np.diff(np.array(seen), axis=0)
    return steps[:, 0].min(), steps[:, 1].min(), trainer


def time_alone(trainer):
    """Seconds of what every rank does for itself in each step: laying the parameters out, and the update."""
    network, parameters = trainer.network, trainer.parameters
    gradients = {name: np.ones_like(parameters[name]) for name in network.trainable}
    state = trainer.optimizer.initialize(parameters, names=network.trainable)
    return [
        least(lambda: Layout(network, parameters, Run(networks.SECOND, {}))),
        least(lambda: trainer.optimizer.step(parameters, gradients, state)),
    ]


def time_sums():
    """Least seconds to add one array per rank and have the sum everywhere, for each of MEGABYTES."""
    team, found = communicator.world(), []
    for size in MEGABYTES:
        mine, room = np.ones(round(size * 1e6 / 8)), np.empty(round(size * 1e6 / 8))
        share = Share(team.size, team, team.size)
        found.append(least(lambda: share.add(iter([(mine,)]), lambda: (room,), lambda arrays: None)))  # noqa: B023
    return found


def least(compute):
    """Least seconds of a call that all ranks make together."""
    team, seconds = communicator.world(), []
    for _ in range(REPEATS):
        team.add(np.zeros(1, np.int64))
        start = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def work(options):
    """On each rank: measure; rank 0 prints what it found as JSON."""
    seconds, moved, trainer = time_steps(options.samples, options.steps)
    found = {"step": seconds, "moved": moved, "alone": time_alone(trainer), "sums": time_sums()}
    if communicator.launched_rank() == 0:
        print(json.dumps(found))


def start(n_ranks, n_samples, n_steps):
    """A process, or several ranks, that measure."""
    command = [sys.executable, __file__, "--work", "--samples", str(n_samples), "--steps", str(n_steps)]
    launcher = ["mpiexec", "-n", str(n_ranks)] if n_ranks > 1 else []
    return subprocess.Popen([*launcher, *command], stdout=subprocess.PIPE, text=True)


def measure(n_ranks, options):
    """What ``work`` finds on so many ranks, and the step of as many processes that share the batch but never talk.

    These say what the cores, the caches and other users of the machine leave to win.
    """
    found = json.loads(start(n_ranks, options.samples, options.steps).communicate()[0])
    apart = [start(1, options.samples // n_ranks, options.steps) for _ in range(n_ranks)]
    return found | {"apart": max(json.loads(process.communicate()[0])["step"] for process in apart)}


def main():
    """Measure each number of ranks in turn, several rounds, and print the least of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="numbers of ranks (default 1 2)")
    parser.add_argument("--samples", type=int, default=32, help="samples of a step (default 32)")
    parser.add_argument("--steps", type=int, default=4, help="steps per measurement (default 4)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of which the least counts (default 2)")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = {n: [] for n in options.ranks}
    for _ in range(options.rounds):
        for n in options.ranks:
            found[n].append(measure(n, options))
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.machine()}, {cores} cores; {N_HIDDEN} hidden, batch of {options.samples}, one thread per rank\n")
    sizes = " | ".join(f"sum of {size} MB" for size in MEGABYTES)
    print(f"| ranks | step | speed | speed without talking | moved per step and rank | layout | update | {sizes} |")
    print("|---" * (7 + len(MEGABYTES)) + "|")
    first = min(one["step"] for one in found[options.ranks[0]])
    for n, rounds in found.items():
        step, apart, moved = (min(one[key] for one in rounds) for key in ("step", "apart", "moved"))
        layout, update = np.min([one["alone"] for one in rounds], axis=0) * 1e3
        sums = " | ".join(f"{ms:.2f} ms" for ms in np.min([one["sums"] for one in rounds], axis=0) * 1e3)
        print(
            f"| {n} | {step * 1e3:.0f} ms | {first / step:.2f} | {first / apart:.2f} | {moved / 1e6:.2f} MB "
            f"| {layout:.1f} ms | {update:.1f} ms | {sums} |"
        )


if __name__ == "__main__":
    main()
