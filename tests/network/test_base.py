"""What every network promises, whatever its kind: how parameters are drawn, checked, trained and told apart."""

import copy
import json
import pickle
from dataclasses import fields

import numpy as np
import pytest

from eventsnn import GridNetwork, InvalidInput, Network, NetworkError
from eventsnn.network import Connection, HalfNormal, Kaiming, Normal, Population, Uniform
from eventsnn.network.base import BaseNetwork
from eventsnn.random import stream
from eventsnn.surrogate import Spread

MASK = np.arange(12).reshape(3, 4) % 2 == 0
SPREAD = Spread("triangle", (8.0, 2.0), learned=True)


def events():
    return filled(Network(min_delay=0.5))


def grid():
    return filled(GridNetwork(dt=1.0), {"spread": SPREAD}, batch_norm=True, bias=Kaiming())


def filled(network, delayed=None, **settings):
    """The same populations and connections in a network of any kind, drawn, given, constant, shared and absent."""
    delayed = {} if delayed is None else delayed
    network.add_input("in", 3)
    network.add_lif("hidden", 4, tau_mem=Uniform(10.0, 20.0), tau_syn=np.arange(4) + 5.0, train="tau_syn", **settings)
    network.add_readout("out", 2, tau_mem=7.0, train="tau_mem")
    network.connect("in", "hidden", weight=Kaiming(), delay=Uniform(0.0, 9.0), mask=MASK, **delayed)
    network.connect("hidden", "hidden", weight=Normal(0.0, 1.0), delay=Uniform(1.0, 5.0), delay_per="neuron", **delayed)
    network.connect("hidden", "out", weight=HalfNormal(1.0), delay=2.0, delay_per="connection", train="weight")
    return network


every_kind = pytest.mark.parametrize("make", [events, grid])


def same(one, other):
    return list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_network_is_of_a_kind():
    assert isinstance(events(), BaseNetwork) and isinstance(grid(), BaseNetwork)
    assert (Network.method, GridNetwork.method) == ("exact", "surrogate")
    with pytest.raises(TypeError, match="abstract"):
        BaseNetwork()


def test_parts_are_made_of_their_fields_in_the_order_of_before():
    assert [field.name for field in fields(Population)] == ["name", "kind", "n", "settings", "train"]
    assert [field.name for field in fields(Connection)] == [
        "name", "pre", "post", "n_pre", "n_post", "weight", "delay", "delay_per", "train", "indptr", "indices",
    ]  # fmt: skip


@every_kind
def test_populations_are_found_by_their_kind(make):
    network = make()
    network.add_input("more", 1)
    assert network.inputs == ["in", "more"] and network.spiking == ["hidden"]
    assert network.readouts == ["out"]


@every_kind
def test_each_draw_is_that_of_the_stream_of_its_name(make):
    parameters = make().initialize(7)
    drawn = {
        "hidden.tau_mem": (Uniform(10.0, 20.0), (4,)),
        "hidden->hidden.weight": (Normal(0.0, 1.0), (4, 4)),
        "hidden->hidden.delay": (Uniform(1.0, 5.0), (4,)),
        "hidden->out.weight": (HalfNormal(1.0), (4, 2)),
    }
    for name, (initializer, shape) in drawn.items():
        assert np.array_equal(parameters[name], initializer.draw(stream(7, name), shape)), name


@every_kind
def test_the_fan_in_of_a_draw_counts_the_synapses_that_are_there(make):
    weights = make().initialize(7)["in->hidden.weight"]
    shape = (6,) if make is events else (3, 4)  # half of 12 synapses, onto 4 neurons
    wanted = Kaiming().draw(stream(7, "in->hidden.weight"), shape, 1.5)
    assert np.array_equal(weights, wanted if make is events else np.where(MASK, wanted, 0.0))


@every_kind
def test_draws_follow_seeds_and_nothing_else(make):
    one, again, other = make().initialize(5), make().initialize(5), make().initialize(6)
    assert same(one, again) and not np.array_equal(one["hidden.tau_mem"], other["hidden.tau_mem"])
    with pytest.raises(InvalidInput, match="seed is -1"):
        make().initialize(-1)


@every_kind
def test_what_is_drawn_is_within_the_bounds_of_what_is_trained(make):
    network = make()
    parameters, bounds = network.initialize(0), network.bounds()
    assert network.trainable == list(bounds) == [name for name in parameters if name in bounds]
    assert {"hidden.tau_syn", "out.tau_mem", "in->hidden.weight", "in->hidden.delay"} <= set(bounds)
    assert not {"hidden.tau_mem", "hidden->out.delay"} & set(bounds)
    assert all(np.all((low <= parameters[name]) & (parameters[name] <= high)) for name, (low, high) in bounds.items())
    assert bounds["in->hidden.weight"] == (-np.inf, np.inf) and bounds["in->hidden.delay"] == (0.0, np.inf)


