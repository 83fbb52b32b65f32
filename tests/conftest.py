"""What all tests share: hypothesis repeats the same examples in CI and explores outside it; scripts; spike files."""

import contextlib
import importlib.util
import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Compiling a kernel, or reading it from the cache, makes the first example slow: no deadline.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("ci", derandomize=True, database=None, max_examples=20, **_COMMON)
settings.register_profile("explore", max_examples=300, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def load_script():
    """Return a function that loads a script outside the package, by its path, as a module."""

    def load(path):
        specification = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def write_spike_file():
    """Return a function that writes samples [(times in s, units)] with labels and speakers in SHD's layout."""
    h5py = pytest.importorskip("h5py")

    def write(path, samples, labels, speakers=None):
        with h5py.File(path, "w") as file:
            for name, kind, place in (("times", np.float64, 0), ("units", np.int64, 1)):
                rows = file.create_dataset(f"spikes/{name}", (len(samples),), h5py.vlen_dtype(kind))
                for index, sample in enumerate(samples):
                    rows[index] = np.asarray(sample[place], dtype=kind)
            file["labels"] = np.asarray(labels)
            if speakers is not None:
                file["extra/speaker"] = np.asarray(speakers)
        return str(path)

    return write


@pytest.fixture(scope="session")
def no_file_beyond():
    """Return a context in which no file can be made longer than so many bytes, as on a disk that is full."""
    resource = pytest.importorskip("resource")  # of POSIX

    @contextlib.contextmanager
    def limited(n_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
