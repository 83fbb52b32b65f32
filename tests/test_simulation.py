"""What a simulation must do whatever the network: symmetries of the equations, written rules, hazards and limits."""

import math
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsnn import Network, SpikeBatch, engines, simulate, stream, value_and_grad
from eventsnn.engines import checking
from eventsnn.engines.checking import default_budget
from eventsnn.engines.cpu import engine as compiled
from eventsnn.engines.problem import Problem, Run
from eventsnn.errors import EventStorm, InvalidInput
from eventsnn.losses import FirstSpike, MeanVoltage
from eventsnn.neurons import MODELS
from eventsnn.spikes import Probe
from eventsnn.testing import TOPOLOGIES, batches_for, dense_delays, networks, parameters_for, random_case

ENGINES = engines.names()
SEEDS = st.integers(0, 10_000)
DURATION = 48.0  # a whole number of windows, whatever their length (a power of two up to 16 ms)


def run(network, parameters, batch, duration=DURATION, **arguments):
    return simulate(network, parameters, batch, duration=duration, n_threads=1, **arguments)


def spikes_of(recording, names):
    """[(times, units)] of some populations and all samples."""
    return [recording.spikes(name, sample) for sample in range(len(recording)) for name in names]


def assert_same_spikes(one, other, tolerance=0.0):
    assert len(one) == len(other)
    for (t1, u1), (t2, u2) in zip(one, other, strict=True):
        assert u1.tolist() == u2.tolist()
        assert np.max(np.abs(t1 - t2), initial=0.0) <= tolerance


def assert_identical(one, other):
    """Two recordings with the same bytes."""
    for name in ("times", "neurons", "slopes", "offsets"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    for name, readout in one.readouts.items():
        assert readout.integral.tobytes() == other.readouts[name].integral.tobytes()
        assert readout.maximum.tobytes() == other.readouts[name].maximum.tobytes()


def state_names(network):
    return [p.name for p in network.populations.values() if p.kind == "lif"]


# Metamorphic relations ------------------------------------------------------------------------------------------------


@given(st.data(), SEEDS)
def test_the_order_of_input_spikes_does_not_matter(data, seed):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network))
    rng = np.random.default_rng(seed)
    shuffled = []
    for train in batch["in"]:
        order = rng.permutation(len(train))
        shuffled.append((train.times[order], train.units[order], train.counts[order]))
    shuffled = SpikeBatch.from_lists(shuffled)
    for engine in ENGINES:
        assert_identical(
            run(network, parameters, batch, engine=engine), run(network, parameters, shuffled, engine=engine)
        )


@given(st.data(), SEEDS)
def test_relabelled_neurons_fire_under_their_new_names(data, seed):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network))
    rng = np.random.default_rng(seed)
    order = {p.name: rng.permutation(p.n) if p.kind == "lif" else np.arange(p.n) for p in network.populations.values()}
    dense = densified(network)
    original = dense_parameters(network, dense, parameters)
    relabelled = {}
    for name, values in original.items():
        connection = dense.connections.get(name.rsplit(".", 1)[0])
        if connection is not None and values.ndim == 2:
            values = values[order[connection.pre]][:, order[connection.post]]
        relabelled[name] = values
    one, two = run(dense, original, batch), run(dense, relabelled, batch)
    for sample in range(len(one)):
        for name in state_names(dense):
            times, units = two.spikes(name, sample)
            back = order[name][units]
            assert_same_spikes([one.spikes(name, sample)], [sorted_spikes(times, back)], 1e-9)


def sorted_spikes(times, units):
    """Spikes in the order (time rounded to 1e-9 ms, unit)."""
    key = np.lexsort((units, times))
    return times[key], units[key]


def densified(network):
    """The same populations with every connection dense and one delay per synapse."""
    dense = Network(network.min_delay)
    for p in network.populations.values():
        if p.kind == "input":
            dense.add_input(p.name, p.n)
        else:
            dense._add_neurons(p.name, MODELS[p.kind], p.n, p.settings, p.train)
    for c in network.connections.values():
        dense.connect(c.pre, c.post, weight=np.zeros((c.n_pre, c.n_post)), delay=np.full((c.n_pre, c.n_post), 2.0))
    return dense


def dense_parameters(network, dense, parameters):
    """Parameters of ``densified``: absent synapses have weight 0 and delay 2 ms."""
    result = {name: values for name, values in parameters.items() if name.split(".")[0] in network.populations}
    for c in network.connections.values():
        delays = dense_delays(c, parameters)
        weights = np.zeros((c.n_pre, c.n_post))
        weights[np.isfinite(delays)] = parameters[f"{c.name}.weight"].reshape(-1)
        result[f"{c.name}.weight"] = weights
        result[f"{c.name}.delay"] = np.where(np.isfinite(delays), delays, 2.0)
    return result


