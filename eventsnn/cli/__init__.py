"""The command line."""

from .. import renamed
from .commands import main

__all__ = ["main"]


def __getattr__(name: str) -> object:
    return renamed.find("cli", name)
