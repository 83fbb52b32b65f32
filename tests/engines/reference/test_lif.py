"""A neuron at its threshold."""

from eventsnn.engines.reference import lif


def test_a_state_at_the_threshold_fires_where_it_goes_on_to_exceed_it():
    neuron = lif.Constants(20.0, 10.0, 1.0, reset=0.0, start=0.0, rest=0.0)
    assert lif.first_crossing(1.0, 1.0 + 1e-8, neuron) == (None, True)
    assert lif.first_crossing(1.0, 1.0 + 1e-6, neuron) == (0.0, False)
