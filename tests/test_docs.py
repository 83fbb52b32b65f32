"""The documentation runs: the Python blocks of each page, in order, as one script in an empty folder.

A block after a line `<!-- not run: reason -->` is left out. The script keeps the page's line numbers, so that an error
points to the page.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from eventsnn.cli import main as cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
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


def test_blocks_are_found_and_marked_ones_left_out():
    page = "text\n```python\na = 1\n```\n<!-- not run: no data -->\n```python\nb = 2\n```\n"
    assert script_of(page) == "\n\na = 1\n\n\n\n\n\n"
    assert ROOT / "README.md" in WITH_CODE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
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


def test_the_commands_and_options_named_on_the_pages_exist(capsys):
    named = {}
    for page in PAGES:
        for command, rest in re.findall(r"`eventsnn ([a-z]+)([^`]*)`", page.read_text()):
            named.setdefault(command, set()).update(re.findall(r"--[a-z-]+", rest))
    assert {"train", "evaluate", "plot", "presets", "info"} <= set(named)
    for command, options in named.items():
        assert cli.main([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert [option for option in options if option not in text] == [], command
