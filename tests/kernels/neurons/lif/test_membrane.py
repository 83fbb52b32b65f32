"""The closed-form membrane flow against mpmath, through tau_mem = tau_syn and far from it."""

import mpmath
import numba
import numpy as np
import pytest

from eventsnn.engines.reference import lif as reference
from eventsnn.kernels.neurons.lif import membrane

# `kernel` functions have no wrapper for Python: these have.
psp = numba.njit(lambda t, tau_mem, tau_syn: membrane.psp(t, tau_mem, tau_syn))
flow = numba.njit(lambda v, i, t, tau_mem, tau_syn: membrane.flow(v, i, t, tau_mem, tau_syn))
peak_time = numba.njit(lambda v, i, tau_mem, tau_syn: membrane.peak_time(v, i, tau_mem, tau_syn))
double_psp = numba.njit(lambda x, tau_one, tau_two: membrane.double_psp(x, tau_one, tau_two))
third_difference = numba.njit(lambda a, b: membrane.third_difference(a, b))
integral_by_taus = numba.njit(lambda x, rate, tau_mem, tau_syn: membrane.integral_by_taus(x, rate, tau_mem, tau_syn))
polynomial = numba.njit(lambda series, k, row, x: membrane.polynomial(series, k, row, x))

APART = [0.0, *(10.0**-k for k in range(16, 0, -1))]
RATIOS = [1 + sign * apart for apart in APART for sign in (1, -1)] + [0.01, 0.1, 0.25, 0.5, 2.0, 4.0, 10.0, 100.0]
TIMES = [1e-12, 1e-6, 1e-3, 0.1, 0.3, 0.7, 1.0, 1.9, 3.3, 5.0, 7.7, 10.0]  # in units of tau_mem
BAR = 2e-15


def exact_psp(t, tau_mem, tau_syn):
    """The response of V to a unit jump of I, in the working precision of mpmath."""
    t, a, b = mpmath.mpf(t), mpmath.mpf(tau_mem), mpmath.mpf(tau_syn)
    if a == b:
        return t / a * mpmath.exp(-t / a)
    return b / (a - b) * (mpmath.exp(-t / a) - mpmath.exp(-t / b))


def relative(value, exact):
    return float(abs((mpmath.mpf(value) - exact) / exact))


@pytest.mark.parametrize(
    "function", [psp, lambda *a: flow(0.0, 1.0, *a)[0], lambda *a: reference.flow(0.0, 1.0, *a)[0]]
)
@pytest.mark.parametrize("tau_mem", [20.0, 9.7])
def test_psp_keeps_its_digits(function, tau_mem):
    worst = 0.0
    with mpmath.workdps(60):
        for ratio in RATIOS:
            tau_syn = tau_mem * ratio
            for factor in TIMES:
                t = factor * min(tau_mem, tau_syn)
                worst = max(worst, relative(function(t, tau_mem, tau_syn), exact_psp(t, tau_mem, tau_syn)))
    assert worst <= BAR


def test_psp_keeps_its_digits_on_random_times():
    rng = np.random.default_rng(0)
    worst = 0.0
    with mpmath.workdps(60):
        for _ in range(2000):
            tau_mem = rng.uniform(1.0, 50.0)
            tau_syn = tau_mem * (1.0 + rng.choice([-1, 1]) * 10.0 ** rng.uniform(-17, -0.5))
            t = rng.uniform(0, 10.0) * min(tau_mem, tau_syn)
            worst = max(worst, relative(psp(t, tau_mem, tau_syn), exact_psp(t, tau_mem, tau_syn)))
    assert worst <= BAR


@pytest.mark.parametrize("ratio", RATIOS)
def test_flow_is_linear_in_its_state(ratio):
    tau_mem, t = 20.0, 7.3
    tau_syn = tau_mem * ratio
    with mpmath.workdps(60):
        decay = mpmath.exp(-mpmath.mpf(t) / tau_mem)
        v = mpmath.mpf(0.7) * decay + mpmath.mpf(1.9) * exact_psp(t, tau_mem, tau_syn)
        i = mpmath.mpf(1.9) * mpmath.exp(-mpmath.mpf(t) / mpmath.mpf(tau_syn))
        for function in (flow, reference.flow):
            now_v, now_i = function(0.7, 1.9, t, tau_mem, tau_syn)
            assert relative(now_v, v) <= BAR
            # the argument of exp is rounded: its relative error grows with its size
            assert relative(now_i, i) <= BAR * max(1.0, t / tau_syn / 5)


