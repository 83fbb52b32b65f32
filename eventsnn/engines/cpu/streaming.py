"""One long sample, part by part, in memory that does not grow with its length."""

import math
from collections.abc import Iterator

import numpy as np

from ...aliases import Integers, Milliseconds
from ...kernels.events.forward import forward_shard
from ...kernels.state import Chosen, Count, Outputs, Spikes, Status
from ...kernels.workspace import Workspace
from ...parallel.threads import Stop, StoppedBySignals
from ...spikes.batch import SpikeBatch
from ...spikes.recording import Recording
from ..parts import between, n_parts
from ..problem import Problem
from .buffers import fit_to_go_on, in_use, looking_at, n_spikes, take_buffers
from .layout import Layout
from .memory import give
from .reading import empty_outputs, make_recording, storm


def stream(problem: Problem, every: Milliseconds) -> Iterator[Recording]:
    """Simulate one sample; yields a Recording for each ``every`` ms, and holds no other spikes.

    Parameters are read now, whatever becomes of their arrays before the first part is asked for.
    """
    layout = Layout(problem.network, problem.parameters, problem.run)
    return _parts(layout, layout.gather_inputs(problem.inputs), problem.inputs, every)


def _parts(layout: Layout, spikes: Spikes, inputs: dict[str, SpikeBatch], every: Milliseconds) -> Iterator[Recording]:
    net, run = layout.net, layout.run
    outputs, ends, after_end = empty_outputs(layout, 1), np.zeros(1, np.int64), 0
    (key, work), finished = take_buffers(layout), False
    last = n_parts(run.duration, every) - 1
    for part in range(last + 1):
        start, end = part * every, run.duration if part == last else (part + 1) * every
        counters = np.zeros_like(outputs.counters)
        outputs = outputs._replace(counters=counters)
        if not finished:
            until = min(math.ceil(end * net.per_ms), net.n_windows)
            with StoppedBySignals() as stop:
                work = looking_at(stop, work)
                work = _run_part(layout, spikes, until, work, outputs, (ends, start), stop)
            # a leap over the rest may end the run in an earlier part than the last
            finished, after_end = work.progress["window"][0] == 0, after_end + counters[0, Count.AFTER_END]
        counters[0, Count.AFTER_END] = after_end if part == last else 0
        found = work.tape[: n_spikes(work)]
        # the last window of the part may reach into the next one
        later = found["time"] >= end
        tape, kept = found[~later], found[later]
        work.progress["n_spikes"] = kept.size
        work.tape[: kept.size] = kept
        probes = run.probes if part == last else {}
        mine = {name: between(batch, start, end) for name, batch in inputs.items()}
        yield make_recording(layout, mine, (tape, np.array([0, tape.size])), outputs, probes, (start, end))
    give("forward", key, work)


def _run_part(
    layout: Layout, spikes: Spikes, until: int, work: Workspace, outputs: Outputs,
    place: tuple[Integers, Milliseconds], stop: Stop,
) -> Workspace:  # fmt: skip
    """Take a sample on to a window; returns the buffers, in larger ones if they were full.

    ``place``: (array for the number of spikes, start of the part in ms).
    """
    ends, start = place
    saved = [array[:n].copy() for array, n in in_use(work)], [output.copy() for output in outputs]
    while True:
        chosen = Chosen(0, 1, layout.run.max_spikes, until)
        before = n_spikes(work)
        status, _ = forward_shard(layout.net, spikes, chosen, work, outputs, ends)
        if status == Status.OK:
            return work
        if status == Status.TOO_MANY_SPIKES:
            raise storm(layout, 0, work.tape[before : n_spikes(work)], start)
        work = fit_to_go_on(work, status, stop, before, (start, until * layout.net.h))
        arrays = [array for array, _ in in_use(work)]
        for array, old in zip([*arrays, *outputs], [*saved[0], *saved[1]], strict=True):
            array[tuple(map(slice, old.shape))] = old  # it may have become larger
