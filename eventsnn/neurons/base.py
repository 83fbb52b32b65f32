"""What a neuron model is to the rest of the house: a name, and the constants that a population of it has.

A model says here what its constants mean, what is given if nothing is said, and in which range training keeps them.
What the neuron does with them stands in its kernels (`eventsnn.kernels.neurons`) and in the reference engine.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Bound, Bounds, Floats
from ..errors import InvalidInput

# Of what may be negative, and is added to much else: no sum of such overflows, with counts in float64, nor in float32
# on a grid.
LARGEST = 1e30
# What a refractory period is called elsewhere, besides names that say it.
REFRACTORY = ("tau_ref", "t_ref", "tref", "tau_rp", "t_rp")
# {constant: its value, or one for each neuron}
Constants: TypeAlias = Mapping[str, float | Floats]


@dataclass(frozen=True)
class Field:
    """One constant of a neuron: ``name``, ``unit``, the ``default`` and its ``meaning``; one value or one per neuron.

    Values that are given are above ``above``, and at most ``largest`` in size; training keeps it at ``low`` or more.
    ``said``: it is written down in every description, given or not. ``memory``: it is how long (ms) a neuron remembers
    its input, and a tiny one is doubted (`eventsnn.network.plausibility`).
    """

    name: str
    unit: str
    default: float
    meaning: str
    above: float = -math.inf
    low: float = -math.inf
    largest: float = math.inf
    said: bool = False
    memory: bool = False

    def outside(self, values: Array) -> tuple[Array, str]:
        """Return (where ``values`` are not allowed, what is)."""
        if self.largest < math.inf:
            return np.abs(values) > self.largest, f"numbers from {-self.largest:g} to {self.largest:g}"
        return values <= self.above, f"numbers > {self.above:g}"


def check_above(name: str, values: npt.ArrayLike, lowest: float) -> None:
    """Raise InvalidInput, of the first neuron, unless each value is above ``lowest``."""
    values = np.asarray(values)
    above = values > lowest
    if not above.all():
        first = int(np.argmin(above))
        raise InvalidInput(name, first if values.ndim else None, float(values.flat[first]), f"numbers > {lowest:g}")


def _bound(values: Bound, shared: bool, strictest: Callable[[Bound], float]) -> Bound:
    """One side of a range: a number for what all neurons share and where none differs, else what nobody can change."""
    if shared or np.ndim(values) == 0:
        return float(strictest(values))
    kept = np.array(values, np.float64)
    kept.flags.writeable = False
    return kept


def _no_rule(known: Constants, unknown: Iterable[str], drawn: Constants) -> Bounds:
    return {}


def absent(name: str) -> str:
    """What to say of a constant that no model has, and that is often looked for; nothing of other names."""
    if "refrac" in name.lower() or name.lower() in REFRACTORY:
        return "There is no refractory period: v_reset and v_rest alone say when a neuron can fire again."
    return ""


@dataclass(frozen=True)
class Model:
    """A neuron model: ``kind`` is its name in networks and files, ``fields`` are its constants.

    ``family``: the folder of its kernels in `eventsnn.kernels.neurons`, and its file in `eventsnn.engines.reference`.
    ``fires``: it sends spikes. ``threshold``: the constant that V has where it does, if there is one.

    ``rule(known, unknown, drawn)`` says in which (low, high), each a number or one per neuron, training keeps constants
    that depend on others, from the values that are known, the names of the constants that are trained or drawn at
    random, and the end of the draws on the side of the others, and raises InvalidInput("NAME", ...) where known ones
    contradict each other.
    """

    kind: str
    family: str
    fields: tuple[Field, ...]
    fires: bool
    rule: Callable[[Constants, Iterable[str], Constants], Bounds] = _no_rule
    threshold: str = ""

    def field(self, name: str) -> Field:
        """Return the field of that name."""
        return next(field for field in self.fields if field.name == name)

    def check_names(self, population: str, names: Iterable[str]) -> None:
        """Refuse constants that the model has not; the error names the nearest one that it has."""
        own = [field.name for field in self.fields]
        for name in names:
            if name not in own:
                near = difflib.get_close_matches(name, [*own, "train"], 1)
                remedy = absent(name) or (f"Did you mean {near[0]!r}?" if near else "")
                place, allowed = f"a constant given for {population!r}", f"those of {self.kind}: {', '.join(own)}"
                raise InvalidInput(place, None, name, allowed, remedy)

    def check(
        self, population: str, known: Constants, unknown: Iterable[str] = (), drawn: Constants | None = None
    ) -> Bounds:
        """Raise InvalidInput where known values are not allowed; returns what ``rule`` says."""
        try:
            for name, values in known.items():
                check_above(name, values, self.field(name).above)
            return self.rule(known, unknown, drawn or {})
        except InvalidInput as error:
            place = f"{population}.{error.array}"
            raise InvalidInput(place, error.index, error.value, error.allowed, error.remedy) from None

    def ranges(
        self, population: str, known: Constants, unknown: Iterable[str], drawn: Constants
    ) -> dict[str, tuple[Bound, Bound]]:
        """Return {constant: (low, high)} for all of them; raises InvalidInput where known values are not allowed.

        Of a constant that is one value for all neurons they are numbers, of others arrays (n,) where neurons differ.
        """
        found = self.check(population, known, unknown, drawn)
        ranges: dict[str, tuple[Bound, Bound]] = {}
        for field in self.fields:
            low, high = found.get(field.name, (field.low, math.inf))
            shared = field.name in known and np.ndim(known[field.name]) == 0
            ranges[field.name] = _bound(low, shared, np.max), _bound(high, shared, np.min)
        return ranges

    def describe(self) -> str:
        """Return one line for each constant: its name, default, unit and meaning."""
        return "\n".join(
            f"``{f.name}`` ({f.default:g}{f' {f.unit}' if f.unit else ''}): {f.meaning}" for f in self.fields
        )
