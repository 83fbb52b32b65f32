"""The table of engines: each answers in the same words, another one can be given, and anything else is refused."""

import types

import numpy as np
import pytest

from eventsnn import engines, losses, simulate, stream, value_and_grad
from eventsnn.engines.reference import engine as reference
from eventsnn.errors import InvalidInput
from eventsnn.parallel.sharding import Share
from eventsnn.testing import random_case

CASE = random_case(3, loss="mean", topology="recurrent", n_samples=1)


def of_case(function, *more, **settings):
    return function(CASE.network, CASE.parameters, CASE.batch, *more, duration=CASE.duration, **settings)


def test_the_compiled_engine_comes_first():
    assert engines.names() == ["compiled", "reference"]
    assert engines.get("reference") is reference


@pytest.mark.parametrize("engine", ["cuda", None, 3, types.SimpleNamespace(forward=print, backward=print)])
def test_what_is_no_engine_is_refused(engine):
    with pytest.raises(InvalidInput, match=r"engine is .*; allowed: one of \('compiled', 'reference'\), or an"):
        of_case(simulate, engine=engine)


def test_an_engine_in_other_letters_is_asked_after():
    with pytest.raises(InvalidInput, match="Did you mean 'compiled'"):
        of_case(simulate, engine="Compiled")


def test_an_engine_that_is_given_is_asked_for_everything():
    asked = []

    def noted(name):
        return lambda *arguments, **settings: (asked.append(name), getattr(reference, name)(*arguments, **settings))[1]

    mine = types.SimpleNamespace(**{name: noted(name) for name in ("forward", "backward", "stream")})
    assert of_case(simulate, engine=mine).times.tobytes() == of_case(simulate, engine="reference").times.tobytes()
    of_case(value_and_grad, CASE.labels, loss=CASE.loss, engine=mine)
    list(of_case(stream, every=10.0, engine=mine))
    assert asked == ["forward", "forward", "backward", "stream"]


@pytest.mark.parametrize("engine", engines.names())
@pytest.mark.parametrize("part", [1.0, 2.7, 3.0])
def test_every_engine_streams_what_it_simulates(engine, part):
    whole, every = of_case(simulate, engine=engine), CASE.duration / part
    parts = list(of_case(stream, every=every, engine=engine))
    assert np.sort(np.concatenate([one.times for one in parts])).tobytes() == np.sort(whole.times).tobytes()
    assert [one.start for one in parts] == [k * every for k in range(len(parts))]
    assert parts[-1].duration == whole.duration and len(parts) == np.ceil(part)
    assert sum(one.counters.events.sum() for one in parts) == whole.counters.events.sum()
    assert parts[-1].readouts.keys() == whole.readouts.keys() and not any(one.readouts for one in parts[:-1])


@pytest.mark.parametrize("engine", engines.names())
def test_every_engine_adds_up_the_parts_of_a_shared_batch(engine):
    case = random_case(5, loss="mean", topology="recurrent", n_samples=7)
    settings = {"loss": losses.MeanVoltage(), "duration": case.duration, "engine": engine, "input_times": True}
    value, gradients, times = value_and_grad(case.network, case.parameters, case.batch, case.labels, **settings)
    shared = value_and_grad(case.network, case.parameters, case.batch, case.labels, share=Share(7), **settings)
    assert shared[0] == value
    for name, gradient in gradients.items():
        np.testing.assert_allclose(shared[1][name], gradient, rtol=1e-12, atol=1e-14 * np.abs(gradient).max())
    for name, found in times.items():
        assert shared[2][name].tobytes() == found.tobytes()
