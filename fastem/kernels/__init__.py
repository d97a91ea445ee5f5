"""Compiled code: arrays in, arrays out. No classes with behaviour, no validation, no scikit-learn."""

from .axis_aligned import AxisAligned
from .ordering import Cells
from .passes import NOTHING_GIVEN, Given, accumulate, in_single, labels, log_likelihoods, responsibilities
from .points import READ_IN_PLACE
from .shared import Shared
from .triangular import Triangular

__all__ = [
    "NOTHING_GIVEN",
    "READ_IN_PLACE",
    "AxisAligned",
    "Cells",
    "Given",
    "Shared",
    "Triangular",
    "accumulate",
    "in_single",
    "labels",
    "log_likelihoods",
    "responsibilities",
]
