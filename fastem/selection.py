"""How many components, and of which shape: a mixture for every combination, and the one with the best criterion."""

import math
import warnings
from dataclasses import dataclass
from itertools import product
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .covariance import FAMILIES
from .gaussian_mixture import GaussianMixture
from .sources import as_source

CRITERIA = "bic", "aic", "icl"


@dataclass
class Selection:
    """What `select` found.

    Attributes
    ----------
    best_estimator_ : GaussianMixture
        Fitted, with the lowest criterion.
    results_ : dict of str to ndarray
        A row for each combination, ready for `pandas.DataFrame`: 'n_components', 'covariance_type', 'log_likelihood'
        (mean, nats), 'bic', 'aic', 'icl' (nats times -2, the lower the better), 'rank' by the criterion from 1 on,
        'n_iter', 'converged', 'seconds', and 'status': '' or why there is no fit (its numbers are NaN then).
    criterion : str
    best_index_ : int
        The best one's row.
    """

    best_estimator_: GaussianMixture
    results_: dict
    criterion: str
    best_index_: int


def select(
    X,
    n_components=range(1, 10),
    covariance_type=("full", "tied", "diag", "spherical"),
    criterion="bic",
    *,
    sample_weight=None,
    **params,
):
    """Fit a mixture for every number of components and covariance type, and find the best by a criterion.

    Parameters
    ----------
    X : array-like of shape (n, D), or a source as in `GaussianMixture.fit`
    n_components : iterable of int, or int
    covariance_type : iterable of str, or str
    criterion : {'bic', 'aic', 'icl'}
        As the methods of `GaussianMixture`: the lower the better.
    sample_weight : array-like of shape (n,), default=None
    **params
        Further arguments of `GaussianMixture`.

    Returns
    -------
    selection : Selection

    Raises
    ------
    ValueError
        Where there is nothing to choose from, the criterion is none of the three, or no combination could be fitted.

    Examples
    --------
    >>> from fastem import select
    >>> from fastem.datasets import load_faithful
    >>> selection = select(load_faithful().data, range(1, 5), random_state=0)
    >>> selection.best_estimator_.n_components, selection.best_estimator_.covariance_type
    (3, 'tied')
    """
    counts = [n_components] if isinstance(n_components, int | np.integer) else list(n_components)
    types = [covariance_type] if isinstance(covariance_type, str) else list(covariance_type)
    if not counts or not types:
        raise ValueError("n_components and covariance_type should name one value or more each")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion should be one of {', '.join(CRITERIA)}, but got {criterion!r}")
    for each in types:
        if each not in FAMILIES:
            raise ValueError(f"covariance_type should be among {', '.join(FAMILIES)}, but got {each!r}")
    source = as_source(X)
    X = X if source is None else source
    rows, best = [], None
    for n, each in product(counts, types):
        row, model = _fitted(GaussianMixture(n, covariance_type=each, **params), X, sample_weight)
        rows.append(row)
        if model is not None and (best is None or row[criterion] < rows[best[0]][criterion]):
            best = len(rows) - 1, model
    if best is None:
        raise ValueError(f"no combination could be fitted; the last: {rows[-1]['status']}")
    results = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    order = np.argsort(results[criterion], kind="stable")
    results["rank"] = np.empty(len(rows), int)
    results["rank"][order] = np.arange(1, len(rows) + 1)
    return Selection(best[1], results, criterion, best[0])


def _fitted(model, X, sample_weight):
    """(row of the results, fitted model or None where it can't be)."""
    row = {"n_components": model.n_components, "covariance_type": model.covariance_type}
    began = perf_counter()
    status = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 'converged' says so
            model.fit(X, sample_weight=sample_weight)
    except ValueError as error:
        if "collapsed" not in str(error) and "n_samples >= n_components" not in str(error):
            raise
        status = " ".join(str(error).split())
    known = {"sample_weight": sample_weight}
    row["log_likelihood"] = math.nan if status else float(model.score(X, **known))
    for criterion in CRITERIA:
        row[criterion] = math.nan if status else float(getattr(model, criterion)(X, **known))
    row["n_iter"] = 0 if status else model.n_iter_
    row["converged"] = not status and model.converged_
    row["seconds"] = perf_counter() - began
    row["status"] = status
    return row, None if status else model
