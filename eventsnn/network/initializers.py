"""Distributions from which weights and delays are drawn: small frozen objects that validate, draw and go to JSON.

Every draw is a float64 array. Weights have no unit, delays are in ms; the distributions do not know which they draw.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import numpy.typing as npt

from ..aliases import Array, Description, Floats, Shape
from ..arrays import is_whole, plain_array
from ..checks import answers_keywords, number, wrong_shape
from ..citing import Paper
from ..errors import InvalidInput

LINEAR_NETWORKS = Paper(
    ("A. M. Saxe", "J. L. McClelland", "S. Ganguli"),
    "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", "ICLR", 2014,
    "1312.6120",
)  # fmt: skip
RECTIFIERS = Paper(
    ("K. He", "X. Zhang", "S. Ren", "J. Sun"),
    "Delving deep into rectifiers: surpassing human-level performance on ImageNet classification", "ICCV", 2015,
    "1502.01852",
)  # fmt: skip


def _as_shape(shape: object) -> Shape:
    """Return `shape` as a tuple of ints >= 0; a bare int means one dimension."""
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    for size in sizes:
        if not is_whole(size) or size < 0:
            raise InvalidInput("shape", None, shape, "a tuple of ints >= 0, for example (n_pre, n_post)")
    return tuple(int(size) for size in sizes)


@dataclass(frozen=True)
class Initializer:
    """Base class: something that draws a float64 array and can be written to JSON and read back."""

    kind: ClassVar[str] = ""

    @property
    def smallest(self) -> float:
        """The smallest value that a draw can contain (-inf if there is none)."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator | None, shape: int | Shape, fan_in: float | None = None) -> Floats:
        """Return a new float64 array of ``shape``.

        Parameters: ``rng`` (numpy Generator); ``shape``: () or (n,) or (n_pre, n_post), or (n_synapses,) for a sparse
        connection; ``fan_in``: inputs per neuron (> 0), which only Kaiming reads and takes from n_pre if it is None.
        Raises InvalidInput if the shape does not suit the distribution.
        """
        # Constant and Given draw nothing, and may be handed None
        generator = cast(np.random.Generator, rng)
        return np.asarray(self._values(generator, _as_shape(shape), fan_in), dtype=np.float64)

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        raise NotImplementedError

    def to_dict(self) -> Description:
        """Return a JSON-able description, for example {"kind": "uniform", "low": 0.0, "high": 10.0}."""
        return {"kind": self.kind, **{field.name: getattr(self, field.name) for field in fields(self)}}

    @staticmethod
    def from_dict(description: Description) -> "Initializer":
        """Return the Initializer that ``to_dict`` described; raises InvalidInput for an unknown kind or field."""
        if not isinstance(description, dict):
            raise InvalidInput("initializer", None, description, "a dict that to_dict returned")
        arguments = dict(description)
        kind = arguments.pop("kind", None)
        if not isinstance(kind, str) or kind not in _KINDS:
            raise InvalidInput("initializer.kind", None, kind, ", ".join(sorted(_KINDS)))
        build, names = _KINDS[kind]
        with contextlib.suppress(TypeError):  # of a field that lacks
            if arguments.keys() <= set(names):
                return build(**arguments)
        given = sorted(map(str, arguments))
        raise InvalidInput(f"initializer {kind}", None, given, f"the fields {', '.join(names)}")


@answers_keywords
@dataclass(frozen=True)
class Constant(Initializer):
    """The same finite ``value`` everywhere."""

    value: float
    kind: ClassVar[str] = "constant"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", number(self.value, "Constant.value"))

    @property
    def smallest(self) -> float:
        return self.value

    @property
    def largest(self) -> float:
        """The value."""
        return self.value

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        return np.full(shape, self.value)


