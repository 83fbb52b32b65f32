"""What an engine is, and the table of those that there are.

An engine is a module, or any object, with the three functions of ``Engine``. To add one, write the folder
``engines/NAME/`` and enter it in ``HOMES``: simulate, value_and_grad, Trainer and the command line then know it, and
the tests over ``names()`` ask it for the right results (docs/how-to/extend.md).
"""

from collections.abc import Collection, Iterator
from importlib import import_module
from typing import Any, Protocol

from ..aliases import Floats, Milliseconds, Parameters
from ..checks import one_of
from ..errors import InvalidInput
from ..parallel.sharding import Share
from ..spikes.cotangents import Cotangents
from ..spikes.recording import Recording
from .problem import Problem

# {name: module, inside this folder}; the first one is taken if nothing is said.
HOMES = {"compiled": "cpu.engine", "reference": "reference.engine"}
METHODS = ("forward", "backward", "stream")


class Engine(Protocol):
    """Simulates a Problem, and replays what it has recorded backwards."""

    def forward(self, problem: Problem) -> tuple[Recording, Any]:
        """Return the Recording of all samples, and the tape that ``backward`` asks for.

        Raises EventStorm for a sample that fires more than ``problem.run.max_spikes`` spikes.
        """

    def backward(
        self, problem: Problem, recording: Recording, tape: Any, cotangents: Cotangents, *,
        names: Collection[str], input_times: bool = False, share: Share | None = None,
    ) -> tuple[Parameters, dict[str, Floats] | None]:  # fmt: skip
        """Return ({parameter: gradient, for ``names``}, {input population: dL/dt of each spike} if asked for).

        ``recording`` and ``tape`` are those of ``forward``; ``share``: of which batch they hold this rank's samples
        (None: it is the batch).
        """

    def stream(self, problem: Problem, every: Milliseconds) -> Iterator[Recording]:
        """Yield the Recordings of each ``every`` ms of the one sample; parameters are read when it is called."""


def names() -> list[str]:
    """Return the names of the engines that there are, the one that is taken if nothing is said first."""
    return list(HOMES)


def get(engine: str | Engine) -> Engine:
    """Return the Engine of that name, or the one that is given; raises InvalidInput for anything else."""
    allowed = f"one of {tuple(names())}, or an engines.Engine"
    if isinstance(engine, str):
        one_of(engine, "engine", names(), allowed)
        return import_module(f".{HOMES[engine]}", __package__)
    if not all(callable(getattr(engine, method, None)) for method in METHODS):
        raise InvalidInput("engine", None, engine, allowed)
    return engine
