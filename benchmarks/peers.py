"""Peers on the same networks in the same run: Norse, SpikingJelly, snnTorch and jaxsnn, where they are installed.

The first three compute something else: time in steps of 1 ms, surrogate gradients, float32, and no delays. The networks
have the same sizes, inputs and time constants, but not the same weights: on a grid the time of a step hardly knows the
spikes. Their loss is the cross entropy of the mean readout voltages. PyTorch runs on one thread.

jaxsnn takes spikes one after the other, as eventsnn does, with EventProp's gradients of weights, in float32 and without
delays. It is measured where outputs are told by their first spikes and no layer feeds back; its weights are drawn from
the same distributions, and it is compiled beforehand. XLA has one thread where its environment says so.

Run: python benchmarks/peers.py [--quick]
"""

import argparse
import importlib.util
from typing import NamedTuple

import costs
import networks
import numpy as np
from floor import Floor
from measuring import interleaved
from report import Table
from settings import FULL, QUICK

STEP, TAU_MEM, TAU_SYN, SECOND = 1.0, 20.0, 10.0, 1000.0  # ms


class Sizes(NamedTuple):
    """Neurons of a peer's network, and whether its hidden neurons are connected to each other."""

    n_inputs: int
    n_hidden: int
    n_outputs: int
    recurrent: bool


def norse_model(sizes):
    """The network in Norse: a function from input spikes (steps, samples, channels) to voltages, and its parameters."""
    import norse.torch as norse
    import torch

    rates = [torch.as_tensor(1000.0 / tau) for tau in (TAU_SYN, TAU_MEM)]  # in 1/s
    spiking, leaky = norse.LIFParameters(*rates), norse.LIParameters(*rates)
    if sizes.recurrent:
        hidden = norse.LIFRecurrent(sizes.n_inputs, sizes.n_hidden, p=spiking, dt=STEP / 1000)
    else:
        linear = torch.nn.Linear(sizes.n_inputs, sizes.n_hidden, bias=False)
        hidden = norse.SequentialState(linear, norse.LIF(p=spiking, dt=STEP / 1000))
    linear = torch.nn.Linear(sizes.n_hidden, sizes.n_outputs, bias=False)
    readout = norse.SequentialState(linear, norse.LI(p=leaky, dt=STEP / 1000))
    return lambda spikes: readout(hidden(spikes)[0])[0], [*hidden.parameters(), *readout.parameters()]


def snntorch_model(sizes):
    """The network in snnTorch; see ``norse_model``."""
    import snntorch
    import torch

    decays = [float(np.exp(-STEP / tau)) for tau in (TAU_SYN, TAU_MEM)]
    first = torch.nn.Linear(sizes.n_inputs, sizes.n_hidden, bias=False)
    if sizes.recurrent:
        hidden = snntorch.RSynaptic(*decays, linear_features=sizes.n_hidden, reset_mechanism="zero")
    else:
        hidden = snntorch.Synaptic(*decays, reset_mechanism="zero")
    second = torch.nn.Linear(sizes.n_hidden, sizes.n_outputs, bias=False)
    readout = snntorch.Synaptic(*decays, reset_mechanism="none")

    def voltages(spikes):
        state, last, found = hidden.reset_mem(), readout.reset_mem(), []
        for current in first(spikes):
            new = hidden(current, *state)
            # the recurrent one takes its own spikes back in
            fired, state = new[0], new if sizes.recurrent else new[1:]
            _, *last = readout(second(fired), *last)
            found.append(last[-1])
        return torch.stack(found)

    modules = (first, hidden, second, readout)
    return voltages, [parameter for module in modules for parameter in module.parameters()]


