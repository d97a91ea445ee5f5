"""Starts where some or all components are known: from the labelled points, and k-means beside them."""

from dataclasses import replace

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min

from ..model.noise import START
from ..sources.annotations import HARD, Annotations
from ..sources.base import VALUES
from .kmeans import nearest, refined
from .start_points import completed, moments_of_features, roughly, sample_of

# Most iterations of k-means if some points are labelled.
_KMEANS_BESIDE = 30


def from_labels(source, family, n_components, annotations, reg_covar):
    """The M-step of labelled points: means, covariances and weights of their components."""
    return family.maximize(_of_the_labelled(source, family, n_components, annotations), reg_covar)


def _of_the_labelled(source, family, n_components, annotations):
    """Sufficient statistics of the labelled points, those of each component about its mean."""
    annotations = replace(annotations, e_step=False)
    rough = roughly(source, family, n_components, annotations.weights)
    rough = replace(rough, means=source.accumulate(rough, annotations=annotations).means)
    statistics = refined(source, rough, annotations)
    is_noise = annotations.labels == -2
    noise = is_noise.sum() if annotations.weights is None else annotations.weights[is_noise].sum()
    return replace(statistics, noise=float(noise))


def beside_the_labelled(source, family, n_components, random_state, reg_covar, annotations):
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
        return family.maximize(refined(source, near, known, HARD), reg_covar)
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
