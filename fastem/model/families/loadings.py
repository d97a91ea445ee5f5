"""Covariances L L' + diag(psi) by their loadings and noise variances: one array for both, algebra in q dimensions."""

import numpy as np


def joined(loadings, noise):
    """Loadings (.., D, q) and noise variances (.., D) side by side, (.., D, q + 1)."""
    return np.concatenate([loadings, np.asarray(noise)[..., None]], axis=-1)


def inner(scaled):
    """I + A'A, (.., q, q)."""
    return np.eye(scaled.shape[-1]) + np.swapaxes(scaled, -1, -2) @ scaled


def times_root(scaled, offsets, sign):
    """(I + A A')**(sign / 2) times offsets, (.., D); A: (.., D, q)."""
    axes, lengths, _ = np.linalg.svd(scaled, full_matrices=False)
    along = (np.swapaxes(axes, -1, -2) @ offsets[..., None])[..., 0]
    return offsets + (axes @ (np.expm1(0.5 * sign * np.log1p(lengths**2)) * along)[..., None])[..., 0]
