"""Flat files: one long row of times and units, as a stream writes it; what is wrong in one is said by name."""

import json

import h5py
import numpy as np
import pytest

from eventsnn import Network, Normal, SpikeBatch, Uniform, data, experiments, stream
from eventsnn.cli import main
from eventsnn.data import Dataset, hdf5, sources
from eventsnn.data.readers import flat
from eventsnn.errors import InvalidInput, UnsafeFile

PLAIN = {"times": [3.0, 1.5, 1.5, 20.25, 7.0], "units": [0, 2, 1, 1, 3], "offsets": [0, 3, 3, 5], "labels": [1, 0, 2]}


def written(path, **changes):
    with h5py.File(path, "w") as file:
        for name, values in (PLAIN | changes).items():
            if values is not None:
                file[name] = values
    return path


@pytest.fixture
def path(tmp_path):
    return written(tmp_path / "flat.h5")


def test_samples_are_sorted_and_keep_their_labels(path):
    found = flat.read(path)
    assert [found.spikes[k].times.tolist() for k in range(3)] == [[1.5, 1.5, 3.0], [], [7.0, 20.25]]
    assert [found.spikes[k].units.tolist() for k in range(3)] == [[1, 2, 0], [], [3, 1]]
    assert (found.labels.tolist(), found.n_units, found.n_classes, found.duration) == ([1, 0, 2], 4, 3, 21.0)
    assert found.name == "flat"
    given = flat.read(path, 10, 5, 50.0, "mine", time_unit="us")
    assert (given.n_units, given.n_classes, given.duration, given.name) == (10, 5, 50.0, "mine")
    assert given.spikes[2].times.tolist() == [0.007, 0.02025]


def test_without_offsets_and_labels_a_file_is_one_sample_of_one_class(tmp_path):
    found = flat.read(written(tmp_path / "x.h5", offsets=None, labels=None))
    assert len(found) == 1 and found.labels.tolist() == [0] and found.n_classes == 1
    empty = flat.read(written(tmp_path / "y.h5", times=np.zeros(0), units=np.zeros(0, int), offsets=None, labels=None))
    assert len(empty) == 1 and empty.spikes.n_spikes == 0 and (empty.n_units, empty.duration) == (1, 1.0)


def test_what_a_stream_has_written_is_read_back(tmp_path):
    network = Network()
    network.add_input("in", 5)
    network.add_lif("hidden", 6)
    network.connect("in", "hidden", weight=Normal(3.0, 1.0), delay=Uniform(0, 5))
    batch = SpikeBatch.from_lists([(np.linspace(0.0, 190.0, 60), np.arange(60) % 5)])
    times, units = [], []
    with h5py.File(tmp_path / "s.h5", "w") as file:
        stored = {
            name: file.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(16,), compression="gzip")
            for name, kind in (("times", "f8"), ("units", "i4"))
        }
        for part in stream(network, network.initialize(0), batch, duration=200.0, every=50.0, engine="reference"):
            for name, values in zip(stored, part.spikes("hidden", 0), strict=True):
                n = stored[name].size
                stored[name].resize(n + values.size, axis=0)
                stored[name][n:] = values
            times += part.spikes("hidden", 0)[0].tolist()
            units += part.spikes("hidden", 0)[1].tolist()
    found = sources.read(tmp_path / "s.h5", n_units=6, duration=200.0)
    assert len(times) > 20 and found.spikes[0].times.tolist() == times and found.spikes[0].units.tolist() == units


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"times": [3.0, -1.0, 1.5, 20.0, 7.0]}, r"times\[1\] is -1.0; allowed: finite times >= 0"),
        ({"times": [3.0, np.nan, 1.5, 20.0, 7.0]}, r"times\[1\] is nan"),
        ({"units": [0, 2, -1, 1, 3]}, r"units\[2\] is -1; allowed: channels from 0 to"),
        ({"units": [0, 2, 1]}, r"units is 3; allowed: as many as times \(5\)"),
        ({"units": [0.0, 2.0, 1.0, 1.0, 3.0]}, "units is .*float64.*; allowed: one row of integers"),
        ({"times": [[3.0]]}, r"times is .*shape \(1, 1\).; allowed: one row of numbers"),
        ({"offsets": [0, 3, 2, 5]}, "offsets is .*; allowed: numbers that do not fall"),
        ({"offsets": [0, 3, 3, 9]}, "from 0 to the number of spikes, 5"),
        ({"labels": [0, 1]}, "labels is 2; allowed: one for each of the 3 samples"),
        ({"labels": [0, -1, 1]}, r"labels\[1\] is -1"),
        ({"labels": [0, 10**6, 1]}, r"labels\[1\] is 1000000"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, words):
    with pytest.raises(InvalidInput, match=words):
        flat.read(written(tmp_path / "x.h5", **changes))


