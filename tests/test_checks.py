"""Guards that many places share, and the three kinds of refusals."""

import inspect
import math

import numpy as np
import pytest

import eventsnn
from eventsnn import (
    Adam,
    Conflict,
    Dataset,
    InvalidInput,
    Network,
    Normal,
    SpikeBatch,
    Trainer,
    Unsupported,
    checks,
    errors,
    losses,
    surrogate,
)
from eventsnn.analysis import rounded_delays
from eventsnn.surrogate import GridNetwork

INFINITE = [math.inf, -math.inf, np.float32("inf"), 10**400]
NO_NUMBERS = ["1", None, [1.0], 1j, True, np.timedelta64(1, "ms"), math.nan, *INFINITE]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(value)[:9])
@pytest.mark.parametrize("check", [checks.number, checks.positive, checks.share])
def test_what_is_no_finite_number_is_refused(check, value):
    with pytest.raises(InvalidInput) as caught:
        check(value, "x", "something else")
    assert str(caught.value).startswith("x is ") and "allowed: something else." in str(caught.value)


def test_numbers_come_back_as_floats_within_their_range():
    for value in (3, np.int8(3), np.float32(3), 3.0):
        for check in (checks.number, checks.positive):
            assert (found := check(value, "x")) == 3.0 and type(found) is float
    assert checks.number(-1e308, "x") == -1e308 and checks.share(0, "p") == 0.0
    assert checks.positive(5e-324, "x") == 5e-324
    for check, values in ((checks.positive, (0, -1.0, np.float32(0))), (checks.share, (1, -1e-300, np.float64(1)))):
        for value in values:
            with pytest.raises(InvalidInput):
                check(value, "x")
    with pytest.raises(InvalidInput, match="x is 3; allowed: at most 2"):
        checks.number(3, "x", "at most 2", high=2.0)


def test_whole_numbers_flags_and_choices():
    assert type(checks.whole(np.int64(3), "n", 3)) is int and checks.flag(np.True_, "f") is True
    for value in (2, 3.0, "3", True, None):
        with pytest.raises(InvalidInput, match="n is .*; allowed: an int >= 3"):
            checks.whole(value, "n", 3)
    for value in (1, "yes", None):
        with pytest.raises(InvalidInput, match="f is .*; allowed: True or False"):
            checks.flag(value, "f")
    checks.one_of("a", "word", ("a", "b"))
    for value in ("c", 1, None, ["a"], np.array(["a", "b"])):
        with pytest.raises(InvalidInput, match=r"allowed: one of \('a', 'b'\)"):
            checks.one_of(value, "word", ("a", "b"))


# Kinds ----------------------------------------------------------------------------------------------------------------


def small(kind=Network, **settings):
    network = kind(**settings)
    network.add_input("in", 2)
    network.add_lif("hidden", 3, **({"batch_norm": True} if kind is GridNetwork else {}))
    network.add_readout("out", 2)
    network.connect("in", "hidden", weight=Normal(0.5, 0.1))
    network.connect("hidden", "out", weight=1.0)
    return network


def grid():
    return small(GridNetwork, dt=1.0)


def trainer(network, **settings):
    settings = {"loss": losses.MeanVoltage(), "optimizer": Adam(), **settings}
    return Trainer(network, network.initialize(), progress=False, **settings)


def fit(network, **settings):
    trainer(network, **settings).fit(DATA, epochs=1)


DATA = Dataset(SpikeBatch.from_lists([([1.0], [0]), ([2.0], [1])]), [0, 1], 2, 2, 20.0)
SPREAD = surrogate.Spread("triangle", sigma=1.0)
REFUSED = {
    "a grid drops no neurons": (Unsupported, lambda: trainer(grid(), neuron_drop=0.1)),
    "a grid has one engine": (Unsupported, lambda: trainer(grid(), engine="reference")),
    "a grid averages no statistics": (Conflict, lambda: trainer(grid(), average=0.9)),
    "a grid has no times of spikes": (Unsupported, lambda: fit(grid(), loss=losses.FirstSpike())),
    "a grid rounds by itself": (Unsupported, lambda: rounded_delays(grid(), grid().initialize(), 1.0)),
    "events have real delays": (Unsupported, lambda: trained().evaluate(DATA, delays="spread")),
    "events have no steps": (Unsupported, lambda: fit(small(), loss=losses.SummedVoltage())),
    "patience needs a validation": (Conflict, lambda: fit(small(), patience=1)),
    "a resume needs a checkpoint": (Conflict, lambda: trainer(small()).fit(DATA, epochs=1, resume=True)),
    "a mask says all": (Conflict, lambda: small().connect("in", "out", weight=1.0, mask=np.ones((2, 2)), sparsity=0.5)),
    "a spread needs delays": (Conflict, lambda: grid().connect("in", "out", weight=1.0, spread=SPREAD)),
    "synapses need delays": (Conflict, lambda: grid().connect("in", "out", weight=1.0, count=2)),
    "a data set without groups": (Unsupported, lambda: DATA.split_by_group([1])),
}  # fmt: skip


def trained():
    found = trainer(small())
    found.fit(DATA, epochs=0)
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_of_which_kind_it_is(name):
    kind, call = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind and isinstance(caught.value, InvalidInput)


