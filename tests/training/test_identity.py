"""What makes a run the same run: every setting and every part of the data is noticed."""

from dataclasses import replace

import numpy as np
import pytest

from eventsnn.data.augment import Augmentation
from eventsnn.errors import CheckpointError
from eventsnn.losses import MaxVoltage
from eventsnn.optimizers import Adam
from eventsnn.training import data_fingerprint
from tests.training.tasks import OPTIONS, TRAIN, VALIDATION, make_data, make_network, make_trainer

CHANGES = {
    "options.batch_size": lambda: make_trainer(replace(OPTIONS, batch_size=9)),
    "options.seed": lambda: make_trainer(replace(OPTIONS, seed=4)),
    "options.augmentation.blend": lambda: make_trainer(replace(OPTIONS, augmentation=Augmentation(blend=0.2))),
    "options.average": lambda: make_trainer(replace(OPTIONS, average=0.8)),
    "options.shards": lambda: make_trainer(replace(OPTIONS, shards=8)),
    "options.regularizers": lambda: make_trainer(replace(OPTIONS, regularizers=())),
    "optimizer.learning_rate": lambda: make_trainer(optimizer=Adam(0.03)),
    "loss.kind": lambda: make_trainer(loss=MaxVoltage()),
    "network": lambda: make_trainer(network=make_network(6)),
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
def test_another_run_is_refused_by_name(saved, field):
    trainer = CHANGES[field]()
    trainer.checkpoint = saved
    before = trainer._state
    with pytest.raises(CheckpointError, match=field.replace(".", r"\.")):
        trainer.fit(TRAIN, VALIDATION, epochs=2, resume=True)
    assert trainer._state is before


@pytest.mark.parametrize("field", ["train", "validation"])
def test_other_data_are_refused_by_name(saved, field):
    data = {"train": TRAIN, "validation": VALIDATION, field: make_data(purpose="other")}
    with pytest.raises(CheckpointError, match=f"{field} is not the same"):
        make_trainer(checkpoint=saved).fit(data["train"], data["validation"], epochs=2, resume=True)


def test_fingerprint_sees_every_part_of_the_data():
    moved = replace(TRAIN, spikes=replace(TRAIN.spikes, times=np.nextafter(TRAIN.spikes.times, 100.0)))
    others = [moved, replace(TRAIN, labels=1 - TRAIN.labels), replace(TRAIN, n_units=7), replace(TRAIN, duration=61.0)]
    prints = {data_fingerprint(data) for data in (TRAIN, *others)}
    assert len(prints) == 5 and data_fingerprint(replace(TRAIN, name="x")) in prints and data_fingerprint(None) is None
