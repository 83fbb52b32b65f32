"""Schedules against their formulas, at their corners and as JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.optimizers import ConstantRate, Cosine, EaseIn, Exponential, OneCycle, Product, Schedule


def test_ease_in():
    schedule = EaseIn(1e-2)
    assert schedule(0) == 1e-2
    assert schedule(10) == pytest.approx(1e-2 * 1.05**10, rel=1e-15)
    assert schedule(94) < 1.0 == schedule(95) == schedule(10**9)
    assert EaseIn(0.5, 1.0)(10**9) == 0.5
    assert EaseIn(1.0)(0) == 1.0


def test_exponential():
    schedule = Exponential(0.9975, every=34)
    assert [schedule(step) for step in (0, 33, 34, 68)] == [1.0, 1.0, 0.9975, 0.9975**2]
    assert Exponential(0.5)(10**6) == 0.0


def test_cosine():
    schedule = Cosine(100, final=0.1)
    assert schedule(0) == 1.0
    assert schedule(50) == pytest.approx(0.55, rel=1e-15)
    assert schedule(100) == schedule(10**6) == 0.1
    assert all(schedule(step) > schedule(step + 1) for step in range(100))


def test_one_cycle_reaches_its_three_corners():
    schedule = OneCycle(100, peak=5.0)
    assert schedule(0) == 5.0 / 25
    assert schedule(29) == 5.0
    assert schedule(99) == schedule(500) == pytest.approx(5.0 / 25 / 1e4, rel=1e-15)
    # Written out from the definition: a quarter of the way up and halfway down.
    assert schedule(7.25) == pytest.approx(0.2 + 4.8 * (1 - math.cos(math.pi / 4)) / 2, rel=1e-14)
    assert schedule(64) == pytest.approx((5.0 + 2e-5) / 2, rel=1e-14)
    values = [schedule(step) for step in range(100)]
    assert np.argmax(values) == 29
    assert np.all(np.diff(values[:30]) > 0) and np.all(np.diff(values[29:]) < 0)


@pytest.mark.parametrize("total", [1, 2, 3, 5])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
def test_one_cycle_of_a_few_steps(total, warmup):
    schedule = OneCycle(total, warmup=warmup)
    values = [schedule(step) for step in range(total + 3)]
    assert all(0 < value <= 1.0 for value in values)
    assert values[-1] == values[-2]


def test_products_of_schedules_and_numbers():
    schedule = 0.5 * EaseIn(0.1) * Cosine(200)
    assert isinstance(schedule, Product)
    for step in (0, 7, 100):
        assert schedule(step) == pytest.approx(0.5 * EaseIn(0.1)(step) * Cosine(200)(step), rel=1e-15)


SCHEDULES = [
    ConstantRate(),
    EaseIn(0.01),
    Exponential(0.9, 3),
    Cosine(50),
    OneCycle(50),
    0.5 * Cosine(9) * EaseIn(1e-3),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_schedules_survive_json(schedule):
    back = Schedule.from_dict(json.loads(json.dumps(schedule.to_dict(), allow_nan=False)))
    assert back == schedule
    assert [back(step) for step in range(60)] == [schedule(step) for step in range(60)]


@given(st.sampled_from(SCHEDULES), st.integers(0, 10**7))
def test_factors_are_finite_and_not_negative(schedule, step):
    assert 0.0 <= schedule(step) < math.inf
