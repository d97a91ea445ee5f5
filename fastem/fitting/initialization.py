"""Starts for EM: from labels, responsibilities, seeds, k-means or the user's own values."""

import copy
from contextlib import suppress
from dataclasses import replace

import numpy as np
from sklearn.cluster import kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.utils.random import sample_without_replacement

from ..model.conditioning import one_gaussian
from ..model.noise import START
from ..model.parameters import CollapsedComponent
from ..sources.annotations import HARD, NO_ANNOTATIONS, SOFT, Annotations, DrawnResponsibilities
from ..sources.array import ArraySource, in_memory
from ..sources.base import VALUES
from . import trimming
from .sparse import clear

# Seeds per component (and two more in all) before the components in excess are merged.
_EXCESS = 2
# Most iterations of k-means from these seeds.
_EXCESS_KMEANS = 2

# Distance of a value from its feature's median, in distances of the nearer quartile, beyond which rounding the moments
# would hide the differences between the usual values.
_FAR = 2.0**20
# Distance, in the same unit, within which a value is a usual one.
_USUAL = 2.0**10
# Points, about, from which median and quartiles are computed.
_FOR_QUARTILES = 256

# Most iterations of EM for the Gaussian that missing values are filled in from, and for the moments of all the points;
# the change of the mean log-likelihood, nats, that ends them.
_FILLING, _FILLED = 20, 1e-3
# Work of an iteration with one Gaussian (the number of patterns times D**3) beyond which features' means fill in.
_MOST_WORK = 2e8

# Points that are enough for a start, or that have so many values (32 MiB), unless there are many components.
_ENOUGH, _ENOUGH_VALUES = 20_000, 1 << 22

# Most iterations of k-means if some points are labelled.
_KMEANS_BESIDE = 30


def user_parameters(family, parameters, weights_init, means_init, precisions_init):
    """The parameters with the user's values in place of the computed ones; None will do if the user gives all three.

    With a noise component, what the user's weights leave to 1 is its weight.
    """
    weights = parameters.weights if weights_init is None else np.asarray(weights_init, dtype=np.float64)
    means = parameters.means if means_init is None else np.asarray(means_init, dtype=np.float64)
    if precisions_init is not None:
        return family.with_precisions(weights, means, np.asarray(precisions_init, dtype=np.float64))
    share = parameters.noise_weight if weights_init is None else None
    return family.noisy(replace(parameters, weights=weights, means=means), share)


def candidates(source, family, n_components, init_params, random_state, reg_covar, annotations=NO_ANNOTATIONS):
    """Starts by one of scikit-learn's methods, and the points on which to compare them.

    Parameters
    ----------
    source : source
    family : CovarianceFamily
    n_components : int
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}
    random_state : RandomState
        Used as in scikit-learn: on data small enough to be used whole, the same seed gives the same start.
    reg_covar : float
    annotations : Annotations
        With labels or responsibilities, a component that has such points starts from them, whatever `init_params`.

    Returns
    -------
    starts : list of Parameters
    sample : source
        The rows that the starts come from.
    sample_annotations : Annotations
        What is known of those rows.

    Raises
    ------
    CollapsedComponent
        If no start has positive definite covariances.
    """
    if annotations.is_constrained:
        return (
            [_beside_the_labelled(source, family, n_components, random_state, reg_covar, annotations)],
            source,
            annotations,
        )
    if init_params == "random":
        start = _from_random_responsibilities(source, family, n_components, random_state, reg_covar, annotations)
        return [start], source, annotations
    if init_params == "random_from_data":
        share = None if annotations.weights is None else annotations.weights / annotations.weights.sum()
        seeds = random_state.choice(source.n_samples, size=n_components, replace=False, p=share)
        seeds = source.rows(seeds)
        seeds = np.where(np.isnan(seeds), _first_moments(source, annotations.weights)[0], seeds)
        return [_from_seeds(seeds, source, family, reg_covar, annotations.weights)], source, annotations
    sample, weights = sample_of(source, family, n_components, random_state, annotations.weights)
    sample_annotations = replace(annotations, weights=weights)
    points, weights, share = clear(completed(sample, weights), weights, family, n_components)
    if init_params == "k-means++":
        _, seeds = kmeans_plusplus(points.X, n_components, sample_weight=weights, random_state=random_state)
        starts = [_from_seeds(points.X[seeds], points, family, reg_covar, weights)]
    else:
        starts = _from_kmeans(points, family, n_components, random_state, reg_covar, weights)
        if family.expects_outliers:
            starts += _from_dense(points, family, n_components, random_state, reg_covar, weights)
    return [_with_noise(start, share) for start in starts], sample, sample_annotations


