"""Closed-form flow of a leaky integrate-and-fire neuron with exponential synapses, and of its adjoint.

    tau_mem dV/dt = -V + I        tau_syn dI/dt = -I        (docs/mathematics.md, section 1)

The response of V to a unit jump of I is the postsynaptic potential `psp`. It is written with one expm1 of a negative
argument, which keeps full precision through tau_mem == tau_syn and cannot overflow.
"""

import math

import numpy as np

from ...compile import entry, inlined, kernel
from ...negligible import NEGLIGIBLE

# Within a window of length h <= TAU_FRACTION * tau the exponentials are polynomials of this degree. The first omitted
# term of e^{-t/tau} is (1/8)^11 / 11! = 3e-18 of the leading one. Those of psp and its convolutions start at t and t^2,
# so one and two terms fewer are left: relative errors of 2e-15 and 2e-14 at the end of the longest window.
DEGREE = 10
TAU_FRACTION = 0.125
# Negligible states and adjoints are forgotten once in so many windows, a power of two. None is longer than a time
# constant, so that less than four of the 18 decades down to denormal numbers pass in between.
FORGET_EVERY = 8
# Series of positive terms end with a term of this part of the sum, or here: for arguments below 2 that comes later.
SMALLEST_TERM, MOST_TERMS = 1e-17, 40
# What `response_integral` asks of a neuron, in 1/ms: the decay rate of the weighted integral, the rates of tau_mem and
# of the slower time constant, and how much faster the other one is; the decay rate with the slower and with the faster
# one; and reciprocals of what is to be divided by.
INTEGRAL = np.dtype(
    [(name, np.float64) for name in ("rate", "mem", "slow", "gap", "near", "far", "by_near", "by_far", "by_gap")]
)


@inlined
def _free_flow(t, tau_mem, tau_syn):
    """(e^{-t/tau_mem}, e^{-t/tau_syn}, psp(t)) for any t >= 0, with two exponentials."""
    x = t * (abs(tau_mem - tau_syn) / (tau_mem * tau_syn))
    slow = math.exp(-t / max(tau_mem, tau_syn))
    if x < 1.0:
        # (1 - e^{-x}) / x: expm1 keeps the digits of small x
        loss = math.expm1(-x)
        fast, ratio = slow * (1.0 + loss), 1.0 if x == 0.0 else -loss / x
    else:
        fast = math.exp(-t / min(tau_mem, tau_syn))
        ratio = -math.expm1(-x) / x if slow == 0.0 else (1.0 - fast / slow) / x
    response = t / tau_mem * slow * ratio
    return (slow, fast, response) if tau_mem >= tau_syn else (fast, slow, response)


@inlined
def psp(t, tau_mem, tau_syn):
    """V(t) after a unit jump of I at 0 from rest; t >= 0 in ms, relative error <= 2e-15 up to t = 10 tau."""
    return _free_flow(t, tau_mem, tau_syn)[2]


@inlined
def flow(v, i, t, tau_mem, tau_syn):
    """(V, I) after t ms without arrivals."""
    decay_v, decay_i, response = _free_flow(t, tau_mem, tau_syn)
    return v * decay_v + i * response, i * decay_i


@kernel
def peak_time(v, i, tau_mem, tau_syn):
    """Time (ms) of the maximum of V that follows a rising state (i > v), or infinity if V rises for ever.

    V' = 0 where V = I; with r = tau_mem/tau_syn - 1 and y = (i - v)/(i + r v) that is t = tau_mem log1p(r y)/r.
    """
    r = (tau_mem - tau_syn) / tau_syn
    denominator = i + r * v
    if denominator <= 0.0:
        return math.inf
    y = (i - v) / denominator
    z = r * y
    if z <= -1.0:
        return math.inf
    return tau_mem * y * (1.0 if z == 0.0 else math.log1p(z) / z)


@kernel
def double_psp(x, tau_one, tau_two):
    """x^2 e^{-x/tau_one} phi2(z), phi2(z) = (e^z - 1 - z)/z^2, z = x (1/tau_one - 1/tau_two).

    Divided by tau_mem this is e^{-x/tau_one} convolved with psp (docs/mathematics.md, section 5).
    """
    z = x * (tau_two - tau_one) / (tau_one * tau_two)
    if abs(z) >= 0.5:
        return x * x * (math.exp(-x / tau_two) - math.exp(-x / tau_one) * (1.0 + z)) / (z * z)
    # the series of 2 phi2, whose first omitted term is below rounding for |z| < 0.5
    total = 1.0
    for n in range(15, 2, -1):
        total = 1.0 + z * total / n
    return 0.5 * x * x * math.exp(-x / tau_one) * total


@inlined
def _shifted_series(far, gap, again, order):
    """The sum of h_n/(n + order)! over n >= 0, times e^{-far}, for ``order`` 2 or 3.

    h_n is the complete homogeneous polynomial of degree n in ``far``, ``gap`` and ``again``, all >= 0 and far < 2: a
    divided difference of e^x at points between -far and 0, all taken from -far, where nothing cancels.
    """
    one = two = three = 1.0
    share = total = 0.5 if order == 2 else 1.0 / 6.0
    for n in range(1, MOST_TERMS):
        one *= again
        two = gap * two + one
        three = far * three + two
        share /= n + order
        total += three * share
        if three * share < SMALLEST_TERM * total:
            break
    return math.exp(-far) * total


