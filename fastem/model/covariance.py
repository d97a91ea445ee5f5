"""Covariance families: statistics to parameters (the M-step) and parameters to kernel inputs, one object each.

Formulas: Bishop 2006, 'Pattern Recognition and Machine Learning', eqs. 9.24 to 9.26; the constrained families as in
scikit-learn. Precisions are held as Cholesky factors U, upper triangular, precision = U U'.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg.lapack import dtrtri

from ..kernels import AxisAligned, FarAxisAligned, FarTriangular, Shared, Triangular, in_single
from .statistics import SufficientStatistics

_EPS = np.finfo(np.float64).eps
# Distance of a component's mean from an origin of all, in the component's deviations, from which points are taken from
# each component's own mean: whitened features are good to 2**-30.
_FAR = 2.0**22
# Features beyond which LAPACK inverts a triangle.
_LONG_ROW = 256
_MOST_IN_SINGLE = 1e36  # float32's 3e38 less what sums of squares may add


class CollapsedComponent(ValueError):
    """A covariance matrix is not positive definite; `component` is its index, None where all share it."""

    def __init__(self, component):
        super().__init__(component)
        self.component = component


@dataclass(frozen=True)
class Parameters:
    """A mixture: weights (K,), means (K, D), covariances and precisions_cholesky in the family's shape."""

    family: "CovarianceFamily"
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    precisions_cholesky: np.ndarray

    def __post_init__(self):
        # Products of matrices round by their layout: one that comes back from a file must be laid out as it was.
        for name in ("weights", "means", "covariances", "precisions_cholesky"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name)))

    @property
    def n_free(self):
        """Number of free parameters: weights, means and covariances."""
        return self.family.n_free_in_all(*self.means.shape)

    @property
    def log_weights(self):
        """Logarithms of the weights, (K,)."""
        with np.errstate(divide="ignore"):
            return np.log(self.weights)

    @property
    def log_determinants(self):
        """log |precision|**(1/2) of each component, (K,)."""
        factors = self.precisions_cholesky
        if self.family.is_triangular:
            factors = np.diagonal(factors, axis1=-2, axis2=-1)
        factors = factors.astype(np.float64)
        if not self.family.is_triangular and factors.ndim == 1:
            factors = np.broadcast_to(factors[:, None], self.means.shape)
        return np.broadcast_to(np.log(factors).sum(axis=-1), len(self.means))

    @property
    def fits_single(self):
        """Whether float32 can hold covariances and precisions: deviations of some 1e-18 to 1e18."""
        largest = np.abs(self.covariances).max(), np.abs(self.precisions_cholesky.astype(np.float64)).max() ** 2
        return bool(max(largest) < _MOST_IN_SINGLE)

    def squared_lengths(self, offsets):
        """offset_k' precision_k offset_k of an offset, (K, D), from each component's mean, (K,)."""
        factors = self.precisions_cholesky
        if self.family.is_triangular:
            return ((offsets[:, None, :] @ factors)[:, 0] ** 2).sum(axis=1)
        return ((offsets * (factors[:, None] if factors.ndim == 1 else factors)) ** 2).sum(axis=1)

    def share_of(self, reg_covar):
        """Upper bound of reg_covar's share of each covariance's smallest variance, (K,), or (1,) where all share it."""
        n_covariances = 1 if self.family.name == "tied" else len(self.means)
        return reg_covar * (self.precisions_cholesky**2).reshape(n_covariances, -1).sum(axis=1)

    def kernel_inputs(self, exact=False, single=False):
        """What the kernels take. A component of weight 0 gets log-density -inf.

        exact: every moment is accumulated about its own centre, where a faster pass would take common ones apart.
        single: in float32 where that is safe, so that the pass computes in float32.
        """
        inputs = self.family.kernel_inputs(self, exact)
        if self._are_far(inputs):
            return self.family.far_kernel_inputs(self)
        return in_single(inputs) if single and self._is_safe_in_single(inputs) else inputs

    def _are_far(self, inputs):
        """Whether rounding x - origin to float64 would move points of a component by too much of its deviations."""
        offsets = np.abs(inputs.means)
        with np.errstate(over="ignore", invalid="ignore"):
            bound = 2 * inputs.largest_coefficient * offsets.sum(axis=1).max()
            return bool(bound > _FAR and inputs.sum_of_terms(offsets).max() > _FAR)

    def _is_safe_in_single(self, inputs):
        """Whether float32 can tell points apart that a component tells apart.

        Rounding x - origin and the terms of z = U'(x - mean) to float32 moves z by 2**-24 times the sum of their
        absolute values. This sum is bounded for points within five deviations of their component, so that z is good
        to 2**-14; deviations are such that no square of a difference overflows or is lost.
        """
        deviations = np.sqrt(self.family.variances(self.covariances, *self.means.shape))
        if not (deviations.min() > 1e-12 and deviations.max() < 1e12):
            return False
        return bool(inputs.sum_of_terms(np.abs(self.means - inputs.origin) + 5 * deviations).max() < 2**10)

    def precisions(self):
        """The inverse of the covariances, in the same shape."""
        return self.family.precisions(self.precisions_cholesky)


