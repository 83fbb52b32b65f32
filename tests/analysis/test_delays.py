"""Controls: what a permutation keeps, what rounding gives, and what a cycle forbids."""

import numpy as np
import pytest

from eventsnn import Network, Normal, SpikeBatch, Uniform, simulate
from eventsnn.analysis import permuted_delays, rounded_delays
from eventsnn.errors import InvalidInput


@pytest.fixture
def model():
    network = Network(min_delay=0.5)
    network.add_input("in", 6)
    network.add_lif("hidden", 9, tau_mem=20.0, tau_syn=5.0)
    network.add_lif("out", 2, tau_mem=20.0, tau_syn=5.0)
    network.connect("in", "hidden", weight=Normal(1.0, 0.5), delay=Uniform(0, 20))
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.2), delay=Uniform(0.5, 3.0))
    network.connect("hidden", "out", weight=Normal(0.5, 0.2), delay=Uniform(0, 9), delay_per="neuron")
    return network, network.initialize(seed=1)


def test_a_permutation_keeps_each_connections_delays_and_all_weights(model):
    network, parameters = model
    permuted = permuted_delays(network, parameters, 3)
    assert list(permuted) == list(parameters)
    for name, values in parameters.items():
        if name.endswith(".delay"):
            assert permuted[name].shape == values.shape and not np.array_equal(permuted[name], values)
            assert np.array_equal(np.sort(permuted[name], axis=None), np.sort(values, axis=None))
        else:
            assert permuted[name] is values
    again, other = permuted_delays(network, parameters, 3), permuted_delays(network, parameters, 4)
    assert np.array_equal(again["in->hidden.delay"], permuted["in->hidden.delay"])
    assert not np.array_equal(other["in->hidden.delay"], permuted["in->hidden.delay"])


def test_connections_are_permuted_apart_from_each_other(model):
    network, _ = model
    same = {name: np.arange(8.0) + 1 for name in ("a.delay", "b.delay")}
    permuted = permuted_delays(network, same, 0)
    assert not np.array_equal(permuted["a.delay"], permuted["b.delay"])


@pytest.mark.parametrize("step", [0.25, 1.0, 7.0])
def test_rounding_moves_each_delay_to_the_nearest_multiple(model, step):
    network, parameters = model
    rounded = rounded_delays(network, parameters, step)
    for name, values in parameters.items():
        if not name.endswith(".delay"):
            assert rounded[name] is values
            continue
        assert np.array_equal(rounded[name] % step, np.zeros(values.shape))
        moved = np.abs(rounded[name] - values) > step / 2
        # nothing on a cycle may be rounded to 0
        assert not moved.any() or (name == "hidden->hidden.delay" and np.all(rounded[name][moved] == step))
    assert rounded["hidden->hidden.delay"].min() == step or step < 0.5
    batch = SpikeBatch.from_lists([(np.arange(6.0), np.arange(6))])
    assert simulate(network, rounded, batch, duration=60.0).times.size > 0


@pytest.mark.parametrize("step", [0, -1.0, np.nan, np.inf])
def test_rounding_refuses_other_steps(model, step):
    with pytest.raises(InvalidInput, match="step"):
        rounded_delays(*model, step)
