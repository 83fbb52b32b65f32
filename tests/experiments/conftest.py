"""What the tests of this folder share."""

import pytest

from eventsnn import experiments
from tests.experiments.tiny import TINY


@pytest.fixture(scope="module")
def tiny():
    preset = experiments.change(experiments.named("yin-yang"), TINY)
    return preset, experiments.load_data(preset)
