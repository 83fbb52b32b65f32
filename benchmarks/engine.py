"""What the compiled engine costs per synaptic event, beside the cost of pushing events alone; see benchmarks/README.md.

Run: python benchmarks/engine.py [--hidden 128 256] [--repeats 7] [--samples 4]
"""

import argparse
import multiprocessing
import platform
import resource
import sys
import time
from types import SimpleNamespace

import numba
import numpy as np

from eventsnn import Network, Normal, SpikeBatch, Uniform, compiled, gradients, losses, value_and_grad
from eventsnn.spikes import Run

N_INPUTS, N_CLASSES, DURATION, INPUT_SPIKES = 700, 20, 1000.0, 8000
LOSS = losses.ExponentialMeanVoltage(population="out")
# Weights for which the hidden neurons fire 10 to 12 times in the second, with delays and without.
INPUT_MEAN, INPUT_SD, RECURRENT_SD, READOUT_SD = 0.0126, 0.02, 0.02, 0.03
BUCKET, WINDOWS = 8192, 64  # room of the push loop, powers of two
SYNAPTIC_EVENT = np.dtype([("time", np.float64), ("weight", np.float64), ("target", np.int32)], align=True)


def build(n_hidden, delays):
    """The recurrent network of the benchmark and its parameters, with trained per-synapse delays or none."""
    network = Network()
    network.add_input("in", N_INPUTS)
    network.add_lif("hidden", n_hidden, tau_mem=20.0, tau_syn=10.0)
    network.add_readout("out", N_CLASSES, tau_mem=20.0, tau_syn=10.0)
    network.connect("in", "hidden", weight=Normal(INPUT_MEAN, INPUT_SD), delay=Uniform(0, 30) if delays else None)
    recurrent = {"delay": Uniform(1, 30)} if delays else {"delay": 1.0, "delay_per": "connection", "train": ["weight"]}
    network.connect("hidden", "hidden", weight=Normal(0, RECURRENT_SD), **recurrent)
    network.connect("hidden", "out", weight=Normal(0, READOUT_SD))
    return network, network.initialize(0)


def poisson_inputs(n_samples, duration=DURATION):
    """``n_samples`` samples of 8,000 input spikes per second, uniform over time and channels."""
    rng = np.random.default_rng(0)
    n = round(INPUT_SPIKES * duration / DURATION)
    return SpikeBatch.from_lists(
        [(rng.uniform(0, duration, n), rng.integers(0, N_INPUTS, n)) for _ in range(n_samples)]
    )


@numba.njit(nogil=True, error_model="numpy")
def push_only(net, rows, times, tails, buckets):
    """What an engine that queues synaptic events does at least: read weight and delay, append one event record."""
    per_ms, window = 1.0 / net.h, 0
    for k in range(rows.size):
        while window < np.int64(times[k] * per_ms):
            tails[window & (WINDOWS - 1)] = 0
            window += 1
        for s in range(net.row_ptr[rows[k]], net.row_ptr[rows[k] + 1]):
            arrival = times[k] + net.delay[s]
            w = np.int64(arrival * per_ms) & (WINDOWS - 1)
            event = buckets[w, tails[w] & (BUCKET - 1)]
            event.time, event.weight, event.target = arrival, net.weight[s], net.target[s]
            tails[w] += 1


def spikes_to_push(layout, recording, sample=0):
    """(rows, times) of all spikes of one sample that go down per-synapse rows, in order of time."""
    first_row = {c.name: row for c, row in zip(layout.connections, layout.net.conns["first_row"], strict=True)}
    rows, times = [], []
    for name, population in (("in->hidden", "in"), ("hidden->hidden", "hidden")):
        at, units = recording.spikes(population, sample)
        rows.append(first_row[name] + units)
        times.append(at)
    order = np.argsort(np.concatenate(times), kind="stable")
    return np.concatenate(rows)[order], np.concatenate(times)[order]