def test_limits_that_are_given_are_kept(path):
    with pytest.raises(InvalidInput, match=r"units\[4\] is 3; allowed: channels from 0 to 2"):
        flat.read(path, n_units=3)
    with pytest.raises(InvalidInput, match=r"labels\[2\] is 2; allowed: classes from 0 to 1"):
        flat.read(path, n_classes=2)
    with pytest.raises(InvalidInput, match="n_units is 0"):
        flat.read(path, n_units=0)


def test_files_that_point_elsewhere_or_claim_too_much_are_refused(tmp_path, monkeypatch):
    with h5py.File(written(tmp_path / "link.h5", units=None), "a") as file:
        file["units"] = h5py.ExternalLink("other.h5", "units")
    assert flat.recognises(tmp_path / "link.h5")
    with pytest.raises(UnsafeFile, match="external link"):
        flat.read(tmp_path / "link.h5")
    with h5py.File(written(tmp_path / "large.h5", times=None, offsets=None, labels=None), "a") as file:
        file.create_dataset("times", (2**40,), "f8", chunks=(1024,), compression="gzip")
    with pytest.raises(UnsafeFile, match="claims the shape"):
        flat.read(tmp_path / "large.h5")
    whole = written(tmp_path / "whole.h5").read_bytes()
    for end in range(0, len(whole), 97):
        (tmp_path / "cut.h5").write_bytes(whole[:end])
        flat.recognises(tmp_path / "cut.h5")
        with pytest.raises((InvalidInput, UnsafeFile)):
            flat.read(tmp_path / "cut.h5")


def test_info_says_what_a_flat_file_holds(path, capsys):
    assert main(["info", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(sources.describe(path)))
    assert (found["samples"], found["spikes"], found["n_units"], found["samples_per_class"]) == (3, 5, 4, [1, 1, 1])
    assert found["duration"] == {"min": 0.0, "mean": pytest.approx(23.25 / 3), "max": 20.25}
    assert found["rates"][1] == pytest.approx(2 / 0.02325) and found["time_unit"] == "ms"
    assert main(["info", str(path)]) == 0
    assert "time unit    ms" in capsys.readouterr().out


def test_presets_and_evaluate_read_flat_files(tmp_path, capsys):
    rng = np.random.default_rng(0)
    names = [str(tmp_path / f"{name}.h5") for name in ("train", "test")]
    for name in names:
        labels = np.arange(12) % 2
        samples = [rng.uniform(0, 20, 6) + 20 * label for label in labels]
        written(
            name, times=np.concatenate(samples), units=rng.integers(0, 4, 72), offsets=np.arange(13) * 6, labels=labels
        )
    settings = {
        "name": "flat", "data": {
            "source": "files", "train": names[0], "test": names[1], "n_units": 4, "duration": 50.0,
            "validation_fraction": 0.0,
        },
        "network": {"hidden": [], "recurrent": False, "input_weight": [0.0, 0.1], "output_weight": [0.0, 0.1]},
        "training": {"epochs": 1, "batch_size": 6},
    }  # fmt: skip
    preset = experiments.from_dict(settings)
    train, validation, test = experiments.load_data(preset)
    assert validation is None and len(train) == len(test) == 12 and train.n_classes == 2
    from eventsnn.experiments import runs

    runs.train(preset, (train, validation, test), tmp_path / "run", progress=False, n_threads=1)
    assert main(["evaluate", str(tmp_path / "run"), "--data", names[1], "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    assert whole["loss"] == pytest.approx(json.loads(capsys.readouterr().out)["loss"])


def test_each_layout_knows_its_own_files(path, tmp_path):
    shd = tmp_path / "shd.h5"
    hdf5.write(shd, Dataset(SpikeBatch.from_lists([([1.0], [0])]), np.array([0]), 1, 1, 2.0))
    (tmp_path / "text.h5").write_text("no HDF5")
    assert [sources.reader_of(place) for place in (path, shd)] == [flat, hdf5]
    known = {place: [name for name, reader in sources.FORMATS.items() if reader.recognises(place)]
             for place in (path, shd, tmp_path / "text.h5", tmp_path / "absent.h5", tmp_path)}  # fmt: skip
    assert list(known.values()) == [["flat"], ["shd"], [], [], []]
    with pytest.raises(UnsafeFile, match="no HDF5 file"):
        sources.read(tmp_path / "text.h5")
    assert sources.read(shd).labels.tolist() == data.hdf5.read(shd).labels.tolist()
