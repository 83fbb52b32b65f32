"""The doors of a neuron model: whatever a family is asked for is there, and what it is told says enough.

Hazards: a family that lacks a function, which the first network of it would find; two families in one network.
"""

import ast
import dataclasses
import inspect
import pathlib

import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, engines, losses, neurons, simulate, value_and_grad
from eventsnn.engines.reference import model as reference
from eventsnn.errors import InvalidInput, NetworkError
from eventsnn.kernels.neurons.laying import Laying, PopulationConstants, laying_of
from eventsnn.neurons import LIF, MODELS, Field

FAMILIES = sorted({model.family for model in MODELS.values()})


def asked_of(protocol):
    """{function: names of its arguments, self aside}."""
    functions = inspect.getmembers(protocol, inspect.isfunction)
    return {name: list(inspect.signature(f).parameters)[1:] for name, f in functions if not name.startswith("_")}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_all_that_the_layout_asks_for(family):
    asked, found = asked_of(Laying), laying_of(family)
    assert {"lay", "reach", "charges", "by_modes"} <= set(asked)
    for name, arguments in asked.items():
        assert list(inspect.signature(getattr(found, name)).parameters) == arguments, name
    assert len(found.Constant) > 0


@pytest.mark.parametrize("kind", MODELS)
def test_a_kind_has_all_that_the_reference_engine_asks_for(kind):
    values = {field.name: field.default for field in MODELS[kind].fields}
    constants = reference.constants_of(kind, values)
    for asked, found in ((reference.Constants, constants), (reference.Adjoint, constants.adjoint(10.0, 0.0, 0.0))):
        for name, arguments in asked_of(asked).items():
            assert list(inspect.signature(getattr(found, name)).parameters) == arguments, name
    assert constants.rest == 0.0 and set(constants.adjoint(10.0, 0.0, 0.0).gradients()) >= set(values)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_a_family_are_those_of_its_fields(family):
    found = laying_of(family).field_gradients(np.zeros((len(laying_of(family).Constant), 3)))
    fields = {field.name for model in MODELS.values() if model.family == family for field in model.fields}
    assert set(found) == fields and all(values.shape == (3,) for values in found.values())


def test_windows_are_short_where_time_constants_are_trained():
    values = {"tau_mem": np.array([20.0, 30.0]), "tau_syn": np.array([8.0, 16.0])}
    plain = PopulationConstants(values, frozenset({"v_threshold"}))
    assert laying_of("lif").reach([plain]) == (1.0, 8.0)
    assert laying_of("lif").reach([plain, plain._replace(trained=frozenset({"tau_syn"}))]) == (1.0, 1.0)
    assert laying_of("lif").reach([]) == (2.0**57, 2.0**60)


def tiny(*kinds, settings=()):
    network = Network()
    network.add_input("in", 2)
    for kind in kinds:
        network.add_neurons(f"a {kind}", kind, 3, **dict(settings))
        network.connect("in", f"a {kind}", weight=3.0, delay=1.0)
    return network


BATCH = SpikeBatch.from_lists([([1.0, 2.0, 2.5], [0, 1, 0])])


def test_neurons_are_added_by_their_kind():
    network, same = tiny("lif", settings={"tau_mem": 12.0}.items()), Network()
    same.add_input("in", 2)
    same.add_lif("a lif", 3, tau_mem=12.0)
    same.connect("in", "a lif", weight=3.0, delay=1.0)
    assert network.to_dict() == same.to_dict()
    with pytest.raises(InvalidInput, match="kind is 'lifs'; allowed: one of .'lif', 'readout'.. Did you mean 'lif'"):
        network.add_neurons("b", "lifs", 3)
    populations = tiny("lif", "readout").populations
    found = {name: (p.fires, p.is_readout) for name, p in populations.items()}
    assert found == {"in": (False, False), "a lif": (True, False), "a readout": (False, True)}


def test_two_families_in_one_network_are_for_the_reference_engine(monkeypatch):
    monkeypatch.setitem(MODELS, "twin", dataclasses.replace(LIF, kind="twin", family="twins"))
    network = tiny("lif", "twin")
    with pytest.raises(NetworkError, match="one family of neurons at a time, not lif and twins in one network; engine"):
        simulate(network, network.initialize(), BATCH, duration=20.0)
    monkeypatch.setitem(MODELS, "twin", dataclasses.replace(LIF, kind="twin"))
    times = [simulate(network, network.initialize(), BATCH, duration=20.0, engine=e).times for e in engines.names()]
    assert times[0].size == 6 and np.allclose(times[0], times[1], rtol=0, atol=1e-12)


def test_a_field_says_what_is_not_allowed():
    values = np.array([-2.0, 0.0, 3.0])
    cases = [(Field("x", "", 1.0, "", above=0.0), [True, True, False], "numbers > 0"),
             (Field("x", "", 1.0, "", largest=2.5), [False, False, True], "numbers from -2.5 to 2.5"),
             (Field("x", "", 1.0, ""), [False, False, False], None)]  # fmt: skip
    for field, outside, allowed in cases:
        mask, said = field.outside(values)
        assert mask.tolist() == outside and allowed in (None, said)


@pytest.mark.parametrize("engine", engines.names())
def test_a_network_without_neurons_is_simulated(engine):
    network = tiny()
    assert simulate(network, {}, BATCH, duration=5.0, engine=engine).times.size == 0


def test_every_file_of_models_is_found():
    folder = pathlib.Path(neurons.__file__).parent
    written = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    made = [node for node in written if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Model"]
    assert len(made) == len(MODELS) == len({model.kind for model in MODELS.values()})


def test_the_gradient_of_counts_is_that_of_the_distance_from_reset_to_threshold():
    # a count grows by dV over that distance: lambda_V is -dL/dcount / (tau_mem distance) just before the spike
    network = Network()
    network.add_input("in", 1)
    network.add_lif("a", 1, tau_mem=16.0, tau_syn=4.0, v_threshold=1.5, v_reset=-0.5)
    network.connect("in", "a", weight=12.0, delay=1.0)
    batch = SpikeBatch.from_lists([([1.0], [0])])
    (count,) = simulate(network, network.initialize(), batch, duration=6.0).spike_counts("a")[0]
    loss = losses.SpikeCountTarget("a", target=0.0, strength=1.0)
    found = [
        value_and_grad(network, network.initialize(), batch, [0], loss=loss, duration=6.0, engine=engine)[1]
        for engine in engines.names()
    ]
    assert count == 1
    for name in ("in->a.weight", "in->a.delay"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-12)
    time = simulate(network, network.initialize(), batch, duration=6.0).times[0] - 2.0
    response = (np.exp(-time / 16.0) - np.exp(-time / 4.0)) * 4.0 / (16.0 - 4.0)
    np.testing.assert_allclose(found[0]["in->a.weight"], [[response / 2.0]], rtol=1e-11)
