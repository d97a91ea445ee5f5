"""Base class of mixtures whose parameters maximise the likelihood: user's start values, known parameters, criteria."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..model.families.base import NotInFamily
from ..model.parameters import Parameters
from ..sources.annotations import HARD
from .em_mixture import EMMixture
from .validation import check_matrices, check_means, check_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..sources.typing import Points


class MaximumLikelihoodMixture(EMMixture):
    """Fitted by maximum likelihood, or at the mode of a posterior."""

    _parameter_constraints: dict = {
        **EMMixture._parameter_constraints,
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
    }

    @classmethod
    def _given(cls, weights, means, covariances, name, covariance_type, params):
        """(model, its parameters without noise), from a user's arrays; `name` is what messages call the covariances."""
        means = np.asarray(means, dtype=np.float64)
        if means.ndim != 2:
            raise ValueError(f"means should have the shape (n_components, n_features), but got {means.shape}")
        n_components, n_features = means.shape
        model = cls(n_components, covariance_type=covariance_type, **params)
        model._validate_params()
        family = model._covariance_family(n_features)
        weights = check_weights(weights, n_components, "weights", model._has_noise)
        means = check_means(means, n_components, n_features, "means")
        covariances = check_matrices(covariances, family, n_components, n_features, name)
        model.n_features_in_ = n_features
        return model, Parameters(family, weights, means, covariances, family.precisions_cholesky(covariances))

    def _user_start(self, source):
        family = self._covariance_family(source.n_features)
        shape = self.n_components, source.n_features
        weights, means, precisions = self.weights_init, self.means_init, self.precisions_init
        if precisions is not None and not family.takes_precisions:
            raise NotInFamily(family, "takes no precisions_init: give weights_init and means_init, or use warm_start")
        return (
            None if weights is None else check_weights(weights, self.n_components, has_noise=self._has_noise),
            None if means is None else check_means(means, *shape),
            None if precisions is None else check_matrices(precisions, family, *shape, "precision"),
        )

    def bic(self, X: Points, sample_weight: ArrayLike | str | None = None) -> float:
        """Bayesian information criterion on X (Schwarz 1978), nats times -2: the lower the better.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
        sample_weight : array-like of shape (n,), default=None
            Non-negative weight of each point; their sum is the number of points, so integer weights give the same as
            repeated rows.

        Returns
        -------
        bic : float

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> [round(GaussianMixture(k, random_state=0).fit(X).bic(X), 1) for k in (1, 2, 3)]
        [2607.6, 2322.2, 2324.2]
        """
        total, n_points = self._total_log_likelihood(X, sample_weight)
        return -2 * total + self._n_parameters() * math.log(n_points)

    def aic(self, X: Points, sample_weight: ArrayLike | str | None = None) -> float:
        """Akaike information criterion on X (Akaike 1974), nats times -2: the lower the better.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
        sample_weight : array-like of shape (n,), default=None
            Non-negative weight of each point.

        Returns
        -------
        aic : float

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> round(model.aic(X), 1)
        2282.5
        """
        total, _ = self._total_log_likelihood(X, sample_weight)
        return -2 * total + 2 * self._n_parameters()

    def icl(self, X: Points, sample_weight: ArrayLike | str | None = None) -> float:
        """Integrated completed likelihood on X (Biernacki, Celeux & Govaert 2000, eq. 10), nats times -2.

        `bic` with the joint likelihood of the points and their most probable labels in place of the points' likelihood.
        It prefers components that don't overlap. The lower the better.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
        sample_weight : array-like of shape (n,), default=None
            Non-negative weight of each point; their sum is the number of points.

        Returns
        -------
        icl : float

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> round(model.icl(X) - model.bic(X), 1)  # the components hardly overlap
        0.5
        """
        total, n_points = self._total_log_likelihood(X, sample_weight, assignment=HARD)
        return -2 * total + self._n_parameters() * math.log(n_points)

    def _n_parameters(self):
        return self._parameters().n_free
