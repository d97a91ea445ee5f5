"""Factor analyzers: covariances of a few factors and a noise variance for each feature, L L' + diag(psi).

Ghahramani & Hinton 1996, 'The EM algorithm for mixtures of factor analyzers'; McLachlan & Peel 2000, chapter 8. A point
of a component is x = mean + L z + noise, with factors z ~ N(0, I). Arrays hold the loadings L and, in a last column,
the noise variances psi: covariances are (K, D, q + 1). No matrix of D x D is made but for those who ask for it.
"""

import math
from dataclasses import replace

import numpy as np

from ... import kernels
from ..parameters import CollapsedComponent, Parameters
from . import FAMILIES
from .base import EPS, CovarianceFamily, NotInFamily, log_scale, origin_and_offsets
from .factor_coordinates import FactorCoordinates
from .factor_parts import FactorParts
from .factor_statistics import FactorStatistics, loadings_of_sketch
from .loadings import directions_of, inner, joined, times_root

# Size of the loadings, in deviations of the noise, that make projections of the points, but no difference to densities.
_SKETCH = 2.0**-30
# Directions for each factor and the noise, whose number sets the points in a sample.
_DIRECTIONS = 4
# Smallest noise variance, as a share of its feature's variance, that rounding leaves.
_LEAST_NOISE = 2.0**-40


