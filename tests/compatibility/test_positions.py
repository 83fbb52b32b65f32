"""What release 0.1.0 took by its place means the same there, or is refused there: never something else."""

import importlib.util
import warnings
from pathlib import Path

import pytest

from eventsnn import renamed
from eventsnn.surrogate.network import GridConnection, GridPopulation

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("fixtures_of_0_1_0", HERE / "make_fixtures.py")
release = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release)
LINES = (HERE / "positions_0_1_0.txt").read_text(encoding="utf-8").splitlines()
BEFORE = {name: placed.split() for name, _, placed in (line.partition(":") for line in LINES)}
# {name: {argument before: the same one now}}
SAME = {"data.hdf5.SpikeFile": {"milliseconds_per_unit": "time_unit"}, "runs.load": {"place": "path"}}


def agree(before, now):
    """Whether each place that both have is that of one argument."""
    return all(one == other for one, other in zip(before, now, strict=False))


def test_a_moved_argument_would_be_seen():
    assert agree(["a", "b"], ["a", "b", "c"]) and agree(["a", "b"], ["a"])
    assert not agree(["a", "b"], ["b", "a"]) and not agree(["a", "b"], ["a", "c", "b"])


@pytest.mark.parametrize("name", [name for name in BEFORE if name not in renamed.GONE])
def test_places_mean_what_they_meant(name):
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        now = release.positions([name])[name]
    assert agree([SAME.get(name, {}).get(argument, argument) for argument in BEFORE[name]], now), name


def test_the_list_is_that_of_the_release():
    names = (HERE / "names_0_1_0.txt").read_text(encoding="utf-8").split()
    assert len(BEFORE) > 300 and set(BEFORE) <= set(names)
    assert BEFORE["surrogate.network.GridPopulation"][-1] == "train"


def test_what_is_no_longer_taken_by_its_place_is_refused():
    GridPopulation("a", "lif", 3, {}, 1.0, "hard", True, train=("tau_mem",))
    with pytest.raises(TypeError, match="positional"):
        GridPopulation(*["a", "lif", 3, {}, 1.0, "hard", True, None, False, None, 0.0, 0.0], ("tau_mem",))
    with pytest.raises(TypeError, match="positional"):
        GridConnection("a->b", "a", "b", 1, 1, None, None, "synapse", None, 1, 0.0, ("weight",))
