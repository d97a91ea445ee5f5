"""From a posterior at a fixed point to a better one: merging, deleting, splitting, kept where the bound is higher.

Steps of variational Bayes hardly ever empty a component that has points near it alone, from about ten features on
none. So pairs are merged (Ghahramani & Beal 2000, 'Variational inference for Bayesian mixtures of factor analysers';
Hughes & Sudderth 2013), many at once, chosen by what `posterior_merging` expects. Where none is left, components whose
points others explain as well are deleted, and where none of these is left, all are split and what isn't needed is
merged again, which also puts components where they were lacking. After each move come some steps; it is kept if the
bound is higher then. Of few points the bound prefers fewer components than there are, as each pays for its prior: there
fewer components are kept only if they predict points about as well that are left out.

What it costs: some 30 to 60 passes where nothing is found, beside the starts' some hundreds; see `_SHARE`.
"""

from dataclasses import replace

import numpy as np

from .. import kernels
from ..model import reduction
from ..model.parameters import Parameters
from ..model.priors.variational import n_effective
from ..sources.annotations import Annotations
from ..sources.array import in_memory, sample
from . import em
from .acceleration import Extrapolation
from .cross_validation import one_step_score
from .posterior_merging import NO_POINTS, Merging, in_order, union
from .progress import Progress

# Points that tell how much components overlap.
_POINTS = 4000

# Iterations from halves of components, and from merged ones.
_OF_HALVES, _OF_MERGED = 12, 30

# Iterations whose best gain is expected of those to come, at most.
_LAST = 4

# Parts of few points that are left out one after another, and what a nat that is lost on them weighs.
_PARTS = 10
_LOSS = 3.0

# What may be spent: so many times as much as the starts took, or multiplications, some tenths of a second, an exp of
# each point and component being so many.
_SHARE = 2.0
_FREE = 4e8
_EXP = 20


def improved(best, points, family, settings, random_state, *, counts, stand_for, report, progress):
    """The best posterior found from this one by merging, deleting and splitting components.

    Parameters
    ----------
    best : EMResult
        Of a posterior at a fixed point.
    points : source
    family : VariationalFamily
    settings : em.Settings
    random_state : RandomState
    counts : Annotations
        How often each of the points counts.
    stand_for : float
        How many points each of these was drawn from; 1 where they are all.
    report : FitReport
        Of the fit so far.
    progress : Progress

    Returns
    -------
    result : EMResult
        `best` itself where no move leads higher.
    """
    return _Moves(best, points, family, settings, random_state, counts, stand_for, report, progress).result()


