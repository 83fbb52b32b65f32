"""What the tests of this folder share."""

import pytest

from tests.training.tasks import TRAIN, VALIDATION, make_trainer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "checkpoint"
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=1)
    return path
