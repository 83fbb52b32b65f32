"""A new neuron takes its own files and no line elsewhere: a twin of the LIF in files of its own, in a copy.

The twin does what the LIF does, to the last bit, in the engine, in the reference and in training.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# (what is copied, under which name, what is replaced in it): all that a new neuron writes, but for its page
FILES = [
    ("neurons/lif.py", "neurons/twin.py",
     {'    "lif",\n    "lif",\n': '    "twin",\n    "twin",\n', '"readout", "lif"': '"twin-readout", "twin"'}),
    ("kernels/neurons/lif", "kernels/neurons/twin", {}),
    ("engines/reference/lif.py", "engines/reference/twin.py", {}),
]  # fmt: skip
SCRIPT = """
import sys
import numpy as np
from eventsnn import Adam, Network, Normal, SpikeBatch, Trainer, Uniform, losses, simulate, value_and_grad
from eventsnn.analysis import adjoint_values, voltages
from eventsnn.data import Dataset

fires, reads = sys.argv[1:]
rng = np.random.default_rng(3)
network = Network()
network.add_input("in", 4)
train = ("tau_mem", "v_reset", "bias")
network.add_neurons("a", fires, 7, tau_mem=rng.uniform(9, 20, 7), v_reset=-0.3, bias=0.2, train=train)
network.add_neurons("b", fires, 5, tau_mem=12.0, tau_syn=4.0)
network.add_neurons("out", reads, 2, tau_mem=15.0, v_rest=0.1)
network.connect("in", "a", weight=Normal(3.0, 1.0), delay=Uniform(0, 9))
network.connect("a", "b", weight=Normal(1.5, 1.0), delay=Uniform(0, 9))
network.connect("b", "b", weight=Normal(0.0, 0.5), delay=Uniform(1, 9), delay_per="neuron")
network.connect("b", "out", weight=Normal(0.5, 0.5), delay=Uniform(0, 9))
parameters = network.initialize(1)
batch = SpikeBatch.from_lists([(rng.uniform(0, 40, 30), rng.integers(0, 4, 30)) for _ in range(6)])
labels = np.array([0, 1, 0, 1, 1, 0])
found = []
for engine in ("compiled", "reference"):
    recording = simulate(network, parameters, batch, duration=50.0, engine=engine)
    assert recording.times.size > 100
    found += [recording.times, recording.neurons, recording.readouts["out"].maximum]
    for loss in (losses.MaxVoltage(), losses.FirstSpike(5.0, "b")):
        value, gradients = value_and_grad(network, parameters, batch, labels, loss=loss, duration=50.0, engine=engine)
        found += [np.array(value), *gradients.values()]
one = simulate(network, parameters, batch[:1], duration=50.0)
times = np.linspace(0, 50, 40)
found.append(voltages(network, parameters, one, 0, "a", [0, 1], times))
found += adjoint_values(network, parameters, batch[:1], labels[:1], loss=losses.MaxVoltage(), duration=50.0,
                        population="b", neurons=[0, 1], times=times)
data = Dataset(batch, labels, n_units=4, n_classes=2, duration=50.0)
trainer = Trainer(network, parameters, loss=losses.MeanVoltage(), optimizer=Adam(1e-2), batch_size=3, progress=False)
trainer.fit(data, epochs=2)
found += [trainer.parameters[name] for name in network.trainable]
sys.stdout.write("".join(array.tobytes().hex() for array in found))
"""


@pytest.mark.long
def test_a_twin_of_the_neuron_is_files_of_its_own_and_gives_the_same_bits(tmp_path):
    package = tmp_path / "eventsnn"
    shutil.copytree(ROOT / "eventsnn", package, ignore=shutil.ignore_patterns("__pycache__"))
    for source, copy, replaced in FILES:
        make = shutil.copytree if (package / source).is_dir() else shutil.copy
        make(package / source, package / copy)
        for before, after in replaced.items():
            text = (package / copy).read_text("utf-8")
            assert text.count(before) == 1
            (package / copy).write_text(text.replace(before, after), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "EVENTSNN_CACHE": str(tmp_path / "cache")}
    found = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, *kinds], cwd=tmp_path, env=environment, check=True,
            capture_output=True, text=True,
        ).stdout
        for kinds in (("lif", "readout"), ("twin", "twin-readout"))
    ]  # fmt: skip
    assert len(found[0]) > 10_000 and found[0] == found[1]
