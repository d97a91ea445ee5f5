"""The base class of sources: a subclass reads the points, wherever they are; this class makes passes over them."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from .annotations import NO_ANNOTATIONS, SOFT
from .rows import SourceError, lacks_values, nonfinite_rows, unusable_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from ..model.parameters import Parameters
    from ..model.statistics import SufficientStatistics
    from ..sources.annotations import Annotations, Assignment

# Share of a second moment about the old means that is left about the new means, below which 7 of 16 digits are lost (in
# float32 4 of 7) and the pass is repeated about the new means. This happens after a far-off start, or with a tied
# covariance if clusters are tiny and far apart.
_DIGITS_KEPT = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-4}

_FEW = 1 << 16  # points up to which a log-likelihood is summed point by point

VALUES = 1 << 20  # numbers converted, gathered, checked or drawn at a time: 8 MiB


class Source:
    """Points that can be read again and again, from the first to the last, block by block.

    A subclass implements `scan`, which checks the points and sets the attributes, and `read`. It may override other
    methods to be faster.

    Attributes
    ----------
    n_samples, n_features : int
    dtype : dtype
        Of the blocks that are read.
    feature_names : list of str or None
    is_validated : bool
        Whether scikit-learn has checked features and their names.
    is_complete : bool
        Whether every value was observed.
    allows_missing : bool
        Set before `scan`: whether NaN may stand for a missing value.
    lacks_values : bool
        Set by `scan`: whether values are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> from fastem.sources import Source
    >>> class Squares(Source):
    ...     def scan(self, estimator="GaussianMixture"):
    ...         self.n_samples, self.n_features, self.dtype = 1000, 1, np.dtype(np.float64)
    ...     def read(self):
    ...         for start in range(0, 1000, 100):
    ...             yield np.arange(start, start + 100.0)[:, None] ** 2
    >>> bool(GaussianMixture().fit(Squares()).means_[0, 0] == (np.arange(1000.0) ** 2).mean())
    True
    """

    n_samples = n_features = dtype = feature_names = None
    is_validated = allows_missing = lacks_values = False
    is_complete = True
    _cells = _candidates = None

    def scan(self, estimator: str = "GaussianMixture") -> None:
        """Read all the points once: set the attributes; raise SourceError if a row can't be used."""
        raise NotImplementedError

    def read(self) -> Iterable[NDArray[Any]]:
        """Blocks of rows in order: arrays of shape (m, D), each of a dtype in `READ_IN_PLACE`."""
        raise NotImplementedError

    def where(self, row: int) -> str:
        """A row in words, such as 'row 17 of block 3'."""
        return f"row {row}"

    def column(self, values: Any) -> Any:
        """Weights or labels as given; a source with named columns also takes the name of a column."""
        if isinstance(values, str):
            raise ValueError(
                f"got the column name {values!r}, but X has no named columns beside its features: pass an array, "
                f"such as X[{values!r}], and X without it"
            )
        return values

    def labels(self, values: Any) -> Any:
        """As `column`; a source whose columns may hold words returns these."""
        return self.column(values)

    def choosing(self, *, only: Sequence[str] | None = None, without: Sequence[str] = ()) -> Source:
        """This source; or a copy with other features, if columns have names and the user hasn't chosen among them."""
        return self

    def like(self, source: Source) -> Source:
        """Points of this source that another one holds, as a source that lets missing values pass if this one does."""
        return source

    def truncated(self, candidates: kernels.Candidates | None) -> Source:
        """The same points as a source whose passes visit for each point only its candidates; None: every component.

        Raises ValueError if passes over these points can't do that.
        """
        source = copy.copy(self)
        source._candidates = candidates
        return source

    def completed(self, parameters: Parameters) -> Source:
        """The source itself; where values are missing, the points with what the mixture expects in their place."""
        return self

    def _unusable_rows(self, rows):
        """Numbers of the rows that a scan must not let pass; notes missing values."""
        bad = unusable_rows(rows, self.allows_missing)
        if self.allows_missing and not self.lacks_values:
            self.lacks_values = lacks_values(rows)
        return bad

    @property
    def precision(self) -> np.dtype[Any]:
        """float32 where the data are, else float64."""
        return np.dtype(np.float32 if self.dtype == np.float32 else np.float64)

    @property
    def nbytes(self) -> int:
        """Bytes that the points would take in memory."""
        return self.n_samples * self.n_features * self.precision.itemsize

    def parts(self, leaf: int, most_rows: int | None = None) -> Iterable[tuple[int, NDArray[Any]]]:
        """The points as (number of the first row, rows); all but the last consist of whole leaves.

        A leaf is a number of rows that the kernels sum up as one unit.
        """
        return aligned(self.read(), leaf, self.n_features, most_rows=most_rows)

    def rows(self, index: Any) -> NDArray[Any]:
        """A copy of some rows, by slice or by numbers in any order, in the source's `precision`."""
        if isinstance(index, slice):
            index = np.arange(*index.indices(self.n_samples))
        order = np.argsort(index, kind="stable")
        wanted = index[order]
        out = np.empty((len(index), self.n_features), self.precision)
        done = 0
        for taken in self._taken(wanted):
            if (bad := unusable_rows(taken, self.allows_missing)).size:
                raise self.no_longer_finite(taken[bad[0]], int(wanted[done + bad[0]]))
            out[order[done : done + len(taken)]] = taken
            done += len(taken)
        return out

    def _taken(self, wanted):
        """The rows with these numbers, which are ascending, some at a time."""
        done = first = 0
        for block in self.read():
            stop = np.searchsorted(wanted, first + len(block))
            yield block[wanted[done:stop] - first]
            done, first = stop, first + len(block)
            if done == len(wanted):
                break

    def accumulate(
        self,
        parameters: Parameters,
        *,
        centres: NDArray[np.float64] | None = None,
        annotations: Annotations = NO_ANNOTATIONS,
        assignment: Assignment = SOFT,
        exact: bool = False,
    ) -> SufficientStatistics:
        """One pass: sufficient statistics of the points under the responsibilities of these parameters.

        Parameters
        ----------
        parameters : Parameters
        centres : ndarray of shape (K, D), default=None
            The points about which moments are taken; by default the means.
        annotations : Annotations
            Weights, labels, responsibilities.
        assignment : Assignment
        exact : bool, default=False
            Accumulate every moment about its own centre, even where that makes the pass slower.

        Returns
        -------
        statistics : SufficientStatistics

        Raises
        ------
        SourceError
            If the points can't be read, or hold NaN or infinity now.
        """
        centres = parameters.means.astype(np.float64) if centres is None else centres
        inputs = parameters.kernel_inputs(exact, single=self.precision == np.float32)
        of_points = annotations, assignment
        statistics = self._statistics(parameters.family, inputs, centres, *of_points)
        if not np.isfinite(statistics.second).all():
            if inputs.bias.dtype == np.float32:
                statistics = self._statistics(parameters.family, parameters.kernel_inputs(exact), centres, *of_points)
            self._check_points()
        return statistics

    def _statistics(self, family, inputs, centres, annotations, assignment):
        offsets = (centres - inputs.origin).astype(inputs.bias.dtype)
        if offsets.dtype == np.float32:
            centres = inputs.origin + offsets  # as the kernels round them
        sums = self._sums(inputs, offsets, annotations, assignment)
        return family.statistics_of_pass(inputs, centres, sums)

    def e_step(
        self, parameters: Parameters, annotations: Annotations = NO_ANNOTATIONS, assignment: Assignment = SOFT
    ) -> SufficientStatistics:
        """`accumulate` about the means, with variances accurate to 9 digits (3 where it computes in float32)."""
        of_points = {"annotations": annotations, "assignment": assignment}
        statistics = self.accumulate(parameters, **of_points)
        if statistics.digits_kept < _DIGITS_KEPT[self.precision]:
            statistics = self.accumulate(parameters, centres=statistics.means, **of_points, exact=True)
        if parameters.family.fourth is not None and self.is_complete:
            unit, function = statistics.deviation, parameters.family.fourth
            sums = self._sums_of_offsets(parameters, statistics.means, unit, function, *of_points.values())
            statistics = replace(statistics, fourth=sums, unit=unit)
        return statistics

    def _sums_of_offsets(self, parameters, centres, unit, function, annotations, assignment):
        """Sum of w_i r_ik function((x_i - centre_k) / unit), (K,).

        This is a second pass, in NumPy, as the kernels have no such sum.

        If the assignment is stochastic, r_ik are the probabilities of the draws.
        """
        n_components = len(centres)
        size = max(1, VALUES // max(self.n_features, n_components))  # of this alone, so that sums round alike
        inputs = parameters.kernel_inputs(single=self.precision == np.float32)
        sums = np.zeros(n_components)
        for first, rows in self.parts(size, size):
            shares = np.empty((len(rows), n_components))
            kernels.responsibilities(rows, inputs, shares)
            shares = annotations.shares(shares, first, assignment)
            points = rows.astype(np.float64, order="C")  # in one layout, so that sums round alike
            for k in range(n_components):
                sums[k] += shares[:, k] @ function((points - centres[k]) / unit)
        return sums

    def log_likelihood(
        self, parameters: Parameters, annotations: Annotations = NO_ANNOTATIONS, assignment: Assignment = SOFT
    ) -> tuple[float, float]:
        """(weighted sum of the points' log-likelihoods, nats; sum of the weights), by a pass without moments.

        With hard assignment, a point's log-likelihood is that of its most probable component.
        """
        is_plain = assignment == SOFT and not annotations.is_constrained and self._candidates is None
        if self.n_samples <= _FEW and is_plain:
            return self._sum_of_log_likelihoods(parameters, annotations.weights)
        inputs = parameters.kernel_inputs(single=self.precision == np.float32)
        *_, log_likelihood, weight = self._sums(inputs, inputs.means, annotations, assignment, moments=False).rounded(
            inputs
        )
        return log_likelihood, weight

    def _sum_of_log_likelihoods(self, parameters, weights):
        """`log_likelihood` of few points: by the kernel of `score_samples`, which compiles in less time than a pass."""
        values = Source.evaluate(self, parameters, kernels.log_likelihoods, np.empty(self.n_samples))
        if not np.isfinite(values).all():
            self._check_points()
        if weights is None:
            return math.fsum(values.tolist()), float(self.n_samples)
        counted = weights > 0
        return math.fsum((weights[counted] * values[counted]).tolist()), float(weights.sum())

    def _sums(self, inputs, offsets, annotations, assignment, moments=True):
        """`kernels.Sums` of a pass."""
        cells = self._cells if moments else None
        constrained = annotations.is_constrained
        if self._candidates is None:
            sums = kernels.Pass(inputs, offsets, self.n_samples, constrained=constrained, cells=cells, moments=moments)
        else:
            sums = kernels.TruncatedPass(inputs, offsets, self.n_samples, self._candidates, moments=moments)
        for first, rows in self.parts(sums.leaf, annotations.most_rows):
            sums.add(rows, annotations.part(first, first + len(rows), assignment), first)
            if not sums.is_finite:
                self.check_finite(rows, first)
        return sums.sums()

    def check_finite(self, rows: NDArray[Any], first: int) -> None:
        """Raise SourceError if the rows, of which the first is row number `first`, hold NaN or infinity."""
        if (bad := nonfinite_rows(rows)).size:
            raise self.no_longer_finite(rows[bad[0]], first + int(bad[0]))

    def no_longer_finite(self, values: Any, row: int) -> SourceError:
        """The error for a row with these values, which was finite when `scan` read it."""
        what = "NaN" if np.isnan(values).any() else "infinity"
        return SourceError(f"{self.where(row)} holds {what}, which it did not before")

    def _check_points(self):
        """Look for the row that made statistics infinite, if the pass had no log-likelihood that would show it."""
        for first, rows in self.parts(1):
            self.check_finite(rows, first)

    def evaluate(self, parameters: Parameters, kernel: Callable[..., None], out: NDArray[Any]) -> NDArray[Any]:
        """Fill `out`, one row per point, by a kernel of `kernels` that evaluates a mixture; return `out`."""
        inputs = parameters.kernel_inputs(single=self.precision == np.float32)
        for first, rows in self.parts(1):
            kernel(rows, inputs, out[first : first + len(rows)])
        return out


def aligned(blocks, leaf, n_features, first=0, most_rows=None):
    """Regroup blocks of rows into (number of the first row, rows); all but the last consist of whole leaves.

    The whole leaves of a large block are views of it. Rows between these, and small blocks, are copied, a few MiB at a
    time. A part is valid until the next one is asked for.
    """
    size = max(1, (VALUES // n_features) // leaf) * leaf
    most = None if most_rows is None else max(1, most_rows // leaf) * leaf
    buffer, filled = None, 0

    def cut(rows):
        nonlocal first
        step = most or len(rows)
        for start in range(0, len(rows), step):
            yield first, rows[start : start + step]
            first += len(rows[start : start + step])

    for rows in blocks:
        while len(rows):
            is_large = len(rows) >= size
            if not filled and is_large:
                whole = len(rows) // leaf * leaf
                yield from cut(rows[:whole])
                rows = rows[whole:]
                continue
            if buffer is None:
                buffer = np.empty((size, n_features), rows.dtype)
            taken = min(-filled % leaf if is_large else size - filled, len(rows))
            buffer[filled : filled + taken] = rows[:taken]
            filled, rows = filled + taken, rows[taken:]
            if filled == size or (is_large and filled % leaf == 0):
                yield from cut(buffer[:filled])
                filled = 0
    if filled:
        yield from cut(buffer[:filled])
