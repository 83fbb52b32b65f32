"""Pictures: their kinds, files that do not fit, a missing matplotlib, no global state."""

import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")

from eventsnn import plotting
from eventsnn.errors import FileError, InvalidInput
from eventsnn.training import History
from tests.analysis.models import records


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "PNG"])
def test_a_picture_is_of_the_kind_that_its_name_ends_in(tmp_path, kind):
    path = plotting.learning_curve(History(records(2)), tmp_path / f"curve.{kind}")
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(starts[kind.lower()]) and len(list(tmp_path.iterdir())) == 1


def test_a_picture_of_no_kind_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"path is .*curve.xyz.*png"):
        plotting.learning_curve(History(records(2)), tmp_path / "curve.xyz")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_does_not_fit_is_named_and_leaves_nothing(tmp_path, no_file_beyond):
    (tmp_path / "curve.png").write_bytes(b"before")
    with no_file_beyond(3000), pytest.raises(FileError, match=r"curve.png: cannot be written: File too large"):
        plotting.learning_curve(History(records(2)), tmp_path / "curve.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("curve.png", b"before")]


def test_matplotlib_is_imported_on_first_use_and_its_absence_explained(monkeypatch, tmp_path):
    code = "import sys, eventsnn.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(plotting.PlotError, match=r"\.venv/bin/pip install -e '\.\[plot\]' in the checkout"):
        plotting.learning_curve(History(records(2)), tmp_path / "x.png")


def test_drawing_leaves_no_global_state(model, tmp_path):
    import matplotlib

    before = {key: matplotlib.rcParams[key] for key in plotting.STYLE}
    plotting.raster(model[3], 0, tmp_path / "raster.png")
    assert {key: matplotlib.rcParams[key] for key in plotting.STYLE} == before
    assert any(before[key] != value for key, value in plotting.STYLE.items())
