"""LogLikelihoodDisplay: the log-likelihood by iteration, of one fit or several starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..fitting.report import ALL
from ._colors import palette
from ._mixture import as_fastem
from ._style import faint, grey, ink, own_axes, set_title, size, styled
from ._words import counted, nats

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.axes import Axes

_AS_GOOD = 1e-3  # nats per point that a start may end below the best and count as equal
_MARKS = {
    "start": ("o", "start"),
    "search": ("P", "other starts, the best"),
    "run": ("D", "best starts"),
    "merged": ("^", "split, merged"),
    "deleted": ("v", "deleted"),
    "sample": ("s", "sample"),
}


class LogLikelihoodDisplay:
    """The log-likelihood by iteration: use `from_estimator` or `from_frames` to make one.

    For a fit it shows `lower_bounds_` over all the points, with quasi-Newton steps marked. Before them, on grey, it
    shows what each stage of the search reached. With many points the stages use samples, whose log-likelihood differs
    from that of all points by chance. For several starts it shows one curve each, the best one in colour.

    Parameters
    ----------
    curves : list of (ndarray, ndarray)
        Iterations and log-likelihoods, nats per point, of each run.
    best : int, default=0
        The run that ended highest.
    accelerated : ndarray of bool, default=()
        For each point of the best curve, whether a quasi-Newton step reached it.
    stages : list of Stage, default=()
        The stages of the search that have as many components as the mixture.
    title : str, default=''
    bound : str, default='log-likelihood, nats per point'
        Label of the curves' axis; for a Bayesian mixture it is a lower bound, in nats.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure or SubFigure
    lines_ : list of Line2D
        One for each run.
    accelerated_ : Line2D or None
    stages_ : list of Line2D
        One for each kind of stage.
    legend_ : Legend or None

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> from fastem.plotting import LogLikelihoodDisplay
    >>> X = load_faithful().data
    >>> model = GaussianMixture(2, random_state=0).fit(X)
    >>> display = LogLikelihoodDisplay.from_estimator(model)
    >>> len(display.lines_)
    1
    """

    def __init__(
        self,
        *,
        curves: Any,
        best: Any = 0,
        accelerated: Any = (),
        stages: Any = (),
        title: Any = "",
        bound: Any = "log-likelihood, nats per point",
    ) -> None:
        self.curves, self.best, self.title, self.bound = curves, best, title, bound
        self.accelerated, self.stages = np.asarray(accelerated, dtype=bool), list(stages)

    @classmethod
    def from_estimator(cls, model: Any, *, ax: Axes | None = None) -> Self:
        """Draw the iterations of a fit, and the search before them.

        Parameters
        ----------
        model : GaussianMixture
            Fitted.
        ax : Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : LogLikelihoodDisplay

        Raises
        ------
        NotFittedError
        ValueError
            If the model made no iterations.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> from fastem.plotting import LogLikelihoodDisplay
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> display = LogLikelihoodDisplay.from_estimator(model)
        >>> display.figure_.savefig("fit.png")
        """
        model = as_fastem(model)
        check_is_fitted(model)
        bounds = np.array(model.lower_bounds_, dtype=np.float64)
        if not bounds.size:
            raise ValueError(
                "the model has made no iterations, so there is no curve: fit it with max_iter of 1 or more"
            )
        report = model.fit_report_
        kinds = list(report.kinds) if report is not None else []
        accelerated = np.array(kinds) == "accelerated" if len(kinds) == len(bounds) else np.zeros(len(bounds), bool)
        stages = (
            []
            if report is None or model._bound.endswith("nats")
            else [s for s in report.stages if _is_comparable(s, len(model.weights_)) and not _is_run(s, bounds)]
        )
        unit = model._bound.split(", ")[-1]
        title = f"{nats(bounds[-1])} {unit} after {counted(len(bounds), 'iteration')}"
        curve = np.arange(1, len(bounds) + 1), bounds
        return cls(curves=[curve], accelerated=accelerated, stages=stages, title=title, bound=model._bound).plot(ax=ax)

    @classmethod
    def from_frames(cls, frames: Any, *, ax: Axes | None = None) -> Self:
        """Draw the runs of a fit, one curve each.

        Parameters
        ----------
        frames : Frames or list of lists of fitted models
            `fastem.callbacks.Frames` of a fit with `algorithm='em'` and several starts, or the models of its runs.
        ax : Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : LogLikelihoodDisplay

        Raises
        ------
        ValueError
            If there is no iteration.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.callbacks import Frames
        >>> from fastem.datasets import load_faithful
        >>> from fastem.plotting import LogLikelihoodDisplay
        >>> X, frames = load_faithful().data, Frames()
        >>> model = GaussianMixture(2, algorithm="em", init_params="random_from_data", random_state=0)
        >>> model = model.set_callbacks(frames).fit(X)
        >>> display = LogLikelihoodDisplay.from_frames(frames)
        >>> len(display.lines_)
        1
        """
        runs = getattr(frames, "runs", frames)
        curves = [_curve(run) for run in runs]
        curves = [curve for curve in curves if len(curve[0])]
        if not curves:
            raise ValueError("frames hold no iterations: call model.set_callbacks(frames), then model.fit(X)")
        ends = np.array([values[-1] for _, values in curves])
        best = int(ends.argmax())
        n_good = int(np.count_nonzero(ends >= ends[best] - _AS_GOOD))
        bound = next(run[0]._bound for run in runs if run)
        title = f"best of {counted(len(curves), 'start')}: {nats(ends[best])} {bound.split(', ')[-1]}"
        if len(curves) > 1:
            title += f"; {n_good} within {_AS_GOOD:g} of it"
        return cls(curves=curves, best=best, title=title, bound=bound).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, default=None

        Returns
        -------
        display : LogLikelihoodDisplay
            This one, with its attributes set.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> from fastem.plotting import LogLikelihoodDisplay
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> display = LogLikelihoodDisplay.from_estimator(model)
        >>> len(display.plot().lines_)
        1
        """
        with styled():
            self.ax_ = own_axes(ax, 5.4, 3.6)
            self.figure_ = self.ax_.figure
            color = palette(1)[0]
            self.lines_ = [self._line(i, color) for i in range(len(self.curves))]
            self.accelerated_ = self._mark_accelerated()
            self.ax_.set(xlabel="iteration", ylabel=self.bound)
            self.ax_.set_ylim(*self._range())
            self.ax_.locator_params(axis="x", integer=True)
            self.ax_.margins(x=0.04)
            self.stages_ = self._mark_stages()
            set_title(self.ax_, self.title, ax is None)
            has_legend = self.stages_ or self.accelerated_ is not None
            self.legend_ = self.ax_.legend(loc="best") if has_legend else None
        return self

    def _line(self, i, color):
        x, y = self.curves[i]
        mark = "o" if len(x) <= 40 else ""
        if i == self.best:
            label = "all points" if self.stages else "plain step"
            (line,) = self.ax_.plot(
                x, y, marker=mark, markersize=3.5, color=color, linewidth=1.6, zorder=4, label=label
            )
            return line
        (line,) = self.ax_.plot(x, y, color=faint(), linewidth=0.9, alpha=0.7, zorder=2)
        self.ax_.plot(x[-1:], y[-1:], "o", color=faint(), markersize=3, zorder=2)
        return line

    def _mark_accelerated(self):
        if not self.accelerated.any():
            return None
        x, y = (values[self.accelerated] for values in self.curves[self.best])
        look = {"markersize": 6, "color": palette(2)[1], "zorder": 5, "label": "quasi-Newton step"}
        return self.ax_.plot(x, y, "D", **look)[0]

    def _mark_stages(self):
        """Mark what the stages reached, on grey, left of the first iteration."""
        if not self.stages:
            return []
        first, last = self.curves[self.best][0][[0, -1]]
        width = max(0.35 * (last - first + 1), 1.5)
        x = np.linspace(first - 0.5 - 0.92 * width, first - 0.5 - 0.08 * width, len(self.stages))
        kinds = np.array([stage.name.split()[0] for stage in self.stages])
        y = np.array([stage.lower_bound for stage in self.stages])
        self.ax_.axvspan(first - 0.5 - width, first - 0.5, color=grey(0.07), linewidth=0, zorder=0)
        self.ax_.set_xlim(first - 0.5 - width, last + max(0.5, 0.04 * (last - first)))
        self.ax_.set_xticks([tick for tick in self.ax_.get_xticks() if first <= tick <= last])
        sizes = [stage.n_samples for stage in self.stages]
        span = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
        look = {"ha": "center", "va": "bottom", "fontsize": size(7), "color": ink()}
        at = {"xytext": (0, 3), "textcoords": "offset points", "xycoords": ("data", "axes fraction")}
        self.ax_.annotate(f"search, on\n{span} points", (first - 0.5 - width / 2, 0), **at, **look)
        look = {"color": ink(), "markersize": 4, "alpha": 0.75}
        return [
            self.ax_.plot(x[kinds == kind], y[kinds == kind], mark, label=label, **look)[0]
            for kind, (mark, label) in _MARKS.items()
            if (kinds == kind).any()
        ]

    def _range(self):
        """Limits of the axis. If the first iteration gains far more than all others, it lies below the axes."""
        curves, reached = [y for _, y in self.curves], [stage.lower_bound for stage in self.stages]
        highest = max(*reached, *(y[-1] for y in curves), -np.inf)
        lowest = min(*reached, *(y.min() for y in curves), np.inf)
        second = min(*reached, *(y[min(1, len(y) - 1)] for y in curves), np.inf)
        low = max(lowest, highest - (12 if len(curves) == 1 else 1.15) * (highest - second))
        span = highest - low if highest > low else max(abs(highest), 1.0) * 1e-3
        return low - (0.16 if self.stages else 0.06) * span, highest + 0.06 * span


def _is_comparable(stage, n_components):
    return stage.name != ALL and stage.name.split()[0] in _MARKS and stage.n_components == n_components


def _is_run(stage, bounds):
    """Whether a stage is the very run of which the curve shows the iterations, as in fits that are compiled whole."""
    return stage.n_iter == len(bounds) and stage.lower_bound == bounds[-1]


def _curve(run):
    models = [model for model in run if np.isfinite(model.lower_bound_)]
    return np.array([model.n_iter_ for model in models]), np.array([model.lower_bound_ for model in models])
