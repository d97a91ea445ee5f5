"""A mixture by its parameters: the result of an M-step, and the input of a pass."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy  # which imports its parts at their first use

from .. import kernels
from .coordinates import Coordinates
from .saved import Saved

if TYPE_CHECKING:
    from .families import CovarianceFamily

# Distance of a mean from the common origin, in deviations of its component. Beyond it, points are taken relative to
# each component's own mean; up to it, whitened features are accurate to 2**-30.
_FAR = 2.0**22
_MOST_IN_SINGLE = 1e36  # largest variance or precision in float32: 3e38 with room for sums of squares

# Share of its points that an extrapolation must leave to each component.
LEAST_SHARE = 0.1


class CollapsedComponent(ValueError):
    """A covariance matrix is not positive definite; `component` is its index, or None if all share it."""

    def __init__(self, component):
        super().__init__(component)
        self.component = component


@dataclass(frozen=True)
class Parameters(Saved):
    """A mixture: weights (K,), means (K, D), covariances and precisions_cholesky in the family's shape.

    noise_weight: weight of the noise component, whose density the family knows; None if there is none.
    scales: (K,) by how much the M-step multiplied each component's covariance to give all the same volume; None if it
    didn't, or where it isn't known.
    """

    family: "CovarianceFamily"
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    noise_weight: float | None = field(default=None, kw_only=True)
    scales: np.ndarray | None = field(default=None, kw_only=True, repr=False)

    _arrays = "weights", "means", "covariances", "precisions_cholesky"

    def __post_init__(self):
        # The rounding of matrix products depends on memory layout: a mixture read from a file needs the same layout.
        for name in self._arrays:
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name)))

    def state(self):
        """Without `scales`, which no later step depends on."""
        return {name: value for name, value in super().state().items() if name != "scales"}

    @property
    def before_scaling(self):
        """The mixture with each component's covariance as its points have it, before `scales` multiplied it."""
        if self.scales is None:
            return self
        factors = self.scales.reshape(-1, *[1] * (self.covariances.ndim - 1))
        covariances, precisions_cholesky = self.covariances / factors, self.precisions_cholesky * np.sqrt(factors)
        return replace(self, covariances=covariances, precisions_cholesky=precisions_cholesky, scales=None)

    @property
    def theta(self):
        """The arrays that its coordinates are computed from."""
        return self.all_weights, self.means, self.precisions_cholesky

    @property
    def sums(self):
        """The arrays that, as a successor by EM, it gives the gradient by; see `Coordinates.gradient`."""
        return self.all_weights, self.means, self.covariances

    def coordinates(self):
        """Coordinates relative to this mixture."""
        return Coordinates(self)

    def with_components_of(self, other, chosen):
        """The mixture with the components of another one where `chosen`, (K,), and weights that sum to 1."""
        mixed = {
            name: np.where(chosen.reshape(-1, *[1] * (own.ndim - 1)), getattr(other, name), own)
            for name, own in ((name, getattr(self, name)) for name in self._arrays)
        }
        total = mixed["weights"].sum() + (self.noise_weight or 0.0)
        mixed["weights"] = mixed["weights"] / total
        noise = None if self.noise_weight is None else self.noise_weight / total
        return replace(self, **mixed, noise_weight=noise, scales=None)

    @property
    def n_free(self):
        """Number of free parameters: weights, means and covariances."""
        return self.family.n_free_in_all(*self.means.shape)

    @property
    def all_weights(self):
        """The weights, and the noise's behind them if there is one: they sum to 1."""
        return self.weights if self.noise_weight is None else np.append(self.weights, self.noise_weight)

    @property
    def shares(self):
        """The weights among the components, without the noise: they sum to 1."""
        return self.weights if self.noise_weight is None else self.weights / max(self.weights.sum(), 1e-300)

    def without_noise(self):
        """The mixture of the components alone."""
        if self.noise_weight is None:
            return self
        return replace(self, family=self.family.without_noise, weights=self.shares, noise_weight=None)

    @cached_property
    def log_weights(self):
        """Logarithms of the weights, (K,)."""
        with np.errstate(divide="ignore"):
            return np.log(self.weights)

    @cached_property
    def log_determinants(self):
        """log |precision|**(1/2) of each component, (K,)."""
        return self.family.log_determinants(self.precisions_cholesky, *self.means.shape)

    @property
    def fits_single(self):
        """Whether float32 can hold the covariances and precisions: deviations from about 1e-18 to 1e18."""
        largest = np.abs(self.covariances).max(), np.abs(self.precisions_cholesky.astype(np.float64)).max() ** 2
        return bool(max(largest) < _MOST_IN_SINGLE)

    def squared_lengths(self, offsets):
        """offset_k' precision_k offset_k, (K,), for offsets from the components' means, (K, D)."""
        return (self.family.whitened(offsets, self.precisions_cholesky) ** 2).sum(axis=1)

    def share_of(self, reg_covar):
        """Upper bound of reg_covar's share of each covariance's smallest variance, (K,), or (1,) for a shared one."""
        return self.family.share_of(self, reg_covar)

    def precisions(self):
        """The inverse of the covariances, in the same shape."""
        return self.family.precisions(self.precisions_cholesky)

    def change_to(self, other):
        """The largest change to another mixture of the family: of a weight, or of a mean in deviations."""
        of_means = self.family.whitened(other.means - self.means, self.precisions_cholesky)
        of_weights = np.abs(other.all_weights - self.all_weights).max()
        return float(max(of_weights, np.linalg.norm(of_means, axis=1).max()))

    def farthest(self, share):
        """How far below the average for its component, were it Gaussian, the log-density is of all but a share of its
        points: nats, (K,)."""
        n_features = self.means.shape[1]
        squared_distance = scipy.special.chdtri(n_features, share)
        return np.full(len(self.means), 0.5 * (squared_distance - n_features))

    def in_order(self):
        """The mixture with components in the order that its prior prefers; None if there is nothing to reorder."""

    def beyond(self, before, factor):
        """The mixture extrapolated by `factor` times the step from `before` to this one, in sufficient statistics.

        Statistics are linear in the points, and the M-step keeps the result in its family. None if a covariance is
        not positive definite, or if a component would lose nearly all its points.
        """
        family = self.family
        now, then = (family.statistics_of(parameters, 1.0, 0.0) for parameters in (self, before))
        further = now.scaled(1 + factor) + then.scaled(-factor)
        if (further.mass < LEAST_SHARE * now.mass).any() or further.noise < LEAST_SHARE * now.noise:
            return None
        try:
            return family.maximize(further, 0.0)
        except CollapsedComponent:
            return None

    def kernel_inputs(self, exact=False, single=False):
        """The parameters as the kernels take them. A component of weight 0 gets log-density -inf.

        exact: accumulate each component's moments about its own centre, even if a faster pass could sum one common
        scatter. single: in float32 if that is safe, so that the pass computes in float32.
        """
        inputs = self.family.kernel_inputs(self, exact)
        if self._are_far(inputs):
            return self.family.far_kernel_inputs(self)
        return kernels.in_single(inputs) if single and self._is_safe_in_single(inputs) else inputs

    def marginal_inputs(self):
        """(kernel inputs, `kernels.Mixture`) for passes over points with missing features, in float64."""
        family, covariances = self.family, self.covariances.astype(np.float64)
        of_all = family.variances if family.is_axis_aligned else family.matrices
        # Writable, too, which a broadcast one isn't: for others the pass would be compiled once more.
        matrices = np.require(of_all(covariances, *self.means.shape), requirements=["C", "W"])
        noise = np.empty((0, 0)) if self.noise_weight is None else family.noise.by_features
        return self.kernel_inputs(exact=True), kernels.Mixture(self.log_weights.astype(np.float64), matrices, noise)

    def _are_far(self, inputs):
        """Whether rounding x - origin to float64 is too coarse, measured in a component's deviations."""
        offsets = np.abs(inputs.means)
        with np.errstate(over="ignore", invalid="ignore"):
            bound = 2 * inputs.largest_coefficient * offsets.sum(axis=1).max()
            return bool(bound > _FAR and inputs.sum_of_terms(offsets).max() > _FAR)

    def _is_safe_in_single(self, inputs):
        """Whether float32 is accurate enough for every component.

        Rounding x - origin and the terms of z = U'(x - mean) to float32 moves z by 2**-24 times the sum of their
        absolute values. For points within five deviations of a mean that sum must be below 2**10, so that z is
        accurate to 2**-14. Deviations must lie in a range in which squares neither overflow nor underflow.
        """
        deviations = np.sqrt(self.family.variances(self.covariances, *self.means.shape))
        if not (deviations.min() > 1e-12 and deviations.max() < 1e12):
            return False
        return bool(inputs.sum_of_terms(np.abs(self.means - inputs.origin) + 5 * deviations).max() < 2**10)
