"""Compiled code: arrays in, arrays out. No classes with behaviour, no validation, no scikit-learn."""

from .components.axis_aligned import AxisAligned, FarAxisAligned
from .components.shared import Shared
from .components.triangular import FarTriangular, Triangular
from .ordering import NearestComponents
from .passes import (
    HARD,
    NO_POINT_ANNOTATIONS,
    SOFT,
    STOCHASTIC,
    Pass,
    PointAnnotations,
    in_single,
    labels,
    log_likelihoods,
    responsibilities,
)
from .points import READ_IN_PLACE
from .sums import Sums

__all__ = [
    "HARD",
    "NO_POINT_ANNOTATIONS",
    "READ_IN_PLACE",
    "SOFT",
    "STOCHASTIC",
    "AxisAligned",
    "FarAxisAligned",
    "FarTriangular",
    "NearestComponents",
    "Pass",
    "PointAnnotations",
    "Shared",
    "Sums",
    "Triangular",
    "in_single",
    "labels",
    "log_likelihoods",
    "responsibilities",
]
