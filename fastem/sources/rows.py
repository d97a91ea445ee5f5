"""Rows of points: whether kernels can read and use them, and the error if not."""

import numpy as np

from ..kernels import READ_IN_PLACE


class SourceError(ValueError):
    """The points can't be read or used, or have changed since the pass before; the message says where.

    Attributes
    ----------
    result : EMResult or None
        What the fit had reached by then.
    """

    result = None


def nonfinite_error(n_rows, where, values, names, allows_missing, estimator):
    """The error for points that hold NaN or infinity: scikit-learn's message, and where the first such value is.

    values: the first such row; names: those of its columns, or None.
    """
    is_nan = not allows_missing and bool(np.isnan(values).any())
    plural = "s hold" if n_rows > 1 else " holds"
    what = "NaN" if is_nan else "infinity"
    bad = np.isinf(values) if allows_missing else ~np.isfinite(values)
    column = "" if names is None else f", in column {names[int(bad.argmax())]!r}"
    message = f"Input X contains {what}.\n{n_rows} row{plural} NaN or infinity, the first is {where}{column}."
    if is_nan:
        message += (
            f"\n{estimator} does not accept missing values encoded as NaN natively: drop those rows, "
            "fill them in (fastem.MixtureImputer), or fit a fastem.GaussianMixture with missing='em'."
        )
    return SourceError(message)


def readable(rows):
    """Rows as an array that kernels read in place: the same array, or one converted to float64."""
    if rows.dtype == np.bool_:
        return rows.view(np.uint8)
    return rows if rows.dtype in READ_IN_PLACE else np.asarray(rows, dtype=np.float64)


def lacks_values(rows):
    """Whether NaN stands among the rows' values."""
    return rows.dtype.kind == "f" and bool(np.isnan(rows).any())


def unusable_rows(rows, allows_missing):
    """Numbers of the rows that hold infinity, or NaN where no value may be missing."""
    bad = nonfinite_rows(rows)
    return bad[np.isinf(rows[bad]).any(axis=1)] if allows_missing and bad.size else bad


def nonfinite_rows(rows):
    """Numbers of the rows that hold NaN or infinity."""
    if rows.dtype.kind != "f":
        return np.empty(0, np.intp)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(rows, dtype=np.float64)):
            return np.empty(0, np.intp)
    return np.flatnonzero(~np.isfinite(rows).all(axis=1))
