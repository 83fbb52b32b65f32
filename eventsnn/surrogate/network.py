"""Describe a network on a time grid: populations in order, connections with spread delays, what is trained.

As in eventsnn.Network, parameters are a flat dict of float64 arrays, times are in ms and names are "pre->post.weight".
What training keeps beside the trained parameters lies in the dict too, so that a checkpoint holds all there is:
``sigma``, the present width of spread delays, and the running mean and variance of batch normalisation.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from .. import checks, renamed
from ..aliases import Array, Description, Floats, Milliseconds, Parameters, Shape
from ..errors import Conflict, InvalidInput, NetworkError, Unsupported
from ..network.arrays import check_arrays
from ..network.initializers import Constant, Given, Initializer, as_initializer
from ..network.structure import draw_structure, structure_stream
from ..network.synapses import Rows, SparseMatrix, Values, check_sharing, is_sparse, per_synapse, structure_of, to_dense
from ..random import stream
from .slopes import SURROGATES, ArcTangent, Surrogate, surrogate_of
from .spread import Spread

DELAY_SHARING = ("synapse", "neuron", "connection")
RESETS = ("hard", "soft")
Names: TypeAlias = Iterable[str] | bool


@dataclass(frozen=True)
class GridPopulation:
    """Input channels, LIF neurons or leaky readouts of a GridNetwork; the fields are those of its ``add_*`` methods."""

    name: str
    kind: str
    n: int
    settings: dict[str, Initializer] = field(default_factory=dict)
    v_threshold: float = 1.0
    reset: str = "hard"
    detach_reset: bool = True
    surrogate: Surrogate = ArcTangent()
    batch_norm: bool = False
    bias: Initializer | None = None
    dropout: float = 0.0
    input_dropout: float = 0.0
    train: tuple[str, ...] = ()


@dataclass(frozen=True)
class GridConnection:
    """Synapses of a GridNetwork, ``count`` from each presynaptic to each postsynaptic neuron; see ``connect``."""

    name: str
    pre: str
    post: str
    n_pre: int
    n_post: int
    weight: Initializer
    delay: Initializer | None
    delay_per: str
    spread: Spread | None
    count: int
    dropout: float
    train: tuple[str, ...]
    mask: Array | None = None

    @property
    def recurrent(self) -> bool:
        """True where the population is connected to itself."""
        return self.pre == self.post

    @property
    def lag(self) -> int:
        """Steps before the first arrival: 1 where spikes come back to their own population, else 0."""
        return int(self.recurrent)

    @property
    def weight_shape(self) -> Shape:
        """(n_pre, n_post), or (count, n_pre, n_post) of several synapses."""
        return (self.n_pre, self.n_post) if self.count == 1 else (self.count, self.n_pre, self.n_post)

    @property
    def delay_shape(self) -> Shape | None:
        """Shape of the delays, and of what goes with each; None without delays."""
        if self.delay is None:
            return None
        return {"synapse": self.weight_shape, "neuron": (self.n_pre,), "connection": ()}[self.delay_per]


class GridNetwork:
    """Populations in the order in which spikes pass them within one step of ``dt`` ms, each perhaps back to itself.

    In each step a LIF neuron computes I = beta I + input, H = alpha V + I, fires where H >= v_threshold, and resets:
    "hard" to 0, "soft" by the threshold. alpha = 1 - dt/tau_mem; beta = exp(-dt/tau_syn), or 0 without ``tau_syn``.
    """

    def __init__(self, dt: Milliseconds) -> None:
        self.dt = checks.check_duration(dt, "dt")
        self.populations: dict[str, GridPopulation] = {}
        self.connections: dict[str, GridConnection] = {}

    def add_input(self, name: str, n: int) -> None:
        """Add ``n`` input channels: what a SpikeBatch counts in each step, whole numbers or not."""
        self._add(
            GridPopulation(
                checks.check_new_name(name, self.populations), "input", checks.check_size(n, self.populations)
            )
        )

    def add_lif(
        self, name: str, n: int, *, tau_mem: Values = 20.0, tau_syn: Values | None = None, v_threshold: float = 1.0,
        reset: str = "hard", detach_reset: bool = True, surrogate: Surrogate | None = None, batch_norm: bool = False,
        bias: Values = False, dropout: float = 0.0, input_dropout: float = 0.0, train: Names = (),
    ) -> None:  # fmt: skip
        """Add ``n`` leaky integrate-and-fire neurons.

        ``tau_mem`` (ms, >= dt), ``tau_syn`` (ms, > 0; None: no synaptic filter): numbers, arrays (n,) or Initializers;
        ``reset``: "hard" or "soft"; ``detach_reset``: gradients do not pass through the reset, as in DCLS-delays;
        ``surrogate``: ArcTangent (default) or Triangle; ``batch_norm``: of the input but the recurrent, over samples
        and steps, with trained gain and offset; ``bias``: a trained constant input that starts as this number, array
        (n,) or Initializer (True: as 0, False: none); ``dropout``: probability that a neuron sends nothing forward for
        the length of one sample, ``input_dropout``: that it receives nothing but what is recurrent, neither bias nor
        offset; ``train``: "tau_mem" and "tau_syn" where trained.
        """
        checks.one_of(reset, f"{name}.reset", RESETS)
        surrogate = ArcTangent() if surrogate is None else surrogate
        if type(surrogate) not in SURROGATES.values():
            raise InvalidInput(f"{name}.surrogate", None, surrogate, "ArcTangent(slope) or Triangle(slope)")
        self._add_neurons(
            name, "lif", n, tau_mem, tau_syn, train, v_threshold=checks.positive(v_threshold, f"{name}.v_threshold"),
            reset=reset, detach_reset=checks.flag(detach_reset, f"{name}.detach_reset"), surrogate=surrogate,
            batch_norm=checks.flag(batch_norm, f"{name}.batch_norm"), bias=bias,
            dropout=checks.share(dropout, f"{name}.dropout"),
            input_dropout=checks.share(input_dropout, f"{name}.input_dropout"),
        )  # fmt: skip

    def add_readout(
        self, name: str, n: int, *, tau_mem: Values = 20.0, tau_syn: Values | None = None, bias: Values = False,
        train: Names = (),
    ) -> None:  # fmt: skip
        """Add ``n`` leaky integrators without threshold, whose V = alpha V + I a loss reads; see ``add_lif``."""
        self._add_neurons(name, "readout", n, tau_mem, tau_syn, train, bias=bias)

    def _add_neurons(
        self, name: str, kind: str, n: int, tau_mem: Values, tau_syn: Values | None, train: Names, *, bias: Values,
        **settings: Any,
    ) -> None:  # fmt: skip
        name, n = checks.check_new_name(name, self.populations), checks.check_size(n, self.populations)
        if bias is True:
            bias = 0.0
        if bias is None or isinstance(bias, str):
            allowed = "False (none), True (begins at 0), a number, an array or an Initializer"
            raise InvalidInput(f"{name}.bias", None, bias, allowed)
        start = None if bias is False else as_initializer(bias, f"{name}.bias")
        given = {"tau_mem": tau_mem} if tau_syn is None else {"tau_mem": tau_mem, "tau_syn": tau_syn}
        taus = {key: as_initializer(value, f"{name}.{key}") for key, value in given.items()}
        for key, value in taus.items():
            if isinstance(value, Given):
                value.draw(None, (n,))  # which refuses other shapes
            if isinstance(value, (Constant, Given)) and not value.smallest >= self.lowest(key):
                raise InvalidInput(
                    f"{name}.{key}", None, value.smallest, f"numbers >= {self.lowest(key):g} ms (dt {self.dt:g})"
                )
        chosen = checks.check_names(train, tuple(taus), f"{name}.train")
        self._add(GridPopulation(name, kind, n, taus, train=chosen, bias=start, **settings))

    def lowest(self, key: str) -> Milliseconds:
        """The smallest tau_mem or tau_syn (ms) that the grid can hold: alpha must not be negative."""
        return self.dt if key == "tau_mem" else 1e-3 * self.dt

    def _add(self, population: GridPopulation) -> None:
        self.populations[population.name] = population

    def connect(
        self, pre: str, post: str, *, weight: Values | SparseMatrix, delay: Values | SparseMatrix | None = None,
        delay_per: str = "synapse", spread: Spread | None = None, count: int = 1, dropout: float = 0.0,
        train: Names = ("weight", "delay"), mask: npt.ArrayLike | SparseMatrix | None = None,
        sparsity: float | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        """Connect every neuron of ``pre`` to every neuron of ``post``, which comes after it, or is the same.

        ``weight`` and ``delay`` (ms, >= 0, None: none): a number, an array or an Initializer; a recurrent spike comes
        a step later still. ``delay_per``: "synapse", "neuron" (axonal) or "connection" (one for all); ``spread``
        (Spread): how delays spread over steps in training, None for delays that are whole steps and stay; ``count``:
        synapses from each to each, with weights and delays of their own; ``dropout``: probability that a neuron gets no
        recurrent input for the length of one sample; ``mask`` (bool, n_pre x n_post) or ``sparsity``, the fraction of
        absent synapses, drawn from ``seed``. A scipy.sparse matrix (n_pre, n_post) as ``weight`` is structure and
        values together: its stored entries are the synapses; as ``delay`` it must have the same entries.
        """
        checks.check_ends(pre, post, self.populations)
        source, target, order = self.populations[pre], self.populations[post], list(self.populations)
        if target.kind == "input" or source.kind == "readout" or order.index(pre) > order.index(post):
            raise NetworkError(
                f"{pre!r} cannot send to {post!r}: spikes go to a population added later, or to their own."
            )
        name = f"{pre}->{post}"
        if name in self.connections:
            raise NetworkError(f"connection {name!r} exists already; count= gives several synapses.")
        checks.one_of(delay_per, "delay_per", DELAY_SHARING)
        if delay is None and spread is not None:
            raise Conflict(
                f"{name}.spread", None, spread, "None without delays", "Pass delay=, such as Uniform(0, 100)."
            )
        if checks.check_count(count) > 1 and (delay is None or delay_per != "synapse"):
            raise Conflict(f"{name}.count", None, count, "1 where synapses have no delays of their own")
        if spread is not None and not isinstance(spread, Spread):
            raise InvalidInput(
                f"{name}.spread", None, spread, "a Spread, such as Spread('triangle', sigma=(10.0, 0.1))"
            )
        shape = (source.n, target.n)
        mask = structure_of(weight, mask, sparsity, name, shape)
        indptr, indices = draw_structure(mask, sparsity, shape, structure_stream(seed, name))
        weight = _as_initializer(weight, f"{name}.weight", (indptr, indices, shape))
        check_sharing(delay, delay_per, name)
        delay = None if delay is None else _as_initializer(delay, f"{name}.delay", (indptr, indices, shape))
        _check_given_delays(name, delay, spread)
        chosen = checks.check_names(train, ("weight", "delay"), f"{name}.train")
        if chosen == ("delay",) and spread is None:
            remedy = "Pass delay= and spread=, such as Spread('triangle', sigma=(10.0, 0.1))."
            raise Conflict(f"{name}.train", None, train, "delays that spread", remedy)
        chosen = tuple(key for key in chosen if key == "weight" or spread is not None)
        if dropout and pre != post:
            remedy = "add_lif(dropout=...) silences what a population sends."
            raise Unsupported(f"{name}.dropout", None, dropout, "0 but for a recurrent connection", remedy)
        self.connections[name] = GridConnection(
            name, pre, post, source.n, target.n, weight, delay, delay_per, spread, checks.check_count(count),
            checks.share(dropout, f"{name}.dropout"), chosen, _as_mask(indptr, indices, shape),
        )  # fmt: skip

    def incoming(self, population: str) -> list[GridConnection]:
        """Connections that bring spikes from earlier populations, in the order in which they were made."""
        return [c for c in self.connections.values() if c.post == population and not c.recurrent]

    def recurrence(self, population: str) -> GridConnection | None:
        """The connection of a population to itself, or None."""
        return self.connections.get(f"{population}->{population}")

    # -- parameters

    def _entries(self) -> Iterator[tuple[str, Shape, Initializer, bool, tuple[float, float], float | None]]:
        """Yield (parameter name, shape, Initializer, trained, (lowest, highest) in training, fan-in)."""
        for p in self.populations.values():
            for key, value in p.settings.items():
                if key in p.train or not isinstance(value, (Constant, Given)):
                    shape = () if isinstance(value, Constant) else (p.n,)
                    yield f"{p.name}.{key}", shape, value, key in p.train, (self.lowest(key), math.inf), None
            if p.bias is not None:
                yield f"{p.name}.bias", (p.n,), p.bias, True, _ANY, sum(map(_fan_in, self.incoming(p.name))) or 1
            if p.batch_norm:
                yield f"{p.name}.gain", (p.n,), Constant(1.0), True, _ANY, None
                yield f"{p.name}.offset", (p.n,), Constant(0.0), True, _ANY, None
                yield f"{p.name}.running_mean", (p.n,), Constant(0.0), False, _ANY, None
                yield f"{p.name}.running_variance", (p.n,), Constant(1.0), False, _ANY, None
        for c in self.connections.values():
            fan_in = _fan_in(c)
            yield f"{c.name}.weight", c.weight_shape, c.weight, "weight" in c.train, _ANY, fan_in
            if c.delay is not None:
                longest = math.inf if c.spread is None or c.spread.longest is None else c.spread.longest
                yield f"{c.name}.delay", cast(Shape, c.delay_shape), c.delay, "delay" in c.train, (0.0, longest), fan_in
            if c.spread is not None:
                yield f"{c.name}.sigma", (), Constant(c.spread.width(0.0)), False, _ANY, None
                if c.spread.learned:
                    yield f"{c.name}.width", cast(Shape, c.delay_shape), Constant(0.0), True, _ANY, None

    def initialize(self, seed: int = 0) -> Parameters:
        """Draw the parameters: a flat dict of float64 arrays, each a function of (seed, its name) alone."""
        parameters = {}
        for name, shape, initializer, _, (low, high), fan_in in self._entries():
            values = initializer.draw(stream(checks.check_seed(seed), name), shape, fan_in)
            if np.max(values, initial=-math.inf) > high:
                # cutting it off would pile delays up at the longest, and leave the same network without a spread others
                remedy = (
                    "Draw shorter ones, or raise the longest: Spread(longest=...), or grid.longest_delay of a preset."
                )
                raise InvalidInput(name, None, float(np.max(values)), f"draws <= {high:g} ms", remedy)
            if name.endswith((".tau_mem", ".tau_syn")) and np.min(values, initial=math.inf) < low:
                # moved up, many neurons would have the same, and of a single step no memory
                raise InvalidInput(name, None, float(np.min(values)), f"draws >= {low:g} ms (dt {self.dt:g})")
            parameters[name] = np.asarray(np.maximum(values, low))
        for c in self.connections.values():
            if c.mask is not None:
                parameters[f"{c.name}.weight"] = np.where(c.mask, parameters[f"{c.name}.weight"], 0.0)
        return parameters

    def present(self, name: str) -> Array | None:
        """Return the mask of a parameter's entries whose synapses are there, None where all are."""
        c = self.connections.get(name.rpartition(".")[0])
        if c is None or c.mask is None or name.endswith(".sigma"):
            return None
        own = name.endswith(".weight") or c.delay_per == "synapse"
        return np.broadcast_to(c.mask, c.weight_shape) if own else None

    @property
    def trainable(self) -> list[str]:
        """Names of the trained parameters."""
        return [name for name, _, _, trained, _, _ in self._entries() if trained]

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return {trained parameter: (low, high)}: the ranges that projections keep in training."""
        return {name: bounds for name, _, _, trained, bounds, _ in self._entries() if trained}

    def check_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> Parameters:
        """Return the parameters as float64 arrays after checking names, shapes and values; raises InvalidInput."""
        checked = check_arrays(parameters, {name: shape for name, shape, *_ in self._entries()})
        for name, _, _, _, (low, high), _ in self._entries():
            values = checked[name]
            if np.any(bad := (values < low) | (values > high)):
                index = tuple(int(k) for k in np.argwhere(bad)[0])
                raise InvalidInput(name, index or None, float(values[index]), f"numbers from {low:g} to {high:g}")
        return checked

    def at(self, parameters: Parameters, epoch: float) -> Parameters:
        """Return the parameters with each sigma as it is in an epoch, counted from 0."""
        spread = {c.name: c.spread for c in self.connections.values() if c.spread is not None}
        return {**parameters, **{f"{name}.sigma": np.asarray(item.width(epoch)) for name, item in spread.items()}}

    def after_epoch(self, parameters: Parameters) -> Parameters:
        """Return the parameters with those delays rounded to steps whose spread asks for it."""
        names = [f"{c.name}.delay" for c in self.connections.values() if c.spread is not None and c.spread.rounds]
        return {**parameters, **{name: self.dt * np.rint(parameters[name] / self.dt) for name in names}}

    def value_of(self, population: str, attribute: str, parameters: Parameters) -> Floats:
        """Return tau_mem or tau_syn (ms), or v_threshold, of every neuron of a population, shape (n,)."""
        p = self.populations[population]
        if attribute == "v_threshold":
            return np.full(p.n, p.v_threshold)
        values = parameters.get(f"{population}.{attribute}")
        values = p.settings[attribute].draw(None, (p.n,)) if values is None else values
        return np.broadcast_to(values, (p.n,))

    # -- description

    def to_dict(self) -> Description:
        """Return a JSON-able description from which ``from_dict`` builds an equal network."""
        return {
            "dt": self.dt,
            "populations": [_population_to_dict(p) for p in self.populations.values()],
            "connections": [_connection_to_dict(c) for c in self.connections.values()],
        }

    @classmethod
    def from_dict(cls, description: Description) -> Self:
        """Build the network that ``to_dict`` described."""
        network = cls(description["dt"])
        for p in description["populations"]:
            add = {"input": network.add_input, "lif": network.add_lif, "readout": network.add_readout}[p["kind"]]
            settings = {key: value for key, value in p.items() if key != "kind"}
            for key in ("tau_mem", "tau_syn", "bias"):
                if isinstance(settings.get(key), dict):
                    settings[key] = Initializer.from_dict(settings[key])
            if "surrogate" in settings:
                settings["surrogate"] = surrogate_of(**settings["surrogate"])
            add(**settings)
        for c in description["connections"]:
            delay = None if c["delay"] is None else Initializer.from_dict(c["delay"])
            spread = None if c["spread"] is None else Spread(**c["spread"])
            mask = None if c["mask"] is None else np.array(c["mask"], bool)
            made: Description = {"weight": Initializer.from_dict(c["weight"]), "delay": delay}
            made |= {"spread": spread, "mask": mask}
            if c["pre"] != c["post"]:
                made["dropout"] = 0.0  # which once could be given, and did nothing
            network.connect(**{**c, **made})
        return network

    def fingerprint(self) -> str:
        """Return the SHA-256 of the description, in hex: equal networks have equal fingerprints."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


