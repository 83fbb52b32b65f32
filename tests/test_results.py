"""The tables of docs/results.md are what the summaries in docs/results say, and a summary is what its runs say."""

import json
from pathlib import Path

import pytest

from eventsnn import presets, runs
from eventsnn.training import wilson_interval

DOCS = Path(__file__).resolve().parents[1] / "docs"
FILES = sorted(path for path in (DOCS / "results").glob("*.json") if not path.stem.endswith("-delays"))
DELAYS = sorted((DOCS / "results").glob("*-delays.json"))


@pytest.fixture(scope="module")
def maker(load_script):
    return load_script(DOCS / "make_results.py")


def test_the_tables_are_those_of_the_summaries(maker):
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert maker.written(page) == page, "run python docs/make_results.py"
    endings = {"table": "", "delays": "-delays"}
    shown = {name + endings[found["kind"]] for found in maker.TABLE.finditer(page) for name in found["names"].split()}
    assert shown == {path.stem for path in [*FILES, *DELAYS]}


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


@pytest.mark.parametrize("path", DELAYS, ids=lambda path: path.stem)
def test_changed_delays_are_those_of_the_summarised_runs(path):
    found = json.loads(path.read_text(encoding="utf-8"))["accuracies"]
    summary = json.loads((path.parent / f"{path.stem.removesuffix('-delays')}.json").read_text(encoding="utf-8"))
    assert found["as trained"] == pytest.approx([run["accuracy"] for run in summary["learned"]["runs"]])


def test_delays_are_changed_in_every_seed_of_a_run(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(maker, "RESULTS", tmp_path)
    preset = presets.change(
        presets.named("yin-yang"), ["data.samples=40", "network.hidden=[6]", "training.epochs=2"]
    )  # fmt: skip
    runs.train_all(
        preset, presets.load_data(preset), tmp_path / "run", modes=["learned"], seeds=[0, 10, 2],
        report=lambda result: None, progress=False,
    )  # fmt: skip
    runs.write_json(tmp_path / "mine.json", runs.read_json(tmp_path / "run" / runs.COMPARISON))
    maker.take_in_delays("mine", tmp_path / "run")
    found = runs.read_json(tmp_path / "mine-delays.json")["accuracies"]
    by_seed = [runs.read_json(tmp_path / f"run/seed-{seed}/result.json")["accuracy"] for seed in (0, 2, 10)]
    assert found["as trained"] == by_seed and all(len(shares) == 3 for shares in found.values())
    page = maker.written("<!-- delays: mine -->\n<!-- end -->\n")
    assert f"| mine | {100 * sum(by_seed) / 3:.1f} ± " in page and "seed-0 --permute-delays 5" in page


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
    assert "| mine, delays learned | 1 | 50.0 |  | 40.4 to 59.6 | 10 + 2 | 4 | 2.0 | 3 | 1.0 |" in page
    assert "old" not in page and "eventsnn train x" in page and page.startswith("a\n") and page.endswith("\nb\n")
    with pytest.raises(SystemExit, match="no finished run"):
        maker.take_in("mine", tmp_path / "nothing")
