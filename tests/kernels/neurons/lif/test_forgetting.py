"""States and adjoints that have died away are zero, long before they would be denormal numbers.

Hazards: what rounding took, which stays behind; a busy neuron that is forgotten too; tails, whose rows come after.
"""

import math

import numba
import numpy as np
import pytest

from eventsnn import Cotangents, Network, SpikeBatch
from eventsnn.engines.cpu import engine as compiled
from eventsnn.engines.cpu.memory import _idle, release_memory
from eventsnn.engines.problem import Problem, Run
from eventsnn.kernels.adjoint_workspace import Lambda, Lost
from eventsnn.kernels.negligible import NEGLIGIBLE
from eventsnn.kernels.neurons.lif import membrane
from eventsnn.kernels.workspace import Row

SLOW, DURATION, KICKED = 10.0, 7200.0, 20
# (tau_mem, tau_syn): each is once the slower one, at which a state ends as a denormal number.
TAUS = [(SLOW, SLOW / 2), (SLOW / 2, SLOW)]
# Busy until then, and a silence after it that takes states across all numbers down to denormal ones.
LEAPT = 60.0
SMALLEST = np.finfo(float).tiny

forget_small = numba.njit(lambda values, lost, at, n: membrane.forget_small(values, lost, at, n))


def kept(kind):
    """The buffers of this kind that the one run so far has left."""
    ((_, buffers),) = [pair for found, pair in _idle.items() if found == kind]
    return buffers[0]


def problem(kick, busy_until, taus, train=()):
    """Neurons that are kicked once, while others stay busy for a while, in which no silence is leapt over."""
    network = Network()
    network.add_input("in", 2)
    for name, n in (("kicked", KICKED), ("busy", 2)):
        network.add_lif(name, n, tau_mem=taus[0], tau_syn=taus[1], train=train)
    for name, strength in (("kicked", 6.0), ("busy", 1.5)):
        mask = np.zeros((2, network.populations[name].n), bool)
        mask[("kicked", "busy").index(name)] = True
        network.connect("in", name, weight=strength, delay=1.0, mask=mask)  # delays of their own: a stretch is long
    beats = np.arange(0.5, busy_until, 2.0)
    batch = SpikeBatch.from_lists([([kick, *beats], [0] + [1] * beats.size)])
    release_memory()
    assert math.exp(-DURATION / SLOW) < SMALLEST  # a denormal number, were nothing done
    return Problem(network, network.initialize(), {"in": batch}, Run(DURATION, {}, 1))


def test_negligible_numbers_go_with_what_rounding_took_from_them_and_no_others_do():
    small, large = NEGLIGIBLE, 2.0 * NEGLIGIBLE
    values, lost = np.array([small, 0.0, small, -small, large, -large, small]), np.ones(4)
    forget_small(values, lost, 2, 4)
    assert values.tolist() == [small, 0.0, 0.0, 0.0, large, -large, small]
    assert lost.tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("busy_until", [DURATION, LEAPT])
@pytest.mark.parametrize("taus", TAUS)
def test_states_that_have_died_away_are_zero_and_no_denormal_numbers(taus, busy_until):
    recording, (layout, _) = compiled.forward(problem(0.1, busy_until, taus))
    assert recording.spike_counts("kicked").all()
    values, gone = kept("forward").values, slice(*layout.slices["kicked"])
    for row in (Row.V, Row.I, Row.LOST_V, Row.LOST_I):
        assert not values[row, gone].any(), row.name
    assert values[Row.I, slice(*layout.slices["busy"])].all() == (busy_until == DURATION)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("busy_until", [DURATION, LEAPT])
@pytest.mark.parametrize("train", [(), ("tau_mem", "tau_syn")])
@pytest.mark.parametrize("taus", TAUS)
def test_adjoints_that_have_died_away_are_zero_and_no_denormal_numbers(taus, train, busy_until):
    task = problem(DURATION - 40.0, busy_until, taus, train)
    recording, tape = compiled.forward(task)
    assert recording.spike_counts("kicked").all() and recording.times[recording.neurons < KICKED].min() > 7000.0
    pull = Cotangents(spike_times=np.ones(recording.times.size))
    compiled.backward(task, recording, tape, pull, names=task.network.trainable)
    (layout, _), adjoint = tape, kept("adjoint")
    n, stretch = layout.net.neurons.size, layout.net.stretch
    assert stretch > 8
    gone, busy = (slice(*layout.slices[name]) for name in ("kicked", "busy"))
    # one window of the first stretch after the other
    states = [adjoint.states[row, : stretch * n].reshape(stretch, n) for row in Lambda]
    states += [row.reshape(stretch, n) for row in adjoint.tails if train]
    for state in states:
        assert not state[:, gone].any() and state[:, busy].any()
    assert not adjoint.lost[:, gone].any() and adjoint.lost.shape[0] == (len(Lost) if train else len(Lambda))
