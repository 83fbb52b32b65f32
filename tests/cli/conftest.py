"""What the tests of this folder share."""

import numpy as np
import pytest

from tests.cli.commands import TOML, train


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TOML)
    return str(path)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run with its controls, and what was printed is not looked at."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.toml").write_text(TOML)
    assert train(folder / "tiny.toml", "--out", folder / "run", "--controls") == 0
    return folder / "run"


@pytest.fixture
def spike_file(tmp_path, write_spike_file):
    points = [([0.002, 0.004, 0.010, 0.015], [0, 1, 2, 3])] * 6
    return write_spike_file(tmp_path / "points.h5", points, np.arange(6) % 3)
