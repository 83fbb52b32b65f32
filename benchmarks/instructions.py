"""Check that no change has made the kernels execute more than 10 % more instructions per synaptic event.

Instructions hardly vary between runs or between machines of one kind, unlike seconds. They are counted by valgrind,
for kernels compiled for a fixed processor that valgrind knows. Once all is loaded and warm, the process forks: one
fork runs both passes a few times, another more often, and the difference is theirs alone: what only the first run in a
process costs is in both. The baseline is instructions.json beside this file.

Run: python benchmarks/instructions.py [--update]
"""

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import costs
import networks
from report import Table

HERE = Path(__file__).resolve().parent
BASELINE = HERE / "instructions.json"
ALLOWED = 0.10
# Haswell: the last instructions that valgrind knows, and that any x86-64 processor since 2013 has.
PROCESSOR = "haswell"
FEATURES = (
    "+64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fsgsbase,+fxsr,+invpcid,+lzcnt,+mmx,+movbe,+popcnt,"
    "+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave,+xsaveopt"
)
ENVIRONMENT = {
    "NUMBA_CPU_NAME": PROCESSOR,
    "NUMBA_CPU_FEATURES": FEATURES,
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
SECONDS = 1200
FEW, MANY = 2, 12
WORKLOADS = {
    "rec 64, per synapse": lambda: networks.recurrent(64, "synapse", n_samples=1, duration=150.0),
    "rec 64, axonal": lambda: networks.recurrent(64, "neuron", n_samples=1, duration=150.0),
    "5-100-3, per synapse": lambda: networks.yin_yang(100, "synapse", n_samples=64),
}
COUNT = re.compile(r"==(\d+)== I\s+refs:\s+([\d,]+)")


def prepared():
    """{workload: its passes, each of which has run before}."""
    passes = {name: costs.Passes(build()) for name, build in WORKLOADS.items()}
    for one in passes.values():
        one.forward()
        one.backward()
    return passes


def in_a_fork(passes, repeats):
    """Run both passes ``repeats`` times in a fork of this process, which then ends; returns its number."""
    process = os.fork()
    if process == 0:
        for _ in range(repeats):
            passes.forward()
            passes.backward()
        os._exit(0)
    os.waitpid(process, 0)
    return process


def work():
    """What is run under valgrind: {workload: [processes that ran it ``FEW`` and ``MANY`` times, synaptic events]}."""
    found = {}
    # a collection would fall into one workload or another by chance
    gc.disable()
    for name, passes in prepared().items():
        processes = [in_a_fork(passes, repeats) for repeats in (FEW, MANY)]
        found[name] = [*processes, int(passes.recording.counters.events.sum())]
    return found


def unavailable():
    """Why instructions cannot be counted here, None if they can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"the baseline is for x86-64, and this is {platform.machine()}"
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    return None


def _worker(cache, before=()):
    """The finished process of ``work``, started by the command ``before``."""
    command = [*before, sys.executable, str(Path(__file__).resolve()), "--work"]
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    own = {"EVENTSNN_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment = os.environ | ENVIRONMENT | own
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-4000:]}")
    return result


def counts_of(report):
    """{process: instructions} from what valgrind says of itself and of its forks."""
    return {int(process): int(count.replace(",", "")) for process, count in COUNT.findall(report)}


def instructions_per_event():
    """{workload: instructions of both passes per synaptic event}; raises RuntimeError where the cache was not used."""
    # without a simulated cache cachegrind counts instructions as callgrind does, in half the time
    counter = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    with tempfile.TemporaryDirectory() as cache:
        # this run fills the cache: compiling under valgrind would take fifty times as long
        _worker(cache)
        filled = _files(cache)
        result = _worker(cache, counter)
        if _files(cache) != filled:
            raise RuntimeError("the kernels were compiled anew under valgrind: the counts mean nothing")
    counts = counts_of(result.stderr)
    return {
        name: (counts[busy] - counts[idle]) / ((MANY - FEW) * events)
        for name, (idle, busy, events) in json.loads(result.stdout).items()
    }


def _files(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in Path(folder).rglob("*") if path.is_file())


def compare(counted, baseline):
    """Table of counts beside those of the baseline, and the names of the workloads that lost more than 10 %."""
    rows, lost = [], []
    for name, now in counted.items():
        before = baseline.get(name)
        change = None if before is None else now / before - 1
        rows.append({"workload": name, "baseline": before, "now": now, "change": change})
        if change is not None and change > ALLOWED:
            lost.append(name)
    columns = {"workload": ("workload", ""), "baseline": ("baseline", ".1f"), "now": ("now", ".1f")}
    columns["change"] = ("change", "+.1%")
    return Table("instructions", "Instructions per synaptic event, forward and backward", columns, rows), lost


def main(arguments=None):
    """Count, compare and print; returns the exit status, 1 where more than 10 % were lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="make what is counted now the baseline")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        print(json.dumps(work()))
        return 0
    if (reason := unavailable()) is not None:
        print(f"skipped: {reason}")
        return 0
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    counted = instructions_per_event()
    table, lost = compare(counted, baseline)
    print(table.markdown())
    if options.update:
        BASELINE.write_text(json.dumps({name: round(value, 2) for name, value in counted.items()}, indent=1) + "\n")
        print(f"written to {BASELINE.name}")
        return 0
    if lost:
        print(f"more than {ALLOWED:.0%} more instructions: {', '.join(lost)}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
