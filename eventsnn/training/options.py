"""The settings of training that determine its result."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from ..aliases import Integers, Milliseconds
from ..checks import answers_keywords, check_budget, check_duration, check_keywords, one_of, positive, share, whole
from ..data.dataset import Dataset
from ..errors import InvalidInput
from ..losses.base import Regularizer
from ..losses.homeostasis import SilentNeuronRaise
from ..optimizers.rules import SGD, Adam
from ..parallel.sharding import N_SHARDS
from ..spikes.batch import SpikeBatch

MONITORS = ("accuracy", "loss")
Augment: TypeAlias = Callable[[Dataset, Integers, int, int], SpikeBatch]
"""A function of (data set, places of samples in it, seed, epoch), such as a data.Augmentation."""
Callback: TypeAlias = Callable[[Any, str, dict[str, Any]], object]
"""A function of (trainer, kind, values)."""


@answers_keywords
@dataclass(frozen=True)
class TrainingOptions:
    """What determines a run's result, besides network, parameters, loss, optimiser, data and number of epochs.

    ``duration``: T in ms (None: the training set's); ``batch_size`` (>= 1); ``seed`` (>= 0): sample order and
    augmentation; ``regularizers``: losses that are added in training; ``augmentation`` (data.Augmentation or None);
    ``silent_raise``: losses.SilentNeuronRaise rules, applied after each epoch; ``patience``: stop after this many
    epochs without a better validation (None: never); ``monitor``: "accuracy" (ties: the smaller loss) or "loss" of the
    validation decides which epoch is best; ``average``: decay per step, in (0, 1), of an exponential moving average of
    the parameters that is used in place of them in evaluation (None: off); ``neuron_drop``: the probability p, below 1,
    with which a LIF neuron sends nothing for the length of one batch, while those that do send 1/(1 - p) as much
    (dropout, Srivastava et al. 2014, with one draw per batch; it fires all the same, and is counted; loss and accuracy
    in training are those of the thinned network); ``max_spikes``: budget of one sample (None: as in ``simulate``);
    ``shards``: into how many parts a batch is cut for threads and ranks (at most so many ranks can share a run; the
    last bits of gradients depend on it).
    """

    duration: Milliseconds | None = None
    batch_size: int = 32
    seed: int = 0
    regularizers: Sequence[Regularizer] = ()
    augmentation: Augment | None = None
    silent_raise: Sequence[SilentNeuronRaise] = ()
    patience: int | None = None
    monitor: str = "accuracy"
    average: float | None = None
    neuron_drop: float = 0.0
    max_spikes: int | None = None
    shards: int = N_SHARDS

    def __post_init__(self) -> None:
        if self.duration is not None:
            check_duration(self.duration)
        whole(self.batch_size, "batch_size", 1)
        whole(self.seed, "seed", 0)
        if self.max_spikes is not None:
            check_budget(self.max_spikes)
        whole(self.shards, "shards", 1)
        if self.patience is not None:
            whole(self.patience, "patience", 1)
        one_of(self.monitor, "monitor", MONITORS)
        if self.average is not None:
            allowed = "None or a decay per step with 0 < average < 1"
            positive(share(self.average, "average", allowed), "average", allowed)
        share(self.neuron_drop, "neuron_drop", "a probability with 0 <= neuron_drop < 1")
        if self.augmentation is not None and not callable(self.augmentation):
            allowed = "None, a data.Augmentation, or a function (docs/how-to/load-your-data.md)"
            raise InvalidInput("augmentation", None, self.augmentation, allowed)
        for name in ("regularizers", "silent_raise"):
            if not isinstance(getattr(self, name), (tuple, list)):
                raise InvalidInput(name, None, getattr(self, name), "a tuple of them")
            object.__setattr__(self, name, tuple(getattr(self, name)))


def check_settings(given: Iterable[str], others: Sequence[str]) -> None:
    """Refuse settings of a Trainer that are no fields of TrainingOptions; ``others``: what else a Trainer takes."""
    names = [item.name for item in fields(TrainingOptions)]
    allowed = "the fields of TrainingOptions: "
    for name in given:
        if name in names:
            continue
        for rule in (Adam, SGD):
            if name in inspect.signature(rule).parameters:
                remedy = f"It belongs to the optimizer: optimizer={rule.__name__}({name}=...)."
                raise InvalidInput("a keyword of Trainer", None, name, f"{allowed}{', '.join(names)}", remedy)
        check_keywords([name], names, "Trainer", allowed, others)


def check_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Return the callbacks as a tuple of functions."""
    if not isinstance(callbacks, (tuple, list)):
        raise InvalidInput("callbacks", None, callbacks, "a list of functions", "Write callbacks=[function].")
    for index, callback in enumerate(callbacks):
        if not callable(callback):
            raise InvalidInput("callbacks", index, callback, "a function of (trainer, kind, values)")
    return tuple(callbacks)
