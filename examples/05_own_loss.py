"""Write a loss of your own: three methods. Here: make the readout's voltage peak at a wanted height."""

from dataclasses import dataclass

import numpy as np

from eventsnn import Adam, Cotangents, Network, Normal, Probe, SpikeBatch, Uniform, value_and_grad


@dataclass(frozen=True)
class PeakHeight:
    """Half the squared difference between the largest readout voltage and a target (the labels, (n_samples,))."""

    population: str = "out"

    def probes(self, network, duration):
        """Ask the engine for the maximum of one readout population."""
        return {self.population: Probe(maximum=True)}

    def __call__(self, recording, labels):
        """Return the value of each sample, and the derivative of their sum by what was read."""
        peak = recording.readouts[self.population].maximum
        gap = peak[:, 0] - np.asarray(labels)
        gradient = np.zeros(peak.shape)
        gradient[:, 0] = gap
        return 0.5 * gap**2, Cotangents(maximum={self.population: gradient})

    def predict(self, recording):
        """What the network says: the height in hundredths, as an integer."""
        return np.rint(100 * recording.readouts[self.population].maximum[:, 0]).astype(np.int64)


network = Network()
network.add_input("in", 20)
network.add_lif("hidden", 20)
network.add_readout("out", 1)
network.connect("in", "hidden", weight=Normal(0.8, 0.5), delay=Uniform(0, 10))
network.connect("hidden", "out", weight=Normal(0.02, 0.05), delay=Uniform(0, 10))

rng = np.random.default_rng(3)
batch = SpikeBatch.from_lists([(rng.uniform(0, 40, 60), rng.integers(0, 20, 60)) for _ in range(3)])
targets, loss = [0.2, 0.5, 0.8], PeakHeight()
parameters, optimizer = network.initialize(seed=0), Adam(learning_rate=0.01, learning_rates={"*.delay": 0.1})
state = optimizer.initialize(parameters, names=network.trainable)
for step in range(101):
    value, gradients, recording = value_and_grad(
        network, parameters, batch, targets, loss=loss, duration=80.0, return_recording=True
    )
    if step % 25 == 0:
        peaks = ", ".join(f"{peak:.3f}" for peak in recording.readouts["out"].maximum[:, 0])
        print(f"step {step:3d}: loss {value:.5f}, peaks {peaks} (wanted: 0.2, 0.5, 0.8)")
    parameters, state = optimizer.step(parameters, gradients, state, bounds=network.bounds())