@answers_keywords
@dataclass(frozen=True)
class Normal(Initializer):
    """Gaussian with ``mean`` and standard deviation ``sd`` >= 0."""

    mean: float
    sd: float
    kind: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", number(self.mean, "Normal.mean"))
        object.__setattr__(self, "sd", number(self.sd, "Normal.sd", "a finite number >= 0", 0.0))

    @property
    def smallest(self) -> float:
        return -math.inf if self.sd > 0 else self.mean

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        return rng.normal(self.mean, self.sd, shape)


@answers_keywords
@dataclass(frozen=True)
class Uniform(Initializer):
    """Equally likely anywhere from ``low`` to ``high`` (``low`` <= ``high``)."""

    low: float
    high: float
    kind: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", number(self.low, "Uniform.low"))
        object.__setattr__(self, "high", number(self.high, "Uniform.high"))
        if self.low > self.high:
            raise InvalidInput("Uniform.low", None, self.low, f"at most high = {self.high}", "Swap the two.")
        if not math.isfinite(self.high - self.low):
            raise InvalidInput("Uniform.high", None, self.high, "a range that float64 can hold")

    @property
    def smallest(self) -> float:
        return self.low

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        return rng.uniform(self.low, self.high, shape)


@answers_keywords
@dataclass(frozen=True)
class HalfNormal(Initializer):
    """Absolute value of a Gaussian with mean 0 and standard deviation ``sd`` >= 0."""

    sd: float
    kind: ClassVar[str] = "half_normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sd", number(self.sd, "HalfNormal.sd", "a finite number >= 0", 0.0))

    @property
    def smallest(self) -> float:
        return 0.0

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        return np.abs(rng.normal(0.0, self.sd, shape))


@answers_keywords
@dataclass(frozen=True)
class Orthogonal(Initializer):
    """``gain`` times a matrix with orthonormal rows or columns, whichever are fewer (Saxe et al., ICLR 2014)."""

    gain: float = 1.0
    kind: ClassVar[str] = "orthogonal"
    papers: ClassVar[tuple[Paper, ...]] = (LINEAR_NETWORKS,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", number(self.gain, "Orthogonal.gain"))

    @property
    def smallest(self) -> float:
        return -abs(self.gain)

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        if len(shape) != 2:
            remedy = "Sparse connections and vectors need another initializer, for example Normal."
            raise InvalidInput("shape", None, shape, "two dimensions (n_pre, n_post) for Orthogonal", remedy)
        gaussian = rng.normal(size=(max(shape), min(shape)))
        basis, triangle = np.linalg.qr(gaussian)
        # QR leaves the signs to LAPACK; a positive diagonal makes the draw uniform over orthogonal matrices.
        basis = basis * np.where(np.diagonal(triangle) < 0, -1.0, 1.0)
        basis = np.clip(basis, -1.0, 1.0)  # rounding may pass 1 by an ulp, and `smallest` is a promise
        return self.gain * np.ascontiguousarray(basis if shape[0] >= shape[1] else basis.T)


@answers_keywords
@dataclass(frozen=True)
class Kaiming(Initializer):
    """Variance gain^2 / fan_in (He et al., ICCV 2015), drawn from ``distribution`` "normal" or "uniform"."""

    gain: float = math.sqrt(2.0)
    distribution: str = "normal"
    kind: ClassVar[str] = "kaiming"
    papers: ClassVar[tuple[Paper, ...]] = (RECTIFIERS,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", number(self.gain, "Kaiming.gain", "a finite number >= 0", 0.0))
        if self.distribution not in ("normal", "uniform"):
            raise InvalidInput("Kaiming.distribution", None, self.distribution, '"normal" or "uniform"')

    @property
    def smallest(self) -> float:
        if self.gain == 0.0:
            return 0.0
        return -math.inf if self.distribution == "normal" else -math.sqrt(3.0) * self.gain

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        if 0 in shape:
            return np.empty(shape)
        if fan_in is None:
            if len(shape) != 2:
                remedy = "Pass fan_in= (inputs per neuron), or use a matrix."
                raise InvalidInput("shape", None, shape, "two dimensions (n_pre, n_post) for Kaiming", remedy)
            fan_in = shape[0]
        inputs = number(fan_in, "fan_in", "a finite number >= 1", 1.0)
        if self.distribution == "normal":
            return rng.normal(0.0, self.gain / math.sqrt(inputs), shape)
        bound = math.sqrt(3.0) * self.gain / math.sqrt(inputs)
        return rng.uniform(-bound, bound, shape)


def _as_array(values: object, name: str) -> Floats:
    """Return a read-only float64 copy of `values`, or raise InvalidInput naming the first entry that is not finite."""
    array = plain_array(values, name)
    if array.dtype.kind not in "fiu":
        raise InvalidInput(name, None, array.dtype, "an array of real numbers (dtype kind f, i or u)")
    with np.errstate(over="ignore"):
        array = np.array(array, dtype=np.float64, order="C")
    bad = np.flatnonzero(~np.isfinite(array.reshape(-1)))
    if bad.size:
        index = tuple(int(i) for i in np.unravel_index(bad[0], array.shape))
        raise InvalidInput(name, index, float(array[index]), "finite numbers")
    array.flags.writeable = False
    return array


@answers_keywords
@dataclass(frozen=True, eq=False)
class Given(Initializer):
    """Exactly the given finite ``values``; a draw of any other shape is an error that calls the array ``name``."""

    values: Floats
    name: str = "values"
    kind: ClassVar[str] = "given"

    if TYPE_CHECKING:  # the field is what becomes of the argument

        def __init__(self, values: npt.ArrayLike, name: str = "values") -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _as_array(self.values, self.name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Given):
            return NotImplemented
        return np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.values.shape, (self.values + 0.0).tobytes()))  # -0.0 equals 0.0, so it must hash alike

    @property
    def smallest(self) -> float:
        return float(self.values.min()) if self.values.size else math.inf

    @property
    def largest(self) -> float:
        """The largest value (-inf if there is none)."""
        return float(self.values.max()) if self.values.size else -math.inf

    def _values(self, rng: np.random.Generator, shape: Shape, fan_in: float | None) -> Array:
        if shape != self.values.shape:
            raise wrong_shape(self.name, self.values.shape, shape, "Or give a single number for all.")
        return self.values.copy()

    def to_dict(self) -> Description:
        """Return a JSON-able description; the shape is there because an empty list forgets it."""
        return {"kind": self.kind, "shape": list(self.values.shape), "values": self.values.reshape(-1).tolist()}


