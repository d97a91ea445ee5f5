"""Ellipsoidal families with a constraint between the components' covariances, such as mclust's models."""

import numpy as np

from .base import NotInFamily
from .full import Full

# Relative difference by which a user's covariances may break the constraint.
_TOLERANCE = 1e-6


class Constrained(Full):
    """Covariance matrices (K, D, D) under a constraint. Subclasses define `name`, `constrained` and `n_free`.

    The M-step needs only each component's own covariance and number of points (Celeux & Govaert 1995, 'Gaussian
    parsimonious clustering models', section 4). `constrained` computes from them the covariances of the family that
    maximise the expected log-likelihood; covariances that are in the family stay as they are.
    """

    has_coordinates = False
    conjugate = None
    as_sklearn = "full"

    def constrained(self, mass, covariances):
        raise NotImplementedError

    def check(self, values, n_components, n_features, what, name=None, rounding=None, may_be_flat=False):
        super().check(values, n_components, n_features, what, name, rounding, may_be_flat)
        if what == "precision" and rounding is not None:
            return  # rounding may have moved the inverse of a nearly singular matrix by any amount
        covariances = np.linalg.inv(values) if what == "precision" else values
        nearest = self.in_family(np.full(n_components, 1 / n_components), covariances)
        tolerance = max(_TOLERANCE, rounding or 0.0)
        if not np.allclose(nearest, covariances, rtol=tolerance, atol=tolerance * np.abs(covariances).max()):
            remedy = "" if name else ": leave the argument out, or pass the values of a fit of this type"
            raise NotInFamily(self, f"has a constraint that '{name or what}' doesn't satisfy{remedy}")

    def random_shapes(self, n_components, n_features, rng):
        raise NotInFamily(self, "can't be drawn at random: use 'full', 'tied', 'diag' or 'spherical'")
