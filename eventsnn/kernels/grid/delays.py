"""Spikes on a grid, delayed: nearest steps, steps between which they are spread, and their gradients."""

from ..compile import entry, inlined

# So many samples are taken at a time: their potentials stay in the cache while the taps of one neuron go over them.
GROUP = 8


# ------------------------------------------------------------------------------------------------- spreading spikes
@inlined
def _add_rows(value, rows, first, sums, start, n):
    """Add value times ``n`` rows, from ``first`` on, to as many of ``sums``, from ``start`` on."""
    for k in range(n):
        row, total = rows[first + k], sums[start + k]
        for i in range(total.size):
            total[i] += value * row[i]


@inlined
def send(value, taps, lag, out, step):
    """Add value * taps (lag, neuron) to out (step, neuron) from ``step + lag`` on; what comes after the end is lost."""
    start = step + lag
    _add_rows(value, taps, 0, out, start, min(taps.shape[0], out.shape[0] - start))


@entry
def spread(values, taps, lag, out, first, last):
    """out[b, t + lag + k] += values[b, t, j] * taps[j, k] for samples first..last, spike by spike."""
    for start in range(first, last, GROUP):
        for j in range(taps.shape[0]):
            for b in range(start, min(start + GROUP, last)):
                for t in range(values.shape[1]):
                    if values[b, t, j] != 0.0:
                        send(values[b, t, j], taps[j], lag, out[b], t)


@entry
def spread_nearest(values, weights, lags, out, first, last):
    """out[b, t + lags[c, j, i], i] += values[b, t, j] * weights[c, j, i] for the samples first..last."""
    n_steps = values.shape[1]
    for b in range(first, last):
        for t in range(n_steps):
            for j in range(values.shape[2]):
                value = values[b, t, j]
                if value != 0.0:
                    for c in range(weights.shape[0]):
                        for i in range(weights.shape[2]):
                            step = t + lags[c, j, i]
                            if step < n_steps:
                                out[b, step, i] += value * weights[c, j, i]


@entry
def spread_gradient(values, inputs, lag, taps, first, last):
    """Add dL/d(taps) of the presynaptic neurons first..last, of dL/d(out) in ``inputs``: spike by spike as well."""
    for start in range(0, values.shape[0], GROUP):
        for j in range(first, last):
            for b in range(start, min(start + GROUP, values.shape[0])):
                for t in range(values.shape[1]):
                    if values[b, t, j] != 0.0:
                        n = min(taps.shape[1], values.shape[1] - t - lag)
                        _add_rows(values[b, t, j], inputs[b], t + lag, taps[j], 0, n)


@inlined
def collect(d_sent, taps, t, d_values):
    """Add the sum over k of taps[k, j] * d_sent[t + k, j] to d_values[j]: what a spike in step t does by arriving."""
    for k in range(min(taps.shape[0], d_sent.shape[0] - t)):
        row, tap = d_sent[t + k], taps[k]
        for j in range(row.size):
            d_values[j] += tap[j] * row[j]


# ---------------------------------------------------------------------------- delays that a neuron's synapses share
@inlined
def send_own(value, taps, lag, out, step, j):
    """out[step + lag + k, j] += value * taps[k, j]: as ``send``, from neuron j to its own place."""
    start = step + lag
    for k in range(min(taps.shape[0], out.shape[0] - start)):
        out[start + k, j] += value * taps[k, j]


@entry
def delay(values, taps, lags, out, first, last):
    """out[b, t + lags[j] + k, j] += values[b, t, j] * taps[k, j] for the samples first..last."""
    for b in range(first, last):
        for t in range(values.shape[1]):
            for j in range(values.shape[2]):
                if values[b, t, j] != 0.0:
                    send_own(values[b, t, j], taps, lags[j], out[b], t, j)


@entry
def depart(values, lags, first, last):
    """values[b, t, j] = values[b, t + lags[j], j], 0 beyond the end: what arrives, moved to where its spikes left.

    Then all neurons of a step take the same lags from there, and the loops over them can be vectors.
    """
    n_steps = values.shape[1]
    for b in range(first, last):
        for t in range(n_steps):
            for j in range(values.shape[2]):
                later = t + lags[j]
                values[b, t, j] = values[b, later, j] if later < n_steps else 0.0


@entry
def delay_back(d_sent, taps, d_values, first, last):
    """Add dL/d(values) of ``delay``; ``d_sent``: dL/d(out) after ``depart``."""
    for b in range(first, last):
        for t in range(d_sent.shape[1]):
            collect(d_sent[b], taps, t, d_values[b, t])


@entry
def delay_gradient(values, d_sent, d_taps, first, last):
    """Add dL/d(taps), (neuron, lag) here, of ``delay`` for neurons first..last; ``d_sent``: after ``depart``."""
    n_steps = values.shape[1]
    for b in range(values.shape[0]):
        for t in range(n_steps):
            for j in range(first, last):
                value = values[b, t, j]
                if value != 0.0:
                    for k in range(min(d_taps.shape[1], n_steps - t)):
                        d_taps[j, k] += value * d_sent[b, t + k, j]