_ANY = (-math.inf, math.inf)


def _fan_in(connection: GridConnection) -> float:
    """Synapses per postsynaptic neuron, in the mean."""
    mask = connection.mask
    present = connection.n_pre if mask is None else max(np.count_nonzero(mask) / connection.n_post, 1.0)
    return connection.count * present


def _population_to_dict(p: GridPopulation) -> Description:
    described: Description = {"name": p.name, "kind": p.kind, "n": p.n}
    if p.kind == "input":
        return described
    described |= {key: value.to_dict() for key, value in p.settings.items()}
    described |= {"bias": False if p.bias is None else p.bias.to_dict(), "train": list(p.train)}
    if p.kind == "lif":
        names = ("v_threshold", "reset", "detach_reset", "batch_norm", "dropout", "input_dropout")
        kind = next(kind for kind, made in SURROGATES.items() if type(p.surrogate) is made)
        described |= {name: getattr(p, name) for name in names} | {
            "surrogate": {"kind": kind, "slope": p.surrogate.slope}
        }
    return described


def _connection_to_dict(c: GridConnection) -> Description:
    return {
        "pre": c.pre,
        "post": c.post,
        "weight": c.weight.to_dict(),
        "delay": None if c.delay is None else c.delay.to_dict(),
        "delay_per": c.delay_per,
        "spread": None if c.spread is None else asdict(c.spread),
        "count": c.count,
        "dropout": c.dropout,
        "train": list(c.train),
        "mask": None if c.mask is None else c.mask.tolist(),
    }


