"""What runs came to: results in files, summaries over seeds, rows of tables."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import __version__
from ..aliases import Floats, Parameters
from ..arrays import is_number
from ..errors import FileError
from ..network.base import BaseNetwork
from ..training.evaluation import Evaluation, wilson_interval
from ..training.identity import described_engine
from ..training.trainer import Trainer
from ..writing import reason, write_file
from .settings import Preset

Result: TypeAlias = dict[str, Any]
"""What a run came to, as it stands in its ``result.json``."""
Summary: TypeAlias = dict[str, Any]
"""What ``summary`` returns."""

RESULT, COMPARISON, LOCK = "result.json", "comparison.json", ".lock"
SECONDS_PER_MINUTE = 60.0
# of a table of summaries: intervals over seeds and over test samples
COLUMNS = (
    "seeds", "test accuracy (%)", "95 %, seeds", "95 %, samples", "weights", "delays", "spikes", "epochs", "minutes",
    "memory (MB)",
)  # fmt: skip
# what stands in a result; OPTIONAL may be None or missing, TESTED is None in one that was not tested
TEXTS, NUMBERS = ("name", "delays", "command"), ("epochs", "minutes", "seed")
OPTIONAL = (
    "spikes_per_neuron", "validation_accuracy", "validation_loss", "best_epoch", "peak_memory", "accuracy_fractional",
)  # fmt: skip
TESTED = ("accuracy", "n_test", "test_loss")


def check_result(path: str | os.PathLike[str], result: Mapping[str, Any]) -> None:
    """Refuse a result that ``train`` has not written."""
    kinds = {key: isinstance(result.get(key), str) for key in TEXTS}
    kinds |= {key: _is_finite(result.get(key)) for key in NUMBERS}
    kinds |= {key: result.get(key) is None or _is_finite(result[key]) for key in OPTIONAL}
    kinds["preset"] = isinstance(result.get("preset"), dict)
    if result.get("accuracy") is None:
        kinds |= {"accuracy": "accuracy" in result, "interval": result.get("interval") is None}
    else:
        kinds |= {key: _is_finite(result.get(key)) for key in TESTED}
        kinds["interval"] = _is_interval(result.get("interval"))
    counts = result.get("parameters")
    kinds["parameters"] = isinstance(counts, dict) and all(
        isinstance(counts.get(key), int) for key in ("weights", "delays", "other")
    )
    if wrong := [key for key, sound in kinds.items() if not sound]:
        raise FileError(path, f"{wrong[0]} is {result.get(wrong[0])!r}, which no run has written")


def _is_finite(value: Any) -> bool:
    return is_number(value) and -math.inf < value < math.inf


def _is_interval(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_finite, value))


def count_parameters(network: BaseNetwork, parameters: Parameters) -> dict[str, int]:
    """Return {"weights": n, "delays": n, "other": n}, the numbers of trained values."""
    counts = {"weights": 0, "delays": 0, "other": 0}
    kinds = {"weight": "weights", "delay": "delays"}
    for name in network.trainable:
        mask = network.present(name)
        n = np.size(parameters[name]) if mask is None else np.count_nonzero(mask)
        counts[kinds.get(name.rpartition(".")[2], "other")] += int(n)
    return counts


def result_of(preset: Preset, trainer: Trainer, test: Evaluation | None) -> Result:
    history, best = trainer.history, trainer.history.best_epoch
    chosen: Any = None if not len(history) else history.records[-1 if best is None else best - 1]
    tested: Result = {"accuracy": None, "interval": None, "n_test": None, "test_loss": None}
    if test is not None:
        tested = {"accuracy": test.accuracy, "interval": list(test.interval), "n_test": test.n, "test_loss": test.loss}
    return {
        "name": preset.name,
        "delays": preset.delays,
        **tested,
        "spikes_per_neuron": _spikes_per_neuron(chosen) if test is None else test.spikes_per_neuron,
        "validation_accuracy": None if chosen is None else chosen["validation_accuracy"],
        "validation_loss": None if chosen is None else chosen["validation_loss"],
        "best_epoch": best,
        "epochs": len(history),
        "stopped_early": trainer.stopped,
        "parameters": count_parameters(trainer.network, trainer.parameters),
        "minutes": float(history.column("seconds").sum() / SECONDS_PER_MINUTE),
        "seed": preset.training.seed,
        "command": trainer.notes["command"],
        "version": __version__,
        "preset": preset.to_dict(),
        **described_engine(trainer.engine),
    }


def _spikes_per_neuron(record: Mapping[str, Any]) -> float:
    """Those of an epoch's validation, of its training where there was none."""
    validation = record["validation_spikes_per_neuron"]
    return record["spikes_per_neuron"] if validation is None else validation


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the dict that a file of JSON holds, None where there is no file; raises FileError if it holds no dict."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileError(path, f"cannot be read: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"is damaged: {error}") from error
    if not isinstance(value, dict):
        raise FileError(path, f"is damaged: it holds {type(value).__name__} instead of named values")
    return value


