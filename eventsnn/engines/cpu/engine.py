"""The compiled engine: runs the kernels shard by shard on threads and assembles recordings and gradients."""

from collections.abc import Collection
from typing import TypeAlias

import numpy as np

from ...aliases import Array, Floats, Integers, Parameters
from ...kernels.adjoint_workspace import make_adjoint
from ...kernels.events.backward import backward_shard
from ...kernels.events.forward import forward_shard
from ...kernels.state import NEVER, SPIKE, Chosen, Gradients, Outputs, Spikes, Status
from ...parallel.sharding import N_SHARDS, Share, shards
from ...parallel.threads import Stop, in_order
from ...spikes.cotangents import Cotangents
from ...spikes.recording import Recording
from ..problem import Problem
from .buffers import fit_to_go_on, key_of_adjoint, looking_at, n_spikes, take_buffers
from .layout import Layout
from .memory import give, take
from .reading import empty_outputs, jumps_of, make_recording, storm
from .streaming import stream

__all__ = ["backward", "forward", "stream"]

Tape: TypeAlias = tuple[Layout, Spikes]
Samples: TypeAlias = tuple[int, int]
"""(first, last): the last one is not among them."""

# Fewer input spikes than this are not worth a call of their own.
SPIKES_WORTH_A_CALL = 256


def forward(problem: Problem) -> tuple[Recording, Tape]:
    """Simulate a batch; returns (Recording, (Layout, merged inputs)): see `engines.base.Engine`."""
    inputs, run = problem.inputs, problem.run
    layout = Layout(problem.network, problem.parameters, run)
    spikes = layout.gather_inputs(inputs)
    n_samples = spikes.offsets.size - 1
    # samples do not touch each other, so any ranges will do: on one thread none so small that the call of a kernel
    # costs more than it does
    worth = max(1, spikes.events.size // SPIKES_WORTH_A_CALL) if run.n_threads == 1 else N_SHARDS
    ranges = shards(n_samples, min(N_SHARDS, worth))
    outputs, span = empty_outputs(layout, n_samples), (0.0, run.duration)
    tapes, offsets = [np.zeros(0, SPIKE)], np.zeros(n_samples + 1, np.int64)

    def run_shard(samples: Samples, stop: Stop) -> tuple[Array, Integers]:
        return _run_shard(layout, spikes, samples, outputs, stop)

    if not forward_shard.overloads:
        # a thread could not be interrupted while it compiles
        work = looking_at(Stop.at(NEVER), take_buffers(layout)[1])
        forward_shard(layout.net, spikes, Chosen(0, 0, run.max_spikes, 0), work, outputs, offsets)
    with in_order(run_shard, ranges, run.n_threads) as shard_tapes:
        for (first, last), (tape, ends) in zip(ranges, shard_tapes, strict=True):
            offsets[first + 1 : last + 1] = offsets[first] + ends
            tapes.append(tape)
    tape = np.concatenate(tapes)
    recording = make_recording(layout, inputs, (tape, offsets), outputs, run.probes, span)
    return recording, (layout, spikes)


def _run_shard(
    layout: Layout, spikes: Spikes, samples: Samples, outputs: Outputs, stop: Stop
) -> tuple[Array, Integers]:
    """Simulate one shard, enlarging buffers as often as it takes; returns (tape, spikes after each sample)."""
    net, run = layout.net, layout.run
    key, work = take_buffers(layout)
    work, (first, last) = looking_at(stop, work), samples
    ends, sample = np.zeros(spikes.offsets.size, np.int64), first
    while sample < last:
        chosen = Chosen(sample, last, run.max_spikes, net.n_windows)
        status, sample = forward_shard(net, spikes, chosen, work, outputs, ends)
        before = int(ends[sample - 1]) if sample > first else 0
        if status == Status.TOO_MANY_SPIKES:
            raise storm(layout, sample, work.tape[before : n_spikes(work)])
        if status != Status.OK:
            for output in outputs:
                output[sample] = 0
            work = fit_to_go_on(work, status, stop, before, (0.0, run.duration))
    tape = work.tape[: n_spikes(work)].copy()
    give("forward", key, work)
    return tape, ends[first:last]


def backward(
    problem: Problem, recording: Recording, tape: Tape, cotangents: Cotangents, *,
    names: Collection[str], input_times: bool = False, share: Share | None = None,
) -> tuple[Parameters, dict[str, Floats] | None]:  # fmt: skip
    """Replay the tape backwards on threads: see `engines.base.Engine`."""
    (layout, spikes), run = tape, problem.run
    net = layout.net
    jumps = jumps_of(layout, recording, cotangents)
    drive = np.zeros((recording.n_samples, net.neurons.size))
    for name, values in cotangents.integral.items():
        drive[:, slice(*layout.slices[name])] = values
    at_inputs = np.zeros(spikes.events.size * input_times)
    key = (net.first_shared, net.weight.size, net.row_delay.size, net.neurons.size)
    adjoint_key = key_of_adjoint(net, spikes, jumps, layout.needs_tails(names))

    def accumulate(samples: Samples, stop: Stop) -> Gradients:
        gradients = take("gradients", key, layout.empty_gradients)
        for array in gradients[:-1]:
            array[:] = 0.0
        adjoint = take("adjoint", adjoint_key, lambda: make_adjoint(*adjoint_key))
        adjoint = adjoint if adjoint.stop == stop.address else adjoint._replace(stop=stop.address)
        mine = gradients._replace(input_times=at_inputs)
        status = backward_shard(net, spikes, samples, jumps, drive, adjoint, mine)
        if status == Status.INTERRUPTED:  # neither buffers nor sums are of use any more
            stop.look_further()
            return accumulate(samples, stop)
        give("adjoint", adjoint_key, adjoint)
        return gradients

    share = Share(recording.n_samples) if share is None else share
    if not backward_shard.overloads:  # on this thread, which can be interrupted
        nothing = layout.empty_gradients()._replace(input_times=at_inputs)
        backward_shard(net, spikes, (0, 0), jumps, drive, make_adjoint(*adjoint_key), nothing)
    with in_order(accumulate, share.ranges, run.n_threads) as parts:
        sums = share.add(
            parts, lambda: take("gradients", key, layout.empty_gradients), lambda part: give("gradients", key, part)
        )
    named = layout.name_gradients(sums, names)
    give("gradients", key, sums)
    return named, layout.split_inputs(at_inputs, recording.inputs) if input_times else None
