"""Describing networks: structure, drawn parameters, shapes, bounds, and the description that goes to JSON and back."""

import json

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import Network, SpikeBatch, simulate, surrogate
from eventsnn.errors import InvalidInput
from eventsnn.network import HalfNormal, Normal, Uniform
from eventsnn.network.graph import find_cycle
from eventsnn.neurons.lif import SMALLEST_TAU, SMALLEST_THRESHOLD
from eventsnn.testing import networks, random_case


def example():
    network = Network(min_delay=0.5)
    network.add_input("in", 3)
    network.add_lif("hidden", 4, tau_mem=Uniform(10.0, 20.0), tau_syn=np.array([5.0, 6.0, 7.0, 8.0]), train=True)
    network.add_readout("out", 2, train="tau_mem")
    network.connect("in", "hidden", weight=Normal(0.0, 1.0), delay=Uniform(0.0, 9.0))
    network.connect("hidden", "hidden", weight=0.1, delay=HalfNormal(0.1), train="delay")
    network.connect("hidden", "out", weight=Normal(0.0, 1.0), delay=2.0, delay_per="neuron", train=False)
    network.connect("in", "out", weight=1.0, delay=1.0, delay_per="connection", sparsity=0.5, seed=3)
    return network


def test_shapes_of_the_drawn_parameters():
    network = example()
    parameters = network.initialize(1)
    n_sparse = network.connections["in->out"].n_synapses
    shapes = {
        "hidden.tau_mem": (4,), "hidden.tau_syn": (4,), "hidden.v_threshold": (), "out.tau_mem": (),
        "in->hidden.weight": (3, 4), "in->hidden.delay": (3, 4), "hidden->hidden.weight": (4, 4),
        "hidden->hidden.delay": (4, 4), "hidden->out.weight": (4, 2), "hidden->out.delay": (4,),
        "in->out.weight": (n_sparse,), "in->out.delay": (),
    }  # fmt: skip
    assert {name: np.shape(values) for name, values in parameters.items()} == shapes
    assert all(values.dtype == np.float64 for values in parameters.values())


def test_what_is_trained_and_its_bounds():
    network = example()
    assert network.trainable == [
        "hidden.tau_mem", "hidden.tau_syn", "hidden.v_threshold", "out.tau_mem", "in->hidden.weight",
        "in->hidden.delay", "hidden->hidden.delay", "in->out.weight", "in->out.delay",
    ]  # fmt: skip
    bounds = network.bounds()
    assert set(bounds) == set(network.trainable)
    assert bounds["hidden.tau_mem"] == (SMALLEST_TAU, np.inf)
    assert bounds["hidden.v_threshold"] == (SMALLEST_THRESHOLD, np.inf)
    assert bounds["in->hidden.weight"] == (-np.inf, np.inf)
    assert bounds["in->hidden.delay"] == (0.0, np.inf)
    assert bounds["hidden->hidden.delay"] == (0.5, np.inf)


def test_drawn_delays_on_cycles_are_kept_above_the_smallest():
    delays = example().initialize(0)["hidden->hidden.delay"]
    assert np.min(delays) == 0.5 and np.max(delays) >= 0.5


def test_a_cycle_through_two_populations_counts():
    network = Network()
    network.add_input("in", 1)
    for name in "abc":
        network.add_lif(name, 1)
    for pre, post in ("ab", "ba", "bc"):
        network.connect(pre, post, weight=1.0, delay=Uniform(0.0, 1e-3))
    network.connect("in", "a", weight=1.0, delay=Uniform(0.0, 1e-3))
    assert network.bounds()["a->b.delay"][0] == network.bounds()["b->a.delay"][0] == 1.0
    assert network.bounds()["b->c.delay"][0] == network.bounds()["in->a.delay"][0] == 0.0
    parameters = network.initialize(0)
    assert parameters["a->b.delay"].item() == 1.0 and parameters["b->c.delay"].item() < 1e-3