def _with_noise(start, share):
    """The start with this weight of the noise; None: as it is."""
    return start if share is None else start.family.noisy(start, share)


def _from_dense(points, family, n_components, random_state, reg_covar, weights):
    """Starts by k-means where points are dense; none if too few are."""
    dense, weights = trimming.dense(points, weights)
    if dense.n_samples < max(2, n_components):
        return []
    with suppress(CollapsedComponent):
        return _from_kmeans(dense, family, n_components, random_state, reg_covar, weights)
    return []


def from_labels(source, family, n_components, annotations, reg_covar):
    """The M-step of labelled points: means, covariances and weights of their components."""
    return family.maximize(_of_the_labelled(source, family, n_components, annotations), reg_covar)


def _of_the_labelled(source, family, n_components, annotations):
    """Sufficient statistics of the labelled points, those of each component about its mean."""
    annotations = replace(annotations, e_step=False)
    rough = _roughly(source, family, n_components, annotations.weights)
    rough = replace(rough, means=source.accumulate(rough, annotations=annotations).means)
    statistics = _refined(source, rough, annotations)
    is_noise = annotations.labels == -2
    noise = is_noise.sum() if annotations.weights is None else annotations.weights[is_noise].sum()
    return replace(statistics, noise=float(noise))


def _refined(source, parameters, annotations, assignment=SOFT):
    """Statistics of a pass with these parameters, after those passes with which the family refines them."""
    family, statistics = parameters.family, source.e_step(parameters, annotations, assignment)
    for _ in range(family.n_refinements):
        parameters = family.refined(parameters, statistics)
        statistics = source.e_step(parameters, annotations, assignment)
    return statistics


def _beside_the_labelled(source, family, n_components, random_state, reg_covar, annotations):
    """A start if some points are labelled: k-means from the labelled means, and from far seeds for other components.

    In every k-means step a labelled point counts for its own component, and an unlabelled one (all, or a sample) for
    the nearest mean, with features in units of their standard deviations.
    """
    labels = (
        annotations.labels
        if annotations.labels is not None
        else _most_allowed(annotations.responsibilities, n_components)
    )
    weights = np.ones(source.n_samples) if annotations.weights is None else annotations.weights
    labelled = _of_the_labelled(source, family, n_components, Annotations(annotations.weights, labels))
    free = np.where(labels == -1, weights, 0.0)
    if not free.any():
        return family.maximize(labelled, reg_covar)
    sample, sample_weights = sample_of(source, family, n_components, random_state, free)
    sample = completed(sample, sample_weights)
    given = Annotations(sample_weights)
    _, variances = moments_of_features(sample.X, sample_weights)
    variances = np.where(variances > 0, variances, variances.mean() or 1.0)
    means = _seeds_far_from(labelled, sample.X, sample_weights, np.sqrt(variances), random_state)
    share = free.sum() / (sample.n_samples if sample_weights is None else sample_weights.sum())
    for _ in range(_KMEANS_BESIDE):
        others = sample.e_step(nearest(family, means, variances), given, HARD)
        together = labelled + replace(others.scaled(share), noise=START * free.sum()).about(labelled.centres)
        before, means = means, together.means
        if (((means - before) ** 2) / variances).sum() <= 1e-4 * len(variances):
            break
    if family.n_refinements:  # statistics of two passes don't have the same refined parameters
        near, known = nearest(family, means, variances), Annotations(annotations.weights, labels)
        return family.maximize(_refined(source, near, known, HARD), reg_covar)
    return family.maximize(together.about(means), reg_covar)


