"""What users pass in place of numbers and NumPy would take for some: masked values, dates, spans of time."""

from contextlib import suppress

import numpy as np

from .base import SourceError

_DATES = "(dates - numpy.datetime64('2000-01-01')) / numpy.timedelta64(1, 'D') are days"
_SPANS = "spans / numpy.timedelta64(1, 's') are seconds"


def check_numbers(values, name, remedy="Drop those rows, or fill the values in"):
    """Raise SourceError where values are masked or are dates or spans of time: array, table of columns or list.

    Parameters
    ----------
    values : array-like
    name : str
        What they are, for the message.
    remedy : str
        For masked values.
    """
    if hasattr(values, "columns"):
        for label, dtype in zip(values.columns, getattr(values, "dtypes", ()), strict=False):
            if (kind := _kind(dtype)) in "mM":
                raise _of_time(name, dtype, kind, np.asarray(values[label]), f" in column {label!r}")
        return
    values = _as_array(values)
    if values is None or values.ndim == 0 or values.dtype.names is not None:
        return
    if values.dtype.kind in "mM":
        raise _of_time(name, values.dtype, values.dtype.kind, values)
    if values.dtype == object:
        for value in values.flat:
            if isinstance(value, np.datetime64 | np.timedelta64):
                raise _of_time(name, value.dtype, value.dtype.kind, values)
    if isinstance(values, np.ma.MaskedArray) and (rows := _rows(np.ma.getmaskarray(values))).size:
        raise SourceError(f"{name}: masked values in {_count(rows)}. {remedy}.")


def _as_array(values):
    """The array that values are or would become, its mask kept; None where it is nothing to look at."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, list | tuple):
        if any(isinstance(row, np.ma.MaskedArray) for row in values):
            return np.ma.array(values)
        with suppress(Exception):  # of another kind of bad input, which others tell better
            return np.asarray(values)
    elif hasattr(values, "__array__") and not hasattr(values, "dask"):
        with suppress(Exception):
            return np.asanyarray(values)
    return None


def _kind(dtype):
    """'M' for dates, 'm' for spans of time, else another letter; of NumPy's, pandas' or Polars' dtypes."""
    kind = getattr(dtype, "kind", None)
    if isinstance(kind, str) and kind:
        return kind
    name = str(dtype)
    return "M" if name.startswith("Date") else "m" if name.startswith(("Duration", "Time")) else "?"


def _of_time(name, dtype, kind, values, where=""):
    missing = ""
    is_missing = np.not_equal(values, values)  # NaT alone
    if (rows := _rows(is_missing.astype(bool))).size:
        missing = f", and is NaT in {_count(rows)}"
    return SourceError(
        f"{name} is of dtype {dtype}{where}, it should hold real numbers{missing}. Convert it: "
        f"{_DATES if kind == 'M' else _SPANS}, and NaT becomes NaN."
    )


def _rows(wrong):
    """Numbers of the rows that hold a wrong value."""
    return np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))


def _count(rows):
    return f"{rows.size} row{'s' if rows.size > 1 else ''}, the first is row {rows[0]}"
