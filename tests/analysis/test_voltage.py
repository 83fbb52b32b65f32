"""Exact voltages from the spikes alone: they start, rest, fire and are reset where the constants say."""

import numpy as np
import pytest

from eventsnn import InvalidInput, Network, SpikeBatch, simulate
from eventsnn.analysis import voltages
from eventsnn.losses import MeanVoltage


def test_voltages_start_at_rest_fire_at_the_threshold_and_go_on_from_the_reset():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("a", 2, tau_mem=12.0, v_threshold=1.4, v_reset=[0.3, -0.6], v_rest=0.2, bias=[1.5, 0.4])
    network.add_readout("out", 1, v_rest=-0.5, bias=0.25)
    network.connect("in", "a", weight=2.0, delay=1.0)
    network.connect("a", "out", weight=0.3, delay=2.0)
    parameters, batch = network.initialize(), SpikeBatch.from_lists([([1.0, 4.0, 9.0, 20.0], [0, 0, 0, 0])])
    recording = simulate(network, parameters, batch, duration=60.0, probes=MeanVoltage().probes(network, 60.0))
    fired, units = recording.spikes("a", 0)
    for neuron, reset in enumerate((0.3, -0.6)):
        own = fired[units == neuron]
        assert own.size >= 2 - neuron
        for times, expected in ((own, reset), (own * (1 - 1e-15) - 1e-12, 1.4), ([0.0], 0.2)):
            found = voltages(network, parameters, recording, 0, "a", [neuron], times)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    # the mean of the readout's voltage is what the engine integrates in closed form
    grid = np.linspace(0.0, 60.0, 60_001)
    trace = voltages(network, parameters, recording, 0, "out", [0], grid)[0]
    integral = np.sum(0.5 * (trace[1:] + trace[:-1]) * np.diff(grid))
    np.testing.assert_allclose(recording.readouts["out"].integral[0, 0], integral, rtol=1e-6)


@pytest.mark.parametrize("change", [{"n": 5}, {"name": "other"}, {"inputs": "more"}])
def test_the_recording_of_another_network_is_refused(change):
    """It gave voltages of no network, above threshold without a spike."""

    def build(n=3, name="h", inputs="in"):
        network = Network()
        network.add_input(inputs, 2)
        network.add_lif(name, n)
        network.connect(inputs, name, weight=1.0)
        return network

    network, other = build(), build(**change)
    recording = simulate(network, network.initialize(), SpikeBatch.from_lists([([1.0], [0])]), duration=20.0)
    name = change.get("name", "h")
    with pytest.raises(InvalidInput, match=r"^recording is .* allowed: one of .* Pass the network that was simulated"):
        voltages(other, other.initialize(), recording, 0, name, [0], [2.0])


@pytest.mark.parametrize(
    "change, said",
    [
        (
            {"recording": "batch"},
            "recording is 'SpikeBatch'; allowed: a Recording. simulate(network, parameters, spikes",
        ),
        ({"recording": "parameters", "parameters": "recording"}, "recording is 'dict'; allowed: a Recording."),
        ({"parameters": "recording"}, "parameters is 'Recording'; allowed: a dict of arrays"),
        ({"neurons": "0"}, "neurons is '0'; allowed: a list of neurons from 0 to 3. [0] for one."),
        ({"neurons": [0.5]}, "neurons[0] is 0.5; allowed: whole numbers from 0 to 3"),
        ({"times": ["a"]}, "times is "),
        ({"times": [[1.0]]}, "times is "),
        ({"times": [1.0, -1.0]}, "times[1] is -1.0; allowed: 0 to "),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(change, said, model):
    right = dict(zip(("network", "parameters", "batch", "recording"), model, strict=True))
    given = right | {"sample": 0, "population": "hidden", "neurons": [0], "times": [1.0]}
    given |= {key: right.get(value, value) if isinstance(value, str) else value for key, value in change.items()}
    del given["batch"]
    with pytest.raises(InvalidInput) as error:
        voltages(**given)
    assert str(error.value).startswith(said)


def test_no_neurons_have_no_voltages(model):
    network, parameters, _, recording = model
    assert voltages(network, parameters, recording, 0, "hidden", [], [1.0, 2.0]).shape == (0, 2)
    assert voltages(network, parameters, recording, 0, "hidden", [0], 1.0).shape == (1, 1)
