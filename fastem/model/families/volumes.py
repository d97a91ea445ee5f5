"""Volumes and shapes of covariances: the parts of the M-steps of constrained families.

The volume of a covariance is |covariance|**(1/D), its shape the covariance divided by that. Iterations here minimise
convex functions by Newton's method, so there is one optimum whatever the start, and every step leads lower.
"""

import numpy as np

# Gain of a step, nats per unit of mass, below which it is the last: the gradient is then about 1e-11. Most steps;
# smallest share of a step that is tried.
_NO_GAIN, _MOST_STEPS, _LEAST_SHARE = 1e-22, 60, 1e-9

# Share of the points below which a component has no say in what components have in common.
_NOTHING = 1e-13


def geometric_means(variances):
    """Geometric mean of the variances of each component, (K, D) -> (K,); 0 if one of them isn't positive."""
    positive = (variances > 0).all(axis=1)
    return np.exp(np.log(np.where(positive[:, None], variances, 1.0)).mean(axis=1)) * positive


def of_equal_volume(mass, volumes, covariances):
    """Covariances, (K, ...), whose own volumes are (K,), scaled to the common volume of highest likelihood."""
    scales = (mass @ volumes / mass.sum()) / volumes
    return covariances * scales.reshape(-1, *[1] * (covariances.ndim - 1))


def of_equal_shape(mass, variances):
    """volume_k * shape_j of highest likelihood, (K, D), for components with these variances along common axes.

    With x_j = log shape_j the negative log-likelihood is D sum_k m_k log sum_j s_kj exp(-x_j) + sum_j x_j, where m_k
    are shares of the points and s_kj the variances; then volume_k = sum_j s_kj exp(-x_j) / D (Celeux & Govaert 1995).
    """
    mass, n_features = mass / mass.sum(), variances.shape[1]
    totals = variances.sum(axis=1)
    counts = (mass > _NOTHING) & (totals > 0)
    if not (counts.any() and (variances[counts] > 0).any(axis=0).all()):
        return np.zeros(variances.shape)
    shares, own = mass[counts] / mass[counts].sum(), variances[counts] / totals[counts, None]

    def value(x):
        return n_features * shares @ np.log(own @ np.exp(-x)) + x.sum()

    def slope(x):
        terms = own * np.exp(-x)
        terms /= terms.sum(axis=1, keepdims=True)
        of_each = n_features * shares @ terms
        hessian = np.diag(of_each) - n_features * (terms.T * shares) @ terms
        return 1 - of_each, hessian + 1 / n_features  # the likelihood doesn't depend on the sum of x

    try:
        x = _minimum(np.log(shares @ own), value, slope)
    except np.linalg.LinAlgError:  # the likelihood is unbounded
        return np.zeros(variances.shape)
    shape = np.exp(x - x.mean())
    return (variances / shape).mean(axis=1)[:, None] * shape


def of_equal_shape_and_axes(mass, matrices):
    """volume_k * C of highest likelihood, (K, D, D), for components with these covariances, (K, D, D).

    With x_k = log volume_k the negative log-likelihood is D sum_k m_k x_k + log |C|, C = sum_k m_k S_k exp(-x_k); then
    volume_k = tr(S_k C^-1) / D (Celeux & Govaert 1995, VEE).
    """
    mass, n_features = mass / mass.sum(), matrices.shape[1]
    totals = np.trace(matrices, axis1=1, axis2=2)
    counts = (mass > _NOTHING) & (totals > 0)
    if not counts.any():
        return np.zeros(matrices.shape)
    shares = mass[counts] / mass[counts].sum()
    own = (matrices[counts] / totals[counts, None, None]).reshape(len(shares), -1)
    roots = np.sqrt(shares)

    def common(x):
        return (shares * np.exp(-x / roots) @ own).reshape(n_features, n_features)

    def value(x):  # of x sqrt(m_k), so that all components are of one scale
        sign, log_determinant = np.linalg.slogdet(common(x))
        return n_features * roots @ x + log_determinant if sign > 0 else np.inf

    def slope(x):
        inverse = np.linalg.inv(np.linalg.cholesky(common(x)))
        terms = inverse @ (np.exp(-x / roots)[:, None] * own).reshape(-1, n_features, n_features) @ inverse.T
        traces = np.trace(terms, axis1=1, axis2=2)
        terms = terms.reshape(len(shares), -1)
        hessian = np.diag(traces) - roots[:, None] * (terms @ terms.T) * roots
        return roots * (n_features - traces), hessian + n_features * np.outer(roots, roots)

    try:
        x = _minimum(np.zeros(len(shares)), value, slope)
        shape = common(x)
        shape *= np.exp(-np.linalg.slogdet(shape)[1] / n_features)
        volumes = matrices.reshape(len(matrices), -1) @ np.linalg.inv(shape).ravel() / n_features
    except np.linalg.LinAlgError:  # the likelihood is unbounded
        return np.zeros(matrices.shape)
    return volumes[:, None, None] * shape


def _minimum(x, value, slope):
    """The minimum of a convex function by Newton's method, with steps shortened until they lead lower."""
    reached = value(x)
    for _ in range(_MOST_STEPS):
        gradient, hessian = slope(x)
        step = -np.linalg.solve(hessian, gradient)
        share, rise = 1.0, gradient @ step
        if not rise < -_NO_GAIN:
            break
        while not value(x + share * step) <= reached + 1e-4 * share * rise + 1e-15 * (1 + abs(reached)):
            share /= 2
            if share < _LEAST_SHARE:
                return x
        x = x + share * step
        reached = value(x)
    return x
