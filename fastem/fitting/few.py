"""Fits of few points: whole runs of EM, from several starts, in one compiled call; Python decides between calls.

On few points a pass takes microseconds and a step in Python a hundred times as long. A fit that needs a step that is
not compiled is made by the other files.
"""

from contextlib import suppress
from time import perf_counter

import numpy as np

from ..kernels.runs import Starts
from ..model import reduction
from ..model.parameters import CollapsedComponent
from .few_runs import Fit, work_of_pass
from .initialization import n_seeds_in_excess
from .report import ALL

# Work of a pass, in flops of a matrix product that takes as long, up to which points are few.
_FEW = 2e7
# Features from which LAPACK's Cholesky factors are quicker than those of the compiled M-step.
_WIDE = 32
# Number of starts, at least and at most, and the work, as above, of one pass for each that sets it in between.
_STARTS, _WORK_OF_STARTS = (5, 8), 2e6
# Number of starts where features outnumber points. What more of them gain there, by chance, isn't worth their time.
_STARTS_WIDE = 2
# Iterations before a run may be given up.
_TRIAL_ITERATIONS = 10
# Share of the starts that must reach the highest bound, within tol, for the search to end there; and the work of a pass
# from which it goes on in any case: Python's share of the time is small then.
_AGREE, _LONG = 0.4, 7e6
# Iterations with more components than wanted, before these are merged, and most rounds of that.
_IN_EXCESS, _ROUNDS = 12, 3


def apply(source, family, settings, annotations):
    """Whether this file can make the fit: few complete float64 points, k-means starts, no labels, a compiled M-step."""
    n_features = source.n_features
    is_plain = settings.init_params == "kmeans" and settings.assignment == "soft" and settings.max_iter > 0
    is_free = not annotations.is_constrained and all(value is None for value in settings.init)
    is_held = source.precision == np.float64 and source.is_complete
    if family.compiled_m_step is None or not (is_held and is_plain and is_free):
        return False
    if source.n_samples <= family.least_points(n_features) or (n_features > _WIDE and not family.is_axis_aligned):
        return False
    return work_of_pass(source, family, settings.n_components) <= _FEW


def textbook(source, family, settings, random_state, annotations, report, progress):
    """The run of textbook EM from k-means, in one unit or in each feature's own, whichever leads higher by `tol`.

    None if a run needs steps that are not compiled.
    """
    begin, before = perf_counter(), random_state.get_state(legacy=False)
    fit = Fit(source, family, settings, annotations, is_patient=False)
    starts = fit.kmeans(random_state, 1, settings.n_components)
    if settings.n_components > 1 and fit.has_units:
        # Other draws, so that the first start draws from `random_state` just what scikit-learn does.
        other = np.random.default_rng(np.frombuffer(starts.uniforms[0, :1].tobytes(), np.uint64))
        second = fit.kmeans(other, 2, settings.n_components)
        starts = Starts(*(np.concatenate([one, two[1:]]) for one, two in zip(starts, second, strict=True)))
    runs = fit.runs(starts).go_on()
    if runs.are_unusual.any():
        random_state.set_state(before)
        return None
    bounds = runs.lower_bounds
    best = int(bounds[-1] > bounds[0] + settings.tol)
    if progress.is_silent:
        return runs.result(best, report, ALL, begin=begin)
    return runs.told(best, report, ALL, progress)


def search(source, family, settings, random_state, annotations):
    """(the runs among which the best is, its number, iterations of the others): the highest run of a search for starts.

    Where many of the starts by k-means reach the same optimum, it is that one. Else components in excess are merged:
    those of k-means with more seeds, and the halves of the best mixture's components. None if half the runs need steps
    that are not compiled.
    """
    fit, before = Fit(source, family, settings, annotations, is_patient=True), random_state.get_state(legacy=False)
    n_components, work = settings.n_components, work_of_pass(source, family, settings.n_components)
    is_wide = source.n_samples < source.n_features
    n_starts = _STARTS_WIDE if is_wide else int(np.clip(_WORK_OF_STARTS / work, *_STARTS))
    n_starts = n_starts if n_components > 1 else 1
    runs = fit.runs(fit.kmeans(random_state, n_starts, n_components)).go_on(_TRIAL_ITERATIONS)
    runs.abandon_hopeless().go_on()
    if 2 * np.count_nonzero(runs.are_unusual) >= n_starts:
        random_state.set_state(before)
        return None
    bounds, n_iter = runs.lower_bounds, runs.n_iter
    best, bound, degenerate = runs.best()
    agree = np.count_nonzero(bounds > bound - settings.tol) >= _AGREE * n_starts
    if (is_wide or (work < _LONG and agree)) and not degenerate:
        return runs, best, n_iter - runs.n_iter_of(best)
    for i in range(_ROUNDS):
        starts = _merged(fit, runs.mixture(best), random_state, i == 0)
        if not starts:
            break
        others = fit.runs(starts).go_on(_TRIAL_ITERATIONS).abandon_hopeless(-np.inf if degenerate else bound).go_on()
        n_iter += others.n_iter
        other, its_bound, its_degenerate = others.best() or (0, -np.inf, 0)
        if its_degenerate > degenerate or (its_degenerate == degenerate and its_bound <= bound + settings.tol):
            break
        runs, best, bound, degenerate = others, other, its_bound, its_degenerate
    return runs, best, n_iter - runs.n_iter_of(best)


def found(source, family, settings, random_state, annotations, report):
    """The mixture of the search's best run as far as it is compiled; None if it needs steps that are not."""
    begin = perf_counter()
    if not apply(source, family, settings, annotations):
        return None
    result = search(source, family, settings, random_state, annotations)
    if result is None:
        return None
    runs, best, n_others = result
    n_iter, seconds = n_others + runs.n_iter_of(best), perf_counter() - begin
    report.add_search(source, settings.n_components, n_iter, seconds, runs.lower_bounds[best])
    return runs.mixture(best)


def _merged(fit, mixture, random_state, with_seeds):
    """Mixtures that are merged from more components: halves of this one's, and k-means clusters in excess."""
    n_components = fit.settings.n_components
    n_seeds = n_seeds_in_excess(fit.source, fit.family, n_components)
    runs = []
    with suppress(CollapsedComponent):
        runs.append(fit.runs([reduction.split(mixture, random_state)], 2 * n_components, _IN_EXCESS).go_on())
    if with_seeds and n_seeds > n_components:
        starts = fit.kmeans(random_state, 1, n_seeds)
        runs.append(fit.runs(starts, n_seeds, _IN_EXCESS).go_on())
    starts = []
    for each in runs:
        for number in np.flatnonzero(~each.are_unusual):
            with suppress(CollapsedComponent):
                starts.append(reduction.merged(each.mixture(number), n_components))
    return starts
