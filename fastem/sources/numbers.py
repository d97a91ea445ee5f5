"""Checks for values that NumPy would silently take as numbers: masked values, dates and spans of time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from .rows import SourceError

if TYPE_CHECKING:
    from typing import Any

_DATES = "(dates - numpy.datetime64('2000-01-01')) / numpy.timedelta64(1, 'D') are days"
_LISTED = 10  # columns that a message lists, at most
_SPANS = "spans / numpy.timedelta64(1, 's') are seconds"


def check_numbers(values: Any, name: str, remedy: str = "Drop those rows, or fill the values in") -> None:
    """Raise SourceError if values are masked, or are dates or spans of time.

    Parameters
    ----------
    values : array-like
        Array, table of columns or list.
    name : str
        What the values are, for the message.
    remedy : str, default='Drop those rows, or fill the values in'
        Advice for masked values, for the message.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.sources import check_numbers
    >>> check_numbers(np.array([1.0, 2.0]), "X")
    >>> check_numbers(np.array(["2026-01-01"], dtype="datetime64"), "X")
    Traceback (most recent call last):
        ...
    fastem.sources.rows.SourceError: X should hold real numbers, but has dtype datetime64[D]...
    """
    if hasattr(values, "columns"):
        labels, dtypes = list(values.columns), list(getattr(values, "dtypes", ()))
        for label, dtype in zip(labels, dtypes, strict=False):
            if (kind := _kind(dtype)) in "mM":
                raise _of_time(name, dtype, kind, np.asarray(values[label]), f" in column {label!r}")
        if len(set(labels)) == len(labels) == len(dtypes):  # else a label leads to several columns
            _check_text(values, labels, dtypes, name)
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


def _check_text(values, labels, dtypes, name):
    """Raise SourceError if columns hold text or other objects that aren't numbers."""
    faults = {}
    for label, dtype in zip(labels, dtypes, strict=True):
        if _kind(dtype) not in "biufc" and (fault := _no_number(values[label])):
            faults[label] = fault
    if not faults:
        return
    label, (row, value) = next(iter(faults.items()))
    others = [repr(each) for each in labels if each not in faults]
    numeric = f"columns of numbers are {_listed(others)}" if others else "no column holds numbers"
    what = "text" if isinstance(value, str) else f"values of type {type(value).__name__}"
    which, it = f"column {label!r} holds", "it"
    if len(faults) > 1:
        which, it = f"columns {_listed(list(map(repr, faults)))} hold", "them"
    raise SourceError(
        f"{name} should hold real numbers, but {which} {what}: {value!r:.50} in row {row}. "
        f"Leave {it} out, or turn {it} into numbers; {numeric}."
    )


def _no_number(column):
    """(row, value) of the first value of a column that is no number; None if all are numbers or missing."""
    column = np.asarray(column)
    if column.dtype.kind in "biufc":
        return None
    with suppress(TypeError, ValueError):
        column.astype(np.float64)
        return None
    for row, value in enumerate(column.tolist()):
        if value is None or type(value).__name__ == "NAType":
            continue
        try:
            float(value)
        except (TypeError, ValueError):
            return row, value
    return None


def _listed(words):
    return ", ".join(words[:_LISTED]) + (", ..." if len(words) > _LISTED else "")


def _as_array(values):
    """The array that values are or would become, with its mask; None if there is nothing to check."""
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, list | tuple):
        if any(isinstance(row, np.ma.MaskedArray) for row in values):
            return np.ma.array(values)
        with suppress(Exception):  # other bad input: later checks have a better message
            return np.asarray(values)
    elif hasattr(values, "__array__") and not hasattr(values, "dask"):
        with suppress(Exception):
            return np.asanyarray(values)
    return None


def _kind(dtype):
    """Kind of a NumPy, pandas or Polars dtype: 'M' for dates, 'm' for spans of time, else another character."""
    kind = getattr(dtype, "kind", None)
    if isinstance(kind, str) and kind:
        return kind
    name = str(dtype)
    return "M" if name.startswith("Date") else "m" if name.startswith(("Duration", "Time")) else "?"


def _of_time(name, dtype, kind, values, where=""):
    missing = ""
    is_missing = np.not_equal(values, values)  # true for NaT only
    if (rows := _rows(is_missing.astype(bool))).size:
        missing = f", and NaT in {_count(rows)}"
    return SourceError(
        f"{name} should hold real numbers, but has dtype {dtype}{where}{missing}. Convert it: "
        f"{_DATES if kind == 'M' else _SPANS}. NaT becomes NaN."
    )


def _rows(wrong):
    """Numbers of the rows that hold a wrong value."""
    return np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))


def _count(rows):
    return f"{rows.size} row{'s' if rows.size > 1 else ''}, the first is row {rows[0]}"
