"""The reference engine in floats is that in many digits."""

import mpmath
import numpy as np

from eventsnn.engines.checking import check_batch
from eventsnn.engines.problem import Run
from eventsnn.engines.reference import simulation as reference
from eventsnn.engines.reference.arithmetic import mpmath_arithmetic
from eventsnn.spikes import Probe
from eventsnn.testing import random_case


def test_reference_agrees_with_itself_in_extended_precision():
    case = random_case(11, loss="mean", topology="recurrent", n_samples=1, duration=30.0, max_spikes=30)
    inputs = check_batch(case.network, case.batch)
    run = Run(case.duration, {"out": Probe(maximum=True)})
    recording, _ = reference.forward(case.network, case.parameters, inputs, run)
    assert recording.times.size > 3
    with mpmath.workdps(40):
        exact = {k: np.vectorize(mpmath.mpf, otypes=[object])(v) for k, v in case.parameters.items()}
        given = {
            k: ([mpmath.mpf(t) for t in b.times], b.units, np.ones(b.times.size) if b.counts is None else b.counts)
            for k, b in inputs.items()
        }
        simulation = reference.Simulation(case.network, exact, run, mpmath_arithmetic()).run(given)
        times = [float(time) for time, _, _ in simulation.spikes]
    np.testing.assert_allclose(recording.times, times, rtol=0, atol=1e-11)
