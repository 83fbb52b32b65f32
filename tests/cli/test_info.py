"""The command info: what is in a file of spikes."""

import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.cli import main
from eventsnn.cli.text import FAILED
from eventsnn.data.sets.spoken_digits import find_spoken_digits


def test_info_as_table_and_as_json(spike_file, capsys):
    assert main(["info", spike_file]) == 0
    out = capsys.readouterr().out
    assert "samples      6" in out and "2 2 2" in out and "last spike   15 to 15 ms" in out
    assert main(["info", spike_file, "--json", "--units", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 6 and found["n_units"] == 5 and len(found["rates"]) == 5


def test_info_says_what_can_hardly_be_seconds_and_what_is_not_read(tmp_path, write_spike_file, capsys):
    path = write_spike_file(tmp_path / "ms.h5", [([100.5, 900.0], [0, 1])] * 2, [0, 1])
    with h5py.File(path, "a") as file:
        file["extra/pairs"] = np.zeros(2, [("x", "f4"), ("y", "f4")])
        file["\x1b[2J"] = np.zeros(2)
        for k in range(12):
            file[f"link{k:02}"] = h5py.SoftLink("/labels")
    assert main(["info", path]) == 0
    out = capsys.readouterr().out
    assert "time unit    taken as s, but they reach 900, and few samples last longer than 20 s: say --time-unit" in out
    assert "not read     extra/pairs has elements of compound type" in out
    assert "not read     '\\x1b[2J' is no part of the layout" in out and "\x1b" not in out
    assert "not read     link07 is a soft link" in out and "and 4 more" in out
    assert main(["info", path, "--time-unit", "ms"]) == 0
    out = capsys.readouterr().out
    assert "last spike   900 to 900 ms" in out and "time unit    ms\n" in out
    assert main(["info", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["time_doubt"] and len(found["ignored"]) == 14
    assert main(["info", path, "--units", "0"]) == FAILED
    assert "--units is 0" in capsys.readouterr().err


def test_info_finds_files_in_the_folder_of_data(spike_file, tmp_path, monkeypatch, capsys):
    path = Path(spike_file)
    monkeypatch.setenv("EVENTSNN_DATA", str(path.parent))
    monkeypatch.chdir(tmp_path / "..")
    assert main(["info", path.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(path)


def test_an_array_file_is_not_said_to_be_packed(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", a=[1.0])
    assert main(["info", str(tmp_path / "x.npz")]) == FAILED
    error = capsys.readouterr().err
    assert "NumPy" in error and "unpack it first" not in error
    assert main(["info", str(tmp_path)]) == FAILED
    assert "which is no file" in capsys.readouterr().err


def test_info_of_no_file_is_one_line(tmp_path, capsys):
    (tmp_path / "x.h5").write_bytes(b"nothing")
    for name in ("x.h5", "absent.h5"):
        assert main(["info", str(tmp_path / name)]) == FAILED
        error = capsys.readouterr().err
        assert error.startswith("eventsnn: ") and error.count("\n") == 1


@pytest.mark.skipif(shutil.which("xz") is None, reason="xz is not installed")
def test_a_packed_file_is_answered_with_the_command_that_unpacks_it(tmp_path, capsys):
    packed = tmp_path / "the digits.h5.xz"
    packed.symlink_to(find_spoken_digits() / "spoken_digits_test.h5.xz")
    assert main(["info", str(packed)]) == FAILED
    said = capsys.readouterr().err.partition("Unpack the digits.h5.xz first: ")[2]
    packed.unlink()
    shutil.copy(find_spoken_digits() / "spoken_digits_test.h5.xz", packed)
    subprocess.run(said, shell=True, check=True)
    assert main(["info", str(packed.with_suffix(""))]) == 0
    assert "samples      300" in capsys.readouterr().out and packed.exists()


def test_info_of_a_run_names_what_looks_at_it(run, capsys):
    for place in (run, run / "checkpoint.esn", run / "controls" / "none"):
        if place.is_dir():
            assert main(["info", str(place)]) == FAILED
            said = capsys.readouterr().err
            assert f"{place} is the folder of a run: `" in said and "info reads files of spikes" in said
            assert f" evaluate {place}`" in said and f" plot {place}`" in said


def test_info_of_another_folder_asks_for_a_file(tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == FAILED
    assert "an existing file" in capsys.readouterr().err
