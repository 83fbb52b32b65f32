"""The tables of docs/results.md are what the summaries in docs/results say, and a summary is what its runs say."""

import json
from pathlib import Path

import pytest

from eventsnn import presets, runs
from eventsnn.training import wilson_interval

DOCS = Path(__file__).resolve().parents[1] / "docs"
FILES = sorted((DOCS / "results").glob("*.json"))


@pytest.fixture(scope="module")
def maker(load_script):
    return load_script(DOCS / "make_results.py")


def test_the_tables_are_those_of_the_summaries(maker):
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert maker.written(page) == page, "run python docs/make_results.py"
    shown = {name for found in maker.TABLE.finditer(page) for name in found["names"].split()}
    assert shown == {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_summary_agrees_with_its_runs(path):
    for mode, found in json.loads(path.read_text(encoding="utf-8")).items():
        shares = [run["accuracy"] for run in found["runs"]]
        assert found["accuracy"] == pytest.approx(sum(shares) / len(shares))
        assert found["interval"] == pytest.approx(wilson_interval(found["accuracy"] * found["n_test"], found["n_test"]))
        assert [run["seed"] for run in found["runs"]] == found["seeds"]
        assert {run["delays"] for run in found["runs"]} == {mode}
        words = found["command"].split()
        assert words[:2] == ["eventsnn", "train"] and words[2] in presets.names()


def test_a_run_is_taken_in_and_shown(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(maker, "RESULTS", tmp_path / "results")
    result = {
        "name": "x", "delays": "learned", "accuracy": 0.5, "n_test": 100, "validation_accuracy": None, "epochs": 3,
        "spikes_per_neuron": 2.0, "minutes": 1.0, "parameters": {"weights": 10, "delays": 4, "other": 2}, "seed": 7,
        "command": "eventsnn train x", "preset": {},
    }  # fmt: skip
    runs.write_json(tmp_path / runs.RESULT, result)
    maker.take_in("mine", tmp_path)
    page = maker.written("a\n<!-- table: mine -->\nold\n<!-- end -->\nb\n")
    assert "| mine, delays learned | 1 | 50.0 | 40.4 to 59.6 | 10 + 2 | 4 | 2.0 | 3 | 1.0 |" in page
    assert "old" not in page and "eventsnn train x" in page and page.startswith("a\n") and page.endswith("\nb\n")
    with pytest.raises(SystemExit, match="no finished run"):
        maker.take_in("mine", tmp_path / "nothing")
