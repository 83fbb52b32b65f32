"""What Python calls: an entry hands back numbers and arrays, which are made without any code of Python.

Python makes a member of an enumeration, and meanwhile the handler of a signal may raise: the call then ends in a
SystemError. What an entry hands back is known once it is compiled, so every entry is called here, in all that may
change its types: readouts or none, delays of all kinds, masks, trained time constants, streams, and grids.
"""

import importlib
import pkgutil

import numba
import numpy as np
import pytest
from numba.core import types

from eventsnn import Network, SpikeBatch, Uniform, kernels, losses, simulate, stream, surrogate, value_and_grad
from eventsnn.kernels import compile as compiling
from eventsnn.kernels.state import Status
from eventsnn.surrogate import GridNetwork, Spread

BATCH = SpikeBatch.from_lists([([1.0, 2.0, 2.0], [0, 1, 0]), ([4.0], [1])])
LABELS, DURATION = np.array([0, 1]), 20.0


def entries():
    """{"module.name": dispatcher} of all functions that Python calls."""
    found = {}
    for module in pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, numba.core.dispatcher.Dispatcher) and "no_cpython_wrapper" not in value.targetoptions:
                found[f"{value.py_func.__module__}.{value.py_func.__qualname__}".removeprefix("eventsnn.")] = value
    return found


def has_enumeration(kind):
    parts = [*getattr(kind, "types", ()), *([kind.type] if isinstance(kind, types.Optional) else [])]
    return isinstance(kind, types.EnumMember) or any(map(has_enumeration, parts))


def returned(dispatcher):
    """The types of what a compiled function hands back, one for each version that was compiled."""
    return [version.signature.return_type for version in dispatcher.overloads.values()]


@pytest.mark.parametrize(
    "function",
    [
        lambda n: Status.OK,
        lambda n: Status.OK if n else Status.TAPE_FULL,
        lambda n: (n, Status.OK),
        lambda n: (Status.OK, Status.OK),
        lambda n: (n, (n, Status.OK)),
        lambda n: Status.OK if n else None,
    ],
)
def test_a_member_that_is_handed_back_would_be_seen(function):
    wrong = numba.njit(**compiling.OPTIONS)(function)
    wrong(3)
    assert all(map(has_enumeration, returned(wrong)))


@pytest.mark.parametrize("function", [lambda n: Status.OK.value, lambda n: (n, Status.OK.value), lambda n: None])
def test_a_number_is_none(function):
    right = numba.njit(**compiling.OPTIONS)(function)
    right(3)
    assert returned(right) and not any(map(has_enumeration, returned(right)))


def network(kind, **settings):
    """A network of events: input, a hidden layer, and an output of this kind; ``settings`` of what is recurrent."""
    made = Network()
    made.add_input("in", 2)
    made.add_lif("h", 3, train=settings.pop("train", ()))
    made.add_neurons("out", kind, 2)
    made.connect("in", "h", weight=4.0, delay=Uniform(0, 2))
    made.connect("h", "h", weight=0.1, **settings)
    made.connect("h", "out", weight=4.0)
    return made


NETWORKS = {
    "readout": (network("readout", delay=1.0), losses.MeanVoltage()),
    "maximum": (network("readout", delay=Uniform(1, 3), delay_per="connection"), losses.MaxVoltage()),
    "no readout": (network("lif", delay=Uniform(1, 3)), losses.FirstSpike()),
    "axonal": (network("lif", delay=Uniform(1, 3), delay_per="neuron"), losses.FirstSpike()),
    "sparse": (network("readout", delay=Uniform(1, 3), mask=~np.eye(3, dtype=bool)), losses.MeanVoltage()),
    "time constants": (network("readout", delay=1.0, train=("tau_mem", "tau_syn", "bias")), losses.MeanVoltage()),
}


def run_events():
    for made, loss in NETWORKS.values():
        parameters = made.initialize(0)
        settings = {"duration": DURATION, "n_threads": 1}
        value_and_grad(made, parameters, BATCH, LABELS, loss=loss, input_times=True, **settings)
        simulate(made, parameters, BATCH, **settings)
        assert len(list(stream(made, parameters, BATCH[:1], duration=DURATION, every=5.0))) == 4


def grid(normalised, forward=None, **recurrent):
    """A network on a grid, with a recurrent layer of ``recurrent`` settings."""
    made = GridNetwork(2.0)
    made.add_input("in", 2)
    made.add_lif("h", 3, tau_mem=8.0, tau_syn=4.0, batch_norm=normalised, train=("tau_mem", "tau_syn"))
    made.add_readout("out", 2, tau_mem=9.0, tau_syn=3.0, train="tau_mem")
    made.connect("in", "h", weight=1.0, delay=Uniform(0.0, 8.0), spread=forward)
    made.connect("h", "out", weight=1.0, delay=Uniform(0.0, 8.0), delay_per="neuron", spread=forward)
    if recurrent:
        made.connect("h", "h", weight=0.1, **recurrent)
    return made


def run_grids():
    late = {"delay": Uniform(2.0, 8.0), "spread": Spread("triangle", (4.0, 0.6), epochs=2)}
    made = [
        grid(True, Spread("gaussian", (6.0, 1.0), epochs=2, longest=14.0)),
        grid(False, Spread("triangle", (4.0, 1.0), epochs=2), delay_per="neuron", **late),
        grid(False, None, delay_per="synapse", **late),
        grid(False, None, delay=None),
    ]
    for network in made:
        parameters = network.initialize(0)
        surrogate.value_and_grad(network, parameters, BATCH, LABELS, loss=losses.MeanVoltage(), duration=DURATION)
        for delays in ("rounded", "fractional"):
            surrogate.simulate(network, parameters, BATCH, duration=DURATION, delays=delays)


def test_no_entry_returns_a_member_of_an_enumeration():
    run_events()
    run_grids()
    found = entries()
    assert {f"kernels.events.{name}_shard" for name in ("forward.forward", "backward.backward")} <= set(found)
    assert [name for name, entry in found.items() if not entry.overloads] == []
    for name, entry in found.items():
        assert not any(map(has_enumeration, returned(entry))), name
