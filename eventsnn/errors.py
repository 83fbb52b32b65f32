"""Exceptions that name what is wrong, where, and what to write instead."""


class EventsnnError(Exception):
    """Base class of every exception that eventsnn raises on purpose."""


class InvalidInput(EventsnnError, ValueError):
    """An argument or an array element that no kernel may see.

    Attributes: ``array`` (name), ``index`` (position or None), ``value``, ``allowed`` (what would be accepted) and
    ``remedy`` (what to write instead).
    """

    def __init__(self, array, index, value, allowed, remedy=""):
        # a NumPy scalar says no more than the number, and says it less readably
        value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
        self.array, self.index, self.value, self.allowed, self.remedy = array, index, value, allowed, remedy
        place = array if index is None else f"{array}[{index}]"
        message = f"{place} is {value!r}; allowed: {allowed}."
        super().__init__(f"{message} {remedy}".rstrip())


class NetworkError(EventsnnError, ValueError):
    """A network description that cannot be simulated."""


class ZeroDelayCycle(NetworkError):
    """A loop of connections around which a spike would travel in no time; ``cycle`` lists its populations."""

    def __init__(self, cycle):
        self.cycle = list(cycle)
        path = " -> ".join([*self.cycle, self.cycle[0]])
        super().__init__(
            f"the smallest delay around the cycle {path} is 0: a spike would act on its own cause. "
            "Give at least one connection of the cycle a positive delay, for example delay=1.0 (ms)."
        )


class EventStorm(EventsnnError, RuntimeError):
    """A sample that fired more spikes than its budget.

    Attributes: ``sample``, ``time`` (ms reached), ``count`` (spikes so far), ``busiest`` (up to five
    ``(population, neuron, spikes)``), ``start`` (ms from which they are counted: where the part of a stream begins).
    """

    def __init__(self, sample, time, count, busiest, start=0.0):
        self.sample, self.time, self.count, self.busiest, self.start = sample, time, count, busiest, start
        names = ", ".join(f"{population}[{neuron}]: {spikes}" for population, neuron, spikes in busiest)
        since = f"between {start:.6g} and" if start > 0 else "by"
        super().__init__(
            f"sample {sample} fired {count} spikes {since} {time:.6g} ms, and max_spikes allows no more. "
            f"Busiest neurons: {names}. Lower the recurrent weights, or pass a larger max_spikes."
        )


class NotFinite(EventsnnError, FloatingPointError):
    """A loss or a gradient that is NaN or infinite; no update was made. ``step`` counts optimiser steps."""

    def __init__(self, what, step=None):
        self.what, self.step = what, step
        where = "" if step is None else f" at step {step}"
        super().__init__(f"{what} is not finite{where}; no update was made.")


class CheckpointError(EventsnnError, OSError):
    """A checkpoint that cannot be written, or read back whole; ``field`` names the part that failed."""

    def __init__(self, path, field, reason):
        self.path, self.field, self.reason = path, field, reason
        super().__init__(f"checkpoint {path}: {field}: {reason}")


class FileError(EventsnnError, OSError):
    """A file of a run or sweep that cannot be written or read: ``path``, ``reason``, and ``line`` where it is one."""

    def __init__(self, path, reason, line=None):
        self.path, self.reason, self.line = path, reason, line
        place = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{place}: {reason}")


class UnsafeFile(EventsnnError, ValueError):
    """A data file with contents that a spike file has no need of; ``item`` names the object inside the file."""

    def __init__(self, path, item, reason):
        self.path, self.item, self.reason = path, item, reason
        super().__init__(f"{path}: {item}: {reason}")


class RankFailed(EventsnnError, RuntimeError):
    """Another rank of a run on several processes failed, or differs; ``rank`` and ``reason`` say which and how."""

    def __init__(self, rank, reason):
        self.rank, self.reason = rank, reason
        super().__init__(f"rank {rank}: {reason}")
