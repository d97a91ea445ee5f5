"""Callbacks: objects that a fit calls at every iteration over all the points, set by `model.set_callbacks(...)`.

They follow scikit-learn's protocol (`sklearn.callback`, from 1.9 on; fastem provides it for earlier versions). A
callback is any object with the methods below. A task is a whole fit, a start with the run from it, or an iteration:
`context.task_name` is 'fit', 'init' or 'iteration'.

- `setup(estimator, context)`: a fit begins;
- `on_fit_task_begin(estimator, context, *, ...)`: a task begins;
- `on_fit_task_end(estimator, context, *, ...)`: a task has ended; return True to end the task that it is a part of;
- `teardown(estimator, context)`: the fit has ended, with or without an error.

The two `on_fit_task_` methods get the values that their keyword-only parameters (after the `*`) name:

- `fitted_estimator`: a model as if the fit had stopped there (`n_iter_`, `lower_bound_`, `weights_`, `means_`,
  `covariances_`, ...); None at the beginning of a 'fit' or 'init';
- `X`, `y`: as passed to `fit`.

With `algorithm='auto'` iterations on samples are not reported; with `algorithm='em'` every start is an 'init' task.

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

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Checkpoint", "Frames"]


class _Callback:
    """Does nothing; subclasses override some of the methods."""

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """A task begins."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool | None:
        """A task has ended."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """The fit has ended."""


class Frames(_Callback):
    """Keep the mixtures of the iterations over all the points, as frames of an animation.

    Parameters
    ----------
    every : int, default=1
        Keep the start, every n-th iteration and the last one.

    Attributes
    ----------
    runs : list of list of estimators
        The frames of each run of the last fit. A frame is a model as if the fit had stopped there. The first is the
        start (`n_iter_` 0, `lower_bound_` -inf); the `lower_bound_` of the others is that of the mixture before their
        M-step. With `algorithm='auto'` there is one run, with 'em' one for each of the `n_init` starts.

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

    def __init__(self, every: int = 1) -> None:
        self.every = _at_least_one(every)
        self.runs = []

    @property
    def best(self) -> list[Any]:
        """The frames of the run with the highest final `lower_bound_`.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.callbacks import Frames
        >>> from fastem.datasets import load_faithful
        >>> frames = Frames()
        >>> model = GaussianMixture(2, algorithm="em", n_init=3, random_state=0).set_callbacks(frames)
        >>> _ = model.fit(load_faithful().data)
        >>> len(frames.runs), frames.best[-1].lower_bound_ == model.lower_bound_
        (3, True)
        """
        ended = [run for run in self.runs if run]
        if not ended:
            raise ValueError("there are no frames yet: call model.set_callbacks(frames), then fit the model")
        return max(ended, key=lambda run: run[-1].lower_bound_)

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins: delete the frames of the one before."""
        self.runs = []

    def on_fit_task_begin(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> None:
        """Keep the start."""
        if context.task_name == "init":
            self.runs.append([])
        if context.task_name == "iteration" and not self.runs[-1]:
            self.runs[-1].append(fitted_estimator)

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool | None:
        """Keep an iteration."""
        if context.task_name == "fit":
            return
        run = self.runs[-1]
        is_wanted = context.task_name == "init" or fitted_estimator.n_iter_ % self.every == 0
        if is_wanted and not (run and run[-1].n_iter_ == fitted_estimator.n_iter_):
            run.append(fitted_estimator)


class Checkpoint(_Callback):
    """Save the model every n-th iteration over all the points, so that a fit can go on after a crash.

    Parameters
    ----------
    path : str or Path
        The file. It is replaced only when the new one is complete.
    every : int, default=10
        Number of iterations between two saves.

    Examples
    --------
    >>> from fastem import GaussianMixture, load
    >>> from fastem.callbacks import Checkpoint
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = GaussianMixture(3, tol=1e-5, random_state=0).set_callbacks(Checkpoint("model.npz", every=5))
    >>> model = model.fit(X)

    After a crash, this goes on as if the fit had not been interrupted, given the same points:

    >>> again = load("model.npz").set_params(warm_start=True).fit(X)
    >>> bool((again.means_ == model.means_).all())
    True
    """

    def __init__(self, path: str | Path, every: int = 10) -> None:
        self.path = Path(path)
        self.every = _at_least_one(every)

    def setup(self, estimator: Any, context: Any) -> None:
        """A fit begins."""
        self._n_iter = 0

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """A task begins."""
        if context.task_name == "init":
            self._n_iter = 0

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> bool | None:
        """Save after every n-th iteration."""
        if context.task_name == "iteration":
            self._n_iter += 1
            if self._n_iter % self.every == 0:
                fitted_estimator.save(self.path)


def _at_least_one(every):
    if every < 1:
        raise ValueError(f"every should be 1 or more, but got {every}")
    return every
