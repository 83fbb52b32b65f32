"""Cotangents add up and scale."""

import numpy as np

from eventsnn.spikes import Cotangents


def test_cotangents_add_and_scale():
    one = Cotangents(integral={"out": np.ones((1, 2))}, spike_times=np.array([1.0, 2.0]))
    one = one.plus(Cotangents(integral={"out": np.ones((1, 2)), "up": np.ones((1, 1))}, counts={"a": np.ones((1, 1))}))
    one = one.plus(Cotangents(spike_times=np.array([1.0, 0.0])))
    half = one.scaled(0.5)
    assert half.integral["out"].tolist() == [[1.0, 1.0]] and half.integral["up"].tolist() == [[0.5]]
    assert half.counts["a"].tolist() == [[0.5]] and half.spike_times.tolist() == [1.0, 1.0]
    empty = Cotangents().scaled(2.0)
    assert empty.spike_times is None
    empty = empty.plus(half)
    assert empty.spike_times.tolist() == [1.0, 1.0]
