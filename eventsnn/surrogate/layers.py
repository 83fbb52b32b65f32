"""One population of a GridNetwork on one batch: what it receives, what it does, and both backwards."""

from typing import Any, cast

import numpy as np

from ..aliases import Array, Floats, Parameters
from ..kernels import grid as kernels
from ..random import stream
from .network import GridConnection, GridNetwork, GridPopulation
from .parts import RunMode, product, run
from .paths import Own, Shared, path
from .slopes import ArcTangent

BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM = 1e-5, 0.1


class Layer:
    """``receive`` from each connection, ``run``; then ``back`` and ``send_back`` to each; ``gradients`` add up."""

    # arrays until they are passed on or the way back has used them, then None
    potentials: Any
    spikes: Any
    _normal: Any
    statistics: Parameters
    gradients: dict[str, Array]
    _kept: Array | None
    _kept_back: Array | None
    _input_kept: Array | None
    _neurons: tuple[Any, ...]
    _paths: dict[str, tuple[Shared | Own, Array, Any]]  # each way, what was sent on it, and what its backward needs
    _way: Shared | Own

    def __init__(
        self, network: GridNetwork, population: GridPopulation, parameters: Parameters, mode: RunMode
    ) -> None:  # fmt: skip
        self.population, self.mode, self.gradients = population, mode, {}
        self._parameters, self._network, self._paths = parameters, network, {}
        tau_mem = network.value_of(population.name, "tau_mem", parameters)
        self._taus = {"tau_mem": tau_mem}
        beta = np.zeros(population.n)
        if "tau_syn" in population.settings:
            self._taus["tau_syn"] = tau_syn = network.value_of(population.name, "tau_syn", parameters)
            beta = np.exp(-network.dt / tau_syn)
        self._decays = np.stack([beta, 1.0 - network.dt / tau_mem]).astype(mode.dtype)

    # -- forward

    def receive(self, connection: GridConnection, values: Array) -> Array:
        """Return the input that a connection brings from what was sent."""
        way = path(self._network, connection, self._parameters, self.mode, values.shape[1])
        found, arrived = way.forward(values)
        self._paths[connection.name] = way, values, arrived
        return found

    def run(self, inputs: Array) -> None:
        """Compute ``potentials`` and ``spikes`` from the input of all connections."""
        name, mode = self.population.name, self.mode
        self._shape = inputs.shape
        if self.population.bias is not None:
            inputs += self._parameters[f"{name}.bias"].astype(mode.dtype)
        if self.population.kind == "readout":
            self.potentials = np.empty_like(inputs)
            run(kernels.integrate, len(inputs), mode, self._decays, inputs, self.potentials)
            return
        self.statistics = {}
        if self.population.batch_norm:
            inputs = self._normalise(inputs)
        self._input_kept = self._dropout(f"{name}.input", self.population.input_dropout)
        if self._input_kept is not None:
            inputs *= self._input_kept[:, None, :]
        self._fire(inputs)
        self._kept = self._dropout(name, self.population.dropout)

    def pass_on(self) -> Array:
        """Return what the neurons send forward, after dropout; the spikes themselves are forgotten."""
        spikes, self.spikes = self.spikes, None
        return spikes if self._kept is None else spikes * self._kept[:, None, :]

    def _normalise(self, inputs: Array) -> Array:
        name, dtype = self.population.name, self.mode.dtype
        get = lambda key: self._parameters[f"{name}.{key}"]  # noqa: E731
        mean, variance = get("running_mean"), get("running_variance")
        if self.mode.training:
            # about the first value, so that a large mean costs the variance no digits
            origin = inputs[0, 0].copy()
            inputs -= origin
            n = inputs.shape[0] * inputs.shape[1]
            mean, square = self._moments(inputs, inputs) / n
            variance, total = square - mean**2, mean + origin
            for key, found in (("running_mean", total), ("running_variance", variance * n / max(n - 1, 1))):
                self.statistics[f"{name}.{key}"] = get(key) + BATCH_NORM_MOMENTUM * (found - get(key))
        self._normal, self._scale = inputs, 1.0 / np.sqrt(variance + BATCH_NORM_EPSILON)
        rows = (row.astype(dtype) for row in (mean, self._scale, get("gain"), get("offset")))
        out = np.empty_like(inputs)
        run(kernels.normalise, len(inputs), self.mode, inputs, *rows, out)
        return out

    def _moments(self, values: Array, others: Array) -> Floats:
        """Sums over samples and steps of values and of values * others, (2, n) float64."""
        sums = np.zeros((len(values), 2, values.shape[2]))
        run(kernels.moments, len(values), self.mode, values, others, sums)
        return sums.sum(axis=0)

    def _fire(self, inputs: Array) -> None:
        """Spikes and potentials; what comes back to the population is added to ``inputs`` on the way."""
        n_samples, n_steps, n = inputs.shape
        p, mode = self.population, self.mode
        function = kernels.ARCTANGENT if isinstance(p.surrogate, ArcTangent) else kernels.TRIANGLE
        reset = kernels.HARD_RESET if p.reset == "hard" else kernels.SOFT_RESET
        dtype = mode.dtype
        self._neurons = kernels.Neurons(
            alpha=self._decays[1],
            beta=self._decays[0],
            threshold=dtype(p.v_threshold),
            reset=reset,
            detach_reset=p.detach_reset,
            function=function,
            slope=dtype(p.surrogate.slope),
            smooth=mode.smooth,
        )
        self.potentials, self.spikes = np.empty_like(inputs), np.empty_like(inputs)
        state = np.zeros((2, n_samples, n), dtype)
        activity = kernels.Activity(inputs, self.potentials, self.spikes)
        kernel, recurrence = kernels.lif, self._network.recurrence(p.name)
        more: tuple[Any, ...] = ()
        if recurrence is not None:
            self._way = way = path(self._network, recurrence, self._parameters, mode, n_steps)
            self._kept_back = self._dropout(recurrence.name, recurrence.dropout)
            kept = np.ones((n_samples, n), dtype) if self._kept_back is None else self._kept_back
            arrivals = np.zeros_like(inputs)
            if isinstance(way, Own):
                kernel = kernels.lif_synaptic
                more = (kernels.Synaptic(way.taps, recurrence.lag, kept, arrivals),)
            else:
                self._arrivals = arrivals
                kernel = kernels.lif_axonal
                more = (way.recurrence(kept, arrivals), np.empty((n_samples, n), dtype))
        run(kernel, n_samples, mode, self._neurons, activity, state, *more)

    def _dropout(self, name: str, share: float) -> Array | None:
        """Factors (sample, neuron), 0 or 1/(1 - p); None where nothing is dropped."""
        if not (self.mode.training and share):
            return None
        draws = np.stack(
            [
                stream(self.mode.seed, f"dropout.{name}", self.mode.epoch, int(sample)).random(self._shape[2])
                for sample in cast(Array, self.mode.samples)
            ]
        )
        return np.where(draws >= share, 1.0 / (1.0 - share), 0.0).astype(self.mode.dtype)

    # -- backward

    def back(self, d_out: Array | None, d_own: Array | None = None) -> Array:
        """Return dL/d(input of the connections) from dL/d(sent), or dL/d(voltages) of a readout; None is zero.

        What was kept for it is gone afterwards, ``d_out`` is written over.
        ``d_own``: what is added to dL/d(spikes) before dropout, broadcast to (sample, step, n).
        """
        name, mode = self.population.name, self.mode
        d_out = np.zeros(self._shape, mode.dtype) if d_out is None else d_out
        d_inputs = np.empty(self._shape, mode.dtype)
        d_decays = np.zeros((self._shape[0], 2, self._shape[2]), mode.dtype)
        if self.population.kind == "readout":
            run(
                kernels.integrate_back, len(d_inputs), mode, self._decays, self.potentials,
                np.ascontiguousarray(d_out, dtype=mode.dtype), d_inputs, d_decays,
            )  # fmt: skip
        else:
            if self._kept is not None:
                d_out *= self._kept[:, None, :]
            if d_own is not None:
                d_out += d_own.astype(mode.dtype)
            self._fire_back(d_out, d_inputs)
            if self.population.train:
                run(kernels.decay_gradients, len(d_inputs), mode, self._neurons, self.potentials, d_inputs, d_decays)
            if self._input_kept is not None:
                d_inputs *= self._input_kept[:, None, :]
            if self.population.batch_norm:
                d_inputs = self._normalise_back(d_inputs)
        self.potentials = self._normal = None
        self._tau_gradients(d_decays.sum(axis=0, dtype=np.float64))
        if self.population.bias is not None:
            self.gradients[f"{name}.bias"] = d_inputs.sum(axis=(0, 1), dtype=np.float64)
        return d_inputs

    def _fire_back(self, d_spikes: Array, d_inputs: Array) -> None:
        n_samples, n_steps, n = self._shape
        recurrence = self._network.recurrence(self.population.name)
        adjoint = np.zeros((n_samples, 2, n), self.mode.dtype)
        gradients = kernels.Gradients(d_spikes, d_inputs, adjoint)
        if recurrence is None:
            run(kernels.lif_back, n_samples, self.mode, self._neurons, self.potentials, gradients, (0, n_steps))
            return
        way = self._way
        if isinstance(way, Own):
            d_back = self._synaptic_back(way, gradients)
            self.gradients |= way.gradients(self._fired_again(), d_back)
            return
        kept = np.ones((n_samples, n), self.mode.dtype) if self._kept_back is None else self._kept_back
        d_sent, d_row = np.zeros_like(d_inputs), np.empty((n_samples, n), self.mode.dtype)
        axonal = way.recurrence(kept, d_sent)
        axonal = axonal._replace(weight=np.ascontiguousarray(axonal.weight.T))
        run(kernels.lif_axonal_back, n_samples, self.mode, self._neurons, self.potentials, axonal, gradients, d_row)
        d_back = d_inputs if self._kept_back is None else d_inputs * kept[:, None, :]
        self.gradients |= way.weight_gradient(self._arrivals, d_back)
        self.gradients |= way.delay_gradients(self._fired_again(), d_sent)

    def _fired_again(self) -> Array:
        spikes = np.empty_like(self.potentials)
        run(kernels.fire_again, len(spikes), self.mode, self._neurons, self.potentials, spikes)
        return spikes

    def _synaptic_back(self, way: Own, gradients: kernels.Gradients) -> Array:
        """Step by step for all samples at once: what a spike did later is a product of the taps with dL/d(inputs).

        Returns dL/d(recurrent input): that of the inputs, but for what dropout took.
        """
        n_samples, n_steps, n = self._shape
        d_spikes, d_inputs, _ = gradients
        taps, lag = way.taps, way.connection.lag
        d_back = d_inputs if self._kept_back is None else np.empty_like(d_inputs)
        for t in range(n_steps - 1, -1, -1):
            n_lags = min(taps.shape[1], n_steps - t - lag)
            if n_lags > 0:
                later = d_back[:, t + lag : t + lag + n_lags].reshape(n_samples, -1)
                d_spikes[:, t] += product(later, taps[:, :n_lags].reshape(n, -1).T, self.mode)
            kernels.lif_back(self._neurons, self.potentials, gradients, (t, t + 1), 0, n_samples)
            if self._kept_back is not None:
                np.multiply(d_inputs[:, t], self._kept_back, out=d_back[:, t])
        return d_back

    def _normalise_back(self, d_inputs: Array) -> Array:
        name, dtype = self.population.name, self.mode.dtype
        d_offset, d_gain = self._moments(d_inputs, self._normal)
        self.gradients[f"{name}.gain"], self.gradients[f"{name}.offset"] = d_gain, d_offset
        # where statistics are not the batch's, they do not follow its values
        share = 1.0 / (self._shape[0] * self._shape[1]) if self.mode.training else 0.0
        rows = (d_offset * share, d_gain * share, self._parameters[f"{name}.gain"] * self._scale)
        converted = (row.astype(dtype) for row in rows)
        run(kernels.normalise_back, len(d_inputs), self.mode, d_inputs, self._normal, *converted)
        return d_inputs

    def _tau_gradients(self, d_decays: Floats) -> None:
        """dL/d(tau) from dL/d(beta, alpha): beta = exp(-dt/tau_syn), alpha = 1 - dt/tau_mem."""
        name, dt = self.population.name, self._network.dt
        slopes = {"tau_mem": dt / self._taus["tau_mem"] ** 2}
        if "tau_syn" in self._taus:
            tau = self._taus["tau_syn"]
            slopes["tau_syn"] = np.exp(-dt / tau) * dt / tau**2
        for key, row in (("tau_mem", 1), ("tau_syn", 0)):
            if key in self.population.train:
                found = d_decays[row] * slopes[key]
                shared = self._parameters[f"{name}.{key}"].shape == ()
                self.gradients[f"{name}.{key}"] = found.sum() if shared else found

    def send_back(self, connection: GridConnection, d_inputs: Array, wanted: bool) -> Array | None:
        """Return dL/d(what the connection's population sent), or None if not wanted."""
        way, values, arrived = self._paths.pop(connection.name)
        d_values, gradients = way.backward(values, arrived, d_inputs, wanted)
        self.gradients |= gradients
        return d_values
