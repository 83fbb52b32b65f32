"""Refusals in the words of settings and options: what an argument is called means nothing to who wrote those."""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np


@contextlib.contextmanager
def said_as(names: Mapping[str, str], remedies: Mapping[str, str] | None = None) -> Iterator[None]:
    """Let a refusal of an argument, or of a part of it, name the setting it came from.

    ``names``: {argument: setting}, the first that fits; "a" fits a, a.shape and a['b'], and the rest is kept.
    ``remedies``: {remedy: what to write instead where settings are written}.
    """
    try:
        yield
    except InvalidInput as error:
        fitting = (argument for argument in names if _is_of(error.array, argument))
        argument = next(fitting, "")
        place = names.get(argument, "") + error.array[len(argument) :]
        remedy = (remedies or {}).get(error.remedy, error.remedy)
        if (place, remedy) == (error.array, error.remedy):
            raise
        raise type(error)(place, error.index, error.value, error.allowed, remedy) from None


def _is_of(array: str, argument: str) -> bool:
    return array == argument or array.startswith((f"{argument}.", f"{argument}["))


def in_table(table: str, *keys: str) -> dict[str, str]:
    """The names for ``said_as`` of arguments that are called as their settings are."""
    return {key: f"{table}.{key}" for key in keys}


# What any process can be handed as it is, exactly of these types; an InvalidInput tells of other values in words.
PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice)


class Portable:
    """Base of exceptions that come back whole from a copy and from another process.

    Python makes an exception anew by calling its class with the text alone, which is not what __init__ of ours takes.
    """

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, self.__dict__)

    def __copy__(self) -> Self:
        return _again(type(self), self.args, self.__dict__)


def _again(kind: type[Any], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """The exception with this text and these attributes."""
    error = kind.__new__(kind, *arguments)
    error.args = arguments  # which an OSError leaves to __init__
    error.__dict__.update(attributes)
    return error


class EventsnnError(Portable, Exception):
    """Base class of every exception that eventsnn raises on purpose."""


class InvalidInput(EventsnnError, ValueError):
    """An argument or an array element that no kernel may see.

    Attributes: ``array`` (name), ``index`` (position or None), ``value``, ``allowed`` (what would be accepted) and
    ``remedy`` (what to write instead). In another process ``value`` is the text of what has no place there: a function,
    an open file, an object of a class of one's own.
    """

    def __init__(
        self, array: str, index: int | str | tuple[int, ...] | None, value: Any, allowed: str, remedy: str = ""
    ) -> None:
        # a NumPy scalar says no more than the number, and says it less readably; a timedelta64 says its unit too
        timed = isinstance(value, (np.timedelta64, np.datetime64))
        value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 and not timed else value
        self.array, self.index, self.value, self.allowed, self.remedy = array, index, value, allowed, remedy
        position = ", ".join(map(str, index)) if isinstance(index, tuple) else index
        place = array if index is None else f"{array}[{position}]"
        message = f"{place} is {value!r}; allowed: {allowed}."
        super().__init__(f"{message} {remedy}".rstrip())

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, {**self.__dict__, "value": _plain(self.value)})


def _plain(value: Any) -> Any:
    """A value as other processes can be handed it: itself, or its text."""
    if type(value) in PLAIN or isinstance(value, (np.dtype, pathlib.PurePath)):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        return value
    if type(value) in (tuple, list, set, frozenset):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {_plain(key): _plain(item) for key, item in value.items()}
    return repr(value)


class Unsupported(InvalidInput):
    """What this network, engine, method or data set has not got, and another has: ``allowed`` or ``remedy`` says which.

    A value of its kind may be right elsewhere; no other value is right here.
    """


class Conflict(InvalidInput):
    """A setting that is right for itself, and excluded by another one: ``allowed`` says by which."""


class NetworkError(EventsnnError, ValueError):
    """A network description that cannot be simulated."""


class ZeroDelayCycle(NetworkError):
    """A loop of connections around which a spike would travel in no time; ``cycle`` lists its populations."""

    def __init__(self, cycle: Iterable[str]) -> None:
        self.cycle = list(cycle)
        path = " -> ".join([*self.cycle, self.cycle[0]])
        super().__init__(
            f"the smallest delay around the cycle {path} is 0: a spike would act on its own cause. "
            "Give at least one connection of the cycle a positive delay, for example delay=1.0 (ms)."
        )


