"""Names of earlier releases: what has moved is found where it was, with a warning that says where it is now."""

import difflib
import dis
import sys
import warnings
from collections.abc import Iterable
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

# {module of release 0.1.0: the modules, inside the package, that hold its names now}; those that others import come
# first, so that a name is said to be where it is defined
MOVED = {
    "buffers": ("engines.cpu.memory",),
    "catalogue": ("experiments.catalogue",),
    "checks": ("network.structure", "network.arrays"),
    "cli": ("cli.text", "cli.plot", "cli.train", "cli.commands"),
    "communicator": ("parallel.communicator",),
    "compiled": ("engines.cpu.buffers", "engines.cpu.reading", "engines.cpu.streaming", "engines.cpu.engine"),
    "controls": ("analysis.delays",),
    "data.braille": ("data.sets.braille",),
    "data.frames": ("data.stores.frames",),
    "data.hdf5": (
        "data.readers.safe_hdf5", "data.readers.hdf5_storage", "data.readers.hdf5_attributes",
        "data.readers.spike_file",
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
    "layout": ("kernels.neurons.lif.laying", "engines.cpu.layout"),
    "losses": ("losses.base",),
    "memory": ("experiments.memory",),
    "naming": ("errors",),
    "network": ("network.graph", "network.parts", "network.network"),
    "optimizers": ("checks", "optimizers.settings", "optimizers.base", "optimizers.rules"),
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
        "engines.reference.arithmetic", "engines.reference.quadrature", "engines.reference.lif",
        "engines.reference.simulation", "engines.reference.adjoint",
    ),
    "runs": ("experiments.results", "experiments.runs"),
    "sharding": ("parallel.sharding",),
    "simulation": ("checks", "engines.checking"),
    "spikes": ("spikes.batch", "spikes.cotangents", "engines.problem"),
    "surrogate.network": ("surrogate.spread", "surrogate.slopes"),
    "sweeping": ("experiments.axes", "experiments.sweeping"),
    "testing": ("testing.errors", "testing.cases", "testing.gradients", "testing.engines"),
    "threads": ("parallel.threads",),
    "training": ("training.identity", "training.options", "training.evaluation", "training.state", "training.trainer"),
}  # fmt: skip
# {name of release 0.1.0: the name that it has now, where that is another, or stands in a module of other matters}
RENAMED = {
    "engines.EventEngine": "training.methods.exact.ExactMethod",
    "engines.GridEngine": "training.methods.grid.GridMethod",
    "engines.engine_of": "training.methods.choosing.method_of",
    "network.SMALLEST_TAU": "neurons.lif.SMALLEST_TAU",
    "network.SMALLEST_THRESHOLD": "neurons.lif.SMALLEST_THRESHOLD",
    "optimizers.FLUSH_EVERY": "optimizers.rules.FORGET_EVERY",
    "optimizers.NEGLIGIBLE": "kernels.negligible.NEGLIGIBLE",
    "presets.checking.nearest": "checks.nearest",
    "runs.CHECKPOINT": "training.state.CHECKPOINT",
    "runs.load": "training.state.load_model",
    "spikes.LARGEST_UNIT": "arrays.LARGEST_UNIT",
    "training.SMALL_SHARE": "network.plausibility.SMALL_SHARE",
}
# {name of release 0.1.0 that nothing stands for: what to write instead}
GONE = {
    "catalogue.PRESETS": "write eventsnn.experiments.named(name); the settings are files in experiments/catalogue",
    "cli.INTERRUPTED": "write eventsnn.parallel.signals.exit_status(interrupt)",
    "communicator.INTERRUPTED": "write eventsnn.parallel.signals.exit_status(interrupt)",
    "compiled.backward": "write eventsnn.value_and_grad",
    "compiled.forward": "write eventsnn.simulate",
    "compiled.stream": "write eventsnn.stream",
    "network.NEURON_ATTRIBUTES": "write [field.name for field in eventsnn.neurons.MODELS[kind].fields]",
    "plotting.save_all": "write [draw() for draw in eventsnn.plotting.of_run(...).values()]",
    "reference.LONGEST_MEMORY": "the reference engine has no such limit",
    "reference.backward": 'write eventsnn.value_and_grad(..., engine="reference")',
    "runs.pictures": "write eventsnn.plotting.of_run",
    "simulation.ENGINES": "write eventsnn.engines.names()",
    "threads.map_in_order": "write eventsnn.parallel.threads.in_order",
    "training.warn_of_late_spikes": "write eventsnn.network.plausibility.doubts",
}  # fmt: skip
PACKAGE = __name__.rpartition(".")[0]


