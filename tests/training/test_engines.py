"""The engine of a training run: the same results from each, and part of what the run is."""

import types

import numpy as np
import pytest

from eventsnn import checkpoints, engines
from eventsnn.data.dataset import Dataset
from eventsnn.engines.reference import engine as reference
from eventsnn.errors import CheckpointError, InvalidInput
from eventsnn.losses import MeanVoltage
from eventsnn.network import Network, Normal, Uniform
from eventsnn.optimizers import Adam
from eventsnn.random import stream
from eventsnn.spikes import SpikeBatch
from eventsnn.surrogate import GridNetwork
from eventsnn.training import Trainer, evaluate, load_model
from eventsnn.training.identity import described_engine, engine_name

EPOCHS, BATCH = 2, 4
# of parameters near 1 after a few steps: what one engine rounds otherwise, Adam's division makes no more than this
AGREEMENT = 1e-9


def make_data(n=8):
    """Two classes: spikes in the lower or in the upper channels."""
    draws = [stream(0, "data", sample=k) for k in range(n)]
    samples = [(np.sort(d.uniform(0, 20, 6)), d.integers(0, 2, 6) + 2 * (k % 2)) for k, d in enumerate(draws)]
    return Dataset(SpikeBatch.from_lists(samples), np.arange(n) % 2, 4, 2, 40.0, name="tiny")


def make_network():
    network = Network()
    network.add_input("input", 4)
    network.add_lif("hidden", 3, tau_mem=20.0, tau_syn=5.0)
    network.add_readout("output", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("input", "hidden", weight=Normal(1.2, 0.4), delay=Uniform(0.0, 10.0))
    network.connect("hidden", "output", weight=Normal(0.0, 0.5))
    return network


def make_trainer(network=None, **settings):
    network = make_network() if network is None else network
    settings = {"loss": MeanVoltage(), "optimizer": Adam(0.02), "batch_size": BATCH, **settings}
    return Trainer(network, network.initialize(1), n_threads=1, progress=False, **settings)


class Mine:
    """An engine of the user's: the reference, that notes what it was asked."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        if name not in ("forward", "backward", "stream"):
            raise AttributeError(name)
        self.asked.append(name)
        return getattr(reference, name)


DATA = make_data()


@pytest.fixture(scope="module")
def trained():
    """{engine: its Trainer, after some epochs}."""
    trainers = {name: make_trainer(engine=name) for name in engines.names()}
    for trainer in trainers.values():
        trainer.fit(DATA, DATA, epochs=EPOCHS)
    return trainers


def test_every_engine_trains_to_the_same_history_and_parameters(trained):
    first, *others = trained.values()
    start = first.initial_parameters["input->hidden.weight"]
    assert np.abs(first.parameters["input->hidden.weight"] - start).max() > 1e3 * AGREEMENT
    assert first.history.column("spikes_per_neuron").min() > 0
    for other in others:
        for name, value in first.parameters.items():
            np.testing.assert_allclose(other.parameters[name], value, rtol=0, atol=AGREEMENT)
        for column in first.history.records[0].keys() - {"seconds", "learning_rates"}:
            np.testing.assert_allclose(other.history.column(column), first.history.column(column), atol=AGREEMENT)


def test_an_evaluation_is_that_of_the_trainers_engine():
    mine = Mine()
    trainer = make_trainer(engine=mine)
    trainer.fit(DATA, epochs=0)
    mine.asked.clear()
    found = trainer.evaluate(DATA)
    assert "forward" in mine.asked
    mine.asked.clear()
    network, parameters = trainer.network, trainer.parameters
    assert evaluate(network, parameters, DATA, loss=MeanVoltage(), engine=mine).loss == found.loss
    assert "forward" in mine.asked
    mine.asked.clear()
    trainer.predict(DATA.spikes)
    trainer.fit(DATA, epochs=1)
    assert mine.asked.count("backward") > 0
    assert np.isfinite(trainer.history.column("train_loss")).all()


@pytest.mark.parametrize("named", [True, False])
def test_the_default_engine_leaves_no_word_in_a_checkpoint(tmp_path, named):
    engine = {"engine": engines.get("compiled")} if named else {}
    make_trainer(checkpoint=tmp_path / "a", **engine).fit(DATA, epochs=1)
    meta = checkpoints.load(tmp_path / "a")[1]
    assert set(meta["run"]) == {"network", "train", "validation", "loss", "optimizer", "options"}


def test_a_run_goes_on_with_its_engine_and_no_other(tmp_path):
    path = tmp_path / "checkpoint"
    make_trainer(checkpoint=path, engine="reference").fit(DATA, epochs=1)
    assert load_model(path)[2]["run"]["engine"] == "reference"
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="engine was 'reference' and is now 'compiled'. Resume with the same"):
        make_trainer(checkpoint=path).fit(DATA, epochs=2, resume=True)
    assert path.read_bytes() == before
    going_on = make_trainer(checkpoint=path, engine=reference)
    going_on.fit(DATA, epochs=2, resume=True)
    whole = make_trainer(engine="reference")
    whole.fit(DATA, epochs=2)
    for name, value in whole.parameters.items():
        assert going_on.parameters[name].tobytes() == value.tobytes()


def test_a_run_of_the_default_engine_goes_on_with_no_other(tmp_path):
    make_trainer(checkpoint=tmp_path / "a").fit(DATA, epochs=1)
    with pytest.raises(CheckpointError, match="engine was 'compiled' and is now 'reference'"):
        make_trainer(checkpoint=tmp_path / "a", engine="reference").fit(DATA, epochs=2, resume=True)


def test_an_engine_is_known_by_its_name_module_or_class():
    module = types.ModuleType("somebodys.engine")
    assert [engine_name(name) for name in engines.names()] == engines.names()
    assert engine_name(reference) == "reference"
    assert engine_name(module) == "somebodys.engine"
    assert engine_name(Mine()) == f"{Mine.__module__}.Mine"
    assert described_engine("compiled") == {} and described_engine(reference) == {"engine": "reference"}


def test_what_is_no_engine_is_refused_before_anything_is_done():
    with pytest.raises(InvalidInput, match="engine is 'cuda'; allowed: one of"):
        make_trainer(engine="cuda")
    grid = GridNetwork(dt=1.0)
    grid.add_input("input", 4)
    grid.add_readout("output", 2)
    grid.connect("input", "output", weight=0.1)
    with pytest.raises(InvalidInput, match="engine is 'reference'; allowed: \"compiled\": a GridNetwork has no other"):
        make_trainer(grid, engine="reference")
