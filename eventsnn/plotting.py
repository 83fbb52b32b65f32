"""Pictures of recordings, voltages, adjoint variables, delays and learning curves, saved as PNG, SVG or PDF.

matplotlib is imported on first use and never shows a window: every function writes ``path`` and returns it.
"""

import functools
import io
import math
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import EventsnnError, InvalidInput
from .gradients import evaluate, joint_probes
from .network import Network
from .reference import ARRIVAL, _Adjoint, _arrival_back, _spike_back
from .reference import forward as reference_forward
from .simulation import check_batch, check_duration, spiking_outputs
from .spikes import Run
from .surrogate import GridRecording
from .writing import write_file

BLUE, ORANGE, GREEN, GREY = "#2f6db3", "#d9822b", "#3a9b6b", "#8a8f98"
COLOURS = (BLUE, ORANGE, GREEN, "#a8559c", "#c0504d", "#5a5f66")
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
    "axes.edgecolor": "#5a5f66",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
DOTS_PER_INCH = 130
MOST_BINS = 50
FEW_EPOCHS = 30  # up to here each epoch's point is marked
TALLEST_RASTER = 9.0  # inches
MOST_COLUMNS = 3  # of the pictures of a sweep


class PlotError(EventsnnError, ImportError):
    """Plotting without matplotlib."""


def _matplotlib():
    try:
        import matplotlib
    except ImportError:
        raise PlotError("plotting needs matplotlib: pip install 'eventsnn[plot]'") from None
    return matplotlib


@contextmanager
def _figure(path, rows, size, columns=1, **settings):
    """Yield (figure, list of axes) and save the figure; no global state of matplotlib is changed.

    Raises FileError if the file cannot be written.
    """
    matplotlib = _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size)
        known = FigureCanvasAgg(figure).get_supported_filetypes()
        kind = Path(path).suffix[1:].lower() or "png"
        if kind not in known:
            raise InvalidInput("path", None, str(path), f"a name that ends in one of {', '.join(sorted(known))}")
        axes = figure.subplots(rows, columns, squeeze=False, **settings)
        yield figure, list(axes.reshape(-1))
        picture = io.BytesIO()
        figure.savefig(picture, format=kind, dpi=DOTS_PER_INCH)
    write_file(path, picture.getbuffer())


# ------------------------------------------------------------------------------------------------------- rasters


def raster(recording, sample, path, populations=None, network=None):
    """Draw one dot per spike of one sample, one panel per population, over time.

    ``sample``: index in the recording; ``populations``: names, in the order of the panels (default: inputs, then all
    that can spike: with ``network`` its readouts are left out).
    """
    known = [*recording.inputs, *recording.slices]
    readouts = recording.readouts if network is None else [n for n in known if network.populations[n].kind == "readout"]
    names = [name for name in known if name not in readouts] if populations is None else list(populations)
    if unknown := [name for name in names if name not in known]:
        raise InvalidInput("populations", None, unknown[0], f"a list of names of {known}")
    sizes = [_n_units(recording, name, network) for name in names]
    heights = [1.0 + math.log2(1 + size) / 4 for size in sizes]
    height = min(TALLEST_RASTER, 0.8 + sum(heights))
    with _figure(path, len(names), (8, height), sharex=True, height_ratios=heights) as (_, axes):
        for axis, name, size, colour in zip(axes, names, sizes, COLOURS * len(names), strict=False):
            times, units = recording.spikes(name, sample)
            marker = 9.0 if size <= 40 else 3.0 if size <= 200 else 1.2
            axis.scatter(times, units, s=marker, color=colour, linewidths=0, rasterized=True)
            axis.set_ylim(-0.5 - 0.02 * size, size - 0.5 + 0.02 * size)
            axis.set_ylabel("channel" if name in recording.inputs else "neuron")
            axis.yaxis.set_major_locator(_whole_numbers(5))
            # a recording does not say how many channels an input has
            whole = f" of {size}" if network is not None or name in recording.slices else ""
            axis.set_title(f"{name}: {times.size:,} spikes, {np.unique(units).size}{whole} active")
        axes[-1].set_xlim(recording.start, recording.duration)
        axes[-1].set_xlabel("time (ms)")
    return path


