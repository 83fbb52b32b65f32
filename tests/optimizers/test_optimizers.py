"""Optimizers: agreement with the textbook formulas, purity, schedules, bounds, clipping, refusals, JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.errors import InvalidInput, NotFinite
from eventsnn.optimizers import (
    SGD,
    Adam,
    ConstantRate,
    Cosine,
    EaseIn,
    Exponential,
    OneCycle,
    Optimizer,
    Product,
    Schedule,
)
from eventsnn.optimizers import base as module
from eventsnn.random import stream

SHAPES = {"in->hidden.weight": (7, 5), "hidden->hidden.delay": (5, 5), "hidden.tau_mem": (), "out.weight": (0, 3)}
BOTH = [Adam(0.01), SGD(0.01), SGD(0.01, momentum=0.9), SGD(0.01, momentum=0.9, nesterov=True)]


def draw(seed, shapes=None):
    rng = stream(seed, "optimizers")
    return {name: np.asarray(rng.normal(size=shape)) for name, shape in (shapes or SHAPES).items()}


def run(optimizer, steps=10, bounds=None):
    params = draw(0)
    state = optimizer.initialize(params)
    for step in range(steps):
        params, state = optimizer.step(params, draw(step + 1), state, bounds)
    return params, state


def as_bytes(arrays):
    return {name: (array.shape, array.dtype.str, array.tobytes()) for name, array in arrays.items()}


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


# ------------------------------------------------------------------------------------------------------ formulas


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


def test_weight_decay_by_pattern_last_match_wins():
    params = {"a.weight": np.array([1.0]), "b.weight": np.array([1.0])}
    optimizer = SGD(1.0, weight_decay={"*": 0.25, "b.*": 0.0})
    moved, _ = optimizer.step(params, {name: np.zeros(1) for name in params}, optimizer.initialize(params))
    assert (moved["a.weight"][0], moved["b.weight"][0]) == (0.75, 1.0)


# -------------------------------------------------------------------------------------------------------- purity


@pytest.mark.parametrize("optimizer", BOTH, ids=repr)
def test_repetition_gives_the_same_bytes(optimizer):
    first, second = run(optimizer), run(optimizer)
    assert as_bytes(first[0]) == as_bytes(second[0])
    assert as_bytes(first[1]) == as_bytes(second[1])


@pytest.mark.parametrize("optimizer", [*BOTH, Adam(clip_value=0.1, clip_norm=0.1, weight_decay=0.1)], ids=repr)
def test_inputs_are_not_modified(optimizer):
    params, grads = draw(0), draw(1)
    state = optimizer.initialize(params)
    before = [as_bytes(arrays) for arrays in (params, grads, state)]
    for arrays in (params, grads, state):
        for array in arrays.values():
            array.flags.writeable = False
    optimizer.step(params, grads, state, bounds={"hidden->hidden.delay": (0.0, 1.0)})
    assert [as_bytes(arrays) for arrays in (params, grads, state)] == before


@pytest.mark.parametrize("optimizer", BOTH, ids=repr)
def test_memory_layout_and_block_size_do_not_matter(optimizer, monkeypatch):
    plain = {"w": stream(1, "w").normal(size=(30, 40))}
    fortran = {"w": np.asfortranarray(plain["w"])}
    one = optimizer.step(plain, plain, optimizer.initialize(plain))
    monkeypatch.setattr(module, "BLOCK", 7)
    two = optimizer.step(fortran, fortran, optimizer.initialize(fortran))
    for a, b in zip(one, two, strict=True):
        assert as_bytes(a) == as_bytes(b)


@pytest.mark.parametrize("optimizer", BOTH, ids=repr)
def test_parameters_without_gradient_stay(optimizer):
    params = draw(0)
    state = optimizer.initialize(params)
    moved, after = optimizer.step(params, {"hidden.tau_mem": np.array(1.0)}, state)
    assert list(moved) == list(params)
    for name in params:
        assert (moved[name] is params[name]) == (name != "hidden.tau_mem")
    assert after["updates/in->hidden.weight"] == 0
    assert after["updates/hidden.tau_mem"] == after["step"] == 1


def test_late_gradients_get_their_own_bias_correction():
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    optimizer = Adam(0.1)
    state = optimizer.initialize(params)
    for _ in range(50):
        params, state = optimizer.step(params, {"a": np.ones(1)}, state)
    params, state = optimizer.step(params, {"b": np.ones(1)}, state)
    assert params["b"][0] == pytest.approx(-0.1, abs=1e-8)


def test_only_the_names_asked_for_have_moments():
    params = draw(0)
    optimizer = Adam()
    state = optimizer.initialize(params, names=["hidden.tau_mem"])
    assert [key for key in state if key.startswith("first/")] == ["first/hidden.tau_mem"]
    with pytest.raises(InvalidInput, match=r"in->hidden\.weight"):
        optimizer.step(params, {"in->hidden.weight": np.zeros((7, 5))}, state)


def test_state_holds_only_numpy_arrays():
    _, state = run(Adam())
    assert all(type(value) is np.ndarray for value in state.values())
    assert state["step"].dtype == np.int64 and state["step"].shape == () and state["step"] == 10


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


# ------------------------------------------------------------------------------------------- rates and schedules


def test_last_matching_pattern_wins():
    optimizer = Adam(
        1e-3,
        schedule=ConstantRate(0.5),
        learning_rates={"*.delay": 0.2, "hidden*": (0.1, ConstantRate(1.0)), "hidden.tau_mem": ConstantRate(2.0)},
    )
    optimizer.initialize(draw(0))
    rates = optimizer.rates([*SHAPES, "in->out.delay"], 0)
    assert rates == {
        "in->hidden.weight": 0.5e-3,
        "hidden->hidden.delay": 0.1,
        "hidden.tau_mem": 2e-3,
        "out.weight": 0.5e-3,
        "in->out.delay": 0.1,
    }


def test_the_rate_of_a_step_is_used_in_that_step():
    optimizer = SGD(1.0, schedule=Exponential(0.5), learning_rates={"b": 3.0})
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    state = optimizer.initialize(params)
    for _ in range(3):
        params, state = optimizer.step(params, {name: -np.ones(1) for name in params}, state)
    assert (params["a"][0], params["b"][0]) == (1.75, 5.25)


@pytest.mark.parametrize("option", ["learning_rates", "weight_decay"])
def test_a_pattern_that_matches_nothing_lists_the_names(option):
    with pytest.raises(InvalidInput, match=r"\*\.dealy.*hidden->hidden\.delay, hidden\.tau_mem, in->hidden\.weight"):
        Adam(**{option: {"*.dealy": 0.2}}).initialize(draw(0))


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


# ----------------------------------------------------------------------------------------- bounds and clipping


def test_bounds_hold_after_every_step_and_hits_are_counted():
    params = {"d": np.array([0.1, 0.0, 10.0, 9.9]), "w": np.array([0.0])}
    grads = {"d": np.array([1.0, 0.0, 0.0, -1.0]), "w": np.array([1.0])}
    optimizer = SGD(1.0, bounds={"d": (0.0, 10.0)})
    moved, state = optimizer.step(params, grads, optimizer.initialize(params))
    assert moved["d"].tolist() == [0.0, 0.0, 10.0, 10.0]
    assert moved["w"].tolist() == [-1.0]
    assert state["projected/d"] == 2 and state["projected/w"] == 0
    _, state = optimizer.step(moved, grads, state)
    assert state["projected/d"] == 4


def test_bounds_of_the_step_replace_the_optimizer_s_own():
    params, grads = {"d": np.array([1.0])}, {"d": np.array([5.0])}
    optimizer = SGD(1.0, bounds={"d": (0.0, None)})
    state = optimizer.initialize(params)
    assert optimizer.step(params, grads, state)[0]["d"][0] == 0.0
    assert optimizer.step(params, grads, state, bounds={"d": (0.5, math.inf)})[0]["d"][0] == 0.5
    assert optimizer.step(params, grads, state, bounds={})[0]["d"][0] == -4.0


def test_clipping_by_global_norm():
    params = {"a": np.zeros(2), "b": np.zeros(())}
    grads = {"a": np.array([2.0, 3.0]), "b": np.array(6.0)}
    optimizer = SGD(1.0, clip_norm=3.5)
    moved, state = optimizer.step(params, grads, optimizer.initialize(params))
    assert np.allclose([*moved["a"], moved["b"]], [-1.0, -1.5, -3.0], rtol=1e-15)
    assert state["clipped_steps"] == 1
    loose = SGD(1.0, clip_norm=7.0)
    moved, state = loose.step(params, grads, loose.initialize(params))
    assert moved["b"] == -6.0 and state["clipped_steps"] == 0


def test_clipping_by_value_comes_before_the_norm():
    params = {"a": np.zeros(3)}
    grads = {"a": np.array([300.0, -4.0, 0.0])}
    optimizer = SGD(1.0, clip_value=4.0)
    moved, state = optimizer.step(params, grads, optimizer.initialize(params))
    assert moved["a"].tolist() == [-4.0, 4.0, 0.0]
    assert state["clipped_entries"] == 1 and state["clipped_steps"] == 0
    both = SGD(1.0, clip_value=4.0, clip_norm=math.sqrt(8.0))
    moved, state = both.step(params, grads, both.initialize(params))
    assert np.allclose(moved["a"], [-2.0, 2.0, 0.0], rtol=1e-15)
    assert state["clipped_steps"] == 1


@pytest.mark.parametrize("size", [1e-200, 1e200, 1.7e308])
def test_the_norm_neither_overflows_nor_underflows(size):
    params = {"a": np.zeros(4)}
    optimizer = SGD(1.0, clip_norm=size)
    moved, state = optimizer.step(params, {"a": np.full(4, -size)}, optimizer.initialize(params))
    assert np.allclose(moved["a"] / size, 0.5, rtol=1e-14)
    assert state["clipped_steps"] == 1


def test_a_zero_gradient_passes_the_norm_clip():
    params = {"a": np.ones(4), "b": np.ones(0)}
    optimizer = SGD(1.0, clip_norm=1.0)
    moved, state = optimizer.step(params, {"a": np.zeros(4), "b": np.zeros(0)}, optimizer.initialize(params))
    assert moved["a"].tolist() == [1.0] * 4 and state["clipped_steps"] == 0


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("optimizer", BOTH, ids=repr)
def test_a_gradient_that_is_not_finite_names_array_index_and_step(optimizer, bad):
    params, state = run(optimizer, steps=3)
    grads = draw(9)
    grads["hidden->hidden.delay"][3, 2] = bad
    before = as_bytes(params), as_bytes(state)
    with pytest.raises(NotFinite, match=r"hidden->hidden\.delay\[3, 2\].*at step 3; no update") as caught:
        optimizer.step(params, grads, state)
    assert caught.value.step == 3
    assert (as_bytes(params), as_bytes(state)) == before


def test_a_nan_beyond_the_first_block_is_found(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 8)
    params = {"w": np.zeros((5, 6))}
    grads = {"w": np.zeros((5, 6))}
    grads["w"][4, 5] = math.nan
    with pytest.raises(NotFinite, match=r"w\[4, 5\]"):
        Adam().step(params, grads, Adam().initialize(params))


def test_an_update_that_overflows_is_refused():
    params = {"w": np.array([1.0]), "v": np.array([-1.7e308])}
    huge = {"w": np.array([1e200])}
    with pytest.raises(NotFinite, match="update of w"):
        Adam().step(params, huge, Adam().initialize(params))
    with pytest.raises(NotFinite, match="update of v"):
        SGD(1.0).step(params, {"v": np.array([1.7e308])}, SGD(1.0).initialize(params))


@pytest.mark.parametrize(
    ("grads", "named"),
    [
        ({"w ": np.zeros(3)}, "gradients is 'w '"),
        ({"w": np.zeros(4)}, "gradient of w"),
        ({"w": np.zeros((3, 1))}, "gradient of w"),
        ({"w": np.zeros(3, dtype=np.float32)}, "gradient of w"),
        ({"w": None}, "gradient of w"),
    ],
)
def test_gradients_that_do_not_fit(grads, named):
    params = {"w": np.zeros(3)}
    with pytest.raises(InvalidInput, match=named):
        SGD(0.1).step(params, grads, SGD(0.1).initialize(params))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"step": None}, r"state\['step'\]"),
        ({"step": np.array(-1)}, r"state\['step'\]"),
        ({"step": np.array(1.5)}, r"state\['step'\]"),
        ({"updates/w": None}, "updates/w"),
        ({"first/w": None}, "first/w"),
        ({"second/w": np.zeros(4)}, "second/w"),
        ({"second/w": np.zeros(3, dtype=np.float32)}, "second/w"),
        ({"second/w": [0.0, 0.0, 0.0]}, "second/w"),
    ],
)
def test_a_state_that_does_not_fit(change, named):
    params = {"w": np.zeros(3)}
    state = {**Adam().initialize(params), **change}
    state = {key: value for key, value in state.items() if value is not None}
    with pytest.raises(InvalidInput, match=named):
        Adam().step(params, {"w": np.ones(3)}, state)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"w": np.array([0.0, math.nan])}, r"w\[\(1,\)\]"),
        ({"w": np.array([1, 2])}, "w is dtype"),
        ({"w": [1, 2]}, "w is dtype"),
    ],
)
def test_parameters_that_cannot_be_trained(params, named):
    with pytest.raises(InvalidInput, match=named):
        Adam().initialize(params)


def test_unknown_names_in_bounds_and_names():
    params = {"w": np.zeros(1)}
    with pytest.raises(InvalidInput, match="bounds is 'd'"):
        Adam(bounds={"d": (0, 1)}).initialize(params)
    with pytest.raises(InvalidInput, match="bounds is 'd'"):
        Adam().step(params, {}, Adam().initialize(params), bounds={"d": (0, 1)})
    with pytest.raises(InvalidInput, match="names is 'd'"):
        Adam().initialize(params, names=["d"])


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: Adam(-1.0), "learning_rate"),
        (lambda: Adam(math.nan), "learning_rate"),
        (lambda: Adam("fast"), "learning_rate"),
        (lambda: Adam(10**400), "learning_rate"),
        (lambda: Adam(betas=(0.9, 1.0)), "betas"),
        (lambda: Adam(betas=0.9), "betas"),
        (lambda: Adam(epsilon=0.0), "epsilon"),
        (lambda: Adam(schedule=0.5), "schedule"),
        (lambda: Adam(learning_rates={"*": "0.1"}), "learning_rates"),
        (lambda: Adam(learning_rates={"*": -0.1}), "learning_rates"),
        (lambda: Adam(learning_rates={3: 0.1}), "learning_rates"),
        (lambda: Adam(learning_rates={"*": (0.1, 0.5)}), "learning_rates"),
        (lambda: Adam(weight_decay=-1e-5), "weight_decay"),
        (lambda: Adam(weight_decay={"*": math.nan}), "weight_decay"),
        (lambda: Adam(clip_norm=0.0), "clip_norm"),
        (lambda: Adam(clip_value=math.inf), "clip_value"),
        (lambda: Adam(bounds={"d": (1.0, 0.0)}), "bounds"),
        (lambda: Adam(bounds={"d": (math.nan, 0.0)}), "bounds"),
        (lambda: Adam(bounds={"d": (math.inf, math.inf)}), "bounds"),
        (lambda: Adam(bounds={"d": 0.0}), "bounds"),
        (lambda: Adam(bounds={"d": (np.zeros(2), 1.0)}), "bounds"),
        (lambda: SGD(0.1, momentum=1.0), "momentum"),
        (lambda: SGD(0.1, nesterov=True), "nesterov"),
        (lambda: EaseIn(0.0), "EaseIn.start"),
        (lambda: EaseIn(0.1, 0.99), "EaseIn.growth"),
        (lambda: Exponential(1.1), "Exponential.decay"),
        (lambda: Exponential(0.9, 0), "Exponential.every"),
        (lambda: Cosine(0), "Cosine.total_steps"),
        (lambda: Cosine(10.5), "Cosine.total_steps"),
        (lambda: Cosine(10, -0.1), "Cosine.final"),
        (lambda: OneCycle(10, warmup=1.5), "OneCycle.warmup"),
        (lambda: OneCycle(10, start_div=0.0), "OneCycle.start_div"),
        (lambda: Product(Cosine(3), 2.0), "Product.second"),
        (lambda: Cosine(3) * "x", "ConstantRate.factor"),
    ],
)
def test_bad_options_are_refused_by_name(build, named):
    with pytest.raises(InvalidInput, match=named):
        build()


# ----------------------------------------------------------------------------------------------------------- JSON


OPTIMIZERS = [
    *BOTH,
    Adam(
        schedule=OneCycle(10),
        learning_rates={
            "*.delay": 0.2,
            "*->*": (None, 0.5 * Cosine(7)),
            "h*": (1.0, EaseIn(0.1)),
            "hidden.*": Cosine(5),
        },
        bounds={"hidden->hidden.delay": (0.0, math.inf), "hidden.tau_mem": (-1.0, 30.0)},
        clip_norm=1.0,
        clip_value=0.5,
        weight_decay={"*.weight": 1e-2, "in*": 0.0},
        decoupled=True,
    ),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_optimizers_survive_json_with_sorted_keys(optimizer):
    text = json.dumps(optimizer.to_dict(), allow_nan=False, sort_keys=True)
    back = Optimizer.from_dict(json.loads(text))
    assert back == optimizer
    assert list(back.learning_rates) == list(optimizer.learning_rates)
    assert as_bytes(run(back)[0]) == as_bytes(run(optimizer)[0])


@pytest.mark.parametrize(
    "description",
    [
        None,
        {},
        {"kind": "lion"},
        {"kind": ["adam"]},
        {"kind": "adam", "speed": 3},
        {"kind": "sgd"},
        {"kind": "adam", "learning_rates": [["*"]]},
        {"kind": "adam", "learning_rates": 3},
        {"kind": "adam", "weight_decay": 3},
        {"kind": "adam", "schedule": {"kind": "cosine"}},
        {"kind": "adam", "schedule": {"kind": "product", "first": {"kind": "constant"}, "second": 3}},
        {"kind": "adam", "bounds": {"w": 3}},
    ],
)
def test_from_dict_refuses_what_to_dict_never_wrote(description):
    with pytest.raises(InvalidInput):
        Optimizer.from_dict(description)
