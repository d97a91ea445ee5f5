"""How many components, and of which shape: a mixture for every combination, and the one with the best criterion.

All combinations are fitted to one sample, each number of components twice: searched for, and grown from the mixture
before by splitting every component and merging down. What the sample tells to be hopeless ends there; the others go on
over all the points from where the sample left them.
"""

import math
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from sklearn.utils import check_random_state

from . import em, kernels, reduction, search
from .acceleration import QuasiNewton
from .degeneracy import n_degenerate
from .em_mixture import held_if_small
from .gaussian_mixture import GaussianMixture
from .known import NOTHING_KNOWN, n_counted
from .sources.array import sample
from .threads import thread_limits

CRITERIA = "bic", "aic", "icl", "held_out"

# Points of the sample, at least, and for each component of the largest mixture.
_POINTS, _POINTS_A_COMPONENT = 20_000, 1_000

# Iterations of twice as many components as before, halves of what they were, until they have settled.
_SPLIT = 12

# Standard errors by which a combination must be worse than the best, on the sample, to be given up.
_ERRORS = 5.0


@dataclass
class Selection:
    """What `select` found.

    Attributes
    ----------
    best_estimator_ : GaussianMixture
        Fitted, with the best criterion.
    results_ : dict of str to ndarray
        A row for each combination, ready for `pandas.DataFrame`: 'n_components', 'covariance_type', 'log_likelihood'
        (mean, nats), 'bic', 'aic', 'icl' (nats times -2, the lower the better), 'held_out' where it is the criterion
        (mean log-likelihood of points left out, nats, the higher the better), 'rank' by the criterion from 1 on,
        'n_iter', 'converged', 'seconds', and 'status': 'ok'; 'stopped', where the sample told that it can't win
        (the numbers are estimates from the sample then); or why there is no mixture (they are NaN).
    criterion : str
    best_index_ : int
        The best one's row.
    """

    best_estimator_: GaussianMixture
    results_: dict
    criterion: str
    best_index_: int


def select(
    X,
    n_components=range(1, 10),
    covariance_type=("full", "tied", "diag", "spherical"),
    criterion="bic",
    *,
    sample_weight=None,
    n_folds=5,
    **params,
):
    """Fit a mixture for every number of components and covariance type, and find the best by a criterion.

    Parameters
    ----------
    X : array-like of shape (n, D), or a source as in `GaussianMixture.fit`
    n_components : iterable of int, or int
    covariance_type : iterable of str, or str
    criterion : {'bic', 'aic', 'icl', 'held_out'}
        As the methods of `GaussianMixture`, the lower the better; or the mean log-likelihood of points that the mixture
        wasn't fitted to (cross-validation), the higher the better.
    sample_weight : array-like of shape (n,), default=None
        Non-negative multiplicities of the points, as in `GaussianMixture.fit`.
    n_folds : int, default=5
        Of cross-validation: each fold is left out once, of a fit that starts from the mixture of all points.
    **params
        Further arguments of `GaussianMixture`.

    Returns
    -------
    selection : Selection
        `fastem.plotting.SelectionDisplay.from_results(selection.results_)` draws it.

    Raises
    ------
    ValueError
        Where there is nothing to choose from, an argument is none of what it may be, or no combination can be fitted.

    Examples
    --------
    >>> from fastem import select
    >>> from fastem.datasets import load_faithful
    >>> selection = select(load_faithful().data, range(1, 5), random_state=0)
    >>> selection.best_estimator_.n_components, selection.best_estimator_.covariance_type
    (3, 'tied')
    """
    counts = [n_components] if isinstance(n_components, int | np.integer) else sorted(set(n_components))
    types = [covariance_type] if isinstance(covariance_type, str) else list(dict.fromkeys(covariance_type))
    if not counts or not types:
        raise ValueError("n_components and covariance_type should name one value or more each")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion should be one of {', '.join(CRITERIA)}, but got {criterion!r}")
    if n_folds < 2:
        raise ValueError(f"n_folds should be 2 or more, but got {n_folds}")
    models = [GaussianMixture(k, covariance_type=each, **params) for each in types for k in counts]
    for model in models:
        model._validate_params()
    with thread_limits(models[0].n_threads):
        return _Selector(X, sample_weight, models, criterion, n_folds).selection()


