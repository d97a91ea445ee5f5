"""What a covariance family is: all that depends on the shape of a mixture's covariances, in one object.

A new family is a subclass in a file of its own, registered by `families.register`. Nothing outside this folder and the
kernels asks for a family's name or the shape of its arrays. What a family can't do raises `NotInFamily`, in words.
"""

import math
from dataclasses import replace

import numpy as np

from ..parameters import CollapsedComponent, Parameters

EPS = np.finfo(np.float64).eps


class NotInFamily(ValueError):
    """A covariance family lacks an ability."""

    def __init__(self, family, what):
        super().__init__(f"covariance_type={family.name!r} {what}")


class CovarianceFamily:
    """What all families have in common."""

    name: str
    """As `covariance_type` has it."""
    is_shared = False
    """Whether all components have one covariance."""
    is_axis_aligned = False
    """Whether covariances between features are zero, so that factors of precisions are inverse deviations."""
    has_coordinates = True
    """Whether every point of `factor_coordinates` is a covariance of the family, as quasi-Newton steps need it; else
    steps are taken further in sufficient statistics."""
    bounds_the_successor = False
    """Whether `lower_bound` is that of the mixture the M-step makes; else of the one before it."""
    conjugate = None
    """What a conjugate prior does to the covariances, an object of `conjugate`; None: there is none."""

    @property
    def as_sklearn(self):
        """The `covariance_type` under which scikit-learn has arrays of the same shape and meaning."""
        return self.name

    def with_conjugate_prior(self):
        """The family itself; raises NotInFamily where no prior goes with it."""
        if self.conjugate is None:
            raise NotInFamily(self, "goes with no prior: take 'full', 'tied', 'diag' or 'spherical'")
        return self

    @property
    def plain(self):
        """The family itself, without a prior."""
        return self

    # -- M-step -------------------------------------------------------------------------------------------------------

    def maximize(self, statistics, reg_covar, candidate=None):
        """M-step: the parameters that maximise the expected log-likelihood, reg_covar added to every variance.

        candidate: the mixture that the responsibilities came from. Raises CollapsedComponent where a covariance matrix
        is not positive definite.
        """
        mass, means, covariances = self.moments(statistics, reg_covar)
        return Parameters(self, mass / mass.sum(), means, covariances, self.precisions_cholesky(covariances))

    def moments(self, statistics, reg_covar):
        """Masses, means and covariances of the components' points, reg_covar added to every variance."""
        mass = statistics.mass + 10 * EPS  # scikit-learn's guard against an empty component
        means = statistics.centres + statistics.first / mass[:, None]
        return mass, means, self.covariances(statistics.about(means), mass, reg_covar)

    def lower_bound(self, statistics, candidate, successor):
        """What is maximised, of the candidate: the mean log-likelihood, nats per unit of weight."""
        return statistics.lower_bound

    def covariances(self, statistics, mass, reg_covar):
        """Covariances from statistics about the means."""
        raise NotImplementedError

    def constrained(self, mass, covariances):
        """The family's covariances for components with so many points, (K,), and these covariances in its shape.

        It is what a constraint adds to the M-step. The covariances as they are, where nothing constrains them.
        """
        return covariances

    def precisions_cholesky(self, covariances):
        """Cholesky factors of the precisions; raises CollapsedComponent."""
        raise NotImplementedError

    def precisions(self, precisions_cholesky):
        """The precisions, by their factors."""
        raise NotImplementedError

    def with_precisions(self, weights, means, precisions):
        """Parameters with these precisions (symmetric positive definite)."""
        raise NotImplementedError

    # -- statistics ---------------------------------------------------------------------------------------------------

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of so much weight from which `maximize` makes these parameters."""
        mass = weight * parameters.weights.astype(np.float64)
        means = parameters.means.astype(np.float64)
        covariances = parameters.covariances.astype(np.float64)
        second = self._second_moments(mass, covariances, means, reg_covar)
        return self.statistics(means[0], means, mass, np.zeros(means.shape), second, 0.0, weight)

    def _second_moments(self, mass, covariances, means, reg_covar):
        """As a pass sums them, of components with so many points, less what reg_covar has added."""
        raise NotImplementedError

    def statistics_of_pass(self, inputs, centres, sums):
        """Statistics about the centres, from `kernels.Sums` of a pass with these kernel inputs."""
        return replace(self.statistics(inputs.origin, centres, *sums.rounded(inputs)), is_far=inputs.is_far)

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        """`SufficientStatistics` from the sums of a pass."""
        raise NotImplementedError

    # -- shapes and their checks --------------------------------------------------------------------------------------

    def shape(self, n_components, n_features):
        """Of `covariances_`, of precisions and of their factors."""
        raise NotImplementedError

    def shape_of_one(self, n_features):
        """Of one component's covariance."""
        return self.shape(1, n_features)[0 if self.is_shared else 1 :]

    def check(self, values, n_components, n_features, what):
        """Raise ValueError where covariances or precisions (`what`), in this shape, are none of this family."""
        raise NotImplementedError

    def are_factors(self, factors):
        """Whether an array in this shape holds what `precisions_cholesky` makes."""
        raise NotImplementedError

    def may_be_factors(self, factors):
        """Whether an array in this shape may be factors of precisions, in which users may have written."""
        raise NotImplementedError

    def upper_factors(self, factors):
        """Factors of precisions as this family has them, from those that a user may have set."""
        raise NotImplementedError

    def chosen(self, values, index):
        """What components with these numbers have, of covariances or of factors; all of it where that is shared."""
        return values if self.is_shared else values[index]

    def repeated(self, values, n_components):
        """Covariances of so many equal components, from those of one."""
        return values if self.is_shared else np.repeat(values, n_components, axis=0)

    def matrices(self, covariances, n_components, n_features):
        """Each component's covariance matrix, (K, D, D)."""
        raise NotImplementedError

    def of_matrices(self, matrices):
        """Covariances in this shape from matrices, (K, D, D), that are in the family."""
        raise NotImplementedError

    def variances(self, covariances, n_components, n_features):
        """The variance of each feature in each component, (K, D)."""
        return np.diagonal(self.matrices(covariances, n_components, n_features), axis1=1, axis2=2)

    def diagonals(self, precisions_cholesky, n_components, n_features):
        """The diagonals of the factors of the precisions, (K, D), or (D,) where they are shared."""
        raise NotImplementedError

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
        """Points that a component's own covariance needs so that it is not singular."""
        raise NotImplementedError

    def points_lacking(self, mass, n_features):
        """Whether each component, by the points it holds, (K,), has fewer than its covariance needs."""
        return mass < self.least_points(n_features)

    def points_needed(self, n_components, n_features):
        """In words: the points that a covariance needs so that it is not singular."""
        return f"{self.least_points(n_features)} for each component"

    # -- starts -------------------------------------------------------------------------------------------------------

    def axis_aligned(self, variances, n_components):
        """Covariances with these variances of the features, (D,), in every component."""
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
            raise CollapsedComponent(None if self.is_shared else 0)
        return Parameters(self, weights, means, covariances, self.axis_aligned(1 / np.sqrt(variances), len(means)))

    @property
    def for_nearest_means(self):
        """The family of `with_variances` for any variances, whose passes return statistics that this one's take."""
        return self

    def for_means_alone(self, n_features):
        """As `for_nearest_means`, where the means alone are wanted: what takes least work."""
        return self.for_nearest_means

    @property
    def of_all_points(self):
        """The family that has all points' covariance, as one component, in the shape of one of this family's."""
        raise NotImplementedError

    # -- steps, merging, splitting ------------------------------------------------------------------------------------

    def factor_coordinates(self, reference):
        """Coordinates of factors of precisions about those of a reference mixture; see `coordinates.Coordinates`."""
        raise NotImplementedError

    def parts(self, parameters):
        """The components as `parts.Parts`, which can be merged and split."""
        raise NotImplementedError

    # -- points and mixtures at random --------------------------------------------------------------------------------

    def draw(self, random_state, mean, covariance, n_samples):
        """Points, (n, D), of a component with this mean and one component's covariance."""
        raise NotImplementedError

    def random_shapes(self, n_components, n_features, rng):
        """Of random components: logarithms of the variances (K, D) along the axes, orthogonal matrices (K, D, D).

        The more features, the more similar are the components, for their differences add up: two components'
        divergence is about 1 nat.
        """
        raise NotImplementedError

    def random_map(self, n_features, rng):
        """A random linear map, (D, D), that leaves covariances in the family."""
        raise NotImplementedError

    # -- kernels ------------------------------------------------------------------------------------------------------

    def kernel_inputs(self, parameters, exact):
        """What the kernels take; see `Parameters.kernel_inputs`."""
        raise NotImplementedError

    def far_kernel_inputs(self, parameters):
        """The same for components far apart: points are taken from each component's own mean."""
        raise NotImplementedError


def least_variances(statistics, reg_covar):
    """The least variances, (K, D) or (1, D), of features that vary by no more than rounding: 0.

    But the resolution where it says nothing about a component beside one that is far, and reg_covar is below it: the
    next pass then sees these far apart, and the component's own variance.
    """
    resolution = statistics.resolution
    return np.where(statistics.is_hidden & (resolution > reg_covar) & (reg_covar > 0), resolution, 0.0)


def log_scale(parameters):
    """log weight + log of the normalising constant (2 pi)**(-D/2) |precision|**(1/2), (K,)."""
    n_features = parameters.means.shape[1]
    return parameters.log_weights - 0.5 * n_features * math.log(2 * math.pi) + parameters.log_determinants


def origin_and_offsets(parameters):
    """A point amid the data, (D,), and the means relative to it: the kernels work on x - origin."""
    means = parameters.means.astype(np.float64)
    origin = parameters.weights.astype(np.float64) @ means / max(float(parameters.weights.sum()), EPS)
    return origin, means - origin


def flat(values):
    """Values with their last two axes as one."""
    return values.reshape(*values.shape[:-2], -1)