class EventStorm(EventsnnError, RuntimeError):
    """A sample that fired more spikes than its budget.

    Attributes: ``sample``, ``time`` (ms reached), ``count`` (spikes so far), ``busiest`` (up to five
    ``(population, neuron, spikes)``), ``start`` (ms from which they are counted: where the part of a stream begins),
    ``recurrent`` (names of the connections through which the busiest neurons excite themselves, () for none) and
    ``n_neurons`` (how many the network has that can fire, None if that is not known).
    """

    def __init__(
        self,
        sample: int,
        time: float,
        count: int,
        busiest: Sequence[tuple[str, int, int]],
        start: float = 0.0,
        recurrent: Iterable[str] = (),
        n_neurons: int | None = None,
    ) -> None:
        self.sample, self.time, self.count, self.busiest, self.start = sample, time, count, busiest, start
        self.recurrent, self.n_neurons = tuple(recurrent), n_neurons
        names = ", ".join(f"{population}[{neuron}]: {spikes}" for population, neuron, spikes in busiest)
        since = f"between {start:.6g} and" if start > 0 else "by"
        each = "" if n_neurons is None else f", {count / n_neurons:.3g} for each of its {n_neurons} neurons"
        super().__init__(
            f"sample {sample} fired {count} spikes {since} {time:.6g} ms{each}, and max_spikes allows no more. "
            f"Busiest neurons: {names}. {self._remedy()}"
        )

    def of_sample(self, sample: int) -> "EventStorm":
        """Return the same error of a sample that has another number elsewhere: in a batch, or in a data set."""
        place = (self.busiest, self.start, self.recurrent, self.n_neurons)
        return EventStorm(sample, self.time, self.count, *place)

    def _remedy(self) -> str:
        if self.recurrent:
            names = ", ".join(map(repr, self.recurrent))
            return f"Lower the recurrent weights ({names}), or pass a larger max_spikes if they are to fire so often."
        populations = ", ".join(dict.fromkeys(repr(population) for population, *_ in self.busiest))
        return (
            f"Nothing that they send excites {populations} again: it is the input. Pass a larger max_spikes if they "
            "are to fire so often; if not, lower the weights onto them, or see that times and time constants are in ms."
        )


class NotFinite(EventsnnError, FloatingPointError):
    """A loss, gradient or update that is NaN or infinite; ``step`` of the optimiser, in which no update was made."""

    def __init__(self, what: str, step: int | None = None) -> None:
        self.what, self.step = what, step
        where = "" if step is None else f" at step {step}; no update was made"
        super().__init__(f"{what} is not finite{where}.")


class CheckpointError(EventsnnError, OSError):
    """A checkpoint that cannot be written, or read back whole; ``field`` names the part that failed."""

    def __init__(self, path: str | os.PathLike[str], field: str, reason: str) -> None:
        self.path, self.field, self.reason = path, field, reason
        super().__init__(f"checkpoint {path}: {field}: {reason}")


class FileError(EventsnnError, OSError):
    """A file of a run or sweep that cannot be written or read: ``path``, ``reason``, and ``line`` where it is one."""

    def __init__(self, path: str | os.PathLike[str], reason: str, line: int | None = None) -> None:
        self.path, self.reason, self.line = path, reason, line
        place = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{place}: {reason}")


class UnsafeFile(EventsnnError, ValueError):
    """A data file with contents that a spike file has no need of; ``item`` names the object inside the file."""

    def __init__(self, path: str | os.PathLike[str], item: str, reason: str) -> None:
        self.path, self.item, self.reason = path, item, reason
        super().__init__(f"{path}: {item}: {reason}")


class RankFailed(EventsnnError, RuntimeError):
    """Another rank of a run on several processes failed, or differs; ``rank`` and ``reason`` say which and how."""

    def __init__(self, rank: int, reason: str) -> None:
        self.rank, self.reason = rank, reason
        super().__init__(f"rank {rank}: {reason}")
