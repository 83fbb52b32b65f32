"""The documentation runs, and what it names is there.

The Python blocks of each page are run in order, as one script in an empty folder.

A block after a line `<!-- not run: reason -->` is left out. The script keeps the page's line numbers, so that an error
points to the page.
"""

import os
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

import eventsnn
from eventsnn import cli
from eventsnn.cli.commands import make_parser
from eventsnn.experiments import Preset

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
MORE_PAGES = [ROOT / "CHANGELOG.md", *(ROOT / "benchmarks").rglob("*.md"), *(ROOT / "datasets").glob("*.md")]
PYTHON = sorted([*(ROOT / "eventsnn").rglob("*.py"), *(ROOT / "docs").glob("*.py")])
NOT_RUN = re.compile(r"<!-- not run: .+ -->")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SECTION = re.compile(r"docs/mathematics\.md,\s+sections? (\d)(?: to (\d))?")
SECONDS = 1800  # after which a script hangs: the machine may be busy, and kernels have to be compiled


def script_of(text):
    """The Python blocks of a page, each line where it stands in the page."""
    lines, inside, before = [], False, ""
    for line in text.splitlines():
        stripped = line.strip()
        if not inside and stripped == "```python" and not NOT_RUN.fullmatch(before):
            inside = True
            lines.append("")
        elif inside and stripped == "```":
            inside = False
            lines.append("")
        else:
            lines.append(line if inside else "")
        before = stripped or before
    return "\n".join(lines) + "\n"


WITH_CODE = [page for page in PAGES if script_of(page.read_text()).strip()]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_on_the_page_runs(page, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(script_of(page.read_text()))
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EVENTSNN_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=SECONDS,
    )  # fmt: skip
    assert result.returncode == 0, f"{page.name}: {result.stderr}"


def first_blocks(text):
    """The first Python block of each section, which a reader takes away alone."""
    sections = [re.search(r"^```python\n(.+?)^```$", part, re.MULTILINE | re.DOTALL) for part in text.split("\n## ")]
    return [found[1] for found in sections if found]


@pytest.mark.parametrize("k", range(6))
def test_what_each_part_of_the_page_on_extending_shows_first_runs_alone(k, tmp_path):
    blocks = first_blocks((ROOT / "docs/how-to/extend.md").read_text(encoding="utf-8"))
    assert len(blocks) == 6
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EVENTSNN_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", blocks[k]], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip
    assert result.returncode == 0, f"{blocks[k].splitlines()[0]}: {result.stderr}"


def test_blocks_are_found_and_marked_ones_left_out():
    page = "text\n```python\na = 1\n```\n<!-- not run: no data -->\n```python\nb = 2\n```\n"
    assert script_of(page) == "\n\na = 1\n\n\n\n\n\n"
    assert ROOT / "README.md" in WITH_CODE


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_code_refers_to_sections_that_exist():
    present = set(re.findall(r"^## (\d)\.", (ROOT / "docs/mathematics.md").read_text(), re.MULTILINE))
    cited = set()
    for path in (ROOT / "eventsnn").rglob("*.py"):
        text = " ".join(path.read_text().split())
        for first, last in SECTION.findall(text):
            cited |= {str(number) for number in range(int(first), int(last or first) + 1)}
        pages = re.findall(r"docs/[\w-]+\.md", text)
        assert [page for page in pages if not (ROOT / page).is_file()] == [], path
    assert cited and cited <= present


