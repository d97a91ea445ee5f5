"""Report of a fit: its runs of EM, on how many points, how long they took and what they reached."""

import math
from dataclasses import dataclass, field

from .. import tables
from ..model.saved import Saved

ALL = "all"
"""The name of the stage that runs over all the points to the end."""


@dataclass(frozen=True)
class Stage(Saved):
    """One run of EM.

    Attributes
    ----------
    name : str
        'seeds i' and 'start i': the first iterations of start i, before and after its seeds in excess are merged;
        'run i': further iterations of the best starts; 'split', 'merged', 'moved' and (of a posterior) 'deleted':
        attempts to improve the best run by splitting components, merging some, moving one, or giving the points of some
        to the others; 'sample': the best run on a larger sample; 'all': the run over all the points. If these are few,
        every stage is on all of them, there is no 'all', and 'further' are iterations after `tol` was met. Where runs
        are compiled whole, 'start i' is the highest of a search, and 'search' all its others together.
    n_samples, n_components : int
        Number of points and components.
    n_iter : int
        Number of iterations: passes whose mixture was accepted.
    n_accelerated, n_rejected : int
        Number of accelerated steps among the iterations, and of those that led lower and were undone, one pass each.
    seconds : float
    lower_bound : float
        Mean log-likelihood reached, nats per unit of weight of those points.
    """

    name: str
    n_samples: int
    n_components: int
    n_iter: int
    n_accelerated: int
    n_rejected: int
    seconds: float
    lower_bound: float

    @property
    def n_passes(self):
        """Passes over the points."""
        return self.n_iter + self.n_rejected

    def __str__(self):
        return _line(self.cells)

    @property
    def cells(self):
        """What stands in this stage's row of a table whose titles are `_TITLES`."""
        counts = self.n_iter, self.n_accelerated, self.n_rejected
        return [
            self.name, f"{self.n_samples:,}", str(self.n_components), *map(str, counts), f"{self.seconds:.3f}",
            f"{self.lower_bound:.6f}",
        ]  # fmt: skip


_TITLES = "stage", "points", "K", "n_iter", "accelerated", "rejected", "seconds", "log-likelihood"
_WIDTHS = 12, 6, 8, 13, 10, 10, 16


def _line(cells):
    name, *others = cells
    return f"{name:<10}" + "".join(f"{cell:>{width}}" for cell, width in zip(others, _WIDTHS, strict=True))


@dataclass(repr=False)
class FitReport(Saved):
    """What `fit` did; it prints as a table, in notebooks, too.

    Attributes
    ----------
    stages : list of Stage
        In the order they were run, except that the run over all the points that was kept comes last.
    best_start : int
        Number of the start that won, counted from 0.
    kinds : list of {'plain', 'accelerated'}
        The kind of step that led to each mixture in `lower_bounds_`.
    remaining_gain : float
        Estimate of what the lower bound could still gain, nats per unit of weight; NaN if no estimate was made.
    remaining_change : float
        Estimate of the largest change from here to the maximum: of a weight, or of a mean in its component's standard
        deviations; NaN if no estimate was made.
    degenerate : list of int
        Components whose covariance is set by reg_covar or by too few points, not by the data.
    notes : list of str
        What `DegenerateFitWarning` said, and what else is worth knowing.
    """

    stages: list = field(default_factory=list)
    best_start: int = 0
    kinds: list = field(default_factory=list)
    remaining_gain: float = math.nan
    remaining_change: float = math.nan
    degenerate: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def add(self, name, source, result, seconds, n_before=0):
        """Add a run on the source as a stage; the first `n_before` iterations of its result are an earlier stage's."""
        n_accelerated = result.kinds[n_before:].count("accelerated")
        counts = len(result.parameters.means), result.n_iter - n_before, n_accelerated, result.n_rejected
        self.stages.append(Stage(name, source.n_samples, *counts, seconds, float(result.lower_bound)))

    def add_search(self, source, n_components, n_iter, seconds, bound):
        """Add a search for starts on the source: `n_iter` iterations of runs that no other stage tells of."""
        self.stages.append(Stage("search", source.n_samples, n_components, n_iter, 0, 0, seconds, float(bound)))

    def of(self, result):
        """The EMResult that was kept, with this as its report."""
        self.kinds = result.kinds
        self.remaining_gain, self.remaining_change = float(result.remaining_gain), float(result.remaining_change)
        result.report = self
        return result

    @property
    def n_passes(self):
        """Passes over all the points, including those of the search if it used no samples."""
        most = max((stage.n_samples for stage in self.stages), default=0)
        return sum(stage.n_passes for stage in self.stages if stage.n_samples == most)

    @property
    def starts(self):
        """Mean log-likelihood, nats, that each start reached in its first iterations: a dict by the start's number."""
        return {int(s.name.split()[1]): s.lower_bound for s in self.stages if s.name.startswith("start")}

    def seconds(self, *names):
        """Total seconds of the stages whose names begin with one of these words."""
        return sum(stage.seconds for stage in self.stages if stage.name.split()[0] in names)

    def __str__(self):
        return "\n".join([_line(_TITLES), *map(str, self.stages), *self.notes])

    def __repr__(self):
        return str(self)

    def _repr_html_(self):
        return tables.as_html(_TITLES, [stage.cells for stage in self.stages], notes=self.notes)