def find(module: str, name: str) -> Any:
    """Return what release 0.1.0 called ``name`` in ``module`` (without "eventsnn."), and warn of where it is now.

    A module's ``__getattr__`` asks for names that it has no longer. Raises AttributeError for a name that was never
    there, and for one that nothing stands for; to ``from module import name`` it is an ImportError with the same text.
    """
    before = f"{module}.{name}"
    if before in MOVED:
        return import_module(f"{PACKAGE}.{before}")
    if before in GONE:
        raise _missing(f"{PACKAGE}.{before} is no longer there: {GONE[before]}")
    places = MOVED.get(module, ())
    if before in RENAMED:
        place, _, name = RENAMED[before].rpartition(".")
        places = (place,)
    for place in () if name.startswith("_") else places:
        home = import_module(f"{PACKAGE}.{place}")
        if name in vars(home):
            _warn(f"{PACKAGE}.{before}", f"{PACKAGE}.{place}.{name}")
            return getattr(home, name)
    raise _missing(f"module '{PACKAGE}.{module}' has no attribute {name!r}{_hint(module, name)}")


def _hint(module: str, name: str) -> str:
    """Where to look for a name that was never in a module, which may be no longer there, or for other matters."""
    if name.startswith("_"):
        return ""
    there = sys.modules.get(f"{PACKAGE}.{module}")
    own = "" if isinstance(there, _OldModule) else question(name, getattr(there, "__all__", ()))
    if own or module not in MOVED:
        return own
    places = " and ".join(f"{PACKAGE}.{place}" for place in MOVED[module])
    return f". What stood in it is now in {places}{question(name, _all_of(module)) or '.'}"


def question(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not there, which asks for the known one that is most like it."""
    near = difflib.get_close_matches(name, known, 1)
    return f". Did you mean {near[0]!r}?" if near else ""


def _missing(text: str) -> Exception:
    """The error that says this to who asked: of an AttributeError in an import Python would show a text of its own."""
    asker, _ = _asker()
    imports = asker.f_lasti >= 0 and asker.f_code.co_code[asker.f_lasti] == dis.opmap["IMPORT_FROM"]
    return ImportError(text) if imports else AttributeError(text)


def _warn(before: str, now: str) -> None:
    """Warn at the line that asked for the old name."""
    asker, again = _asker()
    if again:
        return
    text = f"{before} has moved: write {now} (the old name works until release 1.0)"
    # by the frame itself: stacklevel counts no frames of imports
    place = (asker.f_code.co_filename, asker.f_lineno, asker.f_globals.get("__name__"))
    warnings.warn_explicit(
        text, DeprecationWarning, *place, registry=asker.f_globals.setdefault("__warningregistry__", {})
    )


def _asker() -> tuple[FrameType, bool]:
    """(who asks for a name, whether it will ask again): neither this file, nor a module's hook, nor an import.

    ``from module import name`` looks whether the name is there, and then takes it.
    """
    frame, again = sys._getframe(1), False
    while frame.f_back is not None and _passes_on(frame):
        again = again or frame.f_code.co_name == "_handle_fromlist"
        frame = frame.f_back
    return frame, again


def _passes_on(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return name.startswith(("importlib", __name__)) or (
        name.startswith(f"{PACKAGE}.") and frame.f_code.co_name == "__getattr__"
    )


def _all_of(module: str) -> list[str]:
    """What ``from module import *`` brings of a module that is no longer there."""
    homes = [import_module(f"{PACKAGE}.{place}") for place in MOVED[module]]
    found = dict.fromkeys(name for home in homes for name in getattr(home, "__all__", vars(home)))
    return [name for name in found if not (name.startswith("_") or f"{module}.{name}" in GONE)]


class _OldModule(ModuleType):
    """A module of an earlier release that is no longer there: it hands on what took its place."""

    def __getattr__(self, name: str) -> Any:
        module = self.__name__.removeprefix(f"{PACKAGE}.")
        return _all_of(module) if name == "__all__" else find(module, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_all_of(self.__name__.removeprefix(f"{PACKAGE}."))})


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
