"""Threads: shards and their order are fixed, results are bit-identical, errors and interrupts come out.

Hazards: an interrupt that falls into a finaliser, which prints and forgets it; a kernel that does not look; a signal
whose handler raises nothing, which must change no result; an event loop that waits to be woken by a signal.
"""

import _thread
import errno
import os
import signal
import socket
import threading
import time

import numpy as np
import pytest

from eventsnn import Network, SpikeBatch, simulate, stream, value_and_grad
from eventsnn.engines.cpu import engine as compiled
from eventsnn.engines.cpu import streaming
from eventsnn.errors import EventStorm
from eventsnn.kernels.state import Status
from eventsnn.losses import MeanVoltage
from eventsnn.network import Uniform
from eventsnn.parallel import threads
from eventsnn.parallel.threads import StoppedBySignals, available_cores, in_order, resolve_n_threads
from eventsnn.testing import random_case


@pytest.fixture
def nothing_runs():
    """Whether no thread is left of those that a test has started; other tests of the process may have left theirs."""
    before = _thread._count()

    def check():
        # a thread that an interrupt met while it was being started ends a bit later
        deadline = time.monotonic() + 60
        while _thread._count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        return _thread._count() <= before

    return check


def results(function, items, n_threads):
    with in_order(lambda item, stop: function(item), items, n_threads) as found:
        return list(found)


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_results_come_in_the_order_of_the_items(n_threads):
    def slow_first(k):
        time.sleep(0.01 if k % 3 == 0 else 0.0)
        return k * k

    assert results(slow_first, list(range(30)), n_threads) == [k * k for k in range(30)]
    assert results(slow_first, [], n_threads) == []


def test_an_error_comes_out_and_stops_the_rest(nothing_runs):
    done = []

    def fail_at_three(k):
        if k == 3:
            raise ValueError("three")
        done.append(k)
        return k

    with pytest.raises(ValueError, match="three"):
        results(fail_at_three, list(range(200)), 2)
    assert len(done) < 50
    assert nothing_runs()


class Noted(list):
    """A list that notes how many of its items have been handed out."""

    n_taken = 0

    def __iter__(self):
        for item in super().__iter__():
            self.n_taken += 1
            yield item


def test_work_ahead_is_bounded():
    items = Noted(range(100))
    with in_order(lambda k, stop: k, items, 2) as found:
        for k in range(100):
            assert next(found) == k
            # two for each thread that wait or are done, and the one asked for, however fast the threads are
            assert items.n_taken == min(k + 5, 100)


def test_what_is_still_running_when_the_block_ends_is_told_to_end(nothing_runs):
    def until_told(k, stop):
        while k > 0 and not stop.flag[0]:
            time.sleep(0.001)
        return k

    with pytest.raises(ZeroDivisionError), in_order(until_told, list(range(50)), 3) as found:
        next(found)
        raise ZeroDivisionError
    assert nothing_runs()


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


def test_a_storm_in_one_shard_names_the_first_sample_for_any_number_of_threads(nothing_runs):
    case = random_case(0, loss="mean", topology="recurrent", n_samples=20)
    recording = simulate(*case[:3], duration=case.duration, n_threads=1)
    most = np.diff(recording.offsets)
    assert most.max() > 1
    expected = int(np.argmax(most > 1))
    for n_threads in (1, 2, 4):
        with pytest.raises(EventStorm) as caught:
            simulate(*case[:3], duration=case.duration, n_threads=n_threads, max_spikes=1)
        assert caught.value.sample == expected
    assert nothing_runs()


def test_users_may_simulate_from_threads_of_their_own():
    cases = [random_case(seed, loss="mean", topology="recurrent", n_samples=6) for seed in range(4)]

    def gradients(case):
        return value_and_grad(*case[:4], loss=case.loss, duration=case.duration, n_threads=1)

    alone = [gradients(case) for case in cases]
    found = results(gradients, cases * 10, 4)
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


# -------------------------------------------------------------------------------------------------------- interrupts


class Interrupt(BaseException):
    """What a handler raises here, so that nothing else can be taken for it."""


