"""The first threshold crossing between two arrivals.

The rule (docs/mathematics.md, section 1): a spike is fired at the first t in [0, dt) at which V reaches the threshold
from below and goes on to exceed it by more than CONTACT of it; a peak that only touches the threshold is none. An
arrival at the very instant at which V equals the threshold acts first; whether V goes on to exceed it then depends on
the current after the arrival. V has at most one interior maximum, so two states and at most one peak decide.
"""

import math
from enum import IntEnum
from typing import NamedTuple

from ...compile import inlined, kernel
from .membrane import flow, peak_time


class Outcome(IntEnum):
    """What V does until the next arrival; GRAZES: its peak is at or just below threshold, which is no spike."""

    SILENT = 0
    FIRES = 1
    GRAZES = 2


class CrossingConstants(NamedTuple):
    """The constants of a neuron that decide on a crossing; ``scale``: see `tables.SHIFT`."""

    tau_mem: float
    tau_syn: float
    threshold: float
    scale: float


# Newton's method doubles its digits at a clean crossing and gains one bit per step at a double root.
LARGEST_STEP_COUNT = 80
# V exceeds the threshold by more than this part of it, or does not cross it: rounding must not decide on a contact.
CONTACT = 5e-15
# A root is known to about this much of the threshold: a smaller gap only makes Newton's method creep.
ROUNDING = 4.4e-16
# Rounding may leave a contact with no slope at all: the smallest one, a rounding of the threshold, keeps its order.
LEAST_SLOPE = 2.3e-16
# Of a current above this the square, and that of the rounding of it, is far from the smallest numbers there are.
SQUARES_HOLD = 1e-100
# The series of the inverse function is used as long as its second term is at most this part of the first.
MOST_BEND = 0.1
# A peak or a slope this close to nothing (relative to the threshold) is a grazing contact: counted, never altered.
GRAZING = 1e-6


@inlined
def _guess(v, i, v_end, i_end, dt, threshold):
    """About when V reaches the threshold on its way from v to v_end: time as a cubic of V, from both slopes."""
    gain, left = v_end - v, threshold - v
    if not (i_end > v_end and (i_end - v_end) * 4.0 > i - v):
        return 0.0
    # dt/dV at both ends, in units of the mean slope; tau_mem dV/dt = I - V
    u = left / gain
    mean = 0.5 * ((i - v) + (i_end - v_end))
    first, last = mean / (i - v), mean / (i_end - v_end)
    return dt * u * ((1.0 - u) * ((1.0 - u) * first - u * last) + u * (3.0 - 2.0 * u))


@inlined
def _inverse_series(gap, first, second, third):
    """The time in which V climbs by ``gap``, from its derivatives: three terms, or the first where they get larger."""
    step = gap / first
    bend = 0.5 * second / first
    if abs(bend * step) > MOST_BEND:
        return step
    return step * (1.0 - step * (bend - step * (2.0 * bend * bend - third / (6.0 * first))))


@kernel
def _root(v, i, high, guess, neuron):
    """The time in [0, high] at which V reaches the threshold; V rises and is concave there."""
    tau_mem, tau_syn, threshold, scale = neuron.tau_mem, neuron.tau_syn, neuron.threshold, neuron.scale
    t = guess
    if t > 0.0:
        v_t, i_t = flow(v, i, t, tau_mem, tau_syn)
        first = (i_t - v_t) / tau_mem
        second = -(i_t / tau_syn + first) / tau_mem
        third = (i_t / (tau_syn * tau_syn) - second) / tau_mem
        t = min(max(t + _inverse_series(threshold - v_t, first, second, third), 0.0), high)
        v_t, i_t = flow(v, i, t, tau_mem, tau_syn)
        # from either side the tangent of a concave function leads to before the crossing
        step = (threshold - v_t) * tau_mem / (i_t - v_t)
        t = min(max(t + step, 0.0), high)
        if abs(second) * step * step <= ROUNDING * scale:
            return t
    for _ in range(LARGEST_STEP_COUNT):
        v_t, i_t = flow(v, i, t, tau_mem, tau_syn)
        gap = threshold - v_t
        if gap <= 0.0 or i_t <= v_t:
            break
        # the tangent of a concave function meets the threshold before the function does: never an overshoot
        later = t + gap * tau_mem / (i_t - v_t)
        if later >= high:
            return high
        if gap <= ROUNDING * scale:
            return later
        t = later
    return t


