"""mclust's ellipsoidal families with a constraint on volumes or shapes: VEE, EEV, VEV, EVV."""

import numpy as np

from .constrained import Constrained, EqualVolume
from .volumes import of_equal_shape, of_equal_shape_and_axes, of_equal_volume


def n_axes(n_features):
    """Free parameters of the axes of one covariance."""
    return n_features * (n_features - 1) // 2


def symmetric(matrices):
    """Matrices without what rounding left of asymmetry."""
    return 0.5 * (matrices + matrices.transpose(0, 2, 1))


def with_axes(values, axes):
    """Matrices, (K, D, D), with these eigenvalues, (K, D), and axes, (K, D, D) or (D, D)."""
    return symmetric((axes * values[:, None, :]) @ np.swapaxes(axes, -1, -2))


class VEE(Constrained):
    """The same shape and axes in all components, each of its own volume.

    The M-step's iteration ends where the gradient is below 1e-10 of the points.
    """

    name = "VEE"

    def constrained(self, mass, covariances):
        return of_equal_shape_and_axes(mass, covariances)

    def n_free(self, n_components, n_features):
        return n_components + n_features - 1 + n_axes(n_features)

    def points_lacking(self, mass, n_features):
        # The likelihood is bounded if every linear subspace of dimension r < D holds, about the means, less than the
        # share r/D of the points (Tyler 1987); those of one component span mass - 1 dimensions, all together N - K.
        total, spanned = mass.sum(), mass - 1
        is_spike = (spanned < 1) | ((spanned < n_features) & (mass * n_features >= total * spanned))
        return is_spike | (total < len(mass) + n_features)

    def points_needed(self, n_components, n_features):
        return f"{n_components + n_features} in all and 2 for each component, more for one that holds many of them"


class EEV(Constrained):
    """The same volume and shape in all components, each with its own axes: common eigenvalues."""

    name = "EEV"

    def constrained(self, mass, covariances):
        values, axes = np.linalg.eigh(covariances)
        common = np.average(values, axis=0, weights=mass)
        return with_axes(np.broadcast_to(common, values.shape), axes)

    def n_free(self, n_components, n_features):
        return n_features + n_components * n_axes(n_features)

    def points_lacking(self, mass, n_features):
        # One component that spans all directions is enough for the shape that they share.
        return np.full(len(mass), mass.max() < n_features + 1)

    def points_needed(self, n_components, n_features):
        return f"{n_features + 1} for the largest component, as all have its shape"


class VEV(Constrained):
    """The same shape in all components, each with its own volume and axes.

    The M-step's iteration ends where the gradient is below 1e-10 of the points.
    """

    name = "VEV"
    rests_on_smallest = True

    def constrained(self, mass, covariances):
        # The eigenvalues of each component are in the order of the common shape (Celeux & Govaert 1995, A.3).
        values, axes = np.linalg.eigh(covariances)
        return with_axes(of_equal_shape(mass, np.maximum(values, 0.0)), axes)

    def n_free(self, n_components, n_features):
        return n_components + n_features - 1 + n_components * n_axes(n_features)

    def points_lacking(self, mass, n_features):
        # The likelihood is bounded if the components that span at most r < D directions hold less than the share r/D
        # of the points; otherwise the common shape becomes flat.
        in_these = (mass * (mass <= mass[:, None])).sum(axis=1)
        spanned = mass - 1
        return (spanned < 1) | ((spanned < n_features) & (in_these * n_features >= mass.sum() * spanned))

    def points_needed(self, n_components, n_features):
        return f"2 for each component and {n_features + 1} for those that hold most of them, as all have one shape"


class EVV(EqualVolume, Constrained):
    """The same volume in all components, each with its own shape and axes."""

    name = "EVV"

    def constrained(self, mass, covariances):
        signs, log_determinants = np.linalg.slogdet(covariances)
        volumes = np.exp(log_determinants / covariances.shape[1]) * (signs > 0)
        return of_equal_volume(mass, volumes, covariances)

    def n_free(self, n_components, n_features):
        return 1 + n_components * (n_features - 1) + n_components * n_axes(n_features)
