"""The leaky integrate-and-fire neuron with exponential synapses."""
