"""The noise component of a fit: the box that it fills, found in two passes over the points."""

import numpy as np

from ..model.families import FAMILIES
from ..model.noise import Noise, along_axes, scaled_to
from .start_points import moments

# Rows that are projected at a time: a leaf, so that rounding doesn't depend on how the points come.
_ROWS = 2048

# Smallest side of the box along the principal components, in units of its largest one, that is more than rounding.
_FLAT = 1e-10


def noise_of(source, weights, volume=None):
    """`Noise` in the smaller of two boxes round the points: along the axes, and along the principal components.

    That is mclust's `hypvol`. With missing values it is the box along the axes. With a volume given, the box along the
    axes is scaled to it about its centre.

    Raises
    ------
    ValueError
        If a feature is constant, so that the box has no volume.
    """
    low, high = _extent(source, weights)
    sides, centre = high - low, (low + high) / 2
    if volume is not None:
        sides = np.where(sides > 0, sides, sides.max() or 1.0)
        return scaled_to(centre, sides, volume)
    if not (sides > 0).all():
        raise ValueError(
            f"noise=True needs points that fill a volume, but feature {int(np.argmin(sides))} is constant: leave it "
            "out, or pass the volume as a number"
        )
    noise = along_axes(centre, sides)
    if source.n_features == 1 or not source.is_complete:
        return noise
    mean, covariance = moments(source, FAMILIES["tied"], weights)
    axes = np.linalg.eigh(covariance)[1]
    low, high = _extent(source, weights, mean, axes)
    if not (high - low > _FLAT * (high - low).max()).all():
        return noise
    other = Noise(np.vstack([mean + axes @ low, (axes * (high - low)).T]))
    return other if other.log_volume < noise.log_volume else noise


def _extent(source, weights, mean=None, axes=None):
    """The least and the greatest value in each feature, (D,) both, or along each of these axes through the mean."""
    low, high = np.full(source.n_features, np.inf), np.full(source.n_features, -np.inf)
    for first, rows in source.parts(_ROWS):
        step = len(rows) if axes is None and weights is None else _ROWS  # what is computed or chosen is a copy
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            if axes is not None:
                part = np.ascontiguousarray(part - mean) @ axes
            if weights is not None:
                part = part[weights[first + start : first + start + len(part)] > 0]
            if len(part):
                low = np.fmin(low, np.fmin.reduce(part, axis=0))  # NaN, a missing value, is passed over
                high = np.fmax(high, np.fmax.reduce(part, axis=0))
    return low, high
