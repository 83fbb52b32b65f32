"""Curves: what an event costs against the size of the network, its activity, its delays and its duration; memory."""

import networks
from costs import COST_COLUMNS, MEMORY_COLUMNS, cost, memory_row
from measuring import free_memory, in_own_process
from networks import SECOND
from report import Panel, Plot, Table

from eventsnn.experiments.memory import MEGABYTE

# What a synapse takes while it is measured: parameters, layout, gradients, the floor's rows, and sorting them.
BYTES_PER_SYNAPSE = 250
SHARE_OF_FREE_MEMORY = 0.8
# Twice as many arrivals as the inputs alone bring, at every size of network (see networks.scaled).
ARRIVALS_PER_NEURON = 2.0  # per ms
# A network is simulated for this long at least, three times the longest delay, and at most.
SHORTEST, LONGEST = 100.0, 10_000.0  # ms

COST_PANELS = (
    Panel("ns per synaptic event", {"forward_ns": "forward", "backward_ns": "backward", "floor_ns": "floor"}, log=True),
    Panel("events per second", {"events_per_s": "forward + backward", "floor_per_s": "floor"}, log=True),
    Panel("cost / floor", {"ratio": "ratio"}),
)


def lacking(n_synapses):
    """A note that memory is short for so many synapses, None where it is not."""
    free, needed = free_memory(), n_synapses * BYTES_PER_SYNAPSE
    if free is None or needed <= SHARE_OF_FREE_MEMORY * free:
        return None
    return f"needs about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"


def neurons_curve(settings):
    """Cost against the number of neurons, at the same drive and about the same number of events."""
    sizes = [(n, False) for n in settings.dense_neurons] + [(n, True) for n in settings.sparse_neurons]
    rows, notes = [], []
    for n, sparse in sizes:
        rows_are = "fan-out 100" if sparse else "dense"
        if (note := lacking(networks.scaled_synapses(n, sparse))) is not None:
            notes.append(f"{n:,} neurons ({rows_are}) left out: {note}.")
            continue
        duration = min(max(settings.curve_events / (ARRIVALS_PER_NEURON * n), SHORTEST), LONGEST)
        row = {"neurons": n, "rows": rows_are}
        rows.append(row | cost(networks.scaled(n, sparse, duration=round(duration)), settings))
    columns = {"neurons": ("neurons", ","), "rows": ("recurrent rows", ""), "synapses": ("synapses", ",")}
    columns |= {"duration_ms": ("ms", ",.0f"), "rate_hz": ("Hz", ".1f")} | COST_COLUMNS
    plot = Plot("neurons", "neurons", COST_PANELS, "rows")
    return Table("curve_neurons", "Neurons: one thread", columns, rows, plot, notes)


def _sweep(settings, option, values, column):
    """A row for each value of one option of ``networks.recurrent``, which stands in ``column``."""
    rows = []
    for value in values:
        task = networks.recurrent(settings.curve_hidden, n_samples=settings.samples, **{option: value})
        rows.append({column: value} | cost(task, settings))
    return rows


def input_curve(settings):
    """Cost against the rate of input spikes."""
    rows = _sweep(settings, "rate", settings.input_rates, "input_hz")
    columns = {"input_hz": ("input spikes/s", ","), "rate_hz": ("hidden Hz", ".1f")} | COST_COLUMNS
    plot = Plot("input_hz", "input spikes per second", COST_PANELS)
    return Table("curve_input", f"Input spikes: rec {settings.curve_hidden}, one thread", columns, rows, plot)


def delay_curve(settings):
    """Cost against the range of delays."""
    rows = _sweep(settings, "longest", settings.longest_delays, "longest_delay_ms")
    columns = {"longest_delay_ms": ("longest delay ms", "g"), "rate_hz": ("hidden Hz", ".1f")} | COST_COLUMNS
    plot = Plot("longest_delay_ms", "longest delay (ms)", COST_PANELS)
    return Table("curve_delays", f"Delays: rec {settings.curve_hidden}, one thread", columns, rows, plot)


def duration_curve(settings):
    """Cost against biological time: one sample, or as many short ones as make a second, but at most a batch."""
    rows = []
    for duration in settings.durations:
        n_samples = max(1, min(settings.batch, round(SECOND / duration)))
        task = networks.recurrent(settings.curve_hidden, n_samples=n_samples, duration=duration)
        rows.append({"duration_s": duration / SECOND} | cost(task, settings))
    columns = {"duration_s": ("duration s", "g"), "samples": ("samples", ""), "rate_hz": ("hidden Hz", ".1f")}
    columns |= COST_COLUMNS | {"sample_ms": ("ms/sample", ",.1f")}
    plot = Plot("duration_s", "biological time (s)", COST_PANELS)
    return Table("curve_duration", f"Duration: rec {settings.curve_hidden}, one thread", columns, rows, plot)


def screening_curve(settings):
    """Share of neurons and windows that a bound shows to be silent, against the firing rate."""
    rows = _sweep(settings, "drive", settings.drives, "drive")
    columns = {"drive": ("mean input weight", "g"), "rate_hz": ("hidden Hz", ".1f"), "screened": ("screened", ".2%")}
    panels = (Panel("share of neuron-windows", {"screened": "screened", "walked": "walked"}), *COST_PANELS[::2])
    plot = Plot("rate_hz", "firing rate (Hz)", panels)
    title = f"Screening: rec {settings.curve_hidden}, one thread"
    return Table("curve_screening", title, columns | COST_COLUMNS, rows, plot)


def memory_curve(settings):
    """Peak memory of a step against its duration, each in a process of its own."""
    sizes = (settings.memory_hidden, settings.memory_curve_samples)
    rows = [memory_row(*sizes, duration) for duration in settings.memory_curve]
    lines = {"above_import_mb": "above import", "above_warm_mb": "above warm engine"}
    panels = (
        Panel("MB", lines),
        Panel("MB", lines | {"floor_records_mb": "all events as records"}, log=True),
    )
    plot = Plot("duration_s", "biological time (s)", panels)
    return Table("curve_memory", f"Memory: rec {settings.memory_hidden}, one thread", MEMORY_COLUMNS, rows, plot)


def stream_curve(settings):
    """Peak memory of a long forward run against its duration: one recording, or parts of a second."""
    rows = []
    for duration in settings.stream_curve:
        whole, parts = (in_own_process("costs", "run_memory", settings.memory_hidden, duration, t) for t in (0, SECOND))
        row = {"duration_s": duration / SECOND, "spikes": whole["spikes"], "same": whole["spikes"] == parts["spikes"]}
        row |= {"simulate_mb": whole["above_warm"] / MEGABYTE, "stream_mb": parts["above_warm"] / MEGABYTE}
        rows.append(row)
    columns = {"duration_s": ("duration s", "g"), "spikes": ("emitted spikes", ","), "same": ("as many streamed", "")}
    columns |= {"simulate_mb": ("MB simulate", ".1f"), "stream_mb": ("MB stream", ".1f")}
    panel = Panel("MB beyond engine and input", {"simulate_mb": "simulate", "stream_mb": "stream, parts of 1 s"})
    plot = Plot("duration_s", "biological time (s)", (panel,))
    title = f"A long run's memory: rec {settings.memory_hidden}, one sample forward, one thread"
    return Table("curve_stream", title, columns, rows, plot)


CURVES = (
    neurons_curve, input_curve, delay_curve, duration_curve, screening_curve, memory_curve, stream_curve
)  # fmt: skip
