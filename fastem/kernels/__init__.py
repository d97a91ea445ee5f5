"""Compiled code: arrays in, arrays out. No classes with behaviour, no validation, no scikit-learn.

Its modules, and Numba with them, are imported at the first use of a name: what a file says of a model needs neither.
"""

import importlib

_MODULE_OF = {
    "AxisAligned": "components.axis_aligned",
    "Candidates": "truncated",
    "FarAxisAligned": "components.axis_aligned",
    "FarLowRank": "components.low_rank",
    "FarStudentAxisAligned": "components.student",
    "FarStudentTriangular": "components.student",
    "FarTriangular": "components.triangular",
    "HARD": "assignments",
    "LowRank": "components.low_rank",
    "NO_POINT_ANNOTATIONS": "passes",
    "MOST_CELLS": "truncated",
    "Mixture": "patterns",
    "NearestComponents": "ordering",
    "Pass": "passes",
    "PatternPass": "patterns",
    "PointAnnotations": "passes",
    "READ_IN_PLACE": "points",
    "SOFT": "assignments",
    "STOCHASTIC": "assignments",
    "Shared": "components.shared",
    "StudentAxisAligned": "components.student",
    "StudentShared": "components.student",
    "StudentTriangular": "components.student",
    "Sums": "sums",
    "Triangular": "components.triangular",
    "TruncatedPass": "truncated",
    "evaluate_patterns": "patterns",
    "expectations": "patterns",
    "in_single": "passes",
    "labels": "passes",
    "log_likelihoods": "passes",
    "patterns_of": "patterns",
    "responsibilities": "passes",
    "variances": "patterns",
}

__all__ = [*_MODULE_OF]


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value
