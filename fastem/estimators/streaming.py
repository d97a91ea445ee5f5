"""`partial_fit`: an estimator's side of online EM."""

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_random_state

from ..fitting.online import OnlineEM
from ..kernels.threads import numba_limit, thread_limits


class StreamingMixin:
    """For estimators that have a `forgetting`; what they have taken in is in `_online`."""

    def partial_fit(self, X, y=None, sample_weight=None, labels=None):
        """Take in a batch of points: one step of online EM (Cappe & Moulines 2009, eqs. 11 and 12).

        The statistics of the points so far fade, as `forgetting` says, and this batch's come in. An M-step follows
        once a quarter of them is new: after every batch at first, later after several. The first batches, until there
        are 100 points for each component (10 for each feature of it, where those are more), are held and fitted
        together, as by `fit`. After `fit`, or on a model from known numbers, the mixture counts as many points as
        were fitted (from known numbers: none).

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
            The first batches together need `n_components` points before there is a mixture.
        y : ignored
        sample_weight, labels : as in `fit`

        Returns
        -------
        self : estimator
            `lower_bounds_` go on with the batches' mean log-likelihoods, each before it is taken in, from the time when
            there is a mixture (after `fit`, from its own, but for a Bayesian mixture's, nats in all); `lower_bound_` is
            the last, `n_iter_` their number, `n_samples_seen_` that of all points.

        Raises
        ------
        ValueError
            As `fit`; the batch then is not taken in.
        """
        if sample_weight is not None or labels is not None or not self._take_in_rows(X):
            self._partial_fit(X, sample_weight, labels)
        return self

    def _take_in_rows(self, X):
        """A small batch as those before, without ado; False, and no change: it takes more looking at."""
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
        return self.n_components, self.covariance_type, self.reg_covar, self.forgetting, self.assignment, self.n_threads

    @_fit_context(prefer_skip_nested_validation=True)
    def _partial_fit(self, X, sample_weight, labels):
        is_first = not hasattr(self, "n_features_in_")
        with self._unless_it_fails():
            source = self._source(X, reset=is_first, excluded_columns=(sample_weight, labels))
            self._scan(source, reset=is_first)
            annotations = self._annotations(source, sample_weight, labels, is_batch=True)
            settings, online = self._settings(source), self._taken_in(source)
            random_state, parameters = check_random_state(self.random_state), online.parameters
            with thread_limits(self.n_threads):
                online.take_in(source, annotations, settings, self.forgetting, random_state)
        self._show(online, source.dtype, online.parameters is not parameters)
        self._online, self._online_params = online, self._params_that_count()

    def _taken_in(self, source):
        """What `fit` and `partial_fit` have taken in so far."""
        parameters = None
        if hasattr(self, "means_"):
            parameters = self._warm_start(source, "partial_fit", "Fit, or make a new model, to start anew.")
        if hasattr(self, "_online"):
            return self._online
        if parameters is None:
            return OnlineEM(self._family)
        counts = getattr(self, "_weight_seen", 0.0), getattr(self, "n_samples_seen_", 0)
        lower_bounds = self.lower_bounds_ if self._bound.endswith("per point") else ()  # as the batches' are
        return OnlineEM(self._family, parameters, *counts, lower_bounds, self.reg_covar)

    def _show(self, online, dtype, is_new):
        """The fitted attributes of a stream, parameters where they are new."""
        if is_new:
            self._set_result(online.result, dtype)
            self._online = online
        self.n_samples_seen_, self._weight_seen = online.n_samples, online.weight
        if online.lower_bounds:
            self.lower_bounds_, self.lower_bound_ = online.lower_bounds, online.lower_bounds[-1]
            self.n_iter_ = len(online.lower_bounds)
