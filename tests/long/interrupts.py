"""Signals sent at random moments of small batches, and in the middle of storms: is each one heard, and how soon?

    python tests/long/interrupts.py --count 1000     # signals for each number of threads, and for SIGINT and SIGTERM
    python tests/long/interrupts.py --storms 15      # seconds until a storm of a million spikes has ended

A process of its own sends each signal when this one says that it is ready, after a random time. The handler counts, then
raises; what it raised must come out of the call that was running. A call that ends as if nothing had been has lost it.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import time

import numpy as np

from eventsnn import Network, SpikeBatch, simulate, surrogate, value_and_grad
from eventsnn.initializers import Uniform
from eventsnn.losses import MeanVoltage
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
    """A context in which ``ready()`` has a signal sent within ``within`` seconds; ``handled`` counts those that came."""

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


def storm(backward, n_threads, n=300, duration=2000.0):
    """A call of many seconds: a million spikes of neurons that all excite each other, forward or backward."""
    network = Network()
    network.add_input("in", n)
    network.add_lif("hidden", n, tau_mem=5.0, tau_syn=1.0)
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=8.0, delay=1.0, mask=np.eye(n, dtype=bool))
    network.connect("hidden", "hidden", weight=0.02, delay=Uniform(1.0, 20.0), delay_per="synapse")
    network.connect("hidden", "out", weight=0.01)
    parameters = network.initialize(0)
    times = np.repeat(np.arange(0.0, duration, 2.0), n)
    one = (times, np.tile(np.arange(n), times.size // n))
    batch = SpikeBatch.from_lists([one] * 4)
    if not backward:
        return lambda: simulate(network, parameters, batch, duration=duration, n_threads=n_threads)
    return lambda: value_and_grad(
        network, parameters, batch, np.zeros(4, int), loss=MeanVoltage(), duration=duration, n_threads=n_threads
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args(argv)
    total = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        for n_threads in (1, 2, 4):
            n_lost = lost(arguments.count, n_threads, number)
            total += n_lost
            print(f"{number.name}, {n_threads} threads: {n_lost} of {arguments.count} lost", flush=True)
    return total == 0


if __name__ == "__main__":
    sys.exit(not main())
