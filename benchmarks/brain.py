"""Brain-like networks forward: eventsnn beside NEST's neuron on a grid of 0.1 ms and its precise one, a thread each.

All are given the same synapses, delays and input spikes, drawn beforehand; each simulator has a process of its own, in
turn. Building is not counted. NEST, where it is installed (`pip install nest-simulator`), refuses a refractory period
of zero: its neurons have one of a step.

Run: python benchmarks/brain.py [--only balanced] [--repeats 3] [--quick]
"""

import argparse
import importlib.util
import json
import time
from typing import NamedTuple

import numpy as np
from brains import BRAINS, STEP, Brain
from measuring import in_own_process, peak_memory
from report import Table

MEGABYTE, SECOND = 1e6, 1000.0
TRANSIENT = 0.2  # of the duration, in which rates are not counted yet
SIMULATORS = {"eventsnn": "run_eventsnn", "NEST, grid": "run_nest_grid", "NEST, precise": "run_nest_precise"}
QUICK = {"balanced": {"duration": 100.0, "scale": 0.25}, "microcircuit": {"duration": 50.0, "scale": 0.02}}


class Run(NamedTuple):
    """What a simulator did: processor seconds of the simulation, the spikes by time, and whose they are."""

    seconds: float
    times: np.ndarray
    neurons: np.ndarray


def layers_of_synapses(synapses):
    """Numbers of synapses, cut so that no part has two from one neuron to another."""
    same = (np.diff(synapses.pre) == 0) & (np.diff(synapses.post) == 0)
    numbers = np.arange(synapses.pre.size)
    first = np.maximum.accumulate(np.where(np.concatenate([[True], ~same]), numbers, 0))
    rank = numbers - first
    return [np.flatnonzero(rank == k) for k in range(rank.max(initial=0) + 1)]


def as_network(brain):
    """(network, parameters, batch) of eventsnn: weights become R I in mV."""
    from scipy.sparse import csr_array

    from eventsnn import Network, SpikeBatch

    n, neuron = brain.n_neurons, brain.neuron
    network = Network(min_delay=STEP)
    network.add_input("outside", n)
    taus = {"tau_mem": neuron.tau_mem, "tau_syn": neuron.tau_syn}
    network.add_lif("neurons", n, v_threshold=neuron.threshold, **taus)
    alone = csr_array((np.ones(n, bool), np.arange(n), np.arange(n + 1)), (n, n))
    network.connect("outside", "neurons", weight=brain.weight * neuron.millivolts, mask=alone)
    for number, part in enumerate(layers_of_synapses(brain.synapses)):
        pre, post, weight, delay = (values[part] for values in brain.synapses)
        rows = np.searchsorted(pre, np.arange(n + 1))
        network.connect(
            "neurons", "neurons", weight=csr_array((weight * neuron.millivolts, post, rows), (n, n)), delay=delay,
            name=f"neurons->neurons {number + 1}",
        )  # fmt: skip
    return network, network.initialize(0), SpikeBatch.from_lists([(brain.times, brain.neurons)])


def run_eventsnn(brain):
    """The Run of eventsnn: from laid-out parameters to the recording."""
    import networks
    from costs import Passes

    from eventsnn import simulate

    task = networks.Task(*as_network(brain), np.zeros(1, np.int64), None, brain.duration)
    passes = Passes(task, forward_only=True)
    small = as_network(BRAINS["balanced"](duration=2.0, scale=0.01))
    simulate(*small, duration=2.0)  # kernels are compiled, or read from the disk
    start = time.process_time()
    recording, _ = passes.forward()
    seconds = time.process_time() - start
    return Run(seconds, *recording.spikes("neurons", 0))


def run_nest_grid(brain):
    """The Run of NEST's neuron on the grid."""
    return _run_nest(brain, "iaf_psc_exp", {"allow_offgrid_times": True})


def run_nest_precise(brain):
    """The Run of NEST's neuron with spikes between the points of the grid."""
    return _run_nest(brain, "iaf_psc_exp_ps", {"precise_times": True})


