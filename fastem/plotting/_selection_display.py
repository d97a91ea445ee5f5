"""SelectionDisplay: a criterion against the number of components, one curve for each covariance type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._colors import palette
from ._differences import DifferenceScale
from ._end_labels import label_ends
from ._style import ink, own_axes, set_title, styled
from ._words import counted

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.axes import Axes

    from ..selection import Selection

_MARKERS = "osD^vP*X"
_DASHES = "-", "--", "-."  # of each further round of markers
_COLLAPSED = "x"
# Most curves that a legend names; of more each is named at its end.
_MOST_IN_LEGEND = 8


class SelectionDisplay:
    """Model selection: use `from_results` to make one.

    There is a curve for each covariance type, and a ring about the best model. If the worst models would squash the
    others, the axis shows differences to the best, on a logarithmic scale where they are large. Models that failed are
    gaps. A cross marks status 'collapsed', a hollow marker any other status that isn't 'ok'. The best is one that is
    'ok', or a collapsed one if there is none.

    Parameters
    ----------
    n_components : ndarray of int of shape (m,)
    covariance_type : ndarray of str of shape (m,)
    values : ndarray of shape (m,)
        The criterion; NaN if a fit failed.
    is_ok : ndarray of bool of shape (m,)
    is_collapsed : ndarray of bool of shape (m,), default=None
        Mixtures with components whose density says nothing about the data. None: no such mixtures.
    criterion : str
    greater_is_better : bool, default=False
    best : int, default=None
        The row to ring. None: the best by the criterion.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure or SubFigure
    lines_ : dict of str to Line2D
        The curve of each covariance type.
    best_ : int or None
        The best row.
    legend_ : Legend

    Examples
    --------
    >>> from fastem.plotting import SelectionDisplay
    >>> results = {"n_components": [1, 2, 3], "bic": [2320.2, 2314.4, 2320.0]}
    >>> display = SelectionDisplay.from_results(results)
    >>> display.best_
    1
    """

    def __init__(
        self,
        *,
        n_components: Any,
        covariance_type: Any,
        values: Any,
        is_ok: Any,
        is_collapsed: Any = None,
        criterion: Any,
        greater_is_better: Any = False,
        best: Any = None,
    ) -> None:
        self.n_components, self.covariance_type, self.values = n_components, covariance_type, values
        self.is_ok = is_ok
        self.is_collapsed = np.zeros(len(values), bool) if is_collapsed is None else is_collapsed
        self.criterion, self.greater_is_better, self.best = criterion, greater_is_better, best

    @classmethod
    def from_results(
        cls,
        results: Selection | dict[str, Any],
        criterion: str = "bic",
        *,
        greater_is_better: bool = False,
        best: int | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw a table of fits.

        Parameters
        ----------
        results : Selection, dict of columns, or DataFrame
            What `fastem.select` returns, which knows the criterion and the best row, too; or any table of fits with
            columns 'n_components' and `criterion`; optionally 'covariance_type' and 'status' ('ok' or what went wrong).
            'n_components' and 'covariance_type' may have the prefix 'param_', as in `cv_results_`.
        criterion : str, default='bic'
            Column to draw.
        greater_is_better : bool, default=False
            True for a log-likelihood or a score.
        best : int, default=None
            The row to ring, such as `Selection.best_index_`. None: the best by the criterion.
        ax : Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : SelectionDisplay

        Raises
        ------
        ValueError
            If a column is missing or of another length.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from fastem import select
        >>> from fastem.datasets import load_faithful
        >>> from fastem.plotting import SelectionDisplay
        >>> selection = select(load_faithful().data, range(1, 5), random_state=0)
        >>> display = SelectionDisplay.from_results(selection.results_)
        >>> [str(name) for name in display.lines_]
        ['full', 'tied', 'diag', 'spherical']
        """
        if hasattr(results, "results_"):
            criterion, best, results = results.criterion, results.best_index_, results.results_
            greater_is_better = criterion == "held_out"
        n_components = _column(results, "n_components").astype(int)
        values = _column(results, criterion).astype(np.float64)
        types = _column(results, "covariance_type", np.full(len(values), "")).astype(str)
        factors = _column(results, "n_factors", np.zeros(len(values), int))
        types = np.array([f"{each} {q}" if q else each for each, q in zip(types, factors, strict=True)])
        status = _column(results, "status", np.full(len(values), "ok")).astype(str)
        if not len(n_components) == len(values) == len(types) == len(status):
            raise ValueError("results should have columns of equal length")
        is_finite = np.isfinite(values)
        display = cls(
            n_components=n_components,
            covariance_type=types,
            values=values,
            is_ok=is_finite & (status == "ok"),
            is_collapsed=is_finite & (status == "collapsed"),
            criterion=criterion,
            greater_is_better=greater_is_better,
            best=best,
        )
        return display.plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, default=None

        Returns
        -------
        display : SelectionDisplay
            This one, with its attributes set.

        Examples
        --------
        >>> from fastem.plotting import SelectionDisplay
        >>> results = {"n_components": [1, 2, 3], "bic": [2320.2, 2314.4, 2320.0]}
        >>> display = SelectionDisplay.from_results(results)
        >>> display.plot().best_
        1
        """
        types = list(dict.fromkeys(self.covariance_type))
        self.best_ = self._best()
        self._scale = self._scale_of()
        with styled():
            self.ax_ = own_axes(ax, 5.4, 3.6)
            self.figure_ = self.ax_.figure
            self.lines_ = {name: self._curve(name, *look) for name, look in zip(types, _looks(len(types)), strict=True)}
            self._mark_best(ax is None)
            better = "higher" if self.greater_is_better else "lower"
            name = self.criterion.upper() if len(self.criterion) <= 3 else self.criterion
            label = f"{name} (the {better} the better)" if self._scale is None else f"{name}, difference to the best"
            self.ax_.set(xlabel="components", ylabel=label)
            self.ax_.locator_params(axis="x", integer=True)
            self.ax_.margins(x=0.04, y=0.08)
            if self._scale is not None:
                self._scale.apply(self.ax_)
            elif self.is_collapsed.any():
                self.ax_.set_ylim(*self._limits())
            if self.is_collapsed.any():
                self.ax_.plot([], [], _COLLAPSED, color=ink(), markersize=4.5, label="collapsed")
            handles, names = self.ax_.get_legend_handles_labels()
            if len(types) > _MOST_IN_LEGEND:
                label_ends(self.ax_, self.lines_)
                handles = [handle for handle, name in zip(handles, names, strict=True) if name not in types]
            self.legend_ = self.ax_.legend(handles=handles, loc="best")
        return self

    def _curve(self, name, color, marker, dashes):
        rows = np.flatnonzero(self.covariance_type == name)
        rows = rows[np.argsort(self.n_components[rows], kind="stable")]
        x, y = self.n_components[rows], self.values[rows]
        is_ok, is_collapsed = self.is_ok[rows], self.is_collapsed[rows]
        is_other = ~(is_ok | is_collapsed)
        (line,) = self.ax_.plot(x, y, dashes, color=color, linewidth=1.3, label=name or None, zorder=3)
        self.ax_.plot(x[is_ok], y[is_ok], marker, color=color, markersize=4.5, zorder=4)
        self.ax_.plot(x[is_other], y[is_other], marker, color=color, markersize=4.5, fillstyle="none", zorder=4)
        seen = np.clip(y[is_collapsed], *self._limits())
        self.ax_.plot(x[is_collapsed], seen, _COLLAPSED, color=color, markersize=4.5, zorder=4)
        line.set_marker(marker)
        line.set_markevery([])
        return line

    def _scale_of(self):
        """The scale of the axis if the worst models would squash the others on a linear one, else None."""
        shown = self.values[np.isfinite(self.values) & ~self.is_collapsed]
        return DifferenceScale.of(shown, self.values[self.best_]) if shown.size and self.best_ is not None else None

    def _decimals(self, best):
        """Decimals that tell the best value from the next one."""
        differences = np.abs(self.values[np.isfinite(self.values)] - best)
        least = differences[differences > 0].min(initial=np.inf)
        return int(np.clip(1 - np.floor(np.log10(least)), 1, 4)) if np.isfinite(least) else 1

    def _limits(self):
        """Limits of the criterion axis, without collapsed mixtures; these are drawn on its edge if they lie beyond."""
        if self._scale is not None:
            return self._scale.limits()
        values = self.values[~self.is_collapsed]
        values = values[np.isfinite(values)] if np.isfinite(values).any() else self.values[self.is_collapsed]
        room = 0.08 * (np.ptp(values) or 1.0)
        return values.min() - room, values.max() + room

    def _best(self):
        rows = np.flatnonzero(self.is_ok if self.is_ok.any() else self.is_collapsed)
        if not rows.size:
            return None
        values = self.values[rows]
        best = int(rows[values.argmax() if self.greater_is_better else values.argmin()])
        return best if self.best is None else self.best

    def _mark_best(self, is_own):
        best = self.best_
        if best is None:
            return
        x, y = self.n_components[best], self.values[best]
        label = f"best: {self.covariance_type[best]} {x}".replace("  ", " ")
        self.ax_.plot(
            [x], [y], "o", markersize=11, fillstyle="none", color=ink(), linestyle="none", label=label, zorder=5
        )
        family = f", {self.covariance_type[best]}" if self.covariance_type[best] else ""
        text = f"{counted(x, 'component')}{family}: {y:,.{self._decimals(y)}f}"
        set_title(self.ax_, f"best: {text}".replace("-", "\N{MINUS SIGN}"), is_own)


def _looks(n):
    """(colour, marker, dashes) of each curve."""
    n_markers = len(_MARKERS)
    return [(color, _MARKERS[i % n_markers], _DASHES[i // n_markers % 3]) for i, color in enumerate(palette(n))]


def _column(results, name, default=None):
    for key in (name, f"param_{name}"):
        if key in results:
            return np.asarray(results[key])
    if default is None:
        raise ValueError(f"results should have a column {name!r}, but has only {', '.join(map(str, results))}")
    return default