@given(st.data())
def test_a_zero_weight_is_no_synapse(data):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network))
    dense = densified(network)
    one = run(network, parameters, batch)
    two = run(dense, dense_parameters(network, dense, parameters), batch)
    names = state_names(network)
    assert_same_spikes(spikes_of(one, names), spikes_of(two, names), 1e-9)
    np.testing.assert_allclose(one.readouts["out"].integral, two.readouts["out"].integral, rtol=1e-9, atol=1e-9)


@given(st.data())
def test_a_shift_by_hours_shifts_the_spikes(data):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network))
    shift = 2.0**13 * 1000.0
    later = SpikeBatch(batch["in"].times + shift, batch["in"].units, batch["in"].offsets, batch["in"].counts)
    one, two = run(network, parameters, batch), run(network, parameters, later, duration=DURATION + shift)
    flattest = np.min(one.slopes, initial=1.0)
    if flattest < 1e-3:
        return
    for (t1, u1), (t2, u2) in zip(
        spikes_of(one, state_names(network)), spikes_of(two, state_names(network)), strict=True
    ):
        assert sorted(u1) == sorted(u2)
        # an arrival at 8e6 ms is rounded to 1e-9 ms, and a flat crossing enlarges that
        assert np.max(np.abs(np.sort(t1) + shift - np.sort(t2)), initial=0.0) <= 1e-5


@given(st.data(), st.integers(1, 5))
def test_a_longer_run_begins_like_the_shorter_one(data, factor):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network))
    short, long = run(network, parameters, batch), run(network, parameters, batch, duration=DURATION * (1 + factor))
    for sample in range(len(short)):
        for name in state_names(network):
            (t1, u1), (t2, u2) = short.spikes(name, sample), long.spikes(name, sample)
            early = t2 < DURATION
            assert t1.tobytes() == t2[early].tobytes() and u1.tobytes() == u2[early].tobytes()


def assert_is_split(whole, parts, names, every):
    """The parts of a stream hold what one run held, to the last bit, each in its own time."""
    assert parts[0].start == 0.0 and parts[-1].duration == whole.duration
    for k, (part, after) in enumerate(zip(parts, [*parts[1:], None], strict=True)):
        assert part.start == k * every < part.duration and part.outputs == whole.outputs
        assert after is None or part.duration == after.start
        assert np.all((part.times >= part.start) & (part.times < part.duration))
        assert (part.readouts == {}) == (after is not None or whole.readouts == {})
    for name in names:
        for field in (0, 1):
            joined = np.concatenate([part.spikes(name, 0)[field] for part in parts])
            assert joined.tobytes() == whole.spikes(name, 0)[field].tobytes()
        slopes = np.concatenate([part.slopes_of(name, 0) for part in parts])
        assert slopes.tobytes() == whole.slopes_of(name, 0).tobytes()
    for name, batch in whole.inputs.items():
        acted = batch.times < whole.duration
        assert np.concatenate([part.inputs[name].times for part in parts]).tobytes() == batch.times[acted].tobytes()
        assert np.concatenate([part.inputs[name].units for part in parts]).tobytes() == batch.units[acted].tobytes()
    for name, values in vars(whole.counters).items():
        assert sum(getattr(part.counters, name) for part in parts).tolist() == values.tolist(), name
    for name, readout in whole.readouts.items():
        for key, values in vars(readout).items():
            assert np.array_equal(getattr(parts[-1].readouts[name], key), values), key


@given(st.data(), st.floats(0.9, 60.0))
def test_a_run_may_be_split(data, every):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network, 1))
    whole = run(network, parameters, batch)
    parts = list(stream(network, parameters, batch, duration=DURATION, every=every))
    assert_is_split(whole, parts, state_names(network), every)


@given(st.data())
def test_networks_side_by_side_do_not_see_each_other(data):
    first, second = data.draw(networks()), data.draw(networks())
    parts = [(n, data.draw(parameters_for(n)), data.draw(batches_for(n, 1))) for n in (first, second)]
    joint, parameters, batch = Network(), {}, {}
    for tag, (network, values, inputs) in zip("ab", parts, strict=True):
        for p in network.populations.values():
            if p.kind == "input":
                joint.add_input(tag + p.name, p.n)
            else:
                joint._add_neurons(tag + p.name, MODELS[p.kind], p.n, p.settings, p.train)
        for c in network.connections.values():
            mask = np.isfinite(dense_delays(c, values))
            joint.connect(
                tag + c.pre, tag + c.post, weight=c.weight, delay=c.delay, delay_per=c.delay_per,
                mask=None if c.indptr is None else mask,
            )  # fmt: skip
            for key in ("weight", "delay")[: 1 if c.delay is None else 2]:
                parameters[f"{tag}{c.pre}->{tag}{c.post}.{key}"] = values[f"{c.name}.{key}"]
        parameters |= {tag + k: v for k, v in values.items() if "->" not in k}
        batch[tag + "in"] = inputs["in"]
    together = run(joint, parameters, batch)
    for tag, (network, values, inputs) in zip("ab", parts, strict=True):
        alone = run(network, values, inputs)
        names = state_names(network)
        assert_same_spikes(spikes_of(alone, names), spikes_of(together, [tag + n for n in names]), 1e-9)


