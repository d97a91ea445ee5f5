"""Starts for EM: from labels, responsibilities, seeds, k-means or the user's own values."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
from sklearn.cluster import kmeans_plusplus

from ..model.parameters import CollapsedComponent
from ..sources.annotations import NO_ANNOTATIONS, Annotations, DrawnResponsibilities
from . import trimming
from .kmeans import from_nearest_means, kmeans, kmeans_starts
from .labelled_starts import beside_the_labelled
from .sparse import clear
from .start_points import completed, counted, first_moments, moments_of_features, roughly, sample_of

# Seeds per component (and two more in all) before the components in excess are merged.
_EXCESS = 2
# Most iterations of k-means from these seeds.
_EXCESS_KMEANS = 2


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
            [beside_the_labelled(source, family, n_components, random_state, reg_covar, annotations)],
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
        seeds = np.where(np.isnan(seeds), first_moments(source, annotations.weights)[0], seeds)
        return [_from_seeds(seeds, source, family, reg_covar, annotations.weights)], source, annotations
    sample, weights = sample_of(source, family, n_components, random_state, annotations.weights)
    sample_annotations = replace(annotations, weights=weights)
    points, weights, share = clear(completed(sample, weights), weights, family, n_components)
    if init_params == "k-means++":
        _, seeds = kmeans_plusplus(points.X, n_components, sample_weight=weights, random_state=random_state)
        starts = [_from_seeds(points.X[seeds], points, family, reg_covar, weights)]
    else:
        starts = kmeans_starts(points, family, n_components, random_state, reg_covar, weights)
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
        return kmeans_starts(dense, family, n_components, random_state, reg_covar, weights)
    return []


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
    points, weights = counted(points, annotations.weights)
    points, weights, share = clear(completed(points, weights), weights, family, settings.n_components)
    if number and family.expects_outliers:
        points, weights = trimming.dense(points, weights)
    n_components, n_features = settings.n_components, points.n_features
    n_seeds = n_seeds_in_excess(points, family, n_components)
    _, variances = moments_of_features(points.X, weights)
    unit = variances.mean() or 1.0
    scale = np.full(n_features, unit) if number % 2 == 0 else np.where(variances > 0, variances, unit)
    means = kmeans(points, family, n_seeds, scale, random_state, weights, max_iter=_EXCESS_KMEANS, trials=1)
    return _with_noise(from_nearest_means(points, family, means, scale, settings.reg_covar, weights), share)


def n_seeds_in_excess(points, family, n_components):
    """Number of components before those in excess are merged: as many as the points allow, up to twice and two more."""
    least = 2 * family.least_points(points.n_features)
    return max(n_components, min(_EXCESS * n_components + 2, points.n_samples // least))


def _from_random_responsibilities(source, family, n_components, random_state, reg_covar, annotations):
    """A start from uniform random responsibilities, drawn block by block in scikit-learn's order: no (n, K) array."""
    rough = roughly(source, family, n_components, annotations.weights)
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
    variance = reg_covar or 1e-6 * float(first_moments(sample, weights)[1].mean())
    start = family.at_points(seeds.astype(np.float64), variance)
    if start.family is family:
        return start
    return family.maximize(sample.e_step(start, Annotations(weights)), reg_covar)  # of Gaussians about the seeds