class CovarianceFamily:
    """What the four families have in common."""

    name: str
    is_triangular = False
    """Whether precisions_cholesky holds triangular matrices; else inverse deviations."""
    bounds_the_successor = False
    """Whether `lower_bound` is that of the mixture the M-step makes; else of the one before it."""

    @property
    def plain(self):
        """The family itself, without a prior."""
        return self

    def maximize(self, statistics, reg_covar, candidate=None):
        """M-step: the parameters that maximise the expected log-likelihood, reg_covar added to every variance.

        candidate: the mixture that the responsibilities came from. Raises CollapsedComponent where a covariance matrix
        is not positive definite.
        """
        mass, means, covariances = self.moments(statistics, reg_covar)
        return Parameters(self, mass / mass.sum(), means, covariances, self.precisions_cholesky(covariances))

    def moments(self, statistics, reg_covar):
        """Masses, means and covariances of the components' points, reg_covar added to every variance."""
        mass = statistics.mass + 10 * _EPS  # scikit-learn's guard against an empty component
        means = statistics.centres + statistics.first / mass[:, None]
        return mass, means, self.covariances(statistics.about(means), mass, reg_covar)

    def lower_bound(self, statistics, candidate, successor):
        """What is maximised, of the candidate: the mean log-likelihood, nats per unit of weight."""
        return statistics.lower_bound

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of so much weight from which `maximize` makes these parameters."""
        mass = weight * parameters.weights.astype(np.float64)
        means = parameters.means.astype(np.float64)
        covariances = parameters.covariances.astype(np.float64)
        if self.is_triangular:
            within = self.matrices(covariances, *means.shape) - reg_covar * np.eye(means.shape[1])
            second = mass[:, None, None] * within
        else:
            second = mass[:, None] * (self.variances(covariances, *means.shape) - reg_covar)
        return self.statistics(means[0], means, mass, np.zeros(means.shape), second, 0.0, weight)

    def points_lacking(self, mass, n_features):
        """Whether each component, by the points it holds, (K,), has fewer than its covariance needs."""
        return mass < self._least_points(n_features)

    def points_needed(self, n_components, n_features):
        """In words: the points that a covariance needs so that it is not singular."""
        return f"{self._least_points(n_features)} for each component"

    def _least_points(self, n_features):
        """Points that a component's own covariance needs so that it is not singular."""
        return n_features + 1 if self.is_triangular else 2

    def n_free_in_all(self, n_components, n_features):
        """Number of free parameters of a mixture: weights, means and covariances."""
        return n_components - 1 + n_components * n_features + self.n_free(n_components, n_features)

    def statistics_of_pass(self, inputs, centres, sums):
        """Statistics about the centres, from `kernels.Sums` of a pass with these kernel inputs."""
        return replace(self.statistics(inputs.origin, centres, *sums.rounded(inputs)), is_far=inputs.is_far)

    def covariances(self, statistics, mass, reg_covar):
        """Covariances from statistics about the means."""
        raise NotImplementedError

    def variances(self, covariances, n_components, n_features):
        """The variance of each feature in each component, (K, D)."""
        return np.diagonal(self.matrices(covariances, n_components, n_features), axis1=1, axis2=2)

    def precisions_cholesky(self, covariances):
        """Cholesky factors of the precisions; raises CollapsedComponent."""
        raise NotImplementedError

    def with_precisions(self, weights, means, precisions):
        """Parameters with these precisions (symmetric positive definite)."""
        raise NotImplementedError

    def at_points(self, points, variance):
        """Parameters of equal weights, each component with one of the points, (K, D), and this variance."""
        return self.with_variances(points, np.full(points.shape[1], variance))

    def with_variances(self, means, variances):
        """Parameters of equal weights and the same variance of each feature, (D,), in every component.

        Hard assignment under these is k-means' to the nearest mean, features measured by their deviations.
        """
        variances = np.asarray(variances, dtype=np.float64)
        covariances = self.axis_aligned(variances, len(means))
        weights = np.full(len(means), 1 / len(means))
        if not ((variances > 0) & np.isfinite(variances)).all():
            raise CollapsedComponent(None if self.name == "tied" else 0)
        return Parameters(self, weights, means, covariances, self.axis_aligned(1 / np.sqrt(variances), len(means)))


