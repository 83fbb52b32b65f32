"""The data of a preset: training, validation and test."""

import warnings
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

from ..data import hdf5
from ..data.dataset import Dataset, find_file
from ..data.readers.spike_file import SAY_THE_UNIT
from ..data.sets.braille import load_braille, load_braille_analog
from ..data.sets.mnist import load_sequential_mnist
from ..data.sets.sequences import sequence_detection
from ..data.sets.shd import ORIGIN
from ..data.sets.speech_commands import load_speech_commands
from ..data.sets.spoken_digits import load_spoken_digits
from ..data.sets.yinyang import load_yin_yang
from ..errors import InvalidInput, in_table, said_as
from .settings import DataSettings, Preset

Sets: TypeAlias = tuple[Dataset, Dataset | None, Dataset | None]
"""(train, validation, test): None where nothing is held out, and where the test set stays closed."""

# what readers and splits call the settings
_NAMES = {
    "factor": "data.merge",
    "groups": "data.validation_groups",
    **in_table("data", "folder", "duration", "threshold", "seed", "n_units", "time_unit", "merge"),
}
_REMEDIES = {
    SAY_THE_UNIT: "Give --set data.time_unit=ms or =us, or =s if they are seconds (in a file of settings: "
    'time_unit = "ms" in [data]).'
}


@said_as(_NAMES)
def load_data(preset: Preset, test: bool = True) -> Sets:
    """Return (train, validation, test) Datasets of a Preset; validation is None where nothing is held out for it.

    ``test``: False leaves the test set closed, and None in its place.
    """
    settings = preset.data
    train, validation, testing = _read(settings, test)
    sets: Sets = (train, validation, testing if test else None)
    if settings.validation_fraction == 0 and not settings.validation_groups:
        sets = (train, None, sets[2])
    elif settings.source in ("spoken-digits", "files") and validation is None:
        sets = (*_split(settings, train), sets[2])
    elif settings.validation_groups:
        allowed = "[] where the data have a validation set of their own, or say no groups (speakers)"
        raise InvalidInput("data.validation_groups", None, settings.validation_groups, allowed)
    for name, data in zip(("training", "validation", "test"), sets, strict=True):
        if data is not None and len(data) == 0:
            allowed = f"a share that leaves samples for each set: none are left for {name}"
            raise InvalidInput("data.validation_fraction", None, settings.validation_fraction, allowed)
    train = sets[0]
    if settings.samples is not None and settings.samples < len(train):
        share = settings.samples / len(train)
        train, _ = train.split((share, 1 - share), settings.seed)
        if len(train) == 0:
            allowed = "enough that a share of each class is a whole sample"
            raise InvalidInput("data.samples", None, settings.samples, allowed)
    return (train, *sets[1:])


@overload
def _merged(data: Dataset, factor: int) -> Dataset: ...
@overload
def _merged(data: Dataset | None, factor: int) -> Dataset | None: ...
def _merged(data: Dataset | None, factor: int) -> Dataset | None:
    return data if data is None or factor == 1 else data.merge_channels(factor)


def _duration(settings: DataSettings) -> dict[str, Any]:
    return {} if settings.duration is None else {"duration": settings.duration}


def _read(settings: DataSettings, test: bool) -> Sets:
    """(train, validation or None, test) of a source, channels merged; a test file is not opened unless ``test``.

    They are merged before they are split, so that the parts share what lies in memory.
    """
    names: dict[str, tuple[str, ...]] = {
        "files": ("train", "test", "n_units", "duration"), "braille": ("train",), "braille-analog": ("train",),
        "sequential-mnist": ("folder",), "speech-commands": ("folder",),
    }  # fmt: skip
    for name in names.get(settings.source, ()):
        if getattr(settings, name) is None:
            raise InvalidInput(f"data.{name}", None, None, f"a value, because data.source is {settings.source!r}")
    if settings.source == "files":
        return _read_files(settings, test)
    train, validation, testing = _read_whole(settings)
    factor = settings.merge
    return _merged(train, factor), _merged(validation, factor), _merged(testing, factor)


def _read_whole(settings: DataSettings) -> Sets:
    # where one is needed, it is there: see _read
    folder, train_file = cast(str, settings.folder), cast(str, settings.train)
    if settings.source == "yin-yang":
        return load_yin_yang(settings.seed, **_duration(settings))
    if settings.source == "sequence":
        data = sequence_detection(**_duration(settings))
        return data, data, data
    if settings.source == "sequential-mnist":
        return load_sequential_mnist(folder, settings.permuted, settings.pool)
    if settings.source == "speech-commands":
        return load_speech_commands(folder, **_duration(settings))
    if settings.source == "spoken-digits":
        train, test = load_spoken_digits(settings.folder, **_duration(settings), packed=True)
        return train, None, test
    with said_as({"path": "data.train"}):
        if settings.source == "braille":
            data = load_braille(train_file, **_duration(settings))
        else:
            data = load_braille_analog(train_file, settings.threshold, **_duration(settings))
    validation, tested = settings.validation_fraction, settings.test_fraction
    if validation == 0:
        train, testing = data.split((1 - tested, tested), settings.seed)
        return train, None, testing
    train, held_out, testing = data.split((1 - validation - tested, validation, tested), settings.seed)
    return train, held_out, testing


def _read_files(settings: DataSettings, test: bool) -> Sets:
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
            data = hdf5.read(
                found, settings.n_units, n_classes, settings.duration, packed=True, time_unit=settings.time_unit
            )
        if len(data) == 0:
            raise InvalidInput(f"data.{name}", None, found, "a file with at least one sample")
        n_classes, sets[name] = data.n_classes, _merged(data, settings.merge)
        del data  # and what it was merged from is gone before the next is read
    return sets["train"], sets.get("validation"), sets.get("test")


def _split(settings: DataSettings, train: Dataset) -> tuple[Dataset, Dataset]:
    if settings.validation_groups:
        if train.groups is None:
            allowed = "[] for a data set that does not say which group (speaker) each sample is from"
            remedy = "Set validation_fraction instead."
            raise InvalidInput("data.validation_groups", None, settings.validation_groups, allowed, remedy)
        return train.split_by_group(settings.validation_groups)
    share = settings.validation_fraction
    rest, held_out = train.split((1 - share, share), settings.seed)
    return rest, held_out
