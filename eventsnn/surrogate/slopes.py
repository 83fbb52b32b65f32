"""Surrogates for the slope of the step at the threshold."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from ..checks import one_of, positive
from ..citing import Paper

PARAMETRIC = Paper(
    ("W. Fang", "Z. Yu", "Y. Chen", "T. Masquelier", "T. Huang", "Y. Tian"),
    "Incorporating learnable membrane time constant to enhance learning of spiking neural networks", "ICCV", 2021,
    "2007.05785",
)  # fmt: skip
LEARNING_TO_LEARN = Paper(
    ("G. Bellec", "D. Salaj", "A. Subramoney", "R. Legenstein", "W. Maass"),
    "Long short-term memory and learning-to-learn in networks of spiking neurons", "NeurIPS", 2018,
    "1803.09574",
)  # fmt: skip


@dataclass(frozen=True)
class ArcTangent:
    """Surrogate derivative (slope/2) / (1 + (pi/2 slope u)^2), u = H - v_threshold (Fang et al. 2021)."""

    slope: float = 5.0
    papers: ClassVar[tuple[Paper, ...]] = (PARAMETRIC,)

    def __post_init__(self) -> None:
        positive(self.slope, "surrogate.slope")


@dataclass(frozen=True)
class Triangle:
    """Surrogate derivative slope max(0, 1 - |u|), u = H - v_threshold (Bellec et al. 2018)."""

    slope: float = 1.0
    papers: ClassVar[tuple[Paper, ...]] = (LEARNING_TO_LEARN,)

    def __post_init__(self) -> None:
        positive(self.slope, "surrogate.slope")


Surrogate: TypeAlias = ArcTangent | Triangle
SURROGATES: dict[str, type[Surrogate]] = {"arctangent": ArcTangent, "triangle": Triangle}


def surrogate_of(kind: str, slope: float) -> Surrogate:
    """Return the surrogate derivative of that name, "arctangent" or "triangle"."""
    one_of(kind, "surrogate", SURROGATES, f"one of {', '.join(SURROGATES)}")
    return SURROGATES[kind](slope)