def _seeds_far_from(labelled, X, weights, deviations, random_state):
    """Means, (K, D): of the labelled points, and for components without any a point drawn as in k-means++.

    That is, by its squared distance from the nearest mean so far.
    """
    has_some = labelled.mass > 0
    means = labelled.means.copy()
    chosen = list(means[has_some] / deviations)
    X_scaled = X / deviations
    for k in np.flatnonzero(~has_some):
        odds = np.ones(len(X)) if weights is None else weights.copy()
        if chosen:
            odds *= pairwise_distances_argmin_min(X_scaled, np.array(chosen))[1] ** 2
        total = odds.sum()
        index = random_state.choice(len(X), p=odds / total if total > 0 else None)
        means[k] = X[index]
        chosen.append(X_scaled[index])
    return means


def _most_allowed(shares, n_components):
    """The component that has more than half of a point's responsibilities, (n,); -1 if none has.

    shares: (n, n_components), or with a column for noise, which is -2.
    """
    labels = np.empty(len(shares), np.int64)
    step = max(1, VALUES // shares.shape[1])
    for start in range(0, len(shares), step):
        rows = np.asarray(shares[start : start + step], dtype=np.float64)
        holds = rows.max(axis=1) > 0.5 * rows.sum(axis=1)
        labels[start : start + step] = np.where(holds, rows.argmax(axis=1), -1)
    labels[labels == n_components] = -2
    return labels


def in_excess(points, annotations, family, settings, random_state, number):
    """A mixture of more components than asked for, to be fitted and merged: k-means++ seeds and a few k-means steps.

    Parameters
    ----------
    points : source
        Few enough for a copy.
    annotations : Annotations
        Weights only.
    family : CovarianceFamily
    settings : em.Settings
    random_state : RandomState
    number : int
        Of the start. Even ones measure all features in the same unit, odd ones each in its own standard deviation. All
        but the first leave out points far from others if the family expects outliers.

    Raises
    ------
    CollapsedComponent
        If the points of a seed have a singular covariance.
    """
    points, weights = _counted(points, annotations.weights)
    points, weights, share = clear(completed(points, weights), weights, family, settings.n_components)
    if number and family.expects_outliers:
        points, weights = trimming.dense(points, weights)
    n_components, n_features = settings.n_components, points.n_features
    n_seeds = n_seeds_in_excess(points, family, n_components)
    _, variances = moments_of_features(points.X, weights)
    unit = variances.mean() or 1.0
    scale = np.full(n_features, unit) if number % 2 == 0 else np.where(variances > 0, variances, unit)
    means = _kmeans(points, family, n_seeds, scale, random_state, weights, max_iter=_EXCESS_KMEANS, trials=1)
    return _with_noise(_from_nearest_means(points, family, means, scale, settings.reg_covar, weights), share)


def n_seeds_in_excess(points, family, n_components):
    """Number of components before those in excess are merged: as many as the points allow, up to twice and two more."""
    least = 2 * family.least_points(points.n_features)
    return max(n_components, min(_EXCESS * n_components + 2, points.n_samples // least))


def moments(source, family, weights):
    """Mean, (D,), and covariance of all the points: (D, D), or variances, (D,), for diag and spherical.

    Sums of squares are divided by the total weight less 1, but at least by half the weight.
    """
    family = family.of_all_points
    statistics = _statistics_of_one(source, _roughly(source, family, 1, weights), weights)
    mean = statistics.means
    second = statistics.about(mean).second / max(statistics.weight - 1, statistics.weight / 2)
    return mean[0], second.reshape(family.shape_of_one(source.n_features))


def _statistics_of_one(source, gaussian, weights, reg_covar=0.0):
    """Statistics of all the points as one component; expected ones, from EM, if values are missing."""
    statistics = source.e_step(gaussian, Annotations(weights))
    if source.is_complete:
        return statistics
    for _ in range(_FILLING):
        try:
            gaussian = gaussian.family.maximize(statistics, reg_covar)
        except CollapsedComponent:
            break
        before, statistics = statistics, source.e_step(gaussian, Annotations(weights))
        if statistics.lower_bound - before.lower_bound < _FILLED:
            break
    return statistics


def completed(points, weights):
    """The points as an `ArraySource`, missing values drawn given the observed ones by one Gaussian fitted to them all.

    Where that would be slow, features are independent. Only for seeds and k-means, which need complete points: EM then
    sees the incomplete ones. Drawn values have the right variance, so that the start has.
    """
    if points.is_complete:
        return points
    mean, variances = points.feature_moments()
    is_slow = points.n_patterns * points.n_features**3 > _MOST_WORK
    gaussian = one_gaussian(mean, variances, is_axis_aligned=is_slow)
    if not is_slow:
        reg_covar = 1e-6 * float(variances.mean() or 1.0)
        statistics = _statistics_of_one(points, gaussian, weights, reg_covar)
        with suppress(CollapsedComponent):
            gaussian = gaussian.family.maximize(statistics, reg_covar)
    noise = np.random.RandomState(0).standard_normal((points.n_samples, points.n_features))
    return ArraySource(points.completed(gaussian).X + noise * points.deviations(gaussian))


def _roughly(source, family, n_components, weights):
    """Parameters with every mean at the data's centre and the data's mean variance, for passes without an E-step."""
    mean, variances = _first_moments(source, weights)
    return family.plain.without_noise.at_points(np.tile(mean, (n_components, 1)), variances.mean() or 1.0)


def _first_moments(source, weights):
    """Mean and variance of each feature in the first rows of positive weight; of all values if some are missing."""
    if not source.is_complete:
        return source.feature_moments()
    n_rows = max(1, VALUES // source.n_features)
    if weights is None:
        return moments_of_features(source.rows(slice(0, n_rows)), None)
    index = np.flatnonzero(weights)[:n_rows]
    return moments_of_features(source.rows(index), weights[index])


def _from_random_responsibilities(source, family, n_components, random_state, reg_covar, annotations):
    """A start from uniform random responsibilities, drawn block by block in scikit-learn's order: no (n, K) array."""
    rough = _roughly(source, family, n_components, annotations.weights)
    drawn = DrawnResponsibilities(random_state, n_components)
    statistics = source.accumulate(
        rough, annotations=Annotations(annotations.weights, responsibilities=drawn, e_step=False)
    )
    drawn.finish(source.n_samples)
    return family.maximize(statistics, reg_covar)


def _from_seeds(seeds, sample, family, reg_covar, weights):
    """A start with means at the seeds, equal weights and, as in scikit-learn, reg_covar as the variances.

    The first E-step then gives each point to its nearest seed. If reg_covar is 0 (where scikit-learn fails), the
    variances are a millionth of the data's mean variance.
    """
    variance = reg_covar or 1e-6 * float(_first_moments(sample, weights)[1].mean())
    start = family.at_points(seeds.astype(np.float64), variance)
    if start.family is family:
        return start
    return family.maximize(sample.e_step(start, Annotations(weights)), reg_covar)  # of Gaussians about the seeds


def sample_of(source, family, n_components, random_state, weights):
    """(source in memory, weights): all the points if few, else a sample that suffices for means and covariances."""
    many = min(_ENOUGH, _ENOUGH_VALUES // source.n_features)
    size = max(many, n_components * max(100, 10 * family.n_directions(source.n_features)))
    if source.n_samples <= size:
        return _counted(source, weights)
    if weights is None:
        index = sample_without_replacement(source.n_samples, size, random_state=random_state)
    else:  # a row may come several times: drawn by weight, each counts the same
        steps = np.cumsum(weights)
        index = np.searchsorted(steps, random_state.uniform(high=steps[-1], size=size), side="right")
    return in_memory(source, np.sort(index)), None


def _counted(source, weights):
    """(the points as a source in memory, their weights), without those of weight 0."""
    if weights is None or weights.all():
        return in_memory(source), weights
    index = np.flatnonzero(weights)
    return in_memory(source, index), weights[index]


def moments_of_features(X, weights):
    """Mean and variance of each feature, (D,) both.

    If a feature has values so far off (such as fill values) that beside them the usual ones would round to one point,
    its moments are those of the usual values.
    """
    if weights is None:
        mean, variance = X.mean(axis=0, dtype=np.float64), X.var(axis=0, dtype=np.float64)
    else:
        mean = np.average(X, axis=0, weights=weights)
        variance = np.average((X - mean) ** 2, axis=0, weights=weights)
    middle, spread = _middle(X)
    for i in np.flatnonzero(np.maximum(X.max(axis=0) - middle, middle - X.min(axis=0)) > _FAR * spread):
        usual = np.abs(X[:, i] - middle[i]) <= _USUAL * spread[i]
        values, shares = X[usual, i].astype(np.float64), None if weights is None else weights[usual]
        if shares is None or shares.any():
            mean[i] = np.average(values, weights=shares)
            variance[i] = np.average((values - mean[i]) ** 2, weights=shares)
    return mean, variance


def _middle(X):
    """Each feature's median and the distance of the nearer quartile from it, of those that differ; infinite if none.

    Both are approximate, from a part of the rows.
    """
    some = np.sort(X[:: -(-len(X) // _FOR_QUARTILES)], axis=0).astype(np.float64)
    low, middle, high = (some[(len(some) - 1) * quarter // 4] for quarter in (1, 2, 3))
    distances = np.array([middle - low, high - middle])
    return middle, np.where(distances > 0, distances, np.inf).min(axis=0)


def _from_kmeans(sample, family, n_components, random_state, reg_covar, weights):
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
        means = _kmeans(sample, family, n_components, scale, state, weights)
        try:
            starts.append(_from_nearest_means(sample, family, means, scale, reg_covar, weights))
        except CollapsedComponent as error:
            collapse = error
    if not starts:
        raise collapse
    return starts


def _kmeans(sample, family, n_components, variances, random_state, weights, max_iter=300, trials=None):
    """Means, (K, D), by Lloyd's k-means from k-means++ seeds, with scikit-learn's stopping rule.

    K-means is hard EM with equal weights and fixed variances. So its iterations are ordinary passes and cost no more
    than these (scikit-learn's KMeans took 20 EM iterations' time at a million points).
    """
    deviations = np.sqrt(variances)
    mean, _ = moments_of_features(sample.X, weights)
    scaled = (sample.X - mean.astype(sample.X.dtype)).astype(np.float64, copy=False)
    scaled /= deviations
    if scaled.size and max(scaled.max(), -scaled.min()) > _FAR:
        scaled = np.clip(scaled, -_USUAL, _USUAL)  # so that rounding far distances doesn't hide the near ones
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


def _from_nearest_means(sample, family, means, variances, reg_covar, weights):
    """The M-step with each point assigned to the nearest mean, with features in units of their standard deviations."""
    near = nearest(family, means, variances)
    return family.maximize(_refined(sample, near, Annotations(weights), HARD), reg_covar)


def nearest(family, means, variances):
    """Parameters whose hard assignment is to the nearest mean."""
    return family.for_nearest_means.with_variances(means, variances)