@given(st.data())
def test_a_count_is_so_many_merged_spikes(data):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network))
    repeated = SpikeBatch.from_lists(
        [(np.repeat(t.times, t.counts.astype(int)), np.repeat(t.units, t.counts.astype(int))) for t in batch["in"]]
    )
    names = state_names(network)
    for engine in ENGINES:
        one, two = run(network, parameters, batch, engine=engine), run(network, parameters, repeated, engine=engine)
        assert_same_spikes(spikes_of(one, names), spikes_of(two, names), 1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(8))
def test_a_population_may_be_split(engine, seed):
    rng = np.random.default_rng(seed)
    weights = {"in": rng.normal(1.5, 1.0, (3, 4)), "hidden": rng.normal(0.2, 0.6, (4, 4))}
    delays = {name: rng.uniform(1.0, 9.0, values.shape) for name, values in weights.items()}
    whole = Network()
    whole.add_input("in", 3)
    whole.add_lif("hidden", 4)
    for pre in ("in", "hidden"):
        whole.connect(pre, "hidden", weight=weights[pre], delay=delays[pre])
    split, halves = Network(), {"a": slice(0, 1), "b": slice(1, 4)}
    split.add_input("in", 3)
    for name, part in halves.items():
        split.add_lif(name, part.stop - part.start)
    for post, columns in halves.items():
        split.connect("in", post, weight=weights["in"][:, columns], delay=delays["in"][:, columns])
        for pre, rows in halves.items():
            split.connect(pre, post, weight=weights["hidden"][rows, columns], delay=delays["hidden"][rows, columns])
    batch = SpikeBatch.from_lists([(rng.uniform(0, 40, 30), rng.integers(0, 3, 30))])
    one = run(whole, whole.initialize(), batch, engine=engine).spikes("hidden", 0)
    recording = run(split, split.initialize(), batch, engine=engine)
    (t1, u1), (t2, u2) = recording.spikes("a", 0), recording.spikes("b", 0)
    assert one[0].size > 5
    assert_same_spikes([one], [sorted_spikes(np.concatenate([t1, t2]), np.concatenate([u1, u2 + 1]))], 1e-9)


