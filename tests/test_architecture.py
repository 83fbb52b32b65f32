"""The house: floors of imports, walls that no import crosses, and what the package's syntax must not contain."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import eventsnn
from eventsnn.neurons import MODELS

PACKAGE = pathlib.Path(eventsnn.__file__).parent
# A file imports only from floors below its own; the files of one room may import each other, but not in a circle.
FLOORS = {
    "aliases": 1, "errors": 1, "renamed": 1, "random": 1, "kernels": 1,
    "arrays": 2, "citing": 2, "neurons": 2, "writing": 2,
    "checks": 3, "checkpoints": 3,
    "spikes": 4,
    "network": 5, "losses": 5, "optimizers": 5, "parallel": 5,
    "data": 6, "engines": 6,
    "simulation": 7, "gradients": 7, "analysis": 7, "surrogate": 7,
    "testing": 8, "warming": 8, "plotting": 8,
    "training": 9,
    "experiments": 10,
    "cli": 11,
    "__main__": 12, "__init__": 12,
}  # fmt: skip
MOST_ROOMS, LONGEST_FILE, LONGEST_FUNCTION = 30, 450, 60
# Where nothing has a default, a call names all it passes by its place alone.
MOST_KERNEL_ARGUMENTS = 8
# (importer, imported): pairs that must never meet, whatever their floors.
WALLS = [
    ("kernels", "engines"), ("engines/reference", "kernels"), ("engines/reference", "engines/cpu"),
    ("engines/cpu", "engines/reference"), ("losses", "network"), ("optimizers", "network"),
    ("checkpoints", "network"), ("data", "network"), ("data", "engines"), ("spikes", "kernels"),
    ("kernels/events/forward", "kernels/events/backward"), ("kernels/events/backward", "kernels/events/forward"),
    ("surrogate/reference", "kernels"),
    *(("surrogate/reference", f"surrogate/{part}") for part in ("engine", "layers", "paths", "taps")),
]  # fmt: skip
# memory writes to the system alone, under /proc
WRITERS = {
    "checkpoints", "writing", "experiments/journal", "cli/commands", "cli/plot", "experiments/runs",
    "experiments/sweeping", "kernels/compile", "experiments/memory",
}  # fmt: skip
# Where the constants of neurons are named: a further one of them changes nothing else. These name some all the same.
NAMES_CONSTANTS = {
    "analysis/voltage": "psp is a public function of two time constants",
    "data/sets/yinyang": "its bias is a fifth input",
    "experiments/building": "the network of a preset",
    "experiments/checking": "which constants a preset may train",
    "experiments/settings": "a preset's settings of neurons, which are in files of users",
    "kernels/events": "what an arrival collects is scaled by tau_syn, and jumps are modes of both time constants",
    "kernels/queue": "a spike under way carries a factor for each time constant",
    "network/plausibility": "the bias of a population on a grid, which excites it",
    "surrogate": "neurons on a grid, which have constants of their own with these names",
    "testing/cases": "random networks of LIF neurons",
    "testing/strategies": "random networks of LIF neurons",
}
MOST_FILES_OF_A_CONSTANT = 6
FILES = sorted(PACKAGE.rglob("*.py"))
# Folders of tests that are of no folder of the package.
TESTS_OF_THE_WHOLE = {"compatibility", "hostile", "long", "regressions"}
# Functions of modules that write files or change folders.
WRITING_CALLS = {
    "write_text",
    "write_bytes",
    "mkdir",
    "unlink",
    "rename",
    "rmtree",
    "savez",
    "save",
    "savetxt",
    "tofile",
}


def name_of(path):
    """A file's name inside the package: "losses", "kernels/forward", "data/__init__"."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Yield (module inside the package or "/" + outside module, whether it is imported when the file is)."""
    here = path.relative_to(PACKAGE).parent.parts
    tree = tree_of(path)
    inner = {
        id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.Lambda) for n in ast.walk(f) if n is not f
    }
    for node in ast.walk(tree):
        at_import = id(node) not in inner
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield "/" + alias.name, at_import
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield "/" + node.module, at_import
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - (node.level - 1)]
            if node.module:
                yield "/".join((*base, *node.module.split("."))), at_import
            else:
                for alias in node.names:
                    if (PACKAGE.joinpath(*base, alias.name)).with_suffix(".py").exists() or PACKAGE.joinpath(
                        *base, alias.name
                    ).is_dir():
                        yield "/".join((*base, alias.name)), at_import


def room(name):
    """The floor's room that a module belongs to: "kernels/forward" is in "kernels"."""
    return name.split("/")[0]


def within(module, place):
    """Whether a module is the place, or a file of the folder that it names."""
    return module == place or module.startswith(f"{place}/")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path):
    name = name_of(path)
    assert room(name) in FLOORS, f"{name} has no floor"
    for module, _ in imports(path):
        if module.startswith("/"):
            assert not module.startswith("/eventsnn"), f"{name} imports {module[1:]}: inside the package, write from ."
            continue
        if room(module) == room(name):
            continue
        assert FLOORS[room(module)] < FLOORS[room(name)], f"{name} imports {module}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_import_crosses_a_wall(path):
    name = name_of(path)
    for importer, imported in WALLS:
        if within(name, importer):
            for module, _ in imports(path):
                assert not within(module, imported), f"{name} must not import {module}"


