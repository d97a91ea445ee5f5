"""Plain EM on far fewer points than features, where covariances are matrices: in the directions of the points.

Matrices rotate with the points, and along directions in which no point differs every component has the variance
reg_covar. So EM in as many dimensions as there are points takes the same steps, to rounding, as in all features, where
each takes D**3 operations. Only the mixture that is kept is computed in all features.
"""

import math
from dataclasses import replace

import numpy as np

from ..model.families.embedded import embedded
from ..sources.array import ArraySource, in_memory
from .em import run
from .plain import best_start
from .progress import SILENT, Progress
from .report import FitReport

# Features from which it is worth while, and how many times the number of points they are at least.
_MANY, _TIMES = 256, 2


def applies(source, family, settings, annotations):
    """Whether this file can make the fit: complete float64 points without labels, from a start that EM finds."""
    is_wide = source.n_features > max(_MANY, _TIMES * source.n_samples)
    # A family has a compiled M-step if it constrains matrices in no way, so that they rotate with the points.
    is_free = family.compiled_m_step is not None and not family.is_axis_aligned
    is_plain = not annotations.is_constrained and all(value is None for value in settings.init)
    is_held = source.precision == np.float64 and source.is_complete
    has_reach = settings.reg_covar > 0 and settings.max_iter > 0
    return is_wide and is_free and is_plain and is_held and has_reach and settings.assignment == "soft"


class _InAllFeatures:
    """A listener that tells others of EM's mixtures in all features.

    Parameters
    ----------
    progress : Progress
    whole : callable
        The EMResult in all features, for one in the directions of the points.
    """

    def __init__(self, progress, whole):
        self._progress, self._whole = progress, whole

    def begin_iteration(self, result):
        self._progress.begin_iteration(self._whole(result))

    def end_iteration(self, iteration, change, result):
        return self._progress.end_iteration(iteration, change, self._whole(result))


def fit(source, family, settings, random_state, annotations, progress=SILENT):
    """The EMResult of plain EM from the start of textbook EM; its report is the caller's to make.

    Parameters
    ----------
    source : source
    family : CovarianceFamily
    settings : Settings
    random_state : RandomState
    annotations : Annotations
        Weights only.
    progress : Progress
    """
    X = in_memory(source).X
    origin = np.average(X, axis=0, weights=annotations.weights)
    basis, coordinates = np.linalg.qr((X - origin).T)
    points = ArraySource(np.ascontiguousarray(coordinates.T))
    n_flat = source.n_features - points.n_features
    of_flat = -0.5 * n_flat * (math.log(2 * math.pi) + math.log(settings.reg_covar))

    def whole(result):
        # The directions' start and checkpoint mean nothing to others, and the kept mixture can be gone on from.
        return replace(
            result,
            parameters=embedded(result.parameters, origin, basis, settings.reg_covar),
            lower_bounds=[bound + of_flat for bound in result.lower_bounds],
            start=None,
            last=None,
        )

    start = best_start(points, family, settings, random_state, annotations)
    progress = progress if progress.is_silent else Progress(_InAllFeatures(progress, whole))
    return whole(run(points, start, settings, annotations=annotations, report=FitReport(), progress=progress))