@given(st.data(), st.sampled_from([2.0, 0.25, 3.0, 0.7]))
def test_weights_and_threshold_scale_together(data, factor):
    network = data.draw(networks())
    parameters, batch = data.draw(parameters_for(network)), data.draw(batches_for(network))
    scaled = Network(network.min_delay)
    for p in network.populations.values():
        if p.kind == "input":
            scaled.add_input(p.name, p.n)
        elif p.kind == "lif":
            scaled.add_lif(p.name, p.n, **p.settings | {"v_threshold": factor}, train=p.train)
        else:
            scaled.add_readout(p.name, p.n, **p.settings, train=p.train)
    for c in network.connections.values():
        mask = None if c.indptr is None else np.isfinite(dense_delays(c, parameters))
        scaled.connect(c.pre, c.post, weight=c.weight, delay=c.delay, delay_per=c.delay_per, mask=mask)
    values = {}
    for name, array in parameters.items():
        grows = name.endswith(".v_threshold") or (name.endswith(".weight") and not name.endswith("->out.weight"))
        values[name] = array * factor if grows else array
    one, two = run(network, parameters, batch), run(scaled, values, batch)
    names = state_names(network)
    assert_same_spikes(spikes_of(one, names), spikes_of(two, names), 1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@given(SEEDS)
def test_a_delay_on_the_input_is_a_later_input(engine, seed):
    rng = np.random.default_rng(seed)
    weight, shift = rng.normal(1.5, 1.0, (3, 4)), rng.integers(1, 64) / 8
    results = []
    for delay, offset in ((shift, 0.0), (None, shift)):
        network = Network()
        network.add_input("in", 3)
        network.add_lif("hidden", 4)
        network.connect("in", "hidden", weight=weight, delay=delay, delay_per="connection")
        times = np.random.default_rng(seed).integers(0, 200, 25) / 8
        units = np.random.default_rng(seed + 1).integers(0, 3, 25)
        batch = SpikeBatch.from_lists([(times + offset, units)])
        results.append(spikes_of(run(network, network.initialize(), batch, engine=engine), ["hidden"]))
    assert_same_spikes(*results, 1e-11)


# Buffers, samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_results_do_not_depend_on_the_first_size_of_buffers(seed):
    case = random_case(seed, loss="mean", topology=["recurrent", "loop"][seed % 2])
    results = []
    for capacity in (1, 2, 7, 4096):
        settings = Run(case.duration, {"out": Probe(maximum=True)}, capacity=capacity)
        problem = Problem(case.network, case.network.check_parameters(case.parameters), case.batch, settings)
        results.append(compiled.forward(problem)[0])
    for other in results[1:]:
        assert_identical(results[0], other)


@pytest.mark.parametrize("capacity", [1, 4096])
def test_a_stream_outgrows_its_buffers_unseen(capacity):
    n_spikes = 0
    for seed in range(24):
        case = random_case(seed, loss="mean", topology=TOPOLOGIES[seed % len(TOPOLOGIES)], n_samples=1)
        settings = Run(case.duration, {"out": Probe(maximum=True)}, capacity=capacity)
        problem = Problem(case.network, case.network.check_parameters(case.parameters), case.batch, settings)
        every = case.duration / (2.7 + seed)
        whole, _ = compiled.forward(problem)
        parts = list(compiled.stream(problem, every))
        assert_is_split(whole, parts, state_names(case.network), every)
        n_spikes += whole.times.size
    assert n_spikes > 200


def test_a_stream_that_is_left_disturbs_nobody():
    case = random_case(4, loss="mean", topology="recurrent", n_samples=1)
    before = run(case.network, case.parameters, case.batch, duration=case.duration)
    parts = stream(case.network, case.parameters, case.batch, duration=case.duration, every=case.duration / 5)
    next(parts)
    other = stream(case.network, case.parameters, case.batch, duration=case.duration, every=case.duration / 3)
    between = [next(other), next(parts), next(other)]
    assert_identical(before, run(case.network, case.parameters, case.batch, duration=case.duration))
    assert [part.start for part in between] == [0.0, case.duration / 5, case.duration / 3]
    rest = [between[0], between[2], *other]
    assert_is_split(before, rest, state_names(case.network), case.duration / 3)


def test_a_stream_goes_on_after_the_network_has_fallen_silent():
    network, parameters = one_neuron([8.0])
    batch = SpikeBatch.from_lists([([1.0, 5000.0], [0, 0])])
    whole = run(network, parameters, batch, duration=9000.0)
    parts = list(stream(network, parameters, batch, duration=9000.0, every=100.0))
    assert_is_split(whole, parts, ["hidden"], 100.0)
    assert [k for k, part in enumerate(parts) if part.times.size] == [0, 50]


@pytest.mark.parametrize(
    ("duration", "every", "n_parts"),
    [
        (44.00000000000001, 0.55, 80),  # 80 * 0.55 falls short of it
        (0.9, 0.3, 3),  # so does 3 * 0.3, and the quotient rounds to more than 3
        (2.1, 0.3, 7),  # the quotient rounds to more than 7
        (1060.0, 1060.0 / 7, 7),
        (5.0, 99.0, 1),
    ],
)
def test_parts_end_with_the_run_whatever_is_rounded(duration, every, n_parts):
    network, parameters = one_neuron([8.0])
    network.add_readout("out", 1)
    network.connect("hidden", "out", weight=1.0)
    parameters = network.initialize()
    parameters["in->hidden.weight"][:] = 30.0
    batch = SpikeBatch.from_lists([([0.1, duration / 2, np.nextafter(duration, 0)], [0, 0, 0])])
    whole = run(network, parameters, batch, duration=duration)
    parts = list(stream(network, parameters, batch, duration=duration, every=every))
    assert len(parts) == n_parts
    assert_is_split(whole, parts, ["hidden"], every)


def test_losses_on_spikes_want_a_whole_run():
    network, parameters = one_neuron([8.0])
    parameters["in->hidden.weight"][:] = 30.0
    first, last = stream(
        network, parameters, SpikeBatch.from_lists([([1.0, 70.0], [0, 0])]), duration=100.0, every=50.0
    )
    assert FirstSpike(population="hidden").first_times(first)[0].shape == (1, 1)
    with pytest.raises(InvalidInput, match="whole run"):
        FirstSpike(population="hidden").predict(last)


def test_a_mean_voltage_of_the_last_part_is_that_of_the_run():
    case = random_case(3, loss="mean", topology="deep", n_samples=1)
    loss, labels = MeanVoltage(), case.labels[:1]
    whole = run(case.network, case.parameters, case.batch, duration=case.duration)
    *_, last = stream(case.network, case.parameters, case.batch, duration=case.duration, every=case.duration / 3)
    assert loss(last, labels)[0].tobytes() == loss(whole, labels)[0].tobytes()


def test_a_network_without_input_has_no_stream():
    network = Network()
    network.add_lif("hidden", 1)
    with pytest.raises(InvalidInput, match="0 samples"):
        stream(network, {}, {}, duration=10.0, every=1.0)


def test_a_stream_simulates_the_parameters_that_it_was_given():
    # they are checked once: what is written into them later must not reach the kernels
    network, parameters = one_neuron([8.0])
    batch = SpikeBatch.from_lists([([1.0, 30.0], [0, 0])])
    whole = run(network, parameters, batch, duration=60.0)
    assert whole.times.size > 0
    parts = stream(network, parameters, batch, duration=60.0, every=7.0)
    parameters["in->hidden.weight"][:] = math.nan
    assert_is_split(whole, list(parts), ["hidden"], 7.0)


def test_spikes_after_the_end_belong_to_the_last_part_of_a_stream():
    network, parameters = one_neuron([8.0])
    batch = SpikeBatch.from_lists([([1.0, 5000.0, 6000.0], [0, 0, 0])])
    parts = stream(network, parameters, batch, duration=2000.0, every=400.0)
    assert [int(part.counters.after_end[0]) for part in parts] == [0, 0, 0, 0, 2]


def test_a_stream_refuses_what_it_cannot_do():
    network, parameters = one_neuron([8.0])
    one = SpikeBatch.from_lists([([1.0], [0])])
    for every in (0, -1.0, math.inf, math.nan, "1", None, 5e-324):
        with pytest.raises(InvalidInput, match="every"):
            stream(network, parameters, one, duration=10.0, every=every)
    for batch, count in ((SpikeBatch.from_lists([]), 0), (SpikeBatch.from_lists([([], []), ([], [])]), 2)):
        with pytest.raises(InvalidInput, match=f"{count} samples.*one sample"):
            stream(network, parameters, batch, duration=10.0, every=1.0)


def test_a_storm_in_a_stream_keeps_what_came_before():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "hidden", weight=np.array([[8.0]]))
    network.connect("hidden", "hidden", weight=np.array([[8.0]]), delay=np.array([[1.0]]))
    batch = SpikeBatch.from_lists([([50.0], [0])])
    parts, fired = stream(network, network.initialize(), batch, duration=1000.0, every=10.0, max_spikes=100), []
    with pytest.raises(EventStorm) as caught:
        for part in parts:
            fired.append(part.times.size)
    assert fired[:5] == [0] * 5 and max(fired) > 0 and caught.value.count == 100
    assert 10.0 * len(fired) == caught.value.start <= caught.value.time < caught.value.start + 18.0
    assert f"fired 100 spikes between {caught.value.start:g} and" in str(caught.value)


