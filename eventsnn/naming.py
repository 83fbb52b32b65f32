"""Refusals in the words of settings and options: what an argument is called means nothing to who wrote those."""

import contextlib

from .errors import InvalidInput


@contextlib.contextmanager
def said_as(names, remedies=None):
    """Let a refusal of an argument, or of a part of it, name the setting it came from.

    ``names``: {argument: setting}, the first that fits; "a" fits a, a.shape and a['b'], and the rest is kept.
    ``remedies``: {remedy: what to write instead where settings are written}.
    """
    try:
        yield
    except InvalidInput as error:
        fitting = (argument for argument in names if _is_of(error.array, argument))
        argument = next(fitting, "")
        place = names.get(argument, "") + error.array[len(argument) :]
        remedy = (remedies or {}).get(error.remedy, error.remedy)
        if (place, remedy) == (error.array, error.remedy):
            raise
        raise InvalidInput(place, error.index, error.value, error.allowed, remedy) from None


def _is_of(array, argument):
    return array == argument or array.startswith((f"{argument}.", f"{argument}["))


def in_table(table, *keys):
    """The names for ``said_as`` of arguments that are called as their settings are."""
    return {key: f"{table}.{key}" for key in keys}
