"""Engines simulate a network and replay it backwards; all of them are asked in the same words."""

from .. import renamed


def __getattr__(name: str) -> object:
    return renamed.find("engines", name)
