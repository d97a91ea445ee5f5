"""Compiled code: arrays in, arrays out. No classes with behaviour, no validation, no scikit-learn."""

from .components.axis_aligned import AxisAligned, FarAxisAligned
from .components.shared import Shared
from .components.triangular import FarTriangular, Triangular
from .ordering import Cells
from .passes import (
    HARD,
    NOTHING_GIVEN,
    SOFT,
    STOCHASTIC,
    Given,
    Pass,
    in_single,
    labels,
    log_likelihoods,
    responsibilities,
)
from .points import READ_IN_PLACE
from .sums import Sums

__all__ = [
    "HARD",
    "NOTHING_GIVEN",
    "READ_IN_PLACE",
    "SOFT",
    "STOCHASTIC",
    "AxisAligned",
    "Cells",
    "FarAxisAligned",
    "FarTriangular",
    "Given",
    "Pass",
    "Shared",
    "Sums",
    "Triangular",
    "in_single",
    "labels",
    "log_likelihoods",
    "responsibilities",
]