def _least(statistics, reg_covar):
    """The least variances, (K, D) or (1, D), of features that vary by no more than rounding: 0.

    But the resolution where it says nothing about a component beside one that is far, and reg_covar is below it: the
    next pass then sees these far apart, and the component's own variance.
    """
    resolution = statistics.resolution
    return np.where(statistics.is_hidden & (resolution > reg_covar) & (reg_covar > 0), resolution, 0.0)


def _precision_factors(covariances):
    """Upper triangular U with U U' the inverse of each covariance matrix, (K, D, D)."""
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
    """Inverses of lower triangular matrices (K, D, D): forward substitution, row by row for all at once.

    Where rows are long, by LAPACK, which passes through memory less often.
    """
    inverse = np.zeros_like(lower)
    if lower.shape[1] > _LONG_ROW:
        for matrix, out in zip(lower, inverse, strict=True):
            out[:] = dtrtri(matrix.T, lower=0)[0].T
        return inverse
    for i in range(lower.shape[1]):
        inverse[:, i, :i] = -(lower[:, i : i + 1, :i] @ inverse[:, :i, :i])[:, 0]
        inverse[:, i, i] = 1.0
        inverse[:, i, : i + 1] /= lower[:, i, i, None]
    return inverse


def _from_precisions(precisions):
    """Covariances and upper triangular U with U U' = precision, both (K, D, D)."""
    # The factor is the ordinary Cholesky factor with rows and columns reversed, before and after.
    factors = np.linalg.cholesky(precisions[:, ::-1, ::-1])[:, ::-1, ::-1]
    inverse = inverse_of_lower(factors.transpose(0, 2, 1))
    return inverse @ inverse.transpose(0, 2, 1), factors


def _log_scale(parameters):
    """log weight + log of the normalising constant (2 pi)**(-D/2) |precision|**(1/2), (K,)."""
    n_features = parameters.means.shape[1]
    return parameters.log_weights - 0.5 * n_features * math.log(2 * math.pi) + parameters.log_determinants


def triangular_factors(family, factors):
    """Factors of precisions as the family has them: upper triangular U with U U' = F F' where F isn't that.

    As scikit-learn's, densities are those of the precision F F' for any F; the lower triangle of NumPy's `cholesky` is
    often set by hand. Raises ValueError where F is singular, or upper triangular without a positive diagonal.
    """
    if not family.is_triangular:
        return factors
    if not np.tril(factors, -1).any():
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


