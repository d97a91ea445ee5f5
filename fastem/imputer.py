"""MixtureImputer: missing values filled in by a Gaussian mixture, as a step of a scikit-learn pipeline."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from .estimators.gaussian_mixture import GaussianMixture
from .estimators.validation import features_kept_if_it_fails
from .model.families import FAMILIES
from .sources import check_numbers

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.random import RandomState
    from numpy.typing import ArrayLike, NDArray

# Candidates if no mixture is given, from which BIC chooses; the larger ones are tried if the largest small one is best.
_TYPES, _SMALL, _LARGE = ("full", "tied"), (1, 2, 3), (3, 4, 5, 6)
# Observed values for each parameter of a candidate with more than one component, at least.
_VALUES = 2


class MixtureImputer(TransformerMixin, BaseEstimator):
    """Fills in missing values with what a Gaussian mixture expects given the row's observed values.

    Parameters
    ----------
    estimator : GaussianMixture, default=None
        The mixture to fit; a clone with `missing='em'` is. None: BIC chooses among 1 to 6 components, each with a
        covariance matrix of its own ('full') or all with one ('tied').
    missing_values : float, default=nan
        The value that stands for a missing one. NaN always does.
    add_indicator : bool, default=False
        Append a column of zeros and ones for each feature that lacked values in `fit`: whether the value was missing.
    keep_empty_features : bool, default=False
        What becomes of features without any value in `fit`: False drops them, True fills them with 0.
    random_state : int, RandomState or None, default=None
        Only for `estimator=None`.

    Attributes
    ----------
    mixture_ : GaussianMixture
        Fitted to the features that have values.
    indicator_ : sklearn.impute.MissingIndicator or None
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if X has feature names that are all strings.

    Notes
    -----
    Values are assumed to be missing at random. Draws in place of expectations, for multiple imputation, and standard
    deviations are `mixture_.impute(X, n_draws=..)` and `mixture_.impute(X, return_std=True)`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import MixtureImputer
    >>> X = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, np.nan]])
    >>> MixtureImputer(random_state=0).fit_transform(X).round(2)
    array([[1., 2.],
           [2., 4.],
           [3., 6.],
           [4., 8.]])
    """

    _parameter_constraints: dict = {
        "estimator": [GaussianMixture, None],
        "missing_values": [Real],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: GaussianMixture | None = None,
        *,
        missing_values: float = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Fit the mixture to the rows, complete or not.

        Parameters
        ----------
        X : array-like of shape (n, D)
        y : ignored

        Returns
        -------
        self : MixtureImputer

        Raises
        ------
        ValueError
            If X holds infinity or too few rows for the mixture.
        """
        self._validate_params()
        with features_kept_if_it_fails(self):
            X = self._with_nan(X, reset=True)
            has_value = ~np.isnan(X).all(axis=0)
            mixture = self._fitted(X[:, has_value]) if has_value.any() else None
        self.mixture_, self._has_value, self.indicator_ = mixture, has_value, None
        if self.add_indicator:
            from sklearn.impute import MissingIndicator  # slow to import

            self.indicator_ = MissingIndicator(error_on_new=False).fit(X)
        return self

    def _fitted(self, X):
        if self.estimator is not None:
            return clone(self.estimator).set_params(missing="em").fit(X)
        from .selection import select

        if len(X) < 2:
            X = np.repeat(X, 2, axis=0)  # one row says no more than itself
        variances = np.nanvar(X, axis=0)
        given = {
            "missing": "em",
            "algorithm": "em",
            "random_state": self.random_state,
            # In the unit of the data, which the user may not know to matter.
            "reg_covar": 1e-6 * float(variances[variances > 0].min(initial=np.inf)) if (variances > 0).any() else 1e-6,
        }
        n_values = np.count_nonzero(~np.isnan(X))
        best = None
        for sizes in (_SMALL, _LARGE):
            possible = [size for size in sizes if size == 1 or self._suffices(size, X.shape[1], n_values)]
            if possible and (best is None or best.n_components == sizes[0]):
                best = select(X, possible, _TYPES, **given).best_estimator_
        return best

    @staticmethod
    def _suffices(n_components, n_features, n_values):
        """Whether so many values suffice for a mixture of so many components."""
        return _VALUES * FAMILIES["full"].n_free_in_all(n_components, n_features) <= n_values

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Fill in the missing values.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        filled : ndarray of shape (n, D'), float64
            Without the features that had no value in `fit`, unless they are kept, and with the indicator's columns, if
            asked for.

        Raises
        ------
        NotFittedError
        ValueError
            If X holds infinity or has other features.
        """
        check_is_fitted(self)
        X = self._with_nan(X, reset=False)
        filled = np.where(np.isnan(X), 0.0, X)
        if self.mixture_ is not None:
            filled[:, self._has_value] = self.mixture_.impute(X[:, self._has_value])
        if not self.keep_empty_features:
            filled = filled[:, self._has_value]
        return filled if self.indicator_ is None else np.hstack([filled, self.indicator_.transform(X)])

    def _with_nan(self, X, reset):
        """X checked, as float64, with NaN for what is missing."""
        check_numbers(X, "X")
        X = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        return X if np.isnan(self.missing_values) else np.where(self.missing_values == X, np.nan, X)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str of shape (D,), default=None
            Names of the features; by default those of `fit`, or x0, x1, ...

        Returns
        -------
        names : ndarray of str
        """
        from sklearn.utils.validation import _check_feature_names_in

        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[self._has_value]
        return kept if self.indicator_ is None else np.hstack([kept, self.indicator_.get_feature_names_out(names)])

    def __sklearn_is_fitted__(self):
        return hasattr(self, "mixture_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
