"""Mixtures of many features whose components vary in few directions, from the same mixture in those directions alone.

With fewer points than features, every covariance is V V' + v I, with a column of V for each direction and v from
reg_covar. Its factors then take a number of operations in proportion to D**2, not to D**3.
"""

import math
from dataclasses import replace

import numpy as np

_BLOCK = 64  # columns of a factor computed at a time


def embedded(parameters, origin, basis, variance):
    """The mixture in all features, from that of coordinates along a basis.

    Parameters
    ----------
    parameters : Parameters
        Of `full` or `tied`, in r directions; every covariance is at least `variance` in each of them.
    origin : ndarray of shape (D,)
        The point whose coordinates are 0.
    basis : ndarray of shape (D, r)
        Orthonormal columns.
    variance : float
        In all other directions.
    """
    n_features, n_directions = basis.shape
    values, vectors = np.linalg.eigh(parameters.covariances.reshape(-1, n_directions, n_directions))
    roots = basis @ (vectors * np.sqrt(np.maximum(values - variance, 0.0))[:, None, :])
    covariances = roots @ roots.transpose(0, 2, 1)
    diagonal = np.arange(n_features)
    covariances[:, diagonal, diagonal] += variance
    shape = parameters.family.shape(len(parameters.means), n_features)
    return replace(
        parameters,
        means=origin + parameters.means @ basis.T,
        covariances=covariances.reshape(shape),
        precisions_cholesky=np.array([_precision_factor(root, variance) for root in roots]).reshape(shape),
    )


def _precision_factor(root, variance):
    """Upper triangular U, (D, D), with U U' = the inverse of V V' + variance I; root: V, (D, r).

    The orthogonal matrix Q that makes the rows of [V, sqrt(variance) I] lower triangular has sqrt(variance) U among its
    columns. It is made for a block of rows after the other, in r + 1 dimensions for each row: no digits are lost.
    """
    n_features = len(root)
    deviation = math.sqrt(variance)
    rest = np.array(root)  # of rows still to come: of V; of rows done: of Q
    factor = np.zeros((n_features, n_features))
    for start in range(0, n_features, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n_features))
        size = rows.stop - start
        q, r = np.linalg.qr(np.vstack([deviation * np.eye(size), rest[rows].T]), mode="complete")
        q[:, :size] *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        factor[:start, rows] = rest[:start] @ (q[size:, :size] / deviation)
        factor[rows, rows] = np.triu(q[:size, :size]) / deviation
        rest[:start] = rest[:start] @ q[size:, size:]
        rest[rows.stop :] = rest[rows.stop :] @ q[size:, size:]
        rest[rows] = q[:size, size:]
    return factor
