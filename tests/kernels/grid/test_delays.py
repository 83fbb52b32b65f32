"""Spikes that arrive later, against the sums that the kernels' descriptions write, in one order: equal to the bit.

Hazards: samples or neurons that a range or a later group of samples passes over; arrivals after the end that are
written somewhere; a sum taken in another order.
"""

import numpy as np
import pytest

from eventsnn.kernels import grid
from eventsnn.kernels.grid.delays import GROUP

N_SAMPLES, N_STEPS, N_PRE, N_POST, N_LAGS, LAG = 2 * GROUP + 3, 11, 5, 7, 4, 2


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def drawn(request):
    """A function from a shape to random numbers, and (sample, step, neuron, value) of spikes, by neurons, and them."""
    rng, dtype = np.random.default_rng(7), request.param
    values = (rng.integers(0, 3, (N_SAMPLES, N_STEPS, N_PRE)) * (rng.random((N_SAMPLES, N_STEPS, N_PRE)) < 0.4)).astype(
        dtype
    )
    spikes = [(b, t, j, values[b, t, j]) for j in range(N_PRE) for b, t in np.argwhere(values[:, :, j])]
    assert spikes[-1][0] >= 2 * GROUP and max(t for _, t, _, _ in spikes) == N_STEPS - 1
    return lambda *shape: rng.normal(size=shape).astype(dtype), spikes, values


def in_parts(kernel, n, *arguments):
    """Call a kernel as threads do, on ranges that make up 0..n."""
    for part in ((0, 1), (1, n - 1), (n - 1, n)):
        kernel(*arguments, *part)


def test_spread_adds_the_taps_of_each_spike(drawn):
    draw, spikes, values = drawn
    taps, found = draw(N_PRE, N_LAGS, N_POST), draw(N_SAMPLES, N_STEPS, N_POST)
    expected = found.copy()
    for b, t, j, value in spikes:
        for k in range(min(N_LAGS, N_STEPS - t - LAG)):
            expected[b, t + LAG + k] += value * taps[j, k]
    in_parts(grid.spread, N_SAMPLES, values, taps, LAG, found)
    assert np.array_equal(found, expected)


def test_spread_gradient_adds_what_each_spike_met(drawn):
    draw, spikes, values = drawn
    inputs, found = draw(N_SAMPLES, N_STEPS, N_POST), draw(N_PRE, N_LAGS, N_POST)
    expected = found.copy()
    for b, t, j, value in spikes:
        for k in range(min(N_LAGS, N_STEPS - t - LAG)):
            expected[j, k] += value * inputs[b, t + LAG + k]
    in_parts(grid.spread_gradient, N_PRE, values, inputs, LAG, found)
    assert np.array_equal(found, expected)


def test_delay_and_its_gradient_keep_to_the_neuron(drawn):
    draw, spikes, values = drawn
    taps, lags, found = draw(N_LAGS, N_PRE), np.arange(N_PRE) + 1, draw(N_SAMPLES, N_STEPS, N_PRE)
    by_spike, d_sent = draw(N_PRE, N_LAGS), draw(N_SAMPLES, N_STEPS, N_PRE)
    expected, by_tap = found.copy(), by_spike.copy()
    for b, t, j, value in spikes:
        for k in range(min(N_LAGS, N_STEPS - t - lags[j])):
            expected[b, t + lags[j] + k, j] += value * taps[k, j]
        for k in range(min(N_LAGS, N_STEPS - t)):
            by_tap[j, k] += value * d_sent[b, t + k, j]
    in_parts(grid.delay, N_SAMPLES, values, taps, lags, found)
    in_parts(grid.delay_gradient, N_PRE, values, d_sent, by_spike)
    assert np.array_equal(found, expected) and np.array_equal(by_spike, by_tap)
