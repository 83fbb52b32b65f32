"""Words that commands have in common: hints that can be copied into the shell that they are read in."""

import sys

from eventsnn.cli.text import program


def test_hints_name_the_command_so_that_a_shell_finds_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv/bin/eventsnn"), "train"])
    assert program() == ".venv/bin/eventsnn"
    monkeypatch.setattr(sys, "argv", ["/elsewhere/bin/eventsnn", "train"])
    assert program() == "/elsewhere/bin/eventsnn"
    monkeypatch.setattr(sys, "argv", ["__main__.py", "train"])
    assert program() == "eventsnn"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/eventsnn").touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin/eventsnn"), "train"])
    assert program() == "eventsnn"