def seconds(function, *arguments):
    """(wall seconds, result) of one call."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def time_engine(n_hidden, delays, n_samples, repeats):
    """Minima over ``repeats`` of the forward and backward pass and of the push loop, taken in turn in one run."""
    network, parameters = build(n_hidden, delays)
    batch, labels = poisson_inputs(n_samples), np.arange(n_samples) % N_CLASSES
    run = Run(DURATION, gradients.joint_probes((LOSS,), network, DURATION), 1)
    least = dict.fromkeys(("layout", "forward", "backward", "push"), np.inf)
    tails, buckets = np.zeros(WINDOWS, np.int64), np.zeros((WINDOWS, BUCKET), SYNAPTIC_EVENT)
    n_pushed = 1
    for repeat in range(repeats + 1):  # the first one compiles
        taken = {}
        taken["forward"], (recording, tape) = seconds(compiled.forward, network, parameters, {"in": batch}, run)
        _, cotangents = gradients.evaluate((LOSS,), recording, labels)
        taken["backward"], _ = seconds(compiled.backward, network, recording, tape, cotangents, network.trainable)
        taken["layout"], layout = seconds(compiled.Layout, network, parameters, run)
        if delays:
            rows, times = spikes_to_push(layout, recording)
            n_pushed = rows.size * n_hidden
            taken["push"], _ = seconds(push_only, layout.net, rows, times, tails, buckets)
        if repeat > 0:
            least = {key: min(value, taken.get(key, np.inf)) for key, value in least.items()}
    counters = recording.counters
    events, windows = counters.events.sum(), counters.walked.sum() + counters.screened.sum()
    return SimpleNamespace(
        events=events / n_samples,
        rate=recording.spike_counts("hidden").mean(),
        walked=counters.walked.sum() / windows,
        forward=(least["forward"] - least["layout"]) / events * 1e9,
        backward=least["backward"] / events * 1e9,
        push=least["push"] / n_pushed * 1e9,
        layout=least["layout"] * 1e3,
        sample=(least["forward"] - least["layout"] + least["backward"]) / n_samples * 1e3,
    )


def time_threads(n_hidden, n_samples, repeats):
    """Least seconds of one value_and_grad on 1 and 2 threads, and whether the gradients are the same bits."""
    network, parameters = build(n_hidden, True)
    batch, labels = poisson_inputs(n_samples), np.arange(n_samples) % N_CLASSES
    least, found = {1: np.inf, 2: np.inf}, {}
    for _ in range(repeats):
        for n_threads in least:
            start = time.perf_counter()
            _, found[n_threads] = value_and_grad(
                network, parameters, batch, labels, loss=LOSS, duration=DURATION, n_threads=n_threads
            )
            least[n_threads] = min(least[n_threads], time.perf_counter() - start)
    same = all(np.array_equal(found[1][name], found[2][name]) for name in found[1])
    return least, same


def _peak_megabytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _training_step(n_hidden, n_samples, duration, results):
    """In a process of its own: peak memory of one value_and_grad above that of a warm engine."""
    small, parameters = build(2, True)
    labels = np.arange(n_samples) % N_CLASSES
    value_and_grad(small, parameters, poisson_inputs(1, 10.0), labels[:1], loss=LOSS, duration=10.0, n_threads=1)
    batch, (network, parameters) = poisson_inputs(n_samples, duration), build(n_hidden, True)
    before = _peak_megabytes()
    _, _, recording = value_and_grad(
        network, parameters, batch, labels, loss=LOSS, duration=duration, n_threads=1, return_recording=True
    )
    results.put((_peak_megabytes() - before, int(recording.counters.events.sum()), recording.times.size))


def measure_memory(n_hidden, n_samples, duration):
    """(peak MB above a warm engine with its data loaded, synaptic events, emitted spikes) of one training step."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_training_step, args=(n_hidden, n_samples, duration, results))
    process.start()
    result = results.get(timeout=300)
    process.join()
    return result


def print_costs(sizes, n_samples, repeats):
    """One line per network: cost per synaptic event, and as a ratio to the push loop of the same run."""
    print(
        "| hidden | delays | spikes/neuron | events/sample | walked | push | forward | backward | (f+b)/push | sample |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for n_hidden in sizes:
        for delays in (True, False):
            r = time_engine(n_hidden, delays, n_samples, repeats)
            push = f"{r.push:.1f} ns | " if delays else "- | "
            ratio = f"{(r.forward + r.backward) / r.push:.1f}" if delays else "-"
            print(
                f"| {n_hidden} | {'per synapse' if delays else 'none'} | {r.rate:.1f} | {r.events / 1e6:.2f} M "
                f"| {100 * r.walked:.1f} % | {push}{r.forward:.1f} ns | {r.backward:.1f} ns | {ratio} "
                f"| {r.sample:.1f} ms |",
                flush=True,
            )


def main():
    """Run every measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 256], help="hidden neurons (default 128 256)")
    parser.add_argument("--repeats", type=int, default=7, help="timings of which the least counts (default 7)")
    parser.add_argument("--samples", type=int, default=4, help="samples per timing (default 4)")
    options = parser.parse_args()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}"
    print(f"{platform.machine()}, {versions}; {options.samples} samples, least of {options.repeats}, one thread\n")
    size = options.hidden[-1]
    # first, because a child process inherits the peak of its parent
    memory = [measure_memory(size, 8, duration) for duration in (DURATION / 100, DURATION, 4 * DURATION)]
    print_costs(options.hidden, options.samples, options.repeats)
    least, same = time_threads(size, 4 * options.samples, min(options.repeats, 3))
    bits = "the same bits" if same else "DIFFERENT BITS"
    print(f"\n{size} hidden, batch of {4 * options.samples}, whole step: 1 thread {least[1] * 1e3:.0f} ms, ", end="")
    print(f"2 threads {least[2] * 1e3:.0f} ms ({least[1] / least[2]:.2f} times as fast; gradients: {bits})\n")
    print(f"Peak memory of a step above a warm engine with its data, {size} hidden, batch of 8, one thread:\n")
    print("| duration | synaptic events | emitted spikes | memory |\n|---|---|---|---|")
    for duration, (peak, events, spikes) in zip((1, 4), memory[1:], strict=True):
        print(f"| {duration} s | {events / 1e6:.1f} M | {spikes:,} | {peak:.0f} MB |")


if __name__ == "__main__":
    main()
