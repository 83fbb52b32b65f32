"""Strategies of Hypothesis for networks, parameters and batches."""

from collections.abc import Callable, Sequence
from typing import Any

from ..aliases import Milliseconds
from ..network.initializers import Normal, Uniform
from ..network.network import Network
from ..network.parts import DELAY_SHARING
from ..spikes.batch import SpikeBatch


def networks(max_neurons: int = 4) -> Any:
    """A hypothesis strategy for small networks: an input "in", LIF populations and a readout "out"."""
    from hypothesis import strategies as st

    settings = st.fixed_dictionaries(
        {"tau_mem": st.sampled_from([5.0, 10.0, 20.0]), "tau_syn": st.sampled_from([2.5, 5.0, 10.0])}
    )
    size, sharing = st.integers(1, max_neurons), st.sampled_from(["none", *DELAY_SHARING])

    @st.composite
    def build(draw: Callable[[Any], Any]) -> Network:
        network = Network()
        network.add_input("in", draw(size))
        names = [f"hidden{k}" for k in range(draw(st.integers(1, 2)))]
        for name in names:
            network.add_lif(name, draw(size), **draw(settings), train=draw(st.booleans()))
        network.add_readout("out", draw(size), **draw(settings), train=draw(st.booleans()))
        chain = ["in", *names, "out"]
        for pre, post in zip(chain[:-1], chain[1:], strict=True):
            _draw_connection(draw, network, (pre, post), draw(sharing))
        for name in names:
            if draw(st.booleans()):
                _draw_connection(draw, network, (name, name), draw(st.sampled_from(DELAY_SHARING)))
        return network

    return build()


def _draw_connection(draw: Callable[[Any], Any], network: Network, ends: tuple[str, str], sharing: str) -> None:
    """Connect two populations with a drawn sparsity, and a delay that is shared as ``sharing`` says, or "none"."""
    from hypothesis import strategies as st

    pre, post = ends
    delay = None if sharing == "none" else Uniform(1.0, 10.0)
    mean = 0.0 if pre == post else 1.0
    sparsity = draw(st.sampled_from([None, None, 0.4]))
    delay_per = "synapse" if sharing == "none" else sharing
    network.connect(pre, post, weight=Normal(mean, 1.0), delay=delay, delay_per=delay_per, sparsity=sparsity)


def parameters_for(network: Network) -> Any:
    """A hypothesis strategy for parameters of a network, drawn from its initializers."""
    from hypothesis import strategies as st

    return st.integers(0, 2**32 - 1).map(network.initialize)


def batches_for(network: Network, max_samples: int = 2, max_spikes: int = 12, duration: Milliseconds = 50.0) -> Any:
    """A hypothesis strategy for {input population: SpikeBatch}: times on a grid of 1/8 ms, so that many are equal."""
    from hypothesis import strategies as st

    inputs = [p for p in network.populations.values() if p.kind == "input"]

    def sample(n: int) -> Any:
        spike = st.tuples(st.integers(0, int(8 * duration)), st.integers(0, n - 1), st.integers(1, 3))
        return st.lists(spike, max_size=max_spikes)

    def batch(samples: Sequence[Sequence[tuple[int, int, int]]]) -> SpikeBatch:
        return SpikeBatch.from_lists(
            [
                ([t / 8 for t, _, _ in spikes], [u for _, u, _ in spikes], [c for _, _, c in spikes])
                for spikes in samples
            ]
        )

    def batches(n_samples: int) -> Any:
        return st.fixed_dictionaries(
            {p.name: st.lists(sample(p.n), min_size=n_samples, max_size=n_samples).map(batch) for p in inputs}
        )

    return st.integers(1, max_samples).flatmap(batches)
