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
