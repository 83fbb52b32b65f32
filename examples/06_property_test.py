"""Property tests of a network: what must hold for every input, not for one example. Needs hypothesis."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn import Network, Normal, SpikeBatch, Uniform, losses, simulate
from eventsnn.testing import check_gradients, compare_engines, random_case

network = Network()
network.add_input("in", 5)
network.add_lif("hidden", 6)
network.add_readout("out", 2)
network.connect("in", "hidden", weight=Normal(2.0, 1.0), delay=Uniform(0, 10))
network.connect("hidden", "hidden", weight=Normal(0.0, 0.5), delay=Uniform(1, 10))
network.connect("hidden", "out", weight=Normal(0.0, 0.5), delay=Uniform(0, 10))
parameters = network.initialize(seed=0)

trains = st.lists(st.tuples(st.integers(5, 40), st.integers(0, 4)), min_size=1, max_size=15)  # ms, not near 0 alone
quick = settings(max_examples=20, deadline=None, derandomize=True, database=None)


def run(spikes, shift=0.0):
    """Spike times and neurons of the hidden population for a list of (time, unit)."""
    times, units = zip(*spikes, strict=True)
    batch = SpikeBatch.from_lists([(np.array(times) + shift, units)])
    return simulate(network, parameters, batch, duration=300.0, n_threads=1).spikes("hidden", 0)


@quick
@given(trains, st.sampled_from([1.0, 2.5, 64.0]))
def test_later_input_gives_later_spikes(spikes, shift):
    (times, neurons), (later, same_neurons) = run(spikes), run(spikes, shift)
    assert np.array_equal(neurons, same_neurons)
    assert np.allclose(later, times + shift, rtol=0, atol=1e-6)


@quick
@given(trains, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(spikes, random):
    shuffled = random.sample(spikes, len(spikes))
    assert all(np.array_equal(one, other) for one, other in zip(run(spikes), run(shuffled), strict=True))


for test in (test_later_input_gives_later_spikes, test_the_order_of_the_input_does_not_matter):
    test()
    print(f"{test.__name__}: holds")

# gradients against central differences and complex steps; raises with the worst coordinate where they disagree
rng = np.random.default_rng(0)
batch = SpikeBatch.from_lists([(rng.uniform(0, 40, 12), rng.integers(0, 5, 12)) for _ in range(2)])
loss = losses.ExponentialMeanVoltage()
report = check_gradients(network, parameters, batch, [0, 1], loss=loss, duration=80.0, n_coordinates=20)
print(f"check_gradients: {report.complex.n_coordinates} coordinates agree, {len(report.central.excluded)} excluded")

# a drawn problem (recurrent, sparse, shared delays, ties, ...), compiled engine against the reference
case = random_case(7)
comparison = compare_engines(**case._asdict())
print(f"compare_engines: {comparison.n_spikes} spikes agree within a picosecond: {comparison.time_error < 1e-9}")
