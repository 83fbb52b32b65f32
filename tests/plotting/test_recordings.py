"""Pictures of a recording."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from eventsnn import Normal, SpikeBatch, plotting, simulation, surrogate
from eventsnn.analysis.voltage import voltages
from eventsnn.errors import Conflict, InvalidInput, Unsupported
from eventsnn.losses import MeanVoltage
from tests.analysis.models import DURATION, check_picture


def test_a_part_of_a_stream_is_drawn_in_its_own_time_and_has_no_voltages(model, tmp_path):
    network, parameters, batch, _ = model
    first, second = simulation.stream(network, parameters, batch[:1], duration=DURATION, every=50.0)
    check_picture(plotting.raster(second, 0, tmp_path / "part.png", network=network))
    assert plotting.voltages(network, parameters, first, 0, "hidden", [0], [40.0]).shape == (1, 1)
    with pytest.raises(InvalidInput, match="whole run"):
        plotting.voltages(network, parameters, second, 0, "hidden", [0], [20.0])


def test_what_is_not_there_is_not_drawn(model, tmp_path):
    network, _, _, recording = model
    for populations in (["hiden"], "hidden"):
        with pytest.raises(InvalidInput, match="populations"):
            plotting.raster(recording, 0, tmp_path / "x.png", populations)
    for sample in (2, 0.5):
        with pytest.raises(InvalidInput, match="sample"):
            plotting.raster(recording, sample, tmp_path / "x.png")
    with pytest.raises(InvalidInput, match=r"\[3\] for one"):
        plotting.voltages(network, model[1], recording, 0, "hidden", 3, [1.0])


def test_pictures_of_a_recording(model, tmp_path):
    network, parameters, batch, recording = model
    check_picture(plotting.raster(recording, 1, tmp_path / "raster.png", network=network))
    for population in ("hidden", "output"):
        path = tmp_path / f"{population}.png"
        check_picture(plotting.voltage_trace(network, parameters, recording, 0, population, [0, 1], path))
    path = plotting.adjoint_traces(
        network, parameters, batch[:1], np.array([0]), loss=MeanVoltage(), duration=DURATION, population="hidden",
        neurons=[0, 1], path=tmp_path / "adjoint.png", n_times=300,
    )  # fmt: skip
    check_picture(path)


WRONG = [
    ({"recording": "batch"}, "recording is 'SpikeBatch'; allowed: a Recording", "simulate(network, parameters, spikes"),
    ({"recording": "parameters"}, "recording is 'dict'; allowed: a Recording", "network, parameters, recording"),
    ({"recording": "parameters", "parameters": "recording"}, "recording is 'dict'", "in this order."),
    ({"network": "parameters", "parameters": "network"}, "network is 'dict'; allowed: a Network", "in this order."),
    ({"parameters": "batch"}, "parameters is 'SpikeBatch'; allowed: a dict of arrays: network.initialize()", ""),
    ({"neurons": "0"}, "neurons is '0'; allowed: a list of neurons from 0 to 3. [0] for one.", ""),
    ({"neurons": [0, 0.5]}, "neurons[1] is 0.5; allowed: whole numbers from 0 to 3, the neurons of 'hidden'.", ""),
    ({"neurons": [True]}, "neurons[0] is True; allowed: whole numbers", ""),
    ({"neurons": ["0"]}, "neurons[0] is '0'; allowed: whole numbers", ""),
    ({"neurons": [[0, 1]]}, "neurons[0] is [0, 1]; allowed: whole numbers", ""),
    ({"neurons": [4]}, "neurons[0] is 4; allowed: whole numbers from 0 to 3", ""),
    ({"neurons": None}, "neurons is None; allowed: a list of neurons", ""),
    ({"neurons": []}, "neurons is []; allowed: at least one neuron. [0] draws the first one.", ""),
    ({"neurons": "hidden", "population": [0]}, "population is [0]; allowed: one of ['hidden', 'output'].", ""),
    ({"population": "hiden"}, "population is 'hiden'", "Did you mean 'hidden'?"),
    ({"sample": 2}, "sample is 2; allowed: a sample index below 2.", ""),
    ({"sample": "0"}, "sample is '0'", ""),
    ({"n_times": 0}, "n_times is 0; allowed: an int >= 2.", ""),
    ({"path": [0]}, "path is [0]; allowed: the name of a file to write", ""),
]


@pytest.mark.parametrize("change, said, remedy", WRONG)
def test_wrong_arguments_are_named_with_what_is_allowed(change, said, remedy, model, tmp_path):
    right = dict(zip(("network", "parameters", "batch", "recording"), model, strict=True))
    given = right | {"sample": 0, "population": "hidden", "neurons": [0], "path": tmp_path / "x.png"}
    swapped = {key: right.get(value, value) if isinstance(value, str) else value for key, value in change.items()}
    given |= swapped
    del given["batch"]
    with pytest.raises(InvalidInput) as error:
        plotting.voltage_trace(**given)
    assert str(error.value).startswith(said) and remedy in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "neurons, said", [("0", "neurons is '0'"), ([0.5], r"neurons\[0\] is 0.5"), ([], "at least one")]
)
def test_neurons_of_adjoints_are_named_as_those_of_voltages(neurons, said, model, tmp_path):
    network, parameters, batch, _ = model
    with pytest.raises(InvalidInput, match=said):
        plotting.adjoint_traces(
            network, parameters, batch[:1], np.array([0]), loss=MeanVoltage(), duration=DURATION, population="hidden",
            neurons=neurons, path=tmp_path / "x.png",
        )  # fmt: skip


def test_a_raster_is_of_a_recording(model, tmp_path):
    with pytest.raises(InvalidInput, match="recording is 'SpikeBatch'.* simulate"):
        plotting.raster(model[2], 0, tmp_path / "x.png")


@pytest.fixture(scope="module")
def grid():
    """A GridNetwork whose populations are called as those of ``model``, with its parameters and recording."""
    network = surrogate.GridNetwork(2.0)
    network.add_input("input", 3)
    network.add_lif("hidden", 4)
    network.add_readout("output", 2)
    network.connect("input", "hidden", weight=Normal(1.0, 0.5))
    network.connect("hidden", "output", weight=Normal(0.0, 1.0))
    batch, parameters = SpikeBatch.from_lists([([1.0, 3.0, 8.0], [0, 1, 2])]), network.initialize(0)
    return network, parameters, batch, surrogate.simulate(network, parameters, batch, duration=40.0)


def test_voltages_of_a_grid_are_drawn_and_those_that_training_does_not_keep_are_refused_in_words(grid, tmp_path):
    network, parameters, batch, recording = grid
    for population in ("hidden", "output"):
        path = tmp_path / f"{population}.png"
        check_picture(plotting.voltage_trace(network, parameters, recording, 0, population, [0, 1], path))
    *_, trained = surrogate.value_and_grad(
        network, parameters, batch, np.array([0]), loss=MeanVoltage(), duration=40.0, return_recording=True
    )
    with pytest.raises(Unsupported, match=r"^recording is .*'hidden'.*; allowed: the GridRecording of surr"):
        plotting.voltage_trace(network, parameters, trained, 0, "hidden", [0], tmp_path / "x.png")


def test_a_recording_of_the_other_kind_of_network_is_refused_in_words(model, grid, tmp_path):
    for one, other, kinds in ((model, grid, ("Network", "Recording")), (grid, model, ("GridNetwork", "GridRecording"))):
        said = f"^recording is .*; allowed: a {kinds[1]}, as the network is a {kinds[0]}\\."
        with pytest.raises(Conflict, match=said):
            plotting.voltage_trace(one[0], one[1], other[3], 0, "hidden", [0], tmp_path / "x.png")
    for pair, name in (((model, grid), "recording"), ((grid, model), "network")):
        with pytest.raises(InvalidInput, match=f"^{name} is 'Grid"):
            voltages(pair[0][0], pair[0][1], pair[1][3], 0, "hidden", [0], [1.0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("population", ["hidden", "output"])
def test_samples_of_a_grid_are_those_that_there_are(grid, population, tmp_path):
    network, parameters, _, recording = grid
    with pytest.raises(InvalidInput, match="sample is 5; allowed: a sample index below 1"):
        plotting.voltage_trace(network, parameters, recording, 5, population, [0], tmp_path / "x.png")
    with pytest.raises(InvalidInput, match="sample is 5"):
        recording.spikes("input", 5)
