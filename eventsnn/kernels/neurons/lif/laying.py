"""The neuron as it is laid out for kernels, and gradients on the way back: see `eventsnn.kernels.neurons.laying`."""

import math

import numpy as np

from .membrane import DEGREE, TAU_FRACTION, integral_constants, write_series
from .tables import NEURON, SHIFT, Constant, Lif, field_gradients, fill

__all__ = [
    "Constant",
    "by_modes",
    "charges",
    "count_kicks",
    "field_gradients",
    "lay",
    "maximum_kicks",
    "modal_until",
    "needs_tails",
    "reach",
    "rests",
    "starts_matter",
]

# Times this, less what that is too much, a number has half of its digits.
SPLIT = 2.0**27 + 1.0
TAUS = ("tau_mem", "tau_syn")
# Constants whose gradients ask for where U starts and rests even if that is zero.
MOVING = {"v_rest", "bias"}
# Without any neuron windows are this long (ms).
NO_TAU = 2.0**60
# Modes are told apart by their time constants; the exponentials of delays must not overflow.
LEAST_DIFFERENCE, MOST_TIME_CONSTANTS = 0.05, 300.0


def reach(groups):
    """An eighth of the shortest time constant; that itself, unless there are trained ones: tails know no doubling."""
    tau = _shortest_tau(groups)
    trained = any(needs_tails(group.trained) for group in groups)
    return TAU_FRACTION * tau, TAU_FRACTION * tau if trained else tau


def _shortest_tau(groups):
    return min((group.values[key].min() for group in groups for key in TAUS), default=NO_TAU)


def needs_tails(constants):
    """Those of time constants do."""
    return any(key in constants for key in TAUS)


def lay(pops, groups, span):
    """The NEURON of each neuron, and the Lif that they share."""
    h, stretch = span.h, span.stretch
    neurons = np.zeros(sum(group.values["tau_mem"].size for group in groups), NEURON)
    shifts = np.zeros(neurons.size, SHIFT)
    for number, group in enumerate(groups):
        mine = slice(pops["start"][number], pops["stop"][number])
        neurons["pop"][mine] = number
        fill(neurons[mine], shifts[mine], group.values)
    series = _series(neurons)
    for row in pops[: len(groups)]:
        _write_population(row, neurons[row["start"] : row["stop"]], span)
    doublings = max(0, math.ceil(math.log2(h / (TAU_FRACTION * _shortest_tau(groups)))))
    rise, fall = (_over_block(pops[: len(groups)], neurons, span, sign) for sign in (1.0, -1.0))
    moved = any(group.trained & MOVING for group in groups) or np.any(shifts["start"]) or np.any(shifts["rest"])
    return neurons, Lif(
        series=series,
        growth=_growth(pops[: len(groups)], neurons, h, stretch),
        rise=rise,
        fall=fall,
        doublings=doublings,
        part=0.5**doublings,
        integrals=integral_constants(pops["decay_rate"][neurons["pop"]], neurons["tau_mem"], neurons["tau_syn"]),
        shifts=shifts,
        moved=int(moved),
    )


def _series(neurons):
    """A table of polynomial coefficients for each pair of time constants; writes which one each neuron uses."""
    # as complex numbers: of those there is a fast list of the different ones
    pairs, neurons["series"] = np.unique(neurons["tau_mem"] + 1j * neurons["tau_syn"], return_inverse=True)
    tables = np.zeros((len(pairs), 4, DEGREE + 1))
    for table, pair in zip(tables, pairs, strict=True):
        write_series(table, pair.real, pair.imag)
    return tables


def _write_population(row, neurons, span):
    """What a POPULATION says of its modes; ``neurons``: its records."""
    h, stretch = span.h, span.stretch
    tau_mem, tau_syn = neurons["tau_mem"][0], neurons["tau_syn"][0]
    row["uniform"] = np.ptp(neurons["series"]) == 0
    row["slack"] = math.exp(h / neurons["tau_syn"].min())
    row["psp_scale"] = tau_syn / (tau_mem - tau_syn) if row["modal"] else 0.0
    for key, tau in (("mem", tau_mem), ("syn", tau_syn)):
        x = stretch * h / tau
        row[f"decay_{key}"], row[f"growth_{key}"] = math.exp(-x), math.exp(x)


