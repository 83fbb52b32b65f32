"""Simulate a small network with delays and look at its spikes: times are real numbers, there is no time step."""

from eventsnn import Network, Probe, SpikeBatch, simulate

network = Network()
network.add_input("in", 2)
network.add_lif("hidden", 3, tau_mem=20.0, tau_syn=5.0)
network.add_readout("out", 1, tau_mem=20.0, tau_syn=5.0)
# a delay per synapse, in ms: rows are presynaptic neurons, columns postsynaptic ones
network.connect("in", "hidden", weight=[[8.0, 4.0, 0.0], [0.0, 4.0, 7.0]], delay=[[0.0, 8.3, 0.0], [0.0, 0.0, 2.5]])
# a loop needs a delay > 0
network.connect("hidden", "hidden", weight=[[0, 0, 4], [0, 0, -3], [0, 0, 0]], delay=1.75, delay_per="connection")
network.connect("hidden", "out", weight=[[1.0], [1.0], [1.0]])
parameters = network.initialize(seed=0)
print(network.describe())

# two samples of (times in ms, units): the order of the two inputs differs
batch = SpikeBatch.from_lists([([2.0, 10.3], [0, 1]), ([2.0, 10.3], [1, 0])])
recording = simulate(network, parameters, batch, duration=60.0, probes={"out": Probe(maximum=True)})

for sample in range(recording.n_samples):
    print(f"\nsample {sample}")
    for time, neuron in zip(*recording.spikes("hidden", sample), strict=True):
        print(f"  hidden neuron {neuron} fires at {time:.9f} ms")
    readout = recording.readouts["out"]
    print(f"  readout: mean voltage {readout.integral[sample, 0] / recording.duration:.9f},", end=" ")
    print(f"largest {readout.maximum[sample, 0]:.9f} at {readout.maximum_time[sample, 0]:.9f} ms")

late = simulate(network, parameters | {"in->hidden.delay": parameters["in->hidden.delay"] + 1e-6}, batch, duration=60.0)
shift = late.spikes("hidden", 0)[0][0] - recording.spikes("hidden", 0)[0][0]
print(f"\none nanosecond more delay on every synapse moves the first spike by {1e6 * shift:.3f} nanoseconds")
