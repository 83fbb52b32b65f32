"""What a training step costs: per synaptic event, sample and parameter update, on threads, in memory, to compile."""

import pathlib
import tempfile
from unittest import mock

import measuring
import networks
import numpy as np
from floor import SYNAPTIC_EVENT, Floor
from measuring import in_own_process, interleaved, seconds
from report import Panel, Plot, Table

from eventsnn import simulate, stream, value_and_grad
from eventsnn.engines.checking import check_batch, spiking_outputs
from eventsnn.engines.cpu import buffers
from eventsnn.engines.cpu import engine as compiled
from eventsnn.engines.problem import Problem
from eventsnn.experiments.memory import MEGABYTE, forget_peak, peak_memory
from eventsnn.kernels.neurons.lif import laying
from eventsnn.losses.together import evaluate

NANO, MICRO, MILLI = 1e9, 1e6, 1e3
ENTRIES = ((laying, "write_series"), (compiled, "forward_shard"), (buffers, "most_in_flight"))
ENTRIES += ((compiled, "backward_shard"),)


def step(task, n_threads=1, **options):
    """One value_and_grad of a task."""
    return value_and_grad(
        task.network,
        task.parameters,
        task.batch,
        task.labels,
        loss=task.loss,
        duration=task.duration,
        n_threads=n_threads,
        **options,
    )


class Passes:
    """The two passes of a task's step, apart from each other and from the layout, which is made beforehand."""

    def __init__(self, task, forward_only=False):
        self.task, self.run = task, task.run_settings()
        inputs = check_batch(task.network, task.batch)
        self.problem = Problem(task.network, task.parameters, inputs, self.run)
        self.layout = self.lay_out()
        if forward_only:
            return
        self.recording, self.tape = self.forward()
        self.recording.outputs = spiking_outputs(task.network)
        _, self.cotangents = evaluate((task.loss,), self.recording, task.labels)

    def forward(self):
        """Everything from input spikes to the recording."""
        with mock.patch.object(compiled, "Layout", lambda *_: self.layout):
            return compiled.forward(self.problem)

    def backward(self):
        """Gradients of all trained parameters."""
        names = self.task.network.trainable
        return compiled.backward(self.problem, self.recording, self.tape, self.cotangents, names=names)

    def lay_out(self):
        """Lay the parameters out, as once in every update."""
        return compiled.Layout(self.task.network, self.task.parameters, self.run)


def _per_event(timing, n_events, name):
    """{name_ns, name_ns_median}: nanoseconds per event."""
    scale = NANO / max(n_events, 1)
    return {f"{name}_ns": timing.least * scale, f"{name}_ns_median": timing.median * scale}


def cost(task, settings):
    """The row of one task: its activity, ns per synaptic event of both passes and of the floor, and their ratio."""
    passes = Passes(task)
    recording, floor = passes.recording, Floor(task, passes.recording)
    timings = interleaved(
        {"forward": passes.forward, "backward": passes.backward, "floor": floor, "layout": passes.lay_out}, settings
    )
    counters, pushed = recording.counters, floor()
    events, windows = int(counters.events.sum()), int(counters.walked.sum() + counters.screened.sum())
    row = {"synapses": task.n_synapses, "samples": task.n_samples, "duration_ms": task.duration}
    row["events_per_sample"] = events / task.n_samples
    row["spikes_per_neuron"] = float(recording.spike_counts("hidden").mean())
    row["rate_hz"] = row["spikes_per_neuron"] / task.duration * MILLI
    row["walked"] = int(counters.walked.sum()) / max(windows, 1)
    row["screened"] = 1 - row["walked"]
    for name in ("forward", "backward"):
        row |= _per_event(timings[name], events, name)
    row |= _per_event(timings["floor"], pushed, "floor")
    both = timings["forward"].least + timings["backward"].least
    row["ratio"] = (row["forward_ns"] + row["backward_ns"]) / row["floor_ns"]
    row["events_per_s"], row["floor_per_s"] = events / both, pushed / timings["floor"].least
    row["sample_ms"] = both / task.n_samples * MILLI
    row["layout_ms"], row["layout_ms_median"] = (value * MILLI for value in timings["layout"])
    row["layout_ns_per_synapse"] = timings["layout"].least / task.n_synapses * NANO
    row["floor_sample_ms"] = timings["floor"].least / task.n_samples * MILLI
    row["layout_ratio"] = row["layout_ms"] / row["floor_sample_ms"]
    return row


COST_COLUMNS = {
    "events_per_sample": ("events/sample", ",.0f"),
    "floor_ns": ("floor ns", ".2f"),
    "forward_ns": ("forward ns", ".2f"),
    "backward_ns": ("backward ns", ".2f"),
    "ratio": ("(f+b)/floor", ".2f"),
}


# ------------------------------------------------------------------------------------------------------- tables


