"""Compile the kernels before anyone waits for them."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .gaussian_mixture import GaussianMixture


def warm_up(covariance_types=("full", "tied", "diag", "spherical")):
    """Compile and cache the kernels of some covariance types, for fitting and for prediction.

    Kernels are compiled when first used (seconds) and cached on disk, beside the package or where NUMBA_CACHE_DIR
    says; a process that finds them there starts at once. Call this when an image is built or a service starts.

    Parameters
    ----------
    covariance_types : iterable of str, default=all four

    Examples
    --------
    >>> import fastem
    >>> fastem.warm_up(["full"])
    """
    points = np.random.default_rng(0).normal(size=(64, 2))
    for covariance_type in covariance_types:
        model = GaussianMixture(2, covariance_type=covariance_type, init_params="random", random_state=0)
        for dtype in (np.float64, np.float32):  # predictions are written in the data's precision
            X = points.astype(dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X)
            model.predict_proba(X)