class Full(CovarianceFamily):
    """A covariance matrix for each component: covariances (K, D, D)."""

    name = "full"
    is_triangular = True

    def covariances(self, statistics, mass, reg_covar):
        covariances = statistics.second / mass[:, None, None]
        rounding = statistics.diagonal / mass[:, None] <= statistics.resolution
        if rounding.any():
            covariances[rounding[:, :, None] | rounding[:, None, :]] = 0.0
            covariances[:, *np.diag_indices(covariances.shape[1])] += np.where(
                rounding, _least(statistics, reg_covar), 0
            )
        covariances[:, *np.diag_indices(covariances.shape[1])] += reg_covar
        return covariances

    def precisions_cholesky(self, covariances):
        return _precision_factors(covariances)

    def with_precisions(self, weights, means, precisions):
        return Parameters(self, weights, means, *_from_precisions(precisions))

    def precisions(self, precisions_cholesky):
        return precisions_cholesky @ precisions_cholesky.transpose(0, 2, 1)

    def axis_aligned(self, variances, n_components):
        """Covariances with these variances of the features, (D,), in every component."""
        return np.tile(np.diag(variances), (n_components, 1, 1))

    def matrices(self, covariances, n_components, n_features):
        """Each component's covariance matrix, (K, D, D)."""
        return covariances

    def shape(self, n_components, n_features):
        return n_components, n_features, n_features

    def n_free(self, n_components, n_features):
        return n_components * n_features * (n_features + 1) // 2

    def kernel_inputs(self, parameters, exact):
        return _triangular(parameters, self._lower_factors(parameters))

    def far_kernel_inputs(self, parameters):
        return _far_triangular(parameters, self._lower_factors(parameters))

    @staticmethod
    def _lower_factors(parameters):
        return parameters.precisions_cholesky.astype(np.float64, copy=False).transpose(0, 2, 1)

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        magnitude = np.diagonal(second, axis1=1, axis2=2)
        return SufficientStatistics(centres, mass, first, second, "full", magnitude, log_likelihood, weight)


def _far_triangular(parameters, factors):
    """Kernel inputs from lower triangular factors (K, D, D), for components far apart."""
    means = parameters.means.astype(np.float64)
    n_features = means.shape[1]
    factors = np.multiply(factors, math.sqrt(0.5), order="C").reshape(-1, n_features)
    return FarTriangular(np.zeros(n_features), means, _log_scale(parameters), factors, np.zeros(means.shape))


def _triangular(parameters, factors):
    """Kernel inputs from lower triangular factors (K, D, D)."""
    n_features = parameters.means.shape[1]
    origin, offsets = _origin_and_offsets(parameters)
    factors = np.multiply(factors, math.sqrt(0.5), order="C")
    bias = -np.einsum("kji,ki->kj", factors, offsets)
    return Triangular(origin, offsets, _log_scale(parameters), factors.reshape(-1, n_features), bias)


def _origin_and_offsets(parameters):
    """A point amid the data, (D,), and the means relative to it: the kernels work on x - origin."""
    means = parameters.means.astype(np.float64)
    origin = parameters.weights.astype(np.float64) @ means / max(float(parameters.weights.sum()), _EPS)
    return origin, means - origin


class Tied(CovarianceFamily):
    """One covariance matrix for all components: covariances (D, D)."""

    name = "tied"
    is_triangular = True

    def covariances(self, statistics, mass, reg_covar):
        covariance = statistics.second / mass.sum()
        rounding = statistics.diagonal[0] / mass.sum() <= statistics.resolution[0]
        if rounding.any():
            covariance[rounding[:, None] | rounding[None, :]] = 0.0
            covariance[np.diag_indices(len(covariance))] += np.where(rounding, _least(statistics, reg_covar)[0], 0)
        covariance[np.diag_indices(len(covariance))] += reg_covar
        return covariance

    def precisions_cholesky(self, covariances):
        try:
            return _precision_factors(covariances[None])[0]
        except CollapsedComponent:
            raise CollapsedComponent(None) from None

    def with_precisions(self, weights, means, precisions):
        covariances, factors = _from_precisions(precisions[None])
        return Parameters(self, weights, means, covariances[0], factors[0])

    def precisions(self, precisions_cholesky):
        return precisions_cholesky @ precisions_cholesky.T

    def axis_aligned(self, variances, n_components):
        return np.diag(variances)

    def matrices(self, covariances, n_components, n_features):
        return np.broadcast_to(covariances, (n_components, n_features, n_features))

    def shape(self, n_components, n_features):
        return n_features, n_features

    def n_free(self, n_components, n_features):
        return n_features * (n_features + 1) // 2

    def points_lacking(self, mass, n_features):
        return np.full(len(mass), mass.sum() < len(mass) + n_features)

    def points_needed(self, n_components, n_features):
        return f"{n_components + n_features} in all"

    def kernel_inputs(self, parameters, exact):
        if exact:
            return _triangular(parameters, self._lower_factors(parameters))
        origin, offsets = _origin_and_offsets(parameters)
        factor = parameters.precisions_cholesky.astype(np.float64).T
        factor = np.ascontiguousarray(factor * math.sqrt(0.5))
        return Shared(origin, offsets, _log_scale(parameters), factor, np.ones(offsets.shape), -offsets @ factor.T)

    def far_kernel_inputs(self, parameters):
        return _far_triangular(parameters, self._lower_factors(parameters))

    @staticmethod
    def _lower_factors(parameters):
        return np.tile(parameters.precisions_cholesky.astype(np.float64).T, (len(parameters.means), 1, 1))

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        if second.ndim == 3:
            pooled = scatter = second.sum(axis=0)
        else:  # from the scatter of all points about the origin to each component's about its own centre
            scatter = second
            offsets = centres - origin
            cross = first.T @ offsets
            pooled = scatter - cross - cross.T - (offsets.T * mass) @ offsets
        magnitude = np.diagonal(scatter)[None, :]
        return SufficientStatistics(centres, mass, first, pooled, "pooled", magnitude, log_likelihood, weight)


