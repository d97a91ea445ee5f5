"""`select`: a mixture for each number of components and covariance type, and the best one by a criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone

from ..estimators.gaussian_mixture import GaussianMixture
from ..kernels.threads import thread_limits
from ..model.families import FAMILIES, FOURTEEN, STANDARD
from .selected import CRITERIA, SelectionProgress, Watch
from .selector import Selector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike

    from ..estimators.student_mixture import StudentTMixture
    from ..sources.typing import Points
    from .selected import Selection


def select(
    X: Points,
    n_components: Iterable[int] | int = range(1, 10),
    covariance_type: Iterable[str] | str = STANDARD,
    criterion: str = "bic",
    *,
    n_factors: Iterable[int] | int | None = None,
    sample_weight: ArrayLike | str | None = None,
    n_folds: int = 5,
    one_standard_error: bool = False,
    estimator: GaussianMixture | StudentTMixture | None = None,
    verbose: int = 0,
    callbacks: Callable[[SelectionProgress], Any] | Sequence[Callable[[SelectionProgress], Any]] = (),
    **params: Any,
) -> Selection:
    """Fit a mixture for each number of components and covariance type, and find the best one by a criterion.

    Parameters
    ----------
    X : array-like of shape (n, D), or a source as in `GaussianMixture.fit`
    n_components : iterable of int, or int, default=range(1, 10)
    covariance_type : iterable of str, or str, default=('full', 'tied', 'diag', 'spherical')
        'all': mclust's fourteen, from EII to VVV.
    criterion : {'bic', 'aic', 'icl', 'held_out'}, default='bic'
        The first three are those of the methods of `GaussianMixture`, the lower the better. 'held_out' is the mean
        log-likelihood of left-out points by cross-validation, the higher the better.
    n_factors : iterable of int, or int, default=None
        Numbers of factors to try, for the type 'factors'.
    sample_weight : array-like of shape (n,), default=None
        Non-negative weights of the points, as in `GaussianMixture.fit`.
    n_folds : int, default=5
        Number of folds of the cross-validation, into which `random_state` shuffles the points. Each fold is scored by
        mixtures fitted to the other folds only.
    one_standard_error : bool, default=False
        With criterion 'held_out': of the combinations whose score is within one standard error of the best, choose the
        one with the fewest free parameters (Breiman et al. 1984; Hastie, Tibshirani & Friedman 2009, section 7.10).
    estimator : GaussianMixture or StudentTMixture, default=None
        What to fit: an estimator of which clones are fitted, such as `StudentTMixture()`. None: `GaussianMixture()`.
    verbose : int, default=0
        1 prints a line for every combination: how many are done, the best so far, the time left.
    callbacks : callable, or sequence of callables, default=()
        Called after every combination with a `SelectionProgress`, which has the same as attributes.
    **params
        Further arguments of the estimator.

    Returns
    -------
    selection : Selection
        `print` it, or draw it by `selection.plot()`.

    Raises
    ------
    ValueError
        If there is no combination to try, an argument is invalid, or no combination can be fitted.

    Warns
    -----
    DegenerateFitWarning
        About the best mixture, as in `fit`: if it is collapsed (then all are), or if reg_covar decides on a feature.

    Notes
    -----
    The likelihood of a mixture is unbounded, as a component may shrink onto few points (Day 1969). On small samples
    BIC, AIC and ICL alone would therefore choose mixtures with spikes. So collapsed mixtures are ranked after those
    that are 'ok' or 'spurious'.

    Spurious maxima (McLachlan & Peel 2000, section 3.10) are less extreme, but predict badly. They are looked for if
    the best mixture by the criterion has a component with fewer than 10 points for each of its free parameters. Each
    tenth of the points is then left out of one M-step and scored by its result. The best mixture stands unless one with
    fewer parameters predicts the left-out points better by more than 1 nat in all. If one does, the best is 'spurious',
    and the next best is tested. (In regular models this can't happen: the log-likelihood of left-out points is lower by
    about the number of parameters, Stone 1977, and BIC's penalty is larger than that.)

    Examples
    --------
    >>> from fastem import select
    >>> from fastem.datasets import load_faithful
    >>> selection = select(load_faithful().data, range(1, 5), random_state=0)
    >>> selection.best_estimator_.n_components, selection.best_estimator_.covariance_type
    (3, 'tied')
    """
    counts = [n_components] if isinstance(n_components, int | np.integer) else sorted(set(n_components))
    covariance_type = FOURTEEN if isinstance(covariance_type, str) and covariance_type == "all" else covariance_type
    types = [covariance_type] if isinstance(covariance_type, str) else list(dict.fromkeys(covariance_type))
    if not counts or not types:
        raise ValueError("n_components and covariance_type should each have at least one value")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion should be one of {', '.join(CRITERIA)}, but got {criterion!r}")
    if n_folds < 2:
        raise ValueError(f"n_folds should be 2 or more, but got {n_folds}")
    if one_standard_error and criterion != "held_out":
        raise ValueError(
            f"one_standard_error needs criterion='held_out', but criterion is {criterion!r}: change one of them"
        )
    listeners = list(callbacks) if hasattr(callbacks, "__iter__") else [callbacks]
    if not all(map(callable, listeners)):
        raise ValueError(f"callbacks should be functions of one argument, but got {callbacks!r}")
    if verbose:
        listeners.insert(0, lambda progress: print(progress, flush=True))
    of_factors = n_factors if n_factors is None or isinstance(n_factors, int | np.integer) else sorted(set(n_factors))
    models = [
        _model(estimator, n_components=k, covariance_type=each, **({} if q is None else {"n_factors": q}), **params)
        for each in types
        for q in _factors_of(each, of_factors)
        for k in counts
    ]
    for model in models:
        model._validate_params()
    with thread_limits(models[0].n_threads):
        watch = Watch(listeners, criterion)
        return Selector(X, sample_weight, models, criterion, n_folds, one_standard_error, watch).selection()


def _model(estimator, **params):
    return GaussianMixture(**params) if estimator is None else clone(estimator).set_params(**params)


def _factors_of(covariance_type, n_factors):
    """The values of `n_factors` to try with a covariance type: None alone if it ignores them."""
    if covariance_type not in FAMILIES or FAMILIES[covariance_type].ignores_factors:
        return [None]
    return n_factors if isinstance(n_factors, list) else [n_factors]
