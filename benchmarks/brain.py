"""Brain-like networks forward: eventsnn beside NEST's neuron on a grid of 0.1 ms and its precise one, a thread each.

All have the same synapses and delays. The spikes from outside are drawn beforehand, the same for all, or by each
simulator on its way, which for eventsnn means that drawing and sorting them counts too. Building the network does not.
Each run has a process of its own. NEST, where it is installed (`pip install nest-simulator`), refuses a refractory
period of zero: its neurons have one of a step.

Run: python benchmarks/brain.py [--only balanced] [--repeats 3] [--quick]
"""

import argparse
import importlib.util
import json
import time
from typing import NamedTuple

import numpy as np
from brains import BRAINS, STEP
from measuring import in_own_process, peak_memory
from report import Table

MEGABYTE, SECOND = 1e6, 1000.0
TRANSIENT = 0.2  # of the duration, in which rates are not counted yet
COMPARED = 2000  # spikes
# Models of NEST, what a spike_generator must be told of their times, and what draws Poisson spikes for them.
NEST = {
    "NEST, grid": ("iaf_psc_exp", {"allow_offgrid_times": True}, "poisson_generator"),
    "NEST, precise": ("iaf_psc_exp_ps", {"precise_times": True}, "poisson_generator_ps"),
}
SIMULATORS = ("eventsnn", *NEST)
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
    """(network, parameters) of eventsnn: weights become R I in mV."""
    from scipy.sparse import csr_array

    from eventsnn import Network

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
    return network, network.initialize(0)


def task_of(brain, network, parameters):
    """The forward pass to be measured, with spikes from outside that are drawn now."""
    import networks

    from eventsnn import SpikeBatch

    batch = SpikeBatch.from_lists([brain.outside()])
    return networks.Task(network, parameters, batch, np.zeros(1, np.int64), None, brain.duration)


def run_eventsnn(brain, beforehand):
    """The Run of eventsnn, from laid-out parameters to the recording."""
    from costs import Passes

    network, parameters = as_network(brain)
    small = BRAINS["balanced"](duration=2.0, scale=0.01)
    Passes(task_of(small, *as_network(small)), forward_only=True).forward()  # kernels are compiled, or read from disk
    start = time.process_time()
    task = task_of(brain, network, parameters)
    drawing = time.process_time() - start
    passes = Passes(task, forward_only=True)
    start = time.process_time()
    recording, _ = passes.forward()
    seconds = time.process_time() - start + (0.0 if beforehand else drawing)
    return Run(seconds, *recording.spikes("neurons", 0))


def _given(nest, brain, neurons, told):
    """Connect one generator to each neuron, with its spikes from outside."""
    times, who = brain.outside()
    order, ends = np.argsort(who, kind="stable"), np.cumsum(np.bincount(who, minlength=brain.n_neurons))
    # devices are connected with a delay of a step at least
    trains = np.split(times[order] - STEP, ends[:-1])
    generators = nest.Create("spike_generator", brain.n_neurons, [{"spike_times": train, **told} for train in trains])
    nest.Connect(generators, neurons, "one_to_one", {"weight": brain.weight, "delay": STEP})


def _generated(nest, brain, neurons, generator):
    """Connect one generator to each population: every neuron hears a train of its own."""
    first = 0
    for name, size in brain.sizes.items():
        source = nest.Create(generator, 1, {"rate": brain.rates[name] * SECOND})
        nest.Connect(source, neurons[first : first + size], "all_to_all", {"weight": brain.weight, "delay": STEP})
        first += size