def spikingjelly_model(sizes):
    """The network in SpikingJelly; see ``norse_model``."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron

    first = torch.nn.Linear(sizes.n_inputs, sizes.n_hidden, bias=False)
    recurrent = torch.nn.Linear(sizes.n_hidden, sizes.n_hidden, bias=False) if sizes.recurrent else None
    mode = "s" if sizes.recurrent else "m"  # step by step, or many steps at once
    hidden = torch.nn.Sequential(layer.SynapseFilter(TAU_SYN), neuron.LIFNode(TAU_MEM))
    second = torch.nn.Linear(sizes.n_hidden, sizes.n_outputs, bias=False)
    # a filter is a leaky integrator: one is the current, the next the voltage
    readout = torch.nn.Sequential(layer.SynapseFilter(TAU_SYN), layer.SynapseFilter(TAU_MEM))
    functional.set_step_mode(hidden, mode)
    functional.set_step_mode(readout, "m")

    def step_by_step(currents):
        fired, found = torch.zeros_like(currents[0]), []
        for current in currents:
            fired = hidden(current + recurrent(fired))
            found.append(fired)
        return torch.stack(found)

    def voltages(spikes):
        functional.reset_net(hidden)
        functional.reset_net(readout)
        currents = first(spikes)
        return readout(second(step_by_step(currents) if sizes.recurrent else hidden(currents)))

    modules = [module for module in (first, recurrent, hidden, second) if module is not None]
    return voltages, [parameter for module in modules for parameter in module.parameters()]


# Slots for the events of a layer, which jaxsnn wants to know beforehand, beside its inputs; each costs, filled or not.
# Where they are used up it ends without a word (findings/steps_of_jaxsnn_run_out.sh).
JAXSNN_SLOTS = {"hidden": 160, "out": 15}


def jaxsnn_step(task):
    """A function that runs one step, forward and backward, of jaxsnn on a task told by first spikes."""
    import jax
    import jax.numpy as jnp
    from jaxsnn.event.loss import first_spike
    from jaxsnn.event.modules import LIF, Linear, Source
    from jaxsnn.event.modules.lif.lif import LIFParameters
    from jaxsnn.event.topology import Topology
    from jaxsnn.event.types import Spike

    # in s; between them spikes are floats of 32 bits
    lif = LIFParameters(v_reset=0.0, v_th=1.0, tau_syn=TAU_SYN / SECOND, tau_mem=TAU_MEM / SECOND)
    n, builder, slots = {}, Topology(t_max=task.duration / SECOND, backprop_method="eventprop"), 0
    for name, population in task.network.populations.items():
        n[name] = population.n
        slots += JAXSNN_SLOTS.get(name, population.n)
        builder.add({name: Source(population.n) if name == "in" else LIF(population.n, slots, lif)})
    for connection in task.network.connections.values():
        drawn = connection.weight
        builder.add({connection.name: Linear(mean=drawn.mean, std=drawn.sd)})
        builder.connect([(connection.pre, connection.name), (connection.name, connection.post)])
    draw, run = builder.done()
    weights, shape = draw(jax.random.PRNGKey(0)), (task.n_samples, -1)
    times, units = task.batch.times.reshape(shape) / SECOND, task.batch.units.reshape(shape)
    nothing = jnp.zeros(times.shape)
    given = Spike(jnp.array(times), jnp.array(units), nothing, nothing.astype(int), nothing == 0.0)
    rows, labels = jnp.arange(task.n_samples), jnp.array(task.labels)

    def loss(weights):
        first = jax.vmap(first_spike, in_axes=(0, None))(run({"in": given}, weights)["out"], n["out"])
        scores = -jnp.minimum(first, task.duration / SECOND) * SECOND / STEP
        return -jax.nn.log_softmax(scores)[rows, labels].mean()

    for name, events in run({"in": given}, weights).items():
        if name in JAXSNN_SLOTS and (events.idx[:, -1] >= 0).any():
            raise RuntimeError(f"JAXSNN_SLOTS of {name!r} is too small: its spikes fill all slots.")
    step = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(step(weights))


# What each needs, and what makes its step of a task; None for a task that is not of its kind.
PEERS = {
    "Norse": (("torch", "norse"), lambda task: peer_step(norse_model, task)),
    "SpikingJelly": (("torch", "spikingjelly"), lambda task: peer_step(spikingjelly_model, task)),
    "snnTorch": (("torch", "snntorch"), lambda task: peer_step(snntorch_model, task)),
    "jaxsnn": (
        ("jax", "jaxsnn"),
        lambda task: None if task.network.populations["out"].is_readout else jaxsnn_step(task),
    ),
}


def missing(packages):
    """The name of what must be installed before this can be measured, None if all is there."""
    return next((name for name in packages if importlib.util.find_spec(name) is None), None)


def spikes_on_grid(task, n_inputs):
    """Input spikes counted in steps of 1 ms, float32 of shape (steps, samples, channels)."""
    grid = np.zeros((round(task.duration / STEP), task.n_samples, n_inputs), np.float32)
    sample = np.repeat(np.arange(task.n_samples), np.diff(task.batch.offsets))
    np.add.at(grid, ((task.batch.times / STEP).astype(np.int64), sample, task.batch.units), 1)
    return grid


def peer_step(model, task):
    """A function that runs one step, forward and backward, of a peer's network on the inputs of a task."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    populations = task.network.populations
    recurrent = "hidden->hidden" in task.network.connections
    sizes = Sizes(*(populations[name].n for name in ("in", "hidden", "out")), recurrent)
    voltages, parameters = model(sizes)
    spikes, labels = torch.from_numpy(spikes_on_grid(task, sizes.n_inputs)), torch.from_numpy(task.labels)
    trained = [parameter for parameter in parameters if parameter.requires_grad]

    def step():
        loss = torch.nn.functional.cross_entropy(voltages(spikes).mean(dim=0), labels)
        return torch.autograd.grad(loss, trained, allow_unused=True)

    return step