def circles(arrows):
    """Yield the circles that a walk along {file: files that it imports} meets."""
    finished = set()

    def walk(file, trail):
        if file in trail:
            yield [*trail[trail.index(file) :], file]
        elif file not in finished:
            for other in sorted(arrows.get(file, ())):
                yield from walk(other, [*trail, file])
            finished.add(file)

    for file in sorted(arrows):
        yield from walk(file, [])


def test_no_file_imports_itself_in_a_circle():
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == [["a", "b", "c", "a"]]
    files = {name_of(path) for path in FILES}
    arrows = {}
    for path in FILES:
        if (name := name_of(path)) != "__init__":  # which imports names when they are asked for
            targets = {module for module, _ in imports(path) if not module.startswith("/")}
            arrows[name] = {t if t in files else f"{t}/__init__" for t in targets}
    assert list(circles(arrows)) == []


def named_in(path):
    """The constants of neurons that a file names, in code or in a string that is nothing else: "tau_mem", "a.bias"."""
    constants = {field.name for model in MODELS.values() for field in model.fields}
    words = set()
    for node in ast.walk(tree_of(path)):
        words |= {getattr(node, attribute, None) for attribute in ("id", "attr", "arg", "name")}
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value.rsplit(".", 1)[-1])
    return constants & words


def is_of_a_model(name):
    """Whether a file is a model's own: its constants, its kernels, or its equations in the reference engine."""
    families = {model.family for model in MODELS.values()}
    own = [place for family in families for place in (f"kernels/neurons/{family}", f"engines/reference/{family}")]
    return any(within(name, place) for place in ("neurons", *own))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_constant_of_a_neuron_is_named_outside_its_rooms(path):
    name = name_of(path)
    if not is_of_a_model(name) and not any(within(name, place) for place in NAMES_CONSTANTS):
        assert not named_in(path), "take it from neurons.MODELS, from the model's laying.py, or from engines/reference"


@pytest.mark.parametrize("place", NAMES_CONSTANTS)
def test_what_names_constants_all_the_same_still_does(place):
    assert any(named_in(path) for path in FILES if within(name_of(path), place)), f"{place} need not be excepted"


def test_a_further_constant_is_a_matter_of_the_files_that_the_page_lists():
    page = (PACKAGE.parent / "docs" / "how-to" / "extend.md").read_text("utf-8").split("### A further constant")[1]
    listed = re.findall(r"^\| `eventsnn/(.+?)\.py` \|", page, re.MULTILINE)
    assert 3 <= len(listed) <= MOST_FILES_OF_A_CONSTANT and set(listed) <= {name_of(path) for path in FILES}
    # the time constants apart, which are in every closed form
    names = {field.name for model in MODELS.values() for field in model.fields} - {"tau_mem", "tau_syn"}
    assert {"v_threshold", "v_reset", "v_rest", "bias"} <= names
    for constant in names:
        files = {name_of(path) for path in FILES if is_of_a_model(name_of(path)) and constant in named_in(path)}
        assert {"neurons/lif", "engines/reference/lif"} <= files <= set(listed), constant


def test_the_house_has_room_for_a_newcomers_memory():
    rooms = {room(name_of(path)) for path in FILES}
    assert len(rooms) <= MOST_ROOMS, sorted(rooms)
    assert rooms == set(FLOORS)


def folders_of(files, root):
    """The folders below a root, as "data/sets", in which there are such files; kernels and what is below them aside."""
    found = {path.parent.relative_to(root).as_posix() for path in files} - {"."}
    return {folder for folder in found if not within(folder, "kernels")}


