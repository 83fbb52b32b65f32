"""Runs: what is finished is read, and what is not is gone on with."""

import os
import warnings
from pathlib import Path

import pytest
from filelock import FileLock

from eventsnn import experiments
from eventsnn.errors import CheckpointError, FileError, InvalidInput
from eventsnn.experiments import runs
from eventsnn.training import load_history
from tests.experiments.tiny import TINY


def test_an_untested_run_is_tested_later_without_more_training(tiny, tmp_path):
    preset, data = tiny
    first = runs.train(preset, data, tmp_path, test=False, progress=False, n_threads=1)
    assert first["accuracy"] is None and first["interval"] is None and first["n_test"] is None
    record = load_history(tmp_path / runs.CHECKPOINT).records[0]
    assert first["spikes_per_neuron"] == record["validation_spikes_per_neuron"] != record["spikes_per_neuron"]
    assert not list(tmp_path.glob("*.png"))
    assert runs.finished(preset, tmp_path) is None and runs.finished(preset, tmp_path, test=False) == first
    before = (tmp_path / runs.CHECKPOINT).read_bytes()
    second = runs.train(preset, data, tmp_path, progress=False, n_threads=1)
    assert 0 <= second["accuracy"] <= 1 and second["n_test"] == 1000
    assert second["validation_accuracy"] == first["validation_accuracy"]
    assert (tmp_path / runs.CHECKPOINT).read_bytes() == before
    assert runs.finished(preset, tmp_path) == second


def test_a_run_with_neither_test_nor_validation_counts_the_spikes_of_training(tmp_path):
    preset = experiments.change(experiments.named("yin-yang"), [*TINY, "data.validation_fraction=0"])
    result = runs.train(preset, experiments.load_data(preset), tmp_path, test=False, progress=False, n_threads=1)
    assert result["spikes_per_neuron"] == load_history(tmp_path / runs.CHECKPOINT).records[0]["spikes_per_neuron"] > 0
    assert runs.finished(preset, tmp_path, test=False) == result


def test_another_preset_is_not_finished_by_this_result(tiny, tmp_path):
    preset, data = tiny
    runs.train(preset, data, tmp_path, progress=False, n_threads=1)
    assert runs.finished(experiments.change(preset, ["training.seed=1"]), tmp_path) is None
    described = runs.read_json(tmp_path / runs.RESULT)
    described["preset"]["description"] = "in other words"
    del described["preset"]["network"]["input_synapses"]  # as before there were such
    runs.write_json(tmp_path / runs.RESULT, described)
    assert runs.finished(preset, tmp_path) == described
    runs.write_json(tmp_path / runs.RESULT, {**described, "preset": {"network": {"no_longer_known": 1}}})
    assert runs.finished(preset, tmp_path) is None
    assert runs.finished(preset, tmp_path / "nothing") is None


def test_the_result_is_written_and_reported_before_anything_is_drawn(tiny, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from eventsnn import plotting

    seen = []

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(plotting.training, "raster", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runs.train(*tiny, tmp_path, report=seen.append, progress=False, n_threads=1)
    assert seen == [runs.finished(tiny[0], tmp_path)] and not list(tmp_path.glob("*.png"))
    assert runs.train(*tiny, tmp_path, progress=False, n_threads=1) == seen[0]
    assert {path.name for path in tmp_path.glob("*.png")} == {"raster.png", "learning_curve.png", "delays.png"}


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), ValueError("too large"), MemoryError()])
def test_a_picture_that_fails_is_named_and_the_others_are_drawn(tiny, tmp_path, monkeypatch, fault):
    pytest.importorskip("matplotlib")
    from eventsnn import plotting

    def failing(*arguments, **settings):
        raise fault

    monkeypatch.setattr(plotting.training, "raster", failing)
    with pytest.warns(RuntimeWarning, match=r"raster.png: not drawn: \w+Error"):
        result = runs.train(*tiny, tmp_path, progress=False, n_threads=1)
    assert runs.finished(tiny[0], tmp_path) == result
    assert {path.name for path in tmp_path.glob("*.png")} == {"learning_curve.png", "delays.png"}