def recurrent_table(settings):
    """Nanoseconds per synaptic event of the recurrent networks, with each sharing of delays."""
    rows = []
    for n_hidden in settings.hidden:
        for delays, words in networks.DELAYS.items():
            task = networks.recurrent(n_hidden, delays, n_samples=settings.samples)
            rows.append({"network": f"rec {n_hidden}", "delays": words} | cost(task, settings))
    columns = {"network": ("network", ""), "delays": ("delays", ""), "spikes_per_neuron": ("spikes/neuron", ".1f")}
    columns |= {"walked": ("walked", ".2%")} | COST_COLUMNS | {"sample_ms": ("ms/sample", ".1f")}
    return Table("recurrent", "Recurrent networks: ns per synaptic event, one thread", columns, rows)


def layout_table(recurrent):
    """What a parameter update costs beside its step, from the rows of the table of recurrent networks."""
    columns = {"network": ("network", ""), "delays": ("delays", ""), "synapses": ("synapses", ",")}
    columns |= {"layout_ms": ("layout ms", ".2f"), "layout_ns_per_synapse": ("ns/synapse", ".1f")}
    columns |= {"floor_sample_ms": ("floor ms/sample", ".2f"), "layout_ratio": ("layout/floor", ".2f")}
    keys = (*columns, "layout_ms_median")
    rows = [{key: row[key] for key in keys} for row in recurrent.rows]
    return Table("layout", "Layout: time of each parameter update", columns, rows)


def step_cost(task, settings):
    """The row of one whole value_and_grad: microseconds per sample, of it and of the floor, and their ratio."""
    passes = Passes(task)
    floor, scale = Floor(task, passes.recording), MICRO / task.n_samples
    timings = interleaved({"step": lambda: step(task), "floor": floor}, settings)
    return {
        "events_per_sample": float(passes.recording.counters.events.mean()),
        "hidden_spikes": float(passes.recording.spike_counts("hidden").sum(axis=1).mean()),
        "step_us": timings["step"].least * scale,
        "step_us_median": timings["step"].median * scale,
        "floor_us": timings["floor"].least * scale,
        "floor_us_median": timings["floor"].median * scale,
        "ratio": timings["step"].least / timings["floor"].least,
    }


def yin_yang_table(settings):
    """Microseconds per sample of a whole step of the Yin-Yang networks."""
    rows = []
    for n_hidden in settings.yin_yang_hidden:
        for delays in networks.YIN_YANG_MEAN:
            for n_samples in settings.yin_yang_batches:
                task = networks.yin_yang(n_hidden, delays, n_samples=n_samples)
                row = {"network": f"5-{n_hidden}-3", "delays": networks.DELAYS[delays], "batch": n_samples}
                rows.append(row | step_cost(task, settings))
    columns = {"network": ("network", ""), "delays": ("delays", ""), "batch": ("batch", "")}
    columns |= {"hidden_spikes": ("hidden spikes", ".0f"), "events_per_sample": ("events/sample", ",.0f")}
    columns |= {"floor_us": ("floor us", ".2f"), "step_us": ("step us", ".1f"), "ratio": ("step/floor", ".2f")}
    title = "Yin-Yang, first-spike loss: us per sample of value_and_grad, one thread"
    return Table("yin_yang", title, columns, rows)


# ------------------------------------------------------------------------------------------------------- memory


def step_memory(n_hidden, n_samples, duration):
    """To be called in a process of its own: bytes that one step takes above the import and above a warm engine."""
    imported = measuring.held_memory()
    step(networks.recurrent(2, n_samples=1, duration=10.0))
    task = networks.recurrent(n_hidden, n_samples=n_samples, duration=duration)
    warm = measuring.held_memory()
    forget_peak()
    _, _, recording = step(task, return_recording=True)
    peak, events = peak_memory(), int(recording.counters.events.sum())
    return {
        "above_import": peak - imported,
        "above_warm": peak - warm,
        "events": events,
        "spikes": recording.times.size,
    }


def memory_row(n_hidden, n_samples, duration):
    """The row of one step's memory in MB, beside what the records of all its events would take in a queue."""
    found = in_own_process("costs", "step_memory", n_hidden, n_samples, duration)
    return {
        "duration_s": duration / MILLI,
        "batch": n_samples,
        "events": found["events"],
        "spikes": found["spikes"],
        "above_import_mb": found["above_import"] / MEGABYTE,
        "above_warm_mb": found["above_warm"] / MEGABYTE,
        "floor_records_mb": found["events"] * SYNAPTIC_EVENT.itemsize / MEGABYTE,
    }


MEMORY_COLUMNS = {
    "duration_s": ("duration s", "g"),
    "batch": ("batch", ""),
    "events": ("synaptic events", ","),
    "spikes": ("emitted spikes", ","),
    "above_import_mb": ("MB above import", ".1f"),
    "above_warm_mb": ("MB above warm engine", ".1f"),
    "floor_records_mb": ("MB of all events as records", ",.0f"),
}


