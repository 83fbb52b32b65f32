"""Training checkpoints with right checksums and impossible contents are refused when they are loaded."""

import json

import numpy as np
import pytest

from eventsnn import Adam, InvalidInput, Network, SpikeBatch, Trainer, checkpoints, load_model
from eventsnn.data.dataset import Dataset
from eventsnn.errors import CheckpointError
from eventsnn.losses import MeanVoltage
from eventsnn.surrogate.network import GridNetwork
from eventsnn.training import load_history

DATA = Dataset(SpikeBatch.from_lists([([1.0, 2.0], [0, 1]), ([2.0], [1]), ([3.0], [0])]), [0, 1, 0], 2, 2, 20.0)


def described(make=Network):
    network = Network() if make is Network else GridNetwork(1.0)
    network.add_input("in", 2)
    network.add_lif("hidden", 3)
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=60.0, delay=1.0 if make is Network else None)
    network.connect("hidden", "out", weight=np.ones((3, 2)))
    return network


def trainer(path, make=Network, **settings):
    network = described(make)
    return Trainer(
        network, network.initialize(), loss=MeanVoltage(), optimizer=Adam(1e-3), checkpoint=path, progress=False,
        n_threads=1, **{"batch_size": 2, "average": 0.9, **settings},
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(path, arrays, meta) of a run of two epochs, stopped in the third."""
    path = tmp_path_factory.mktemp("run") / "checkpoint"

    def stop(trainer, kind, values):
        if kind == "step" and values["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(path, callbacks=[stop]).fit(DATA, DATA, epochs=3)
    return path, *checkpoints.load(path)


def changed(trained, folder, *, meta=(), arrays=None):
    """The path of a copy of the run with other entries; ``meta``: {"state.epoch": value}."""
    path, stored, description = trained
    description = json.loads(json.dumps(description))
    for place, value in dict(meta).items():
        *parents, last = place.split(".")
        inner = description
        for key in parents:
            inner = inner[int(key) if key.isdigit() else key]
        if value is KeyError:
            del inner[last]
        else:
            inner[last] = value
    checkpoints.save(folder / "checkpoint", {**stored, **(arrays or {})}, description)
    return folder / "checkpoint"


def refused(path):
    """The fields that resuming and, where it looks at them, loading refuse."""
    fields = []
    for load in (lambda: trainer(path).fit(DATA, DATA, epochs=3, resume=True), lambda: load_model(path)):
        try:
            load()
        except CheckpointError as error:
            assert str(path) in str(error)
            fields.append(error.field)
    return fields


def test_the_run_itself_goes_on_and_is_read(trained, tmp_path):
    path = changed(trained, tmp_path)
    assert refused(path) == []
    assert len(load_history(path)) == 3


IMPOSSIBLE = {
    "state.epoch": [-1, 1, 3, True, 2.0, "2", None, 10**30, KeyError],
    "state.batch": [-1, 0, 2, 10**6, None, KeyError],
    "state.step": [-1, 4, 6, 10**6, 5.0, float("nan"), KeyError],
    "state.stopped": [0, None, "no"],
    "state.best_epoch": [0, 3, None, 1.5],
    "state.best_score": [None, [], [1.0, 2.0, 3.0], ["a"], [float("nan")], 3.0],
    "state.history": [[], None, {}, [{}, {}], [3, 4]],
    "state.history.0.epoch": [2, None],
    "state.history.1.train_loss": ["low", [1.0]],
    "state.history.1.learning_rates": [3, {"in->hidden.weight": "high"}],
    "state.running": [None, [], {}, {"samples": 2}],
    "state.running.samples": [-1, 0.5, None],
    "state.running.correct": [3, -1],
    "state.running.loss": [float("nan"), float("inf"), "x"],
    "state": [None, [], {}, 3, KeyError],
}
CASES = [(place, value) for place, values in IMPOSSIBLE.items() for value in values]


@pytest.mark.parametrize(("place", "value"), CASES, ids=[f"{place} {value!r:.20}" for place, value in CASES])
def test_impossible_metadata_are_refused_by_all_who_read_them(trained, tmp_path, place, value):
    path = changed(trained, tmp_path, meta={place: value})
    assert len(refused(path)) == 2
    with pytest.raises(CheckpointError):
        load_history(path)


@pytest.mark.parametrize("value", [None, [], 3, {}, {"dt": 1.0}, {"dt": None, "populations": [3]}, KeyError])
def test_a_description_that_is_none_of_a_network(trained, tmp_path, value):
    with pytest.raises(CheckpointError, match="network"):
        load_model(changed(trained, tmp_path, meta={"network": value}))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("network.min_delay", -1.0),
        ("network.populations.1.n", 10**12),
        ("network.populations.1.n", "3"),
        ("network.populations.1.settings.tau_mem", {"kind": "constant", "value": -3.0}),
        ("network.populations.1.settings.tau_mem", {"kind": "magic"}),
        ("network.connections.0.pre", "nobody"),
        ("network.connections.1.weight.shape", [3, 10**15]),
        ("network.connections.0.indptr", [0, 9]),
        ("duration", -1.0),
        ("duration", "20"),
        ("notes", None),
    ],
)
def test_descriptions_that_cannot_be(trained, tmp_path, place, value):
    with pytest.raises(CheckpointError):
        load_model(changed(trained, tmp_path, meta={place: value}))


@pytest.mark.parametrize("group", ["parameters", "initial", "average", "best"])
@pytest.mark.parametrize("value", [np.full((2, 3), np.nan), np.ones((3, 2)), np.ones(6), np.ones((2, 3), complex)])
def test_parameters_that_the_network_cannot_have(trained, tmp_path, group, value):
    path = changed(trained, tmp_path, arrays={f"{group}/in->hidden.weight": value})
    assert refused(path) == [group, group]
    with pytest.raises(CheckpointError, match="in->hidden.weight"):
        load_model(path)


@pytest.mark.parametrize("value", [np.full((2, 3), -1.0), np.full((2, 3), np.inf)])
def test_delays_that_cannot_be(trained, tmp_path, value):
    assert refused(changed(trained, tmp_path, arrays={"parameters/in->hidden.delay": value})) == ["parameters"] * 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first/in->hidden.weight", np.zeros((3, 2))),
        ("first/in->hidden.weight", np.full((2, 3), np.nan)),
        ("first/in->hidden.weight", np.zeros((2, 3), np.float32)),
        ("second/in->hidden.delay", np.full((2, 3), -1.0)),
        ("second/in->hidden.delay", np.full((2, 3), np.inf)),
        ("velocity/in->hidden.weight", np.zeros((2, 3))),
        ("step", np.array(6)),
        ("step", np.array(-5)),
        ("step", np.array(5.0)),
        ("updates/in->hidden.weight", np.array(6)),
        ("clipped_steps", np.zeros(2, int)),
    ],
)
def test_a_state_that_the_optimiser_cannot_have(trained, tmp_path, name, value):
    path = changed(trained, tmp_path, arrays={f"optimizer/{name}": value})
    assert refused(path) == [f"optimizer/{name}"]


@pytest.mark.parametrize("value", [np.zeros(4, int), np.array([1, -1, 0]), np.zeros(3), np.array(3)])
def test_counts_of_spikes_that_cannot_be(trained, tmp_path, value):
    assert refused(changed(trained, tmp_path, arrays={"running/hidden": value})) == ["running/hidden"] * 2


def test_a_missing_moment_is_named(trained, tmp_path):
    path, arrays, meta = trained
    arrays = {name: value for name, value in arrays.items() if name != "optimizer/first/in->hidden.weight"}
    checkpoints.save(tmp_path / "checkpoint", arrays, meta)
    assert refused(tmp_path / "checkpoint") == ["optimizer/first/in->hidden.weight"]


def test_a_run_on_a_grid_is_checked_too(tmp_path):
    path = tmp_path / "checkpoint"
    trainer(path, GridNetwork).fit(DATA, epochs=1)
    arrays, meta = checkpoints.load(path)
    assert load_model(path)[0].fingerprint() == described(GridNetwork).fingerprint()
    checkpoints.save(path, {**arrays, "parameters/in->hidden.weight": np.full((2, 3), np.nan)}, meta, keep=1)
    for load in (load_model, lambda path: trainer(path, GridNetwork).fit(DATA, epochs=2, resume=True)):
        with pytest.raises(CheckpointError, match="parameters: in->hidden.weight.*is nan"):
            load(path)


def test_another_budget_of_spikes_is_no_other_run(trained, tmp_path):
    path = changed(trained, tmp_path, meta={"run.options.max_spikes": 10_000_000})  # the default of before
    assert len(trainer(path, max_spikes=500).fit(DATA, DATA, epochs=3, resume=True)) == 3
    with pytest.raises(InvalidInput, match="max_spikes is 0"):
        trainer(path, max_spikes=0)


# Networks of large arrays -----------------------------------------------------------------------------------------


def large(make):
    """A network whose description is more than 16 MiB of JSON."""
    rng, network = np.random.default_rng(0), described(make)
    network.add_lif("large", 900, tau_mem=rng.uniform(5.0, 20.0, 900))
    mask = rng.random((900, 900)) < 0.99
    network.connect("large", "large", weight=rng.normal(size=(900, 900)), delay=2.0, delay_per="connection", mask=mask)
    return network


@pytest.mark.parametrize("make", [Network, GridNetwork])
def test_a_network_of_large_arrays_is_saved_and_read(tmp_path, make):
    network = large(make)
    assert len(json.dumps(network.to_dict())) > checkpoints.MAX_META
    parameters = network.initialize()
    path, settings = tmp_path / "checkpoint", {"loss": MeanVoltage(), "optimizer": Adam(1e-3), "progress": False}
    Trainer(network, parameters, checkpoint=path, **settings).fit(DATA, epochs=0)
    found, read, _ = load_model(path)
    assert found.fingerprint() == network.fingerprint()
    assert all(np.array_equal(read[name], parameters[name]) for name in parameters)
