"""Points with missing values (NaN), of any other source: the E-step sees each point's observed features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from .annotations import NO_ANNOTATIONS, SOFT
from .array import ArraySource
from .base import VALUES, Source
from .rows import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from ..model.parameters import Parameters
    from ..model.statistics import SufficientStatistics
    from ..sources.annotations import Annotations, Assignment

# Values of a window, the points that are grouped by what they lack: 64 MiB. Points that come in blocks are gathered to
# windows, so that sums are rounded alike however the points come.
_WINDOW = 1 << 23


def incomplete_rows(X: NDArray[np.float64]) -> IncompleteSource:
    """The rows of an array, (n, D), in which NaN stands for what is missing, whether any is or not."""
    source = ArraySource(X)
    source.allows_missing = True
    return IncompleteSource(source)


class IncompleteSource(Source):
    """Points with missing values: NaN, which the other source has let pass.

    A window's points are grouped by what they lack, once; the groups take 4 bytes for each point. Points in an array
    are read in place. Others, those of Dask too, are gathered to windows of 64 MiB in every pass.

    Parameters
    ----------
    source : Source
        Scanned, with `allows_missing`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.sources import ArraySource, IncompleteSource
    >>> source = ArraySource(np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, np.nan], [5.0, np.nan]]))
    >>> source.allows_missing = True
    >>> source.scan()
    >>> IncompleteSource(source).n_patterns
    3
    """

    is_complete = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self.allows_missing = self.lacks_values = self.is_validated = True
        self.n_samples, self.n_features, self.dtype = source.n_samples, source.n_features, source.dtype
        self.feature_names, self._window = source.feature_names, max(1, _WINDOW // source.n_features)  # rows
        self._patterns = [kernels.patterns_of(rows) for _, rows in self._windows()]
        self._whole, self._moments = self, None

    def empty_features(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.intp]:
        """Numbers of the features that no point of positive weight has."""
        has_value = np.zeros(self.n_features, bool)
        for rows, observed in self.groups():
            if weights is None or weights[rows].any():
                has_value |= observed
        return np.flatnonzero(~has_value)

    def check_features(self, names: Sequence[str] | None = None, weights: NDArray[np.float64] | None = None) -> None:
        """Raise SourceError, with the features' names, if some have no value at all."""
        empty = self.empty_features(weights)
        if empty.size:
            which = ", ".join(str(i) if names is None else repr(names[i]) for i in empty[:5])
            many = f"s {which}{', ..' if len(empty) > 5 else ''}" if len(empty) > 1 else f" {which}"
            raise SourceError(f"X has no value in column{many}: leave it out")

    def feature_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance of each feature's values, (D,) both; of all the data if these points are a part of it."""
        if self._whole is not self:
            return self._whole.feature_moments()
        if self._moments is None:
            count = np.zeros(self.n_features)
            mean, variance = np.zeros(self.n_features), np.zeros(self.n_features)
            for _, rows in self._source.parts(1, max(1, VALUES // self.n_features)):
                count += (~np.isnan(rows)).sum(axis=0)
                mean += np.nansum(rows, axis=0, dtype=np.float64)
            mean /= np.maximum(count, 1)
            for _, rows in self._source.parts(1, max(1, VALUES // self.n_features)):
                variance += np.nansum((rows - mean) ** 2, axis=0, dtype=np.float64)
            self._moments = mean, variance / np.maximum(count, 1)
        return self._moments

    @property
    def n_patterns(self) -> int:
        """Number of different sets of features that points lack; counted in each window."""
        return sum(len(patterns.observed) for patterns in self._patterns)

    def groups(self) -> Iterable[tuple[NDArray[np.integer], NDArray[np.bool_]]]:
        """(numbers of the rows that lack the same features, whether they have each feature)."""
        for number, patterns in enumerate(self._patterns):
            for rows, observed in patterns.groups():
                yield rows + number * self._window, observed

    # -- the other source's own ---------------------------------------------------------------------------------------

    def where(self, row: int) -> str:
        return self._source.where(row)

    def column(self, values: Any) -> Any:
        return self._source.column(values)

    def parts(self, leaf: int, most_rows: int | None = None) -> Iterable[tuple[int, NDArray[Any]]]:
        return self._source.parts(leaf, most_rows)

    def rows(self, index: Any) -> NDArray[Any]:
        return self._source.rows(index)

    def like(self, source: Source) -> Source:
        source.allows_missing = True
        source.scan()
        if not source.lacks_values:
            return source
        result = IncompleteSource(source)
        result._whole = self._whole
        return result

    def truncated(self, candidates: kernels.Candidates | None) -> Source:
        raise ValueError(
            "algorithm='truncated' can't be used with missing values, whose points are visited by what they lack: "
            "use algorithm='em'"
        )

    # -- passes -------------------------------------------------------------------------------------------------------

    def _windows(self):
        for first, rows in self._source.parts(self._window):
            for start in range(0, len(rows), self._window):
                yield first + start, rows[start : start + self._window]

    def accumulate(
        self,
        parameters: Parameters,
        *,
        centres: NDArray[np.float64] | None = None,
        annotations: Annotations = NO_ANNOTATIONS,
        assignment: Assignment = SOFT,
        exact: bool = False,
    ) -> SufficientStatistics:
        """As `Source.accumulate`: expected statistics of all features given the observed ones.

        Ghahramani & Jordan 1994, 'Supervised learning from incomplete data via an EM approach'.
        """
        centres = parameters.means.astype(np.float64) if centres is None else centres
        inputs, mixture = parameters.marginal_inputs()
        sums = kernels.PatternPass(inputs, mixture, centres - inputs.origin, self.n_samples, self.n_patterns)
        self._add_to(sums, annotations, assignment)
        return parameters.family.statistics_of_pass(inputs, centres, sums.sums())

    def log_likelihood(
        self, parameters: Parameters, annotations: Annotations = NO_ANNOTATIONS, assignment: Assignment = SOFT
    ) -> tuple[float, float]:
        inputs, mixture = parameters.marginal_inputs()
        sums = kernels.PatternPass(inputs, mixture, inputs.means, self.n_samples, self.n_patterns, moments=False)
        self._add_to(sums, annotations, assignment)
        *_, log_likelihood, weight = sums.sums().rounded(inputs)
        return log_likelihood, weight

    def _add_to(self, sums, annotations, assignment):
        for patterns, (first, rows) in zip(self._patterns, self._windows(), strict=True):
            part = annotations.part(first, first + len(rows), assignment)
            sums.add(rows, patterns, part, first)
            if not sums.is_finite:
                self._check_window(patterns, rows, first)

    def _check_window(self, patterns, rows, first):
        """Raise SourceError if rows hold infinity, or NaN where they had a value before."""
        for index, observed in patterns.groups():
            bad = ~np.isfinite(rows[index][:, observed]).all(axis=1)
            if bad.any():
                row = int(index[bad.argmax()])
                raise self.no_longer_finite(rows[row][observed], first + row)

    def evaluate(self, parameters: Parameters, kernel: Callable[..., None], out: NDArray[Any]) -> NDArray[Any]:
        inputs, mixture = parameters.marginal_inputs()
        values = out.astype(np.float64) if out.dtype == np.float32 else out  # the pass computes in float64
        for patterns, (first, rows) in zip(self._patterns, self._windows(), strict=True):
            kernels.evaluate_patterns(kernel, rows, patterns, inputs, mixture, values[first : first + len(rows)])
        if values is not out:
            out[:] = values
        return out

    def completed(self, parameters: Parameters) -> ArraySource:
        """The points in memory, each missing value replaced by its expectation given the observed ones."""
        filled = self.rows(slice(None)).astype(np.float64)
        return ArraySource(self.expected(parameters, filled))

    def expected(self, parameters: Parameters, out: NDArray[np.float64]) -> NDArray[np.float64]:
        """`out`, (n, D), with the expectation of each missing value given the row's observed ones."""
        return self.evaluate(parameters, kernels.expectations, out)

    def deviations(self, parameters: Parameters) -> NDArray[np.float64]:
        """Standard deviation of each missing value given the row's observed ones, (n, D); 0 where one was observed."""
        variances = self.evaluate(parameters, kernels.variances, np.zeros((self.n_samples, self.n_features)))
        return np.sqrt(np.maximum(variances, 0.0))
