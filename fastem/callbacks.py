"""Callbacks, which are told of every iteration over all the points: `model.set_callbacks(...)`.

They follow scikit-learn's protocol (`sklearn.callback`, from 1.9 on; fastem brings it for earlier versions). A callback
is any object with these methods; `context.task_name` is 'fit', 'init' (a start and the run from it) or 'iteration':

- `setup(estimator, context)`: a fit begins;
- `on_fit_task_begin(estimator, context, *, ...)`: a task begins;
- `on_fit_task_end(estimator, context, *, ...)`: a task is over; return True to end what it is a part of;
- `teardown(estimator, context)`: the fit is over, whether it went well or not.

The two in the middle are given what they name after the `*`: `fitted_estimator`, a model as if the fit had stopped
there (`n_iter_` iterations, `lower_bound_`, `weights_`, `means_`, `covariances_`; None where a 'fit' or 'init' begins),
and `X` and `y` as they were passed. With `algorithm='auto'` iterations on samples are no tasks; with
`algorithm='em'` every start is one.

>>> from fastem import GaussianMixture
>>> from fastem.datasets import load_faithful
>>> class Follow:
...     def setup(self, estimator, context): pass
...     def on_fit_task_begin(self, estimator, context): pass
...     def on_fit_task_end(self, estimator, context, *, fitted_estimator):
...         if context.task_name == "iteration" and fitted_estimator.n_iter_ <= 3:
...             print(fitted_estimator.n_iter_, round(fitted_estimator.lower_bound_, 3))
...     def teardown(self, estimator, context): pass
>>> model = GaussianMixture(2, random_state=0, algorithm="em").set_callbacks(Follow())
>>> _ = model.fit(load_faithful().data)
1 -4.204
2 -4.16
3 -4.156
"""

from pathlib import Path

__all__ = ["Checkpoint", "Frames"]


class _Callback:
    """Does nothing at any time."""

    def setup(self, estimator, context):
        """A fit begins."""

    def on_fit_task_begin(self, estimator, context):
        """A start or an iteration begins."""

    def on_fit_task_end(self, estimator, context):
        """A start or an iteration is over."""

    def teardown(self, estimator, context):
        """The fit is over."""


class Frames(_Callback):
    """Keep the mixture of every iteration over all the points: the frames of the film.

    Parameters
    ----------
    every : int, default=1
        Keep the start, every so manieth iteration and the last.

    Attributes
    ----------
    runs : list of list of estimators
        For each run of the last fit its frames: models as if the fit had stopped there. The first is the start
        (`n_iter_` 0, `lower_bound_` -inf); the others' `lower_bound_` is that of the mixture before their M-step.
        With `algorithm='auto'` there is one run, with 'em' one for each of `n_init` starts.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.callbacks import Frames
    >>> from fastem.datasets import load_faithful
    >>> frames = Frames()
    >>> model = GaussianMixture(2, init_params="random_from_data", algorithm="em", random_state=0)
    >>> model = model.set_callbacks(frames).fit(load_faithful().data)
    >>> len(frames.best) == model.n_iter_ + 1
    True
    """

    def __init__(self, every=1):
        self.every = _at_least_one(every)
        self.runs = []

    @property
    def best(self):
        """The frames of the run that ended highest."""
        ended = [run for run in self.runs if run]
        if not ended:
            raise ValueError("there are no frames yet: fit a model with these callbacks, model.set_callbacks(frames)")
        return max(ended, key=lambda run: run[-1].lower_bound_)

    def setup(self, estimator, context):
        """A fit begins: forget the one before."""
        self.runs = []

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator):
        """Keep the start."""
        if context.task_name == "init":
            self.runs.append([])
        if context.task_name == "iteration" and not self.runs[-1]:
            self.runs[-1].append(fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        """Keep an iteration."""
        if context.task_name == "fit":
            return
        run = self.runs[-1]
        is_wanted = context.task_name == "init" or fitted_estimator.n_iter_ % self.every == 0
        if is_wanted and not (run and run[-1].n_iter_ == fitted_estimator.n_iter_):
            run.append(fitted_estimator)


class Checkpoint(_Callback):
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
        self.path = Path(path)
        self.every = _at_least_one(every)

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


def _at_least_one(every):
    if every < 1:
        raise ValueError(f"every should be 1 or more, but got {every}")
    return every
