"""Spiking neural networks in continuous time, event by event, with exact gradients for every weight and delay.

Times are in ms, voltages and currents in units of the default threshold. In the order in which data flows:
SpikeBatch -> Network -> simulate -> Recording -> losses -> value_and_grad -> Adam, SGD -> Trainer -> checkpoints.
"""

from importlib import import_module

__version__ = "0.1.0"

# Names are imported on first use: Numba alone takes longer to import than many a script that only reads data runs.
_HOME = {
    "SpikeTrain": "spikes",
    "SpikeBatch": "spikes",
    "Recording": "spikes",
    "Cotangents": "spikes",
    "Probe": "spikes",
    "Network": "network",
    "Constant": "initializers",
    "Given": "initializers",
    "Normal": "initializers",
    "Uniform": "initializers",
    "HalfNormal": "initializers",
    "Orthogonal": "initializers",
    "Kaiming": "initializers",
    "simulate": "simulation",
    "stream": "simulation",
    "value_and_grad": "gradients",
    "warmup": "warming",
    "Adam": "optimizers",
    "SGD": "optimizers",
    "ConstantRate": "optimizers",
    "EaseIn": "optimizers",
    "Exponential": "optimizers",
    "Cosine": "optimizers",
    "OneCycle": "optimizers",
    "Trainer": "training",
    "load_model": "training",
    "EventsnnError": "errors",
    "InvalidInput": "errors",
    "NetworkError": "errors",
    "ZeroDelayCycle": "errors",
    "EventStorm": "errors",
    "NotFinite": "errors",
    "CheckpointError": "errors",
    "FileError": "errors",
    "UnsafeFile": "errors",
    "RankFailed": "errors",
}
_MODULES = ("checkpoints", "data", "errors", "losses", "optimizers", "plotting", "presets", "testing", "training")

__all__ = [*_HOME, *_MODULES, "__version__"]


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name in _MODULES:
        value = import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
