"""A mixture, by its parameters: what an M-step makes and a pass takes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..kernels import in_single
from .saved import Saved

if TYPE_CHECKING:
    from .families import CovarianceFamily

# Distance of a component's mean from an origin of all, in the component's deviations, from which points are taken from
# each component's own mean: whitened features are good to 2**-30.
_FAR = 2.0**22
_MOST_IN_SINGLE = 1e36  # float32's 3e38 less what sums of squares may add

# Share of a component's points that an extrapolation leaves it, at least.
_LEAST_SHARE = 0.1


class CollapsedComponent(ValueError):
    """A covariance matrix is not positive definite; `component` is its index, None where all share it."""

    def __init__(self, component):
        super().__init__(component)
        self.component = component


@dataclass(frozen=True)
class Parameters(Saved):
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
        factors = self.family.diagonals(self.precisions_cholesky, *self.means.shape).astype(np.float64)
        return np.broadcast_to(np.log(factors).sum(axis=-1), len(self.means))

    @property
    def fits_single(self):
        """Whether float32 can hold covariances and precisions: deviations of some 1e-18 to 1e18."""
        largest = np.abs(self.covariances).max(), np.abs(self.precisions_cholesky.astype(np.float64)).max() ** 2
        return bool(max(largest) < _MOST_IN_SINGLE)

    def squared_lengths(self, offsets):
        """offset_k' precision_k offset_k of an offset, (K, D), from each component's mean, (K,)."""
        return (self.family.whitened(offsets, self.precisions_cholesky) ** 2).sum(axis=1)

    def share_of(self, reg_covar):
        """Upper bound of reg_covar's share of each covariance's smallest variance, (K,), or (1,) where all share it."""
        n_covariances = 1 if self.family.is_shared else len(self.means)
        return reg_covar * (self.precisions_cholesky**2).reshape(n_covariances, -1).sum(axis=1)

    def precisions(self):
        """The inverse of the covariances, in the same shape."""
        return self.family.precisions(self.precisions_cholesky)

    def in_order(self):
        """The mixture with its components in the order that its prior prefers; None where there is no such order."""

    def beyond(self, before, factor):
        """The mixture as far again from one before it: `factor` times the step, in sufficient statistics.

        These are linear in the points, and the M-step keeps the mixture in its family. None where there is none, or
        where a component would lose nearly all its points.
        """
        family = self.family
        now, then = (family.statistics_of(parameters, 1.0, 0.0) for parameters in (self, before))
        further = now.scaled(1 + factor) + then.scaled(-factor)
        if (further.mass < _LEAST_SHARE * now.mass).any():
            return None
        try:
            return family.maximize(further, 0.0)
        except CollapsedComponent:
            return None

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
