"""One sample backward without windows: the layers of a network without cycles, from the last one to the first.

What pulls on a population's spikes lies in the populations after it, and their adjoints are known by then. Between its
jumps the adjoint of a neuron is two modes that do not change, counted from the start of the trial: at each target a
spike needs no more than the first jump after its arrival.
"""

import numpy as np

from ..adjoint_workspace import Lambda, Step
from ..compile import inlined, kernel
from ..neurons.base import jump_back, mode_rise, share_of_mode, start_back, start_matters, unit_drive
from ..places import place_of
from ..simd import is_set
from ..state import TARGET, Kind, Way

# Among so many jumps of a neuron they are looked at one by one.
FEW = 8


@kernel
def _sort_jumps(net, adjoint, jumps):
    """List the jumps neuron by neuron, in time: those of neuron j stand from ``ends[j]`` to ``ends[j + 1]``."""
    ends = adjoint.ends
    ends[:] = 0
    for e in range(jumps.size):
        ends[jumps[e].neuron + 2] += 1
    for j in range(net.neurons.size):
        ends[j + 2] += ends[j + 1]
    # each begin moves on to the end
    for e in range(jumps.size):
        place = jumps[e].neuron + 1
        jumped = adjoint.jumped[ends[place]]
        jumped.time, jumped.entry = jumps[e].time, e
        ends[place] += 1


@inlined
def _are_alike(net, pop, other):
    """Whether two populations with modes have the same time constants."""
    one, two = net.neurons[net.pops[pop].start], net.neurons[net.pops[other].start]
    return one.tau_mem == two.tau_mem and one.tau_syn == two.tau_syn


@inlined
def _target(net, conn, first, s):
    """The target of synapse s, in a row that begins with synapse ``first``."""
    if net.conns[conn].way == Way.QUEUE:
        return np.int64(net.slot[s] >> TARGET)
    return net.pops[net.conns[conn].target].start + s - first


@inlined
def _first_jump(adjoint, j, arrival):
    """The place among ``jumped`` of neuron j's first jump at or after an arrival; the end of its jumps for none."""
    begin, k = adjoint.ends[j], adjoint.ends[j + 1]
    while k - begin > FEW:
        middle = (begin + k) >> 1
        if adjoint.jumped[middle].time >= arrival:
            k = middle
        else:
            begin = middle + 1
    while k > begin and adjoint.jumped[k - 1].time >= arrival:
        k -= 1
    return k


@inlined
def _collect_row(net, adjoint, conn, row, time, factor, gradients):
    """Let a spike collect up a row the modes that its arrivals meet; returns its pull. ``factor``: its pair."""
    first, share, (by_mem, by_syn) = net.row_ptr[row], share_of_mode(net, net.conns[conn].target), factor
    all_mem = all_syn = 0.0
    for s in range(first, net.row_ptr[row + 1]):
        j = _target(net, conn, first, s)
        k = _first_jump(adjoint, j, time + net.delay[s])
        if k < adjoint.ends[j + 1]:
            mem, syn = adjoint.jumped[k].mem, adjoint.jumped[k].syn
            gradients.per_synapse[2 * s] += by_mem * mem
            gradients.per_synapse[2 * s + 1] += by_syn * syn
            all_mem, all_syn = all_mem + net.charge[2 * s] * mem, all_syn + net.charge[2 * s + 1] * syn
    return (1.0 - share) * by_mem * all_mem - by_syn * all_syn