@every_kind
def test_parameters_are_checked_by_name_shape_and_value(make):
    network = make()
    parameters = network.initialize(0)
    checked = network.check_parameters(parameters)
    assert same(checked, parameters) and all(values.dtype == np.float64 for values in checked.values())
    wrong = [
        ({**parameters, "other": np.zeros(1)}, "parameters is 'other'"),
        ({k: v for k, v in parameters.items() if k != "out.tau_mem"}, r"parameters\['?out.tau_mem"),
        ({**parameters, "hidden.tau_mem": np.ones(3)}, r"hidden.tau_mem.shape is \(3,\); allowed: \(4,\)"),
        ({**parameters, "hidden.tau_mem": np.array([9.0, -1.0, 9.0, 9.0])}, r"hidden.tau_mem\[1\] is -1"),
        ({**parameters, "hidden->out.delay": np.nan}, "hidden->out.delay is nan"),
    ]
    for given, message in wrong:
        with pytest.raises(InvalidInput, match=message):
            network.check_parameters(given)


@every_kind
def test_a_description_makes_an_equal_network(make):
    network = make()
    back = type(network).from_dict(json.loads(json.dumps(network.to_dict())))
    assert back.to_dict() == network.to_dict() and back.fingerprint() == network.fingerprint()
    assert same(back.initialize(3), network.initialize(3)) and back.bounds() == network.bounds()
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert copied.fingerprint() == network.fingerprint() and same(copied.initialize(3), network.initialize(3))


@every_kind
def test_fingerprints_tell_networks_apart(make):
    one, other = make(), make()
    assert len(one.fingerprint()) == 64 and one.fingerprint() == other.fingerprint()
    other.add_input("more", 1)
    assert one.fingerprint() != other.fingerprint()


@every_kind
def test_constants_of_neurons_are_found_wherever_they_stand(make):
    network = make()
    parameters = network.initialize(0)
    parameters["out.tau_mem"] = np.asarray(8.0)
    assert network.value_of("hidden", "tau_mem", parameters).tolist() == parameters["hidden.tau_mem"].tolist()
    assert network.value_of("hidden", "tau_syn", parameters).tolist() == [5.0, 6.0, 7.0, 8.0]
    assert network.value_of("out", "tau_mem", parameters).tolist() == [8.0, 8.0]
    assert network.value_of("hidden", "v_threshold", parameters).tolist() == [1.0] * 4


@every_kind
def test_what_is_absent_among_the_entries_is_known(make):
    network = make()
    parameters = network.initialize(0)
    masks = {name: network.present(name) for name in parameters}
    absent = {name: mask for name, mask in masks.items() if mask is not None}
    # a Network holds no entries for synapses that are not there
    assert set(absent) == (set() if make is events else {f"in->hidden.{key}" for key in ("weight", "delay", "width")})
    assert all(np.array_equal(np.broadcast_to(mask, parameters[name].shape), MASK) for name, mask in absent.items())


@every_kind
def test_populations_to_come_are_refused_in_the_same_words(make):
    network = make()
    with pytest.raises(NetworkError, match="population 'hidden' exists already"):
        network.add_input("hidden", 1)
    with pytest.raises(InvalidInput, match="name is 'a.b'"):
        network.add_lif("a.b", 1)
    with pytest.raises(InvalidInput, match="n is 0"):
        network.add_readout("a", 0)
    with pytest.raises(InvalidInput, match=r"a.tau_mem.shape is \(3,\); allowed: \(2,\)"):
        network.add_lif("a", 2, tau_mem=[9.0, 9.0, 9.0])
    with pytest.raises(InvalidInput, match="delay_per is 'layer'; allowed: one of"):
        network.connect("in", "out", weight=1.0, delay_per="layer")


@every_kind
def test_parameters_are_listed_anew_when_a_part_comes_goes_or_changes(make):
    network = make()
    assert "late.tau_mem" not in network.trainable
    network.add_lif("late", 2, tau_mem=Uniform(10.0, 20.0), train="tau_mem")
    assert "late.tau_mem" in network.trainable
    network.connect("in", "late", weight=1.0)
    assert "in->late.weight" in network.trainable and "in->late.weight" in network.initialize(0)
    del network.connections["in->late"]
    assert "in->late.weight" not in network.trainable
    twin = copy.deepcopy(network)
    twin.add_lif("more", 1, tau_mem=Uniform(10.0, 20.0), train="tau_mem")
    assert "more.tau_mem" in twin.trainable and "more.tau_mem" not in network.trainable


def test_bounds_follow_what_the_network_says_now():
    network = events()
    assert network.bounds()["hidden->hidden.delay"] == (0.5, np.inf)
    network.min_delay = 0.25
    assert network.bounds()["hidden->hidden.delay"] == (0.25, np.inf)
    coarse = grid()
    assert coarse.bounds()["out.tau_mem"][0] == 1.0
    coarse.dt = 2.0
    assert coarse.bounds()["out.tau_mem"][0] == 2.0