def test_probes_are_checked():
    network, parameters = one_neuron([8.0])
    network.add_readout("out", 1)
    with pytest.raises(InvalidInput, match="Probe"):
        run(network, parameters, SpikeBatch.from_lists([([1.0], [0])]), probes={"out": 0.5})


def test_a_stream_holds_one_part():
    network, parameters = one_neuron([8.0])
    parameters["in->hidden.weight"][:] = 30.0

    def peak(duration):
        times = np.arange(0.0, duration, 5.0)
        batch = SpikeBatch.from_lists([(times, np.zeros(times.size, int))])
        tracemalloc.start()
        total = sum(part.times.size for part in stream(network, parameters, batch, duration=duration, every=500.0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # what lies between the arrays of the input and of the kernels' input events
        return total, peak - 40 * times.size

    (few, small), (many, large) = peak(2_000.0), peak(40_000.0)
    assert many > 15 * few and large < 1.5 * small


@pytest.mark.parametrize("seed", range(6))
def test_samples_of_a_batch_do_not_see_each_other(seed):
    case = random_case(seed, loss="mean", topology="recurrent", n_samples=5)
    arguments = {"loss": case.loss, "duration": case.duration, "n_threads": 1, "return_recording": True}
    together = run(case.network, case.parameters, case.batch, duration=case.duration)
    times = value_and_grad(case.network, case.parameters, case.batch, case.labels, input_times=True, **arguments)[2]
    for sample in range(5):
        alone = {name: batch[[sample]] for name, batch in case.batch.items()}
        single = run(case.network, case.parameters, alone, duration=case.duration)
        first, last = together.offsets[sample], together.offsets[sample + 1]
        assert single.times.tobytes() == together.times[first:last].tobytes()
        assert single.slopes.tobytes() == together.slopes[first:last].tobytes()
        assert single.readouts["out"].integral.tobytes() == together.readouts["out"].integral[sample].tobytes()
        found = value_and_grad(
            case.network, case.parameters, alone, case.labels[[sample]], input_times=True, **arguments
        )[2]
        for name, batch in case.batch.items():
            part = times[name][batch.offsets[sample] : batch.offsets[sample + 1]]
            # the batch's loss is a mean, and a factor of 1/5 is not exact
            np.testing.assert_allclose(part * 5, found[name], rtol=1e-12, atol=1e-20)


def test_a_run_leaves_nothing_behind_for_the_next():
    case, other = random_case(4, loss="mean", topology="recurrent"), random_case(5, loss="mean", topology="deep")
    before = run(case.network, case.parameters, case.batch, duration=case.duration)
    run(other.network, other.parameters, other.batch, duration=other.duration)
    assert_identical(before, run(case.network, case.parameters, case.batch, duration=case.duration))


# Written rules --------------------------------------------------------------------------------------------------------


def one_neuron(weights, **settings):
    network = Network()
    network.add_input("in", len(weights))
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0, **settings)
    network.connect("in", "hidden", weight=np.array(weights)[:, None])
    return network, network.initialize()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_arrivals_at_one_instant_act_together(engine, order):
    network, parameters = one_neuron([50.0, -50.0])
    batch = SpikeBatch.from_lists([([7.0, 7.0], list(order)), ([7.0], [0])])
    recording = run(network, parameters, batch, engine=engine)
    assert recording.spikes("hidden", 0)[0].size == 0
    assert recording.spikes("hidden", 1)[0].size > 0


def crossing_at_an_arrival(engine):
    """(weight, time, threshold): V reaches the threshold to the last bit when the second spike arrives at ``time``."""
    for k in range(1, 200):
        weight, when = 8.0 + k / 64, 0.25 + (k % 8) / 64
        probe = Network()
        probe.add_input("in", 2)
        probe.add_readout("out", 1, tau_mem=20.0, tau_syn=10.0)
        # a strong inhibitory arrival ends the rise, so that the largest voltage is the one at its arrival
        probe.connect("in", "out", weight=np.array([[weight], [-100.0]]))
        batch = SpikeBatch.from_lists([([0.0, when], [0, 1])])
        maximum = run(probe, probe.initialize(), batch, engine=engine).readouts["out"].maximum[0, 0]
        network, parameters = one_neuron([weight, 1.0], v_threshold=float(maximum))
        found = run(network, parameters, SpikeBatch.from_lists([([0.0], [0])]), engine=engine).times
        if found.size and found[0] == when:
            return weight, when, float(maximum)
    raise AssertionError("no exact coincidence among the candidates")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_arrival_at_the_instant_of_a_crossing_acts_first(engine):
    weight, when, threshold = crossing_at_an_arrival(engine)
    batch = SpikeBatch.from_lists([([0.0, when], [0, 1])])
    # the current after the arrival decides: inhibited below threshold, the neuron stays silent
    network, parameters = one_neuron([weight, -100.0], v_threshold=threshold)
    assert run(network, parameters, batch, engine=engine).times.size == 0
    # still above threshold, it fires at that instant with the slope that the arrival leaves
    for change in (-1.0, 3.0):
        network, parameters = one_neuron([weight, change], v_threshold=threshold)
        recording = run(network, parameters, batch, engine=engine)
        assert recording.times[0] == when
        current = weight * math.exp(-when / 10.0) + change
        assert recording.slopes[0] == pytest.approx(current - threshold, rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_spikes_and_arrivals_at_the_end_do_not_act(engine):
    network, parameters = one_neuron([60.0])
    batch = SpikeBatch.from_lists([([10.0], [0])])
    assert run(network, parameters, batch, duration=10.0, engine=engine).counters.after_end.tolist() == [1]
    late = run(network, parameters, batch, duration=30.0, engine=engine)
    first = late.times[0]
    # a spike's time is known to a few roundings
    assert run(network, parameters, batch, duration=float(first) - 1e-13, engine=engine).times.size == 0
    assert run(network, parameters, batch, duration=float(first) + 1e-13, engine=engine).times.size == 1
    assert late.counters.after_end.tolist() == [0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("duration", [39.2, 39.25, 39.3])
def test_arrivals_after_the_end_of_an_uneven_run(engine, duration):
    # both arrivals fall into the last window, which the end cuts short
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 2)
    network.connect("in", "hidden", weight=np.array([[3.0, 30.0]]), delay=np.array([[1.05, 1.25]]))
    batch = SpikeBatch.from_lists([([38.1], [0])])
    recording = run(network, network.initialize(), batch, duration=duration, engine=engine)
    assert recording.counters.events.tolist() == [1] and recording.times.size == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_empty_batches_and_empty_samples(engine):
    network, parameters = one_neuron([60.0])
    assert len(run(network, parameters, SpikeBatch.from_lists([]), engine=engine)) == 0
    recording = run(network, parameters, SpikeBatch.from_lists([([], []), ([1.0], [0]), ([], [])]), engine=engine)
    assert recording.spike_counts("hidden")[:, 0].tolist()[::2] == [0, 0]
    assert recording.spike_counts("hidden")[1, 0] > 0


def test_outputs_are_the_populations_that_send_to_no_other():
    network = Network()
    network.add_input("in", 1)
    for name in ("a", "b", "c"):
        network.add_lif(name, 1)
    network.connect("in", "a", weight=1.0)
    network.connect("a", "b", weight=1.0)
    network.connect("a", "c", weight=1.0)
    network.connect("c", "c", weight=1.0, delay=1.0)
    batch = SpikeBatch.from_lists([([1.0], [0])])
    assert run(network, network.initialize(), batch).outputs == ("b", "c")


# Hazards --------------------------------------------------------------------------------------------------------------


def excited(n=8, weight=6.0):
    """A recurrent network whose gain is far above one."""
    network = Network(min_delay=0.5)
    network.add_input("in", 1)
    network.add_lif("loud", n)
    network.connect("in", "loud", weight=60.0)
    network.connect("loud", "loud", weight=np.linspace(0.5, 1.0, n)[None, :] * np.full((n, 1), weight), delay=0.5)
    return network, network.initialize()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_event_storm_is_stopped_and_explained(engine):
    network, parameters = excited()
    quiet, loud = ([], []), ([1.0], [0])
    budget = 500 if engine == "reference" else 20_000
    with pytest.raises(EventStorm) as caught:
        run(network, parameters, SpikeBatch.from_lists([quiet, loud]), max_spikes=budget, engine=engine, duration=1e4)
    storm = caught.value
    assert storm.sample == 1 and storm.count == budget and 1.0 < storm.time < 1e4
    assert len(storm.busiest) == 5 and storm.busiest[0][0] == "loud"
    counts = [count for _, _, count in storm.busiest]
    assert counts == sorted(counts, reverse=True) and sum(counts) <= storm.count
    for word in (str(storm.count), "loud[", "max_spikes"):
        assert word in str(storm)
    # the next call is not harmed
    recording = run(network, parameters, SpikeBatch.from_lists([quiet]), engine=engine)
    assert recording.times.size == 0


def test_a_storm_stays_within_bounded_memory():
    network, parameters = excited()
    batch, peaks = SpikeBatch.from_lists([([1.0], [0])]), []
    for budget in (10_000, 40_000):
        tracemalloc.start()
        with pytest.raises(EventStorm):
            run(network, parameters, batch, max_spikes=budget, duration=1e9)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # a spike takes 24 bytes on the tape and 30 in the train of its population, which double while old ones are there
    assert peaks[1] <= 40_000 * (24 + 30) * 8 + 4 * 2**20


def test_storms_count_the_budget_exactly():
    network, parameters = excited(n=6)
    batch = SpikeBatch.from_lists([([1.0], [0])])
    whole = run(network, parameters, batch, duration=3.0)
    n = whole.times.size
    assert n > 20
    assert run(network, parameters, batch, duration=3.0, max_spikes=n).times.size == n
    assert run(network, parameters, batch, duration=3.0, max_spikes=n, engine="reference").times.size == n
    for engine in ENGINES:
        with pytest.raises(EventStorm):
            run(network, parameters, batch, duration=3.0, max_spikes=n - 1, engine=engine)


@pytest.mark.parametrize(
    ("n", "duration", "budget"),
    [
        (1, 10.0, 100_000),
        (1_000, 1_000.0, 1_100_000),
        (10_000, 10_000.0, 5_000_000),
        (1_000_000, 10.0, 100_000_000),
    ],
)
def test_the_default_budget_follows_neurons_and_duration(n, duration, budget):
    network = Network()
    network.add_input("in", 10**7)
    network.add_lif("hidden", n)
    network.add_readout("out", 10**6)
    assert default_budget(network, duration) == budget


@pytest.mark.parametrize("engine", [*ENGINES, "stream"])
def test_a_budget_that_is_not_given_is_the_default(monkeypatch, engine):
    network, parameters = excited()
    batch = SpikeBatch.from_lists([([1.0], [0])])
    monkeypatch.setattr(checking, "LEAST_BUDGET", 10)
    monkeypatch.setattr(checking, "SPIKES_PER_NEURON", 3)
    with pytest.raises(EventStorm) as caught:
        if engine == "stream":  # of each part
            for _ in stream(network, parameters, batch, duration=1e4, every=20.0):
                pass
        else:
            run(network, parameters, batch, engine=engine, duration=20.0)
    assert caught.value.count == 8 * (3 + 20)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_long_silence_ends_in_exact_rest(engine):
    gap = 2.0e7  # a million membrane time constants
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 2)
    network.add_readout("out", 1)
    network.connect("in", "hidden", weight=np.array([[30.0, 20.0]]), delay=1.0)
    network.connect("hidden", "hidden", weight=-1.0, delay=2.0)
    network.connect("hidden", "out", weight=1.0)
    parameters = network.initialize()
    first = run(network, parameters, SpikeBatch.from_lists([([4.0], [0])]), duration=100.0, engine=engine)
    start = time.thread_time()  # of this thread alone: the machine may be busy
    twice = run(
        network, parameters, SpikeBatch.from_lists([([4.0, 4.0 + gap], [0, 0])]), duration=gap + 100.0, engine=engine
    )
    assert time.thread_time() - start < 1.0
    n = first.times.size
    assert n >= 2 and twice.times.size == 2 * n
    np.testing.assert_allclose(twice.times[n:] - gap, first.times, rtol=0, atol=1e-7)
    if engine == "compiled":
        # nothing at all is left of the first burst: the second has the slopes of a first one at that time
        alone = run(network, parameters, SpikeBatch.from_lists([([4.0 + gap], [0])]), duration=gap + 100.0)
        assert alone.slopes.tobytes() == twice.slopes[n:].tobytes()
        assert alone.times.tobytes() == twice.times[n:].tobytes()


def test_gradients_cross_a_long_silence_quickly():
    gap = 2.0e7
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, train=("tau_mem", "tau_syn"))
    network.add_readout("out", 2, train=True)
    network.connect("in", "hidden", weight=30.0, delay=1.0)
    network.connect("hidden", "out", weight=np.array([[1.0, 0.4]]), delay=3.0)
    arguments = {"loss": MeanVoltage(), "n_threads": 1}
    value_and_grad(network, network.initialize(), SpikeBatch.from_lists([([4.0], [0])]), [0], duration=9.0, **arguments)
    start = time.thread_time()
    for duration, times in ((gap + 100.0, [4.0, gap]), (gap, [4.0])):
        batch = SpikeBatch.from_lists([(times, [0] * len(times))])
        _, gradients = value_and_grad(network, network.initialize(), batch, [0], duration=duration, **arguments)
        assert all(np.all(np.isfinite(values)) for values in gradients.values())
    assert time.thread_time() - start < 1.0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("excess", "n_spikes"), [(-1e-9, 0), (-1e-7, 0), (1e-14, 1), (1e-13, 1)])
