"""From a posterior at a fixed point to a better one: components merged or split, kept where the bound is higher.

Steps of variational Bayes hardly ever empty a component that has points near it alone, from about ten features on
none. Merging two tests that against the bound (Ueda & Ghahramani 2002, 'Bayesian model search for mixture models based
on optimizing variational bounds'; Hughes & Sudderth 2013): many pairs at once, chosen by what `posterior_merging`
expects, then some steps. Where nothing more is to be merged every component is split, and what isn't needed merged
again; that puts components where they were lacking, too, and takes away those that lie across others.
"""

from dataclasses import replace

import numpy as np

from . import em, kernels, reduction
from .acceleration import Extrapolation
from .covariance import Parameters
from .posterior_merging import Merging, in_order, union
from .sources.array import in_memory, sample
from .variational import n_effective

# Points that tell how much components overlap.
_POINTS = 4000

# Iterations from halves of components, and from merged ones.
_OF_HALVES, _OF_MERGED = 12, 30

# Attempts to split, in different directions, before nothing more is expected.
_ATTEMPTS = 2

# What may be spent: so many times as much as the starts took, or multiplications, some tenths of a second, an exp of
# each point and component being so many.
_SHARE = 2.0
_FREE = 4e8
_EXP = 20


def improved(best, points, family, settings, random_state, *, counts, report, progress):
    """The best posterior found from this one by merging and splitting components.

    Parameters
    ----------
    best : EMResult
        Of a posterior at a fixed point.
    points : source
    family : VariationalFamily
    settings : em.Settings
    random_state : RandomState
    counts : Known
        How often each of the points counts.
    report : FitReport
        Of the fit so far.
    progress : Progress

    Returns
    -------
    result : EMResult
        `best` itself where no move leads higher, in scikit-learn's bound and in that of the evidence.
    """
    return _Moves(best, points, family, settings, random_state, counts, report, progress).result()


class _Moves:
    def __init__(self, best, points, family, settings, random_state, counts, report, progress):
        self._best = best
        self._points, self._counts = points, counts
        self._family, self._settings, self._random_state = family, settings, random_state
        self._report, self._progress = report, progress
        few = points.n_samples <= _POINTS and counts.weights is None
        self._some = in_memory(points) if few else sample(points, _POINTS, random_state, counts.weights)
        self._weight = points.n_samples if counts.weights is None else counts.weights.sum()
        n_free = family.n_free_in_all(1, points.n_features)
        self._price = 0.5 * (n_free + 1) * np.log(max(self._weight, 2.0))
        self._left = max(_FREE / (n_free + _EXP), _SHARE * sum(map(_work, report.stages)))

    def result(self):
        while self._merges() or any(self._splits() for _ in range(_ATTEMPTS)):
            pass
        return self._best

    def _merges(self):
        """Whether merging leads higher: all that seem to gain, or pairs that could, half as many where these fail."""
        with em.collapse_ignored():
            merging = self._merging(self._best.parameters)
            statistics, pairs = merging.statistics, merging.pairs()
            merging.merge_while_higher(self._settings.n_components)
            if merging.n_merged and self._leads_higher(merging.statistics):
                return True
            while pairs:
                if self._leads_higher(union(statistics, pairs)):
                    return True
                pairs = pairs[: len(pairs) // 2]
        return False

    def _splits(self):
        """Whether it leads higher to split every component and to merge what isn't needed."""
        with em.collapse_ignored():
            halves = reduction.split(_mixture(self._best.parameters), self._random_state)
            statistics = self._family.plain.statistics_of(halves, self._weight, self._settings.reg_covar)
            halves = self._run("split", statistics, _OF_HALVES)
            if halves is None:
                return False
            merging = self._merging(halves.parameters)
            merging.merge_while_higher(self._settings.n_components)
            return self._leads_higher(merging.statistics)
        return False

    def _merging(self, posterior):
        statistics = self._points.e_step(posterior, self._counts)
        responsibilities = np.empty((self._some.n_samples, len(posterior.means)))
        self._some.evaluate(posterior, kernels.responsibilities, responsibilities)
        # The price of a component (Schwarz 1978): so much later steps may gain.
        return Merging(self._family, statistics, responsibilities, self._settings.reg_covar, -self._price)

    def _leads_higher(self, statistics):
        """Whether steps from these statistics lead to a better posterior than the best, which it becomes then."""
        result = self._run("merged", in_order(statistics, self._settings.n_components), _OF_MERGED)
        if result is None:
            return False
        margin, best = self._settings.tol, self._best
        is_higher = result.lower_bound > best.lower_bound + margin
        is_higher = is_higher and result.parameters.evidence > best.parameters.evidence + margin
        self._best = result if is_higher else best
        return is_higher

    def _run(self, name, statistics, n_iter):
        """An EMResult; None where too much was spent already."""
        if self._left <= 0:
            return None
        start = self._family.maximize(statistics, self._settings.reg_covar)
        settings = replace(self._settings, max_iter=n_iter)
        known = {"known": self._counts, "report": self._report, "name": name}
        result = em.run(self._points, start, settings, steps=Extrapolation(), **known)
        stage = self._report.stages[-1]
        self._left -= _work(stage)
        self._progress.end_stage(stage)
        return result


def _work(stage):
    return stage.n_passes * stage.n_samples * stage.n_components


def _mixture(posterior):
    """The components that have points as a mixture without a prior."""
    family = posterior.family.plain
    mass = posterior.mean_precision - posterior.family.priors.mean_precision
    order = np.argsort(-mass, kind="stable")[: max(1, n_effective(mass))]
    of_each = (lambda values: values) if family.name == "tied" else (lambda values: values[order])
    return Parameters(
        family,
        posterior.weights[order] / posterior.weights[order].sum(),
        posterior.means[order],
        of_each(posterior.covariances),
        of_each(posterior.precisions_cholesky),
    )
