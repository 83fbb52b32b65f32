"""What a neuron model is to the rest of the house: a name, and the constants that a population of it has.

A model says here what its constants mean, what is given if nothing is said, and in which range training keeps them.
What the neuron does with them stands in its kernels (`eventsnn.kernels.neurons`) and in the reference engine.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import InvalidInput

# {constant: (its smallest, its largest value)}
Ranges: TypeAlias = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Field:
    """One constant of a neuron: ``name``, ``unit``, the ``default`` and its ``meaning``; one value or one per neuron.

    Values that are given are above ``above``; training keeps it at ``low`` or more.
    """

    name: str
    unit: str
    default: float
    meaning: str
    above: float = -math.inf
    low: float = -math.inf


def _no_rule(known: Ranges, unknown: Iterable[str]) -> Ranges:
    return {}


@dataclass(frozen=True)
class Model:
    """A neuron model: ``kind`` is its name in networks and files, ``fields`` are its constants.

    ``family``: the folder of its kernels in `eventsnn.kernels.neurons`, and its file in `eventsnn.engines.reference`.
    ``fires``: it sends spikes. ``rule(known, unknown)`` says in which (low, high) training keeps constants that depend
    on others, from the ranges of those whose values are known and the names of those that are drawn at random, and
    raises ValueError("NAME", value, "what is allowed") where known ones contradict each other.
    """

    kind: str
    family: str
    fields: tuple[Field, ...]
    fires: bool
    rule: Callable[[Ranges, Iterable[str]], Ranges] = _no_rule

    def field(self, name: str) -> Field:
        """Return the field of that name."""
        return next(field for field in self.fields if field.name == name)

    def check_names(self, population: str, names: Iterable[str]) -> None:
        """Refuse constants that the model has not; the error names the nearest one that it has."""
        own = [field.name for field in self.fields]
        for name in names:
            if name not in own:
                near = difflib.get_close_matches(name, own, 1)
                remedy = f"Did you mean {near[0]!r}?" if near else ""
                raise InvalidInput(f"{population}: {self.kind}", None, name, f"its constants: {', '.join(own)}", remedy)

    def ranges(self, population: str, known: Ranges, unknown: Iterable[str]) -> dict[str, tuple[float, float]]:
        """Return {constant: (low, high)} for all of them; raises InvalidInput where known values are not allowed."""
        for name, (smallest, _) in known.items():
            if not smallest > self.field(name).above:
                raise InvalidInput(f"{population}.{name}", None, smallest, f"numbers > {self.field(name).above:g}")
        try:
            found = self.rule(known, unknown)
        except ValueError as error:
            name, value, allowed = error.args
            raise InvalidInput(f"{population}.{name}", None, value, allowed) from None
        return {field.name: found.get(field.name, (field.low, math.inf)) for field in self.fields}

    def describe(self) -> str:
        """Return one line for each constant: its name, default, unit and meaning."""
        return "\n".join(
            f"``{f.name}`` ({f.default:g}{f' {f.unit}' if f.unit else ''}): {f.meaning}" for f in self.fields
        )
