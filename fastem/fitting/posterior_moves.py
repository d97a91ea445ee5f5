"""Moves that improve a converged posterior: components are merged, deleted and split if that raises the bound.

Iterations of variational Bayes hardly ever empty a component that alone is near some points; from about ten features
on, they never do. So pairs are merged (Ghahramani & Beal 2000, 'Variational inference for Bayesian mixtures of factor
analysers'; Hughes & Sudderth 2013), many at once, chosen by the gains that `posterior_merging` predicts. When no pair
is left, components whose points others explain as well are deleted. When none of these is left, all components are
split, and those that aren't needed are merged again; this also puts components where they were lacking. Some iterations
follow each move, which is kept if the bound is then higher. With few points the bound prefers too few components, as
each one pays for its prior. In that case fewer components are kept only if they predict held-out points about as well.

The cost is some 30 to 60 passes if no move succeeds, compared with some hundreds for the starts; see `_SHARE`.
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

# Number of points in the sample that tells how much components overlap; data with no more are few.
_POINTS = 4000

# Most iterations after splitting all components, and after merging or deleting some.
_OF_HALVES, _OF_MERGED = 12, 30

# Number of last iterations whose best gain no iteration to come is expected to exceed.
_LAST = 4

# Number of parts of few points, each of which is held out once.
_PARTS = 10
# Gain of the bound that is required per nat that the held-out points lose.
_LOSS = 3.0

# Budget of all moves, as a multiple of the work of the starts,
_SHARE = 2.0
# or in multiplications, if this is more: some tenths of a second.
_FREE = 4e8
# Multiplications that take as long as one exp, of which there is one for each point and component.
_EXP = 20


def improved(best, points, family, settings, random_state, *, counts, stand_for, report, progress):
    """The best posterior found from this one by merging, deleting and splitting components.

    Parameters
    ----------
    best : EMResult
        Of a converged posterior.
    points : source
    family : VariationalFamily
    settings : em.Settings
    random_state : RandomState
    counts : Annotations
        Weights of the points.
    stand_for : float
        How many points of the data each of these points stands for; 1 if they are all the data.
    report : FitReport
        Of the fit so far.
    progress : Progress

    Returns
    -------
    result : EMResult
        `best` itself if no move leads higher.
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
        self._score = None  # of the best, once it has been computed
        n_free = family.n_free_in_all(1, points.n_features)
        # Price of a component, nats: about what further iterations without it may gain (Schwarz 1978).
        self._price = 0.5 * (n_free + 1) * np.log(max(self._weight, 2.0))
        # Nats that a component may gain by chance if each point of a sample stands for many: one nat of the sample per
        # free parameter, which is twice the expected gain (Akaike 1974).
        n_more = family.n_free_in_all(2, points.n_features) - n_free
        self._optimism = n_more * (stand_for - 1)
        self._left = max(_FREE / (n_free + _EXP), _SHARE * sum(map(_work, report.stages)))

    def result(self):
        while self._merges() or self._deletes() or self._splits():
            pass
        return self._best

    def _merges(self):
        """Whether merging leads higher: all that seem to gain, then pairs that could gain, half as many at each try."""
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
        """Whether deleting components leads higher, their points given to the others; half as many at each try."""
        with em.collapse_ignored():
            found = self._needless(self._best.parameters)
            while len(found):
                if self._leads_higher(self._best.parameters.without(found), len(found), "deleted"):
                    return True
                found = found[: len(found) // 2]
        return False

    def _needless(self, posterior):
        """Components whose deletion lowers the bound, after one step, by less than their price; cheapest first."""
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
        """Whether splitting every component and merging those that aren't needed leads higher."""
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
        """Whether a run from a start with `n_fewer` components fewer ends at a better posterior: the new best.

        The evidence lower bound has to rise. If there are few points and fewer components, it has to rise by `_LOSS`
        times what held-out points lose. If there are as many components or more, scikit-learn's bound has to rise, too.
        That is the one which the steps maximise. But unless each component has a matrix of its own it isn't a bound of
        the evidence: it treats precisions as Wishart distributed in each component, and so counts the prior of a
        common one K times.
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
        """Log-likelihood of parts of the points, each predicted from the others, nats in all."""
        n_parts = min(_PARTS, self._points.n_samples)
        self._left -= 2 * n_parts * self._points.n_samples * len(posterior.means)
        points, reg_covar = (self._points, self._counts), self._settings.reg_covar
        return one_step_score(points, posterior, reg_covar, n_parts, lambda found, _: _mixture(found))

    def _run(self, name, start, n_iter, needed=-np.inf):
        """An EMResult, ended early if the needed bound is out of reach; None if the budget is spent."""
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
    """Ends a run that won't reach a bound even if each iteration left gains as much as the best of the last ones.

    Parameters
    ----------
    needed : float
    n_iter : int
        Most iterations of the run.
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
    """The posterior's components that have points, as a mixture without a prior."""
    family = posterior.family.plain
    order = np.argsort(-posterior.mass, kind="stable")[: max(1, n_effective(posterior.mass))]
    return Parameters(
        family,
        posterior.weights[order] / posterior.weights[order].sum(),
        posterior.means[order],
        family.chosen(posterior.covariances, order),
        family.chosen(posterior.precisions_cholesky, order),
    )
