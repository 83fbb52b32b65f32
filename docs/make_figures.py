"""Make the figures of the documentation from real runs: python docs/make_figures.py (a few seconds)."""

import json
import runpy
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eventsnn import Adam, Network, Uniform, data, losses, simulate, value_and_grad
from eventsnn.analysis import voltages
from eventsnn.plotting import comparison
from eventsnn.plotting.style import BLUE, GREY, ORANGE

FIGURES = Path(__file__).parent / "figures"
EXAMPLES = Path(__file__).parents[1] / "examples"
RESULTS = Path(__file__).parent / "results"
TIMES = np.arange(0.0, 48.0, 8.0)  # ms; six inputs fire in this order, or in the opposite one
STEPS = 80


def train_delays():
    """Learn the delays of two readouts that tell two orders of six inputs apart; returns everything to draw."""
    train = data.sequence_detection(TIMES, orders=[range(6), range(5, -1, -1)], duration=120.0)
    network = Network()
    network.add_input("in", 6)
    network.add_readout("out", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("in", "out", weight=0.5, delay=Uniform(0, 40), train="delay")
    parameters, loss = network.initialize(seed=7), losses.MaxVoltage()
    optimizer = Adam(learning_rate=1.0)
    state, history, delays = optimizer.initialize(parameters, names=network.trainable), [], [parameters]
    for _ in range(STEPS):
        value, gradients = value_and_grad(
            network, parameters, train.spikes, train.labels, loss=loss, duration=train.duration
        )
        parameters, state = optimizer.step(parameters, gradients, state, bounds=network.bounds())
        history.append(value)
        delays.append(parameters)
    return train, network, history, delays


def draw_sample(axis, train, network, parameters, title):
    """Arrivals of class 0 at readout 0, and the voltages of both readouts."""
    recording = simulate(network, parameters, train.spikes, duration=train.duration, n_threads=1)
    times = np.linspace(0.0, train.duration, 600)
    traces = voltages(network, parameters, recording, 0, "out", [0, 1], times)
    for trace, colour, name in zip(traces, (BLUE, ORANGE), ("readout 0", "readout 1"), strict=True):
        axis.plot(times, trace, color=colour, label=name)
    for unit, start in enumerate(TIMES):
        height = 1.25 + 0.07 * unit
        arrival = start + parameters["in->out.delay"][unit, 0]
        axis.plot([start, arrival], [height, height], color=GREY, linewidth=1)
        axis.plot(start, height, "|", color=GREY)
        axis.plot(arrival, height, "o", color=BLUE, markersize=3.5)
    axis.set(title=title, xlabel="time (ms)", ylim=(0, 1.75), xlim=(0, train.duration))


def draw_delays():
    """The figure of the README: arrivals and voltages before and after learning, and the way of the delays."""
    train, network, history, delays = train_delays()
    figure = Figure(figsize=(11, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    before, after, way = figure.subplots(1, 3)
    draw_sample(before, train, network, delays[0], "before: spikes and arrivals at readout 0")
    draw_sample(after, train, network, delays[-1], f"after {STEPS} steps")
    before.set_ylabel("readout voltage")
    before.legend(frameon=False, loc="center right")
    way.plot(np.array([step["in->out.delay"][:, 0] for step in delays]), color=BLUE, linewidth=1.2)
    way.set(title="delays to readout 0", xlabel="step", ylabel="delay (ms)")
    loss = way.twinx()
    loss.plot(np.arange(STEPS), history, color=GREY, linestyle="--")
    loss.set_ylabel("loss (dashed)", color=GREY)
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / "learned_delays.png", dpi=110, metadata={"Software": None})


def draw_pattern():
    """Figure 1 of DelRec: a delay of 1 and of 3 ms from the one neuron to the other, from the example's own run."""
    ran = runpy.run_path(str(EXAMPLES / "09_pattern_generator.py"))
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    titles = ("1 ms: the coincidence at the start is detected", "3 ms, as learned: a pattern that sustains itself")
    for axis, name, title in zip(figure.subplots(2, 1, sharex=True), ("before", "after"), titles, strict=True):
        recording = ran[name]
        for neuron, colour in enumerate((BLUE, ORANGE)):
            ticks = [time for time, unit in zip(*recording.spikes("clocks", 0), strict=True) if unit == neuron]
            axis.plot(ticks, np.full(len(ticks), neuron - 0.3), "|", color=GREY, markersize=5)
            times, units = recording.spikes("pair", 0)
            axis.plot(times[units == neuron], units[units == neuron], "o", color=colour, markersize=6)
        axis.set(title=title, ylim=(-0.6, 1.5), yticks=(0, 1), ylabel="neuron")
    axis.set_xlabel("time (ms); grey: ticks of each neuron's clock, two at the start")
    figure.savefig(FIGURES / "pattern_generator.png", dpi=110, metadata={"Software": None})


def draw_small():
    """Learned and random recurrent delays of the small DelRec networks, against parameters and against spikes."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    by_size, by_rate = figure.subplots(1, 2, sharey=True)
    sizes, rates = ("recurrent", "20", "12"), ("recurrent", "rate-1e-4", "rate-1e-3")
    _draw_modes(by_size, sizes, lambda found: found["parameters"]["weights"] + found["parameters"]["delays"])
    _draw_modes(by_rate, rates, lambda found: found["spikes_per_neuron"])
    by_size.set(xscale="log", xlabel="trained weights and delays", ylabel="test accuracy (%)")
    by_rate.set(xlabel="spikes per neuron and recording")
    by_size.legend(frameon=False, loc="lower right")
    figure.savefig(FIGURES / "small_networks.png", dpi=110, metadata={"Software": None})


def _draw_modes(axis, names, place):
    """Mean and standard deviation over seeds of the results shd-small-NAME, at ``place`` of each."""
    results = [json.loads((RESULTS / f"shd-small-{name}.json").read_text(encoding="utf-8")) for name in names]
    for mode, colour in (("learned", BLUE), ("fixed", ORANGE)):
        found = [result[mode] for result in results]
        means, spreads = (100 * np.array([item[key] for item in found]) for key in ("accuracy", "sd"))
        style = {"color": colour, "marker": "o", "markersize": 4, "capsize": 3, "label": mode}
        axis.errorbar([place(item) for item in found], means, spreads, **style)


def draw_digits():
    """What the main job compares: 32 neurons with learned, fixed and no delays, and 52 with fixed ones."""
    found = {size: json.loads((RESULTS / f"digits-{size}.json").read_text(encoding="utf-8")) for size in (32, 52)}
    shown = {f"{mode}\n32 neurons": found[32][mode] for mode in ("learned", "fixed", "none")}
    comparison({**shown, "fixed\n52 neurons": found[52]["fixed"]}, FIGURES / "digits_delays.png")


if __name__ == "__main__":
    draw_delays()
    draw_digits()
    draw_pattern()
    draw_small()
