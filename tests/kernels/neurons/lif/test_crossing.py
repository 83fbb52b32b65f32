"""The first threshold crossing: no missed and no phantom spike, times to rounding, and the written rules."""

import mpmath
import numba
import numpy as np
import pytest

from eventsnn.engines.reference import lif as reference
from eventsnn.kernels.neurons.lif.crossing import CrossingConstants, Outcome, crossing, crossing_below_rest
from eventsnn.kernels.neurons.lif.membrane import flow, peak_time

N_STATES = 1_000_000
# A state counts if its voltage comes no closer to the threshold than this without crossing it, or passes it by as much.
MARGIN = 1e-12
EPS = np.finfo(float).eps


@numba.njit
def cross(v, i, dt, tau_mem, tau_syn, threshold):
    v_end, i_end = flow(v, i, dt, tau_mem, tau_syn)
    return crossing(v, i, v_end, i_end, dt, CrossingConstants(tau_mem, tau_syn, threshold, threshold))


@numba.njit
def cross_all(states):
    outcomes, times, slopes = np.empty(len(states), np.int64), np.empty(len(states)), np.empty(len(states))
    for k in range(len(states)):
        v, i, dt, tau_mem, tau_syn, threshold = states[k]
        outcomes[k], times[k], slopes[k] = cross(v, i, dt, tau_mem, tau_syn, threshold)
    return outcomes, times, slopes


@numba.njit
def cross_below_rest(states):
    outcomes, times, slopes = np.empty(len(states), np.int64), np.empty(len(states)), np.empty(len(states))
    for k in range(len(states)):
        v, i, dt, tau_mem, tau_syn, threshold = states[k]
        v_end, i_end = flow(v, i, dt, tau_mem, tau_syn)
        neuron = CrossingConstants(tau_mem, tau_syn, threshold, -threshold)
        outcomes[k], times[k], slopes[k] = crossing_below_rest(v, i, v_end, i_end, dt, neuron)
    return outcomes, times, slopes


def random_states(n, seed=0):
    """(V, I, dt, tau_mem, tau_syn, threshold): below threshold, half of them with a peak close to it."""
    rng = np.random.default_rng(seed)
    tau_mem = rng.uniform(2.0, 50.0, n)
    apart = rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-17, 0, n)
    # a third of them with the ratio that has a closed form, and some with one close to it, which has none
    half = np.where(rng.random(n) < 0.8, 0.5, 0.5 + 10.0 ** rng.uniform(-16, -3, n))
    tau_syn = tau_mem * np.where(rng.random(n) < 0.4, half, np.where(apart <= -0.95, 0.3, 1.0 + apart))
    threshold = rng.uniform(0.2, 2.0, n)
    v = threshold * rng.uniform(-3.0, 1.0, n)
    i = threshold * rng.uniform(-1.0, 12.0, n)
    dt = tau_syn * 10.0 ** rng.uniform(-4, 1, n)
    return np.column_stack([v, i, dt, tau_mem, tau_syn, threshold])


@numba.njit
def voltage(state, t):
    """V after t ms, with another formula than the kernels': the response to a unit jump through sinh(x)/x."""
    v, i, _, tau_mem, tau_syn, _ = state
    half = 0.5 * t * (1 / tau_syn - 1 / tau_mem)
    ratio = 1.0 if half == 0 else np.sinh(half) / half
    unit = t / tau_mem * np.exp(-0.5 * t * (1 / tau_mem + 1 / tau_syn)) * ratio
    return v * np.exp(-t / tau_mem) + i * unit


@numba.njit
def highest(states):
    """The largest voltage on [0, dt], by golden-section search: V has at most one maximum after a rising start."""
    golden, tops = 0.5 * (np.sqrt(5.0) - 1.0), np.empty(len(states))
    for k in range(len(states)):
        state = states[k]
        low, high = 0.0, state[2]
        left, right = high - golden * (high - low), golden * (high - low)
        v_left, v_right = voltage(state, left), voltage(state, right)
        for _ in range(42):  # leaves 2e-9 of the interval, hence 4e-18 of the curvature
            if v_left < v_right:
                low, left, v_left = left, right, v_right
                right = low + golden * (high - low)
                v_right = voltage(state, right)
            else:
                high, right, v_right = right, left, v_left
                left = high - golden * (high - low)
                v_left = voltage(state, left)
        tops[k] = max(v_left, v_right, state[0], voltage(state, state[2]))
    return tops


