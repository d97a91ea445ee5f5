"""`partial_fit`: the estimators' interface to online EM."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_random_state

from ..fitting.online import OnlineEM
from ..kernels.threads import numba_limit, thread_limits
from .labels import coded
from .validation import features_kept_if_it_fails

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike

    from ..sources.typing import Points


class StreamingMixin:
    """For estimators that have the parameter `forgetting`; the state of the stream is in `_online`."""

    def partial_fit(
        self,
        X: Points,
        y: Any = None,
        sample_weight: ArrayLike | str | None = None,
        labels: ArrayLike | str | None = None,
    ) -> Self:
        """Update the mixture with a batch of points: one step of online EM (Cappe & Moulines 2009, eqs. 11 and 12).

        The statistics of earlier points fade, as `forgetting` says, and those of the batch are added. An M-step follows
        once a quarter of the statistics is new: at first after every batch, later after several. The first batches are
        held and fitted together, as by `fit`, until there are max(100, 10 D) points per component. After `fit`, the
        mixture counts for the points of that fit; after `from_parameters`, for none. With covariance_type='factors' a
        point keeps the expectations of its factors under the loadings of its time, as it keeps its responsibilities.
        The volume of a noise component is the one passed, or that of the earlier fit. Arguments that were changed since
        the last batch hold from this one on.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
            There is no mixture before the batches together have `n_components` points.
        y : ignored
        sample_weight, labels : as in `fit`
            Labels may be words once the components have names (`component_names_`), as after a `fit` with words.

        Returns
        -------
        self : estimator
            Once there is a mixture, each batch appends its mean log-likelihood (nats per point or unit of weight)
            before the update to `lower_bounds_`. Those of an earlier `fit` stay, except a Bayesian mixture's, which are
            in nats in all. `lower_bound_` is the last of them, `n_iter_` their number, `n_samples_seen_` the number of
            all points.

        Raises
        ------
        ValueError
            As in `fit`; the batch then has no effect.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0)
        >>> for start in range(0, len(X), 68):
        ...     _ = model.partial_fit(X[start : start + 68])
        >>> model.n_samples_seen_, model.means_.round().tolist()
        (272, [[2.0, 54.0], [4.0, 80.0]])
        """
        if sample_weight is not None or labels is not None or not self._take_in_rows(X):
            self._partial_fit(X, sample_weight, labels)
        return self

    def _take_in_rows(self, X):
        """Take in a small batch like those before, with few checks; False, and no change, if it needs the full ones."""
        online = self.__dict__.get("_online")
        if online is None or type(X) is not np.ndarray or X.dtype not in (np.float64, np.float32) or X.ndim != 2:
            return False
        as_before = X.shape[1] == self.n_features_in_ and not hasattr(self, "feature_names_in_")
        if not as_before or self._online_params != self._params_that_count() or self.assignment != "soft":
            return False
        parameters = online.parameters
        with numba_limit(self.n_threads):
            taken = online.take_in_rows(X, self, self.forgetting)
        if not taken:
            return False
        self._show(online, X.dtype, parameters is not online.parameters)
        return True

    def _params_that_count(self):
        of_em = self.n_components, self.covariance_type, self.reg_covar, self.forgetting, self.assignment
        return *of_em, self.n_threads, getattr(self, "noise", False)

    @_fit_context(prefer_skip_nested_validation=True)
    def _partial_fit(self, X, sample_weight, labels):
        is_first = not hasattr(self, "n_features_in_")
        with features_kept_if_it_fails(self):
            source = self._source(X, reset=is_first, excluded_columns=(sample_weight, labels))
            source = self._scan(source, reset=is_first)
            annotations = self._annotations(source, sample_weight, self._numbered(source, labels), is_batch=True)
            settings, online = replace(self._settings(source), truncated=False), self._taken_in(source)
            random_state, parameters = check_random_state(self.random_state), online.parameters
            with thread_limits(self.n_threads):
                online.take_in(source, annotations, settings, self.forgetting, random_state)
        self._show(online, source.dtype, online.parameters is not parameters)
        self._online, self._online_params = online, self._params_that_count()

    def _family_of_stream(self, parameters):
        """The family of the M-steps to come, as the arguments say now; parameters: the mixture so far."""
        return parameters.family

    def _numbered(self, source, labels):
        """Labels as numbers of components; words are those of components that have names."""
        if labels is None:
            return None
        known = getattr(self, "component_names_", None)
        labels, names = coded(source.labels(labels), self.n_components, known, self._has_noise)
        if names is not None and known is None:
            raise ValueError(
                "labels of a batch can be words only if the components have names: call fit first, with words, or give "
                "numbers of components"
            )
        return labels

    def _taken_in(self, source):
        """The state of the stream: what `fit` and `partial_fit` have taken in so far."""
        parameters = None
        if hasattr(self, "means_"):
            parameters = self._warm_start(source, "partial_fit", "To start anew, call fit, or make a new model.")
            parameters = replace(parameters, family=self._family_of_stream(parameters))
        if hasattr(self, "_online"):
            if parameters is None or self._online_params == self._params_that_count():
                return self._online
            online = copy.copy(self._online)  # so that nothing changes if the batch is refused
            online.parameters = replace(online.parameters, family=parameters.family)
            return online
        if parameters is None:
            if self._finds_volume:
                raise ValueError(
                    "partial_fit can't know the volume that a stream's points will fill: pass it, noise=VOLUME, or "
                    "fit some points first"
                )
            return OnlineEM(self._family)
        counts = getattr(self, "_weight_seen", 0.0), getattr(self, "n_samples_seen_", 0)
        lower_bounds = self.lower_bounds_ if self._bound.endswith("per point") else ()  # as the batches' are
        return OnlineEM(self._family, parameters, *counts, lower_bounds, self.reg_covar)

    def _show(self, online, dtype, is_new):
        """Set the fitted attributes from the stream; the parameters only if they are new."""
        if is_new:
            self._set_result(online.result, dtype)
            self._online = online
        self.n_samples_seen_, self._weight_seen = online.n_samples, online.weight
        if online.lower_bounds:
            self.lower_bounds_, self.lower_bound_ = online.lower_bounds, online.lower_bounds[-1]
            self.n_iter_ = len(online.lower_bounds)
