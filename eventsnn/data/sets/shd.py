"""Spiking Heidelberg Digits and Spiking Speech Commands, read from files in SHD's layout.

Cramer, Stradmann, Schemmel and Zenke, "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks", IEEE TNNLS 33 (2022). Published at zenkelab.org, CC BY 4.0.
"""

import os

import numpy as np

from ...aliases import Milliseconds
from ...checks import answers_keywords, one_of
from ..dataset import Dataset, find_file
from ..readers.spike_file import SpikeFile

N_UNITS = 700
LANGUAGES = {"english": (0, 10), "german": (10, 20)}  # the labels of each
ORIGIN = (
    "The public originals (shd_train.h5, shd_test.h5, ssc_train.h5, ssc_valid.h5, ssc_test.h5, each packed as .gz and "
    ".zip) are at https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/"
)


@answers_keywords
def load_shd(
    path: str | os.PathLike[str],
    language: str | None = None,
    duration: Milliseconds | None = None,
    packed: bool = False,
    time_unit: str | float | None = None,
) -> Dataset:
    """Return one SHD file as a Dataset: 700 channels, times in ms, groups = speakers (0 to 11).

    Parameters: ``path`` (such as "shd_train.h5": as it is, or in the folder EVENTSNN_DATA); ``language``: None for 20
    classes (0 to 9 English, 10 to 19 German), "english" or "german" for the 10 digits of one, labelled 0 to 9;
    ``duration`` (ms; None: the smallest whole number above the last spike: give both files one and the same);
    ``packed``: hold the spikes as PackedSpikes, 4 instead of 12 bytes each (250 MB for SHD's training file);
    ``time_unit``: "ms", "us" or "ns" for a file that is not in seconds; see hdf5.SpikeFile. Raises InvalidInput when
    the file is absent (saying where to get it), holds values out of range or times that can hardly be seconds,
    UnsafeFile when its structure is not that of a spike file.
    """
    if language is not None:
        one_of(language, "language", LANGUAGES, f"None or one of {sorted(LANGUAGES)}")
    with SpikeFile(find_file(path, ORIGIN), N_UNITS, time_unit=time_unit) as file:
        if language is None:
            return file.dataset(duration=duration, packed=packed)
        first, stop = LANGUAGES[language]
        chosen = np.flatnonzero((file.labels >= first) & (file.labels < stop))
        file.labels, file.n_classes = file.labels - first, stop - first
        return file.dataset(chosen, duration, packed=packed)


@answers_keywords
def load_ssc(
    path: str | os.PathLike[str],
    duration: Milliseconds | None = None,
    packed: bool = False,
    time_unit: str | float | None = None,
) -> Dataset:
    """Return one SSC file as a Dataset: 700 channels, times in ms, one class per word that the file names (35).

    Parameters, errors: as for ``load_shd``.
    """
    with SpikeFile(find_file(path, ORIGIN), N_UNITS, time_unit=time_unit) as file:
        return file.dataset(duration=duration, packed=packed)
