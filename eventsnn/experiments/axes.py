"""The settings that a sweep varies, and the values or ranges that it tries."""

import re
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..arrays import is_number
from ..errors import InvalidInput

# Optuna's, which is imported where it is used
Study: TypeAlias = Any
Trial: TypeAlias = Any
RANGE = re.compile(r"(log:)?\s*([^\s.]\S*?|\.\d\S*?)\s*\.\.\s*(\S+)\Z")


class Axis(NamedTuple):
    """One setting that a sweep varies: ``choices`` (texts), or numbers from ``low`` to ``high`` (ints or floats)."""

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def suggest(self, trial: Trial) -> str | float:
        """Return the trial's value of this setting."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        suggest = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return suggest(self.key, self.low, self.high, log=self.log)

    def allows(self, value: Any) -> bool:
        """Whether ``suggest`` may return this value."""
        return value in self.choices if self.choices else is_number(value) and self.low <= value <= self.high

    @property
    def examples(self) -> tuple[str, ...] | tuple[float, float]:
        """Values that must all be allowed for the axis to make sense."""
        return self.choices or (self.low, self.high)


def read_axis(text: str) -> Axis:
    """Return the Axis of "KEY=A,B,C" (choices), "KEY=LOW..HIGH" or "KEY=log:LOW..HIGH" (a range).

    A comma within brackets does not part choices; a range between whole numbers is one of whole numbers. Raises
    InvalidInput for anything else.
    """
    key, equals, values = text.partition("=")
    if not (key.strip() and equals and values.strip()):
        raise InvalidInput("--vary", None, text, "KEY=A,B,C or KEY=LOW..HIGH", "For example training.batch_size=16,32")
    key = key.strip()
    if (found := RANGE.match(values.strip())) is None:
        choices = _parted(values)
        if "" in choices or len(set(choices)) < len(choices):
            raise InvalidInput("--vary", None, text, "choices that are given and differ from each other")
        return Axis(key, choices)
    low, high = (_number(text, end) for end in found.group(2, 3))
    log = found.group(1) is not None
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    if not low < high or (log and low <= 0):
        raise InvalidInput("--vary", None, text, "LOW < HIGH" + (", and LOW > 0 for log:" if log else ""))
    return Axis(key, low=low, high=high, log=log)


def _parted(values: str) -> tuple[str, ...]:
    """The texts between those commas that are in no bracket."""
    depth, parts = 0, [""]
    for letter in values:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(part.strip() for part in parts)


def _number(text: str, end: str) -> float:
    try:
        value = float(end)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InvalidInput("--vary", None, text, "KEY=LOW..HIGH with finite numbers")
    return int(end) if re.fullmatch(r"[+-]?\d+", end) else value