def _check_given_delays(name: str, delay: Initializer | None, spread: Spread | None) -> None:
    """Refuse delays that are given, not drawn, outside of what can be."""
    if not isinstance(delay, (Constant, Given)):
        return
    values = delay.values if isinstance(delay, Given) else np.asarray(delay.value)
    longest = math.inf if spread is None or spread.longest is None else spread.longest
    if np.any(bad := (values < 0) | (values > longest)):
        allowed = "delays >= 0 ms" if longest == math.inf else f"delays from 0 to the longest, {longest:g} ms"
        raise InvalidInput(f"{name}.delay", None, float(values[bad].flat[0]), allowed)


def _as_initializer(value: Values | SparseMatrix, name: str, rows: Rows) -> Initializer:
    """A weight or a delay as an Initializer; a sparse matrix is written out, as the parameters are."""
    if is_sparse(value):
        value = to_dense(per_synapse(value, name, rows), rows, 0.0)
    return as_initializer(value, name)


def _as_mask(indptr: Array | None, indices: Array | None, shape: tuple[int, int]) -> Array | None:
    """The synapses of compressed sparse rows as a bool array; None where all are there."""
    if indptr is None:
        return None
    mask = np.zeros(shape, bool)
    mask[np.repeat(np.arange(shape[0]), np.diff(indptr)), indices] = True
    return mask


def __getattr__(name: str) -> object:
    return renamed.find("surrogate.network", name)