def run_memory(n_hidden, duration, every):
    """To be called in a process of its own: bytes that one long forward run takes above a warm engine and its input.

    ``every`` (ms): length of the parts of a stream; 0: one ``simulate``.
    """
    task = networks.recurrent(n_hidden, n_samples=1, duration=duration)
    first = {"duration": min(duration, 100.0), "probes": {}}
    rest = {"duration": duration, "probes": {}}
    simulate(task.network, task.parameters, task.batch, n_threads=1, **first)
    warm, n_spikes = measuring.held_memory(), 0
    forget_peak()
    if every:
        for part in stream(task.network, task.parameters, task.batch, every=every, **rest):
            n_spikes += part.times.size
    else:
        n_spikes = simulate(task.network, task.parameters, task.batch, n_threads=1, **rest).times.size
    return {"above_warm": peak_memory() - warm, "spikes": n_spikes}


def memory_table(settings):
    """Peak memory of one step in a process of its own."""
    rows = [memory_row(settings.memory_hidden, settings.batch, duration) for duration in settings.memory_durations]
    title = f"Memory: peak of one step, rec {settings.memory_hidden}, one thread"
    return Table("memory", title, MEMORY_COLUMNS, rows)


# -------------------------------------------------------------------------------------------------- compilation


def first_calls():
    """To be called in a process of its own: seconds that the first call of each kernel took, with running it."""
    taken = {}

    def timed(name, function):
        def call(*arguments):
            spent, result = seconds(function, *arguments)
            taken.setdefault(name, spent)
            return result

        call.overloads = getattr(function, "overloads", None)  # whoever asks whether it is compiled is told
        return call

    task = networks.recurrent(2, n_samples=1, duration=10.0)
    for module, name in ENTRIES:
        setattr(module, name, timed(name, getattr(module, name)))
    spent, (_, _, recording) = seconds(step, task, return_recording=True)
    taken["push (the floor)"] = seconds(Floor(task, recording))[0]
    return taken | {"first step": spent}


def compile_table(settings):
    """Seconds to compile each kernel with an empty cache, and to load it from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (in_own_process("costs", "first_calls", EVENTSNN_CACHE=folder) for _ in range(2))
        size = sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())
    rows = [{"kernel": name, "compile_s": cold[name], "load_s": warm[name]} for name in cold]
    columns = {"kernel": ("kernel", ""), "compile_s": ("empty cache s", ".2f"), "load_s": ("from cache s", ".3f")}
    notes = [f"The cache takes {size / MEGABYTE:.1f} MB. The floor is not cached: it is compiled both times."]
    return Table("compilation", "Compilation: first call of each kernel", columns, rows, notes=notes)


# ------------------------------------------------------------------------------------------------------ threads


def thread_counts():
    """1, 2, 4, ... up to the number of cores, and 2 on a single one."""
    counts = [1, 2]
    while 2 * counts[-1] <= measuring.n_cores():
        counts.append(2 * counts[-1])
    return counts


def same_bits(one, other):
    """True where two dicts of gradients hold the same bits."""
    return all(np.array_equal(one[name].view(np.int64), other[name].view(np.int64)) for name in one)


def threads_table(settings):
    """One whole step on 1, 2, ... threads: speed-up, and whether the gradients have the same bits."""
    task = networks.recurrent(settings.hidden[-1], n_samples=settings.batch)
    _, expected, recording = step(task, return_recording=True)
    floor, events = Floor(task, recording), int(recording.counters.events.sum())
    counts = thread_counts()
    calls = {n: lambda n=n: step(task, n_threads=n) for n in counts}
    timings, pushed = interleaved(calls | {"floor": floor}, settings), floor()
    rows = []
    for n in counts:
        row = {"threads": n, "step_ms": timings[n].least * MILLI, "step_ms_median": timings[n].median * MILLI}
        row["speed_up"] = timings[1].least / timings[n].least
        row["same_bits"] = same_bits(expected, step(task, n_threads=n)[1])
        row["step_ns"] = timings[n].least / events * NANO
        row |= _per_event(timings["floor"], pushed, "floor")
        row["ratio"] = row["step_ns"] / row["floor_ns"]
        row["events_per_s"], row["floor_per_s"] = events / timings[n].least, pushed / timings["floor"].least
        rows.append(row)
    columns = {"threads": ("threads", ""), "step_ms": ("step ms", ".0f"), "speed_up": ("speed-up", ".2f")}
    columns |= {"same_bits": ("same bits as 1", ""), "step_ns": ("step ns", ".2f")}
    columns |= {"floor_ns": ("floor ns (1 thread)", ".2f"), "ratio": ("step/floor", ".2f")}
    title = f"Threads: a whole step, rec {settings.hidden[-1]}, batch of {settings.batch}"
    rate = Panel("events per second", {"events_per_s": "step", "floor_per_s": "floor, 1 thread"}, log=True)
    panels = (Panel("speed-up", {"speed_up": "step"}), rate, Panel("step / floor", {"ratio": "step / floor"}))
    return Table("threads", title, columns, rows, Plot("threads", "threads", panels))
