"""Files of release 0.1.0 are read, and what was stopped in it goes on to the end that the release came to itself.

The kernels may give other last bits than those of the release, on another processor or since they have become more
exact. Whether they do shows in the steps before the stop: where these are the same to the last bit, so must the end be;
where they are not, the end may be as far off as TOLERANCE.
"""

import json
import math
import shutil
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

from eventsnn import GridNetwork, Network, checkpoints, experiments
from eventsnn.data import hdf5
from eventsnn.experiments.runs import same_settings
from eventsnn.training import differences, load_history, load_model

FIXTURES = Path(__file__).parent / "release_0_1_0"
# steps of Adam do not grow with the gradients, so differences of 1e-16 in these stay below this for so few of them
TOLERANCE = 1e-12
# the version; what is this machine's; and budgets, whose default has changed and which change no result
INCIDENTAL = ("version", "peak_memory", "preset.training.max_spikes")

pytestmark = pytest.mark.filterwarnings("ignore:eventsnn:DeprecationWarning")


@pytest.fixture(scope="module")
def release(request):
    """The script that made the files: what it does with the release is done here with the names of that time."""
    return request.getfixturevalue("load_script")(Path(__file__).parent / "make_fixtures.py")


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    """Durations are among the bytes of a checkpoint."""
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)


