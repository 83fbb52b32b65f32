"""Check what a checkpoint says of a training run before anything rests on it.

Checksums say that a file is as it was written, not that what was written can be: a program of one's own, or an error of
this one, may have put a step beyond the epochs or a moment of another shape there.
"""

import math
import os
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..aliases import Array, Description, Integers, Parameters
from ..errors import CheckpointError, EventsnnError
from ..network.base import BaseNetwork
from ..network.network import Network
from ..surrogate.network import GridNetwork

FilePath: TypeAlias = str | os.PathLike[str]


class _Running(Protocol):
    """What is checked of a state's Running."""

    @property
    def spikes(self) -> Mapping[str, Integers]: ...


class _State(Protocol):
    """What is checked of a State."""

    @property
    def parameters(self) -> Parameters: ...

    @property
    def optimizer(self) -> Mapping[str, Array]: ...

    @property
    def best(self) -> Parameters | None: ...

    @property
    def best_epoch(self) -> int | None: ...

    @property
    def epoch(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def step(self) -> int: ...

    @property
    def running(self) -> _Running: ...


COUNTERS = ("epoch", "batch", "step")
SCORES = (1, 2)  # by how many numbers the best epoch is known; one may be infinite, of a loss that was no number
# What an epoch's record holds besides a dict of learning rates; a number, or None where nothing was measured.
RECORDED = (
    "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "validation_n",
    "validation_spikes_per_neuron", "spikes_per_neuron", "seconds",
)  # fmt: skip


def check_described(path: FilePath, state: Description) -> None:
    """Refuse metadata of a run ("state", a dict) that no run can have written; raises CheckpointError."""
    for name in COUNTERS:
        _check(path, name, state[name], _is_count(state[name]), "an int >= 0")
    epoch, batch, step = (state[name] for name in COUNTERS)
    whole = (step - batch) % epoch == 0 and step >= batch + epoch if epoch else step == batch
    _check(path, "step", step, whole, f"batches of {epoch} whole epochs, and {batch} more")
    _check(path, "stopped", state["stopped"], isinstance(state["stopped"], bool), "true or false")
    _check_best(path, state)
    _check_history(path, state["history"], epoch)
    _check_running(path, state["running"])


def _check_best(path: FilePath, state: Description) -> None:
    best, score, epoch = state["best_epoch"], state["best_score"], state["epoch"]
    _check(path, "best_epoch", best, best is None or (_is_count(best) and 1 <= best <= epoch), f"none, or 1 to {epoch}")
    known = (
        isinstance(score, list)
        and len(score) in SCORES
        and all(_is_number(part, True) and part == part for part in score)
    )
    allowed = "none without a best epoch, else one or two numbers"
    _check(path, "best_score", score, score is None if best is None else known, allowed)


def _check_history(path: FilePath, history: Any, epoch: int) -> None:
    whole = isinstance(history, (list, tuple)) and len(history) == epoch
    _check(path, "history", _size(history), whole, f"the records of {epoch} epochs")
    for index, record in enumerate(history):
        place = f"history[{index}]"
        _check(path, place, type(record).__name__, isinstance(record, dict), "a record")
        _check(path, f"{place}.epoch", record.get("epoch"), record.get("epoch") == index + 1, f"{index + 1}")
        for name in RECORDED:
            value = record.get(name)
            _check(path, f"{place}.{name}", value, value is None or _is_number(value, True), "a number, or none")
        rates = record.get("learning_rates", {})
        known = isinstance(rates, dict) and all(_is_number(rate, True) for rate in rates.values())
        _check(path, f"{place}.learning_rates", rates, known, "a number for each parameter")


def _check_running(path: FilePath, running: Description) -> None:
    for name in ("samples", "correct"):
        _check(path, f"running.{name}", running[name], _is_count(running[name]), "an int >= 0")
    samples, correct = running["samples"], running["correct"]
    _check(path, "running.correct", correct, correct <= samples, f"at most {samples}, the samples so far")
    for name in ("loss", "seconds"):
        _check(path, f"running.{name}", running[name], _is_number(running[name]), "a finite number")


def network_of(path: FilePath, meta: Description) -> BaseNetwork:
    """Return the network of a checkpoint's metadata, and see that all else is there; raises CheckpointError."""
    for name in ("network", "run", "notes"):
        _check(path, name, type(meta.get(name)).__name__, isinstance(meta.get(name), dict), "a description")
    duration: Any = meta.get("duration")
    _check(path, "duration", duration, _is_number(duration) and duration > 0, "a finite number > 0 (ms)")
    kind: type[BaseNetwork] = GridNetwork if "dt" in meta["network"] else Network
    try:
        return kind.from_dict(meta["network"])
    except (EventsnnError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(path, "network", f"cannot be built: {type(error).__name__}: {error}") from None


def check_groups(path: FilePath, network: BaseNetwork, state: _State) -> None:
    """Refuse parameters that the network cannot have, and counts of spikes that are none; raises CheckpointError."""
    for group in ("parameters", "initial", "average", "best"):
        values = getattr(state, group)
        if values is None:
            continue
        try:
            network.check_parameters(values)
        except EventsnnError as error:
            raise CheckpointError(path, group, str(error)) from None
    _check(path, "best", "not there", (state.best is None) == (state.best_epoch is None), "parameters of a best epoch")
    sizes = {name: (network.populations[name].n,) for name in network.spiking}
    for name, counts in state.running.spikes.items():
        _check(path, f"running/{name}", np.shape(counts), np.shape(counts) == sizes.get(name), "counts of its neurons")
        whole = counts.dtype.kind in "iu" and not np.any(counts < 0)
        _check(path, f"running/{name}", counts.dtype, whole, "counts >= 0")


def check_progress(path: FilePath, state: _State, n_batches: int) -> None:
    """Refuse a place in the run that epochs of so many batches do not have; raises CheckpointError."""
    _check(path, "batch", state.batch, state.batch <= n_batches, f"at most {n_batches}, the batches of an epoch")
    step = state.epoch * n_batches + state.batch
    allowed = f"{step}: {state.epoch} epochs of {n_batches} batches, and {state.batch} more"
    _check(path, "step", state.step, state.step == step, allowed)


def check_moments(path: FilePath, state: _State, fresh: Mapping[str, Array]) -> None:
    """Refuse a state of the optimiser that is not like a ``fresh`` one; raises CheckpointError."""
    found = state.optimizer
    if odd := sorted(set(found) ^ set(fresh)):
        reason = "is not there" if odd[0] in fresh else "belongs to another optimiser"
        raise CheckpointError(path, f"optimizer/{odd[0]}", reason)
    for name, start in fresh.items():
        values, place = found[name], f"optimizer/{name}"
        _check(path, place, values.shape, values.shape == start.shape, f"shape {start.shape}")
        _check(path, place, values.dtype, values.dtype == start.dtype, f"{start.dtype}")
        bad = np.flatnonzero(~np.isfinite(values))
        _check(path, place, values.flat[bad[0]] if bad.size else None, not bad.size, "finite numbers")
        positive = start.dtype.kind in "iu" or name.startswith("second/")
        _check(path, place, values.min(initial=0), not positive or np.all(values >= 0), "numbers >= 0")
    step = int(found["step"])
    _check(path, "optimizer/step", step, step == state.step, f"{state.step}, the steps of the run")
    for name, values in found.items():
        if name.startswith("updates/"):
            _check(path, f"optimizer/{name}", int(values), values <= step, f"at most {step}, the steps of the run")


def _check(path: FilePath, field: str, value: object, good: object, allowed: str) -> None:
    if not good:
        raise CheckpointError(path, field, f"{value!r} cannot be; allowed: {allowed}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any, any_: bool = False) -> bool:
    """True for a number: a finite one, with ``any_`` also an infinite one or NaN, such as the loss of a bad epoch."""
    return type(value) in (int, float) and (any_ or math.isfinite(value))


def _size(value: object) -> str:
    return f"{len(value)} records" if isinstance(value, (list, tuple)) else type(value).__name__
