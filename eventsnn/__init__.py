"""Spiking neural networks in continuous time, event by event, with exact gradients for every weight and delay.

Times are in ms, voltages and currents in units of the default threshold. In the order in which data flows:
SpikeBatch -> Network -> simulate -> Recording -> losses -> value_and_grad -> Adam, SGD -> Trainer -> checkpoints.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# For tools that complete and check; a test holds this block and the table below to the same names.
if TYPE_CHECKING:
    from . import analysis as analysis
    from . import checkpoints as checkpoints
    from . import data as data
    from . import engines as engines
    from . import errors as errors
    from . import experiments as experiments
    from . import losses as losses
    from . import network as network
    from . import optimizers as optimizers
    from . import parallel as parallel
    from . import plotting as plotting
    from . import spikes as spikes
    from . import surrogate as surrogate
    from . import testing as testing
    from . import training as training
    from .citing import citation as citation
    from .data.augment import Augmentation as Augmentation
    from .data.dataset import Dataset as Dataset
    from .errors import CheckpointError as CheckpointError
    from .errors import Conflict as Conflict
    from .errors import EventsnnError as EventsnnError
    from .errors import EventStorm as EventStorm
    from .errors import FileError as FileError
    from .errors import InvalidInput as InvalidInput
    from .errors import NetworkError as NetworkError
    from .errors import NotFinite as NotFinite
    from .errors import RankFailed as RankFailed
    from .errors import UnsafeFile as UnsafeFile
    from .errors import Unsupported as Unsupported
    from .errors import ZeroDelayCycle as ZeroDelayCycle
    from .gradients import value_and_grad as value_and_grad
    from .network.initializers import Constant as Constant
    from .network.initializers import Given as Given
    from .network.initializers import HalfNormal as HalfNormal
    from .network.initializers import Kaiming as Kaiming
    from .network.initializers import Normal as Normal
    from .network.initializers import Orthogonal as Orthogonal
    from .network.initializers import Uniform as Uniform
    from .network.network import Network as Network
    from .optimizers.rules import SGD as SGD
    from .optimizers.rules import Adam as Adam
    from .optimizers.schedules import ConstantRate as ConstantRate
    from .optimizers.schedules import Cosine as Cosine
    from .optimizers.schedules import EaseIn as EaseIn
    from .optimizers.schedules import Exponential as Exponential
    from .optimizers.schedules import OneCycle as OneCycle
    from .simulation import simulate as simulate
    from .simulation import stream as stream
    from .spikes.batch import SpikeBatch as SpikeBatch
    from .spikes.batch import SpikeTrain as SpikeTrain
    from .spikes.cotangents import Cotangents as Cotangents
    from .spikes.cotangents import Probe as Probe
    from .spikes.recording import Recording as Recording
    from .surrogate.network import GridNetwork as GridNetwork
    from .training.evaluation import Evaluation as Evaluation
    from .training.evaluation import evaluate as evaluate
    from .training.options import TrainingOptions as TrainingOptions
    from .training.state import History as History
    from .training.state import load_history as load_history
    from .training.state import load_model as load_model
    from .training.trainer import Trainer as Trainer
    from .warming import warmup as warmup

# Names are imported on first use: Numba alone takes longer to import than many a script that only reads data runs.
_HOME = {
    **dict.fromkeys(("SpikeTrain", "SpikeBatch"), "spikes.batch"),
    **dict.fromkeys(("Cotangents", "Probe"), "spikes.cotangents"),
    "Recording": "spikes.recording",
    "Network": "network.network",
    "GridNetwork": "surrogate.network",
    **dict.fromkeys(
        ("Constant", "Given", "Normal", "Uniform", "HalfNormal", "Orthogonal", "Kaiming"), "network.initializers"
    ),
    **dict.fromkeys(("simulate", "stream"), "simulation"),
    "value_and_grad": "gradients",
    "warmup": "warming",
    "citation": "citing",
    **dict.fromkeys(("Adam", "SGD"), "optimizers.rules"),
    **dict.fromkeys(("ConstantRate", "EaseIn", "Exponential", "Cosine", "OneCycle"), "optimizers.schedules"),
    "Dataset": "data.dataset",
    "Augmentation": "data.augment",
    "Trainer": "training.trainer",
    "TrainingOptions": "training.options",
    **dict.fromkeys(("Evaluation", "evaluate"), "training.evaluation"),
    **dict.fromkeys(("History", "load_history", "load_model"), "training.state"),
    **dict.fromkeys(
        (
            "EventsnnError", "InvalidInput", "Unsupported", "Conflict", "NetworkError", "ZeroDelayCycle", "EventStorm",
            "NotFinite", "CheckpointError", "FileError", "UnsafeFile", "RankFailed",
        ),
        "errors",
    ),
}  # fmt: skip
_ROOMS = (
    "analysis", "checkpoints", "data", "engines", "errors", "experiments", "losses", "network", "optimizers",
    "parallel", "plotting", "spikes", "surrogate", "testing", "training",
)  # fmt: skip

__all__ = [*_HOME, *_ROOMS, "__version__"]


class _Earlier:
    """Finds modules of earlier releases where they are now; asked for those alone that are nowhere else."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if not name.startswith(f"{__name__}."):
            return None
        return import_module(".renamed", __name__).spec_of(name)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _ROOMS:
        value = import_module(f".{name}", __name__)
    else:
        # not `from . import renamed`, which would ask here for that name
        renamed = import_module(".renamed", __name__)
        if name not in renamed.MOVED:
            asks = "" if name.startswith("_") else renamed.question(name, __all__)
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{asks}")
        value = import_module(f".{name}", __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _find_what_has_moved() -> None:
    from sys import meta_path

    meta_path.append(_Earlier)


_find_what_has_moved()
