"""The command plot: every picture, and what cannot be drawn."""

from pathlib import Path

import pytest

from eventsnn.cli import main
from eventsnn.cli.text import FAILED


def test_nothing_drawn_is_said_and_leaves_no_folder(run, tmp_path, capsys):
    none = run / "controls" / "none"
    assert main(["plot", str(none), "--what", "delays", "--out", str(tmp_path / "y")]) == FAILED
    assert "nothing to draw of delays" in capsys.readouterr().err
    assert main(["plot", str(run), "--what", "voltage", "--neurons", "99", "--out", str(tmp_path / "y")]) == FAILED
    assert "--neurons[0] is 99" in capsys.readouterr().err and not (tmp_path / "y").exists()


def test_what_cannot_be_drawn_is_refused_before_anything_is(run, tmp_path, capsys):
    alone = Path(run) / "controls" / "fixed"
    assert main(["plot", str(alone), "--what", "comparison", "--out", str(tmp_path / "x")]) == FAILED
    assert "nothing to compare" in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert main(["plot", str(tmp_path / "absent")]) == FAILED
    assert "is not there" in capsys.readouterr().err


def test_plot_writes_every_picture(run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    what = ["raster", "voltage", "adjoint", "delays", "curve"]
    assert main(["plot", str(run), "--what", *what, "--out", str(tmp_path / "pictures"), "--sample", "3"]) == 0
    written = capsys.readouterr().out.split()
    assert sorted(Path(name).name for name in written) == [
        "adjoint.png", "delays.png", "learning_curve.png", "raster.png", "voltage.png",
    ]  # fmt: skip
    assert all(Path(name).stat().st_size > 5000 for name in written)
    assert main(["plot", str(run), "--sample", "100000"]) == FAILED


def test_pictures_that_cannot_be_written_are_named_and_the_others_drawn(run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "pictures"
    (out / "raster.png").mkdir(parents=True)
    assert main(["plot", str(run), "--what", "raster", "delays", "--out", str(out)]) == FAILED
    said = capsys.readouterr()
    assert said.out == f"{out / 'delays.png'}\n"
    assert said.err == f"eventsnn: {out / 'raster.png'}: cannot be written: what is there is no regular file\n"


def test_a_damaged_comparison_is_named(run, tmp_path, capsys):
    (tmp_path / "comparison.json").write_bytes((run / "comparison.json").read_bytes()[:-9])
    assert main(["plot", str(tmp_path)]) == FAILED
    assert capsys.readouterr().err.startswith(f"eventsnn: {tmp_path / 'comparison.json'}: is damaged: ")


@pytest.mark.parametrize("what", ["raster", "voltage", "delays"])
def test_a_population_that_is_not_there_is_refused_whatever_is_drawn(run, tmp_path, capsys, what):
    out = tmp_path / "pictures"
    assert main(["plot", str(run), "--what", what, "--population", "hiden", "--out", str(out)]) == FAILED
    said = capsys.readouterr().err
    assert "--population is 'hiden'; allowed: one of [" in said and not out.exists()
    assert main(["plot", str(run), "--what", what, "--neurons", "0", "99", "--out", str(out)]) == FAILED
    assert "--neurons[1] is 99" in capsys.readouterr().err and not out.exists()


def test_a_small_population_is_drawn_whole(run, tmp_path):
    pytest.importorskip("matplotlib")
    place = ["--population", "output", "--out", str(tmp_path / "pictures")]
    assert main(["plot", str(run), "--what", "voltage", *place]) == 0
