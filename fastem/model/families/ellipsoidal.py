"""Families with covariance matrices: the code common to `full` and `tied`.

Precisions are stored as upper triangular Cholesky factors U, precision = U U'.
"""

import functools
import math

import numpy as np
import scipy  # which imports its parts at their first use

from ... import kernels
from ..parameters import CollapsedComponent
from . import FAMILIES
from .base import CovarianceFamily, flat, least_variances, log_scale, origin_and_offsets

# Largest difference between the two correlations of a pair of features in a matrix that counts as symmetric.
_ASYMMETRY = 1e-5

# Number of features above which LAPACK inverts triangular matrices.
_LONG_ROW = 256

# Most features of which the places below the diagonal are remembered: predictions of a few rows wait for them.
_REMEMBERED = 64


class Ellipsoidal(CovarianceFamily):
    """A family with covariance matrices."""

    def plus(self, covariances, variance):
        return covariances + variance * np.eye(covariances.shape[-1])

    def _second_moments(self, mass, covariances, means, reg_covar):
        within = self.matrices(covariances, *means.shape) - reg_covar * np.eye(means.shape[1])
        return mass[:, None, None] * within

    def check(self, values, n_components, n_features, what, name=None, rounding=None, may_be_flat=False):
        matrices = values.reshape(-1, n_features, n_features).astype(np.float64, copy=False)
        valid = _are_valid(matrices, rounding, may_be_flat)
        if not valid.all():
            where = "" if len(matrices) == 1 else f", but component {int(np.argmin(valid))}'s is not"
            definite = "positive-semidefinite" if may_be_flat else "positive-definite"
            raise ValueError(f"'{name or f'{self.name} {what}'}' should be symmetric, {definite}{where}")

    def are_factors(self, factors):
        return bool((np.diagonal(factors, axis1=-2, axis2=-1) > 0).all()) and not _is_any_below(factors)

    def may_be_factors(self, factors):
        return not (factors > 0).all()

    def upper_factors(self, factors):
        """Factors F themselves if upper triangular, else the upper triangular U with U U' = F F'.

        As in scikit-learn, the precision is F F' for any F: users often set the lower triangular factors of NumPy's
        `cholesky`. Raises ValueError where F is singular, or upper triangular without a positive diagonal.
        """
        if not _is_any_below(factors):
            if (np.diagonal(factors, axis1=-2, axis2=-1) > 0).all():
                return factors
            raise ValueError("precisions_cholesky_ should be upper triangular with a positive diagonal")
        squares = np.asarray(factors, dtype=np.float64)
        squares = (squares @ np.swapaxes(squares, -1, -2)).reshape(-1, *factors.shape[-2:])
        try:
            upper = np.linalg.cholesky(squares[:, ::-1, ::-1])[:, ::-1, ::-1]
        except np.linalg.LinAlgError:
            raise ValueError("precisions_cholesky_ should be upper triangular with a positive diagonal") from None
        return upper.reshape(factors.shape).astype(factors.dtype)

    def diagonals(self, precisions_cholesky, n_components, n_features):
        return np.diagonal(precisions_cholesky, axis1=-2, axis2=-1)

    def whitened(self, offsets, precisions_cholesky):
        return (offsets[:, None, :] @ precisions_cholesky)[:, 0]

    def least_points(self, n_features):
        return n_features + 1

    @property
    def of_all_points(self):
        return FAMILIES["tied"]

    def factor_coordinates(self, reference):
        return TriangularCoordinates(reference)

    def draw(self, random_state, mean, covariance, n_samples):
        return random_state.multivariate_normal(mean, covariance, n_samples)

    def random_map(self, n_features, rng):
        scales = np.diag(np.exp(0.5 * rng.standard_normal(n_features)))
        return np.linalg.qr(rng.standard_normal((n_features, n_features))).Q @ scales

    def far_kernel_inputs(self, parameters):
        means = parameters.means.astype(np.float64)
        n_features = means.shape[1]
        factors = np.multiply(self._lower_factors(parameters), math.sqrt(0.5), order="C").reshape(-1, n_features)
        return kernels.FarTriangular(np.zeros(n_features), means, log_scale(parameters), factors, np.zeros(means.shape))

    def _lower_factors(self, parameters):
        """U' of each component, (K, D, D), float64."""
        raise NotImplementedError

    def _triangular_inputs(self, parameters):
        n_features = parameters.means.shape[1]
        origin, offsets = origin_and_offsets(parameters)
        factors = np.multiply(self._lower_factors(parameters), math.sqrt(0.5), order="C")
        bias = -np.einsum("kji,ki->kj", factors, offsets)
        return kernels.Triangular(origin, offsets, log_scale(parameters), factors.reshape(-1, n_features), bias)


