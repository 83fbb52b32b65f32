"""Pictures of training, of its delays and of sweeps."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from eventsnn import plotting
from eventsnn.errors import InvalidInput
from eventsnn.training import Evaluation, History
from tests.analysis.models import check_picture, records


def test_pictures_of_training(model, tmp_path):
    network, parameters, _, recording = model
    history = History(records(5), 5)
    moved = {name: values + 0.5 * name.endswith("delay") for name, values in parameters.items()}
    drawings = plotting.of_run(network, moved, parameters, recording, history, tmp_path)
    assert [path.name for path in drawings] == ["raster.png", "learning_curve.png", "delays.png"]
    for path, draw in drawings.items():
        assert draw() == path
        check_picture(path)
    results = {
        "learned": {"accuracy": 0.9, "interval": [0.85, 0.93]},
        "none": Evaluation(1.0, 0.6, 10, (0.4, 0.8), 3.0, np.zeros(10)),
    }
    check_picture(plotting.comparison(results, tmp_path / "comparison.png"))
    results["learned"]["runs"] = [{"accuracy": 0.88}, {"accuracy": 0.92}]
    check_picture(plotting.comparison(results, tmp_path / "seeds.png"))
    assert (tmp_path / "seeds.png").read_bytes() != (tmp_path / "comparison.png").read_bytes()


def test_picture_of_a_sweep(tmp_path):
    settings = {"rate": [1e-4, 1e-2, 1e-3], "hidden": ["[8]", "[16]", "[8]"], "size": [8, 16, 32]}
    check_picture(plotting.sweep(settings, [0.5, 0.9, 0.7], [3.0, 4.0, 5.0], tmp_path / "sweep.png"))
    check_picture(plotting.sweep({}, [0.5], [3.0], tmp_path / "one.png"))
    with pytest.raises(InvalidInput, match="finished trial"):
        plotting.sweep({}, [], [], tmp_path / "none.png")


def test_history_without_validation_is_drawn(tmp_path):
    without = [{**record, "validation_loss": None, "validation_accuracy": None} for record in records(40)]
    check_picture(plotting.learning_curve(History(tuple(without)), tmp_path / "curve.png"))


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(InvalidInput, match="history"):
        plotting.learning_curve(History(), tmp_path / "x.png")
    with pytest.raises(InvalidInput, match="before"):
        plotting.delay_histogram({"a.weight": np.zeros(3)}, {}, tmp_path / "x.png")
    with pytest.raises(InvalidInput, match="results"):
        plotting.comparison({}, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_connections_of_one_pair_are_one_histogram(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    names = [f"in->out{number}.delay" for number in ("", " (2)", " (3)")]
    before = {name: np.zeros((2, 3)) for name in names} | {"a->out.delay": np.ones(4)}
    after = {name: value + 6.0 for name, value in before.items()}
    drawn, figure = [], plotting.training.new_figure
    monkeypatch.setattr(
        plotting.training, "new_figure", lambda *arguments: (drawn.append(arguments[-1]), figure(*arguments))[1]
    )
    plotting.delay_histogram(before, after, tmp_path / "delays.png")
    assert drawn == [2] and (tmp_path / "delays.png").stat().st_size > 1000
