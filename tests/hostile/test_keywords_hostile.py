"""A keyword that a function does not know is answered with those that there are; all else is as without that."""

import copy
import dataclasses
import inspect
import pickle
import warnings

import jedi
import pytest

import eventsnn
from eventsnn import (
    Adam,
    Dataset,
    InvalidInput,
    Network,
    Normal,
    SpikeBatch,
    SpikeTrain,
    Trainer,
    analysis,
    data,
    losses,
    network,
    plotting,
    surrogate,
    testing,
)
from eventsnn.data import hdf5
from eventsnn.surrogate import GridNetwork

BATCH = SpikeBatch.from_lists([([1.0, 2.0], [0, 1])])
# {function: (a keyword that it has not, the one that is asked for)}
UNKNOWN = {
    eventsnn.simulate: ("durations", "duration"),
    eventsnn.stream: ("step_every", "every"),
    eventsnn.value_and_grad: ("regulariser", "regularizers"),
    eventsnn.evaluate: ("losses", "loss"),
    surrogate.simulate: ("delay", "delays"),
    surrogate.value_and_grad: ("epochs", "epoch"),
    Trainer.fit: ("epoch", "epochs"),
    Trainer.evaluate: ("delay", "delays"),
    Trainer.predict: ("spike", "spikes"),
    Network: ("mindelay", "min_delay"),
    GridNetwork: ("dt_ms", "dt"),
    Network.initialize: ("sed", "seed"),
    GridNetwork.initialize: ("sed", "seed"),
    SpikeBatch.from_lists: ("sample", "samples"),
    SpikeBatch.from_structured: ("timeunit", "time_unit"),
    SpikeBatch: ("count", "counts"),
    SpikeTrain: ("time", "times"),
    hdf5.read: ("units", "n_units"),
    hdf5.write: ("key", "keys"),
    Dataset: ("nunits", "n_units"),
    Dataset.split: ("fraction", "fractions"),
    data.Augmentation: ("timejitter", "time_jitter"),
    data.load_shd: ("durations", "duration"),
    data.load_ssc: ("durations", "duration"),
    data.load_spoken_digits: ("durations", "duration"),
    data.load_yin_yang: ("size", "sizes"),
    data.load_braille: ("durations", "duration"),
    data.load_braille_analog: ("tresholds", "threshold"),
    data.load_speech_commands: ("durations", "duration"),
    data.sequence_detection: ("repeat", "repeats"),
    data.load_sequential_mnist: ("permute", "permuted"),
    plotting.raster: ("population", "populations"),
    plotting.voltage_trace: ("neuron", "neurons"),
    plotting.adjoint_traces: ("neuron", "neurons"),
    plotting.learning_curve: ("histories", "history"),
    plotting.delay_histogram: ("befor", "before"),
    plotting.comparison: ("result", "results"),
    plotting.sweep: ("setting", "settings"),
    analysis.adjoint_values: ("neuron", "neurons"),
    analysis.voltages: ("time", "times"),
    analysis.permuted_delays: ("sed", "seed"),
    analysis.rounded_delays: ("steps", "step"),
    analysis.psp: ("taumem", "tau_mem"),
    testing.random_case: ("sed", "seed"),
    testing.compare_engines: ("labels_of", "labels"),
    testing.check_gradients: ("methods", "method"),
    surrogate.to_events: ("tausyn", "tau_syn"),
    surrogate.Spread: ("sigmas", "sigma"),
    eventsnn.TrainingOptions: ("batchsize", "batch_size"),
    losses.MeanVoltage: ("populations", "population"),
    losses.ExponentialMeanVoltage: ("tau", "tau_window"),
    losses.MaxVoltage: ("populations", "population"),
    losses.FirstSpike: ("taus", "tau"),
    losses.RelativeFirstSpike: ("deltas", "delta"),
    losses.SpikeTimeRegression: ("populations", "population"),
    losses.SummedSoftmax: ("populations", "population"),
    losses.SummedVoltage: ("populations", "population"),
    losses.MeanSquaredError: ("populations", "population"),
    losses.SpikeCountTarget: ("targets", "target"),
    losses.SilentNeuronRaise: ("amounts", "amount"),
    network.Constant: ("val", "value"),
    network.Normal: ("std", "sd"),
    network.Uniform: ("hi", "high"),
    network.HalfNormal: ("std", "sd"),
    network.Orthogonal: ("gains", "gain"),
    network.Kaiming: ("dist", "distribution"),
    network.Given: ("value", "values"),
}


@pytest.mark.parametrize("function", UNKNOWN, ids=lambda function: function.__qualname__)
def test_an_unknown_keyword_is_answered_with_those_that_there_are(function):
    given, meant = UNKNOWN[function]
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    assert meant in known
    said = rf"^a keyword of {function.__name__} is '{given}'; allowed: {', '.join(known)}\..*"
    with pytest.raises(InvalidInput, match=rf"{said}Did you mean '\w+'\?$"):
        function(**{given: 1})


