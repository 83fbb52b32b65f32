"""What ``eventsnn info`` says of a file: numbers of a Dataset."""

from collections.abc import Mapping

import numpy as np

from ...aliases import Description, Floats, Integers
from ...spikes.structured import MILLISECONDS
from ..dataset import Dataset


def description(path: str, data: Dataset, time_unit: str | float, ignored: Mapping[str, str]) -> Description:
    """Return a Dataset in the words of ``hdf5.describe``; for readers that hold a whole file in memory anyway."""
    counts = np.zeros(data.n_units, np.int64)
    last: list[float] = []
    lengths: list[int] = []
    for block in data.spikes.blocks():
        for sample in range(len(block)):
            times, units, _ = block.arrays(sample)
            last.append(float(times.max(initial=0.0)))
            lengths.append(times.size)
            counts += np.bincount(units, minlength=data.n_units)
    seconds = max(sum(last) / MILLISECONDS["s"], np.finfo(float).tiny)
    return {
        "path": path,
        "samples": len(data),
        "spikes": sum(lengths),
        "n_units": data.n_units,
        "n_classes": data.n_classes,
        "keys": None,
        "samples_per_class": np.bincount(data.labels, minlength=data.n_classes).tolist(),
        "samples_per_speaker": None,
        "duration": spread(np.array(last)),
        "spikes_per_sample": spread(np.array(lengths)),
        "rates": (counts / seconds).tolist(),
        "time_unit": time_unit,
        "time_doubt": None,
        "ignored": dict(ignored),
    }


def spread(values: Floats | Integers) -> dict[str, float]:
    """Return the least, the mean and the largest of some numbers; zeros of none."""
    if values.size == 0:
        return {"min": 0.0, "mean": 0.0, "max": 0.0}
    return {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
