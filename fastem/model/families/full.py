"""A covariance matrix for each component."""

import numpy as np

from ..parameters import Parameters
from ..statistics import SufficientStatistics
from . import FAMILIES
from .conjugate import Wishart
from .ellipsoidal import Ellipsoidal, from_precisions, precision_factors, regular
from .parts import Parts
from .shrinking import Matrices

# Number of features up to which k-means uses the kernel of full covariances, though it needs none: that kernel is quick
# enough and needed later anyway, while another would have to be compiled or loaded.
_FEW_FEATURES = 16


class Full(Ellipsoidal):
    """A covariance matrix for each component: covariances (K, D, D)."""

    name = "full"
    compiled_m_step = "Triangular", False
    conjugate = Wishart()
    shrinking = Matrices()

    def covariances(self, statistics, mass, reg_covar):
        covariances = regular(statistics.second / mass[:, None, None], statistics, mass, reg_covar)
        return self.in_family(mass, covariances)

    def precisions_cholesky(self, covariances):
        return precision_factors(covariances)

    def precisions(self, precisions_cholesky):
        return precisions_cholesky @ precisions_cholesky.transpose(0, 2, 1)

    def with_precisions(self, weights, means, precisions):
        return Parameters(self, weights, means, *from_precisions(precisions))

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        magnitude = np.diagonal(second, axis1=1, axis2=2)
        return SufficientStatistics(centres, mass, first, second, "full", magnitude, log_likelihood, weight)

    def shape(self, n_components, n_features):
        return n_components, n_features, n_features

    def matrices(self, covariances, n_components, n_features):
        return covariances

    def of_matrices(self, matrices):
        return matrices

    def n_free(self, n_components, n_features):
        return n_components * n_features * (n_features + 1) // 2

    def axis_aligned(self, variances, n_components):
        return np.tile(np.diag(variances), (n_components, 1, 1))

    def for_means_alone(self, n_features):
        return FAMILIES["diag"] if n_features > _FEW_FEATURES else self

    def parts(self, parameters):
        return _FullParts(parameters)

    def random_shapes(self, n_components, n_features, rng):
        axes = np.linalg.qr(rng.standard_normal((n_components, n_features, n_features))).Q
        return rng.standard_normal((n_components, n_features)) / np.sqrt(n_features), axes

    def kernel_inputs(self, parameters, exact):
        return self._triangular_inputs(parameters)

    def _lower_factors(self, parameters):
        return parameters.precisions_cholesky.astype(np.float64, copy=False).transpose(0, 2, 1)


class _FullParts(Parts):
    def log_volume(self, covariances):
        return np.linalg.slogdet(covariances)[1]

    def spread(self, offsets):
        return offsets[:, :, None] * offsets[:, None, :]