@kernel
def crossing_below_rest(v, i, v_end, i_end, dt, neuron):
    """`crossing` for a threshold below where U rests, which U will pass in the end whatever the current.

    U less the threshold is a constant > 0 and two exponentials: it has two zeros at most, is below zero now and above
    it in the end, so it has one. It is bracketed by the minimum of U, if that is to come, and the end.
    """
    tau_mem, tau_syn, threshold, scale = neuron.tau_mem, neuron.tau_syn, neuron.threshold, neuron.scale
    if v_end <= threshold + CONTACT * scale or dt == 0.0:
        return Outcome.SILENT, 0.0, 0.0
    if v >= threshold and i >= v:
        return Outcome.FIRES, 0.0, max(i - threshold, LEAST_SLOPE * scale)
    low, high = 0.0, dt
    if i < v:
        low = min(peak_time(-v, -i, tau_mem, tau_syn), dt)  # the minimum of U is the maximum of -U
    t = 0.5 * (low + high)
    for _ in range(LARGEST_STEP_COUNT):
        v_t, i_t = flow(v, i, t, tau_mem, tau_syn)
        if v_t < threshold:
            low = t
        else:
            high = t
        step = (threshold - v_t) * tau_mem / (i_t - v_t) if i_t > v_t else math.inf
        later = t + step
        if abs(step) <= ROUNDING * high:
            break
        # Newton's step where it stays within the bracket, else its middle
        t = later if low < later < high else 0.5 * (low + high)
    slope = i * math.exp(-t / tau_syn) - threshold
    return Outcome.FIRES, t, max(slope, LEAST_SLOPE * scale)


@inlined
def _closed_crossing(v, i, v_end, i_end, dt, neuron):
    """`crossing` from its first test on where tau_mem = 2 tau_syn: V is a quadratic in u = 1 - e^{-t/tau_mem}.

    V = v + (i - v) u - i u^2, so it peaks at (v + i)^2/(4 i), crosses at the smaller root, and tau_mem dV/dt = I - V is
    (1 - u) times the root of the discriminant. That and the peak are said in the way that does not cancel for v < 0.
    """
    threshold, scale = neuron.threshold, neuron.scale
    level, gap, square = threshold + CONTACT * scale, threshold - v, (v + i) * (v + i)
    if v_end <= level:
        if i_end >= v_end:
            return Outcome.SILENT, 0.0, 0.0
        v_peak = 0.25 * square / i
        if v_peak <= level:
            return (Outcome.GRAZES if v_peak > threshold - GRAZING * scale else Outcome.SILENT), 0.0, 0.0
    if gap <= 0.0:
        return Outcome.FIRES, 0.0, i - threshold
    root = math.sqrt(max(square - 4.0 * i * threshold, 0.0))
    u = 2.0 * gap / (i - v + root)
    return Outcome.FIRES, min(-neuron.tau_mem * math.log1p(-u), dt), max((1.0 - u) * root, LEAST_SLOPE * scale)


@inlined
def crossing(v, i, v_end, i_end, dt, neuron):
    """Look for a spike in [0, dt): return (Outcome, time in ms, slope).

    ``v, i``: state now; ``v_end, i_end``: state after ``dt`` ms; ``neuron``: CrossingConstants. The slope is I -
    threshold = tau_mem dV/dt at the crossing.
    """
    tau_mem, tau_syn, threshold, scale = neuron.tau_mem, neuron.tau_syn, neuron.threshold, neuron.scale
    level = threshold + CONTACT * scale
    # V exceeds the level only while I does, and without arrivals I only decays; at once, the arrivals act first
    if i <= level or dt == 0.0:
        return Outcome.SILENT, 0.0, 0.0
    if tau_mem == 2.0 * tau_syn and i > SQUARES_HOLD:
        return _closed_crossing(v, i, v_end, i_end, dt, neuron)
    high = dt
    if v_end > level:
        guess = _guess(v, i, v_end, i_end, dt, threshold)
    else:
        guess = 0.0
        if i_end >= v_end:
            return Outcome.SILENT, 0.0, 0.0
        high = peak_time(v, i, tau_mem, tau_syn)
        if not high < dt:
            return Outcome.SILENT, 0.0, 0.0
        v_peak, _ = flow(v, i, high, tau_mem, tau_syn)
        if v_peak <= level:
            return (Outcome.GRAZES if v_peak > threshold - GRAZING * scale else Outcome.SILENT), 0.0, 0.0
    if v >= threshold:
        return Outcome.FIRES, 0.0, i - threshold
    t = _root(v, i, high, guess, neuron)
    slope = i * math.exp(-t / tau_syn) - threshold
    return Outcome.FIRES, t, max(slope, LEAST_SLOPE * scale)
