"""The neuron between events in closed form: flow, integrals, peak and first crossing of the threshold."""

from .arithmetic import FLOAT, real

GRAZING = 1e-6
# A voltage that does not exceed the threshold by more than this part of it has not crossed it (section 1).
CONTACT = 5e-15


def _relative_growth(x, arithmetic):
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


def flow(v, i, t, tau_mem, tau_syn, arithmetic=FLOAT):
    """(V, I) of a membrane after t ms without arrivals (docs/mathematics.md, section 1)."""
    slow, fast = (tau_mem, tau_syn) if real(tau_mem) >= real(tau_syn) else (tau_syn, tau_mem)
    difference = (slow - fast) / (slow * fast)
    psp = t / tau_mem * arithmetic.exp(-t / slow) * _relative_growth(t * difference, arithmetic)
    return v * arithmetic.exp(-t / tau_mem) + i * psp, i * arithmetic.exp(-t / tau_syn)


def _triangle_mean(a, b, arithmetic):
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


def integrals(t, rate, tau_mem, tau_syn, arithmetic=FLOAT):
    """The integrals of e^{-rate u} V over 0 <= u <= t, after V = 1 at u = 0, and after I = 1 (section 4)."""
    a, b = t * (rate + 1 / tau_mem), t * (rate + 1 / tau_syn)
    return t * _relative_growth(a, arithmetic), t * t / tau_mem * _triangle_mean(a, b, arithmetic)


def peak_time(v, i, tau_mem, tau_syn, arithmetic=FLOAT):
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


def first_crossing(v, i, neuron, arithmetic=FLOAT):
    """Time until V next reaches the threshold from below if nothing arrives, or None; and whether it grazes.

    ``neuron``: (tau_mem, tau_syn, v_threshold). The real root is bracketed by now and the peak and bisected; Newton
    steps then carry it into the arithmetic at hand.
    """
    tau_mem, tau_syn, threshold = neuron
    level = real(threshold) * (1 + CONTACT)
    if real(i) <= max(level, real(v)):
        return None, False
    top = peak_time(v, i, tau_mem, tau_syn, arithmetic)
    if top is None:
        return None, False
    v_top, _ = flow(v, i, top, tau_mem, tau_syn, arithmetic)
    if real(v_top) <= level:
        return None, real(v_top) > real(threshold) * (1 - GRAZING)
    if real(v) >= real(threshold):
        return 0 * i, False
    reals = [real(x) for x in (v, i, tau_mem, tau_syn, threshold)]
    t = _bisect(*reals, real(top))
    for _ in range(arithmetic.newton_steps):
        v_t, i_t = flow(v, i, t, tau_mem, tau_syn, arithmetic)
        t = t + (threshold - v_t) * tau_mem / (i_t - v_t)
    _, i_t = flow(v, i, t, tau_mem, tau_syn, arithmetic)
    return t, real(i_t - threshold) < GRAZING * real(threshold)


def _bisect(v, i, tau_mem, tau_syn, threshold, high):
    low = 0.0
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return high
        if flow(v, i, middle, tau_mem, tau_syn)[0] < threshold:
            low = middle
        else:
            high = middle
