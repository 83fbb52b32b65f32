"""Presets: what they build, how they are changed, and that a key that is not known is refused with the nearest one."""

import contextlib
import json
import os
import subprocess
import sys
import tomllib
import warnings
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from eventsnn import experiments, losses
from eventsnn.cli.text import to_toml
from eventsnn.data.sets.spoken_digits import find_spoken_digits
from eventsnn.errors import InvalidInput
from eventsnn.network import Given, Normal, Uniform
from eventsnn.training import Trainer

TINY = ["data.samples=40", "training.epochs=1"]


def has_digits():
    try:
        find_spoken_digits()
    except InvalidInput:
        return False
    return True


needs_digits = pytest.mark.skipif(not has_digits(), reason="the spoken digits of datasets/ are not there")


@pytest.fixture(scope="module")
def digits():
    return experiments.load_data(experiments.named("spoken-digits-quick"))


# --------------------------------------------------------------------------------------------- what they are


@pytest.mark.parametrize("name", experiments.names())
def test_presets_survive_json_and_toml(name):
    preset = experiments.named(name)
    assert preset.name == name and preset.description
    # in a list each stands for itself, whatever stands above it
    assert "the same" not in preset.description
    assert experiments.from_dict(json.loads(json.dumps(preset.to_dict()))) == preset
    assert experiments.from_dict(tomllib.loads(to_toml(preset.to_dict()))) == preset


def test_toml_keeps_what_was_switched_off():
    preset = experiments.change(experiments.named("yin-yang"), ["network.input_delay=none", "delays=fixed"])
    assert preset.network.input_delay is None
    assert experiments.from_dict(tomllib.loads(to_toml(preset.to_dict()))) == preset


@needs_digits
def test_validation_of_digits_is_by_speaker(digits):
    train, validation, test = digits
    heard, held_out, unheard = (set(data.groups.tolist()) for data in (train, validation, test))
    assert held_out == {3} and not heard & held_out and not (heard | held_out) & unheard
    assert (len(train), len(validation), len(test)) == (810, 90, 300)
    assert train.n_units == 70 and train.duration == validation.duration == test.duration


@needs_digits
def test_delay_modes_of_the_recurrent_network(digits):
    preset = experiments.named("spoken-digits-quick")
    built = {mode: experiments.build(replace(preset, delays=mode), digits) for mode in experiments.DELAYS}
    learned, fixed, none = (built[mode].network for mode in ("learned", "fixed", "none"))
    assert "hidden->hidden.delay" in learned.trainable and "input->hidden.delay" in learned.trainable
    assert fixed.trainable == [name for name in learned.trainable if not name.endswith(".delay")]
    assert none.trainable == fixed.trainable
    first, second = learned.initialize(4), fixed.initialize(4)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    third = none.initialize(4)
    assert [name for name in third if name.endswith(".delay")] == ["hidden->hidden.delay"]
    assert third["hidden->hidden.delay"] == 1.0 and third["hidden->hidden.delay"].shape == ()
    assert np.array_equal(third["hidden->hidden.weight"], first["hidden->hidden.weight"])
    forward, back = built["feed-forward"].network, built["recurrent"].network
    assert [name for name in forward.trainable if name.endswith(".delay")] == ["input->hidden.delay"]
    assert [name for name in back.trainable if name.endswith(".delay")] == ["hidden->hidden.delay"]
    assert forward.initialize(4)["hidden->hidden.delay"] == 1.0 and "input->hidden.delay" not in back.initialize(4)


def test_a_network_is_compared_with_the_modes_that_differ_from_its_own():
    digits, yin_yang = experiments.named("spoken-digits"), experiments.named("yin-yang")
    assert experiments.control_modes(digits) == ["fixed", "none", "feed-forward", "recurrent"]
    assert experiments.control_modes(replace(digits, delays="recurrent")) == [
        "learned",
        "fixed",
        "none",
        "feed-forward",
    ]
    assert experiments.control_modes(yin_yang) == ["fixed", "none"]


