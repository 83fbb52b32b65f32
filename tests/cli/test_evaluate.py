"""The command evaluate: results once more, other delays, other data."""

import json

import numpy as np
import pytest

from eventsnn.cli import main
from eventsnn.cli.text import FAILED
from tests.cli.commands import train


def test_evaluate_repeats_the_result(run, capsys):
    result = json.loads((run / "result.json").read_text())
    assert main(["evaluate", str(run), "--json", "--threads", "1"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["accuracy"], again["loss"], again["n"]) == (result["accuracy"], result["test_loss"], 1000)
    assert main(["evaluate", str(run / "checkpoint"), "--split", "validation"]) == 0
    assert "95 % interval" in capsys.readouterr().out


def test_evaluate_with_other_delays(run, capsys):
    def found(*arguments):
        assert main(["evaluate", str(run), "--json", "--threads", "1", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    assert found("--round-delays", "1e-9")["accuracy"] == found()["accuracy"]
    assert found("--round-delays", "5")["loss"] != found()["loss"]
    permuted = found("--permute-delays", "2")
    assert len(permuted) == 2 and permuted[0]["loss"] != permuted[1]["loss"]
    assert main(["evaluate", str(run), "--permute-delays", "2", "--threads", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("mean of 2: ")
    for arguments in (("--round-delays", "0"), ("--permute-delays", "0")):
        assert main(["evaluate", str(run), *arguments]) == FAILED
        assert "allowed" in capsys.readouterr().err


def test_evaluate_on_a_file(run, spike_file, capsys):
    assert main(["evaluate", str(run), "--data", spike_file, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 6 and found["accuracy"] == pytest.approx(1 / 3)  # six equal samples, two of each class


def test_a_file_of_other_classes_is_named(run, tmp_path, write_spike_file, capsys):
    path = write_spike_file(tmp_path / "other.h5", [([0.002], [0])] * 2, np.array([0, 7]))
    assert main(["evaluate", str(run), "--data", path]) == FAILED
    assert f"{path}: labels[1] is 7; allowed: labels below the number of classes (3)" in capsys.readouterr().err


def test_delays_of_a_grid_are_not_for_a_network_of_events(run, capsys):
    assert main(["evaluate", str(run), "--delays", "rounded"]) == FAILED
    assert "not on a grid: its delays are real numbers. Leave --delays out." in capsys.readouterr().err


def test_times_in_another_unit_are_asked_about(run, tmp_path, write_spike_file, capsys):
    path = write_spike_file(tmp_path / "ms.h5", [([2.0, 3.0], [0, 1])] * 2, np.array([0, 1]))  # in s: 2000 ms
    assert main(["evaluate", str(run), "--data", path]) == 0
    assert "4 of 4 input spikes of " in (err := capsys.readouterr().err) and "Are the times in ms?" in err


def test_a_folder_of_seeds_is_not_one_run(toml, tmp_path, capsys):
    assert train(toml, "--seeds", "1", "2", "--out", tmp_path / "a") == 0
    assert main(["evaluate", str(tmp_path / "a")]) == FAILED
    assert "Name one of " in (err := capsys.readouterr().err) and "seed-1, " in err
