"""Networks on a time grid: neurons, delays and normalisation, step by step."""

from .delays import delay, delay_back, delay_gradient, depart, spread, spread_gradient, spread_nearest
from .neurons import (
    ARCTANGENT,
    HARD_RESET,
    SOFT_RESET,
    TRIANGLE,
    decay_gradients,
    fire_again,
    integrate,
    integrate_back,
    lif,
    lif_axonal,
    lif_axonal_back,
    lif_back,
    lif_synaptic,
)
from .normalising import count, moments, normalise, normalise_back

__all__ = [
    "ARCTANGENT",
    "HARD_RESET",
    "SOFT_RESET",
    "TRIANGLE",
    "count",
    "decay_gradients",
    "delay",
    "delay_back",
    "delay_gradient",
    "depart",
    "fire_again",
    "integrate",
    "integrate_back",
    "lif",
    "lif_axonal",
    "lif_axonal_back",
    "lif_back",
    "lif_synaptic",
    "moments",
    "normalise",
    "normalise_back",
    "spread",
    "spread_gradient",
    "spread_nearest",
]
