"""Data sets: labelled spike samples in memory, readers of spike files, generated tasks and augmentation."""

from .dataset import Dataset
from .spoken_digits import load_spoken_digits

__all__ = ["Dataset", "load_spoken_digits"]
