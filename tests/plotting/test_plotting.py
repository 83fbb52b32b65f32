"""Pictures are there and not blank; the exact voltages and adjoint variables behind them are right."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from eventsnn import plotting, simulation
from eventsnn.errors import FileError, InvalidInput
from eventsnn.gradients import value_and_grad
from eventsnn.losses import FirstSpike, MaxVoltage, MeanVoltage
from eventsnn.network import Network, Normal, Uniform
from eventsnn.random import stream
from eventsnn.simulation import simulate
from eventsnn.spikes import SpikeBatch
from eventsnn.training import Evaluation, History

DURATION = 80.0


def make_network(tau_syn=5.0, sharing="synapse", sparsity=None):
    network = Network()
    network.add_input("input", 5)
    network.add_lif("hidden", 4, tau_mem=12.0, tau_syn=tau_syn, v_threshold=np.array([0.8, 1.0, 1.2, 1.0]))
    network.add_readout("output", 2, tau_mem=20.0, tau_syn=5.0)
    more = {"delay_per": sharing, "sparsity": sparsity}
    network.connect("input", "hidden", weight=Normal(1.2, 0.6), delay=Uniform(0.0, 10.0), **more)
    network.connect("hidden", "hidden", weight=Normal(0.0, 0.5), delay=Uniform(1.0, 6.0), **more)
    network.connect("hidden", "output", weight=Normal(0.2, 0.5))
    return network


def make_batch(n=2):
    samples = []
    for sample in range(n):
        draw = stream(5, "plot", sample=sample)
        samples.append((draw.uniform(0, 60, 40), draw.integers(0, 5, 40), draw.integers(1, 3, 40).astype(float)))
    return SpikeBatch.from_lists(samples)


@pytest.fixture(scope="module")
def model():
    network = make_network()
    parameters = network.initialize(0)
    batch = make_batch()
    return network, parameters, batch, simulate(network, parameters, batch, duration=DURATION, n_threads=1)


def check_picture(path, colours=20):
    """A picture has a fair size and more than a blank page's colours."""
    from matplotlib import image

    pixels = image.imread(path)
    assert pixels.shape[0] > 300 and pixels.shape[1] > 300
    flat = (pixels[..., :3].reshape(-1, 3) * 255).astype(int)
    assert np.unique(flat, axis=0).shape[0] > colours
    assert 0.005 < np.mean(flat.min(axis=1) < 200) < 0.6  # some ink, not a flood


# ------------------------------------------------------------------------------------------- exact voltages


@pytest.mark.parametrize(
    "settings",
    [{}, {"tau_syn": 12.0}, {"tau_syn": 30.0}, {"sharing": "neuron"}, {"sharing": "connection", "sparsity": 0.4}],
    ids=str,
)
def test_voltages_meet_the_threshold_at_every_spike_and_nowhere_else(settings):
    network = make_network(**settings)
    parameters, batch = network.initialize(0), make_batch()
    recording = simulate(network, parameters, batch, duration=DURATION, n_threads=1)
    threshold = network.value_of("hidden", "v_threshold", parameters)
    for sample in range(2):
        times, units = recording.spikes("hidden", sample)
        assert times.size > 10
        for neuron in range(4):
            own = times[units == neuron]
            before = plotting.voltages(
                network, parameters, recording, sample, "hidden", [neuron], np.nextafter(own, 0.0)
            )  # fmt: skip
            np.testing.assert_allclose(before[0], threshold[neuron], rtol=1e-9)
            after = plotting.voltages(network, parameters, recording, sample, "hidden", [neuron], own)
            np.testing.assert_allclose(after[0], 0.0, atol=1e-9)
            grid = np.linspace(0.0, DURATION, 4001)
            trace = plotting.voltages(network, parameters, recording, sample, "hidden", [neuron], grid)
            assert trace.max() <= threshold[neuron] * (1 + 1e-9)


def test_readout_voltages_have_the_recorded_integral_and_maximum(model):
    network, parameters, _, recording = model
    grid = np.linspace(0.0, DURATION, 80_001)
    for sample in range(2):
        traces = plotting.voltages(network, parameters, recording, sample, "output", [0, 1], grid)
        integral = ((traces[:, 1:] + traces[:, :-1]) / 2 * np.diff(grid)).sum(axis=1)
        np.testing.assert_allclose(integral, recording.readouts["output"].integral[sample], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            np.maximum(traces.max(axis=1), 0), recording.readouts["output"].maximum[sample], atol=1e-5
        )


def test_voltages_refuse_what_is_not_there(model):
    network, parameters, _, recording = model
    with pytest.raises(InvalidInput, match="population"):
        plotting.voltages(network, parameters, recording, 0, "input", [0], [1.0])
    with pytest.raises(InvalidInput, match="neurons"):
        plotting.voltages(network, parameters, recording, 0, "hidden", [0, 4], [1.0])


