"""How much memory this process has held."""

import os
import sys
from pathlib import Path

MEGABYTE = 1e6


def proc_figure(path: str | os.PathLike[str], key: str) -> int | None:
    """A figure in bytes that a file of /proc gives in kB; None where there is no such file or no such line."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(key + ":")]
    return 1024 * int(found[0]) if found else None


def peak_memory() -> int | None:
    """Most bytes of memory held since the start of the process or ``forget_peak``; None where the system is silent."""
    # a process inherits ru_maxrss from the one that started it, so /proc goes first
    peak = proc_figure("/proc/self/status", "VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> bool:
    """Start the peak of memory anew; return False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
