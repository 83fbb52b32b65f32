"""The leaky integrate-and-fire neuron with exponential synapses; readouts are those without a threshold."""

from ..base import implement
from .adjoint import (
    add_constants,
    adjoint_at,
    flow_back,
    jump_back,
    leap_back,
    prepare_back,
    seen,
    share_of_mode,
    start_back,
    start_matters,
    unit_drive,
    write_modes,
)
from .membrane import mode_fall, mode_growth, mode_rise, responses
from .tables import Lif
from .walk import forget, is_quiet, leap, prepare, screen, start, unit_integral, walk, walk_maximum

implement(
    Lif, prepare, start, forget, responses, mode_growth, mode_rise, mode_fall, unit_integral, screen, walk,
    walk_maximum, is_quiet, leap, prepare_back, adjoint_at, seen, unit_drive, share_of_mode, add_constants, jump_back,
    write_modes, flow_back, leap_back, start_matters, start_back,
)  # fmt: skip
