"""Sweeps: every setting is tried once, by however many processes, judged on validation alone, and never lost."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from eventsnn import experiments
from eventsnn.cli import main
from eventsnn.cli.text import FAILED
from eventsnn.errors import FileError, InvalidInput
from eventsnn.experiments import runs, sweeping
from eventsnn.experiments.axes import Axis, read_axis
from eventsnn.experiments.sweeping import Sweep, SweepError

optuna = pytest.importorskip("optuna")
ROOT = Path(__file__).resolve().parents[2]
TINY = ["data.samples=60", "network.hidden=[4]", "training.epochs=2"]
RATES = "optimizer.learning_rate=1e-3,1e-2"


@pytest.fixture
def tiny():
    return experiments.change(experiments.named("yin-yang"), TINY)


DIGITS = ("--set", "data.source=spoken-digits")


def sweep(*arguments):
    return main(["sweep", "yin-yang", "--set", *TINY, "--threads", "1", "--quiet", *map(str, arguments)])


def finished(folder):
    return optuna.load_study(study_name="sweep", storage=journal(folder)).get_trials(
        states=(optuna.trial.TrialState.COMPLETE,)
    )


def journal(folder):
    from optuna.storages.journal import JournalFileBackend

    return optuna.storages.JournalStorage(JournalFileBackend(str(folder / "study.journal")))


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("a.b=1,2", Axis("a.b", ("1", "2"))),
        ("a=[1],[2, 3]", Axis("a", ("[1]", "[2, 3]"))),
        ("delays=learned", Axis("delays", ("learned",))),
        ("a=[[0,1],[1,0]],none", Axis("a", ("[[0,1],[1,0]]", "none"))),
        ("a=1..8", Axis("a", low=1, high=8)),
        ("a=1..8.5", Axis("a", low=1.0, high=8.5)),
        ("a=0.5..8", Axis("a", low=0.5, high=8.0)),
        ("a=-3..-1", Axis("a", low=-3, high=-1)),
        ("a=log:1e-4..1e-2", Axis("a", low=1e-4, high=1e-2, log=True)),
    ],
)
def test_an_axis_is_read_from_text(text, axis):
    found = read_axis(text)
    assert found == axis and type(found.low) is type(axis.low)


@pytest.mark.parametrize("text", ["a", "a=", "=1,2", "a=1,,2", "a=1,1", "a=2..1", "a=x..1", "a=log:0..1", "a=1..inf"])
def test_an_axis_that_is_none_is_refused(text):
    with pytest.raises(InvalidInput, match="--vary"):
        read_axis(text)


def test_every_combination_is_tried_once_with_every_seed(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    arguments = ("--vary", RATES, "training.batch_size=10,20", "--seeds", 0, 1, "--out", tmp_path / "s")
    assert sweep(*arguments) == 0
    first = capsys.readouterr().out
    found = finished(tmp_path / "s")
    tried = {(trial.params["optimizer.learning_rate"], trial.params["training.batch_size"]) for trial in found}
    assert (tmp_path / "s" / "sweep.png").stat().st_size > 1000
    assert len(found) == 4 and tried == {(rate, size) for rate in ("1e-3", "1e-2") for size in ("10", "20")}
    for trial in found:
        shares = [run["validation_accuracy"] for run in trial.user_attrs["runs"]]
        assert len(shares) == 2 and trial.value == pytest.approx(sum(shares) / 2)
    best = max(found, key=lambda trial: trial.value)
    assert f"optimizer.learning_rate={best.params['optimizer.learning_rate']}" in first.splitlines()[-1]
    assert first.splitlines()[-1].startswith("best on validation: eventsnn train yin-yang --set ")
    assert sweep(*arguments) == 0  # again: nothing is left to do
    assert capsys.readouterr().out == first and len(finished(tmp_path / "s")) == 4


def test_the_test_set_stays_closed(tmp_path, write_spike_file):
    samples = [([0.001 * (1 + sample % 3), 0.004], [sample % 3, 3]) for sample in range(40)]
    path = write_spike_file(tmp_path / "train.h5", samples, [sample % 3 for sample in range(40)])
    description = {
        "base": "yin-yang",
        "data": {"source": "files", "train": path, "test": "absent.h5", "n_units": 4, "duration": 40},
        "network": {"hidden": [4]},
        "training": {"epochs": 2},
    }
    preset = experiments.from_dict(description)
    Sweep(preset, [RATES], tmp_path / "s", seeds=[0]).run(n_threads=1, progress=False)
    result = json.loads((tmp_path / "s" / "trial-000" / "result.json").read_text())
    assert result["accuracy"] is None and 0 < result["validation_accuracy"] < 1
    with pytest.raises(InvalidInput, match="absent.h5"):
        experiments.load_data(preset)


def test_ranges_are_sampled_and_the_first_trials_repeat(tmp_path, capsys):
    vary = ("--vary", "optimizer.learning_rate=log:1e-4..1e-1", "training.batch_size=10..30", "--trials", 3)
    for name in ("a", "b"):
        assert sweep(*vary, "--prune", "--out", tmp_path / name) == 0
    first, second = (finished(tmp_path / name) for name in ("a", "b"))
    assert [trial.params for trial in first] == [trial.params for trial in second] and len(first) == 3
    for trial in first:
        assert 1e-4 <= trial.params["optimizer.learning_rate"] <= 1e-1
        assert trial.params["training.batch_size"] in range(10, 31)
    assert len({trial.params["optimizer.learning_rate"] for trial in first}) == 3


def test_an_interrupted_trial_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    arguments = ("--vary", RATES, "--seeds", 0, 1, "--out", tmp_path / "s")
    train, calls = runs.train, []

    def interrupted(preset, data, folder, **settings):
        calls.append(folder)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(preset, data, folder, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", interrupted)
        assert sweep(*arguments) == 130
    assert "To resume: eventsnn sweep yin-yang" in capsys.readouterr().err
    kept = (calls[0] / "checkpoint").read_bytes()
    assert sweep(*arguments) == 0
    assert len(finished(tmp_path / "s")) == 2
    assert (calls[0] / "checkpoint").read_bytes() == kept, "a finished seed was trained again"
    assert {path.name for path in (tmp_path / "s").iterdir() if path.is_dir()} == {"trial-000", "trial-001"}


def test_what_a_killed_process_had_begun_is_taken_up(tmp_path, tiny):
    program = (
        "import os; from eventsnn import experiments; from eventsnn.experiments import runs, sweeping\n"
        "runs.train = lambda *a, **k: os._exit(9)\n"
        f"preset = experiments.change(experiments.named('yin-yang'), {TINY})\n"
        f"sweeping.Sweep(preset, [{RATES!r}], {str(tmp_path / 's')!r}, seeds=[0]).run(progress=False)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 9
    Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]).run(n_threads=1, progress=False)
    assert sorted(trial.params["optimizer.learning_rate"] for trial in finished(tmp_path / "s")) == ["1e-2", "1e-3"]


def rates(folder):
    return sorted(trial.params["optimizer.learning_rate"] for trial in finished(folder))


def test_a_trial_is_taken_up_as_soon_as_its_process_is_killed(tmp_path, tiny):
    """Others that are at work need not be started again, and leave alone what is trained elsewhere."""
    killed, other = (Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]) for _ in range(2))
    taken, lock = killed.next_trial(killed.open())
    study = other.open()
    second, other_lock = other.next_trial(study)
    assert second.number != taken.number and other.next_trial(study) is None
    lock.release()  # as the operating system does
    third, third_lock = other.next_trial(study)
    assert third.user_attrs["folder"] == taken.user_attrs["folder"] != second.user_attrs["folder"]
    other_lock.release()
    third_lock.release()
    other.run(n_threads=1, progress=False)
    assert rates(tmp_path / "s") == ["1e-2", "1e-3"]


def test_nothing_is_lost_where_a_process_is_killed_between_two_entries(tmp_path, tiny):
    sweep = Sweep(tiny, [RATES], tmp_path / "s", seeds=[0])
    study = sweep.open()
    study.ask()  # killed before it said a word of it
    asked = study.ask()
    place = {"folder": asked.user_attrs["folder"], "settings": asked.user_attrs["settings"]}
    study.enqueue_trial(place["settings"], user_attrs=place)  # killed before it gave the trial up
    sweep.run(n_threads=1, progress=False)
    assert rates(tmp_path / "s") == ["1e-2", "1e-3"] and len(sweep.rows()) == 2


def test_two_processes_may_put_one_trial_back(tmp_path, tiny):
    sweep = Sweep(tiny, [RATES], tmp_path / "s", seeds=[0])
    study = sweep.open()
    running = study.trials[study.ask().number]
    for _ in range(2):
        sweeping._put_back(study, running)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING", "WAITING"]


def test_a_pruned_trial_is_a_row_and_never_the_best(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(optuna.pruners.MedianPruner, "prune", lambda self, study, trial: trial.number == 0)
    assert sweep("--vary", RATES, "--prune", "--out", tmp_path / "s") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "learning_rate=1e-2" in lines[1] and "%" in lines[1]
    assert "learning_rate=1e-3" in lines[2] and lines[2].endswith("pruned")
    assert lines[-1].endswith("optimizer.learning_rate=1e-2") and (tmp_path / "s" / "sweep.png").exists()


def test_two_processes_share_one_study(tmp_path):
    command = [sys.executable, "-m", "eventsnn", "sweep", "yin-yang", "--set", *TINY, "--quiet", "--threads", "1"]
    command += ["--vary", "optimizer.learning_rate=1e-3,2e-3,4e-3,8e-3", "--out", str(tmp_path / "s")]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    found = finished(tmp_path / "s")
    assert sorted(trial.params["optimizer.learning_rate"] for trial in found) == ["1e-3", "2e-3", "4e-3", "8e-3"]


@pytest.mark.parametrize(("key", "bad", "good"), [("max_spikes", 1, 10000000), ("average", 1.5, 0.9)])
def test_settings_that_break_a_run_are_a_row_and_not_the_end(tmp_path, capsys, key, bad, good):
    arguments = ("--vary", f"training.{key}={bad},{good}", "--out", tmp_path / "s")
    for _ in range(2):  # the second time nothing is left to do
        assert sweep(*arguments) == 0
        out = capsys.readouterr().out
        assert "failed: " in out and f"training.{key}={good}" in out.splitlines()[-1]


def test_values_that_contradict_each_other_are_a_row_and_not_the_end(tmp_path, capsys):
    # neither does alone: 5 ms is below the delays as they are, and 20 ms is what they are then
    axes = ("optimizer.max_delay=5,20", "network.input_delay=[0, 4],[0, 20]")
    arguments = ("--vary", *axes, "--set", *TINY, "network.output_delay=[0, 3]", "--out", tmp_path / "s")
    for _ in range(2):
        assert sweep(*arguments) == 0
        out = capsys.readouterr().out
        assert out.count("failed: network.input_delay is [0, 20]; allowed: delays up to") == 1
    assert len(finished(tmp_path / "s")) == 3


def test_too_few_samples_are_a_row_and_not_the_end(tmp_path, capsys):
    for _ in range(2):
        assert main([
            "sweep", "yin-yang", "--set", *TINY[1:], "--vary", "data.samples=1,60", "--out", str(tmp_path / "s"),
            "--threads", "1", "--quiet",
        ]) == 0  # fmt: skip
        assert "failed: data.samples is 1" in capsys.readouterr().out
    assert len(finished(tmp_path / "s")) == 1


def test_many_axes_are_not_judged_by_some_of_their_combinations(tmp_path, tiny, monkeypatch):
    axes = ["training.spike_strength=0,1", "training.spike_target=3..5", RATES]
    Sweep(tiny, axes, tmp_path, seeds=[0], trials=1)
    monkeypatch.setattr(sweeping, "MOST_COMBINATIONS", 3)
    Sweep(tiny, axes, tmp_path, seeds=[0], trials=1)
    Sweep(tiny, axes[1:], tmp_path, seeds=[0], trials=1)
    for wrong, message in (("network.hiden=1,2", "Did you mean 'hidden'"), ("data.source=shd,yin-yang", "data.source")):
        with pytest.raises(InvalidInput, match=message):
            Sweep(tiny, [*axes, wrong], tmp_path, seeds=[0], trials=1)


def test_data_that_are_missing_can_be_had_later(tmp_path, monkeypatch, capsys):
    def absent(preset, test):
        raise InvalidInput("data.train", None, "x.h5", "an existing file")

    arguments = ("--vary", "data.merge=1,2", "--out", tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr("eventsnn.experiments.sources.load_data", absent)
        assert sweep(*arguments) == FAILED
        assert "an existing file" in capsys.readouterr().err
    assert sweep(*arguments) == 0 and len(finished(tmp_path / "s")) == 2


def test_the_printed_command_is_one_that_train_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Sweep, "best", lambda self: ["training.spike_strength=0", "training.spike_target=3"])
    axes = ("training.spike_strength=0,1", "training.spike_target=3,5")
    assert sweep("--vary", *axes, "--out", tmp_path / "s") == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert "training.spike_strength=0" in line and "spike_target" not in line
    arguments = shlex.split(line.removeprefix("best on validation: eventsnn "))
    assert main([*arguments, "--out", str(tmp_path / "run"), "--quiet", "--threads", "1"]) == 0


def test_data_that_are_missing_are_an_error_and_no_trial(tmp_path, capsys):
    folder = tmp_path / "s"
    missing = ["--set", "data.source=braille", "data.train=absent.npz"]
    assert (
        main(["sweep", "yin-yang", *missing, "--vary", "training.batch_size=1,2", "--out", str(folder), "--quiet"])
        == FAILED
    )
    assert "absent.npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--vary", "optimizer.rate=1,2"], "learning_rate"),
        (["--vary", "training.spike_target=3,5"], "make a difference. training.spike_strength is 0."),
        (["--vary", RATES, "--set", "optimizer.learning_rate=1"], "optimizer.learning_rate is set twice"),
        (["--vary", "training.batch_size=1..9"], "--trials"),
        (["--vary", RATES, "--trials", "0"], "--trials"),
        (["--vary", RATES, "optimizer.learning_rate=1..2"], "each setting once"),
        (["--vary", RATES, "--set", "delays=learnt"], "Did you mean 'learned'?"),
        (["--vary", "training.seed=1,2"], "--seeds"),
        (["--vary", "data.validation_groups=[0],[1]", *DIGITS], "one sweep for each value"),
        (["--vary", "data={validation_groups=[0]},{validation_groups=[1]}", *DIGITS], "one sweep for each value"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_before_it_begins(arguments, word, tmp_path, capsys):
    assert sweep(*arguments, "--out", tmp_path / "s") == FAILED
    assert word in capsys.readouterr().err and not (tmp_path / "s").exists()


MANY = "training.batch_size=" + ",".join(map(str, range(10, 22)))


def settings_of(study):
    return sorted(trial.user_attrs["settings"]["training.batch_size"] for trial in study.trials)


def test_a_sweep_is_gone_on_with_wherever_the_disk_was_full(tmp_path, tiny, no_file_beyond):
    whole = Sweep(tiny, [MANY], tmp_path / "whole", seeds=[0]).open()
    size = (tmp_path / "whole" / sweeping.JOURNAL).stat().st_size
    for limit in range(50, size, size // 20):
        folder = tmp_path / f"s-{limit}"
        with no_file_beyond(limit), pytest.raises(FileError, match="study.journal: cannot be written: File too large"):
            Sweep(tiny, [MANY], folder, seeds=[0]).open()
        sweep = Sweep(tiny, [MANY], folder, seeds=[0])
        assert settings_of(sweep.open()) == settings_of(whole)
        assert {path.name for path in folder.iterdir() if path.is_file()} <= {sweeping.JOURNAL, sweeping.LOCK}


def test_a_disk_that_is_full_in_a_trial_leaves_it_to_be_gone_on_with(tmp_path, tiny, no_file_beyond, capsys):
    sweep = Sweep(tiny, [RATES], tmp_path / "s", seeds=[0])
    sweep.open()
    with no_file_beyond((tmp_path / "s" / sweeping.JOURNAL).stat().st_size + 300), pytest.raises(OSError):
        sweep.run(n_threads=1, progress=False)
    Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]).run(n_threads=1, progress=False)
    assert rates(tmp_path / "s") == ["1e-2", "1e-3"]


@pytest.mark.parametrize("whole", [False, True])
def test_what_was_torn_by_a_full_disk_is_put_aside_and_said(tmp_path, capsys, whole):
    arguments = ("--vary", RATES, "--out", tmp_path / "s")
    assert sweep(*arguments) == 0
    path, before = tmp_path / "s" / sweeping.JOURNAL, capsys.readouterr()
    assert "torn" not in before.err
    last = path.read_bytes().rindex(b"\n", 0, -1) + 1
    path.write_bytes(path.read_bytes()[: last + 30] + (b"\n" if whole else b""))
    assert sweep(*arguments) == 0
    said = capsys.readouterr()
    assert said.err.count("was torn") == 1 and f"put aside in {path}.torn-{last}, all before is kept" in said.err
    # of the last trial to end it was not known that it had: its result was read once more
    assert said.out == before.out.replace("\n1 ", "\n2 ") or said.out.splitlines()[-1] == before.out.splitlines()[-1]
    assert rates(tmp_path / "s") == ["1e-2", "1e-3"]


def test_a_damaged_line_is_named_and_what_is_said_helps(tmp_path, capsys):
    arguments = ("--vary", RATES, "--out", tmp_path / "s")
    assert sweep(*arguments) == 0
    path = tmp_path / "s" / sweeping.JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], lines[4].replace(b":", b";", 1), *lines[5:]]))
    capsys.readouterr()
    assert sweep(*arguments) == FAILED
    error = capsys.readouterr().err
    assert error.startswith(f"eventsnn: {path}, line 5: does not match its checksum. ")
    subprocess.run(error[error.index("truncate") :], shell=True, check=True)
    assert path.read_bytes() == b"".join(lines[:4])
    assert sweep(*arguments) == 0 and rates(tmp_path / "s") == ["1e-2", "1e-3"]


def test_a_journal_of_before_is_gone_on_with(tmp_path, tiny):
    path = tmp_path / "s" / sweeping.JOURNAL
    Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]).open()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [{key: value for key, value in record.items() if key not in ("at", "check")} for record in records]
    path.write_text("".join(json.dumps(record) + "\n" for record in kept))
    Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]).run(n_threads=1, progress=False)
    assert rates(tmp_path / "s") == ["1e-2", "1e-3"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"op_code": 8, "trial_id": 0, "user_attr": {"folder": "../../elsewhere"}}, "trial 0 has a folder that no"),
        ({"op_code": 8, "trial_id": 0, "user_attr": {"settings": 3}}, "trial 0 has settings that no"),
        (
            {"op_code": 9, "trial_id": 0, "system_attr": {"fixed_params": {RATES[:23]: "1"}}},
            "trial 0 has settings that",
        ),
        ({"op_code": 6, "trial_id": 0, "state": 1, "values": None, "datetime_complete": "2026-01-01"}, "trial 0 has"),
        ({"op_code": 2, "study_id": 0, "user_attr": {"sweep": []}}, "what its sweep varies"),
        ({"op_code": 77}, "cannot be carried out"),
        ({"op_code": 6, "trial_id": 0, "state": "x", "values": None}, "cannot be carried out"),
    ],
)
def test_records_that_no_sweep_has_written_are_refused(tmp_path, tiny, change, word):
    Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]).open()
    with open(tmp_path / "s" / sweeping.JOURNAL, "a") as file:
        file.write(json.dumps({"worker_id": "w", **change}) + "\n")
    with pytest.raises(FileError, match=word):
        Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]).open()


def test_a_trial_that_was_killed_between_its_results_and_its_end_is_no_row(tmp_path, tiny):
    sweep = Sweep(tiny, [RATES], tmp_path / "s", seeds=[0])
    study = sweep.open()
    trial, lock = sweep.next_trial(study)
    [axis.suggest(trial) for axis in sweep.axes]
    trial.set_user_attr("runs", [{key: 0.99 for key in sweeping.KEPT}])
    lock.release()
    assert sweep.best() is None and sweep.picture() is None and len(sweep.rows()) == 1
    sweep.run(n_threads=1, progress=False)
    assert rates(tmp_path / "s") == ["1e-2", "1e-3"] and len(sweep.rows()) == 2


def test_looking_at_a_sweep_writes_nothing(tmp_path, tiny):
    sweep = Sweep(tiny, [RATES], tmp_path / "s", seeds=[0])
    sweep.open()
    before = (tmp_path / "s" / sweeping.JOURNAL).read_bytes()
    sweep.rows(), sweep.best(), sweep.picture(), sweep.open()
    assert (tmp_path / "s" / sweeping.JOURNAL).read_bytes() == before


def test_another_sweep_in_the_same_folder_is_refused(tmp_path, tiny):
    Sweep(tiny, [RATES], tmp_path / "s", seeds=[0]).open()
    with pytest.raises(SweepError, match="seeds"):
        Sweep(tiny, [RATES], tmp_path / "s", seeds=[1]).open()
    with pytest.raises(SweepError, match="trials, prune"):
        Sweep(tiny, [RATES], tmp_path / "s", seeds=[0], trials=2, prune=True).open()


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert sweep("--vary", RATES, "--out", tmp_path / "s") == FAILED
    assert ".venv/bin/pip install -e '.[sweep]' in the checkout" in capsys.readouterr().err