@pytest.fixture
def handled():
    """A function that sets the handler of SIGINT or SIGTERM; both are as before afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


def raise_interrupt(number, frame):
    raise Interrupt


class Busy:
    """Work that only a stop ends, as a kernel's in a storm; the first look sends the signal."""

    def __init__(self, number):
        self.number, self.sent = number, 0

    def __call__(self, item, stop):
        if threading.current_thread() is not threading.main_thread():
            self.send_once()
        while not stop.flag[0]:
            self.send_once()
            time.sleep(0.001)
        return item

    def send_once(self):
        self.sent += 1
        if self.sent == 1:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_what_a_handler_raises_comes_out_of_the_block(handled, number, n_threads, nothing_runs):
    handled(number, raise_interrupt)
    with pytest.raises(Interrupt), in_order(Busy(number), list(range(20)), n_threads) as found:
        list(found)
    assert nothing_runs()


@pytest.fixture
def statuses(monkeypatch):
    """What the kernels return, call by call; ``before_each``: functions that are called before the next kernels."""
    found, before_each = [], []

    def watched(kernel):
        def call(*arguments):
            if before_each:
                before_each.pop()()
            result = kernel(*arguments)
            found.append(Status(result[0] if isinstance(result, tuple) else result))
            return result

        call.overloads = True  # it is compiled
        return call

    for place in (compiled, streaming):
        monkeypatch.setattr(place, "forward_shard", watched(place.forward_shard))
    monkeypatch.setattr(compiled, "backward_shard", watched(compiled.backward_shard))
    return found, before_each


def bits_of(case, n_threads):
    value, gradients, recording = value_and_grad(
        *case[:4], loss=case.loss, duration=case.duration, n_threads=n_threads, return_recording=True
    )
    return value, [values.tobytes() for values in gradients.values()], recording.times.tobytes()


def test_a_signal_that_raises_nothing_ends_kernels_and_changes_no_bit(handled, statuses):
    case, (found, before_each) = random_case(1, loss="maximum", topology="recurrent", n_samples=5), statuses
    found.clear()  # of what the case was drawn with
    expected, handlers = bits_of(case, 1), []
    n_calls = len(found)
    assert set(found) == {Status.OK}
    for number in (signal.SIGINT, signal.SIGTERM):
        handled(number, lambda *arguments: handlers.append(arguments))
    for k in range(n_calls):
        # kernel number k meets a signal
        before_each[:] = [lambda: os.kill(os.getpid(), signal.SIGTERM), *[lambda: None] * k]
        found.clear(), handlers.clear()
        assert bits_of(case, 1) == expected
        assert len(handlers) == 1 and found[k] == Status.INTERRUPTED and found.count(Status.INTERRUPTED) == 1


def many_arrivals():
    """A network and a sample of many arrivals and no spikes, which a kernel is busy with for some time."""
    network = Network()
    network.add_input("in", 1)
    network.add_readout("out", 200)
    network.connect("in", "out", weight=1e-3, delay=Uniform(0.0, 20.0), delay_per="synapse")
    times = np.linspace(0.0, 990.0, 200_000)
    return network, network.initialize(0), SpikeBatch.from_lists([(times, np.zeros(times.size, int))])


def test_a_kernel_that_runs_for_long_looks_at_what_came_meanwhile(handled, statuses):
    (network, parameters, batch), (found, _) = many_arrivals(), statuses
    labels, loss, came = np.array([0]), MeanVoltage(), []
    expected = value_and_grad(network, parameters, batch, labels, loss=loss, duration=1000.0, n_threads=1)
    found.clear()
    before = signal.signal(signal.SIGALRM, lambda *arguments: came.append(len(found)))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        value, gradients = value_and_grad(
            network, parameters, batch, labels, loss=loss, duration=1000.0, n_threads=1
        )  # fmt: skip
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # each of both kernels was ended, and came to its end although the signals went on
    assert len(came) > 3
    assert found.count(Status.OK) == 2 and found.count(Status.INTERRUPTED) >= 2
    assert value == expected[0]
    assert all(gradients[name].tobytes() == values.tobytes() for name, values in expected[1].items())


