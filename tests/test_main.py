"""The command from its first moment: Ctrl-C before there is anything that could handle it."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import eventsnn
from eventsnn import __main__ as command

ROOT = Path(eventsnn.__file__).parents[1]
IMPORTING = """
import os, runpy, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[-1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["eventsnn", "presets", sys.argv[-1]]
runpy.run_module("eventsnn", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("module", ["eventsnn.cli", "numpy", "eventsnn.experiments", "tomllib"])
def test_ctrl_c_during_imports_is_a_line(module):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, module], capture_output=True, text=True, cwd=ROOT, timeout=300
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "eventsnn: interrupted\n")


def test_the_command_is_the_one_that_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["scripts"] == {"eventsnn": "eventsnn.__main__:main"}


def test_a_handler_of_ones_own_stays(monkeypatch, capsys):
    def own(*_):
        pass

    monkeypatch.setattr(sys, "argv", ["eventsnn", "presets"])
    before = signal.signal(signal.SIGINT, own)
    try:
        assert command.main() == 0
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)
    assert "spoken-digits" in capsys.readouterr().out
