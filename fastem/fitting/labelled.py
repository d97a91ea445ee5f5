"""The supervised fit: every point's component is known, so one M-step is all, unless its family needs more."""

import numpy as np

from ..sources.annotations import Assignment
from .em import EMResult, collapse_reported, run
from .labelled_starts import from_labels


def fit(source, family, settings, annotations):
    """Supervised fit: one M-step, or a run of EM, maximises the joint likelihood of points and labels.

    The lower bound is the mean of log(weight_k N(x; mean_k, covariance_k)), k the point's own component; for a family
    with a prior it is the family's own bound.
    """
    with collapse_reported("in the supervised fit"):
        parameters = from_labels(source, family, settings.n_components, annotations, settings.reg_covar)
    if family.needs_iterations:
        return run(source, parameters, settings, steps=settings.steps(family), annotations=annotations)
    if family is family.plain:
        log_likelihood, weight = source.log_likelihood(parameters, annotations, Assignment(settings.assignment))
        return EMResult(parameters, [np.float64(log_likelihood / weight)], converged=True)
    statistics = source.e_step(parameters, annotations, Assignment(settings.assignment))
    parameters = family.maximize(statistics, settings.reg_covar, parameters)
    return EMResult(parameters, [np.float64(family.lower_bound(statistics, parameters, parameters))], converged=True)
