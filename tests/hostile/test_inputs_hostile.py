"""Bad values: each class is refused before any kernel runs, and the message names array, index and value."""

import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, SpikeTrain, simulate, value_and_grad
from eventsnn.errors import EventsnnError, InvalidInput, NetworkError, ZeroDelayCycle
from eventsnn.losses import FirstSpike, MeanVoltage, RelativeFirstSpike, SpikeTimeRegression
from eventsnn.parallel.threads import resolve_n_threads
from eventsnn.spikes import Recording

NAN, INF = float("nan"), float("inf")
BATCH = SpikeBatch.from_lists([([1.0, 2.0], [0, 1]), ([3.0], [0])])


def network():
    net = Network()
    net.add_input("in", 2)
    net.add_lif("hidden", 3, tau_mem=np.array([20.0, 21.0, 22.0]), train=True)
    net.add_readout("out", 2)
    net.connect("in", "hidden", weight=1.0, delay=2.0)
    net.connect("hidden", "out", weight=1.0, delay=1.0, delay_per="neuron")
    return net


def with_value(name, index, value):
    net = network()
    parameters = net.initialize()
    parameters[name] = parameters[name].copy()
    parameters[name][index] = value
    return simulate(net, parameters, BATCH, duration=10.0, n_threads=1)


def with_array(name, array):
    net = network()
    return simulate(net, net.initialize() | {name: array}, BATCH, duration=10.0, n_threads=1)


def run(batch=BATCH, parameters=None, **arguments):
    net = network()
    parameters = net.initialize() if parameters is None else parameters
    return simulate(net, parameters, batch, **{"duration": 10.0, "n_threads": 1} | arguments)


def lose(loss, labels, batch=BATCH, **arguments):
    net = network()
    return value_and_grad(net, net.initialize(), batch, labels, loss=loss, duration=10.0, n_threads=1, **arguments)


def lif(**settings):
    net = Network()
    net.add_lif("a", 3, **settings)


def connect(**arguments):
    net = network()
    net.connect("in", "hidden", **{"name": "second", "weight": 1.0} | arguments)


def lists(*sample):
    return SpikeBatch.from_lists([([1.0], [0]), sample])


def flat(times, units, offsets, counts=None):
    return SpikeBatch(np.array(times), np.array(units), np.array(offsets), counts)


