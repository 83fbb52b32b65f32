"""What makes a run the same run: descriptions of settings, fingerprints of data."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from ..aliases import Description
from ..data.dataset import Dataset
from ..engines.base import Engine, get, names
from ..errors import CheckpointError

# What may be another when a run goes on: a budget stops a run, or changes nothing.
IRRELEVANT = ("options.max_spikes",)
# The engine of a run that names none, as no run did before there was a choice.
ENGINE = "compiled"


def describe(value: Any) -> Any:
    """Return a JSON-able description of a loss, an optimiser, options and whatever they contain.

    ``to_dict`` is used where there is one; a dataclass becomes its class name and fields; any other object is known by
    its class name alone, so give a loss of your own one of the first two if it has settings.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if callable(getattr(value, "to_dict", None)):
        return value.to_dict()
    described: Description = {"kind": type(value).__name__}
    if dataclasses.is_dataclass(value):
        described.update({item.name: describe(getattr(value, item.name)) for item in fields(value)})
    return described


def engine_name(engine: str | Engine) -> str:
    """Return what an engine is known by: its name in ``engines.names()``, else that of its module or class."""
    if isinstance(engine, str):
        return engine
    for name in names():
        if engine is get(name):
            return name
    own = getattr(engine, "__name__", None)  # of a module, or of a class that serves as an engine itself
    return own if isinstance(own, str) else f"{type(engine).__module__}.{type(engine).__qualname__}"


def described_engine(engine: str | Engine) -> dict[str, str]:
    """Return what a run's description says of its engine: nothing of the one that is taken if nothing is said."""
    return {} if (name := engine_name(engine)) == ENGINE else {"engine": name}


def engine_of(run: Description) -> str:
    """Return the name of the engine in a run's description."""
    return run.get("engine", ENGINE)


def data_fingerprint(dataset: Dataset | None) -> str | None:
    """Return a SHA-256 (hex) of a Dataset's spikes, labels, sizes and duration; None for None."""
    if dataset is None:
        return None
    digest = hashlib.sha256(repr((dataset.n_units, dataset.n_classes, float(dataset.duration))).encode())
    n_spikes = [0]
    for name in ("times", "units", "counts"):
        for block in dataset.spikes.blocks():
            array = getattr(block, name)
            digest.update(b"none" if array is None else np.ascontiguousarray(array).data)
            if name == "times":
                n_spikes.extend(np.diff(block.offsets))
    for array in (np.cumsum(n_spikes), dataset.labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def differences(before: Any, now: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (place, value before, value now) of everything that differs between two descriptions."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from differences(before.get(key), now.get(key), f"{place}.{key}" if place else key)
    elif before != now and not (before != before and now != now):
        yield place, before, now


def refuse_changes(path: str | os.PathLike[str], before: Any, now: Description) -> None:
    now = json.loads(json.dumps(now))
    if isinstance(before, dict) and engine_of(before) != engine_of(now):
        before, now = ({**run, "engine": engine_of(run)} for run in (before, now))
    changes = [item for item in differences(before, now) if item[0] not in IRRELEVANT]
    if not changes:
        return
    parts = []
    for place, old, new in changes[:5]:
        hashes = place.split(".")[0] in ("network", "train", "validation")
        parts.append(f"{place} is not the same" if hashes else f"{place} was {old!r} and is now {new!r}")
    more = f", and {len(changes) - 5} more" if len(changes) > 5 else ""
    reason = f"this run differs from the one that was saved: {'; '.join(parts)}{more}"
    raise CheckpointError(path, changes[0][0], f"{reason}. Resume with the same settings, or start another run.")
