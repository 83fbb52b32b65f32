"""Evaluation: figures that do not depend on batches, and errors that name the sample of the data set."""

from dataclasses import replace

import numpy as np
import pytest

from eventsnn import simulate
from eventsnn.data.dataset import Dataset
from eventsnn.errors import EventStorm, InvalidInput
from eventsnn.losses import FirstSpike, MeanVoltage, SpikeCountTarget
from eventsnn.losses.base import check_labels
from eventsnn.spikes import SpikeBatch
from eventsnn.training import TrainingOptions, evaluate, wilson_interval
from tests.training.tasks import TRAIN, make_data, make_network, make_trainer, spiking_output


def test_evaluation_does_not_depend_on_its_batches():
    network = make_network()
    parameters = network.initialize(0)
    data = make_data(140)  # more than one evaluation batch
    whole = evaluate(network, parameters, data, loss=MeanVoltage(), n_threads=1)
    parts = [evaluate(network, parameters, data.select([index]), loss=MeanVoltage(), n_threads=1) for index in (0, 139)]
    assert whole.predictions[[0, 139]].tolist() == [int(part.predictions[0]) for part in parts]
    assert whole.accuracy == np.mean(whole.predictions == data.labels)


def test_wilson_interval_against_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I: method 3
    for correct, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson_interval(correct, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def loud(n, index):
    """A data set of which one sample has far more spikes than the others."""
    samples = [(TRAIN.spikes[k % 30].times, TRAIN.spikes[k % 30].units) for k in range(n)]
    samples[index] = (np.linspace(0.0, 50.0, 600), np.arange(600) % 6)
    return Dataset(SpikeBatch.from_lists(samples), np.arange(n) % 2, 6, 2, 60.0)


def test_a_storm_names_the_place_of_its_sample_in_the_data_set():
    index, data, network = 135, loud(140, 135), spiking_output()  # in the second batch of an evaluation
    recording = simulate(network, network.initialize(1), data.spikes, duration=60.0)
    counts = np.sort(np.diff(recording.offsets))
    assert counts[-1] > counts[-2]
    options = TrainingOptions(batch_size=8, max_spikes=int(counts[-2]), seed=3)
    trainer = make_trainer(options, network=network, loss=FirstSpike())
    assert np.flatnonzero(data.order(3, 0) == index)[0] % 8 != index  # else the place in the batch would be right too
    with pytest.raises(EventStorm, match="^sample 135 fired") as caught:
        trainer.fit(data, epochs=1)
    assert caught.value.sample == index and caught.value.busiest
    for attempt in (lambda: trainer.evaluate(data), lambda: trainer.predict(data.spikes)):
        with pytest.raises(EventStorm, match="^sample 135 fired"):
            attempt()


class Unlabelled:
    """A loss of one's own that forgets to predict."""

    def probes(self, network, duration):
        return MeanVoltage().probes(network, duration)

    def __call__(self, recording, labels):
        return MeanVoltage()(recording, labels)


@pytest.mark.parametrize("loss", [Unlabelled(), SpikeCountTarget("hidden")])
def test_a_loss_that_predicts_nothing_is_refused_before_anything_is_simulated(loss, monkeypatch):
    trainer = make_trainer(loss=loss)
    monkeypatch.setattr(trainer._method, "recordings", None)
    for attempt in (lambda: trainer.fit(TRAIN, epochs=1), lambda: trainer.evaluate(TRAIN)):
        with pytest.raises(InvalidInput, match=f"^loss is '{type(loss).__name__}'"):
            attempt()


class OneClass:
    """A loss of one's own that does not say where its classes are, and knows but one."""

    def probes(self, network, duration):
        return MeanVoltage().probes(network, duration)

    def __call__(self, recording, labels):
        check_labels(labels, recording.n_samples, 1)
        return MeanVoltage()(recording, labels)

    def predict(self, recording):
        return MeanVoltage().predict(recording)


def test_a_label_that_a_loss_refuses_is_named_by_its_place_in_the_data_set():
    data = replace(make_data(140), labels=(np.arange(140) == 133).astype(int))
    trainer = make_trainer(TrainingOptions(batch_size=8), loss=OneClass())
    with pytest.raises(InvalidInput, match=r"^train.labels\[133\] is 1; allowed: classes from 0 to 0"):
        trainer.fit(data, epochs=1)
    with pytest.raises(InvalidInput, match=r"^dataset.labels\[133\] is 1"):
        trainer.evaluate(data)
