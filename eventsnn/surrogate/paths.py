"""Connections of a GridNetwork as they act on a batch: forward, backward, and the gradients of their parameters."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np

from ..aliases import Array, Parameters
from ..kernels import grid as kernels
from ..parallel.threads import resolve_n_threads
from .network import GridConnection, GridNetwork
from .parts import RunMode, product, product_of_rows, run
from .taps import SPREADS, Taps

# What one spike costs for each tap, and one entry of a product or of a transform, in one unit: measured once, and fixed
# so that the same batch takes the same way on every machine.
SPIKE_COST, PRODUCT_COST, TRANSFORM_COST = 1.0, 0.35, 4.0
AT_ONCE = 64  # samples, or presynaptic neurons


def path(
    network: GridNetwork, connection: GridConnection, parameters: Parameters, mode: RunMode, n_steps: int
) -> "Shared | Own":  # fmt: skip
    """Return the connection as a Shared or an Own path for these parameters and so many steps."""
    own = connection.delay is not None and connection.delay_per == "synapse"
    return (Own if own else Shared)(network, connection, parameters, mode, n_steps)


class _Path:
    """What both kinds share: the delays and widths in steps, and their gradients from those of the taps."""

    # in steps; None where there are none
    delay: Array | None
    sigma: Array | None
    width: Array | None

    def __init__(
        self, network: GridNetwork, connection: GridConnection, parameters: Parameters, mode: RunMode, n_steps: int
    ) -> None:  # fmt: skip
        self.connection, self.mode, self._dt, self._n_steps = connection, mode, network.dt, n_steps
        name = connection.name
        self.weight = parameters[f"{name}.weight"]
        if connection.mask is not None:
            self.weight = np.where(connection.mask, self.weight, 0.0)
        self.delay = self.sigma = self.width = None
        if connection.spread is not None:
            self.sigma = parameters[f"{name}.sigma"] / network.dt
            if connection.spread.learned:
                self.width = 1.0 / (1.0 + np.exp(-parameters[f"{name}.width"]))
        self._kind = self._kind_and_width()
        if connection.delay is not None:
            self.delay = parameters[f"{name}.delay"] / network.dt
            if self._kind[0] == "nearest":
                self.delay = np.minimum(np.rint(self.delay), n_steps)  # what is later does not arrive either

    def _kind_and_width(self) -> tuple[str, Any]:
        """(name of the spread, sigma in steps) of this mode."""
        if self.connection.spread is None or self.mode.delays == "rounded":
            return "nearest", np.float64(0.0)
        if self.mode.delays == "fractional":
            return "triangle", np.float64(0.0)
        sigma = self.sigma if self.width is None else 2.0 * self.width * cast(Array, self.sigma)
        return self.connection.spread.kind, sigma

    def _reach(self) -> int:
        """Number of lags that the delays can reach, from 0 on, within the run; a gaussian's, whose sum is 1, beyond."""
        kind, sigma = self._kind
        spread = self.connection.spread
        longest = math.inf if spread is None or spread.longest is None else round(spread.longest / self._dt)
        if kind == "gaussian":
            return int(longest + 1)
        last = np.ceil(np.max(cast(Array, self.delay), initial=0.0))
        if self.mode.delays == "spread" and kind == "triangle":
            last = min(np.ceil(last + 1.0 + np.max(sigma)), longest)
        return int(min(last + 1, self._n_steps))

    @property
    def _wanted(self) -> tuple[str, ...]:
        """By what of "delay" and "sigma" the loss is to be differentiated in this mode."""
        if self.connection.spread is None or self.mode.delays == "rounded":
            return ()
        wanted = ("delay",) if "delay" in self.connection.train else ()
        return (*wanted, "sigma") if self.width is not None and self.mode.delays == "spread" else wanted

    def _delay_gradients(self, found: Sequence[Array]) -> dict[str, Array]:
        """{parameter: dL/d(it)} from those by each of ``_wanted``, in steps and of the shape of the delays."""
        name, by = self.connection.name, dict(zip(self._wanted, found, strict=True))
        gradients: dict[str, Array] = {}
        if "delay" in by:
            gradients[f"{name}.delay"] = by["delay"] / self._dt
        if "sigma" in by:
            sigma, width = cast(Array, self.sigma), cast(Array, self.width)
            gradients[f"{name}.width"] = by["sigma"] * 2.0 * sigma * width * (1.0 - width)
        return gradients

    def _weight_gradient(self, gradient: Array) -> dict[str, Array]:
        mask = self.connection.mask
        return {f"{self.connection.name}.weight": gradient if mask is None else np.where(mask, gradient, 0.0)}


