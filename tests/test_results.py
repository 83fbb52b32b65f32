"""The tables of docs/results.md are what the summaries in docs/results say, and a summary is what its runs say."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from eventsnn import experiments
from eventsnn.cli.commands import make_parser
from eventsnn.cli.train import with_options
from eventsnn.experiments import runs
from eventsnn.training import wilson_interval

DOCS = Path(__file__).resolve().parents[1] / "docs"
FILES = sorted(path for path in (DOCS / "results").glob("*.json") if not path.stem.endswith("-delays"))
DELAYS = sorted((DOCS / "results").glob("*-delays.json"))


def trained_by(command, mode):
    """The preset that a command trains, as it is now, in that mode and with the first of its seeds."""
    program, *arguments = shlex.split(command)
    assert program == "eventsnn"
    arguments = make_parser().parse_args(arguments)
    preset = with_options(experiments.load(arguments.preset), arguments)
    seed = (arguments.seeds or [preset.training.seed])[0]
    return replace(preset, delays=mode, training=replace(preset.training, seed=seed))


def read_result(name):
    return json.loads((DOCS / "results" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def readme():
    return (DOCS.parent / "README.md").read_text(encoding="utf-8")


def test_the_readme_says_what_the_results_say(readme):
    rows = {
        (32, "learned"): "32 neurons, delays learned",
        (32, "fixed"): "32 neurons, delays fixed, random",
        (32, "none"): "32 neurons, no delays",
        (52, "fixed"): "52 neurons, delays fixed, random",
    }
    for (size, mode), label in rows.items():
        found = read_result(f"digits-{size}")[mode]
        accuracy, counts = f"{100 * found['accuracy']:.1f} ± {100 * found['sd']:.1f} %", found["parameters"]
        row = (label, accuracy, f"{counts['weights']:,}", f"{counts['delays']:,}")
        assert len(found["seeds"]) == 3 and f"| {' | '.join(row)} |" in readme
    later = [read_result("spoken-digits-small")[mode] for mode in ("learned", "fixed", "none")]
    first, second, third = (f"{100 * found['accuracy']:.1f} ± {100 * found['sd']:.1f}" for found in later)
    assert f"came to {first}, {second} and {third} %" in " ".join(readme.split())
    large, yin_yang = read_result("spoken-digits"), read_result("yin-yang-15")
    shares = [f"{100 * found['accuracy']:.1f}" for found in (large["fixed"], large["learned"])]
    assert f"({' and '.join(shares)} %," in " ".join(readme.split())
    learned, fixed, none = (f"{100 * yin_yang[mode]['accuracy']:.1f} %" for mode in ("learned", "fixed", "none"))
    told = f"15 neurons tell {learned} of Yin-Yang with learned delays, {fixed} with random ones, {none} with none"
    assert told in " ".join(readme.split())


def test_the_readme_compares_methods_as_the_results_do(readme):
    rows = {
        "digits-eventprop": "exact gradients, a delay on each synapse",
        "digits-dcls": "DCLS-delays, steps of 10 ms",
        "digits-delrec": "DelRec, steps of 10 ms",
    }
    for name, label in rows.items():
        found = read_result(name)["learned"]
        row = (
            label,
            f"{100 * found['accuracy']:.1f} ± {100 * found['sd']:.1f} %",
            f"{sum(found['parameters'].values()):,}",
            f"{found['spikes_per_neuron']:.1f}",
            f"{found['minutes']:.1f}",
            f"{found['peak_memory']:.0f} MB",
        )
        assert len(found["seeds"]) == 3 and f"| {' | '.join(row)} |" in readme


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
        assert runs.same_settings(found["preset"], trained_by(found["command"], mode)), "run it again"


@pytest.mark.parametrize("path", DELAYS, ids=lambda path: path.stem)
def test_changed_delays_are_those_of_the_summarised_runs(path):
    summary = json.loads((path.parent / f"{path.stem.removesuffix('-delays')}.json").read_text(encoding="utf-8"))
    for mode, found in json.loads(path.read_text(encoding="utf-8")).items():
        trained = [run["accuracy"] for run in summary[mode]["runs"]]
        assert found["accuracies"]["as trained"] == pytest.approx(trained)


def test_delays_are_changed_in_every_seed_of_a_run(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(maker, "RESULTS", tmp_path)
    preset = experiments.change(
        experiments.named("yin-yang"), ["data.samples=40", "network.hidden=[6]", "training.epochs=2"]
    )  # fmt: skip
    runs.train_all(
        preset, experiments.load_data(preset), tmp_path / "run", modes=["learned", "fixed"], seeds=[0, 10, 2],
        report=lambda result: None, progress=False,
    )  # fmt: skip
    runs.write_json(tmp_path / "mine.json", runs.read_json(tmp_path / "run" / runs.COMPARISON))
    maker.take_in_delays("mine", tmp_path / "run")
    everything = runs.read_json(tmp_path / "mine-delays.json")
    assert list(everything) == ["learned", "fixed"]
    page = maker.written("<!-- delays: mine -->\n<!-- end -->\n")
    for mode, place in (("learned", ""), ("fixed", "/controls/fixed")):
        found = everything[mode]["accuracies"]
        by_seed = [runs.read_json(tmp_path / f"run/seed-{seed}{place}/result.json")["accuracy"] for seed in (0, 2, 10)]
        assert found["as trained"] == by_seed and all(len(shares) == 3 for shares in found.values())
        assert f"| mine, delays {mode} | {100 * sum(by_seed) / 3:.1f} ± " in page
        assert f"runs/mine/seed-0{place} --permute-delays 5" in page
    fixed = experiments.change(preset, ["delays=fixed"])
    runs.train(fixed, experiments.load_data(fixed), tmp_path / "alone", progress=False)
    maker.take_in_delays("alone", tmp_path / "alone")
    assert list(runs.read_json(tmp_path / "alone-delays.json")) == ["fixed"]


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
    assert (
        "| mine, delays learned | 1 | 50.0 | 40.4 to 59.6 | 10 + 2 | 4 | 2.0 | 3 | 1.0 |" in page
        and "95 %, seeds" not in page
    )
    assert "old" not in page and "eventsnn train x" in page and page.startswith("a\n") and page.endswith("\nb\n")
    with pytest.raises(SystemExit, match="no finished run"):
        maker.take_in("mine", tmp_path / "nothing")
