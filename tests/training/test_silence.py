"""Neurons that never fire are raised, and pointed out."""

import warnings

import numpy as np
import pytest

from eventsnn.losses import FirstSpike, MeanVoltage, SilentNeuronRaise
from eventsnn.optimizers import SGD, Adam
from eventsnn.training import Trainer, TrainingOptions
from tests.training.tasks import TRAIN, make_network, make_trainer, spiking_output


def test_silent_neurons_are_raised_once_per_epoch():
    network = make_network()
    quiet = {
        name: 0.0 * values if name.endswith("weight") else values for name, values in network.initialize(0).items()
    }
    options = TrainingOptions(batch_size=10, silent_raise=(SilentNeuronRaise("hidden", 0.01),))
    trainer = Trainer(
        network, quiet, loss=MeanVoltage(), optimizer=SGD(0.0), options=options, progress=False, n_threads=1
    )
    trainer.fit(TRAIN, epochs=2)
    assert np.array_equal(trainer.parameters["input->hidden.weight"], np.full((6, 5), 0.02))
    assert not trainer.parameters["hidden->hidden.weight"].any()


def test_a_network_that_never_fires_is_pointed_out():
    network = make_network()
    parameters = {name: 0 * value for name, value in network.initialize(0).items()}
    trainer = Trainer(network, parameters | delays_of(network), loss=MeanVoltage(), optimizer=Adam(), progress=False)
    with pytest.warns(UserWarning, match="no LIF neuron has fired") as caught:
        trainer.fit(TRAIN, epochs=1)
    assert caught[0].filename == __file__


def delays_of(network):
    return {name: value for name, value in network.initialize(0).items() if name.endswith(".delay")}


def test_outputs_that_stand_for_no_class_are_pointed_out():
    network = spiking_output(n=9)
    trainer = make_trainer(loss=FirstSpike(), network=network, options=TrainingOptions())
    with pytest.warns(UserWarning, match="'output' has 9 neurons for the 2 classes of train") as caught:
        trainer.fit(TRAIN, epochs=0)
    assert caught[0].filename == __file__


def test_an_output_that_never_fires_while_the_hidden_layer_does_is_pointed_out():
    trainer = make_trainer(loss=FirstSpike(), network=spiking_output(weight=0.0), options=TrainingOptions())
    with pytest.warns(UserWarning, match="'output' has fired in this epoch.*The loss reads its spikes: ") as caught:
        trainer.fit(TRAIN, epochs=1)
    assert [warning.filename for warning in caught] == [__file__]
    rule = (SilentNeuronRaise("output", 0.01),)
    trainer = make_trainer(
        loss=FirstSpike(), network=spiking_output(weight=0.0), options=TrainingOptions(silent_raise=rule)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(TRAIN, epochs=1)
