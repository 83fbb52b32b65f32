"""Training: options, the loop, checkpoints, evaluation."""

from .. import renamed
from .evaluation import Evaluation, evaluate, wilson_interval
from .identity import data_fingerprint, describe, differences
from .options import TrainingOptions
from .state import History, load_history, load_model
from .trainer import Trainer

__all__ = [
    "Evaluation",
    "History",
    "Trainer",
    "TrainingOptions",
    "data_fingerprint",
    "describe",
    "differences",
    "evaluate",
    "load_history",
    "load_model",
    "wilson_interval",
]


def __getattr__(name: str) -> object:
    return renamed.find("training", name)
