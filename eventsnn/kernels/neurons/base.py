"""The door between the event loops and the neurons: all that a loop may ask of a model.

``net.model`` is a NamedTuple of the tables that a model needs; its type says, while kernels are compiled, whose
versions of the functions below the loops call. Which version it is costs nothing when they run: no branch, no call by
address (docs/engine.md). A model is a folder beside this file, whose ``__init__`` calls ``implement``; the loops know
no model, and models know no loop. Every argument named ``net``, ``work``, ``adjoint``, ``jumps`` and ``gradients`` is
the record of that name (`state.Net`, `workspace.Workspace`, `adjoint_workspace.Adjoint`, `state.Jumps`,
`state.Gradients`); ``j`` is a state neuron, ``pop`` a state population.
"""

import inspect

from numba import types
from numba.extending import overload

from ..compile import OPTIONS

# {name of a function below: {type of net.model: its version}}
VERSIONS = {}


def _door(inlined=True):
    """Let a function be the name under which each model's version of it is called."""

    def opened(stub):
        versions = VERSIONS[stub.__name__] = {}

        def choose(*arguments):
            net = arguments[0]
            assert isinstance(net, types.NamedTuple), f"{stub.__name__} takes a Net first"
            return versions[net.types[net.fields.index("model")].instance_class]

        choose.__signature__ = inspect.signature(stub)
        options = {**OPTIONS, "forceinline": True} if inlined else OPTIONS
        overload(stub, jit_options=options, strict=False)(choose)
        return stub

    return opened


def implement(model, *functions):
    """Enter a model: ``functions`` (kernels, by name) are its versions of all functions of the door."""
    given = {function.__name__: function.py_func for function in functions}
    if missing := VERSIONS.keys() ^ given.keys():
        raise TypeError(f"{model.__name__}: {', '.join(sorted(missing))} missing, or not asked for by any loop")
    for name, function in given.items():
        VERSIONS[name][model] = function


@_door(inlined=False)
def prepare(net, work, length):
    """Write the constants of every neuron's flow over a window of ``length`` ms into ``work.values``."""


@_door()
def start(net, work, outputs):
    """Put every neuron into its state at time 0, as far as that is not zero, and write its limit for the screening."""


@_door()
def responses(net, j, x):
    """Return (e^{-x/tau_mem}, e^{-x/tau_syn}, response of V to a unit jump of I) after x <= h ms."""


@_door()
def mode_growth(net, pop, window):
    """Return by how much the two modes of a modal population have grown at the end of its stretch."""


@_door()
def mode_rise(net, pop, k, x):
    """Return e^{t/tau} for each mode of a modal population, t from a block's start to x ms after that of window k."""


@_door()
def mode_fall(net, pop, k):
    """Return e^{-t/tau} for each mode of a modal population, t from a block's start to that of its window k."""


@_door()
def unit_integral(net, j, time):
    """Return what a unit jump of I at ``time`` adds to the readout's integral until the end."""


@_door(inlined=False)
def forget(net, work, window):
    """Set states to zero that are too small to matter, before a window."""


@_door()
def screen(net, work, pop, maximum):
    """Advance each neuron that surely does nothing in the window; list the others in ``work.suspects``."""


@_door()
def walk(net, work, j, n, span, end):
    """Take a suspect through its n sorted arrivals, spikes onto the tape; return (status, grazing contacts)."""


@_door()
def walk_maximum(net, work, j, n, span, end, outputs):
    """Take a readout through its n sorted arrivals, and keep its largest voltage."""


@_door()
def is_quiet(net, work):
    """Return True when no neuron can fire without a new arrival."""


@_door(inlined=False)
def leap(net, work, outputs, begin, end):
    """Cross a silence from ``begin`` to ``end`` in one step."""


@_door(inlined=False)
def prepare_back(net, steps, length, with_tails):
    """Write the constants of every neuron's backward flow over a window of ``length`` ms into ``adjoint.steps``."""


@_door()
def adjoint_at(net, adjoint, jumps, j, time):
    """Return (lambda_V, lambda_I) as an arrival at ``time`` sees them, without the loss's drive of a readout."""


@_door()
def seen(net, adjoint, jumps, j, time, unit):
    """Return (lambda_V - lambda_I, lambda_I, lambda_I without the drive), with ``unit_drive`` as ``unit``."""


@_door()
def unit_drive(net, j, time):
    """Return what a unit of the loss's drive does to (lambda_V - lambda_I, lambda_I) at ``time``."""


@_door()
def share_of_mode(net, pop):
    """Return how much of lambda_V's mode there is in lambda_I."""


@_door(inlined=False)
def add_constants(net, adjoint, jumps, j, arrival, charge, lambda_i, gradients):
    """Add what one arrival gives to the gradients of the neuron's own constants."""


@_door()
def jump_back(net, adjoint, jumps, e, lambda_v, pull, gradients):
    """Return lambda_V before entry e of the sample's jumps, from that after it and the pull on the spike's time."""


@_door()
def write_modes(net, adjoint, window):
    """Write the adjoint at a window's end as modes, carried on to the end of the stretch, or to the block's start."""


@_door()
def flow_back(net, adjoint, jumps, window, entries):
    """Carry the adjoint of every neuron from the end of ``window`` to its beginning."""


@_door(inlined=False)
def leap_back(net, adjoint, window, previous):
    """Carry the adjoint of every neuron across a silence, from the end of ``window`` to that of ``previous``."""


@_door()
def start_matters(net):
    """Return True where any neuron starts where gradients depend on it."""


@_door(inlined=False)
def start_back(net, adjoint, gradients):
    """Add what the state at time 0 gives to gradients; the adjoint has come to the end of window -1."""
