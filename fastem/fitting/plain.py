"""Textbook EM: one run, or several from different starts of which the best is kept."""

import math
from dataclasses import replace

import numpy as np

from ..sources import SourceError
from ..sources.annotations import NO_ANNOTATIONS, n_counted
from . import few, initialization
from .degeneracy import n_degenerate
from .em import collapse_ignored, collapse_reported, run
from .progress import SILENT
from .report import FitReport

# Most iterations on the sample before two starts are compared: enough to tell which is better.
_TRIAL_ITERATIONS = 50


def best_start(source, family, settings, random_state, annotations=NO_ANNOTATIONS):
    """The start of a run: of several candidates, that with the highest bound after some iterations on the sample."""
    if all(value is not None for value in settings.init):
        return initialization.user_parameters(family, None, *settings.init)
    with collapse_reported(f"at the start ({settings.init_params})"):
        starts, sample, sample_annotations = initialization.candidates(
            source, family, settings.n_components, settings.init_params, random_state, settings.reg_covar, annotations
        )
    starts = [initialization.user_parameters(family, start, *settings.init) for start in starts]
    if len(starts) == 1:
        return starts[0]

    def reached(start):
        """(bound, number of degenerate components, if the family expects outliers) after some iterations."""
        with collapse_ignored():
            kind = "soft" if settings.assignment == "stochastic" else settings.assignment
            trial = replace(settings, max_iter=_TRIAL_ITERATIONS, assignment=kind)
            result = run(sample, start, trial, annotations=sample_annotations)
            n_points = n_counted(sample, sample_annotations)
            is_counted = family.expects_outliers and result.lower_bounds
            n = n_degenerate(result.parameters, n_points, settings.reg_covar) if is_counted else 0
            return result.lower_bound, n
        return -math.inf, math.inf

    found = [reached(start) for start in starts]
    # An outlier by itself raises the bound of its start without limit, so such a start is the last choice.
    fewest = min(n for _, n in found)
    bounds = [bound if n == fewest else -math.inf for bound, n in found]
    best = int(np.argmax(bounds))
    # The first is scikit-learn's own start. Another replaces it only if better by more than tol: less counts as equal.
    return starts[best] if bounds[best] > bounds[0] + settings.tol else starts[0]


def fit(source, family, settings, random_state, *, annotations=NO_ANNOTATIONS, progress=SILENT):
    """The best of `settings.n_init` runs, each from its own start.

    Parameters
    ----------
    source : source
    family : CovarianceFamily
    settings : Settings
    random_state : RandomState
    annotations : Annotations
    progress : Progress

    Returns
    -------
    result : EMResult
        The run with the highest lower bound; among equals, the first.
    """
    best, report = None, FitReport()
    is_few = few.apply(source, family, settings, annotations)
    for init in range(settings.n_init):
        progress.begin(init)
        try:
            result = is_few and few.textbook(source, family, settings, random_state, annotations, report, progress)
            if not result:
                start = best_start(source, family, settings, random_state, annotations)
                seed = random_state.randint(2**31) if settings.assignment == "stochastic" else 0
                result = run(
                    source, start, settings, steps=settings.steps(family), annotations=annotations, seed=seed,
                    progress=progress, report=report,
                )  # fmt: skip
        except SourceError as error:
            if best is not None and (error.result is None or best.lower_bound > error.result.lower_bound):
                error.result = replace(best, converged=False)
            raise
        if best is None or result.lower_bound > best.lower_bound or best.lower_bound == -math.inf:
            best, report.best_start = result, init
        if progress.end(result):
            break
    return report.of(best)
