"""Warnings of what is allowed and hardly meant: they name the cause, come where a user calls, and only then."""

import warnings

import numpy as np
import pytest

from eventsnn import Adam, Network, SpikeBatch, Trainer, simulate, stream, surrogate, value_and_grad
from eventsnn.data.dataset import Dataset
from eventsnn.losses import MeanVoltage
from eventsnn.training import evaluate

SAMPLES = [([1.0, 2.0], [0, 1]), ([2.0], [1])]
DURATION = 20.0


def batch(factor=1.0):
    return SpikeBatch.from_lists([(factor * np.array(times), units) for times, units in SAMPLES])


def event_network(tau_mem=20.0, delay=1.0, weight=30.0):
    network = Network()
    network.add_input("i", 2)
    network.add_lif("h", 3, tau_mem=tau_mem)
    network.add_readout("o", 2)
    network.connect("i", "h", weight=weight, delay=delay)
    network.connect("h", "o", weight=np.array([[1.0, 0.5]] * 3))
    return network


def grid_network(tau_mem=20.0, delay=1.0):
    network = surrogate.GridNetwork(1.0)
    network.add_input("i", 2)
    network.add_lif("h", 3, tau_mem=tau_mem)
    network.add_readout("o", 2)
    network.connect("i", "h", weight=30.0, delay=delay)
    network.connect("h", "o", weight=np.array([[1.0, 0.5]] * 3))
    return network


def event_gradient(network, parameters, spikes, duration):
    value_and_grad(network, parameters, spikes, [0, 1], loss=MeanVoltage(), duration=duration, n_threads=1)


def grid_gradient(network, parameters, spikes, duration):
    surrogate.value_and_grad(network, parameters, spikes, [0, 1], loss=MeanVoltage(), duration=duration, n_threads=1)


def evaluated(network, parameters, spikes, duration):
    evaluate(network, parameters, Dataset(spikes, [0, 1], 2, 2, duration), loss=MeanVoltage(), n_threads=1)


def fitted(network, parameters, spikes, duration):
    trainer = Trainer(network, parameters, loss=MeanVoltage(), optimizer=Adam(), n_threads=1, progress=False)
    trainer.fit(Dataset(spikes, [0, 1], 2, 2, duration), epochs=1)


def streamed(network, parameters, spikes, duration):
    list(stream(network, parameters, spikes[:1], duration=duration, every=duration / 2))


CALLS = {
    "simulate": (event_network, lambda *given, duration: simulate(*given, duration=duration, n_threads=1)),
    "stream": (event_network, lambda *given, duration: streamed(*given, duration)),
    "value_and_grad": (event_network, lambda *given, duration: event_gradient(*given, duration)),
    "evaluate": (event_network, lambda *given, duration: evaluated(*given, duration)),
    "fit": (event_network, lambda *given, duration: fitted(*given, duration)),
    "simulate on a grid": (grid_network, lambda *given, duration: surrogate.simulate(*given, duration=duration)),
    "value_and_grad on a grid": (grid_network, lambda *given, duration: grid_gradient(*given, duration)),
    "evaluate on a grid": (grid_network, lambda *given, duration: evaluated(*given, duration)),
}


