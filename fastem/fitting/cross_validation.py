"""Scores of mixtures on held-out points: after whole fits without these points, or after one M-step without them."""

import math
from dataclasses import replace
from time import perf_counter

import numpy as np

from ..model.parameters import CollapsedComponent
from ..sources.annotations import NO_ANNOTATIONS, SOFT, n_counted
from ..sources.array import in_memory, sample
from . import em
from .degeneracy import on_few_points
from .ladder import Ladder


class CrossValidation:
    """Cross-validation of models on the same folds of the points.

    Parameters
    ----------
    points : (source, Annotations)
    n_folds : int
        Number of equal shares of the rows, drawn at random. None is empty if there are at least as many rows.
    random_state : RandomState
    sample_size : int or None
        Rows of a sample of the training points, on which a mixture is searched for before EM runs over all of them.
        None: the search is on all training points, which are copied.
    """

    def __init__(self, points, n_folds, random_state, sample_size):
        self._source, self._annotations = points
        n_samples = self._source.n_samples
        self._weights = np.ones(n_samples) if self._annotations.weights is None else self._annotations.weights
        self._folds = random_state.permutation(np.arange(n_samples) % n_folds)
        self._random_state, self._sample_size = random_state, sample_size

    @property
    def n_folds(self):
        """Number of folds."""
        return int(self._folds.max()) + 1

    def scores(self, models, tell=lambda model, found: None):
        """A `HeldOut` for each model; models come by covariance type, each with rising numbers of components.

        `tell(model, its HeldOut so far)` is called for every model and fold.
        """
        found = [HeldOut() for _ in models]
        for fold in range(self.n_folds):
            self._score_fold(fold, models, found, tell)
        return found

    def _score_fold(self, fold, models, found, tell):
        is_left_out = self._folds == fold
        left_out = self._part(is_left_out)
        if not n_counted(*left_out):
            for model, held_out in zip(models, found, strict=True):
                tell(model, held_out)
            return
        training = self._part(~is_left_out)
        searched = training
        if self._sample_size is not None:
            source, annotations = training
            searched = sample(source, self._sample_size, self._random_state, annotations.weights), NO_ANNOTATIONS
        ladder = Ladder(searched, self._random_state)
        for model, held_out in zip(models, found, strict=True):
            if held_out.failure:
                tell(model, held_out)
                continue
            began = perf_counter()
            try:
                parameters = self._fit(ladder, model, searched, training)
            except em.SourceError:
                raise
            except ValueError as error:
                held_out.failure = f"without fold {fold}: {' '.join(str(error).split())}"
            else:
                source, annotations = left_out
                held_out.add(*source.log_likelihood(parameters, annotations))
            held_out.seconds += perf_counter() - began
            tell(model, held_out)

    def _fit(self, ladder, model, searched, training):
        result = ladder.fit(model)
        if searched is not training:
            source, annotations = training
            settings = model._settings(source)
            start = replace(result.parameters, family=model._family(source, annotations))
            result = em.run(source, start, settings, steps=settings.steps(start.family), annotations=annotations)
        return result.parameters

    def _part(self, chosen):
        """(source, annotations) of the chosen points: a copy; with a sample size, all points, others of weight 0."""
        if self._sample_size is not None:
            return self._source, replace(self._annotations, weights=np.where(chosen, self._weights, 0.0))
        index = np.flatnonzero(chosen)
        weights = None if self._annotations.weights is None else self._annotations.weights[index]
        return in_memory(self._source, index), replace(self._annotations, weights=weights)


class HeldOut:
    """Score of a model on held-out points.

    Attributes
    ----------
    failure : str
        Why there is no score; empty if there is one.
    seconds : float
    """

    def __init__(self):
        self.failure, self.seconds = "", 0.0
        self._sums, self._weights = [], []

    def add(self, log_likelihood, weight):
        """Add a fold: the sum of its points' log-likelihoods, nats, and their total weight."""
        self._sums.append(log_likelihood)
        self._weights.append(weight)

    @property
    def mean(self):
        """Mean log-likelihood, nats per unit of weight."""
        return math.nan if self.failure or not self._sums else sum(self._sums) / sum(self._weights)

    @property
    def error(self):
        """Standard error of the mean, from the folds' own means (Hastie, Tibshirani & Friedman 2009, section 7.10)."""
        if self.failure or len(self._sums) < 2:
            return math.nan
        means = np.array(self._sums) / np.array(self._weights)
        return float(means.std(ddof=1) / math.sqrt(len(means)))


def one_step_score(points, parameters, reg_covar, n_folds, mixture_of=None, assignment=SOFT):
    """Log-likelihood of all folds, each under the mixture that one M-step makes of the other folds; nats in all.

    The responsibilities are those of the mixture fitted to all the points, so this doesn't measure its performance on
    new points. It tells whether the mixture's likelihood is owed to a few points: without some of them, their component
    changes or vanishes. Otherwise the score is about the log-likelihood less the number of free parameters (Stone
    1977).

    Parameters
    ----------
    points : (source, Annotations)
    parameters : Parameters
        Of a fit to all the points.
    reg_covar : float
    n_folds : int
        Number of equal shares of the rows, the same for all mixtures.
    mixture_of : callable, default=None
        Makes the mixture that is scored, or None, from the M-step's and the number of points this was made from.
        Default: the mixture without its components on too few points.
    assignment : Assignment
        Of the points in the M-step.

    Returns
    -------
    score : float
        -inf if, without some fold, a covariance is singular or no mixture is left.
    """
    mixture_of = mixture_of or _without_few_points
    source, annotations = points
    weights = np.ones(source.n_samples) if annotations.weights is None else annotations.weights
    folds = np.random.RandomState(0).permutation(np.arange(source.n_samples) % n_folds)
    total = 0.0
    for fold in range(folds.max() + 1):
        others = replace(annotations, weights=np.where(folds == fold, 0.0, weights))
        left_out = replace(annotations, weights=np.where(folds == fold, weights, 0.0))
        n_others = n_counted(source, others)
        if not n_others:
            return -math.inf
        try:
            found = parameters.family.maximize(source.e_step(parameters, others, assignment), reg_covar, parameters)
        except CollapsedComponent:
            return -math.inf
        mixture = mixture_of(found, n_others)
        if mixture is None:
            return -math.inf
        total += source.log_likelihood(mixture, left_out)[0]
    return total


def _without_few_points(found, n_samples):
    """The mixture without components on too few points; None if none is left.

    Such a component would score well only because it still lies where its held-out points are.
    """
    kept = found.weights.copy()
    kept[on_few_points(found, n_samples)] = 0.0
    total = found.weights.sum() if found.noise_weight is not None else 1.0
    return replace(found, weights=kept * total / kept.sum()) if kept.any() else None