def test_a_value_out_of_range_is_of_neither_kind():
    with pytest.raises(InvalidInput) as caught:
        trainer(small(), neuron_drop=1.5)
    assert type(caught.value) is InvalidInput


@pytest.mark.parametrize("kind", [InvalidInput, Unsupported, Conflict])
def test_a_kind_is_kept_where_a_refusal_is_said_in_other_words(kind):
    with pytest.raises(InvalidInput) as caught, errors.said_as({"a": "table.a"}):
        raise kind("a", None, 1, "2")
    assert type(caught.value) is kind and caught.value.array == "table.a"


# Names of settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"), [("batchsize", "batch_size"), ("n_thread", "n_threads"), ("checkpoints", "checkpoint")]
)
def test_a_misspelt_setting_of_training_is_refused_with_the_nearest(given, meant):
    with pytest.raises(InvalidInput, match=f"^a keyword of Trainer is '{given}'; .*batch.* Did you mean '{meant}'"):
        trainer(small(), **{given: 3})
    with pytest.raises(InvalidInput, match="Trainer is 'zzz'; allowed: the fields of TrainingOptions: [a-z_, ]*.$"):
        trainer(small(), zzz=3)


def test_both_kinds_are_public():
    assert eventsnn.Unsupported is errors.Unsupported and eventsnn.Conflict is errors.Conflict


@pytest.mark.parametrize(
    "method, given, said",
    [
        ("add_input", {"size": 3}, "a keyword of add_input is 'size'; allowed: name, n."),
        ("add_lif", {"n": 2, "v_reset": 0.0}, "'v_reset'; allowed: name, n, tau_mem, .*, train. Did you mean 'reset'"),
        ("add_readout", {"n": 2, "tau": 5.0}, "'tau'; allowed: name, n, tau_mem, .* Did you mean 'tau_"),
        ("connect", {"post": "b", "weights": 1.0}, "'weights'; allowed: pre, post, weight, .* Did you mean 'weight'"),
    ],
)
def test_a_keyword_that_a_grid_has_not_is_answered_with_those_that_there_are(method, given, said):
    with pytest.raises(InvalidInput, match=said):
        getattr(GridNetwork(1.0), method)("a", **given)


def test_a_function_that_answers_keywords_is_the_same_to_readers_and_to_python():
    text = str(inspect.signature(GridNetwork.connect))
    assert text.startswith("(self, pre: str, post: str, *, weight:") and "scipy.sparse" in GridNetwork.connect.__doc__
    with pytest.raises(TypeError, match="weight"):
        GridNetwork(1.0).connect("a", "b")


@pytest.mark.parametrize(
    "key, known, meant",
    [("LIF", ["lif", "readout"], "lif"), ("SHD", ["shd", "ssc"], "shd"), ("hiden", ["hidden", "out"], "hidden")],
)
def test_the_nearest_word_is_found_in_any_case(key, known, meant):
    assert checks.nearest(key, known) == f"Did you mean {meant!r}?"
    assert checks.nearest("zzz", known) == ""


@pytest.mark.parametrize("kind", [Network, lambda: GridNetwork(1.0)])
def test_names_are_answered_with_the_nearest(kind):
    network = kind()
    network.add_input("in", 2)
    network.add_lif("hidden", 2)
    with pytest.raises(InvalidInput, match=r"post is 'Hiden'; .* Did you mean 'hidden'\?"):
        network.connect("in", "Hiden", weight=1.0)
    with pytest.raises(InvalidInput, match=r"pre is 'inn'; .* Did you mean 'in'\?"):
        network.connect("inn", "hidden", weight=1.0)
    with pytest.raises(InvalidInput, match=r"in->hidden.train is 'weights'; .* Did you mean 'weight'\?"):
        network.connect("in", "hidden", weight=1.0, train="weights")
    with pytest.raises(InvalidInput, match=r"delay_per is 'Neuron'; .* Did you mean 'neuron'\?"):
        network.connect("in", "hidden", weight=1.0, delay=1.0, delay_per="Neuron")


def test_wrong_shapes_are_said_in_words():
    network = Network()
    network.add_input("in", 2)
    network.add_lif("h", 3, train="tau_mem")
    network.connect("in", "h", weight=1.0)
    right = network.initialize()
    with pytest.raises(InvalidInput, match=r"^h.tau_mem.shape is \(2,\); allowed: \(\), which is a single number.$"):
        network.check_parameters(right | {"h.tau_mem": np.ones(2)})
    with pytest.raises(InvalidInput, match=r"^in->h.weight.shape is \(3,\); allowed: \(2, 3\).$"):
        network.check_parameters(right | {"in->h.weight": np.ones(3)})
    with pytest.raises(InvalidInput, match=r"^h2.v_reset.shape is \(2,\); allowed: \(3,\). Or give a single number"):
        network.add_lif("h2", 3, v_reset=[0.0, 0.1])
    with pytest.raises(InvalidInput, match=r"^h2.v_reset\[1\] is nan"):
        network.add_lif("h2", 3, v_reset=[0.0, np.nan, 0.1])
    with pytest.raises(InvalidInput, match=r"^in->h.weight\[1, 2\] is nan"):
        network.check_parameters(right | {"in->h.weight": np.array([[1.0] * 3, [1.0, 1.0, np.nan]])})
