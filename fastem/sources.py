"""What a pass can run over. A source answers `accumulate`; the driver doesn't know which kind it has."""

import numpy as np

from . import kernels
from .kernels import NOTHING_GIVEN, READ_IN_PLACE, Given

# Where moments about the old means have lost more than 7 of 16 digits (in float32 4 of 7) against those about the new
# ones, the pass is made again about the new ones. It happens after a far-off start, or where tied clusters are tiny
# and far apart.
_DIGITS_KEPT = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-4}

_VALUES = 1 << 20  # numbers converted, checked or drawn at a time: 8 MiB


class ArraySource:
    """Points in an array, in memory or memory-mapped: read in place, never copied whole.

    Parameters
    ----------
    X : ndarray of shape (n, D), of any real dtype and layout
    """

    def __init__(self, X):
        self.X = X.view(np.uint8) if X.dtype == np.bool_ else X
        self._cells = kernels.Cells(len(X)) if self.X.dtype in READ_IN_PLACE else None

    @property
    def n_samples(self):
        return self.X.shape[0]

    @property
    def n_features(self):
        return self.X.shape[1]

    def blocks(self, n_columns=None):
        """Consecutive row ranges, (start, stop), of which n_columns (default: the features) can be held in memory."""
        n_rows = max(1, _VALUES // (n_columns or self.n_features))
        for start in range(0, self.n_samples, n_rows):
            yield start, min(start + n_rows, self.n_samples)

    @property
    def precision(self):
        """float32 where the data are, else float64."""
        return np.dtype(np.float32 if self.X.dtype == np.float32 else np.float64)

    def rows(self, index):
        """A copy of some rows, in their `precision`."""
        return np.array(self.X[index], dtype=self.precision, order="C")

    def sample(self, size, random_state, weights=None):
        """About `size` points drawn by weight, one from each of as many equal stretches of the data: a source.

        Without weights no point comes twice, and the data's order does no harm: a stretch is never left out.
        """
        where = random_state.uniform(size=size)
        if weights is None:
            edges = np.arange(size + 1) * self.n_samples // size
            index = edges[:-1] + (where * np.diff(edges)).astype(np.intp)
        else:
            total = np.cumsum(weights)
            steps = (np.arange(size) + where) * (total[-1] / size)
            index = np.minimum(np.searchsorted(total, steps, side="right"), self.n_samples - 1)
        return ArraySource(self.rows(index))

    def first_nonfinite(self):
        """(number of rows holding NaN or infinity, the first of them), or None where all are finite."""
        if self.X.dtype.kind != "f":
            return None
        bad, first = 0, None
        for start, stop in self.blocks():
            rows = self.X[start:stop]
            with np.errstate(over="ignore", invalid="ignore"):
                if np.isfinite(np.sum(rows, dtype=np.float64)):
                    continue
            wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if wrong.size:
                first = start + int(wrong[0]) if first is None else first
                bad += wrong.size
        return None if first is None else (bad, first)

    def readable(self):
        """The points as arrays that kernels read in place: (start, stop, rows), converted blocks for a rare dtype."""
        X = self.X
        if X.dtype in READ_IN_PLACE:
            yield 0, self.n_samples, X
        else:
            for start, stop in self.blocks():
                yield start, stop, np.asarray(X[start:stop], dtype=np.float64)

    def accumulate(self, parameters, *, centres=None, given=NOTHING_GIVEN, exact=False):
        """One pass: sufficient statistics of the points under the responsibilities of these parameters.

        Parameters
        ----------
        parameters : Parameters
        centres : ndarray of shape (K, D), default=None
            What moments are taken about; by default the means.
        given : kernels.Given
            Weights, labels, responsibilities.
        exact : bool
            Accumulate every moment about its own centre, even where that makes the pass slower.

        Returns
        -------
        statistics : SufficientStatistics
        """
        centres = parameters.means.astype(np.float64) if centres is None else centres
        inputs = parameters.kernel_inputs(exact, single=self.precision == np.float32)
        statistics = self._accumulate(parameters.family, inputs, centres, given)
        if inputs.bias.dtype == np.float32 and not np.isfinite(statistics.second).all():
            statistics = self._accumulate(parameters.family, parameters.kernel_inputs(exact), centres, given)
        return statistics

    def _accumulate(self, family, inputs, centres, given):
        offsets = (centres - inputs.origin).astype(inputs.bias.dtype)
        if offsets.dtype == np.float32:
            centres = inputs.origin + offsets  # where the kernels take them to be
        total = None
        for start, stop, X in self.readable():
            part = Given(given.weights[start:stop], given.labels[start:stop], *given[2:])
            mass, first, second, log_likelihood = kernels.accumulate(X, inputs, offsets, part, self._cells)
            weight = float(part.weights.sum()) if part.weights.size else float(stop - start)
            statistics = family.statistics(inputs.origin, centres, mass, first, second, log_likelihood, weight)
            total = statistics if total is None else total + statistics
        return total

    def e_step(self, parameters, given=NOTHING_GIVEN):
        """`accumulate` about the means, its variances good to 9 digits (3 where it computes in float32)."""
        statistics = self.accumulate(parameters, given=given)
        if statistics.digits_kept < _DIGITS_KEPT[self.precision]:
            statistics = self.accumulate(parameters, centres=statistics.means, given=given, exact=True)
        return statistics

    def evaluate(self, parameters, kernel, out):
        """Fill out, one row per point, with a kernel of `kernels` that evaluates a mixture; return it."""
        inputs = parameters.kernel_inputs(single=self.precision == np.float32)
        for start, stop, X in self.readable():
            kernel(X, inputs, out[start:stop])
        return out


def as_source(X):
    """The source for the given data."""
    return ArraySource(X)