@functools.lru_cache(maxsize=_REMEMBERED)
def _below(n_features):
    return np.tri(n_features, k=-1, dtype=bool)


def _is_any_below(factors):
    """Whether any value below the diagonals of matrices, (.., D, D), is not 0."""
    n_features = factors.shape[-1]
    if n_features > _REMEMBERED:
        return np.tril(factors, -1).any()
    return factors[..., _below(n_features)].any()


def regular(matrices, statistics, mass, reg_covar):
    """Regularise covariance matrices (n, D, D) in place; returns them.

    Variances no larger than rounding are set to `least_variances`, and their covariances to 0. Then reg_covar is added
    to all variances. mass: (n,), points of each matrix.
    """
    diagonal = np.diag_indices(matrices.shape[1])
    rounding = statistics.diagonal / mass[:, None] <= statistics.resolution
    if rounding.any():
        matrices[rounding[:, :, None] | rounding[:, None, :]] = 0.0
        matrices[:, *diagonal] += np.where(rounding, least_variances(statistics, reg_covar), 0)
    matrices[:, *diagonal] += reg_covar
    return matrices


def _are_valid(matrices, rounding, may_be_flat):
    """Whether each matrix, (n, D, D), is symmetric and positive definite, whatever the scales of its features.

    rounding, may_be_flat: see `CovarianceFamily.check`. Correlations with a feature whose variance is infinite aren't
    known and aren't looked at.
    """
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    valid = (variances >= 0 if may_be_flat else variances > 0).all(axis=1)
    flat = variances == 0
    valid &= ~((matrices != 0) & (flat[:, :, None] | flat[:, None, :])).any(axis=(1, 2))
    known = (variances > 0) & np.isfinite(variances)
    identity = np.eye(matrices.shape[1])
    with np.errstate(all="ignore"):
        scales = 1 / np.sqrt(variances)
        correlations = matrices * scales[:, :, None] * scales[:, None, :]
        correlations = np.where(known[:, :, None] & known[:, None, :], correlations, identity)
        asymmetry = np.abs(correlations - correlations.transpose(0, 2, 1)).max(axis=(1, 2))
    valid &= asymmetry <= (_ASYMMETRY if rounding is None else rounding)
    return valid & _have_cholesky_factors(matrices if rounding is None else correlations + rounding * identity)


def _have_cholesky_factors(matrices):
    """Whether each symmetric matrix, (n, D, D), is positive definite.

    Eigenvalues can't tell a feature of small scale from 0 beside one of large scale. Both Cholesky factors are tried:
    that of covariances begins at the first feature, that of precisions at the last.
    """
    try:
        np.linalg.cholesky([matrices, matrices[:, ::-1, ::-1]])
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.array([False])
        return np.concatenate([_have_cholesky_factors(matrix[None]) for matrix in matrices])
    return np.full(len(matrices), True)


def precision_factors(covariances):
    """Upper triangular U, (K, D, D), with U U' = the inverse of each covariance matrix."""
    try:
        lower = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise CollapsedComponent(_first_singular(covariances)) from None
    if not np.isfinite(lower).all():
        raise CollapsedComponent(int(np.argmin(np.isfinite(lower).all(axis=(1, 2)))))
    return inverse_of_lower(lower).transpose(0, 2, 1)


def _first_singular(matrices):
    for k, matrix in enumerate(matrices):
        try:
            np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return k
    raise AssertionError("every matrix is positive definite by itself")


def inverse_of_lower(lower):
    """Inverses of lower triangular matrices (K, D, D), by forward substitution, row by row for all matrices at once.

    For long rows LAPACK is used, which makes fewer passes over memory.
    """
    if lower.shape[1] > _LONG_ROW:
        inverse = np.array(lower, order="C")
        for matrix in inverse:
            scipy.linalg.lapack.dtrtri(matrix.T, lower=0, overwrite_c=1)
        return inverse
    inverse = np.zeros_like(lower)
    for i in range(lower.shape[1]):
        inverse[:, i, :i] = -(lower[:, i : i + 1, :i] @ inverse[:, :i, :i])[:, 0]
        inverse[:, i, i] = 1.0
        inverse[:, i, : i + 1] /= lower[:, i, i, None]
    return inverse