def said(call, spikes, duration=DURATION, **settings):
    """The warnings of a call."""
    build, function = CALLS[call]
    network = build(**settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(network, network.initialize(), spikes, duration=duration)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("call", CALLS)
def test_what_is_plausible_is_not_warned_of(call):
    assert said(call, batch()) == []


@pytest.mark.parametrize("call", CALLS)
def test_spikes_that_all_come_after_the_end_are_said(call):
    found = said(call, batch(1000.0))
    total = 2 if call == "stream" else 3
    assert f"{total} of {total} input spikes" in found[0] and "Divide times in us by 1000" in found[0]
    assert not any("raise the weights" in text for text in found)


@pytest.mark.parametrize("call", CALLS)
def test_times_in_seconds_are_said(call):
    found = said(call, batch(1e-3))
    assert "is at 0.002 of 20 ms. Are the times in ms? Multiply times in seconds by 1000." in found[0]


@pytest.mark.parametrize("call", CALLS)
def test_delays_beyond_the_sample_are_said(call):
    found = said(call, batch(), delay=19.5)
    assert "6 of 6 delays of 'i->h' are so long (from 19.5 ms) that no spike sent over them arrives" in found[0]
    assert not any("raise the weights" in text for text in found)


@pytest.mark.parametrize("call", [call for call in CALLS if "grid" not in call])
def test_a_membrane_in_seconds_is_said(call):
    found = said(call, batch(), tau_mem=0.02, weight=1.0)
    assert found[0].startswith("tau_mem of 'h' is 0.02 ms, so its neurons forget at once")
    assert "0.02 s would be 20" in found[0]
    assert not any("raise the weights" in text for text in found)


def test_a_network_that_never_fires_is_told_the_cause_where_there_is_one():
    assert said("fit", batch(), weight=1e-3) == [
        "no LIF neuron has fired in this epoch: raise the weights, or use silent_raise"
    ]
    first, silent = said("fit", batch(), delay=19.5)
    assert silent == f"no LIF neuron has fired in this epoch: {first}"


def chain(second=5.0, delay=None):
    """An input, two LIF populations one behind the other, and a readout of both."""
    network = Network()
    network.add_input("i", 2)
    for name in ("g", "h"):
        network.add_lif(name, 3)
    network.add_readout("o", 2)
    network.connect("i", "g", weight=30.0, delay=1.0)
    network.connect("g", "h", weight=second, delay=delay)
    for name in ("g", "h"):
        network.connect(name, "o", weight=np.array([[1.0, 0.5]] * 3))
    return network


def fit_warnings(network, spikes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted(network, network.initialize(), spikes, DURATION)
    return [str(warning.message) for warning in caught]


def test_all_causes_of_silence_are_named_and_not_the_first_alone():
    late, delays, silent = said("fit", batch(10.0), delay=18.0)
    assert "1 of 3 input spikes" not in late and "2 of 3 input spikes of train are at or after 20 ms" in late
    assert "delays of 'i->h' are so long" in delays
    assert silent == f"no LIF neuron has fired in this epoch: {late} {delays}"


def test_negative_weights_are_named_as_the_cause_of_silence():
    late, silent = said("fit", batch(10.0), weight=-1.0)
    cause = "No weight onto 'h' from other populations is above 0: nothing excites it. Draw weights of both signs."
    assert silent == f"no LIF neuron has fired in this epoch: {late} {cause}"
    network = grid_network()
    parameters = network.initialize() | {"i->h.weight": np.full((2, 3), -1.0)}
    with pytest.warns(UserWarning, match="No weight onto 'h' from other populations is above 0"):
        fitted(network, parameters, batch(), DURATION)


def test_one_silent_population_is_told_what_concerns_it_alone():
    some_late = SpikeBatch.from_lists([([1.0, 25.0], [0, 1]), ([2.0], [1])])
    late, silent = fit_warnings(chain(second=-5.0), some_late)
    assert "1 of 3 input spikes" in late
    assert silent == (
        "no neuron of 'h' has fired in this epoch, while others have: No weight onto 'h' from other populations is "
        "above 0: nothing excites it. Draw weights of both signs."
    )
    late, delays, silent = fit_warnings(chain(delay=19.5), some_late)
    assert silent == f"no neuron of 'h' has fired in this epoch, while others have: {delays}"
    late, silent = fit_warnings(chain(second=1e-3), some_late)
    assert silent.endswith(": raise the weights, or use silent_raise")


def test_some_late_spikes_are_counted_in_a_simulation_and_said_of_a_data_set():
    assert said("simulate", batch(), 2.0, delay=0.5) == []
    for call in ("evaluate", "fit"):
        assert "2 of 3 input spikes" in said(call, batch(), 2.0, delay=0.5)[0]


def test_few_long_delays_and_short_runs_are_no_cause():
    assert said("simulate", batch(), delay=np.array([[1.0, 1.0, 50.0], [1.0, 1.0, 50.0]])) == []
    assert said("simulate", batch(), 3.0, tau_mem=0.05) == []
    assert said("simulate", SpikeBatch.from_lists([([], []), ([0.0], [0])])) == []
    assert said("simulate", SpikeBatch.from_lists([])) == []


def test_a_validation_set_is_evaluated_without_a_word_in_each_epoch():
    network = event_network(delay=19.5)
    data = Dataset(batch(), [0, 1], 2, 2, DURATION)
    trainer = Trainer(
        network, network.initialize(), loss=MeanVoltage(), optimizer=Adam(), n_threads=1, progress=False
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(data, data, epochs=2)
    assert sum("delays of 'i->h'" in str(warning.message) for warning in caught) == 1 + 2  # at the start, and silent


def test_warnings_point_at_who_called():
    network = event_network()
    with pytest.warns(UserWarning, match="Multiply times in seconds") as caught:
        simulate(network, network.initialize(), batch(1e-3), duration=DURATION, n_threads=1)
        event_gradient(network, network.initialize(), batch(1e-3), DURATION)
        evaluated(network, network.initialize(), batch(1e-3), DURATION)
        fitted(network, network.initialize(), batch(1e-3), DURATION)
    assert {warning.filename for warning in caught} == {__file__}
