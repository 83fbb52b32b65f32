"""Make the files of release 0.1.0 that the tests beside this script read: names, checkpoints, a run, a sweep, data.

    git worktree add ../release 8292b85
    python tests/compatibility/make_fixtures.py ../release

The first argument is a checkout of the release. The functions below say everything with the names of that release; the
tests call them with the package of today, as a user's old script would.
"""

import ast
import inspect
import json
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "release_0_1_0"
EPOCHS = 2
# 4 batches are an epoch: these stop the second one after its second step
N_SAMPLES, BATCH_SIZE, STOP = 20, 5, 6
N_INPUTS, DURATION = 4, 40.0  # ms
TINY = ["data.samples=40", "network.hidden=[4]", "training.epochs=2", "training.batch_size=10"]
RATES = "optimizer.learning_rate=1e-3,1e-2"
SETTINGS = """
base = "spoken-digits"
delays = "feed-forward"

[data]
merge = 20
validation_groups = [3, 5]

[network]
hidden = [16, 8]
input_weight = ["half_normal", 0.02]
output_delay = [0, 30]
train_neurons = ["tau_mem"]

[optimizer]
schedule = "one_cycle"
clip_norm = 1.0

[training]
epochs = 3
average = "none"
patience = 2

[augmentation]
channel_shift = 2
"""


def stop_the_clock():
    """Let every duration be 0, so that two equal runs write equal bytes."""
    time.perf_counter = lambda: 0.0


