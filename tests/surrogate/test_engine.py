"""The grid engine against a slow twin that carries derivatives forward, finite differences, and itself."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eventsnn import Uniform
from eventsnn.errors import InvalidInput
from eventsnn.surrogate import engine, paths, reference
from eventsnn.surrogate.network import GridNetwork
from eventsnn.surrogate.slopes import Triangle
from eventsnn.surrogate.spread import Spread
from tests.surrogate.grids import directions, networks, values

SEEDS = st.integers(0, 10_000)
SAMPLES = np.arange(3)
COSTS = (0.0, np.inf)  # of a spike: all is done by spikes, all by transforms


def mode(**settings):
    return engine.Mode(**{"dtype": np.float64, "n_threads": 1, "samples": SAMPLES, "training": True, **settings})


def dropped(tape):
    """{population or recurrent connection: factors} that the engine drew, for the twin."""
    kept = {}
    for name, layer in tape.items():
        if getattr(layer, "_kept", None) is not None:
            kept[name] = layer._kept
        if getattr(layer, "_input_kept", None) is not None:
            kept[f"{name}.input"] = layer._input_kept
        if getattr(layer, "_kept_back", None) is not None:
            kept[f"{name}->{name}"] = layer._kept_back
    return kept


@given(
    networks(),
    SEEDS,
    st.booleans(),
    st.booleans(),
    st.sampled_from(("spread", "rounded", "fractional")),
    st.sampled_from(COSTS),
)
def test_the_twin_agrees(network, seed, smooth, training, delays, cost):
    parameters, inputs = network.initialize(seed), values(seed)
    how = mode(smooth=smooth, training=training, delays=delays, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "SPIKE_COST", cost)
        patch.setattr(paths, "AT_ONCE", 2)  # so that there are several parts
        recording, tape = engine.run(network, parameters, inputs, how)
        kept, pull = dropped(tape), np.random.default_rng(seed).normal(size=recording.voltages["out"].shape)
        gradients = engine.backward(network, parameters, tape, {"out": pull})
    along = directions(network, parameters, seed)
    voltages, changes, margin = reference.simulate(network, parameters, along, inputs, how, kept)
    assume(smooth or margin > 1e-9)  # nearer than that rounding decides about a spike, and both are right
    scale = np.abs(voltages["out"]).max() + 1.0
    np.testing.assert_allclose(recording.voltages["out"], voltages["out"], atol=1e-11 * scale)
    assert set(gradients) == set(network.trainable)
    terms = [np.sum(gradients[name] * direction) for name, direction in along.items()]
    np.testing.assert_allclose(sum(terms), np.sum(pull * changes["out"]), rtol=1e-9, atol=1e-9 * np.abs(terms).sum())


@given(networks(detach=False), SEEDS)
def test_finite_differences_of_the_relaxation(network, seed):
    parameters, inputs = network.initialize(seed), values(seed)
    how = mode(smooth=True, delays="spread", seed=seed)
    pull = np.random.default_rng(seed).normal(size=(3, 13, 3))

    def loss(changed):
        recording, tape = engine.run(network, changed, inputs, how)
        return np.sum(np.tanh(recording.voltages["out"]) * pull), recording, tape

    _, recording, tape = loss(parameters)
    back = {"out": pull * (1.0 - np.tanh(recording.voltages["out"]) ** 2)}
    gradients, along = engine.backward(network, parameters, tape, back), directions(network, parameters, seed)
    for name, direction in along.items():

        def slope(step, name=name, direction=direction):
            ahead, back = ({**parameters, name: parameters[name] + sign * step * direction} for sign in (1, -1))
            return (loss(ahead)[0] - loss(back)[0]) / (2 * step)

        near, far = slope(1e-5), slope(2e-5)
        terms = np.abs(gradients[name] * direction).sum() + 1e-2
        if abs(near - far) > 1e-6 * terms:
            assert has_corners(network), name
            continue
        assert abs(near - np.sum(gradients[name] * direction)) <= 1e-6 * terms, name


def has_corners(network):
    """Whether a derivative of the relaxation jumps somewhere: of triangles."""
    spreads = [c.spread for c in network.connections.values() if c.spread is not None]
    surrogates = [p.surrogate for p in network.populations.values() if p.kind == "lif"]
    return any(s.kind == "triangle" for s in spreads) or any(isinstance(s, Triangle) for s in surrogates)


@given(networks(), SEEDS)
def test_transforms_give_what_spikes_give(network, seed):
    parameters, inputs = network.initialize(seed), values(seed, n_samples=11)
    how, found = mode(delays="spread", smooth=True, samples=np.arange(11)), []
    for cost in COSTS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(paths, "SPIKE_COST", cost)
            patch.setattr(paths, "AT_ONCE", 2)  # so that there are several parts, of samples on the way back too
            recording, tape = engine.run(network, parameters, inputs, how)
            pull = {"out": np.random.default_rng(seed).normal(size=recording.voltages["out"].shape)}
            found.append((recording.voltages["out"], engine.backward(network, parameters, tape, pull)))
    (first, by_spike), (second, by_transform) = found
    np.testing.assert_allclose(second, first, atol=1e-9 * (1.0 + np.abs(first).max()))
    for name, gradient in by_spike.items():
        scale = np.abs(gradient).max(initial=1.0)
        np.testing.assert_allclose(by_transform[name], gradient, atol=1e-9 * scale, err_msg=name)


@given(networks(), SEEDS)
def test_threads_change_no_bit(network, seed):
    parameters, inputs = network.initialize(seed), values(seed, n_samples=19)
    found = []
    for n_threads in (1, 3):
        how = mode(delays="spread", n_threads=n_threads, samples=np.arange(19))
        recording, tape = engine.run(network, parameters, inputs, how)
        pull = np.ones_like(recording.voltages["out"])
        found.append((recording, engine.backward(network, parameters, tape, {"out": pull})))
    for name, counts in found[0][0].counts.items():
        np.testing.assert_array_equal(found[1][0].counts[name], counts)
    np.testing.assert_array_equal(found[1][0].voltages["out"], found[0][0].voltages["out"])
    for name, gradient in found[0][1].items():
        np.testing.assert_array_equal(found[1][1][name], gradient)


@given(networks(), SEEDS)
def test_samples_are_independent_in_evaluation(network, seed):
    parameters, inputs, how = network.initialize(seed), values(seed), mode(training=False)
    together, _ = engine.run(network, parameters, inputs, how)
    alone = [engine.run(network, parameters, {"in": inputs["in"][k : k + 1]}, how)[0] for k in SAMPLES]
    joined = np.concatenate([recording.voltages["out"] for recording in alone])
    assume(all(np.isfinite(joined).ravel()))
    np.testing.assert_allclose(together.voltages["out"], joined, atol=1e-9 * (1 + np.abs(joined).max()))


@given(networks(), SEEDS)
def test_a_network_survives_its_description(network, seed):
    again = GridNetwork.from_dict(network.to_dict())
    assert again.fingerprint() == network.fingerprint()
    first, second = network.initialize(seed), again.initialize(seed)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)
    assert again.trainable == network.trainable and again.bounds() == network.bounds()


def test_one_spike_by_hand():
    """A spike of weight 2 and delay 3 steps: V rises by 2 three steps later, and leaks by 1 - dt/tau_mem a step."""
    network = GridNetwork(1.0)
    network.add_input("in", 1)
    network.add_readout("out", 1, tau_mem=4.0)
    network.connect("in", "out", weight=2.0, delay=np.array([[3.0]]))
    counts = np.zeros((1, 6, 1))
    counts[0, 1] = 1.0
    recording, _ = engine.run(network, network.initialize(), {"in": counts}, mode(training=False))
    np.testing.assert_allclose(recording.voltages["out"][0, :, 0], [0, 0, 0, 0, 2.0, 1.5])


def test_unknown_delays_are_refused():
    network = GridNetwork(1.0)
    network.add_input("in", 1)
    network.add_readout("out", 1)
    network.connect("in", "out", weight=2.0)
    with pytest.raises(InvalidInput, match="fractional"):
        engine.run(network, network.initialize(), {"in": np.zeros((1, 2, 1))}, mode(delays="exact"))


def test_synapses_that_are_not_there_do_nothing_whatever_their_weights():
    network = GridNetwork(1.0)
    network.add_input("in", 2)
    network.add_readout("out", 2)
    network.connect("in", "out", weight=1.0, delay=1.0, mask=np.eye(2, dtype=bool))
    parameters, counts = network.initialize(), np.ones((1, 4, 2))
    expected = engine.run(network, parameters, {"in": counts}, mode(training=False))[0].voltages["out"]
    parameters["in->out.weight"] = np.ones((2, 2))
    found = engine.run(network, parameters, {"in": counts}, mode(training=False))[0].voltages["out"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("delays", engine.DELAYS)
@pytest.mark.parametrize("per", ["synapse", "neuron"])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("delay", [7.0, 1e9, 1e19])
def test_delays_beyond_the_run_bring_nothing_and_take_no_memory(delays, per, recurrent, delay):
    """Nor are they cut to what a short run can hold, or wrap around in an integer; each sample is on its own."""
    network = GridNetwork(1.0)
    network.add_input("in", 2)
    network.add_lif("a", 3, tau_mem=1.5)
    network.connect("in", "a", weight=2.0)
    delayed = {"weight": -50.0, "delay": delay, "delay_per": per, "spread": Spread("triangle", 1.0)}
    network.add_readout("out", 2)
    network.connect(*(("a", "a") if recurrent else ("a", "out")), **delayed)
    if recurrent:
        network.connect("a", "out", weight=1.0)
    parameters, counts = network.initialize(), {"in": np.ones((2, 4, 2))}
    recording, tape = engine.run(network, parameters, counts, mode(training=False, delays=delays))
    np.testing.assert_array_equal(recording.counts["a"], 4)
    assert recurrent or not recording.voltages["out"].any()
    gradients = engine.backward(network, parameters, tape, {"out": np.ones((2, 4, 2))})
    assert not any(gradients[name].any() for name in gradients if name.startswith("a->a") or name.endswith("delay"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("per", ["synapse", "neuron"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_delay_that_is_nearly_half_way_is_rounded_alike_everywhere(dtype, per, recurrent):
    """0.35 / 0.1 is just below 3.5 in float64, and 3.5 in float32."""
    network = GridNetwork(0.1)
    network.add_input("in", 1)
    network.add_lif("a", 2, tau_mem=0.11)
    network.add_readout("out", 1, tau_mem=0.1)
    network.connect("in", "a", weight=np.array([[1.0, 0.0]]))
    spread = Spread("triangle", 0.1, longest=0.35)
    delayed = {"delay": 0.35, "delay_per": per, "spread": spread}
    if recurrent:
        network.connect("a", "a", weight=np.array([[0.0, 1.0], [0.0, 0.0]]), **delayed)
    network.connect(
        "a", "out", weight=np.array([[0.0], [1.0]] if recurrent else [[1.0], [0.0]]), **({} if recurrent else delayed)
    )
    counts = np.zeros((1, 8, 1), dtype)
    counts[0, 0] = 1.0
    how = mode(training=False, delays="rounded", dtype=dtype)
    voltages = engine.run(network, network.initialize(), {"in": counts}, how)[0].voltages["out"]
    assert np.argmax(voltages) == 3 + recurrent and voltages.max() == pytest.approx(1.0)


def test_interpolated_delays_arrive_whole_at_a_longest_that_is_no_step():
    network = GridNetwork(1.0)
    network.add_input("in", 1)
    network.add_readout("out", 1, tau_mem=1.0)
    network.connect("in", "out", weight=1.0, delay=10.4, spread=Spread("gaussian", 1.0, longest=10.4))
    counts = np.zeros((1, 20, 1))
    counts[0, 0] = 1.0
    for delays in engine.DELAYS:
        how = mode(training=False, delays=delays)
        voltages = engine.run(network, network.initialize(), {"in": counts}, how)[0].voltages["out"]
        assert voltages.sum() == pytest.approx(1.0), delays


@pytest.mark.parametrize("which", ["dropout", "input_dropout", "recurrent"])
def test_dropout_keeps_the_mean_and_is_for_training(which):
    """Factors are 0 or 1/(1 - p), a share p of them 0."""
    network, share = GridNetwork(1.0), 0.25
    network.add_input("in", 1)
    network.add_lif("a", 400, **({} if which == "recurrent" else {which: share}))
    network.connect("in", "a", weight=1.0)
    network.connect("a", "a", weight=0.01, delay=1.0, dropout=share if which == "recurrent" else 0.0)
    parameters, counts = network.initialize(), {"in": np.ones((3, 2, 1))}
    attribute = {"dropout": "_kept", "input_dropout": "_input_kept", "recurrent": "_kept_back"}[which]
    kept = getattr(engine.run(network, parameters, counts, mode())[1]["a"], attribute)
    assert set(np.unique(kept)) == {0.0, 1.0 / (1.0 - share)}
    assert abs(np.mean(kept == 0.0) - share) < 4 * np.sqrt(share * (1 - share) / kept.size)
    assert getattr(engine.run(network, parameters, counts, mode(training=False))[1]["a"], attribute) is None


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_neuron_without_input_gets_nothing_neither_bias_nor_offset(batch_norm):
    network = GridNetwork(1.0)
    network.add_input("in", 1)
    network.add_lif("a", 50, bias=0.3, batch_norm=batch_norm, input_dropout=0.5)
    network.connect("in", "a", weight=0.1)
    parameters = network.initialize()
    if batch_norm:
        parameters["a.offset"] += 0.2
    _, tape = engine.run(network, parameters, {"in": np.ones((3, 5, 1))}, mode())
    dropped = tape["a"]._input_kept == 0.0
    assert dropped.any() and not dropped.all()
    assert not tape["a"].potentials.transpose(0, 2, 1)[dropped].any()
    assert tape["a"].potentials.transpose(0, 2, 1)[~dropped].all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_that_just_reaches_the_threshold_fires_alone_and_among_others(dtype):
    """Input that is dense, where spikes cost more than transforms: with rounded delays none may be made."""
    network = GridNetwork(1.0)
    network.add_input("in", 2)
    network.add_lif("a", 16, tau_mem=1.001)
    network.connect("in", "a", weight=0.5, delay=Uniform(0.0, 20.0))
    parameters = network.initialize()
    parameters["in->a.delay"] = np.tile(parameters["in->a.delay"][:1], (2, 1))  # both arrive together
    values = {"in": np.ones((64, 60, 2), dtype)}
    how = mode(training=False, delays="rounded", dtype=dtype)
    together = engine.run(network, parameters, values, how)[0].counts["a"]
    alone = engine.run(network, parameters, {"in": values["in"][:1]}, how)[0].counts["a"]
    lags = np.rint(parameters["in->a.delay"][0]).astype(int)
    np.testing.assert_array_equal(together, np.tile(60 - lags, (64, 1)))
    np.testing.assert_array_equal(alone, together[:1])


def test_running_statistics_move_by_a_tenth_towards_those_of_the_batch():
    """Mean and unbiased variance, as in the published implementations."""
    network = GridNetwork(1.0)
    network.add_input("in", 3)
    network.add_lif("a", 2, batch_norm=True)
    network.connect("in", "a", weight=np.arange(6.0).reshape(3, 2))
    counts = np.random.default_rng(0).integers(0, 3, (4, 5, 3)).astype(float)
    recording, _ = engine.run(network, network.initialize(), {"in": counts}, mode(samples=np.arange(4)))
    inputs = (counts @ np.arange(6.0).reshape(3, 2)).reshape(-1, 2)
    np.testing.assert_allclose(recording.statistics["a.running_mean"], 0.1 * inputs.mean(axis=0), rtol=1e-12)
    expected = 0.9 + 0.1 * inputs.var(axis=0, ddof=1)
    np.testing.assert_allclose(recording.statistics["a.running_variance"], expected, rtol=1e-12)
