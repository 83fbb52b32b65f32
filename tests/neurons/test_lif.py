"""The constants of the LIF neuron: v_reset, v_rest and bias, against closed forms, shifts, the other engine and steps.

Hazards: a threshold below where V rests, which is passed without any current; a maximum that stays at the start; a
start that no spike moves; constants that contradict each other; constants of one neuron held against another's; a bias
that is read as 0 by one of the passes.
"""

import math

import numpy as np
import pytest

from eventsnn import Given, Network, Normal, SpikeBatch, Uniform, engines, losses, simulate, value_and_grad
from eventsnn.errors import InvalidInput
from eventsnn.optimizers import SGD
from eventsnn.optimizers.settings import check_within
from eventsnn.testing import check_gradients, compare_engines

ENGINES = engines.names()
NOTHING = SpikeBatch.from_lists([([], [])])


def one_neuron(**settings):
    network = Network()
    network.add_input("in", 1)
    network.add_lif("a", 1, tau_mem=12.0, tau_syn=4.0, **settings)
    network.connect("in", "a", weight=0.0)
    return network, network.initialize()


def case(seed, train=("v_reset", "v_rest", "bias"), bias=(-0.4, 1.6), n=5, n_samples=3, learn=("weight", "delay")):
    """A recurrent delay network whose neurons have all constants, each its own."""
    rng = np.random.default_rng([seed, 18])
    network = Network()
    network.add_input("in", 3)
    network.add_lif(
        "hidden", n, tau_mem=rng.uniform(8, 25, n), tau_syn=rng.uniform(3, 9, n), v_threshold=rng.uniform(0.9, 1.3, n),
        v_reset=rng.uniform(-0.6, 0.5, n), v_rest=rng.uniform(-0.3, 0.3, n), bias=rng.uniform(*bias, n), train=train,
    )  # fmt: skip
    network.add_readout(
        "out", 2, tau_mem=rng.uniform(8, 20, 2), tau_syn=5.0, v_rest=rng.uniform(-0.3, 0.3, 2),
        bias=rng.uniform(-0.5, 0.5, 2), train=[key for key in train if key in ("tau_mem", "v_rest", "bias")],
    )  # fmt: skip
    network.connect("in", "hidden", weight=Normal(2.0, 0.8), delay=Uniform(0.0, 8.0), train=learn)
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.5), delay=Uniform(1.0, 9.0), train=learn)
    network.connect("hidden", "out", weight=Normal(0.1, 0.3), delay=Uniform(0.0, 5.0), train=learn)
    trains = [(np.sort(rng.uniform(0, 35, 12)), rng.integers(0, 3, 12)) for _ in range(n_samples)]
    return network, network.initialize(seed), SpikeBatch.from_lists(trains), rng.integers(0, 2, n_samples)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reset", [0.0, -0.7, 0.8])
def test_a_bias_above_threshold_fires_at_the_times_of_the_closed_form(engine, reset):
    bias, rest, threshold = 1.1, 0.25, 1.2
    network, parameters = one_neuron(v_reset=reset, v_rest=rest, bias=bias, v_threshold=threshold)
    times = simulate(network, parameters, NOTHING, duration=400.0, engine=engine).times
    top = rest + bias
    first, each = (12.0 * math.log((top - start) / (top - threshold)) for start in (rest, reset))
    expected = first + each * np.arange(int((400.0 - first) / each) + 1)
    np.testing.assert_allclose(times, expected, rtol=1e-13)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bias", [-0.5, 0.0, 0.3, 0.95])
def test_a_bias_below_threshold_does_not_fire_by_itself(engine, bias):
    network, parameters = one_neuron(bias=bias)
    assert simulate(network, parameters, NOTHING, duration=4000.0, engine=engine).times.size == 0