# (what is done, array named, index named, value shown)
CASES = {
    # spikes
    "time NaN": (lambda: lists([1.0, NAN], [0, 0]), "samples[1].times", 1, NAN),
    "time infinite": (lambda: lists([INF], [0]), "samples[1].times", 0, INF),
    "time negative": (lambda: lists([0.0, 2.0, -1.0], [0, 0, 0]), "samples[1].times", 2, -1.0),
    "times text": (lambda: lists(["a"], [0]), "samples[1].times", None, None),
    "times complex": (lambda: lists([1j], [0]), "samples[1].times", None, None),
    "times nested": (lambda: lists([[1.0, 2.0]], [0, 1]), "samples[1].times", None, (1, 2)),
    "times ragged": (lambda: lists([[1.0], [2.0, 3.0]], [0, 1]), "samples[1].times", None, None),
    "times scalar": (lambda: lists(3.0, [0]), "samples[1].times", None, ()),
    "times None": (lambda: lists(None, [0]), "samples[1].times", None, None),
    "unit negative": (lambda: lists([1.0, 2.0], [0, -3]), "samples[1].units", 1, -3),
    "unit beyond int32": (lambda: lists([1.0], [2**31]), "samples[1].units", 0, 2**31),
    "units float": (lambda: lists([1.0], [0.5]), "samples[1].units", None, None),
    "units bool": (lambda: lists([1.0], np.array([True])), "samples[1].units", None, None),
    "units too few": (lambda: lists([1.0, 2.0], [0]), "samples[1].units", None, 1),
    "count zero": (lambda: lists([1.0, 2.0], [0, 0], [1.0, 0.0]), "samples[1].counts", 1, 0.0),
    "count negative": (lambda: lists([1.0], [0], [-2.0]), "samples[1].counts", 0, -2.0),
    "count NaN": (lambda: lists([1.0], [0], [NAN]), "samples[1].counts", 0, NAN),
    "count infinite": (lambda: lists([1.0], [0], [INF]), "samples[1].counts", 0, INF),
    "counts too many": (lambda: lists([1.0], [0], [1.0, 1.0]), "samples[1].counts", None, 2),
    "sample no pair": (lambda: SpikeBatch.from_lists([([1.0], [0]), 5]), "samples", 1, 5),
    "sample of four": (lambda: lists([1.0], [0], None, None), "samples", 1, None),
    "train NaN": (lambda: SpikeTrain([NAN], [0]), "times", 0, NAN),
    "flat unsorted": (lambda: flat([2.0, 1.0], [0, 0], [0, 2]), "times", 1, 1.0),
    "flat tie unsorted": (lambda: flat([1.0, 1.0], [1, 0], [0, 2]), "times", 1, 1.0),
    "offsets decrease": (lambda: flat([1.0, 2.0], [0, 0], [0, 2, 1, 2]), "offsets", 2, 1),
    "offsets start": (lambda: flat([1.0, 2.0], [0, 0], [1, 2]), "offsets", 0, 1),
    "offsets end": (lambda: flat([1.0, 2.0], [0, 0], [0, 1]), "offsets", 1, 1),
    "offsets float": (lambda: flat([1.0, 2.0], [0, 0], [0.0, 2.0]), "offsets", None, None),
    "offsets empty": (lambda: flat([], np.zeros(0, int), np.zeros(0, int)), "offsets", 0, None),
    "structured without x": (
        lambda: SpikeBatch.from_structured([np.zeros(2, [("t", float)])]),
        "arrays[0]",
        None,
        None,
    ),
    # batch against network
    "unit too large": (lambda: run(SpikeBatch.from_lists([([1.0], [0]), ([1.0, 2.0], [1, 2])])), "in.units", 2, 2),
    "batch a list": (lambda: run([([1.0], [0])]), "batch", None, "list"),
    "batch a train": (lambda: run(BATCH[0]), "batch", None, "SpikeTrain"),
    "batch unknown input": (lambda: run({"ear": BATCH}), "batch", None, ["ear"]),
    "batch missing input": (lambda: run({}), "batch", None, []),
    "batch of other things": (lambda: run({"in": [1.0]}), "batch", None, "dict"),
    # parameters
    "weight NaN": (lambda: with_value("in->hidden.weight", (1, 2), NAN), "in->hidden.weight", (1, 2), NAN),
    "weight infinite": (lambda: with_value("in->hidden.weight", (0, 1), -INF), "in->hidden.weight", (0, 1), -INF),
    "weight shape": (lambda: with_array("in->hidden.weight", np.ones((3, 2))), "in->hidden.weight.shape", None, (3, 2)),
    "weight text": (lambda: with_array("in->hidden.weight", np.full((2, 3), "x")), "in->hidden.weight", None, None),
    "weight complex": (
        lambda: with_array("in->hidden.weight", np.ones((2, 3), complex)),
        "in->hidden.weight",
        None,
        None,
    ),
    "weight bool": (lambda: with_array("in->hidden.weight", np.ones((2, 3), bool)), "in->hidden.weight", None, None),
    "weight None": (lambda: with_array("in->hidden.weight", None), "in->hidden.weight", None, None),
    "weight ragged": (lambda: with_array("in->hidden.weight", [[1.0], [2.0, 3.0]]), "in->hidden.weight", None, None),
    "delay negative": (lambda: with_value("in->hidden.delay", (1, 0), -0.5), "in->hidden.delay", (1, 0), -0.5),
    "delay NaN": (lambda: with_value("hidden->out.delay", 2, NAN), "hidden->out.delay", 2, NAN),
    "delay infinite": (lambda: with_value("hidden->out.delay", 2, INF), "hidden->out.delay", 2, INF),
    "tau zero": (lambda: with_value("hidden.tau_mem", 1, 0.0), "hidden.tau_mem", 1, 0.0),
    "tau negative": (lambda: with_value("hidden.tau_mem", 2, -3.0), "hidden.tau_mem", 2, -3.0),
    "tau NaN": (lambda: with_value("hidden.tau_mem", 0, NAN), "hidden.tau_mem", 0, NAN),
    "shared tau zero": (lambda: with_value("hidden.tau_syn", (), 0.0), "hidden.tau_syn", None, 0.0),
    "threshold zero": (lambda: with_value("hidden.v_threshold", (), 0.0), "hidden.v_threshold", None, 0.0),
    "parameter unknown": (lambda: with_array("hidden.tau", np.ones(3)), "parameters", None, "hidden.tau"),
    "parameters a list": (lambda: run(parameters=[1.0]), "parameters", None, "list"),
    "parameter missing": (lambda: run(parameters={"hidden.tau_mem": np.ones(3)}), "parameters", "hidden.tau_syn", None),
    # settings of a call
    "duration zero": (lambda: run(duration=0.0), "duration", None, 0.0),
    "duration negative": (lambda: run(duration=-1.0), "duration", None, -1.0),
    "duration NaN": (lambda: run(duration=NAN), "duration", None, NAN),
    "duration infinite": (lambda: run(duration=INF), "duration", None, INF),
    "duration text": (lambda: run(duration="10"), "duration", None, "10"),
    "duration True": (lambda: run(duration=True), "duration", None, True),
    "engine unknown": (lambda: run(engine="gpu"), "engine", None, "gpu"),
    "threads zero": (lambda: run(n_threads=0), "n_threads", None, 0),
    "threads float": (lambda: resolve_n_threads(2.0), "n_threads", None, 2.0),
    "threads True": (lambda: resolve_n_threads(True), "n_threads", None, True),
    "budget zero": (lambda: run(max_spikes=0), "max_spikes", None, 0),
    "budget float": (lambda: run(max_spikes=1e6), "max_spikes", None, 1e6),
    # labels
    "label too large": (lambda: lose(MeanVoltage(), [0, 2]), "labels", 1, 2),
    "label negative": (lambda: lose(MeanVoltage(), [-1, 0]), "labels", 0, -1),
    "labels too few": (lambda: lose(MeanVoltage(), [0]), "labels", None, None),
    "labels float": (lambda: lose(MeanVoltage(), [0.0, 1.0]), "labels", None, None),
    "labels None": (lambda: lose(MeanVoltage(), None), "labels", None, None),
    "targets shape": (lambda: lose(SpikeTimeRegression("hidden"), np.zeros((2, 2))), "labels", None, (2, 2)),
    "loss unknown readout": (lambda: lose(MeanVoltage("up"), [0, 1]), "population", None, "up"),
    "loss unknown population": (lambda: lose(FirstSpike(population="up"), [0, 1]), "population", None, "up"),
    "loss tau zero": (lambda: FirstSpike(tau=0.0), "tau", None, 0.0),
    "loss delta NaN": (lambda: RelativeFirstSpike(delta=NAN), "delta", None, NAN),
    # description of a network
    "n zero": (lambda: Network().add_input("in", 0), "n", None, 0),
    "n float": (lambda: Network().add_input("in", 2.0), "n", None, 2.0),
    "name empty": (lambda: Network().add_input("", 2), "name", None, ""),
    "name with a dot": (lambda: Network().add_input("a.b", 2), "name", None, "a.b"),
    "name with an arrow": (lambda: Network().add_input("a->b", 2), "name", None, "a->b"),
    "min_delay zero": (lambda: Network(min_delay=0), "min_delay", None, 0),
    "set tau zero": (lambda: lif(tau_mem=0.0), "a.tau_mem", None, 0.0),
    "set tau negative in array": (lambda: lif(tau_syn=np.array([1.0, -2.0, 3.0])), "a.tau_syn", 1, -2.0),
    "set tau NaN": (lambda: lif(tau_mem=NAN), "a.tau_mem", None, NAN),
    "set tau shape": (lambda: lif(tau_mem=np.ones(2)), "a.tau_mem.shape", None, (2,)),
    "set tau text": (lambda: lif(tau_mem="20"), "a.tau_mem", None, "20"),
    "train unknown": (lambda: lif(train="tau"), "a.train", None, "tau"),
    "connect from nowhere": (lambda: network().connect("up", "hidden", weight=1.0), "pre", None, "up"),
    "connect to nowhere": (lambda: network().connect("in", "up", weight=1.0), "post", None, "up"),
    "connect weight shape": (lambda: connect(weight=np.ones((3, 2))), "second.weight.shape", None, (3, 2)),
    "connect weight NaN": (lambda: connect(weight=np.full((2, 3), NAN)), "second.weight", (0, 0), NAN),
    "connect delay negative": (lambda: connect(delay=-1.0), "second.delay", None, -1.0),
    "connect delay shape": (lambda: connect(delay=np.ones(3), delay_per="neuron"), "second.delay.shape", None, (3,)),
    "connect delay_per": (lambda: connect(delay=1.0, delay_per="axon"), "delay_per", None, "axon"),
    "connect train": (lambda: connect(train="weights"), "second.train", None, "weights"),
    "mask shape": (lambda: connect(mask=np.ones((3, 2), bool)), "mask", None, (3, 2)),
    "mask dtype": (lambda: connect(mask=np.ones((2, 3))), "mask", None, None),
    "sparsity one": (lambda: connect(sparsity=1.0), "sparsity", None, 1.0),
    "mask and sparsity": (lambda: connect(sparsity=0.5, mask=np.ones((2, 3), bool)), "sparsity", None, 0.5),
    "seed negative": (lambda: network().initialize(-1), "seed", None, -1),
    "seed float": (lambda: network().initialize(0.5), "seed", None, 0.5),
}


