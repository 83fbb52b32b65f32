"""One recurrent delay makes a coincidence detector a pattern generator, and it can be learned (DelRec, figure 1).

Two neurons with a threshold above one input. Each has a clock of its own; a spike of the one helps the other only if
it arrives together with a tick. With a delay of 1 ms it does not: the kick at the start is detected, and all is silent.
With 3 ms the pattern sustains itself. Queant, Rançon, Cottereau and Masquelier (2025), on a grid of 1 ms.
"""

import numpy as np

from eventsnn import Adam, SpikeBatch, losses, surrogate

STEPS, PERIOD = 48, 8
kick_and_ticks = [(0.0, 0)] + [(float(t), 0) for t in range(0, STEPS, PERIOD)]
kick_and_ticks += [(float(t), 1) for t in range(PERIOD // 2, STEPS, PERIOD)]
spikes = SpikeBatch.from_lists([tuple(zip(*kick_and_ticks, strict=True))])

network = surrogate.GridNetwork(dt=1.0)
network.add_input("clocks", 2)
network.add_lif("pair", 2, tau_mem=1.25)
network.add_readout("out", 2, tau_mem=1.001)
network.connect("clocks", "pair", weight=0.7 * np.eye(2), train=())
# a spike that comes back is a step late: 3 ms of delay are half a period of 8 ms
delays, spread = np.array([[0.0, 1.0], [3.0, 0.0]]), surrogate.Spread("triangle", sigma=(3.0, 0.1), epochs=150)
network.connect("pair", "pair", weight=[[0.0, 0.7], [0.7, 0.0]], delay=delays, spread=spread, train="delay")
network.connect("pair", "out", weight=np.eye(2), train=())


def raster(parameters):
    """The spikes of both neurons as text, a column per ms."""
    recording = surrogate.simulate(network, parameters, spikes, duration=STEPS)
    lines = []
    for neuron, row in enumerate(recording.fired["pair"][0].T):
        lines.append(f"  neuron {neuron}  " + "".join("|" if fired else "." for fired in row))
    return "\n".join(lines), recording


wanted = np.zeros((1, STEPS, 2))
wanted[0, ::PERIOD, 0] = wanted[0, PERIOD // 2 :: PERIOD, 1] = 1.0

parameters = network.initialize()
optimizer = Adam(learning_rate=0.05)
state = optimizer.initialize(parameters, names=network.trainable)
text, before = raster(parameters)
print(f"delay from 0 to 1: {parameters['pair->pair.delay'][0, 1]:.0f} ms\n{text}")
for epoch in range(150):
    parameters = network.at(parameters, epoch)
    value, gradients = surrogate.value_and_grad(
        network, parameters, spikes, wanted, loss=losses.MeanSquaredError(), duration=STEPS, epoch=epoch
    )
    # only the delay between the two is in question
    gradients["pair->pair.delay"] *= [[0.0, 1.0], [0.0, 0.0]]
    parameters, state = optimizer.step(parameters, gradients, state, bounds=network.bounds())
text, after = raster(parameters)
print(f"after learning: {parameters['pair->pair.delay'][0, 1]:.1f} ms\n{text}")
print(f"spikes before and after: {before.spike_totals().sum()} and {after.spike_totals().sum()}")
