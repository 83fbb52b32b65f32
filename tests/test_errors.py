"""Exceptions come back whole from copies, from pickles and from pools of processes, and say what is the matter."""

import concurrent.futures
import copy
import importlib
import inspect
import multiprocessing
import pathlib
import pickle
import pkgutil

import numpy as np
import pytest

import eventsnn
from eventsnn import Conflict, EventStorm, InvalidInput, Network, SpikeBatch, Unsupported, simulate
from eventsnn.errors import CheckpointError, EventsnnError, NotFinite, RankFailed, UnsafeFile, ZeroDelayCycle
from eventsnn.testing import GradientMismatch

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "errors-and-limits.md"
TIMEOUT = 300  # seconds: a pool that never answers must not stop the suite
BUSIEST = [("loud", 3, 40), ("loud", 1, 2)]
ARGUMENTS = {
    InvalidInput: [("times", (2, 1), np.float64(np.inf), "finite numbers", "Look."), ("a", None, np.arange(3), "b")],
    Unsupported: [("engine", None, "reference", "the one that there is")],
    Conflict: [("patience", None, 3, "None without validation", "Leave it out.")],
    EventStorm: [(1, 2.5, 42, BUSIEST), (1, 2.5, 42, BUSIEST, 1.0, ("loud->loud",), 7)],
    ZeroDelayCycle: [(["a", "b"],)],
    NotFinite: [("the loss (nan)", 3), ("the loss",)],
    CheckpointError: [("run.ckpt", "array w", "cut short")],
    UnsafeFile: [(pathlib.Path("data.h5"), "/units", "a soft link")],
    RankFailed: [(2, "went away")],
    GradientMismatch: [("central", ("a.weight", 3), 1.0, 2.0, "a report")],
}


def exception_classes():
    """All of the package, found anew each time: one that is written tomorrow is tested too."""
    names = [m.name for m in pkgutil.walk_packages(eventsnn.__path__, "eventsnn.") if not m.name.endswith("__main__")]
    found = [value for name in names for value in vars(importlib.import_module(name)).values()]
    classes = {c for c in found if inspect.isclass(c) and issubclass(c, BaseException)}
    return sorted((c for c in classes if c.__module__.startswith("eventsnn.")), key=lambda c: c.__qualname__)


def examples(kind):
    """Exceptions of a class: those above, else one of as many texts as it asks for."""
    if kind in ARGUMENTS:
        return [kind(*arguments) for arguments in ARGUMENTS[kind]]
    asked = inspect.signature(kind).parameters.values() if "__init__" in vars(kind) else ()
    return [kind(*(f"some {p.name}" for p in asked if p.default is p.empty) or ("some text",))]


EXAMPLES = [error for kind in exception_classes() for error in examples(kind)]


def assert_same(found, error):
    assert type(found) is type(error)
    assert str(found) == str(error) and found.args == error.args
    assert repr(vars(found)) == repr(vars(error))


def test_the_exceptions_are_found():
    names = {kind.__name__ for kind in exception_classes()}
    assert {"InvalidInput", "SweepError", "RankFailed", "UsageError", "PlotError", "EngineMismatch"} <= names


def of_exception(name):
    """Whether the first cell of a row is the name of an exception, after which stands what it is a kind of."""
    return "Error)" in name or "(InvalidInput)" in name


def test_the_table_of_exceptions_is_complete_and_says_what_they_carry():
    rows = [line.split("|")[1:4] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    rows = [row for row in rows if of_exception(row[0])]
    table = {name.split("`")[1].split(".")[-1]: attributes.split() for name, _, attributes in rows}
    assert len(table) == len(rows)  # none stands there twice
    internal = {"EventsnnError", "UsageError", "BrokenRun"}  # the base, a line of the command, a trial that failed
    kinds = [kind for kind in exception_classes() if issubclass(kind, EventsnnError)]
    assert table.keys() == {kind.__name__ for kind in kinds} - internal
    for kind in kinds:
        carried = {name for error in examples(kind) for name in vars(error)}
        assert kind.__name__ in internal or {name.strip(",") for name in table[kind.__name__]} == carried


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_exception_survives_pickle_and_copy(error):
    error = copy.copy(error)
    error.add_note("a note")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert_same(pickle.loads(pickle.dumps(error, protocol)), error)
    assert_same(copy.copy(error), error)
    assert_same(copy.deepcopy(error), error)
    assert pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(error)))).__notes__ == ["a note"]


