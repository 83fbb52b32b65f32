"""What Python calls: an entry hands back numbers and arrays, which are made without any code of Python."""

import importlib
import pkgutil

import numba
import numpy as np
from numba.core import types

from eventsnn import Network, SpikeBatch, Uniform, kernels, losses, value_and_grad


def entries():
    """{name: dispatcher} of all functions that Python calls."""
    found = {}
    for module in pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, numba.core.dispatcher.Dispatcher) and not value.targetoptions.get(
                "no_cpython_wrapper"
            ):
                found[name] = value
    return found


def has_enumeration(kind):
    return isinstance(kind, types.EnumMember) or any(has_enumeration(part) for part in getattr(kind, "types", ()))


def test_the_reader_of_types_sees_enumerations():
    member = types.IntEnumMember(type("E", (), {}), types.int64)
    assert has_enumeration(types.Tuple((types.int64, member))) and not has_enumeration(types.UniTuple(types.int64, 2))


def test_no_entry_returns_a_member_of_an_enumeration():
    # Python code makes it, in which the handler of a signal may raise: the call then ends in a SystemError
    network = Network()
    network.add_input("in", 2)
    network.add_lif("h", 2)
    network.add_readout("out", 2)
    network.connect("in", "h", weight=1.0, delay=Uniform(0, 2))
    network.connect("h", "out", weight=1.0)
    batch = SpikeBatch.from_lists([([1.0, 2.0], [0, 1])])
    value_and_grad(network, network.initialize(0), batch, np.array([0]), loss=losses.MeanVoltage(), duration=20.0)
    compiled = {name: entry for name, entry in entries().items() if entry.overloads}
    assert {"forward_shard", "backward_shard"} <= set(compiled)
    for name, entry in compiled.items():
        for overload in entry.overloads.values():
            assert not has_enumeration(overload.signature.return_type), name
