"""Training with exact gradients: a neuron that is dropped sends nothing for one batch."""

import numpy as np
import pytest

from eventsnn.gradients import value_and_grad
from eventsnn.losses import MeanVoltage
from eventsnn.network import Network, Normal, Uniform
from eventsnn.optimizers import SGD
from eventsnn.random import stream
from eventsnn.training import TrainingOptions
from tests.training.tasks import make_data, make_trainer


@pytest.mark.parametrize("sparsity", [None, 0.3])
def test_a_dropped_neuron_sends_nothing_for_a_batch(sparsity):
    """The step is that of the network whose outgoing weights are 0 or grown, by the chain rule."""
    network = Network()
    network.add_input("input", 6)
    network.add_lif("hidden", 9, tau_mem=20.0, tau_syn=5.0)
    network.add_readout("output", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("input", "hidden", weight=Normal(0.9, 0.5), delay=Uniform(0.0, 10.0))
    network.connect("hidden", "hidden", weight=Normal(0.1, 0.2), delay=Uniform(1.0, 5.0), sparsity=sparsity)
    network.connect("hidden", "output", weight=Normal(0.0, 0.5), sparsity=sparsity)
    data, options = make_data(8), TrainingOptions(batch_size=8, seed=5, neuron_drop=0.4)
    trainer = make_trainer(options, network=network, optimizer=SGD(0.1))
    before = trainer.parameters
    trainer.fit(data, epochs=1)
    kept = (stream(5, "neuron_drop.hidden").random(9) >= 0.4) / 0.6
    assert 0 < np.count_nonzero(kept) < 9
    factors = {f"{c.name}.weight": c.per_synapse(kept) for c in network.connections.values() if c.pre == "hidden"}
    changed = {**before, **{name: before[name] * factor for name, factor in factors.items()}}
    order = data.order(5, 0)
    _, gradients = value_and_grad(
        network, changed, data.spikes[order], data.labels[order], loss=MeanVoltage(), duration=data.duration
    )
    for name in network.trainable:
        expected = before[name] - 0.1 * gradients[name] * factors.get(name, 1.0)
        low = 1.0 if name == "hidden->hidden.delay" else 0.0 if name.endswith("delay") else -np.inf
        assert np.allclose(trainer.parameters[name], np.maximum(expected, low), rtol=1e-12, atol=1e-14), name
    if sparsity is None:
        assert np.array_equal(*(v["hidden->output.weight"][kept == 0] for v in (before, trainer.parameters)))


def test_dropping_is_for_training_only_and_nothing_by_default():
    data = make_data(8)
    plain, dropped = (make_trainer(TrainingOptions(batch_size=8, neuron_drop=share)) for share in (0.0, 0.5))
    for trainer in (plain, dropped):
        trainer.fit(data, epochs=0)
    assert plain.evaluate(data).loss == dropped.evaluate(data).loss
    assert TrainingOptions().neuron_drop == 0.0
