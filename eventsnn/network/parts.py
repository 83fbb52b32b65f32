"""Populations and connections: the parts of a network."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Bounds, Description, Floats, Indices, Integers, Parameters, Shape
from ..arrays import plain_array
from ..citing import LEARNED_DELAYS, Paper
from ..errors import InvalidInput
from ..neurons import MODELS, Field
from .base import BaseConnection, BasePopulation
from .initializers import Constant, Given, Initializer, Normal, Uniform, as_initializer
from .synapses import Rows, SparseMatrix, Values, check_sharing, per_synapse, to_dense, to_sparse

DELAY_SHARING = ("synapse", "neuron", "connection")


@dataclass(frozen=True)
class Population(BasePopulation):
    """Neurons or input channels of a Network; see BasePopulation."""

    def field(self, attribute: str) -> Field:
        """What the neuron model says of a constant."""
        return MODELS[self.kind].field(attribute)

    @cached_property
    def ranges(self) -> Bounds:
        """{constant: (low, high)} in training; raises InvalidInput where values contradict each other."""
        if self.kind == "input":
            return {}
        unknown = [key for key in self.settings if self.is_parameter(key)]
        threshold = MODELS[self.kind].threshold
        ends = {key: _end_of_draws(value, key == threshold) for key, value in self.settings.items()}
        drawn = {key: end for key, end in ends.items() if end is not None}
        return MODELS[self.kind].ranges(self.name, self._given, unknown, drawn)

    @cached_property
    def fixed(self) -> dict[str, Array]:
        """{constant: (n,)} of those that are no parameters: given as numbers, or not said."""
        if self.kind == "input":
            return {}
        fields = (field for field in MODELS[self.kind].fields if not self._in_parameters(field.name))
        given = {k: v for k, v in self._given.items() if not self.is_parameter(k)}
        return {f.name: np.broadcast_to(np.float64(given.get(f.name, f.default)), (self.n,)) for f in fields}

    def _in_parameters(self, attribute: str) -> bool:
        return attribute in self.settings and self.is_parameter(attribute)

    @property
    def _given(self) -> dict[str, float | Floats]:
        """{constant: its value, or one per neuron} of those that are not drawn at random."""
        known = {k: v for k, v in self.settings.items() if isinstance(v, (Constant, Given))}
        return {k: v.value if isinstance(v, Constant) else v.values for k, v in known.items()}

    def to_dict(self) -> Description:
        """Return a JSON-able description."""
        settings = {key: value.to_dict() for key, value in self.settings.items()}
        return {**super().to_dict(), "settings": settings, "train": list(self.train)}

    def check(self, parameters: Parameters) -> None:
        """Refuse parameters of neurons that contradict each other, or what is not a parameter."""
        names = {key: f"{self.name}.{key}" for key in self.settings}
        if found := {key: parameters[name] for key, name in names.items() if name in parameters}:
            MODELS[self.kind].check(self.name, {**self._given, **found})


def _end_of_draws(value: Initializer, lower: bool) -> float | None:
    """Where draws end at their ``lower`` or upper side; in their middle, if they end nowhere; None: nobody knows."""
    if isinstance(value, Uniform):
        return value.low if lower else value.high
    return value.mean if isinstance(value, Normal) else None


@dataclass(frozen=True)
class Connection(BaseConnection):
    """Synapses from one population to another.

    Dense when ``indptr`` is None: the weight has shape (n_pre, n_post). Sparse otherwise: synapses
    ``indptr[i]:indptr[i + 1]`` leave presynaptic neuron i for the neurons in ``indices``, and the weight has shape
    (n_synapses,).
    """

    indptr: Integers | None = None
    indices: Indices | None = None

    @property
    def papers(self) -> tuple[Paper, ...]:
        """Where gradients of delays were derived, if these are trained."""
        return (LEARNED_DELAYS,) if "delay" in self.train else ()

    @property
    def weight_shape(self) -> Shape:
        """Shape of the weight array."""
        return (self.n_pre, self.n_post) if self.indices is None else (self.indices.size,)

    def per_synapse(self, values: Array) -> Array:
        """Return one value per presynaptic neuron, ``values`` (n_pre,), as an array that multiplies the weights."""
        return values[:, None] if self.indptr is None else np.repeat(values, np.diff(self.indptr))

    @property
    def rows(self) -> Rows:
        """(indptr, indices, (n_pre, n_post)): where the synapses are; indptr and indices are None for all of them."""
        return self.indptr, self.indices, (self.n_pre, self.n_post)

    def to_dense(self, values: npt.ArrayLike, absent: float = 0.0) -> Floats:
        """Return weights or delays as an array (n_pre, n_post), with ``absent`` where there is no synapse.

        ``values``: this connection's array of parameters; a delay that is shared is repeated for each synapse. Of
        delays, ``absent=np.nan`` tells no synapse from no delay; ``connect(delay=..., mask=...)`` reads neither.
        """
        return to_dense(self._of_each(values), self.rows, absent)

    def to_sparse(self, values: npt.ArrayLike) -> Any:
        """Return weights or delays as a scipy.sparse.csr_array (n_pre, n_post), zeros stored; see ``to_dense``."""
        return to_sparse(self._of_each(values), self.rows)

    def _of_each(self, values: npt.ArrayLike) -> Array:
        """Weights or delays, one for each synapse."""
        values = plain_array(values, f"values of {self.name}")
        if values.shape == self.weight_shape:
            return values
        if self.delay is None or values.shape != self.delay_shape:
            shapes = {self.weight_shape, self.delay_shape} - {None}
            allowed = " or ".join(map(str, shapes))
            raise InvalidInput(f"the shape of values of {self.name}", None, values.shape, allowed)
        # an array of n_pre values may be that of as many synapses: then it is, as its shape says
        values = np.broadcast_to(values, (self.n_pre,))
        return np.broadcast_to(self.per_synapse(values), self.weight_shape)

    @cached_property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return math.prod(self.weight_shape)

    @property
    def fan_in(self) -> float:
        """Synapses per postsynaptic neuron, in the mean; at least 1."""
        return max(self.n_synapses / self.n_post, 1.0)

    def to_dict(self) -> Description:
        """Return a JSON-able description."""
        rows = {"indptr": self.indptr, "indices": self.indices}
        lists = {key: None if values is None else values.tolist() for key, values in rows.items()}
        return {"name": self.name, **super().to_dict(), **lists}


def as_initializers(
    weight: Values,
    delay: Values | None,
    delay_per: str,
    name: str,
    structure: tuple[Rows, npt.ArrayLike | SparseMatrix | None],
) -> tuple[Initializer, Initializer | None]:
    """(weight, delay) as Initializers, delay None for none; ``structure``: (rows, mask) for ``per_synapse``."""
    weight = weight.values if isinstance(weight, Given) else weight
    delay = delay.values if isinstance(delay, Given) else delay
    weight = as_initializer(per_synapse(weight, f"{name}.weight", *structure), f"{name}.weight")
    if delay is None:
        return weight, None
    check_sharing(delay, delay_per, name)
    if delay_per == "synapse":
        delay = per_synapse(delay, f"{name}.delay", *structure)
    return weight, as_initializer(delay, f"{name}.delay")


def described_mask(connection: Description, shape: tuple[int, int]) -> SparseMatrix | None:
    """The scipy.sparse mask of a description's connection, checked; None for a dense one."""
    if connection["indptr"] is None:
        return None
    from scipy.sparse import csr_array

    indices = connection["indices"]
    try:
        mask = csr_array((np.ones(len(indices), bool), indices, connection["indptr"]), shape)
        mask.check_format(full_check=True)
    except (TypeError, ValueError) as error:
        allowed = f"compressed sparse rows of shape (n_pre, n_post) = {shape}"
        raise InvalidInput(f"{connection['name']}.indices", None, str(error), allowed) from None
    return mask


def surely_zero(connection: Connection) -> bool:
    """True where the smallest delay of a connection is 0 whatever is drawn (drawn delays on cycles are > 0)."""
    if connection.delay is None:
        return True
    return isinstance(connection.delay, (Constant, Given)) and connection.delay.smallest == 0