class Factors(CovarianceFamily):
    """Loadings (K, D, q) and noise variances (K, D), side by side: covariances (K, D, q + 1).

    Precision factors have the same shape: A = L / sqrt(psi), and 1 / sqrt(psi).

    Parameters
    ----------
    n_factors : int, default=None
        q. None: unknown, as long as only arrays are to be interpreted.
    """

    name = "factors"
    as_sklearn = "full"
    ignores_factors = False
    needs_iterations = True
    takes_precisions = False
    adds_reg_covar = False
    is_flat_by_feature = True
    attributes = described_by = "loadings_", "noise_variances_"

    def __init__(self, n_factors=None):
        self.n_factors = n_factors

    def __eq__(self, other):
        return isinstance(other, Factors) and other.n_factors == self.n_factors

    def __hash__(self):
        return hash((self.name, self.n_factors))

    def of_factors(self, n_factors, n_features=None):
        if n_factors is None:
            raise ValueError(
                "covariance_type='factors' needs n_factors, the number of factors: set it, for instance n_factors=5"
            )
        if n_features is not None and n_factors >= n_features:
            raise ValueError(
                f"n_factors={n_factors} should be less than the number of features, {n_features}: lower it, or use "
                "covariance_type='full'"
            )
        return Factors(int(n_factors))

    def with_missing_values(self):
        raise NotInFamily(self, "doesn't support missing='em': fill the missing values in, or use 'full' or 'diag'")

    # -- M-step -------------------------------------------------------------------------------------------------------

    def maximize(self, statistics, reg_covar, candidate=None):
        """The means are the weighted means of the points; loadings and noise are those of EM about these means.

        Both raise the log-likelihood (AECM: McLachlan, Peel & Bean 2003), and the expectations of the factors about the
        new means follow from the same sums. Means and loadings from one regression on the factors (Ghahramani & Hinton
        1996) were tried: what these reach after 101 iterations, AECM reaches after 54 (digits, q = 5), 74 (4,000 grey
        patches of many_features.py, q = 5), 16 (in colour, q = 10). Statistics of loadings that are only a sketch give
        new ones (`loadings_of_sketch`). reg_covar is the floor of the noise variances.
        """
        mass = statistics.mass + 10 * EPS
        offsets = statistics.first / mass[:, None]
        total = np.maximum(statistics.second / mass[:, None] - offsets**2, 0.0)
        total[statistics.mass <= 10 * EPS] = 0.0
        products, factors = statistics.central(mass)
        if statistics.is_sketch:
            loadings = loadings_of_sketch(products, factors, total)
            explained = (loadings**2).sum(axis=2)
            # Few points seem to have no noise: a start lends them the others', or their component would collapse.
            lent = self.least_points(total.shape[1])
            total = (mass[:, None] * total + lent * (mass @ total / mass.sum())) / (mass[:, None] + lent)
        else:
            factors = factors + statistics.factor_covariances / mass[:, None, None]
            factors[statistics.mass <= 10 * EPS] = np.eye(factors.shape[1])
            loadings = np.linalg.solve(factors, products.transpose(0, 2, 1)).transpose(0, 2, 1)
            explained = (loadings * products).sum(axis=2)
        noise = np.maximum(total - explained, np.maximum(statistics.resolution, _LEAST_NOISE * total))
        covariances = joined(loadings, np.maximum(noise, reg_covar))
        means = statistics.centres + offsets
        return Parameters(self, mass / mass.sum(), means, covariances, self.precisions_cholesky(covariances))

    def at_floor(self, parameters, reg_covar):
        covariances = parameters.covariances.copy()
        np.maximum(covariances[..., -1], reg_covar, out=covariances[..., -1])
        factors = self.precisions_cholesky(covariances)
        return replace(parameters, covariances=covariances, precisions_cholesky=factors)

    def precisions_cholesky(self, covariances):
        noise = covariances[..., -1]
        valid = ((noise > 0) & np.isfinite(covariances).all(axis=2)).all(axis=1)
        if not valid.all():
            raise CollapsedComponent(int(np.argmin(valid)))
        inverse = 1 / np.sqrt(noise)
        return joined(covariances[..., :-1] * inverse[..., None], inverse)

    def low_rank_precisions(self, parameters):
        values = parameters.precisions_cholesky.astype(np.float64)
        directions, _ = directions_of(values[..., :-1])
        return values[..., -1] ** 2, directions * values[..., -1:]

    def share_of(self, parameters, reg_covar):
        return reg_covar / self.variances(parameters.covariances, *parameters.means.shape).min(axis=1)

    # -- statistics ---------------------------------------------------------------------------------------------------

    def statistics_of(self, parameters, weight, reg_covar):
        mass = weight * parameters.weights.astype(np.float64)
        means, covariances = parameters.means.astype(np.float64), parameters.covariances.astype(np.float64)
        loadings = covariances[..., :-1]
        second = mass[:, None] * self.variances(covariances, *means.shape)
        posterior = self._inner_inverses(parameters)
        identity = np.eye(loadings.shape[2])
        return FactorStatistics(
            means, mass, np.zeros(means.shape), second, "diag", second, 0.0, weight,
            products=mass[:, None, None] * loadings,
            factors=np.zeros((len(means), loadings.shape[2])),
            factor_products=mass[:, None, None] * (identity - posterior),
            factor_covariances=mass[:, None, None] * posterior,
        )  # fmt: skip

    def statistics_of_pass(self, inputs, centres, sums):
        mass, first, second, projected, log_likelihood, weight = sums.rounded(inputs)
        products, factors, factor_products = projected
        posterior = inputs.posterior.astype(np.float64).reshape(len(mass), -1, inputs.posterior.shape[1])
        transposed = posterior.transpose(0, 2, 1)
        return FactorStatistics(
            centres, mass, first, second, "diag", second, log_likelihood, weight, inputs.is_far,
            products=products @ transposed,
            factors=(posterior @ factors[:, :, None])[:, :, 0],
            factor_products=posterior @ factor_products @ transposed,
            factor_covariances=mass[:, None, None] * (posterior @ transposed) / 2,
        )  # fmt: skip

    def _inner_inverses(self, parameters):
        """(I + A'A)**-1, the covariance of the factors given a point, (K, q, q)."""
        return np.linalg.inv(inner(parameters.precisions_cholesky.astype(np.float64)[..., :-1]))

    # -- shapes and their checks --------------------------------------------------------------------------------------

    def shape(self, n_components, n_features):
        return n_components, n_features, self.n_factors + 1

    def check(self, values, n_components, n_features, what, name=None, rounding=None, may_be_flat=False):
        if not np.isfinite(values).all():
            raise ValueError(f"'{name or 'loadings'}' should be finite")
        valid = (values[..., -1] > 0).all(axis=1)
        if not valid.all():
            where = "" if n_components == 1 else f", but component {int(np.argmin(valid))}'s are not"
            raise ValueError(f"'{name or 'noise variances'}' should be positive{where}")

    def are_factors(self, factors):
        return bool((factors[..., -1] > 0).all())

    def upper_factors(self, factors):
        return factors

    def matrices(self, covariances, n_components, n_features):
        loadings = covariances[..., :-1]
        matrices = loadings @ loadings.transpose(0, 2, 1)
        np.einsum("kii->ki", matrices)[:] += covariances[..., -1]
        return matrices

    def variances(self, covariances, n_components, n_features):
        return (covariances[..., :-1] ** 2).sum(axis=2) + covariances[..., -1]

    def log_determinants(self, precisions_cholesky, n_components, n_features):
        values = precisions_cholesky.astype(np.float64)
        return np.log(values[..., -1]).sum(axis=1) - 0.5 * np.linalg.slogdet(inner(values[..., :-1]))[1]

    def whitened(self, offsets, precisions_cholesky):
        scaled = precisions_cholesky.astype(np.float64)
        return times_root(scaled[..., :-1], offsets * scaled[..., -1], -1)

    # -- free parameters ----------------------------------------------------------------------------------------------

    def n_free(self, n_components, n_features):
        """Rotations of the factors are not counted; never more than for matrices without a constraint."""
        own = n_features * (self.n_factors + 1) - self.n_factors * (self.n_factors - 1) // 2
        return n_components * min(own, n_features * (n_features + 1) // 2)

    def least_points(self, n_features):
        return min(self.n_factors, n_features) + 2

    def n_directions(self, n_features):
        return min(_DIRECTIONS * (self.n_factors + 1), n_features)

    # -- starts -------------------------------------------------------------------------------------------------------

    def axis_aligned(self, variances, n_components):
        """Noise alone, but for loadings that are a sketch: projections on random directions, the same for all."""
        directions = np.random.RandomState(0).standard_normal((len(variances), self.n_factors))
        loadings = _SKETCH / math.sqrt(len(variances)) * directions * np.sqrt(variances)[:, None]
        return np.repeat(joined(loadings, variances)[None], n_components, axis=0)

    def with_variances(self, means, variances):
        variances = np.asarray(variances, dtype=np.float64)
        if not ((variances > 0) & np.isfinite(variances)).all():
            raise CollapsedComponent(0)
        covariances = self.axis_aligned(variances, len(means))
        weights = np.full(len(means), 1 / len(means))
        return Parameters(self, weights, means, covariances, self.precisions_cholesky(covariances))

    n_refinements = 4

    def refined(self, parameters, statistics):
        """A sketch whose directions are nearer to the first eigenvectors of each component's correlations."""
        mass = statistics.mass + 10 * EPS
        products, _ = statistics.central(mass)
        variances = statistics.second / mass[:, None] - (statistics.first / mass[:, None]) ** 2
        noise = parameters.covariances[..., -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(variances > _LEAST_NOISE * noise, 1 / np.sqrt(variances), 0.0)[..., None]
        scaled = np.linalg.qr(scale * products).Q * scale * np.sqrt(noise)[..., None]
        largest = np.abs(scaled).max(axis=(1, 2), keepdims=True)
        scaled *= _SKETCH / math.sqrt(scaled.shape[1]) / np.where(largest > 0, largest, 1.0)
        covariances = joined(scaled * np.sqrt(noise)[..., None], noise)
        factors = self.precisions_cholesky(covariances)
        return replace(parameters, covariances=covariances, precisions_cholesky=factors)

    def for_means_alone(self, n_features):
        return FAMILIES["diag"]

    @property
    def of_all_points(self):
        return FAMILIES["diag"]

    # -- steps, merging, splitting ------------------------------------------------------------------------------------

    def factor_coordinates(self, reference):
        return FactorCoordinates(reference)

    def parts(self, parameters):
        return FactorParts(parameters)

    def random_offsets(self, parameters, random_state, length):
        """Along the factors: a direction at random among many features would be nearly all noise."""
        loadings = parameters.covariances[..., :-1].astype(np.float64)
        directions = random_state.normal(size=(len(loadings), loadings.shape[2]))
        directions *= length / np.linalg.norm(directions, axis=1, keepdims=True)
        return (loadings @ directions[:, :, None])[:, :, 0]

    def random_shapes(self, n_components, n_features, rng):
        raise NotInFamily(self, "can't be drawn at random: use 'full', 'tied', 'diag' or 'spherical'")

    def draw(self, random_state, mean, covariance, n_samples):
        covariance = np.asarray(covariance, dtype=np.float64)
        factors = random_state.standard_normal((n_samples, covariance.shape[1] - 1))
        noise = random_state.standard_normal((n_samples, len(mean))) * np.sqrt(covariance[:, -1])
        return mean + factors @ covariance[:, :-1].T + noise

    # -- fitted attributes --------------------------------------------------------------------------------------------

    def fitted_attributes(self, parameters):
        """Loadings in canonical axes, since any rotation of the factors gives the same mixture.

        L' diag(1 / psi) L is diagonal and descends; in each factor the loading largest in absolute value is positive.
        """
        values = parameters.covariances.astype(np.float64)
        loadings, noise = values[..., :-1], values[..., -1]
        scaled = parameters.precisions_cholesky.astype(np.float64)[..., :-1]
        axes = np.linalg.eigh(scaled.transpose(0, 2, 1) @ scaled)[1][:, :, ::-1]
        turned = loadings @ axes
        largest = np.take_along_axis(turned, np.abs(turned).argmax(axis=1)[:, None], axis=1)
        return {"loadings_": turned * np.where(largest < 0, -1.0, 1.0), "noise_variances_": noise.copy()}

    def fits(self, fitted, n_components, n_features):
        if not all(name in fitted for name in self.attributes):
            return False
        loadings, noise = (np.shape(fitted[name]) for name in self.attributes)
        return loadings == (n_components, n_features, self.n_factors) and noise == (n_components, n_features)

    def given(self, covariances):
        try:
            loadings, noise = covariances
        except (TypeError, ValueError):
            raise ValueError(
                "for covariance_type='factors' covariances should be two arrays: loadings (K, D, q) and noise "
                "variances (K, D)"
            ) from None
        loadings, noise = np.asarray(loadings, dtype=np.float64), np.asarray(noise, dtype=np.float64)
        if loadings.ndim != 3 or loadings.shape[:2] != noise.shape or not loadings.shape[2]:
            raise ValueError(
                "loadings and noise variances should have the shapes (K, D, q) and (K, D), but got "
                f"{loadings.shape} and {noise.shape}"
            )
        return joined(loadings, noise), {"n_factors": loadings.shape[2]}

    def covariances_of(self, fitted):
        return joined(*(np.asarray(fitted[name]) for name in self.attributes))

    def parameters_of(self, weights, means, fitted):
        covariances = self.covariances_of(fitted)
        return Parameters(self, weights, means, covariances, self.precisions_cholesky(covariances))

    def remarks(self, parameters, reg_covar, feature_names=None):
        """Heywood cases: noise variances on the floor though the feature varies."""
        on_floor = parameters.covariances[..., -1] <= reg_covar * (1 + 1e-9)
        varies = self.variances(parameters.covariances, *parameters.means.shape) > 10 * reg_covar
        n = np.count_nonzero(on_floor & varies, axis=1)
        if not n.any():
            return []
        features = np.flatnonzero((on_floor & varies).any(axis=0))
        names = [str(j) if feature_names is None else repr(str(feature_names[j])) for j in features[:5]]
        return [
            f"In {np.count_nonzero(n)} of {len(n)} components the factors explain a feature entirely (a Heywood case): "
            f"{n.sum()} noise variances are at the floor, reg_covar={reg_covar:g}, of the features "
            f"{', '.join(names)}{', ...' if len(features) > 5 else ''}. Fewer factors would avoid that"
        ]

    # -- kernels ------------------------------------------------------------------------------------------------------

    def kernel_inputs(self, parameters, exact):
        return self._inputs(kernels.LowRank, parameters, *origin_and_offsets(parameters))

    def far_kernel_inputs(self, parameters):
        means = parameters.means.astype(np.float64)
        return self._inputs(kernels.FarLowRank, parameters, np.zeros(means.shape[1]), means)

    def _inputs(self, kind, parameters, origin, means):
        values = parameters.precisions_cholesky.astype(np.float64)
        scaled, n_factors = values[..., :-1], values.shape[2] - 1
        directions, inverse = directions_of(scaled)
        posterior = math.sqrt(2) * inverse.transpose(0, 2, 1)
        stiffness = scaled.shape[1] + (scaled**2).sum(axis=(1, 2))
        return kind(
            origin,
            means,
            log_scale(parameters),
            math.sqrt(0.5) * values[..., -1],
            directions.reshape(-1, n_factors),
            np.ascontiguousarray(posterior).reshape(-1, n_factors),
            stiffness,
        )
