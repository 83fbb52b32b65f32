"""Warnings of outputs that stand for no class and of populations that do not fire, with what can be the reason."""

import warnings
from collections.abc import Iterable, Sequence

from ..data.dataset import Dataset
from ..losses.base import Loss
from ..losses.homeostasis import SilentNeuronRaise
from ..network.base import BaseNetwork
from ..network.plausibility import Doubt, unexcited
from .methods.base import class_population
from .state import State

# The stacklevel of who calls fit: between it and these functions are what answers its keywords,
# fit itself, what it calls and what that calls.
USER = 6


def warn_of_idle_outputs(network: BaseNetwork, loss: Loss, train: Dataset) -> None:
    """Warn where the network has more outputs than there are classes."""
    name = class_population(network, loss)
    n = 0 if name is None else network.populations[name].n
    if n > train.n_classes:
        text = f"{name!r} has {n} neurons for the {train.n_classes} classes of train: the others stand for none."
        warnings.warn(text, stacklevel=USER)


def warn_of_silence(
    network: BaseNetwork,
    loss: Loss,
    state: State,
    rules: Iterable[SilentNeuronRaise],
    found: Sequence[Doubt],
) -> None:
    """Warn of LIF populations that have not fired in this epoch, and that no rule will raise."""
    populations = state.running.spikes
    silent = [name for name, counts in populations.items() if not counts.any()]
    raised = [rule.population for rule in rules]
    if len(silent) < len(populations):
        texts = {_silence_of(network, loss, name): [name] for name in silent if name not in raised}
    else:
        texts = {"no LIF neuron has fired in this epoch": silent} if silent and not raised else {}
    for text, concerned in texts.items():
        remedy = _causes(network, state, found, concerned) or "raise the weights, or use silent_raise"
        warnings.warn(f"{text}: {remedy}", stacklevel=USER)


def _silence_of(network: BaseNetwork, loss: Loss, name: str) -> str:
    """What a LIF population that alone has not fired means for learning."""
    text = f"no neuron of {name!r} has fired in this epoch, while others have"
    if name == class_population(network, loss):
        text += ". The loss reads its spikes: there is no gradient, and it learns nothing"
    return text


def _causes(network: BaseNetwork, state: State, found: Sequence[Doubt], silent: Sequence[str]) -> str:
    """All that is found that can keep these populations silent, as one text."""
    causes = [doubt.text for doubt in found if not doubt.populations.isdisjoint(silent)]
    return " ".join([*causes, *unexcited(network, state.parameters, silent)])