class Diagonal(CovarianceFamily):
    """A variance for each component and feature: covariances (K, D)."""

    name = "diag"

    def covariances(self, statistics, mass, reg_covar):
        # A component that is a single point keeps, as in scikit-learn, the least variance there is; one without
        # any mass has none.
        variances = np.maximum(statistics.second / mass[:, None], statistics.resolution)
        variances[statistics.mass <= 10 * _EPS] = 0.0
        return variances + reg_covar

    def precisions_cholesky(self, covariances):
        collapsed = ~(covariances > 0).reshape(len(covariances), -1).all(axis=1)
        if collapsed.any():
            raise CollapsedComponent(int(collapsed.argmax()))
        return 1 / np.sqrt(covariances)

    def with_precisions(self, weights, means, precisions):
        return Parameters(self, weights, means, 1 / precisions, np.sqrt(precisions))

    def precisions(self, precisions_cholesky):
        return precisions_cholesky**2

    def axis_aligned(self, variances, n_components):
        return np.tile(variances, (n_components, 1))

    def variances(self, covariances, n_components, n_features):
        return covariances

    def matrices(self, covariances, n_components, n_features):
        return np.array([np.diag(variances) for variances in covariances])

    def shape(self, n_components, n_features):
        return n_components, n_features

    def n_free(self, n_components, n_features):
        return n_components * n_features

    def kernel_inputs(self, parameters, exact):
        origin, offsets = _origin_and_offsets(parameters)
        scale = self._scale(parameters)
        return AxisAligned(origin, offsets, _log_scale(parameters), scale, -scale * offsets)

    def far_kernel_inputs(self, parameters):
        means = parameters.means.astype(np.float64)
        scale, nothing = self._scale(parameters), np.zeros(means.shape)
        return FarAxisAligned(np.zeros(means.shape[1]), means, _log_scale(parameters), scale, nothing)

    def _scale(self, parameters):
        scale = np.empty(parameters.means.shape)
        scale[:] = self._inverse_deviations(parameters.precisions_cholesky)
        scale *= math.sqrt(0.5)
        return scale

    @staticmethod
    def _inverse_deviations(precisions_cholesky):
        return precisions_cholesky

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        return SufficientStatistics(centres, mass, first, second, "diag", second, log_likelihood, weight)


class Spherical(Diagonal):
    """A variance for each component, the same for every feature: covariances (K,)."""

    name = "spherical"

    def covariances(self, statistics, mass, reg_covar):
        return super().covariances(statistics, mass, reg_covar).mean(axis=1)

    def axis_aligned(self, variances, n_components):
        if np.ptp(variances) > 0:
            raise ValueError("a spherical component has one variance")
        return np.full(n_components, variances[0])

    def variances(self, covariances, n_components, n_features):
        return np.broadcast_to(covariances[:, None], (n_components, n_features))

    def matrices(self, covariances, n_components, n_features):
        return covariances[:, None, None] * np.eye(n_features)

    def shape(self, n_components, n_features):
        return (n_components,)

    def n_free(self, n_components, n_features):
        return n_components

    @staticmethod
    def _inverse_deviations(precisions_cholesky):
        return precisions_cholesky[:, None]


FAMILIES = {family.name: family for family in (Full(), Tied(), Diagonal(), Spherical())}
