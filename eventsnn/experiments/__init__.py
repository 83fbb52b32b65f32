"""Complete experiments as plain settings: data, network, loss, optimiser and training in one Preset, or a TOML file.

A TOML file has the tables and keys of ``Preset``; ``base = "spoken-digits"`` starts from a named preset, and what is
not given keeps its value there. Every key that is not known is refused. The named presets are such files themselves,
in the folder ``catalogue``.
"""

from .building import (
    Built,
    build,
    build_grid_network,
    build_loss,
    build_network,
    build_optimizer,
    build_options,
    control_modes,
    initialize,
    with_mode,
)
from .checking import check_used, idle
from .presets import altered, change, from_dict, load, named, names, stored
from .settings import (
    DELAYS,
    DataSettings,
    GridSettings,
    LossSettings,
    NetworkSettings,
    OptimizerSettings,
    Preset,
    TrainingSettings,
)
from .sources import load_data

__all__ = [
    "DELAYS",
    "Built",
    "DataSettings",
    "GridSettings",
    "LossSettings",
    "NetworkSettings",
    "OptimizerSettings",
    "Preset",
    "TrainingSettings",
    "altered",
    "build",
    "build_grid_network",
    "build_loss",
    "build_network",
    "build_optimizer",
    "build_options",
    "change",
    "check_used",
    "control_modes",
    "from_dict",
    "idle",
    "initialize",
    "load",
    "load_data",
    "named",
    "names",
    "stored",
    "with_mode",
]