def raise_it(error):
    raise error


def burst():
    network = Network()
    network.add_input("in", 1)
    network.add_lif("loud", 2)
    network.connect("in", "loud", weight=60.0)
    network.connect("loud", "loud", weight=6.0, delay=1.0)
    batch = SpikeBatch.from_lists([([1.0], [0])])
    simulate(network, network.initialize(), batch, duration=1e4, engine="reference", max_spikes=50)


def test_every_exception_survives_a_process_pool():
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(raise_it, error) for error in EXAMPLES]
        for future, error in zip(futures, EXAMPLES, strict=True):
            with pytest.raises(type(error)) as caught:
                future.result(TIMEOUT)
            assert_same(caught.value, error)


def test_every_exception_survives_a_multiprocessing_pool_and_so_does_a_storm():
    # an interrupt ends the pool's process, whoever raises it
    examples = [error for error in EXAMPLES if isinstance(error, Exception)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        results = [pool.apply_async(raise_it, (error,)) for error in examples]
        for result, error in zip(results, examples, strict=True):
            with pytest.raises(type(error)) as caught:
                result.get(TIMEOUT)
            assert_same(caught.value, error)
        with pytest.raises(EventStorm) as caught:
            pool.apply_async(burst).get(TIMEOUT)
        assert caught.value.count == 50 and caught.value.recurrent == ("loud->loud",)


class Foreign:
    def __repr__(self):
        return "a Foreign"


@pytest.mark.parametrize("value", [lambda: 0, (n for n in "ab"), Foreign(), [Foreign(), 1], {"a": np.array([None])}])
def test_a_value_that_no_other_process_can_have_arrives_as_text(value):
    error = InvalidInput("loss", None, value, "a loss")
    for found in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert str(found) == str(error)
        assert repr(found.value).replace("'", "").replace('"', "") == repr(value).replace("'", "").replace('"', "")
    assert copy.copy(error).value is value


# Storms ---------------------------------------------------------------------------------------------------------------


def driven(engine, *, back=None, weight=60.0, budget=100):
    """The storm of neurons that a fast input makes fire, with or without a way back to them."""
    network = Network()
    network.add_input("in", 1)
    network.add_lif("first", 2)
    network.add_lif("second", 3)
    network.connect("in", "first", weight=weight)
    network.connect("first", "second", weight=weight)
    if back is not None:
        network.connect("second", "first", weight=back, delay=1.0)
    batch = SpikeBatch.from_lists([(np.arange(0.0, 90.0, 0.5), np.zeros(180, int))])
    with pytest.raises(EventStorm) as caught:
        simulate(network, network.initialize(), batch, duration=100.0, engine=engine, max_spikes=budget)
    return caught.value


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_storm_without_a_recurrence_does_not_speak_of_one(engine):
    storm = driven(engine)
    assert storm.recurrent == () and storm.n_neurons == 5
    assert "recurrent" not in str(storm)
    for words in ("it is the input", "20 for each of its 5 neurons", "'second'", "a larger max_spikes", "in ms"):
        assert words in str(storm)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_storm_names_the_connections_of_the_loop(engine):
    storm = driven(engine, back=3.0)
    assert storm.recurrent == ("first->second", "second->first")
    assert "Lower the recurrent weights ('first->second', 'second->first')" in str(storm)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_an_inhibitory_loop_is_not_what_makes_a_storm(engine):
    assert driven(engine, back=-1e-3).recurrent == ()


def test_a_storm_of_a_part_of_a_batch_keeps_its_cause():
    storm = driven("compiled", back=3.0)
    moved = storm.of_sample(7)
    assert moved.sample == 7 and str(moved).startswith("sample 7 fired 100 spikes")
    assert {**vars(moved), "sample": 0} == vars(storm)
