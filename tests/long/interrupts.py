"""Signals sent at random moments of small batches, and in the middle of storms: is each one heard, and how soon?

    python tests/long/interrupts.py --count 1000     # signals for each number of threads, and for SIGINT and SIGTERM
    python tests/long/interrupts.py --count 0 --storms 15      # seconds until a storm has ended after a signal

A process of its own sends each signal when this one says that it is ready, after a random time. The handler counts,
then raises; what it raised must come out of the call that was running. A call that ends as if nothing had been has
lost it.
"""

import argparse
import contextlib
import signal
import statistics
import subprocess
import sys
import time

import numpy as np

from eventsnn import EventStorm, Network, SpikeBatch, simulate, surrogate, value_and_grad
from eventsnn.engines.checking import forward
from eventsnn.engines.cpu import engine as compiled
from eventsnn.network import Uniform
from eventsnn.spikes import Cotangents
from eventsnn.testing import random_case

SENDER = """
import os, random, signal, sys, time
draw = random.Random(int(sys.argv[3]))
while sys.stdin.buffer.read(1):
    time.sleep(draw.uniform(0.0, float(sys.argv[2])))
    sent = time.perf_counter()  # one clock for all processes of a machine
    os.kill(os.getppid(), int(sys.argv[1]))
    print(sent, flush=True)
"""


class Interrupt(BaseException):
    """What the handler raises."""


class Signals:
    """A context in which ``ready()`` has a signal sent within ``within`` seconds; ``handled``: how many came."""

    def __init__(self, number, within, seed=0):
        self._number, self._arguments, self.handled = number, (str(int(number)), str(within), str(seed)), 0

    def __enter__(self):
        command = [sys.executable, "-c", SENDER, *self._arguments]
        self._sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._before = signal.signal(self._number, self._handle)
        return self

    def __exit__(self, *_):
        self._sender.stdin.close()
        self._sender.wait()
        self._sender.stdout.close()
        signal.signal(self._number, self._before)

    def _handle(self, *_):
        self.handled += 1
        raise Interrupt

    def ready(self):
        self._sender.stdin.write(b"x")

    def sent(self):
        """When the last signal was sent, by ``time.perf_counter``."""
        return float(self._sender.stdout.readline())


def calls(n_threads, seed=0):
    """Functions that each run a small batch both ways, of compiled kernels and of networks on a grid."""
    case = random_case(seed, loss="mean", topology="recurrent", n_samples=16)
    network = surrogate.GridNetwork(dt=1.0)
    network.add_input("in", 20)
    network.add_lif("hidden", 20, tau_mem=10.0, tau_syn=5.0)
    network.add_readout("out", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("in", "hidden", weight=Uniform(0.0, 0.2))
    network.connect("hidden", "out", weight=Uniform(0.0, 0.2))
    draw = np.random.default_rng(seed)
    batch = SpikeBatch.from_lists([(np.sort(draw.uniform(0, 50, 40)), draw.integers(0, 20, 40)) for _ in range(32)])
    parameters = network.initialize(0)

    def by_events():
        value_and_grad(*case[:4], loss=case.loss, duration=case.duration, n_threads=n_threads)

    def on_a_grid():
        surrogate.simulate(network, parameters, batch, duration=50.0, n_threads=n_threads)

    return by_events, on_a_grid


def lost(count, n_threads, number=signal.SIGINT, seed=0):
    """Return how many of ``count`` signals came and were not raised from the calls that they met."""
    work, n_lost = calls(n_threads), 0
    for call in work:
        call()
    with Signals(number, 0.004, seed) as signals:
        for k in range(count):
            try:
                signals.ready()
                while signals.handled == k:
                    work[k % 2]()
                n_lost += 1
            except Interrupt:
                pass
            signals.sent()
    return n_lost


def storm(backward, n_threads):
    """A call of many seconds: a million spikes, fired by 100 neurons that excite each other, or on their way back."""
    n = 1000 if backward else 100
    network = Network()
    network.add_input("in", n)
    network.add_lif("hidden", n, tau_mem=5.0, tau_syn=5.0)
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=1000.0, delay=1.0, mask=np.eye(n, dtype=bool))
    if not backward:
        network.connect("hidden", "hidden", weight=1.0, delay=1.0)
    network.connect("hidden", "out", weight=0.01, delay=Uniform(0.0, 5.0), delay_per="synapse")
    parameters = network.initialize(0)
    batch = SpikeBatch.from_lists([(np.ones(n), np.arange(n))] * 4)
    if not backward:
        return lambda: simulate(
            network, parameters, batch, duration=50.0, n_threads=n_threads, max_spikes=1_000_000, probes={}
        )
    problem, recording, tape = forward(network, parameters, batch, 50.0, "compiled", n_threads, 10_000_000, {})
    assert recording.times.size >= 1_000_000
    cotangents = Cotangents(spike_times=np.ones(recording.times.size))
    return lambda: compiled.backward(problem, recording, tape, cotangents, names=network.trainable)


def delays(count, n_threads, backward, seed=0):
    """Return the seconds from each of ``count`` signals until what they met has ended."""
    work, seconds = storm(backward, n_threads), []
    with Signals(signal.SIGINT, 2.0, seed) as signals:
        for _ in range(count):
            try:
                signals.ready()
                while True:
                    with contextlib.suppress(EventStorm):  # it may come to its end before the signal does
                        work()
            except Interrupt:
                ended = time.perf_counter()
            seconds.append(ended - signals.sent())
    return seconds


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="signals that meet small batches")
    parser.add_argument("--storms", type=int, default=0, help="signals that meet storms")
    arguments, total, slowest = parser.parse_args(argv), 0, 0.0
    for n_threads in (1, 2, 4):
        for number in (signal.SIGINT, signal.SIGTERM) if arguments.count else ():
            n_lost = lost(arguments.count, n_threads, number)
            total += n_lost
            print(f"{number.name}, {n_threads} threads: {n_lost} of {arguments.count} lost", flush=True)
        for backward in (False, True) if arguments.storms else ():
            seconds = delays(arguments.storms, n_threads, backward)
            median, slowest = statistics.median(seconds), max(slowest, statistics.median(seconds))
            way = "backward" if backward else "forward"
            print(f"storm {way}, {n_threads} threads: median {median:.3f} s, longest {max(seconds):.3f} s", flush=True)
    return total == 0 and slowest < 1.0


if __name__ == "__main__":
    sys.exit(not main())
