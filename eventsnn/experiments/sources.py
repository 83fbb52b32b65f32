"""The data of a preset: training, validation and test."""

from ..data import sources
from ..data.dataset import Dataset
from ..data.sources import Sets
from ..errors import InvalidInput, in_table, said_as
from .settings import DataSettings, Preset

__all__ = ["Sets", "load_data"]

# what readers and splits call the settings
_NAMES = {
    "factor": "data.merge",
    "groups": "data.validation_groups",
    **in_table("data", "folder", "duration", "threshold", "seed", "n_units", "time_unit", "merge"),
}


@said_as(_NAMES)
def load_data(preset: Preset, test: bool = True) -> Sets:
    """Return (train, validation, test) Datasets of a Preset; validation is None where nothing is held out for it.

    ``test``: False leaves the test set closed, and None in its place.
    """
    settings = preset.data
    train, validation, testing = sources.load(settings, test)
    sets: Sets = (train, validation, testing if test else None)
    if settings.validation_fraction == 0 and not settings.validation_groups:
        sets = (train, None, sets[2])
    elif validation is None:
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
