"""The engines agree on both sides of every seam of the layout."""

import gc
import weakref

import numpy as np
import pytest

from eventsnn import Network, Normal, SpikeBatch, Uniform, simulate
from eventsnn.engines.cpu import skeleton
from eventsnn.engines.cpu.layout import Layout
from eventsnn.engines.problem import Run
from eventsnn.losses import MeanVoltage
from eventsnn.spikes import Probe
from eventsnn.testing import compare_engines


def recurrent(n_in, tau_mem, tau_syn, longest, shortest, seed):
    """A recurrent network of 12 neurons with delays per synapse, its parameters, and a batch that makes it fire."""
    rng, t = np.random.default_rng(seed), np.linspace(0.0, 10.0 * tau_mem, 10_001)
    drive = np.cumsum(np.exp(t / tau_mem - t / tau_syn)) * (t[1] - t[0]) / tau_mem
    unit = 1.0 / np.max(np.exp(-t / tau_mem) * drive)  # the weight whose response peaks at the threshold
    network = Network(min_delay=shortest)
    network.add_input("in", n_in)
    network.add_lif("hidden", 12, tau_mem=tau_mem, tau_syn=tau_syn)
    network.add_readout("out", 3)
    network.connect("in", "hidden", weight=rng.normal(0.25 * unit, 0.4 * unit, (n_in, 12)), delay=Uniform(0, longest))
    network.connect("hidden", "hidden", weight=Normal(0, 0.05 * unit), delay=Uniform(shortest, longest))
    network.connect("hidden", "out", weight=Normal(0, 1.0), delay=Uniform(0, longest))
    times = rng.uniform(0, 60.0, (1, 30))
    batch = SpikeBatch.from_lists([(t, rng.integers(0, n_in, 30), rng.uniform(0.2, 2.0, 30)) for t in times])
    return network, network.initialize(seed), batch


# The seams of the engine: modes told apart or not, products of exponentials near their limits, windows short and long,
# stretches of one window and of many.
@pytest.mark.parametrize(
    ("taus", "longest", "shortest", "modal"),
    [
        ((20.0, 10.0), 25.0, 1.0, True),
        ((5.0, 12.0), 25.0, 1.0, True),
        ((20.0, 20.0 * (1 - 0.051)), 25.0, 1.0, True),
        ((20.0, 20.0 * (1 - 0.049)), 25.0, 1.0, False),
        ((20.0, 20.0), 25.0, 1.0, False),
        ((0.3, 0.25), 70.0, 1.0, True),  # e^280
        ((0.3, 0.2), 70.0, 1.0, False),  # e^350
        ((90.0, 0.4), 40.0, 1.0, True),
        ((20.0, 10.0), 40.0, 40.0, True),  # windows of a time constant
        ((20.0, 10.0), 60.0, 0.01, True),  # a hundred windows a millisecond
    ],
)
@pytest.mark.parametrize("n_in", [3, 40])
def test_the_engines_agree_on_both_sides_of_every_seam(taus, longest, shortest, modal, n_in):
    network, parameters, batch = recurrent(n_in, *taus, longest, shortest, seed=n_in)
    layout = Layout(network, parameters, Run(90.0, {}))
    assert bool(layout.net.pops["modal"][layout.rank["hidden"]]) == modal
    recording = simulate(network, parameters, batch, duration=90.0, max_spikes=3000)
    assert recording.times.size > 10 or max(taus) < 1.0
    compare_engines(network, parameters, batch, [0], loss=MeanVoltage(), duration=90.0)


@pytest.mark.parametrize("ratio", [0.9985, 1.0011, 0.994, 1.02, 0.951, 0.949, 1.06])
def test_near_equal_time_constants_lose_no_digits(ratio):
    # modes of time constants apart by a share d lose a factor 1/d: 3e-11 ms for a thousandth
    network, parameters, batch = recurrent(40, 20.0, 20.0 * ratio, 25.0, 1.0, seed=41)
    found = compare_engines(network, parameters, batch, [0], loss=MeanVoltage(), duration=90.0)
    assert found.n_spikes > 200 and found.time_error <= 3e-12


def fields_of(net):
    """The arrays and numbers of a Net by name, those of the model too."""
    flat = {**net._asdict(), **{f"model.{name}": value for name, value in net.model._asdict().items()}}
    return {name: np.asarray(value) for name, value in flat.items() if name != "model"}


def assert_laid_out_anew(network, parameters, run):
    """What is kept from one layout to the next is what a network that was never laid out gets."""
    again = Network.from_dict(network.to_dict())
    kept, fresh = (fields_of(Layout(n, parameters, run).net) for n in (network, again))
    assert kept.keys() == fresh.keys()
    for name, values in kept.items():
        np.testing.assert_array_equal(values, fresh[name], err_msg=name, strict=True)


def test_what_a_layout_keeps_follows_network_parameters_and_run():
    # hazard: something kept from the step before, which has other delays, time constants, probes or parts
    network = Network(min_delay=0.25)
    network.add_input("in", 3)
    network.add_lif("a", 4, tau_mem=20.0, tau_syn=10.0, v_threshold=0.9)
    network.add_lif("b", 5, tau_mem=Uniform(15.0, 25.0), tau_syn=5.0, train=["tau_mem"])
    network.add_readout("out", 2, v_rest=0.1)
    network.connect("in", "a", weight=Normal(0, 1), delay=Uniform(0, 9))
    network.connect("a", "b", weight=Normal(0, 1), delay=Uniform(2, 9))
    network.connect("b", "a", weight=Normal(0, 1), delay=Uniform(2, 9), sparsity=0.3)
    network.connect("b", "out", weight=Normal(0, 1), delay=Uniform(1, 5), delay_per="neuron")
    parameters = network.initialize(0)
    run = Run(50.0, {"out": Probe(maximum=True)})
    assert_laid_out_anew(network, parameters, run)
    changed = {**parameters, "a->b.delay": parameters["a->b.delay"] * 40, "b.tau_mem": parameters["b.tau_mem"] * 2}
    short = {**parameters, "b->a.delay": parameters["b->a.delay"] * 0.2}  # "a" and "b" stand in another order
    other_order = {**parameters, "a->b.delay": parameters["a->b.delay"] * 0.2}
    runs = (run, Run(70.0, {"out": Probe()}), Run(70.0, {"out": Probe(decay_rate=0.1)}), Run(50.0, {}))
    for values in (changed, short, other_order, parameters):
        for chosen in runs:
            assert_laid_out_anew(network, values, chosen)
    network.add_lif("c", 2)
    network.connect("a", "c", weight=1.0)
    assert_laid_out_anew(network, network.initialize(1), run)
    del network.connections["a->c"]
    assert_laid_out_anew(network, network.initialize(1), run)
    network.min_delay = 0.5
    assert_laid_out_anew(network, network.initialize(1), run)


def test_constants_that_are_no_parameters_are_laid_out_once():
    network, parameters, _ = recurrent(3, 20.0, 10.0, 25.0, 1.0, seed=0)
    first, second = (Layout(network, parameters, Run(90.0, {})).net for _ in range(2))
    assert first.neurons is second.neurons and first.pops is second.pops
    assert Layout(network, parameters, Run(80.0, {})).net.neurons is not first.neurons


def test_a_network_that_is_gone_takes_what_was_kept_of_it_along():
    network, parameters, _ = recurrent(3, 20.0, 10.0, 25.0, 1.0, seed=0)
    known = weakref.ref(skeleton.skeleton_of(network))
    Layout(network, parameters, Run(90.0, {}))
    del network
    gc.collect()
    assert known() is None
