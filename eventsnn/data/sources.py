"""Where data come from: the sources that experiments name, and the layouts of files that are read.

To add a layout of files, write ``readers/NAME.py`` with the three functions of ``Reader`` and enter it in ``FORMATS``:
presets with ``source = "files"``, ``eventsnn info`` and ``eventsnn evaluate --data`` then read such files. To add a
source, write a function that returns ``Sets`` and enter it in ``SOURCES`` (docs/how-to/extend.md).
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, overload

from ..aliases import Description, Milliseconds
from ..errors import InvalidInput, said_as
from . import hdf5
from .dataset import Dataset, find_file
from .readers import flat
from .readers.spike_file import SAY_THE_UNIT
from .sets.braille import load_braille, load_braille_analog
from .sets.mnist import load_sequential_mnist
from .sets.sequences import sequence_detection
from .sets.shd import ORIGIN
from .sets.speech_commands import load_speech_commands
from .sets.spoken_digits import load_spoken_digits
from .sets.yinyang import load_yin_yang

Sets: TypeAlias = tuple[Dataset, Dataset | None, Dataset | None]
"""(train, validation, test): None where nothing is held out, and where the test set stays closed."""
Place: TypeAlias = str | os.PathLike[str]


class Reader(Protocol):
    """Reads files of one layout: a module, or any object, with these three functions."""

    def recognises(self, path: Place) -> bool:
        """Return whether a file has this layout; False, and no error, for whatever else there is or is not."""

    def read(
        self, path: Place, n_units: int | None = None, n_classes: int | None = None,
        duration: Milliseconds | None = None, name: str | None = None, packed: bool = False,
        time_unit: str | float | None = None,
    ) -> Dataset:  # fmt: skip
        """Return the file as a Dataset; what is None is taken from the file, and errors name what is wrong in it."""

    def describe(
        self, path: Place, n_units: int | None = None, time_unit: str | float | None = None
    ) -> Description:  # fmt: skip
        """Return what the file holds, with the keys of ``hdf5.describe``."""


# {layout: its reader}; a file that none of them recognises is given to the first, which says what it lacks
FORMATS: dict[str, Reader] = {"shd": hdf5, "flat": flat}


def reader_of(path: Place) -> Reader:
    """Return the reader of a file's layout."""
    return next((reader for reader in FORMATS.values() if reader.recognises(path)), next(iter(FORMATS.values())))


def read(path: Place, *arguments: Any, **settings: Any) -> Dataset:
    """Return a file of any layout as a Dataset; further arguments are those of ``Reader.read``."""
    return reader_of(path).read(path, *arguments, **settings)


def describe(path: Place, n_units: int | None = None, time_unit: str | float | None = None) -> Description:
    """Return what a file of any layout holds; see ``hdf5.describe``."""
    return reader_of(path).describe(path, n_units, time_unit)


@dataclass(frozen=True)
class Source:
    """One source: ``load(settings, test)`` returns Sets.

    ``settings`` is what the table [data] of a preset says, as attributes; ``test`` False leaves a test file closed.
    ``uses``: the settings that only some sources have a use for; ``needs``: those that must be given;
    ``own_validation``: it brings a validation set of its own; ``merged``: ``load`` merges channels itself.
    """

    load: Callable[[Any, bool], Sets]
    uses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    own_validation: bool = False
    merged: bool = False


def load(settings: Any, test: bool = True) -> Sets:
    """Return the Sets of ``settings.source``, channels merged."""
    source = SOURCES[settings.source]
    for name in source.needs:
        if getattr(settings, name) is None:
            raise InvalidInput(f"data.{name}", None, None, f"a value, because data.source is {settings.source!r}")
    train, validation, testing = source.load(settings, test)
    if source.merged:
        return train, validation, testing
    # before they are split any further, so that the parts share what lies in memory
    factor = settings.merge
    return _merged(train, factor), _merged(validation, factor), _merged(testing, factor)


