"""What a fitted mixture says of some features given others: marginals, conditionals, missing values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..kernels.threads import numba_limit
from ..model import conditioning
from ..sources import check_numbers
from ..sources.incomplete import incomplete_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.random import RandomState
    from numpy.typing import ArrayLike, NDArray

    from .gaussian_mixture import GaussianMixture

# Least and greatest volume of noise that the constructor takes; others stand in the fitted attributes alone.
_VOLUMES = np.finfo(np.float64).tiny, np.finfo(np.float64).max


class ConditioningMixin:
    """For fitted mixtures."""

    _marginal = staticmethod(conditioning.marginal)
    _conditional = staticmethod(conditioning.conditional)

    def component_log_densities(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-density of each component at each point, without the components' weights.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        log_densities : ndarray of shape (n, K), float64
            log N(x_i; mean_k, covariance_k), nats (Bishop 2006, eq. 2.43).

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> model.component_log_densities([[4.5, 80.0]]).round(1)
        array([[-47.7,  -2.8]])
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return conditioning.component_log_densities(self._parameters(), X)

    def marginal(self, features: Sequence[int] | Sequence[str] | int | str) -> GaussianMixture:
        """The mixture of some of the features, the others integrated out (Bishop 2006, eq. 2.98).

        Parameters
        ----------
        features : int, str, or sequence of them
            Indices or names, each once; the result has them in this order.

        Returns
        -------
        model : GaussianMixture
            Fitted, with the names of these features. With a constrained family its covariances are 'full'. Noise is
            taken to fill a box along the axes, so its volume loses the sides of the other features.

        Raises
        ------
        NotFittedError
        ValueError
            If there is no such feature, or one is named twice.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> model = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> model.marginal([1]).means_.shape
        (2, 1)
        """
        check_is_fitted(self)
        indices = self._indices([features] if isinstance(features, (int, str, np.integer)) else list(features))
        if not indices:
            raise ValueError("features should name at least one feature")
        return self._over(self._marginal(self._parameters(), indices), indices)

    def conditional(self, x: ArrayLike | Mapping[Any, float]) -> GaussianMixture:
        """The mixture of the unknown features given the known ones (Bishop 2006, eqs. 2.81 and 2.82).

        Parameters
        ----------
        x : array-like of shape (D,), or dict
            A point with NaN for what is unknown; or the known values by the index or name of their feature.

        Returns
        -------
        model : GaussianMixture
            Fitted, over the unknown features in their order, with their names. Its weights are the responsibilities of
            the components for what is known.

        Raises
        ------
        NotFittedError
        ValueError
            If there is no such feature, a value is infinite, or nothing is unknown.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> model = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> waiting = model.conditional([4.5, float("nan")])
        >>> waiting.means_.shape
        (2, 1)
        """
        check_is_fitted(self)
        n_features = self.means_.shape[1]
        if hasattr(x, "keys"):
            point = np.full(n_features, np.nan)
            names = list(x.keys())
            point[self._indices(names)] = [x[name] for name in names]
        else:
            point = np.asarray(x, dtype=np.float64)
            if point.shape != (n_features,):
                raise ValueError(f"x should have the shape ({n_features},), or be a dict; got shape {point.shape}")
        if np.isinf(point).any():
            raise ValueError("x should hold finite values, or NaN for what is unknown; it holds infinity")
        observed, missing = np.flatnonzero(~np.isnan(point)), np.flatnonzero(np.isnan(point))
        if not missing.size:
            raise ValueError("x should leave at least one feature unknown (NaN), but has a value for each")
        mixture = self._conditional(self._parameters(), observed, missing, point[observed])
        return self._over(mixture, missing.tolist())

    def impute(
        self,
        X: ArrayLike,
        *,
        n_draws: int | None = None,
        return_std: bool = False,
        random_state: int | RandomState | None = None,
    ) -> Any:
        """Fill in missing values from what the mixture says given the observed ones.

        That is also regression: give rows whose target is NaN to a model that was fitted to features and target.

        Parameters
        ----------
        X : array-like of shape (n, D)
            NaN where a value is missing. Rows without any value get the mixture's mean. Noise counts with the middle of
            its box.
        n_draws : int, default=None
            Draw that many values for each missing one from their joint distribution given the row's observed values
            (multiple imputation). None: take their expectation.
        return_std : bool, default=False
            Also return the standard deviation of each missing value given the row's observed ones.
        random_state : int, RandomState or None, default=None
            For the draws.

        Returns
        -------
        filled : ndarray of shape (n, D), or (n_draws, n, D), float64
            X with its missing values filled in.
        std : ndarray of shape (n, D)
            Only if `return_std`: 0 where a value was observed.

        Raises
        ------
        NotFittedError
        ValueError
            If X holds infinity or has other features, or if both `n_draws` and `return_std` are given.

        Notes
        -----
        Rows that lack the same features are filled in together; each such pattern costs K Cholesky factors, and K
        eigendecompositions for draws.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> model.impute([[4.5, float("nan")]]).round(1)
        array([[ 4.5, 81.1]])
        >>> filled, deviation = model.impute([[4.5, float("nan")]], return_std=True)
        >>> deviation.round(1)
        array([[0. , 5.6]])
        """
        check_is_fitted(self)
        if n_draws is not None and return_std:
            raise ValueError("n_draws and return_std exclude each other: the draws show the deviation")
        if n_draws is not None and n_draws < 1:
            raise ValueError(f"n_draws should be 1 or more, or None; got {n_draws}")
        self._covariance_family().with_missing_values()
        check_numbers(X, "X")
        X = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        points, parameters = incomplete_rows(X), self._parameters()
        if n_draws is not None:
            return conditioning.draws(parameters, X, points.groups(), n_draws, check_random_state(random_state))
        with numba_limit(self.n_threads):
            filled = points.expected(parameters, X.copy())
            return (filled, points.deviations(parameters)) if return_std else filled

    def _indices(self, features):
        """Indices of features that are given by index or name."""
        n_features, names = self.means_.shape[1], list(getattr(self, "feature_names_in_", ()))
        indices = []
        for feature in features:
            if isinstance(feature, str):
                if feature not in names:
                    known = f"its features are {', '.join(map(str, names))}" if names else "its features have no names"
                    raise ValueError(f"the mixture has no feature {feature!r}: {known}")
                indices.append(names.index(feature))
            elif isinstance(feature, (int, np.integer)) and -n_features <= feature < n_features:
                indices.append(int(feature) % n_features)
            else:
                raise ValueError(f"features should be names, or indices below {n_features}; got {feature!r}")
        if len(set(indices)) < len(indices):
            raise ValueError(f"each feature should be named once, got {features}")
        return indices

    def _over(self, parameters, indices):
        """A fitted GaussianMixture with these parameters, over some of this mixture's features."""
        from .gaussian_mixture import GaussianMixture

        family, noise = parameters.family, {}
        if parameters.noise_weight is not None:
            noise["noise"] = float(np.clip(family.noise.volume, *_VOLUMES))
        model = GaussianMixture.from_parameters(
            parameters.weights,
            parameters.means,
            parameters.covariances,
            covariance_type=family.name,
            random_state=self.random_state,
            n_threads=self.n_threads,
            missing=getattr(self, "missing", "error"),
            **noise,
        )
        if noise:
            model.noise_volume_, model.noise_box_ = family.noise.volume, family.noise.box
        return self._named(model, indices)

    def _named(self, model, indices):
        """A model over some of the features, with the names of these and of the components."""
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_[indices]
        for name in ("component_names_", "classes_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name).copy())
        return model