def test_the_tests_mirror_the_package():
    tests = pathlib.Path(__file__).parent
    test_files = sorted(tests.rglob("test_*.py"))
    package, mirror = folders_of(FILES, PACKAGE), folders_of(test_files, tests)
    names = {path.stem.removeprefix("test_") for path in test_files}
    assert [folder for folder in sorted(package - mirror) if folder.split("/")[-1] not in names] == []
    assert mirror - package == TESTS_OF_THE_WHOLE


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_private_name_is_imported(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            private = [a.name for a in node.names if a.name.startswith("_") and not a.name.startswith("__")]
            assert not private, f"{name_of(path)} imports {private[0]}: a name for others has no underscore"


def test_the_reader_of_imports_sees_them():
    found = {module for module, _ in imports(PACKAGE / "engines" / "cpu" / "engine.py")}
    assert {"parallel/threads", "kernels/events/forward", "engines/cpu/layout", "/numpy"} <= found
    assert ("kernels/compile", True) in set(imports(PACKAGE / "kernels" / "events" / "forward.py"))
    assert "network/graph" in {module for module, _ in imports(PACKAGE / "engines" / "cpu" / "windows.py")}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_and_dangerous_modules_stay_in_their_places(path):
    name = name_of(path)
    for module, at_import in imports(path):
        top = module[1:].split(".")[0] if module.startswith("/") else ""
        assert top not in {"pickle", "shelve", "marshal", "dill", "joblib", "torch"}, f"{name} imports {top}"
        if top in {"matplotlib", "h5py", "hypothesis", "tqdm", "scipy", "mpmath", "optuna"}:
            assert not at_import, f"{name} imports {top} at the top: import it where it is used"
        if top == "h5py":
            assert name == "data/hdf5" or name.startswith("data/readers/")
        if top == "mpi4py":
            assert name == "parallel/communicator"
        if module.startswith(("/threading", "/_thread", "/concurrent", "/multiprocessing")):
            assert name == "parallel/threads"


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield (function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")), node


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_evaluates_text_or_unpickles(path):
    for called, node in calls(tree_of(path)):
        plain = isinstance(node.func, ast.Name)
        assert not (plain and called in {"eval", "exec", "compile", "__import__"}), f"{called} at line {node.lineno}"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle":
                assert isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if called == "load" and not plain and getattr(node.func.value, "id", "") == "np":
            assert "allow_pickle" in {keyword.arg for keyword in node.keywords}, f"np.load at line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_a_few_modules_write_files(path):
    if name_of(path) in WRITERS:
        return
    for called, node in calls(tree_of(path)):
        if called == "save" and getattr(getattr(node.func, "value", None), "id", "") == "checkpoints":
            continue
        assert called not in WRITING_CALLS, f"{called} at line {node.lineno}"
        if called == "open" and isinstance(node.func, ast.Name):
            modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
            modes += [k.value.value for k in node.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)]
            assert not any(set(mode) & set("wax+") for mode in modes), f"open for writing at line {node.lineno}"


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p).startswith("kernels/")], ids=name_of)
def test_kernels_do_not_raise_or_draw(path):
    for function in ast.walk(tree_of(path)):
        decorators = [d.id for d in getattr(function, "decorator_list", []) if isinstance(d, ast.Name)]
        if isinstance(function, ast.FunctionDef) and set(decorators) & {"kernel", "entry", "inlined"}:
            assert not any(isinstance(node, ast.Raise | ast.Assert | ast.Global) for node in ast.walk(function))
            assert not any("random" in ast.dump(node) for node in ast.walk(function) if isinstance(node, ast.Attribute))


@pytest.mark.parametrize("path", [p for p in FILES if name_of(p).startswith("kernels/")], ids=name_of)
def test_kernels_take_few_arguments(path):
    for function in ast.walk(tree_of(path)):
        if isinstance(function, ast.FunctionDef):
            assert len(function.args.args) <= MOST_KERNEL_ARGUMENTS, f"{function.name} takes too many"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_stay_readable(path):
    for function in ast.walk(tree_of(path)):
        if isinstance(function, ast.FunctionDef):
            assert function.end_lineno - function.lineno < LONGEST_FUNCTION, f"{function.name} is too long"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    banned = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    assert not any(word in path.read_text(encoding="utf-8") for word in banned)


def lacking(function):
    """What a function does not annotate: names of arguments, and "return"."""
    given = function.args
    stars = [argument for argument in (given.vararg, given.kwarg) if argument]
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *stars]
    bare = [argument.arg for argument in arguments if argument.annotation is None]
    return [name for name in bare if name not in ("self", "cls")] + ["return"] * (function.returns is None)


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_the_reader_of_annotations_sees_what_lacks():
    tree = ast.parse("class A:\n def f(self, a: int, *b, c=1, **d: int): ...\n def g(cls) -> None: ...")
    assert [lacking(function) for function in functions(tree)] == [["c", "b", "return"], []]


@pytest.mark.parametrize("path", [p for p in FILES if not name_of(p).startswith("kernels/")], ids=name_of)
def test_every_function_is_annotated_in_full(path):
    for function in functions(tree_of(path)):
        assert not lacking(function), f"{function.name} at line {function.lineno} annotates no {lacking(function)[0]}"


def test_every_public_name_exists():
    for name in eventsnn.__all__:
        assert getattr(eventsnn, name) is not None
    assert set(eventsnn.__all__) <= set(dir(eventsnn))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = eventsnn.no_such_name


IMPORT = """
import sys
import numpy
before = set(sys.modules)
import eventsnn
print(sorted(set(sys.modules) - before))
"""


def test_importing_loads_nothing_before_it_is_used():
    result = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert result.stdout.strip() == "['eventsnn']"


USE = """
import sys
from eventsnn import Network, SpikeBatch, simulate, value_and_grad, losses, testing
print(sorted({name.split(".")[0] for name in sys.modules} & {"matplotlib", "h5py", "hypothesis", "mpmath", "mpi4py"}))
"""


def test_simulating_needs_no_plotting_and_no_files():
    result = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert result.stdout.strip() == "[]"
