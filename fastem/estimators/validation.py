"""Checks of the users' arguments, made before any work. Each error names the argument and the remedy."""

from contextlib import contextmanager
from numbers import Real

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight

from ..model import checks
from ..sources import check_numbers
from ..sources.annotations import Annotations


def check_weights(weights, n_components, name="weights_init", has_noise=False):
    """Weights (K,), float64: each in [0, 1], summing to 1; beside noise to at most 1."""
    tolerance = 1e-6 if getattr(weights, "dtype", None) == np.float32 else 1e-8
    weights = _floats(weights, name)
    checks.check_shape(weights, (n_components,), "weights")
    of_all = np.append(weights, max(0.0, 1 - weights.sum())) if has_noise else weights
    checks.check_weights(of_all, "weights", tolerance)
    return weights


def check_means(means, n_components, n_features, name="means_init"):
    """Means (K, D), float64."""
    means = _floats(means, name)
    checks.check_shape(means, (n_components, n_features), "means")
    return means


def check_vector(values, n_features, name):
    """A value for each feature, (D,), float64."""
    values = _floats(values, name)
    checks.check_shape(values, (n_features,), name)
    return values


def check_matrices(values, family, n_components, n_features, what):
    """Precisions or covariances (`what`), float64, in the family's shape and valid for it."""
    values = _floats(values, what)
    checks.check_shape(values, family.shape(n_components, n_features), f"{family.name} {what}")
    family.check(values, n_components, n_features, what)
    return values


def check_prior(prior, family, n_features):
    """The values that the user gives for a conjugate prior: a dict of floats and arrays of float64."""
    names = "shrinkage", "mean", "degrees_of_freedom", "scale"
    unknown = sorted(set(prior) - set(names))
    if unknown:
        raise ValueError(f"prior has the unknown key {unknown[0]!r}: its keys may be {', '.join(names)}")
    checked = dict(prior)
    for name, is_right, allowed in (
        ("shrinkage", lambda value: value >= 0, "of 0 or more"),
        ("degrees_of_freedom", lambda value: value > n_features - 1, f"above n_features - 1 = {n_features - 1}"),
    ):
        if name in prior:
            value = prior[name]
            if not (isinstance(value, Real) and np.isfinite(value) and is_right(value)):
                raise ValueError(f"prior: {name} should be a number {allowed}, but got {value!r}")
            checked[name] = float(value)
    if "mean" in prior:
        checked["mean"] = check_vector(prior["mean"], n_features, "mean of the prior")
    if "scale" in prior:
        values = np.asarray(prior["scale"], dtype=np.float64)
        checks.check_shape(values, family.shape_of_one(n_features), "scale of the prior")
        check_matrices(values.reshape(family.shape(1, n_features)), family, 1, n_features, "scale of the prior")
        checked["scale"] = values
    return checked


# Mean sample weight, lowest and highest, that is left as it is. Others are scaled to about 1, since the guards against
# empty components assume weights like counts; scaling by a power of two is exact.
_USUAL_WEIGHTS = 2.0**-20, 2.0**20


def check_sample_weight(sample_weight, n_samples, n_components=1, rescale=True):
    """Weights (n,), float64, non-negative, positive for at least n_components points; None stays None."""
    if sample_weight is None:
        return None
    if n_components == 0 and np.shape(sample_weight) == (n_samples,) and not np.any(sample_weight):
        return np.zeros(n_samples)
    check_numbers(sample_weight, "sample_weight", "Give those points a weight, 0 to leave them out")
    points = np.broadcast_to(np.empty(1), n_samples)  # stands for X: only its length is checked
    weights = _check_sample_weight(sample_weight, points, dtype=np.float64, ensure_non_negative=True)
    if np.count_nonzero(weights) < n_components:
        raise ValueError(
            f"sample_weight should be positive for n_components = {n_components} points or more, but is for "
            f"{np.count_nonzero(weights)}: lower n_components, or give more points a weight"
        )
    with np.errstate(over="ignore"):
        total = weights.sum()
    mean = total / n_samples
    if not np.isfinite(total):
        raise ValueError("sample_weight sums to infinity: divide the weights by the largest of them")
    if rescale and not _USUAL_WEIGHTS[0] <= mean <= _USUAL_WEIGHTS[1]:
        weights = np.ldexp(weights, -int(np.frexp(mean)[1]))
    return np.ascontiguousarray(weights)


