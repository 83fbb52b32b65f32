"""Pictures of recordings, voltages, adjoint variables, delays and learning curves, saved as PNG, SVG or PDF.

matplotlib is imported on first use and never shows a window: every function writes ``path`` and returns it.
"""

from .. import renamed
from .recordings import adjoint_traces, raster, voltage_trace
from .style import PlotError
from .training import comparison, delay_histogram, has_delays, learning_curve, of_run, sweep

__all__ = [
    "PlotError",
    "adjoint_traces",
    "comparison",
    "delay_histogram",
    "has_delays",
    "learning_curve",
    "of_run",
    "raster",
    "sweep",
    "voltage_trace",
]


def __getattr__(name: str) -> object:
    return renamed.find("plotting", name)
