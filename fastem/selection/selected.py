"""What `select` returns, and what it tells while it works."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from .. import tables

if TYPE_CHECKING:
    from typing import Any

    from ..estimators.gaussian_mixture import GaussianMixture

TITLES = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "held_out": "held out"}
CRITERIA = tuple(TITLES)

_ROWS = 20  # of a printed table, at most
_LONGEST = 40  # characters of a status in a table, at most
_TRUSTED = 3  # combinations that must be done before the time left is told


@dataclass(repr=False)
class Selection:
    """Result of `select`; it prints as a table, best first, with a star before the chosen combination.

    Attributes
    ----------
    best_estimator_ : GaussianMixture
        The fitted model with the best criterion.
    results_ : dict of str to ndarray
        Columns of a table with a row for each combination, ready for `pandas.DataFrame`: 'n_components',
        'covariance_type', 'n_factors' (if any are tried; 0 for types without), 'log_likelihood' (nats per point),
        'bic', 'aic', 'icl' (nats in all times -2, the lower the better), 'n_iter', 'converged', 'seconds', 'status',
        'degenerate' (list of components, see 'collapsed'), 'rank' (from 1; sorted by status in the order below, then by
        the criterion). If the criterion is 'held_out', also
        'held_out' (log-likelihood of left-out points, nats per point, the higher the better) and 'held_out_error' (its
        standard error, from the means of the folds).

        The status is one of:

        - 'ok';
        - 'spurious': a mixture with fewer parameters has a worse criterion, but predicts left-out points better (see
          Notes of `select`);
        - 'collapsed': the density of some components says nothing about the data, as reg_covar or too few points
          determine their covariance;
        - 'stopped': the sample shows that this combination cannot win; the numbers are estimates from the sample,
          rough ones (too high a BIC) for families with a constraint that are far from the best;
        - another text: the reason why there is no mixture (all numbers are NaN) or no held-out score (that is NaN).
    criterion : str
    best_index_ : int
        Row of the best combination.
    notes : list of str
        What the numbers don't show, such as that the best number of components is the largest that was tried.

    Examples
    --------
    >>> from fastem import select
    >>> from fastem.datasets import load_faithful
    >>> selection = select(load_faithful().data, range(1, 4), "full", random_state=0)
    >>> selection.best_estimator_.n_components, selection.results_["rank"].tolist()
    (2, [3, 1, 2])
    """

    best_estimator_: GaussianMixture
    results_: dict[str, Any]
    criterion: str
    best_index_: int

    @property
    def notes(self) -> list[str]:
        """What the numbers don't show, as sentences.

        Examples
        --------
        >>> from fastem import select
        >>> from fastem.datasets import load_faithful
        >>> select(load_faithful().data, range(1, 3), "full", random_state=0).notes
        ['the best number of components, 2, is the largest that was tried: try larger ones, too']
        """
        counts = self.results_["n_components"]
        best = int(counts[self.best_index_])
        if best < counts.max() or best == counts.min():
            return []
        return [f"the best number of components, {best}, is the largest that was tried: try larger ones, too"]

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the criterion against the number of components.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure.

        Returns
        -------
        display : fastem.plotting.SelectionDisplay

        Examples
        --------
        >>> from fastem import select
        >>> from fastem.datasets import load_faithful
        >>> selection = select(load_faithful().data, range(1, 5), random_state=0)
        >>> selection.plot().figure_.savefig("selection.png")
        """
        # Pictures know selections; a selection finds them by name, when asked.
        plotting = importlib.import_module("fastem.plotting")
        return plotting.SelectionDisplay.from_results(self, ax=ax)

    def __str__(self):
        head, rows, n_more = self._table()
        lines = [self._title(), "", tables.as_text(head, rows, marked={0})]
        lines += [f"... and {n_more} more, all in results_"] if n_more else []
        return "\n".join([*lines, *(f"Note: {note}." for note in self.notes)])

    def __repr__(self):
        return str(self)

    def _repr_html_(self):
        head, rows, n_more = self._table()
        notes = [f"... and {n_more} more, all in results_"] if n_more else []
        notes += [f"Note: {note}." for note in self.notes]
        return tables.as_html(head, rows, marked={0}, caption=self._title(), notes=notes)

    def _title(self):
        best, n = self.best_estimator_, len(self.results_["rank"])
        of = f"best of {n:,} combinations" if n > 1 else "one combination"
        components = "component" if best.n_components == 1 else "components"
        form = self._form(self.best_index_)
        return f"{best.n_components} {components}, {form} covariance: {of} by {TITLES[self.criterion]}"

    def _form(self, row):
        """'full', or 'factors 3' where numbers of factors are tried."""
        q = self.results_["n_factors"][row] if "n_factors" in self.results_ else 0
        return f"{self.results_['covariance_type'][row]}{f' {q}' if q else ''}"

    def _table(self):
        """(titles, rows of texts with the best first, number of rows left out)."""
        results = self.results_
        names = ["bic", "aic", "icl", *(["held_out", "held_out_error"] if "held_out" in results else [])]
        titles = {**TITLES, "held_out_error": "±"}
        order = np.argsort(results["rank"], kind="stable")
        rows = []
        for i in order[:_ROWS]:
            status = str(results["status"][i])
            status = status if len(status) <= _LONGEST else f"{status[: _LONGEST - 3]}..."
            numbers = [
                f"{results['log_likelihood'][i]:.6f}",
                *(f"{results[name][i]:{'.6f' if name.startswith('held') else ',.3f'}}" for name in names),
            ]
            rows.append([str(results["n_components"][i]), self._form(i), *numbers, status])
        head = ["K", "covariance", "log-likelihood", *(titles[name] for name in names), "status"]
        return head, rows, len(order) - len(rows)


