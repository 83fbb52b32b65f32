"""Data sets: labelled spike samples in memory, readers of spike files, generated tasks and augmentation."""

from .. import renamed
from . import hdf5
from .augment import Augmentation
from .dataset import Dataset
from .sets.braille import load_braille, load_braille_analog
from .sets.mnist import load_sequential_mnist
from .sets.sequences import sequence_detection
from .sets.shd import load_shd, load_ssc
from .sets.speech_commands import load_speech_commands
from .sets.spoken_digits import load_spoken_digits
from .sets.yinyang import load_yin_yang

__all__ = [
    "Augmentation",
    "Dataset",
    "hdf5",
    "load_braille",
    "load_braille_analog",
    "load_sequential_mnist",
    "load_shd",
    "load_speech_commands",
    "load_spoken_digits",
    "load_ssc",
    "load_yin_yang",
    "sequence_detection",
]


def __getattr__(name: str) -> object:
    return renamed.find("data", name)
