"""Refusals in the words of settings and options: what an argument is called means nothing to who wrote those."""

import contextlib

from .errors import InvalidInput


@contextlib.contextmanager
def said_as(names):
    """Let a refusal of an argument, or of a part of it, name the setting it came from.

    ``names``: {argument: setting}, the first that fits; "a" fits a, a.shape and a['b'], and the rest is kept.
    """
    try:
        yield
    except InvalidInput as error:
        for argument, setting in names.items():
            if error.array == argument or error.array.startswith((f"{argument}.", f"{argument}[")):
                place = setting + error.array[len(argument) :]
                raise InvalidInput(place, error.index, error.value, error.allowed, error.remedy) from None
        raise


def in_table(table, *keys):
    """The names for ``said_as`` of arguments that are called as their settings are."""
    return {key: f"{table}.{key}" for key in keys}
