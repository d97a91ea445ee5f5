"""Covariance families whose M-step shrinks covariances towards a scaled identity of each component.

The shrunk covariance C = (1 - a) S + a trace(S) / D I is not the mode under any penalty: the gradient of a penalty
would have to be N_k / 2 a / (1 - a) (trace(C) / D C**-2 - C**-1), which is the gradient of no function of C, as its
derivatives aren't symmetric; and in proportion to the points N_k it would change the E-step. So there is no bound that
rises from iteration to iteration. What is recorded is the mean log-likelihood, and a run ends where it stays the same.
"""

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from ..families.base import NotInFamily
from ..families.shrinking import ledoit_wolf
from ..parameters import Parameters
from ..statistics import power_of_two
from .regularized import RegularizedFamily


@dataclass(frozen=True)
class ShrunkParameters(Parameters):
    """A mixture that an M-step with shrinkage made.

    Attributes
    ----------
    shrinkage : ndarray of shape (K,)
        The coefficient of each component's covariance.
    """

    shrinkage: np.ndarray


def with_shrinkage(parameters, shrinkage):
    """A mixture that is known to be shrunk by these coefficients, (K,)."""
    return ShrunkParameters(**parameters.state(), shrinkage=shrinkage)


class ShrunkFamily(RegularizedFamily):
    """A covariance family whose M-step shrinks the covariances; its lower bound is the log-likelihood, and may fall.

    Parameters
    ----------
    family : CovarianceFamily
    shrinkage : float, 'oas' or 'ledoit-wolf'
        The coefficient, or how it follows from the covariance and the points of each component.
    """

    maximizes = False

    def __init__(self, family, shrinkage):
        super().__init__(family)
        if family.shrinking is None:
            raise NotInFamily(family, "doesn't support shrinkage: use 'full', 'tied' or 'diag'")
        self.shrinkage = shrinkage

    @property
    def fourth(self):
        """The function of offsets from the mean whose sums the M-step needs beside the statistics; or None."""
        return self.plain.shrinking.fourth if self.shrinkage == "ledoit-wolf" else None

    def maximize(self, statistics, reg_covar, candidate=None):
        """The plain M-step with covariances shrunk, by coefficients that don't count reg_covar."""
        mass, means, covariances = self.plain.moments(statistics, reg_covar)
        coefficients = self._coefficients(statistics, mass, covariances, reg_covar)
        covariances = self.plain.shrinking.shrunk(covariances, coefficients, means.shape[1])
        factors = self.plain.precisions_cholesky(covariances)
        coefficients = np.broadcast_to(coefficients, mass.shape)
        return ShrunkParameters(self, mass / mass.sum(), means, covariances, factors, coefficients)

    def _coefficients(self, statistics, mass, covariances, reg_covar):
        """The coefficient of each covariance, (n,)."""
        shrinking, n_features = self.plain.shrinking, statistics.centres.shape[1]
        counts = shrinking.of_each(mass)
        if isinstance(self.shrinkage, Real):
            return np.full(len(counts), float(self.shrinkage))
        if n_features == 1:
            return np.zeros(len(counts))
        covariances = self.plain.plus(covariances, -reg_covar)
        scale = self._scale(covariances, len(mass), n_features)
        traces, squares = shrinking.sizes(covariances / scale)
        if self.shrinkage == "oas":
            return shrinking.oas(traces, squares, counts, n_features)
        fourth = None if statistics.fourth is None else shrinking.of_each(statistics.fourth) / counts
        fourth = None if fourth is None else fourth * (statistics.unit**2 / scale) ** 2
        return ledoit_wolf(shrinking, traces, squares, counts, fourth, n_features)

    def _scale(self, covariances, n_components, n_features):
        """A variance in whose unit squares of covariances neither overflow nor vanish: a power of two."""
        return power_of_two(float(self.plain.variances(covariances, n_components, n_features).max()))

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of total weight `weight` from which `maximize` returns these parameters."""
        found = getattr(parameters, "shrinkage", None)
        if found is not None:
            shrinking = self.plain.shrinking
            coefficients = shrinking.of_each(found) / shrinking.of_each(np.ones(len(found)))
            free = np.where(coefficients < 1, -coefficients / np.maximum(1 - coefficients, 1e-300), 0.0)
            covariances = self.plain.plus(parameters.covariances.astype(np.float64), -reg_covar)
            covariances = self.plain.plus(shrinking.shrunk(covariances, free, parameters.means.shape[1]), reg_covar)
            parameters = replace(parameters, covariances=covariances)
        return self.plain.statistics_of(parameters, weight, reg_covar)

    def at_points(self, points, variance):
        return replace(self.plain.at_points(points, variance), family=self)

    def points_lacking(self, mass, n_features):
        """Whether each component holds fewer than two points: two differ, and so have a mean variance."""
        least = np.full(len(mass), mass.sum() < len(mass) + 1)
        return least if self.plain.is_shared else mass < 2

    def points_needed(self, n_components, n_features):
        return f"{n_components + 1} in all" if self.plain.is_shared else "2 for each component"
