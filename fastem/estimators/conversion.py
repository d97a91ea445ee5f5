"""Conversion to and from scikit-learn's estimators, for code (such as skl2onnx) that knows only those."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..files import saving
from ..fitting.report import FitReport
from ..model.families import FAMILIES
from ..model.priors.variational import n_effective

if TYPE_CHECKING:
    from typing import Any, Self

_PARAMETERS = "weights_", "means_", "covariances_", "precisions_cholesky_"
_OTHERS = (
    "precisions_", "converged_", "n_iter_", "lower_bound_", "lower_bounds_", "n_features_in_", "feature_names_in_",
)  # fmt: skip
_OF_A_POSTERIOR = (
    "weight_concentration_", "mean_precision_", "degrees_of_freedom_", "weight_concentration_prior_",
    "mean_precision_prior_", "mean_prior_", "degrees_of_freedom_prior_", "covariance_prior_",
)  # fmt: skip


class ConversionMixin:
    """For estimators whose class and attributes have the same names as one of scikit-learn's."""

    def to_sklearn(self) -> Any:
        """Convert the fitted model to scikit-learn's estimator of the same name.

        Returns
        -------
        model : sklearn.mixture.GaussianMixture
            Or `BayesianGaussianMixture`. It has copies of the fitted attributes and of the constructor arguments that
            both classes share. It predicts, scores and samples as this model does, and `skl2onnx.to_onnx` accepts it.

        Raises
        ------
        NotFittedError
        ValueError
            If the mixture has a noise component.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> model = GaussianMixture(2, algorithm="em", random_state=0).fit(load_faithful().data)
        >>> model.to_sklearn()
        GaussianMixture(n_components=2, random_state=0)
        """
        check_is_fitted(self)
        if hasattr(self, "noise_weight_"):
            raise ValueError("scikit-learn's mixtures have no noise component: fit with noise=False")
        counterpart = _counterpart(type(self))
        params = self.get_params(deep=False)
        params["covariance_type"] = FAMILIES[self.covariance_type].as_sklearn
        model = counterpart(**{name: copy.deepcopy(params[name]) for name in _shared(type(self), counterpart)})
        for name in (*_PARAMETERS, *_OTHERS, *_OF_A_POSTERIOR):
            if hasattr(self, name):
                setattr(model, name, copy.deepcopy(getattr(self, name)))
        self._check_covariance_type()
        model.precisions_cholesky_ = self._factors().copy()
        return model

    @classmethod
    def from_sklearn(cls, model: Any, **params: Any) -> Self:
        """Convert scikit-learn's fitted estimator of the same name; the result can predict, or go on by `warm_start`.

        Parameters
        ----------
        model : sklearn.mixture.GaussianMixture
            Or `BayesianGaussianMixture`. If its attributes were set by hand, it needs at least `weights_`, `means_`,
            `covariances_` and `precisions_cholesky_`.
        **params
            Constructor arguments that replace the model's or are added to them.

        Returns
        -------
        model : GaussianMixture
            Or `BayesianGaussianMixture`, with copies of the constructor arguments and fitted attributes. Its
            `fit_report_` is empty.

        Raises
        ------
        TypeError
            If the model is another kind of estimator.
        NotFittedError
        ValueError
            If constructor arguments or fitted attributes are invalid: inconsistent shapes, weights that don't sum to 1,
            NaN.

        Examples
        --------
        >>> import fastem, sklearn.mixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = sklearn.mixture.GaussianMixture(2, random_state=0).fit(X)
        >>> bool((fastem.GaussianMixture.from_sklearn(model).predict(X) == model.predict(X)).all())
        True
        """
        counterpart = _counterpart(cls)
        if not isinstance(model, counterpart):
            raise TypeError(
                f"from_sklearn takes a sklearn.mixture.{counterpart.__name__}, but got a "
                f"{type(model).__module__}.{type(model).__qualname__}"
            )
        check_is_fitted(model, _PARAMETERS)
        theirs = model.get_params(deep=False)
        shared = {name: copy.deepcopy(theirs[name]) for name in _shared(cls, counterpart)}
        result = cls(**{**shared, **params})
        result._validate_params()
        arrays = {}
        return saving.with_attributes(result, saving.encoded(_attributes(model), arrays), arrays)


def _counterpart(cls):
    """scikit-learn's class of the same name as this class or the nearest of its bases."""
    from sklearn import mixture  # slow to import

    return getattr(mixture, next(base.__name__ for base in cls.__mro__ if base.__name__ in mixture.__all__))


def _shared(cls, counterpart):
    """Names of the constructor arguments that both classes have."""
    return [name for name in counterpart._get_param_names() if name in cls._get_param_names()]


def _attributes(model):
    """Copies of a scikit-learn model's fitted attributes; defaults for those that a model set by hand lacks."""
    family = FAMILIES[model.covariance_type]
    weights, means, covariances, factors = (_floats(getattr(model, name)) for name in _PARAMETERS)
    factors = family.upper_factors(factors)
    attributes = {
        "weights_": weights,
        "means_": means,
        "covariances_": covariances,
        "precisions_": family.precisions(factors),
        "precisions_cholesky_": factors,
        "converged_": False,
        "n_iter_": 0,
        "lower_bound_": -math.inf,
        "lower_bounds_": [],
        "n_features_in_": means.shape[-1],
        "fit_report_": FitReport(),
    }
    given = {name: copy.deepcopy(getattr(model, name)) for name in _OTHERS if hasattr(model, name)}
    if "precisions_" in given:
        given["precisions_"] = _floats(given["precisions_"])
    if hasattr(model, "weight_concentration_"):
        given |= _of_a_posterior(model)
    for name in ("lower_bound_", "lower_bounds_"):
        if name in given:  # arrays of one element for a tied posterior
            given[name] = np.reshape(given[name], -1 if name.endswith("s_") else ()).tolist()
    return {**attributes, **given}


def _of_a_posterior(model):
    """Copies of the attributes that a variational posterior has and a plain mixture hasn't."""
    given = {name: copy.deepcopy(getattr(model, name)) for name in _OF_A_POSTERIOR}
    n_points = model.mean_precision_ - model.mean_precision_prior_
    given["n_components_effective_"] = n_effective(n_points)
    given["evidence_lower_bound_"] = math.nan
    return given


def _floats(values):
    """A copy: float32 if the values are float32, else float64."""
    values = np.asarray(values)
    return np.array(values, dtype=np.float32 if values.dtype == np.float32 else np.float64)