def is_close(before, now):
    """Whether two descriptions are the same but for the last bits of numbers."""
    if isinstance(before, dict):
        return set(before) == set(now) and all(is_close(before[key], now[key]) for key in before)
    if isinstance(before, list):
        return len(before) == len(now) and all(map(is_close, before, now))
    if isinstance(before, float) and isinstance(now, float):
        return math.isclose(before, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(before) is type(now) and before == now


def check_same(before, now, exactly):
    """Check that two checkpoints are one, to the last byte or within TOLERANCE."""
    if exactly:
        assert now.read_bytes() == before.read_bytes()
        return
    (arrays, meta), (other_arrays, other_meta) = (checkpoints.load(path) for path in (before, now))
    assert is_close(meta, other_meta)
    assert list(arrays) == list(other_arrays)
    for name, array in arrays.items():
        assert array.dtype == other_arrays[name].dtype
        np.testing.assert_allclose(other_arrays[name], array, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


# ---------------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("name", ["events", "grid"])
def test_a_training_goes_on_to_the_end_that_the_release_came_to(name, release, tmp_path):
    make, stopped = release.TRAINERS[name], FIXTURES / f"{name}_stopped"
    again, resumed = tmp_path / "again", tmp_path / "resumed"
    assert not release.fit(make(again, callbacks=[release.StopAfter(release.STOP)]))
    exactly = again.read_bytes() == stopped.read_bytes()
    check_same(stopped, again, exactly)
    shutil.copy(stopped, resumed)
    assert release.fit(make(resumed), resume=True)
    check_same(FIXTURES / f"{name}_finished", resumed, exactly)


@pytest.mark.parametrize("name", ["events", "grid"])
def test_a_finished_training_is_read_and_gone_on_with(name, release, tmp_path):
    path = shutil.copy(FIXTURES / f"{name}_finished", tmp_path / "checkpoint")
    network, parameters, meta = load_model(path)
    arrays, _ = checkpoints.load(path)
    assert isinstance(network, GridNetwork if name == "grid" else Network)
    assert set(parameters) == {key.removeprefix("best/") for key in arrays if key.startswith("best/")}
    for key, values in parameters.items():
        np.testing.assert_array_equal(values, arrays[f"best/{key}"], strict=True)
    assert meta["duration"] == release.DURATION and list(meta["initial"]) == list(parameters)
    history = load_history(path)
    assert len(history) == release.EPOCHS and history.best_epoch in (1, 2)
    assert np.isfinite(history.column("validation_loss")).all()
    assert release.fit(release.TRAINERS[name](path), epochs=release.EPOCHS + 1, resume=True)
    assert load_history(path).records[: release.EPOCHS] == history.records and len(load_history(path)) == 3


def test_a_checkpoint_of_other_settings_is_refused_as_in_the_release(release, tmp_path):
    path = shutil.copy(FIXTURES / "events_stopped", tmp_path / "checkpoint")
    trainer = release.events(path)
    with pytest.raises(checkpoints.CheckpointError, match="train is not the same"):
        trainer.fit(release.dataset(1), release.dataset(100), epochs=2, resume=True)


@pytest.mark.parametrize(("name", "kind"), [("events", Network), ("grid", GridNetwork)])
def test_a_description_of_a_network_makes_the_network(name, kind, release):
    description = json.loads((FIXTURES / f"{name}_network.json").read_text(encoding="utf-8"))
    network = kind.from_dict(description)
    assert json.loads(json.dumps(network.to_dict())) == description
    made = release.TRAINERS[name](None).network
    assert network.fingerprint() == made.fingerprint()
    _, meta = checkpoints.load(FIXTURES / f"{name}_stopped")
    assert meta["network"] == description and meta["run"]["network"] == made.fingerprint()


# ------------------------------------------------------------------------------------------------- runs and sweeps


def test_a_run_goes_on_to_the_end_that_the_release_came_to(release, tmp_path):
    pytest.importorskip("matplotlib")
    whole = tmp_path / "whole"
    assert release.train_run(whole, callbacks=[release.StopAfter(release.STOP)]) is None
    resumed = shutil.copytree(FIXTURES / "run_stopped", tmp_path / "run")
    result = release.train_run(resumed)
    before = json.loads((FIXTURES / "run_finished" / "result.json").read_text(encoding="utf-8"))
    assert set(result) == set(before)
    for place, old, new in differences(before, result):
        assert place in INCIDENTAL or is_close(old, new), place
    # the preset stands in the checkpoint, with a default that has changed: the bytes are others, the numbers are not
    for name, folder in (("run_stopped", whole), ("run_finished", resumed)):
        (arrays, meta), (others, other_meta) = (
            checkpoints.load(place / "checkpoint") for place in (FIXTURES / name, folder)
        )
        for part in ("state", "network", "duration"):
            assert is_close(meta[part], other_meta[part])
        for key, values in arrays.items():
            np.testing.assert_allclose(others[key], values, rtol=TOLERANCE, atol=TOLERANCE, err_msg=key)


def test_a_finished_run_is_only_read(release, tmp_path):
    folder = shutil.copytree(FIXTURES / "run_finished", tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = release.train_run(folder)
    assert result == json.loads(before["result.json"])
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_sweep_goes_on_with_what_is_left(release, tmp_path):
    pytest.importorskip("optuna")
    folder = shutil.copytree(FIXTURES / "sweep_stopped", tmp_path / "sweep")
    first = (folder / "trial-000" / "checkpoint").read_bytes()
    sweep = release.sweep_of(folder)
    values = release.values_of(sweep.run(n_threads=1, progress=False))
    assert values == json.loads((FIXTURES / "sweep_values.json").read_text(encoding="utf-8"))
    assert (folder / "trial-000" / "checkpoint").read_bytes() == first, "a finished trial was trained again"
    assert [len(load_history(folder / trial / "checkpoint")) for trial in ("trial-000", "trial-001")] == [2, 2]
    assert sweep.best() == ["optimizer.learning_rate=1e-3"] and len(sweep.rows()) == 2


# ------------------------------------------------------------------------------------------------ settings and data


def test_settings_in_a_file_mean_what_they_meant(release):
    preset = experiments.load(FIXTURES / "settings.toml")
    described = json.loads((FIXTURES / "settings.json").read_text(encoding="utf-8"))
    assert preset.network.hidden == tomllib.loads(release.SETTINGS)["network"]["hidden"]
    assert {place for place, _, _ in differences(described, preset.to_dict())} == {"training.max_spikes"}


PRESETS = json.loads((FIXTURES / "presets.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PRESETS)
def test_a_named_preset_means_what_it_meant(name):
    assert name in experiments.names()
    with warnings.catch_warnings(action="error"):
        before = experiments.from_dict(PRESETS[name])
    assert same_settings(before.to_dict(), experiments.named(name))


def test_a_spike_file_is_read_as_it_was(release):
    with np.load(FIXTURES / "spikes.npz", allow_pickle=False) as before:
        found = release.read_spikes(FIXTURES / "spikes.h5")
        assert set(before) == set(found)
        for name in before:
            np.testing.assert_array_equal(found[name], before[name], strict=True)
    assert hdf5.describe(FIXTURES / "spikes.h5", n_units=12)
