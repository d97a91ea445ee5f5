"""The run of EM shown by a film or a strip: the mixtures of its iterations, in the model's order of components."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from ..callbacks import Frames
from ..fitting.degeneracy import DegenerateFitWarning
from ..fitting.start_points import completed
from ..model.families import FAMILIES
from ..sources import ArraySource
from ..sources.annotations import Annotations
from ._mixture import Mixture
from ._points import mean_log_likelihood, source_of

_STARTS = 20
_MAX_ITER = 500
_TOL = 1e-5  # nats per point: a run goes on until nothing visible moves
_RANDOM = {"init_params": "random_from_data"}  # settings for estimators without `precisions_init`
_AS_GOOD = 1e-3  # nats per point that a run may end below the best, or from the model, and be shown


@dataclass(frozen=True)
class Run:
    """The frames of a fit.

    Attributes
    ----------
    models : list of estimators
        The first is the start.
    mixtures : list of Mixture
        Mixtures of the models, with components in the order of the fitted model.
    n_iter : ndarray of int
    log_likelihood : ndarray of float
        Log-likelihood of each mixture, nats per point.
    order : ndarray of int
        order[k] is the number, in `models`, of component k of the mixtures.
    """

    models: list
    mixtures: list
    n_iter: np.ndarray
    log_likelihood: np.ndarray
    order: np.ndarray


def run_of(frames, values, like=None, weights=None):
    """The run in these frames, a `Frames` or a list of fitted models, evaluated at the points.

    like : estimator, default=None
        Fitted model that gives the order and the names of the components.
    """
    models = list(getattr(frames, "best", frames))
    if not models:
        raise ValueError("frames should hold at least one fitted model")
    mixtures = [Mixture.of(model) for model in models]
    order, names = np.arange(len(mixtures[-1])), mixtures[-1].names
    if like is not None:
        order = _matching(mixtures[-1], Mixture.of(like))
        names = Mixture.of(like).names if len(like.means_) == len(mixtures[-1]) else None
    return Run(
        models,
        [replace(mixture.reordered(order), names=names) for mixture in mixtures],
        np.array([model.n_iter_ for model in models]),
        np.array([mean_log_likelihood(model, values, weights) for model in models]),
        order,
    )


def _matching(mixture, other):
    """The numbers of this mixture's components that match the other's best (assignment by distance of means)."""
    if len(mixture) != len(other):
        return np.arange(len(mixture))
    scale = np.maximum(other.deviations.mean(axis=0), np.finfo(float).tiny)
    offsets = (other.means[:, None] - mixture.means) / scale
    return linear_sum_assignment(np.sum(offsets**2, axis=2))[1]


def random_run(model, values, weights=None):
    """Textbook EM from random starts with the model's settings; returns the run that ends at the model, or highest.

    A start is a Gaussian about each of K random points, with the covariance of all points shrunk to a K-th of its
    volume, so that it is broad enough to be visible. Where values are missing, starts are found on points filled in
    by one Gaussian's regression.

    Returns
    -------
    frames : list of estimators
    """
    runs, failure = [], None
    filled = completed(source_of(values), weights).X
    for seed in range(_STARTS):
        try:
            runs.append(_frames_from(model, values, filled, weights, seed))
        except ValueError as error:  # a component collapsed
            failure = error
    if not runs:
        raise failure
    ends = np.array([mean_log_likelihood(run[-1], values, weights) for run in runs])
    good = np.flatnonzero(ends >= ends.max() - _AS_GOOD)
    if hasattr(model, "means_"):
        target = mean_log_likelihood(model, values, weights)
        near = np.flatnonzero(np.abs(ends - target) < _AS_GOOD)
        good = near if near.size else good
    # Of the runs that end at the same log-likelihood, the one that moves farthest.
    return runs[max(good, key=lambda i: motion([Mixture.of(runs[i][0]), Mixture.of(runs[i][-1])])[0])]


def moments(run, n):
    """At most n moments of a run, from 0 to the number of its last frame; integer moments are frames.

    A step gets a share of the time that grows with the motion of components, less than proportionally, so that small
    steps are visible, too.
    """
    steps = len(run.mixtures) - 1
    if steps < 1:
        return np.zeros(1)
    passed = np.concatenate([[0], np.cumsum(motion(run.mixtures) ** 0.75 + 1e-3)])
    times = np.interp(np.linspace(0, passed[-1], n), passed, np.arange(steps + 1))
    # Moments near a frame become the frame itself, which was computed and not interpolated.
    near = np.abs(times - np.round(times)) < 0.05
    times[near] = np.round(times[near])
    return np.unique(times)


def motion(mixtures):
    """Mean motion of the components from each mixture to the next: of means and deviations, in final deviations."""
    scale = np.maximum(mixtures[-1].deviations.mean(axis=0), np.finfo(float).tiny)
    means = np.array([mixture.means / scale for mixture in mixtures])
    deviations = np.array([mixture.deviations / scale for mixture in mixtures])
    steps = np.diff(means, axis=0) ** 2 + np.diff(deviations, axis=0) ** 2
    return np.sqrt(steps.sum(axis=2)).mean(axis=1)


def _frames_from(model, values, filled, weights, seed):
    frames = Frames()
    settings = {
        "algorithm": "em",
        "assignment": "soft",
        "warm_start": False,
        "n_init": 1,
        "max_iter": _MAX_ITER,
        "tol": _TOL,
        "verbose": 0,
        "random_state": seed,
    }
    film = clone(model)
    has_precisions = hasattr(model, "precisions_init") and FAMILIES[model.covariance_type].takes_precisions
    settings |= _random_start(model, filled, weights, seed) if has_precisions else _RANDOM
    film.set_params(**{name: value for name, value in settings.items() if hasattr(model, name)}).set_callbacks(frames)
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, DegenerateFitWarning):
            warnings.simplefilter("ignore", category)
        film.fit(values, sample_weight=weights)
    return frames.best


def _random_start(model, values, weights, seed):
    n_components, n_features = model.n_components, values.shape[1]
    rows = np.random.RandomState(seed).permutation(len(values))[:n_components]
    family = FAMILIES[model.covariance_type]
    everywhere = family.maximize(_moments(family, values, weights), model.reg_covar)
    precisions = everywhere.precisions() * n_components ** (2 / n_features)
    shared = family.repeated(precisions, n_components)
    return {
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": values[rows],  # if there are too few rows, `fit` raises
        "precisions_init": shared,
    }


def _moments(family, values, weights):
    """Sufficient statistics of all the points as one component."""
    start = family.with_variances(values.mean(axis=0)[None], np.ones(values.shape[1]))
    return ArraySource(values).accumulate(start, annotations=Annotations(weights))
