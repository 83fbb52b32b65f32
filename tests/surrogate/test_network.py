"""GridNetwork: what is described, counted and refused; how the width of spread delays falls."""

import numpy as np
import pytest

from eventsnn import InvalidInput, Network, NetworkError, Uniform, surrogate
from eventsnn.surrogate.network import GridNetwork
from eventsnn.surrogate.slopes import ArcTangent, Triangle
from eventsnn.surrogate.spread import Spread


def network(dt=2.0):
    made = GridNetwork(dt)
    made.add_input("in", 3)
    made.add_lif("hidden", 4, tau_mem=10.0)
    made.add_readout("out", 2, tau_mem=10.0)
    return made


def test_widths_fall_exponentially_and_stay():
    spread = Spread("gaussian", (8.0, 2.0), epochs=4, longest=20.0)
    assert [spread.width(epoch) for epoch in (0, 2, 4, 9)] == [8.0, 4.0, 2.0, 2.0]


def test_sigma_of_an_epoch_is_a_parameter_that_a_checkpoint_holds():
    made = network()
    made.connect("in", "hidden", weight=1.0, delay=2.0, spread=Spread("triangle", (8.0, 2.0), epochs=4))
    parameters = made.initialize()
    assert parameters["in->hidden.sigma"] == 8.0
    assert made.at(parameters, 2)["in->hidden.sigma"] == 4.0
    assert "in->hidden.sigma" not in made.trainable


def test_delays_keep_below_the_longest_and_none_without_a_spread_is_trained():
    made = network()
    made.connect("in", "hidden", weight=1.0, delay=Uniform(0, 20), spread=Spread("gaussian", 2.0, longest=20.0))
    made.connect("hidden", "out", weight=1.0, delay=Uniform(0, 50))
    parameters = made.initialize()
    assert parameters["hidden->out.delay"].max() > 20.0
    assert made.bounds()["in->hidden.delay"] == (0.0, 20.0) and "hidden->out.delay" not in made.trainable
    parameters["in->hidden.delay"][1, 2] = 20.5
    with pytest.raises(InvalidInput, match=r"in->hidden.delay\[1, 2\] is 20.5.*from 0 to 20"):
        made.check_parameters(parameters)


def test_delays_that_are_drawn_beyond_the_longest_are_not_cut_off_silently():
    made = network()
    made.connect("in", "hidden", weight=1.0, delay=Uniform(0, 50), spread=Spread("gaussian", 2.0, longest=20.0))
    with pytest.raises(InvalidInput, match=r"in->hidden.delay is 4\d.*; allowed: draws <= 20 ms. Draw shorter ones"):
        made.initialize()


