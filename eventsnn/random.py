"""Named random streams: every draw is a function of (seed, purpose, epoch, sample), so nothing needs to be replayed."""

import zlib

import numpy as np


def stream(seed: int, purpose: str, epoch: int = 0, sample: int = 0) -> np.random.Generator:
    """Return a NumPy generator that depends on nothing but its arguments.

    Parameters: ``seed`` (int >= 0), ``purpose`` (a name such as "shuffle" or "hidden->hidden.delay"), ``epoch`` and
    ``sample`` (ints >= 0). Equal arguments give equal streams in any process and on any number of threads.
    """
    purpose_key = zlib.crc32(purpose.encode("utf-8"))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose_key, epoch, sample])))
