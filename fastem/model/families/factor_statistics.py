"""Sufficient statistics of factor analyzers, and loadings from those of a sketch."""

from dataclasses import dataclass, replace

import numpy as np

from ..statistics import SufficientStatistics

# Largest deviation from 1 of the factors' variances given a point, if these are known to be a sketch.
_NOTHING_KNOWN = 2.0**-22
# Smallest eigenvalue of a sketch, as a share of its largest, that counts.
_INVISIBLE = 1e-10
# Smallest noise variance of a start, as a share of its feature's variance.
_LEAST_NOISE = 1e-2


@dataclass(frozen=True)
class FactorStatistics(SufficientStatistics):
    """Sums over points x_i with responsibilities r_ik, and over the expectations z_ik of their factors.

    The expectations are those of the loadings at the time of the pass. Sums of several passes belong together as in
    online EM (Cappe & Moulines 2009), where each point keeps the expectations of its time.

    Attributes
    ----------
    products : ndarray of shape (K, D, q)
        Sum of w_i r_ik (x_i - c_k) z_ik'.
    factors : ndarray of shape (K, q)
        Sum of w_i r_ik z_ik.
    factor_products : ndarray of shape (K, q, q)
        Sum of w_i r_ik z_ik z_ik'.
    factor_covariances : ndarray of shape (K, q, q)
        Sum of w_i r_ik times the covariance of the factors given the point.
    """

    products: np.ndarray = None
    factors: np.ndarray = None
    factor_products: np.ndarray = None
    factor_covariances: np.ndarray = None

    _of_factors = "products", "factors", "factor_products", "factor_covariances"
    _sums = *SufficientStatistics._sums, *_of_factors
    _of_components = *SufficientStatistics._of_components, *_of_factors

    @property
    def is_sketch(self):
        """Whether the loadings were so small that they only made projections of the points."""
        with np.errstate(invalid="ignore", divide="ignore"):
            covariances = self.factor_covariances / self.mass[:, None, None]
        known = self.mass > 0
        return bool((np.abs(covariances[known] - np.eye(covariances.shape[1])) < _NOTHING_KNOWN).all())

    def about(self, centres):
        moved = super().about(centres)
        return replace(moved, products=self.products - (centres - self.centres)[:, :, None] * self.factors[:, None, :])

    def central(self, mass):
        """Covariances of features and expected factors (K, D, q), and of expected factors (K, q, q), from masses."""
        first, factors = self.first / mass[:, None], self.factors / mass[:, None]
        products = self.products / mass[:, None, None] - first[:, :, None] * factors[:, None, :]
        return products, self.factor_products / mass[:, None, None] - factors[:, :, None] * factors[:, None, :]


def loadings_of_sketch(products, factors, total):
    """Loadings, (K, D, q), from the covariances of features with random projections of them, and of these.

    That is a randomised eigendecomposition (Halko, Martinsson & Tropp 2011, section 5.5: Nystrom) of each component's
    correlations; the mean of the other eigenvalues is left to the noise, as in probabilistic PCA. total: variances.
    """
    loadings = np.zeros(products.shape)
    for k, (across, within, variances) in enumerate(zip(products, factors, total, strict=True)):
        values, axes = np.linalg.eigh(within)
        seen = values > _INVISIBLE * values[-1] if values[-1] > 0 else np.zeros(len(values), bool)
        deviations = np.sqrt(variances)
        scale = np.where(deviations > 0, 1 / np.where(deviations > 0, deviations, 1.0), 0.0)
        roots = (across * scale[:, None]) @ (axes[:, seen] / np.sqrt(values[seen]))
        directions, lengths, _ = np.linalg.svd(roots, full_matrices=False)
        n_varying, strengths = np.count_nonzero(deviations), lengths**2
        rest = max(n_varying - strengths.sum(), 0.0) / max(n_varying - len(strengths), 1)
        found = directions * np.sqrt(np.maximum(strengths - rest, 0.0))
        most = np.sqrt((1 - _LEAST_NOISE) / np.maximum((found**2).sum(axis=1), 1 - _LEAST_NOISE))
        loadings[k, :, : found.shape[1]] = deviations[:, None] * most[:, None] * found
    return loadings
