"""Checks of what users pass in: each error names the argument and the remedy, before any work is done."""

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight


def check_weights(weights, n_components, name="weights_init"):
    """Weights (K,), float64: each in [0, 1], summing to 1."""
    tolerance = 1e-6 if getattr(weights, "dtype", None) == np.float32 else 1e-8
    weights = _floats(weights, name)
    _check_shape(weights, (n_components,), "weights")
    if (weights < 0).any() or (weights > 1).any():
        # scikit-learn's text to the letter, which has the two the wrong way round: its users' tests match it.
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], "
            f"but got max value {weights.min():.5f}, min value {weights.max():.5f}"
        )
    if abs(1 - weights.sum()) > tolerance:
        raise ValueError(f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}")
    return weights


def check_means(means, n_components, n_features, name="means_init"):
    """Means (K, D), float64."""
    means = _floats(means, name)
    _check_shape(means, (n_components, n_features), "means")
    return means


def check_matrices(values, family, n_components, n_features, what):
    """Precisions or covariances (`what`) in the family's shape, float64: symmetric positive definite, or positive."""
    values = _floats(values, what)
    _check_shape(values, family.shape(n_components, n_features), f"{family.name} {what}")
    if family.name in ("full", "tied"):
        matrices = values.reshape(-1, n_features, n_features)
        bad = [not (np.allclose(matrix, matrix.T) and (np.linalg.eigvalsh(matrix) > 0).all()) for matrix in matrices]
        requirement = "symmetric, positive-definite"
    else:
        bad = (values <= 0).reshape(n_components, -1).any(axis=1)
        requirement = "positive"
    if np.any(bad):
        where = "" if family.name == "tied" else f", but component {int(np.argmax(bad))}'s is not"
        raise ValueError(f"'{family.name} {what}' should be {requirement}{where}")
    return values


def check_sample_weight(sample_weight, X, n_components):
    """Weights (n,), float64, non-negative, positive for at least K points; None stays None."""
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if np.count_nonzero(weights) < n_components:
        raise ValueError(
            f"sample_weight is positive for {np.count_nonzero(weights)} points only, fewer than "
            f"n_components = {n_components}"
        )
    return np.ascontiguousarray(weights)


def check_labels(labels, n_samples, n_components):
    """Labels (n,), int64, every one in 0..n_components-1, every component with a point."""
    labels = np.asarray(labels)
    if labels.shape != (n_samples,):
        raise ValueError(f"labels should have the shape ({n_samples},), one per row of X, but got {labels.shape}")
    if labels.dtype.kind not in "iub":
        raise ValueError(f"labels should be integers, but got dtype {labels.dtype}")
    labels = labels.astype(np.int64)
    if labels.min() < -1 or labels.max() >= n_components:
        raise ValueError(
            f"labels should be in -1..{n_components - 1} (n_components - 1), -1 for unknown, "
            f"but got min {labels.min()}, max {labels.max()}"
        )
    if (labels == -1).any():
        raise NotImplementedError(
            "labels known for some points only are not supported yet: give every point's label, or none"
        )
    missing = np.flatnonzero(np.bincount(labels, minlength=n_components) == 0)
    if missing.size:
        raise ValueError(
            f"labels leave component {missing[0]} without a point: lower n_components, or number the labels "
            "0, 1, 2, ... without a gap"
        )
    return labels


def check_finite(source, estimator_name):
    """Raise where the points hold NaN or infinity, saying how many rows do and which is the first."""
    found = source.first_nonfinite()
    if found is None:
        return
    n_rows, first = found
    row = source.rows(slice(first, first + 1))
    what = "NaN" if np.isnan(row).any() else "infinity"
    plural = "s hold" if n_rows > 1 else " holds"
    message = f"Input X contains {what}.\n{n_rows} row{plural} NaN or infinity, the first is row {first}."
    if what == "NaN":
        message += (
            f"\n{estimator_name} does not accept missing values encoded as NaN natively: drop those rows, "
            "or fill them in (for example with sklearn.impute)."
        )
    raise ValueError(message)


def _floats(values, name):
    return check_array(values, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name)


def _check_shape(values, shape, name):
    if values.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {values.shape}")
