"""eventsnn info: what a file of spikes holds."""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoints
from ..errors import said_as
from .text import UsageError, program
from .train import first_checkpoint

TIME_UNITS = ("s", "ms", "us", "ns")
NOT_READ_AT_MOST = 10  # lines of ``info`` about what in a file is not read


def info_command(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from ..data import sources
    from ..data.dataset import find_file

    if checkpoints.exists(first_checkpoint(Path(arguments.file))):
        commands = " and ".join(f"`{shlex.join([program(), word, arguments.file])}`" for word in ("evaluate", "plot"))
        raise UsageError(f"{arguments.file} is the folder of a run: {commands} look at it; info reads files of spikes")
    path = find_file(arguments.file, "An HDF5 file of spikes in SHD's layout is needed.")
    with said_as({"n_units": "--units"}):
        found = sources.describe(path, arguments.units, arguments.time_unit)
    if arguments.json:
        print(json.dumps(found))
        return
    rates = np.array(found["rates"])
    rows = [
        ("file", found["path"]),
        ("samples", f"{found['samples']:,}"),
        ("spikes", f"{found['spikes']:,}"),
        ("channels", f"{found['n_units']:,}, mean rate {rates.mean() if rates.size else 0.0:.2f} Hz"),
        ("classes", f"{found['n_classes']}" + (f": {', '.join(map(str, found['keys']))}" if found["keys"] else "")),
        ("per class", " ".join(map(str, found["samples_per_class"]))),
        ("last spike", _spread(found["duration"], "ms")),
        ("per sample", _spread(found["spikes_per_sample"], "spikes")),
        ("time unit", _time_unit(found)),
    ]
    if found["samples_per_speaker"]:
        text = " ".join(f"{speaker}:{n}" for speaker, n in found["samples_per_speaker"].items())
        rows.insert(6, ("per speaker", text))
    left_alone = [f"{name if name.isprintable() else ascii(name)} {why}" for name, why in found["ignored"].items()]
    rows += [("not read", text) for text in left_alone[:NOT_READ_AT_MOST]]
    if (more := len(left_alone) - NOT_READ_AT_MOST) > 0:
        rows.append(("not read", f"and {more} more"))
    print("\n".join(f"{label:<13}{text}" for label, text in rows))


def _time_unit(found: Mapping[str, Any]) -> str:
    if found["time_doubt"] is None:
        return found["time_unit"]
    return f"taken as s, but {found['time_doubt']}: say --time-unit ms or us, or s; reading the file asks for it too"


def _spread(numbers: Mapping[str, float], unit: str) -> str:
    return f"{numbers['min']:.5g} to {numbers['max']:.5g} {unit}, mean {numbers['mean']:.5g}"