class StopAfter:
    """A callback that interrupts a training after so many steps, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def __call__(self, trainer, kind, values):
        if kind == "step" and values["step"] == self.step:
            raise KeyboardInterrupt


def dataset(first):
    """Two classes of samples that differ in the order of their channels; ``first`` makes other samples of them."""
    from eventsnn import SpikeBatch
    from eventsnn.data import Dataset

    samples, labels = [], np.arange(N_SAMPLES) % 2
    for index, label in enumerate(labels):
        steps = (np.arange(6) * 7 + 3 * (first + index)) % 11
        units = np.arange(6) % N_INPUTS
        samples.append((5.0 * np.arange(6) + 0.25 * steps, units if label else N_INPUTS - 1 - units))
    return Dataset(SpikeBatch.from_lists(samples), labels, N_INPUTS, 2, DURATION)


def events(path, **settings):
    """A Trainer of an event-driven network: learned delays and time constants, average, draws of every kind."""
    from eventsnn import Adam, Cosine, Network, Normal, Trainer, Uniform, losses
    from eventsnn.data import Augmentation

    network = Network()
    network.add_input("input", N_INPUTS)
    network.add_lif("hidden", 5, tau_mem=20.0, tau_syn=5.0, train=("tau_mem", "tau_syn"))
    network.add_readout("output", 2, tau_mem=10.0, tau_syn=5.0)
    network.connect("input", "hidden", weight=Normal(3.0, 1.5), delay=Uniform(0.0, 10.0))
    network.connect("hidden", "hidden", weight=Normal(0.5, 0.5), delay=Uniform(1.0, 5.0))
    network.connect("hidden", "output", weight=Normal(0.0, 0.5))
    return Trainer(
        network, network.initialize(1), loss=losses.MeanVoltage(), checkpoint=path, n_threads=1, progress=False,
        optimizer=Adam(0.02, learning_rates={"*.delay": 0.3, "*.tau_*": 0.1}, schedule=Cosine(10, 0.1)),
        batch_size=BATCH_SIZE, seed=3, average=0.9, regularizers=(losses.SpikeCountTarget("hidden", 3.0, 1e-3),),
        augmentation=Augmentation(time_jitter=0.5), neuron_drop=0.1, max_spikes=100_000, **settings,
    )  # fmt: skip


def grid(path, **settings):
    """A Trainer of a network on a time grid: spread delays of synapses, recurrent ones, batch norm, dropout."""
    from eventsnn import Adam, Normal, Trainer, Uniform, losses
    from eventsnn.surrogate import GridNetwork, Spread

    network = GridNetwork(2.0)
    network.add_input("input", N_INPUTS)
    network.add_lif("hidden", 5, tau_mem=8.0, tau_syn=4.0, batch_norm=True, dropout=0.2, train=("tau_mem",))
    network.add_readout("output", 2, tau_mem=10.0, tau_syn=None)
    spread = Spread("gaussian", (6.0, 1.0), epochs=2, longest=14.0)
    network.connect("input", "hidden", weight=Normal(1.5, 1.0), delay=Uniform(0.0, 10.0), spread=spread)
    late = Spread("triangle", (4.0, 0.6), epochs=2)
    network.connect(
        "hidden", "hidden", weight=Normal(0.2, 0.4), delay=Uniform(2.0, 8.0), delay_per="neuron", spread=late
    )
    network.connect("hidden", "output", weight=Normal(0.0, 0.5))
    return Trainer(
        network, network.initialize(1), loss=losses.SummedSoftmax(), checkpoint=path, n_threads=1, progress=False,
        optimizer=Adam(0.02, learning_rates={"*.delay": 0.3}), batch_size=BATCH_SIZE, seed=3, max_spikes=100_000,
        **settings,
    )  # fmt: skip


TRAINERS = {"events": events, "grid": grid}


def fit(trainer, epochs=EPOCHS, **settings):
    """Train a Trainer of the above; returns whether it came to its end."""
    try:
        trainer.fit(dataset(0), dataset(100), epochs=epochs, **settings)
    except KeyboardInterrupt:
        return False
    return True


def tiny_preset():
    """The Preset of the run and of the sweep."""
    from eventsnn import presets

    return presets.change(presets.named("yin-yang"), TINY)


def train_run(folder, **settings):
    """Train the tiny preset in a folder; returns its result, None where it was stopped."""
    from eventsnn import presets, runs

    preset = tiny_preset()
    try:
        return runs.train(
            preset, presets.load_data(preset), folder, command="eventsnn train", progress=False, n_threads=1, **settings
        )
    except KeyboardInterrupt:
        return None


def sweep_of(folder):
    """The Sweep of the tiny preset, over two learning rates."""
    from eventsnn.sweeping import Sweep

    return Sweep(tiny_preset(), [RATES], folder, seeds=[0])


def values_of(study):
    """{learning rate: what its trial came to} of a study, as far as it has got."""
    return {
        trial.params["optimizer.learning_rate"]: trial.value for trial in study.trials if "runs" in trial.user_attrs
    }


def write_spikes(path):
    """Write a spike file in SHD's layout."""
    import h5py

    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            file.create_dataset(f"spikes/{name}", (N_SAMPLES,), h5py.vlen_dtype(kind))
        for sample in range(N_SAMPLES):
            n = 0 if sample == 3 else 5 + sample
            file["spikes/times"][sample] = np.sort(generator.uniform(0.0, 0.5, n)).astype(np.float16)
            file["spikes/units"][sample] = generator.integers(0, 12, n).astype(np.uint16)
        file["labels"] = (np.arange(N_SAMPLES) % 4).astype(np.uint16)
        file["extra/speaker"] = (np.arange(N_SAMPLES) // 7).astype(np.uint16)


def read_spikes(path):
    """{name: array} of what a spike file holds, as the package reads it."""
    from eventsnn.data import hdf5

    data = hdf5.read(path, n_units=12)
    return {
        "times": data.spikes.times, "units": data.spikes.units, "offsets": data.spikes.offsets, "labels": data.labels,
        "groups": data.groups, "sizes": np.array([data.n_units, data.n_classes]), "duration": np.array(data.duration),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ files of a release


def names(package):
    """Yield "module.name" of all that is public in the files of a package, less its kernels, and in its `__all__`s."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] == "kernels" or parts[-1] == "__main__":
            continue
        module = ".".join(part for part in parts if part != "__init__")
        yield from (f"{module}.{name}".lstrip(".") for name in sorted(_defined(path)) if not name.startswith("_"))


def _defined(path):
    """The names that a file defines, and those that its `__all__` lists."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if hasattr(node, "target") else []
        for target in targets:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
            if getattr(target, "id", "") == "__all__" and isinstance(node.value, ast.List):
                yield from (item.value for item in node.value.elts if isinstance(item, ast.Constant))


def positions(found):
    """{"module.name": [arguments that may be given by their place]} of the functions and classes with these names."""
    placed = {}
    for name in found:
        module, _, last = name.rpartition(".")
        value = getattr(import_module(f"eventsnn.{module}" if module else "eventsnn"), last)
        makers = [value, getattr(value, "__init__", None), getattr(value, "__new__", None)]
        if any(inspect.isfunction(maker) for maker in makers):
            parameters = inspect.signature(value).parameters.values()
            placed[name] = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return placed


def make_trainings(folder):
    for name, make in TRAINERS.items():
        stopped, finished = folder / f"{name}_stopped", folder / f"{name}_finished"
        assert not fit(make(stopped, callbacks=[StopAfter(STOP)]))
        shutil.copy(stopped, finished)
        assert fit(make(finished), resume=True)
        whole = folder / f"{name}_whole"
        assert fit(make(whole)) and whole.read_bytes() == finished.read_bytes()
        whole.unlink()
        write_json(folder / f"{name}_network.json", make(None).network.to_dict())


def make_run(folder):
    stopped, finished = folder / "run_stopped", folder / "run_finished"
    assert train_run(stopped, callbacks=[StopAfter(STOP)]) is None
    shutil.copytree(stopped, finished)
    assert train_run(finished)["epochs"] == EPOCHS


def make_sweep(folder):
    from eventsnn import runs

    train, calls = runs.train, []

    def stopped(*arguments, callbacks=(), **settings):
        calls.append(arguments)
        return train(*arguments, callbacks=[*callbacks, *[StopAfter(STOP)][: len(calls) - 1]], **settings)

    half, whole = folder / "sweep_stopped", folder / "sweep_whole"
    runs.train = stopped
    try:
        sweep_of(half).run(n_threads=1, progress=False)
    except KeyboardInterrupt:
        print("a sweep was stopped")
    runs.train = train
    shutil.copytree(half, whole)
    values = values_of(sweep_of(whole).run(n_threads=1, progress=False))
    assert len(values) == 2
    write_json(folder / "sweep_values.json", values)
    shutil.rmtree(whole)


def make_settings(folder):
    from eventsnn import catalogue, presets

    (folder / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    write_json(folder / "settings.json", presets.load(folder / "settings.toml").to_dict())
    write_json(folder / "presets.json", catalogue.PRESETS)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def main(checkout):
    """Make all fixtures anew from a checkout of the release."""
    import eventsnn

    package = Path(eventsnn.__file__).parent
    if package.parent != checkout.resolve():
        sys.exit(f"eventsnn was imported from {package.parent}, not from {checkout.resolve()}")
    stop_the_clock()
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir()
    found = [*names(package), *eventsnn.__all__]
    (FIXTURES.parent / "names_0_1_0.txt").write_text("\n".join(dict.fromkeys(found)) + "\n", encoding="utf-8")
    lines = [f"{name}: {' '.join(placed)}".rstrip() for name, placed in positions(dict.fromkeys(found)).items()]
    (FIXTURES.parent / "positions_0_1_0.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    make_trainings(FIXTURES)
    make_run(FIXTURES)
    make_sweep(FIXTURES)
    make_settings(FIXTURES)
    write_spikes(FIXTURES / "spikes.h5")
    np.savez_compressed(FIXTURES / "spikes.npz", **read_spikes(FIXTURES / "spikes.h5"))
    for path in [*FIXTURES.rglob("*.png"), *FIXTURES.rglob("*lock"), *FIXTURES.rglob("*.previous")]:
        path.unlink()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(sys.argv[1]).resolve()))
    main(Path(sys.argv[1]))