def test_whatever_size_files_may_have_a_run_is_whole_or_says_what_is_missing(tiny, tmp_path, no_file_beyond):
    pytest.importorskip("matplotlib")
    preset, data = tiny
    runs.train(preset, data, tmp_path / "whole", progress=False, n_threads=1)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "whole").iterdir()}
    wanted = {name for name, size in sizes.items() if size and name != "checkpoint.previous"}
    for place, limit in enumerate(sorted({max(0, size - 1) for size in sizes.values()})):
        folder, reported = tmp_path / f"run-{place}", []
        with warnings.catch_warnings(record=True) as said, no_file_beyond(limit):
            warnings.simplefilter("always")
            try:
                runs.train(preset, data, folder, report=reported.append, progress=False, n_threads=1)
            except (CheckpointError, FileError) as error:
                said.append(error)
                assert error.path and ("can still be loaded" in str(error)) == (folder / runs.CHECKPOINT).exists()
        left = {path.name for path in folder.iterdir()}
        for name in wanted - left:
            assert name in " ".join(str(getattr(item, "message", item)) for item in said) or "checkpoint" in str(
                said[-1]
            )
        assert bool(reported) == ("result.json" in left) == (runs.finished(preset, folder) is not None)
        assert left <= {*sizes, runs.LOCK, "checkpoint.previous"}, "something temporary is left"
        again = runs.train(preset, data, folder, progress=False, n_threads=1)
        assert again["accuracy"] == runs.read_json(tmp_path / "whole" / runs.RESULT)["accuracy"]
        assert wanted <= {path.name for path in folder.iterdir()}


def test_a_mode_that_cannot_be_is_refused_before_the_first_is_trained(tiny, tmp_path):
    preset, data = tiny
    reported = []
    with pytest.raises(InvalidInput, match="delays is 'recurrent'"):
        runs.train_all(preset, data, tmp_path / "r", modes=["learned", "recurrent"], seeds=[0], report=reported.append)
    assert not reported and not (tmp_path / "r").exists()


def test_controls_that_cannot_be_are_not_looked_for(tiny, tmp_path):
    # fixed delays on a grid need no longest delay, learned ones do
    changes = [
        "grid.dt=1",
        "loss.kind=mean_voltage",
        "loss.delta=1.0",
        "network.output=readout",
        "training.average=none",
    ]
    preset = experiments.change(tiny[0], ["delays=fixed", "training.silent_raise=0", *changes])
    assert experiments.control_modes(preset) == ["none"]
    found = runs.train_all(
        preset, tiny[1], tmp_path / "r", modes=["fixed"], seeds=[0, 1], report=lambda result: None, progress=False
    )
    assert list(found) == ["fixed"] and (tmp_path / "r" / "comparison.json").exists()


def test_what_would_be_refused_today_is_read_from_a_finished_run(tiny):
    described = experiments.change(tiny[0], []).to_dict()
    described["optimizer"]["max_delay"] = 2.0  # below its delays, which were cut off without a word
    with pytest.raises(InvalidInput, match="optimizer.max_delay"):
        experiments.from_dict(described)
    assert runs.preset_of({"notes": {"preset": described}}, "a run").optimizer.max_delay == 2.0


def test_a_folder_in_which_another_process_trains_is_left_alone(tiny, tmp_path):
    preset, data = tiny
    with FileLock(str(tmp_path / runs.LOCK)):
        with pytest.raises(CheckpointError, match="another process is training in this folder"):
            runs.train(preset, data, tmp_path, progress=False, n_threads=1)
        assert [path.name for path in tmp_path.iterdir()] == [runs.LOCK]
    assert runs.train(preset, data, tmp_path, progress=False, n_threads=1)["epochs"] == 1


def test_a_checkpoint_without_a_preset_is_refused_in_words():
    with pytest.raises(InvalidInput, match="eventsnn train"):
        runs.preset_of({"notes": {}}, "somewhere")


def test_the_sample_of_spoken_words_trains(tmp_path):
    path = Path(os.environ.get("EVENTSNN_DATA", "")) / "ssc_sample.h5"
    if not path.is_file():
        pytest.skip("ssc_sample.h5 is not in a folder named by the environment variable EVENTSNN_DATA")
    changes = [
        f"data.train={path}", f"data.test={path}", "data.validation=none", "data.validation_fraction=0.2",
        "network.hidden=[16]", "training.epochs=2",
    ]  # fmt: skip
    preset = experiments.change(experiments.named("ssc"), changes)
    result = runs.train(preset, experiments.load_data(preset), tmp_path / "run", progress=False, n_threads=1)
    assert result["epochs"] == 2 and result["n_test"] == 300 and 0 <= result["accuracy"] <= 1