def from_precisions(precisions):
    """Covariances and upper triangular U with U U' = precision, both (K, D, D)."""
    # U is the ordinary Cholesky factor of the matrix with rows and columns reversed, itself reversed again.
    factors = np.linalg.cholesky(precisions[:, ::-1, ::-1])[:, ::-1, ::-1]
    inverse = inverse_of_lower(factors.transpose(0, 2, 1))
    return inverse @ inverse.transpose(0, 2, 1), factors


class TriangularCoordinates:
    """Coordinates of precision factors: sqrt(2) times the log of P's diagonal, and the elements of P left of it.

    P = U'L is lower triangular, with U the mixture's precision factor and L the reference's covariance factor. There is
    a P for each component or one for all.
    """

    def __init__(self, reference):
        self._shape = reference.precisions_cholesky.shape
        n_features = self._shape[-1]
        self._upper = reference.precisions_cholesky.reshape(-1, n_features, n_features)
        self._lower = inverse_of_lower(self._upper.transpose(0, 2, 1))
        self._diagonal = np.arange(n_features)
        self._left = np.tril_indices(n_features, -1)

    @property
    def _is_shared(self):
        return len(self._shape) == 2

    def deviations(self, root):
        root = np.ones(1) if self._is_shared else root
        n_features = len(self._diagonal)
        return np.concatenate([np.repeat(root, n_features) * math.sqrt(2), np.repeat(root, len(self._left[0]))])

    def whiten(self, offsets):
        return (offsets[..., None, :] @ self._upper)[..., 0, :]

    def unwhiten(self, offsets):
        return (self._lower @ offsets[..., None])[..., 0]

    def _relative(self, precisions_cholesky):
        upper = precisions_cholesky.reshape(*precisions_cholesky.shape[: -len(self._shape)], *self._upper.shape)
        return upper, np.swapaxes(upper, -1, -2) @ self._lower

    def _values(self, diagonal, matrices):
        left = matrices[..., *self._left]
        return np.concatenate([flat(diagonal), flat(left)], axis=-1)

    def encode(self, precisions_cholesky, root):
        _, relative = self._relative(precisions_cholesky)
        diagonal = np.log(np.diagonal(relative, axis1=-2, axis2=-1))
        return self._values(diagonal, relative) * self.deviations(root)

    def gradient(self, precisions_cholesky, weights, moved, covariances):
        upper, relative = self._relative(precisions_cholesky)
        whitened = np.swapaxes(upper, -1, -2) @ moved[..., None]
        to_means = (np.swapaxes(relative, -1, -2) @ whitened)[..., 0]
        if self._is_shared:
            scatter = covariances + np.swapaxes(moved * weights[..., None], -1, -2) @ moved
            scatter, share = scatter[..., None, :, :], np.ones(1)
        else:
            scatter, share = covariances + moved[..., :, None] * moved[..., None, :], weights
        slope = -share[..., None, None] * (relative @ (np.swapaxes(self._upper, -1, -2) @ scatter @ self._upper))
        diagonal = np.diagonal(relative, axis1=-2, axis2=-1) * np.diagonal(slope, axis1=-2, axis2=-1)
        return to_means, self._values(diagonal + share[..., None], slope)

    def decode(self, values):
        count, n_features = self._upper.shape[:2]
        relative = np.zeros(self._upper.shape)
        diagonal, left = np.split(values, [count * n_features])
        with np.errstate(over="ignore"):
            relative[:, self._diagonal, self._diagonal] = np.exp(diagonal.reshape(count, n_features))
        relative[:, *self._left] = left.reshape(count, -1)
        factors = relative @ self._upper.transpose(0, 2, 1)
        lower = self._lower @ inverse_of_lower(relative)
        with np.errstate(over="ignore", invalid="ignore"):
            covariances = lower @ lower.transpose(0, 2, 1)
        return factors.transpose(0, 2, 1).reshape(self._shape), covariances.reshape(self._shape)