def _tasks(settings):
    """{network: (task with a delay per synapse, task without delays)}."""
    sizes = {f"rec {n}": (networks.recurrent, n) for n in settings.hidden}
    sizes[f"5-{settings.yin_yang_hidden[0]}-3"] = (networks.yin_yang, settings.yin_yang_hidden[0])
    n_samples = settings.batch
    return {
        name: tuple(build(n, delays, n_samples=n_samples) for delays in ("synapse", "none"))
        for name, (build, n) in sizes.items()
    }


def _calls(delayed, plain):
    """{engine: its step} on one network, the floor among them."""
    floor = Floor(delayed, costs.Passes(delayed).recording)
    calls = {"floor": floor, "eventsnn": lambda: costs.step(delayed)}
    calls["eventsnn, no delays"] = lambda: costs.step(plain)
    steps = {name: make(plain) for name, (packages, make) in PEERS.items() if missing(packages) is None}
    return calls | {name: step for name, step in steps.items() if step is not None}


def peers_table(settings):
    """Milliseconds per sample of one step, forward and backward, of eventsnn, of the floor and of installed peers."""
    rows = []
    for name, (delayed, plain) in _tasks(settings).items():
        timings = interleaved(_calls(delayed, plain), settings)
        for engine, timing in timings.items():
            row = {"network": name, "engine": engine, "batch": plain.n_samples}
            row["sample_ms"] = timing.least / plain.n_samples * costs.MILLI
            row["sample_ms_median"] = timing.median / plain.n_samples * costs.MILLI
            row["to_floor"] = timing.least / timings["floor"].least
            row["to_eventsnn"] = timing.least / timings["eventsnn"].least
            rows.append(row)
    absent = {name: missing(packages) for name, (packages, _) in PEERS.items()}
    notes = [f"{name} is left out: {lacks} is not installed." for name, lacks in absent.items() if lacks]
    columns = {"network": ("network", ""), "engine": ("engine", ""), "batch": ("batch", "")}
    columns |= {"sample_ms": ("ms/sample", ".3f"), "to_floor": ("/floor", ".1f"), "to_eventsnn": ("/eventsnn", ".2f")}
    title = "Peers: one step, forward and backward, one thread; the floor and eventsnn with a delay per synapse"
    return Table("peers", title, columns, rows, notes=notes)


def main():
    """Measure and print the table of peers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats and samples")
    print(peers_table(QUICK if parser.parse_args().quick else FULL).markdown())


if __name__ == "__main__":
    main()
