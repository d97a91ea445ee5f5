"""EM for Gaussian mixtures as the textbooks write it: plain NumPy, no cleverness, no code shared with fastem.

Bishop 2006, 'Pattern Recognition and Machine Learning', section 9.2.2. Responsibilities are (n, K).
"""

import itertools

import numpy as np
from scipy import optimize, stats
from scipy.special import betaln, digamma, gammaln, logsumexp, multigammaln

CODES = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}
"""Families of mclust that have other names in scikit-learn."""


def matrices(covariances, covariance_type, n_components, n_features):
    """Every component's covariance matrix, (K, D, D)."""
    covariance_type = CODES.get(covariance_type, covariance_type)
    result = np.empty((n_components, n_features, n_features))
    for k in range(n_components):
        if covariance_type in ("full", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"):
            result[k] = covariances[k]
        elif covariance_type == "tied":
            result[k] = covariances
        elif covariance_type in ("diag", "EEI", "VEI", "EVI"):
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
    covariance_type = CODES.get(covariance_type, covariance_type)
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
    elif covariance_type in PARSIMONIOUS:
        covariances = parsimonious(mass, full, covariance_type)
    elif covariance_type == "diag":
        covariances = np.array([matrix.diagonal() for matrix in full])
    else:
        covariances = np.array([matrix.diagonal().mean() for matrix in full])
    return mass / mass.sum(), means, covariances


# -- constrained covariances: Celeux & Govaert 1995, 'Gaussian parsimonious clustering models' -------------------------

PARSIMONIOUS = "EII", "EEI", "VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV"
"""mclust's families that scikit-learn hasn't."""


def parsimonious(mass, full, code):
    """The covariances of highest expected log-likelihood, from each component's mass and own covariance."""
    n, (n_components, n_features) = mass.sum(), full.shape[:2]
    W = [m * each for m, each in zip(mass, full, strict=True)]  # scatters, as in the article
    if code == "EII":
        return np.full(n_components, np.trace(sum(W)) / (n * n_features))
    if code == "EEI":
        return np.tile(np.diag(sum(W)) / n, (n_components, 1))
    if code == "VEI":
        return np.array([np.diag(each) for each in _of_one_shape(mass, [np.diag(np.diag(w)) for w in W])])
    if code == "EVI":
        return np.array([np.diag(each) for each in _of_one_volume(n, [np.diag(np.diag(w)) for w in W])])
    if code == "VEE":
        return _of_one_shape(mass, W)
    if code == "EVV":
        return _of_one_volume(n, W)
    if code in ("EVE", "VVE"):
        axes = common_axes(mass, full, code)
        along = [np.diag(np.diag(axes.T @ w @ axes)) for w in W]
        if code == "EVE":
            return axes @ _of_one_volume(n, along) @ axes.T
        return np.array([axes @ (each / m) @ axes.T for m, each in zip(mass, along, strict=True)])
    values, axes = np.linalg.eigh(np.array(W))
    along = [np.diag(each) for each in values]
    common = [sum(along) / n] * n_components if code == "EEV" else _of_one_shape(mass, along)
    return np.array([L @ each @ L.T for L, each in zip(axes, common, strict=True)])


def _of_one_volume(n, W):
    volumes = [np.linalg.det(w) ** (1 / len(w)) for w in W]
    return np.array([sum(volumes) / n * w / volume for w, volume in zip(W, volumes, strict=True)])


def _of_one_shape(mass, W):
    """The two steps of VEI, VEE and VEV, in turn, until rounding alone changes the result."""
    n_features = len(W[0])
    volumes = [np.trace(w) / (m * n_features) for m, w in zip(mass, W, strict=True)]
    for _ in range(100_000):
        shape = sum(w / volume for w, volume in zip(W, volumes, strict=True))
        shape = shape / np.linalg.det(shape) ** (1 / n_features)
        before = volumes
        volumes = [np.trace(np.linalg.solve(shape, w)) / (m * n_features) for m, w in zip(mass, W, strict=True)]
        if np.allclose(volumes, before, rtol=1e-14, atol=0):
            break
    return np.array([volume * shape for volume in volumes])


def along_axes(mass, full, axes, code):
    """What common axes minimise: twice the negative expected log-likelihood per point, but for constants."""
    return _of_logs(mass, np.array([np.log(np.diag(axes.T @ each @ axes)).sum() for each in full]), code, len(axes))


def _of_logs(mass, logs, code, n_features):
    """The same from each component's sum of log-variances along the axes, (K,)."""
    if code == "VVE":
        return mass @ logs / mass.sum()
    return n_features * np.log(mass @ np.exp(logs / n_features) / mass.sum())


def common_axes(mass, full, code, axes=None):
    """Flury & Gautschi 1986: rotations of two axes at a time, each the best one, until none changes anything."""
    axes = np.linalg.eigh(np.tensordot(mass, full, axes=1))[1] if axes is None else axes
    n_features = len(axes)
    for _ in range(100):
        before = along_axes(mass, full, axes, code)
        for i, j in itertools.combinations(range(n_features), 2):
            turned = axes.T @ full @ axes
            rest = np.log(np.delete(np.diagonal(turned, axis1=1, axis2=2), [i, j], axis=1)).sum(axis=1)
            of_pair = turned[:, [[i], [j]], [i, j]]

            def value(angle, of_pair=of_pair, rest=rest):
                """Of the axes with these two rotated, which changes two of the variances."""
                turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                logs = np.log(np.diagonal(turn.T @ of_pair @ turn, axis1=1, axis2=2)).sum(axis=1)
                return _of_logs(mass, rest + logs, code, n_features)

            around = np.linspace(-np.pi / 4, np.pi / 4, 9)
            nearest = around[np.argmin([value(angle) for angle in around])]
            bounds = nearest - np.pi / 16, nearest + np.pi / 16
            angle = optimize.minimize_scalar(value, bounds=bounds, method="bounded", options={"xatol": 1e-9}).x
            if value(angle) < value(0.0):
                rotation = np.eye(n_features)
                rotation[[i, j], [i, j]], rotation[i, j], rotation[j, i] = np.cos(angle), -np.sin(angle), np.sin(angle)
                axes = axes @ rotation
        if along_axes(mass, full, axes, code) > before - 1e-13:
            break
    return axes


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


def factor_m_step(X, responsibilities, loadings, reg_covar=0.0, noise=None):
    """(weights, means, loadings, noise variances): EM for factor analyzers of the points of each component.

    Rubin & Thayer 1982, with each component's weighted covariance C; reg_covar is the floor of the noise.
    """
    mass = responsibilities.sum(axis=0)
    means = responsibilities.T @ X / mass[:, None]
    new_loadings, new_noise = np.empty_like(loadings), np.empty_like(noise)
    for k in range(len(mass)):
        d = X - means[k]
        C = (responsibilities[:, k, None] * d).T @ d / mass[k]
        L = loadings[k]
        beta = L.T @ np.linalg.inv(L @ L.T + np.diag(noise[k]))
        second = np.eye(L.shape[1]) - beta @ L + beta @ C @ beta.T
        new_loadings[k] = C @ beta.T @ np.linalg.inv(second)
        new_noise[k] = np.maximum(np.diag(C - new_loadings[k] @ beta @ C), reg_covar)
    return mass / mass.sum(), means, new_loadings, new_noise


def factor_covariances(loadings, noise):
    """Matrices, (K, D, D)."""
    return np.array([L @ L.T + np.diag(psi) for L, psi in zip(loadings, noise, strict=True)])


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


# -- missing values: Ghahramani & Jordan 1994, 'Supervised learning from incomplete data via an EM approach' -----------


def incomplete_step(
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
    """`step` for points in which NaN stands for what is missing, point by point."""
    n_components, n_features = means.shape
    sample_weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    every = matrices(covariances, covariance_type, n_components, n_features)
    mass, first = np.zeros(n_components), np.zeros((n_components, n_features))
    second, total = np.zeros((n_components, n_features, n_features)), 0.0
    for i, x in enumerate(X):
        seen = ~np.isnan(x)
        densities = np.log(weights)
        completed, left = np.empty((n_components, n_features)), np.zeros_like(every)
        for k in range(n_components):
            covariance = every[k][np.ix_(seen, seen)]
            across = every[k][np.ix_(seen, ~seen)]
            slopes = np.linalg.solve(covariance, across).T
            completed[k, seen] = x[seen]
            completed[k, ~seen] = means[k, ~seen] + slopes @ (x[seen] - means[k, seen])
            left[k][np.ix_(~seen, ~seen)] = every[k][np.ix_(~seen, ~seen)] - slopes @ across
            if seen.any():
                densities[k] += stats.multivariate_normal(means[k, seen], covariance).logpdf(x[seen])
        if shares is not None:
            with np.errstate(divide="ignore"):
                densities = densities + np.log(shares[i])
        if assignment == "hard":
            likelihood, responsibilities = densities.max(), np.eye(n_components)[densities.argmax()]
        else:
            likelihood = logsumexp(densities)
            responsibilities = np.exp(densities - likelihood)
        total += sample_weight[i] * likelihood
        r = sample_weight[i] * responsibilities
        mass += r
        first += r[:, None] * completed
        second += r[:, None, None] * (completed[:, :, None] * completed[:, None, :] + left)
    new_means = first / mass[:, None]
    full = second / mass[:, None, None] - new_means[:, :, None] * new_means[:, None, :] + reg_covar * np.eye(n_features)
    if covariance_type == "tied":
        new = np.sum(full * mass[:, None, None], axis=0) / mass.sum()
    elif covariance_type == "full":
        new = full
    else:
        new = np.einsum("kii->ki", full)
        new = new if covariance_type == "diag" else new.mean(axis=1)
    return mass / mass.sum(), new_means, new, total / sample_weight.sum()


# -- penalised EM: Fraley & Raftery 2007, 'Bayesian regularization for normal mixture estimation', tables 1 and 2 -----


def map_m_step(X, responsibilities, covariance_type, *, shrinkage, mean, degrees_of_freedom, scale, reg_covar=0.0):
    """(weights, means, covariances) of the posterior's mode: mclust's VVV, EEE, VVI and VII with a prior.

    Where there is no prior of the means, its factor |covariance|**(-1/2) is left out in all of them.
    """
    mass = responsibilities.sum(axis=0)
    n_components, n_features = len(mass), X.shape[1]
    with np.errstate(invalid="ignore"):  # of components without points
        _, plain_means, within = m_step(X, responsibilities, "full", reg_covar)
    plain_means, within = np.nan_to_num(plain_means), np.nan_to_num(within)
    offsets = plain_means - mean
    between = np.array([n * shrinkage / (n + shrinkage) * np.outer(d, d) for n, d in zip(mass, offsets, strict=True)])
    scatter = mass[:, None, None] * within + between
    of_mean = 1 if shrinkage > 0 else 0
    if covariance_type == "full":
        counts = degrees_of_freedom + n_features + 1 + of_mean + mass
        covariances = (scale + scatter) / counts[:, None, None]
    elif covariance_type == "tied":
        count = degrees_of_freedom + n_features + 1 + of_mean * n_components + mass.sum()
        covariances = (scale + scatter.sum(axis=0)) / count
    elif covariance_type == "diag":
        counts = degrees_of_freedom + 2 + of_mean + mass
        covariances = (scale + np.array([np.diagonal(each) for each in scatter])) / counts[:, None]
    else:
        counts = degrees_of_freedom + 2 + (of_mean + mass) * n_features
        covariances = (scale + np.array([np.trace(each) for each in scatter])) / counts
    means = (mass[:, None] * plain_means + shrinkage * np.asarray(mean)) / (mass + shrinkage)[:, None]
    return mass / mass.sum(), means, covariances


def log_prior(means, covariances, covariance_type, *, shrinkage, mean, degrees_of_freedom, scale):
    """log p(means, covariances), by scipy's distributions: inverse Wishart, or inverse gamma for single variances."""
    n_components, n_features = means.shape
    total = 0.0
    if shrinkage > 0:
        for centre, matrix in zip(means, matrices(covariances, covariance_type, n_components, n_features), strict=True):
            total += stats.multivariate_normal(mean, matrix / shrinkage).logpdf(centre)
    if covariance_type in ("full", "tied"):
        of_one = stats.invwishart(degrees_of_freedom, scale)
        distinct = covariances if covariance_type == "full" else [covariances]
        return total + sum(of_one.logpdf(matrix) for matrix in distinct)
    return total + stats.invgamma(degrees_of_freedom / 2, scale=np.asarray(scale) / 2).logpdf(covariances).sum()


# -- variational Bayes: Bishop 2006, section 10.2 ---------------------------------------------------------------------


def variational_posterior(X, responsibilities, covariance_type, priors, reg_covar=0.0):
    """Bishop's eqs. 10.58 to 10.63 (scikit-learn's for other covariance types), a dict.

    priors: is_process, weight_concentration, mean_precision, mean, degrees_of_freedom, covariance.
    """
    mass = responsibilities.sum(axis=0)
    n_components, n_features = len(mass), X.shape[1]
    with np.errstate(invalid="ignore"):  # of components without points
        _, means, within = m_step(X, responsibilities, "full", reg_covar)
    means, within = np.nan_to_num(means), np.nan_to_num(within)
    precision = priors["mean_precision"] + mass
    offsets = means - priors["mean"]
    shares = mass * priors["mean_precision"] / precision
    scatter = mass[:, None, None] * within + np.array(
        [s * np.outer(d, d) for s, d in zip(shares, offsets, strict=True)]
    )
    degrees = priors["degrees_of_freedom"] + mass
    if covariance_type == "full":
        covariances = (priors["covariance"] + scatter) / degrees[:, None, None]
    elif covariance_type == "tied":
        degrees = np.full(n_components, priors["degrees_of_freedom"] + mass.sum() / n_components)
        covariances = (priors["covariance"] + scatter.sum(axis=0) / n_components) / degrees[0]
    elif covariance_type == "diag":
        covariances = (priors["covariance"] + np.array([np.diagonal(each) for each in scatter])) / degrees[:, None]
    else:
        covariances = (priors["covariance"] + np.array([np.trace(each) / n_features for each in scatter])) / degrees
    if priors["is_process"]:
        behind = np.array([mass[k + 1 :].sum() for k in range(n_components)])
        concentration = 1 + mass, priors["weight_concentration"] + behind
    else:
        concentration = priors["weight_concentration"] + mass
    return {
        "concentration": concentration,
        "mean_precision": precision,
        "means": (priors["mean_precision"] * np.asarray(priors["mean"]) + mass[:, None] * means) / precision[:, None],
        "degrees": degrees,
        "covariances": covariances,
    }


def expected_log_weights(concentration):
    """E[log weight], (K,), of a Dirichlet distribution or of broken sticks."""
    if isinstance(concentration, tuple):
        broken, left = concentration
        of_broken, of_left = digamma(broken) - digamma(broken + left), digamma(left) - digamma(broken + left)
        return np.array([of_broken[k] + of_left[:k].sum() for k in range(len(broken))])
    return digamma(concentration) - digamma(concentration.sum())


def variational_e_step(X, posterior, covariance_type):
    """(what log-responsibilities are normalised by, (n,); responsibilities): Bishop's eqs. 10.46, 10.64 to 10.66."""
    n_components, n_features = posterior["means"].shape
    expected = matrices(posterior["covariances"], covariance_type, n_components, n_features)
    log_weights = expected_log_weights(posterior["concentration"])
    densities = np.empty((len(X), n_components))
    for k in range(n_components):
        degrees = posterior["degrees"][k]
        scale = np.linalg.inv(expected[k]) / degrees  # Bishop's W
        log_precision = sum(digamma((degrees - i) / 2) for i in range(n_features))
        log_precision += n_features * np.log(2) + np.linalg.slogdet(scale)[1]
        d = X - posterior["means"][k]
        squares = n_features / posterior["mean_precision"][k] + degrees * np.einsum("ni,ij,nj->n", d, scale, d)
        densities[:, k] = log_weights[k] + 0.5 * (log_precision - n_features * np.log(2 * np.pi) - squares)
    likelihoods = log_likelihoods(densities)
    return likelihoods, np.exp(densities - likelihoods[:, None])


def evidence_bound(X, responsibilities, posterior, priors, covariance_type):
    """Lower bound of log p(X), term by term: Bishop's eqs. 10.70 to 10.77. Rows of responsibilities sum to weights.

    The distribution of the precisions: Wishart for full, and for tied, of all the posterior's degrees of freedom;
    gamma for each single variance.
    """
    n_components, n_features = posterior["means"].shape
    mass = responsibilities.sum(axis=0)
    beta, beta_0 = posterior["mean_precision"], priors["mean_precision"]
    log_precision, expected, of_precisions = _precisions(posterior, priors, covariance_type)
    log_weights = expected_log_weights(posterior["concentration"])
    total = of_precisions
    for k in range(n_components):
        d = X - posterior["means"][k]
        squares = np.einsum("ni,ij,nj->n", d, expected[k], d)
        log_densities = log_precision[k] - n_features / beta[k] - squares - n_features * np.log(2 * np.pi)
        total += 0.5 * responsibilities[:, k] @ log_densities  # 10.71
        offset = posterior["means"][k] - priors["mean"]
        of_mean = n_features * np.log(beta_0 / (2 * np.pi)) + log_precision[k]
        of_mean -= n_features * beta_0 / beta[k] + beta_0 * offset @ expected[k] @ offset
        total += 0.5 * of_mean  # of 10.74
        total -= 0.5 * (log_precision[k] + n_features * np.log(beta[k] / (2 * np.pi)) - n_features)  # of 10.77
    total += mass @ log_weights  # 10.72
    total += responsibilities.sum(axis=1) @ stats.entropy(responsibilities, axis=1)  # 10.75
    prior, found = priors["weight_concentration"], posterior["concentration"]
    if priors["is_process"]:
        for broken, left in zip(*found, strict=True):
            log_left = digamma(left) - digamma(broken + left)
            total += (prior - 1) * log_left - betaln(1, prior) + stats.beta(broken, left).entropy()
    else:
        total += (
            (prior - 1) * log_weights.sum() + gammaln(n_components * prior) - n_components * gammaln(prior)
        )  # 10.73
        total += 0.0 if n_components == 1 else float(stats.dirichlet(found).entropy())  # 10.76
    return total


def _precisions(posterior, priors, covariance_type):
    """(E[log |precision|], (K,); E[precision], (K, D, D); E[log prior] + entropy of all the precisions)."""
    n_components, n_features = posterior["means"].shape
    expected = np.linalg.inv(matrices(posterior["covariances"], covariance_type, n_components, n_features))
    degrees, degrees_0 = posterior["degrees"], priors["degrees_of_freedom"]
    log_precision, total = np.zeros(n_components), 0.0
    if covariance_type in ("full", "tied"):
        n_distinct = n_components if covariance_type == "full" else 1
        prior_scale = np.linalg.inv(np.atleast_2d(priors["covariance"]))
        for k in range(n_distinct):
            nu = degrees[k] if covariance_type == "full" else n_components * degrees[0]
            scale = expected[k] / nu
            log_precision[k:] = sum(digamma((nu - i) / 2) for i in range(n_features)) + n_features * np.log(2)
            log_precision[k:] += np.linalg.slogdet(scale)[1]
            # E of the prior's log-density is that at the mean but for the mean of log |precision|
            at_mean = stats.wishart(degrees_0, prior_scale).logpdf(expected[k])
            missing = log_precision[k] - np.linalg.slogdet(expected[k])[1]
            total += at_mean + 0.5 * (degrees_0 - n_features - 1) * missing
            total += stats.wishart(nu, scale).entropy()
        return log_precision, expected, total
    times = 1 if covariance_type == "diag" else n_features
    for k in range(n_components):
        variances = np.atleast_1d(posterior["covariances"][k])
        for variance, prior in zip(variances, np.atleast_1d(priors["covariance"]), strict=True):
            shape, shape_0 = times * degrees[k] / 2, times * degrees_0 / 2
            rate, rate_0 = shape * variance, times * prior / 2
            mean_log = digamma(shape) - np.log(rate)
            log_precision[k] += times * mean_log
            total += shape_0 * np.log(rate_0) - gammaln(shape_0) + (shape_0 - 1) * mean_log - rate_0 * shape / rate
            total += stats.gamma(shape, scale=1 / rate).entropy()
    return log_precision, expected, total


def log_evidence_of_one(X, covariance_type, priors):
    """log p(X) of a single Gaussian: the points one after the other, each by its predictive t distribution."""
    n_features = X.shape[1]
    mean, beta = np.array(priors["mean"], dtype=float), priors["mean_precision"]
    degrees, scatter = priors["degrees_of_freedom"], np.array(priors["covariance"], dtype=float)
    if covariance_type == "spherical":
        degrees, scatter = n_features * degrees, n_features * scatter
    total = 0.0
    for x in X:
        widen = (beta + 1) / beta
        if covariance_type in ("full", "tied"):
            freedom = degrees - n_features + 1
            total += stats.multivariate_t(mean, np.atleast_2d(scatter) * widen / freedom, df=freedom).logpdf(x)
        elif covariance_type == "diag":
            total += stats.t(degrees, mean, np.sqrt(scatter * widen / degrees)).logpdf(x).sum()
        else:
            shape = np.eye(n_features) * scatter * widen / degrees
            total += stats.multivariate_t(mean, shape, df=degrees).logpdf(x)
        d = x - mean
        added = {
            "full": lambda d: np.outer(d, d),
            "tied": lambda d: np.outer(d, d),
            "diag": lambda d: d**2,
            "spherical": lambda d: d @ d,
        }[covariance_type](d)
        scatter = scatter + added / widen
        degrees += n_features if covariance_type == "spherical" else 1
        mean, beta = mean + d / (beta + 1), beta + 1
    return float(total)


def log_evidence_of_all_assignments(X, n_components, covariance_type, priors):
    """log of the sum over all assignments of points to components of p(assignment) p(X | assignment)."""
    alpha, terms = priors["weight_concentration"], []
    for assignment in itertools.product(range(n_components), repeat=len(X)):
        assignment = np.array(assignment)
        counts = np.bincount(assignment, minlength=n_components)
        if priors["is_process"]:
            behind = np.array([counts[k + 1 :].sum() for k in range(n_components)])
            term = (betaln(1 + counts, alpha + behind) - betaln(1, alpha)).sum()
        else:
            term = gammaln(n_components * alpha) - gammaln(n_components * alpha + len(X))
            term += (gammaln(alpha + counts) - gammaln(alpha)).sum()
        groups = [X[assignment == k] for k in range(n_components)]
        if covariance_type == "tied":
            terms.append(term + log_evidence_of_groups(groups, priors))
        else:
            terms.append(term + sum(log_evidence_of_one(group, covariance_type, priors) for group in groups))
    return logsumexp(terms)


def log_evidence_of_groups(groups, priors):
    """log p of groups of points with means of their own and one covariance (Gelman et al. 2013, section 3.6)."""
    n_features, beta_0, degrees = len(priors["mean"]), priors["mean_precision"], priors["degrees_of_freedom"]
    n_points = sum(len(group) for group in groups)
    scatter, total = np.array(priors["covariance"], dtype=float), 0.0
    for group in groups:
        if len(group):
            d, offset = group - group.mean(axis=0), group.mean(axis=0) - priors["mean"]
            beta = beta_0 + len(group)
            scatter = scatter + d.T @ d + beta_0 * len(group) / beta * np.outer(offset, offset)
            total += 0.5 * n_features * np.log(beta_0 / beta)
    total += multigammaln((degrees + n_points) / 2, n_features) - multigammaln(degrees / 2, n_features)
    total += 0.5 * degrees * np.linalg.slogdet(priors["covariance"])[1]
    total -= 0.5 * (degrees + n_points) * np.linalg.slogdet(scatter)[1]
    return total - 0.5 * n_points * n_features * np.log(np.pi)


# -- a noise component: Banfield & Raftery 1993; its density is 1 / volume ---------------------------------------------


def hypervolume(X):
    """The smaller of the bounding boxes along the axes and along the principal components: mclust's hypvol."""
    _, _, axes = np.linalg.svd(X - X.mean(axis=0))
    return min(np.prod(np.ptp(X, axis=0)), np.prod(np.ptp(X @ axes.T, axis=0)))


def noisy_step(
    X,
    weights,
    noise,
    means,
    covariances,
    covariance_type,
    volume,
    *,
    sample_weight=None,
    shares=None,
    assignment="soft",
    reg_covar=1e-6,
):
    """`step` beside noise of this weight: (weights, noise, means, covariances, bound). shares: (n, K + 1)."""
    sample_weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    densities = log_densities(X, weights, means, covariances, covariance_type)
    densities = np.column_stack([densities, np.full(len(X), np.log(noise) - np.log(volume))])
    if shares is not None:
        with np.errstate(divide="ignore"):
            densities = densities + np.log(shares)
    if assignment == "hard":
        likelihoods = densities.max(axis=1)
        responsibilities = np.eye(len(weights) + 1)[densities.argmax(axis=1)]
    else:
        likelihoods = log_likelihoods(densities)
        responsibilities = np.exp(densities - likelihoods[:, None])
    bound = np.sum(sample_weight * likelihoods) / np.sum(sample_weight)
    r = sample_weight[:, None] * responsibilities
    noise = r[:, -1].sum() / r.sum()
    weights, means, covariances = m_step(X, r[:, :-1], covariance_type, reg_covar)
    return weights * (1 - noise), noise, means, covariances, bound


# -- mixtures of t distributions: Peel & McLachlan 2000, 'Robust mixture modelling using the t distribution' -----------


def student_log_densities(X, weights, means, scales, degrees, covariance_type):
    """log(weight_k t(x_i; mean_k, scale_k, degrees_k)), (n, K), and squared distances, (n, K)."""
    n_components, n_features = means.shape
    result, squares = np.empty((len(X), n_components)), np.empty((len(X), n_components))
    for k, scale in enumerate(matrices(scales, covariance_type, n_components, n_features)):
        d, nu = X - means[k], degrees[k]
        squares[:, k] = np.sum(d * np.linalg.solve(scale, d.T).T, axis=1)
        constant = gammaln((nu + n_features) / 2) - gammaln(nu / 2) - n_features / 2 * np.log(nu * np.pi)
        tail = (nu + n_features) / 2 * np.log1p(squares[:, k] / nu)
        result[:, k] = np.log(weights[k]) + constant - np.linalg.slogdet(scale)[1] / 2 - tail
    return result, squares


def student_step(
    X, weights, means, scales, degrees, covariance_type, *, kind=None, sample_weight=None, shares=None, reg_covar=1e-6
):
    """One iteration of ECM: (weights, means, scales, degrees of freedom, mean log-likelihood before).

    kind: None (one number of degrees of freedom for each component), 'shared' or 'fixed'.
    """
    n_components, n_features = means.shape
    sample_weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    densities, squares = student_log_densities(X, weights, means, scales, degrees, covariance_type)
    if shares is not None:
        with np.errstate(divide="ignore"):
            densities = densities + np.log(shares)
    likelihoods = log_likelihoods(densities)
    responsibilities = sample_weight[:, None] * np.exp(densities - likelihoods[:, None])
    u = (degrees + n_features) / (degrees + squares)
    mass = responsibilities.sum(axis=0)
    new_means = (responsibilities * u).T @ X / (responsibilities * u).sum(axis=0)[:, None]
    full = np.empty((n_components, n_features, n_features))
    for k in range(n_components):
        d = X - new_means[k]
        full[k] = (responsibilities[:, k, None] * u[:, k, None] * d).T @ d / mass[k] + reg_covar * np.eye(n_features)
    new_scales = {
        "full": lambda: full,
        "tied": lambda: np.sum(full * mass[:, None, None], axis=0) / mass.sum(),
        "diag": lambda: np.array([matrix.diagonal() for matrix in full]),
        "spherical": lambda: np.array([matrix.diagonal().mean() for matrix in full]),
    }[covariance_type]()
    half = (degrees + n_features) / 2
    sums = np.sum(responsibilities * (np.log(u) - u + digamma(half) - np.log(half)), axis=0)

    def solved(weight, total):
        """The root of the M-step's equation for the degrees of freedom, of one component or of all together."""
        return optimize.brentq(
            lambda nu: weight * (np.log(nu / 2) - digamma(nu / 2) + 1) + total, 1e-2, 1e6, xtol=1e-13, rtol=1e-14
        )

    if kind is None:
        degrees = np.array([solved(m, s) for m, s in zip(mass, sums, strict=True)])
    elif kind == "shared":
        degrees = np.full(n_components, solved(mass.sum(), sums.sum()))
    bound = np.sum(sample_weight * likelihoods) / np.sum(sample_weight)
    return mass / mass.sum(), new_means, new_scales, degrees, bound