def test_synapses_that_a_mask_leaves_out_are_zero():
    made = network()
    mask = np.arange(12).reshape(3, 4) % 2 == 0
    made.connect("in", "hidden", weight=2.0, mask=mask)
    np.testing.assert_array_equal(made.initialize()["in->hidden.weight"], 2.0 * mask)


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (lambda n: GridNetwork(0.0), "dt is 0.0"),
        (lambda n: n.add_lif("a", 2, tau_mem=1.0), "a.tau_mem is 1.0; allowed: numbers >= 2"),
        (lambda n: n.add_lif("a", 2, reset="none"), "a.reset is 'none'"),
        (lambda n: n.add_lif("a", 2, surrogate="arctangent"), "a.surrogate"),
        (lambda n: n.add_lif("a", 2, v_threshold=0), "a.v_threshold is 0"),
        (lambda n: n.add_lif("a", 2, dropout=1.0), "a.dropout is 1.0"),
        (lambda n: n.add_lif("a", 2, batch_norm="no"), "a.batch_norm is 'no'; allowed: True or False"),
        (lambda n: n.add_lif("a", 2, detach_reset=2), "a.detach_reset is 2"),
        (lambda n: n.add_lif("a", 2, tau_mem=[9.0, 9.0, 9.0]), r"tau_mem.shape is \(3,\); allowed: \(2,\)"),
        (lambda n: Spread("triangle", 3.0, learned="yes"), "spread.learned is 'yes'"),
        (lambda n: n.add_lif("a", 2, input_dropout=-0.1), "a.input_dropout is -0.1"),
        (lambda n: n.add_lif("a", 2, bias="yes"), "a.bias is 'yes'"),
        (lambda n: n.add_lif("a", 2, train=("tau_syn",)), "tau_syn"),
        (lambda n: n.add_lif("hidden", 2), "exists already"),
        (lambda n: n.add_lif("a->b", 2), "name is 'a->b'"),
        (lambda n: n.connect("out", "hidden", weight=1.0), "spikes go to a population added later"),
        (lambda n: n.connect("in", "in", weight=1.0), "cannot send"),
        (lambda n: n.connect("in", "nobody", weight=1.0), "post is 'nobody'"),
        (lambda n: n.connect("in", "hidden", weight=1.0, spread=Spread("triangle", 1.0)), "None without delays"),
        (lambda n: n.connect("in", "hidden", weight=1.0, count=2), "in->hidden.count is 2"),
        (lambda n: n.connect("in", "hidden", weight=1.0, delay=1.0, delay_per="layer"), "delay_per is 'layer'"),
        (
            lambda n: n.connect("in", "hidden", weight=1.0, train="delay"),
            "in->hidden.train is 'delay'.* Pass delay= and",
        ),
        (
            lambda n: n.connect("in", "hidden", weight=1.0, dropout=0.5),
            "dropout is 0.5; allowed: 0 but for a recurrent",
        ),
        (
            lambda n: n.add_lif("a", 9, tau_mem=Uniform(0.1, 9)) or n.initialize(),
            "a.tau_mem is .*; allowed: draws >= 2",
        ),
        (
            lambda n: surrogate.simulate(Network(), {}, None, duration=1.0),
            "network is 'Network'; allowed: a GridNetwork",
        ),
        (lambda n: Spread("gaussian", 1.0), "the longest delay"),
        (lambda n: Spread("square", 1.0), "spread.kind is 'square'"),
        (lambda n: Spread("triangle", (1.0, 0.0)), "two widths > 0"),
        (lambda n: Spread("triangle", 1.0, epochs=0), "spread.epochs is 0"),
        (lambda n: ArcTangent(0.0), "surrogate.slope is 0.0"),
        (lambda n: Triangle(np.inf), "surrogate.slope is inf"),
    ],
)
def test_what_cannot_be_is_refused_in_words(add, message):
    with pytest.raises((InvalidInput, NetworkError), match=message):
        add(network())


def test_a_network_of_before_dropout_was_refused_is_read():
    made = network()
    made.connect("in", "hidden", weight=1.0)
    described = made.to_dict()
    described["connections"][0]["dropout"] = 0.5
    assert GridNetwork.from_dict(described).fingerprint() == made.fingerprint()


def test_delays_are_rounded_after_an_epoch_where_that_is_asked_for():
    made = network()
    made.connect("in", "hidden", weight=1.0, delay=Uniform(0, 20), spread=Spread("triangle", 2.0, rounds=True))
    made.connect("hidden", "hidden", weight=1.0, delay=Uniform(0, 20), spread=Spread("triangle", 2.0))
    made.connect("hidden", "out", weight=1.0)
    before = made.initialize()
    after = made.after_epoch(before)
    steps = after["in->hidden.delay"] / made.dt
    assert (
        np.all(steps == np.rint(steps)) and np.abs(after["in->hidden.delay"] - before["in->hidden.delay"]).max() <= 1.0
    )
    assert all(after[name] is before[name] for name in before if name != "in->hidden.delay")
    assert GridNetwork.from_dict(made.to_dict()).connections["in->hidden"].spread.rounds
