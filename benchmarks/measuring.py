"""Clocks, memory and processes: how a figure is taken, and on what machine."""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import llvmlite
import llvmlite.binding
import numba
import numpy as np

import eventsnn
from eventsnn.experiments.memory import peak_memory, proc_figure

HERE = Path(__file__).resolve().parent
PROCESS_SECONDS = 600


class Timing(NamedTuple):
    """Seconds of one call: the least and the median of its repeats."""

    least: float
    median: float


def seconds(function, *arguments, **options):
    """(wall seconds, result) of one call."""
    start = time.perf_counter()
    result = function(*arguments, **options)
    return time.perf_counter() - start, result


def interleaved(functions, settings):
    """{name: Timing} of functions without arguments, called in turn, so that a slow hour is slow for all of them.

    Each is called once before, to compile. ``settings``: its ``repeats`` are cut short after its ``seconds``.
    """
    taken = {name: [] for name in functions}
    for function in functions.values():
        function()
    end = time.perf_counter() + settings.seconds
    for repeat in range(settings.repeats):
        if repeat > 0 and time.perf_counter() > end:
            break
        for name, function in functions.items():
            taken[name].append(seconds(function)[0])
    return {name: Timing(min(values), statistics.median(values)) for name, values in taken.items()}


def in_own_process(module, function, *arguments, **environment):
    """The result of ``module.function(*arguments)`` in a fresh process; arguments and result pass through JSON."""
    code = "import importlib, json, sys; sys.path.insert(0, sys.argv[1]); module, function = sys.argv[2:4]; "
    code += "print(json.dumps(getattr(importlib.import_module(module), function)(*json.loads(sys.argv[4]))))"
    command = [sys.executable, "-c", code, str(HERE), module, function, json.dumps(arguments)]
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PROCESS_SECONDS)
    if result.returncode != 0:
        raise RuntimeError(f"{module}.{function}{arguments} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


# ------------------------------------------------------------------------------------------------------- memory


def held_memory():
    """Bytes of memory that this process holds now; where the system does not say, the most that it has held."""
    held = proc_figure("/proc/self/status", "VmRSS")
    return peak_memory() if held is None else held


def free_memory():
    """Bytes that can be had without swapping; None where the system does not say."""
    return proc_figure("/proc/meminfo", "MemAvailable")


# ------------------------------------------------------------------------------------------------------ machine


def n_cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_line(path, key):
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def _caches():
    """{"L1 data": "32K", ...} of the first core, as Linux tells it."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        sizes[f"L{level}" if kind == "Unified" else f"L{level} {kind.lower()}"] = size
    return sizes


def machine():
    """What the figures were taken on: processor, cores, caches, memory, system."""
    memory = proc_figure("/proc/meminfo", "MemTotal")
    return {
        "processor": _first_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "target": llvmlite.binding.get_host_cpu_name(),
        "cores": n_cores(),
        "caches": _caches(),
        "memory_gb": None if memory is None else round(memory / 1e9, 1),
        "system": platform.system(),
    }


def versions():
    """Versions of all that makes the figures, and the commit where git knows one."""
    found = {"Python": platform.python_version(), "NumPy": np.__version__, "Numba": numba.__version__}
    found["LLVM"] = ".".join(map(str, llvmlite.binding.llvm_version_info))
    found["llvmlite"], found["eventsnn"] = llvmlite.__version__, eventsnn.__version__
    commit = _commit()
    return found | ({"commit": commit} if commit else {})


def _commit():
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def today():
    """Today's date, UTC, as 2024-12-31."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()
