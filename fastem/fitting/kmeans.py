"""Starts by k-means: hard EM with equal weights and fixed variances, so its iterations are ordinary passes."""

import copy

import numpy as np
from sklearn.cluster import kmeans_plusplus

from ..model.parameters import CollapsedComponent
from ..sources.annotations import HARD, SOFT, Annotations
from .start_points import FAR, USUAL, moments_of_features


def kmeans_starts(sample, family, n_components, random_state, reg_covar, weights):
    """Two starts: by k-means on the features as they are (scikit-learn's), and on features of unit variance.

    The second is for features of different scales, for which the Euclidean distance means little. On features of like
    scale the first is often better.
    """
    _, variances = moments_of_features(sample.X, weights)
    # Scaling by a power of 4 near the variances neither reorders distances nor rounds, and fits float32's range.
    unit = 4.0 ** np.round(np.log2(variances.mean()) / 2) if variances.any() else 1.0
    metrics = [(np.full(sample.n_features, unit), random_state)]
    tells = family.is_axis_aligned or sample.n_samples > sample.n_features + 1  # else reg_covar determines the bounds
    if tells and n_components > 1 and sample.n_features > 1 and (variances > 0).all():
        # A separate random state, so that the first start draws from `random_state` just what scikit-learn does.
        other_state = copy.deepcopy(random_state)
        other_state.seed(other_state.randint(np.iinfo(np.int32).max))
        metrics.append((variances, other_state))
    starts, collapse = [], None
    for scale, state in metrics:
        means = kmeans(sample, family, n_components, scale, state, weights)
        try:
            starts.append(from_nearest_means(sample, family, means, scale, reg_covar, weights))
        except CollapsedComponent as error:
            collapse = error
    if not starts:
        raise collapse
    return starts


def kmeans(sample, family, n_components, variances, random_state, weights, max_iter=300, trials=None):
    """Means, (K, D), by Lloyd's k-means from k-means++ seeds, with scikit-learn's stopping rule.

    K-means is hard EM with equal weights and fixed variances. So its iterations are ordinary passes and cost no more
    than these (scikit-learn's KMeans took 20 EM iterations' time at a million points).
    """
    deviations = np.sqrt(variances)
    mean, _ = moments_of_features(sample.X, weights)
    scaled = (sample.X - mean.astype(sample.X.dtype)).astype(np.float64, copy=False)
    scaled /= deviations
    if scaled.size and max(scaled.max(), -scaled.min()) > FAR:
        scaled = np.clip(scaled, -USUAL, USUAL)  # so that rounding far distances doesn't hide the near ones
    if trials == 1:
        seeds = _seeds(scaled, n_components, random_state, weights)
    else:
        _, seeds = kmeans_plusplus(scaled, n_components, sample_weight=weights, random_state=random_state)
    means = sample.X[seeds].astype(np.float64)
    family = family.for_means_alone(sample.n_features)
    given = Annotations(weights)
    tolerance = 1e-4 * moments_of_features(scaled, weights)[1].mean()
    for _ in range(max_iter):
        before = means
        means = sample.accumulate(nearest(family, means, variances), annotations=given, assignment=HARD).means
        if (((means - before) / deviations) ** 2).sum() <= tolerance:
            break
    return means


def _seeds(X, n_components, random_state, weights):
    """Row numbers of k-means++ seeds (Arthur & Vassilvitskii 2007), each drawn once.

    They are those of scikit-learn's function, which also checks its input and takes up to three times as long.
    """
    X = X.astype(np.float64, copy=False)
    squares = np.einsum("ij,ij->i", X, X)
    nearest, seeds = np.full(len(X), np.inf), np.empty(n_components, np.intp)
    odds = np.ones(len(X)) if weights is None else weights
    for k, draw in enumerate(random_state.uniform(size=n_components)):
        sums = np.cumsum(odds)
        seed = seeds[k] = min(np.searchsorted(sums, draw * sums[-1], side="right"), len(X) - 1)
        distances = np.maximum(squares + (squares[seed] - 2 * (X @ X[seed])), 0)
        distances[seed] = 0.0
        np.minimum(nearest, distances, out=nearest)
        odds = nearest if weights is None else weights * nearest
    return seeds


def from_nearest_means(sample, family, means, variances, reg_covar, weights):
    """The M-step with each point assigned to the nearest mean, with features in units of their standard deviations."""
    near = nearest(family, means, variances)
    return family.maximize(refined(sample, near, Annotations(weights), HARD), reg_covar)


def refined(source, parameters, annotations, assignment=SOFT):
    """Statistics of a pass with these parameters, after those passes with which the family refines them."""
    family, statistics = parameters.family, source.e_step(parameters, annotations, assignment)
    for _ in range(family.n_refinements):
        parameters = family.refined(parameters, statistics)
        statistics = source.e_step(parameters, annotations, assignment)
    return statistics


def nearest(family, means, variances):
    """Parameters whose hard assignment is to the nearest mean."""
    return family.for_nearest_means.with_variances(means, variances)