class Shared(_Path):
    """All synapses of a neuron share their delay, or have none: its spikes are spread in time, then weighted.

    ``taps`` (lags, n_pre) from ``lags`` (n_pre,) on; None where nothing is delayed.
    """

    taps: Array | None
    lags: Array | None

    def __init__(
        self, network: GridNetwork, connection: GridConnection, parameters: Parameters, mode: RunMode, n_steps: int
    ) -> None:  # fmt: skip
        super().__init__(network, connection, parameters, mode, n_steps)
        self.taps = None
        self._slopes: list[Array] = []
        self._kernel = np.ascontiguousarray(self.weight, dtype=mode.dtype)
        if self.delay is not None:
            delay = np.broadcast_to(self.delay, (connection.n_pre,))
            self._spread_taps(delay, self._kind, mode)
        elif connection.recurrent:
            self.taps, self._start = np.ones((1, connection.n_pre), mode.dtype), np.zeros(connection.n_pre, np.int64)
        self.lags = None if self.taps is None else self._start + connection.lag

    def _spread_taps(self, delay: Array, kind: tuple[str, Any], mode: RunMode) -> None:
        """Taps at the lags around each delay where its spread is not zero, or at all of a gaussian."""
        name, sigma = kind
        reach, sigma = self._reach(), np.broadcast_to(sigma, delay.shape)
        start, length = np.zeros(delay.size, np.int64), reach
        if name == "triangle":
            start = np.clip(np.floor(delay - sigma), 0, self._n_steps).astype(np.int64)
            length = min(int(np.ceil(2.0 * (1.0 + sigma.max()))), reach)
        if name == "nearest":
            start, length = delay.astype(np.int64), 1
        lags = start + np.arange(length)[:, None]
        h, slopes = SPREADS[name](lags, delay, sigma, 0, self._wanted)
        inside = lags < reach
        self.taps, self._start = np.ascontiguousarray(np.where(inside, h, 0.0), dtype=mode.dtype), start
        self._slopes = [np.where(inside, slope, 0.0) for slope in slopes]

    def recurrence(self, kept: Array, arrivals: Array) -> kernels.Axonal:
        """Return the connection of a population with itself, which always has taps, as kernels take it."""
        assert self.taps is not None and self.lags is not None
        return kernels.Axonal(self.taps, self.lags, self._kernel, kept, arrivals)

    def forward(self, values: Array) -> tuple[Array, Array]:
        """Return (input (sample, step, n_post), what backward needs)."""
        arrived = values
        if self.taps is not None:
            arrived = np.zeros_like(values)
            run(kernels.delay, len(values), self.mode, values, self.taps, self.lags, arrived)
        return self._product(arrived, self._kernel), arrived

    def backward(
        self, values: Array, arrived: Array, d_inputs: Array, wanted: bool
    ) -> tuple[Array | None, dict[str, Array]]:  # fmt: skip
        """Return (dL/d(values) or None if not wanted, {parameter: gradient})."""
        gradients, d_values = self.weight_gradient(arrived, d_inputs), None
        if not wanted and not self._slopes:
            return None, gradients
        d_sent = self._product(d_inputs, self._kernel.T)
        if self.taps is None:
            return d_sent, gradients
        run(kernels.depart, len(values), self.mode, d_sent, self.lags)
        gradients |= self.delay_gradients(values, d_sent)
        if wanted:
            d_values = np.zeros_like(values)
            run(kernels.delay_back, len(values), self.mode, d_sent, self.taps, d_values)
        return d_values, gradients

    def _product(self, values: Array, matrix: Array) -> Array:
        """``values`` (sample, step, n) times a matrix: in one product, but in evaluation, where samples stay alone."""
        if not self.mode.training:
            return product(values, matrix, self.mode)
        return product(values.reshape(-1, values.shape[2]), matrix, self.mode).reshape(*values.shape[:2], -1)

    def weight_gradient(self, arrived: Array, d_inputs: Array) -> dict[str, Array]:
        """{weight: gradient} from what arrived and dL/d(inputs)."""
        n_pre, n_post = self.connection.n_pre, self.connection.n_post
        flat = arrived.reshape(-1, n_pre), d_inputs.reshape(-1, n_post)
        return self._weight_gradient(product_of_rows(*flat, self.mode))

    def delay_gradients(self, values: Array, d_sent: Array) -> dict[str, Array]:
        """{delay, width: gradient} from the spikes and dL/d(what arrives), moved to where spikes left."""
        if self.taps is None or not self._slopes:
            return {}
        d_taps = np.zeros(self.taps.T.shape, self.mode.dtype)
        run(kernels.delay_gradient, self.connection.n_pre, self.mode, values, d_sent, d_taps)
        found = [(d_taps.T * slope).sum(axis=0) for slope in self._slopes]
        if self.connection.delay_per == "connection":
            found = [part.sum() for part in found]
        return self._delay_gradients(found)


