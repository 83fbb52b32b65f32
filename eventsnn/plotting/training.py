"""Pictures of training: learning curves, delays, comparisons of runs, sweeps."""

import functools
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..aliases import Floats
from ..checks import answers_keywords
from ..errors import InvalidInput
from ..network.base import BaseNetwork
from ..spikes.recording import Recording
from ..surrogate.recording import GridRecording
from .recordings import raster
from .style import BLUE, COLOURS, GREEN, GREY, ORANGE, Place, load_matplotlib, new_figure, whole_numbers

MOST_BINS = 50
FEW_EPOCHS = 30  # up to here each epoch's point is marked
MOST_COLUMNS = 3  # of the pictures of a sweep


class History(Protocol):
    """What is read of a training.History, which is on a floor above."""

    @property
    def records(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def best_epoch(self) -> int | None: ...
    def __len__(self) -> int: ...
    def column(self, name: str) -> Floats: ...


@answers_keywords
def learning_curve(history: History, path: Place) -> Place:
    """Draw loss, accuracy and spikes per neuron over the epochs of a training.History; the best epoch is marked."""
    if len(history) == 0:
        raise InvalidInput("history", None, 0, "at least one finished epoch")
    epochs = history.column("epoch")
    with new_figure(path, 1, (10.5, 3.4), 3) as (_, axes):
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
            axis.xaxis.set_major_locator(whole_numbers(8))
    return path


def _curve(axis: Any, epochs: Floats, values: Floats, colour: str, label: str | None) -> None:
    marker = "o" if epochs.size <= FEW_EPOCHS else None
    axis.plot(epochs, values, color=colour, linewidth=1.5, marker=marker, markersize=3.5, label=label)


@answers_keywords
def delay_histogram(before: Mapping[str, npt.ArrayLike], after: Mapping[str, npt.ArrayLike], path: Place) -> Place:
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
    with new_figure(path, 1, (4.2 * len(pairs) + 0.6, 3.4), len(pairs)) as (_, axes):
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


@answers_keywords
def comparison(results: Mapping[str, Any], path: Place) -> Place:
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
    with new_figure(path, 1, (max(3.2, 1.3 * len(read) + 1.2), 3.6)) as (_, (axis,)):
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


@answers_keywords
def sweep(
    settings: Mapping[str, Sequence[Any]], accuracies: npt.ArrayLike, spikes: Iterable[float], path: Place
) -> Place:
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
    with new_figure(path, rows, (3.4 * columns, 3.0 * rows), columns, sharey=True) as (_, axes):
        for axis, (name, values) in zip(axes, panels.items(), strict=False):
            _trials(axis, values, accuracies)
            axis.set_xlabel(name)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis in axes[::columns]:
            axis.set_ylabel("validation accuracy (%)")
    return path


def _trials(axis: Any, values: Sequence[Any], accuracies: Floats) -> None:
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


def _entry(item: Any, name: str) -> Any:
    return item[name] if isinstance(item, dict) else getattr(item, name)


def of_run(
    network: BaseNetwork, parameters: Mapping[str, npt.ArrayLike], initial: Mapping[str, npt.ArrayLike],
    recording: Recording | GridRecording, history: History, folder: str | os.PathLike[str],
) -> dict[Path, Callable[[], Path]]:  # fmt: skip
    """Return the pictures of a trained network as {path: function that draws it and returns the path}.

    raster.png (sample 0 of the recording), learning_curve.png of the epochs and, where there are delays, delays.png.
    """
    load_matplotlib()
    folder = Path(folder)
    drawn: dict[str, Callable[[Path], Path]] = {"raster.png": lambda path: raster(recording, 0, path, network=network)}
    if len(history):
        drawn["learning_curve.png"] = lambda path: learning_curve(history, path)
    if has_delays(initial):
        drawn["delays.png"] = lambda path: delay_histogram(initial, parameters, path)
    return {folder / name: functools.partial(draw, folder / name) for name, draw in drawn.items()}


def has_delays(parameters: Mapping[str, npt.ArrayLike]) -> bool:
    """True where there is a connection with more delays than one, of which delay_histogram can be drawn."""
    return any(name.endswith(".delay") and np.size(values) > 1 for name, values in parameters.items())
