"""Write the table of floors in CONTRIBUTING.md as tests/test_architecture.py has it: python docs/make_floors.py."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE, TEST, PACKAGE = ROOT / "CONTRIBUTING.md", ROOT / "tests" / "test_architecture.py", ROOT / "eventsnn"
TABLE = re.compile(r"(<!-- floors: .+? -->\n).*?(<!-- end -->)", re.DOTALL)


def floors() -> dict[str, int]:
    """Return {room: floor}, as the test holds it."""
    for node in ast.parse(TEST.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS":
            return ast.literal_eval(node.value)
    raise SystemExit(f"{TEST} has no FLOORS")


def holds(room: str) -> str:
    """Return what a room says of itself: the first sentence of its docstring."""
    path = PACKAGE / f"{room}.py"
    path = path if path.is_file() else PACKAGE / room / "__init__.py"
    said = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"\.(?: |$)", said)[0].replace("``", "`").replace("|", "\\|")


def table() -> str:
    """Return the rows, the lowest floor first."""
    rows = [f"| {floor} | `{room}` | {holds(room)} |" for room, floor in sorted(floors().items(), key=lambda r: r[1])]
    return "\n".join(["| floor | room | what it holds |", "|---|---|---|", *rows]) + "\n"


def written(page: str) -> str:
    """Return the page with its table as the test has it."""
    return TABLE.sub(lambda found: found[1] + table() + found[2], page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
