"""Options of training out of their range are refused by name."""

import pytest

from eventsnn.errors import InvalidInput
from eventsnn.losses import MeanVoltage, SilentNeuronRaise
from tests.training.tasks import make_trainer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration", -1.0), ("batch_size", 0), ("batch_size", 2.5), ("seed", -1), ("patience", 0), ("average", 1.0),
        ("monitor", "luck"), ("regularizers", MeanVoltage()), ("max_spikes", 0), ("batchsize", 3), ("shards", 0),
        ("silent_raise", (SilentNeuronRaise("output"),)), ("neuron_drop", 1.0), ("neuron_drop", -0.1),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(InvalidInput, match=name):
        make_trainer(**{name: value})


@pytest.mark.parametrize("callbacks", [print, "f", [print, None], None])
def test_callbacks_are_a_list_of_functions(callbacks):
    with pytest.raises(InvalidInput, match=r"^callbacks(\[1\])? is .*function"):
        make_trainer(callbacks=callbacks)