def aimed(states, seed=1):
    """(states, highest voltages): the states with their threshold moved close to the latter, on either side."""
    rng = np.random.default_rng(seed)
    top = highest(states)
    good = top > np.maximum(states[:, 0], 0.0) * (1 + 1e-9) + 1e-3
    states, top = states[good], top[good]
    offset = rng.choice([-1, 1], len(states)) * 10.0 ** rng.uniform(-12, -1, len(states))
    states[:, 5] = top * (1.0 + offset)
    below = states[:, 5] > states[:, 0]
    return states[below], top[below]


def test_no_spike_is_missed_and_none_is_invented():
    plain = random_states(N_STATES * 7 // 10)
    near, tops = aimed(random_states(N_STATES, seed=2))
    states = np.concatenate([plain, near])
    margin = np.concatenate([highest(plain), tops]) / states[:, 5] - 1.0
    clear = np.abs(margin) >= MARGIN
    states, margin = states[clear], margin[clear]
    assert len(states) >= N_STATES
    outcomes, times, slopes = cross_all(states)
    missed = (margin > 0) & (outcomes != Outcome.FIRES)
    phantom = (margin < 0) & (outcomes == Outcome.FIRES)
    assert np.sum(missed) == 0, states[missed][:3]
    assert np.sum(phantom) == 0, states[phantom][:3]
    fired = outcomes == Outcome.FIRES
    assert 0.2 < np.mean(fired) < 0.8
    assert np.all((times[fired] >= 0) & (times[fired] <= states[fired, 2])) and np.all(slopes[fired] > 0)
    # each is the first crossing: V stays below threshold before it
    for k in np.flatnonzero(fired)[::50]:
        for fraction in (0.3, 0.9, 0.999):
            assert times[k] == 0 or voltage(states[k], fraction * times[k]) < states[k, 5]
    # a graze is reported just below threshold, and nowhere else
    assert np.all(np.abs(margin[outcomes == Outcome.GRAZES]) <= 2e-6)


def test_a_neuron_that_fires_by_itself_crosses_once_whether_it_falls_first_or_not():
    states = random_states(200_000, seed=9)
    states[:, 5] *= -1.0  # below where U rests
    states[:, 0] = states[:, 5] * (1.0 + np.abs(states[:, 0]))
    states[:, 1] = states[:, 0] * np.random.default_rng(10).uniform(-1.0, 4.0, len(states))
    states[:, 2] *= 3.0
    outcomes, times, slopes = cross_below_rest(states)
    ends = np.array([voltage(state, state[2]) for state in states[::20]])
    clear = np.abs(ends / states[::20, 5] - 1.0) >= MARGIN
    assert np.array_equal(outcomes[::20][clear] == Outcome.FIRES, (ends > states[::20, 5])[clear])
    fired = np.flatnonzero(outcomes == Outcome.FIRES)
    assert 0.2 < fired.size / len(states) < 0.8
    assert np.mean(states[fired, 1] < states[fired, 0]) > 0.2  # these fall first
    for k in fired[::20]:
        state, threshold = states[k], states[k, 5]
        assert slopes[k] > 0 and 0 < times[k] <= state[2]
        # U has some 1e-16 of the largest term, and no other crossing before
        terms = max(abs(state[0]), abs(state[1]))
        assert abs(voltage(state, times[k]) - threshold) <= 50 * EPS * terms
        assert all(voltage(state, part * times[k]) < threshold for part in (0.01, 0.3, 0.9, 0.999))
    assert np.all(times[outcomes == Outcome.SILENT] == 0.0)


def test_spike_times_are_right_to_rounding():
    states = np.concatenate([random_states(5000, 5), aimed(random_states(5000, 6), 7)[0]])
    outcomes, times, slopes = cross_all(states)
    fired = np.flatnonzero((outcomes == Outcome.FIRES) & (times > 0) & (slopes > 1e-7))[:2500]
    assert fired.size >= 1500
    worst = 0.0
    with mpmath.workdps(50):
        for k in fired:
            v, i, _, tau_mem, tau_syn, threshold = (mpmath.mpf(float(x)) for x in states[k])
            t = mpmath.mpf(float(times[k]))
            for _ in range(4):
                decay = mpmath.exp(-t / tau_mem)
                unit = (
                    t / tau_mem * decay
                    if tau_mem == tau_syn
                    else tau_syn / (tau_mem - tau_syn) * (decay - mpmath.exp(-t / tau_syn))
                )
                v_t, i_t = v * decay + i * unit, i * mpmath.exp(-t / tau_syn)
                slope = (i_t - v_t) / tau_mem
                t += (threshold - v_t) / slope
            # V is a difference of terms as large as |V0| and I psp: that is what its rounding is measured by
            size = max(threshold, abs(v) * decay, abs(i) * unit)
            error = abs(mpmath.mpf(float(times[k])) - t) / (EPS * (t + size / slope))
            worst = max(worst, float(error))
            flat = float(slope * tau_mem)
            assert slopes[k] == pytest.approx(flat, rel=1e-12, abs=50 * EPS * float(size) * (1 + float(size) / flat))
    assert worst <= 8.0


def test_reference_finds_the_same_crossings():
    states = np.concatenate([random_states(600, 8), aimed(random_states(600, 9), 10)[0]])
    outcomes, times, _ = cross_all(states)
    margin = highest(states) / states[:, 5] - 1.0
    for k in np.flatnonzero(np.abs(margin) > 1e-9):
        v, i, dt, tau_mem, tau_syn, threshold = states[k]
        t, _ = reference.first_crossing(v, i, reference.Constants(tau_mem, tau_syn, threshold, 0.0, 0.0, 0.0))
        fires = t is not None and t < dt
        assert fires == (outcomes[k] == Outcome.FIRES)
        if fires:
            assert t == pytest.approx(times[k], abs=1e-9)


# The closed form, for tau_mem = 20; the search, one rounding from it and further away.
both_ways = pytest.mark.parametrize("tau_syn", [10.0, float(np.nextafter(10.0, 11.0)), 8.0, 20.0])


@pytest.mark.parametrize(
    ("v", "i", "dt", "outcome"),
    [
        (0.0, 0.9, 50.0, Outcome.SILENT),  # the current never exceeds the threshold
        (0.0, 1.0, 50.0, Outcome.SILENT),  # nor does one that equals it
        (1.0, 0.5, 50.0, Outcome.SILENT),  # at threshold, but falling
        (1.0, 1.0, 50.0, Outcome.SILENT),  # at threshold, but flat
        (1.0, 1.5, 50.0, Outcome.FIRES),  # at threshold and rising: at once
        (0.5, -3.0, 50.0, Outcome.SILENT),
        (-2.0, 30.0, 50.0, Outcome.FIRES),
        (0.0, 30.0, 0.0, Outcome.SILENT),  # no time to rise
        (0.0, 30.0, 1e-3, Outcome.SILENT),
        (1.0, 1.5, 0.0, Outcome.SILENT),  # no time at all: arrivals at that instant act first
        (1.0, 1.5, 1e-300, Outcome.SILENT),  # nor time to exceed the threshold
        (1.0, 1.5, 1e-12, Outcome.FIRES),
        (1.0 + 1e-14, 1.5, 0.0, Outcome.SILENT),  # beyond it, by rounding, arrivals still act first
        (1.0 + 2.3e-16, 1.5, 50.0, Outcome.FIRES),  # then it fires at once
        (1.0, 1.0 + 4.4e-16, 50.0, Outcome.SILENT),  # no more than rounding above the threshold
        (1.0, 1.0 + 1e-8, 50.0, Outcome.GRAZES),  # at threshold, with a current that lifts V by less than rounding
        (1.0, 1.0 + 1e-6, 50.0, Outcome.FIRES),  # by 2.5e-13
    ],
)
@both_ways
def test_rules(v, i, dt, outcome, tau_syn):
    found, time, slope = cross(v, i, dt, 20.0, tau_syn, 1.0)
    assert found == outcome
    if outcome == Outcome.FIRES:
        assert slope > 0 and time >= 0.0 and (time == 0.0) == (v >= 1.0)


def weight_to_threshold(tau_syn):
    """The jump of I whose response, of a neuron at rest with tau_mem = 20, peaks at exactly 1 but for a rounding."""
    with mpmath.workdps(40):
        ratio = mpmath.mpf(20.0) / mpmath.mpf(tau_syn)
        return float(mpmath.e if ratio == 1 else ratio ** (ratio / (ratio - 1)))


@both_ways
def test_graze_is_named_on_both_sides_of_the_peak(tau_syn):
    weight = weight_to_threshold(tau_syn)
    neuron = reference.Constants(20.0, tau_syn, 1.0, reset=0.0, start=0.0, rest=0.0)
    for shortfall, outcome in (
        (1e-3, Outcome.SILENT),
        (1e-5, Outcome.SILENT),
        (5e-7, Outcome.GRAZES),
        (1e-9, Outcome.GRAZES),
    ):
        assert cross(0.0, weight * (1 - shortfall), 60.0, 20.0, tau_syn, 1.0)[0] == outcome
    # a peak that exceeds the threshold by no more than rounding touches it, like one that equals it
    for excess in (0.0, 1e-15, 3e-15):
        assert cross(0.0, weight * (1 + excess), 60.0, 20.0, tau_syn, 1.0)[0] == Outcome.GRAZES
        assert reference.first_crossing(0.0, weight * (1 + excess), neuron) == (None, True)
    for excess in (1e-14, 1e-13, 1e-9, 1e-3):
        assert reference.first_crossing(0.0, weight * (1 + excess), neuron)[0] is not None
        outcome, time, slope = cross(0.0, weight * (1 + excess), 60.0, 20.0, tau_syn, 1.0)
        assert outcome == Outcome.FIRES and slope > 0
        if tau_syn == 10.0:
            # V = 1 where y (1 - y) = 1/w, y = e^{-t/tau_mem}
            y = 0.5 * (1 + np.sqrt(max(0.0, 1 - 1 / (1 + excess))))
            assert time == pytest.approx(-20.0 * np.log(y), abs=1e-6 if excess < 1e-9 else 1e-9)


@both_ways
def test_a_peak_that_comes_after_the_next_arrival_does_not_count(tau_syn):
    weight = 1.25 * weight_to_threshold(tau_syn)
    ratio = 20.0 / tau_syn
    peak = 20.0 if ratio == 1.0 else 20.0 * np.log(ratio) / (ratio - 1.0)
    assert cross(0.0, weight, peak, 20.0, tau_syn, 1.0)[0] == Outcome.FIRES
    first = cross(0.0, weight, 60.0, 20.0, tau_syn, 1.0)[1]
    assert first < peak
    assert cross(0.0, weight, first * (1 - 1e-9), 20.0, tau_syn, 1.0)[0] == Outcome.SILENT
    assert cross(0.0, weight, first * (1 + 1e-9), 20.0, tau_syn, 1.0)[0] == Outcome.FIRES


def test_the_closed_form_and_the_search_find_the_same():
    states = np.concatenate([random_states(30_000, 21), aimed(random_states(30_000, 22), 23)[0]])
    states[:, 4] = 0.5 * states[:, 3]
    near = states.copy()
    near[:, 4] = np.nextafter(states[:, 4], np.inf)  # which has no closed form
    (outcomes, times, slopes), (others, other_times, other_slopes) = cross_all(states), cross_all(near)
    assert np.mean(outcomes != others) < 2e-4  # contacts that rounding decides
    both = np.flatnonzero((outcomes == Outcome.FIRES) & (others == Outcome.FIRES))
    # how well a crossing is known: the rounding of the largest term over the slope, and of the time
    terms = np.abs(states[both, :2]).max(axis=1) + states[both, 5]
    known = 40 * EPS * (times[both] + states[both, 3] * terms / slopes[both])
    assert both.size > 5_000 and np.all(np.abs(times[both] - other_times[both]) <= known + 1e-9 * (slopes[both] < 1e-5))
    assert np.median(np.abs(slopes[both] / other_slopes[both] - 1)) < 1e-14


@pytest.mark.parametrize("left", [0.6, 0.5, 0.4, 0.1, 1e-2, 1e-3, 1e-5])
def test_late_crossings_in_closed_form_are_as_good_as_their_state(left):
    # far below threshold with a large current: V passes it when e^{-t/tau_mem} is down to ``left``
    i = 3.0 / left**2
    v = 4.0 / left - i
    with mpmath.workdps(50):
        total, current = mpmath.mpf(v) + mpmath.mpf(i), mpmath.mpf(i)
        y = (total + mpmath.sqrt(total**2 - 4 * current)) / (2 * current)
        t, slope = -20 * mpmath.log(y), y * mpmath.sqrt(total**2 - 4 * current)
    outcome, time, found = cross(v, i, float(t) * 1.01, 20.0, 10.0, 1.0)
    size = max(1, abs(v) * y, current * y * y)
    assert outcome == Outcome.FIRES and abs(time - t) <= 4 * EPS * (t + 20 * size / slope)
    assert abs(found - slope) <= 8 * EPS * size * (1 + size / slope)


def test_a_slope_is_left_where_rounding_takes_it():
    # far below threshold V at the window's end is known worse than its peak: it may exceed what the peak does not reach
    rng, n = np.random.default_rng(3), 20_000
    v, i = np.full(n, -1e6), 1e6 * (1.0 + 10.0 ** rng.uniform(-4, -2, n))
    peak, end = 0.25 * (v + i) ** 2 / i, -20.0 * np.log(0.5 * (v + i) / i)
    threshold = peak * (1.0 + 3e-13 * rng.uniform(-1.0, 1.0, n))
    states = np.column_stack([v, i, end, np.full(n, 20.0), np.full(n, 10.0), threshold])
    outcomes, times, slopes = cross_all(states)
    fired = outcomes == Outcome.FIRES
    assert (fired & (peak < threshold)).any() and np.all(slopes[fired] > 0.0)
    assert np.all((times[fired] >= 0.0) & (times[fired] <= end[fired]))


def test_a_closed_peak_does_not_cancel():
    # V0 + (I0 - V0)^2/(4 I0) would be wrong by a rounding of V0, which is more than a contact is given
    v, i, threshold = -4842.713498552177, 7035.619732242673, 170.87470374929399
    with mpmath.workdps(50):
        above = (mpmath.mpf(v) + mpmath.mpf(i)) ** 2 / (4 * mpmath.mpf(i)) / mpmath.mpf(threshold) - 1
    assert above < 5e-15 and cross(v, i, 80.0, 20.0, 10.0, threshold)[0] == Outcome.GRAZES


@both_ways
def test_a_window_that_ends_in_a_contact_leaves_the_spike_to_the_next(tau_syn):
    weight = 2.0 * weight_to_threshold(tau_syn)
    _, time, slope = cross(0.0, weight, 60.0, 20.0, tau_syn, 1.0)
    for above, outcome in ((2.5e-15, Outcome.SILENT), (2e-14, Outcome.FIRES)):
        assert cross(0.0, weight, time + above * 20.0 / slope, 20.0, tau_syn, 1.0)[0] == outcome


@both_ways
@pytest.mark.parametrize("power", [-40, -400, -512, -700, -900, 300])
def test_crossings_do_not_depend_on_the_unit_of_voltages(power, tau_syn):
    # hazard: squares of small numbers, which vanish
    unit = 2.0**power
    for k, state in enumerate(random_states(300, 31)):
        v, i, dt, threshold = *state[:3], state[5]
        outcome, time, slope = cross(v, i, dt, 20.0, tau_syn, threshold)
        found = cross(v * unit, i * unit, dt, 20.0, tau_syn, threshold * unit)
        assert found[0] == outcome, k
        assert found[1] == pytest.approx(time, rel=1e-11, abs=1e-300)
        assert found[2] == pytest.approx(slope * unit, rel=1e-9)


def test_peak_time_agrees_with_the_search():
    search = numba.njit(lambda v, i, tau_mem, tau_syn: peak_time(v, i, tau_mem, tau_syn))
    states = random_states(2000, 11)
    states[:, 2] = 100.0
    tops = highest(states)
    for (v, i, _, tau_mem, tau_syn, _), top in zip(states, tops, strict=True):
        t = search(v, i, tau_mem, tau_syn)
        if i > v and t < 100.0:
            assert voltage(np.array([v, i, 100.0, tau_mem, tau_syn, 1.0]), t) == pytest.approx(
                top, rel=1e-12, abs=1e-12
            )
