"""The oracle of the grid: plain NumPy, one step after the other, with derivatives carried forward beside the values.

Every quantity is a pair (value, tangent): what it is, and how it changes when the parameters move along a direction.
Nothing here runs backwards, and no equation is shared with `engine.py`, so that agreement means something.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..aliases import Array, Parameters
from .slopes import ArcTangent, Surrogate

if TYPE_CHECKING:
    from .network import GridConnection, GridNetwork, GridPopulation
    from .parts import RunMode

EPSILON = 1e-5  # of batch normalisation
Pair: TypeAlias = tuple[Array, Array]
Pairs: TypeAlias = Mapping[str, Pair]


def simulate(
    network: "GridNetwork", parameters: Parameters, tangents: Mapping[str, Array], values: Mapping[str, Array],
    mode: "RunMode", kept: Mapping[str, Array] | None = None,
) -> tuple[dict[str, Array], dict[str, Array], float]:  # fmt: skip
    """Return ({readout: voltages}, {readout: their change along ``tangents``}, margin), arrays (sample, step, n).

    ``tangents``: {parameter: direction}, missing ones are 0; ``values``: {input: (sample, step, n)}; ``mode``: as for
    the engine; ``kept``: factors (sample, n) of dropout of what a population sends, {its name}, or receives,
    {"its name.input"} and {its recurrent connection}; missing ones are 1. ``margin``: how near the threshold any
    neuron came, on either side.
    """
    sent: dict[str, Pair] = {}
    voltages: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
    kept, margin = kept or {}, np.inf
    pairs = {name: (value, np.asarray(tangents.get(name, np.zeros_like(value)))) for name, value in parameters.items()}
    for name, array in values.items():
        sent[name] = (array, np.zeros_like(array))
    for p in network.populations.values():
        if p.kind == "input":
            continue
        total, change = _received(network, p, pairs, sent, mode)
        if p.kind == "readout":
            voltages[0][p.name], voltages[1][p.name] = _run(network, p, pairs, total, change, mode, kept)[:2]
            continue
        if p.batch_norm:
            total, change = _normalised(p, pairs, total, change, mode)
        if f"{p.name}.input" in kept:
            total, change = (part * kept[f"{p.name}.input"][:, None] for part in (total, change))
        _, _, spikes, d_spikes, away = _run(network, p, pairs, total, change, mode, kept)
        margin = min(margin, np.abs(away).min())
        factor = kept.get(p.name, np.ones(spikes[:, 0].shape))[:, None]
        sent[p.name] = spikes * factor, d_spikes * factor
    return *voltages, margin


def _received(
    network: "GridNetwork", p: "GridPopulation", pairs: Pairs, sent: Pairs, mode: "RunMode"
) -> Pair:  # fmt: skip
    shape = (*next(iter(sent.values()))[0].shape[:2], p.n)
    total, change = np.zeros(shape), np.zeros(shape)
    for c in network.incoming(p.name):
        taps, d_taps = _taps(network, c, pairs, mode)
        values, d_values = sent[c.pre]
        for t in range(shape[1]):
            for lag in range(min(len(taps), shape[1] - t)):
                total[:, t + lag] += values[:, t] @ taps[lag]
                change[:, t + lag] += d_values[:, t] @ taps[lag] + values[:, t] @ d_taps[lag]
    if p.bias is not None:
        bias, d_bias = pairs[f"{p.name}.bias"]
        total, change = total + bias, change + d_bias
    return total, change


def _taps(network: "GridNetwork", c: "GridConnection", pairs: Pairs, mode: "RunMode") -> Pair:
    """(taps, tangents), both (lag, n_pre, n_post), of all synapses of a connection."""
    shape = (c.count, c.n_pre, c.n_post)
    weight, d_weight = (part.reshape(shape) for part in pairs[f"{c.name}.weight"])
    if c.mask is not None:
        weight, d_weight = weight * c.mask, d_weight * c.mask
    if c.delay is None:
        return weight.sum(0)[None], d_weight.sum(0)[None]
    axis = {"synapse": shape, "neuron": (1, c.n_pre, 1), "connection": (1, 1, 1)}[c.delay_per]
    delay, d_delay = (part.reshape(axis) / network.dt for part in pairs[f"{c.name}.delay"])
    if c.spread is None or mode.delays == "rounded":
        found = [(np.rint(delay) == lag).astype(float) * np.ones(shape) for lag in range(int(delay.max()) + 2)]
        return np.array([(h * weight).sum(0) for h in found]), np.array([(h * d_weight).sum(0) for h in found])
    sigma = np.full(axis, pairs[f"{c.name}.sigma"][0] / network.dt)
    d_sigma = np.zeros(axis)
    if c.spread.learned:
        width, d_width = (part.reshape(axis) for part in pairs[f"{c.name}.width"])
        share = 1 / (1 + np.exp(-width))
        sigma, d_sigma = 2 * share * sigma, 2 * sigma * share * (1 - share) * d_width
    kind = "fractional" if mode.delays == "fractional" else c.spread.kind
    if kind == "fractional":
        sigma, d_sigma = np.zeros(axis), np.zeros(axis)
    n_lags = int(np.ceil(delay.max() + sigma.max())) + 3
    if c.spread.longest is not None:
        n_lags = round(c.spread.longest / network.dt) + 1
    if kind == "fractional":
        n_lags = int(np.ceil(delay.max())) + 1
    if kind == "gaussian":
        h = [np.exp(-0.5 * ((lag - delay) / sigma) ** 2) for lag in range(n_lags)]
        d_h = [
            bell * ((lag - delay) / sigma**2 * d_delay + (lag - delay) ** 2 / sigma**3 * d_sigma)
            for lag, bell in enumerate(h)
        ]
        total, d_total = sum(h), sum(d_h)
        d_h = [slope / total - bell * d_total / total**2 for bell, slope in zip(h, d_h, strict=True)]
        h = [bell / total for bell in h]
    else:
        h, d_h = [], []
        for lag in range(n_lags):
            x, reach = lag - delay, 1 + sigma
            inside = np.abs(x) < reach
            h.append(np.where(inside, (reach - np.abs(x)) / reach**2, 0.0))
            slope = (d_sigma + np.sign(x) * d_delay) / reach**2 - 2 * (reach - np.abs(x)) * d_sigma / reach**3
            d_h.append(np.where(inside, slope, 0.0))
    taps = np.array([(weight * part).sum(0) for part in h])
    return taps, np.array([(d_weight * part + weight * slope).sum(0) for part, slope in zip(h, d_h, strict=True)])


def _normalised(p: "GridPopulation", pairs: Pairs, total: Array, change: Array, mode: "RunMode") -> Pair:
    gain, d_gain = pairs[f"{p.name}.gain"]
    offset, d_offset = pairs[f"{p.name}.offset"]
    if mode.training:
        mean, d_mean = total.mean(axis=(0, 1)), change.mean(axis=(0, 1))
        variance = ((total - mean) ** 2).mean(axis=(0, 1))
        d_variance = (2 * (total - mean) * (change - d_mean)).mean(axis=(0, 1))
    else:
        mean, variance = pairs[f"{p.name}.running_mean"][0], pairs[f"{p.name}.running_variance"][0]
        d_mean = d_variance = 0.0
    scale = 1 / np.sqrt(variance + EPSILON)
    d_scale = -0.5 * scale**3 * d_variance
    normal, d_normal = (total - mean) * scale, (change - d_mean) * scale + (total - mean) * d_scale
    return normal * gain + offset, d_normal * gain + normal * d_gain + d_offset


def _decay(network: "GridNetwork", p: "GridPopulation", pairs: Pairs, key: str) -> Pair:
    """(alpha, tangent) of tau_mem, (beta, tangent) of tau_syn, each (n,)."""
    if key not in p.settings:
        return np.zeros(p.n), np.zeros(p.n)
    found = pairs.get(f"{p.name}.{key}")
    tau, d_tau = (p.settings[key].draw(None, (p.n,)), 0.0) if found is None else found
    tau, d_tau = np.broadcast_to(tau, (p.n,)), np.broadcast_to(d_tau, (p.n,))
    if key == "tau_mem":
        return 1 - network.dt / tau, network.dt / tau**2 * d_tau
    beta = np.exp(-network.dt / tau)
    return beta, beta * network.dt / tau**2 * d_tau


def _run(
    network: "GridNetwork", p: "GridPopulation", pairs: Pairs, total: Array, change: Array, mode: "RunMode",
    kept: Mapping[str, Array],
) -> tuple[Array, ...]:  # fmt: skip
    """(voltages, tangent, spikes, tangent, distance to the threshold), each (sample, step, n)."""
    (alpha, d_alpha), (beta, d_beta) = (_decay(network, p, pairs, key) for key in ("tau_mem", "tau_syn"))
    total, change, found = total.copy(), change.copy(), []
    recurrence = network.recurrence(p.name)
    if recurrence is not None:
        taps, d_taps = _taps(network, recurrence, pairs, mode)
        factor = kept.get(recurrence.name, np.ones((len(total), p.n)))
    v = dv = i = di = np.zeros((len(total), p.n))
    for t in range(total.shape[1]):
        i, di = beta * i + total[:, t], beta * di + d_beta * i + change[:, t]
        h, dh = alpha * v + i, alpha * dv + d_alpha * v + di
        s = ds = np.zeros_like(h)
        if p.kind == "lif":
            s, slope = _spiked(h - p.v_threshold, p.surrogate, mode.smooth)
            ds = slope * dh
        passed = 0.0 if p.kind == "lif" and p.detach_reset else ds
        if p.reset == "soft":
            v, dv = h - p.v_threshold * s, dh - p.v_threshold * passed
        else:
            v, dv = h * (1 - s), dh * (1 - s) - h * passed
        found.append((h, dh, s, ds, h) if p.kind == "readout" else (v, dv, s, ds, h - p.v_threshold))
        for lag in range(min(len(taps), total.shape[1] - t - 1) if recurrence is not None else 0):
            total[:, t + 1 + lag] += factor * (s @ taps[lag])
            change[:, t + 1 + lag] += factor * (ds @ taps[lag] + s @ d_taps[lag])
    return tuple(np.stack(parts, axis=1) for parts in zip(*found, strict=True))


def _spiked(u: Array, surrogate: Surrogate, smooth: bool) -> Pair:
    """(spikes, surrogate derivative) of u = H - threshold."""
    slope = surrogate.slope
    if isinstance(surrogate, ArcTangent):
        relaxed = np.arctan(np.pi / 2 * slope * u) / np.pi + 0.5
        derivative = slope / 2 / (1 + (np.pi / 2 * slope * u) ** 2)
    else:
        inside = np.clip(u, -1, 1)
        relaxed = slope * np.where(inside < 0, (1 + inside) ** 2 / 2, 1 - (1 - inside) ** 2 / 2)
        derivative = slope * np.maximum(0, 1 - np.abs(u))
    return (relaxed if smooth else (u >= 0).astype(float)), derivative