def run_nest(brain, simulator, beforehand):
    """The Run of one of NEST's neurons."""
    import nest

    model, told, generator = NEST[simulator]
    nest.set_verbosity("M_ERROR")
    nest.set(resolution=STEP, local_num_threads=1, print_time=False)
    neuron = brain.neuron
    constants = {"tau_m": neuron.tau_mem, "tau_syn_ex": neuron.tau_syn, "tau_syn_in": neuron.tau_syn}
    constants |= {"C_m": neuron.capacitance, "V_th": neuron.threshold, "t_ref": max(neuron.refractory, STEP)}
    neurons = nest.Create(model, brain.n_neurons, constants | dict.fromkeys(("E_L", "V_reset", "V_m", "I_e"), 0.0))
    first, (pre, post, weight, delay) = int(neurons[0].global_id), brain.synapses
    if beforehand:
        _given(nest, brain, neurons, told)
    else:
        _generated(nest, brain, neurons, generator)
    synapses = {"synapse_model": "static_synapse", "weight": weight, "delay": delay}
    nest.Connect(pre + first, post + first, "one_to_one", synapses)
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    nest.Prepare()
    start = time.process_time()
    nest.Run(brain.duration)
    seconds = time.process_time() - start
    nest.Cleanup()
    times, senders = recorder.events["times"], recorder.events["senders"]
    order = np.lexsort((senders, times))
    return Run(seconds, times[order], senders[order] - first)


def measured(name, simulator, beforehand, options):
    """The figures of one simulator on one network, as JSON can hold them; called in a process of its own."""
    brain = BRAINS[name](**options)
    if simulator == "eventsnn":
        run = run_eventsnn(brain, beforehand)
    else:
        run = run_nest(brain, simulator, beforehand)
    counted = run.times >= TRANSIENT * brain.duration
    per_neuron = np.bincount(run.neurons[counted], minlength=brain.n_neurons)
    edges = np.cumsum([0, *brain.sizes.values()])
    rates = {
        population: float(per_neuron[a:b].mean() / ((1.0 - TRANSIENT) * brain.duration) * SECOND)
        for population, a, b in zip(brain.sizes, edges[:-1], edges[1:], strict=True)
    }
    found = {"seconds": run.seconds, "memory_mb": peak_memory() / MEGABYTE, "spikes": int(run.times.size)}
    first = run.neurons[:COMPARED].tolist()
    return found | {"rates": rates, "synapses": int(brain.synapses.pre.size), "first": first}


def agreement(first, other):
    """How many spikes of two simulators are of the same neurons, one after the other, before one is not."""
    return next((k for k, (one, two) in enumerate(zip(first, other, strict=False)) if one != two), len(first))


def brain_table(name, repeats, options):
    """The table of one network: least processor seconds, how many times those of eventsnn they are, memory, rates."""
    present = [simulator for simulator in SIMULATORS if simulator == "eventsnn" or importlib.util.find_spec("nest")]
    calls = [(simulator, beforehand) for beforehand in (True, False) for simulator in present]
    runs = {call: [] for call in calls}
    for _ in range(repeats):
        for call in calls:
            runs[call].append(in_own_process("brain", "measured", name, *call, options))
    rows = []
    for (simulator, beforehand), found in runs.items():
        ours = runs["eventsnn", beforehand]
        row = {"simulator": simulator, "inputs": "drawn beforehand" if beforehand else "drawn by each"}
        row["seconds"] = min(run["seconds"] for run in found)
        row["ratio"] = row["seconds"] / min(run["seconds"] for run in ours)
        row |= {key: found[0][key] for key in ("memory_mb", "spikes")}
        row["alike"] = agreement(ours[0]["first"], found[0]["first"]) if beforehand else None
        rows.append(row | {f"rate {population}": rate for population, rate in found[0]["rates"].items()})
    one = runs["eventsnn", True][0]
    columns = {"simulator": ("simulator", ""), "inputs": ("spikes from outside", ""), "seconds": ("s", ".2f")}
    columns |= {"ratio": ("/eventsnn", ".2f"), "memory_mb": ("peak MB", ",.0f"), "spikes": ("spikes", ",d")}
    columns |= {"alike": ("first spikes alike", ",d")}
    columns |= {f"rate {population}": (f"{population}, Hz", ".2f") for population in one["rates"]}
    notes = [] if len(present) > 1 else ["NEST is left out: nest-simulator is not installed."]
    title = f"{name}: {one['synapses']:,} synapses; processor seconds on one thread, without building"
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