def _n_units(recording, name, network):
    if network is not None:
        return network.populations[name].n
    if name in recording.slices:
        start, stop = recording.slices[name]
        return stop - start
    units = recording.inputs[name].units
    return int(units.max()) + 1 if units.size else 1


def _whole_numbers(most):
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=True)


# ------------------------------------------------------------------------------------------------------ voltages


def psp(t, tau_mem, tau_syn):
    """Return the voltage (per unit weight) at ``t`` ms (array) after an arrival (docs/mathematics.md, 1), 0 before."""
    t = np.maximum(np.asarray(t, dtype=float), 0.0)
    slow, fast = max(tau_mem, tau_syn), min(tau_mem, tau_syn)
    x = t * (slow - fast) / (slow * fast)
    growth = np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0)
    return t / tau_mem * np.exp(-t / slow) * growth


def arrivals(network, parameters, recording, sample, population, neuron):
    """Return ``(times, weights)`` of all that reaches one neuron in one sample: ms, and weight times count."""
    if recording.start > 0:
        allowed = "the Recording of a whole run: what was fired before moves the voltages too"
        raise InvalidInput("recording", None, f"a part from {recording.start} ms on", allowed, "simulate returns one.")
    times, weights = [np.zeros(0)], [np.zeros(0)]
    for c in network.connections.values():
        if c.post != population:
            continue
        fired, units = recording.spikes(c.pre, sample)
        counts = _counts(recording, c.pre, sample, fired.size)
        for synapse, pre in _synapses_onto(c, neuron):
            sent = units == pre
            delay = _delay(c, parameters, synapse, pre)
            times.append(fired[sent] + delay)
            weights.append(parameters[f"{c.name}.weight"].flat[synapse] * counts[sent])
    times, weights = np.concatenate(times), np.concatenate(weights)
    order = np.argsort(times, kind="stable")
    kept = order[times[order] < recording.duration]
    return times[kept], weights[kept]


def _counts(recording, name, sample, n):
    counts = recording.inputs[name][sample].counts if name in recording.inputs else None
    return np.ones(n) if counts is None else counts


def _synapses_onto(connection, neuron):
    """Pairs (synapse, presynaptic neuron) of a connection's synapses onto one neuron."""
    if connection.indptr is None:
        return [(pre * connection.n_post + neuron, pre) for pre in range(connection.n_pre)]
    synapses = np.flatnonzero(connection.indices == neuron)
    pres = np.searchsorted(connection.indptr, synapses, side="right") - 1
    return list(zip(synapses.tolist(), pres.tolist(), strict=True))


def _delay(connection, parameters, synapse, pre):
    if connection.delay is None:
        return 0.0
    place = {"synapse": synapse, "neuron": pre, "connection": 0}[connection.delay_per]
    return parameters[f"{connection.name}.delay"].flat[place]


def voltages(network, parameters, recording, sample, population, neurons, times):
    """Return the exact voltages of ``neurons`` at ``times`` (ms): float64 (n_neurons, n_times), from the spikes alone.

    V(t) is the sum of w psp(t - s) over arrivals (w, s) less v_threshold e^{-(t - t_k)/tau_mem} for each own spike
    t_k. At a spike's own time the value is that after the reset. Raises InvalidInput for unknown neurons.
    """
    times = np.asarray(times, dtype=float)
    wrong = np.flatnonzero(~((times >= 0) & (times <= recording.duration)))
    if wrong.size:
        raise InvalidInput(
            "times", int(wrong[0]), times[wrong[0]], f"0 to {recording.duration:g} ms, what was recorded"
        )
    _check_neurons(network, population, neurons)
    kind = network.populations[population].kind
    constants = {key: network.value_of(population, key, parameters) for key in network.populations[population].settings}
    fired, units = recording.spikes(population, sample) if kind == "lif" else (np.zeros(0), np.zeros(0, int))
    traces = np.zeros((len(neurons), times.size))
    for trace, neuron in zip(traces, neurons, strict=True):
        tau_mem, tau_syn = constants["tau_mem"][neuron], constants["tau_syn"][neuron]
        for time, weight in zip(*arrivals(network, parameters, recording, sample, population, neuron), strict=True):
            trace += weight * psp(times - time, tau_mem, tau_syn)
        for time in fired[units == neuron]:
            after = times >= time
            trace[after] -= constants["v_threshold"][neuron] * np.exp(-(times[after] - time) / tau_mem)
    return traces


