"""Losses: a Recording and labels in, a value per sample and its cotangents out. Nothing is sampled on a grid.

A loss is any object with three methods, so a user can write one in a few lines:

``probes(network, duration)``
    {readout name: Probe}, what the engines must read from which readout.
``__call__(recording, labels)``
    (values (n_samples,), Cotangents of their sum). Values must follow complex recordings, for complex-step checks.
``predict(recording)``
    (n_samples,) int64 predicted labels.

A fourth lets training hold labels to outputs before the first step:

``class_population(readouts, outputs)``
    The name of the population that has a neuron for each class, among the network's readouts and its LIF populations
    that send to no other LIF population.
"""

from dataclasses import dataclass

import numpy as np

from .arrays import in_milliseconds, is_number, plain_array
from .errors import InvalidInput
from .spikes import Cotangents, Probe


def check_labels(labels, n_samples, n_classes):
    """Return class labels as int64 (n_samples,); raises InvalidInput naming the entry that is out of range."""
    labels = plain_array(labels, "labels")
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iu":
        raise InvalidInput("labels", None, (labels.dtype, labels.shape), f"integers of shape ({n_samples},)")
    if np.any(bad := (labels < 0) | (labels >= n_classes)):
        index = int(np.argmax(bad))
        raise InvalidInput("labels", index, int(labels[index]), f"classes from 0 to {n_classes - 1}")
    return labels.astype(np.int64)


def _real(targets):
    if targets.dtype.kind not in "fiu":
        raise InvalidInput("labels", None, targets.dtype, "real numbers as targets")
    return targets.astype(np.float64)


def cross_entropy(logits, labels):
    """Return (values (n,), d value/d logits (n, k)) of the softmax cross entropy of ``logits`` (n, k)."""
    labels = check_labels(labels, *logits.shape)
    shifted = logits - np.max(logits.real, axis=1, keepdims=True)
    normaliser = np.log(np.sum(np.exp(shifted), axis=1))
    rows = np.arange(labels.size)
    gradient = np.exp(shifted - normaliser[:, None])
    gradient[rows, labels] -= 1.0
    return normaliser - shifted[rows, labels], gradient


class _ReadoutLoss:
    """What the losses on readout voltages share: which readout, and prediction by the largest logit."""

    population: str | None = None

    def _readout(self, readouts):
        if self.population is not None:
            if self.population not in readouts:
                raise InvalidInput("population", None, self.population, f"one of the readouts {sorted(readouts)}")
            return self.population
        if len(readouts) != 1:
            raise InvalidInput("population", None, None, f"one of the readouts {sorted(readouts)}", "Pass population=.")
        return next(iter(readouts))

    def probes(self, network, duration):
        """Ask for this loss's quantity at its readout."""
        names = [p.name for p in network.populations.values() if p.kind == "readout"]
        return {self._readout(names): self._probe(duration)}

    def class_population(self, readouts, outputs):
        """Return the name of the readout that has a neuron for each class."""
        return self._readout(readouts)

    def predict(self, recording):
        """Return the class with the largest logit, (n_samples,) int64."""
        return np.argmax(self._logits(recording).real, axis=1)

    def __call__(self, recording, labels):
        """Return (values, Cotangents): see the module's description."""
        values, gradient = cross_entropy(self._logits(recording), labels)
        return values, self._cotangents(recording, gradient)


@dataclass(frozen=True)
class MeanVoltage(_ReadoutLoss):
    """Cross entropy of the mean readout voltages z = (1/T) integral of V dt, T the duration."""

    population: str | None = None

    def _probe(self, duration):
        return Probe()

    def _logits(self, recording):
        return recording.readouts[self._readout(recording.readouts)].integral / recording.duration

    def _cotangents(self, recording, gradient):
        return Cotangents(integral={self._readout(recording.readouts): gradient / recording.duration})


