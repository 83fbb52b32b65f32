"""The optimisers: Adam and gradient descent."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from ..aliases import Floats
from ..checks import SMALLEST, number, share
from ..citing import Paper
from ..errors import Conflict, InvalidInput
from ..kernels.negligible import NEGLIGIBLE
from .base import Optimizer, Plan

# Negligible moments are forgotten after so many steps: in time for beta = 0.9. Denormal ones cost Adam a factor 1.6 or
# more.
FORGET_EVERY = 256
ADAM = Paper(("D. P. Kingma", "J. Ba"), "Adam: a method for stochastic optimization", "ICLR", 2015)
MOMENTUM = Paper(
    ("I. Sutskever", "J. Martens", "G. Dahl", "G. Hinton"),
    "On the importance of initialization and momentum in deep learning", "ICML", 2013,
)  # fmt: skip


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam with bias correction (Kingma & Ba 2015, algorithm 1); with ``decoupled`` weight decay it is AdamW.

    ``betas`` in [0, 1) twice, ``epsilon`` > 0, added outside the square root; the rest as in Optimizer. A parameter
    that gets a gradient only now and then has its own count of updates for the bias correction.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    kind: ClassVar[str] = "adam"
    slots: ClassVar[tuple[str, ...]] = ("first", "second")
    sources: ClassVar[tuple[Paper, ...]] = (ADAM,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise InvalidInput("betas", None, self.betas, "a pair of numbers, each 0 <= beta < 1")
        betas = tuple(share(beta, "betas", "0 <= beta < 1") for beta in self.betas)
        object.__setattr__(self, "betas", betas)
        object.__setattr__(self, "epsilon", number(self.epsilon, "epsilon", "a finite number > 0", SMALLEST))

    def _update(self, plan: Plan, gradient: Floats, old: dict[str, Floats], new: dict[str, Floats]) -> Floats:
        beta1, beta2 = self.betas
        first, second = new["first"], new["second"]
        work = np.multiply(gradient, 1.0 - beta1)
        np.multiply(old["first"], beta1, out=first)
        first += work
        np.multiply(gradient, gradient, out=work)
        work *= 1.0 - beta2
        np.multiply(old["second"], beta2, out=second)
        second += work
        if plan.updates % FORGET_EVERY == 0:
            first[np.abs(first) < NEGLIGIBLE] = 0.0
            second[second < NEGLIGIBLE] = 0.0
        np.divide(second, 1.0 - beta2**plan.updates, out=work)
        np.sqrt(work, out=work)
        work += self.epsilon
        update = np.divide(first, 1.0 - beta1**plan.updates)
        update /= work
        update *= plan.rate
        return update


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with ``momentum`` in [0, 1) and, if ``nesterov``, a look ahead (Sutskever et al. 2013).

    velocity = momentum * velocity + gradient; the update is rate * velocity, or rate * (gradient + momentum *
    velocity) with ``nesterov``; the rest as in Optimizer.
    """

    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False
    kind: ClassVar[str] = "sgd"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        super().__post_init__()
        momentum = share(self.momentum, "momentum", "0 <= momentum < 1")
        object.__setattr__(self, "momentum", momentum)
        if self.nesterov and momentum == 0.0:
            raise Conflict("nesterov", None, self.nesterov, "False where momentum is 0")

    @property
    def papers(self) -> tuple[Paper, ...]:
        """What the optimiser is after, and how its weights decay."""
        return (MOMENTUM, *super().papers) if self.nesterov else super().papers

    def _slots(self) -> tuple[str, ...]:
        return self.slots if self.momentum > 0 else ()

    def _update(self, plan: Plan, gradient: Floats, old: dict[str, Floats], new: dict[str, Floats]) -> Floats:
        if self.momentum == 0.0:
            return gradient * plan.rate
        velocity = new["velocity"]
        np.multiply(old["velocity"], self.momentum, out=velocity)
        velocity += gradient
        if plan.updates % FORGET_EVERY == 0:
            velocity[np.abs(velocity) < NEGLIGIBLE] = 0.0
        if not self.nesterov:
            return velocity * plan.rate
        update = velocity * self.momentum
        update += gradient
        update *= plan.rate
        return update
