"""Parameters of several shapes, gradients drawn from seeds, and some steps with them."""

import numpy as np

from eventsnn.random import stream

SHAPES = {"in->hidden.weight": (7, 5), "hidden->hidden.delay": (5, 5), "hidden.tau_mem": (), "out.weight": (0, 3)}


def draw(seed, shapes=None):
    rng = stream(seed, "optimizers")
    return {name: np.asarray(rng.normal(size=shape)) for name, shape in (shapes or SHAPES).items()}


def run(optimizer, steps=10, bounds=None):
    params = draw(0)
    state = optimizer.initialize(params)
    for step in range(steps):
        params, state = optimizer.step(params, draw(step + 1), state, bounds)
    return params, state
