"""Neurons on a time grid, and the spreading of their spikes over delayed taps: forward and backward, by hand.

Arrays are C-contiguous, all of one float type: values, inputs and potentials (sample, step, neuron); taps (presynaptic
neuron, lag, postsynaptic neuron), or (lag, presynaptic neuron) with weights (presynaptic, postsynaptic) where all
synapses of a neuron share their delay. Entries take a range of samples or neurons, so that threads can share the work
without a sum that depends on how many there are. The equations are in docs/surrogates.md.
"""

import math
from typing import NamedTuple

import numpy as np

from ..compile import entry, inlined
from .delays import collect, send, send_own

ARCTANGENT, TRIANGLE = 0, 1
HARD_RESET, SOFT_RESET = 0, 1


class Neurons(NamedTuple):
    """The constants of a population; ``smooth``: a spike is the smooth function whose derivative the surrogate is."""

    alpha: np.ndarray  # (n,) what is left of V after a step
    beta: np.ndarray  # (n,) what is left of I
    threshold: np.floating
    reset: int  # HARD_RESET or SOFT_RESET
    detach_reset: bool
    function: int  # ARCTANGENT or TRIANGLE
    slope: np.floating
    smooth: bool


class Activity(NamedTuple):
    """What a population receives, and what becomes of it: potentials H and spikes S; each (sample, step, neuron)."""

    inputs: np.ndarray
    potentials: np.ndarray
    spikes: np.ndarray


class Gradients(NamedTuple):
    """dL/d(spikes) and dL/d(inputs), each (sample, step, neuron).

    ``adjoint`` (sample, 2, neuron), zero at first, carries dL/d(I, V) from step to step.
    """

    spikes: np.ndarray
    inputs: np.ndarray
    adjoint: np.ndarray


class Axonal(NamedTuple):
    """Recurrent weights (n, n) and delays that all synapses of a neuron share.

    A spike of neuron j arrives with strength taps[k, j] after lags[j] + k steps. What arrives is left in ``arrivals``
    (sample, step, neuron), zero at first; the input that it is, times kept[b, i], is added to the others.
    """

    taps: np.ndarray
    lags: np.ndarray
    weight: np.ndarray
    kept: np.ndarray
    arrivals: np.ndarray


class Synaptic(NamedTuple):
    """Recurrent taps (n, lag, n) from ``lag`` steps on; they add up in ``arrivals``; else as `Axonal`."""

    taps: np.ndarray
    lag: int
    kept: np.ndarray
    arrivals: np.ndarray


@inlined
def _spike(h, neurons):
    """1 at a potential at threshold or above and 0 below; or the smooth function in its place."""
    u, slope = h - neurons.threshold, neurons.slope
    if not neurons.smooth:
        return 1.0 if u >= 0.0 else 0.0
    if neurons.function == ARCTANGENT:
        return 0.5 + math.atan(0.5 * math.pi * slope * u) / math.pi
    x = min(max(u, -1.0), 1.0)
    return slope * (0.5 + x - 0.5 * x * abs(x))


@inlined
def _surrogate(h, neurons):
    """The derivative that stands for that of the step: of the arctangent, or a triangle of base 2."""
    u, slope = h - neurons.threshold, neurons.slope
    if neurons.function == ARCTANGENT:
        x = 0.5 * math.pi * slope * u
        return 0.5 * slope / (1.0 + x * x)
    return slope * max(0.0, 1.0 - abs(u))


@inlined
def _reset(h, s, neurons):
    """V after a step with potential h and spike s."""
    return h - neurons.threshold * s if neurons.reset == SOFT_RESET else h * (1.0 - s)


# ------------------------------------------------------------------------------------------------------ the neurons
@inlined
def _step(neurons, inputs, current, voltage, potentials, spikes):
    """One step of one sample: I = beta I + input, H = alpha V + I, S = spike(H - threshold), then the reset."""
    for i in range(inputs.size):
        current[i] = neurons.beta[i] * current[i] + inputs[i]
        h = neurons.alpha[i] * voltage[i] + current[i]
        s = _spike(h, neurons)
        potentials[i], spikes[i] = h, s
        voltage[i] = _reset(h, s, neurons)


