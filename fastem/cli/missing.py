"""Values that can't be used: infinite ones, and missing ones where none may be missing."""

import numpy as np

from .messages import TableError, many


class Unusable:
    """Counts values that can't be used, and keeps the place of the first.

    Parameters
    ----------
    path : str
    allows_missing : bool
        Whether values may be missing.
    n_features : int, default=None
        Number of columns of features. Those that follow are weights, which may never be missing. None: all columns.
    """

    def __init__(self, path, allows_missing=False, n_features=None):
        self._path, self._allows_missing, self._n_features = path, allows_missing, n_features
        self.first, self.n, self._has_missing = None, 0, False

    def among(self, rows):
        """Which values of the rows can't be used: bool array of their shape."""
        bad = ~np.isfinite(rows)
        if self._allows_missing and bad.any():
            bad[:, : self._n_features] = np.isinf(rows[:, : self._n_features])
        return bad

    def count(self, values):
        """Count some of the values that `among` has found."""
        self.n += len(values)
        self._has_missing |= bool(np.isnan(values).any())

    def refuse(self):
        """Raise TableError if there were any."""
        if not self.n:
            return
        what, remedy = "missing or infinite value", "drop those rows, or fill them in"
        if self._has_missing and not self._allows_missing:
            remedy = "leave those rows out by --drop-missing, fill them in, or fit with --missing em"
        elif not self._has_missing and self._allows_missing:
            what, remedy = "infinite value", "drop those rows, or leave those cells empty"
        raise TableError(f"{self._path}: {many(self.n, what)}, the first in {self.first}; {remedy}")
