"""Every public name of release 0.1.0 is found where it was, and a warning says where it is now."""

import ast
import os
import re
import subprocess
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import eventsnn
from eventsnn import renamed

ROOT = Path(__file__).resolve().parents[2]
NAMES = (Path(__file__).parent / "names_0_1_0.txt").read_text(encoding="utf-8").split()
SAID = re.compile(
    r"eventsnn\.(?P<old>\S+) has moved: write (?P<place>eventsnn\S*)\.(?P<name>\w+) \(.* until release 1\.0\)"
)


def asked(name):
    """(what is found under a name of the release, the DeprecationWarnings that this gives)."""
    module, _, last = name.rpartition(".")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        value = getattr(import_module(f"eventsnn.{module}" if module else "eventsnn"), last)
    return value, [warning for warning in found if issubclass(warning.category, DeprecationWarning)]


def is_at_home(place, name):
    """Whether a module defines a name, or lists it as its own in ``__all__``: not every import of it is its place."""
    home = import_module(place)
    tree = ast.parse(Path(home.__file__).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [t for n in tree.body for t in getattr(n, "targets", [getattr(n, "target", None)]) if t is not None]
    defined |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return name in defined or name in getattr(home, "__all__", ())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in renamed.GONE])
def test_a_name_is_found_where_it_was(name):
    value, found = asked(name)
    assert len(found) <= 1
    for warning in found:
        said = SAID.fullmatch(str(warning.message))
        assert said and said["old"] == name
        assert Path(warning.filename) == Path(__file__), "the warning is for the line that asked"
        assert is_at_home(said["place"], said["name"])
        with warnings.catch_warnings(action="error"):
            assert getattr(import_module(said["place"]), said["name"]) is value


@pytest.mark.parametrize("name", renamed.GONE)
def test_a_name_that_nothing_stands_for_says_so(name):
    assert name in NAMES
    with pytest.raises(AttributeError, match="is no longer there: ") as error:
        asked(name)
    for place, last in re.findall(r"(eventsnn(?:\.\w+)*)\.(\w+)", str(error.value).partition(": ")[2]):
        assert hasattr(import_module(place), last), "what it says to write is there"


def test_the_list_is_that_of_the_release():
    modules = {name.rpartition(".")[0] for name in NAMES}
    assert len(NAMES) == len(set(NAMES)) > 500
    assert {"", "losses", "presets", "presets.building", "data.hdf5", "surrogate.network", "training"} <= modules
    assert [module for module in modules if module and find_spec(f"eventsnn.{module}") is None] == []
    assert set(renamed.MOVED) <= modules and set(renamed.RENAMED) | set(renamed.GONE) <= set(NAMES)


def test_the_changelog_lists_the_modules():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| `([\w.]+)` \| (.+) \|$", text.partition("**New places**")[2], re.MULTILINE))
    assert said == {old: ", ".join(f"`{place}`" for place in places) for old, places in renamed.MOVED.items()}


def test_what_was_never_there_is_not_found():
    with pytest.raises(AttributeError, match="module 'eventsnn.runs' has no attribute 'no_such_name'"):
        asked("runs.no_such_name")
    with pytest.raises(AttributeError, match="_private"):
        asked("runs._private")
    with pytest.raises(ModuleNotFoundError):
        import_module("eventsnn.no_such_module")


@pytest.mark.parametrize(
    "line, said",
    [
        ("from eventsnn.presets import nonsense", "What stood in it is now in eventsnn.experiments."),
        ("import eventsnn.presets; eventsnn.presets.nonsense", "What stood in it is now in eventsnn.experiments."),
        ("from eventsnn.presets import namd", "Did you mean 'named'?"),
        ("from eventsnn.runs import trane_all", "eventsnn.experiments.runs. Did you mean 'train_all'?"),
        ("from eventsnn.catalogue import PRESETS", "is no longer there: write eventsnn.experiments.named"),
        ("from eventsnn.network import NEURON_ATTRIBUTES", "is no longer there: write [field.name"),
        ("from eventsnn.simulation import ENGINES", "is no longer there: write eventsnn.engines.names()"),
    ],
)
def test_a_wrong_name_is_answered_with_where_to_look(line, said):
    wanted = ImportError if line.startswith("from") else AttributeError
    with pytest.raises(wanted) as error:
        exec(line, {})
    assert said in str(error.value)


def test_a_wrong_name_in_a_module_that_is_still_there_is_as_always():
    with pytest.raises(AttributeError) as error:
        asked("network.base.no_such_name")
    assert "What stood" not in str(error.value)
    with pytest.raises(ModuleNotFoundError):
        import_module("eventsnn.presets.no_such_module")