@inlined
def _add_kept(kept, values, row):
    """row += kept * values: recurrent input, after dropout."""
    for i in range(row.size):
        row[i] += kept[i] * values[i]


@entry
def lif(neurons, activity, state, first, last):
    """Potentials and spikes of `Neurons` in an `Activity`, for the samples first..last.

    ``state`` (2, sample, neuron) is working memory, zero at first: currents and voltages.
    """
    inputs, potentials, spikes = activity
    for b in range(first, last):
        for t in range(inputs.shape[1]):
            _step(neurons, inputs[b, t], state[0, b], state[1, b], potentials[b, t], spikes[b, t])


@entry
def lif_axonal(neurons, activity, state, recurrence, totals, first, last):
    """As ``lif``, with an `Axonal` recurrence; ``totals`` (sample, neuron) is working memory."""
    (inputs, potentials, spikes), (taps, lags, weight, kept, arrivals) = activity, recurrence
    for b in range(first, last):
        for t in range(inputs.shape[1]):
            row, total = inputs[b, t], totals[b]
            total[:] = 0.0
            for j in range(row.size):
                value = arrivals[b, t, j]
                if value != 0.0:
                    for i in range(row.size):
                        total[i] += value * weight[j, i]
            _add_kept(kept[b], total, row)
            _step(neurons, row, state[0, b], state[1, b], potentials[b, t], spikes[b, t])
            for j in range(row.size):
                if spikes[b, t, j] != 0.0:
                    send_own(spikes[b, t, j], taps, lags[j], arrivals[b], t, j)


@entry
def lif_synaptic(neurons, activity, state, recurrence, first, last):
    """As ``lif``, with a `Synaptic` recurrence."""
    (inputs, potentials, spikes), (taps, lag, kept, arrivals) = activity, recurrence
    for b in range(first, last):
        for t in range(inputs.shape[1]):
            _add_kept(kept[b], arrivals[b, t], inputs[b, t])
            _step(neurons, inputs[b, t], state[0, b], state[1, b], potentials[b, t], spikes[b, t])
            for j in range(spikes.shape[2]):
                value = spikes[b, t, j]
                if value != 0.0:
                    send(value, taps[j], lag, arrivals[b], t)


@entry
def fire_again(neurons, potentials, spikes, first, last):
    """The spikes of potentials, which are not kept for the way back."""
    for b in range(first, last):
        for t in range(potentials.shape[1]):
            for i in range(potentials.shape[2]):
                spikes[b, t, i] = _spike(potentials[b, t, i], neurons)


@inlined
def _after(neurons, potentials, t, i):
    """V of neuron i after step t, which is not kept: H says it; 0 before the first step."""
    if t < 0:
        return potentials.dtype.type(0.0)
    h = potentials[t, i]
    return _reset(h, _spike(h, neurons), neurons)


@inlined
def _step_back(neurons, potentials, d_spikes, d_current, d_voltage, d_inputs):
    """A step of one sample in reverse: from dL/dS, and dL/dI and dL/dV of what follows, to dL/d(input)."""
    soft = neurons.reset == SOFT_RESET
    # two loops, the spikes in between where the result will be: with both in one, the compiler uses no vectors
    for i in range(d_spikes.size):
        d_inputs[i] = _spike(potentials[i], neurons)
    for i in range(d_spikes.size):
        h, s, ds, dv = potentials[i], d_inputs[i], d_spikes[i], d_voltage[i]
        if not neurons.detach_reset:
            ds -= dv * (neurons.threshold if soft else h)
        dh = ds * _surrogate(h, neurons) + (dv if soft else dv * (1.0 - s))
        di = dh + d_current[i]
        d_inputs[i] = di
        d_current[i], d_voltage[i] = neurons.beta[i] * di, neurons.alpha[i] * dh


