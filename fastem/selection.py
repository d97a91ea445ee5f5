"""`select`: a mixture for each number of components and covariance type, and the best one by a criterion.

All combinations are first fitted to one sample, each in two ways: by a search, and from the mixture with fewer
components, every component of which is split before the surplus is merged. Combinations that the sample shows cannot
win are dropped; the others are then fitted to all the points, starting from the sample's mixtures.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from . import kernels
from .estimators.em_mixture import in_memory_if_small
from .estimators.gaussian_mixture import GaussianMixture
from .fitting import em
from .fitting.cross_validation import CrossValidation, one_step_score
from .fitting.degeneracy import degeneracy
from .fitting.ladder import Ladder
from .kernels.threads import thread_limits
from .model.families import FAMILIES, FOURTEEN, STANDARD
from .selected import Selection, SelectionProgress, Watch
from .sources.annotations import HARD, NO_ANNOTATIONS, Assignment, n_counted
from .sources.array import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike

    from .estimators.student_mixture import StudentTMixture
    from .sources.typing import Points

CRITERIA = "bic", "aic", "icl", "held_out"

# Size of the sample in points: at least the first number, and the second for each component of the largest mixture.
_POINTS, _POINTS_A_COMPONENT = 20_000, 1_000

# Rank of each status: rows are sorted by it, then by the criterion. Any other status comes last.
_CLASSES = {"ok": 0, "spurious": 1, "collapsed": 2, "stopped": 3}

# Points per free parameter of a component; with that many, its likelihood doesn't depend on a few of its points.
_REGULAR = 10

# Number of equal parts of the points, left out one after another to test for spurious mixtures.
_PARTS = 10

# Log-likelihood of left-out points, nats in all: two mixtures that differ by at most this both have substantial support
# (it corresponds to an AIC higher by 2; Burnham & Anderson 2002, section 2.6).
_DOUBT = 1.0

# Number of standard errors by which a combination must be worse than the best one, on the sample, to be dropped.
_ERRORS = 5.0


def select(
    X: Points,
    n_components: Iterable[int] | int = range(1, 10),
    covariance_type: Iterable[str] | str = STANDARD,
    criterion: str = "bic",
    *,
    n_factors: Iterable[int] | int | None = None,
    sample_weight: ArrayLike | str | None = None,
    n_folds: int = 5,
    one_standard_error: bool = False,
    estimator: GaussianMixture | StudentTMixture | None = None,
    verbose: int = 0,
    callbacks: Callable[[SelectionProgress], Any] | Sequence[Callable[[SelectionProgress], Any]] = (),
    **params: Any,
) -> Selection:
    """Fit a mixture for each number of components and covariance type, and find the best one by a criterion.

    Parameters
    ----------
    X : array-like of shape (n, D), or a source as in `GaussianMixture.fit`
    n_components : iterable of int, or int, default=range(1, 10)
    covariance_type : iterable of str, or str, default=('full', 'tied', 'diag', 'spherical')
        'all': mclust's fourteen, from EII to VVV.
    criterion : {'bic', 'aic', 'icl', 'held_out'}, default='bic'
        The first three are those of the methods of `GaussianMixture`, the lower the better. 'held_out' is the mean
        log-likelihood of left-out points by cross-validation, the higher the better.
    n_factors : iterable of int, or int, default=None
        Numbers of factors to try, for the type 'factors'.
    sample_weight : array-like of shape (n,), default=None
        Non-negative weights of the points, as in `GaussianMixture.fit`.
    n_folds : int, default=5
        Number of folds of the cross-validation, into which `random_state` shuffles the points. Each fold is scored by
        mixtures fitted to the other folds only.
    one_standard_error : bool, default=False
        With criterion 'held_out': of the combinations whose score is within one standard error of the best, choose the
        one with the fewest free parameters (Breiman et al. 1984; Hastie, Tibshirani & Friedman 2009, section 7.10).
    estimator : GaussianMixture or StudentTMixture, default=None
        What to fit: an estimator of which clones are fitted, such as `StudentTMixture()`. None: `GaussianMixture()`.
    verbose : int, default=0
        1 prints a line for every combination: how many are done, the best so far, the time left.
    callbacks : callable, or sequence of callables, default=()
        Called after every combination with a `SelectionProgress`, which has the same as attributes.
    **params
        Further arguments of the estimator.

    Returns
    -------
    selection : Selection
        `print` it, or draw it by `selection.plot()`.

    Raises
    ------
    ValueError
        If there is no combination to try, an argument is invalid, or no combination can be fitted.

    Warns
    -----
    DegenerateFitWarning
        About the best mixture, as in `fit`: if it is collapsed (then all are), or if reg_covar decides on a feature.

    Notes
    -----
    The likelihood of a mixture is unbounded, as a component may shrink onto few points (Day 1969). On small samples
    BIC, AIC and ICL alone would therefore choose mixtures with spikes. So collapsed mixtures are ranked after those
    that are 'ok' or 'spurious'.

    Spurious maxima (McLachlan & Peel 2000, section 3.10) are less extreme, but predict badly. They are looked for if
    the best mixture by the criterion has a component with fewer than 10 points for each of its free parameters. Each
    tenth of the points is then left out of one M-step and scored by its result. The best mixture stands unless one with
    fewer parameters predicts the left-out points better by more than 1 nat in all. If one does, the best is 'spurious',
    and the next best is tested. (In regular models this can't happen: the log-likelihood of left-out points is lower by
    about the number of parameters, Stone 1977, and BIC's penalty is larger than that.)

    Examples
    --------
    >>> from fastem import select
    >>> from fastem.datasets import load_faithful
    >>> selection = select(load_faithful().data, range(1, 5), random_state=0)
    >>> selection.best_estimator_.n_components, selection.best_estimator_.covariance_type
    (3, 'tied')
    """
    counts = [n_components] if isinstance(n_components, int | np.integer) else sorted(set(n_components))
    covariance_type = FOURTEEN if isinstance(covariance_type, str) and covariance_type == "all" else covariance_type
    types = [covariance_type] if isinstance(covariance_type, str) else list(dict.fromkeys(covariance_type))
    if not counts or not types:
        raise ValueError("n_components and covariance_type should each have at least one value")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion should be one of {', '.join(CRITERIA)}, but got {criterion!r}")
    if n_folds < 2:
        raise ValueError(f"n_folds should be 2 or more, but got {n_folds}")
    if one_standard_error and criterion != "held_out":
        raise ValueError(
            f"one_standard_error needs criterion='held_out', but criterion is {criterion!r}: change one of them"
        )
    listeners = list(callbacks) if hasattr(callbacks, "__iter__") else [callbacks]
    if not all(map(callable, listeners)):
        raise ValueError(f"callbacks should be functions of one argument, but got {callbacks!r}")
    if verbose:
        listeners.insert(0, lambda progress: print(progress, flush=True))
    of_factors = n_factors if n_factors is None or isinstance(n_factors, int | np.integer) else sorted(set(n_factors))
    models = [
        _model(estimator, n_components=k, covariance_type=each, **({} if q is None else {"n_factors": q}), **params)
        for each in types
        for q in _factors_of(each, of_factors)
        for k in counts
    ]
    for model in models:
        model._validate_params()
    with thread_limits(models[0].n_threads):
        watch = Watch(listeners, criterion)
        return _Selector(X, sample_weight, models, criterion, n_folds, one_standard_error, watch).selection()


def _model(estimator, **params):
    return GaussianMixture(**params) if estimator is None else clone(estimator).set_params(**params)


def _factors_of(covariance_type, n_factors):
    """The values of `n_factors` to try with a covariance type: None alone if it ignores them."""
    if covariance_type not in FAMILIES or FAMILIES[covariance_type].ignores_factors:
        return [None]
    return n_factors if isinstance(n_factors, list) else [n_factors]


class _Candidate:
    """One combination: its estimator and its results."""

    def __init__(self, model):
        self.model = model
        self.result = None
        self.status = "ok"
        self.degenerate = []
        self.score_in_parts = self.log_densities = None
        self.seconds = 0.0
        self.row = dict.fromkeys(("log_likelihood", *CRITERIA, "held_out_error"), math.nan)

    @contextmanager
    def attempt(self):
        """Add the time of this block to `seconds`; if it fails with a ValueError, the status says why."""
        began = perf_counter()
        try:
            yield
        except em.SourceError:
            raise
        except ValueError as error:
            self.result, self.status = None, " ".join(str(error).split())
            self.row = dict.fromkeys(self.row, math.nan)
        finally:
            self.seconds += perf_counter() - began

    def n_free(self):
        return self.result.parameters.n_free


class _Selector:
    """One run of `select`. `_all` and `_sample` are pairs of a source and its annotations."""

    def __init__(self, X, sample_weight, models, criterion, n_folds, one_standard_error, watch):
        self._criterion, self._one_standard_error, self._watch = criterion, one_standard_error, watch
        self._reader = models[0]  # checks the points for all candidates
        source = self._reader._source(X, reset=True, excluded_columns=(sample_weight, None), least=2)
        source = self._reader._scan(source, reset=True)
        self._candidates = [_Candidate(model) for model in models]
        fewest = min(self._candidates, key=lambda each: each.model.n_components).model
        annotations = fewest._annotations(source, sample_weight, None)
        self._reader._check_values(source, annotations)
        source = in_memory_if_small(source)
        self._all = source, annotations
        random_state = check_random_state(self._reader.random_state)
        most = max(model.n_components for model in models)
        size = max(_POINTS, most * _POINTS_A_COMPONENT)
        self._is_whole = source.n_samples <= 2 * size
        if criterion == "held_out":
            self._folds = CrossValidation(self._all, n_folds, random_state, None if self._is_whole else size)
        if self._is_whole:
            self._sample = self._all
        else:
            self._sample = sample(source, size, random_state, annotations.weights), NO_ANNOTATIONS
        self._ladder = Ladder(self._sample, random_state)
        self._weight = float(source.n_samples if annotations.weights is None else annotations.weights.sum())

    def selection(self):
        """The Selection."""
        self._begin("all points" if self._is_whole else "sample", self._candidates)
        for candidate in self._candidates:
            with candidate.attempt():
                candidate.result = self._ladder.fit(candidate.model)
                self._finish(candidate) if self._is_whole else self._estimate(candidate)
            self._tell(candidate)
        fitted = self._fitted()
        if not self._is_whole:
            self._stop_hopeless(fitted)
            self._finish_all("ok")
        if not any(each.status == "ok" for each in self._candidates):
            self._finish_all("stopped")
        if self._criterion == "held_out":
            self._score_left_out([each for each in self._fitted() if each.status != "stopped"])
        else:
            self._set_spurious_aside()
        return self._chosen(*self._ranked())

    def _chosen(self, results, best):
        """The Selection; warns about the best mixture as `fit` does."""
        chosen = self._candidates[best]
        chosen.model._note_degeneracy(chosen.result, *self._all)
        return Selection(chosen.model, results, self._criterion, best)

    def _fitted(self):
        """Candidates that have a mixture; ValueError if none has."""
        fitted = [each for each in self._candidates if each.result is not None]
        if not fitted:
            raise ValueError(f"no combination could be fitted. The reason for the last: {self._candidates[-1].status}")
        return fitted

    def _begin(self, stage, candidates):
        """A stage begins, with a fit for each of these candidates."""
        self._done = []
        self._watch.begin(stage, [each.model.n_components for each in candidates])

    def _tell(self, candidate):
        """Tell the listeners that one more candidate is done."""
        self._done.append(candidate)
        known = [each for each in self._done if not math.isnan(each.row[self._criterion])]
        best = min(known, key=lambda each: (_CLASSES.get(each.status, len(_CLASSES)), self._cost(each)), default=None)
        if best is not None:
            best = best.model.n_components, best.model.covariance_type, best.row[self._criterion]
        self._watch.done(candidate.model, candidate.row[self._criterion], best)

    def _estimate(self, candidate):
        """Estimate a candidate's criteria on all the points from the sample."""
        source, _ = self._sample
        candidate.log_densities = self._log_densities(candidate)
        # The maximum on a sample is higher than that on all points, as it also fits the sample's noise (Akaike 1974).
        excess = candidate.n_free() / 2 * (1 / source.n_samples - 1 / self._weight)
        mean = candidate.log_densities.mean() - excess
        self._fill(candidate, mean * self._weight, self._icl_gap(candidate, source) * self._weight)

    def _stop_hopeless(self, fitted):
        """Mark candidates that are worse than the best, on the sample, by more than `_ERRORS` standard errors."""
        source, _ = self._sample
        share = self._weight / source.n_samples
        densities = {id(each): each.log_densities for each in fitted}
        sound = [each for each in fitted if not self._degenerate(each, *self._sample)]
        best = min(sound or fitted, key=self._cost)
        for each in fitted:
            differences = densities[id(best)] - densities[id(each)]
            error = share * (
                math.sqrt(source.n_samples) * differences.std() + math.sqrt(0.5 * (each.n_free() + best.n_free()))
            )
            if self._cost(each) - self._cost(best) > 2 * _ERRORS * error:
                each.status = "stopped"
        for each in fitted:
            each.log_densities = None

    def _log_densities(self, candidate):
        source, _ = self._sample
        return source.evaluate(candidate.result.parameters, kernels.log_likelihoods, np.empty(source.n_samples))

    def _icl_gap(self, candidate, source):
        """Log-likelihood with the most probable labels minus that of the points alone, nats per point (0 or less)."""
        parameters = candidate.result.parameters
        soft, weight = source.log_likelihood(parameters)
        hard, _ = source.log_likelihood(parameters, assignment=HARD)
        return (hard - soft) / weight

    def _finish_all(self, status):
        """Fit the candidates of this status to all the points."""
        chosen = [each for each in self._fitted() if each.status == status]
        self._begin("all points", chosen)
        for candidate in chosen:
            candidate.status = "ok"
            with candidate.attempt():
                self._finish(candidate)
            self._tell(candidate)

    def _finish(self, candidate):
        """Fit a candidate to all the points (unless the sample was all) and compute its criteria."""
        model, (source, annotations) = candidate.model, self._all
        settings = model._settings(source)
        if not self._is_whole:
            start = replace(candidate.result.parameters, family=model._family(source, annotations))
            candidate.result = None
            candidate.result = em.run(
                source, start, settings, steps=settings.steps(start.family), annotations=annotations
            )
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self._reader, name):
                setattr(model, name, getattr(self._reader, name))
        model._set_fit(candidate.result, source, annotations)
        parameters = model._parameters()
        total, _ = source.log_likelihood(parameters, annotations)
        hard, _ = source.log_likelihood(parameters, annotations, HARD)
        self._fill(candidate, total, hard - total)
        candidate.degenerate = self._degenerate(candidate, source, annotations)
        if candidate.degenerate:
            candidate.status = "collapsed"

    def _degenerate(self, candidate, source, annotations):
        """Components whose likelihood says nothing about the data."""
        n_points, reg_covar = n_counted(source, annotations), candidate.model.reg_covar
        return degeneracy(candidate.result.parameters, n_points, reg_covar).components.tolist()

    def _fill(self, candidate, total, gap):
        """Set the criteria from the log-likelihood and its `_icl_gap`, nats in all."""
        row, n_free = candidate.row, candidate.n_free()
        row["log_likelihood"] = total / self._weight
        row["bic"] = -2 * total + n_free * math.log(self._weight)
        row["aic"] = -2 * total + 2 * n_free
        row["icl"] = row["bic"] - 2 * gap
        row["held_out"] = row["aic"] / (-2 * self._weight)  # asymptotic estimate (Stone 1977)

    def _score_left_out(self, candidates):
        """Cross-validate the candidates; one without a mixture for some fold has no score."""
        self._begin("left-out points", self._folds.n_folds * candidates)
        scores = self._folds.scores(
            [each.model for each in candidates], lambda model, found: self._watch.done(model, found.mean, None)
        )
        for candidate, score in zip(candidates, scores, strict=True):
            candidate.row["held_out"], candidate.row["held_out_error"] = score.mean, score.error
            candidate.seconds += score.seconds
            if score.failure:
                candidate.status = score.failure

    def _set_spurious_aside(self):
        """Mark the best candidates by the criterion while a simpler one predicts left-out points better.

        Spurious maxima of the likelihood (Day 1969; McLachlan & Peel 2000, section 3.10) come, for instance, from
        components on few points that nearly lie in a plane. These are not collapsed, but their gain vanishes when some
        of the points are left out. The penalties of BIC, AIC and ICL are too small to outweigh such a gain.
        """
        sound = sorted((each for each in self._candidates if each.status == "ok"), key=self._cost)
        for candidate in sound:
            simpler = [each for each in sound if each.n_free() < candidate.n_free()]
            if self._is_regular(candidate) or not simpler:
                break
            if max(map(self._score_in_parts, simpler)) - self._score_in_parts(candidate) <= _DOUBT:
                break
            candidate.status = "spurious"

    def _is_regular(self, candidate):
        """Whether every component has at least `_REGULAR` points per free parameter."""
        parameters = candidate.result.parameters
        return parameters.weights.min() * n_counted(*self._all) >= _REGULAR * parameters.n_free / len(parameters.means)

    def _score_in_parts(self, candidate):
        """`one_step_score` of a candidate, computed once."""
        if candidate.score_in_parts is None:
            reg_covar, parameters = candidate.model.reg_covar, candidate.result.parameters
            candidate.score_in_parts = one_step_score(
                self._all, parameters, reg_covar, _PARTS, assignment=Assignment(candidate.model.assignment)
            )
        return candidate.score_in_parts

    def _cost(self, candidate):
        """The criterion as a cost: nats in all times -2, the lower the better."""
        value = candidate.row[self._criterion]
        return -2 * self._weight * value if self._criterion == "held_out" else value

    def _ranked(self):
        """(table of all candidates, row of the best)."""
        rows, has_factors = [], any(each.model.n_factors for each in self._candidates)
        for each in self._candidates:
            model, result = each.model, each.result
            row = {"n_components": model.n_components, "covariance_type": model.covariance_type}
            if has_factors:
                row["n_factors"] = model.n_factors or 0
            row |= each.row
            if self._criterion != "held_out":
                del row["held_out"], row["held_out_error"]
            row["n_iter"] = 0 if result is None else result.n_iter
            row["converged"] = result is not None and result.converged
            row["seconds"], row["status"] = each.seconds, each.status
            rows.append(row)
        order = self._order()
        results = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        results["degenerate"] = np.empty(len(rows), object)
        results["degenerate"][:] = [each.degenerate for each in self._candidates]
        results["rank"] = np.empty(len(rows), int)
        results["rank"][order] = np.arange(1, len(rows) + 1)
        return results, int(order[0])

    def _order(self):
        """Numbers of the rows, the best first: 'ok', spurious, collapsed, stopped, then those without a mixture."""
        costs = np.array([self._cost(each) for each in self._candidates])
        classes = np.array([_CLASSES.get(each.status, len(_CLASSES)) for each in self._candidates])
        classes[np.isnan(costs)] = len(_CLASSES)
        order = np.lexsort([costs, classes])
        if classes[order[0]] > _CLASSES["collapsed"]:
            raise ValueError(f"no combination could be fitted. The reason for the last: {self._candidates[-1].status}")
        if self._one_standard_error:
            order = self._simplest_first(order, classes)
        return order

    def _simplest_first(self, order, classes):
        """The order with the simplest combination within one standard error of the best moved to the front."""
        best = self._candidates[order[0]].row
        least = best["held_out"] - np.nan_to_num(best["held_out_error"])
        near = [
            i for i in order
            if classes[i] == classes[order[0]] and self._candidates[i].row["held_out"] >= least
        ]  # fmt: skip
        first = min(near, key=lambda i: self._candidates[i].n_free())
        return np.concatenate([[first], order[order != first]])