def test_grazing_is_counted_and_gives_no_nan(engine, excess, n_spikes):
    # tau_mem = 2 tau_syn: the response to a unit jump peaks at 1/4
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 1, tau_mem=20.0, tau_syn=10.0, train=True)
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=4.0 * (1 + excess), delay=2.0)
    network.connect("hidden", "out", weight=np.array([[1.0, 0.4]]))
    value, gradients, recording = value_and_grad(
        network, network.initialize(), SpikeBatch.from_lists([([4.0], [0])]), np.array([0]), loss=MeanVoltage(),
        duration=80.0, engine=engine, n_threads=1, return_recording=True,
    )  # fmt: skip
    assert recording.counters.grazing.tolist() == [1]
    assert recording.times.size == n_spikes
    assert np.isfinite(value) and all(np.all(np.isfinite(values)) for values in gradients.values())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clean_spike_is_no_graze(engine):
    network, parameters = one_neuron([6.0])
    recording = run(network, parameters, SpikeBatch.from_lists([([4.0], [0])]), engine=engine)
    assert recording.times.size >= 1 and recording.counters.grazing.sum() == 0


def test_events_are_counted_alike():
    for seed in range(10):
        case = random_case(seed)
        one, two = (
            run(case.network, case.parameters, case.batch, duration=case.duration, engine=engine) for engine in ENGINES
        )
        assert one.counters.events.tolist() == two.counters.events.tolist()
        assert one.counters.after_end.tolist() == two.counters.after_end.tolist()


def test_extreme_but_legal_values_stay_finite():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("hidden", 2, tau_mem=np.array([0.1, 1e4]), tau_syn=np.array([1e4, 0.1]))
    network.add_readout("out", 1, tau_mem=1e4, tau_syn=0.2)
    network.connect("in", "hidden", weight=np.array([[1e3, -1e3]]), delay=np.array([[0.0, 30.0]]))
    network.connect("hidden", "out", weight=1e3)
    batch = SpikeBatch.from_lists([([0.0, 0.0, 1e-300, 1.0], [0] * 4)])
    recording = run(network, network.initialize(), batch, duration=20.0, max_spikes=10**6)
    assert np.all(np.isfinite(recording.times)) and np.all(recording.slopes > 0)
    assert np.all(np.isfinite(recording.readouts["out"].integral))
