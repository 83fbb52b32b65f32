"""Grid networks in the one trainer: presets with the published sizes, checkpoints, runs, and what they refuse."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from eventsnn import InvalidInput, experiments, losses
from eventsnn.analysis import permuted_delays
from eventsnn.cli import main
from eventsnn.data.dataset import Dataset
from eventsnn.experiments import results, runs
from eventsnn.network import Uniform
from eventsnn.optimizers import Adam
from eventsnn.spikes import SpikeBatch
from eventsnn.surrogate.network import GridNetwork
from eventsnn.surrogate.spread import Spread
from eventsnn.training import Trainer, evaluate, load_model
from eventsnn.training.methods.choosing import method_of

SIZES = {"shd": (140, 20), "ssc": (140, 35), "ps-mnist": (1, 10)}  # (channels, classes)


def trained(name, *changes):
    """Number of trained parameters of a preset."""
    preset = experiments.change(experiments.named(name), changes)
    sizes = SIZES[name if name in SIZES else name.split("-")[0]]
    network = experiments.build_grid_network(preset, SimpleNamespace(n_units=sizes[0], n_classes=sizes[1]))
    parameters = network.initialize()
    return sum(parameters[key].size for key in network.trainable)


@pytest.mark.parametrize(
    ("name", "changes", "published"),
    [
        ("shd-dcls", (), 214_016),
        ("ssc-dcls", (), 705_536),
        ("ssc-dcls", ("network.hidden=[512, 512, 512]",), 1_230_848),
        ("ssc-dcls", ("grid.synapses=2",), 1_409_024),
        ("ssc-dcls", ("network.hidden=[512, 512, 512]", "grid.synapses=2"), 2_458_624),
        ("shd-delrec", (), 173_844),
        ("ssc-delrec", (), 374_819),
        ("ps-mnist", (), 156_154),
    ],
)
def test_as_many_parameters_as_published(name, changes, published):
    assert trained(name, *changes) == published


# initial weights to the first layer and biases, detach_reset, batch norm, dropout (sent, received, recurrent),
# tau_mem/dt of the output, weight decay, decoupled or not
LINEAR, HE = ["kaiming", 3.0**-0.5, "uniform"], ["kaiming", 2.0**0.5, "uniform"]
AS_IN_THE_CODE = {
    "shd-dcls": (HE, False, True, True, (0.4, 0.0, 0.0), 1.005, 1e-5, False),
    "ssc-dcls": (HE, False, True, True, (0.25, 0.0, 0.0), 1.5, 1e-5, False),
    "shd-delrec": (HE, LINEAR, False, True, (0.4, 0.0, 0.2), 1.05, 1e-5, True),
    "shd-delrec-small": (LINEAR, False, True, False, (0.4, 0.0, 0.2), 2.0, 1e-5, True),
    "ssc-delrec": (LINEAR, LINEAR, False, False, (0.0, 0.1, 0.3), 1.0, 1e-5, False),
    "ps-mnist": (LINEAR, LINEAR, False, False, (0.0, 0.1, 0.2), 1.0, 1e-2, True),
}


@pytest.mark.parametrize("name", AS_IN_THE_CODE)
def test_what_was_read_in_the_published_code_is_in_the_presets(name):
    preset = experiments.named(name)
    network, grid, optimizer = preset.network, preset.grid, preset.optimizer
    found = (
        network.input_weight, grid.bias, grid.detach_reset, grid.batch_norm,
        (grid.dropout, grid.input_dropout, grid.recurrent_dropout), network.output_tau_mem / grid.dt,
        optimizer.weight_decay, optimizer.decoupled,
    )  # fmt: skip
    expected = AS_IN_THE_CODE[name]
    assert found[:5] == expected[:5] and found[5:] == pytest.approx(expected[5:])


def test_biases_begin_as_those_of_linear_layers(data):
    network = experiments.build_grid_network(
        grid_preset('grid.bias=["kaiming", 0.5773502691896258, "uniform"]'), data[0]
    )
    n_inputs = data[0].n_units
    biases = np.concatenate([network.initialize(seed)["hidden1.bias"] for seed in range(50)])
    assert 0.95 / np.sqrt(n_inputs) < np.abs(biases).max() <= 1.0 / np.sqrt(n_inputs)


# steps: tau_mem/dt, longest or typical delay/dt; then rates of weights and delays (in steps), epochs, batch
PUBLISHED = {
    "shd-dcls": (1.005, 24.0, 5e-3, 0.1, 150, 256),
    "ssc-dcls": (1.5, 30.0, 5e-3, 0.1, 60, 128),
    "gsc-dcls": (1.5, 30.0, 5e-3, 0.1, 100, 128),
    "shd-delrec": (1.05, 30.0, 5e-3, 0.05, 150, 256),
    "shd-delrec-small": (2.0, 30.0, 5e-3, 0.1, 30, 256),
    "ssc-delrec": (2.0, 12.0, 1e-3, 0.05, 100, 128),
    "ps-mnist": (2.0, 12.0, 1e-3, 0.05, 200, 256),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_are_the_published_ones(name):
    preset = experiments.named(name)
    network, dt, optimizer = preset.network, preset.grid.dt, preset.optimizer
    delay = network.recurrent_delay if network.recurrent else network.input_delay
    found = (
        network.tau_mem / dt, delay[-1] / dt, optimizer.learning_rate, optimizer.delay_learning_rate / dt,
        preset.training.epochs, preset.training.batch_size,
    )  # fmt: skip
    assert found == pytest.approx(PUBLISHED[name])


def test_widths_have_a_rate_of_their_own(data):
    changes = ("grid.learned_width=true", "optimizer.width_learning_rate=0.25", "optimizer.delay_schedule=constant")
    network, _, optimizer, _, _ = experiments.build(grid_preset(*changes), data)
    rates = optimizer.rates(network.trainable, 0)
    assert rates["hidden1->hidden1.width"] == 0.25
    assert rates["hidden1->hidden1.weight"] == pytest.approx(optimizer.learning_rate / 25)  # one_cycle begins low


def grid_preset(*changes):
    small = [
        "network.hidden=[6, 5]", "grid.dropout=0.2", "grid.longest_delay=40", "network.input_delay=[0, 40]",
        "network.between_delay=[0, 40]", "network.output_delay=none", "training.epochs=3", "training.batch_size=8",
        "network.recurrent=true", "network.recurrent_weight=orthogonal", "network.recurrent_delay=[20, 40]",
        "grid.sigma=[20, 5]", "network.tau_mem=20", "grid.bias=true",
    ]  # fmt: skip
    return experiments.change(experiments.named("spoken-digits-dcls"), [*small, *changes])


@pytest.fixture(scope="module")
def data():
    """(train, validation, test): two classes, early and late spikes."""
    generator = np.random.default_rng(0)

    def dataset(n):
        labels = np.arange(n) % 2
        trains = [(100.0 * label + 90 * generator.random(20), generator.integers(0, 8, 20)) for label in labels]
        return Dataset(SpikeBatch.from_lists(trains), labels, 8, 2, 200.0)

    return dataset(24), dataset(10), dataset(10)


MODES = {
    "learned": {"input->hidden1", "hidden1->hidden2", "hidden1->hidden1", "hidden2->hidden2"},
    "feed-forward": {"input->hidden1", "hidden1->hidden2"},
    "recurrent": {"hidden1->hidden1", "hidden2->hidden2"},
    "fixed": set(),
    "none": set(),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_delays(data, mode):
    network = experiments.build(grid_preset(f"delays={mode}"), data).network
    learned = {name.removesuffix(".delay") for name in network.trainable if name.endswith(".delay")}
    assert learned == MODES[mode]
    delayed = {c.name for c in network.connections.values() if c.delay is not None}
    assert delayed == (MODES["learned"] if mode in ("learned", "fixed") else MODES[mode])


def test_all_four_other_modes_can_be_compared():
    assert experiments.control_modes(grid_preset()) == ["fixed", "none", "feed-forward", "recurrent"]
    assert experiments.control_modes(experiments.named("shd-delrec")) == ["fixed", "none"]
    assert experiments.control_modes(experiments.named("shd-dcls")) == ["fixed", "none"]


def test_recurrence_in_chosen_layers(data):
    network = experiments.build(grid_preset("grid.recurrent_layers=[2]"), data).network
    assert {c.name for c in network.connections.values() if c.recurrent} == {"hidden2->hidden2"}
    with pytest.raises(InvalidInput, match=r"grid.recurrent_layers\[0\] is 3"):
        grid_preset("grid.recurrent_layers=[3]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network.output=spikes", "network.output is 'spikes'"),
        ("network.input_synapses=2", "see grid.synapses"),
        ("optimizer.delay_schedule=cosinus", "Did you mean 'cosine'"),
        ("network.train_neurons=['v_threshold']", "one of tau_mem"),
        ("grid.longest_delay=30", "delays up to grid.longest_delay, 30 ms"),
        ("network.input_delay=500", "delays up to grid.longest_delay"),
        ("network.input_delay=[[0.0, 500.0], [1.0, 2.0]]", "delays up to grid.longest_delay"),
        ("grid.longest_delay=-5", "grid.longest_delay is -5.0; allowed: a time > 0 ms, or none"),
        ("network.min_delay=7", "network.min_delay is 7.0; allowed: 1.0, because a network on a grid"),
        ("training.shards=3", "training.shards is 3"),
        ("training.max_spikes=5", "training.max_spikes is 5"),
    ],
)
def test_settings_that_a_grid_has_no_use_for(change, message):
    with pytest.raises(InvalidInput, match=message):
        grid_preset(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network.input_weight=kaimin", "Did you mean 'kaiming'"),
        ("network.input_weight=['normal', 1, 2, 3]", "at most its mean, sd"),
        ("network.input_delay=['uniform', 3]", r"input_delay is \['uniform', 3\]; allowed: uniform and its low, high"),
        ("training.neuron_drop=0.1", "training.neuron_drop is 0.1; allowed: 0.0, because a network on a grid"),
        ("training.average=0.9", "training.average is 0.9; allowed: none with grid.batch_norm"),
        ('network.input_delay=["half_normal",500]', r"network.input_delay is \d+.*; allowed: draws <= .*grid.longest"),
        ("grid.surrogate=step", "grid.surrogate is 'step'"),
        ("grid.sigma_epochs=5", "grid.sigma_epochs is 5.0; allowed: a share of the epochs, 0 < share <= 1"),
        ("grid.sigma=[1.0,2.0]", "grid.sigma is .*the second not above the first"),
        ("grid.recurrent_delay_per=axon", "grid.recurrent_delay_per is 'axon'; allowed: one of synapse, neuron"),
        ("grid.synapses=0", "grid.synapses is 0; allowed: a number >= 1"),
    ],
)
def test_settings_that_nothing_can_be_built_of(data, change, message):
    with pytest.raises(InvalidInput, match=message):
        preset = grid_preset(change)
        experiments.initialize(preset, experiments.build(preset, data).network)


@pytest.mark.parametrize(
    ("option", "message"),
    [({"neuron_drop": 0.1}, "which has dropout="), ({"average": 0.9}, "average is 0.9; allowed: None with batch norm")],
)
def test_options_that_a_grid_has_no_use_for(data, option, message):
    built = experiments.build(grid_preset(), data)
    with pytest.raises(InvalidInput, match=message):
        Trainer(built.network, built.network.initialize(), loss=built.loss, optimizer=Adam(1.0), **option)


def fit(data, folder, stop_at=None):
    """A trainer after its fit, interrupted in the step ``stop_at`` if there is one, and resumed."""
    built = experiments.build(grid_preset(), data)

    def stop(trainer, kind, values):
        if kind == "step" and values["step"] == stop_at:
            raise KeyboardInterrupt

    def trainer(*callbacks):
        return Trainer(
            built.network, built.network.initialize(0), loss=built.loss, optimizer=built.optimizer,
            options=built.options, checkpoint=folder / "checkpoint", progress=False, n_threads=1, callbacks=callbacks,
        )  # fmt: skip

    if stop_at is not None:
        with pytest.raises(KeyboardInterrupt):
            trainer(stop).fit(*data[:2], epochs=3)
    last = trainer()
    last.fit(*data[:2], epochs=3, resume=stop_at is not None)
    return last


def test_an_interrupted_run_ends_with_the_same_bits(data, tmp_path):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole, stopped = fit(data, tmp_path / "whole"), fit(data, tmp_path / "stopped", stop_at=4)
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(stopped.parameters[name], array, err_msg=name)
    network, parameters, meta = load_model(tmp_path / "stopped" / "checkpoint")
    assert list(meta["initial"]) == list(parameters) == list(network.initialize())  # pictures follow the order
    assert network.fingerprint() == whole.network.fingerprint()
    result = evaluate(network, parameters, data[2], loss=whole.loss, duration=whole.duration, n_threads=1)
    assert result.loss == whole.evaluate(data[2]).loss


def test_delays_that_are_rounded_after_each_epoch_tell_the_same_rounded_and_between_steps(data):
    built = experiments.build(grid_preset("grid.round_delays=true"), data)
    trainer = Trainer(
        built.network, built.network.initialize(0), loss=built.loss, optimizer=built.optimizer, options=built.options,
        progress=False, n_threads=1,
    )  # fmt: skip
    trainer.fit(*data[:2], epochs=2)
    delays = trainer.parameters["input->hidden1.delay"] / built.network.dt
    np.testing.assert_array_equal(delays, np.rint(delays))
    rounded, between = (trainer.evaluate(data[1], delays=how) for how in ("rounded", "fractional"))
    assert rounded.accuracy == between.accuracy and rounded.loss == pytest.approx(between.loss, rel=1e-5)


def test_sigma_and_running_statistics_are_kept_with_the_parameters_they_belong_to(data, tmp_path):
    trainer = fit((data[0], None), tmp_path)
    network, parameters = trainer.network, trainer.parameters
    assert parameters["hidden1->hidden1.sigma"] == network.connections["hidden1->hidden1"].spread.width(2)
    assert np.any(parameters["hidden1.running_mean"] != 0) and np.any(parameters["hidden1.running_variance"] != 1)


def test_evaluation_leaves_the_parameters_alone_and_says_how_delays_are_read(data, tmp_path):
    trainer = fit(data, tmp_path)
    before = {name: array.copy() for name, array in trainer.parameters.items()}
    found = {how: trainer.evaluate(data[1], delays=how) for how in ("rounded", "fractional", "spread")}
    assert len({result.spikes_per_neuron for result in found.values()}) == 3
    assert found["rounded"].loss == trainer.evaluate(data[1]).loss
    for name, array in before.items():
        np.testing.assert_array_equal(trainer.parameters[name], array)
    with pytest.raises(InvalidInput, match="delays is 'whole'"):
        trainer.evaluate(data[1], delays="whole")


def test_a_run_reports_both_ways_to_read_delays_and_is_found_again(data, tmp_path):
    preset = grid_preset()
    result = runs.train(preset, data, tmp_path / "run", progress=False, n_threads=1)
    assert 0 <= result["accuracy_fractional"] <= 1 and 0 <= result["accuracy"] <= 1
    assert runs.train(preset, data, tmp_path / "run", progress=False, n_threads=1) == result


@pytest.mark.parametrize("bias", ["yes", "'none'"])
def test_words_that_are_no_bias_are_refused_with_those_that_are(data, bias):
    with pytest.raises(InvalidInput, match="bias.*[Tt]rue"):
        experiments.build(grid_preset(f"grid.bias={bias}"), data)


def test_ranks_are_refused(data):
    built = experiments.build(grid_preset(), data)
    recordings = method_of(built.network).recordings(
        built.network.initialize(0), data[0].spikes, loss=built.loss, duration=200.0, team=SimpleNamespace(size=2),
        n_threads=1, max_spikes=10,
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="1 for a GridNetwork"):
        next(recordings)


def test_the_command_trains_evaluates_and_draws(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folder = str(tmp_path / "run")
    tiny = ["data.samples=60", "network.hidden=[8, 8]", "training.epochs=1"]
    assert main(["train", "spoken-digits-delrec", "--out", folder, "--quiet", "--set", *tiny]) == 0
    assert "between steps" in capsys.readouterr().out
    assert main(["evaluate", folder, "--delays", "fractional", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == runs.read_json(tmp_path / "run" / runs.RESULT)["accuracy_fractional"]
    assert main(["evaluate", folder, "--round-delays", "1"]) == 2
    assert "--delays fractional" in capsys.readouterr().err
    assert main(["plot", folder, "--what", "voltage", "raster", "delays"]) == 0
    assert main(["plot", folder, "--what", "adjoint"]) == 2
    assert "the adjoint that can be drawn is that of events" in capsys.readouterr().err


def test_delays_of_events_are_not_read_in_other_ways(data):
    preset = experiments.change(experiments.named("yin-yang"), ["network.hidden=[3]"])
    network = experiments.build_network(preset, SimpleNamespace(n_units=8, n_classes=2))
    with pytest.raises(InvalidInput, match="real-valued delays"):
        evaluate(
            network,
            network.initialize(),
            data[0],
            loss=experiments.build_loss(preset),
            delays="fractional",
            n_threads=1,
        )


def test_sparse_networks_are_counted_and_permuted_where_there_are_synapses(data):
    preset = grid_preset("network.input_sparsity=0.6", "network.between_sparsity=0.5")
    network = experiments.build(preset, data).network
    parameters = network.initialize(0)
    there = {name: network.connections[name].mask.sum() for name in ("input->hidden1", "hidden1->hidden2")}
    counts = results.count_parameters(network, parameters)
    dense = 6 * 6 + 5 * 5 + 5 * 2  # recurrent, and to the output
    assert counts["weights"] == sum(there.values()) + dense and counts["delays"] == sum(there.values()) + 6 + 5
    mask = network.connections["input->hidden1"].mask
    parameters["input->hidden1.delay"] = np.where(mask, 5.0, 40.0)
    permuted = permuted_delays(network, parameters, 0)
    np.testing.assert_array_equal(permuted["input->hidden1.delay"], parameters["input->hidden1.delay"])
    assert not np.array_equal(permuted["hidden1->hidden2.delay"], parameters["hidden1->hidden2.delay"])


def small_grid(n_out=2):
    network = GridNetwork(dt=1.0)
    network.add_input("input", 8)
    network.add_lif("hidden", 4, tau_mem=20.0, tau_syn=Uniform(2.0, 5.0), train=True)
    network.add_readout("output", n_out)
    spread = Spread("triangle", sigma=(5.0, 1.0), longest=40.0)
    network.connect("input", "hidden", weight=0.5, delay=Uniform(0.0, 20.0), spread=spread)
    network.connect("hidden", "output", weight=0.5)
    return network


def grid_trainer(network, parameters=None, **settings):
    parameters = network.initialize(0) if parameters is None else parameters
    settings = {"loss": losses.MeanVoltage(), "optimizer": Adam(1e-12), "progress": False, "n_threads": 1, **settings}
    return Trainer(network, parameters, **settings)


def test_values_outside_a_bound_are_refused_on_a_grid_too(data):
    network = small_grid()
    optimizer = Adam(1e-12, bounds={"hidden.tau_syn": (3.0, 10.0)})
    with pytest.raises(InvalidInput, match=r"^hidden.tau_syn\[\d\] is 2.*numbers from 3 to 10, the bounds in training"):
        grid_trainer(network, optimizer=optimizer).fit(data[0], epochs=1)
    for name, value, message in (
        ("hidden.tau_syn", 1e-4, "numbers from 0.001 to inf"), ("hidden.tau_mem", 0.5, "numbers from 1 to inf"),
        ("input->hidden.delay", 41.0, "numbers from 0 to 40"),
    ):  # fmt: skip
        parameters = network.initialize(0)
        parameters[name] = np.full_like(parameters[name], value)
        with pytest.raises(InvalidInput, match=f"^{name}.*{message}"):
            grid_trainer(network, parameters)


def test_labels_and_outputs_of_a_grid_are_held_together_before_the_first_step(data):
    with pytest.raises(
        InvalidInput, match=r"^train.labels\[1\] is 1; allowed: classes from 0 to 0, the neurons of 'out"
    ):
        grid_trainer(small_grid(1)).fit(data[0], epochs=1)
    with pytest.raises(InvalidInput, match="no times to move"):
        grid_trainer(small_grid(), loss=losses.FirstSpike()).fit(data[0], epochs=1)
    with pytest.warns(UserWarning, match="'output' has 5 neurons for the 2 classes"):
        grid_trainer(small_grid(5)).fit(data[0], epochs=0)


@pytest.mark.parametrize("loss", [losses.MeanVoltage(), losses.SummedVoltage(), losses.MaxVoltage()])
def test_voltages_of_a_grid_cannot_overflow(data, loss):
    network = small_grid()
    parameters = network.initialize(0)
    parameters["input->hidden.weight"][:] = 20.0
    parameters["hidden->output.weight"][:] = 1e30  # steps are computed in float32
    assert np.isfinite(evaluate(network, parameters, data[0], loss=loss, n_threads=1).loss)
    parameters["hidden->output.weight"][:] = 3e38
    with pytest.raises(InvalidInput, match=r"is 3e\+38; allowed: numbers from -1e\+30 to 1e\+30"):
        evaluate(network, parameters, data[0], loss=loss, n_threads=1)
