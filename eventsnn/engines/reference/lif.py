"""The leaky integrate-and-fire neuron and the readout in closed form: see `eventsnn.engines.reference.model`.

A state is (U, I): U = V - b, where b = v_rest + bias is ``rest`` (docs/mathematics.md, section 1).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from ...aliases import Milliseconds
from .arithmetic import FLOAT, Arithmetic, Number, constant_integral, real, relative_growth
from .model import Lambdas, State, Timed
from .quadrature import nodes

GRAZING = 1e-6
# A voltage that does not exceed the threshold by more than this part of the scale has not crossed it (section 1).
CONTACT = 5e-15


class Constants(NamedTuple):
    """The constants of one neuron, of U; ``threshold`` and ``reset`` are None for a readout."""

    tau_mem: Number
    tau_syn: Number
    threshold: Number
    reset: Number
    start: Number
    rest: Number

    @property
    def scale(self) -> float:
        """What rounding and contacts are relative to."""
        return max(abs(real(self.threshold)), abs(real(self.reset)))

    def first_state(self) -> State:
        """U starts where V is at v_rest, and there is no current."""
        return self.start, 0.0

    def flow(self, state: State, t: Number, arithmetic: Arithmetic = FLOAT) -> State:
        """The state after t ms without arrivals."""
        v, i = state
        return flow(v, i, t, self.tau_mem, self.tau_syn, arithmetic)

    def voltage(self, state: State) -> Number:
        """U."""
        return state[0]

    def receive(self, state: State, charge: Number) -> State:
        """An arrival is a jump of I."""
        return state[0], state[1] + charge

    def next_spike(self, state: State, arithmetic: Arithmetic = FLOAT) -> tuple[Number | None, bool]:
        """See `first_crossing`."""
        v, i = state
        return first_crossing(v, i, self, arithmetic)

    def has_crossed(self, state: State) -> bool:
        """Whether U is at the threshold or above."""
        return real(state[0]) >= real(self.threshold)

    def is_crossing(self, state: State) -> bool:
        """Whether U is at the threshold to within rounding, and rises."""
        v, i = (real(x) for x in state)
        return abs(v - real(self.threshold)) <= CONTACT * self.scale and i > v

    def fire(self, state: State) -> tuple[State, Number]:
        """U is reset, and I goes on; the slope is tau_mem dU/dt."""
        v, i = state
        return (self.reset + 0 * v, i), i - self.threshold

    def peak(self, state: State, arithmetic: Arithmetic = FLOAT) -> Number | None:
        """The time until a rising U turns."""
        v, i = state
        return peak_time(v, i, self.tau_mem, self.tau_syn, arithmetic) if real(i) > real(v) else None

    def kink_share(self, v: Number, before: State, after: State) -> float | None:
        """U rises while I is above it (docs/mathematics.md, section 6)."""
        i, i_after = real(before[1]), real(after[1])
        return (i - real(v)) / (i - i_after) if i_after < real(v) < i else None

    def integral(self, state: State, t: Number, rate: float, arithmetic: Arithmetic = FLOAT) -> Number:
        """See `integrals`."""
        by_v, by_i = integrals(t, rate, self.tau_mem, self.tau_syn, arithmetic)
        return state[0] * by_v + state[1] * by_i

    def adjoint(self, duration: Milliseconds, drive: float, rate: float) -> "Adjoint":
        """The adjoint at the end."""
        return Adjoint(self, duration, drive, rate)


def constants_of(values: Mapping[str, Number]) -> Constants:
    """Return the Constants of one neuron from {field: value} of `eventsnn.neurons.lif`."""
    rest = values["v_rest"] + values["bias"]
    threshold = values["v_threshold"] - rest if "v_threshold" in values else None
    reset = values["v_reset"] - rest if "v_threshold" in values else None
    return Constants(values["tau_mem"], values["tau_syn"], threshold, reset, values["v_rest"] - rest, rest)


class Adjoint:
    """lambda_V and lambda_I of one neuron, moving back in time: what spikes and maxima put in, and the loss's drive.

    The drive of a readout is known in closed form at any time (docs/mathematics.md, section 4); ``v`` and ``i`` are the
    rest, as of ``time``. ``by``: what has been given to the Constants so far, and to all of V at once ("whole").
    """

    def __init__(self, neuron: Constants, duration: Milliseconds, drive: float, rate: float) -> None:
        self.neuron, self.tau_mem, self.tau_syn = neuron, neuron.tau_mem, neuron.tau_syn
        self.time, self.duration, self.drive, self.rate = duration, duration, drive, rate
        self.v = self.i = 0.0
        self.by = dict.fromkeys(("tau_mem", "tau_syn", "threshold", "reset", "start", "whole"), 0.0)

    def _free(self, time: Milliseconds) -> Lambdas:
        """(lambda_V, lambda_I) without the drive: roles of V and I are exchanged with respect to the membrane."""
        i, v = flow(self.i, self.v, self.time - time, self.tau_syn, self.tau_mem)
        return v, i

    def _driven(self, time: Milliseconds) -> tuple[float, float]:
        """The integrals of e^{-rate t} V from ``time`` to the end, after V = 1 and after I = 1, times the drive."""
        by_v, by_i = integrals(self.duration - time, self.rate, self.tau_mem, self.tau_syn)
        scale = self.drive * math.exp(-self.rate * time)
        return scale * by_v, scale * by_i

    def at(self, time: Milliseconds) -> Lambdas:
        """(lambda_V, lambda_I) at a time not after ``self.time``."""
        v, i = self._free(time)
        by_v, by_i = self._driven(time) if self.drive else (0.0, 0.0)
        return v - by_v / self.tau_mem, i - by_i / self.tau_syn

    def by_weight(self, count: float) -> float:
        """A weight is a jump of I."""
        _, lambda_i = self.at(self.time)
        return -(count * self.tau_syn * lambda_i)

    def pull(self) -> float:
        """lambda_V - lambda_I now; of the drive, how its integral changes as an arrival comes later."""
        if not self.drive:
            return self.v - self.i
        _, by_i = self._driven(self.time)
        end, _ = flow(0.0, 1.0, self.duration - self.time, self.tau_mem, self.tau_syn)
        return self.v - self.i - self.rate * by_i - self.drive * math.exp(-self.rate * self.duration) * end

    def spike_back(self, slope: float, pull: float, by_count: float | None) -> None:
        """Pass a spike (docs/mathematics.md, section 3); a count grows by dV over the distance that U falls."""
        fall = self.neuron.threshold - self.neuron.reset
        self.by["reset"] -= self.tau_mem * self.v
        self.v += (fall * self.v + pull) / slope
        if by_count is not None:
            self.v -= by_count / (self.tau_mem * fall)
        self.by["threshold"] += self.tau_mem * self.v

    def maximum_back(self, pull: float) -> None:
        """A maximum pulls on lambda_V."""
        self.v -= pull / self.tau_mem
        self.by["whole"] += pull

    def start_back(self, before: Timed) -> None:
        """Move back to time 0, and add what U there, and all of V at once, give to the loss."""
        self._integrate(0.0, before)
        by_v, _ = self.at(0.0)
        self.by["start"] -= self.tau_mem * by_v
        if self.drive:
            self.by["whole"] += self.drive * constant_integral(self.duration, self.rate)

    def back_to(self, time: Milliseconds, before: Timed) -> None:
        """Move back to ``time``, through a stretch in which the neuron went on from ``before``."""
        self._integrate(time, before)
        self.v, self.i = self._free(time)
        self.time = time

    def _integrate(self, time: Milliseconds, before: Timed) -> None:
        """Add the part from ``time`` on of the integrals of lambda_V dV/dt and lambda_I dI/dt."""
        (v, i), start = before
        for t, weight in nodes(time, self.time, 1 / (self.rate + 1 / min(self.tau_mem, self.tau_syn))):
            v_t, i_t = flow(v, i, t - start, self.tau_mem, self.tau_syn)
            lambda_v, lambda_i = self.at(t)
            self.by["tau_mem"] += weight * lambda_v * (i_t - v_t) / self.tau_mem
            self.by["tau_syn"] -= weight * lambda_i * i_t / self.tau_syn

    def gradients(self) -> dict[str, float]:
        """{field: gradient}, for the fields of `eventsnn.neurons.lif`."""
        by = self.by
        moved = by["whole"] - by["threshold"] - by["reset"]
        return {
            "tau_mem": by["tau_mem"], "tau_syn": by["tau_syn"], "v_threshold": by["threshold"], "v_reset": by["reset"],
            "v_rest": moved, "bias": moved - by["start"],
        }  # fmt: skip


def flow(
    v: Number, i: Number, t: Number, tau_mem: Number, tau_syn: Number, arithmetic: Arithmetic = FLOAT
) -> tuple[Number, Number]:
    """(V, I) of a membrane after t ms without arrivals (docs/mathematics.md, section 1)."""
    slow, fast = (tau_mem, tau_syn) if real(tau_mem) >= real(tau_syn) else (tau_syn, tau_mem)
    difference = (slow - fast) / (slow * fast)
    psp = t / tau_mem * arithmetic.exp(-t / slow) * relative_growth(t * difference, arithmetic)
    return v * arithmetic.exp(-t / tau_mem) + i * psp, i * arithmetic.exp(-t / tau_syn)


def _triangle_mean(a: Number, b: Number, arithmetic: Arithmetic) -> Number:
    """(g(a) - g(b))/(b - a) for g = `relative_growth` and real parts >= 0, without that difference."""
    near, far = (a, b) if real(a) <= real(b) else (b, a)
    if real(far) > 1:
        gap = far - near
        left = arithmetic.exp(-near) * relative_growth(gap, arithmetic)
        return (relative_growth(near, arithmetic) - left) / far
    # (e^x - 1)/x and its divided difference have the coefficients 1/(n + 1)! and 1/(n + 2)! at -a and -b
    power = mixed = 1 + 0 * a
    total = share = mixed / 2
    for n in range(1, 40):
        power = -near * power
        mixed = -far * mixed + power
        share = share / (n + 2)
        total = total + mixed * share
        if abs(share) < 1e-42:
            break
    return total


def integrals(
    t: Number, rate: float, tau_mem: Number, tau_syn: Number, arithmetic: Arithmetic = FLOAT
) -> tuple[Number, Number]:
    """The integrals of e^{-rate u} V over 0 <= u <= t, after V = 1 at u = 0, and after I = 1 (section 4)."""
    a, b = t * (rate + 1 / tau_mem), t * (rate + 1 / tau_syn)
    return t * relative_growth(a, arithmetic), t * t / tau_mem * _triangle_mean(a, b, arithmetic)


def peak_time(v: Number, i: Number, tau_mem: Number, tau_syn: Number, arithmetic: Arithmetic = FLOAT) -> Number | None:
    """Time until V is largest, or None if it never turns: V equals I there. Takes a rising state (i > v)."""
    excess = tau_mem / tau_syn - 1
    bottom = i + excess * v
    if real(bottom) <= 0:
        return None
    ratio = (i - v) / bottom
    product = excess * ratio
    if abs(product) < 1e-3:
        # log1p(z)/z by its series: an exact quotient would lose the derivative at tau_mem = tau_syn
        return tau_mem * ratio * sum((-product) ** n / (n + 1) for n in range(12))
    return tau_mem * arithmetic.log1p(product) / excess if real(product) > -1 else None


def first_crossing(
    v: Number, i: Number, neuron: Constants, arithmetic: Arithmetic = FLOAT
) -> tuple[Number | None, bool]:
    """Time until U next reaches the threshold from below if nothing arrives, or None; and whether it grazes.

    ``v``: U now; ``neuron``: Constants. The real root is bracketed and bisected; Newton steps then carry it into the
    arithmetic at hand.
    """
    tau_mem, tau_syn, threshold = neuron.tau_mem, neuron.tau_syn, neuron.threshold
    bracket, grazes = _bracket(v, i, neuron, arithmetic)
    if bracket is None:
        return None, grazes
    if real(v) >= real(threshold) and bracket[0] == 0.0:
        return 0 * i, False
    t = _bisect(real(v), real(i), real(tau_mem), real(tau_syn), real(threshold), *bracket)
    for _ in range(arithmetic.newton_steps):
        v_t, i_t = flow(v, i, t, tau_mem, tau_syn, arithmetic)
        t = t + (threshold - v_t) * tau_mem / (i_t - v_t)
    _, i_t = flow(v, i, t, tau_mem, tau_syn, arithmetic)
    return t, real(i_t - threshold) < GRAZING * neuron.scale


def _bracket(
    v: Number, i: Number, neuron: Constants, arithmetic: Arithmetic
) -> tuple[tuple[float, float] | None, bool]:
    """((from, to) with one crossing between them, or None; whether a peak without one grazes the threshold)."""
    tau_mem, tau_syn, threshold = neuron.tau_mem, neuron.tau_syn, neuron.threshold
    level = real(threshold) + CONTACT * neuron.scale
    if level < 0:  # U rises to zero in the end, from its minimum on if that is to come
        falls = real(i) < real(v)
        low = peak_time(-v, -i, tau_mem, tau_syn, arithmetic) if falls else None
        low = 0.0 if low is None else real(low)
        high = max(low, real(tau_mem), real(tau_syn))
        while real(flow(v, i, high, tau_mem, tau_syn, arithmetic)[0]) <= level:
            high = 2 * high
        return (low, high), False
    if real(i) <= max(level, real(v)):
        return None, False
    top = peak_time(v, i, tau_mem, tau_syn, arithmetic)
    if top is None:
        return None, False
    v_top, _ = flow(v, i, top, tau_mem, tau_syn, arithmetic)
    if real(v_top) <= level:
        return None, real(v_top) > real(threshold) - GRAZING * neuron.scale
    return (0.0, real(top)), False


def _bisect(v: float, i: float, tau_mem: float, tau_syn: float, threshold: float, low: float, high: float) -> float:
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return high
        if flow(v, i, middle, tau_mem, tau_syn)[0] < threshold:
            low = middle
        else:
            high = middle
