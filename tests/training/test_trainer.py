"""The training loop: same bytes after any interruption and for any number of threads, and clear refusals."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from eventsnn import checkpoints
from eventsnn.errors import CheckpointError, EventsnnError, EventStorm, InvalidInput, NotFinite
from eventsnn.losses import FirstSpike, MaxVoltage, MeanVoltage, SpikeCountTarget, SpikeTimeRegression
from eventsnn.network import Network, Normal, Uniform
from eventsnn.neurons.lif import SMALLEST_THRESHOLD
from eventsnn.optimizers import SGD, Adam
from eventsnn.parallel.signals import Terminated, sigterm_as_interrupt
from eventsnn.spikes import SpikeBatch
from eventsnn.training import Trainer, TrainingOptions, evaluate
from tests.training.tasks import (
    EPOCHS,
    HANG,
    OPTIONS,
    TRAIN,
    VALIDATION,
    contents,
    make_network,
    make_trainer,
    spiking_output,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "checkpoint"
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS)
    return contents(path)


def test_learns_and_reports_it():
    options = replace(OPTIONS, average=None, augmentation=None, regularizers=())
    optimizer = Adam(0.05, learning_rates={"*.delay": 0.75, "*->output.*": 0.3})
    trainer = make_trainer(options, optimizer=optimizer)
    history = trainer.fit(TRAIN, VALIDATION, epochs=16)
    assert len(history) == 16
    assert history.column("train_loss")[-1] < 0.7 * history.column("train_loss")[0]
    assert history.column("epoch").tolist() == list(range(1, 17))
    assert history.records[0]["learning_rates"]["input->hidden.delay"] == pytest.approx(15 * history.records[0][
        "learning_rates"]["input->hidden.weight"])  # fmt: skip
    result = trainer.evaluate(VALIDATION)
    assert result.accuracy >= 0.9
    assert result.accuracy == history.records[history.best_epoch - 1]["validation_accuracy"]
    assert result.n == 20 and result.predictions.shape == (20,)
    assert np.array_equal(trainer.predict(VALIDATION.spikes), result.predictions)
    assert result.interval[0] < result.accuracy <= result.interval[1]
    assert result.spikes_per_neuron > 0


def test_running_figures_are_those_of_the_samples():
    trainer = make_trainer(
        replace(OPTIONS, augmentation=None, average=None, neuron_drop=0.0, silent_raise=()), optimizer=SGD(0.0)
    )
    history = trainer.fit(TRAIN, TRAIN, epochs=1)
    record = history.records[0]
    assert record["train_loss"] == pytest.approx(record["validation_loss"], rel=1e-12)  # regularizers are left out
    assert record["train_accuracy"] == record["validation_accuracy"]
    assert record["spikes_per_neuron"] == pytest.approx(trainer.evaluate(TRAIN).spikes_per_neuron, rel=1e-12)


def test_average_is_what_evaluation_uses():
    trainer = make_trainer(replace(OPTIONS, silent_raise=()))
    trainer.fit(TRAIN, epochs=1)
    plain = make_trainer(replace(OPTIONS, silent_raise=(), average=None))
    plain.fit(TRAIN, epochs=1)
    name = "input->hidden.weight"
    start = plain.initial_parameters[name]
    averaged, last = trainer.parameters[name] - start, plain.parameters[name] - start
    assert not np.array_equal(averaged, last)
    assert np.abs(averaged).sum() < np.abs(last).sum()


def test_first_averages_follow_the_written_rule():
    trainer = make_trainer(replace(OPTIONS, average=0.9))
    seen = []

    def watch(trainer, kind, values):
        if kind == "step":
            seen.append(
                (trainer._state.parameters["hidden->output.weight"], trainer.parameters["hidden->output.weight"])
            )

    trainer.callbacks = (watch,)
    start = trainer.parameters["hidden->output.weight"]
    trainer.fit(TRAIN, epochs=1)
    expected = start
    for step, (current, average) in enumerate(seen):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * current
        np.testing.assert_allclose(average, expected, rtol=1e-14)


def test_patience_stops_and_keeps_the_best():
    # the loss of an untrained network never gets better: epoch 1 stays the best
    trainer = make_trainer(replace(OPTIONS, patience=2, silent_raise=()), optimizer=SGD(0.0))
    history = trainer.fit(TRAIN, VALIDATION, epochs=50)
    assert len(history) == 3 and history.best_epoch == 1 and trainer.stopped
    with pytest.warns(UserWarning, match="patience has stopped this run after epoch 3: nothing is trained"):
        assert len(trainer.fit(TRAIN, VALIDATION, epochs=60)) == 3


def test_monitor_loss_takes_the_smallest_loss():
    trainer = make_trainer(replace(OPTIONS, monitor="loss"))
    history = trainer.fit(TRAIN, VALIDATION, epochs=4)
    assert history.best_epoch == 1 + int(np.argmin(history.column("validation_loss")))


class Stop(Exception):
    pass


def stop_at(step, error=Stop):
    def callback(trainer, kind, values):
        if kind == "step" and values["step"] == step:
            raise error

    return callback


@pytest.mark.parametrize("step", [1, 3, 4, 6, 11])
def test_resume_after_a_crash_ends_with_the_same_bytes(tmp_path, uninterrupted, step):
    """4 steps per epoch: in the middle, at the end and just after an epoch."""
    path = tmp_path / "checkpoint"
    with pytest.raises(Stop):
        make_trainer(checkpoint=path, checkpoint_every=1, callbacks=[stop_at(step)]).fit(
            TRAIN, VALIDATION, epochs=EPOCHS
        )
    assert checkpoints.load(path)[1]["state"]["step"] == step
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert contents(path) == uninterrupted


@pytest.mark.parametrize("step", [2, 8])
def test_interrupt_saves_says_how_to_go_on_and_resumes(tmp_path, uninterrupted, capsys, step):
    path = tmp_path / "checkpoint"
    trainer = make_trainer(checkpoint=path, callbacks=[stop_at(step, KeyboardInterrupt)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    message = capsys.readouterr().err
    assert f"after step {step}" in message and "resume=True" in message and str(path) in message
    assert checkpoints.load(path)[1]["state"]["step"] == step
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert contents(path) == uninterrupted


def test_sigterm_without_a_checkpoint_does_not_promise_to_go_on(capsys):
    trainer = make_trainer(callbacks=[stop_at(5, Terminated)])
    with sigterm_as_interrupt(ends=False), pytest.raises(Terminated):  # which would end this process
        trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    said = capsys.readouterr().err
    assert "SIGTERM ends the run, and nothing is saved on disk" in said and "checkpoint=" in said
    assert "another fit" not in said


def test_interrupted_in_memory_goes_on_too(tmp_path, uninterrupted, capsys):
    trainer = make_trainer(callbacks=[stop_at(5, KeyboardInterrupt)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    assert "nothing is saved on disk" in capsys.readouterr().err
    trainer.callbacks, trainer.checkpoint = (), tmp_path / "checkpoint"
    trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    assert contents(trainer.checkpoint) == uninterrupted


def test_interrupt_inside_validation_does_not_repeat_the_epochs_end(tmp_path, uninterrupted, monkeypatch):
    path = tmp_path / "checkpoint"
    trainer = make_trainer(checkpoint=path)

    def interrupted(dataset, parameters=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    assert checkpoints.load(path)[1]["state"]["batch"] == 4
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert contents(path) == uninterrupted


def test_two_threads_give_the_bytes_of_one(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint"
    make_trainer(checkpoint=path, n_threads=2).fit(TRAIN, VALIDATION, epochs=EPOCHS)
    assert contents(path) == uninterrupted


def test_fewer_epochs_then_more_are_the_same_run(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint"
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=1)
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert contents(path) == uninterrupted


CHILD = """
import sys, time
from tests.training import tasks
def slowly(trainer, kind, values):
    # a few steps to be stopped in, then one that lasts until it is: the machine may be busy
    time.sleep(0.05 if values.get("step", 0) < 4 else {hang})
