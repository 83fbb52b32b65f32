"""Products on threads: the same bits for any number of them, and no thread but those that were asked for."""

import numpy as np
import pytest
import threadpoolctl

from eventsnn import losses, surrogate
from eventsnn.parallel.threads import _libraries, one_blas_thread
from eventsnn.spikes import SpikeBatch
from eventsnn.surrogate import parts
from eventsnn.surrogate.engine import Mode
from tests.surrogate.test_network import network

SHAPES = [
    ((300, 70), (70, 90)),
    ((66, 64, 70), (66, 70, 90)),
    ((40, 64, 70), (70, 90)),
    ((1, 5), (5, 3)),
    ((0, 5), (5, 3)),
]


def drawn(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def threads():
    """Of the libraries that were there at the first run: NumPy's, which makes the products."""
    return [library["num_threads"] for library in _libraries().info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("shapes", SHAPES)
def test_products_do_not_depend_on_the_number_of_threads(shapes):
    left, right = (drawn(shape, seed) for seed, shape in enumerate(shapes))
    one, three = (parts.product(left, right, Mode(n_threads=n)) for n in (1, 3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_allclose(one, left.astype(float) @ right.astype(float), rtol=1e-4, atol=1e-4)


def test_products_of_rows_do_not_depend_on_the_number_of_threads():
    left, right = drawn((1000, 30), 0), drawn((1000, 20), 1)
    one, three = (parts.product_of_rows(left, right, Mode(n_threads=n)) for n in (1, 3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_allclose(one, left.T.astype(float) @ right.astype(float), rtol=1e-4, atol=1e-3)


def test_a_run_keeps_blas_on_its_own_threads_and_leaves_it_as_it_was(monkeypatch):
    seen, plain = [], parts.product
    monkeypatch.setattr(surrogate.paths, "product", lambda *arguments: seen.append(threads()) or plain(*arguments))
    made = network()
    made.connect("in", "hidden", weight=1.0)
    made.connect("hidden", "out", weight=1.0)
    batch = SpikeBatch.from_lists([([1.0, 2.0], [0, 1])])
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = threads()
        surrogate.simulate(made, made.initialize(), batch, duration=20.0)
        labels = np.zeros(1, np.int64)
        surrogate.value_and_grad(made, made.initialize(), batch, labels, loss=losses.SummedSoftmax(), duration=20.0)
        assert threads() == before and set(before) == {2}
    assert len(seen) >= 4 and all(set(found) == {1} for found in seen)


def test_the_limit_ends_with_an_error_too():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            assert set(threads()) == {1}
            raise ZeroDivisionError
        assert set(threads()) == {2}