def test_the_make_targets_named_on_the_pages_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for page in PAGES for name in re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert {"train", "test"} <= named <= targets


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_continues_what_it_has_trained(tmp_path):
    def commands(target, *settings):
        line = ["make", "-n", "-C", str(ROOT), target, f"RESULTS={tmp_path}/runs", *settings]
        done = subprocess.run(line, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        (found,) = re.findall(r"^\S+/eventsnn (.+)$", done.stdout.replace("\\\n", " "), re.MULTILINE)
        return make_parser().parse_args(found.split())

    first, compared = commands("train"), commands("controls")
    assert (first.preset, first.out, first.seeds) == ("spoken-digits-small", f"{tmp_path}/runs/seed-0", [0])
    assert (compared.out, compared.seeds, compared.controls) == (f"{tmp_path}/runs", [0, 1, 2], ["fixed", "none"])
    assert not first.resume and not compared.resume
    assert commands("controls", "SEEDS=4").out == f"{tmp_path}/runs/seed-4"
    (tmp_path / "runs/seed-0").mkdir(parents=True)
    (tmp_path / "runs/seed-0/checkpoint-1").touch()
    assert commands("train").resume and commands("controls").resume and not commands("train", "SEEDS=1 2").resume


def test_the_commands_and_options_named_on_the_pages_exist(capsys):
    named = {}
    for page in PAGES:
        for command, rest in re.findall(r"`(?:\.venv/bin/)?eventsnn ([a-z]+)([^`]*)`", page.read_text()):
            named.setdefault(command, set()).update(re.findall(r"--[a-z-]+", rest))
    assert {"train", "evaluate", "plot", "presets", "info"} <= set(named)
    for command, options in named.items():
        assert cli.main([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert [option for option in options if option not in text] == [], command


# ------------------------------------------------------------------------------------------ what pages and code name

FOLDERS = "benchmarks|datasets|docs|eventsnn|examples|findings|tests"
# a path from the root of the project, wherever it stands; NAME and runs are what readers put there
ROOTED = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]*[\w/]")
QUOTED = re.compile(r"`+([\w./-]+(?:\.py|/))`+")
DOTTED = re.compile(r"(?<![\w/])eventsnn(?:\.[A-Za-z_]\w*)+")
DEFINED = re.compile(r"`(\w+)` in `([\w/.-]+\.py)`")
PLACEHOLDERS = re.compile(r"\b(?:NAME|DIR|MODE|N)\b|^runs/|^extra/$")
# modules that pages name without their room
WITHOUT_ROOM = {"hdf5": "data.hdf5"}


def paths_in(text):
    """The files and folders that a text names."""
    return {name for name in [*ROOTED.findall(text), *QUOTED.findall(text)] if not PLACEHOLDERS.search(name)}


def exists(name, page):
    """Whether a path leads somewhere from the root, the package, or the page's folder."""
    places = (ROOT, ROOT / "eventsnn", page.parent)
    return any((place / name).exists() or (place / f"{name}.py").exists() for place in places)


def resolved(name):
    """What a dotted name "eventsnn.x.y" stands for; raises AttributeError for what is not there, or has moved."""
    first, *rest = name.split(".")
    found, place = import_module(first), first
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for part in rest:
            place = f"{place}.{part}"
            try:
                found = getattr(found, part)
            except AttributeError:
                if not hasattr(found, "__path__"):
                    raise
                found = import_module(place)
            except DeprecationWarning as moved:
                raise AttributeError(str(moved)) from None
    return found


def is_there(name):
    try:
        resolved(name)
    except (AttributeError, ImportError):
        return False
    return True


def test_names_that_have_moved_are_found_out():
    assert is_there("eventsnn.data.hdf5.read") and is_there("eventsnn.engines.base")
    assert not is_there("eventsnn.presets.load_data") and not is_there("eventsnn.network.NEURON_ATTRIBUTES")
    assert paths_in("see `kernels/x.py`, `layers/`, docs/why.md and runs/NAME") == {
        "kernels/x.py", "layers/", "docs/why.md"
    }  # fmt: skip


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_and_names_on_the_pages_exist(page):
    text = page.read_text(encoding="utf-8")
    assert [name for name in sorted(paths_in(text)) if not exists(name, page)] == []
    assert [name for name in sorted(set(DOTTED.findall(text))) if not is_there(name)] == []
    for name, path in DEFINED.findall(text):
        places = (ROOT / path, ROOT / "eventsnn" / path)
        found = next(place for place in places if place.is_file()).read_text(encoding="utf-8")
        assert re.search(rf"^(?:def|class) {name}\b|^{name} =", found, re.MULTILINE), f"{name} is not in {path}"


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_names_of_rooms_on_the_pages_exist(page):
    tables = {item.name: getattr(Preset(), item.name) for item in fields(Preset)}
    keys = {f"{table}.{item.name}" for table, value in tables.items() if is_dataclass(value) for item in fields(value)}
    rooms = {room: room for room in eventsnn._ROOMS} | WITHOUT_ROOM
    quoted = r"`({})((?:\.(?!py\b)[A-Za-z_]\w*)+)[`(=]".format("|".join(rooms))
    for room, rest in re.findall(quoted, page.read_text(encoding="utf-8")):
        assert f"{room}{rest}" in keys or is_there(f"eventsnn.{rooms[room]}{rest}"), f"{room}{rest}"


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_and_names_in_the_code_exist(path):
    if path.name == "renamed.py":
        return
    text = path.read_text(encoding="utf-8")
    assert [name for name in sorted(paths_in(text)) if not exists(name, path)] == []
    assert [name for name in sorted(set(DOTTED.findall(text))) if not is_there(name)] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/how-to/extend.md"])
def test_tables_are_those_of_the_code(name, load_script):
    page = (ROOT / name).read_text(encoding="utf-8")
    script = load_script(ROOT / "docs/make_tables.py")
    assert script.TABLE.search(page) and ROOT / name in script.PAGES
    assert script.written(page) == page, "run python docs/make_tables.py"


FURTHER = """
import sys
import numpy as np
from eventsnn import Network, Normal, SpikeBatch, Uniform, losses, simulate, value_and_grad
from eventsnn.testing import check_gradients

def found(engine, check=False, **settings):
    network = Network()
    network.add_input("in", 2)
    network.add_lif("a", 3, v_rest=0.1, **settings)
    network.add_readout("out", 2, **{key: value for key, value in settings.items() if key != "v_rest"})
    network.connect("in", "a", weight=Normal(2.0, 0.5), delay=Uniform(0, 5))
    network.connect("a", "out", weight=Normal(0.5, 0.5))
    parameters, batch = network.initialize(0), SpikeBatch.from_lists([([1.0, 4.0, 9.0], [0, 1, 0])])
    task = {"loss": losses.MeanVoltage(), "duration": 40.0, "engine": engine}
    if check:
        check_gradients(network, parameters, batch, [0], **task, n_coordinates=None)
    _, gradients = value_and_grad(network, parameters, batch, [0], **task)
    times = simulate(network, parameters, batch, duration=40.0, engine=engine).times
    return times, gradients[f"a.{settings['train']}"], gradients[f"out.{settings['train']}"]

engine = sys.argv[1]
one = found(engine, bias=0.8, train="bias")
two = found(engine, check=engine == "reference", bias=0.5, drive=0.3, train="drive")
assert one[0].size > 3 and np.abs(one[1]).max() > 1e-4 and all(map(np.allclose, one, two)), (one, two)
"""


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed")
@pytest.mark.parametrize("engine", ["reference", pytest.param("compiled", marks=pytest.mark.long)])
def test_the_further_constant_of_the_page_is_one(engine, tmp_path):
    """The changes that the page shows are all of them: in a copy, both engines have the constant."""
    page = (ROOT / "docs/how-to/extend.md").read_text(encoding="utf-8")
    (changes,) = re.findall(r"^```diff\n(.+?)^```$", page, re.MULTILINE | re.DOTALL)
    shutil.copytree(ROOT / "eventsnn", tmp_path / "eventsnn", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["patch", "-p1", "--fuzz=0"], input=changes, text=True, check=True, cwd=tmp_path)
    listed = page.split("### A further constant")[1]
    for name in re.findall(r"^\+\+\+ b/(\S+)", changes, re.MULTILINE):
        assert f"| `{name}` |" in listed
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "EVENTSNN_CACHE": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", FURTHER, engine], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