def _run_nest(brain, model, exactly):
    import nest

    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.set(resolution=STEP, local_num_threads=1, print_time=False)
    neuron, n = brain.neuron, brain.n_neurons
    constants = {"tau_m": neuron.tau_mem, "tau_syn_ex": neuron.tau_syn, "tau_syn_in": neuron.tau_syn}
    constants |= {"C_m": neuron.capacitance, "V_th": neuron.threshold, "E_L": 0.0, "V_reset": 0.0, "V_m": 0.0}
    neurons = nest.Create(model, n, constants | {"I_e": 0.0, "t_ref": max(neuron.refractory, STEP)})
    first = int(neurons[0].global_id)
    pre, post, weight, delay = brain.synapses
    # devices are connected with a delay of a step at least
    order, ends = np.argsort(brain.neurons, kind="stable"), np.cumsum(np.bincount(brain.neurons, minlength=n))
    trains = np.split(brain.times[order] - STEP, ends[:-1])
    outside = nest.Create("spike_generator", n, [{"spike_times": train, **exactly} for train in trains])
    nest.Connect(outside, neurons, "one_to_one", {"weight": brain.weight, "delay": STEP})
    nest.Connect(
        pre + first, post + first, "one_to_one",
        {"synapse_model": "static_synapse", "weight": weight, "delay": delay},
    )  # fmt: skip
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Prepare()
    start = time.process_time()
    nest.Run(brain.duration)
    seconds = time.process_time() - start
    nest.Cleanup()
    events = recorder.events
    order = np.lexsort((events["senders"], events["times"]))
    return Run(seconds, events["times"][order], events["senders"][order] - first)


def measured(name, simulator, options):
    """The figures of one simulator on one network, as JSON can hold them; called in a process of its own."""
    brain: Brain = BRAINS[name](**options)
    run = globals()[SIMULATORS[simulator]](brain)
    counted = run.times >= TRANSIENT * brain.duration
    per_neuron = np.bincount(run.neurons[counted], minlength=brain.n_neurons)
    edges = np.cumsum([0, *brain.sizes.values()])
    rates = {
        population: float(per_neuron[a:b].mean() / ((1.0 - TRANSIENT) * brain.duration) * SECOND)
        for population, a, b in zip(brain.sizes, edges[:-1], edges[1:], strict=True)
    }
    found = {"seconds": run.seconds, "memory_mb": peak_memory() / MEGABYTE, "spikes": int(run.times.size)}
    first = [[float(t), int(j)] for t, j in zip(run.times[:2000], run.neurons[:2000], strict=True)]
    return found | {"rates": rates, "synapses": brain.synapses.pre.size, "inputs": brain.times.size, "first": first}


def agreement(first, other):
    """How many spikes of two simulators are of the same neurons, one after the other, before the first that is not."""
    pairs = zip(first, other, strict=False)
    return next((k for k, (one, two) in enumerate(pairs) if one[1] != two[1]), min(len(first), len(other)))


def brain_table(name, repeats, options):
    """The table of one network: least processor seconds, ratio to eventsnn, memory, rates."""
    present = [s for s in SIMULATORS if s == "eventsnn" or importlib.util.find_spec("nest")]
    runs = {simulator: [] for simulator in present}
    for _ in range(repeats):
        for simulator in present:
            runs[simulator].append(in_own_process("brain", "measured", name, simulator, options))
    rows, ours = [], min(run["seconds"] for run in runs["eventsnn"])
    for simulator, found in runs.items():
        least, one = min(run["seconds"] for run in found), found[0]
        row = {"simulator": simulator, "seconds": least, "ratio": least / ours, "memory_mb": one["memory_mb"]}
        row |= {"spikes": one["spikes"], "same": agreement(runs["eventsnn"][0]["first"], one["first"])}
        rows.append(row | {f"rate {population}": rate for population, rate in one["rates"].items()})
    one = runs["eventsnn"][0]
    columns = {"simulator": ("simulator", ""), "seconds": ("s", ".2f"), "ratio": ("/eventsnn", ".2f")}
    columns |= {"memory_mb": ("peak MB", ",.0f"), "spikes": ("spikes", ",d"), "same": ("first spikes alike", ",d")}
    columns |= {f"rate {population}": (f"{population}, Hz", ".2f") for population in one["rates"]}
    title = f"{name}: {one['synapses']:,} synapses, {one['inputs']:,} input spikes; processor seconds, one thread"
    notes = [] if len(present) > 1 else ["NEST is left out: nest-simulator is not installed."]
    return Table(f"brain_{name}", title, columns, rows, notes=notes)


def main():
    """Measure and print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=BRAINS, help="one network only")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small parts of the networks, for a short time")
    parser.add_argument("--options", type=json.loads, default={}, help='for the network, as {"duration": 200}')
    chosen = parser.parse_args()
    for name in [chosen.only] if chosen.only else BRAINS:
        options = (QUICK[name] if chosen.quick else {}) | chosen.options
        print(brain_table(name, chosen.repeats, options).markdown(), flush=True)


if __name__ == "__main__":
    main()