@pytest.mark.parametrize("ratio", RATIOS)
def test_peak_time_is_where_voltage_equals_current(ratio):
    tau_mem = 20.0
    tau_syn = tau_mem * ratio
    for v, i in ((0.0, 1.0), (0.3, 1.0), (-2.0, 1.0), (0.5, 0.6)):
        t = peak_time(v, i, tau_mem, tau_syn)
        theirs = reference.peak_time(v, i, tau_mem, tau_syn)
        if theirs is None:
            assert t == np.inf
            continue
        assert t == pytest.approx(theirs, rel=1e-12)
        with mpmath.workdps(60):
            decay = mpmath.exp(-mpmath.mpf(t) / tau_mem)
            v_t = v * decay + i * exact_psp(t, tau_mem, tau_syn)
            i_t = i * mpmath.exp(-mpmath.mpf(t) / mpmath.mpf(tau_syn))
            assert abs(float(v_t - i_t)) <= 1e-14


@pytest.mark.parametrize(("v", "i", "ratio"), [(-5.0, -1.0, 0.5), (-1.0, -0.9, 1.0), (-4.0, 1.0, 0.4)])
def test_a_voltage_that_only_recovers_has_no_peak(v, i, ratio):
    tau_mem, tau_syn = 20.0, 20.0 * ratio
    t = peak_time(v, i, tau_mem, tau_syn)
    theirs = reference.peak_time(v, i, tau_mem, tau_syn)
    with mpmath.workdps(40):
        times = [mpmath.mpf(k) / 10 for k in range(1, 4000)]
        gaps = [
            i * mpmath.exp(-s / tau_syn) - v * mpmath.exp(-s / tau_mem) - i * exact_psp(s, tau_mem, tau_syn)
            for s in times
        ]
    if all(gap > 0 for gap in gaps):
        assert t == np.inf and theirs is None
    else:
        first = next(float(s) for s, gap in zip(times, gaps, strict=True) if gap <= 0)
        assert first - 0.1 <= t <= first and t == pytest.approx(theirs)


@pytest.mark.parametrize("ratio", [1.0, 1 + 1e-12, 1 + 1e-5, 0.9, 0.5, 2.0, 10.0])
def test_double_psp_is_a_convolution(ratio):
    tau_one, tau_two = 20.0, 20.0 * ratio
    with mpmath.workdps(40):
        a, b = mpmath.mpf(tau_one), mpmath.mpf(tau_two)
        for x in (1e-3, 0.5, 3.0, 17.0, 60.0):
            # e^{-x/a} convolved with (x e^{-x/a}) convolved kernel: psp(x; b, a) = (e^{-x/a} * e^{-x/b})/b
            exact = mpmath.quad(lambda s, x=x: mpmath.exp(-(x - s) / a) * b * exact_psp(s, b, a), [0, x / 2, x])
            assert double_psp(x, tau_one, tau_two) == pytest.approx(float(exact), rel=2e-13)


@pytest.mark.parametrize("ratio", [1.0, 1 + 1e-9, 0.5, 2.0, 8.0])
def test_window_polynomials_are_the_functions_they_stand_for(ratio):
    tau_mem, tau_syn = 20.0, 20.0 * ratio
    h = membrane.TAU_FRACTION * min(tau_mem, tau_syn)
    series = np.zeros((1, 4, membrane.DEGREE + 1))
    membrane.write_series(series[0], tau_mem, tau_syn)
    with mpmath.workdps(40):
        a, b = mpmath.mpf(tau_mem), mpmath.mpf(tau_syn)
        for x in (0.0, 1e-9, 0.1 * h, 0.5 * h, h):
            exact = [
                mpmath.exp(-x / b),
                exact_psp(x, a, b),
                mpmath.quad(lambda s, x=x: mpmath.exp(-(x - s) / b) * exact_psp(s, a, b), [0, x]),
                mpmath.quad(lambda s, x=x: mpmath.exp(-(x - s) / a) * exact_psp(s, a, b), [0, x]),
            ]
            # the convolutions only serve gradients; they start with x^2, so that fewer of their terms are left
            for row, (value, bar) in enumerate(zip(exact, (1e-15, 2e-15, 5e-14, 5e-14), strict=True)):
                assert polynomial(series, 0, row, x) == pytest.approx(float(value), rel=bar, abs=1e-300)


