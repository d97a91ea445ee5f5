"""Variational Bayes without a start: several are tried, on a sample if there are many points, and the best is followed.

scikit-learn's start has components that the data need, and others that die slowly or never. The other start tried is a
mixture with as many components that `search` finds, sorted by weight as the Dirichlet process prior prefers. The
better of the two is then improved by `posterior_moves`, which merges, deletes and splits components.
"""

from dataclasses import replace

import numpy as np

from ..sources.annotations import Annotations
from ..sources.array import sample
from . import em, few, few_posteriors, initialization, posterior_moves, search
from .acceleration import Extrapolation, Plain
from .progress import SILENT
from .report import ALL, FitReport

# Number of points in a sample, at least, and per component if that is more.
_SAMPLE_SIZE, _SAMPLE_SIZE_A_COMPONENT = 20_000, 200

# Most iterations on a sample, and the change of the bound, nats per point, that ends them earlier.
_TRIAL_ITERATIONS, _TRIAL_TOL = 100, 1e-7


def fit(source, family, settings, random_state, *, annotations, progress=SILENT):
    """Variational Bayes from the best of several starts.

    Parameters
    ----------
    source : source
    family : VariationalFamily
    settings : em.Settings
    random_state : RandomState
    annotations : Annotations
    progress : Progress

    Returns
    -------
    result : EMResult
    """
    progress.begin(0)
    report = FitReport()
    size = max(_SAMPLE_SIZE, settings.n_components * _SAMPLE_SIZE_A_COMPONENT)
    is_whole = source.n_samples <= 2 * size
    if is_whole:
        points, counts, trial = source, annotations, settings
    else:
        points = sample(source, size, random_state, annotations.weights)
        weight = source.n_samples if annotations.weights is None else annotations.weights.sum()
        counts = Annotations(np.full(points.n_samples, weight / points.n_samples))
        trial = replace(settings, max_iter=_TRIAL_ITERATIONS, tol=_TRIAL_TOL * weight)
    best = None
    for i, start in enumerate(_starts(points, family, settings, random_state, counts, report)):
        result = _run(points, start, trial, counts, report, f"start {i}", is_whole)
        progress.end_stage(report.stages[-1])
        if best is None or result.lower_bound > best.lower_bound:
            best, report.best_start = result, i
    found = best
    if settings.n_components > 1 and best.n_iter > 0:
        moves = {
            "counts": counts,
            "stand_for": source.n_samples / points.n_samples,
            "report": report,
            "progress": progress,
        }
        best = posterior_moves.improved(best, points, family, trial, random_state, **moves)
    run = {"annotations": annotations, "progress": progress, "report": report, "name": ALL}
    if not is_whole or best is not found:
        result = em.run(source, best.parameters, settings, steps=Extrapolation(), **run)
    else:
        if not progress.is_silent:  # run it again, for the listeners
            told = em.run(source, best.start, settings, **run)
            best = told if told.stopped else best
        result = _gone_on(best, source, settings, run) if best.converged else best
    progress.end(result)
    return report.of(result)


def _run(points, start, settings, annotations, report, name, is_whole):
    """A run from a start. On all the points it is scikit-learn's own algorithm: the result can't be worse than its."""
    result = few_posteriors.run(points, start, settings, annotations, report, name) if is_whole else None
    if result is not None:
        return result
    steps = Plain() if is_whole else Extrapolation()
    return em.run(points, start, settings, steps=steps, annotations=annotations, report=report, name=name)


def _gone_on(converged, source, settings, run):
    """A run that has converged by plain steps, continued by extrapolation."""
    at = converged.parameters
    trace = converged.lower_bounds, converged.kinds
    unfinished = em.Unfinished(at, at, at, Extrapolation(), *trace, 0, source.n_samples)
    result = em.run(source, None, settings, unfinished=unfinished, **run)
    result.converged = True
    return result


def _starts(points, family, settings, random_state, counts, report):
    """Yield scikit-learn's starts, `n_init` times, and a posterior by the responsibilities of `search`'s mixture."""
    n_components, init_params, reg_covar = settings.n_components, settings.init_params, settings.reg_covar
    for _ in range(settings.n_init):
        with em.collapse_reported(f"at the start ({init_params})"):
            starts, _, _ = initialization.candidates(
                points, family, n_components, init_params, random_state, reg_covar, counts
            )
        yield from starts
    if init_params == "kmeans" and n_components > 1:
        with em.collapse_ignored():
            mixture = _mixture(points, family.plain, settings, random_state, counts, report)
            yield family.maximize(points.e_step(mixture, counts), reg_covar)


def _mixture(points, family, settings, random_state, counts, report):
    settings = replace(settings, accelerated=True, n_init=1, tol=1e-3, max_iter=_TRIAL_ITERATIONS)
    mixture = few.found(points, family, settings, random_state, counts, report)
    if mixture is None:
        result = search.fit(points, family, settings, random_state, annotations=counts)
        report.stages += result.report.stages
        mixture = result.parameters
    order = np.argsort(-mixture.weights, kind="stable")
    return replace(
        mixture,
        weights=mixture.weights[order],
        means=mixture.means[order],
        covariances=family.plain.chosen(mixture.covariances, order),
        precisions_cholesky=family.plain.chosen(mixture.precisions_cholesky, order),
    )
