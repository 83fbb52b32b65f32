"""What a checkpoint holds of a run is what the Trainer had."""

import numpy as np
import pytest

from eventsnn import checkpoints
from eventsnn.errors import CheckpointError, InvalidInput
from eventsnn.losses import MeanVoltage
from eventsnn.training import evaluate, load_history, load_model
from tests.training.tasks import TRAIN, VALIDATION, make_trainer


def test_history_without_validation_has_gaps():
    history = make_trainer().fit(TRAIN, epochs=1)
    assert history.best_epoch is None and np.isnan(history.column("validation_loss")).all()


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    checkpoints.save(tmp_path / "other", {"a": np.zeros(3)}, {"kind": "something else"})
    with pytest.raises(CheckpointError, match="something else"):
        load_model(tmp_path / "other")


def test_load_model_gives_what_the_trainer_had(tmp_path):
    path = tmp_path / "checkpoint"
    trainer = make_trainer(checkpoint=path, notes={"made by": "a test"})
    history = trainer.fit(TRAIN, VALIDATION, epochs=2)
    network, parameters, meta = load_model(path)
    assert network.fingerprint() == trainer.network.fingerprint()
    for name, values in trainer.parameters.items():
        assert np.array_equal(parameters[name], values)
        assert np.array_equal(meta["initial"][name], trainer.initial_parameters[name])
    assert meta["notes"] == {"made by": "a test"} and meta["duration"] == 60.0
    assert load_history(path) == load_history(tmp_path) == history
    # the folder of a run is as good as the file in it
    assert load_model(str(tmp_path))[2]["notes"] == meta["notes"]
    result = evaluate(network, parameters, VALIDATION, loss=MeanVoltage(), duration=meta["duration"], n_threads=1)
    assert result.loss == trainer.evaluate(VALIDATION).loss


@pytest.mark.parametrize("load", [load_model, load_history])
def test_what_is_no_run_says_what_to_pass(load, tmp_path):
    with pytest.raises(CheckpointError, match="checkpoint: file: is not there"):
        load(tmp_path)
    for seed in (0, 1):
        (tmp_path / f"seed-{seed}").mkdir()
    with pytest.raises(InvalidInput, match="a checkpoint file or the folder of a single run. Name one of .*seed-0"):
        load(tmp_path)
    with pytest.raises(InvalidInput, match="path is None; allowed: the path of a checkpoint file or of a run's folder"):
        load(None)
