"""The neuron between events in closed form: flow, integrals, peak and first crossing of the threshold."""

from collections.abc import Mapping
from typing import NamedTuple

from .arithmetic import FLOAT, Arithmetic, Number, real

GRAZING = 1e-6
# A voltage that does not exceed the threshold by more than this part of the scale has not crossed it (section 1).
CONTACT = 5e-15


class Constants(NamedTuple):
    """The constants of one neuron, of U = V - b, where b is ``rest``; ``threshold`` is None for a readout."""

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


def constants_of(values: Mapping[str, Number]) -> Constants:
    """Return the Constants of one neuron from {field: value} of `eventsnn.neurons.lif`."""
    rest = values["v_rest"] + values["bias"]
    threshold = values["v_threshold"] - rest if "v_threshold" in values else None
    reset = values["v_reset"] - rest if "v_threshold" in values else None
    return Constants(values["tau_mem"], values["tau_syn"], threshold, reset, values["v_rest"] - rest, rest)


def field_gradients(by: Mapping[str, float]) -> dict[str, float]:
    """Return {field: gradient} from ``by``, those of Constants, and of all of V at once ("whole")."""
    moved = by["whole"] - by["threshold"] - by["reset"]
    return {
        "tau_mem": by["tau_mem"], "tau_syn": by["tau_syn"], "v_threshold": by["threshold"], "v_reset": by["reset"],
        "v_rest": moved, "bias": moved - by["start"],
    }  # fmt: skip


def _relative_growth(x: Number, arithmetic: Arithmetic) -> Number:
    """(1 - e^{-x}) / x for real part of x >= 0, by its series where the quotient would cancel."""
    if real(x) > 0.5:
        return (1 - arithmetic.exp(-x)) / x
    term = total = 1 + 0 * x
    for n in range(2, 40):
        term = -term * x / n
        total = total + term
        if abs(term) < 1e-40:
            break
    return total


def flow(
    v: Number, i: Number, t: Number, tau_mem: Number, tau_syn: Number, arithmetic: Arithmetic = FLOAT
) -> tuple[Number, Number]:
    """(V, I) of a membrane after t ms without arrivals (docs/mathematics.md, section 1)."""
    slow, fast = (tau_mem, tau_syn) if real(tau_mem) >= real(tau_syn) else (tau_syn, tau_mem)
    difference = (slow - fast) / (slow * fast)
    psp = t / tau_mem * arithmetic.exp(-t / slow) * _relative_growth(t * difference, arithmetic)
    return v * arithmetic.exp(-t / tau_mem) + i * psp, i * arithmetic.exp(-t / tau_syn)


def _triangle_mean(a: Number, b: Number, arithmetic: Arithmetic) -> Number:
    """(g(a) - g(b))/(b - a) for g = `_relative_growth` and real parts >= 0, without that difference."""
    near, far = (a, b) if real(a) <= real(b) else (b, a)
    if real(far) > 1:
        gap = far - near
        left = arithmetic.exp(-near) * _relative_growth(gap, arithmetic)
        return (_relative_growth(near, arithmetic) - left) / far
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
    return t * _relative_growth(a, arithmetic), t * t / tau_mem * _triangle_mean(a, b, arithmetic)


def constant_integral(t: Number, rate: float, arithmetic: Arithmetic = FLOAT) -> Number:
    """The integral of e^{-rate u} over 0 <= u <= t."""
    return t * _relative_growth(t * rate, arithmetic)


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
