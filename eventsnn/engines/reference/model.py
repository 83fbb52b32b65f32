"""What the reference engine asks of a neuron, and where it finds the models: in the file here that their family names.

A model's file has ``constants_of(values)``, from {constant: value} of one neuron to its `Constants`; all else follows
from that. Voltages are V less the neuron's ``rest``, times are in ms.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, TypeAlias

from ...aliases import Milliseconds
from ...neurons import MODELS
from .arithmetic import Arithmetic, Number

State: TypeAlias = tuple[Number, ...]
"""What a neuron is at some time; only its model knows what the numbers are."""
Timed: TypeAlias = tuple[State, Number]
"""(state, time)."""
Lambdas: TypeAlias = tuple[float, float]
"""(lambda_V, lambda_I)."""


class Adjoint(Protocol):
    """The adjoint of one neuron, moving back in time, and what it has given to the neuron's constants so far."""

    @property
    def time(self) -> Milliseconds:
        """Up to which it has come back."""

    def at(self, time: Milliseconds) -> Lambdas:
        """Return (lambda_V, lambda_I) at a time not after ``self.time``."""

    def back_to(self, time: Milliseconds, before: Timed) -> None:
        """Move back to ``time``, through a stretch in which the neuron went on from ``before``."""

    def by_weight(self, count: float) -> float:
        """Return what an arrival now, of ``count`` spikes, gives to the gradient of its weight."""

    def pull(self) -> float:
        """Return what an arrival of weight 1 now gives to the gradient of its time."""

    def spike_back(self, slope: float, pull: float, by_count: float | None) -> None:
        """Pass the neuron's own spike of now, of this slope; ``pull``: dL/dtime, ``by_count``: dL/dcount, or None."""

    def maximum_back(self, pull: float) -> None:
        """Pass the instant at which a readout is largest; ``pull``: dL/dV there."""

    def start_back(self, before: Timed) -> None:
        """Move back to time 0, where the neuron was as ``before``, and pass the start."""

    def gradients(self) -> dict[str, float]:
        """Return {constant: dL/dconstant}."""


class Constants(Protocol):
    """The constants of one neuron, and what it does with them."""

    @property
    def rest(self) -> Number:
        """What all voltages here are less than V."""

    def first_state(self) -> State:
        """Return the state at time 0."""

    def flow(self, state: State, t: Number, arithmetic: Arithmetic) -> State:
        """Return the state t ms after ``state`` without events."""

    def voltage(self, state: State) -> Number:
        """Return the voltage."""

    def receive(self, state: State, charge: Number) -> State:
        """Return the state just after an arrival; ``charge``: weight times count."""

    def next_spike(self, state: State, arithmetic: Arithmetic) -> tuple[Number | None, bool]:
        """Return (time until it fires if nothing arrives, or None; whether it is a grazing contact)."""

    def has_crossed(self, state: State) -> bool:
        """Return True at or above the threshold."""

    def is_crossing(self, state: State) -> bool:
        """Return True for a rising state that is at the threshold to within rounding."""

    def fire(self, state: State) -> tuple[State, Number]:
        """Return (state just after a spike, slope just before it: see `eventsnn.spikes.Recording`)."""

    def peak(self, state: State, arithmetic: Arithmetic) -> Number | None:
        """Return the time until the voltage is largest, or None if it does not rise, or never turns."""

    def kink_share(self, v: Number, before: State, after: State) -> float | None:
        """Return the share of a maximum ``v`` that arrivals between two states feel, or None if they do not end it."""

    def integral(self, state: State, t: Number, rate: float, arithmetic: Arithmetic) -> Number:
        """Return the integral of e^{-rate u} times the voltage over 0 <= u <= t."""

    def adjoint(self, duration: Milliseconds, drive: float, rate: float) -> Adjoint:
        """Return the Adjoint at the end; ``drive``: dL/d of the integral of e^{-rate t} V, 0 if there is none."""


def constants_of(kind: str, values: Mapping[str, Number]) -> Constants:
    """Return the Constants of one neuron of this kind from {constant: value}."""
    found: Constants = import_module(f".{MODELS[kind].family}", __package__).constants_of(values)
    return found
