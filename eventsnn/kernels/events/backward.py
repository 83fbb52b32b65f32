"""One shard of samples backward: the network in reverse, window by window.

The adjoint is a network that runs backwards: a spike fired at t was felt at t + delay, so on the way back it collects,
at that time, the adjoint of each of its targets, and has collected everything when its own time comes. The queue that
carried it down its row carries it up again, from the far end. Only the adjoint of the stretch at hand is kept:
(lambda_V, lambda_I) of every neuron at the end of each of its windows, and just before each of its spikes inside them.
Nothing of the forward pass is needed but the spikes and their slopes (docs/mathematics.md, sections 3 to 5).
"""

import math

import numpy as np

from ..adjoint_workspace import NO_SPIKE, Lambda, Mode, Step, Tail
from ..blocks import first_of_block
from ..compile import entry, inlined, kernel, merged
from ..neurons.base import (
    adjoint_at,
    flow_back,
    jump_back,
    leap_back,
    prepare_back,
    share_of_mode,
    start_back,
    start_matters,
    write_modes,
)
from ..places import cell_of, place_of, stretch_at, window_at
from ..queue import NOTHING, bucket_of, clear, is_empty, take_all
from ..simd import is_set
from ..state import LEAST_LEAP, Status
from .collecting import admit, ask_for, collect_stretch
from .collecting_blocks import collect_rings, enter_block, hold_jump, is_known, leave_block
from .layers import backward_by_layers


@inlined
def _jump(net, adjoint, jumps, e, window, gradients):
    """The adjoint jump at entry e of the sample's jumps; what its arrivals collected stands in ``pulls``."""
    j, time = jumps[e].neuron, jumps[e].time
    if e > 0 and adjoint.home[e - 1] >= 0:
        ask_for(net, gradients, adjoint.queue.events[adjoint.home[e - 1]])
    if adjoint.home[e] >= 0:
        collect_stretch(net, adjoint, jumps, np.int64(adjoint.home[e]), window >> net.shift, gradients)
    pull = jumps[e].pull + adjoint.pulls[e]
    if net.block > 0:
        pull += collect_rings(net, adjoint, jumps, e, window, gradients)
    # the adjoint just after the spike: from the neuron's next spike in this window, or from the window's end
    lambda_v, lambda_i = adjoint_at(net, adjoint, jumps, j, time)
    lambda_v = jump_back(net, adjoint, jumps, e, lambda_v, pull, gradients)
    adjoint.jump_states[Lambda.V, e], adjoint.jump_states[Lambda.I, e] = lambda_v, lambda_i
    place, pop = place_of(net, window) + j, net.neurons[j].pop
    if adjoint.first[place] == NO_SPIKE:
        for row in (Lambda.V, Lambda.I):
            adjoint.jump_ends[row, e], adjoint.states[row, place] = adjoint.states[row, place], 0.0
    adjoint.first[place], adjoint.modes[2 * place] = e, math.nan
    if is_known(net, pop):
        hold_jump(net, adjoint, jumps, e, window, (lambda_v, lambda_i))
    if net.pops[pop].queued:
        x = ((window >> net.shift) + 1) * net.stretch * net.h - time
        adjoint.jump_modes[Mode.MEM, e] = lambda_v * math.exp(x / net.neurons[j].tau_mem)
        adjoint.jump_modes[Mode.SYN, e] = (lambda_i - share_of_mode(net, pop) * lambda_v) * math.exp(
            x / net.neurons[j].tau_syn
        )


@kernel
def _begin_sample(net, adjoint, n_jumps, n_spikes):
    """lambda = 0 at the end of the simulation; what the loss's drive adds is known in closed form (`unit_drive`)."""
    clear(adjoint.queue)
    adjoint.lost[:] = 0.0
    adjoint.pulls[:n_spikes] = 0.0
    adjoint.home[:n_jumps] = NOTHING
    place = place_of(net, net.n_windows - 1)
    for j in range(net.neurons.size):
        at = place + j
        adjoint.first[at] = NO_SPIKE
        adjoint.states[Lambda.V, at] = adjoint.states[Lambda.I, at] = 0.0
        if adjoint.tails.shape[1] > 0:
            for row in (Tail.RESET, Tail.PSP, Tail.CURRENT):
                adjoint.tails[row, at] = 0.0


@inlined
def _previous_window(net, adjoint, window, jump, spike, known):
    """The last window before ``window`` in a stretch with work in it, or -1.

    ``jump`` and ``spike``: the windows of the next jump and of the next spike to be admitted; ``known``: the last
    window before this one whose adjoint a spike asks for without the queue. A stretch is walked from its end: what a
    spike collects may lie in any window after it.
    """
    if known >= window - 1:
        return window - 1
    stretch = window >> net.shift
    latest = max(jump >> net.shift, (spike >> net.shift) + net.ring_mask if spike >= 0 else -1)
    if latest >= stretch or not is_empty(net, adjoint.queue, stretch):
        return window - 1
    if adjoint.queue.use[0].live > 0:
        stretch -= 1
        while stretch > latest and is_empty(net, adjoint.queue, stretch):
            stretch -= 1
        latest = stretch
    return min(max((latest + 1) * net.stretch - 1, known), window - 1)


@inlined
def _reached_from(net, window):
    """The last window in which a spike fired in ``window`` may arrive without the queue; -1 for a window of -1."""
    return window + net.reach - 1 if window >= 0 and net.block > 0 else -1


