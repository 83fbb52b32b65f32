"""Results: what is damaged is noticed, and a summary is the arithmetic of its results."""

import json
import math

import numpy as np
import pytest

from eventsnn.errors import FileError
from eventsnn.experiments import results, runs
from eventsnn.training import wilson_interval


@pytest.mark.parametrize(
    "text",
    [
        "[]", "", '{"preset', "\udcff", "[" * 100_000, '{"preset": {}, "accuracy": "high", "interval": [0, 1]}',
        '{"preset": {}, "accuracy": 0.5, "interval": null}', "{}", '{"name": 1}',
    ],
)  # fmt: skip
def test_a_damaged_result_is_made_once_more(tiny, tmp_path, text):
    preset, data = tiny
    first = runs.train(preset, data, tmp_path, progress=False, n_threads=1)
    (tmp_path / runs.RESULT).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.warns(RuntimeWarning, match=r"result.json: .*; it is made once more"):
        second = runs.train(preset, data, tmp_path, progress=False, n_threads=1)
    assert (second["accuracy"], second["epochs"]) == (first["accuracy"], 1)
    assert runs.finished(preset, tmp_path) == second


@pytest.mark.parametrize(
    ("key", "value"),
    [("accuracy", math.nan), ("test_loss", math.inf), ("minutes", -math.inf), ("interval", [math.nan, 1.0])],
)
def test_a_result_with_numbers_that_are_not_finite_is_damaged(tiny, tmp_path, key, value):
    result = runs.train(*tiny, tmp_path, progress=False, n_threads=1)
    runs.write_json(tmp_path / runs.RESULT, result | {key: value})
    with pytest.warns(RuntimeWarning, match=f"result.json: {key} is .*; it is made once more"):
        assert runs.finished(tiny[0], tmp_path) is None


@pytest.mark.parametrize("key", ["accuracy", "preset", "interval", "name"])
def test_a_result_that_lacks_something_is_damaged(tiny, tmp_path, key):
    result = runs.train(*tiny, tmp_path, progress=False, n_threads=1)
    runs.write_json(tmp_path / runs.RESULT, {name: value for name, value in result.items() if name != key})
    with pytest.warns(RuntimeWarning, match=f"result.json: {key} is None.*; it is made once more"):
        assert runs.finished(tiny[0], tmp_path) is None


@pytest.mark.parametrize("text", ["[]", '{"learned": 1}', '{"learned": {"accuracy": 1, "interval": [0]}}', "{"])
def test_a_damaged_comparison_is_named(tmp_path, text):
    assert results.read_comparison(tmp_path / runs.COMPARISON) is None
    (tmp_path / runs.COMPARISON).write_text(text)
    with pytest.raises(FileError, match=r"comparison.json: is damaged"):
        results.read_comparison(tmp_path / runs.COMPARISON)


def test_a_summary_is_the_mean_of_its_runs():
    def result(seed, accuracy, validation):
        return {
            "seed": seed, "accuracy": accuracy, "n_test": 200, "validation_accuracy": validation, "epochs": 4 + seed,
            "spikes_per_neuron": 3.0 + seed, "minutes": 2.0 * seed, "parameters": {"weights": 5}, "command": "c",
            "preset": {"seed": seed},
        }  # fmt: skip

    found = runs.summary([result(1, 0.8, 0.7), result(3, 0.9, 0.9)])
    assert found["accuracy"] == pytest.approx(0.85) and found["sd"] == pytest.approx(0.1 / np.sqrt(2))
    assert found["interval"] == pytest.approx(wilson_interval(170, 200))
    assert found["validation_accuracy"] == pytest.approx(0.8) and found["seeds"] == [1, 3]
    assert (found["epochs"], found["spikes_per_neuron"], found["minutes"]) == (6.0, 5.0, 4.0)
    assert all("preset" not in run for run in found["runs"]) and json.dumps(found)
    assert found["preset"] == {"seed": 1} and found["peak_memory"] is None and "accuracy_fractional" not in found
    grid = [{**result(k, 0.8, 0.7), "accuracy_fractional": 0.8 + k / 100, "peak_memory": 100.0 * k} for k in (1, 3)]
    of_grid = runs.summary(grid) | {"parameters": {"weights": 5, "delays": 1, "other": 0}}
    assert of_grid["accuracy_fractional"] == pytest.approx(0.82) and of_grid["peak_memory"] == 300.0
    assert "80.0 +- 0.0 (82.0)" in results.cells(of_grid) and results.cells(of_grid)[-1] == "300"
    alone = runs.summary([result(1, 0.8, None)])
    # Student's t of one degree of freedom: 12.7062 standard errors, which is beyond 0 and 1 here
    assert found["seed_interval"] == pytest.approx([0.85 - 12.7062 * 0.05, 1.0], abs=1e-5)
    assert alone["sd"] is None and alone["seed_interval"] is None and alone["validation_accuracy"] is None
