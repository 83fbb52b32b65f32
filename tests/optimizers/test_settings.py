"""Settings by pattern, the last that matches, and refusals by name."""

import math

import numpy as np
import pytest

from eventsnn.errors import InvalidInput
from eventsnn.optimizers import SGD, Adam, ConstantRate, Cosine, EaseIn, Exponential, OneCycle, Optimizer, Product
from eventsnn.optimizers.settings import check_within, joint_bounds
from tests.optimizers.steps import SHAPES, draw


def test_weight_decay_by_pattern_last_match_wins():
    params = {"a.weight": np.array([1.0]), "b.weight": np.array([1.0])}
    optimizer = SGD(1.0, weight_decay={"*": 0.25, "b.*": 0.0})
    moved, _ = optimizer.step(params, {name: np.zeros(1) for name in params}, optimizer.initialize(params))
    assert (moved["a.weight"][0], moved["b.weight"][0]) == (0.75, 1.0)


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


@pytest.mark.parametrize("option", ["learning_rates", "weight_decay"])
def test_a_pattern_that_matches_nothing_lists_the_names(option):
    with pytest.raises(InvalidInput, match=r"\*\.dealy.*hidden->hidden\.delay, hidden\.tau_mem, in->hidden\.weight"):
        Adam(**{option: {"*.dealy": 0.2}}).initialize(draw(0))


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
        (lambda: Adam(bounds={"d": (np.array([0.0, 2.0]), 1.0)}), "bounds.*low <= high"),
        (lambda: Adam(bounds={"d": (np.zeros(2), np.ones(3))}), "bounds.*of one shape"),
        (lambda: Adam(bounds={"d": (np.array([0.0, math.nan]), 1.0)}), "bounds.*nan"),
        (lambda: Adam(bounds={"d": (0.0, np.array([1.0, -math.inf]))}), "bounds.*-inf"),
        (lambda: Adam(bounds={"d": (np.array([True, False]), 1.0)}), "bounds.*bool"),
        (lambda: Adam(bounds={"d": ([0.0, "1"], 2.0)}), "bounds"),
        (lambda: Adam(bounds={"d": ([0.0, [1.0, 2.0]], 2.0)}), "bounds"),
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


def test_bounds_of_each_entry_join_with_one_for_all_and_name_the_entry_that_is_outside():
    own = {"a.v_reset": (-math.inf, np.array([0.5, 2.0, 1.0])), "a.v_threshold": (1.0, math.inf)}
    joint = joint_bounds(own, {"a.v_reset": (0.0, 1.5), "a.v_threshold": (0.5, 3.0)})
    assert joint["a.v_threshold"] == (1.0, 3.0) and joint["a.v_reset"][0] == 0.0
    assert joint["a.v_reset"][1].tolist() == [0.5, 1.5, 1.0]
    check_within({"a.v_reset": np.array([0.5, 1.5, 0.0]), "a.v_threshold": np.array(2.0)}, joint)
    with pytest.raises(InvalidInput, match=r"^a.v_reset\[2\] is 1.25; allowed: numbers from 0 to 1, the bounds"):
        check_within({"a.v_reset": np.array([0.5, 1.5, 1.25]), "a.v_threshold": np.array(2.0)}, joint)