@dataclass(frozen=True)
class ExponentialMeanVoltage(MeanVoltage):
    """Cross entropy of z = (1/T) integral of e^{-t/tau_window} V dt; ``tau_window`` (ms, > 0), T itself by default.

    Early voltage counts most (Nowotny, Turner & Knight 2025; used by Mészáros, Knight & Nowotny 2025).
    """

    tau_window: float | None = None

    def __post_init__(self):
        if self.tau_window is not None:
            _check_positive("tau_window", self.tau_window)

    def _probe(self, duration):
        return Probe(decay_rate=1.0 / (duration if self.tau_window is None else self.tau_window))


@dataclass(frozen=True)
class MaxVoltage(_ReadoutLoss):
    """Cross entropy of the largest readout voltages z = max over t of V(t)."""

    population: str | None = None

    def _probe(self, duration):
        return Probe(decay_rate=None, maximum=True)

    def _logits(self, recording):
        return recording.readouts[self._readout(recording.readouts)].maximum

    def _cotangents(self, recording, gradient):
        return Cotangents(maximum={self._readout(recording.readouts): gradient})


@dataclass(frozen=True)
class SummedSoftmax(_ReadoutLoss):
    """Cross entropy, with a second softmax, of the sum over steps of softmax(V), on a grid (DCLS, DelRec on SHD)."""

    population: str | None = None

    def probes(self, network, duration):
        """Steps are read, not integrals."""
        return {}

    def predict(self, recording):
        """Return the class with the largest sum, (n_samples,) int64."""
        return np.argmax(self._shares(recording).sum(axis=1), axis=1)

    def __call__(self, recording, labels):
        """Return (values, Cotangents): see the module's description."""
        shares = self._shares(recording)
        values, gradient = cross_entropy(shares.sum(axis=1), labels)
        pulled = shares * gradient[:, None, :]
        pulled -= shares * pulled.sum(axis=2, keepdims=True)
        return values, Cotangents(voltages={self._name(recording): pulled})

    def _name(self, recording):
        return self._readout(_steps(recording))

    def _shares(self, recording):
        """Softmax of the voltages of each step, (n_samples, steps, n) float64."""
        voltages = _steps(recording)[self._name(recording)].astype(np.float64)
        shares = np.exp(voltages - voltages.max(axis=2, keepdims=True))
        return shares / shares.sum(axis=2, keepdims=True)


@dataclass(frozen=True)
class SummedVoltage(_ReadoutLoss):
    """Cross entropy of the sum over steps of V, on a grid (DelRec on SSC and on sequential MNIST)."""

    population: str | None = None

    def probes(self, network, duration):
        """Steps are read, not integrals."""
        return {}

    def _logits(self, recording):
        steps = _steps(recording)
        return steps[self._readout(steps)].sum(axis=1, dtype=np.float64)

    def _cotangents(self, recording, gradient):
        steps = _steps(recording)
        name = self._readout(steps)
        return Cotangents(voltages={name: np.broadcast_to(gradient[:, None, :], steps[name].shape)})


@dataclass(frozen=True)
class MeanSquaredError(_ReadoutLoss):
    """Mean over steps and outputs of (V - target)^2, on a grid; the labels are targets (n_samples, steps, n).

    A target that is NaN asks for nothing. Nothing is predicted but the voltages, so there is no accuracy.
    """

    population: str | None = None

    def probes(self, network, duration):
        """Steps are read, not integrals."""
        return {}

    def __call__(self, recording, labels):
        """Return (values, Cotangents): see the module's description."""
        steps = _steps(recording)
        name = self._readout(steps)
        targets = _real(plain_array(labels, "labels"))
        if targets.shape != steps[name].shape:
            raise InvalidInput("labels", None, targets.shape, f"targets of shape {steps[name].shape}")
        asked = ~np.isnan(targets)
        gap = np.where(asked, steps[name] - targets, 0.0)
        n = np.maximum(asked.sum(axis=(1, 2)), 1)
        return np.sum(gap**2, axis=(1, 2)) / n, Cotangents(voltages={name: 2.0 * gap / n[:, None, None]})

    def class_population(self, readouts, outputs):
        """There are no classes; raises InvalidInput."""
        _refuse_classes(self)