def same(found, expected):
    return found == expected or (found != found and expected != expected)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case):
    action, array, index, value = CASES[case]
    with pytest.raises(InvalidInput) as caught:
        action()
    error = caught.value
    assert error.array == array
    assert error.index == index
    if value is not None:
        assert same(error.value, value)
    position = ", ".join(map(str, index)) if isinstance(index, tuple) else index
    place = array if index is None else f"{array}[{position}]"
    assert str(error).startswith(f"{place} is {error.value!r}; allowed: ")
    assert isinstance(error, ValueError) and isinstance(error, EventsnnError)


def test_there_are_enough_classes():
    assert len(CASES) >= 40


def cycle_of(*links, populations=("a", "b", "c")):
    net = Network()
    for name in populations:
        net.add_lif(name, 2)
    for pre, post, delay in links:
        net.connect(pre, post, weight=1.0, delay=delay)
    return net


@pytest.mark.parametrize(
    ("links", "cycle"),
    [
        ([("a", "a", None)], ["a"]),
        ([("a", "a", 0.0)], ["a"]),
        ([("b", "b", np.array([[1.0, 1.0], [0.0, 1.0]]))], ["b"]),
        ([("a", "b", None), ("b", "a", None)], ["a", "b"]),
        ([("a", "b", 0.0), ("b", "c", None), ("c", "a", 0.0)], ["a", "b", "c"]),
        ([("a", "b", 2.0), ("b", "c", None), ("c", "b", None)], ["b", "c"]),
    ],
)
def test_a_loop_without_delay_is_named(links, cycle):
    with pytest.raises(ZeroDelayCycle) as caught:
        cycle_of(*links)
    found = caught.value.cycle
    turns = [found[k:] + found[:k] for k in range(len(found))]
    assert cycle in turns
    assert " -> ".join([*found, found[0]]) in str(caught.value)