def _check_neurons(network, population, neurons):
    known = [p.name for p in network.populations.values() if p.kind != "input"]
    if population not in known:
        raise InvalidInput("population", None, population, f"one of {known}")
    n = network.populations[population].n
    if not np.iterable(neurons):
        raise InvalidInput("neurons", None, neurons, "a list of neurons", f"[{neurons}] for one.")
    for index, neuron in enumerate(neurons):
        if not 0 <= neuron < n:
            raise InvalidInput("neurons", index, neuron, f"neurons from 0 to {n - 1} of {population!r}")


def _times_with_spikes(recording, sample, population, neurons, n_times):
    """Evenly spaced times, and just before and at each spike of the neurons, so that resets are drawn upright."""
    times = np.linspace(0.0, recording.duration, n_times)
    fired, units = recording.spikes(population, sample)
    fired = fired[np.isin(units, neurons)]
    return np.unique(np.concatenate([times, fired, np.nextafter(fired, 0.0)]))


def voltage_trace(network, parameters, recording, sample, population, neurons, path, n_times=2000):
    """Draw the exact voltages of some neurons in one sample, one panel each, with threshold and spikes marked.

    Of a GridNetwork: the potentials before the reset, step by step.
    """
    _check_neurons(network, population, neurons)
    lif = network.populations[population].kind == "lif"
    if isinstance(recording, GridRecording):
        traces = (recording.potentials if lif else recording.voltages)[population][sample].T[np.asarray(neurons)]
        times = recording.dt * np.arange(traces.shape[1])
    else:
        times = _times_with_spikes(recording, sample, population, neurons, n_times)
        traces = voltages(network, parameters, recording, sample, population, neurons, times)
    fired, units = recording.spikes(population, sample) if lif else (np.zeros(0), np.zeros(0, int))
    style = "steps-post" if isinstance(recording, GridRecording) else "default"
    thresholds = network.value_of(population, "v_threshold", parameters) if lif else None
    with _figure(path, len(neurons), (8, 0.7 + 1.6 * len(neurons)), sharex=True) as (_, axes):
        for axis, neuron, trace in zip(axes, neurons, traces, strict=True):
            axis.plot(times, trace, color=BLUE, linewidth=1.1, drawstyle=style)
            if lif:
                threshold = thresholds[neuron]
                own = fired[units == neuron]
                axis.axhline(threshold, color=GREY, linewidth=1, linestyle=(0, (5, 3)))
                axis.scatter(own, np.full(own.size, threshold), s=16, color=ORANGE, zorder=3, linewidths=0)
                spikes = f"{own.size} spike{'' if own.size == 1 else 's'}"
                axis.set_title(f"{population}[{neuron}]: {spikes} (dots), threshold dashed")
            else:
                axis.set_title(f"{population}[{neuron}]")
            axis.set_ylabel("voltage V")
        axes[-1].set_xlim(0, recording.duration)
        axes[-1].set_xlabel("time (ms)")
    return path


# ------------------------------------------------------------------------------------------------------- adjoint


class AdjointTraces(NamedTuple):
    """``v`` and ``i``: lambda_V and lambda_I of the chosen neurons at ``times`` (ms), each (n_neurons, n_times)."""

    times: np.ndarray
    v: np.ndarray
    i: np.ndarray


