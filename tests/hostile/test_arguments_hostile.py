"""Arguments that were mixed up: every function that begins with a network says so, and in which order they come."""

import re

import numpy as np
import pytest

import eventsnn
from eventsnn import (
    Adam,
    Dataset,
    InvalidInput,
    Network,
    SpikeBatch,
    Trainer,
    analysis,
    data,
    losses,
    plotting,
    surrogate,
    testing,
)
from eventsnn.surrogate import GridNetwork

BATCH = SpikeBatch.from_lists([([1.0, 2.0], [0, 1]), ([2.0], [1])])
DATA = Dataset(BATCH, [0, 1], 2, 2, 20.0)
LOSS = losses.MeanVoltage()
GIVEN = {"loss": LOSS, "duration": 20.0}


def made(kind=Network, **settings):
    network = kind(**settings)
    network.add_input("in", 2)
    network.add_readout("out", 2)
    network.connect("in", "out", weight=0.5)
    return network


def trainer(network, parameters, **settings):
    settings = {"loss": LOSS, "optimizer": Adam(), "progress": False, **settings}
    return Trainer(network, parameters, **settings)


BEGIN = {
    "simulate": (lambda n, p: eventsnn.simulate(n, p, BATCH, duration=20.0), "a Network", "batch"),
    "stream": (lambda n, p: eventsnn.stream(n, p, BATCH[:1], duration=20.0, every=9.0), "a Network", "batch"),
    "value_and_grad": (lambda n, p: eventsnn.value_and_grad(n, p, BATCH, [0, 1], **GIVEN), "a Network", "batch"),
    "Trainer": (trainer, "a Network or a GridNetwork", ""),
    "evaluate": (lambda n, p: eventsnn.evaluate(n, p, DATA, loss=LOSS), "a Network or a GridNetwork", "dataset"),
    "on a grid": (lambda n, p: surrogate.simulate(n, p, BATCH, duration=20.0), "a GridNetwork", "spikes"),
    "its gradient": (lambda n, p: surrogate.value_and_grad(n, p, BATCH, [0, 1], **GIVEN), "a GridNetwork", "spikes"),
    "to_events": (surrogate.to_events, "a GridNetwork", ""),
    "voltages": (lambda n, p: analysis.voltages(n, p, None, 0, "out", [0], [1.0]), "a Network", "neurons"),
    "permuted": (lambda n, p: analysis.permuted_delays(n, p, 0), "a Network or a GridNetwork", "seed"),
    "rounded": (lambda n, p: analysis.rounded_delays(n, p, 1.0), "a Network or a GridNetwork", "step"),
    "compare": (lambda n, p: testing.compare_engines(n, p, BATCH, [0, 1], **GIVEN), "a Network", "batch"),
    "check": (lambda n, p: testing.check_gradients(n, p, BATCH, [0, 1], **GIVEN), "a Network", "batch"),
    "adjoint": (
        lambda n, p: analysis.adjoint_values(
            n, p, BATCH[:1], [0], population="out", neurons=[0], times=[1.0], **GIVEN
        ), "a Network", "batch",
    ),
    "voltage_trace": (
        lambda n, p: plotting.voltage_trace(n, p, None, 0, "out", [0], "x.png"), "a Network or a GridNetwork", "neurons"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BEGIN)
def test_a_network_and_its_parameters_that_changed_places_are_told_so(name):
    call, allowed, last = BEGIN[name]
    network = made()
    said = rf"^network is 'dict'; allowed: {allowed}\. The arguments begin with network, parameters.*{last}, in this "
    with pytest.raises(InvalidInput, match=said):
        call(network.initialize(), network)
    with pytest.raises(InvalidInput, match=said.replace("dict", "NoneType")):
        call(None, network.initialize())


def test_a_network_of_the_other_kind_is_told_who_runs_it():
    grid = made(GridNetwork, dt=1.0)
    for name in ("simulate", "stream", "value_and_grad"):
        with pytest.raises(InvalidInput, match=r"network is 'GridNetwork'; allowed: a Network\. surrogate.simulate"):
            BEGIN[name][0](grid, grid.initialize())
    with pytest.raises(InvalidInput, match=r"network is 'Network'; allowed: a GridNetwork\. eventsnn.simulate"):
        BEGIN["on a grid"][0](made(), made().initialize())


def test_a_raster_begins_with_its_recording():
    with pytest.raises(InvalidInput, match="^recording is 'Network'; .* begin with recording, sample, path, in this"):
        plotting.raster(made(), {}, "x.png")


# What is predicted, and losses --------------------------------------------------------------------------------------


def test_a_data_set_is_predicted_as_its_spikes_are():
    found = trainer(made(), made().initialize(), duration=20.0)
    np.testing.assert_array_equal(found.predict(DATA), found.predict(BATCH))
    assert found.predict(DATA).shape == (2,)


@pytest.mark.parametrize(
    "given, said",
    [
        (BATCH[0], "spikes is 'SpikeTrain'; allowed: a Dataset or a SpikeBatch. Write SpikeBatch.from_lists([train])"),
        ([([1.0], [0])], "spikes is 'list'; allowed: a Dataset or a SpikeBatch. SpikeBatch.from_lists([(times, units)"),
        (None, "spikes is 'NoneType'; allowed: a Dataset or a SpikeBatch."),
    ],
)
def test_what_is_neither_data_nor_spikes_is_not_predicted(given, said):
    with pytest.raises(InvalidInput, match=f"^{re.escape(said)}"):
        trainer(made(), made().initialize(), duration=20.0).predict(given)


@pytest.mark.parametrize("given, remedy", [("mean_voltage", "$"), (losses.MeanVoltage, r"Write MeanVoltage\(\)\.$")])
def test_what_is_no_loss_is_refused_when_a_trainer_is_made(given, remedy):
    with pytest.raises(
        InvalidInput, match=r"^loss is .*; allowed: an object such as losses.MeanVoltage\(\).*" + remedy
    ):
        trainer(made(), made().initialize(), loss=given)
    with pytest.raises(InvalidInput, match="^loss is .*; allowed: an object such as"):
        eventsnn.evaluate(made(), made().initialize(), DATA, loss=given)


@pytest.mark.parametrize("name, rule", [("learning_rate", "Adam"), ("momentum", "SGD"), ("clip_norm", "Adam")])
def test_a_setting_of_the_optimizer_is_sent_there(name, rule):
    said = rf"^a keyword of Trainer is '{name}'; .* It belongs to the optimizer: optimizer={rule}\({name}=\.\.\.\)\.$"
    with pytest.raises(InvalidInput, match=said):
        trainer(made(), made().initialize(), **{name: 0.1})


# Sizes of data sets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes, said",
    [
        (
            100,
            r"sizes is 100; allowed: three numbers of samples: .* Write sizes=\(100, 100, 100\) for three of that size",
        ),
        ((9, 9), r"sizes is \(9, 9\); allowed: three numbers of samples: train, validation, test\.$"),
        (None, r"sizes is None; allowed: three numbers"),
        ("abc", r"sizes is 'abc'; allowed: three numbers"),
        ((0, 9, 9), r"sizes\[0\] is 0; allowed: an int >= 1, the samples of train\.$"),
        ((9, -1, 9), r"sizes\[1\] is -1; allowed: an int >= 0, the samples of validation\.$"),
        ((9, 9, 2.5), r"sizes\[2\] is 2.5; allowed: an int >= 0, the samples of test\.$"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes, said):
    with pytest.raises(InvalidInput, match=f"^{said}"):
        data.load_yin_yang(sizes=sizes)


def test_sizes_that_can_be_are_kept():
    assert [len(part) for part in data.load_yin_yang(sizes=(4, 0, 2))] == [4, 0, 2]
    assert [len(part) for part in data.load_yin_yang(sizes=np.array([3, 2, 1]))] == [3, 2, 1]