def test_parts_of_a_stream_go_on_from_where_they_were(handled, statuses):
    case, (found, before_each) = random_case(2, loss="mean", topology="recurrent", n_samples=1), statuses
    handled(signal.SIGTERM, lambda *arguments: None)

    def parts():
        return [part.times.tobytes() for part in stream(*case[:3], duration=case.duration, every=case.duration / 4)]

    expected = parts()
    found.clear()
    before_each[:] = [lambda: os.kill(os.getpid(), signal.SIGTERM)] * 8
    assert parts() == expected and Status.INTERRUPTED in found


def test_the_wakeup_of_an_event_loop_is_kept_and_the_loop_is_woken(handled):
    handled(signal.SIGTERM, lambda *arguments: None)
    awaiting, waking = socket.socketpair()
    waking.setblocking(False)
    before = signal.set_wakeup_fd(waking.fileno())
    try:
        with StoppedBySignals() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.flag[0] == signal.SIGTERM
        assert awaiting.recv(10) == bytes([signal.SIGTERM])
        assert signal.set_wakeup_fd(waking.fileno()) == waking.fileno()
        with StoppedBySignals() as stop:
            assert not stop.flag[0]
    finally:
        signal.set_wakeup_fd(before)
        awaiting.close(), waking.close()


def test_other_threads_hear_no_signals(handled):
    handled(signal.SIGTERM, lambda *arguments: None)
    flags = []

    def look():
        with StoppedBySignals() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            flags.append(int(stop.flag[0]))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert flags == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_signals_of_a_child_are_its_own(handled):
    handled(signal.SIGTERM, lambda *arguments: None)
    with StoppedBySignals():
        pass
    child = os.fork()
    if child == 0:
        with StoppedBySignals():
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    with StoppedBySignals() as stop:
        assert os.waitpid(child, 0)[1] == 0
        assert not stop.flag[0]


@pytest.fixture
def new_file():
    """A file for signals is made anew, here and afterwards."""
    threads._made_signal_file.cache_clear()
    yield
    threads._made_signal_file.cache_clear()


def refuse(*_):
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_system_without_files_in_memory_uses_another(handled, monkeypatch, new_file):
    handled(signal.SIGTERM, lambda *arguments: None)
    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    with StoppedBySignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.flag[0] == signal.SIGTERM


def test_a_process_that_may_open_no_file_works_and_hears_signals_later(handled, monkeypatch, new_file):
    handled(signal.SIGTERM, lambda *arguments: None)
    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    monkeypatch.setattr(threads.tempfile, "TemporaryFile", refuse)
    with StoppedBySignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not stop.flag[0]
    assert results(lambda k: k, [1, 2], 1) == [1, 2]
    monkeypatch.undo()
    with StoppedBySignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.flag[0] == signal.SIGTERM


def test_what_a_handler_raises_while_the_context_begins_leaves_the_wakeup_as_it_was(monkeypatch):
    awaiting, waking = socket.socketpair()
    waking.setblocking(False)
    before = signal.set_wakeup_fd(waking.fileno())

    def interrupted(*_):
        raise Interrupt

    monkeypatch.setattr(threads, "Stop", interrupted)
    try:
        for context in (StoppedBySignals(), in_order(abs, [1], 1)):
            with pytest.raises(Interrupt), context:
                pass
            assert signal.set_wakeup_fd(waking.fileno()) == waking.fileno()
        monkeypatch.undo()
        monkeypatch.setattr(threads, "repeat", interrupted)
        with pytest.raises(Interrupt), in_order(abs, [1], 1):
            pass
        assert signal.set_wakeup_fd(waking.fileno()) == waking.fileno()
    finally:
        signal.set_wakeup_fd(before)
        awaiting.close(), waking.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_forked_during_a_call_does_not_stop_its_parent(handled):
    handled(signal.SIGTERM, lambda *arguments: None)
    with StoppedBySignals() as stop:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert not stop.flag[0]
