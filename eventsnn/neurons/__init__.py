"""Neuron models: their names and constants. To add one, see docs/how-to/extend.md."""

from .base import Field, Model
from .lif import LIF, READOUT

# {kind: Model} of all that a network can be built of.
MODELS = {model.kind: model for model in (LIF, READOUT)}

__all__ = ["LIF", "MODELS", "READOUT", "Field", "Model"]
