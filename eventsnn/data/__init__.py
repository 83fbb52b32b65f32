"""Data sets: labelled spike samples in memory, readers of spike files, generated tasks and augmentation."""

from .augment import Augmentation
from .braille import load_braille, load_braille_analog
from .dataset import Dataset
from .sequences import sequence_detection
from .shd import load_shd, load_ssc
from .spoken_digits import load_spoken_digits
from .yinyang import load_yin_yang

__all__ = [
    "Augmentation",
    "Dataset",
    "load_braille",
    "load_braille_analog",
    "load_shd",
    "load_spoken_digits",
    "load_ssc",
    "load_yin_yang",
    "sequence_detection",
]