@entry
def lif_back(neurons, potentials, gradients, steps, first, last):
    """`Gradients` of the inputs from those of the spikes, for the samples first..last.

    ``steps``: (earliest, latest); from the latest, which is not among them, down to the earliest.
    """
    d_spikes, d_inputs, adjoint = gradients
    for b in range(first, last):
        for t in range(steps[1] - 1, steps[0] - 1, -1):
            _step_back(neurons, potentials[b, t], d_spikes[b, t], adjoint[b, 0], adjoint[b, 1], d_inputs[b, t])


@entry
def lif_axonal_back(neurons, potentials, recurrence, gradients, rows, first, last):
    """As ``lif_back`` over all steps, with what spikes do as recurrent input later.

    ``recurrence``: an `Axonal` with the weight transposed, whose ``arrivals`` become dL/d(arrivals) where their spikes
    left: ``depart`` of it. What recurrent input does is added to the gradients of the spikes. ``rows`` (sample, neuron)
    is working memory.
    """
    (d_spikes, d_inputs, adjoint), (taps, lags, columns, kept, d_sent) = gradients, recurrence
    least = d_spikes.shape[1]
    for lag in lags:
        least = min(least, lag)
    for b in range(first, last):
        row = rows[b]
        for t in range(d_spikes.shape[1] - 1, -1, -1):
            collect(d_sent[b], taps, t, d_spikes[b, t])
            _step_back(neurons, potentials[b, t], d_spikes[b, t], adjoint[b, 0], adjoint[b, 1], d_inputs[b, t])
            if t < least:  # nothing that was sent has arrived yet
                continue
            row[:] = 0.0
            for i in range(row.size):
                value = d_inputs[b, t, i] * kept[b, i]
                if value != 0.0:
                    for j in range(row.size):
                        row[j] += value * columns[i, j]
            for j in range(row.size):
                if t >= lags[j]:
                    d_sent[b, t - lags[j], j] = row[j]


@entry
def decay_gradients(neurons, potentials, d_inputs, d_decays, first, last):
    """Add dL/d(beta, alpha) to ``d_decays`` (sample, 2, neuron), from what ``lif_back`` left in ``d_inputs``."""
    alpha, beta = neurons.alpha, neurons.beta
    for b in range(first, last):
        for t in range(1, potentials.shape[1]):
            for i in range(potentials.shape[2]):
                di = d_inputs[b, t, i]
                dh = di - (beta[i] * d_inputs[b, t + 1, i] if t + 1 < potentials.shape[1] else 0.0 * di)
                current = potentials[b, t - 1, i] - alpha[i] * _after(neurons, potentials[b], t - 2, i)
                d_decays[b, 0, i] += di * current
                d_decays[b, 1, i] += dh * _after(neurons, potentials[b], t - 1, i)


@entry
def integrate(decays, inputs, voltages, first, last):
    """Voltages of readouts: I = beta I + input, V = alpha V + I; ``decays`` (2, n): beta and alpha."""
    for b in range(first, last):
        for i in range(inputs.shape[2]):
            current = voltage = inputs.dtype.type(0.0)
            for t in range(inputs.shape[1]):
                current = decays[0, i] * current + inputs[b, t, i]
                voltage = decays[1, i] * voltage + current
                voltages[b, t, i] = voltage


@entry
def integrate_back(decays, voltages, d_voltages, d_inputs, d_decays, first, last):
    """dL/d(inputs) from dL/d(voltages) of readouts; adds dL/d(beta, alpha) to ``d_decays`` (sample, 2, neuron)."""
    for b in range(first, last):
        for i in range(voltages.shape[2]):
            alpha = decays[1, i]
            dv = di = voltages.dtype.type(0.0)
            for t in range(voltages.shape[1] - 1, -1, -1):
                dv = alpha * dv + d_voltages[b, t, i]
                di = decays[0, i] * di + dv
                d_inputs[b, t, i] = di
                if t > 0:
                    before = voltages[b, t - 1, i]
                    earlier = voltages[b, t - 2, i] if t > 1 else voltages.dtype.type(0.0)
                    d_decays[b, 1, i] += dv * before
                    d_decays[b, 0, i] += di * (before - alpha * earlier)
