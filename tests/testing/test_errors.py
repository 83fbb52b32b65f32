"""Errors are relative, down to a floor."""

import numpy as np
import pytest

from eventsnn import testing


def test_relative_errors_have_a_floor_and_no_blind_spot():
    assert testing.relative_errors(1.0, 1.0 + 1e-6, 1e-3) == pytest.approx(1e-6, rel=1e-3)
    assert testing.relative_errors(1e-9, 0.0, 1e-3) == pytest.approx(1e-6)
    assert testing.relative_errors(np.nan, 1.0, 1e-3) == np.inf
    floor = testing.floors({"a": np.array([1e-3, 2.0]), "b": np.zeros(2), "c": np.zeros(0)})
    assert floor == {"a": 2e-3, "b": 2e-6, "c": 2e-6}


def test_what_is_left_of_terms_that_cancel_is_no_difference_and_nothing_else_is_excused():
    errors = testing.relative_errors([9e-16, 1e-13, 1.0], [-1e-16, 0.0, 1.0 + 1e-12], 1e-7, largest=0.07)
    assert errors[0] <= testing.ROUNDINGS * np.finfo(float).eps  # 60 eps of the largest
    assert errors[1] == pytest.approx(1e-6) and errors[2] == pytest.approx(1e-12, rel=1e-3)
    assert testing.largest_of({"a": np.array([-3.0, 1.0]), "b": np.zeros(0)}) == 3.0
    # an infinite gradient would excuse every other difference
    assert testing.largest_of({"a": np.array([np.inf]), "b": np.ones(2)}) == 0.0 == testing.largest_of({})
