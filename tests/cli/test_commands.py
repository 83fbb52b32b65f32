"""What all commands share: one line for a mistake, exit codes, output that nobody reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventsnn.cli import main
from eventsnn.cli.text import FAILED

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["presets"], ["presets", "yin-yang"], ["--version"], ["train", "--help"]])
def test_output_that_is_lost_is_said(arguments):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "eventsnn", *arguments]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == FAILED
    assert done.stderr == "eventsnn: standard output: cannot be written: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("arguments", [["presets"], ["presets", "sequence"], ["--help"], ["--version"]])
def test_a_reader_that_went_away_is_no_error(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "eventsnn", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_presets_are_listed_and_printed(capsys):
    assert main(["presets"]) == 0
    assert "spoken-digits-quick" in capsys.readouterr().out
    assert main(["presets", "sequence"]) == 0
    assert "[training]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["train", "spoken-digit"], "Did you mean 'spoken-digits'?"),
        (["train"], "name a preset"),
        (["train", "yin-yang", "--set", "training.epoch=1"], "Did you mean 'epochs'?"),
        (["evaluate", "absent"], "checkpoint"),
        (["plot", "absent"], "checkpoint"),
        (["presets", "x"], "spoken-digits"),
        (["train", "yin-yang", "--seed", "1", "--seeds", "2"], "not allowed with"),
        (["train", "yin-yang", "--set", "network.between_weight=1"], "because the network has no second hidden layer"),
        (["train", "yin-yang", "--controls", "recurrent"], "delays is 'recurrent'; allowed: learned, fixed or none"),
        (["sweep", "yin-yang"], "required: --vary"),
        (["train", "yin-yang", "--epochs", "1", "--set", "training.epochs=3"], "training.epochs is set twice"),
        (["train", "yin-yang", "--seeds", "0", "0"], "each seed once"),
        (["train", "yin-yang", "--controls", "learned"], "that is the run itself"),
        (["train", "yin-yang", "--threads", "0"], "--threads is 0"),
        (["fly"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_mistakes_are_one_clear_line_and_exit_code_2(argv, word, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == FAILED
    error = capsys.readouterr().err
    assert word in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_help_and_version_exit_with_0(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("eventsnn ")
    assert main(["train", "--help"]) == 0
    assert "--controls" in capsys.readouterr().out


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "eventsnn", "presets"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "yin-yang" in done.stdout