@needs_digits
def test_digits_network_is_what_the_settings_say(digits):
    built = experiments.build(experiments.named("spoken-digits"), digits)
    connections = built.network.connections
    assert set(connections) == {"input->hidden", "hidden->hidden", "hidden->output"}
    assert connections["hidden->output"].delay is None and connections["hidden->output"].weight == Normal(0.0, 1.0)
    assert connections["input->hidden"].delay == Uniform(0.0, 200.0)
    assert isinstance(built.loss, losses.ExponentialMeanVoltage)
    rates = built.optimizer.rates(built.network.trainable, 0)
    settings = experiments.named("spoken-digits").optimizer
    assert rates["hidden->hidden.delay"] == settings.delay_learning_rate
    assert rates["hidden->hidden.weight"] == settings.learning_rate
    assert rates["hidden->output.weight"] == settings.output_learning_rate
    training = experiments.named("spoken-digits").training
    n_steps = training.epochs * -(-len(digits[0]) // training.batch_size)
    last = built.optimizer.rates(built.network.trainable, n_steps)
    assert last["hidden->hidden.weight"] == pytest.approx(settings.final * settings.learning_rate)
    assert [type(rule) for rule in built.options.regularizers] == [losses.SpikeCountTarget]


@needs_digits
def test_digits_take_a_step(digits):
    preset = experiments.named("spoken-digits-quick")
    built = experiments.build(preset, (digits[0].select(range(4)), *digits[1:]))
    trainer = Trainer(
        built.network, built.network.initialize(0), loss=built.loss, optimizer=built.optimizer, options=built.options,
        progress=False, n_threads=1,
    )  # fmt: skip
    history = trainer.fit(built.data[0], epochs=1)
    moved = [name for name in built.network.trainable if not np.array_equal(
        trainer.parameters[name], trainer.initial_parameters[name])]  # fmt: skip
    assert moved == built.network.trainable
    assert 1 < history.records[0]["spikes_per_neuron"] < 60


def fit(preset):
    built = experiments.build(preset)
    trainer = Trainer(
        built.network, built.network.initialize(preset.training.seed), loss=built.loss, optimizer=built.optimizer,
        options=built.options, progress=False, n_threads=1,
    )  # fmt: skip
    trainer.fit(*built.data[:2], epochs=preset.training.epochs)
    return trainer.evaluate(built.data[2])


def test_sequence_is_solved_by_delays_alone():
    preset = experiments.named("sequence")
    assert isinstance(experiments.build(preset).network.connections["input->output"].delay, Given)
    assert experiments.build(preset).network.trainable == ["input->output.delay"]
    accuracies = {mode: fit(replace(preset, delays=mode)).accuracy for mode in experiments.DELAYS}
    assert accuracies == {"learned": 1.0, "fixed": 0.0, "none": 0.5, "feed-forward": 1.0, "recurrent": 0.5}


def test_yin_yang_learns_something_in_one_epoch():
    preset = experiments.change(experiments.named("yin-yang"), ["data.samples=1000", "training.epochs=1"])
    built = experiments.build(preset)
    assert [len(data) for data in built.data] == [999, 1000, 1000]
    before = Trainer(
        built.network, built.network.initialize(0), loss=built.loss, optimizer=built.optimizer, progress=False,
        n_threads=1,
    ).evaluate(built.data[1])  # fmt: skip
    after = fit(preset)
    assert after.loss < 0.8 * before.loss


def test_layers_and_options_reach_what_is_built():
    changes = [
        "network.hidden=[6, 5]", "network.recurrent=true", "network.between_delay=[0,15]",
        "network.recurrent_delay=[1,9]", "loss.kind=first_spike", "loss.tau=2.0", "loss.delta=1",
        "optimizer.kind=sgd", "optimizer.max_delay=20", "optimizer.schedule=one_cycle", "optimizer.ease_in=0.1",
        "training.spike_strength=0.1", "training.silent_raise=0.01",
        "training.average=0.9", "augmentation.time_jitter=1", "optimizer.clip_norm=3.0",
    ]  # fmt: skip
    built = experiments.build(experiments.change(experiments.named("yin-yang"), [*TINY, *changes]))
    assert list(built.network.connections) == [
        "input->hidden1", "hidden1->hidden2", "hidden2->output", "hidden1->hidden1", "hidden2->hidden2",
    ]  # fmt: skip
    assert built.loss == losses.FirstSpike(2.0)
    assert built.optimizer.kind == "sgd" and built.optimizer.clip_norm == 3.0
    assert built.optimizer.bounds["hidden1->hidden2.delay"] == (0.0, 20.0)
    assert [rule.population for rule in built.options.regularizers] == ["hidden1", "hidden2"]
    assert [rule.population for rule in built.options.silent_raise] == ["hidden1", "hidden2", "output"]
    assert built.options.average == 0.9 and built.options.augmentation.time_jitter == 1.0


def test_an_input_has_several_synapses_on_a_neuron():
    preset = experiments.change(experiments.named("yin-yang"), [*TINY, "network.input_synapses=3"])
    built = experiments.build(preset)
    names = ["input->hidden", "input->hidden (2)", "input->hidden (3)"]
    assert list(built.network.connections) == [*names, "hidden->output"]
    parameters = built.network.initialize(0)
    delays = [parameters[f"{name}.delay"] for name in names]
    assert len({array.tobytes() for array in delays}) == 3 and all(array.size == 120 for array in delays)
    rates = built.optimizer.rates(built.network.trainable, 0)
    assert {rates[f"{name}.delay"] for name in names} == {preset.optimizer.delay_learning_rate}
    assert {rates[f"{name}.weight"] for name in names} == {preset.optimizer.learning_rate}
    with pytest.raises(InvalidInput, match="input_synapses"):
        experiments.build(experiments.change(preset, ["network.input_synapses=0"]))
    with pytest.raises(InvalidInput, match="1 without hidden layers"):
        experiments.change(experiments.named("sequence"), ["network.input_synapses=2"])


@pytest.mark.parametrize("mode, delayed", [("fixed", 4), ("feed-forward", 4), ("none", 1), ("recurrent", 1)])
def test_several_synapses_without_delays_are_one_with_the_sum_of_their_weights(mode, delayed):
    changes = ["network.input_synapses=4", "network.input_weight=[0.5,1.5]", "network.hidden=[4000,3]"]
    changes += ["network.between_delay=[0,15]", "network.recurrent_delay=[1,9]", "network.recurrent=true"]
    preset = experiments.change(experiments.named("yin-yang"), [*TINY, *changes, f"delays={mode}"])
    network = experiments.build(preset).network
    inputs = [c.name for c in network.connections.values() if c.pre == "input"]
    ends = [c.post for c in network.connections.values() if c.pre != c.post]
    assert len(inputs) == delayed and ends[delayed:] == ["hidden2", "output"]
    parameters = network.initialize(0)
    total = sum(parameters[f"{name}.weight"] for name in inputs)
    assert total.mean() == pytest.approx(2.0, abs=0.1) and total.std() == pytest.approx(3.0, rel=0.05)
    thinned = experiments.change(preset, ["network.input_sparsity=0.5", "network.input_weight=0.5"])
    network = experiments.build(thinned).network
    inputs = [c for c in network.connections.values() if c.pre == "input"]
    assert len(inputs) == 4 and len({c.indices.tobytes() for c in inputs}) == 4


def test_groups_are_refused_where_there_are_none():
    with pytest.raises(InvalidInput, match="data.validation_groups"):
        experiments.load_data(experiments.change(experiments.named("yin-yang"), ["data.validation_groups=[1]"]))


@pytest.mark.parametrize(
    ("preset", "setting", "users"),
    [
        ("braille", "data.threshold=3", "braille-analog"),
        ("spoken-digits", "data.train=x.h5", "files or braille or braille-analog"),
        ("yin-yang", "data.permuted=false", "sequential-mnist"),
        ("shd", "data.folder=x", "spoken-digits or sequential-mnist or speech-commands"),
        ("spoken-digits", "loss.tau=3", "first_spike"),
        ("yin-yang", "loss.kind=first_spike", "relative_first_spike"),
    ],
)
def test_settings_that_a_source_or_a_loss_would_not_look_at_are_refused(preset, setting, users):
    with pytest.raises(InvalidInput, match=f"has no use for it: it is for {users}"):
        experiments.change(experiments.named(preset), [setting])


def test_nothing_held_out_is_nothing_validated():
    data = experiments.load_data(experiments.change(experiments.named("yin-yang"), ["data.validation_fraction=0"]))
    assert data[1] is None and len(data[0]) == 5000 and len(data[2]) == 1000
    assert experiments.load_data(experiments.named("yin-yang"), test=False)[2] is None
    assert (
        experiments.load_data(experiments.change(experiments.named("sequence"), ["data.validation_fraction=0"]))[1]
        is None
    )


@pytest.mark.parametrize("name", ["braille", "braille-analog"])
def test_the_duration_of_a_preset_holds_its_data(name):
    folder = Path(os.environ.get("EVENTSNN_DATA", ""))
    preset = experiments.named(name)
    if not (folder / preset.data.train).is_file():
        pytest.skip(f"{preset.data.train} is not in a folder named by the environment variable EVENTSNN_DATA")
    train, *_ = experiments.load_data(preset)
    assert np.mean(train.spikes.times >= preset.data.duration) < 1e-3


def test_no_delays_are_the_shortest_allowed_ones_where_some_are_needed():
    changes = ["network.recurrent=true", "network.min_delay=2.5", "delays=none"]
    network = experiments.build(experiments.change(experiments.named("yin-yang"), [*TINY, *changes])).network
    assert network.initialize(0)["hidden->hidden.delay"] == 2.5 and network.connections["input->hidden"].delay is None


def test_stratified_split_of_files(tmp_path, write_spike_file):
    for name, n in (("train.h5", 40), ("test.h5", 8)):
        samples = [([0.001, 0.002], [0, sample % 4]) for sample in range(n)]
        write_spike_file(tmp_path / name, samples, np.arange(n) % 2)
    description = {
        "data": {
            "source": "files", "train": str(tmp_path / "train.h5"), "test": str(tmp_path / "test.h5"), "n_units": 4,
            "duration": 50, "validation_fraction": 0.25, "merge": 2,
        }
    }  # fmt: skip
    train, validation, test = experiments.load_data(experiments.from_dict(description))
    assert (len(train), len(validation), len(test)) == (30, 10, 8)
    assert np.bincount(validation.labels).tolist() == [5, 5]
    assert train.n_units == 2 and train.duration == test.duration == 50.0
    del description["data"]["n_units"]
    with pytest.raises(InvalidInput, match="data.n_units"):
        experiments.load_data(experiments.from_dict(description))


def test_files_in_milliseconds_are_refused_until_the_preset_says_so(tmp_path, write_spike_file):
    for name in ("train.h5", "test.h5"):
        write_spike_file(tmp_path / name, [([100.5, 900.0], [0, 1])] * 10, np.arange(10) % 2)
    data = {"source": "files", "train": str(tmp_path / "train.h5"), "test": str(tmp_path / "test.h5"), "n_units": 4}
    preset = experiments.from_dict({"data": {**data, "duration": 1000}})
    with pytest.raises(InvalidInput, match=r"train.h5: spikes/times\[sample 0\]\[1\] is 900.0; allowed: seconds"):
        experiments.load_data(preset)
    train, *_ = experiments.load_data(experiments.change(preset, ["data.time_unit=ms"]))
    assert train.spikes[0].times.tolist() == [100.5, 900.0]
    # those who ask for samples that long have looked at the times: so it was before there were units
    assert (
        experiments.load_data(experiments.change(preset, ["data.duration=1000000"]))[0].spikes.times.max() == 900_000.0
    )
    with pytest.raises(InvalidInput, match="data.time_unit is 'sec'; allowed: one of s, ms, us, ns"):
        experiments.change(preset, ["data.time_unit=sec"])
    with pytest.raises(InvalidInput, match="data.time_unit.*has no use for it: it is for files"):
        experiments.change(experiments.named("spoken-digits"), ["data.time_unit=ms"])


DAMAGED_TOML = {
    "lists without end": "x = " + "[" * 10_000,
    "a number of many digits": "training = {epochs = " + "9" * 5000 + "}",
    "a float of many digits": "[network]\ntau_mem = 1" + "0" * 400,
    "no text": b"\xff\xfe",
    "a list as base": 'base = ["yin-yang"]',
    "a number as base": "base = 3",
    "a table of a number": "network = 3",
    "a date": "[training]\nepochs = 1979-05-27",
}


@pytest.mark.parametrize("text", DAMAGED_TOML.values(), ids=DAMAGED_TOML.keys())
def test_files_that_are_no_preset_are_refused_in_words(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput) as error:
        experiments.load(path)
    assert len(str(error.value)) < 2000


def test_presets_are_read_from_regular_files_of_a_sensible_size(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.toml")  # whoever opens it waits for ever
    (tmp_path / "folder.toml").mkdir()
    for name in ("pipe.toml", "folder.toml"):
        with pytest.raises(InvalidInput, match=f"{name}'; allowed: a TOML file, which is a regular file"):
            experiments.load(tmp_path / name)
    (tmp_path / "large.toml").write_bytes(b"#" * 101)
    monkeypatch.setattr(experiments.presets, "MAX_BYTES", 100)
    with pytest.raises(InvalidInput, match="large.toml: 101 bytes'; allowed: at most 100"):
        experiments.load(tmp_path / "large.toml")
    with pytest.raises(InvalidInput, match="absent.toml.*No such file"):
        experiments.load(tmp_path / "absent.toml")


def test_a_value_that_is_no_toml_is_text_however_odd():
    for text in ("[" * 10_000, "9" * 5000):
        with pytest.raises(InvalidInput, match="delays is"):
            experiments.change(experiments.named("yin-yang"), [f"delays={text}"])


def spoken_words(n_samples, seed):
    """Samples as those of SSC: 700 channels, a second long."""
    rng = np.random.default_rng(seed)
    return [(np.sort(rng.uniform(0, 1, 300)), rng.integers(0, 700, 300)) for _ in range(n_samples)]


def test_the_preset_of_spoken_words_reads_its_three_files(tmp_path, monkeypatch, write_spike_file):
    for seed, (name, n) in enumerate({"ssc_train.h5": 70, "ssc_valid.h5": 35, "ssc_test.h5": 35}.items()):
        write_spike_file(tmp_path / name, spoken_words(n, seed), np.arange(n) % 35, np.arange(n) // 7)
    monkeypatch.setenv("EVENTSNN_DATA", str(tmp_path))
    data = experiments.load_data(experiments.named("ssc"))
    assert [len(part) for part in data] == [70, 35, 35]
    assert all((part.n_units, part.n_classes, part.duration) == (140, 35, 1000.0) for part in data)


def test_one_file_of_spoken_words_is_split_by_speaker(tmp_path, write_spike_file):
    path = write_spike_file(tmp_path / "words.h5", spoken_words(60, 0), np.arange(60) % 30, np.arange(60) // 6)
    changes = [f"data.train={path}", f"data.test={path}", "data.validation=none", "data.validation_groups=[2, 7]"]
    with pytest.warns(UserWarning, match="data.test is the file of data.train, and so tells nothing") as caught:
        train, validation, _ = experiments.load_data(experiments.change(experiments.named("ssc"), changes))
    assert caught[0].filename == __file__
    assert set(validation.groups.tolist()) == {2, 7} and not {2, 7} & set(train.groups.tolist())
    assert (len(train), len(validation)) == (48, 12)


# -------------------------------------------------------------------------------------------------- changing


def test_toml_file_on_a_base(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "yin-yang"\ndelays = "fixed"\n[network]\nhidden = 12\n[training]\nepochs = 3\n')
    preset = experiments.load(path)
    base = experiments.named("yin-yang")
    assert preset.name == "mine" and preset.delays == "fixed" and preset.network.hidden == [12]
    assert replace(preset.training, epochs=base.training.epochs) == base.training
    assert preset.optimizer == base.optimizer


@pytest.mark.parametrize(
    ("text", "bad", "near"),
    [
        ("epoch = 3", "epoch", None),
        ("[training]\nepoch = 3", "epoch", "epochs"),
        ("[optimiser]\nlearning_rate = 1", "optimiser", "optimizer"),
        ("[optimizer]\nlerning_rate = 1", "lerning_rate", "learning_rate"),
        ("[augmentation]\nchanel_shift = 1", "chanel_shift", "channel_shift"),
        ("delays = 'learnt'", "learnt", "learned"),
        ("base = 'yinyang'", "yinyang", "yin-yang"),
        ("[loss]\nkind = 'mean-voltage'", "mean-voltage", "mean_voltage"),
        ("[data]\nsource = 'spoken_digits'", "spoken_digits", "spoken-digits"),
        ("[network]\noutput = 'readouts'", "readouts", "readout"),
    ],
)
def test_unknown_words_name_the_nearest_known_one(tmp_path, text, bad, near):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        experiments.load(path)
    assert caught.value.value == bad
    assert near is None or str(caught.value).endswith(f"Did you mean {near!r}?")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("training.epochs=many", "training.epochs"),
        ("training.epochs=0", "training.epochs"),
        ("training.epochs=true", "training.epochs"),
        ("network.recurrent=1", "network.recurrent"),
        ("network.hidden=[0]", "network.hidden"),
        ("optimizer.learning_rate='x'", "optimizer.learning_rate"),
        ("training=3", "training"),
        ("network.input_weight=abc", "network.input_weight"),
        ("augmentation.blend=2", "blend"),
        ("epochs", "KEY=VALUE"),
        ("epochs=2", "Did you mean 'training.epochs'"),
        ("network.input_delay=-5", "network.input_delay is -5; allowed: delays >= 0 ms"),
        ("network.recurrent_delay=[-1, 5]", "network.recurrent_delay"),
        ("grid.input_dropout=0.5", "grid.input_dropout is 0.5; allowed: 0.0, because the network is not on a grid"),
        ("grid.bias=true", "grid.bias"),
        ("optimizer.width_learning_rate=1", "optimizer.width_learning_rate is 1.0; allowed: None, because no width"),
        ("grid.dt=1", "grid.longest_delay is None"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_by_name(setting, named):
    with pytest.raises(InvalidInput, match=named):
        short = ["network.hidden=[2]", "network.input_delay=[0, 9]", "network.recurrent_delay=[1, 9]"]
        experiments.build(experiments.change(experiments.named("sequence"), [*short, setting]))


EVENTS = [
    "network.hidden=[3, 4]", "network.input_delay=[0, 30]", "network.between_delay=[0, 30]", "loss.kind=mean_voltage",
    "network.recurrent=true", "network.recurrent_delay=[1, 30]", "network.output=readout", "optimizer.final=0.1",
    "loss.delta=1.0", "training.silent_raise=0",
]  # fmt: skip
GRID = ["grid.dt=5", "grid.longest_delay=40", "grid.sigma=[10, 2]", "grid.recurrent_sigma=[10, 2]"]
# refused in the name of another setting, and rightly: what it says now does not fit this one
TOGETHER = {"network.hidden": "network.hidden", "grid.dt": "grid.", "network.output": "loss.kind",
            "data.duration": "network.input_delay"}  # fmt: skip


def all_settings():
    preset = experiments.Preset()
    tables = [item.name for item in fields(preset) if is_dataclass(getattr(preset, item.name))]
    return [f"{table}.{item.name}" for table in tables for item in fields(getattr(preset, table))]


@pytest.mark.parametrize("value", ["-5", "0", "-0.5", "1.5", "nan", "inf", "'x'", "[]", "[1.0]", "['x']", "true"])
@pytest.mark.parametrize("grid", [[], GRID], ids=["events", "grid"])
def test_whatever_is_refused_is_refused_in_the_words_of_its_setting(grid, value):
    base = experiments.change(
        experiments.named("yin-yang"), [*EVENTS, *grid, "data.samples=60", "training.average=none"]
    )
    data = experiments.load_data(base)
    refused = []
    for key in all_settings():
        try:
            preset = experiments.change(base, [f"{key}={value}"])
            built = experiments.build(preset, experiments.load_data(preset) if key.startswith("data.") else data)
            Trainer(
                built.network, experiments.initialize(preset, built.network), loss=built.loss,
                optimizer=built.optimizer, options=built.options, progress=False, n_threads=1,
            )  # fmt: skip
        except InvalidInput as error:
            refused.append(key)
            assert key in str(error) or error.array.startswith(TOGETHER.get(key, key)), error
    assert len(refused) > 20


@pytest.mark.parametrize(
    ("name", "kind", "readable"),
    [
        ("shd-dcls", "first_spike", "summed_softmax"),
        ("spoken-digits", "summed_softmax", "max_voltage"),
        ("spoken-digits", "first_spike", "mean_voltage"),
        ("yin-yang", "mean_voltage", "first_spike, relative_first_spike"),
    ],
)
def test_a_loss_that_cannot_read_the_output_is_refused_with_those_that_can(name, kind, readable):
    changes = [f"loss.kind={kind}", "loss.delta=1.0"]
    with pytest.raises(InvalidInput, match=f"loss.kind is '{kind}'; allowed: one of .*{readable}"):
        experiments.change(experiments.named(name), changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["optimizer.max_delay=50"],
            r"network.input_delay is \[0.0, 200.0\]; allowed: delays up to optimizer.max_delay",
        ),
        (["network.recurrent=false", "delays=recurrent"], "delays is 'recurrent'; allowed: learned, fixed or none"),
        (["data.validation_fraction=1"], "data.validation_fraction is 1.0"),
        (["training.silent_raise=-1"], "training.silent_raise is -1.0"),
        (["name=../x"], "name is '../x'; allowed: a name that a folder can have"),
        (["data.source=sequential-mnist", "data.pool=3"], "data.pool is 3; allowed: one of 1, 2, 4, 7"),
    ],
)
def test_settings_that_contradict_each_other(changes, message):
    if changes[0].startswith("data.source"):
        changes = ["data.validation_groups=[]", *changes]
    with pytest.raises(InvalidInput, match=message):
        experiments.change(experiments.named("spoken-digits"), changes)


def test_drawn_delays_beyond_a_limit_are_refused_and_not_cut_off():
    short = ['network.input_delay=["half_normal", 9]', "optimizer.max_delay=12", "network.output_delay=none"]
    preset = experiments.change(experiments.named("yin-yang"), [*TINY, *short])
    with pytest.raises(InvalidInput, match=r"network.input_delay is \d+\.\d+; allowed: draws <= 12 ms.*max_delay"):
        experiments.initialize(preset, experiments.build(preset).network)
    preset = experiments.change(preset, ["optimizer.max_delay=500"])
    drawn = experiments.initialize(preset, experiments.build(preset).network)["input->hidden.delay"]
    np.testing.assert_array_equal(drawn, experiments.build(preset).network.initialize(0)["input->hidden.delay"])


def test_delays_as_long_as_the_data_are_refused():
    for delay in ("[40, 50]", "40", "[40, 40]"):
        with pytest.raises(InvalidInput, match=r"network.input_delay is .*; allowed: delays below the 40 ms"):
            experiments.build(
                experiments.change(experiments.named("yin-yang"), [*TINY, f"network.input_delay={delay}"])
            )


@pytest.mark.parametrize(
    ("name", "changes", "idle"),
    [
        ("shd-dcls", ["grid.recurrent_sigma=[3.0, 1.0]"], "grid.recurrent_sigma"),
        ("shd-dcls", ["grid.learned_width=true"], "grid.learned_width"),
        ("shd-delrec", ["grid.synapses=2"], "grid.synapses"),
        ("shd-delrec-small", ["network.recurrent=false", "network.recurrent_delay=[0, 9]"], "network.recurrent_delay"),
        ("spoken-digits", ["network.between_weight=1.0"], "network.between_weight"),
        ("spoken-digits", ["data.validation_fraction=0.2"], "data.validation_fraction"),
        ("yin-yang", ["training.spike_target=3"], "training.spike_target"),
        ("braille", ["optimizer.schedule=constant", "optimizer.final=0.5"], "optimizer.final"),
        ("yin-yang", ["data.validation_fraction=0.3"], "data.validation_fraction"),
        ("yin-yang", ["optimizer.tau_learning_rate=3"], "optimizer.tau_learning_rate"),
        ("shd-dcls", ["network.hidden=[]", "grid.dropout=0.3"], "grid.dropout"),
        ("yin-yang", ["augmentation.blend_keep=0.2"], "augmentation.blend_keep"),
    ],
)
def test_what_is_asked_for_and_idle_is_said(name, changes, idle):
    preset = experiments.change(experiments.named(name), changes)
    with pytest.raises(InvalidInput, match=f"{idle} is .*; allowed: nothing, because"):
        experiments.check_used([preset], [text.partition("=")[0] for text in changes])
    # as it stands in the preset it may stay: one setting switches recurrence off
    experiments.check_used([preset], [text.partition("=")[0] for text in changes[:-1]])


@pytest.mark.parametrize(
    ("name", "changes", "idle"),
    [
        ("yin-yang", ["delays=none", "optimizer.delay_learning_rate=7"], "optimizer.delay_learning_rate"),
        ("yin-yang", ["delays=none", "network.input_delay=[0, 50]"], "network.input_delay"),
        ("yin-yang", ["delays=none", "network.output_delay=[0, 5]"], "network.output_delay"),
        ("shd-dcls", ["delays=none", "grid.sigma=[9, 1]"], "grid.sigma"),
    ],
)
def test_what_another_mode_would_look_at_is_warned_of(name, changes, idle):
    preset = experiments.change(experiments.named(name), changes)
    with pytest.warns(UserWarning, match=f"{idle} makes no difference, because"):
        experiments.check_used([preset], [idle])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        experiments.check_used([preset, experiments.with_mode(preset, "learned")], [idle])


@pytest.mark.parametrize("mode", experiments.DELAYS)
@pytest.mark.parametrize("grid", [[], GRID], ids=["events", "grid"])
def test_what_is_idle_changes_nothing_that_is_built(grid, mode):
    base = experiments.change(
        experiments.named("yin-yang"), [*EVENTS, *grid, *TINY, "training.average=none", f"delays={mode}"]
    )
    data = experiments.load_data(base)

    def built(*changes):
        found = experiments.build(experiments.change(base, changes), data)
        parameters = experiments.initialize(base, found.network)
        rates = found.optimizer.rates(found.network.trainable, 3)
        return found.network.to_dict(), {name: array.tolist() for name, array in parameters.items()}, rates

    values = {"delay": ["none", "[2, 3]"], "weight": ["0.5"], "sparsity": ["0.5"], "sigma": ["[9, 1]"], "rate": ["0.5"]}
    compared = set()
    for key in experiments.idle([base]):
        for value in values.get(key.rpartition("_")[2].rpartition(".")[2], []):
            with contextlib.suppress(InvalidInput):
                assert built(f"{key}={value}") == built(), key
                compared.add(key)
    assert "optimizer.tau_learning_rate" in compared
    assert mode in ("learned", "fixed", "feed-forward") or "network.input_delay" in compared


def test_too_few_samples_are_said_to_be():
    with pytest.raises(InvalidInput, match="data.samples is 1; allowed: enough that"):
        experiments.load_data(experiments.change(experiments.named("yin-yang"), ["data.samples=1"]))


@pytest.mark.parametrize(
    "changes",
    [
        ["delays=fixed", "optimizer.max_delay=5"],
        ["delays=none", "network.input_delay=[0, 50]"],
        ["network.input_delay=[0, 40]"],
        ["network.input_delay=[0, 400]"],
        ["network.input_delay=45", "grid.dt=1", "grid.longest_delay=60", "network.output_delay=none",
         "network.output=readout", "loss.kind=mean_voltage", "loss.delta=1.0", "training.silent_raise=0",
         "training.average=none"],
        ["delays=fixed", "grid.dt=1", "network.output=readout", "loss.kind=mean_voltage", "loss.delta=1.0",
         "training.silent_raise=0", "training.average=none"],
    ],
)  # fmt: skip
def test_limits_are_for_delays_that_are_there_and_trained(changes):
    built = experiments.build(experiments.change(experiments.named("yin-yang"), [*TINY, *changes]))
    assert built.network.connections


def test_unreadable_toml_is_refused(tmp_path):
    (tmp_path / "broken.toml").write_text("[training")
    for path in (tmp_path / "broken.toml", tmp_path / "absent.toml"):
        with pytest.raises(InvalidInput, match="readable TOML"):
            experiments.load(path)


def test_settings_from_text():
    preset = experiments.change(
        experiments.named("spoken-digits"),
        [
            "training.patience=5",
            "training.average=none",
            "network.hidden=[3,4]",
            "optimizer.learning_rate=1",
            "delays=none",
        ],
    )
    assert preset.training.patience == 5 and preset.training.average is None
    assert experiments.change(preset, ["delays=none"]).delays == "none"
    assert preset.network.hidden == [3, 4] and preset.optimizer.learning_rate == 1.0


def test_a_validation_set_without_samples_is_refused_before_training(tmp_path):
    preset = experiments.change(experiments.named("braille"), ["data.validation_fraction=1e-6"])
    path = tmp_path / "few.npz"
    labels = np.repeat(np.arange(27), 4)
    counts = np.ones(labels.size, int)
    arrays = {"times": np.full(labels.size, 0.1), "channels": labels % 24, "counts": counts, "labels": labels}
    np.savez(path, letters=np.array([chr(65 + k) for k in range(27)]), **arrays)
    preset = experiments.change(preset, [f"data.train={path}"])
    with pytest.raises(InvalidInput, match=r"data.validation_fraction is 1e-06.*validation"):
        experiments.build(preset)
    train, validation, test = experiments.load_data(experiments.change(preset, ["data.validation_fraction=0.25"]))
    assert [len(data) for data in (train, validation, test)] == [54, 27, 27]


def test_neurons_may_learn_their_own_constants():
    keys = ["tau_mem", "tau_syn", "v_threshold"]
    preset = experiments.change(experiments.named("yin-yang"), [f"network.train_neurons={keys}", "data.samples=90"])
    built = experiments.build(experiments.change(preset, ["optimizer.tau_learning_rate=0.25"]))
    names = {f"hidden.{key}" for key in keys}
    assert names <= set(built.network.trainable) and not any("output.tau" in name for name in built.network.trainable)
    before = built.network.initialize(0)
    assert all(before[name].shape == (30,) and np.ptp(before[name]) == 0 for name in names)
    rates = built.optimizer.rates(built.network.trainable, 0)
    assert rates["hidden.tau_mem"] == rates["hidden.tau_syn"] == 0.25
    assert rates["hidden.v_threshold"] == rates["input->hidden.weight"]
    with pytest.raises(InvalidInput, match="tau_men.*Did you mean 'tau_mem'"):
        experiments.change(preset, ["network.train_neurons=['tau_men']"])
    result = fit(experiments.change(preset, ["training.epochs=2"]))
    assert 0 <= result.accuracy <= 1


# --------------------------------------------------------------------------------------------- their files

CATALOGUE = Path(experiments.__file__).parent / "catalogue"
OF_0_1_0 = json.loads((Path(__file__).parent / "presets_0_1_0.json").read_text(encoding="utf-8"))


def test_the_small_network_is_the_large_one_with_fewer_neurons():
    small, large = experiments.named("spoken-digits-small"), experiments.named("spoken-digits")
    fewer = experiments.change(large, ["network.hidden=[32]"])
    assert replace(small, name=large.name, description=large.description) == fewer


def test_presets_are_what_they_were():
    assert [name for name in experiments.names() if name in OF_0_1_0] == list(OF_0_1_0)
    for name, described in OF_0_1_0.items():
        preset = experiments.named(name)
        described |= {"description": preset.description}  # which says the same in other words
        assert experiments.stored(described) == preset
        found = preset.to_dict()  # in which 10 and 10.0 differ
        for key, value in described.items():
            now = {item: found[key][item] for item in value} if isinstance(value, dict) else found[key]
            assert json.dumps(now) == json.dumps(value), f"{name}: {key}"


def test_each_preset_is_a_file_of_its_name():
    assert sorted(path.name for path in CATALOGUE.iterdir()) == sorted(f"{name}.toml" for name in experiments.names())
    for name in experiments.names():
        assert experiments.load(CATALOGUE / f"{name}.toml") == experiments.named(name)


def without_comment(text):
    """The keys of a TOML file that have a comment neither on their line nor right above."""
    lines = text.splitlines()
    keys = [number for number, line in enumerate(lines) if line[:1].isalpha()]
    return [lines[k] for k in keys if "  # " not in lines[k] and not (k and lines[k - 1].startswith("# "))]


@pytest.mark.parametrize("name", experiments.names())
def test_each_key_of_a_preset_is_explained(name):
    text = (CATALOGUE / f"{name}.toml").read_text(encoding="utf-8")
    assert without_comment(text) == []
    assert max(map(len, text.splitlines())) <= 120
    # what is looked at are lines: each key has one of its own
    described = tomllib.loads(text)
    tables = [table for table in described.values() if isinstance(table, dict)]
    n_keys = len(described) - len(tables) + sum(map(len, tables))
    assert n_keys == sum(line[:1].isalpha() for line in text.splitlines())


def test_a_key_without_a_comment_is_noticed():
    assert without_comment("a = 1\n# why\nb = 2\nc = 3  # why\n\n[table]\nd = 4\n") == ["a = 1", "d = 4"]


def test_a_file_is_read_when_its_preset_is_asked_for():
    code = "from eventsnn.experiments import named, presets; n = presets._written.cache_info().currsize; named('ssc')"
    code += "; print(n, presets._written.cache_info().currsize)"
    root = Path(experiments.__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.split() == ["0", "3"]
