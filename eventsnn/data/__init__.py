"""Data sets: labelled spike samples in memory, readers of spike files, generated tasks and augmentation."""

from . import hdf5
from .augment import Augmentation
from .braille import load_braille, load_braille_analog
from .dataset import Dataset
from .mnist import load_sequential_mnist
from .sequences import sequence_detection
from .shd import load_shd, load_ssc
from .speech_commands import load_speech_commands
from .spoken_digits import load_spoken_digits
from .yinyang import load_yin_yang

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
