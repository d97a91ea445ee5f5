"""Online EM: the statistics of a stream, batch by batch, the earlier ones fading.

Cappe & Moulines 2009, 'On-line expectation-maximization algorithm for latent data models', eqs. 11 and 12, for batches
of any size: a batch's step is a power of its share of all points seen.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import em, search
from .covariance import CollapsedComponent, Parameters
from .report import FitReport
from .sources import ArraySource
from .statistics import SufficientStatistics

# Points for each component, or for each feature of it, that the first mixture is fitted to.
_POINTS = 100
_POINTS_A_FEATURE = 10

# Held points are fitted anew when so many times as many; in between the last fit goes on.
_GROWTH = 1.5


@dataclass(frozen=True)
class OnlineEM:
    """What is left of all batches so far; a batch makes a new one of it, or none where it fails.

    Attributes
    ----------
    parameters : Parameters or None
        None before there are points enough for a mixture.
    statistics : SufficientStatistics or None
        Of all points, faded, scaled to their total weight; None while they are held.
    weight : float
        Of all points seen.
    n_samples : int
    lower_bounds : list of float
        Of each batch before its M-step, nats per unit of weight.
    held : (ArraySource, Known) or None
        The first points.
    n_fitted : int
        How many held points the last fit from a start saw.
    """

    parameters: Parameters = None
    statistics: SufficientStatistics = None
    weight: float = 0.0
    n_samples: int = 0
    lower_bounds: tuple | list = ()
    held: tuple = None
    n_fitted: int = 0

    @property
    def result(self):
        """As a fit's."""
        return em.EMResult(self.parameters, list(self.lower_bounds), report=FitReport())

    @classmethod
    def after_fit(cls, parameters, weight, n_samples, lower_bounds, reg_covar):
        """As if the points of a fit, of this weight, had been taken in."""
        statistics = parameters.family.statistics_of(parameters, weight, reg_covar) if weight > 0 else None
        return cls(parameters, statistics, weight, n_samples, lower_bounds)

    def with_batch(self, source, known, family, settings, forgetting, random_state):
        """This and one more batch."""
        if self.parameters is None or self.held is not None:
            return self._with_first(source, known, family, settings, random_state)
        statistics = source.e_step(self.parameters, known)
        if statistics.weight == 0:
            return replace(self, n_samples=self.n_samples + source.n_samples)
        weight = self.weight + statistics.weight
        together = statistics
        if self.statistics is not None:
            share = (statistics.weight / weight) ** (1 - forgetting)
            together = statistics.scaled(share * weight / statistics.weight)
            if share < 1:
                together = together + self.statistics.scaled((1 - share) * weight / self.weight)
        try:
            parameters = family.maximize(together, settings.reg_covar)
        except CollapsedComponent as collapse:
            raise em.collapsed_error(collapse, f"in batch {len(self.lower_bounds) + 1}") from None
        self.lower_bounds.append(statistics.lower_bound)
        n_samples = self.n_samples + source.n_samples
        return OnlineEM(parameters, together, weight, n_samples, self.lower_bounds)

    def _with_first(self, source, known, family, settings, random_state):
        """Held points and these, fitted together; once they are enough, their statistics are all that is kept."""
        if self.held is not None:
            source, known = _joined(self.held, (source, known), settings.n_components)
        n_components, n_features = settings.n_components, source.n_features
        are_enough = source.n_samples >= n_components * max(_POINTS, _POINTS_A_FEATURE * n_features)
        weight = source.n_samples if known.weights is None else float(known.weights.sum())
        n_counted = source.n_samples if known.weights is None else np.count_nonzero(known.weights)
        new = replace(self, weight=weight, n_samples=source.n_samples)
        if n_counted < max(2, n_components) or (not are_enough and _lacks_a_component(known, n_components)):
            return replace(new, held=(source.in_memory(), known))
        if known.says_all:
            result = em.fit_known(source, family, settings, known)
        elif self.parameters is None or are_enough or source.n_samples >= _GROWTH * self.n_fitted:
            result = search.fit(source, family, settings, random_state, known=known)
            new = replace(new, n_fitted=source.n_samples)
        else:
            result = em.go_on(source, self.parameters, settings, -np.inf, known=known)
        bounds = [*self.lower_bounds, result.lower_bound]
        new = replace(new, parameters=result.parameters, lower_bounds=bounds)
        if not are_enough:
            return replace(new, held=(source.in_memory(), known))
        return replace(new, statistics=source.e_step(result.parameters, known), held=None)


def _lacks_a_component(known, n_components):
    return known.says_all and len(np.unique(known.labels)) < n_components


def _joined(one, other, n_components):
    """Two batches as one, with what is known of either."""
    sources, knowns = zip(one, other, strict=True)
    sizes = [source.n_samples for source in sources]

    def joined(name, unknown):
        values = [getattr(known, name) for known in knowns]
        if all(value is None for value in values):
            return None
        return np.concatenate([unknown(n) if v is None else v for v, n in zip(values, sizes, strict=True)])

    knowns = _of_one_kind(knowns, sizes, n_components)
    labels = joined("labels", lambda n: np.full(n, -1))
    shares = joined("responsibilities", lambda n: np.ones((n, n_components)))
    weights = joined("weights", np.ones)
    rows = np.concatenate([source.rows(slice(None)) for source in sources])
    return ArraySource(rows), replace(other[1], weights=weights, labels=labels, responsibilities=shares)


def _of_one_kind(knowns, sizes, n_components):
    """The same, labels as responsibilities where another has those."""
    if all(known.responsibilities is None for known in knowns):
        return knowns
    result = []
    for known, n in zip(knowns, sizes, strict=True):
        if known.labels is not None:
            shares = np.ones((n, n_components))
            shares[known.labels >= 0] = np.eye(n_components)[known.labels[known.labels >= 0]]
            known = replace(known, labels=None, responsibilities=shares)
        result.append(known)
    return result
