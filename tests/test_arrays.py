"""Arrays of other libraries: what a plain array would lose, units, masks and gradients, is converted or refused."""

import datetime

import numpy as np
import pytest

from eventsnn import Adam, Network, SpikeBatch, SpikeTrain, Uniform
from eventsnn.arrays import in_milliseconds, is_number, is_whole, plain_array
from eventsnn.checks import check_duration
from eventsnn.data.augment import Augmentation
from eventsnn.data.dataset import Dataset
from eventsnn.data.sets.braille import delta_events
from eventsnn.data.sets.sequences import sequence_detection
from eventsnn.data.stores.frames import Frames
from eventsnn.errors import InvalidInput
from eventsnn.losses.base import check_labels
from eventsnn.network.initializers import as_initializer
from eventsnn.surrogate.network import GridNetwork

SECONDS = [0.1, 0.25]


def of_library(name):
    """Times of 0.1 and 0.25 s with a unit, as a library makes them."""
    library = pytest.importorskip({"astropy": "astropy.units"}.get(name, name))
    return {
        "quantities": lambda: library.Quantity(SECONDS, "s"),
        "pint": lambda: library.UnitRegistry().Quantity(np.array(SECONDS), "s"),
        "neo": lambda: library.SpikeTrain(SECONDS, units="s", t_stop=1.0),
        "astropy": lambda: np.array(SECONDS) * library.s,
        "unyt": lambda: library.unyt_array(SECONDS, "s"),
    }[name]()


LIBRARIES = ("quantities", "pint", "neo", "astropy", "unyt")


@pytest.mark.parametrize("library", LIBRARIES)
def test_times_with_a_unit_become_milliseconds(library):
    times = of_library(library)
    assert SpikeTrain(times, [0, 1]).times.tolist() == [100.0, 250.0]
    assert SpikeBatch.from_lists([(times, [0, 1])]).times.tolist() == [100.0, 250.0]
    assert SpikeBatch(times, [0, 1], [0, 2]).times.tolist() == [100.0, 250.0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_no_time_is_refused_with_a_unit(library):
    values = of_library(library)
    for attempt in (
        lambda: SpikeTrain([1.0, 2.0], values),
        lambda: SpikeTrain([1.0, 2.0], [0, 1], values),
        lambda: as_initializer(values, "in->hidden.delay"),
        lambda: as_initializer(values[0], "hidden.tau_mem"),
        lambda: small_network().check_parameters({"in->out.weight": values}),
        lambda: check_labels(values, 2, 2),
    ):
        with pytest.raises(InvalidInput, match="in the unit .*numbers without a unit"):
            attempt()


def small_network():
    network = Network()
    network.add_input("in", 2)
    network.add_readout("out", 1)
    network.connect("in", "out", weight=1.0, mask=[[True], [True]])
    return network


def test_units_of_anything_but_time_are_refused():
    quantities, pint = pytest.importorskip("quantities"), pytest.importorskip("pint")
    for values in (quantities.Quantity(SECONDS, "mV"), pint.UnitRegistry().Quantity(SECONDS, "mV")):
        with pytest.raises(InvalidInput, match="a unit of time"):
            SpikeTrain(values, [0, 1])


def test_small_floats_with_a_unit_are_not_scaled_as_small_floats():
    # what quantities itself makes of them is inf
    seconds = pytest.importorskip("quantities").Quantity(np.array([70.0], np.float16), "s")
    assert SpikeTrain(seconds, [0]).times.tolist() == [70_000.0]


def test_complex_times_with_a_unit_are_refused():
    with pytest.raises(InvalidInput, match="^times is dtype"):
        SpikeTrain(pytest.importorskip("pint").UnitRegistry().Quantity(np.array([1.0 + 2.0j]), "s"), [0])


def test_a_list_of_quantities_may_mix_units_of_time():
    quantities = pytest.importorskip("quantities")
    times = [1 * quantities.s, 2 * quantities.ms]
    assert SpikeTrain(times, [0, 1]).times.tolist() == [2.0, 1000.0]
    with pytest.raises(InvalidInput, match=r"units\[0\] is 'in the unit"):
        SpikeTrain([1.0, 2.0], times)


def test_brian2_monitors_are_refused_in_seconds_and_read_in_milliseconds():
    brian2 = pytest.importorskip("brian2")
    brian2.prefs.codegen.target = "numpy"
    group = brian2.SpikeGeneratorGroup(3, [0, 1], [1, 2] * brian2.ms)
    monitor = brian2.SpikeMonitor(group)
    brian2.Network(group, monitor).run(5 * brian2.ms)
    with pytest.raises(InvalidInput, match="times / ms"):
        SpikeTrain(monitor.t, monitor.i)
    assert SpikeTrain(monitor.t / brian2.ms, monitor.i).times.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("unit", "milliseconds"),
    [("s", 5000.0), ("ms", 5.0), ("us", 0.005), ("ns", 5e-6), ("m", 300_000.0), ("2us", 0.01)],
)
def test_timedelta64_knows_its_unit(unit, milliseconds):
    assert SpikeTrain(np.array([5], f"timedelta64[{unit}]"), [0]).times.tolist() == [milliseconds]