def _refuse_classes(loss):
    """Refuse to learn from a Dataset's labels what a loss wants targets for."""
    allowed = "a loss on class labels, which are what a Dataset holds"
    raise InvalidInput("loss", None, type(loss).__name__, allowed, "value_and_grad takes targets.")


def _steps(recording):
    """{readout: voltages of each step} of a GridRecording."""
    if not hasattr(recording, "voltages"):
        raise InvalidInput("loss", None, "a loss on the voltages of steps", "such a loss for a GridNetwork alone")
    return recording.voltages


class _SpikeTimeLoss:
    """What the losses on spike times share: the output population and its first spikes."""

    population: str | None = None

    def probes(self, network, duration):
        """Spike-time losses read no voltage; a network whose classes seem to sit in a readout is refused."""
        if hasattr(network, "dt"):  # a network on a grid
            allowed = "a loss on voltages or counts: spikes of a grid have no times to move"
            raise InvalidInput("loss", None, type(self).__name__, allowed)
        readouts, lif = (
            [p.name for p in network.populations.values() if p.kind == kind] for kind in ("readout", "lif")
        )
        if self.population is None and readouts:
            allowed = f"the name of one of the LIF populations {lif}, as there is a readout, {readouts[0]!r}"
            remedy = f"Where the classes are in {readouts[0]!r}, MeanVoltage() reads its voltage; it has no spikes."
            raise InvalidInput("population", None, None, allowed, remedy)
        if self.population is not None and self.population not in lif:
            raise InvalidInput("population", None, self.population, f"one of the LIF populations {lif}")
        return {}

    def class_population(self, readouts, outputs):
        """Return the name of the LIF population that has a neuron for each class."""
        return self._output(outputs)

    def _output(self, outputs):
        if self.population is not None:
            return self.population
        if len(outputs) != 1:
            raise InvalidInput("population", None, None, f"one of {sorted(outputs)}", "Pass population=.")
        return outputs[0]

    def first_times(self, recording):
        """Return (times (n_samples, n), indices into recording.times): a silent output counts as the duration."""
        if recording.start > 0:
            allowed = "the Recording of a whole run: an output may have fired before"
            raise InvalidInput("recording", None, f"a part from {recording.start} ms on", allowed)
        first = recording.first_spikes(self._output(recording.outputs))
        silent = first < 0
        if recording.times.size == 0:
            return np.full(first.shape, recording.duration), first
        return np.where(silent, recording.duration, recording.times[first]), first

    def predict(self, recording):
        """Return the output that fires first, (n_samples,) int64; the lowest index among equals."""
        return np.argmin(self.first_times(recording)[0].real, axis=1)

    @staticmethod
    def _cotangents(recording, first, gradient):
        """Put d value/dt of the first spikes where those spikes stand; silent outputs have no gradient."""
        at_spikes = np.zeros(recording.times.size, gradient.dtype)
        fired = first >= 0
        at_spikes[first[fired]] = gradient[fired]
        return Cotangents(spike_times=at_spikes)


@dataclass(frozen=True)
class FirstSpike(_SpikeTimeLoss):
    """Cross entropy of softmax(-t_first / tau); ``tau`` in ms, > 0.

    A silent output counts as t = duration and gives no gradient.
    """

    tau: float = 5.0
    population: str | None = None

    def __post_init__(self):
        _check_positive("tau", self.tau)

    def __call__(self, recording, labels):
        """Return (values, Cotangents): see the module's description."""
        times, first = self.first_times(recording)
        values, gradient = cross_entropy(-times / self.tau, labels)
        return values, self._cotangents(recording, first, -gradient / self.tau)