@pytest.mark.parametrize(
    "links",
    [
        [("a", "a", 0.01)],
        [("a", "b", None), ("b", "a", 1.0)],
        [("a", "b", None), ("b", "c", 0.0), ("c", "a", 3.0)],
        [("a", "b", None), ("b", "c", None), ("a", "c", None)],
    ],
)
def test_a_loop_with_some_delay_is_allowed(links):
    net = cycle_of(*links)
    net.check_parameters(net.initialize())


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_loop_that_loses_its_delay_is_refused_when_it_runs(engine):
    net = Network()
    net.add_input("in", 1)
    net.add_lif("a", 2)
    net.connect("in", "a", weight=1.0)
    net.connect("a", "a", weight=1.0, delay=1.0)
    parameters = net.initialize() | {"a->a.delay": np.array([[1.0, 0.0], [1.0, 1.0]])}
    with pytest.raises(ZeroDelayCycle, match="a -> a"):
        simulate(net, parameters, SpikeBatch.from_lists([([1.0], [0])]), duration=5.0, engine=engine)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda net: net.add_lif("in", 2), "exists already"),
        (lambda net: net.connect("in", "hidden", weight=1.0), "exists already"),
        (lambda net: net.connect("hidden", "in", weight=1.0), "input population"),
        (lambda net: net.connect("out", "hidden", weight=1.0), "readout"),
    ],
)
def test_impossible_networks_are_refused(action, words):
    net = network()
    before = net.fingerprint()
    with pytest.raises(NetworkError, match=words):
        action(net)
    assert net.fingerprint() == before


def test_a_delay_far_beyond_the_window_is_refused_and_not_allocated():
    net = Network()
    net.add_input("in", 1)
    net.add_lif("a", 1)
    net.connect("in", "a", weight=1.0, delay=1e7)
    net.connect("a", "a", weight=1.0, delay=1e-6)
    with pytest.raises(NetworkError, match="windows"):
        simulate(net, net.initialize(), SpikeBatch.from_lists([([1.0], [0])]), duration=2e7, n_threads=1)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " "])
def test_bad_thread_number_in_the_environment(monkeypatch, value):
    monkeypatch.setenv("EVENTSNN_NUM_THREADS", value)
    with pytest.raises(InvalidInput, match="EVENTSNN_NUM_THREADS"):
        resolve_n_threads()


@pytest.mark.parametrize("probes", [{"up": None}, {"hidden": None}])
def test_probes_of_what_is_no_readout_are_refused(probes):
    from eventsnn.spikes import Probe

    with pytest.raises(InvalidInput, match="probes"):
        run(probes=dict.fromkeys(probes, Probe()))


def test_nothing_was_run_before_the_refusal():
    # the same call with the bad value replaced works: the refusal is about the value
    assert isinstance(run(), Recording)
    value, gradients = lose(MeanVoltage(), [0, 1])
    assert np.isfinite(value) and set(gradients) == set(network().trainable)
