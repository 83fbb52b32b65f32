"""A run at one instant, and what a checkpoint holds of it."""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import checkpoints
from ..aliases import Array, Description, Floats, Integers, Parameters
from ..errors import CheckpointError, InvalidInput
from ..network.base import BaseNetwork
from . import resuming
from .evaluation import added, n_correct
from .methods.base import Outcome
from .resuming import FilePath

Record: TypeAlias = dict[str, Any]
"""What a History holds of one epoch."""
CHECKPOINT = "checkpoint"  # the file of a run folder
FORMAT = 1
KIND = "eventsnn training run"


@dataclass(frozen=True)
class History:
    """One dict per finished epoch: epoch (from 1), train_loss, train_accuracy, validation_loss, validation_accuracy,
    validation_n, validation_spikes_per_neuron, spikes_per_neuron (in training: of augmented samples),
    seconds, learning_rates ({parameter: rate of the last step}).

    The validation entries are None without validation. ``best_epoch`` counts from 1, None without validation.
    """

    records: tuple[Record, ...] = ()
    best_epoch: int | None = None

    def __len__(self) -> int:
        return len(self.records)

    def column(self, name: str) -> Floats:
        """Return one entry of all epochs as a float64 array (epochs,), NaN where there is none."""
        return np.array([math.nan if record[name] is None else record[name] for record in self.records], dtype=float)


@dataclass(frozen=True)
class Running:
    """Sums over the samples that the current epoch has seen; ``spikes``: {LIF population: (n,) int64}."""

    samples: int = 0
    correct: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    spikes: dict[str, Integers] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """A run at one instant, between two steps. ``batch`` counts the batches done in this epoch (from 0)."""

    parameters: Parameters
    optimizer: dict[str, Array]
    initial: Parameters
    average: Parameters | None = None
    best: Parameters | None = None
    best_epoch: int | None = None
    best_score: tuple[float, ...] | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    stopped: bool = False
    running: Running = field(default_factory=Running)
    records: tuple[Record, ...] = ()

    @property
    def evaluated(self) -> Parameters:
        """The parameters that an evaluation of this instant uses."""
        return self.parameters if self.average is None else self.average


_GROUPS = ("parameters", "optimizer", "initial", "average", "best")
_SCALARS = ("best_epoch", "epoch", "batch", "step", "stopped")


def pack_state(state: State) -> tuple[dict[str, Array], Description]:
    """Split a state into arrays and JSON-able metadata."""
    arrays: dict[str, Array] = {}
    for group in _GROUPS:
        for name, value in (getattr(state, group) or {}).items():
            arrays[f"{group}/{name}"] = np.asarray(value)
    arrays.update({f"running/{name}": counts for name, counts in state.running.spikes.items()})
    running = {key: getattr(state.running, key) for key in ("samples", "correct", "loss", "seconds")}
    meta = {name: getattr(state, name) for name in _SCALARS}
    score = None if state.best_score is None else list(state.best_score)
    return arrays, {**meta, "best_score": score, "running": running, "history": list(state.records)}


def _group(arrays: Mapping[str, Array], group: str) -> dict[str, Array]:
    prefix = f"{group}/"
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def unpack_state(path: FilePath, arrays: Mapping[str, Array], meta: Description) -> State:
    """Rebuild the state that ``pack_state`` split."""
    try:
        found = meta["state"]
        resuming.check_described(path, found)
        running = Running(**found["running"], spikes=_group(arrays, "running"))
        groups: dict[str, Any] = {group: _group(arrays, group) for group in _GROUPS}
        optional = {group: groups[group] or None for group in ("average", "best")}
        score = None if found["best_score"] is None else tuple(found["best_score"])
        scalars = {name: found[name] for name in _SCALARS}
        records = tuple(found["history"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(path, "state", f"incomplete: {error}") from None
    return State(**{**groups, **optional}, **scalars, best_score=score, running=running, records=records)


def load_run(path: FilePath) -> tuple[dict[str, Array], Description]:
    """Return (arrays, meta) of a training checkpoint; refuses checkpoints of anything else."""
    arrays, meta = checkpoints.load(path)
    if meta.get("kind") != KIND or meta.get("format") != FORMAT:
        found = (meta.get("kind"), meta.get("format"))
        raise CheckpointError(path, "kind", f"{found!r}; this release reads {(KIND, FORMAT)!r}")
    return arrays, meta


def checkpoint_of(place: FilePath) -> Path:
    """Return the checkpoint file that a path means: itself, or that in a run's folder; many runs are refused."""
    if not isinstance(place, (str, os.PathLike)):
        raise InvalidInput("path", None, place, "the path of a checkpoint file or of a run's folder")
    path = Path(place)
    if not path.is_dir():
        return path
    if not checkpoints.exists(path / CHECKPOINT) and (seeds := sorted(path.glob("seed-*"))):
        remedy = f"Name one of {', '.join(str(seed) for seed in seeds)}."
        raise InvalidInput("path", None, str(path), "a checkpoint file or the folder of a single run", remedy)
    return path / CHECKPOINT


def load_model(path: FilePath) -> tuple[BaseNetwork, Parameters, Description]:
    """Return ``(network, parameters, meta)`` of a training checkpoint: of its file, or of the folder of a run.

    ``parameters`` are those of the best epoch on validation, else the averaged ones, else the last. ``meta`` (dict)
    holds "duration" (ms), "run" (loss, optimiser, options), "notes" (what the Trainer was given) and "state", where
    "history" is; "initial" ({name: array}) are the parameters before training. Raises CheckpointError, and InvalidInput
    for a folder of many runs.
    """
    path = checkpoint_of(path)
    arrays, meta = load_run(path)
    state = unpack_state(path, arrays, meta)
    network = resuming.network_of(path, meta)
    resuming.check_groups(path, network, state)
    parameters = state.evaluated if state.best is None else state.best
    initial = network.check_parameters(state.initial)  # in the network's order, not in that of the file
    return network, network.check_parameters(parameters), {**meta, "initial": initial}


def load_history(path: FilePath) -> History:
    """Return the History in a training checkpoint; ``path`` as of ``load_model``."""
    path = checkpoint_of(path)
    state = unpack_state(path, *load_run(path))
    return History(state.records, state.best_epoch)


def counted(running: Running, outcome: Outcome, labels: Integers, started: float) -> Running:
    return Running(
        running.samples + len(labels),
        running.correct + n_correct(outcome.predictions, labels),
        running.loss + float(outcome.losses.sum()),
        running.seconds + time.perf_counter() - started,
        added(running.spikes, outcome.spikes),
    )
