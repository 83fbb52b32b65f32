"""Pictures of a recording."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from eventsnn import plotting, simulation
from eventsnn.errors import InvalidInput
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