def adjoint_values(network, parameters, spikes, labels, *, loss, duration, population, neurons, times):
    """Return AdjointTraces of one sample's backward pass in the reference engine (slow: for small networks).

    ``spikes``: a SpikeBatch of one sample, ``labels`` its label (1,), ``loss`` any loss. lambda_V and lambda_I are
    what the replay carries (docs/mathematics.md): at an arrival of weight w the gradient is -tau_syn lambda_I.
    At an event's own time the value is that after the event in time, from where the replay comes.
    """
    _check_neurons(network, population, neurons)
    inputs, parameters = check_batch(network, spikes), network.check_parameters(parameters)
    duration = check_duration(duration)
    run = Run(duration, joint_probes((loss,), network, duration))
    recording, (simulation,) = reference_forward(network, parameters, inputs, run)
    recording.outputs = spiking_outputs(network)
    _, cotangents = evaluate((loss,), recording, labels)
    times = np.sort(np.asarray(times, dtype=float))
    v, i = np.zeros((2, len(neurons), times.size))
    for name, first, last, adjoint in _replay(network, parameters, recording, simulation, cotangents):
        if name[0] != population or name[1] not in neurons:
            continue
        row = list(neurons).index(name[1])
        inside = np.flatnonzero((times >= first) & ((times < last) | ((last == duration) & (times == last))))
        for place in inside:
            v[row, place], i[row, place] = adjoint(times[place])
    return AdjointTraces(times, v, i)


def _replay(network, parameters, recording, simulation, cotangents):
    """Yield (neuron, first, last, function of time) for each stretch between two events, going backwards.

    Follows reference._backward_sample, less the integrals for time constants; the function is valid until the
    generator goes on.
    """
    adjoints, maxima = {}, []
    for name, neuron in simulation.neurons.items():
        pull, probe = cotangents.integral.get(name[0]), simulation.settings.probes.get(name[0])
        pull = 0.0 if pull is None else pull[0, name[1]]
        adjoints[name] = _Adjoint(neuron, recording.duration, pull, probe.decay_rate if probe else 0.0)
        if name[0] in cotangents.maximum:
            _, when, share = simulation.maximum[name]
            pull = float(cotangents.maximum[name[0]][0, name[1]])
            # what arrivals at that very instant feel comes before them in reverse, the rest after them
            maxima += [(when, 1, 0, name, share * pull), (when, -1, 0, name, (1 - share) * pull)]
    gradients = {name: np.zeros(np.shape(values)) for name, values in parameters.items()}
    pulls = defaultdict(float)
    events = [(entry.time, 0, index, entry.neuron, entry) for index, entry in enumerate(simulation.log)]
    for time, _, _, name, event in sorted([*events, *maxima], key=lambda item: item[:3], reverse=True):
        adjoint = adjoints[name]
        yield name, time, adjoint.time, adjoint.at
        adjoint.move_to(time)
        if isinstance(event, float):
            adjoint.v -= event / adjoint.tau_mem
        elif event.kind == ARRIVAL:
            _arrival_back(network, parameters, adjoint, event, gradients, pulls)
        else:
            pull = pulls[event.source]
            _spike_back(recording, 0, simulation, adjoint, event, cotangents, pull, gradients)
    for name, adjoint in adjoints.items():
        yield name, 0.0, adjoint.time, adjoint.at


def adjoint_traces(
    network, parameters, spikes, labels, *, loss, duration, population, neurons, path, n_times=1500
):  # fmt: skip
    """Draw lambda_V and lambda_I of some neurons over time, one panel each; arguments as for ``adjoint_values``."""
    if not isinstance(network, Network):
        raise InvalidInput("network", None, type(network).__name__, "a Network: the adjoint is that of events")
    grid = np.linspace(0.0, duration, n_times)
    traces = adjoint_values(
        network, parameters, spikes, labels, loss=loss, duration=duration, population=population, neurons=neurons,
        times=grid,
    )  # fmt: skip
    with _figure(path, len(neurons), (8, 0.7 + 1.6 * len(neurons)), sharex=True) as (_, axes):
        for axis, neuron, v, i in zip(axes, neurons, traces.v, traces.i, strict=True):
            axis.plot(traces.times, v, color=BLUE, linewidth=1.1, label=r"$\lambda_V$")
            axis.plot(traces.times, i, color=ORANGE, linewidth=1.1, label=r"$\lambda_I$")
            axis.set_title(f"{population}[{neuron}]")
            axis.set_ylabel("adjoint (1/ms)")
            axis.ticklabel_format(axis="y", scilimits=(-2, 3))
        axes[0].legend(loc="upper right", ncols=2)
        axes[-1].set_xlim(0, duration)
        axes[-1].set_xlabel("time (ms), replayed from right to left")
    return path