@pytest.mark.parametrize(
    "line", ["from eventsnn.presets import named", "from eventsnn.losses import check_labels", "import m; m.named"]
)
def test_a_line_is_warned_of_once(line, monkeypatch):
    monkeypatch.setitem(sys.modules, "m", import_module("eventsnn.presets"))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        exec(compile(line, "script.py", "exec"), {"__name__": "script"})
    assert [(warning.filename, warning.lineno) for warning in found] == [("script.py", 1)]


@pytest.mark.parametrize(
    "line",
    [
        "import eventsnn.presets.building as m; m.build",
        "from eventsnn.presets import named, building; building.build; named",
        "import eventsnn.presets; eventsnn.presets.building.build",
        "from eventsnn.presets import *; named('yin-yang')",
        "from eventsnn.runs import *; train_all",
        "from eventsnn.data import braille, frames; braille.load_braille; frames.Frames",
        "import eventsnn; eventsnn.data.shd.load_shd; eventsnn.data.packed.PackedSpikes",
        "from eventsnn.data.hdf5 import SpikeFile; import eventsnn.data.yinyang",
        "from eventsnn.cli import main, FAILED; assert callable(main) and FAILED == 2",
        "from eventsnn import runs, sweeping, cli, presets, simulation, reference, compiled, controls",
        "import eventsnn.surrogate.network as m; m.Spread, m.Triangle, m.GridNetwork",
        "import eventsnn.network as m; assert isinstance(m.Network, type)",
        "import pickle; assert pickle.loads(b'ceventsnn.runs\\ncount_parameters\\n.').__name__ == 'count_parameters'",
    ],
)
def test_modules_are_imported_in_every_way(line):
    subprocess.run([sys.executable, "-W", "ignore", "-c", line], check=True, cwd=ROOT)


def test_a_script_of_before_is_shown_the_line_to_change(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from eventsnn.losses import (\n    check_labels,\n)\nfrom eventsnn import runs\n\nruns.train\n")
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment(), check=True)
    lines = [line for line in found.stderr.splitlines() if "DeprecationWarning" in line]
    assert [line.partition(": Dep")[0] for line in lines] == [f"{script}:1", f"{script}:6"]
    assert "eventsnn.experiments.runs.train" in lines[1]


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


USE = """
import numpy as np
import eventsnn
from eventsnn import Adam, Dataset, Network, Normal, SpikeBatch, Trainer, Uniform, losses, plotting, simulate
from eventsnn.cli import main

network = Network()
network.add_input("input", 2)
network.add_lif("hidden", 3)
network.add_readout("output", 2)
network.connect("input", "hidden", weight=Normal(2.0, 0.5), delay=Uniform(0.0, 5.0))
network.connect("hidden", "output", weight=Normal(0.0, 0.5))
data = Dataset(SpikeBatch.from_lists([([1.0, 5.0], [0, 1]), ([2.0, 7.0], [1, 0])] * 2), [0, 1, 0, 1], 2, 2, 30.0)
parameters = network.initialize(0)
recording = simulate(network, parameters, data.spikes, duration=30.0)
simulate(network, parameters, data.spikes[:1], duration=30.0, engine="reference")
trainer = Trainer(network, parameters, loss=losses.MeanVoltage(), optimizer=Adam(1e-2), progress=False)
trainer.fit(data, data, epochs=1)
trainer.predict(data.spikes)
plotting.raster(recording, 0, "raster.png", network=network)
plotting.voltage_trace(network, parameters, recording, 0, "hidden", [0], "voltage.png")
plotting.delay_histogram(parameters, trainer.parameters, "delays.png")
for name in [*eventsnn.__all__]:
    getattr(eventsnn, name)
assert main(["presets"]) == 0
assert main(["presets", "yin-yang"]) == 0
assert main(["train", "yin-yang", "--set", "data.samples=20", "training.epochs=1", "--out", "run", "--quiet"]) == 0
"""


def test_the_package_uses_no_old_name_itself(tmp_path):
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", USE]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert found.returncode == 0, found.stderr


def test_every_module_is_imported_without_a_warning():
    package = Path(eventsnn.__file__).parent
    files = [path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py")]
    modules = sorted(".".join(path.parts).removesuffix(".__init__") for path in files if path.name != "__main__")
    text = "\n".join(f"import {module}" for module in modules)
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", text], check=True, env=environment())
