"""Tables, settings as TOML, and the words that commands have in common."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import EventsnnError

# presets.DELAYS, which would take the import of all the rest
MODES = ("learned", "fixed", "none", "feed-forward", "recurrent")
FAILED = 2
NAME = "eventsnn"

Outcome: TypeAlias = tuple[int, str]
"""(exit code, what to say on stderr)."""
Run: TypeAlias = Callable[[argparse.Namespace, Sequence[str]], Outcome | None]
"""What carries a command out, of its arguments and of the command line; None: all went well."""
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where commands are added."""


class UsageError(EventsnnError):
    """A command that cannot be carried out as it stands."""


def add_command(commands: Commands, name: str, run: Run, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def program() -> str:
    """What to type for this command: its name, or ".venv/bin/eventsnn" where a shell would not find it."""
    script = Path(sys.argv[0])
    if script.name != NAME or shutil.which(NAME) is not None:
        return NAME
    below = os.path.relpath(script)
    return str(script) if below.startswith(os.pardir) else below


def key_of(assignment: str) -> str:
    """The key of a text "KEY=VALUE"."""
    return assignment.partition("=")[0].strip()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text below their headings, the first column to the left and the others to the right."""
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    lines = []
    for first, *others in (columns, *rows):
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def to_toml(description: Mapping[str, Any]) -> str:
    """Return the nested dicts of Preset.to_dict as TOML text; no value is written "none", as presets read it."""
    lines, tables = [], []
    for key, value in description.items():
        if isinstance(value, dict):
            tables.append((key, value))
        else:
            lines.append(f"{key} = {json.dumps('none' if value is None else value)}")
    for key, table in tables:
        lines += ["", f"[{key}]", to_toml(table)]
    return "\n".join(lines)