@pytest.mark.parametrize(
    ("dtype", "word"), [("timedelta64", "fixed length"), ("timedelta64[M]", "fixed"), ("datetime64[us]", "Subtract")]
)
def test_times_without_a_length_are_refused(dtype, word):
    with pytest.raises(InvalidInput, match=word):
        SpikeTrain(np.array([5], dtype), [0])


def test_missing_timedeltas_are_named():
    with pytest.raises(InvalidInput, match=r"times\[1\] is nan"):
        SpikeTrain(np.array([5, "NaT"], "timedelta64[us]"), [0, 0])


def test_tensors_that_require_a_gradient_are_refused_with_the_remedy():
    torch = pytest.importorskip("torch")
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    for attempt in (
        lambda: SpikeTrain(values, [0, 1]),
        lambda: SpikeTrain([1.0, 2.0], [0, 1], values),
        lambda: SpikeTrain(list(values), [0, 1]),
        lambda: as_initializer(values, "in->hidden.weight"),
        lambda: small_network().check_parameters({"in->out.weight": values}),
        lambda: Frames(values[None, None], dt=1.0),
    ):
        with pytest.raises(InvalidInput, match=r"\.detach\(\)"):
            attempt()
    assert SpikeTrain(values.detach(), torch.tensor([0, 1])).times.tolist() == [1.0, 2.0]
    with pytest.raises(InvalidInput, match="BFloat16"):  # torch's own words on what NumPy has no type for
        SpikeTrain(values.detach().bfloat16(), [0, 1])


MASKED = np.ma.array([1, 2, 3], mask=[False, True, False])
SPIKES = SpikeBatch.from_lists([([1.0], [0]), ([2.0], [0]), ([], [])])


@pytest.mark.parametrize(
    ("attempt", "place"),
    [
        (lambda: SpikeTrain(MASKED, [0, 1, 2]), r"times\[1\]"),
        (lambda: SpikeTrain([0.0, 1.0, 2.0], MASKED), r"units\[1\]"),
        (lambda: SpikeTrain([0.0, 1.0, 2.0], [0, 1, 2], MASKED), r"counts\[1\]"),
        (lambda: SpikeTrain([1.0, np.ma.masked], [0, 1]), r"times\[1\]"),
        (lambda: SpikeBatch.from_lists([([0.0], [0]), (MASKED, [0, 1, 2])]), r"samples\[1\]\.times\[1\]"),
        (lambda: SpikeBatch([0.0, 1.0], [0, 0], MASKED), r"offsets\[1\]"),
        (lambda: Dataset(SPIKES, MASKED, 1, 4, 5.0), r"labels\[1\]"),
        (lambda: Dataset(SPIKES, [0, 0, 0], 1, 1, 5.0, groups=MASKED), r"groups\[1\]"),
        (lambda: Dataset(SPIKES, [0, 0, 0], 1, 1, 5.0).select(MASKED - 1), r"indices\[1\]"),
        (lambda: Frames(MASKED[None, None], dt=1.0), r"values\[0, 0, 1\]"),
        (lambda: Frames(np.ones((3, 1, 1)), dt=1.0)[MASKED - 1], r"index\[1\]"),
        (lambda: SPIKES[MASKED == 1], r"index\[1\]"),
        (lambda: check_labels(MASKED, 3, 4), r"labels\[1\]"),
        (lambda: as_initializer(MASKED, "in->hidden.weight"), r"in->hidden\.weight\[1\]"),
        (lambda: as_initializer(np.ma.masked, "hidden.tau_mem"), r"hidden\.tau_mem"),
        (lambda: small_network().check_parameters({"in->out.weight": MASKED[:2]}), r"in->out\.weight\[1\]"),
        (lambda: connected(Network()), r"mask\[1, 0\]"),
        (lambda: connected(GridNetwork(1.0)), r"mask\[1, 0\]"),
    ],
)
def test_masked_entries_are_refused_by_place(attempt, place):
    with pytest.raises(InvalidInput, match=f"^{place} is 'masked'; .*filled"):
        attempt()


