"""A step of an optimiser: purity, bounds, clipping, refusals, descriptions."""

import dataclasses
import json
import math

import numpy as np
import pytest

from eventsnn import Network, Uniform
from eventsnn.errors import InvalidInput, NotFinite
from eventsnn.optimizers import SGD, Adam, Cosine, EaseIn, Exponential, OneCycle, Optimizer
from eventsnn.optimizers import base as module
from eventsnn.random import stream
from tests.optimizers.steps import draw, run

BOTH = [Adam(0.01), SGD(0.01), SGD(0.01, momentum=0.9), SGD(0.01, momentum=0.9, nesterov=True)]


def as_bytes(arrays):
    return {name: (array.shape, array.dtype.str, array.tobytes()) for name, array in arrays.items()}


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


def test_the_rate_of_a_step_is_used_in_that_step():
    optimizer = SGD(1.0, schedule=Exponential(0.5), learning_rates={"b": 3.0})
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    state = optimizer.initialize(params)
    for _ in range(3):
        params, state = optimizer.step(params, {name: -np.ones(1) for name in params}, state)
    assert (params["a"][0], params["b"][0]) == (1.75, 5.25)


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


def test_bounds_may_differ_from_entry_to_entry_in_every_block():
    n = 2 * module.BLOCK + 5
    low, high = np.linspace(-1.0, 0.0, n), np.linspace(0.5, 1.5, n)
    params = {"a": np.full(n, 0.25), "b": np.zeros((2, 3))}
    state = SGD(1.0).initialize(params)
    both = np.arange(6.0).reshape(2, 3)
    down, counted = SGD(1.0).step(
        params, {"a": np.full(n, 9.0), "b": np.ones((2, 3))}, state, bounds={"a": (low, high), "b": (both - 3.0, None)}
    )
    assert np.array_equal(down["a"], low) and np.array_equal(down["b"], np.maximum(both - 3.0, -1.0))
    assert counted["projected/a"] == n and counted["projected/b"] == 3
    up, _ = SGD(1.0).step(params, {"a": np.full(n, -9.0)}, state, bounds={"a": (-1.0, high)})
    assert np.array_equal(up["a"], high)
    for wrong in ((low[1:], high), (low, np.full(n, np.nan)), (high, low)):
        with pytest.raises(InvalidInput, match=r"^bounds\['a'\]"):
            SGD(1.0).step(params, {"a": np.zeros(n)}, state, bounds={"a": wrong})


def reset_and_threshold():
    """A network whose bounds() holds arrays: each reset ends below the threshold of its own neuron."""
    network = Network()
    network.add_input("in", 2)
    network.add_lif("a", 3, v_threshold=np.array([1.0, 2.0, 3.0]), v_reset=np.zeros(3), train="v_reset")
    network.add_lif("b", 2, tau_mem=20.0, train="tau_mem")
    network.connect("in", "a", weight=1.0, delay=Uniform(0.0, 5.0))
    network.connect("a", "b", weight=1.0)
    assert np.shape(network.bounds()["a.v_reset"][1]) == (3,)
    return network


def test_the_bounds_of_a_network_are_those_of_an_optimizer():
    network = reset_and_threshold()
    params, optimizer = network.initialize(0), SGD(1.0, bounds=network.bounds())
    grads = {name: np.full(np.shape(params[name]), -100.0) for name in network.trainable}
    state = optimizer.initialize(params)
    moved, counted = optimizer.step(params, grads, state)
    assert moved["a.v_reset"].tolist() == network.bounds()["a.v_reset"][1].tolist() != [100.0] * 3
    assert counted["projected/a.v_reset"] == 3 and counted["projected/in->a.weight"] == 0
    given, _ = SGD(1.0).step(params, grads, state, bounds=network.bounds())
    assert as_bytes(moved) == as_bytes(given)
    back = Optimizer.from_dict(json.loads(json.dumps(optimizer.to_dict(), allow_nan=False)))
    assert back == optimizer and as_bytes(back.step(params, grads, state)[0]) == as_bytes(moved)


def test_bounds_of_an_optimizer_reach_every_entry_and_keep_none_of_the_callers():
    params, low = {"w": np.zeros((2, 3))}, np.array([-1.0, -2.0, -math.inf])
    optimizer = SGD(1.0, bounds={"w": (low, np.array([[5.0], [7.0]]))})
    low[:] = 0.0
    state = optimizer.initialize(params)
    assert optimizer.step(params, {"w": np.full((2, 3), 9.0)}, state)[0]["w"].tolist() == [[-1.0, -2.0, -9.0]] * 2
    assert optimizer.step(params, {"w": np.full((2, 3), -9.0)}, state)[0]["w"].tolist() == [[5.0] * 3, [7.0] * 3]
    assert optimizer.to_dict()["bounds"] == {"w": [[-1.0, -2.0, None], [[5.0], [7.0]]]}
    assert optimizer == Optimizer.from_dict(optimizer.to_dict()) != SGD(1.0, bounds={"w": (-1.0, None)})
    for unfit in (np.zeros(2), np.zeros((1, 2, 3))):
        with pytest.raises(InvalidInput, match=r"^bounds\['w'\] is .*of shape \(2, 3\)"):
            SGD(1.0, bounds={"w": (unfit, None)}).initialize(params)
        with pytest.raises(InvalidInput, match=r"^bounds\['w'\] is .*of shape \(2, 3\)"):
            SGD(1.0, bounds={"w": (unfit, None)}).step(params, {}, state)


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
        ({"w": np.array([0.0, math.nan])}, r"w\[1\]"),
        ({"w": np.array([1, 2])}, "w is dtype"),
        ({"w": [1, 2]}, "w is dtype"),
    ],
)
def test_parameters_that_cannot_be_trained(params, named):
    with pytest.raises(InvalidInput, match=named):
        Adam().initialize(params)


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


def test_bounds_of_entries_cannot_be_changed_and_are_equal_number_by_number():
    @dataclasses.dataclass(frozen=True)
    class Own(SGD):
        pass

    high = np.array([1.0, 2.0])
    one, same, other = (Own(0.1, bounds={"w": (0.0, values)}) for values in (high, (1.0, 2.0), [1.0, 3.0]))
    high[0] = 7.0
    assert one == same and one != other and one.bounds["w"][1].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        one.bounds["w"][1][0] = 7.0


@pytest.mark.parametrize("none", [None, np.inf, np.float32(np.inf), np.array(np.inf), float("inf")])
def test_every_way_to_say_no_bound_is_one(none):
    assert SGD(0.1, bounds={"w": (np.array(0.0), none)}) == SGD(0.1, bounds={"w": (0.0, None)})