@inlined
def _mean_decay(x):
    """(1 - e^{-x})/x, the mean of e^{-u} over 0 <= u <= x."""
    return 1.0 if x == 0.0 else -math.expm1(-x) / x


@kernel
def second_difference(a, b):
    """The divided difference of e^x at 0, -a and -b, for a, b >= 0; relative error <= 4e-15."""
    near, far = min(a, b), max(a, b)
    gap = far - near
    if far < 1.0:
        return _shifted_series(far, gap, 0.0, 2)
    return (_mean_decay(near) - math.exp(-near) * _mean_decay(gap)) / far


@kernel
def third_difference(a, b):
    """The divided difference of e^x at 0, -a, -b and -b, for a, b > 0; relative error <= 1e-14."""
    far = max(a, b)
    if far < 2.0:
        return _shifted_series(far, abs(a - b), a - b if a > b else 0.0, 3)
    first = second_difference(b, b) if a > b else second_difference(a, b)
    return (first - double_psp(1.0, 1.0 / b, 1.0 / a)) / far


def integral_constants(rate, tau_mem, tau_syn):
    """The constants of `response_integral` for arrays of decay rates (1/ms) and time constants (ms), as INTEGRAL."""
    slow, fast = np.maximum(tau_mem, tau_syn), np.minimum(tau_mem, tau_syn)
    constants = np.zeros(np.shape(tau_mem), INTEGRAL)
    constants["rate"], constants["mem"], constants["slow"] = rate, 1.0 / tau_mem, 1.0 / slow
    constants["gap"] = gap = (slow - fast) / (slow * fast)
    constants["near"], constants["far"] = near, far = rate + 1.0 / slow, rate + 1.0 / fast
    constants["by_near"], constants["by_far"] = 1.0 / (tau_mem * near), 1.0 / far
    # infinite for equal time constants, which do not read it
    with np.errstate(divide="ignore"):
        constants["by_gap"] = 1.0 / (tau_mem * gap)
    return constants


@inlined
def response_integral(x, c):
    """(integral of e^{-rate u} psp(u) over 0 <= u <= x, e^{-rate x} psp(x)) for x >= 0; ``c``: one INTEGRAL.

    The integral is x^2/tau_mem times `second_difference` of x (rate + 1/tau_mem) and x (rate + 1/tau_syn), written with
    the exponentials of psp where those are large (docs/mathematics.md, section 4). Relative error <= 4e-15.
    """
    decay, z, near = math.exp(-x * c.slow), x * c.gap, x * c.near
    if c.rate != 0.0:
        decay *= math.exp(-x * c.rate)
    last = decay * (x * c.mem * _mean_decay(z) if z < 1.0 else (1.0 - math.exp(-z)) * c.by_gap)
    if x * c.far < 1.0:
        return x * x * c.mem * second_difference(near, x * c.far), last
    gone = 1.0 - decay if near > 1.0 else -math.expm1(-near)
    return (gone * c.by_near - last) * c.by_far, last


@kernel
def integral_by_taus(x, rate, tau_mem, tau_syn):
    """The derivatives of the integral of `response_integral` by tau_mem and by tau_syn."""
    a, b, decay = x * (rate + 1.0 / tau_mem), x * (rate + 1.0 / tau_syn), math.exp(-rate * x)
    by_mem = decay * double_psp(x, tau_mem, tau_syn)
    if rate > 0.0:
        by_mem += x * x * (x * rate) * third_difference(b, a)
    return -by_mem / (tau_mem * tau_mem), x * x * x / (tau_mem * tau_syn * tau_syn) * third_difference(a, b)


@kernel
def start_integrals(duration, rate, tau_mem):
    """The integrals over the duration of e^{-rate t}, of e^{-rate t - t/tau_mem}, and d/dtau_mem of the second."""
    near = duration * (rate + 1.0 / tau_mem)
    # the integral of u e^{-near u} over 0 <= u <= 1; by its series where the quotient would cancel
    first = term = 0.5
    if near > 0.5:
        first = (_mean_decay(near) - math.exp(-near)) / near
    else:
        for n in range(1, 16):
            term *= -near * (n + 1) / (n * (n + 2))
            first += term
    by_tau = duration * duration * first / (tau_mem * tau_mem)
    return duration * _mean_decay(duration * rate), duration * _mean_decay(near), by_tau


@entry
def write_series(s, tau_mem, tau_syn):
    """Fill s (4, DEGREE + 1), zero on entry, with the Taylor coefficients in t of the four functions of a window.

    Rows: e^{-t/tau_syn}, psp, psp convolved with e^{-t/tau_syn}, psp convolved with e^{-t/tau_mem}.
    """
    s[0, 0] = 1.0
    for p in range(DEGREE):
        # each function solves a linear equation in the ones before it: compare powers of t
        s[0, p + 1] = -s[0, p] / (tau_syn * (p + 1))
        s[1, p + 1] = (s[0, p] - s[1, p]) / (tau_mem * (p + 1))
        s[2, p + 1] = (s[1, p] - s[2, p] / tau_syn) / (p + 1)
        s[3, p + 1] = (s[1, p] - s[3, p] / tau_mem) / (p + 1)


