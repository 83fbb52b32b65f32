"""warmup() must leave nothing to be compiled, whatever is simulated and trained afterwards."""

import os
import pathlib
import subprocess
import sys

import eventsnn

SCRIPT = """
import eventsnn
from eventsnn.kernels.events import backward, forward
from eventsnn.kernels.neurons.lif import membrane
from eventsnn.testing import random_case

kernels = [forward.forward_shard, backward.backward_shard, backward.most_in_flight, membrane.write_series]
seconds = eventsnn.warmup()
assert set(seconds) == {"forward", "backward"} and all(s > 0 for s in seconds.values())
before = [len(kernel.signatures) for kernel in kernels]
assert before == [1] * len(kernels), before
for seed in range(8):
    case = random_case(seed, duration=30.0)
    try:
        eventsnn.value_and_grad(*case[:4], loss=case.loss, duration=case.duration, max_spikes=2000)
    except eventsnn.EventStorm:
        pass
assert [len(kernel.signatures) for kernel in kernels] == before
"""


def test_warmup_compiles_all_that_a_run_needs():
    root = pathlib.Path(eventsnn.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, timeout=1800)
