"""What a trained network owes to its delays: the same network with its delays permuted, or rounded to a grid."""

import numpy as np

from ..aliases import Milliseconds, Parameters
from ..checks import answers_keywords, check_duration, check_given
from ..errors import Unsupported
from ..network.base import BaseNetwork
from ..network.network import Network
from ..random import stream


def _delays(parameters: Parameters) -> Parameters:
    return {name: np.asarray(value) for name, value in parameters.items() if name.endswith(".delay")}


def _check_network(network: object, begins: str) -> None:
    check_given(network, "network", BaseNetwork, begins, allowed="a Network or a GridNetwork")


@answers_keywords
def permuted_delays(network: BaseNetwork, parameters: Parameters, seed: int) -> Parameters:
    """Return parameters in which the delays of each connection have changed places at random.

    Their distribution is kept, and which weight belongs to which delay is lost, learned or not: the loss of accuracy is
    not what learning the delays was worth. ``seed`` (int >= 0). A connection with one delay for all keeps it.
    """
    _check_network(network, "network, parameters, seed")
    permuted = {}
    for number, (name, delays) in enumerate(_delays(parameters).items()):
        mask = network.present(name)
        there = np.ones(delays.shape, bool) if mask is None else mask
        order = stream(seed, "permuted-delays", sample=number).permutation(np.count_nonzero(there))
        permuted[name] = delays.copy()
        permuted[name][there] = delays[there][order]
    return {**parameters, **permuted}


@answers_keywords
def rounded_delays(network: Network, parameters: Parameters, step: Milliseconds) -> Parameters:
    """Return parameters with each delay at the nearest multiple of ``step`` (ms, > 0), as on a grid of time steps.

    A delay on a cycle may not be 0 and becomes one step there. Raises InvalidInput for a step that is not a finite
    number > 0.
    """
    _check_network(network, "network, parameters, step")
    step = check_duration(step, "step")
    if not isinstance(network, Network):
        allowed = "nothing for a network on a grid, which evaluates with rounded delays as it is"
        raise Unsupported("step", None, step, allowed, 'See delays="fractional" (--delays fractional).')
    rounded = {}
    for name, delays in _delays(parameters).items():
        least = step if network.on_cycle(network.connections[name.removesuffix(".delay")]) else 0.0
        rounded[name] = np.maximum(step * np.rint(delays / step), least)
    return {**parameters, **rounded}
