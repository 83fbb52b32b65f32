"""Names for what annotations say often: what a number or an array means here."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Milliseconds: TypeAlias = float
"""A time or a duration in ms."""
Parameters: TypeAlias = dict[str, NDArray[np.float64]]
"""{parameter: its array}, as ``Network.initialize`` returns them; gradients have the same form."""
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Indices: TypeAlias = NDArray[np.int32]
"""Which neurons, channels or columns of synapses."""
Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Description: TypeAlias = dict[str, Any]
"""A JSON-able dict that ``to_dict`` returned."""
Bound: TypeAlias = float | NDArray[np.float64]
"""One for all entries of a parameter, or one for each."""
Bounds: TypeAlias = Mapping[str, tuple[Bound, Bound]]
"""{parameter: (lowest, highest value)}."""


class AnyPopulation(Protocol):
    """What is read of a population where networks are not known: its name, its kind, its size, and whether it fires."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def fires(self) -> bool: ...
    @property
    def is_readout(self) -> bool: ...
    @property
    def n(self) -> int: ...
