"""Short fits of families with a constraint, each from the fit of the family without it.

On a sample they tell which combinations of a family and a number of components are far from the best, in a twentieth of
the time of a search.
"""

from dataclasses import replace

from ..model.families import FAMILIES
from . import em
from .ladder import is_free

# Most iterations of EM.
_SHORT = 10


class Screening:
    """Short fits to the same points.

    Parameters
    ----------
    points : (source, Annotations)
        All that a fit sees.
    models : list of estimators
        All that are fitted.
    """

    def __init__(self, points, models):
        self._points = points
        self._fits = dict.fromkeys((FAMILIES[each.covariance_type].name, each.n_components) for each in models)

    def may_be_short(self, model):
        """Whether a short fit is possible: the family without the constraint is fitted, too, and any start will do."""
        return _wider(model) in self._fits and is_free(model._settings(self._points[0]))

    def keep(self, model, result):
        """Take in the EMResult of a model, from which others may start."""
        self._fits[FAMILIES[model.covariance_type].name, model.n_components] = result

    def fit(self, model):
        """The EMResult of a short fit; None if it can't be made, which doesn't mean that a search can't.

        It starts by the M-step from the responsibilities of the mixture without the constraint.
        """
        wide = self._fits[_wider(model)]
        if wide is None:
            return None
        source, annotations = self._points
        family, settings = model._family(source, annotations), model._settings(source)
        few = replace(settings, max_iter=min(settings.max_iter, _SHORT))
        with em.collapse_ignored():
            start = family.maximize(source.e_step(wide.parameters, annotations), settings.reg_covar)
            return em.run(source, start, few, steps=settings.longer_steps(family), annotations=annotations)
        return None


def _wider(model):
    return FAMILIES[model.covariance_type].wider, model.n_components
