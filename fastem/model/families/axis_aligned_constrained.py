"""mclust's axis-aligned families with a constraint: EII, EEI, VEI, EVI (VII and VVI are spherical and diag)."""

import numpy as np

from .constrained import ConstrainedDiagonal, Constraint, EqualVolume
from .spherical import Spherical
from .volumes import geometric_means, of_equal_shape, of_equal_volume


class _Pooled:
    """Every component has the same covariance, so a component of one point takes that of the others."""

    def constrained(self, mass, covariances):
        common = np.average(covariances, axis=0, weights=mass)
        return np.repeat(common[None], len(covariances), axis=0)

    def points_lacking(self, mass, n_features):
        return np.full(len(mass), mass.sum() < len(mass) + 1)

    def points_needed(self, n_components, n_features):
        return f"{n_components + 1} in all"


class EII(_Pooled, Constraint, Spherical):
    """One variance for all components and features: covariances (K,), all equal."""

    name = "EII"
    as_sklearn = wider = "spherical"

    def covariances(self, statistics, mass, reg_covar):
        return self.in_family(mass, super().covariances(statistics, mass, reg_covar))

    def n_free(self, n_components, n_features):
        return 1


class EEI(_Pooled, ConstrainedDiagonal):
    """A variance for each feature, the same in all components: covariances (K, D), rows all equal."""

    name = "EEI"

    def n_free(self, n_components, n_features):
        return n_features


class VEI(ConstrainedDiagonal):
    """Variances of the features in the same proportions in all components, each of its own volume.

    The M-step's iteration ends where the gradient is below 1e-10 of the points.
    """

    name = "VEI"

    def constrained(self, mass, covariances):
        return of_equal_shape(mass, covariances)

    def n_free(self, n_components, n_features):
        return n_components + n_features - 1


class EVI(EqualVolume, ConstrainedDiagonal):
    """Variances of each component in proportions of its own, with the same volume."""

    name = "EVI"

    def constrained(self, mass, covariances):
        return of_equal_volume(mass, geometric_means(covariances), covariances)

    def n_free(self, n_components, n_features):
        return 1 + n_components * (n_features - 1)