@inlined
def coefficients(series, k, row):
    """One row of table k as a tuple, for loops that should not read it again."""
    return (
        series[k, row, 0], series[k, row, 1], series[k, row, 2], series[k, row, 3],
        series[k, row, 4], series[k, row, 5], series[k, row, 6], series[k, row, 7],
        series[k, row, 8], series[k, row, 9], series[k, row, 10],
    )  # fmt: skip


@inlined
def estrin(c, x):
    """Polynomial of degree 10 with the coefficients ``c``: Estrin's scheme, half of whose steps need not wait."""
    x2 = x * x
    x4 = x2 * x2
    low = (c[0] + x * c[1]) + x2 * (c[2] + x * c[3])
    middle = (c[4] + x * c[5]) + x2 * (c[6] + x * c[7])
    high = (c[8] + x * c[9]) + x2 * c[10]
    return low + x4 * (middle + x4 * high)


@inlined
def polynomial(series, k, row, x):
    """Row ``row`` of table k of ``series`` at x: see `write_series`."""
    return estrin(coefficients(series, k, row), x)


@inlined
def responses(net, j, x):
    """(e^{-x/tau_mem}, e^{-x/tau_syn}, psp) of neuron j for a time x <= h ms."""
    k = net.neurons[j].series
    # the polynomials hold for a part of a long window, from which a response for twice the time follows
    x *= net.model.part
    decay_i, response = polynomial(net.model.series, k, 0, x), polynomial(net.model.series, k, 1, x)
    decay_v = decay_i + (net.neurons[j].tau_mem / net.neurons[j].tau_syn - 1.0) * response
    for _ in range(net.model.doublings):
        response *= decay_v + decay_i
        decay_v, decay_i = decay_v * decay_v, decay_i * decay_i
    return decay_v, decay_i, response


@inlined
def advance(net, j, v, i, x):
    """(V, I) of neuron j after x <= h ms without arrivals."""
    decay_v, decay_i, response = responses(net, j, x)
    return v * decay_v + i * response, i * decay_i


@inlined
def mode_growth(net, pop, window):
    """(e^{x/tau_mem}, e^{x/tau_syn}) of a modal population, for x from the end of a window to that of its stretch."""
    place = window & (net.stretch - 1)
    by_mem, by_syn = net.model.growth[pop, place, 0], net.model.growth[pop, place, 1]
    # the last window ends with the simulation
    cut = (window + 1) * net.h - net.duration
    if cut > 0.0:
        neuron = net.neurons[net.pops[pop].start]
        by_mem, by_syn = by_mem * math.exp(cut / neuron.tau_mem), by_syn * math.exp(cut / neuron.tau_syn)
    return by_mem, by_syn


@inlined
def mode_rise(net, pop, k, x):
    """(e^{t/tau_mem}, e^{t/tau_syn}) of a modal population, t from a block's start to x ms after that of window k."""
    neuron, rise = net.neurons[net.pops[pop].start], net.model.rise
    return rise[pop, k, 0] * math.exp(x / neuron.tau_mem), rise[pop, k, 1] * math.exp(x / neuron.tau_syn)


@inlined
def mode_fall(net, pop, k):
    """(e^{-t/tau_mem}, e^{-t/tau_syn}) of a modal population, t from a block's start to that of its window k."""
    return net.model.fall[pop, k, 0], net.model.fall[pop, k, 1]


@inlined
def clean(x):
    """x, or zero in place of a negligible number."""
    return x if abs(x) > NEGLIGIBLE else 0.0


@kernel
def forget_small(values, lost, at, n):
    """Set to zero what is negligible of n states from a place on, with what rounding took from them."""
    for j in range(n):
        if abs(values[at + j]) <= NEGLIGIBLE:
            values[at + j] = lost[j] = 0.0


@inlined
def is_other(net, j):
    """True where neuron j has not the same time constants as the one before it, whose constants then serve."""
    return j == 0 or net.neurons[j].series != net.neurons[j - 1].series


@inlined
def step_on(x, step, lost):
    """(x + step + lost, what rounding took from it): a state carried from window to window (Kahan's summation).

    A window that is short beside the time constant changes the state by little, so the rounding of ``step`` does not
    count, and that of the sum is given back in the next window. A product with e^{-h/tau} would be wrong by a rounding
    for each window. ``lost``: what the last step returned.
    """
    step += lost
    total = x + step
    return total, step - (total - x)


@inlined
def leap_on(x, added, decay, fall, lost):
    """As `step_on`, over a silence of any length in which x decays by ``decay`` = 1 + ``fall`` and ``added`` comes."""
    if decay > 0.5:
        x, lost = step_on(x, x * fall + added, lost)
        return clean(x), lost
    return clean(x * decay + added), 0.0