class _Moves:
    def __init__(self, best, points, family, settings, random_state, counts, stand_for, report, progress):
        self._best = best
        self._points, self._counts = points, counts
        self._family, self._settings, self._random_state = family, settings, random_state
        self._report, self._progress = report, progress
        few = points.n_samples <= _POINTS and counts.weights is None
        self._some = in_memory(points) if few else sample(points, _POINTS, random_state, counts.weights)
        self._weight = points.n_samples if counts.weights is None else counts.weights.sum()
        self._is_few = stand_for == 1 and points.n_samples <= _POINTS
        self._score = None  # of the best, once it is asked for
        n_free = family.n_free_in_all(1, points.n_features)
        # What a component costs: about as much as steps without it may gain (Schwarz 1978).
        self._price = 0.5 * (n_free + 1) * np.log(max(self._weight, 2.0))
        # What a component gains by chance where each point of a sample counts for many: twice as much as is expected,
        # one nat of the sample for each free parameter (Akaike 1974).
        n_more = family.n_free_in_all(2, points.n_features) - n_free
        self._optimism = n_more * (stand_for - 1)
        self._left = max(_FREE / (n_free + _EXP), _SHARE * sum(map(_work, report.stages)))

    def result(self):
        while self._merges() or self._deletes() or self._splits():
            pass
        return self._best

    def _merges(self):
        """Whether merging leads higher: all that seem to gain, or pairs that could, half as many where these fail."""
        with em.collapse_ignored():
            merging = self._merging(self._best.parameters)
            statistics, pairs = merging.statistics, merging.pairs()
            merging.merge_while_higher(self._settings.n_components)
            if merging.n_merged and self._leads_higher(self._made_from(merging.statistics), merging.n_merged):
                return True
            while pairs:
                if self._leads_higher(self._made_from(union(statistics, pairs)), len(pairs)):
                    return True
                pairs = pairs[: len(pairs) // 2]
        return False

    def _deletes(self):
        """Whether it leads higher to give the points of some components to the others, half as many where it fails."""
        with em.collapse_ignored():
            found = self._needless(self._best.parameters)
            while len(found):
                if self._leads_higher(self._best.parameters.without(found), len(found), "deleted"):
                    return True
                found = found[: len(found) // 2]
        return False

    def _needless(self, posterior):
        """Components without which the bound falls by less than the price of one in the first step, least first."""
        counts = Annotations(np.full(self._some.n_samples, self._weight / self._some.n_samples))

        def bound(candidate):
            statistics = self._some.e_step(candidate, counts)
            return self._family.maximize(statistics, self._settings.reg_covar, candidate).evidence

        components = np.flatnonzero(posterior.mass > NO_POINTS)
        if len(components) < 2 or self._left <= 0:
            return components[:0]
        self._left -= (len(components) + 1) * self._some.n_samples * len(posterior.means)
        losses = bound(posterior) - np.array([bound(posterior.without([k])) for k in components])
        order = np.argsort(losses, kind="stable")
        return components[order[losses[order] < self._price + self._optimism]][: len(components) - 1]

    def _splits(self):
        """Whether it leads higher to split every component and to merge what isn't needed."""
        with em.collapse_ignored():
            halves = reduction.split(_mixture(self._best.parameters), self._random_state)
            statistics = self._family.plain.statistics_of(halves, self._weight, self._settings.reg_covar)
            start = self._family.maximize(statistics, self._settings.reg_covar)
            halves = self._run("split", start, _OF_HALVES)
            if halves is None:
                return False
            merging = self._merging(halves.parameters)
            merging.merge_while_higher(self._settings.n_components)
            start = self._made_from(merging.statistics)
            return self._leads_higher(start, n_effective(self._best.parameters.mass) - n_effective(start.mass))
        return False

    def _merging(self, posterior):
        statistics = self._points.e_step(posterior, self._counts)
        responsibilities = np.empty((self._some.n_samples, len(posterior.means)), dtype=self._some.precision)
        self._some.evaluate(posterior, kernels.responsibilities, responsibilities)
        shares = responsibilities.astype(np.float64)
        return Merging(self._family, statistics, shares, self._settings.reg_covar, -self._price, self._optimism)

    def _made_from(self, statistics):
        statistics = in_order(statistics, self._settings.n_components)
        return self._family.maximize(statistics, self._settings.reg_covar)

    def _leads_higher(self, start, n_fewer, name="merged"):
        """Whether steps from a start with so many components fewer lead to a better posterior: the best from then on.

        The evidence's bound has to rise, with fewer components of few points by more than `_LOSS` times what left-out
        points lose. With as many components scikit-learn's bound has to rise, too. That is what steps maximise, but for
        'tied', 'diag' and 'spherical' not a bound of the evidence: it takes precisions for Wishart distributed in each
        component, and so counts the prior of the common one K times.
        """
        best, tol = self._best, self._settings.tol
        result = self._run(name, start, _OF_MERGED, best.parameters.evidence + tol - self._optimism * max(n_fewer, 0))
        if result is None:
            return False
        after, before = result.parameters, best.parameters
        n_fewer = n_effective(before.mass) - n_effective(after.mass)
        reward = self._optimism * n_fewer
        gain, score = after.evidence - before.evidence, None
        if gain + reward <= tol:
            return False
        if n_fewer <= 0:
            if result.lower_bound - best.lower_bound + reward <= tol:
                return False
        elif self._is_few:
            self._score = self._score_on_parts(before) if self._score is None else self._score
            score = self._score_on_parts(after)
            if gain < _LOSS * (self._score - score):
                return False
        self._best, self._score = result, score
        return True

    def _score_on_parts(self, posterior):
        """How well parts of the points are predicted by the others, nats in all."""
        n_parts = min(_PARTS, self._points.n_samples)
        self._left -= 2 * n_parts * self._points.n_samples * len(posterior.means)
        points, reg_covar = (self._points, self._counts), self._settings.reg_covar
        return one_step_score(points, posterior, reg_covar, n_parts, lambda found, _: _mixture(found))

    def _run(self, name, start, n_iter, needed=-np.inf):
        """An EMResult, not of all the iterations where the needed bound is out of reach; None where all is spent."""
        if self._left <= 0:
            return None
        n_iter = min(n_iter, self._settings.max_iter)
        result = em.run(
            self._points, start, replace(self._settings, max_iter=n_iter), steps=Extrapolation(),
            annotations=self._counts, progress=_WhileInReach(needed, n_iter), report=self._report, name=name,
        )  # fmt: skip
        stage = self._report.stages[-1]
        self._left -= _work(stage)
        self._progress.end_stage(stage)
        return result


class _WhileInReach(Progress):
    """Ends a run that won't reach a bound even if it gains as much in every iteration left as in the best of the last.

    Parameters
    ----------
    needed : float
    n_iter : int
        Most iterations.
    """

    def __init__(self, needed, n_iter):
        super().__init__()
        self._needed, self._n_iter = needed, n_iter

    def end_iteration(self, iteration, change, result):
        if iteration < _LAST:
            return False
        gain = np.diff(result.lower_bounds[-_LAST:]).max()
        return result.parameters.evidence + gain * (self._n_iter - iteration) < self._needed


def _work(stage):
    return stage.n_passes * stage.n_samples * stage.n_components


def _mixture(posterior):
    """The components that have points as a mixture without a prior."""
    family = posterior.family.plain
    order = np.argsort(-posterior.mass, kind="stable")[: max(1, n_effective(posterior.mass))]
    return Parameters(
        family,
        posterior.weights[order] / posterior.weights[order].sum(),
        posterior.means[order],
        family.chosen(posterior.covariances, order),
        family.chosen(posterior.precisions_cholesky, order),
    )
