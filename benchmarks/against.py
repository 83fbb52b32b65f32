"""Time this checkout against an earlier commit: both in turn, in one run, on one thread.

Speed changes by a third from hour to hour on a shared machine; a ratio of two processes that take turns does not. The
commit is unpacked beside the checkout, with its own cache of kernels; both are asked for the same steps of the same
networks, by what every release has: ``simulate`` and ``value_and_grad``, Python and layout included.

Run: python benchmarks/against.py COMMIT [--pairs 25] [--only WORD] [--first-call]
"""

import argparse
import contextlib
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import networks

HERE = Path(__file__).resolve().parent
WORKLOADS = {
    # where Python takes longer for a step than the kernels do
    "Yin-Yang 100, batch 1": lambda: networks.yin_yang(100, n_samples=1),
    "chain 5-3-2, batch 1": networks.chain,
    "rec 128": lambda: networks.recurrent(128, n_samples=8),
    "rec 256": lambda: networks.recurrent(256, n_samples=8),
    "rec 512": lambda: networks.recurrent(512, n_samples=4),
    "rec 256, delays to 300 ms": lambda: networks.recurrent(256, n_samples=4, longest=300.0),
    "rec 256, 90 Hz": lambda: networks.recurrent(256, n_samples=2, drive=0.03),
    "128 neurons, 128 ms": lambda: networks.recurrent(128, n_samples=32, duration=128.0),
    "700-256-256-20": lambda: networks.feed_forward(n_samples=4),
    "rec 256, axonal": lambda: networks.recurrent(256, "neuron", n_samples=2),
    "Yin-Yang 100, batch 32": lambda: networks.yin_yang(100, n_samples=32),
    "Yin-Yang 100, batch 256": lambda: networks.yin_yang(100, n_samples=256),
    "Yin-Yang 100, tau_syn 6 ms": lambda: networks.yin_yang(100, n_samples=256, tau_syn=6.0),
    "Yin-Yang 200, batch 256": lambda: networks.yin_yang(200, n_samples=256),
    "sparse, no delays": lambda: networks.sparse_rows(),
    "sparse, zero delays": lambda: networks.sparse_rows("synapse"),
    "10,000 sparse": lambda: networks.scaled(10_000, True, duration=100.0),
    "100,000 sparse": lambda: networks.scaled(100_000, True, duration=100.0),
}
COLUMNS = {
    "workload": ("workload", ""),
    "before": ("before, ms", ".2f"),
    "now": ("now, ms", ".2f"),
    "minima": ("ratio of minima", ".3f"),
    "median": ("median of ratios", ".3f"),
}


def step(task, forward):
    """One forward pass of a task, or one step with gradients."""
    from eventsnn import simulate, value_and_grad

    if forward:
        return simulate(task.network, task.parameters, task.batch, duration=task.duration, n_threads=1)
    return value_and_grad(
        task.network, task.parameters, task.batch, task.labels, loss=task.loss, duration=task.duration, n_threads=1
    )


def answer():
    """Time what is asked for, line by line: "WORKLOAD: forward" or "WORKLOAD: step"; says the seconds."""
    tasks = {}
    for line in sys.stdin:
        name, _, kind = line.strip().rpartition(": ")
        task = tasks.get(name) or tasks.setdefault(name, WORKLOADS[name]())
        gc.collect()
        start = time.perf_counter()
        step(task, kind == "forward")
        print(time.perf_counter() - start, flush=True)


class Side:
    """A process with one of the two versions of the package; it ends with the ``with`` in which it is."""

    def __init__(self, root, cache):
        self._root, self._said = root, tempfile.TemporaryFile("w+", errors="replace")
        environment = os.environ | {"PYTHONPATH": str(root), "EVENTSNN_CACHE": str(cache)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "--answer"], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # what it is at is of use to nobody
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._said):
            # what was not yet sent to a process that has ended cannot be sent
            with contextlib.suppress(BrokenPipeError):
                file.close()

    def seconds(self, question):
        """The seconds that it took; raises RuntimeError, with what the process said, where it has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            raise RuntimeError(f"{question!r} ended the process with {self._root}, which said:\n{self._said.read()}")
        return float(line)


def unpack(commit, folder):
    """Write the package of a commit to a folder; it must be one that this checkout knows."""
    archive = subprocess.run(
        ["git", "-C", str(HERE.parent), "archive", commit, "eventsnn"], capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)


def paired(sides, question, pairs):
    """[(seconds before, seconds now), ...] in turn; each version begins every other time."""
    taken = []
    for number in range(pairs):
        order = ("before", "now") if number % 2 else ("now", "before")
        found = {name: sides[name].seconds(question) for name in order}
        taken.append((found["before"], found["now"]))
    return taken


def row(name, pairs):
    """The row of a table: times in ms, and before : now."""
    before, now = (min(values) for values in zip(*pairs, strict=True))
    ratios = [one / other for one, other in pairs]
    times = {"before": 1e3 * before, "now": 1e3 * now}
    return {"workload": name, **times, "minima": before / now, "median": statistics.median(ratios)}


def all_rows(sides, names, pairs):
    """The rows of the workloads with these names, forward and with gradients; the first call of each is not timed."""
    rows = []
    for question in (f"{name}: {kind}" for name in names for kind in ("forward", "step")):
        for side in sides.values():
            side.seconds(question)
        rows.append(row(question, paired(sides, question, pairs)))
        print(f"{question}: {rows[-1]['minima']:.3f}", file=sys.stderr, flush=True)
    return rows


def first_calls(roots, folder, repeats=2):
    """The row of the first step of all, in an empty cache: kernels are compiled."""
    pairs = []
    for number in range(repeats):
        found = {}
        for name, root in roots.items():
            with Side(root, folder / f"empty {name} {number}") as side:
                found[name] = side.seconds("Yin-Yang 100, batch 32: step")
        pairs.append((found["before"], found["now"]))
    return row("first call, empty cache", pairs)


def main(arguments=None):
    """Time and print; returns the Table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit", nargs="?", help="what to compare with")
    parser.add_argument("--pairs", type=int, default=25, help="how often each is timed (default 25)")
    parser.add_argument("--only", default="", help="workloads whose names hold this word")
    parser.add_argument("--first-call", action="store_true", help="the first call in an empty cache as well")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.answer:
        return answer()
    # here, as the commit's process need not have what draws tables
    from report import Table

    if chosen.commit is None:
        parser.error("which commit? For instance: python benchmarks/against.py HEAD~1")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "before").mkdir()
        unpack(chosen.commit, folder / "before")
        roots = {"before": folder / "before", "now": HERE.parent}
        with contextlib.ExitStack() as open_sides:
            sides = {
                name: open_sides.enter_context(Side(root, folder / f"cache {name}")) for name, root in roots.items()
            }
            rows = all_rows(sides, [name for name in WORKLOADS if chosen.only in name], chosen.pairs)
        if chosen.first_call:
            rows.append(first_calls(roots, folder))
    table = Table("against", f"Against {chosen.commit}, one thread", COLUMNS, rows)
    print(table.markdown())
    return table


if __name__ == "__main__":
    main()
