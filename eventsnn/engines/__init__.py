"""Engines simulate a network and replay it backwards; all of them are asked in the same words."""

from .. import renamed
from .base import Engine, get, names
from .problem import Problem, Run

__all__ = ["Engine", "Problem", "Run", "get", "names"]


def __getattr__(name: str) -> object:
    return renamed.find("engines", name)
