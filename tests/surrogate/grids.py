"""Random small grid networks that between them hold every kind of neuron, delay and spread."""

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from eventsnn import Normal, Uniform
from eventsnn.surrogate.network import GridNetwork
from eventsnn.surrogate.slopes import ArcTangent, Triangle
from eventsnn.surrogate.spread import Spread

DT = 2.0  # ms
UNLIMITED = Spread("triangle", 1.0)


@st.composite
def spreads(draw, lag=0):
    """A Spread, on a grid of DT."""
    kind = draw(st.sampled_from(("gaussian", "triangle")))
    longest = draw(st.sampled_from((10.0, 14.0))) if kind == "gaussian" or draw(st.booleans()) else None
    sigma = draw(st.sampled_from((1.1, 2.6, 7.3)))
    return Spread(kind, (sigma, 1.0), epochs=4, longest=longest, learned=draw(st.booleans()))


@st.composite
def connections(draw, recurrent=False):
    """Arguments of ``connect`` but the populations."""
    count = 1 if recurrent else draw(st.sampled_from((1, 1, 2)))
    per = "synapse" if count > 1 else draw(st.sampled_from(("synapse", "neuron", "connection")))
    arguments = {"weight": Normal(0.2 if recurrent else 0.6, 0.8), "count": count}
    if count > 1 or draw(st.booleans()):
        arguments |= {"delay": Uniform(0.0, 10.0), "delay_per": per}
        if draw(st.booleans()):
            arguments["spread"] = draw(spreads())
        if arguments.get("spread", UNLIMITED).longest is None:
            arguments["delay"] = Uniform(0.0, draw(st.sampled_from((10.0, 60.0))))  # a run of 13 steps lasts 26 ms
    if recurrent:
        arguments["dropout"] = draw(st.sampled_from((0.0, 0.3)))
    elif draw(st.booleans()):
        arguments["sparsity"] = 0.3
    return arguments


@st.composite
def networks(draw, detach=None):
    """A GridNetwork of one input, one or two LIF populations and a readout; ``detach``: of all resets."""
    network = GridNetwork(DT)
    network.add_input("in", 4)
    names = ["in"]
    for name in draw(st.sampled_from((("a",), ("a", "b")))):
        tau_syn = draw(st.sampled_from((None, 4.0, Uniform(2.0, 9.0))))
        network.add_lif(
            name, 5, tau_mem=draw(st.sampled_from((2.2, 8.0, Uniform(3.0, 9.0)))), tau_syn=tau_syn,
            v_threshold=draw(st.sampled_from((0.7, 1.0))), reset=draw(st.sampled_from(("hard", "soft"))),
            detach_reset=draw(st.booleans()) if detach is None else detach,
            surrogate=draw(st.sampled_from((ArcTangent(2.0), Triangle(0.8)))), batch_norm=draw(st.booleans()),
            bias=draw(st.sampled_from((False, Normal(0.0, 0.2)))), dropout=draw(st.sampled_from((0.0, 0.4))),
            input_dropout=draw(st.sampled_from((0.0, 0.3))),
            train=("tau_mem",) if tau_syn is None else ("tau_mem", "tau_syn"),
        )  # fmt: skip
        network.connect(names[-1], name, **draw(connections()))
        if draw(st.booleans()):
            network.connect(name, name, **draw(connections(recurrent=True)))
        names.append(name)
    network.add_readout(
        "out", 3, tau_mem=9.0, tau_syn=draw(st.sampled_from((None, 3.0))), bias=Normal(0.0, 0.2), train="tau_mem"
    )
    for pre, post in pairwise([*names, "out"]):
        if f"{pre}->{post}" not in network.connections:
            network.connect(pre, post, **draw(connections()))
    return network


def values(seed, n_samples=3, n_steps=13):
    """{input: counts of spikes}, (n_samples, n_steps, 4) float64."""
    generator = np.random.default_rng(seed)
    fired = generator.random((n_samples, n_steps, 4)) < 0.35
    return {"in": fired * generator.integers(1, 3, fired.shape).astype(float)}


def directions(network, parameters, seed):
    """{trained parameter: a random direction}; synapses that are not there stay out of it."""
    generator = np.random.default_rng(seed)
    found = {name: generator.normal(size=np.shape(parameters[name])) for name in network.trainable}
    for c in network.connections.values():
        if c.mask is not None and f"{c.name}.weight" in found:
            found[f"{c.name}.weight"] *= c.mask
    return found
