"""A network and its recording."""

from tests.analysis.conftest import model as model