def _given_from(shape: object, values: object) -> Given:
    """Rebuild a Given from the shape and the flat list that its to_dict wrote."""
    if not isinstance(values, list) or not isinstance(shape, list):
        raise InvalidInput("initializer given", None, type(values).__name__, "lists for shape and values")
    sizes = _as_shape(shape)
    array = _as_array(values or np.empty(0), "values")
    if array.ndim != 1 or math.prod(sizes) != array.size:
        raise InvalidInput("values.shape", None, array.shape, f"{math.prod(sizes)} numbers for shape {sizes}")
    return Given(array.reshape(sizes))


_KINDS: dict[str, tuple[Callable[..., Initializer], tuple[str, ...]]] = {
    "constant": (Constant, ("value",)),
    "normal": (Normal, ("mean", "sd")),
    "uniform": (Uniform, ("low", "high")),
    "half_normal": (HalfNormal, ("sd",)),
    "orthogonal": (Orthogonal, ("gain",)),
    "kaiming": (Kaiming, ("gain", "distribution")),
    "given": (_given_from, ("shape", "values")),
}


def as_initializer(value: object, name: str) -> Initializer:
    """Return ``value`` as an Initializer: a finite number becomes Constant, an array Given, an Initializer stays.

    ``name`` is what errors call it, for example "input->hidden.delay". Raises InvalidInput for anything else.
    """
    if isinstance(value, Initializer):
        return value
    array = plain_array(value, name)
    if array.ndim > 0:
        return Given(array, name)
    scalar = array.item() if hasattr(value, "__array__") else value
    return Constant(number(scalar, name, "a finite number, an array of finite numbers or an Initializer"))
