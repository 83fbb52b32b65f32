"""The reference engine, as the other engines are asked: slow, and simple enough to be believed."""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import fields

import numpy as np

from ...aliases import Floats, Milliseconds, Parameters
from ...parallel.sharding import Share
from ...spikes.cotangents import Cotangents
from ...spikes.recording import Counters, Recording
from ..parts import between, n_parts
from ..problem import Problem
from . import adjoint, simulation


def forward(problem: Problem) -> tuple[Recording, list[simulation.Simulation]]:
    """Simulate a batch, one event after the other: see `engines.base.Engine`."""
    return simulation.forward(problem.network, problem.parameters, problem.inputs, problem.run)


def backward(
    problem: Problem, recording: Recording, tape: list[simulation.Simulation], cotangents: Cotangents, *,
    names: Collection[str], input_times: bool = False, share: Share | None = None,
) -> tuple[Parameters, dict[str, Floats] | None]:  # fmt: skip
    """Replay the logs backwards: see `engines.base.Engine`."""
    network, parameters = problem.network, problem.parameters
    times = adjoint.empty_sums(parameters, recording)[1]

    def sums_of(first: int, last: int) -> tuple[Floats, ...]:
        gradients = adjoint.empty_sums(parameters, recording)[0]
        for sample in range(first, last):
            numbered, sums = (sample, tape[sample]), (gradients, times)
            deque(adjoint.replay(network, parameters, recording, numbered, cotangents, sums), maxlen=0)
        return tuple(gradients.values())

    if share is None:
        total = sums_of(0, len(tape))
    else:
        parts = (sums_of(first, last) for first, last in share.ranges)
        total = share.add(parts, lambda: sums_of(0, 0), lambda part: None)
    gradients = dict(zip(parameters, total, strict=True))
    return {name: gradients[name] for name in names}, times if input_times else None


def stream(problem: Problem, every: Milliseconds) -> Iterator[Recording]:
    """Simulate the one sample at once, and hand it out part by part; the counters of all stand in the last part."""
    whole, _ = forward(problem)
    last = n_parts(whole.duration, every) - 1
    ends = [*((part + 1) * every for part in range(last)), whole.duration]
    return (_part(whole, part * every, end) for part, end in enumerate(ends))


def _part(whole: Recording, start: Milliseconds, end: Milliseconds) -> Recording:
    """The spikes of a Recording of one sample from ``start`` to before ``end``."""
    is_last = end == whole.duration
    mine = (whole.times >= start) & (is_last | (whole.times < end))
    nothing = Counters(*(np.zeros(1, np.int64) for _ in fields(Counters)))
    return Recording(
        duration=end,
        times=whole.times[mine],
        neurons=whole.neurons[mine],
        slopes=whole.slopes[mine],
        offsets=np.array([0, int(mine.sum())]),
        slices=whole.slices,
        inputs={name: between(batch, start, end) for name, batch in whole.inputs.items()},
        readouts=whole.readouts if is_last else {},
        counters=whole.counters if is_last else nothing,
        start=start,
    )