@pytest.mark.parametrize("seed", range(4))
def test_voltages_have_no_zero_of_their_own(seed):
    network, parameters, batch, labels = case(seed)
    moved = dict(parameters)
    for key in ("hidden.v_reset", "hidden.v_rest", "out.v_rest"):
        moved[key] = parameters[key] + 3.5
    shifted = Network.from_dict(network.to_dict())
    settings = shifted.populations["hidden"].settings
    settings["v_threshold"] = Given(settings["v_threshold"].values + 3.5)
    before, after = (
        simulate(n, p, batch, duration=40.0, n_threads=1) for n, p in ((network, parameters), (shifted, moved))
    )
    assert before.times.size > 20 and before.neurons.tolist() == after.neurons.tolist()
    np.testing.assert_allclose(before.times, after.times, rtol=0, atol=1e-11)
    one, two = before.readouts["out"], after.readouts["out"]
    np.testing.assert_allclose(two.integral, one.integral + 3.5 * 40.0, rtol=1e-12)
    np.testing.assert_allclose(two.maximum, one.maximum + 3.5, rtol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bias_is_a_rest_from_another_start(engine):
    network, parameters, batch, labels = case(7, bias=(0.1, 0.4))
    as_rest = dict(parameters)
    as_rest["hidden.v_rest"] = parameters["hidden.v_rest"] + parameters["hidden.bias"]
    as_rest["hidden.bias"] = np.zeros(5)
    late = SpikeBatch.from_lists([(batch[k].times + 400.0, batch[k].units) for k in range(3)])
    times = [simulate(network, p, late, duration=440.0, engine=engine).times for p in (parameters, as_rest)]
    # after twenty time constants of silence nothing is left of the start
    assert times[0].size > 10
    np.testing.assert_allclose(times[0], times[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_engines_agree(seed):
    loss = [losses.MeanVoltage(), losses.MaxVoltage(), losses.ExponentialMeanVoltage("out", 30.0)][seed % 3]
    train = ("tau_mem", "tau_syn", "v_threshold", "v_reset", "v_rest", "bias") if seed % 2 else ("v_reset", "bias")
    network, parameters, batch, labels = case(seed, train)
    compared = compare_engines(network, parameters, batch, labels, loss=loss, duration=40.0)
    assert compared.gradient_error < 1e-9


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(6))
def test_gradients_hold_against_complex_steps_and_differences(engine, seed):
    loss = [losses.MeanVoltage(), losses.MaxVoltage(), losses.FirstSpike(5.0, "hidden")][seed % 3]
    train = ("tau_mem", "tau_syn", "v_threshold", "v_reset", "v_rest", "bias")
    bias = (-0.2, 0.7) if seed < 3 else (0.4, 1.6)
    network, parameters, batch, labels = case(20 + seed, train, bias, n=2, n_samples=1, learn=())
    report = check_gradients(
        network,
        parameters,
        batch,
        labels,
        loss=loss,
        duration=30.0,
        engine=engine,
        n_coordinates=None,
        input_times=False,
    )
    assert report.complex.n_coordinates == 18 and report.complex.excluded_share < 0.1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_maximum_at_the_start_is_the_rest(engine):
    network = Network()
    network.add_input("in", 1)
    network.add_readout("out", 2, v_rest=[0.4, 0.1], bias=-0.3, train=("v_rest", "bias"))
    network.connect("in", "out", weight=-1.0)
    batch = SpikeBatch.from_lists([([0.0, 3.0], [0, 0])])
    recording = simulate(network, network.initialize(), batch, duration=30.0, engine=engine)
    np.testing.assert_allclose(recording.readouts["out"].maximum, [[0.4, 0.1]])
    _, gradients = value_and_grad(
        network, network.initialize(), batch, [0], loss=losses.MaxVoltage(), duration=30.0, engine=engine
    )
    share = math.exp(0.1) / (math.exp(0.1) + math.exp(0.4))
    np.testing.assert_allclose(gradients["out.v_rest"], [-share, share], rtol=1e-12)
    np.testing.assert_allclose(gradients["out.bias"], 0.0, atol=1e-15)
    assert not gradients["in->out.weight"].any()


def test_constants_that_contradict_each_other_are_refused():
    network = Network()
    with pytest.raises(InvalidInput, match=r"a.v_rest is 1.5; allowed: numbers < v_threshold, 1. Lower v_rest, or"):
        network.add_lif("a", 2, v_rest=1.5)
    with pytest.raises(InvalidInput, match=r"a.v_reset\[1\] is 2.0; allowed: numbers < v_threshold, 1. Lower v_reset"):
        network.add_lif("a", 2, v_reset=[0.0, 2.0])
    with pytest.raises(InvalidInput, match=r"a.v_threshold is 1.2; allowed: numbers > v_rest, 1.5. Lower v_rest, or"):
        network.add_lif("a", 2, v_threshold=1.2, v_rest=1.5)
    with pytest.raises(InvalidInput, match=r"a.v_threshold is -50.0; allowed: numbers > v_reset, 0. v_reset is 0 u"):
        network.add_lif("a", 2, v_threshold=-50.0, v_rest=-65.0)
    with pytest.raises(InvalidInput, match=r"a constant given for 'a' is 'refractory'; allowed: those of lif: tau"):
        network.add_lif("a", 2, refractory=2.0)
    with pytest.raises(InvalidInput, match=r"'trian'; .* Did you mean 'train'\?"):
        network.add_lif("a", 2, trian=True)
    with pytest.raises(InvalidInput, match=r"Did you mean 'v_reset'\?"):
        network.add_lif("a", 2, v_resett=0.5)
    with pytest.raises(InvalidInput, match="tau_mem"):
        network.add_readout("a", 2, v_threshold=1.0)
    network.add_input("in", 1)
    network.add_lif("a", 2, v_reset=Uniform(-1.0, 0.0), train="v_reset")
    network.connect("in", "a", weight=1.0)
    parameters = network.initialize()
    parameters["a.v_reset"] = np.array([-0.5, 1.25])
    with pytest.raises(InvalidInput, match=r"a.v_reset\[1\] is 1.25; allowed: numbers < v_threshold, 1. Lower v_r"):
        simulate(network, parameters, NOTHING, duration=5.0)


# each neuron is allowed, and the reset of the second lies above the threshold of the first
STAGGERED = {"v_threshold": np.array([1.0, 3.0, 2.0]), "v_reset": np.array([0.25, 2.0, -1.0]), "v_rest": 0.5}


def test_constants_are_compared_neuron_by_neuron_where_they_are_given():
    network = Network()
    network.add_lif("a", 3, **STAGGERED)
    one_too_high = {**STAGGERED, "v_reset": [0.25, 2.0, 2.5]}
    with pytest.raises(
        InvalidInput, match=r"^b.v_threshold\[2\] is 2.0; allowed: numbers > v_reset, 2.5. Lower v_reset"
    ):
        network.add_lif("b", 3, **one_too_high)
    with pytest.raises(InvalidInput, match=r"^b.v_threshold\[1\] is 1.2; allowed: numbers > v_rest, 1.5. Lower v_rest"):
        network.add_lif("b", 3, v_threshold=[1.0, 1.2, 1.0], v_rest=[0.0, 1.5, 0.5])
    with pytest.raises(InvalidInput, match=r"^b.tau_mem\[1\] is -1.0; allowed: numbers > 0"):
        network.add_lif("b", 3, tau_mem=[1.0, -1.0, 2.0])
    assert list(network.populations) == ["a"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("train", [(), ("v_threshold",), ("v_reset", "v_rest"), ("v_threshold", "v_reset", "v_rest")])
def test_constants_are_compared_neuron_by_neuron_in_parameters(engine, train):
    network = Network()
    network.add_input("in", 1)
    network.add_lif("a", 3, bias=5.0, train=train, **STAGGERED)
    parameters = network.initialize()
    recording = simulate(network, parameters, NOTHING, duration=40.0, engine=engine)
    assert (recording.spike_counts("a") > 0).all()
    if train:
        changed, value = ("v_threshold", 1.75) if "v_threshold" in train else ("v_reset", 3.5)
        parameters[f"a.{changed}"][1] = value
        with pytest.raises(
            InvalidInput, match=r"^a.v_threshold\[1\] is (1.75|3.0); allowed: numbers > v_reset, (2|3.5). "
        ):
            network.check_parameters(parameters)


def test_training_keeps_reset_and_rest_below_the_threshold():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("a", 2, v_reset=-0.5, train=("v_reset", "v_rest", "bias"))
    network.add_lif("b", 2, v_reset=0.5, v_threshold=2.5, train=("v_reset", "v_threshold"))
    network.add_lif("c", 2, v_reset=0.5, v_threshold=2.5, train=("v_threshold",))
    network.add_lif("d", 2, train=True)
    bounds = network.bounds()
    assert bounds["a.v_reset"] == bounds["a.v_rest"] == (-math.inf, 0.999) and bounds["a.bias"] == (-math.inf, math.inf)
    assert bounds["b.v_reset"] == (-math.inf, 1.5) and bounds["b.v_threshold"] == (1.501, math.inf)
    assert bounds["c.v_threshold"] == (0.501, math.inf)
    assert all(type(side) is float for sides in bounds.values() for side in sides)
    # all of those that are given, or have always been there
    assert network.populations["d"].train == ("tau_mem", "tau_syn", "v_threshold")
    assert bounds["d.v_threshold"] == (0.001, math.inf)


MOVING = [
    ("v_threshold",), ("v_reset",), ("v_rest",), ("v_reset", "v_rest"), ("v_threshold", "v_reset"),
    ("v_threshold", "v_rest"), ("v_threshold", "v_reset", "v_rest"),
]  # fmt: skip
GIVEN = [
    STAGGERED,
    {**STAGGERED, "v_threshold": 3.5},
    {**STAGGERED, "v_reset": -0.5},
    {**STAGGERED, "v_reset": Uniform(-4.0, 4.0), "v_rest": np.array([0.5, 1.0, -1.0])},
    {**STAGGERED, "v_threshold": Uniform(-4.0, 6.0)},
    {"v_threshold": Uniform(-4.0, 4.0), "v_reset": Uniform(-4.0, 4.0), "v_rest": np.array([0.5, 2.0, -1.0])},
]


@pytest.mark.parametrize("train", MOVING)
@pytest.mark.parametrize("given", GIVEN)
def test_training_keeps_each_neuron_s_reset_and_rest_below_its_own_threshold(given, train):
    network = Network()
    network.add_lif("a", 3, train=train, **given)
    bounds, start, moved = network.bounds(), network.initialize(3), 0
    check_within({name: start[name] for name in bounds}, bounds)  # nothing jumps in the first step
    for seed in range(20):
        # steps that would carry any of them anywhere
        gradients = {name: np.random.default_rng([seed, 3]).normal(size=start[name].shape) for name in bounds}
        for signs in (1.0, -1.0):
            optimizer = SGD(10.0)
            found, state = optimizer.step(
                start, {k: signs * v for k, v in gradients.items()}, optimizer.initialize(start), bounds=bounds
            )
            network.check_parameters(found)
            moved += sum(int(state[f"projected/{name}"]) for name in bounds)
    assert moved > 0


@pytest.mark.parametrize("train", [(), ("v_threshold", "v_reset")])
@pytest.mark.parametrize(("drawn", "given"), [("v_reset", "v_rest"), ("v_rest", "v_reset")])
def test_a_drawn_constant_is_not_taken_for_zero_where_voltages_lie_far_below(drawn, given, train):
    network = Network()
    network.add_lif("a", 50, v_threshold=-50.0, **{drawn: Normal(-65.0, 4.0), given: -65.0}, train=train)
    parameters = network.initialize()
    network.check_parameters(parameters)
    # a drawn one stays below the middle where the threshold may move, else below the threshold: few are cut off
    assert np.median(parameters[f"a.{drawn}"]) == pytest.approx(-65.0, abs=2.0)
    assert parameters[f"a.{drawn}"].max() <= (-57.5 if train else -50.0)


def test_ranges_of_training_are_those_of_each_neuron():
    network = Network()
    network.add_lif("a", 3, train=("v_threshold", "v_reset"), **STAGGERED)
    network.add_lif("b", 3, train=("v_threshold", "v_reset"), **{**STAGGERED, "v_reset": -0.5, "v_rest": -0.5})
    network.add_lif("c", 3, train=("v_threshold", "v_reset"), **{**STAGGERED, "v_threshold": 3.5})
    network.add_lif("d", 3, train=("v_reset",), **STAGGERED)
    bounds = network.bounds()
    np.testing.assert_allclose(bounds["a.v_reset"][1], [0.75, 2.5, 1.25], rtol=1e-15)
    np.testing.assert_allclose(bounds["a.v_threshold"][0], [0.751, 2.501, 1.251], rtol=1e-15)
    # one reset for all neurons must stay below all of their thresholds, and one threshold above all of their resets
    assert bounds["b.v_reset"] == (-math.inf, 0.25)
    np.testing.assert_allclose(bounds["b.v_threshold"][0], [0.251, 1.251, 0.751], rtol=1e-15)
    assert bounds["c.v_threshold"] == (2.751, math.inf)
    np.testing.assert_allclose(bounds["c.v_reset"][1], [2.0, 2.75, 2.0], rtol=1e-15)
    np.testing.assert_allclose(bounds["d.v_reset"][1], [0.999, 2.999, 1.999], rtol=1e-15)


def test_a_description_says_what_was_given_and_comes_back_equal():
    network, _, _, _ = case(0)
    assert Network.from_dict(network.to_dict()).fingerprint() == network.fingerprint()
    plain = Network()
    plain.add_lif("a", 2)
    assert list(plain.to_dict()["populations"][0]["settings"]) == ["tau_mem", "tau_syn", "v_threshold"]
    assert plain.value_of("a", "v_reset", {}).tolist() == [0.0, 0.0]
    assert "v_reset`` (0)" in Network.add_lif.__doc__ and "bias`` (0)" in Network.add_readout.__doc__


APART = [
    ({"v_threshold": Uniform(-55, -50), "v_reset": Uniform(-70, -60), "v_rest": Uniform(-70, -60)}, ()),
    ({"v_threshold": -50.0, "v_reset": Uniform(-70, -60), "v_rest": Uniform(-70, -60)}, ()),
    ({"v_threshold": Uniform(-55, -50), "v_reset": Uniform(-70, -60), "v_rest": -65.0}, ()),
    ({"v_threshold": Uniform(0.9, 1.1), "v_reset": Uniform(0.6, 0.8)}, ()),
    ({"v_threshold": Uniform(0.9, 5.0), "v_rest": Uniform(0.6, 0.8)}, ()),
    ({"v_reset": Uniform(0.6, 0.8)}, ("v_threshold",)),
    ({"v_threshold": Normal(-50.0, 1.0), "v_reset": Normal(-65.0, 1.0), "v_rest": -65.0}, ()),
]


@pytest.mark.parametrize(("given", "train"), APART)
@pytest.mark.filterwarnings("error")
def test_draws_that_contradict_none_are_left_as_they_are(given, train):
    # they were put at 0, or at the constant beside them, and a threshold of -50 at 0.001
    network = Network()
    network.add_lif("a", 200, train=train, **given)
    found = network.initialize(3)
    for name in given:
        drawn = given[name]
        if isinstance(drawn, Uniform):
            assert drawn.low <= found[f"a.{name}"].min() and found[f"a.{name}"].max() <= drawn.high
        elif isinstance(drawn, Normal):
            assert found[f"a.{name}"].mean() == pytest.approx(drawn.mean, abs=0.4)
    network.check_parameters(found)


def test_draws_that_are_put_elsewhere_are_counted():
    network = Network()
    network.add_lif("a", 100, v_threshold=Uniform(0.5, 1.0), v_reset=0.7)
    with pytest.warns(UserWarning, match=r"^(2|3|4|5)\d of 100 draws of a.v_threshold lie outside their range"):
        found = network.initialize(0)
    assert found["a.v_threshold"].min() == 0.701
    network.check_parameters(found)


def test_training_may_move_what_was_drawn_to_either_side():
    network = Network()
    moving = ("v_threshold", "v_reset", "v_rest")
    network.add_lif("a", 4, v_threshold=Uniform(-52, -50), v_reset=-70.0, v_rest=-65.0, train=moving)
    network.add_lif("b", 4, v_threshold=Uniform(0.5, 1.5), v_reset=-1.0, v_rest=-2.0, train=("v_reset", "v_rest"))
    bounds = network.bounds()
    assert bounds["a.v_rest"] == bounds["a.v_reset"] == (-math.inf, -58.5)
    assert bounds["b.v_rest"] == bounds["b.v_reset"] == (-math.inf, -0.25)