def modal_until(group):
    """300 of the shorter time constant, if all neurons share both and they can be told apart: see docs/engine.md."""
    tau_mem, tau_syn = (group.values[key] for key in TAUS)
    one, other = tau_mem[0], tau_syn[0]
    if needs_tails(group.trained) or np.any(tau_mem != one) or np.any(tau_syn != other):
        return -1.0
    return -1.0 if abs(one - other) < LEAST_DIFFERENCE * max(one, other) else MOST_TIME_CONSTANTS * min(one, other)


def _growth(pops, neurons, h, stretch):
    """How the modes of each population grow backwards from the end of a stretch to the ends of its windows."""
    growth = np.ones((len(pops), stretch, 2))
    left = h * np.arange(stretch - 1, -1, -1.0)
    for table, row in zip(growth, pops, strict=True):
        if row["modal"]:
            for k, key in enumerate(TAUS):
                table[:, k] = np.exp(left / neurons[key][row["start"]])
    return growth


def _over_block(pops, neurons, span, sign):
    """e^{+-t/tau} of each population's modes at the starts of the windows of a block and of its reach."""
    table, times = np.ones((len(pops), span.n_block + 1, 2)), span.h * np.arange(span.n_block + 1.0)
    for rows, row in zip(table, pops, strict=True):
        for k, key in enumerate(TAUS if row["modal"] else ()):
            rows[:, k] = _exponential(times, sign * neurons[key][row["start"]])
    return table


def _exponential(times, tau):
    """e^{t/tau} to two roundings, however many tau there are in t: what rounding takes from t/tau is given back."""
    x = times / tau
    # t - x tau without rounding: products of halves of the digits are exact
    high, tau_high = (SPLIT * value - (SPLIT * value - value) for value in (x, tau))
    low, tau_low = x - high, tau - tau_high
    rest = ((times - high * tau_high) - high * tau_low - low * tau_high) - low * tau_low
    return np.exp(x) * (1.0 + rest / tau)


def charges(net, pop, weight, delay):
    """The weight times e^{delay/tau}, by tau_mem and by tau_syn."""
    neuron, found = net.neurons[net.pops["start"][pop]], np.empty((weight.size, 2))
    for k, key in enumerate(TAUS):
        found[:, k] = weight * _growth_until_arrival(net, delay, neuron[key])
    return found


def _growth_until_arrival(net, delay, tau):
    """e^{delay/tau}; of a delay beyond the end of the simulation, which nobody will see, that until the end."""
    return np.exp(np.minimum(delay, net.duration) / tau)


def by_modes(net, pop, collected, weight, delay):
    """At the target, lambda_V is the tau_mem mode, and lambda_I the tau_syn mode and a share of the other."""
    row = net.pops[pop]
    neuron = net.neurons[row["start"]]
    share = row["psp_scale"] * neuron["tau_mem"] / neuron["tau_syn"]
    mem = collected[:, 0] * _growth_until_arrival(net, delay, neuron["tau_mem"])
    current = collected[:, 1] * _growth_until_arrival(net, delay, neuron["tau_syn"]) + share * mem
    return -neuron["tau_syn"] * current, weight * (mem - current)


def rests(net, j):
    """Where V rests: kernels know U = V - rest."""
    return net.model.shifts["rest"][j]


def starts_matter(net):
    """Where U starts or rests anywhere else than at zero, or may come to."""
    return net.model.moved != 0


def count_kicks(net, j, pull):
    """A count grows by dV over the distance of threshold and reset."""
    return -(pull / (net.neurons["tau_mem"][j] * net.model.shifts["fall"][j]))


def maximum_kicks(net, j, pull):
    """The pull on V, by tau_mem."""
    return -pull / net.neurons["tau_mem"][j]
