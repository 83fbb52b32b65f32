"""Write the tables of pages that repeat what the code says: python docs/make_tables.py.

The floors in CONTRIBUTING.md come from tests/test_architecture.py, and the functions of a neuron in
docs/how-to/extend.md from eventsnn/kernels/neurons/base.py and laying.py and from eventsnn/engines/reference/model.py.
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "eventsnn"
TABLE = re.compile(r"(<!-- (?P<kind>floors|door|laying|reference): .+? -->\n).*?(<!-- end -->)", re.DOTALL)


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _first_sentence(node: ast.Module | ast.FunctionDef) -> str:
    said = " ".join((ast.get_docstring(node) or "").split())
    return re.split(r"\.(?: |$)", said)[0].replace("``", "`").replace("|", "\\|")


def floors() -> str:
    """Return the rooms of the package, the lowest floor first, and what each says of itself."""
    rows = []
    for node in _parsed(ROOT / "tests" / "test_architecture.py").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS":
            rows = sorted(ast.literal_eval(node.value).items(), key=lambda row: row[1])
    lines = ["| floor | room | what it holds |", "|---|---|---|"]
    for room, floor in rows:
        path = PACKAGE / f"{room}.py"
        path = path if path.is_file() else PACKAGE / room / "__init__.py"
        lines.append(f"| {floor} | `{room}` | {_first_sentence(_parsed(path))} |")
    return "\n".join(lines) + "\n"


def _functions(heading: str, found: list[ast.FunctionDef]) -> str:
    lines = [f"| {heading} | what it must do |", "|---|---|"]
    for node in found:
        names = ", ".join(argument.arg for argument in node.args.args if argument.arg != "self")
        of_itself = any(getattr(item, "id", "") == "property" for item in node.decorator_list)
        lines.append(f"| `{node.name if of_itself else f'{node.name}({names})'}` | {_first_sentence(node)} |")
    return "\n".join(lines) + "\n"


def _methods(path: Path, name: str) -> list[ast.FunctionDef]:
    (found,) = (node for node in _parsed(path).body if isinstance(node, ast.ClassDef) and node.name == name)
    return [node for node in found.body if isinstance(node, ast.FunctionDef)]


def door() -> str:
    """Return the functions that the event loops ask of a neuron, and what each must do."""
    tree = _parsed(PACKAGE / "kernels" / "neurons" / "base.py")
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return _functions("function", [f for f in found if any("_door" in ast.dump(item) for item in f.decorator_list)])


def laying() -> str:
    """Return the functions that the layout asks of a neuron, and what each must do."""
    return _functions("function", _methods(PACKAGE / "kernels" / "neurons" / "laying.py", "Laying"))


def reference() -> str:
    """Return what the reference engine asks of the constants of a neuron, and of its adjoint."""
    path = PACKAGE / "engines" / "reference" / "model.py"
    return "\n".join(_functions(f"of `{name}`", _methods(path, name)) for name in ("Constants", "Adjoint"))


TABLES: dict[str, Callable[[], str]] = {"floors": floors, "door": door, "laying": laying, "reference": reference}
PAGES = (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "how-to" / "extend.md")


def written(page: str) -> str:
    """Return the page with its tables as the code has them."""
    return TABLE.sub(lambda found: found[1] + TABLES[found["kind"]]() + found[3], page)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
