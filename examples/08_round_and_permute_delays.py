"""Train delays on spoken digits, hold one speaker out, and see what is left when the delays are rounded or shuffled."""

import numpy as np

from eventsnn import Adam, Network, Normal, Trainer, Uniform, data, losses
from eventsnn.analysis import permuted_delays, rounded_delays

train, _ = data.load_spoken_digits()
train = train.merge_channels(20)  # 700 channels become 35
train, validation = train.split_by_group([3])  # a speaker whom the network has never heard

network = Network()
network.add_input("in", train.n_units)
network.add_lif("hidden", 24, tau_mem=20.0, tau_syn=10.0)
network.add_readout("out", 10, tau_mem=20.0, tau_syn=10.0)
network.connect("in", "hidden", weight=Normal(0.006, 0.03), delay=Uniform(0, 200))
network.connect("hidden", "hidden", weight=Normal(0.0, 0.03), delay=Uniform(1, 100))
network.connect("hidden", "out", weight=Normal(0.0, 1.0))

trainer = Trainer(
    network,
    network.initialize(seed=0),
    loss=losses.ExponentialMeanVoltage(),
    optimizer=Adam(learning_rate=5e-3, learning_rates={"*.delay": 2.0, "*->out.weight": 5e-2}),
    batch_size=16,
    augmentation=data.Augmentation(channel_shift=2, spike_drop=0.5, gain=0.2),
    progress=False,
)
# so short a training amplifies rounding: initial weights 1e-15 apart end at 59 to 73 %, as do releases and processors
trainer.fit(train, validation, epochs=4)


def accuracy(parameters):
    """Of the unheard speaker's digits, the share that is told (%)."""
    return 100 * trainer.evaluate(validation, parameters).accuracy


learned = trainer.parameters
print(f"as learned: {accuracy(learned):.0f} % of {len(validation)} digits")
for step in (1.0, 10.0, 50.0):
    print(f"rounded to {step:g} ms: {accuracy(rounded_delays(network, learned, step)):.0f} %")
shuffled = [accuracy(permuted_delays(network, learned, seed)) for seed in range(5)]
print(f"shuffled within each connection: {np.mean(shuffled):.0f} %")
