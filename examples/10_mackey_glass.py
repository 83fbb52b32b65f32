"""Predict a chaotic series with recurrent delays on a grid: Mackey-Glass, whose next value depends on 17 steps before.

The series enters as real values, and a readout says what it will be six steps later. What networks without delays, with
random and with learned ones leave unexplained is compared with saying that nothing will change: the memory is in the
delays. In so short a training random ones do as well as learned ones, or better.
"""

import numpy as np

from eventsnn import Adam, Normal, Uniform, losses, surrogate
from eventsnn.data.stores.frames import Frames

AHEAD, STEPS, WARM_UP, EPOCHS = 6, 100, 40, 30
LAG = 170  # of 0.1: tau = 17
x = [1.2] * (LAG + 1)
for _ in range(62_000):  # x' = 0.2 x(t - tau)/(1 + x(t - tau)^10) - 0.1 x (Mackey & Glass 1977)
    x.append(x[-1] + 0.02 * x[-LAG] / (1 + x[-LAG] ** 10) - 0.01 * x[-1])
series = np.array(x[2_000::10][:6000])
pieces = np.lib.stride_tricks.sliding_window_view(series, STEPS + AHEAD)[:: STEPS // 3]
targets = pieces[:, AHEAD:, None] - series.mean()
targets[:, :WARM_UP] = np.nan  # at first it cannot know
frames = Frames(pieces[:, :STEPS, None].astype(np.float32), dt=1.0)
train, test = np.arange(140), np.arange(143, len(pieces))  # windows overlap: three between the sets are in neither


def make_network(delays):
    network = surrogate.GridNetwork(dt=1.0)
    network.add_input("in", 1)
    network.add_lif("hidden", 60, tau_mem=Uniform(2.0, 20.0), bias=True)
    network.add_readout("out", 1, tau_mem=4.0, bias=True)
    network.connect("in", "hidden", weight=Normal(0.0, 0.6))
    axonal = {} if delays == "no" else {"delay": Uniform(0.0, 25.0), "delay_per": "neuron"}
    if delays == "learned":
        axonal["spread"] = surrogate.Spread("triangle", sigma=(1.0, 0.1), epochs=EPOCHS)
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.1), **axonal)
    network.connect("hidden", "out", weight=Normal(0.0, 0.02))
    return network


loss, variance = losses.MeanSquaredError(), np.nanvar(targets[test])
unchanged = np.nanmean((pieces[test, AHEAD:, None] - pieces[test, :STEPS, None])[:, WARM_UP:] ** 2)
print(f"saying that nothing will change: {unchanged / variance:.2f} of the variance is left")
for delays in ("no", "fixed random", "learned"):
    network, generator = make_network(delays), np.random.default_rng(0)
    parameters = network.initialize(0)
    optimizer = Adam(3e-3, learning_rates={"*.delay": 0.1} if delays == "learned" else {})
    state = optimizer.initialize(parameters, names=network.trainable)
    for step in range(4 * EPOCHS):
        parameters, batch = network.at(parameters, step // 4), generator.choice(train, 40, replace=False)
        value, gradients = surrogate.value_and_grad(
            network, parameters, frames[batch], targets[batch], loss=loss, duration=STEPS
        )
        parameters, state = optimizer.step(parameters, gradients, state, bounds=network.bounds())
    found = surrogate.simulate(network, parameters, frames[test], duration=STEPS)
    print(f"{delays} recurrent delays: {loss(found, targets[test])[0].mean() / variance:.2f} is left")
