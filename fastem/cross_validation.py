"""Scores on points left out: every fold's mixtures are found from the other folds' points alone, starts included."""

import math
from dataclasses import replace
from time import perf_counter

import numpy as np

from . import em
from .known import NOTHING_KNOWN, n_counted
from .ladder import Ladder
from .sources.array import in_memory, sample


class CrossValidation:
    """Folds of the points, the same for all combinations.

    Parameters
    ----------
    points : (source, Known)
    n_folds : int
        As many equal shares of the rows, drawn at random; none is empty as long as there are so many rows.
    random_state : RandomState
    sample_size : int or None
        Rows of the sample on which mixtures are searched for, drawn from the training points, before these are all
        seen; None: at once on all of them, copied.
    """

    def __init__(self, points, n_folds, random_state, sample_size):
        self._source, self._known = points
        n_samples = self._source.n_samples
        self._weights = np.ones(n_samples) if self._known.weights is None else self._known.weights
        self._folds = random_state.permutation(np.arange(n_samples) % n_folds)
        self._random_state, self._sample_size = random_state, sample_size

    def scores(self, models):
        """A `HeldOut` for each model; those of one covariance type in a row, with rising numbers of components."""
        found = [HeldOut() for _ in models]
        for fold in range(self._folds.max() + 1):
            self._score_fold(fold, models, found)
        return found

    def _score_fold(self, fold, models, found):
        is_left_out = self._folds == fold
        left_out = self._part(is_left_out)
        if not n_counted(*left_out):
            return
        training = self._part(~is_left_out)
        searched = training
        if self._sample_size is not None:
            source, known = training
            searched = sample(source, self._sample_size, self._random_state, known.weights), NOTHING_KNOWN
        ladder = Ladder(searched, self._random_state)
        for model, held_out in zip(models, found, strict=True):
            if held_out.failure:
                continue
            began = perf_counter()
            try:
                parameters = self._fit(ladder, model, searched, training)
            except em.SourceError:
                raise
            except ValueError as error:
                held_out.failure = f"without fold {fold}: {' '.join(str(error).split())}"
            else:
                source, known = left_out
                held_out.add(*source.log_likelihood(parameters, replace(known, assignment="soft")))
            held_out.seconds += perf_counter() - began

    def _fit(self, ladder, model, searched, training):
        result = ladder.fit(model)
        if searched is not training:
            source, known = training
            settings = model._settings(source)
            start = replace(result.parameters, family=model._family(source, known))
            result = em.run(source, start, settings, steps=settings.steps(), known=known)
        return result.parameters

    def _part(self, chosen):
        """The chosen points: copied where a fit looks at them alone, else all points, the others with weight 0."""
        if self._sample_size is not None:
            return self._source, replace(self._known, weights=np.where(chosen, self._weights, 0.0))
        index = np.flatnonzero(chosen)
        weights = None if self._known.weights is None else self._known.weights[index]
        return in_memory(self._source, index), replace(self._known, weights=weights)


class HeldOut:
    """Score of a combination on points left out.

    Attributes
    ----------
    failure : str
        Why there is none.
    seconds : float
    """

    def __init__(self):
        self.failure, self.seconds = "", 0.0
        self._sums, self._weights = [], []

    def add(self, log_likelihood, weight):
        """What a fold's points have in all, nats, and their weight."""
        self._sums.append(log_likelihood)
        self._weights.append(weight)

    @property
    def mean(self):
        """Mean log-likelihood, nats per unit of weight."""
        return math.nan if self.failure else sum(self._sums) / sum(self._weights)

    @property
    def error(self):
        """Standard error of the mean, from the folds' own means (Hastie, Tibshirani & Friedman 2009, section 7.10)."""
        if self.failure or len(self._sums) < 2:
            return math.nan
        means = np.array(self._sums) / np.array(self._weights)
        return float(means.std(ddof=1) / math.sqrt(len(means)))
