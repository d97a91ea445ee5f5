"""Fits of rising numbers of components to the same points: each is the better of a search and of the last one grown."""

from dataclasses import replace

from sklearn.utils import check_random_state

from ..model import reduction
from ..sources.annotations import n_counted
from . import em, strategies
from .degeneracy import n_degenerate

# Iterations of EM after every component was split in two, before components are merged.
_SPLIT = 12


class Ladder:
    """Fits for one covariance type after another, each with rising numbers of components.

    Parameters
    ----------
    points : (source, Annotations)
        All that a fit sees.
    random_state : RandomState
        For the splits; a search uses the random state of its model.
    """

    def __init__(self, points, random_state):
        self._points = points
        self._n_points = n_counted(*points)
        self._random_state = random_state
        self._below = None

    def fit(self, model):
        """The better EMResult of two: from a search, and from the previous fit (with fewer components) grown.

        Raises
        ------
        ValueError
            If the points are too few, or no start leads to a mixture.
        """
        source, annotations = self._points
        if model.n_components > self._n_points:
            raise ValueError(f"n_components = {model.n_components} is more than the number of points, {self._n_points}")
        family, settings = model._family(source, annotations), model._settings(source)
        found = failure = None
        try:
            found = strategies.chosen(settings, annotations)(
                source, family, settings, check_random_state(model.random_state), annotations=annotations
            )
        except em.SourceError:
            raise
        except ValueError as error:
            failure = error
        if self._below is not None and self._below[0] == _kind(model) and is_free(settings):
            with em.collapse_ignored():
                grown = self._grown(family, settings)
                if found is None or self._is_better(grown, found, settings):
                    found = grown
        if found is None:
            raise failure
        self.stand_on(model, found)
        return found

    def stand_on(self, model, result):
        """Take this EMResult of a model as the previous fit."""
        self._below = _kind(model), result

    def _grown(self, family, settings):
        """EM from the previous fit's mixture: split every component in two, run EM, merge the surplus, run EM."""
        source, annotations = self._points
        below = replace(self._below[1].parameters, family=family)
        few = replace(settings, tol=0.0, max_iter=_SPLIT)
        halves = em.run(source, reduction.split(below, self._random_state), few, annotations=annotations).parameters
        start = reduction.merged(halves, settings.n_components)
        return em.run(source, start, settings, steps=settings.longer_steps(start.family), annotations=annotations)

    def _is_better(self, grown, found, settings):
        """Whether the bound is higher by more than tol, without more degenerate components; as in a search."""
        degenerate = [n_degenerate(each.parameters, self._n_points, settings.reg_covar) for each in (grown, found)]
        return grown.lower_bound > found.lower_bound + settings.tol and degenerate[0] <= degenerate[1]


def _kind(model):
    return model.covariance_type, model.n_factors


def is_free(settings):
    """Whether a fit may take other steps than EM's own, and other starts than `init_params` names."""
    return settings.accelerated and settings.assignment == "soft"
