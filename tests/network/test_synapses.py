"""Weights and delays as matrices: every format of scipy.sparse, dense ones with a mask, and the way back."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import Given, InvalidInput, Network
from eventsnn.surrogate.network import GridNetwork

FORMATS = [
    f"{name}_{kind}" for name in ("coo", "csr", "csc", "bsr", "lil", "dok", "dia") for kind in ("array", "matrix")
]
WEIGHTS = np.array([[0.0, 2.0, 3.0, 0.0], [5.0, 0.0, 0.0, 8.0], [9.0, 10.0, 0.0, -12.0]])
THERE = WEIGHTS != 0


def connected(make=Network, **settings):
    """A network of one connection, from 3 channels to 4 neurons, and its parameters."""
    network = Network() if make is Network else GridNetwork(1.0)
    network.add_input("in", 3)
    network.add_lif("h", 4)
    network.connect("in", "h", **settings)
    return network, network.initialize()


def dense(network, parameters, key="weight"):
    values = parameters[f"in->h.{key}"]
    return network.connections["in->h"].to_dense(values) if isinstance(network, Network) else values


def unsorted_rows():
    """WEIGHTS as rows whose columns fall, with the entry 5.0 in two parts."""
    data, indices = [3.0, 2.0, 8.0, 1.0, 4.0, -12.0, 10.0, 9.0], [2, 1, 3, 0, 0, 3, 1, 0]
    return sp.csr_array((data, indices, [0, 2, 5, 8]), (3, 4))


def unsorted_places():
    rows, columns = np.nonzero(THERE)
    order = np.random.default_rng(0).permutation(rows.size)
    return sp.coo_array((WEIGHTS[THERE][order], (rows[order], columns[order])), (3, 4))


@pytest.mark.parametrize("make", [Network, GridNetwork])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_sparse_weight_is_structure_and_values(make, kind):
    network, parameters = connected(make, weight=getattr(sp, kind)(WEIGHTS))
    assert np.array_equal(dense(network, parameters), WEIGHTS)
    if make is Network:
        assert network.connections["in->h"].n_synapses == 7


@pytest.mark.parametrize("make", [Network, GridNetwork])
@pytest.mark.parametrize("matrix", [unsorted_rows, unsorted_places])
def test_the_order_of_storage_does_not_move_weights(make, matrix):
    given_matrix = matrix()
    before = given_matrix.data.copy()
    network, parameters = connected(make, weight=given_matrix)
    assert np.array_equal(dense(network, parameters), WEIGHTS)
    assert np.array_equal(given_matrix.data, before)  # the caller's matrix is as it was


@given(st.integers(0, 10**6))
def test_any_matrix_comes_back_as_it_was(seed):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((3, 4)) < 0.6, rng.normal(size=(3, 4)), 0.0)
    there = values != 0
    for weight in (sp.csc_array(values), sp.coo_matrix(values)):
        network, parameters = connected(weight=weight, delay=np.where(there, 3.0 + values**2, np.nan))
        connection = network.connections["in->h"]
        back = connection.to_sparse(parameters["in->h.weight"])
        assert np.array_equal(back.toarray(), values) and back.nnz == there.sum()
        delays = connection.to_dense(parameters["in->h.delay"], absent=np.nan)
        assert np.array_equal(delays, np.where(there, 3.0 + values**2, np.nan), equal_nan=True)
        again, same = connected(weight=back, delay=connection.to_sparse(parameters["in->h.delay"]))
        assert again.fingerprint() == network.fingerprint()
        assert all(np.array_equal(same[name], parameters[name]) for name in parameters)


def test_stored_zeros_of_a_weight_are_synapses():
    weight = sp.csr_array(WEIGHTS)
    weight.data[1] = 0.0
    network, parameters = connected(weight=weight)
    assert network.connections["in->h"].n_synapses == 7
    assert parameters["in->h.weight"].tolist() == [2.0, 0.0, 5.0, 8.0, 9.0, 10.0, -12.0]


@pytest.mark.parametrize("kind", ["csc_array", "csc_matrix", "lil_array", "dok_array"])
def test_values_in_another_order_than_that_of_the_synapses_are_refused(kind):
    mask = getattr(sp, kind)(WEIGHTS)
    data = sp.csc_array(WEIGHTS).data
    for key in ("weight", "delay"):
        with pytest.raises(InvalidInput, match=rf"in->h.{key} is '7 values'.*canonical order.*{key}=matrix"):
            connected(**{"weight": 1.0, key: np.abs(data)}, mask=mask)


@pytest.mark.parametrize("matrix", [unsorted_rows, unsorted_places])
def test_data_of_a_mask_that_is_not_in_order_is_refused(matrix):
    with pytest.raises(InvalidInput, match=r"canonical order"):
        connected(weight=matrix().data, mask=matrix())


def test_data_of_a_mask_with_zeros_is_refused():
    mask = sp.csr_array(WEIGHTS)
    mask.data[2] = 0.0
    with pytest.raises(InvalidInput, match="canonical order"):
        connected(weight=mask.data, mask=mask)


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "coo_array"])
def test_data_of_a_mask_in_order_is_taken(kind):
    mask = getattr(sp, kind)(WEIGHTS)
    network, parameters = connected(weight=mask.data, delay=np.abs(mask.data), mask=mask)
    assert np.array_equal(dense(network, parameters), WEIGHTS)
    assert np.array_equal(dense(network, parameters, "delay"), np.abs(WEIGHTS))


@pytest.mark.parametrize("mask", [THERE, sp.csc_array(THERE), unsorted_rows()], ids=["bool", "csc", "unsorted csr"])
@pytest.mark.parametrize("wrap", [np.asarray, np.ndarray.tolist, Given], ids=["array", "list", "Given"])
def test_a_dense_weight_with_a_mask(mask, wrap):
    full = np.arange(1.0, 13.0).reshape(3, 4)
    network, parameters = connected(weight=wrap(full), delay=wrap(full), mask=mask)
    for key in ("weight", "delay"):
        assert parameters[f"in->h.{key}"].tolist() == full[THERE].tolist()
        assert np.array_equal(dense(network, parameters, key), np.where(THERE, full, 0.0))


def test_what_stands_where_there_is_no_synapse_is_not_looked_at():
    odd = np.where(THERE, np.abs(WEIGHTS), np.nan)
    network, parameters = connected(weight=odd, delay=-np.where(THERE, -1.0, 7.0), mask=THERE)
    assert np.array_equal(dense(network, parameters), np.abs(WEIGHTS))


def test_a_dense_weight_with_a_drawn_structure():
    full = np.arange(1.0, 13.0).reshape(3, 4)
    network, parameters = connected(weight=full, sparsity=0.5, seed=3)
    connection = network.connections["in->h"]
    there = connection.to_dense(np.ones(connection.n_synapses)) > 0
    assert 0 < there.sum() < 12 and np.array_equal(dense(network, parameters), np.where(there, full, 0.0))


def test_a_sparse_delay_has_the_entries_of_the_synapses():
    delay = sp.csc_array(np.abs(WEIGHTS))
    network, parameters = connected(weight=unsorted_places(), delay=delay)
    assert np.array_equal(dense(network, parameters, "delay"), np.abs(WEIGHTS))
    full = sp.coo_array(np.arange(1.0, 13.0).reshape(3, 4))
    assert connected(weight=1.0, delay=full)[1]["in->h.delay"].tolist() == full.toarray().tolist()


@pytest.mark.parametrize("make", [Network, GridNetwork])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weight": sp.csr_array(WEIGHTS), "delay": sp.csr_array(np.eye(3, 4))}, r"delay\[0, 1\] is 'no entry'"),
        ({"weight": 1.0, "delay": sp.csr_array(np.abs(WEIGHTS))}, r"delay\[0, 0\] is 'no entry'.*though it be 0"),
        (
            {"weight": sp.csr_array(WEIGHTS), "delay": sp.csr_array(np.ones((3, 4)))},
            r"delay\[0, 0\] is 1.0.*no syn",
        ),
        ({"weight": sp.csr_array(WEIGHTS), "delay": sp.csr_array(WEIGHTS), "delay_per": "neuron"}, "delay_per='syn"),
        ({"weight": sp.csr_array(WEIGHTS), "mask": THERE}, "mask is 'ndarray'; allowed: None with a sparse weight"),
        ({"weight": sp.csr_array(WEIGHTS), "sparsity": 0.5}, "sparsity is 0.5; allowed: None with a sparse weight"),
        ({"weight": sp.csr_array(WEIGHTS.T)}, r"weight is \(4, 3\); allowed: shape \(n_pre, n_post\) = \(3, 4\)"),
        ({"weight": sp.csr_array(THERE)}, r"weight is dtype\('bool'\)"),
        ({"weight": sp.csr_array(1j * WEIGHTS)}, r"weight is dtype\('complex128'\)"),
        ({"weight": np.nan * sp.csr_array(WEIGHTS)}, "weight.* is nan; allowed: finite"),
    ],
    ids=range(10),
)
def test_matrices_that_do_not_say_what_they_mean_are_refused(make, settings, words):
    with pytest.raises(InvalidInput, match=words):
        connected(make, **settings)


def test_one_value_per_synapse_of_a_bool_mask_is_by_rows():
    network, parameters = connected(weight=WEIGHTS[THERE], mask=THERE)
    assert np.array_equal(dense(network, parameters), WEIGHTS)


@pytest.mark.parametrize("mask", [None, THERE], ids=["dense", "sparse"])
@pytest.mark.parametrize("per", ["neuron", "connection"])
def test_a_shared_delay_is_written_out_for_each_synapse(mask, per):
    given_delays = {"neuron": np.array([1.0, 2.0, 3.0]), "connection": 4.0}[per]
    network, parameters = connected(weight=1.0, delay=given_delays, delay_per=per, mask=mask)
    connection = network.connections["in->h"]
    wanted = np.broadcast_to(np.reshape(given_delays, (-1, 1)), (3, 4))
    wanted = wanted if mask is None else np.where(mask, wanted, 0.0)
    assert np.array_equal(connection.to_dense(parameters["in->h.delay"]), wanted)
    assert np.array_equal(connection.to_sparse(parameters["in->h.delay"]).toarray(), wanted)


def test_what_is_no_array_of_the_connection_has_no_way_back():
    network, _ = connected(weight=sp.csr_array(WEIGHTS))
    with pytest.raises(InvalidInput, match=r"the shape of values of in->h is \(3,\); allowed: \(7,\)"):
        network.connections["in->h"].to_dense(np.ones(3))


def test_a_network_of_a_sparse_weight_comes_back_from_its_description():
    network, parameters = connected(weight=unsorted_rows())
    again = Network.from_dict(network.to_dict())
    assert again.fingerprint() == network.fingerprint()
    assert np.array_equal(again.initialize()["in->h.weight"], parameters["in->h.weight"])


@pytest.mark.parametrize(("kind", "values", "total"), [("i1", [100, 100], 200.0), ("u1", [200, 100], 300.0)])
def test_small_integers_of_one_place_are_added_without_coming_round(kind, values, total):
    matrix = sp.coo_matrix((np.array(values, kind), ([0, 0], [1, 1])), (2, 3))
    network = Network()
    network.add_input("i", 2)
    network.add_lif("h", 3, tau_mem=20.0, tau_syn=5.0)
    network.connect("i", "h", weight=matrix, delay=1.0)
    assert network.initialize(seed=0)["i->h.weight"].tolist() == [total]


def test_float32_of_one_place_is_added_as_float64():
    values = np.array([1.0, 2.0**-30], np.float32)
    network = Network()
    network.add_input("i", 1)
    network.add_lif("h", 1, tau_mem=20.0, tau_syn=5.0)
    network.connect("i", "h", weight=sp.coo_matrix((values, ([0, 0], [0, 0])), (1, 1)), delay=1.0)
    assert network.initialize(seed=0)["i->h.weight"].tolist() == [1.0 + 2.0**-30]


def test_entries_of_a_mask_that_come_round_to_zero_are_synapses():
    mask = sp.coo_matrix((np.array([128, 128], np.uint8), ([0, 0], [1, 1])), (2, 3))
    network = Network()
    network.add_input("i", 2)
    network.add_lif("h", 3, tau_mem=20.0, tau_syn=5.0)
    network.connect("i", "h", weight=1.0, delay=1.0, mask=mask)
    assert network.connections["i->h"].indices.tolist() == [1]


def test_a_value_that_is_no_number_is_named_by_row_and_column():
    values, rows, columns = [1.0, np.nan, 2.0], [0, 2, 1], [1, 3, 0]
    network = Network()
    network.add_input("i", 3)
    network.add_lif("h", 4, tau_mem=20.0, tau_syn=5.0)
    with pytest.raises(InvalidInput, match=r"^i->h.weight\[2, 3\] is nan; allowed: finite numbers"):
        network.connect("i", "h", weight=sp.coo_array((values, (rows, columns)), (3, 4)), delay=1.0)
