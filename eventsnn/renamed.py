"""Names of earlier releases: what has moved is found where it was, with a warning that says where it is now."""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# {module of release 0.1.0: the modules, inside the package, that hold its names now}
MOVED = {
    "buffers": ("engines.cpu.memory",),
    "catalogue": ("experiments.catalogue",),
    "checks": ("network.structure", "network.arrays"),
    "cli": ("cli.commands", "cli.text", "cli.train"),
    "communicator": ("parallel.communicator",),
    "compiled": ("engines.cpu.engine", "engines.cpu.streaming", "engines.cpu.buffers", "engines.cpu.reading"),
    "controls": ("analysis.delays",),
    "data.braille": ("data.sets.braille",),
    "data.frames": ("data.stores.frames",),
    "data.hdf5": (
        "data.readers.spike_file", "data.readers.safe_hdf5", "data.readers.hdf5_storage",
        "data.readers.hdf5_attributes",
    ),
    "data.mnist": ("data.sets.mnist",),
    "data.packed": ("data.stores.packed",),
    "data.sequences": ("data.sets.sequences",),
    "data.shd": ("data.sets.shd",),
    "data.speech_commands": ("data.sets.speech_commands",),
    "data.spoken_digits": ("data.sets.spoken_digits",),
    "data.stored": ("data.stores.stored",),
    "data.yinyang": ("data.sets.yinyang",),
    "engines": (
        "training.methods.base", "training.methods.exact", "training.methods.grid", "training.methods.choosing",
    ),
    "gradients": ("losses.together",),
    "initializers": ("network.initializers",),
    "journal": ("experiments.journal",),
    "layout": ("engines.cpu.layout",),
    "losses": ("losses.base",),
    "memory": ("experiments.memory",),
    "naming": ("errors",),
    "network": ("network.graph", "network.network", "network.parts"),
    "optimizers": ("optimizers.base", "optimizers.settings", "optimizers.rules", "checks"),
    "plausibility": ("network.plausibility",),
    "plotting": (
        "analysis.voltage", "analysis.adjoint", "plotting.style", "plotting.recordings", "plotting.training",
    ),
    "presets": ("experiments",),
    "presets.building": ("experiments.building",),
    "presets.checking": ("experiments.checking",),
    "presets.reading": ("experiments.presets",),
    "presets.settings": ("experiments.settings",),
    "presets.sources": ("experiments.sources",),
    "reference": (
        "engines.reference.simulation", "engines.reference.arithmetic", "engines.reference.lif",
        "engines.reference.adjoint",
    ),
    "resuming": ("training.resuming",),
    "runs": ("experiments.runs", "experiments.results"),
    "sharding": ("parallel.sharding",),
    "signals": ("parallel.signals",),
    "simulation": ("checks", "engines.checking"),
    "spikes": ("spikes.batch", "spikes.cotangents", "engines.problem"),
    "structured": ("spikes.structured", "arrays"),
    "surrogate.network": ("surrogate.spread", "surrogate.slopes"),
    "sweeping": ("experiments.sweeping", "experiments.axes"),
    "synapses": ("network.synapses",),
    "testing": ("testing.gradients", "testing.engines", "testing.errors", "testing.cases"),
    "threads": ("parallel.threads",),
    "training": ("training.trainer", "training.state", "training.evaluation", "training.options", "training.identity"),
}  # fmt: skip
PACKAGE = __name__.rpartition(".")[0]


def find(module: str, name: str) -> Any:
    """Return what release 0.1.0 called ``name`` in ``module`` (without "eventsnn."), and warn of where it is now.

    A module's ``__getattr__`` asks for names that it has no longer. Raises AttributeError for a name that was never
    there.
    """
    for place in () if name.startswith("_") else MOVED.get(module, ()):
        home = import_module(f"{PACKAGE}.{place}")
        if name in vars(home):
            _warn(f"{PACKAGE}.{module}.{name}", f"{PACKAGE}.{place}.{name}")
            return getattr(home, name)
    raise AttributeError(f"module '{PACKAGE}.{module}' has no attribute {name!r}")


def _warn(before: str, now: str) -> None:
    depth = 2
    while depth < 20 and sys._getframe(depth).f_globals.get("__name__", "").startswith(("importlib", __name__)):
        depth += 1
    text = f"{before} has moved: write {now} (the old name works until release 1.0)"
    warnings.warn(text, DeprecationWarning, stacklevel=depth + 1)


class _OldModule(ModuleType):
    """A module of an earlier release that is no longer there: it hands on what took its place."""

    def __getattr__(self, name: str) -> Any:
        return find(self.__name__.removeprefix(f"{PACKAGE}."), name)


class _Loader:
    """Makes a module that stands for one of an earlier release."""

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        return _OldModule(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Nothing stands in it: each name is looked for when it is asked for."""


def spec_of(name: str) -> ModuleSpec | None:
    """Return what the import system asks for the module ``name`` ("eventsnn.runs"); None if it never was one."""
    if name.removeprefix(f"{PACKAGE}.") not in MOVED:
        return None
    return ModuleSpec(name, _Loader, is_package=True)  # type: ignore[arg-type]  # static methods will do