class Own(_Path):
    """Each synapse has its own delay: weights and spread are one array of ``taps`` (n_pre, lags, n_post).

    Spikes add their taps one by one where they are few; where they are not, a product of transforms over time does all
    at once, for a few samples at a time, and nothing but the taps is kept for the way back.
    """

    delay: Array

    def __init__(
        self, network: GridNetwork, connection: GridConnection, parameters: Parameters, mode: RunMode, n_steps: int
    ) -> None:  # fmt: skip
        super().__init__(network, connection, parameters, mode, n_steps)
        shape = (connection.count, connection.n_pre, 1, connection.n_post)
        self._weights = self.weight.reshape(shape).astype(mode.dtype)
        self._few_spikes: bool | None = None

    @cached_property
    def taps(self) -> Array:
        """Weights and spread together; with rounded delays only a way back, or around, has a use for them."""
        return (self._weights * self._spread(())[0]).sum(axis=0)

    def _spread(self, wanted: Sequence[str]) -> Taps:
        """(h, its slopes) of each synapse and lag, (count, n_pre, lags, n_post)."""
        (name, sigma), shape, dtype = self._kind, self._weights.shape, self.mode.dtype
        sigma = np.asarray(sigma, dtype) if np.ndim(sigma) == 0 else sigma.reshape(shape).astype(dtype)
        lags = np.arange(self._reach(), dtype=dtype)[:, None]
        return SPREADS[name](lags, self.delay.reshape(shape).astype(dtype), sigma, 2, wanted)

    def forward(self, values: Array) -> tuple[Array, None]:
        """Return (input (sample, step, n_post), None)."""
        n_samples, n_steps, _ = values.shape
        out = np.zeros((n_samples, n_steps, self.connection.n_post), values.dtype)
        if self._kind[0] == "nearest":
            # no transform: whether a sum just reaches a threshold must not depend on the other samples
            lags = self.delay.reshape(self._weights.shape)[:, :, 0].astype(np.int64) + self.connection.lag
            run(kernels.spread_nearest, n_samples, self.mode, values, self._weights[:, :, 0], lags, out)
            return out, None
        if self._by_spikes(values):
            run(kernels.spread, n_samples, self.mode, values, self.taps, self.connection.lag, out)
            return out, None
        taps = self._transform(self.taps)
        for part in _few(n_samples):
            out[part] = self._back(product(self._transform(values[part]), taps, self.mode), 0, n_steps)
        return out, None

    def backward(
        self, values: Array, arrived: None, d_inputs: Array, wanted: bool
    ) -> tuple[Array | None, dict[str, Array]]:  # fmt: skip
        """Return (dL/d(values) or None if not wanted, {parameter: gradient})."""
        d_values = np.empty_like(values) if wanted else None
        return d_values, self.gradients(values, d_inputs, d_values)

    def gradients(self, values: Array, d_inputs: Array, d_values: Array | None = None) -> dict[str, Array]:
        """{parameter: gradient} from the spikes and dL/d(inputs); fills ``d_values``, dL/d(spikes), if it is given."""
        if not self._by_spikes(values):
            d_taps = np.zeros_like(self.taps)
            self._back_by_transforms(values, d_inputs, d_values, d_taps)
        else:
            d_taps = self._d_taps_by_spikes(values, d_inputs)
            if d_values is not None:
                self._back_by_transforms(values, d_inputs, d_values, None)
        return self._parameter_gradients(d_taps)

    def _parameter_gradients(self, d_taps: Array) -> dict[str, Array]:
        """{parameter: gradient} from dL/d(taps)."""
        h, slopes = self._spread(self._wanted)
        shape, by_weight = self.connection.weight_shape, (d_taps * h).sum(axis=2)
        gradients = self._weight_gradient(by_weight.reshape(shape))
        found = [(self._weights[:, :, 0] * (d_taps * slope).sum(axis=2)).reshape(shape) for slope in slopes]
        return gradients | self._delay_gradients(found)

    def _d_taps_by_spikes(self, values: Array, d_inputs: Array) -> Array:
        d_taps = np.zeros_like(self.taps)
        run(
            kernels.spread_gradient, self.connection.n_pre, self.mode, values, d_inputs, self.connection.lag, d_taps
        )  # fmt: skip
        return d_taps

    def _back_by_transforms(
        self, values: Array, d_inputs: Array, d_values: Array | None, d_taps: Array | None
    ) -> None:  # fmt: skip
        """Fill dL/d(values), and add dL/d(taps), whichever is not None, for a few presynaptic neurons at a time.

        As many samples at a time as there are such neurons: what is held is no more than the transform of the taps.
        """
        n_pre = self.connection.n_pre
        for some in _few(len(values), max(n_pre, AT_ONCE)):
            pull = self._transform(d_inputs[some])
            for part in _few(n_pre):
                if d_values is not None:
                    taps = _conjugate(self._transform(self.taps[part]))
                    d_values[some, :, part] = self._back(product(pull, taps, self.mode), 0, values.shape[1])
                if d_taps is not None:
                    found = product(_conjugate(self._transform(values[some, :, part])), pull, self.mode)
                    d_taps[part] += self._back(found, self.connection.lag, d_taps.shape[1])

    def _by_spikes(self, values: Array) -> bool:
        """True where the work for each spike is less than that of transforms; settles how long those are, once."""
        if self._few_spikes is not None:
            return self._few_spikes
        n_samples, n_steps, n_pre = values.shape
        n_lags, n_post = self.taps.shape[1:]
        n = self._n = _length(n_steps + self.connection.lag + n_lags)
        transforms = (n_samples * n_pre + n_pre * n_post + n_samples * n_post) * n * np.log2(n)
        products = 4.0 * (n // 2 + 1) * n_samples * n_pre * n_post
        dense = TRANSFORM_COST * transforms + PRODUCT_COST * products
        self._few_spikes = SPIKE_COST * np.count_nonzero(values) * n_lags * n_post <= dense
        return self._few_spikes

    def _transform(self, array: Array) -> Array:
        """The transform over time of (row, time, column), as (frequency, row, column)."""
        from scipy.fft import rfft

        return rfft(array, self._n, axis=1, workers=resolve_n_threads(self.mode.n_threads)).swapaxes(0, 1)

    def _back(self, product: Array, first: int, n: int) -> Array:
        """The ``n`` times from ``first`` on of a transformed (frequency, row, column) as (row, time, column)."""
        from scipy.fft import irfft

        found = irfft(product.swapaxes(0, 1), self._n, axis=1, workers=resolve_n_threads(self.mode.n_threads))
        return found[:, first : first + n]


def _few(n: int, at_once: int | None = None) -> list[slice]:
    """Slices of samples, or neurons, whose transforms are in memory at one time; None: AT_ONCE."""
    step = AT_ONCE if at_once is None else at_once
    return [slice(first, first + step) for first in range(0, n, step)]


def _conjugate(transformed: Array) -> Array:
    """The conjugate transposed matrix of each frequency, in the place of what it was."""
    return np.conjugate(transformed, out=transformed).swapaxes(1, 2)


def _length(n: int) -> int:
    from scipy.fft import next_fast_len

    return next_fast_len(n, real=True)