@pytest.mark.parametrize("bad", [-1e-9, DURATION * 1.01, np.nan])
def test_voltages_are_those_of_the_time_that_was_recorded(model, bad):
    network, parameters, _, recording = model
    with pytest.raises(InvalidInput, match=r"times\[1\].*0 to 80 ms"):
        plotting.voltages(network, parameters, recording, 0, "hidden", [0], [DURATION, bad])


def test_a_part_of_a_stream_is_drawn_in_its_own_time_and_has_no_voltages(model, tmp_path):
    network, parameters, batch, _ = model
    first, second = simulation.stream(network, parameters, batch[:1], duration=DURATION, every=50.0)
    check_picture(plotting.raster(second, 0, tmp_path / "part.png", network=network))
    assert plotting.voltages(network, parameters, first, 0, "hidden", [0], [40.0]).shape == (1, 1)
    with pytest.raises(InvalidInput, match="whole run"):
        plotting.voltages(network, parameters, second, 0, "hidden", [0], [20.0])


def test_what_is_not_there_is_not_drawn(model, tmp_path):
    network, _, _, recording = model
    for populations in (["hiden"], "hidden"):
        with pytest.raises(InvalidInput, match="populations"):
            plotting.raster(recording, 0, tmp_path / "x.png", populations)
    for sample in (2, 0.5):
        with pytest.raises(InvalidInput, match="sample"):
            plotting.raster(recording, sample, tmp_path / "x.png")
    with pytest.raises(InvalidInput, match=r"\[3\] for one"):
        plotting.voltages(network, model[1], recording, 0, "hidden", 3, [1.0])


# -------------------------------------------------------------------------------------------------- adjoint


@pytest.mark.parametrize(
    "loss", [MeanVoltage(), MaxVoltage(), FirstSpike(population="hidden")], ids=lambda x: type(x).__name__
)
def test_adjoint_values_give_the_weight_gradients(model, loss):
    """dL/dw of a synapse is -tau_syn times the sum of count * lambda_I over its arrivals."""
    network, parameters, batch, _ = model
    one, labels = batch[:1], np.array([1])
    _, gradients, recording = value_and_grad(
        network, parameters, one, labels, loss=loss, duration=DURATION, n_threads=1, return_recording=True
    )  # fmt: skip
    pre, neuron = 2, 1
    times, units = one[0].times, one[0].units
    arriving = times[units == pre] + parameters["input->hidden.delay"][pre, neuron]
    counts = one[0].counts[units == pre][arriving < DURATION]
    arriving = arriving[arriving < DURATION]
    assert arriving.size >= 3
    traces = plotting.adjoint_values(
        network, parameters, one, labels, loss=loss, duration=DURATION, population="hidden", neurons=[0, neuron],
        times=arriving,
    )  # fmt: skip
    expected = -5.0 * np.sum(counts[np.argsort(arriving)] * traces.i[1])
    assert expected != 0.0
    assert gradients["input->hidden.weight"][pre, neuron] == pytest.approx(expected, rel=1e-9)


def test_adjoint_ends_at_zero_and_is_finite(model):
    network, parameters, batch, _ = model
    traces = plotting.adjoint_values(
        network, parameters, batch[:1], np.array([0]), loss=MeanVoltage(), duration=DURATION, population="output",
        neurons=[0, 1], times=[DURATION, 0.0, 40.0],
    )  # fmt: skip
    assert traces.times.tolist() == [0.0, 40.0, DURATION]
    np.testing.assert_allclose([traces.v[:, 2], traces.i[:, 2]], 0.0, atol=1e-15)
    assert np.abs(traces.v[:, 1]).min() > 0


# ------------------------------------------------------------------------------------------------- pictures


def records(n):
    return tuple(
        {
            "epoch": index + 1, "train_loss": 2.0 / (index + 1), "train_accuracy": 1 - 0.8 / (index + 1),
            "validation_loss": 2.2 / (index + 1), "validation_accuracy": 1 - 0.9 / (index + 1), "validation_n": 10,
            "spikes_per_neuron": 10.0 + index, "seconds": 1.0, "learning_rates": {},
        }
        for index in range(n)
    )  # fmt: skip


def test_pictures_of_a_recording(model, tmp_path):
    network, parameters, batch, recording = model
    check_picture(plotting.raster(recording, 1, tmp_path / "raster.png", network=network))
    for population in ("hidden", "output"):
        path = tmp_path / f"{population}.png"
        check_picture(plotting.voltage_trace(network, parameters, recording, 0, population, [0, 1], path))
    path = plotting.adjoint_traces(
        network, parameters, batch[:1], np.array([0]), loss=MeanVoltage(), duration=DURATION, population="hidden",
        neurons=[0, 1], path=tmp_path / "adjoint.png", n_times=300,
    )  # fmt: skip
    check_picture(path)


