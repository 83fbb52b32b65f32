"""Neuron models: their names and constants. To add one, see docs/how-to/extend.md.

Every file of this folder is imported, and the models that its ``MODELS`` lists are known.
"""

from importlib import import_module
from pkgutil import iter_modules

from .base import Field, Model
from .lif import LIF, READOUT

__all__ = ["LIF", "MODELS", "READOUT", "Field", "Kinded", "Model"]

# {kind: Model} of all that a network can be built of.
MODELS: dict[str, Model] = {}
for _found in iter_modules(__path__):
    for _model in getattr(import_module(f".{_found.name}", __name__), "MODELS", ()):
        MODELS[_model.kind] = _model


class Kinded:
    """What follows from the ``kind`` of a population: one of MODELS, or "input"."""

    kind: str

    @property
    def fires(self) -> bool:
        """True where its neurons send spikes."""
        return self.kind in MODELS and MODELS[self.kind].fires

    @property
    def is_readout(self) -> bool:
        """True where its neurons send none, and their voltages are read."""
        return self.kind in MODELS and not MODELS[self.kind].fires
