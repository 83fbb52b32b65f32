"""Describe a network on a time grid: populations in order, connections with spread delays, what is trained.

As in eventsnn.Network, parameters are a flat dict of float64 arrays, times are in ms and names are "pre->post.weight".
What training keeps beside the trained parameters lies in the dict too, so that a checkpoint holds all there is:
``sigma``, the present width of spread delays, and the running mean and variance of batch normalisation.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from .. import checks, renamed
from ..aliases import Array, Description, Floats, Milliseconds, Parameters, Shape
from ..errors import Conflict, InvalidInput, NetworkError, Unsupported
from ..network.base import BaseConnection, BaseNetwork, BasePopulation, ParameterEntry, as_settings
from ..network.initializers import Constant, Given, Initializer, as_initializer
from ..network.parts import DELAY_SHARING
from ..network.structure import structured
from ..network.synapses import Rows, SparseMatrix, Values, check_sharing, is_sparse, per_synapse, to_dense
from .slopes import SURROGATES, ArcTangent, Surrogate, surrogate_of
from .spread import Spread

RESETS = ("hard", "soft")
Names: TypeAlias = Iterable[str] | bool


@dataclass(frozen=True)
class GridPopulation(BasePopulation):
    """Input channels, LIF neurons or leaky readouts of a GridNetwork; the fields are those of its ``add_*`` methods."""

    v_threshold: float = 1.0
    reset: str = "hard"
    detach_reset: bool = True
    surrogate: Surrogate = ArcTangent()
    batch_norm: bool = False
    bias: Initializer | None = None
    dropout: float = 0.0
    input_dropout: float = 0.0
    # by name alone: its place among the fields was another one in release 0.1.0
    train: tuple[str, ...] = field(default=(), kw_only=True)

    def to_dict(self) -> Description:
        """Return a JSON-able description: what its ``add_*`` method takes."""
        described = super().to_dict()
        if self.kind == "input":
            return described
        described |= {key: value.to_dict() for key, value in self.settings.items()}
        described |= {"bias": False if self.bias is None else self.bias.to_dict(), "train": list(self.train)}
        if self.kind == "lif":
            names = ("v_threshold", "reset", "detach_reset", "batch_norm", "dropout", "input_dropout")
            kind = next(kind for kind, made in SURROGATES.items() if type(self.surrogate) is made)
            described |= {name: getattr(self, name) for name in names}
            described["surrogate"] = {"kind": kind, "slope": self.surrogate.slope}
        return described


@dataclass(frozen=True)
class GridConnection(BaseConnection):
    """Synapses of a GridNetwork, ``count`` from each presynaptic to each postsynaptic neuron; see ``connect``."""

    spread: Spread | None
    count: int
    dropout: float
    # by name alone, as in GridPopulation
    train: tuple[str, ...] = field(kw_only=True)
    mask: Array | None = field(default=None, kw_only=True)

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
    def fan_in(self) -> float:
        """Synapses per postsynaptic neuron, in the mean; at least 1 from those that are connected."""
        present = self.n_pre if self.mask is None else max(np.count_nonzero(self.mask) / self.n_post, 1.0)
        return self.count * present

    def to_dict(self) -> Description:
        """Return a JSON-able description: what ``connect`` takes."""
        spread = None if self.spread is None else asdict(self.spread)
        mask = None if self.mask is None else self.mask.tolist()
        return {**super().to_dict(), "spread": spread, "count": self.count, "dropout": self.dropout, "mask": mask}


@checks.answers_keywords
class GridNetwork(BaseNetwork):
    """Populations in the order in which spikes pass them within one step of ``dt`` ms, each perhaps back to itself.

    In each step a LIF neuron computes I = beta I + input, H = alpha V + I, fires where H >= v_threshold, and resets:
    "hard" to 0, "soft" by the threshold. alpha = 1 - dt/tau_mem; beta = exp(-dt/tau_syn), or 0 without ``tau_syn``.
    """

    method = "surrogate"
    signed = ("weight", "bias", "gain", "offset", "width", "running_mean")
    populations: dict[str, GridPopulation]
    connections: dict[str, GridConnection]

    def __init__(self, dt: Milliseconds) -> None:
        self.dt = checks.check_duration(dt, "dt")
        super().__init__()

    initialize = checks.answers_keywords(BaseNetwork.initialize)

    @checks.answers_keywords
    def add_input(self, name: str, n: int) -> None:
        """Add ``n`` input channels: what a SpikeBatch counts in each step, whole numbers or not."""
        name, n = self._new(name, n)
        self.populations[name] = GridPopulation(name, "input", n)

    @checks.answers_keywords
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

    @checks.answers_keywords
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
        name, n = self._new(name, n)
        if bias is True:
            bias = 0.0
        if bias is None or isinstance(bias, str):
            allowed = "False (none), True (begins at 0), a number, an array or an Initializer"
            raise InvalidInput(f"{name}.bias", None, bias, allowed)
        start = None if bias is False else as_initializer(bias, f"{name}.bias")
        given = {"tau_mem": tau_mem} if tau_syn is None else {"tau_mem": tau_mem, "tau_syn": tau_syn}
        taus = as_settings(name, n, given)
        for key, value in taus.items():
            if isinstance(value, (Constant, Given)) and not value.smallest >= self.lowest(key):
                raise InvalidInput(
                    f"{name}.{key}", None, value.smallest, f"numbers >= {self.lowest(key):g} ms (dt {self.dt:g})"
                )
        chosen = checks.check_names(train, tuple(taus), f"{name}.train")
        self.populations[name] = GridPopulation(name, kind, n, taus, bias=start, train=chosen, **settings)

    def lowest(self, key: str) -> Milliseconds:
        """The smallest tau_mem or tau_syn (ms) that the grid can hold: alpha must not be negative."""
        return self.dt if key == "tau_mem" else 1e-3 * self.dt

    @checks.answers_keywords
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
        rows, _ = structured(weight, mask, sparsity, seed, name, (source.n, target.n))
        weight = _as_initializer(weight, f"{name}.weight", rows)
        check_sharing(delay, delay_per, name)
        delay = None if delay is None else _as_initializer(delay, f"{name}.delay", rows)
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
            checks.share(dropout, f"{name}.dropout"), train=chosen, mask=_as_mask(*rows),
        )  # fmt: skip

    def incoming(self, population: str) -> list[GridConnection]:
        """Connections that bring spikes from earlier populations, in the order in which they were made."""
        return [c for c in self.connections.values() if c.post == population and not c.recurrent]

    def recurrence(self, population: str) -> GridConnection | None:
        """The connection of a population to itself, or None."""
        return self.connections.get(f"{population}->{population}")

    # -- parameters

    def _parts(self) -> tuple[Any, ...]:
        return self.dt, *super()._parts()

    def _entries(self) -> Iterator[ParameterEntry]:
        one, zero = Constant(1.0), Constant(0.0)
        for p in self.populations.values():
            yield from p.entries({key: (self.lowest(key), math.inf) for key in p.settings})
            if p.bias is not None:
                fan_in = sum(c.fan_in for c in self.incoming(p.name)) or 1
                yield ParameterEntry(f"{p.name}.bias", (p.n,), p.bias, True, fan_in=fan_in)
            if p.batch_norm:
                yield ParameterEntry(f"{p.name}.gain", (p.n,), one, True)
                yield ParameterEntry(f"{p.name}.offset", (p.n,), zero, True)
                yield ParameterEntry(f"{p.name}.running_mean", (p.n,), zero, False)
                yield ParameterEntry(f"{p.name}.running_variance", (p.n,), one, False)
        for c in self.connections.values():
            yield from c.entries(0.0, _longest(c.spread))
            if c.spread is not None:
                yield ParameterEntry(f"{c.name}.sigma", (), Constant(c.spread.width(0.0)), False)
                if c.spread.learned:
                    yield ParameterEntry(f"{c.name}.width", cast(Shape, c.delay_shape), zero, True)

    def _allowed(self, entry: ParameterEntry, values: Floats) -> Floats:
        name, low, high = entry.name, entry.low, entry.high
        if np.max(values, initial=-math.inf) > high:
            # cutting it off would pile delays up at the longest, and leave the same network without a spread others
            remedy = "Draw shorter ones, or raise the longest: Spread(longest=...), or grid.longest_delay of a preset."
            raise InvalidInput(name, None, float(np.max(values)), f"draws <= {high:g} ms", remedy)
        if name.endswith((".tau_mem", ".tau_syn")) and np.min(values, initial=math.inf) < low:
            # moved up, many neurons would have the same, and of a single step no memory
            raise InvalidInput(name, None, float(np.min(values)), f"draws >= {low:g} ms (dt {self.dt:g})")
        values = np.asarray(np.maximum(values, low))
        there = self.present(name) if name.endswith(".weight") else None
        return values if there is None else np.where(there, values, 0.0)

    def present(self, name: str) -> Array | None:
        """Return the mask of a parameter's entries whose synapses are there, None where all are."""
        c = self.connections.get(name.rpartition(".")[0])
        if c is None or c.mask is None or name.endswith(".sigma"):
            return None
        own = name.endswith(".weight") or c.delay_per == "synapse"
        return np.broadcast_to(c.mask, c.weight_shape) if own else None

    def check_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> Parameters:
        """Return the parameters as float64 arrays after checking names, shapes and values; raises InvalidInput."""
        checked = super().check_parameters(parameters)
        for entry in self.listing.entries:
            name, low, high, values = entry.name, entry.low, entry.high, checked[entry.name]
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

    def value_of(self, population: str, attribute: str, parameters: Mapping[str, Array]) -> Array:
        """Return tau_mem or tau_syn (ms), or v_threshold, of every neuron of a population, shape (n,)."""
        if attribute == "v_threshold":
            found = self.populations[population]
            return np.full(found.n, found.v_threshold)
        return super().value_of(population, attribute, parameters)

    # -- description

    def to_dict(self) -> Description:
        """Return a JSON-able description from which ``from_dict`` builds an equal network."""
        return {"dt": self.dt, **super().to_dict()}

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


def _longest(spread: Spread | None) -> Milliseconds:
    """How long delays can be at most (ms)."""
    return math.inf if spread is None or spread.longest is None else spread.longest


def _check_given_delays(name: str, delay: Initializer | None, spread: Spread | None) -> None:
    """Refuse delays that are given, not drawn, outside of what can be."""
    if not isinstance(delay, (Constant, Given)):
        return
    values = delay.values if isinstance(delay, Given) else np.asarray(delay.value)
    longest = _longest(spread)
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
