"""Variational Bayes on few points: a whole run in one compiled call, as `few` does for EM.

The iterations are those of `em.run` with plain steps, to rounding.
"""

from time import perf_counter

import numpy as np

from .. import kernels
from ..kernels.posteriors import CompiledPosterior, Prior
from ..kernels.runs import CONVERGED, UNUSUAL, FewPoints, Rules
from . import few, few_runs
from .acceleration import Plain
from .em import EMResult


def run(source, start, settings, annotations, report, name):
    """The EMResult of a run of plain steps, added to the report; None if it needs steps that are not compiled.

    Parameters
    ----------
    source : source
    start : Posterior
    settings : Settings
    annotations : Annotations
    report : FitReport
    name : str
    """
    family, begin = start.family, perf_counter()
    if not few.apply(source, family.plain, settings, annotations):
        return None
    kind, averaged = family.plain.compiled_m_step
    inputs = start.kernel_inputs()
    if type(inputs) is not getattr(kernels, kind):  # components far apart
        return None
    points = FewPoints(few_runs.held(source).X, annotations.weights, inputs.origin)
    rules = Rules(settings.tol, False, 0.0, 0.0, averaged, 0)
    compiled = CompiledPosterior(points, inputs, _prior(family, inputs.origin, settings), rules, settings.max_iter)
    step = few_runs.iterations_of_call(source, family.plain, settings.n_components)
    for n in range(step, settings.max_iter + step, step):
        compiled.go_on(min(n, settings.max_iter))
    if compiled.end == UNUSUAL:
        return None
    n = compiled.n_iter
    before = start if n == 1 else family.maximize(_statistics(compiled, family, n - 1), settings.reg_covar)
    found = family.maximize(_statistics(compiled, family, n), settings.reg_covar, before)
    bounds = compiled.bounds.tolist()
    result = EMResult(found, [*bounds[:-1], found.lower_bound], start=start, kinds=["plain"] * n, steps=Plain())
    result.converged = compiled.end == CONVERGED
    report.add(name, source, result, perf_counter() - begin)
    return report.of(result)


def _statistics(compiled, family, n_iter):
    return family.statistics_of_pass(*compiled.sums(n_iter))


def _prior(family, origin, settings):
    priors, n_features = family.priors, len(origin)
    scale = np.asarray(priors.covariance, dtype=np.float64)
    return Prior(
        bool(priors.is_process),
        family.is_shared,
        float(priors.weight_concentration),
        float(priors.mean_precision),
        priors.mean - origin,
        float(priors.degrees_of_freedom),
        np.ascontiguousarray(scale if scale.ndim == 2 else np.diag(np.broadcast_to(scale, n_features))),
        settings.reg_covar,
    )