def test_draws_depend_on_seed_and_name_alone():
    one, again, other = example().initialize(5), example().initialize(5), example().initialize(6)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["in->hidden.weight"], other["in->hidden.weight"])
    reordered = Network()
    reordered.add_lif("hidden", 4)
    reordered.add_input("in", 3)
    reordered.connect("in", "hidden", weight=Normal(0.0, 1.0))
    assert np.array_equal(reordered.initialize(5)["in->hidden.weight"], one["in->hidden.weight"])


@pytest.mark.parametrize("seed", range(25))
def test_descriptions_go_to_json_and_back(seed):
    network = random_case(seed).network
    text = json.dumps(network.to_dict())
    back = Network.from_dict(json.loads(text))
    assert back.fingerprint() == network.fingerprint()
    one, two = network.initialize(3), back.initialize(3)
    assert list(one) == list(two) and all(np.array_equal(one[name], two[name]) for name in one)
    assert back.trainable == network.trainable
    np.testing.assert_equal(dict(back.bounds()), dict(network.bounds()))


def test_fingerprints_tell_networks_apart():
    one, two = example(), example()
    assert one.fingerprint() == two.fingerprint() and len(one.fingerprint()) == 64
    two.add_input("more", 1)
    assert one.fingerprint() != two.fingerprint()


def test_masks_of_every_kind_are_one_structure():
    mask = np.array([[True, False, True], [False, False, False], [False, True, True]])
    structures = []
    for given_mask in (
        mask,
        scipy.sparse.csr_matrix(mask),
        scipy.sparse.coo_matrix(mask),
        scipy.sparse.csr_array(mask * 2.5),
    ):
        network = Network()
        network.add_input("in", 3)
        network.add_lif("a", 3)
        network.connect("in", "a", weight=1.0, delay=1.0, mask=given_mask)
        connection = network.connections["in->a"]
        structures.append((connection.indptr.tolist(), connection.indices.tolist()))
        assert network.initialize()["in->a.weight"].shape == (4,)
    assert structures == [([0, 2, 2, 4], [0, 2, 1, 2])] * 4


def test_explicit_zeros_of_a_sparse_mask_are_no_synapses():
    mask = scipy.sparse.csr_matrix((np.array([1.0, 0.0]), np.array([0, 1]), np.array([0, 2])), shape=(1, 2))
    network = Network()
    network.add_input("in", 1)
    network.add_lif("a", 2)
    network.connect("in", "a", weight=1.0, mask=mask)
    assert network.connections["in->a"].n_synapses == 1
    assert mask.nnz == 2  # the caller's matrix is left alone


def test_sparsity_is_the_share_of_absent_synapses():
    network = Network()
    network.add_input("in", 200)
    network.add_lif("a", 300)
    network.connect("in", "a", weight=1.0, sparsity=0.9, seed=1)
    network.connect("in", "a", weight=1.0, sparsity=0.9, seed=2, name="again")
    one, two = network.connections["in->a"], network.connections["again"]
    assert one.n_synapses == pytest.approx(6000, rel=0.05)
    assert one.indices.tolist() != two.indices.tolist()
    rows = np.split(one.indices, one.indptr[1:-1])
    assert all(np.all(np.diff(row) > 0) for row in rows)


def test_an_empty_mask_is_a_connection_without_synapses():
    network = Network()
    network.add_input("in", 2)
    network.add_lif("a", 2)
    network.connect("in", "a", weight=1.0, delay=1.0, mask=np.zeros((2, 2), bool))
    network.connect("a", "a", weight=1.0, mask=np.zeros((2, 2), bool), delay=1.0)
    parameters = network.initialize()
    assert parameters["in->a.weight"].shape == (0,)
    batch = SpikeBatch.from_lists([([1.0], [0])])
    for engine in ("compiled", "reference"):
        assert simulate(network, parameters, batch, duration=5.0, engine=engine, n_threads=1).times.size == 0