def test_masked_weights_are_read_where_there_are_synapses_only():
    weight = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    network = Network()
    network.add_input("in", 2)
    network.add_readout("out", 2)
    with pytest.raises(InvalidInput, match=r"^in->out\.weight\[1\] is 'masked'"):
        network.connect("in", "out", weight=weight, mask=[[True, True], [True, False]])
    network.connect("in", "out", weight=weight, mask=~weight.mask)
    assert network.initialize()["in->out.weight"].tolist() == [1.0, 3.0, 4.0]
    with pytest.raises(InvalidInput, match="is 'masked'"):
        network.connections["in->out"].to_dense(np.ma.array([1.0, 2.0, 3.0], mask=[True, False, False]))


def connected(network):
    network.add_input("in", 2)
    network.add_readout("out", 1)
    network.connect("in", "out", weight=1.0, mask=np.ma.array([[True], [True]], mask=[[False], [True]]))


def test_masked_arrays_without_a_masked_entry_are_plain():
    assert SpikeTrain(np.ma.array([1.0, 2.0]), [0, 1]).times.tolist() == [1.0, 2.0]
    found = plain_array(np.ma.array([1.0]), "x")
    assert type(found) is np.ndarray


def test_plain_arrays_pass_as_they_are():
    values = np.array([1.0, 2.0], np.float32)
    assert plain_array(values, "x") is values and in_milliseconds(values, "x") is values
    assert plain_array([[1, 2], [3, 4]], "x").shape == (2, 2)
    with pytest.raises(InvalidInput, match="x is 'list'; allowed: a rectangular array"):
        plain_array([[1], [2, 3]], "x")
    # the units of a SpikeTrain are channels
    assert plain_array([SpikeTrain([1.0], [0]).times], "x").tolist() == [[1.0]]


def test_numbers_of_an_augmentation_have_no_unit():
    jitter = pytest.importorskip("quantities").Quantity(1.0, "ms")
    for value in (jitter, "1"):
        with pytest.raises(InvalidInput, match="^time_jitter is"):
            Augmentation(time_jitter=value)


LENGTHS = [np.timedelta64(2, "s"), np.timedelta64(2, "ns"), np.timedelta64(2)]


@pytest.mark.parametrize("length", LENGTHS, ids=str)
def test_a_timedelta64_is_no_number(length):
    assert not is_number(length) and not is_whole(length)
    assert not is_number(True) and not is_number(np.True_) and not is_whole(2.0)
    assert is_number(np.float32(2.0)) and is_number(2) and is_whole(np.uint8(2))


@pytest.mark.parametrize("length", LENGTHS, ids=str)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("min_delay", lambda length: Network(min_delay=length)),
        ("time_jitter", lambda length: Augmentation(time_jitter=length)),
        ("time_unit", lambda length: SpikeBatch.from_structured([], length)),
        ("low", lambda length: Uniform(length, 3.0)),
        ("duration", check_duration),
        ("duration", lambda length: Dataset(SpikeBatch.from_lists([]), [], 1, 1, length)),
        ("jitter", lambda length: sequence_detection(jitter=length)),
        ("threshold", lambda length: delta_events(np.zeros((2, 1)), length, 1.0)),
        ("learning_rate", lambda length: Adam(learning_rate=length)),
    ],
)
def test_a_timedelta64_is_refused_wherever_a_number_is_meant(name, call, length):
    with pytest.raises(InvalidInput, match=f"{name}.* is .*; allowed: "):
        call(length)


class Seconds:
    """A number with a unit, as other libraries have them."""

    units, magnitude = "s", 1.0


@pytest.mark.parametrize("united", [Seconds(), np.timedelta64(1, "s"), datetime.timedelta(seconds=1)])
@pytest.mark.parametrize("plain", [2, 2.0, np.float32(2.0)])
def test_a_list_in_which_only_some_times_have_a_unit_is_refused(united, plain):
    for values, index in (([united, plain], 1), ([plain, united], 0), ((united, united, plain), 2)):
        with pytest.raises(InvalidInput, match=rf"^times\[{index}\] is 2.*; allowed: a time with a unit"):
            SpikeTrain(values, [0] * len(values))


def test_lists_in_which_all_times_have_a_unit_are_converted():
    assert in_milliseconds([np.timedelta64(1, "s"), np.timedelta64(2, "ms")], "times").tolist() == [1000.0, 2.0]
    assert in_milliseconds([np.float64(1.0), 2, 3.5], "times").tolist() == [1.0, 2.0, 3.5]
    quantities = pytest.importorskip("quantities")
    assert in_milliseconds([1 * quantities.s, np.timedelta64(2, "s")], "times").tolist() == [1000.0, 2000.0]


def test_whole_times_beyond_float64_are_refused():
    with pytest.raises(InvalidInput, match=r"^times\[1\] is 9007199254740993; .*2\*\*53.*Subtract"):
        SpikeTrain(np.array([2**53, 2**53 + 1]), [0, 0])
    assert SpikeTrain([2**53], [0]).times.tolist() == [2.0**53]
