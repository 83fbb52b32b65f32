"""Adam and SGD against their textbook formulas."""

import math

import numpy as np
import pytest

from eventsnn.optimizers import SGD, Adam
from eventsnn.optimizers import base as module
from tests.optimizers.steps import SHAPES, draw, run


def adam_textbook(params, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Algorithm 1 of Kingma & Ba 2015, line by line."""
    theta = {k: v.copy() for k, v in params.items()}
    m = {k: np.zeros_like(v) for k, v in params.items()}
    v = {k: np.zeros_like(x) for k, x in params.items()}
    for t, grads in enumerate(gradients, start=1):
        for name, g in grads.items():
            m[name] = beta1 * m[name] + (1 - beta1) * g
            v[name] = beta2 * v[name] + (1 - beta2) * g**2
            m_hat = m[name] / (1 - beta1**t)
            v_hat = v[name] / (1 - beta2**t)
            theta[name] = theta[name] - rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return theta


@pytest.mark.parametrize("block", [4, module.BLOCK])
def test_adam_agrees_with_the_textbook_to_1e_15(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    params, _ = run(Adam(0.01), steps=40)
    expected = adam_textbook(draw(0), [draw(step + 1) for step in range(40)], 0.01)
    for name in SHAPES:
        assert np.all(np.abs(params[name] - expected[name]) <= 1e-15 * np.maximum(1.0, np.abs(expected[name])))


def test_first_adam_step_moves_by_the_rate_against_the_sign():
    params = {"w": np.array([1.0, 1.0, 1.0])}
    optimizer = Adam(0.25, epsilon=1e-300)
    moved, _ = optimizer.step(params, {"w": np.array([3.0, -1e-3, 1e5])}, optimizer.initialize(params))
    assert np.allclose(moved["w"], [0.75, 1.25, 0.75], rtol=0, atol=1e-15)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_agrees_with_the_recurrence(nesterov):
    params, _ = run(SGD(0.01, momentum=0.9, nesterov=nesterov), steps=20)
    theta, velocity = draw(0), {name: np.zeros(shape) for name, shape in SHAPES.items()}
    for step in range(20):
        for name, g in draw(step + 1).items():
            velocity[name] = 0.9 * velocity[name] + g
            theta[name] = theta[name] - 0.01 * (g + 0.9 * velocity[name] if nesterov else velocity[name])
    for name in SHAPES:
        assert np.allclose(params[name], theta[name], rtol=1e-14, atol=1e-15)


def test_plain_sgd_keeps_no_moments():
    params, state = run(SGD(0.5), steps=1)
    assert (
        params["in->hidden.weight"].tolist()
        == (draw(0)["in->hidden.weight"] - 0.5 * draw(1)["in->hidden.weight"]).tolist()
    )
    assert not any(key.startswith("velocity") for key in state)


@pytest.mark.parametrize("kind", [Adam, SGD])
def test_minimises_a_badly_scaled_bowl(kind):
    scales = np.array([1.0, 30.0])
    optimizer = Adam(0.05) if kind is Adam else SGD(0.02, momentum=0.8)
    params = {"x": np.array([3.0, -2.0])}
    state = optimizer.initialize(params)
    for _ in range(600):
        params, state = optimizer.step(params, {"x": scales * (params["x"] - 1.0)}, state)
    assert np.abs(params["x"] - 1.0).max() < 1e-3


def test_decoupled_and_coupled_weight_decay():
    params = {"a.weight": np.array([2.0]), "a.delay": np.array([2.0])}
    zero = {name: np.zeros(1) for name in params}
    coupled, decoupled = SGD(0.1, weight_decay=0.5), Adam(0.1, weight_decay=0.5, decoupled=True)
    for optimizer in (coupled, decoupled):
        moved, _ = optimizer.step(params, zero, optimizer.initialize(params))
        assert moved["a.weight"][0] == pytest.approx(2.0 * (1 - 0.1 * 0.5), abs=1e-15)
        assert moved["a.delay"][0] == 2.0
    plain_adam = Adam(0.1, weight_decay=0.5)
    moved, state = plain_adam.step(params, zero, plain_adam.initialize(params))
    assert state["first/a.weight"][0] == pytest.approx(0.1 * 0.5 * 2.0)
    assert moved["a.weight"][0] == pytest.approx(1.9)


def test_late_gradients_get_their_own_bias_correction():
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    optimizer = Adam(0.1)
    state = optimizer.initialize(params)
    for _ in range(50):
        params, state = optimizer.step(params, {"a": np.ones(1)}, state)
    params, state = optimizer.step(params, {"b": np.ones(1)}, state)
    assert params["b"][0] == pytest.approx(-0.1, abs=1e-8)


def test_moments_of_silent_parameters_end_in_zero_not_in_denormals():
    params = {"w": np.ones(3)}
    optimizer = Adam(1e-3)
    state = optimizer.initialize(params)
    params, state = optimizer.step(params, {"w": np.array([1e-280, 1.0, 1e-8])}, state)
    smallest = math.inf
    for _ in range(7_000):
        params, state = optimizer.step(params, {"w": np.zeros(3)}, state)
        positive = state["first/w"][state["first/w"] > 0]
        smallest = min(smallest, *positive) if positive.size else smallest
    assert not state["first/w"].any()
    assert smallest > np.finfo(np.float64).tiny
