"""Initializers: the distributions they promise, the parameters they refuse, their JSON round trip."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn.errors import InvalidInput
from eventsnn.network import Constant, Given, HalfNormal, Initializer, Kaiming, Normal, Orthogonal, Uniform
from eventsnn.network.initializers import as_initializer
from eventsnn.random import stream

EVERYWHERE = [
    Constant(1.5),
    Normal(0.03, 0.01),
    Uniform(-1.0, 10.0),
    HalfNormal(12.0),
    Kaiming(),
    Kaiming(1.0, "uniform"),
]
MATRICES = [*EVERYWHERE, Orthogonal(), Orthogonal(-0.5)]


def rng():
    return stream(7, "initializers")


@pytest.mark.parametrize("initializer", EVERYWHERE, ids=repr)
@pytest.mark.parametrize("shape", [(), (5,), (0,), (3, 4), (0, 4), (3, 0)])
def test_draw_has_the_shape_and_dtype_asked_for(initializer, shape):
    drawn = initializer.draw(rng(), shape, fan_in=3)
    assert isinstance(drawn, np.ndarray)
    assert drawn.shape == shape
    assert drawn.dtype == np.float64
    assert drawn.flags.writeable and drawn.flags.c_contiguous


@pytest.mark.parametrize("initializer", MATRICES, ids=repr)
def test_equal_streams_give_equal_bytes_and_another_seed_does_not(initializer):
    first, second = (initializer.draw(rng(), (6, 5)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    if not isinstance(initializer, Constant):
        assert first.tobytes() != initializer.draw(stream(8, "initializers"), (6, 5)).tobytes()


@pytest.mark.parametrize("initializer", MATRICES, ids=repr)
def test_no_draw_is_below_smallest(initializer):
    assert initializer.draw(rng(), (100, 100)).min() >= initializer.smallest


def test_smallest_of_each_kind():
    assert Constant(-2.0).smallest == -2.0
    assert Normal(5.0, 1.0).smallest == -math.inf
    assert Normal(5.0, 0.0).smallest == 5.0
    assert Uniform(1.0, 30.0).smallest == 1.0
    assert HalfNormal(12.0).smallest == 0.0
    assert Orthogonal(-3.0).smallest == -3.0
    assert Kaiming().smallest == -math.inf
    assert Kaiming(0.0).smallest == 0.0
    assert Kaiming(2.0, "uniform").smallest == -math.sqrt(3.0) * 2.0
    assert Given([[3.0, -4.0]]).smallest == -4.0
    assert Given([]).smallest == math.inf


@pytest.mark.parametrize(
    ("initializer", "mean", "sd"),
    [
        (Normal(0.03, 0.01), 0.03, 0.01),
        (Uniform(0.0, 150.0), 75.0, 150.0 / math.sqrt(12)),
        (HalfNormal(12.0), 12.0 * math.sqrt(2 / math.pi), 12.0 * math.sqrt(1 - 2 / math.pi)),
        (Kaiming(math.sqrt(2.0)), 0.0, math.sqrt(2.0 / 200)),
        (Kaiming(1.0, "uniform"), 0.0, math.sqrt(1.0 / 200)),
    ],
    ids=repr,
)
def test_mean_and_standard_deviation(initializer, mean, sd):
    drawn = initializer.draw(rng(), (200, 500))
    assert abs(drawn.mean() - mean) < 5 * sd / math.sqrt(drawn.size)
    assert abs(drawn.std() - sd) < 0.01 * sd


def test_kaiming_takes_fan_in_for_sparse_connections():
    given_by_keyword = Kaiming(1.0).draw(rng(), (10_000,), fan_in=16)
    assert abs(given_by_keyword.std() - 0.25) < 0.01
    matrix = Kaiming(1.0).draw(rng(), (16, 625))
    assert matrix.reshape(-1).tobytes() == given_by_keyword.tobytes()


@pytest.mark.parametrize("fan_in", [0, 0.5, -1, math.nan, math.inf, "3", True])
def test_kaiming_refuses_an_impossible_fan_in(fan_in):
    with pytest.raises(InvalidInput, match="fan_in"):
        Kaiming().draw(rng(), (4,), fan_in=fan_in)


def test_kaiming_needs_to_know_its_fan_in():
    with pytest.raises(InvalidInput, match="fan_in="):
        Kaiming().draw(rng(), (4,))


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (1, 1), (0, 3), (3, 0)])
def test_orthogonal_rows_or_columns(shape):
    matrix = Orthogonal(2.0).draw(rng(), shape) / 2.0
    product = matrix.T @ matrix if shape[0] >= shape[1] else matrix @ matrix.T
    assert np.allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_draws_both_signs_on_the_diagonal():
    # LAPACK alone returns reflections with a fixed sign pattern; the correction makes the 1x1 case a fair coin.
    generator = rng()
    signs = [float(Orthogonal().draw(generator, (1, 1))[0, 0]) for _ in range(400)]
    assert set(signs) == {-1.0, 1.0}
    assert 140 < signs.count(1.0) < 260


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)])
def test_orthogonal_refuses_what_is_no_matrix(shape):
    with pytest.raises(InvalidInput, match="Orthogonal"):
        Orthogonal().draw(rng(), shape)


@pytest.mark.parametrize("shape", [(-1,), (2.0, 3), "ab", None, (True, 2)])
def test_shapes_that_are_none(shape):
    with pytest.raises(InvalidInput, match="shape"):
        Constant(1.0).draw(rng(), shape)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: Constant(math.nan), "Constant.value"),
        (lambda: Constant("1"), "Constant.value"),
        (lambda: Constant(True), "Constant.value"),
        (lambda: Constant(10**400), "Constant.value"),
        (lambda: Normal(math.inf, 1.0), "Normal.mean"),
        (lambda: Normal(0.0, -1.0), "Normal.sd"),
        (lambda: Normal(0.0, math.nan), "Normal.sd"),
        (lambda: Uniform(2.0, 1.0), "Uniform.low"),
        (lambda: Uniform(math.nan, 1.0), "Uniform.low"),
        (lambda: Uniform(0.0, math.inf), "Uniform.high"),
        (lambda: Uniform(-1.7e308, 1.7e308), "Uniform.high"),
        (lambda: HalfNormal(-1e-9), "HalfNormal.sd"),
        (lambda: Orthogonal(math.nan), "Orthogonal.gain"),
        (lambda: Kaiming(-1.0), "Kaiming.gain"),
        (lambda: Kaiming(1.0, "cauchy"), "Kaiming.distribution"),
        (lambda: Given([[1.0, 2.0], [math.nan, 0.0]], "a.weight"), r"a\.weight\[1, 0\]"),
        (lambda: Given(["x"], "a.weight"), "a.weight"),
        (lambda: Given([[1.0], [1.0, 2.0]], "a.weight"), "a.weight"),
        (lambda: Given([True], "a.weight"), "a.weight"),
        (lambda: Given([1j], "a.weight"), "a.weight"),
    ],
)
def test_bad_parameters_are_refused_by_name(build, named):
    with pytest.raises(InvalidInput, match=named):
        build()


def test_given_keeps_a_copy_and_hands_out_copies():
    source = np.array([[1.0, 2.0]])
    initializer = Given(source)
    source[:] = 9.0
    drawn = initializer.draw(rng(), (1, 2))
    drawn[:] = 7.0
    assert initializer.draw(rng(), (1, 2)).tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match="read-only"):
        initializer.values[:] = 3.0


def test_given_refuses_another_shape_and_names_the_array():
    with pytest.raises(InvalidInput, match=r"a->b\.delay\.shape is \(2,\); allowed: \(2, 2\)"):
        as_initializer([1.0, 2.0], "a->b.delay").draw(rng(), (2, 2))


def test_given_compares_by_value():
    assert Given([1.0, 0.0]) == Given([1.0, -0.0], "other name")
    assert hash(Given([1.0, 0.0])) == hash(Given([1.0, -0.0]))
    assert Given([1.0]) != Given([[1.0]])
    assert Given([1.0]) != Constant(1.0)


def test_as_initializer_accepts_what_users_write():
    assert as_initializer(3, "w") == Constant(3.0)
    assert as_initializer(np.float32(0.5), "w") == Constant(0.5)
    assert as_initializer(np.array(0.5), "w") == Constant(0.5)
    assert as_initializer([1, 2], "w") == Given([1.0, 2.0])
    uniform = Uniform(0.0, 1.0)
    assert as_initializer(uniform, "w") is uniform


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "uniform", True, 1j, {"kind": "normal"}, np.array(None)])
def test_as_initializer_refuses_the_rest_by_name(value):
    with pytest.raises(InvalidInput, match=r"hidden\.weight"):
        as_initializer(value, "hidden.weight")


@pytest.mark.parametrize(
    "initializer", [*MATRICES, Given([[1.0, -2.5], [0.1, 3e-300]]), Given(np.empty((0, 3))), Given([])], ids=repr
)
def test_json_round_trip(initializer):
    text = json.dumps(initializer.to_dict(), allow_nan=False)
    back = Initializer.from_dict(json.loads(text))
    assert back == initializer
    assert json.dumps(back.to_dict()) == text


def test_to_dict_is_what_the_documentation_says():
    assert Uniform(0, 10).to_dict() == {"kind": "uniform", "low": 0.0, "high": 10.0}


@pytest.mark.parametrize(
    "description",
    [
        None,
        {},
        {"kind": "cauchy"},
        {"kind": ["uniform"]},
        {"kind": "uniform", "low": 0.0},
        {"kind": "uniform", "low": 0.0, "high": 1.0, "middle": 0.5},
        {"kind": "uniform", "low": "0", "high": 1.0},
        {"kind": "given", "shape": [2, 2], "values": [1.0]},
        {"kind": "given", "shape": [-1], "values": [1.0]},
        {"kind": "given", "shape": 3, "values": [1.0, 2.0, 3.0]},
        {"kind": "given", "shape": [1], "values": 1.0},
        {"kind": "given", "values": [1.0]},
        {"kind": "uniform", 3: 1},
    ],
)
def test_from_dict_refuses_what_to_dict_never_wrote(description):
    with pytest.raises(InvalidInput):
        Initializer.from_dict(description)


@given(low=st.floats(-1e6, 1e6), width=st.floats(0.0, 1e6), seed=st.integers(0, 2**32))
def test_uniform_stays_within_its_range(low, width, seed):
    initializer = Uniform(low, low + width)
    drawn = initializer.draw(stream(seed, "w"), (20,))
    assert np.all((drawn >= initializer.low) & (drawn <= initializer.high))
