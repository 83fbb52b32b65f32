"""What a checkpoint holds of a run is what the Trainer had."""

import numpy as np
import pytest

from eventsnn import checkpoints
from eventsnn.errors import CheckpointError
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
    assert load_history(path) == history
    result = evaluate(network, parameters, VALIDATION, loss=MeanVoltage(), duration=meta["duration"], n_threads=1)
    assert result.loss == trainer.evaluate(VALIDATION).loss
