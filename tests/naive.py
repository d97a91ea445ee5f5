"""EM for Gaussian mixtures as the textbooks write it: plain NumPy, no cleverness, no code shared with fastem.

Bishop 2006, 'Pattern Recognition and Machine Learning', section 9.2.2. Responsibilities are (n, K).
"""

import numpy as np


def matrices(covariances, covariance_type, n_components, n_features):
    """Every component's covariance matrix, (K, D, D)."""
    result = np.empty((n_components, n_features, n_features))
    for k in range(n_components):
        if covariance_type == "full":
            result[k] = covariances[k]
        elif covariance_type == "tied":
            result[k] = covariances
        elif covariance_type == "diag":
            result[k] = np.diag(covariances[k])
        else:
            result[k] = covariances[k] * np.eye(n_features)
    return result


def log_densities(X, weights, means, covariances, covariance_type):
    """log(weight_k N(x_i; mean_k, covariance_k)), (n, K)."""
    n_components, n_features = means.shape
    result = np.empty((len(X), n_components))
    for k, covariance in enumerate(matrices(covariances, covariance_type, n_components, n_features)):
        _, log_determinant = np.linalg.slogdet(covariance)
        d = X - means[k]
        mahalanobis = np.sum(d * np.linalg.solve(covariance, d.T).T, axis=1)
        with np.errstate(divide="ignore"):
            log_weight = np.log(weights[k])
        result[:, k] = log_weight - 0.5 * (n_features * np.log(2 * np.pi) + log_determinant + mahalanobis)
    return result


def log_likelihoods(densities):
    """log of the sum over components, (n,)."""
    largest = densities.max(axis=1)
    return largest + np.log(np.sum(np.exp(densities - largest[:, None]), axis=1))


def e_step(X, weights, means, covariances, covariance_type):
    """(log-likelihood of each point, responsibilities)."""
    densities = log_densities(X, weights, means, covariances, covariance_type)
    likelihoods = log_likelihoods(densities)
    return likelihoods, np.exp(densities - likelihoods[:, None])


def m_step(X, responsibilities, covariance_type, reg_covar=0.0):
    """(weights, means, covariances) that maximise the expected log-likelihood."""
    n_features = X.shape[1]
    mass = responsibilities.sum(axis=0)
    means = responsibilities.T @ X / mass[:, None]
    full = np.empty((len(mass), n_features, n_features))
    for k in range(len(mass)):
        d = X - means[k]
        full[k] = (responsibilities[:, k, None] * d).T @ d / mass[k] + reg_covar * np.eye(n_features)
    if covariance_type == "full":
        covariances = full
    elif covariance_type == "tied":
        covariances = np.sum(full * mass[:, None, None], axis=0) / mass.sum()
    elif covariance_type == "diag":
        covariances = np.array([matrix.diagonal() for matrix in full])
    else:
        covariances = np.array([matrix.diagonal().mean() for matrix in full])
    return mass / mass.sum(), means, covariances


def fit(X, weights, means, covariances, covariance_type, *, reg_covar=1e-6, tol=1e-3, max_iter=100):
    """EM until the mean log-likelihood changes by less than tol: (weights, means, covariances, lower bounds)."""
    bounds = []
    for _ in range(max_iter):
        likelihoods, responsibilities = e_step(X, weights, means, covariances, covariance_type)
        weights, means, covariances = m_step(X, responsibilities, covariance_type, reg_covar)
        bounds.append(likelihoods.mean())
        if len(bounds) > 1 and abs(bounds[-1] - bounds[-2]) < tol:
            break
    return weights, means, covariances, bounds


def allowed(labels, n_components):
    """Labels as allowed responsibilities, (n, K): a point of unknown component, -1, may be from any."""
    shares = np.ones((len(labels), n_components))
    for i, label in enumerate(labels):
        if label >= 0:
            shares[i] = 0.0
            shares[i, label] = 1.0
    return shares


def step(
    X,
    weights,
    means,
    covariances,
    covariance_type,
    *,
    sample_weight=None,
    shares=None,
    assignment="soft",
    reg_covar=1e-6,
):
    """One iteration: (weights, means, covariances, what was maximised at the mixture before).

    shares: what densities are multiplied by, (n, K); assignment 'hard': a point counts for its most probable
    component alone (Celeux & Govaert 1992).
    """
    sample_weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    densities = log_densities(X, weights, means, covariances, covariance_type)
    if shares is not None:
        with np.errstate(divide="ignore"):
            densities = densities + np.log(shares)
    if assignment == "hard":
        likelihoods = densities.max(axis=1)
        responsibilities = np.eye(len(weights))[densities.argmax(axis=1)]
    else:
        likelihoods = log_likelihoods(densities)
        responsibilities = np.exp(densities - likelihoods[:, None])
    bound = np.sum(sample_weight * likelihoods) / np.sum(sample_weight)
    return *m_step(X, sample_weight[:, None] * responsibilities, covariance_type, reg_covar), bound


def steps(n_iter, X, weights, means, covariances, covariance_type, **kwargs):
    """So many iterations of `step`: (weights, means, covariances, lower bounds)."""
    bounds = []
    for _ in range(n_iter):
        weights, means, covariances, bound = step(X, weights, means, covariances, covariance_type, **kwargs)
        bounds.append(bound)
    return weights, means, covariances, bounds
