"""The kernel tests must notice faults: 95 % of some fifty hand-made ones. Takes half an hour."""

import importlib.util
import pathlib

import pytest

SPEC = importlib.util.spec_from_file_location("mutants", pathlib.Path(__file__).with_name("mutants.py"))
mutants = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutants)


@pytest.mark.parametrize("number", range(len(mutants.MUTANTS)))
def test_every_fault_has_its_place(tmp_path, number):
    # in the fast suite: an edited kernel must not leave a fault that no longer applies
    mutants.mutated(tmp_path, number)


@pytest.mark.long
def test_ninety_five_of_a_hundred_faults_are_noticed():
    assert len(mutants.MUTANTS) >= 50
    assert mutants.main(range(len(mutants.MUTANTS))) >= 0.95
