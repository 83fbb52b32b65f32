"""--engine: trained with the one that is named, resumed with the one it had, evaluated with either."""

import json

import numpy as np
import pytest

from eventsnn import checkpoints
from eventsnn.cli import main
from eventsnn.cli.text import FAILED

TOML = """
delays = "none"
[data]
source = "files"
train = {0}
test = {0}
n_units = 4
duration = 50
validation_fraction = 0.25
[network]
hidden = [3]
recurrent = false
input_weight = [3.0, 0.5]
output_weight = [1.0, 1.0]
[training]
epochs = 1
"""


@pytest.fixture
def toml(tmp_path, write_spike_file):
    points = [([0.002, 0.004, 0.010, 0.015], [0, 1, 2, 3])] * 8
    spikes = write_spike_file(tmp_path / "points.h5", points, np.arange(8) % 2)
    path = tmp_path / "tiny.toml"
    path.write_text(TOML.format(json.dumps(str(spikes))))
    return str(path)


def train(*arguments):
    return main(["train", *map(str, arguments), "--threads", "1", "--quiet", "--no-test"])


def engine_in(folder):
    return checkpoints.load(folder / "checkpoint")[1]["run"].get("engine")


def test_a_run_has_the_engine_that_is_named_and_goes_on_with_it(toml, tmp_path, capsys):
    folder = tmp_path / "run"
    assert train(toml, "--out", folder, "--engine", "reference") == 0
    assert engine_in(folder) == "reference"
    result = json.loads((folder / "result.json").read_text())
    assert result["engine"] == "reference" and "--engine reference" in result["command"]
    for again in ([toml], []):  # by its preset, and by its folder alone
        (folder / "result.json").unlink()
        assert train(*again, "--resume", "--out", folder) == 0
        assert json.loads((folder / "result.json").read_text())["engine"] == "reference"
    capsys.readouterr()
    assert train(toml, "--resume", "--out", folder, "--engine", "compiled") == FAILED
    assert "engine was 'reference' and is now 'compiled'. Resume with" in capsys.readouterr().err
    assert engine_in(folder) == "reference"


def test_the_default_is_as_it_was(toml, tmp_path, capsys):
    folder = tmp_path / "run"
    assert train(toml, "--out", folder, "--engine", "compiled") == 0
    assert engine_in(folder) is None and "engine" not in json.loads((folder / "result.json").read_text())
    assert train(toml, "--resume", "--out", folder, "--engine", "reference") == FAILED
    assert "engine was 'compiled' and is now 'reference'" in capsys.readouterr().err


@pytest.mark.parametrize("trained", ["compiled", "reference"])
def test_evaluate_asks_the_engine_that_is_named_else_the_one_that_trained(toml, tmp_path, capsys, monkeypatch, trained):
    from eventsnn.engines.reference import engine

    asked, forward = [], engine.forward
    assert train(toml, "--out", tmp_path / "run", "--engine", trained) == 0
    monkeypatch.setattr(engine, "forward", lambda problem: (asked.append(True), forward(problem))[1])
    losses = []
    for named in ([], ["--engine", "compiled"], ["--engine", "reference"]):
        capsys.readouterr()
        asked.clear()
        assert main(["evaluate", str(tmp_path / "run"), "--json", "--threads", "1", *named]) == 0
        losses.append(json.loads(capsys.readouterr().out)["loss"])
        assert bool(asked) == ((named or [trained])[-1] == "reference")
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-9)


def test_an_engine_that_is_none_is_refused_with_those_there_are(toml, tmp_path, capsys):
    assert train(toml, "--out", tmp_path / "run", "--engine", "cuda") == FAILED
    assert "compiled" in (said := capsys.readouterr().err) and "reference" in said
    assert not (tmp_path / "run").exists()
    grid = ["--set", "grid.dt=1.0", "grid.longest_delay=5.0"]
    assert train(toml, "--out", tmp_path / "run", "--engine", "reference", *grid) == FAILED
    assert "--engine is 'reference'; allowed: \"compiled\": a GridNetwork has no other" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