trainer = tasks.make_trainer(checkpoint=sys.argv[1], checkpoint_every=1, callbacks=[slowly])
print("begin", flush=True)
trainer.fit(tasks.TRAIN, tasks.VALIDATION, epochs=tasks.EPOCHS)
print("end", flush=True)
"""


def start_child(path):
    command = [sys.executable, "-c", CHILD.format(hang=HANG), str(path)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begin\n"
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline and child.poll() is None:
        if checkpoints.exists(path) and checkpoints.load(path)[1]["state"]["step"] >= 2:
            return child
        time.sleep(0.01)
    raise AssertionError(child.communicate()[1])


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_kill_9_and_resume_end_with_the_same_bytes(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint"
    child = start_child(path)
    child.kill()
    out, _ = child.communicate()
    assert child.returncode == -signal.SIGKILL and "end" not in out
    assert 2 <= checkpoints.load(path)[1]["state"]["step"] < 12
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert contents(path) == uninterrupted


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_ctrl_c_or_sigterm_ends_the_step_at_work_with_a_good_checkpoint(tmp_path, uninterrupted, number):
    path = tmp_path / "checkpoint"
    child = start_child(path)
    child.send_signal(number)
    out, errors = child.communicate(timeout=HANG)
    # Python itself ends a script that way where Ctrl-C is handled by nobody
    assert child.returncode == -number and "end" not in out and "resume=True" in errors
    assert ("Traceback" in errors) == (number == signal.SIGINT)
    assert 2 <= checkpoints.load(path)[1]["state"]["step"] <= 4
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert contents(path) == uninterrupted


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_signal_at_any_time_ends_the_step_at_work(tmp_path, n_threads):
    steps, timers = [], []

    def interrupt(trainer):
        signal.raise_signal(signal.SIGINT)
        steps.append(trainer._state.step)

    def signal_soon(trainer, kind, values):
        if kind == "step" and values["step"] == 3:
            timers.append(threading.Timer(0.01, interrupt, (trainer,)))
            timers[0].start()

    trainer = make_trainer(checkpoint=tmp_path / "checkpoint", n_threads=n_threads, callbacks=[signal_soon])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TRAIN, VALIDATION, epochs=5000)
    timers[0].join()
    assert trainer._state.step <= steps[0] + 1  # the step that was at work when the signal had been sent
    assert checkpoints.load(tmp_path / "checkpoint")[1]["state"]["step"] == trainer._state.step >= 3


def test_a_second_signal_does_not_stop_the_saving_of_the_first(tmp_path, uninterrupted, monkeypatch):
    """Ctrl-C comes from the terminal and from mpiexec, SIGTERM to a process and to its group."""
    path, save = tmp_path / "checkpoint", checkpoints.save
    trainer = make_trainer(checkpoint=path, callbacks=[stop_at(2, KeyboardInterrupt)])

    def disturbed(*arguments):
        if trainer._state.step == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        save(*arguments)

    monkeypatch.setattr(checkpoints, "save", disturbed)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TRAIN, VALIDATION, epochs=EPOCHS)
    monkeypatch.undo()
    assert checkpoints.load(path)[1]["state"]["step"] == 2
    make_trainer(checkpoint=path).fit(TRAIN, VALIDATION, epochs=EPOCHS, resume=True)
    assert contents(path) == uninterrupted


@dataclass(frozen=True)
class Spoiled(MeanVoltage):
    """NaN from the given call on."""

    after: int = 0

    def __call__(self, recording, labels):
        values, cotangents = super().__call__(recording, labels)
        object.__setattr__(self, "after", self.after - 1)
        return (values * np.nan if self.after < 0 else values), cotangents


def test_nan_loss_is_noticed_in_its_step_and_nothing_is_updated():
    # the loss is evaluated twice in each good step: for the gradient, and for the record without regularizers
    trainer = make_trainer(loss=Spoiled(after=4))
    seen = []
    trainer.callbacks = (lambda trainer, kind, values: seen.append(trainer._state),)
    with pytest.raises(NotFinite, match="step 2") as caught:
        trainer.fit(TRAIN, epochs=1)
    assert caught.value.step == 2 and len(seen) == 2
    assert trainer._state is seen[-1]


def test_a_validation_without_a_finite_loss_ends_the_run_and_is_no_epoch():
    # as a first score NaN would stay the best for ever, because it compares with nothing
    trainer = make_trainer(loss=Spoiled(after=8))  # twice in each of four steps
    with pytest.raises(NotFinite, match="the loss of the evaluation"):
        trainer.fit(TRAIN, VALIDATION, epochs=2)
    assert trainer._state.step == 4 and len(trainer.history) == 0


def test_a_loss_or_a_voltage_that_would_overflow_is_no_result():
    network = make_network()
    parameters = {**network.initialize(1), "hidden->output.weight": np.full((5, 2), 1e308)}
    for attempt in (
        lambda: Trainer(network, parameters, loss=MeanVoltage(), optimizer=Adam()).evaluate(VALIDATION),
        lambda: Trainer(network, parameters, loss=MeanVoltage(), optimizer=Adam()).predict(VALIDATION.spikes),
        lambda: evaluate(network, parameters, VALIDATION, loss=MaxVoltage(), n_threads=1),
    ):
        with pytest.raises(InvalidInput, match=r"hidden->output.weight\[0, 0\] is 1e\+308; allowed: numbers from -1e"):
            attempt()
    largest = {**parameters, "hidden->output.weight": np.full((5, 2), 1e30)}
    assert np.isfinite(evaluate(network, largest, VALIDATION, loss=MaxVoltage(), n_threads=1).loss)
    with pytest.raises(NotFinite, match=r"the loss of the evaluation \(nan\)"):
        evaluate(network, network.initialize(1), VALIDATION, loss=Spoiled(), n_threads=1)


def test_event_storm_leaves_the_last_state(tmp_path):
    trainer = make_trainer(replace(OPTIONS, max_spikes=1), checkpoint=tmp_path / "checkpoint")
    with pytest.raises(EventStorm):
        trainer.fit(TRAIN, epochs=1)
    assert checkpoints.load(tmp_path / "checkpoint")[1]["state"]["step"] == 0


def test_a_checkpoint_is_not_written_over(saved):
    content = saved.read_bytes()
    with pytest.raises(CheckpointError, match="exists already"):
        make_trainer(checkpoint=saved).fit(TRAIN, VALIDATION, epochs=1)
    assert saved.read_bytes() == content


def test_resume_needs_something_to_resume(tmp_path):
    with pytest.raises(CheckpointError, match="nothing was saved under this name"):
        make_trainer(checkpoint=tmp_path / "none").fit(TRAIN, epochs=1, resume=True)
    with pytest.raises(InvalidInput, match="resume"):
        make_trainer().fit(TRAIN, epochs=1, resume=True)


def test_data_out_of_range_are_refused():
    with pytest.raises(InvalidInput, match="train"):
        make_trainer().fit(TRAIN.select([]), epochs=1)
    with pytest.raises(InvalidInput, match="validation.duration"):
        make_trainer().fit(TRAIN, replace(VALIDATION, duration=70.0), epochs=1)
    with pytest.raises(InvalidInput, match="epochs"):
        make_trainer().fit(TRAIN, epochs=-1)
    with pytest.raises(InvalidInput, match="duration"):
        make_trainer().predict(TRAIN.spikes)


def test_bounds_of_network_and_optimiser_both_hold():
    optimizer = Adam(0.02, learning_rates={"*.delay": 5.0}, bounds={"hidden->hidden.delay": (0.0, 6.0)})
    trainer = make_trainer(replace(OPTIONS, average=None), optimizer=optimizer)
    trainer.fit(TRAIN, epochs=2)
    delays = trainer.parameters["hidden->hidden.delay"]
    assert delays.min() == 1.0 and delays.max() == 6.0
    assert trainer.parameters["input->hidden.delay"].min() == 0.0


def test_callbacks_see_steps_and_epochs():
    seen = []
    trainer = make_trainer(callbacks=[lambda trainer, kind, values: seen.append((kind, values))])
    trainer.fit(TRAIN, VALIDATION, epochs=1)
    assert [kind for kind, _ in seen] == ["step"] * 4 + ["epoch"]
    assert [values["step"] for kind, values in seen if kind == "step"] == [1, 2, 3, 4]
    assert all(math.isfinite(values["loss"]) for kind, values in seen if kind == "step")
    assert seen[-1][1] == trainer.history.records[0]


def test_spikes_after_the_duration_are_pointed_out_and_nothing_is_written_when_the_duration_is_absurd(tmp_path):
    with pytest.warns(UserWarning, match="do not act. Are the times in ms") as caught:
        make_trainer(replace(OPTIONS, duration=TRAIN.duration / 4)).fit(TRAIN, epochs=0)
    assert caught[0].filename == __file__
    with pytest.raises(EventsnnError, match="too many windows"):
        make_trainer(replace(OPTIONS, duration=1e25), checkpoint=tmp_path / "checkpoint").fit(TRAIN, epochs=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loss", [None, MeanVoltage, 3])
def test_a_loss_that_is_none_is_refused_in_words(loss):
    network = make_network()
    with pytest.raises(InvalidInput) as caught:
        Trainer(network, network.initialize(0), loss=loss, optimizer=Adam(), progress=False).fit(TRAIN, epochs=1)
    assert caught.value.array == "loss"


@pytest.mark.parametrize("wrong, named", [({"optimizer": "adam"}, "optimizer"), ({"augmentation": 3}, "augmentation")])
def test_settings_of_the_wrong_kind_are_refused_at_once(wrong, named):
    with pytest.raises(InvalidInput, match=f"^{named} is"):
        Trainer(make_network(), make_network().initialize(0), **{"loss": MeanVoltage(), "optimizer": Adam(), **wrong})


def test_spikes_without_labels_are_no_data_set():
    spikes = TRAIN.spikes
    mine = make_trainer(progress=False)
    for attempt in (lambda: mine.fit(spikes, epochs=1), lambda: mine.fit(TRAIN, spikes, epochs=1)):
        with pytest.raises(InvalidInput, match=r"a Dataset. data.Dataset\(spikes, labels"):
            attempt()
    with pytest.raises(InvalidInput, match="dataset is 'SpikeBatch'"):
        mine.evaluate(spikes)


def test_times_in_seconds_are_asked_about():
    spikes = TRAIN.spikes
    seconds = replace(TRAIN, spikes=SpikeBatch(spikes.times / 1000, spikes.units, spikes.offsets))
    with pytest.warns(
        UserWarning, match=r"the last input spike of train is at 0\.0299\d* of 60 ms. Are the times in ms"
    ):
        make_trainer(progress=False).fit(seconds, epochs=0)


def trained_neurons():
    network = Network()
    network.add_input("input", 6)
    network.add_lif("hidden", 5, tau_mem=Uniform(15.0, 25.0), tau_syn=Uniform(4.0, 6.0), train=True)
    network.add_readout("output", 2, tau_mem=10.0, tau_syn=5.0, train=True)
    network.connect("input", "hidden", weight=Normal(0.9, 0.5), delay=Uniform(0.0, 10.0))
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.2), delay=Uniform(1.0, 5.0))
    network.connect("hidden", "output", weight=Normal(0.0, 0.5))
    return network


OUTSIDE = [
    ("hidden->hidden.delay", (2, 3), 0.25, 1.0), ("hidden.tau_mem", (1,), 0.05, 0.1),
    ("hidden.tau_syn", (4,), 0.05, 0.1), ("hidden.v_threshold", (), 1e-4, 1e-3), ("output.tau_syn", (), 0.0999, 0.1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "index", "value", "bound"), OUTSIDE, ids=[name for name, *_ in OUTSIDE])
def test_a_value_below_its_bound_is_refused_before_the_first_step_would_move_it(tmp_path, name, index, value, bound):
    network = trained_neurons()
    parameters = network.initialize(1)
    parameters[name][index] = value
    trainer = Trainer(
        network,
        parameters,
        loss=MeanVoltage(),
        optimizer=SGD(1e-12),
        progress=False,
        checkpoint=tmp_path / "checkpoint",
    )
    with pytest.raises(
        InvalidInput, match=f"numbers from {bound:g} to inf, the bounds in training.*min_delay"
    ) as caught:
        trainer.fit(TRAIN, epochs=1)
    shown = index[0] if len(index) == 1 else index or None
    assert (caught.value.array, caught.value.index, caught.value.value) == (name, shown, value)
    assert list(tmp_path.iterdir()) == []
    parameters[name][index] = bound  # where nothing jumps
    Trainer(network, parameters, loss=MeanVoltage(), optimizer=SGD(1e-12), progress=False).fit(TRAIN, epochs=0)


def test_neurons_whose_voltages_have_no_range_in_common_are_trained_within_their_own():
    network, trained = make_network(), ("v_threshold", "v_rest")
    threshold, rest = np.array([1.0, 3.0, 2.0]), np.array([0.9, 2.9, 1.9])
    network.add_lif("staggered", 3, v_threshold=threshold, v_reset=rest - 1, v_rest=rest, bias=0.4, train=trained)
    network.connect("input", "staggered", weight=0.5)
    network.connect("staggered", "output", weight=0.3)
    # wants more spikes: lower thresholds, higher rests
    options = TrainingOptions(batch_size=8, regularizers=(SpikeCountTarget("staggered", 50.0, 1.0),))
    trainer = make_trainer(options, network=network, optimizer=SGD(0.01, bounds={"staggered.v_threshold": (None, 3.2)}))
    trainer.fit(TRAIN, epochs=2)
    thresholds, rests = (trainer.parameters[f"staggered.{key}"] for key in trained)
    assert np.all(thresholds == (threshold + rest) / 2 + SMALLEST_THRESHOLD) and np.all(rests == (threshold + rest) / 2)


def test_bounds_of_each_neuron_are_trained_within_saved_and_resumed_with(tmp_path):
    low, high = np.array([-0.1, -0.2, -0.3]), np.array([0.3, 0.2, 0.1])

    def made(**changes):
        network = make_network()
        network.add_lif("apart", 3, v_threshold=np.array([1.0, 2.0, 3.0]), v_reset=np.zeros(3), train="v_reset")
        network.connect("input", "apart", weight=2.5)
        network.connect("apart", "output", weight=0.3)
        bounds = network.bounds() | {"apart.v_reset": (low, high + changes.pop("more", 0.0))}
        options = TrainingOptions(batch_size=8, regularizers=(SpikeCountTarget("apart", 50.0, 1.0),))
        optimizer = SGD(0.01, learning_rates={"*.v_reset": 10.0}, bounds=bounds)
        return make_trainer(options, network=network, optimizer=optimizer, checkpoint=tmp_path / "saved", **changes)

    with pytest.raises(Stop):
        made(callbacks=[stop_at(3)], checkpoint_every=1).fit(TRAIN, epochs=2)
    with pytest.raises(CheckpointError, match=r"bounds"):
        made(more=0.1).fit(TRAIN, epochs=2, resume=True)
    trainer = made()
    trainer.fit(TRAIN, epochs=2, resume=True)
    found = trainer.parameters["apart.v_reset"]
    assert np.all((found == low) | (found == high))  # the steps are so large that each ends at one of the two


def test_values_outside_the_bounds_of_the_optimiser_are_refused_and_untrained_ones_are_nobodys_business():
    network = make_network()
    optimizer = SGD(1e-12, bounds={"input->hidden.delay": (0.0, 5.0)})
    with pytest.raises(InvalidInput, match=r"input->hidden.delay\[.*numbers from 0 to 5, the bounds in training"):
        make_trainer(network=network, optimizer=optimizer).fit(TRAIN, epochs=1)
    network.connect("hidden", "hidden", weight=0.1, delay=0.25, train="weight", name="short")
    trainer = make_trainer(network=network, optimizer=SGD(1e-12))
    trainer.fit(TRAIN, epochs=1)
    assert (trainer.parameters["short.delay"] == 0.25).all()


def test_a_run_of_before_that_began_outside_its_bounds_or_with_idle_patience_goes_on(tmp_path, monkeypatch):
    network = make_network()
    parameters = network.initialize(1)
    parameters["hidden->hidden.delay"][0, 0] = 0.25

    def trainer():
        return Trainer(
            network, parameters, loss=MeanVoltage(), optimizer=SGD(1e-3), progress=False, patience=2, n_threads=1,
            checkpoint=tmp_path / "checkpoint",
        )  # fmt: skip

    with monkeypatch.context() as before:
        before.setattr(Trainer, "_check_beginning", lambda self, validation: None)
        trainer().fit(TRAIN, epochs=1)
    assert len(trainer().fit(TRAIN, epochs=2, resume=True)) == 2


def test_a_loss_on_spikes_does_not_train_the_hidden_layer_of_a_readout(tmp_path):
    trainer = make_trainer(loss=FirstSpike(), checkpoint=tmp_path / "checkpoint")
    with pytest.raises(InvalidInput, match=r"LIF populations \['hidden'\].*readout, 'output'"):
        trainer.fit(TRAIN, epochs=1)
    with pytest.raises(InvalidInput, match=r"LIF populations \['hidden'\].*readout, 'output'"):
        evaluate(make_network(), make_network().initialize(), TRAIN, loss=FirstSpike())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loss", [MeanVoltage(), FirstSpike()])
def test_labels_without_an_output_are_refused_before_the_first_step(tmp_path, loss):
    labels = np.where(np.arange(30) == 17, 2, TRAIN.labels)
    data = replace(TRAIN, labels=labels, n_classes=3)
    network = make_network() if isinstance(loss, MeanVoltage) else spiking_output()
    trainer = make_trainer(loss=loss, network=network, options=TrainingOptions(), checkpoint=tmp_path / "checkpoint")
    expected = r"labels\[17\] is 2; allowed: classes from 0 to 1, the neurons of 'output'. Give 'output' 3 neurons"
    with pytest.raises(InvalidInput, match=f"^train.{expected}"):
        trainer.fit(data, epochs=1)
    with pytest.raises(InvalidInput, match=f"^validation.{expected}"):
        trainer.fit(TRAIN, data, epochs=1)
    with pytest.raises(InvalidInput, match=f"^dataset.{expected}"):
        evaluate(network, network.initialize(), data, loss=loss)
    assert list(tmp_path.iterdir()) == []


def test_losses_on_targets_are_refused_with_a_data_set_of_classes():
    with pytest.raises(InvalidInput, match="loss is 'SpikeTimeRegression'; allowed: a loss on class labels"):
        make_trainer(loss=SpikeTimeRegression(), network=spiking_output(), options=TrainingOptions()).fit(
            TRAIN, epochs=1
        )


def test_patience_without_validation_and_an_empty_validation_are_refused_before_anything_is_written(tmp_path):
    trainer = make_trainer(replace(OPTIONS, patience=2), checkpoint=tmp_path / "checkpoint")
    with pytest.raises(InvalidInput, match="patience is 2; allowed: None without validation"):
        trainer.fit(TRAIN, epochs=1)
    with pytest.raises(InvalidInput, match="validation is 0; allowed: at least one sample, or None"):
        trainer.fit(TRAIN, VALIDATION.select([]), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_that_finds_nothing_to_do_says_so(tmp_path):
    trainer = make_trainer(checkpoint=tmp_path / "checkpoint")
    trainer.fit(TRAIN, epochs=2)
    with pytest.warns(UserWarning, match="epochs=2 counts all epochs.*epochs=4 trains 2 more") as caught:
        assert len(trainer.fit(TRAIN, epochs=2)) == 2
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # who resumes asks for the end of a run, which may be where it is
        make_trainer(checkpoint=tmp_path / "checkpoint").fit(TRAIN, epochs=2, resume=True)
        assert len(trainer.fit(TRAIN, epochs=3)) == 3
