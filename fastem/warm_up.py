"""Compile the kernels before anyone waits for them."""

import itertools
import sys
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .estimators.gaussian_mixture import GaussianMixture
from .model.families import STANDARD


def warm_up(covariance_types=STANDARD, dtypes=("float64", "float32"), *, verbose=False):
    """Compile and cache the kernels of some covariance types, for fitting and for prediction.

    Kernels are compiled when first used (seconds) and cached on disk, beside the package or where NUMBA_CACHE_DIR
    says; a process that finds them there starts at once. Call this when an image is built or a service starts.

    Parameters
    ----------
    covariance_types : iterable of str, default=all four
    dtypes : iterable of str or dtype, default=("float64", "float32")
        float64 serves integers as well.
    verbose : bool, default=False
        Show a progress bar on standard error.

    Examples
    --------
    >>> import fastem
    >>> fastem.warm_up(["full"], ["float64"])
    """
    points = np.random.default_rng(0).normal(size=(64, 2))
    tasks = list(itertools.product(covariance_types, map(np.dtype, dtypes)))
    begin = time.perf_counter()
    for done, (covariance_type, dtype) in enumerate(tasks):
        if verbose:
            _show(done, len(tasks), f"{covariance_type} {dtype}", begin)
        X = points.astype(dtype)
        model = GaussianMixture(2, covariance_type=covariance_type, init_params="random", random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X)
        model.predict_proba(X)
    if verbose:
        _show(len(tasks), len(tasks), "done", begin)


def _show(done, total, what, begin):
    """One line, written over where standard error is a terminal."""
    width = 30
    bar = "#" * (width * done // total)
    line = f"[{bar:{width}}] {done}/{total} {time.perf_counter() - begin:5.1f} s  {what:18}"
    over = sys.stderr.isatty()
    end = "" if over and done < total else "\n"
    print(f"\r{line}" if over else line, end=end, file=sys.stderr, flush=True)