@inlined
def _collect_drive(net, adjoint, conn, row, time, count, gradients):
    """Let a spike collect up a row the loss's drive at readouts; returns its pull."""
    own, uniform, unit, pull = net.conns[conn].per_synapse, net.pops[net.conns[conn].target].uniform, (0.0, 0.0), 0.0
    first, last, arrival = net.row_ptr[row], net.row_ptr[row + 1], time
    if not own:
        arrival += net.row_delay[row]
        if first == last or arrival >= net.duration:
            return 0.0
        unit = unit_drive(net, net.pops[net.conns[conn].target].start, arrival)
    for s in range(first, last):
        j = _target(net, conn, first, s)
        if own:
            arrival = time + net.delay[s]
            if arrival >= net.duration:
                continue
        if own or not uniform:
            unit = unit_drive(net, j, arrival)
        drive = adjoint.steps[Step.DRIVE, j]
        by_weight, by_time = count * net.neurons[j].tau_syn * drive * unit[1], -count * net.weight[s] * drive * unit[0]
        if own:
            gradients.per_synapse[2 * s] += by_weight
            gradients.per_synapse[2 * s + 1] += by_time
        else:
            gradients.weight[s - net.first_shared] += by_weight
        pull += by_time
    if not own:
        gradients.row_delay[row] += pull
    return pull


@inlined
def _collect(net, adjoint, unit, spike, of, growth, gradients):
    """Let a spike collect up all its rows; returns its pull.

    ``unit``: (population, its neuron in it); ``spike``: (time, count); ``growth``: e^{time/tau} for both modes of
    population ``of``, or of none: -1.
    """
    pull, (pop, local), (time, count) = 0.0, unit, spike
    for link in range(net.pops[pop].first_link, net.pops[pop].last_link):
        conn = net.links[link]
        row, target = net.conns[conn].first_row + local, net.conns[conn].target
        if net.pops[target].kind != Kind.SPIKING:
            pull += _collect_drive(net, adjoint, conn, row, time, count, gradients)
            continue
        if of < 0 or not _are_alike(net, of, target):
            of, growth = target, mode_rise(net, target, 0, time)
        factor = count * growth[0], count * growth[1]
        pull += _collect_row(net, adjoint, conn, row, time, factor, gradients)
    return pull


@inlined
def _take_back(net, adjoint, jumps, j, gradients):
    """Take one neuron back through its jumps; leaves lambda_V at time 0 in ``states``."""
    pop, mem, syn = net.neurons[j].pop, 0.0, 0.0
    unit, share = (pop, j - net.pops[pop].start), share_of_mode(net, pop)
    for k in range(adjoint.ends[j + 1] - 1, adjoint.ends[j] - 1, -1):
        jumped = adjoint.jumped[k]
        e, growth = jumped.entry, mode_rise(net, pop, 0, jumped.time)
        pull = jumps[e].pull + _collect(net, adjoint, unit, (jumped.time, 1.0), pop, growth, gradients)
        lambda_v = mem * growth[0]
        lambda_i = syn * growth[1] + share * lambda_v
        lambda_v = jump_back(net, adjoint, jumps, e, lambda_v, pull, gradients)
        jumped.mem = mem = lambda_v / growth[0]
        jumped.syn = syn = (lambda_i - share * lambda_v) / growth[1]
    adjoint.states[Lambda.V, place_of(net, -1) + j] = mem


@kernel
def backward_by_layers(net, jumps, inputs, at_inputs, adjoint, gradients):
    """Accumulate the gradients of one sample; ``at_inputs``: where dL/dt of its input spikes goes, or empty."""
    _sort_jumps(net, adjoint, jumps)
    for pop in range(net.n_pops - 1, -1, -1):
        for j in range(net.pops[pop].start, net.pops[pop].stop):
            if is_set(adjoint.stop):
                return
            _take_back(net, adjoint, jumps, j, gradients)
    for k in range(inputs.size):
        if is_set(adjoint.stop):
            return
        if inputs[k].time < net.duration:
            source, spike = net.sources[inputs[k].source], (inputs[k].time, inputs[k].count)
            pull = _collect(net, adjoint, (source.pop, source.local), spike, -1, (0.0, 0.0), gradients)
            if at_inputs.size > 0:
                at_inputs[k] = pull
    if start_matters(net):
        start_back(net, adjoint, gradients)
