"""The command train: runs, controls, seeds, interrupts, and how they go on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from eventsnn import checkpoints, experiments
from eventsnn.cli import main
from eventsnn.cli.text import FAILED
from eventsnn.cli.train import _with_controls
from eventsnn.experiments import runs
from eventsnn.training import Trainer, load_model
from tests.cli.commands import train

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED, TERMINATED = 130, 143  # 128 and the number of the signal, as shells have it
HANG = 600  # seconds after which a command is given up
FILES = """
delays = "none"
[data]
source = "files"
train = {0}
test = {0}
n_units = 4
duration = 200
validation_fraction = 0.25
[network]
hidden = [8]
input_weight = [3.0, 0.5]
output_weight = [1.0, 1.0]
[training]
epochs = 1
"""


def test_train_writes_result_checkpoint_and_pictures(run):
    pytest.importorskip("matplotlib")
    for name in ("checkpoint", "result.json", "learning_curve.png", "delays.png", "raster.png", "comparison.png"):
        assert (run / name).stat().st_size > 1000 or name.endswith("json"), name
    result = json.loads((run / "result.json").read_text())
    assert result["parameters"] == {"weights": 4 * 8 + 8 * 3, "delays": 4 * 8 + 8 * 3, "other": 0}
    assert result["n_test"] == 1000 and result["epochs"] == 2 and result["best_epoch"] in (1, 2)
    assert result["interval"][0] < result["accuracy"] < result["interval"][1]
    assert result["command"].startswith("eventsnn train ") and "--controls" in result["command"]
    assert result["minutes"] > 0


def test_controls_are_the_same_network_without_learned_delays(run):
    compared = json.loads((run / "comparison.json").read_text())
    assert list(compared) == ["learned", "fixed", "none"]
    assert [compared[mode]["parameters"]["delays"] for mode in compared] == [56, 0, 0]
    assert {compared[mode]["parameters"]["weights"] for mode in compared} == {56}
    for mode in ("fixed", "none"):
        network, _, meta = load_model(run / "controls" / mode / "checkpoint")
        assert meta["notes"]["preset"]["delays"] == mode
        assert not any(name.endswith("delay") for name in network.trainable)


def test_an_existing_folder_is_refused_without_resume(run, toml, capsys):
    before = (run / "checkpoint").read_bytes()
    assert train(toml, "--out", run) == FAILED
    error = capsys.readouterr().err
    assert error.startswith("eventsnn: ") and error.count("\n") == 1
    assert "--resume" in error and "--out" in error
    assert (run / "checkpoint").read_bytes() == before


def test_resume_of_a_finished_run_says_so_and_prints_the_result(run, capsys):
    assert main(["train", "--resume", "--out", str(run)]) == 0
    said = capsys.readouterr()
    assert "this run is finished" in said.err and "test accuracy" in said.out and "95 % interval" in said.out


def test_resume_without_a_run_is_refused(tmp_path, toml, capsys):
    assert train(toml, "--resume", "--out", tmp_path / "none") == FAILED
    assert "no run to resume" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_interrupted_and_resumed_is_the_whole_run(tmp_path, toml, run, capsys, monkeypatch):
    folder = tmp_path / "again"

    def interrupted(trainer, kind, values):
        if kind == "step" and values["step"] == 2:
            raise KeyboardInterrupt

    init = Trainer.__init__
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "__init__", lambda self, *a, **k: init(self, *a, **{**k, "callbacks": [interrupted]}))
        assert train(toml, "--out", folder) == INTERRUPTED
    error = capsys.readouterr().err
    assert "To resume: eventsnn train" in error and error.rstrip().endswith("--resume")
    assert checkpoints.load(folder / "checkpoint")[1]["state"]["step"] == 2
    assert train("--resume", "--out", folder) == 0
    first, second = (checkpoints.load(place / "checkpoint")[0] for place in (run, folder))
    assert first.keys() == second.keys()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_resume_with_another_setting_names_it(tmp_path, run, toml, capsys):
    assert train(toml, "--resume", "--out", run, "--set", "training.batch_size=7") == FAILED
    assert "training.batch_size: was 50 and is now 7. Resume with" in capsys.readouterr().err
    assert train(toml, "--resume", "--out", run, "--epochs", "3") == FAILED
    assert "training.epochs: was 2 and is now 3. Resume with" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_ctrl_c_and_sigterm_of_the_real_command(tmp_path, toml, number, status):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "eventsnn", "train", toml, "--out", str(folder), "--epochs", "5000"]
    child = subprocess.Popen(
        [*command, "--threads", "1", "--checkpoint-every", "1"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline and child.poll() is None:
        if (
            checkpoints.exists(folder / "checkpoint")
            and checkpoints.load(folder / "checkpoint")[1]["state"]["step"] > 3
        ):
            break
        time.sleep(0.02)
    child.send_signal(number)
    _, errors = child.communicate(timeout=HANG)
    assert child.returncode == status, errors
    assert "Traceback" not in errors and "To resume:" in errors and "fit(" not in errors
    assert checkpoints.load(folder / "checkpoint")[1]["state"]["step"] > 3


def test_ctrl_c_while_data_are_read_has_no_traceback(tmp_path, toml, monkeypatch, capsys):
    def interrupted(preset, test):
        raise KeyboardInterrupt

    monkeypatch.setattr("eventsnn.experiments.load_data", interrupted)
    assert train(toml, "--out", tmp_path / "a") == INTERRUPTED
    assert capsys.readouterr().err == "eventsnn: interrupted\n"
    assert not (tmp_path / "a").exists()


def test_seed_and_epochs_options(tmp_path, toml):
    assert train(toml, "--out", tmp_path / "a", "--epochs", 1, "--seed", 5, "--delays", "fixed") == 0
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    assert (result["epochs"], result["seed"], result["delays"]) == (1, 5, "fixed")


def test_several_seeds_are_summed_up(tmp_path, toml, capsys):
    folder = tmp_path / "a"
    assert train(toml, "--out", folder, "--epochs", 1, "--seeds", 3, 5, "--controls", "none") == 0
    out = capsys.readouterr().out
    assert "+-" in out and out.count("test samples") == 4
    found = json.loads((folder / "comparison.json").read_text())
    for mode, place in (("learned", "."), ("none", "controls/none")):
        results = [json.loads((folder / f"seed-{seed}" / place / "result.json").read_text()) for seed in (3, 5)]
        shares = [result["accuracy"] for result in results]
        assert [result["seed"] for result in results] == found[mode]["seeds"] == [3, 5]
        assert found[mode]["accuracy"] == pytest.approx(sum(shares) / 2)
        assert found[mode]["sd"] == pytest.approx(abs(shares[0] - shares[1]) / 2**0.5)
    assert train("--out", folder, "--seeds", 3, 5, "--resume") == 0  # preset and controls are in the checkpoint
    assert capsys.readouterr().out.count("test samples") == 4


def test_without_validation_the_last_epoch_counts(tmp_path, toml):
    folder = tmp_path / "a"
    path = tmp_path / "digits.toml"
    path.write_text(
        'base = "spoken-digits-quick"\n[data]\nsamples = 20\nvalidation_groups = []\nvalidation_fraction = 0\n'
        "[network]\nhidden = [4]\n[training]\nepochs = 2\n"
    )
    assert train(path, "--out", folder) == 0
    result = json.loads((folder / "result.json").read_text())
    assert result["best_epoch"] is None and result["validation_accuracy"] is None and result["epochs"] == 2
    assert main(["evaluate", str(folder), "--split", "validation"]) == FAILED
    pytest.importorskip("matplotlib")
    assert main(["plot", str(folder), "--split", "train", "--what", "raster"]) == 0


def test_a_warning_is_one_line(tmp_path, toml, capsys):
    assert train(toml, "--out", tmp_path / "a", "--set", "data.duration=15", "--epochs", 1) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "do not act" in line]
    assert all(line.startswith("eventsnn: warning: ") for line in lines)
    sets = [line.split(" input spikes of ")[1].split(" ")[0] for line in lines]
    assert sets[:2] == ["train", "validation"] and len(sets) == len(set(sets)) == 3  # and the set that is tested on


def test_a_missing_matplotlib_costs_no_result(tmp_path, toml, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train(toml, "--out", tmp_path / "a", "--epochs", 1) == 0
    assert ".venv/bin/pip install -e '.[plot]' in the checkout" in capsys.readouterr().err
    assert (tmp_path / "a" / "result.json").exists() and not list((tmp_path / "a").glob("*.png"))


def test_settings_are_chosen_without_the_test_set(tmp_path, toml, capsys, monkeypatch):
    asked = []
    load = experiments.load_data
    monkeypatch.setattr(experiments, "load_data", lambda preset, test=True: (asked.append(test), load(preset, test))[1])
    assert train(toml, "--out", tmp_path / "run", "--no-test", "--controls", "none") == 0
    said = capsys.readouterr().out
    assert said.count("\nvalidation ") == 2 and "test accuracy" not in said
    assert not (tmp_path / "run/comparison.json").exists()
    assert main(["evaluate", str(tmp_path / "run"), "--split", "validation"]) == 0
    assert train("--out", tmp_path / "run", "--resume") == 0
    assert asked == [False, False, False] and "test accuracy" not in capsys.readouterr().out
    assert train(toml, "--out", tmp_path / "run", "--controls", "none", "--resume") == 0
    assert "test accuracy" in capsys.readouterr().out and (tmp_path / "run/comparison.json").exists()


def test_a_run_without_validation_is_drawn_on_its_training_set(tmp_path, toml, capsys):
    pytest.importorskip("matplotlib")
    assert train(toml, "--out", tmp_path / "run", "--set", "data.validation_fraction=0") == 0
    capsys.readouterr()
    assert main(["plot", str(tmp_path / "run"), "--out", str(tmp_path / "pictures")]) == 0
    assert {path.name for path in (tmp_path / "pictures").iterdir()} >= {"raster.png", "voltage.png", "delays.png"}


def test_resume_is_as_it_was_and_may_add_controls(tmp_path, toml, capsys):
    folder = tmp_path / "run"
    assert train(toml, "--out", folder, "--seeds", 3, 4) == 0
    (folder / "seed-4/result.json").unlink()
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(folder)]) == 0
    assert "seed 3" in (said := capsys.readouterr().out) and "seed 4" in said
    for mode in ("fixed", "none"):
        assert train("--resume", "--out", folder, "--controls", mode) == 0
        assert json.loads((folder / "comparison.json").read_text())[mode]["command"].endswith(f"--controls {mode}")
    assert train("--resume", "--out", folder / "seed-3") == 0
    found = json.loads((folder / "comparison.json").read_text())
    assert set(found) == {"learned", "fixed", "none"} and all(item["seeds"] == [3, 4] for item in found.values())
    assert found["none"]["command"].endswith("--controls none") and "--controls" not in found["learned"]["command"]


@pytest.mark.parametrize(
    "before, asked, after",
    [
        ("train a", ["none"], "train a --controls none"),
        ("train a --controls fixed --out b", ["none", "fixed"], "train a --out b --controls fixed none"),
        ("train a --controls fixed", [], "train a --controls"),
    ],
)
def test_controls_are_added_to_a_command(before, asked, after):
    words = before.split()
    known = words[words.index("fixed") :][:1] if "fixed" in words else []
    assert _with_controls(words, [*known, *asked] if asked else []) == after.split()


def test_what_no_command_has_trained_is_resumed(tmp_path, toml):
    preset = experiments.load(toml)
    runs.train(preset, experiments.load_data(preset), tmp_path / "run", test=False, progress=False, n_threads=1)
    assert train("--resume", "--out", tmp_path / "run") == 0


def test_pictures_that_were_interrupted_are_drawn_when_the_run_is_resumed(tmp_path, toml, monkeypatch):
    pytest.importorskip("matplotlib")
    from eventsnn import plotting

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(plotting, "of_run", interrupted)
        assert train(toml, "--out", tmp_path / "run") == INTERRUPTED
    assert train("--resume", "--out", tmp_path / "run") == 0
    assert (tmp_path / "run/raster.png").exists()


def test_controls_may_be_chosen(toml, tmp_path):
    assert train(toml, "--out", tmp_path / "a", "--epochs", 1, "--controls", "none", "learned") == 0
    assert list(json.loads((tmp_path / "a" / "comparison.json").read_text())) == ["learned", "none"]


def test_a_run_goes_on_as_it_was_whatever_is_refused_today(toml, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        for place in ("presets", "building"):
            patch.setattr(f"eventsnn.experiments.{place}.checked", lambda preset: preset)
        patch.setattr("eventsnn.experiments.building.initialize", lambda preset, network: network.initialize())
        patch.setattr("eventsnn.training.trainer.check_within", lambda *arguments: None)
        patch.setattr("eventsnn.training.Trainer.evaluate", interrupted)
        again = ("--controls", "none", "--out", tmp_path / "a")
        assert train(toml, "--set", "optimizer.max_delay=2", *again) == INTERRUPTED
    assert train(toml, "--set", "optimizer.max_delay=2", "--out", tmp_path / "b") == FAILED
    assert "optimizer.max_delay" in capsys.readouterr().err
    assert train("--resume", "--out", tmp_path / "a") == 0
    assert main(["evaluate", str(tmp_path / "a"), "--threads", "1"]) == 0
    assert list(json.loads((tmp_path / "a" / "comparison.json").read_text())) == ["learned", "none"]


def test_what_is_refused_leaves_no_folder(toml, tmp_path, capsys):
    for change in ("network.input_sparsity=2", "network.input_delay=[400, 500]", "network.input_delay=['uniform', 3]"):
        assert train(toml, "--set", change, "--out", tmp_path / "refused") == FAILED
        assert change.partition("=")[0] in capsys.readouterr().err
        assert not (tmp_path / "refused").exists()


def test_times_in_ms_are_read_as_the_errors_say(run, tmp_path, write_spike_file, capsys):
    times, units, labels = [20.5, 21.5, 22.25, 23.0], [0, 1, 2, 3], np.arange(12) % 3
    in_ms = write_spike_file(tmp_path / "ms.h5", [(times, units)] * 12, labels)
    in_s = write_spike_file(tmp_path / "s.h5", [([time / 1000 for time in times], units)] * 12, labels)
    files = tmp_path / "files.toml"
    files.write_text(FILES.format(json.dumps(in_ms)))

    def evaluated(folder, *arguments):
        assert main(["evaluate", str(folder), "--json", "--threads", "1", *arguments]) == 0
        out, err = capsys.readouterr()
        return json.loads(out)["loss"], err

    assert train(files, "--out", tmp_path / "a") == FAILED
    said = re.search("Give (--set data.time_unit=ms) or =us, or =s if", capsys.readouterr().err)
    assert train(files, "--out", tmp_path / "a", *said[1].split()) == 0
    capsys.readouterr()
    loss, err = evaluated(tmp_path / "a", "--data", in_ms)
    assert f"the times in {in_ms} are taken as ms, as in the run's data; or say --time-unit" in err
    other, err = evaluated(tmp_path / "a", "--data", in_s, "--time-unit", "s")
    assert other == loss != pytest.approx(np.log(3)) and "taken as" not in err  # which it would be without spikes

    assert main(["evaluate", str(run), "--data", in_ms]) == FAILED
    said = re.search("Give (--time-unit ms) or us, or s if", capsys.readouterr().err)
    evaluated(run, "--data", in_ms, *said[1].split())
    assert main(["evaluate", str(run), "--time-unit", "ms"]) == FAILED
    assert "name it with --data" in capsys.readouterr().err


def test_interrupted_before_the_first_checkpoint(tmp_path, toml, monkeypatch, capsys):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "train_all", interrupted)
    assert main(["train", str(toml), "--out", str(tmp_path / "run")]) == INTERRUPTED
    assert "starts anew" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_costs_no_result(tmp_path, toml, capsys):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "run"
    assert train(toml, "--out", folder, "--no-test") == 0  # trained, but neither tested nor drawn
    for name in ("raster.png", "comparison.png"):
        (folder / name).mkdir()
    capsys.readouterr()
    assert train(toml, "--out", folder, "--controls", "none", "--resume") == 0
    said = capsys.readouterr()
    assert said.out.count("\ntest accuracy") == 2 and "test accuracy (%)" in said.out
    assert [line.partition(": cannot be written: ")[0] for line in said.err.splitlines()] == [
        f"eventsnn: warning: {folder / name}" for name in ("raster.png", "comparison.png")
    ]  # fmt: skip
    assert (folder / "delays.png").exists() and (folder / "result.json").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_progress_that_is_lost_costs_no_training(tmp_path, toml):
    command = [sys.executable, "-m", "eventsnn", "train", toml, "--out", str(tmp_path / "run"), "--threads", "1"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=full, text=True)
    assert done.returncode == 0 and "test accuracy" in done.stdout


def test_the_folder_of_a_run_is_told_how_to_go_on(run, capsys):
    assert main(["train", str(run)]) == FAILED
    said = capsys.readouterr().err
    assert f"{run} is the folder of a run: `" in said and f" train --resume --out {run}` goes on with it" in said
