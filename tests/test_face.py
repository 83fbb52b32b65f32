"""The face that tools read: names that an editor completes, and types that checkers hold users' scripts to."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jedi
import pytest

import eventsnn

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "eventsnn"
HANG = 240  # seconds after which a checker is given up; alone it takes a twentieth
RIGHT = """from eventsnn import Network, SpikeBatch, simulate
network = Network()
network.add_input("in", 2)
network.add_lif("hidden", 3)
network.connect("in", "hidden", weight=1.0, delay=2.0)
print(simulate(network, network.initialize(0), SpikeBatch.from_lists([([1.0], [0])]), duration=9.0).times)
"""
# {file: (what it says wrong, what both checkers say of it)}
WRONG = {
    "method.py": (RIGHT.replace("add_lif", "add_lift"), "add_lift"),
    "keyword.py": (RIGHT.replace("delay=", "delays="), "delays"),
    "argument.py": (RIGHT.replace("duration=9.0", "duration='9 ms'"), "duration"),
}


# ------------------------------------------------------------------------------------------------- names


def written():
    """{name: module inside the package} of the block that tools read."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    found = {}
    for node in (node for block in blocks for node in block.body):
        if node.level == 0:  # for the annotations of the file itself
            continue
        (alias,) = node.names
        assert alias.asname == alias.name, f"`{alias.name} as {alias.name}` says that it is public"
        assert alias.name not in found, f"{alias.name} twice"
        found[alias.name] = node.module
    return found


def test_the_block_for_tools_names_what_the_table_does():
    table = {**eventsnn._HOME, **dict.fromkeys(eventsnn._ROOMS)}
    assert written() == table
    assert [*table, "__version__"] == eventsnn.__all__


def completions(text):
    return {found.name for found in jedi.Script(text, project=jedi.Project(ROOT)).complete()}


def test_an_editor_completes_every_public_name():
    public = set(eventsnn.__all__) - {"__version__"}
    assert public <= completions("from eventsnn import ")
    assert public <= completions("import eventsnn\neventsnn.")


def test_an_editor_completes_methods_and_what_functions_return():
    assert {"add_input", "add_lif", "connect", "initialize"} <= completions("import eventsnn\neventsnn.Network().")
    assert {"MeanVoltage", "FirstSpike"} <= completions("from eventsnn import losses\nlosses.")
    recording = RIGHT.replace("print(", "recording = (").replace(".times", "") + "recording."
    assert {"spikes", "readouts", "spike_counts"} <= completions(recording)


# ------------------------------------------------------------------------------------------------- types


def scripts(folder):
    """Write what is checked: a right script, wrong ones, the first of the README and all examples."""
    readme = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (folder / "readme.py").write_text(readme[1], encoding="utf-8")
    (folder / "right.py").write_text(RIGHT)
    for name, (text, _) in WRONG.items():
        (folder / name).write_text(text)
    for path in (ROOT / "examples").glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    return sorted(path.name for path in folder.glob("*.py"))


def mypy(names):
    # a cache of its own: other options than the package is checked with would spoil that of `make types`
    cache = ROOT / ".mypy_cache" / "scripts"
    options = ["--config-file=", "--ignore-missing-imports", "--no-error-summary", "--hide-error-context"]
    return [sys.executable, "-m", "mypy", *options, f"--cache-dir={cache}", *names]


def pyright(names):
    return [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *names]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """{checker: {file: what is wrong with it}}, None for a checker that cannot run; one run of each, side by side."""
    folder = tmp_path_factory.mktemp("scripts")
    names = scripts(folder)
    place = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    runs = {
        checker.__name__: subprocess.Popen(
            checker(names), cwd=folder, env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for checker in (mypy, pyright)
    }
    said = {}
    for checker, run in runs.items():
        try:
            said[checker] = run.communicate(timeout=HANG)
        except subprocess.TimeoutExpired:
            run.kill()
            said[checker] = run.communicate()
    return {"mypy": of_mypy(*said["mypy"]), "pyright": of_pyright(said["pyright"][0]), "names": names}


def of_mypy(out, errors):
    assert not errors, errors
    wrong = {}
    for line in out.splitlines():
        name, kind, text = re.match(r"(.*?):\d+: (\w+): (.*)", line).groups()
        if kind == "error":
            wrong.setdefault(Path(name).name, []).append(text)
    return wrong


def of_pyright(out):
    try:
        said = json.loads(out)
    except ValueError:  # it fetches its checker when it is first used
        return None
    wrong = {}
    for item in said["generalDiagnostics"]:
        if item["severity"] == "error":
            wrong.setdefault(Path(item["file"]).name, []).append(item["message"])
    return wrong


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_right_scripts_have_no_error_and_wrong_ones_are_found(found, checker):
    if (wrong := found[checker]) is None:
        pytest.skip("pyright has not run: it fetches its checker from the network on first use")
    assert len(found["names"]) >= len(WRONG) + 10
    assert {name: texts for name, texts in wrong.items() if name not in WRONG} == {}
    for name, (_, said) in WRONG.items():
        assert any(said in text for text in wrong[name]), wrong[name]


# ------------------------------------------------------------------------------------------------- the wheel


def test_the_wheel_says_that_the_package_is_typed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert (PACKAGE / "py.typed").is_file()
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["eventsnn"]


# ------------------------------------------------------------------------------------------------- hints


SPOKEN = ("eventsnn", "docs", "examples", "benchmarks", "tests", "findings")
HINT = re.compile(r"(\S*pip install[^`\n]*\[([\w,-]+)\]\S?)")


def hints():
    """(place, hint, extras) of each "pip install" of an extra that messages, pages and scripts name."""
    files = [*ROOT.glob("*.md"), *(f for d in SPOKEN for e in ("md", "py", "sh") for f in (ROOT / d).rglob(f"*.{e}"))]
    for path in files:
        if path != Path(__file__):
            for hint, extras in HINT.findall(path.read_text(encoding="utf-8")):
                yield path.relative_to(ROOT).as_posix(), hint, extras.split(",")


def test_hints_name_extras_that_there_are_and_install_them_from_the_checkout():
    # the package comes from its checkout: by its name alone, pip would find nothing, or something else
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = set()
    for place, hint, extras in hints():
        assert set(extras) <= known.keys(), f"{place}: {hint}"
        assert re.search(r"pip install -e '\.\[", hint), f"{place}: {hint}"
        if place.startswith("eventsnn/"):
            assert hint.lstrip("\"'(").startswith(".venv/bin/pip"), f"{place}: {hint}"
            named |= set(extras)
    assert named == {"plot", "sweep", "mpi"}
    stamps = re.findall(r"\.installed-([\w,]+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert stamps and {extra for stamp in stamps for extra in stamp.split(",")} <= known.keys()
