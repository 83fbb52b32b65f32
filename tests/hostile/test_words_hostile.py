"""Refusals of what is often written: names that are nearly right, settings in Python's words, folders of runs."""

import re
from typing import Any, get_type_hints

import pytest

import eventsnn
from eventsnn import InvalidInput, Network, SpikeBatch, data, experiments, losses, network, simulate
from eventsnn.experiments import presets
from eventsnn.surrogate import GridNetwork

# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "room, name, meant",
    [
        (losses, "MeanVoltag", "MeanVoltage"),
        (losses, "meanvoltage", "MeanVoltage"),
        (eventsnn, "simulat", "simulate"),
        (eventsnn, "Networks", "Network"),
        (data, "load_sdh", "load_shd"),
        (network, "Normall", "Normal"),
        (eventsnn.optimizers, "Adamm", "Adam"),
        (eventsnn.plotting, "rasters", "raster"),
        (eventsnn.training, "Trainr", "Trainer"),
    ],
)
def test_a_name_that_is_nearly_right_is_asked_for(room, name, meant):
    said = rf"^module '{room.__name__}' has no attribute '{name}'\. Did you mean '{meant}'\?$"
    with pytest.raises(AttributeError, match=said):
        getattr(room, name)


def test_a_name_like_no_other_is_only_said_not_to_be_there():
    with pytest.raises(AttributeError, match="^module 'eventsnn' has no attribute 'qqqq'$"):
        _ = eventsnn.qqqq
    with pytest.raises(AttributeError, match="^module 'eventsnn.data' has no attribute 'qqqq'$"):
        _ = data.qqqq
    assert not hasattr(eventsnn, "__wrapped__") and not hasattr(losses, "_private")


# Neurons -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Network, lambda: GridNetwork(1.0)], ids=["events", "grid"])
@pytest.mark.parametrize("name", ["tau_ref", "t_ref", "refractory", "refractory_period", "tau_refrac", "Refractory"])
def test_there_is_no_refractory_period(make, name):
    with pytest.raises(InvalidInput, match=rf"is '{name}'; allowed: .* There is no refractory period: .*\.$") as caught:
        make().add_lif("a", 2, **{name: 2.0})
    assert "Did you mean" not in str(caught.value)


def test_other_constants_are_answered_with_the_nearest():
    with pytest.raises(InvalidInput, match=r"is 'v_ref'; .* Did you mean 'v_re"):
        Network().add_lif("a", 2, v_ref=0.0)


# Losses and what they read -------------------------------------------------------------------------------------------


def spiking(kind=Network, **settings):
    made = kind(**settings)
    made.add_input("in", 2)
    made.add_lif("out", 2)
    made.connect("in", "out", weight=0.5)
    return made


@pytest.mark.parametrize("loss", [losses.MeanVoltage(), losses.MaxVoltage(), losses.MeanVoltage("out")])
@pytest.mark.parametrize("made", [spiking(), spiking(GridNetwork, dt=1.0)], ids=["events", "grid"])
def test_a_loss_on_voltages_says_that_a_readout_lacks(loss, made):
    said = f"the readout that {type(loss).__name__} reads, and this network has none. Add one with add_readout, or, of "
    with pytest.raises(InvalidInput, match=said + "events, take a loss that reads spikes: FirstSpike or ") as caught:
        loss.probes(made, 20.0)
    assert "[]" not in str(caught.value) and "Pass population" not in str(caught.value)


def test_a_loss_on_spikes_says_that_neurons_lack():
    made = Network()
    made.add_input("in", 2)
    recording = simulate(made, {}, SpikeBatch.from_lists([([1.0], [0])]), duration=5.0)
    with pytest.raises(InvalidInput, match="the LIF population that FirstSpike reads, .* Add one with add_lif, or"):
        losses.FirstSpike()(recording, [0])


def test_populations_are_answered_with_the_nearest():
    made = spiking()
    made.add_readout("voltages", 2)
    with pytest.raises(InvalidInput, match=r"one of the readouts \['voltages'\]\. Did you mean 'voltages'\?"):
        losses.MeanVoltage("voltage").probes(made, 20.0)
    with pytest.raises(InvalidInput, match=r"one of the LIF populations \['out'\]\. Did you mean 'out'\?"):
        losses.FirstSpike(population="outt").probes(made, 20.0)


# Settings ------------------------------------------------------------------------------------------------------------

TINY = experiments.named("yin-yang")
OPTIONAL = ["training.average", "optimizer.clip_norm", "training.patience", "network.output_delay", "data.train"]


@pytest.mark.parametrize("key", OPTIONAL)
@pytest.mark.parametrize("word", ["None", "none"])
def test_no_value_is_written_in_either_way(key, word):
    table, _, name = key.partition(".")
    made = experiments.change(TINY, [f"{key}={word}"])
    assert getattr(getattr(made, table), name) is None
    assert experiments.from_dict({**TINY.to_dict(), "name": "x"}) is not None


@pytest.mark.parametrize("word, value", [("True", True), ("true", True), ("False", False), ("false", False)])
def test_truth_is_written_in_either_way(word, value):
    key = "network.train_weights"
    assert experiments.change(TINY, [f"{key}={word}", "delays=learned"]).network.train_weights is value
    assert presets._convert("grid.bias", presets._value(word), Any) is value


@pytest.mark.parametrize(
    "assignment, said",
    [
        ("network.recurrent=yes", "network.recurrent is 'yes'; allowed: true or false."),
        ("network.recurrent=1", "network.recurrent is 1; allowed: true or false."),
        ("network.recurrent=None", "network.recurrent is None; allowed: true or false."),
        ("training.epochs=ten", "training.epochs is 'ten'; allowed: a whole number."),
        ("training.epochs=None", "training.epochs is 'None'; allowed: a whole number."),
        ("training.epochs=true", "training.epochs is True; allowed: a whole number."),
        ("training.patience=never", "training.patience is 'never'; allowed: a whole number, or none."),
        ("training.average=off", "training.average is 'off'; allowed: a number, or none."),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate is 'fast'; allowed: a number."),
        ("network.hidden=big", "network.hidden is 'big'; allowed: a list, such as [1, 2]."),
        ("optimizer.kind=1", "optimizer.kind is 1; allowed: text."),
    ],
)
def test_a_setting_of_another_type_is_told_what_is_accepted(assignment, said):
    with pytest.raises(InvalidInput, match=f"^{re.escape(said)}"):
        experiments.change(TINY, [assignment])


def test_every_setting_has_a_type_that_refusals_can_name():
    for table in (presets.Preset, *(type(value) for value in vars(TINY).values() if hasattr(value, "__dict__"))):
        for key, kind in get_type_hints(table).items():
            if not hasattr(kind, "__dataclass_fields__") and kind is not Any:
                with pytest.raises(InvalidInput):
                    presets._convert(key, object(), kind)