def write_json(path: Path, value: object) -> None:
    """Write a file of JSON, which is there as a whole or not at all; raises FileError."""
    write_file(path, (json.dumps(value, indent=2) + "\n").encode())


def read_comparison(path: Path) -> dict[str, Summary] | None:
    """Return {mode: summary} of a file of ``train_all``, None where there is none; raises FileError if it is none."""
    found = read_json(path)
    for mode, item in (found or {}).items():
        shares = [item, *(item.get("runs") or [])] if isinstance(item, dict) else [item]
        sound = all(isinstance(share, dict) and is_number(share.get("accuracy")) for share in shares)
        if not (sound and _is_interval(item.get("interval")) and _is_interval(item.get("seed_interval") or [0, 0])):
            raise FileError(path, f"is damaged: it has no summary of {mode!r}")
    return found


def summary(results: Sequence[Result]) -> Summary:
    """Return the summary (dict) of the results of several seeds of one preset.

    "accuracy" and "sd" (None for one seed): mean and standard deviation of the test accuracy over seeds;
    "seed_interval" (None for one seed): the 95 % interval of the mean over seeds (Student's t), for these test samples;
    "interval": its 95 % Wilson interval for "n_test", the number of test samples, which all seeds share; means of
    "validation_accuracy", "spikes_per_neuron", "epochs" and "minutes", and of "accuracy_fractional" for networks on a
    grid; "peak_memory" (MB): the most of any; "parameters"; "seeds"; "command"; "preset": the settings, with the first
    seed; "runs": the results without their settings.
    """
    shares = np.array([result["accuracy"] for result in results])
    n_test = results[0]["n_test"]
    means = ["validation_accuracy", "spikes_per_neuron", "epochs", "minutes"]
    if "accuracy_fractional" in results[0]:
        means.append("accuracy_fractional")
    peaks: list[Any] = [result.get("peak_memory") for result in results]
    return {
        "accuracy": float(shares.mean()),
        "sd": float(shares.std(ddof=1)) if len(results) > 1 else None,
        "seed_interval": _seed_interval(shares),
        "interval": list(wilson_interval(float(shares.mean()) * n_test, n_test)),
        "n_test": n_test,
        **{key: _mean(results, key) for key in means},
        "peak_memory": None if None in peaks else max(peaks),
        "parameters": results[0]["parameters"],
        "seeds": [result["seed"] for result in results],
        "command": results[0]["command"],
        "preset": results[0]["preset"],
        "runs": [{key: value for key, value in result.items() if key != "preset"} for result in results],
    }


def cells(found: Summary) -> tuple[str, ...]:
    """Return a summary as the texts (tuple) of its COLUMNS; other trained values stand beside the weights.

    Of a network on a grid the accuracy is that with rounded delays, and that with fractional ones in brackets.
    """
    counts = found["parameters"]
    spread = "" if found["sd"] is None else f" +- {100 * found['sd']:.1f}"
    between = f" ({100 * found['accuracy_fractional']:.1f})" if "accuracy_fractional" in found else ""
    memory = found.get("peak_memory")
    other = f" + {counts['other']:,}" if counts["other"] else ""
    return (
        f"{len(found['seeds'])}", f"{100 * found['accuracy']:.1f}{spread}{between}", _percent(found["seed_interval"]),
        _percent(found["interval"]), f"{counts['weights']:,}{other}", f"{counts['delays']:,}",
        f"{found['spikes_per_neuron']:.1f}", f"{found['epochs']:.0f}", f"{found['minutes']:.1f}",
        "" if memory is None else f"{memory:.0f}",
    )  # fmt: skip


def _percent(interval: Sequence[float] | None) -> str:
    return "" if interval is None else " to ".join(f"{100 * bound:.1f}" for bound in interval)


def _seed_interval(shares: Floats) -> list[float] | None:
    """The 95 % interval of the mean of accuracies over seeds, within 0 and 1; None for one seed."""
    if len(shares) < 2:
        return None
    from scipy.special import stdtrit

    half = stdtrit(len(shares) - 1, 0.975) * shares.std(ddof=1) / math.sqrt(len(shares))
    return [max(0.0, float(shares.mean() - half)), min(1.0, float(shares.mean() + half))]


def _mean(results: Sequence[Result], key: str) -> float | None:
    values = [math.nan if result[key] is None else result[key] for result in results]
    return None if np.isnan(values).any() else float(np.mean(values))
