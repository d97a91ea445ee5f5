"""A variance for each component, the same for every feature."""

import numpy as np

from . import FAMILIES
from .axis_aligned import AxisAlignedFamily
from .conjugate import SharedGamma
from .parts import Parts


class Spherical(AxisAlignedFamily):
    """A variance for each component, the same for every feature: covariances (K,)."""

    name = "spherical"
    compiled_m_step = "AxisAligned", True
    conjugate = SharedGamma()

    def covariances(self, statistics, mass, reg_covar):
        return super().covariances(statistics, mass, reg_covar).mean(axis=1)

    def shape(self, n_components, n_features):
        return (n_components,)

    def axis_aligned(self, variances, n_components):
        if np.ptp(variances) > 0:
            raise ValueError("a spherical component has one variance")
        return np.full(n_components, variances[0])

    def variances(self, covariances, n_components, n_features):
        return np.broadcast_to(covariances[:, None], (n_components, n_features))

    def matrices(self, covariances, n_components, n_features):
        return covariances[:, None, None] * np.eye(n_features)

    def of_matrices(self, matrices):
        return matrices[:, 0, 0]

    def diagonals(self, precisions_cholesky, n_components, n_features):
        return np.broadcast_to(precisions_cholesky[:, None], (n_components, n_features))

    def whitened(self, offsets, precisions_cholesky):
        return offsets * precisions_cholesky[:, None]

    def n_free(self, n_components, n_features):
        return n_components

    @property
    def for_nearest_means(self):
        return FAMILIES["diag"]

    def parts(self, parameters):
        return _SphericalParts(parameters)

    def random_map(self, n_features, rng):
        return np.eye(n_features)


class _SphericalParts(Parts):
    def log_volume(self, covariances):
        return self.means.shape[1] * np.log(covariances)

    def spread(self, offsets):
        return (offsets**2).mean(axis=1)
