"""The base class of covariance families: an object with everything that depends on the form of the covariances.

A new family is a subclass in a file of its own, registered by `FAMILIES.register`. No code outside this folder and the
kernels depends on a family's name or the shape of its arrays. Unsupported operations raise `NotInFamily`.
"""

import math
from dataclasses import replace

import numpy as np

from ..parameters import CollapsedComponent, Parameters

EPS = np.finfo(np.float64).eps

COVARIANCE_ATTRIBUTES = "covariances_", "precisions_cholesky_", "precisions_", "loadings_", "noise_variances_"
"""Names of the fitted attributes that hold the covariances, of all families; a family has some of them."""


def family_arrays(fitted):
    """Fitted attributes, a dict, by the names that families know: the scales of t distributions are `covariances_`."""
    return {**fitted, "covariances_": fitted["scales_"]} if "scales_" in fitted else fitted


class NotInFamily(ValueError):
    """An operation or value that a covariance family doesn't support."""

    def __init__(self, family, what):
        super().__init__(f"covariance_type={family.name!r} {what}")


class CovarianceFamily:
    """The interface of all families, with the methods common to them."""

    name: str
    """The name in `covariance_type`."""
    is_shared = False
    """Whether all components share one covariance."""
    is_axis_aligned = False
    """Whether covariances between features are zero; precision factors are then inverse deviations."""
    has_coordinates = True
    """Whether every vector of `factor_coordinates` is a covariance of the family, as quasi-Newton steps need; otherwise
    steps are extrapolated in sufficient statistics."""
    ignores_factors = True
    """Whether the argument `n_factors` makes no difference."""
    takes_precisions = True
    """Whether a start may be given by `with_precisions`."""
    adds_reg_covar = True
    """Whether an M-step adds reg_covar to every variance; otherwise it is the floor of those that `at_floor` raises."""
    is_flat_by_feature = False
    """Whether a component can be flat only in single features, not along other directions."""
    attributes = "covariances_", "precisions_cholesky_", "precisions_"
    """Names of the fitted attributes that hold the covariances, see `fitted_attributes`."""
    described_by = ("covariances_",)
    """Those of them that are printed for a user."""
    needs_iterations = False
    """Whether EM takes iterations even if every point's component is known."""
    maximizes = True
    """Whether the M-step maximises what `lower_bound` bounds; otherwise the bound may fall, and steps are EM's own."""
    bounds_the_successor = False
    """Whether `lower_bound` is the bound of the mixture after the M-step; otherwise of the one before it."""
    compiled_m_step = None
    """(name of the type of kernel inputs, whether all features have one variance) if `maximize` is what these inputs'
    own M-step does, which is compiled; else None. Subclasses don't inherit it: their M-step may differ."""
    wider = None
    """Name of the family without this one's constraint, whose mixtures can be read as starts; None if there is none."""
    components_are_alike = True
    """Whether components can be merged, split and reordered."""
    expects_outliers = False
    """Whether starts should also be sought without the points that lie far from others."""
    conjugate = None
    """A `conjugate.Conjugate`, for conjugate priors of the covariances; None: not supported."""
    shrinking = None
    """A `shrinking.Matrices`, for shrinkage of the covariances; None: not supported."""
    fourth = None
    """Function of offsets from the means, (m, D) -> (m,), whose sums the M-step needs beside the statistics."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.compiled_m_step = cls.__dict__.get("compiled_m_step")

    @property
    def as_sklearn(self):
        """The `covariance_type` of scikit-learn whose arrays have the same shape and meaning."""
        return self.name

    def with_conjugate_prior(self):
        """The family itself; raises NotInFamily if it supports no conjugate prior."""
        if self.conjugate is None:
            raise NotInFamily(
                self,
                "doesn't support priors; BayesianGaussianMixture has one: use 'full', 'tied', 'diag' or 'spherical'",
            )
        return self

    @property
    def plain(self):
        """The family itself, without a prior."""
        return self

    def of_factors(self, n_factors, n_features=None):
        """The family for this value of the argument `n_factors`, which most families ignore.

        Raises ValueError if they need another one, for that number of features, if it is known.
        """
        return self

    def with_missing_values(self):
        """The family itself; raises NotInFamily if it can't be fitted to incomplete points."""
        return self

    @property
    def without_noise(self):
        """The family itself, without a noise component."""
        return self

    def noisy(self, parameters, share=None):
        """The parameters with a noise component of this weight, if the family has one."""
        return parameters

    # -- M-step -------------------------------------------------------------------------------------------------------

    def maximize(self, statistics, reg_covar, candidate=None):
        """M-step: the parameters that maximise the expected log-likelihood, reg_covar added to every variance.

        candidate: the mixture that the responsibilities are from. Raises CollapsedComponent if a covariance matrix is
        not positive definite.
        """
        mass, means, covariances = self.moments(statistics, reg_covar)
        return self.with_covariances(mass / mass.sum(), means, covariances)

    def moments(self, statistics, reg_covar):
        """Masses, means and covariances of the components' points, reg_covar added to every variance."""
        mass = statistics.mass + 10 * EPS  # scikit-learn's guard against an empty component
        means = statistics.centres + statistics.first / mass[:, None]
        return mass, means, self.covariances(statistics.about(means), mass, reg_covar)

    def lower_bound(self, statistics, candidate, successor):
        """The objective of EM for the candidate: the mean log-likelihood, nats per unit of weight."""
        return statistics.lower_bound

    def covariances(self, statistics, mass, reg_covar):
        """Covariances from statistics about the means."""
        raise NotImplementedError

    def plus(self, covariances, variance):
        """Covariances with this variance added to every feature's."""
        raise NotImplementedError

    def constrained(self, mass, covariances):
        """Covariances under the family's constraint, from each component's points, (K,), and own covariance.

        This is the step that a constraint adds to the M-step. Without one, covariances are returned unchanged. Singular
        covariances come, too: what the result then is doesn't matter as long as it isn't positive definite.
        """
        return covariances

    def at_floor(self, parameters, reg_covar):
        """The mixture with variances of at least reg_covar, if `adds_reg_covar` is False."""
        raise NotImplementedError

    def in_family(self, mass, covariances):
        """`constrained`, without NumPy's warnings where covariances are singular."""
        with np.errstate(all="ignore"):
            return self.constrained(mass, covariances)

    def precisions_cholesky(self, covariances):
        """Cholesky factors of the precisions; raises CollapsedComponent."""
        raise NotImplementedError

    def precisions(self, precisions_cholesky):
        """The precisions, from their factors."""
        raise NotImplementedError

    def low_rank_precisions(self, parameters):
        """(p, W), (K, D) and (K, D, q), if precisions are diag(p) - W W' and covariances hold loadings and noise."""
        return None

    def with_covariances(self, weights, means, covariances):
        """Parameters with these covariances; raises CollapsedComponent."""
        return Parameters(self, weights, means, covariances, self.precisions_cholesky(covariances))

    def with_precisions(self, weights, means, precisions):
        """Parameters with these precisions (symmetric positive definite)."""
        raise NotImplementedError

    # -- statistics ---------------------------------------------------------------------------------------------------

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of total weight `weight` from which `maximize` returns these parameters."""
        mass = weight * parameters.weights.astype(np.float64)
        means = parameters.means.astype(np.float64)
        covariances = parameters.covariances.astype(np.float64)
        second = self._second_moments(mass, covariances, means, reg_covar)
        return self.statistics(means[0], means, mass, np.zeros(means.shape), second, 0.0, weight)

    def _second_moments(self, mass, covariances, means, reg_covar):
        """Second moments as a pass sums them, from each component's points and covariance, without reg_covar."""
        raise NotImplementedError

    def statistics_of_pass(self, inputs, centres, sums):
        """Statistics about the centres, from the `kernels.Sums` of a pass with these kernel inputs."""
        statistics = self.statistics(inputs.origin, centres, *sums.rounded(inputs))
        return replace(statistics, is_far=True) if inputs.is_far else statistics

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        """`SufficientStatistics` from the sums of a pass."""
        raise NotImplementedError

    # -- shapes and their checks --------------------------------------------------------------------------------------

    def shape(self, n_components, n_features):
        """Shape of the covariances, the precisions and their factors."""
        raise NotImplementedError

    def shape_of_one(self, n_features):
        """Shape of one component's covariance."""
        return self.shape(1, n_features)[0 if self.is_shared else 1 :]

    def check(self, values, n_components, n_features, what, name=None, rounding=None, may_be_flat=False):
        """Raise ValueError if values, of a user or from a file, are not valid covariances of the family.

        Parameters
        ----------
        values : ndarray
            In the family's shape.
        n_components, n_features : int
        what : {'covariances', 'precision', 'scale of the prior'}
        name : str, default=None
            What messages call the values; None: the family's name and `what`.
        rounding : float, default=None
            For values that were valid before they were rounded to their dtype: the largest error of a correlation.
            Matrices may be asymmetric and indefinite by as much, and a variance or precision may be infinite. None: the
            values themselves have to be valid.
        may_be_flat : bool, default=False
            Whether variances may be 0, as in the scale of a default prior for data with a constant feature.
        """
        raise NotImplementedError

    def are_factors(self, factors):
        """Whether an array in the family's shape is a valid result of `precisions_cholesky`."""
        raise NotImplementedError

    def may_be_factors(self, factors):
        """Whether an array in the family's shape, possibly edited by a user, may be precision factors."""
        return self.are_factors(factors)

    def upper_factors(self, factors):
        """Precision factors in the family's own form, from factors that a user may have set."""
        raise NotImplementedError

    def chosen(self, values, index):
        """Covariances or factors of the components with these indices; if shared, all of them."""
        return values if self.is_shared else values[index]

    def repeated(self, values, n_components):
        """Covariances of n_components equal components, from those of one."""
        return values if self.is_shared else np.repeat(values, n_components, axis=0)

    def matrices(self, covariances, n_components, n_features):
        """Each component's covariance matrix, (K, D, D)."""
        raise NotImplementedError

    def of_matrices(self, matrices):
        """Covariances in the family's shape, from matrices, (K, D, D), that satisfy its constraint."""
        raise NotImplementedError

    def variances(self, covariances, n_components, n_features):
        """The variance of each feature in each component, (K, D)."""
        return np.diagonal(self.matrices(covariances, n_components, n_features), axis1=1, axis2=2)

    def diagonals(self, precisions_cholesky, n_components, n_features):
        """The diagonals of the precision factors, (K, D), or (D,) if shared."""
        raise NotImplementedError

    def log_determinants(self, precisions_cholesky, n_components, n_features):
        """log |precision|**(1/2) of each component, (K,)."""
        factors = self.diagonals(precisions_cholesky, n_components, n_features).astype(np.float64)
        sums = np.log(factors).sum(axis=-1)
        return np.broadcast_to(sums, n_components) if self.is_shared else sums

    def share_of(self, parameters, reg_covar):
        """See `Parameters.share_of`."""
        n_covariances = 1 if self.is_shared else len(parameters.means)
        if reg_covar == 0:  # which times an infinite precision is not 0
            return np.zeros(n_covariances)
        return reg_covar * (parameters.precisions_cholesky**2).reshape(n_covariances, -1).sum(axis=1)

    def whitened(self, offsets, precisions_cholesky):
        """Offsets from the means, (K, D), in units of their components' deviations."""
        raise NotImplementedError

    # -- free parameters ----------------------------------------------------------------------------------------------

    def n_free(self, n_components, n_features):
        """Number of free parameters of the covariances."""
        raise NotImplementedError

    def n_free_in_all(self, n_components, n_features):
        """Number of free parameters of a mixture: weights, means and covariances."""
        return n_components - 1 + n_components * n_features + self.n_free(n_components, n_features)

    def least_points(self, n_features):
        """Number of points that a component needs for a covariance of its own that is not singular."""
        raise NotImplementedError

    def n_directions(self, n_features):
        """Number of directions in which a component's covariance is free: D, or fewer."""
        return n_features

    def points_lacking(self, mass, n_features):
        """Whether each component, with so many points, (K,), has fewer than its covariance needs, (K,)."""
        return mass < self.least_points(n_features)

    def points_needed(self, n_components, n_features):
        """A phrase for messages: the points needed for covariances that are not singular."""
        return f"{self.least_points(n_features)} for each component"

    # -- starts -------------------------------------------------------------------------------------------------------

    def axis_aligned(self, variances, n_components):
        """Covariances with these variances of the features, (D,), for every component."""
        raise NotImplementedError

    def at_points(self, points, variance):
        """Parameters with equal weights, a mean at each of the points, (K, D), and this variance in every feature."""
        return self.with_variances(points, np.full(points.shape[1], variance))

    def with_variances(self, means, variances):
        """Parameters with equal weights and the same variances of the features, (D,), in every component.

        Their hard assignment is that of k-means: to the nearest mean, with features in units of their deviations.
        """
        variances = np.asarray(variances, dtype=np.float64)
        covariances = self.axis_aligned(variances, len(means))
        weights = np.full(len(means), 1 / len(means))
        if not ((variances > 0) & np.isfinite(variances)).all():
            raise CollapsedComponent(None if self.is_shared else 0)
        return Parameters(self, weights, means, covariances, self.axis_aligned(1 / np.sqrt(variances), len(means)))

    @property
    def for_nearest_means(self):
        """A family that supports `with_variances` for any variances, and whose statistics fit this family's M-step."""
        return self

    n_refinements = 0
    """Further passes that a start from the nearest means makes, each with the parameters that `refined` returns."""

    def refined(self, parameters, statistics):
        """Parameters with the same nearest means as these, whose statistics tell more about covariances."""
        raise NotImplementedError

    def for_means_alone(self, n_features):
        """The family with the cheapest pass, when only means are needed (k-means)."""
        return self.for_nearest_means

    @property
    def of_all_points(self):
        """The family with which to compute the covariance of all points, as one component; see `Conjugate.of_data`."""
        raise NotImplementedError

    # -- steps, merging, splitting ------------------------------------------------------------------------------------

    def factor_coordinates(self, reference):
        """Coordinates of precision factors relative to those of a reference mixture; see `coordinates.Coordinates`."""
        raise NotImplementedError

    def random_offsets(self, parameters, random_state, length):
        """Offsets from the means, (K, D), in random directions, of this length in each component's own deviations."""
        directions = random_state.normal(size=parameters.means.shape)
        directions *= length / np.linalg.norm(directions, axis=1, keepdims=True)
        return self.factor_coordinates(parameters).unwhiten(directions)

    def parts(self, parameters):
        """The components as a `parts.Parts`, to be merged and split."""
        raise NotImplementedError

    # -- points and mixtures at random --------------------------------------------------------------------------------

    def draw(self, random_state, mean, covariance, n_samples):
        """Random points, (n, D), of a component with this mean and covariance."""
        raise NotImplementedError

    def random_shapes(self, n_components, n_features, rng):
        """Random covariances: logarithms of the variances along the axes, (K, D), and the axes, orthogonal (K, D, D).

        The differences between components are smaller with more features, because they add up: the divergence of
        two components is about 1 nat.
        """
        raise NotImplementedError

    def random_map(self, n_features, rng):
        """A random linear map, (D, D), that leaves covariances in the family."""
        raise NotImplementedError

    # -- fitted attributes --------------------------------------------------------------------------------------------

    def fitted_attributes(self, parameters):
        """The attributes of an estimator that hold the covariances: a dict of its own arrays, named as `attributes`."""
        values = parameters.covariances.copy(), parameters.precisions_cholesky.copy(), parameters.precisions()
        return dict(zip(self.attributes, values, strict=True))

    def fits(self, fitted, n_components, n_features):
        """Whether fitted attributes, a dict, can be those of a mixture of this family."""
        factors, shape = fitted.get("precisions_cholesky_"), self.shape(n_components, n_features)
        if factors is None or factors.shape != shape:
            return False
        is_ambiguous = shape == (n_components, n_components) and n_components > 1  # tied or diag
        return not is_ambiguous or self.may_be_factors(factors)

    def parameters_of(self, weights, means, fitted):
        """The mixture from fitted attributes, which a user may have edited."""
        factors = self.upper_factors(np.asarray(fitted["precisions_cholesky_"]))
        return Parameters(self, weights, means, fitted.get("covariances_"), factors)

    def given(self, covariances):
        """(covariances in the family's shape, arguments of the estimator that they determine), from a user's values."""
        return covariances, {}

    def covariances_of(self, fitted):
        """The covariances, in the family's shape, from fitted attributes."""
        return np.asarray(fitted["covariances_"])

    def remarks(self, parameters, reg_covar, feature_names=None):
        """Sentences about the fit that are worth knowing, but are no warnings."""
        return []

    # -- kernels ------------------------------------------------------------------------------------------------------

    def kernel_inputs(self, parameters, exact):
        """The parameters as the kernels take them; see `Parameters.kernel_inputs`."""
        raise NotImplementedError

    def far_kernel_inputs(self, parameters):
        """The same for components far apart: points are taken relative to each component's own mean."""
        raise NotImplementedError


def least_variances(statistics, reg_covar):
    """Variances, (K, D) or (1, D), given to features that vary by no more than rounding: 0, or the resolution.

    It is the resolution if that is set by another component far away (`is_hidden`) and is larger than reg_covar > 0.
    The next pass then takes points relative to each component's own mean and finds the component's own variance.
    """
    resolution = statistics.resolution
    return np.where(statistics.is_hidden & (resolution > reg_covar) & (reg_covar > 0), resolution, 0.0)


def log_scale(parameters):
    """log weight + log of the normalising constant (2 pi)**(-D/2) |precision|**(1/2), (K,)."""
    n_features = parameters.means.shape[1]
    return parameters.log_weights - 0.5 * n_features * math.log(2 * math.pi) + parameters.log_determinants


def origin_and_offsets(parameters):
    """The origin, a point amid the data, (D,), and the means relative to it; kernels compute with x - origin."""
    means = parameters.means.astype(np.float64)
    origin = parameters.weights.astype(np.float64) @ means / max(float(parameters.weights.sum()), EPS)
    return origin, means - origin


def flat(values):
    """Values with their last two axes joined."""
    return values.reshape(*values.shape[:-2], -1)
