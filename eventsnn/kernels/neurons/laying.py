"""The door between the layout and the neurons: what a model says before kernels run, and of what they have left.

Plain NumPy on arrays, once for each set of parameters. The functions of a model stand in ``laying.py`` of its folder,
which `laying_of` finds by the folder's name; the layout (`eventsnn.engines.cpu`) knows no constant of any model.
``net`` is the `state.Net` that is laid out, ``pop`` a number in ``net.pops``, ``j`` an array of state neurons,
``groups`` the `PopulationConstants` of each population of neurons, in the order of ``net.pops`` where there is one.
"""

from enum import IntEnum
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

import numpy as np


class PopulationConstants(NamedTuple):
    """What a model is told of a population."""

    values: dict[str, np.ndarray]  # {constant: (n,)}: all fields of its `eventsnn.neurons.Model`
    trained: frozenset[str]  # those of them whose gradients are asked for


class Span(NamedTuple):
    """The windows of a layout: their length and the duration in ms, and how many there are in a stretch.

    ``n_block``: in a block and its reach, 0 where there are no blocks.
    """

    h: float
    duration: float
    stretch: int
    n_block: int


class Laying(Protocol):
    """What the layout asks of a model."""

    Constant: type[IntEnum]
    """Rows of `state.Gradients.neurons`."""

    def reach(self, groups: list[PopulationConstants]) -> tuple[float, float]:
        """Return (ms over which the functions of a window need no doubling, the longest window that there may be)."""

    def modal_until(self, group: PopulationConstants) -> float:
        """Return the longest delay (ms) with which arrivals may be summed mode by mode; below 0 if never."""

    def lay(self, pops: np.ndarray, groups: list[PopulationConstants], span: Span) -> tuple[np.ndarray, Any]:
        """Return (the records of all neurons, `net.model`), and write into ``pops`` what is the model's own there.

        Of ``pops``, start, stop, kind, modal and decay_rate are known.
        """

    def charges(self, net: Any, pop: int, weight: np.ndarray, delay: np.ndarray) -> np.ndarray:
        """Return what a spike adds to the two modes of a modal target through each synapse, (n, 2), sent at once."""

    def by_modes(
        self, net: Any, pop: int, collected: np.ndarray, weight: np.ndarray, delay: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (dL/dweight, dL/ddelay) of synapses onto a modal population from the modes that they collected."""

    def needs_tails(self, constants: set[str]) -> bool:
        """Return True where the gradient of any of these constants needs the tails of `adjoint_workspace`."""

    def field_gradients(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Return {constant: (n,)} of a population from its columns of `state.Gradients.neurons`."""

    def rests(self, net: Any, j: Any) -> np.ndarray:
        """Return what is to be added to the voltages of kernels, which may count them from a zero of their own."""

    def starts_matter(self, net: Any) -> bool:
        """Return True where a readout that is largest at time 0 has gradients from that."""

    def count_kicks(self, net: Any, j: np.ndarray, pull: np.ndarray) -> np.ndarray:
        """Return what is added to lambda_V at spikes, by dL/dcount of their neurons (`eventsnn.spikes.Cotangents`)."""

    def maximum_kicks(self, net: Any, j: np.ndarray, pull: np.ndarray) -> np.ndarray:
        """Return what is added to lambda_V where readouts are largest, by dL/dV there."""


@cache
def laying_of(family: str) -> Laying:
    """Return the functions of the models whose folder has this name."""
    return cast(Laying, import_module(f".{family}.laying", __package__))