@dataclass(frozen=True)
class RelativeFirstSpike(_SpikeTimeLoss):
    """Half the sum over wrong outputs i of (t_i - t_correct - delta)^2; ``delta`` in ms, > 0.

    The margin of Mészáros, Knight & Nowotny 2025. A silent output counts as t = duration and gives no gradient.
    """

    delta: float = 1.0
    population: str | None = None

    def __post_init__(self):
        _check_positive("delta", self.delta)

    def __call__(self, recording, labels):
        """Return (values, Cotangents): see the module's description."""
        times, first = self.first_times(recording)
        labels = check_labels(labels, *times.shape)
        rows = np.arange(labels.size)
        gap = times - times[rows, labels][:, None] - self.delta
        gap[rows, labels] = 0.0
        gradient = gap.copy()
        gradient[rows, labels] = -gap.sum(axis=1)
        return 0.5 * np.sum(gap**2, axis=1), self._cotangents(recording, first, gradient)


@dataclass(frozen=True)
class SpikeTimeRegression(_SpikeTimeLoss):
    """Half the sum of (t_first - target)^2; the labels are target times (n_samples, n) in ms, NaN for "any"."""

    population: str | None = None

    def __call__(self, recording, labels):
        """Return (values, Cotangents): see the module's description."""
        times, first = self.first_times(recording)
        targets = _real(in_milliseconds(labels, "labels"))
        if targets.shape != times.shape:
            raise InvalidInput("labels", None, targets.shape, f"target times of shape {times.shape}")
        gap = np.where(np.isnan(targets), 0.0, times - targets)
        return 0.5 * np.sum(gap**2, axis=1), self._cotangents(recording, first, gap)

    def class_population(self, readouts, outputs):
        """There are no classes; raises InvalidInput."""
        _refuse_classes(self)


@dataclass(frozen=True)
class SpikeCountTarget:
    """Homeostasis, a regularizer: strength/2 times the sum over neurons of (mean spike count - target)^2.

    The mean is over the batch. A spike count has no exact gradient (it is piecewise constant): the engines use the
    pseudo-gradient described at Cotangents.counts. ``population``: a LIF population; ``target`` spikes per sample
    (>= 0); ``strength`` (>= 0). ``only_above=True`` leaves quieter neurons alone.
    """

    population: str
    target: float = 14.0
    strength: float = 1e-3
    only_above: bool = False

    def __post_init__(self):
        for name in ("target", "strength"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InvalidInput(name, None, getattr(self, name), "a finite number >= 0")

    def probes(self, network, duration):
        """Counts need no voltage."""
        return {}

    def __call__(self, recording, labels):
        """Return the same value for every sample of the batch, and the cotangents of their sum."""
        totals = recording.spike_totals()[slice(*recording.slice_of(self.population))]
        excess = totals / recording.n_samples - self.target
        if self.only_above:
            excess = np.maximum(excess, 0.0)
        values = np.full(recording.n_samples, 0.5 * self.strength * np.sum(excess**2))
        by_count = np.broadcast_to(self.strength * excess, (recording.n_samples, excess.size))
        return values, Cotangents(counts={self.population: by_count})


@dataclass(frozen=True)
class SilentNeuronRaise:
    """After an epoch, raise the incoming feed-forward weights of each neuron that did not fire once by ``amount``.

    Connections of one pair of populations share it: together they raise what one would. This follows no gradient: a
    silent neuron has none. Recurrent connections (pre == post) are left alone.
    """

    population: str
    amount: float = 0.002

    def __call__(self, network, parameters, spike_totals):
        """Return new parameters; ``spike_totals`` (n,): spikes of each neuron of the population in the epoch."""
        silent = np.asarray(spike_totals) == 0
        if not silent.any():
            return parameters
        raised = dict(parameters)
        incoming = [
            c for c in network.connections.values()
            if c.post == self.population and c.pre != self.population and "weight" in c.train
        ]  # fmt: skip
        for connection in incoming:
            name = f"{connection.name}.weight"
            chosen = silent[None, :] if connection.indptr is None else silent[connection.indices]
            parallel = sum(other.pre == connection.pre for other in incoming)
            raised[name] = parameters[name] + self.amount / parallel * chosen
        return raised


def _check_positive(name, value):
    if not (is_number(value) and 0 < value < np.inf):
        raise InvalidInput(name, None, value, "a finite number > 0 (ms)")
