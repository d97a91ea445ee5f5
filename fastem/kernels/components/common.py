"""What several kinds of density offer alike."""

import math

import numpy as np

from ..compiler.jit import kernel, part_of_kernel

EMPTY = 10 * np.finfo(np.float64).eps  # scikit-learn's guard against an empty component: added to its mass
DIGITS_KEPT = 1e-7  # share of a second moment about the old mean that is left about the new one, at least
_COARSE = 1e-14  # relative size of differences between coordinates that may be rounding
_FAR = 2.0**20  # distance of a mean from the origin, in deviations, from which rounding matters
LOG_2_PI = math.log(2 * math.pi)
_BLOCK = 256  # rows and columns mirrored at a time


def mirrored(matrices):
    """The symmetric matrices (..., D, D) with these lower triangles, made in place, in blocks that fit in a cache."""
    for i in range(0, matrices.shape[-1], _BLOCK):
        rows = slice(i, i + _BLOCK)
        block = np.tril(matrices[..., rows, rows])
        matrices[..., rows, rows] = block + np.tril(block, -1).swapaxes(-1, -2)
        matrices[..., :i, rows] = matrices[..., rows, :i].swapaxes(-1, -2)
    return matrices


@part_of_kernel
def features_themselves(parameters, x, n_points, work):
    """`coordinates` of parameters that use a block's features unchanged."""
    return x


@part_of_kernel
def single(parameters):
    """`work_rows` of parameters that need no scratch: a row all the same, as without rows arrays are a special case."""
    return 1


@part_of_kernel
def one_more_than_features(parameters):
    """`work_rows` of parameters that keep a row for each feature and one for the root of the responsibilities."""
    return parameters.bias.shape[1] + 1


@part_of_kernel
def is_resolved(variance, second, size, reg_covar):
    """Whether a variance has enough digits, beside the second moment it is the rest of and the coordinates' size.

    Points that are one but for rounding have none; there reg_covar is the variance, if it is larger than that.
    """
    rounding = (_COARSE * size) ** 2
    is_exact = variance > DIGITS_KEPT * second and variance > rounding
    return is_exact or (second <= rounding and reg_covar > 1e6 * rounding)


@part_of_kernel
def is_near(reach):
    """Whether rounding coordinates relative to the origin is harmless; reach: a mean's distance, in deviations."""
    return reach < _FAR


@kernel
def invert_factor(matrix):
    """Replace a matrix (its lower triangle) by the inverse of its Cholesky factor; returns the log of its determinant.

    Returns NaN if the matrix is not positive definite, by far more than rounding.
    """
    n = matrix.shape[0]
    for j in range(n):
        pivot = matrix[j, j]
        for c in range(j):
            pivot -= matrix[j, c] * matrix[j, c]
        if not pivot > 1e-12 * matrix[j, j]:
            return np.nan
        root = np.sqrt(pivot)
        matrix[j, j] = root
        for i in range(j + 1, n):
            value = matrix[i, j]
            for c in range(j):
                value -= matrix[i, c] * matrix[j, c]
            matrix[i, j] = value / root
    log_determinant = 0.0
    for j in range(n):  # column by column, forward substitution
        matrix[j, j] = 1.0 / matrix[j, j]
        log_determinant += np.log(matrix[j, j])
    for i in range(1, n):
        for j in range(i):
            value = 0.0
            for c in range(j, i):
                value -= matrix[i, c] * matrix[c, j]
            matrix[i, j] = value * matrix[i, i]
    return log_determinant
