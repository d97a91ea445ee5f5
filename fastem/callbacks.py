"""Callbacks of scikit-learn's protocol (1.9 or later: `model.set_callbacks(...)`) for long fits."""

from pathlib import Path

__all__ = ["Checkpoint"]


class Checkpoint:
    """Save the model every so many iterations over all the points, to go on from after a crash.

    Parameters
    ----------
    path : str or Path
        The file; it is replaced as a whole each time.
    every : int, default=10
        Iterations between two savings.

    Examples
    --------
    >>> from fastem import GaussianMixture, load
    >>> from fastem.callbacks import Checkpoint
    >>> model = GaussianMixture(3).set_callbacks(Checkpoint("model.npz", every=5))  # doctest: +SKIP
    >>> model.fit(X)                                                                # doctest: +SKIP

    After a crash the fit goes on as if it had not been interrupted, on the same points:

    >>> model = load("model.npz").set_params(warm_start=True).fit(X)                # doctest: +SKIP
    """

    def __init__(self, path, every=10):
        if every < 1:
            raise ValueError(f"every should be 1 or more, but got {every}")
        self.path = Path(path)
        self.every = every

    def setup(self, estimator, context):
        """A fit begins."""
        self._n_iter = 0

    def on_fit_task_begin(self, estimator, context):
        """A start or an iteration begins."""
        if context.task_name == "init":
            self._n_iter = 0

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Save after every so many iterations."""
        if context.task_name == "iteration":
            self._n_iter += 1
            if self._n_iter % self.every == 0:
                fitted_estimator.save(self.path)
        return False

    def teardown(self, estimator, context):
        """The fit is over."""