def check_labels(labels, n_samples, n_components, weights=None, complete=True, has_noise=False):
    """`Annotations` with labels (n,), int64, or factors of the responsibilities (n, K), or (n, K + 1) with noise."""
    check_numbers(labels, "labels", "Use -1 where a label is unknown: labels.filled(-1)")
    labels = np.asarray(labels)
    n_columns, least = (n_components + 1, -2) if has_noise else (n_components, -1)
    if labels.ndim == 2 and labels.dtype.kind in "fiub":
        return Annotations(weights, responsibilities=_check_shares(labels, n_samples, n_columns, weights))
    if labels.shape != (n_samples,):
        raise ValueError(
            f"labels should have the shape ({n_samples},), a component for each row of X, or ({n_samples}, "
            f"{n_columns}), factors of the responsibilities, but got {labels.shape}"
        )
    if labels.dtype.kind not in "iub":
        raise ValueError(f"labels should be integers, -1 for unknown, but got dtype {labels.dtype}")
    labels = labels.astype(np.int64)
    if labels.min() < least or labels.max() >= n_components:
        others = "-1 for unknown, or -2 for noise" if has_noise else "or -1 for unknown"
        raise ValueError(
            f"labels should be from 0 to n_components - 1 = {n_components - 1}, {others}, but they are from "
            f"{labels.min()} to {labels.max()}"
        )
    counted = labels if weights is None else labels[weights > 0]
    if complete and not (counted == -1).any():
        missing = np.flatnonzero(np.bincount(counted[counted >= 0], minlength=n_components) == 0)
        if missing.size:
            raise ValueError(
                f"labels give component {missing[0]} no point, and no point is unlabelled (-1): lower n_components, or "
                "number the labels 0, 1, 2, ... without a gap"
            )
    return Annotations(weights, labels)


def _check_shares(shares, n_samples, n_columns, weights):
    """Factors of the responsibilities (n, K), checked: non-negative, with a positive one in each row of weight > 0."""
    if shares.shape != (n_samples, n_columns):
        raise ValueError(
            f"labels of two dimensions, factors of the responsibilities, should have the shape ({n_samples}, "
            f"{n_columns}), a row for each row of X and a column for each component, noise included, but got "
            f"{shares.shape}"
        )
    step = max(1, (1 << 20) // n_columns)
    for start in range(0, n_samples, step):
        rows = np.asarray(shares[start : start + step], dtype=np.float64)
        bad = ~np.isfinite(rows).all(axis=1) | (rows < 0).any(axis=1)
        bad |= (rows.sum(axis=1) <= 0) & (True if weights is None else weights[start : start + step] > 0)
        if bad.any():
            raise ValueError(
                "labels of two dimensions, factors of the responsibilities, should be finite and not negative, and "
                "each row should have one above 0, "
                f"but row {start + int(bad.argmax())} is {shares[start + int(bad.argmax())]}"
            )
    return np.ascontiguousarray(shares)  # for other layouts passes would be compiled once more


def _floats(values, name):
    check_numbers(values, name, "Fill them in")
    return check_array(values, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name)


@contextmanager
def features_kept_if_it_fails(estimator):
    """Restore the feature attributes on any failure, interrupts included, unless the error has a result to keep."""
    before = {name: getattr(estimator, name, None) for name in ("n_features_in_", "feature_names_in_")}
    try:
        yield
    except BaseException as error:
        if getattr(error, "result", None) is None:
            for name, value in before.items():
                if value is not None:
                    setattr(estimator, name, value)
                elif hasattr(estimator, name):
                    delattr(estimator, name)
        raise