class _Candidate:
    """One combination: its estimator and what was found for it."""

    def __init__(self, model):
        self.model = model
        self.result = None
        self.status = "ok"
        self.seconds = 0.0
        self.row = {name: math.nan for name in ("log_likelihood", *CRITERIA)}

    def n_free(self):
        return self.result.parameters.n_free


class _Selector:
    """A selection from the beginning; `points` here are a pair, a source and what is known of it."""

    def __init__(self, X, sample_weight, models, criterion, n_folds):
        self._criterion, self._n_folds = criterion, n_folds
        self._reader = models[0]  # which checks the points for all
        source = self._reader._source(X, reset=True, aside=(sample_weight, None), least=2)
        self._reader._scan(source, reset=True)
        self._candidates = [_Candidate(model) for model in models]
        fewest = min(self._candidates, key=lambda each: each.model.n_components).model
        known = fewest._known(source, sample_weight, None)
        source = held_if_small(source)
        self._all = source, known
        self._random_state = check_random_state(self._reader.random_state)
        most = max(model.n_components for model in models)
        size = max(_POINTS, most * _POINTS_A_COMPONENT)
        self._is_whole = source.n_samples <= 2 * size
        if self._is_whole:
            self._sample = self._all
        else:
            self._sample = sample(source, size, self._random_state, known.weights), NOTHING_KNOWN
        self._weight = float(source.n_samples if known.weights is None else known.weights.sum())

    def selection(self):
        """The Selection."""
        previous = None
        for candidate in self._candidates:
            began = perf_counter()
            if previous is not None and previous.model.covariance_type != candidate.model.covariance_type:
                previous = None
            self._fit_to_sample(candidate, previous)
            candidate.seconds = perf_counter() - began
            if candidate.result is not None:
                previous = candidate
        fitted = [each for each in self._candidates if each.result is not None]
        if not fitted:
            raise ValueError(f"no combination could be fitted; the last: {self._candidates[-1].status}")
        if not self._is_whole:
            self._stop_hopeless(fitted)
        for candidate in fitted:
            if candidate.status == "ok":
                began = perf_counter()
                self._finish(candidate)
                candidate.seconds += perf_counter() - began
        return self._ranked()

    def _fit_to_sample(self, candidate, previous):
        """The better of a mixture searched for and one grown from that with fewer components."""
        model, (source, known) = candidate.model, self._sample
        if model.n_components > self._all[0].n_samples:
            candidate.status = f"{model.n_components} components need as many points, not {self._all[0].n_samples}"
            return
        family, settings = model._family(source, known), model._settings(source)
        try:
            state = check_random_state(model.random_state)
            candidate.result = search.fit(source, family, settings, state, known=known)
        except em.SourceError:
            raise
        except ValueError as error:
            candidate.status = " ".join(str(error).split())
        if previous is None or not settings.accelerated or settings.assignment != "soft":
            return
        with em.collapse_ignored():
            grown = self._grown(previous.result.parameters, family, settings)
            if candidate.result is None or self._is_better(grown, candidate.result, settings):
                candidate.result, candidate.status = grown, "ok"

    def _is_better(self, grown, found, settings):
        """By more than tol, and not by more degenerate components, as in a search."""
        n_points = n_counted(*self._sample)
        degenerate = [n_degenerate(each.parameters, n_points, settings.reg_covar) for each in (grown, found)]
        return grown.lower_bound > found.lower_bound + settings.tol and degenerate[0] <= degenerate[1]

    def _grown(self, parameters, family, settings):
        source, known = self._sample
        parameters = replace(parameters, family=family)
        few = replace(settings, tol=0.0, max_iter=_SPLIT)
        halves = em.run(source, reduction.split(parameters, self._random_state), few, known=known).parameters
        start = reduction.merged(halves, settings.n_components)
        return em.run(source, start, settings, steps=QuasiNewton(settings.reg_covar), known=known)

    def _stop_hopeless(self, fitted):
        """Mark those that the sample tells apart from the best, by more than it can err."""
        source, _ = self._sample
        share = self._weight / source.n_samples
        densities = {id(each): self._log_densities(each) for each in fitted}
        for each in fitted:
            # A sample's maximum is higher than that of all points by what fits its noise (Akaike 1974).
            mean = densities[id(each)].mean() - each.n_free() / 2 * (1 / source.n_samples - 1 / self._weight)
            self._fill(each, mean * self._weight, self._icl_gap(each, source) * self._weight)
        best = min(fitted, key=lambda each: self._cost(each))
        for each in fitted:
            differences = densities[id(best)] - densities[id(each)]
            error = share * (
                math.sqrt(source.n_samples) * differences.std() + math.sqrt(0.5 * (each.n_free() + best.n_free()))
            )
            if self._cost(each) - self._cost(best) > 2 * _ERRORS * error:
                each.status = "stopped"

    def _log_densities(self, candidate):
        source, _ = self._sample
        return source.evaluate(candidate.result.parameters, kernels.log_likelihoods, np.empty(source.n_samples))

    def _icl_gap(self, candidate, source):
        """What the most probable labels' likelihood lacks, nats per point."""
        parameters = candidate.result.parameters
        soft, weight = source.log_likelihood(parameters)
        hard, _ = source.log_likelihood(parameters, replace(NOTHING_KNOWN, assignment="hard"))
        return (hard - soft) / weight

    def _finish(self, candidate):
        """Over all the points, and its criteria there."""
        model, (source, known) = candidate.model, self._all
        settings = model._settings(source)
        if not self._is_whole:
            steps = settings.steps()
            start = replace(candidate.result.parameters, family=model._family(source, known))
            try:
                candidate.result = em.run(source, start, settings, steps=steps, known=known)
            except em.SourceError:
                raise
            except ValueError as error:
                candidate.status = " ".join(str(error).split())
                candidate.row = {name: math.nan for name in candidate.row}
                return
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self._reader, name):
                setattr(model, name, getattr(self._reader, name))
        model._set_fit(candidate.result, source, known)
        parameters = model._parameters()
        total, _ = source.log_likelihood(parameters, replace(known, assignment="soft"))
        hard, _ = source.log_likelihood(parameters, replace(known, assignment="hard"))
        self._fill(candidate, total, hard - total)
        if self._criterion == "held_out":
            candidate.row["held_out"] = self._held_out(parameters, settings)

    def _fill(self, candidate, total, gap):
        """The criteria from the log-likelihood and what that of the labelled points has less, nats in all."""
        row, n_free = candidate.row, candidate.n_free()
        row["log_likelihood"] = total / self._weight
        row["bic"] = -2 * total + n_free * math.log(self._weight)
        row["aic"] = -2 * total + 2 * n_free
        row["icl"] = row["bic"] - 2 * gap
        row["held_out"] = row["aic"] / (-2 * self._weight)  # what it comes to with many points (Stone 1977)

    def _held_out(self, parameters, settings):
        """Mean log-likelihood of each point under the mixture of the other folds' points."""
        source, known = self._all
        folds = self._folds(source.n_samples)
        weights = np.ones(source.n_samples) if known.weights is None else known.weights
        total = 0.0
        for fold in range(self._n_folds):
            others = replace(known, weights=np.where(folds == fold, 0.0, weights))
            left_out = replace(known, weights=np.where(folds == fold, weights, 0.0))
            try:
                result = em.run(source, parameters, settings, steps=settings.steps(), known=others)
            except em.SourceError:
                raise
            except ValueError:
                return -math.inf
            total += source.log_likelihood(result.parameters, replace(left_out, assignment="soft"))[0]
        return total / weights.sum()

    def _folds(self, n_samples):
        """Which fold each point is left out with, the same for all combinations."""
        state = np.random.RandomState(0)
        return state.permutation(np.arange(n_samples) % self._n_folds)

    def _cost(self, candidate):
        """The criterion, the lower the better, nats times -2."""
        value = candidate.row[self._criterion]
        return -2 * self._weight * value if self._criterion == "held_out" else value

    def _ranked(self):
        rows = []
        for each in self._candidates:
            model, result = each.model, each.result
            row = {"n_components": model.n_components, "covariance_type": model.covariance_type, **each.row}
            if self._criterion != "held_out":
                del row["held_out"]
            row["n_iter"] = 0 if result is None else result.n_iter
            row["converged"] = result is not None and result.converged
            row["seconds"], row["status"] = each.seconds, each.status
            rows.append(row)
        costs = np.array([self._cost(each) if each.status == "ok" else math.inf for each in self._candidates])
        if not np.isfinite(costs).any():
            raise ValueError(f"no combination could be fitted; the last: {rows[-1]['status']}")
        estimates = np.array([self._cost(each) for each in self._candidates])
        order = np.lexsort([estimates, costs])
        results = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        results["rank"] = np.empty(len(rows), int)
        results["rank"][order] = np.arange(1, len(rows) + 1)
        best = int(order[0])
        return Selection(self._candidates[best].model, results, self._criterion, best)
