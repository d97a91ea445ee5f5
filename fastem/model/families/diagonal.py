"""A variance for each component and feature."""

import numpy as np

from .axis_aligned import AxisAlignedFamily
from .conjugate import Gamma
from .parts import Parts
from .shrinking import Variances


class Diagonal(AxisAlignedFamily):
    """A variance for each component and feature: covariances (K, D)."""

    name = "diag"
    compiled_m_step = "AxisAligned", False
    conjugate = Gamma()
    shrinking = Variances()

    def shape(self, n_components, n_features):
        return n_components, n_features

    def axis_aligned(self, variances, n_components):
        return np.tile(variances, (n_components, 1))

    def variances(self, covariances, n_components, n_features):
        return covariances

    def matrices(self, covariances, n_components, n_features):
        return np.array([np.diag(variances) for variances in covariances])

    def of_matrices(self, matrices):
        return np.diagonal(matrices, axis1=1, axis2=2)

    def diagonals(self, precisions_cholesky, n_components, n_features):
        return precisions_cholesky

    def whitened(self, offsets, precisions_cholesky):
        return offsets * precisions_cholesky

    def n_free(self, n_components, n_features):
        return n_components * n_features

    def parts(self, parameters):
        return _DiagonalParts(parameters)

    def random_map(self, n_features, rng):
        return np.diag(np.exp(0.5 * rng.standard_normal(n_features)))


class _DiagonalParts(Parts):
    def log_volume(self, covariances):
        return np.log(covariances).sum(axis=1)

    def spread(self, offsets):
        return offsets**2