# ------------------------------------------------------------------------------------------ training's pictures


def learning_curve(history, path):
    """Draw loss, accuracy and spikes per neuron over the epochs of a training.History; the best epoch is marked."""
    if len(history) == 0:
        raise InvalidInput("history", None, 0, "at least one finished epoch")
    epochs = history.column("epoch")
    with _figure(path, 1, (10.5, 3.4), 3) as (_, axes):
        for axis, name, label, scale in (
            (axes[0], "loss", "loss", 1.0),
            (axes[1], "accuracy", "accuracy (%)", 100.0),
        ):
            _curve(axis, epochs, scale * history.column(f"train_{name}"), BLUE, "training")
            validation = scale * history.column(f"validation_{name}")
            if np.isfinite(validation).any():
                _curve(axis, epochs, validation, ORANGE, "validation")
            axis.set_title(label)
        _curve(axes[2], epochs, history.column("spikes_per_neuron"), GREEN, None)
        axes[2].set_title("spikes per neuron and sample")
        axes[2].set_ylim(0, 1.08 * max(axes[2].get_ylim()[1], 1e-9))
        if history.best_epoch is not None:
            best = history.records[history.best_epoch - 1]
            height = 100 * best["validation_accuracy"]
            axes[1].scatter([history.best_epoch], [height], s=70, facecolors="none", edgecolors=ORANGE, zorder=4)
            axes[1].set_title(f"accuracy (%), best validation {height:.1f}")
        axes[0].legend(loc="upper right")
        for axis in axes:
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(_whole_numbers(8))
    return path


def _curve(axis, epochs, values, colour, label):
    marker = "o" if epochs.size <= FEW_EPOCHS else None
    axis.plot(epochs, values, color=colour, linewidth=1.5, marker=marker, markersize=3.5, label=label)


def delay_histogram(before, after, path):
    """Draw how the delays of each connection are distributed before and after training.

    ``before``, ``after``: parameters ({name: array}); entries whose name ends in ".delay" with more than one value are
    drawn, together where several connections join one pair of populations. Raises InvalidInput when there are none.
    """
    pairs = defaultdict(list)
    for name in before:
        if name.endswith(".delay") and np.size(before[name]) > 1 and name in after:
            # connections of one pair of populations are called "pre->post", "pre->post (2)" and so on
            pairs[name.removesuffix(".delay").split(" (")[0]].append(name)
    if not pairs:
        raise InvalidInput("before", None, sorted(before), "parameters with delays of more than one synapse")
    with _figure(path, 1, (4.2 * len(pairs) + 0.6, 3.4), len(pairs)) as (_, axes):
        for axis, (pair, names) in zip(axes, pairs.items(), strict=True):
            old, new = (np.concatenate([np.ravel(found[name]) for name in names]) for found in (before, after))
            low, high = min(old.min(), new.min()), max(old.max(), new.max())
            n_bins = min(MOST_BINS, 4 + int(math.sqrt(old.size)))
            bins = np.linspace(low, high if high > low else low + 1.0, n_bins + 1)
            axis.hist(old, bins, color=GREY, alpha=0.55, label="before")
            axis.hist(new, bins, color=BLUE, histtype="step", linewidth=1.6, label="after")
            moved = np.abs(new - old).mean()
            axis.set_title(f"{pair}: moved {moved:.2g} ms on average")
            axis.set_xlabel("delay (ms)")
        axes[0].set_ylabel("synapses")
        axes[0].legend(loc="upper right")
    return path