def test_pictures_of_training(model, tmp_path):
    network, parameters, _, recording = model
    history = History(records(5), 5)
    moved = {name: values + 0.5 * name.endswith("delay") for name, values in parameters.items()}
    drawings = plotting.of_run(network, moved, parameters, recording, history, tmp_path)
    assert [path.name for path in drawings] == ["raster.png", "learning_curve.png", "delays.png"]
    for path, draw in drawings.items():
        assert draw() == path
        check_picture(path)
    results = {
        "learned": {"accuracy": 0.9, "interval": [0.85, 0.93]},
        "none": Evaluation(1.0, 0.6, 10, (0.4, 0.8), 3.0, np.zeros(10)),
    }
    check_picture(plotting.comparison(results, tmp_path / "comparison.png"))
    results["learned"]["runs"] = [{"accuracy": 0.88}, {"accuracy": 0.92}]
    check_picture(plotting.comparison(results, tmp_path / "seeds.png"))
    assert (tmp_path / "seeds.png").read_bytes() != (tmp_path / "comparison.png").read_bytes()


def test_picture_of_a_sweep(tmp_path):
    settings = {"rate": [1e-4, 1e-2, 1e-3], "hidden": ["[8]", "[16]", "[8]"], "size": [8, 16, 32]}
    check_picture(plotting.sweep(settings, [0.5, 0.9, 0.7], [3.0, 4.0, 5.0], tmp_path / "sweep.png"))
    check_picture(plotting.sweep({}, [0.5], [3.0], tmp_path / "one.png"))
    with pytest.raises(InvalidInput, match="finished trial"):
        plotting.sweep({}, [], [], tmp_path / "none.png")


def test_history_without_validation_is_drawn(tmp_path):
    without = [{**record, "validation_loss": None, "validation_accuracy": None} for record in records(40)]
    check_picture(plotting.learning_curve(History(tuple(without)), tmp_path / "curve.png"))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "PNG"])
def test_a_picture_is_of_the_kind_that_its_name_ends_in(tmp_path, kind):
    path = plotting.learning_curve(History(records(2)), tmp_path / f"curve.{kind}")
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(starts[kind.lower()]) and len(list(tmp_path.iterdir())) == 1


def test_a_picture_of_no_kind_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"path is .*curve.xyz.*png"):
        plotting.learning_curve(History(records(2)), tmp_path / "curve.xyz")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_does_not_fit_is_named_and_leaves_nothing(tmp_path, no_file_beyond):
    (tmp_path / "curve.png").write_bytes(b"before")
    with no_file_beyond(3000), pytest.raises(FileError, match=r"curve.png: cannot be written: File too large"):
        plotting.learning_curve(History(records(2)), tmp_path / "curve.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("curve.png", b"before")]


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(InvalidInput, match="history"):
        plotting.learning_curve(History(), tmp_path / "x.png")
    with pytest.raises(InvalidInput, match="before"):
        plotting.delay_histogram({"a.weight": np.zeros(3)}, {}, tmp_path / "x.png")
    with pytest.raises(InvalidInput, match="results"):
        plotting.comparison({}, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_connections_of_one_pair_are_one_histogram(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    names = [f"in->out{number}.delay" for number in ("", " (2)", " (3)")]
    before = {name: np.zeros((2, 3)) for name in names} | {"a->out.delay": np.ones(4)}
    after = {name: value + 6.0 for name, value in before.items()}
    drawn, figure = [], plotting.training.new_figure
    monkeypatch.setattr(
        plotting.training, "new_figure", lambda *arguments: (drawn.append(arguments[-1]), figure(*arguments))[1]
    )
    plotting.delay_histogram(before, after, tmp_path / "delays.png")
    assert drawn == [2] and (tmp_path / "delays.png").stat().st_size > 1000


def test_matplotlib_is_imported_on_first_use_and_its_absence_explained(monkeypatch, tmp_path):
    code = "import sys, eventsnn.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(plotting.PlotError, match=r"pip install 'eventsnn\[plot\]'"):
        plotting.learning_curve(History(records(2)), tmp_path / "x.png")


def test_drawing_leaves_no_global_state(model, tmp_path):
    import matplotlib

    before = {key: matplotlib.rcParams[key] for key in plotting.STYLE}
    plotting.raster(model[3], 0, tmp_path / "raster.png")
    assert {key: matplotlib.rcParams[key] for key in plotting.STYLE} == before
    assert any(before[key] != value for key, value in plotting.STYLE.items())
