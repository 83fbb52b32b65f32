"""Threads: shards and their order are fixed, results are bit-identical, errors come out, nothing is left running."""

import threading
import time

import numpy as np
import pytest

from eventsnn import simulate, value_and_grad
from eventsnn.errors import EventStorm
from eventsnn.testing import random_case
from eventsnn.threads import available_cores, map_in_order, resolve_n_threads


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_results_come_in_the_order_of_the_items(n_threads):
    def slow_first(k):
        time.sleep(0.01 if k % 3 == 0 else 0.0)
        return k * k

    assert list(map_in_order(slow_first, list(range(30)), n_threads)) == [k * k for k in range(30)]
    assert list(map_in_order(slow_first, [], n_threads)) == []


def test_an_error_comes_out_and_stops_the_rest():
    done = []

    def fail_at_three(k):
        if k == 3:
            raise ValueError("three")
        done.append(k)
        return k

    with pytest.raises(ValueError, match="three"):
        list(map_in_order(fail_at_three, list(range(200)), 2))
    assert len(done) < 50
    assert not [t for t in threading.enumerate() if t.name.startswith("eventsnn")]


def test_work_ahead_is_bounded():
    started = []
    results = map_in_order(lambda k: started.append(k) or k, list(range(100)), 2)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 8
    results.close()
    assert len(started) < 100


@pytest.mark.parametrize("seed", range(4))
def test_gradients_are_bit_identical_for_any_number_of_threads(seed):
    loss = ["mean", "maximum", "first", "exponential"][seed]
    case = random_case(seed, loss=loss, topology="recurrent", n_samples=21)
    results = []
    for n_threads in (1, 2, 4):
        results.append(
            value_and_grad(
                *case[:4], loss=case.loss, duration=case.duration, n_threads=n_threads, input_times=True,
                return_recording=True,
            )
        )  # fmt: skip
    value, gradients, times, recording = results[0]
    for other_value, other_gradients, other_times, other_recording in results[1:]:
        assert other_value == value
        for name, values in gradients.items():
            assert values.tobytes() == other_gradients[name].tobytes(), name
        for name, values in times.items():
            assert values.tobytes() == other_times[name].tobytes()
        for name in ("times", "neurons", "slopes", "offsets"):
            assert getattr(recording, name).tobytes() == getattr(other_recording, name).tobytes()
        for name in ("events", "walked", "screened", "grazing", "after_end"):
            assert np.array_equal(getattr(recording.counters, name), getattr(other_recording.counters, name))


def test_a_storm_in_one_shard_names_the_first_sample_for_any_number_of_threads():
    case = random_case(0, loss="mean", topology="recurrent", n_samples=20)
    recording = simulate(*case[:3], duration=case.duration, n_threads=1)
    most = np.diff(recording.offsets)
    assert most.max() > 1
    expected = int(np.argmax(most > 1))
    for n_threads in (1, 2, 4):
        with pytest.raises(EventStorm) as caught:
            simulate(*case[:3], duration=case.duration, n_threads=n_threads, max_spikes=1)
        assert caught.value.sample == expected
    assert not [t for t in threading.enumerate() if t.name.startswith("eventsnn")]


def test_users_may_simulate_from_threads_of_their_own():
    cases = [random_case(seed, loss="mean", topology="recurrent", n_samples=6) for seed in range(4)]

    def gradients(case):
        return value_and_grad(*case[:4], loss=case.loss, duration=case.duration, n_threads=1)

    alone = [gradients(case) for case in cases]
    found = list(map_in_order(gradients, cases * 10, 4))
    for k, (value, grads) in enumerate(found):
        assert value == alone[k % 4][0]
        assert all(grads[name].tobytes() == alone[k % 4][1][name].tobytes() for name in grads)


def test_number_of_threads(monkeypatch):
    monkeypatch.setenv("EVENTSNN_NUM_THREADS", "3")
    assert resolve_n_threads() == 3 and resolve_n_threads(2) == 2 and resolve_n_threads(None, 5) == 3
    monkeypatch.setenv("EVENTSNN_NUM_THREADS", "")
    assert resolve_n_threads() >= 1
    monkeypatch.delenv("EVENTSNN_NUM_THREADS")
    assert resolve_n_threads() == len(available_cores()) >= 1 and resolve_n_threads(None, 5) == 5