@overload
def _merged(data: Dataset, factor: int) -> Dataset: ...
@overload
def _merged(data: Dataset | None, factor: int) -> Dataset | None: ...
def _merged(data: Dataset | None, factor: int) -> Dataset | None:
    return data if data is None or factor == 1 else data.merge_channels(factor)


def _duration(settings: Any) -> dict[str, Any]:
    return {} if settings.duration is None else {"duration": settings.duration}


def _spoken_digits(settings: Any, test: bool) -> Sets:
    train, testing = load_spoken_digits(settings.folder, **_duration(settings), packed=True)
    return train, None, testing


def _yin_yang(settings: Any, test: bool) -> Sets:
    return load_yin_yang(settings.seed, **_duration(settings))


def _sequence(settings: Any, test: bool) -> Sets:
    data = sequence_detection(**_duration(settings))
    return data, data, data


def _sequential_mnist(settings: Any, test: bool) -> Sets:
    return load_sequential_mnist(settings.folder, settings.permuted, settings.pool)


def _speech_commands(settings: Any, test: bool) -> Sets:
    return load_speech_commands(settings.folder, **_duration(settings))


def _braille(settings: Any, test: bool) -> Sets:
    with said_as({"path": "data.train"}):
        return _in_three(load_braille(settings.train, **_duration(settings)), settings)


def _braille_analog(settings: Any, test: bool) -> Sets:
    with said_as({"path": "data.train"}):
        return _in_three(load_braille_analog(settings.train, settings.threshold, **_duration(settings)), settings)


def _in_three(data: Dataset, settings: Any) -> Sets:
    """Samples of one file as three sets, each class alike."""
    validation, tested = settings.validation_fraction, settings.test_fraction
    if validation == 0:
        train, testing = data.split((1 - tested, tested), settings.seed)
        return train, None, testing
    train, held_out, testing = data.split((1 - validation - tested, validation, tested), settings.seed)
    return train, held_out, testing


_REMEDIES = {
    SAY_THE_UNIT: "Give --set data.time_unit=ms or =us, or =s if they are seconds (in a file of settings: "
    'time_unit = "ms" in [data]).'
}


def _files(settings: Any, test: bool) -> Sets:
    sets: dict[str, Dataset] = {}
    opened: dict[Path, str] = {}
    n_classes = None
    for name in ("train", "validation", "test"):
        path = getattr(settings, name)
        if path is None or (name == "test" and not test):
            continue
        with said_as({"path": f"data.{name}"}, _REMEDIES):
            found = find_file(path, ORIGIN)
            if (before := opened.setdefault(found.resolve(), name)) != name:
                text = f"data.{name} is the file of data.{before}, and so tells nothing of samples that are new."
                warnings.warn(text, stacklevel=5)  # who called load_data
            data = read(
                found, settings.n_units, n_classes, settings.duration, packed=True, time_unit=settings.time_unit
            )
        if len(data) == 0:
            raise InvalidInput(f"data.{name}", None, found, "a file with at least one sample")
        n_classes, sets[name] = data.n_classes, _merged(data, settings.merge)
        del data  # and what it was merged from is gone before the next is read
    return sets["train"], sets.get("validation"), sets.get("test")


# {source: how it is read}
SOURCES = {
    "spoken-digits": Source(_spoken_digits, ("folder", "validation_groups")),
    "yin-yang": Source(_yin_yang, own_validation=True),
    "sequence": Source(_sequence, own_validation=True),
    "files": Source(
        _files, ("train", "test", "validation", "n_units", "time_unit", "validation_groups"),
        needs=("train", "test", "n_units", "duration"), merged=True,
    ),
    "braille": Source(_braille, ("train", "test_fraction"), needs=("train",)),
    "braille-analog": Source(_braille_analog, ("train", "test_fraction", "threshold"), needs=("train",)),
    "sequential-mnist": Source(
        _sequential_mnist, ("folder", "permuted", "pool"), needs=("folder",), own_validation=True
    ),
    "speech-commands": Source(_speech_commands, ("folder",), needs=("folder",), own_validation=True),
}  # fmt: skip
