"""`warm_up`: compile the kernels ahead of use."""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .estimators.gaussian_mixture import GaussianMixture
from .model.families import STANDARD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import DTypeLike


def warm_up(
    covariance_types: str | Iterable[str] = STANDARD,
    dtypes: DTypeLike | Iterable[DTypeLike] = ("float64", "float32"),
    *,
    missing: bool = False,
    verbose: bool = False,
) -> None:
    """Compile the kernels of some covariance types, for fitting and prediction, and cache them on disk.

    Otherwise kernels are compiled at their first use, which takes seconds. The cache is beside the package, or in the
    folder NUMBA_CACHE_DIR; a process that finds the kernels there doesn't compile. Call this when an image is built or
    a service starts.

    Parameters
    ----------
    covariance_types : str or iterable of str, default=('full', 'tied', 'diag', 'spherical')
    dtypes : str, dtype or iterable of these, default=("float64", "float32")
        Dtypes of the data. The kernels for float64 also serve integers.
    missing : bool, default=False
        Compile the kernels for missing values (`missing='em'`), too.
    verbose : bool, default=False
        Show a progress bar on standard error.

    Examples
    --------
    >>> import fastem
    >>> fastem.warm_up(["full"], ["float64"])
    """
    points = np.random.default_rng(0).normal(size=(64, 2))
    covariance_types = [covariance_types] if isinstance(covariance_types, str) else covariance_types
    dtypes = [dtypes] if isinstance(dtypes, str | type | np.dtype) else dtypes
    tasks = list(itertools.product(covariance_types, map(np.dtype, dtypes)))
    begin = time.perf_counter()
    for done, (covariance_type, dtype) in enumerate(tasks):
        if verbose:
            _show(done, len(tasks), f"{covariance_type} {dtype}", begin)
        X = points.astype(dtype)
        model = GaussianMixture(2, covariance_type=covariance_type, init_params="random", random_state=0, n_factors=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X)
            model.set_params(init_params="kmeans").fit(X)  # few points have a kernel of their own
            model.predict_proba(X)
            if missing:
                X[0, 0] = np.nan
                model.set_params(missing="em", max_iter=1).fit(X).impute(X)
    if verbose:
        _show(len(tasks), len(tasks), "done", begin)


def _show(done, total, what, begin):
    """Print a progress line; on a terminal it overwrites the one before."""
    width = 30
    bar = "#" * (width * done // total)
    line = f"[{bar:{width}}] {done}/{total} {time.perf_counter() - begin:5.1f} s  {what:18}"
    over = sys.stderr.isatty()
    end = "" if over and done < total else "\n"
    print(f"\r{line}" if over else line, end=end, file=sys.stderr, flush=True)
