"""The benchmarks: every table comes out on tiny networks, what is missing is left out with a word, and nothing lies."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from eventsnn import simulate

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"
# they are scripts, which find each other in their own folder
sys.path.insert(0, str(FOLDER))

import against  # noqa: E402
import brain  # noqa: E402
import brains  # noqa: E402
import costs  # noqa: E402
import curves  # noqa: E402
import instructions  # noqa: E402
import measuring  # noqa: E402
import networks  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
from floor import Floor  # noqa: E402
from settings import FULL, QUICK, TINY  # noqa: E402

TABLES = (costs.recurrent_table, costs.yin_yang_table, costs.threads_table, costs.memory_table, *curves.CURVES)
TASKS = {
    "synapse": lambda: networks.recurrent(8, "synapse", n_samples=2, duration=60.0),
    "neuron": lambda: networks.recurrent(8, "neuron", n_samples=2, duration=60.0),
    "none": lambda: networks.recurrent(8, "none", n_samples=2, duration=60.0),
    "yin-yang": lambda: networks.yin_yang(10, n_samples=3),
    "sparse": lambda: networks.scaled(300, True, n_samples=2, duration=60.0),
    "dense": lambda: networks.scaled(30, False, n_samples=2, duration=60.0),
}


def test_every_module_can_be_imported():
    assert {path.stem for path in FOLDER.glob("*.py")} >= {"run", "costs", "curves", "floor", "peers", "instructions"}
    for path in FOLDER.glob("*.py"):
        assert importlib.import_module(path.stem).__doc__, path


def numbers(table):
    return [(key, value) for row in table.rows for key, value in row.items() if isinstance(value, float)]


@pytest.mark.parametrize("function", TABLES, ids=lambda function: function.__name__)
def test_a_table_comes_out_on_a_tiny_network(function):
    table = function(TINY)
    assert table.rows and set(table.columns) <= set(table.rows[0])
    assert table.markdown().count("\n|") == len(table.rows) + 2
    assert json.loads(json.dumps(table.to_dict(), allow_nan=False))["rows"] == table.rows
    assert all(math.isfinite(value) for _, value in numbers(table))
    assert all(value > 0 for key, value in numbers(table) if key.endswith(("_ns", "_us", "_median", "ratio")))


def test_layout_and_compilation_come_out_too(monkeypatch):
    recurrent = costs.recurrent_table(TINY)
    assert [row["layout_ms"] for row in costs.layout_table(recurrent).rows] == [
        row["layout_ms"] for row in recurrent.rows
    ]
    found = measuring.in_own_process("costs", "first_calls")
    assert {name for _, name in costs.ENTRIES} < set(found) and min(found.values()) > 0
    monkeypatch.setattr(costs, "in_own_process", lambda *_, **__: found)
    assert len(costs.compile_table(TINY).rows) == len(found)


@pytest.mark.parametrize("name", TASKS)
def test_the_floor_pushes_as_many_events_as_the_engine_delivers(name):
    task = TASKS[name]()
    recording = simulate(task.network, task.parameters, task.batch, duration=task.duration, n_threads=1)
    assert Floor(task, recording)() == recording.counters.events.sum() > 0


def test_the_floor_writes_the_arrivals_of_the_last_spike_in_its_row():
    task = networks.yin_yang(10, n_samples=1)
    recording = simulate(task.network, task.parameters, task.batch, duration=task.duration, n_threads=1)
    floor = Floor(task, recording)
    floor()
    last, row = floor.spikes[2][-1], floor.spikes[1][-1]
    start = floor.synapses[0][row]
    arrival, weight = last + floor.synapses[3][start], floor.synapses[2][start]
    slot = int(arrival) & (floor.tails.size - 1)
    written = floor.buckets[slot, : floor.tails[slot]]
    assert (arrival, weight) in set(zip(written["time"].tolist(), written["weight"].tolist(), strict=True))


def test_hidden_neurons_fire_as_the_readme_says():
    for delays in networks.YIN_YANG_MEAN:
        task = networks.yin_yang(100, delays, n_samples=64)
        recording = simulate(task.network, task.parameters, task.batch, duration=task.duration, n_threads=1)
        assert 110 < recording.spike_counts("hidden").sum(axis=1).mean() < 138
        assert np.all(recording.first_spikes("out") >= 0)
    for delays in networks.DELAYS:
        task = networks.recurrent(128, delays, n_samples=1)
        recording = simulate(task.network, task.parameters, task.batch, duration=task.duration, n_threads=1)
        assert 9 < recording.spike_counts("hidden").mean() < 14


def test_sizes_beyond_the_memory_are_left_out_with_a_word(monkeypatch):
    monkeypatch.setattr(curves, "free_memory", lambda: 100_000)
    table = curves.neurons_curve(TINY)
    assert [row["neurons"] for row in table.rows] == [10] and len(table.notes) == 1
    assert "20 neurons (fan-out 100) left out" in table.notes[0] and table.notes[0] in table.markdown()
    monkeypatch.setattr(curves, "free_memory", lambda: None)
    assert curves.lacking(10**12) is None


def test_the_number_of_synapses_is_known_beforehand():
    for n, sparse in ((10, False), (30, True), (300, True)):
        assert networks.scaled_synapses(n, sparse) == networks.scaled(n, sparse, duration=10.0).n_synapses


def test_calls_are_interleaved_and_cut_short():
    called = []
    functions = {"one": lambda: called.append(1), "two": lambda: called.append(2)}
    timings = measuring.interleaved(functions, QUICK)
    assert called == [1, 2] * (1 + QUICK.repeats)
    assert all(0 < timing.least <= timing.median for timing in timings.values())
    called.clear()
    measuring.interleaved(functions, measuring_settings(seconds=-1.0))
    assert called == [1, 2] * 2


def measuring_settings(**changes):
    return type(FULL)(**changes)


def test_a_process_that_fails_says_why():
    assert measuring.in_own_process("measuring", "n_cores") == measuring.n_cores()
    with pytest.raises(RuntimeError, match="no_such_name"):
        measuring.in_own_process("measuring", "no_such_name")


@pytest.fixture
def tiny_run(monkeypatch):
    compilation = report.Table("compilation", "Compilation", {"kernel": ("kernel", "")}, [{"kernel": "push"}])
    monkeypatch.setattr(run, "QUICK", TINY)
    monkeypatch.setattr(costs, "compile_table", lambda settings: compilation)
    monkeypatch.setattr(curves, "CURVES", (curves.input_curve, curves.neurons_curve))
    monkeypatch.setattr(costs, "memory_table", lambda settings: compilation)


def test_one_command_writes_everything(tiny_run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    run.main(["--quick", "--out", str(tmp_path), "--name", "tiny"])
    result = json.loads((tmp_path / "tiny.json").read_text())
    assert set(result) == {"date", "machine", "versions", "settings", "tables"}
    assert {"Python", "NumPy", "Numba", "LLVM", "eventsnn"} <= set(result["versions"])
    assert result["machine"]["cores"] >= 1 and result["machine"]["processor"]
    text = (tmp_path / "tiny.md").read_text()
    for name, table in result["tables"].items():
        assert table["title"] in text and table["title"] in capsys.readouterr().out + text, name
    figures = {path.name for path in (tmp_path / "tiny").glob("*.png")}
    assert figures == {"threads.png", "curve_input.png", "curve_neurons.png"}
    assert all(f"(tiny/{name})" in text for name in figures)


def test_without_matplotlib_the_tables_still_come(tiny_run, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run.main(["--quick", "--out", str(tmp_path)])
    assert "matplotlib is not installed" in capsys.readouterr().out
    assert (tmp_path / "quick.json").exists() and not (tmp_path / "quick").exists()


def test_peers_that_are_not_installed_are_left_out_with_a_word(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    table = peers.peers_table(TINY)
    assert {row["engine"] for row in table.rows} == {"floor", "eventsnn", "eventsnn, no delays"}
    assert len(table.notes) == len(peers.PEERS) and "torch is not installed" in table.markdown()


def test_inputs_on_the_grid_hold_every_spike():
    task = networks.recurrent(8, n_samples=2, duration=60.0)
    grid = peers.spikes_on_grid(task, networks.CHANNELS)
    assert grid.shape == (60, 2, networks.CHANNELS)
    assert grid.sum(axis=(0, 2)).tolist() == np.diff(task.batch.offsets).tolist()


@pytest.mark.parametrize(("factor", "expected"), [(1.11, ["b"]), (1.09, []), (0.5, []), (1.0, [])])
def test_more_than_ten_percent_more_instructions_are_flagged(factor, expected):
    table, lost = instructions.compare({"a": 100.0, "b": 50.0 * factor, "new": 1.0}, {"a": 100.0, "b": 50.0})
    assert lost == expected
    assert table.rows[1]["change"] == pytest.approx(factor - 1) and table.rows[2]["change"] is None


@pytest.mark.parametrize(("factor", "status"), [(1.11, 1), (1.09, 0)])
def test_the_exit_status_tells(factor, status, monkeypatch, capsys):
    baseline = json.loads(instructions.BASELINE.read_text())
    counted = {name: value * factor for name, value in baseline.items()}
    monkeypatch.setattr(instructions, "unavailable", lambda: None)
    monkeypatch.setattr(instructions, "instructions_per_event", lambda: counted)
    assert instructions.main([]) == status
    assert ("more instructions" in capsys.readouterr().out) == bool(status)


def test_the_baseline_is_rewritten_when_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(instructions, "BASELINE", tmp_path / "instructions.json")
    monkeypatch.setattr(instructions, "unavailable", lambda: None)
    monkeypatch.setattr(instructions, "instructions_per_event", lambda: {"a": 1.234})
    assert instructions.main(["--update"]) == 0
    assert json.loads((tmp_path / "instructions.json").read_text()) == {"a": 1.23}


def test_every_workload_has_a_baseline_and_runs():
    assert list(json.loads(instructions.BASELINE.read_text())) == list(instructions.WORKLOADS)
    passes = instructions.prepared()
    assert list(passes) == list(instructions.WORKLOADS)
    assert all(one.recording.counters.events.sum() > 10_000 for one in passes.values())


def test_the_counts_of_all_forks_are_read():
    report = "==12== I   refs:      3,344,145,235\n==12== \n==345== I refs: 7\n"
    assert instructions.counts_of(report) == {12: 3344145235, 345: 7}


def test_without_valgrind_counting_is_skipped_with_a_word(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    monkeypatch.setattr(instructions.platform, "machine", lambda: "x86_64")
    assert instructions.main([]) == 0
    assert "skipped: valgrind is not installed" in capsys.readouterr().out
    monkeypatch.setattr(instructions.platform, "machine", lambda: "arm64")
    assert "x86-64" in instructions.unavailable()


class FakeSide:
    """Seconds that were thought of beforehand."""

    def __init__(self, seconds):
        self.left, self.asked = list(seconds), []

    def seconds(self, question):
        self.asked.append(question)
        return self.left.pop(0)


def test_two_versions_are_timed_in_turn():
    sides = {"before": FakeSide([4.0, 6.0, 5.0]), "now": FakeSide([2.0, 2.0, 5.0])}
    pairs = against.paired(sides, "rec 128: step", 3)
    assert pairs == [(4.0, 2.0), (6.0, 2.0), (5.0, 5.0)]
    assert against.row("rec 128", pairs) == {
        "workload": "rec 128", "before": 4000.0, "now": 2000.0, "minima": 2.0, "median": 2.0,
    }  # fmt: skip


def test_both_versions_take_the_same_steps():
    small = against.WORKLOADS["chain 5-3-2, batch 1"]
    drawn = (lambda: networks.yin_yang(3, n_samples=2), lambda: networks.recurrent(4, n_samples=1, duration=20.0))
    for build in (small, *drawn):
        task = build()
        against.step(task, forward=True)
        value, gradients = against.step(task, forward=False)
        assert np.isfinite(value) and set(gradients) == set(task.network.trainable)


def test_the_chain_is_small_and_all_of_it_fires():
    task = networks.chain()
    recording = simulate(task.network, task.parameters, task.batch, duration=task.duration, n_threads=1)
    assert [p.n for p in task.network.populations.values()] == [5, 3, 2] and task.n_samples == 1
    assert recording.spike_counts("hidden").all() and recording.counters.events.sum() < 100


def test_a_version_that_fails_says_why_and_leaves_nothing_running(tmp_path):
    (tmp_path / "eventsnn").mkdir()
    (tmp_path / "eventsnn" / "__init__.py").write_text("raise SystemError('this release is broken')\n")
    with against.Side(tmp_path, tmp_path / "cache") as side:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="(?s)'rec 128: step' ended .* this release is broken"):
                side.seconds("rec 128: step")
    with pytest.raises(KeyError), against.Side(ROOT, tmp_path / "cache") as other:
        raise KeyError
    assert [ended._process.poll() is None for ended in (side, other)] == [False, False]


def test_what_is_timed_is_asked_of_both_and_the_first_call_is_not_counted(capsys):
    sides = {"before": FakeSide([9.0, 4.0, 9.0, 6.0]), "now": FakeSide([9.0, 2.0, 9.0, 2.0])}
    rows = against.all_rows(sides, ["rec 128"], 1)
    assert [(found["workload"], found["minima"]) for found in rows] == [
        ("rec 128: forward", 2.0),
        ("rec 128: step", 3.0),
    ]
    assert sides["before"].asked == sides["now"].asked == ["rec 128: forward"] * 2 + ["rec 128: step"] * 2
    assert "rec 128: step: 3.000" in capsys.readouterr().err


def test_an_earlier_commit_is_unpacked_as_it_was(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    against.unpack("HEAD", tmp_path)
    assert (tmp_path / "eventsnn" / "__init__.py").exists() and not (tmp_path / "tests").exists()
    with pytest.raises(SystemExit):
        against.main([])


def test_the_microcircuit_has_its_published_synapses():
    # 0.3 billion between 77,169 neurons; to the cells of layer 4 most come from layer 4
    numbers = brains.synapse_numbers()
    assert sum(brains.CORTEX_SIZES.values()) == 77169
    assert 2.9e8 < numbers.sum() < 3.1e8 and numbers[2].argmax() == 2
    circuit = brains.microcircuit(duration=5.0, scale=0.005)
    assert abs(circuit.synapses.pre.size - 0.005 * numbers.sum()) < 0.01 * circuit.synapses.pre.size
    inhibitory = np.repeat(np.arange(8) % 2 == 1, list(circuit.sizes.values()))[circuit.synapses.pre]
    assert (circuit.synapses.weight[inhibitory] <= 0).all() and (circuit.synapses.weight[~inhibitory] >= 0).all()
    steps = circuit.synapses.delay / brains.STEP
    assert steps.min() >= 1 and np.allclose(steps, np.round(steps))


def test_synapses_of_one_pair_are_told_apart():
    pre, post = np.array([0, 0, 0, 1, 1, 2]), np.array([3, 3, 4, 4, 4, 0])
    parts = brain.layers_of_synapses(brains.Synapses(pre, post, post, post))
    assert [part.tolist() for part in parts] == [[0, 2, 3, 5], [1, 4]]


@pytest.mark.parametrize("beforehand", (True, False))
def test_spikes_from_outside_come_at_their_rate(beforehand):
    network = brains.balanced(duration=50.0, scale=0.05)
    times, neurons = network.outside()
    assert abs(times.size / (network.n_neurons * 50.0) - brains.BALANCED_DRIVE) < 0.1
    assert (np.diff(times) >= 0).all() and set(neurons) == set(range(network.n_neurons))
    run = brain.run_eventsnn(network, beforehand)
    assert run.seconds > 0 and run.times.size > 10


def test_brain_like_networks_come_out_without_nest(monkeypatch):
    monkeypatch.setattr(brain.importlib.util, "find_spec", lambda name: None)
    table = brain.brain_table("balanced", 1, {"duration": 20.0, "scale": 0.02})
    assert [row["simulator"] for row in table.rows] == ["eventsnn"] * 2
    assert "nest-simulator is not installed" in table.markdown() and table.rows[0]["spikes"] > 0


@pytest.mark.skipif(importlib.util.find_spec("nest") is None, reason="needs nest-simulator")
def test_nest_agrees_until_chance_parts_them():
    table = brain.brain_table("balanced", 1, {"duration": 50.0, "scale": 0.05})
    assert len(table.rows) == 6 and table.rows[2]["alike"] > 20