@inlined
def _admit_spikes(net, adjoint, jumps, inputs, next_ones, stretch):
    """Admit all spikes that can have an arrival in a stretch; ``next_ones``: (fired, given) yet to be admitted."""
    fired, given = next_ones
    while fired >= 0 and stretch_at(net, jumps, fired) >= stretch - net.ring_mask:
        j = jumps[fired].neuron
        pop = net.neurons[j].pop
        admit(net, adjoint, jumps, pop, j - net.pops[pop].start, jumps[fired].time, 1.0, fired)
        fired -= 1
    while given >= 0 and stretch_at(net, inputs, given) >= stretch - net.ring_mask:
        source, spike = net.sources[inputs[given].source], jumps.size + given
        admit(net, adjoint, jumps, source.pop, source.local, inputs[given].time, inputs[given].count, spike)
        given -= 1
    return fired, given


@merged
def backward_sample(net, mine, inputs, at_inputs, adjoint, gradients):
    """Accumulate the gradients of one sample, from its jumps and its input spikes.

    ``at_inputs``: where dL/dt of those goes, or empty.
    """
    _begin_sample(net, adjoint, mine.size, mine.size + inputs.size)
    # the next jump to take, the next fired spike and the next input spike to be admitted
    e, fired, given = mine.size - 1, mine.size - 1, inputs.size - 1
    while given >= 0 and inputs[given].time >= net.duration:
        given -= 1
    window, stretch, first, passed = net.n_windows - 1, np.int64(-1), np.int64(-1), given
    while window >= 0 and not is_set(adjoint.stop):
        if net.block > 0 and first_of_block(net, window) != first:
            if first >= 0:
                leave_block(net, adjoint, mine, inputs, first, gradients)
            enter_block(net, adjoint, mine, e, window)
            first = first_of_block(net, window)
        if window >> net.shift != stretch:
            stretch = window >> net.shift
            fired, given = _admit_spikes(net, adjoint, mine, inputs, (fired, given), stretch)
        write_modes(net, adjoint, window)
        last_entry, cell = e + 1, cell_of(net, window, 0)
        for pop in range(net.n_pops - 1, -1, -1):
            adjoint.entries[1, cell + pop] = e + 1
            while e >= 0 and mine[e].neuron >= net.pops[pop].start and window_at(net, mine, e) == window:
                if is_set(adjoint.stop):
                    return
                _jump(net, adjoint, mine, e, window, gradients)
                e -= 1
            adjoint.entries[0, cell + pop] = e + 1
        if window & (net.stretch - 1) == 0:
            for pop in range(net.n_pops):
                item = take_all(adjoint.queue, bucket_of(net, stretch, pop))
                collect_stretch(net, adjoint, mine, item, stretch, gradients)
        spike = max(window_at(net, mine, fired), window_at(net, inputs, given))
        while passed >= 0 and window_at(net, inputs, passed) >= window:
            passed -= 1
        known = _reached_from(net, max(window_at(net, inputs, passed), window_at(net, mine, e)))
        previous = _previous_window(net, adjoint, window, window_at(net, mine, e), spike, known)
        if previous < 0 and not start_matters(net):
            break
        flow_back(net, adjoint, mine, window, (e + 1, last_entry))
        window -= 1
        if window - previous >= LEAST_LEAP:
            leap_back(net, adjoint, window, previous)
            window = previous
    if first >= 0 and not is_set(adjoint.stop):
        leave_block(net, adjoint, mine, inputs, first, gradients)
    if start_matters(net):
        start_back(net, adjoint, gradients)
    for k in range(at_inputs.size):
        at_inputs[k] = adjoint.pulls[mine.size + k]


@entry
def backward_shard(net, spikes, samples, jumps, drive, adjoint, gradients):
    """Accumulate the gradients of samples first..last, in order.

    ``samples``: (first, last); ``drive`` (n_samples, n_state): dL/dz of each readout's weighted voltage integral;
    ``gradients``: a Gradients whose arrays are added to. Returns the value of a Status:
    after INTERRUPTED they hold nothing of use.
    """
    layered = net.layered and adjoint.tails.shape[1] == 0
    if not layered:
        prepare_back(net, adjoint.steps, net.h, adjoint.tails.shape[1] > 0)
    for sample in range(samples[0], samples[1]):
        for j in range(net.neurons.size):
            adjoint.steps[Step.DRIVE, j] = drive[sample, j]
        mine = jumps.entries[jumps.offsets[sample] : jumps.offsets[sample + 1]]
        begin, stop = spikes.offsets[sample], spikes.offsets[sample + 1]
        inputs, at_inputs = spikes.events[begin:stop], gradients.input_times[begin:stop]
        if layered:
            backward_by_layers(net, mine, inputs, at_inputs, adjoint, gradients)
        else:
            backward_sample(net, mine, inputs, at_inputs, adjoint, gradients)
        if is_set(adjoint.stop):
            return Status.INTERRUPTED.value
    return Status.OK.value


@entry
def most_in_flight(given, given_offsets, fired, fired_offsets, reach):
    """The most spikes of one sample that the backward pass has in its queue at once.

    ``given``, ``fired``: the stretches of input spikes and of jumps, ascending within each sample; ``reach``: stretches
    of the ring less one. While a stretch is walked those are spikes of that stretch and of ``reach`` before it: a spike
    is admitted when it comes within reach, and has collected everything when its own stretch is done.
    """
    most = 0
    for sample in range(given_offsets.size - 1):
        a, b = given_offsets[sample], fired_offsets[sample]
        last_a, last_b, first_a, first_b = given_offsets[sample + 1], fired_offsets[sample + 1], a, b
        while a < last_a or b < last_b:
            if b == last_b or (a < last_a and given[a] <= fired[b]):
                stretch = given[a]
                a += 1
            else:
                stretch = fired[b]
                b += 1
            while first_a < a and given[first_a] < stretch - reach:
                first_a += 1
            while first_b < b and fired[first_b] < stretch - reach:
                first_b += 1
            most = max(most, a - first_a + b - first_b)
    return most