def comparison(results, path):
    """Draw the test accuracies of several runs side by side with their 95 % intervals.

    ``results``: {label: dict or object with "accuracy" and "interval" (low, high), as Evaluation has}. Of dicts with a
    "seed_interval" (several seeds, see runs.summary) that one is drawn, which modes are compared by, and the
    accuracies of their "runs" as points; else the interval for the number of test samples.
    """
    if not results:
        raise InvalidInput("results", None, 0, "at least one result")
    seeds = all(isinstance(item, dict) and item.get("seed_interval") for item in results.values())
    kind = "seed_interval" if seeds else "interval"
    read = {label: (_entry(item, "accuracy"), _entry(item, kind)) for label, item in results.items()}
    with _figure(path, 1, (max(3.2, 1.3 * len(read) + 1.2), 3.6)) as (_, (axis,)):
        for place, (label, (accuracy, (low, high))) in enumerate(read.items()):
            bars = [[100 * (accuracy - low)], [100 * (high - accuracy)]]
            axis.bar(place, 100 * accuracy, width=0.62, color=COLOURS[place % len(COLOURS)], label=label)
            axis.errorbar(place, 100 * accuracy, yerr=bars, color="#33373d", capsize=4, linewidth=1.2)
            axis.annotate(f"{100 * accuracy:.1f}", (place, 100 * high), (0, 3), textcoords="offset points", ha="center")
            runs = results[label].get("runs", ()) if isinstance(results[label], dict) else ()
            if len(runs) > 1:
                shares = [100 * run["accuracy"] for run in runs]
                places = place + np.linspace(-0.2, 0.2, len(shares))
                axis.scatter(places, shares, s=10, color="#33373d", alpha=0.6, zorder=3)
        axis.set_xticks(range(len(read)), list(read))
        axis.set_ylim(0, min(108.0, 100 * max(high for _, (_, high) in read.values()) + 12))
        axis.set_ylabel(f"test accuracy (%)\nbars: 95 % interval over {'seeds' if seeds else 'samples'}")
        axis.grid(axis="x", visible=False)
    return path


def sweep(settings, accuracies, spikes, path):
    """Draw the validation accuracy of each trial of a sweep against each setting, and against the spikes it took.

    ``settings``: {name: a value per trial, numbers or texts}; ``accuracies`` (n,) from 0 to 1; ``spikes`` (n,) per
    neuron and sample. Numbers that span more than a factor of 20 are drawn on a logarithmic axis.
    """
    accuracies = 100 * np.asarray(accuracies, float)
    if accuracies.size == 0:
        raise InvalidInput("accuracies", None, 0, "at least one finished trial")
    panels = {**settings, "spikes per neuron and sample": list(spikes)}
    columns = min(len(panels), MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    with _figure(path, rows, (3.4 * columns, 3.0 * rows), columns, sharey=True) as (_, axes):
        for axis, (name, values) in zip(axes, panels.items(), strict=False):
            _trials(axis, values, accuracies)
            axis.set_xlabel(name)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis in axes[::columns]:
            axis.set_ylabel("validation accuracy (%)")
    return path


def _trials(axis, values, accuracies):
    numbers = all(isinstance(value, (int, float)) for value in values)
    known = sorted(set(values))
    places = np.array(values if numbers else [known.index(value) for value in values], float)
    axis.scatter(places, accuracies, s=26, color=BLUE, alpha=0.7)
    best = int(np.argmax(accuracies))
    axis.scatter(places[best], accuracies[best], s=70, facecolors="none", edgecolors=ORANGE, zorder=4)
    if not numbers:
        axis.set_xticks(range(len(known)), known)
        axis.set_xlim(-0.5, len(known) - 0.5)
    elif places.min() > 0 and places.max() > 20 * places.min():
        axis.set_xscale("log")


def _entry(item, name):
    return item[name] if isinstance(item, dict) else getattr(item, name)


def of_run(network, parameters, initial, recording, history, folder):
    """Return the pictures of a trained network as {path: function that draws it and returns the path}.

    raster.png (sample 0 of the recording), learning_curve.png of the epochs and, where there are delays, delays.png.
    """
    _matplotlib()
    folder = Path(folder)
    drawn = {"raster.png": lambda path: raster(recording, 0, path, network=network)}
    if len(history):
        drawn["learning_curve.png"] = lambda path: learning_curve(history, path)
    if has_delays(initial):
        drawn["delays.png"] = lambda path: delay_histogram(initial, parameters, path)
    return {folder / name: functools.partial(draw, folder / name) for name, draw in drawn.items()}


def has_delays(parameters):
    """True where there is a connection with more delays than one, of which delay_histogram can be drawn."""
    return any(name.endswith(".delay") and np.size(values) > 1 for name, values in parameters.items())