@dataclass(frozen=True)
class SelectionProgress:
    """How far `select` is, after one more combination; its callbacks get it.

    Attributes
    ----------
    stage : {'all points', 'sample', 'left-out points'}
        What the combinations of this stage are fitted to; 'left-out points' is the cross-validation of 'held_out'. The
        stage 'sample' comes twice if some combinations are fitted shortly first.
    n_done, n_all : int
        Number of fits in this stage, those done and all.
    n_components, covariance_type : int, str
        The combination.
    value : float
        Its criterion, as far as it is known: estimated from the sample in the stage 'sample', from AIC before
        'left-out points' and from the folds so far in these; NaN if there is no mixture.
    best : tuple of (int, str, float), or None
        Number of components, covariance type and criterion of the best combination so far; None if there is none, and
        in 'left-out points'.
    criterion : str
    seconds : float
        Since the beginning.
    seconds_left : float or None
        Estimate for this stage, which never rises; None as long as nothing can be said.
    """

    stage: str
    n_done: int
    n_all: int
    n_components: int
    covariance_type: str
    value: float
    best: tuple[int, str, float] | None
    criterion: str
    seconds: float
    seconds_left: float | None

    def __str__(self):
        title = TITLES[self.criterion]
        of = "" if self.stage == "all points" else f" ({self.stage})"
        text = f"{self.n_done}/{self.n_all}{of}: K={self.n_components} {self.covariance_type}"
        if self.value == self.value:
            text += f", {title} {_short(self.value)}"
        if self.best is not None:
            text += f"; best so far K={self.best[0]} {self.best[1]}, {title} {_short(self.best[2])}"
        if self.seconds_left is not None and self.n_done < self.n_all:
            text += f"; {_duration(self.seconds_left)} left"
        return text


class Watch:
    """Tells listeners of every combination that is done.

    Parameters
    ----------
    listeners : list of callables
        Called with a `SelectionProgress`.
    criterion : str
    """

    def __init__(self, listeners, criterion):
        self._listeners, self._criterion = listeners, criterion
        self._began = perf_counter()

    def begin(self, stage, counts):
        """A stage begins that has a fit for each of these numbers of components."""
        self._stage, self._costs, self._n_done = stage, [_cost(k) for k in counts], 0
        self._last, self._left, self._rates = perf_counter(), None, []

    def done(self, model, value, best):
        """A fit is done; `value` and `best` are those of `SelectionProgress`."""
        now = perf_counter()
        self._rates.append((now - self._last) / self._costs[self._n_done])
        self._last, self._n_done = now, self._n_done + 1
        if not self._listeners:
            return
        progress = SelectionProgress(
            self._stage,
            self._n_done,
            len(self._costs),
            model.n_components,
            model.covariance_type,
            value,
            best,
            self._criterion,
            now - self._began,
            self._time_left(),
        )
        for listener in self._listeners:
            listener(progress)

    def _time_left(self):
        """Seconds for the fits to come, at the mean rate of those done but the slowest, for which kernels compiled."""
        if self._n_done >= _TRUSTED:
            rate = (sum(self._rates) - max(self._rates)) / (len(self._rates) - 1)
            estimate = rate * sum(self._costs[self._n_done :])
            self._left = estimate if self._left is None else min(self._left, estimate)
        return self._left


def _cost(n_components):
    """Time that a fit takes, in any unit: a search has more starts' worth of passes the more components there are."""
    return 1.0 + n_components**1.5


def _short(value):
    return f"{value:,.1f}" if 100 <= abs(value) < 1e9 else f"{value:.6g}"


def _duration(seconds):
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{seconds / 60:.0f} min"
