"""Families with a constraint between the components' covariances, such as mclust's models."""

from dataclasses import replace

import numpy as np

from . import FAMILIES
from .base import NotInFamily
from .diagonal import Diagonal
from .full import Full

# Relative difference by which a user's covariances may break the constraint.
_TOLERANCE = 1e-6
# The same, due to rounding, from which on nothing can be said.
_NOTHING_KNOWN = 0.1


class Constraint:
    """What constrained families have in common, in front of a family without the constraint.

    The M-step needs only each component's own covariance and number of points (Celeux & Govaert 1995, 'Gaussian
    parsimonious clustering models', section 4). `constrained` computes from them the covariances of the family that
    maximise the expected log-likelihood; covariances that are in the family stay as they are.
    """

    has_coordinates = False
    conjugate = shrinking = None
    rests_on_smallest = False
    """Whether all covariances rest on the smallest eigenvalues, which rounding hides if features' scales differ."""

    def constrained(self, mass, covariances):
        raise NotImplementedError

    def check(self, values, n_components, n_features, what, name=None, rounding=None, may_be_flat=False):
        """As in the base class. Covariances may differ from their nearest ones in the family by 1e-6, relatively."""
        super().check(values, n_components, n_features, what, name, rounding, may_be_flat)
        covariances = np.asarray(values, dtype=np.float64)
        tolerance = _TOLERANCE
        if rounding is not None:
            if what == "precision" or not np.isfinite(values).all():
                return  # rounding may have moved the inverse of a nearly singular matrix by any amount
            tolerance = max(tolerance, rounding)
            if not self.is_axis_aligned:
                tolerance = max(tolerance, _error(rounding**2, covariances, self.rests_on_smallest))
            if tolerance > _NOTHING_KNOWN:
                return
        if what == "precision":
            covariances = 1 / covariances if self.is_axis_aligned else np.linalg.inv(covariances)
        nearest = self.in_family(np.full(n_components, 1 / n_components), covariances)
        absolute = 0.0 if self.is_axis_aligned else tolerance * np.abs(covariances).max()
        if not np.allclose(nearest, covariances, rtol=tolerance, atol=absolute):
            remedy = "" if name else ": leave the argument out, or pass the values of a fit of this type"
            raise NotInFamily(self, f"has a constraint that '{name or what}' doesn't satisfy{remedy}")

    def random_shapes(self, n_components, n_features, rng):
        raise NotInFamily(self, "can't be drawn at random: use 'full', 'tied', 'diag' or 'spherical'")


class EqualVolume:
    """What families have in common that scale the covariances of components to the same volume.

    A flat component is scaled up, with reg_covar's part of its variances, so that only `Parameters.scales` tell that it
    is flat.
    """

    def maximize(self, statistics, reg_covar, candidate=None):
        found = super().maximize(statistics, reg_covar, candidate)
        _, means, own = FAMILIES["diag" if self.is_axis_aligned else "full"].moments(statistics, reg_covar)
        factors = found.precisions_cholesky
        moved = own * factors if self.is_axis_aligned else own @ factors
        traces = (moved * factors).reshape(len(means), -1).sum(axis=1)  # D times the own volume by the common one
        with np.errstate(divide="ignore"):
            return replace(found, scales=means.shape[1] / traces)


class Constrained(Constraint, Full):
    """Covariance matrices (K, D, D) under a constraint. Subclasses define `name`, `constrained` and `n_free`."""

    as_sklearn = wider = "full"


class ConstrainedDiagonal(Constraint, Diagonal):
    """Variances (K, D) under a constraint. Subclasses define `name`, `constrained` and `n_free`."""

    as_sklearn = wider = "diag"

    def covariances(self, statistics, mass, reg_covar):
        return self.in_family(mass, super().covariances(statistics, mass, reg_covar))


def _error(rounding, matrices, is_raw):
    """Relative error of matrices, (K, D, D), along their axes, if their correlations, or elements, have this one."""
    with np.errstate(all="ignore"):
        scales = 1 / np.sqrt(np.diagonal(matrices, axis1=1, axis2=2))
        scales = scales.min(axis=1, keepdims=True) if is_raw else scales
        scaled = matrices * scales[:, :, None] * scales[:, None, :]
    if not np.isfinite(scaled).all():
        return np.inf
    return matrices.shape[1] * rounding / max(np.linalg.eigvalsh(scaled)[:, 0].min(), rounding)