@numba.njit
def response_integral_of(x, constants):
    return membrane.response_integral(x, constants[0])


def response_integral(x, rate, tau_mem, tau_syn):
    return response_integral_of(x, membrane.integral_constants(rate, np.array([tau_mem]), tau_syn))


def exact_integral(x, rate, tau_mem, tau_syn):
    """The integral of e^{-rate u} psp(u) from 0 to x, in the working precision of mpmath."""
    by_mem, by_syn = (-mpmath.expm1(-x * (rate + 1 / tau)) / (rate + 1 / tau) for tau in (tau_mem, tau_syn))
    return tau_syn / (tau_mem - tau_syn) * (by_mem - by_syn)


def integral_cases():
    """(x, rate, tau_mem, tau_syn): time constants from 0.1 to 1e15 ms, apart, close and equal, beside all durations."""
    rng = np.random.default_rng(4)
    for number in range(1200):
        tau_mem = 10.0 ** (rng.uniform(-1, 3) if number % 3 else rng.uniform(3, 15))
        apart = rng.choice([-1, 1]) * 10.0 ** rng.uniform(-17, -0.5)
        tau_syn = (tau_mem * 10.0 ** rng.uniform(-3, 3), tau_mem * (1 + apart), tau_mem, 5.0)[number % 4]
        least = min(tau_mem, tau_syn)
        x = 10.0 ** rng.uniform(-5, 1.5) * least if number % 5 else 10.0 ** rng.uniform(-2, 2)
        yield x, 0.0 if number % 2 else 10.0 ** rng.uniform(-4, 2) / least, tau_mem, tau_syn


def test_integrals_of_responses_and_their_derivatives_keep_their_digits():
    worst = np.zeros(4)
    # differences of a derivative in 120 digits, with equal time constants moved apart by the 60th
    with mpmath.workdps(240):
        step = mpmath.mpf(10) ** -60
        for case in integral_cases():
            x, rate, a, b = map(mpmath.mpf, case)
            b *= 1 if a != b else 1 + 3 * step
            exact = (
                exact_integral(x, rate, a, b),
                mpmath.exp(-rate * x) * exact_psp(x, a, b),
                (exact_integral(x, rate, a * (1 + step), b) - exact_integral(x, rate, a * (1 - step), b))
                / (2 * step * a),
                (exact_integral(x, rate, a, b * (1 + step)) - exact_integral(x, rate, a, b * (1 - step)))
                / (2 * step * b),
            )
            # the arguments of exponentials are rounded: their relative error grows with their size
            size = float(1 + x * (rate + 1 / a))
            found = (*response_integral(*case), *integral_by_taus(*case))
            for k, bar in enumerate((1.0, size, size, 1.0)):
                if abs(exact[k]) > 1e-280:
                    worst[k] = max(worst[k], relative(found[k], exact[k]) / bar)
    assert np.all(worst <= 4e-15), worst


@pytest.mark.parametrize("a", [1e-13, 0.3, 1.99, 2.01, 7.0, 60.0])
@pytest.mark.parametrize("b", [1e-13, 0.3, 1.99, 2.01, 7.0, 60.0])
def test_third_differences_on_both_sides_of_their_series(a, b):
    with mpmath.workdps(250):
        # the simplex that the divided difference is a mean over, in closed form for points apart
        apart = mpmath.mpf(10) ** -30
        points = [mpmath.mpf(0), -mpmath.mpf(a), -mpmath.mpf(b) * (1 + apart), -mpmath.mpf(b) * (1 - 2 * apart)]
        exact = mpmath.mpf(0)
        for one in points:
            product = mpmath.mpf(1)
            for other in points:
                product *= one - other if one != other else 1
            exact += mpmath.exp(one) / product
        assert relative(third_difference(a, b), exact) <= 1e-14
