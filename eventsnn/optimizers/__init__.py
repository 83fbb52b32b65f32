"""Adam and SGD as pure functions on flat dicts {name: float64 array}, with schedules, bounds and gradient clipping.

    state = optimizer.initialize(params)
    params, state = optimizer.step(params, grads, state)

Nothing is changed in place: a step either returns the new parameters and state or raises and has done nothing. The
state is a flat dict of numpy arrays, so that a checkpoint can hold it.
"""

from .. import renamed
from .base import Optimizer
from .rules import SGD, Adam
from .schedules import ConstantRate, Cosine, EaseIn, Exponential, OneCycle, Product, Schedule

__all__ = [
    "SGD",
    "Adam",
    "ConstantRate",
    "Cosine",
    "EaseIn",
    "Exponential",
    "OneCycle",
    "Optimizer",
    "Product",
    "Schedule",
]


def __getattr__(name: str) -> object:
    return renamed.find("optimizers", name)
