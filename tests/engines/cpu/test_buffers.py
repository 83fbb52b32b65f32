"""Buffers that run full: the tape must hold the whole sample soon, as each time the sample begins again."""

import numpy as np
import pytest

from eventsnn.engines.cpu.buffers import _longer_tape
from eventsnn.kernels.state import SPIKE


@pytest.mark.parametrize(
    ("done", "before", "size"), [(0.5, 0, 2400), (0.9, 0, 2000), (0.0, 0, 16_000), (0.1, 900, 2100), (0.5, 900, 2000)]
)
def test_a_full_tape_grows_as_the_sample_says_that_is_on_it(done, before, size):
    tape = np.zeros(1000, SPIKE)
    tape["time"][-1] = 100.0 + 50.0 * done
    longer = _longer_tape(tape, before, (100.0, 150.0))
    assert longer.size == size and longer[:1000].tobytes() == tape.tobytes()