def test_parallel_connections_add_up():
    networks_ = []
    for parts in ((3.0, 5.0), (8.0,)):
        network = Network()
        network.add_input("in", 1)
        network.add_lif("a", 1)
        for k, weight in enumerate(parts):
            network.connect("in", "a", weight=weight, delay=1.0, name=f"part {k}")
        networks_.append(network)
    batch = SpikeBatch.from_lists([([1.0], [0])])
    times = [simulate(n, n.initialize(), batch, duration=40.0, n_threads=1).times for n in networks_]
    assert times[0].size > 0
    np.testing.assert_allclose(*times, rtol=0, atol=1e-12)


def test_values_of_neuron_settings():
    network = example()
    parameters = network.initialize(2)
    assert network.value_of("hidden", "tau_mem", parameters).tolist() == parameters["hidden.tau_mem"].tolist()
    assert network.value_of("hidden", "v_threshold", parameters).tolist() == [1.0] * 4
    assert network.value_of("out", "tau_syn", parameters).tolist() == [5.0, 5.0]


def test_checking_copies_nothing_it_need_not_and_changes_nothing():
    network = example()
    parameters = network.initialize(0)
    checked = network.check_parameters(parameters)
    assert all(np.array_equal(checked[name], parameters[name]) for name in parameters)
    single = parameters | {"in->hidden.weight": parameters["in->hidden.weight"].astype(np.float32)}
    assert network.check_parameters(single)["in->hidden.weight"].dtype == np.float64
    whole = parameters | {"hidden->hidden.weight": np.ones((4, 4), int)}
    assert network.check_parameters(whole)["hidden->hidden.weight"].dtype == np.float64


def test_the_table_names_everything():
    text = example().describe()
    for word in ("hidden", "readout", "in->hidden", "synapse", "connection", "nothing", "weight, delay"):
        assert word in text


@given(networks())
def test_every_drawn_network_is_legal(network):
    network.check_parameters(network.initialize(0))
    assert Network.from_dict(network.to_dict()).fingerprint() == network.fingerprint()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_cycles_are_found_exactly_when_there_are_any(edges):
    cycle = find_cycle(edges)
    if cycle:
        for pre, post in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            assert (pre, post) in edges
        assert len(set(cycle)) == len(cycle)
        return
    left = set(range(6))
    # a graph without cycles loses a node without incoming edges until none is left
    while left:
        free = {node for node in left if not any(post == node and pre in left for pre, post in edges)}
        assert free
        left -= free


@pytest.mark.parametrize("kind", [Network, lambda: surrogate.GridNetwork(1.0)])
@pytest.mark.parametrize("add", ["add_input", "add_lif", "add_readout"])
def test_more_neurons_than_can_be_addressed_are_refused(kind, add):
    for n in (10**12, 2**31, 10**30):
        with pytest.raises(InvalidInput, match=f"n is {n}; allowed: an int from 1 to 2147483647"):
            getattr(kind(), add)("g", n)
    network = kind()
    network.add_input("i", 2**31 - 2)
    with pytest.raises(InvalidInput, match="n is 2; allowed: an int from 1 to 1. .* and this one has 2147483646"):
        getattr(network, add)("g", 2)
    getattr(network, add)("g", 1)


def test_wrong_words_and_wrong_orders_are_answered_with_what_to_write():
    network = example()
    with pytest.raises(InvalidInput, match="kind is 'LIF'; .* Did you mean 'lif'"):
        network.add_neurons("more", "LIF", 3)
    with pytest.raises(InvalidInput, match="kind is 3; .* The order is add_neurons"):
        network.add_neurons("more", 3, "lif")
    with pytest.raises(InvalidInput, match="a keyword of connect is 'weights'; allowed: pre, .* Did you mean 'weight'"):
        network.connect("in", "hidden", weights=1.0)
    with pytest.raises(InvalidInput, match="a keyword of add_input is 'size'; allowed: name, n"):
        network.add_input("more", size=3)


def test_bounds_of_neurons_cannot_be_changed():
    network = Network()
    network.add_lif("h", 2, v_threshold=np.array([1.0, 2.0]), v_reset=np.array([-1.0, 0.5]), train="v_threshold")
    low, _ = network.bounds()["h.v_threshold"]
    with pytest.raises(ValueError, match="read-only"):
        low[0] = 99.0
