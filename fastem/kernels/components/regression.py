"""Missing features of a Gaussian with a covariance matrix: its marginal, and their regression on the observed ones.

`features` lists the observed features, n_observed of them, then the missing ones. The expectation of a missing feature
given the observed is linear in them (Bishop 2006, eqs. 2.81 and 2.82): coefficients, and the covariance left.
"""

import numpy as np

from ..compiler.jit import kernel, part_of_kernel
from ..vectors import fnma, lanes, load, splat, store
from .common import LOG_2_PI


@part_of_kernel
def _subtract_row(share, rows, c, values, i, first):
    """values[i] -= share * rows[c], by whole vectors from the one that holds column `first` on."""
    n_lanes = lanes(values)
    factor = splat(share, values)
    for j in range(first // n_lanes * n_lanes, values.shape[1], n_lanes):
        store(values, i, j, fnma(factor, load(rows, c, j), load(values, i, j)))


@kernel
def _condition(covariance, features, n_observed, upper, inverse, coefficients, left, first):
    """A component's marginal over the observed features, and its regression of the missing ones on these.

    upper, inverse: scratch, of at least D rows of whole vectors; the first rows of `inverse` become the inverse
    Cholesky factor of the observed features' covariance. From row `first` on: coefficients: OUT, a row for each missing
    feature; left: OUT the missing features' covariance given the observed ones, lower triangle. Returns the log of the
    factor's determinant, NaN if it has none.
    """
    n_features = features.size
    for i in range(n_features):
        for j in range(i, n_features):
            upper[i, j] = covariance[features[i], features[j]]
    log_determinant = 0.0
    # Elimination of the observed features: their rows become Cholesky's factor, the others' rows the covariance left.
    for c in range(n_observed):
        if not upper[c, c] > 0:
            return np.nan
        scale = 1.0 / np.sqrt(upper[c, c])
        log_determinant += np.log(scale)
        for j in range(c, n_features):
            upper[c, j] *= scale
        for i in range(c + 1, n_features):
            _subtract_row(upper[c, i], upper, c, upper, i, i)
    for i in range(n_observed):
        for j in range(inverse.shape[1]):
            inverse[i, j] = 0.0
        for c in range(i):
            _subtract_row(upper[c, i], inverse, c, inverse, i, 0)
        inverse[i, i] = 1.0
        for j in range(i + 1):
            inverse[i, j] /= upper[i, i]
    for j in range(n_features - n_observed):
        for i in range(coefficients.shape[1]):
            coefficients[first + j, i] = 0.0
        for c in range(n_observed):
            _subtract_row(-upper[c, n_observed + j], inverse, c, coefficients, first + j, 0)
        for other in range(j + 1):
            left[first + j, other] = upper[n_observed + other, n_observed + j]
    return log_determinant


@kernel
def marginal_of_observed(parameters, mixture, features, n_observed, room, regression):
    """(log_scale, factor, bias, means) of the marginal, in `room`, as in `Triangular`; sets `regression`."""
    n_components, n_features = parameters.means.shape
    coefficients, left, upper, inverse, _ = regression
    width = max(n_observed, 1)  # without any observed feature: one that is always 0
    log_scale, room = room[:n_components], room[n_components:]
    means, room = room[: n_components * width].reshape((n_components, width)), room[n_components * width :]
    bias, room = room[: n_components * width].reshape((n_components, width)), room[n_components * width :]
    factor = room[: n_components * width * width].reshape((n_components * width, width))
    root = np.sqrt(0.5)
    factor[:, 0] = means[:, 0] = bias[:, 0] = 0.0
    for k in range(n_components):
        log_determinant = _condition(
            mixture.covariances[k], features, n_observed, upper, inverse, coefficients, left, k * n_features
        )
        log_scale[k] = mixture.log_weights[k] - 0.5 * n_observed * LOG_2_PI + log_determinant
        for c in range(n_observed):
            means[k, c] = parameters.means[k, features[c]]
        for c in range(n_observed):
            bias[k, c] = 0.0
            for i in range(c + 1):
                factor[k * width + c, i] = root * inverse[c, i]
                bias[k, c] -= factor[k * width + c, i] * means[k, i]
    return log_scale, factor, bias, means


@kernel
def add_completed_moments(means, features, n_observed, regression, observed, centres, k, moments):
    """Add to component k's `moments` those of a pattern's points, from `observed`, the moments of what was observed."""
    coefficients, left, second, across, line = regression
    n_features, width = features.size, max(n_observed, 1)
    source, row, at = k * (width + 2), k * (n_features + 2), k * n_features
    mass, n_missing = observed[source, 0], n_features - n_observed
    moments[row, 0] += mass
    for i in range(n_observed):
        moments[row + 1, features[i]] += observed[source + 1, i]
        for j in range(i + 1):
            second[i, j] = second[j, i] = observed[source + 2 + i, j]
            moments[row + 2 + features[i], features[j]] += second[i, j]
    for j in range(n_missing):
        missing = features[n_observed + j]
        shift, moved = means[k, missing] - centres[k, missing], 0.0
        for i in range(n_observed):
            shift += coefficients[at + j, i] * (centres[k, features[i]] - means[k, features[i]])
            moved += coefficients[at + j, i] * observed[source + 1, i]
        line[0, j], line[1, j] = shift, moved
        for c in range(across.shape[1]):
            across[j, c] = 0.0
        for i in range(n_observed):
            _subtract_row(-coefficients[at + j, i], second, i, across, j, 0)
        moments[row + 1, missing] += moved + mass * shift
        for i in range(n_observed):
            low, high = min(missing, features[i]), max(missing, features[i])
            moments[row + 2 + high, low] += across[j, i] + shift * observed[source + 1, i]
        for other in range(j + 1):
            value = (
                moved * line[0, other] + shift * line[1, other] + mass * (shift * line[0, other] + left[at + j, other])
            )
            for i in range(n_observed):
                value += across[j, i] * coefficients[at + other, i]
            moments[row + 2 + missing, features[n_observed + other]] += value


@part_of_kernel
def expected_and_variance(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values):
    """Set `values` to a block's expectations of missing feature j under component k; return its variance."""
    row, missing = k * features.size + j, features[n_observed + j]
    for b in range(n_points):
        values[b] = parameters.means[k, missing]
    for i in range(n_observed):
        coefficient, mean = regression[0][row, i], parameters.means[k, features[i]]
        for b in range(n_points):
            values[b] += coefficient * (x[i, b] - mean)
    return regression[1][row, j]
