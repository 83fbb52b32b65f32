"""Losses by name: a class that is entered where it is written can be named in presets, and nothing else changes."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eventsnn import Cotangents, Probe, experiments, losses
from eventsnn.errors import InvalidInput
from eventsnn.experiments import runs


@dataclass(frozen=True)
class Hinge:
    """A wrong class stays below the right one by a margin."""

    delta: float = 0.1
    slack: float = 0.0

    def probes(self, network, duration):
        return {"output": Probe()}

    def __call__(self, recording, labels):
        z = recording.readouts["output"].integral / recording.duration
        rows = np.arange(len(labels))
        gap = self.delta + z - z[rows, labels][:, None]
        gap[rows, labels] = 0.0
        active = (gap.real > self.slack).astype(float)
        gradient = active.copy()
        gradient[rows, labels] = -active.sum(axis=1)
        return np.sum(gap * active, axis=1), Cotangents(integral={"output": gradient / recording.duration})

    def predict(self, recording):
        return np.argmax(recording.readouts["output"].integral.real, axis=1)


@pytest.fixture
def hinge():
    yield losses.register("hinge", reads="readout", settings=("delta",))(Hinge)
    del losses.KNOWN["hinge"]


SMALL = ["data.samples=40", "network.hidden=[6]", "training.epochs=1", "network.output=readout"]


def test_a_loss_that_is_entered_can_be_named_in_presets(hinge, tmp_path):
    preset = experiments.change(
        experiments.named("yin-yang"), [*SMALL, "loss.kind=hinge", "loss.delta=0.3", "training.silent_raise=0"]
    )
    assert experiments.build_loss(preset) == Hinge(delta=0.3)
    assert losses.Hinge is Hinge
    result = runs.train(preset, experiments.load_data(preset), tmp_path / "run", progress=False, n_threads=1)
    assert 0 <= result["accuracy"] <= 1
    assert json.loads((tmp_path / "run/result.json").read_text())["preset"]["loss"]["kind"] == "hinge"


def test_its_name_is_checked_as_all_are(hinge):
    with pytest.raises(InvalidInput, match="Did you mean 'hinge'"):
        experiments.change(experiments.named("spoken-digits"), ["loss.kind=hinges"])
    with pytest.raises(InvalidInput, match="loss.tau is 3.0; .*has no use for it"):
        experiments.change(experiments.named("spoken-digits"), ["loss.kind=hinge", "loss.tau=3.0"])
    with pytest.raises(InvalidInput, match="network.output is 'spikes'"):
        experiments.change(experiments.named("spoken-digits"), ["loss.kind=hinge", "network.output=spikes"])


def test_a_name_is_given_once():
    with pytest.raises(InvalidInput, match="MeanVoltage has this one"):
        losses.register("mean_voltage", reads="readout")(Hinge)
    with pytest.raises(InvalidInput, match="reads is 'voltage'"):
        losses.register("hinge", reads="voltage")
    with pytest.raises(InvalidInput, match="loss.kind is 'hinge'"):
        experiments.change(experiments.named("spoken-digits"), ["loss.kind=hinge"])


def test_every_file_of_the_folder_is_asked_for_its_losses():
    entered = {known.loss.__name__ for known in losses.KNOWN.values()}
    for path in Path(losses.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any("register" in ast.dump(item) for item in node.decorator_list):
                assert node.name in entered
    assert list(losses.KNOWN) and experiments.settings.LOSSES is losses.KNOWN