def test_a_normal_distribution_says_what_it_has():
    with pytest.raises(InvalidInput, match=r"a keyword of Normal is 'std'; allowed: mean, sd\. Did you mean 'sd'\?"):
        Normal(mean=0.0, std=1.0)
    with pytest.raises(InvalidInput, match=r"initializer normal is \['mean', 'std'\]; allowed: the fields mean, sd"):
        network.Initializer.from_dict({"kind": "normal", "mean": 0.0, "std": 1.0})
    with pytest.raises(InvalidInput, match=r"initializer normal is \['mean'\]; allowed: the fields mean, sd"):
        network.Initializer.from_dict({"kind": "normal", "mean": 0.0})


def test_what_is_missing_is_said_by_python():
    with pytest.raises(TypeError, match=r"Normal.__init__\(\) missing 1 required positional argument: 'sd'"):
        Normal(1.0)
    with pytest.raises(TypeError, match=r"simulate\(\) missing 1 required keyword-only argument: 'duration'"):
        eventsnn.simulate(Network(), {}, BATCH)


def test_a_class_that_answers_keywords_is_the_same_class():
    assert str(inspect.signature(Normal)) == "(mean: float, sd: float) -> None"
    assert list(inspect.signature(Dataset).parameters)[:3] == ["spikes", "labels", "n_units"]
    one = Normal(0.0, sd=2.0)
    for other in (copy.copy(one), pickle.loads(pickle.dumps(one)), dataclasses.replace(one, mean=0.0)):
        assert other == one and type(other) is Normal and hash(other) == hash(one)
    assert [item.name for item in dataclasses.fields(Normal)] == ["mean", "sd"] and Normal.__init__.__module__

    @dataclasses.dataclass(frozen=True)
    class Own(Normal):
        more: int = 3

    assert Own(1.0, 2.0, more=4).more == 4 and isinstance(Own(1.0, 2.0), Normal)


def test_functions_keep_their_text_and_name():
    for function in UNKNOWN:
        assert function.__doc__ and function.__module__.startswith("eventsnn.")
    assert eventsnn.simulate.__name__ == "simulate" and eventsnn.simulate.__doc__.startswith("Simulate a batch")
    assert SpikeBatch.from_lists.__qualname__ == "SpikeBatch.from_lists"


def completions(text):
    return {found.name for found in jedi.Script(text, project=jedi.Project(eventsnn.__path__[0] + "/..")).complete()}


def test_an_editor_still_completes_what_they_take_and_make():
    begin = "import eventsnn\nfrom eventsnn import data, Normal, Dataset, Network, SpikeBatch\n"
    assert {"mean=", "sd="} <= completions(begin + "Normal(")
    assert {"labels=", "n_units="} <= completions(begin + "Dataset(")
    assert {"duration=", "engine="} <= completions(begin + "eventsnn.simulate(")
    assert {"draw", "sd"} <= completions(begin + "Normal(0.0, 1.0).")
    assert {"split", "labels"} <= completions(begin + "data.load_yin_yang()[0].")
    assert {"times", "merge_channels"} <= completions(begin + "SpikeBatch.from_lists([]).")
    assert {"keys", "items"} <= completions(begin + "Network().initialize(0).")


def test_warnings_still_name_the_line_of_who_calls():
    net = Network()
    net.add_input("in", 2)
    net.add_readout("out", 2)
    net.connect("in", "out", weight=0.5)
    parameters, late = net.initialize(0), SpikeBatch.from_lists([([50.0], [0]), ([60.0], [1])])
    grid = GridNetwork(1.0)
    grid.add_input("in", 2)
    grid.add_readout("out", 2)
    grid.connect("in", "out", weight=0.5)
    loss, labels, whole = losses.MeanVoltage(), [0, 1], Dataset(late, [0, 1], 2, 2, 20.0)
    trainer = Trainer(net, parameters, loss=loss, optimizer=Adam(), progress=False)
    narrow = Network()
    narrow.add_input("in", 2)
    narrow.add_lif("a", 2, v_reset=Normal(50.0, 0.1), train="v_reset")
    calls = [
        lambda: narrow.initialize(0),
        lambda: eventsnn.simulate(net, parameters, late, duration=20.0),
        lambda: list(eventsnn.stream(net, parameters, late[:1], duration=20.0, every=10.0)),
        lambda: eventsnn.value_and_grad(net, parameters, late, labels, loss=loss, duration=20.0),
        lambda: eventsnn.evaluate(net, parameters, whole, loss=loss),
        lambda: surrogate.simulate(grid, grid.initialize(0), late, duration=20.0),
        lambda: surrogate.value_and_grad(grid, grid.initialize(0), late, labels, loss=loss, duration=20.0),
        lambda: trainer.fit(whole, epochs=1),
        lambda: trainer.fit(whole, epochs=1),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
        assert found and {item.filename for item in found} == {__file__}, inspect.getsource(call)
