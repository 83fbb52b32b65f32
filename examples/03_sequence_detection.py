"""Learn delays alone: two inputs fire 10 ms apart in either order, and only a delay can make them meet.

The smallest task of Mészáros, Knight and Nowotny (2025): all weights are 1 and stay so, and the delays begin adverse:
0 ms where 10 ms are needed, and 10 ms where 0 ms are.
"""

import numpy as np

from eventsnn import Adam, Network, data, losses, value_and_grad

train = data.sequence_detection(times=(0.0, 10.0))
network = Network()
network.add_input("in", 2)
network.add_readout("out", 2, tau_mem=10.0, tau_syn=5.0)
network.connect("in", "out", weight=1.0, delay=[[0.0, 10.0], [10.0, 0.0]], train="delay")

parameters, loss = network.initialize(), losses.MaxVoltage()
optimizer = Adam(learning_rate=1.0)
state = optimizer.initialize(parameters, names=network.trainable)
for step in range(16):
    value, gradients, recording = value_and_grad(
        network, parameters, train.spikes, train.labels, loss=loss, duration=train.duration, return_recording=True
    )
    correct = np.mean(loss.predict(recording) == train.labels)
    if step % 3 == 0:
        delays = np.array2string(parameters["in->out.delay"], precision=3, suppress_small=True).replace("\n", "")
        print(f"after {step:2d} showings of each order: loss {value:.6f}, correct {correct:.0%}, delays {delays} ms")
    parameters, state = optimizer.step(parameters, gradients, state, bounds=network.bounds())
