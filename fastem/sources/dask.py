"""Points in a Dask array or dataframe: each worker runs the kernels on the partitions that it has.

Parameters are sent to the workers, and sums come back. With many components, 2 bytes per point go both ways (see
`NearestComponents`). Few points are sent: a sample for the start (16 MiB at most), and the first rows of a partition
(fewer than a leaf has, as a rule 2,048) to the worker of the partition before, because one worker sums all of a leaf.
So the sums are bit-identical for any partitions, and for the same points in memory.
"""

from __future__ import annotations

import contextlib
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import numba
import numpy as np

from .. import kernels
from ..extras import needed
from ..kernels.threads import thread_limits
from .base import Source, aligned
from .blocks import as_rows
from .rows import SourceError, lacks_values, nonfinite_error, nonfinite_rows, readable, unusable_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from numpy.typing import DTypeLike, NDArray

    from ..model.parameters import Parameters

_FAN_IN = 32  # sums that one task adds up


def is_dask(X):
    """Whether X is a Dask collection; the check doesn't import Dask."""
    return type(X).__module__.split(".")[0] in ("dask", "dask_expr") and hasattr(X, "dask")


class DaskSource(Source):
    """Points in a Dask array or dataframe of two dimensions.

    Parameters
    ----------
    X : dask.array.Array or dask.dataframe.DataFrame
        Partitioned by rows. Every pass computes the partitions anew: `persist` it if that takes long and fits into
        memory.

    Examples
    --------
    >>> import dask.array
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> from fastem.sources import DaskSource
    >>> source = DaskSource(dask.array.from_array(X, chunks=(100, 2)))
    >>> round(GaussianMixture(2, random_state=0).fit(source).lower_bound_, 3)
    -4.155
    """

    def __init__(self, X: Any) -> None:
        self._dask = needed("dask", "dask")
        self.X = X
        columns = getattr(X, "columns", None)
        self._is_frame = columns is not None
        self._heads = {}
        self.feature_names = list(columns) if columns is not None and all(isinstance(c, str) for c in columns) else None
        if X.ndim != 2:
            raise SourceError(f"Expected 2D array, got {X.ndim}D Dask array instead: reshape it to (n, D)")
        self.n_features = len(columns) if self._is_frame else X.shape[1]
        if np.isnan(self.n_features) or self.n_features == 0:
            raise SourceError(f"X should have a known number of columns, at least one, but has {self.n_features}")
        if not self._is_frame and X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        dtypes = X.dtypes if self._is_frame else [X.dtype]
        self.dtype = np.result_type(*dtypes) if all(isinstance(dtype, np.dtype) for dtype in dtypes) else None
        partitions = X.to_delayed()
        self._partitions = partitions if self._is_frame else partitions.ravel().tolist()

    def scan(self, estimator: str = "GaussianMixture") -> None:
        looked = self._compute(
            [
                self._dask.delayed(_look)(block, number, self.allows_missing)
                for number, block in enumerate(self._partitions)
            ]
        )
        lengths = [length for length, *_ in looked]
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.n_samples = int(self._starts[-1])
        self._cells = kernels.NearestComponents(self.n_samples)
        if self.n_samples == 0:
            raise SourceError("the Dask collection has no rows")
        self.lacks_values = any(entry[-1] for entry in looked)
        for number, (_, width, *_) in enumerate(looked):
            if width != self.n_features:
                raise SourceError(f"partition {number} has {width} columns, not {self.n_features}")
        self.dtype = np.result_type(*[dtype for length, _, dtype, *_ in looked if length])
        bad = sum(n_bad for *_, n_bad, _, _, _ in looked)
        if bad:
            number = next(i for i, entry in enumerate(looked) if entry[3])
            where = self.where(int(self._starts[number]) + looked[number][4])
            row = looked[number][5]
            raise nonfinite_error(bad, where, row, self.feature_names, self.allows_missing, estimator)

    def where(self, row: int) -> str:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return f"row {row - self._starts[number]} of partition {number} (row {row} of all)"

    def read(self) -> Iterable[NDArray[Any]]:
        for block in self._partitions:
            (rows,) = self._compute([self._dask.delayed(_rows)(block, self.dtype)])
            yield rows

    def _taken(self, wanted):
        cuts = np.searchsorted(wanted, self._starts)
        tasks = [
            self._dask.delayed(_take)(self._partitions[i], wanted[cuts[i] : cuts[i + 1]] - start, self.precision)
            for i, start in enumerate(self._starts[:-1])
            if cuts[i] < cuts[i + 1]
        ]
        return self._compute(tasks)

    def _sums(self, inputs, offsets, annotations, assignment, moments=True):
        delayed = self._dask.delayed
        settings = {"n_samples": self.n_samples, "constrained": annotations.is_constrained, "moments": moments}
        whole = kernels.Pass(inputs, offsets, cells=self._cells if moments else None, **settings)
        settings["constrained"] |= not whole.prunes  # tasks prune where the whole pass does
        ranges = self._ranges(whole.leaf)
        shared = delayed((inputs, offsets, settings, self.dtype, self._threads_a_task(len(ranges))), pure=False)
        cells = [whole.cells and whole.cells.of_rows(*each) for each in ranges]
        tasks = [
            delayed(_sums_of, nout=2)(self._pieces(*each), *each, annotations.of_rows(*each), assignment, part, shared)
            for each, part in zip(ranges, cells, strict=True)
        ]
        tasks, cells = zip(*tasks, strict=True)
        while len(tasks) > 1:
            tasks = [delayed(_merged)(tasks[i : i + _FAN_IN]) for i in range(0, len(tasks), _FAN_IN)]
        try:
            sums, *cells = self._compute([*tasks, *(cells if whole.cells else ())])
        except Exception as error:  # of a partition's own tasks, or of the cluster
            raise SourceError(f"a pass over the Dask partitions failed ({type(error).__name__}: {error})") from error
        if isinstance(sums, _Bad):
            raise SourceError(sums.message) if sums.message else self.no_longer_finite(sums.values, sums.row)
        for each, labels in zip(ranges, cells, strict=False):
            whole.cells.labels_of(*each)[:] = labels
        whole.finish(sums)
        return sums

    def _ranges(self, leaf):
        """(first row, row after the last) of each task: the leaves that begin in one partition."""
        first = np.minimum(-(-self._starts // leaf) * leaf, self.n_samples)
        return [(int(a), int(b)) for a, b in pairwise(first) if a < b]

    def _pieces(self, first, stop):
        """The rows from first to stop, as (block, low, high, number of rows): rows low to high of each block.

        A block is a partition, or the head of one of the partitions after it.
        """
        pieces = []
        for i in range(np.searchsorted(self._starts, first, side="right") - 1, len(self._partitions)):
            begin, end = map(int, self._starts[i : i + 2])
            low, high = max(first, begin) - begin, min(stop, end) - begin
            if begin >= stop:
                break
            if low >= high:
                continue
            if pieces and high < end - begin:
                pieces.append((self._head(i, high), 0, high, high))
            else:
                pieces.append((self._partitions[i], low, high, end - begin))
        return pieces

    def _head(self, number, length):
        """The first rows of a partition, for the worker of the one before it; a cluster keeps them for all passes."""
        if (number, length) not in self._heads:
            head = self._dask.delayed(_head)(self._partitions[number], length)
            self._heads[number, length] = head if _client() is None else self._dask.persist(head)[0]
        return self._heads[number, length]

    def _compute(self, tasks):
        return self._dask.compute(*tasks)

    def _threads_a_task(self, n_tasks):
        """Number of threads for each task's kernels, so that all tasks together use what the scheduler has."""
        client = _client()
        if client is None:
            available = most = numba.get_num_threads()
        else:
            counts = list(client.nthreads().values())
            available, most = sum(counts), min(counts, default=1)
        return max(1, min(most, available // n_tasks))

    def truncated(self, candidates: kernels.Candidates | None) -> Source:
        raise ValueError(
            "algorithm='truncated' can't be used with Dask input, whose workers keep no candidates: "
            "use algorithm='em', or pass a function that returns the blocks"
        )

    def evaluate(self, parameters: Parameters, kernel: Callable[..., None], out: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError("predictions of Dask input are lazy: see `lazily`")

    def _check_points(self):
        pass  # the tasks of the pass have checked them

    def lazily(self, evaluate: Callable[[Any], NDArray[Any]], dtype: DTypeLike, n_columns: int | None = None) -> Any:
        """A Dask array, (n,) or (n, n_columns), of a function's values for each partition's rows."""
        array = needed("dask.array", "dask")
        X = self.X
        if self._is_frame:
            has_nullable = not all(isinstance(dtype, np.dtype) for dtype in X.dtypes)
            X = (X.astype(np.float64) if has_nullable else X).to_dask_array(lengths=None)
        if X.numblocks[1] > 1:
            X = X.rechunk({1: -1})
        if n_columns is None:
            return X.map_blocks(evaluate, drop_axis=1, dtype=dtype, meta=np.empty(0, dtype))
        chunks = X.chunks[0], (n_columns,)
        return array.map_blocks(evaluate, X, chunks=chunks, dtype=dtype, meta=np.empty((0, n_columns), dtype))


def _client():
    """The client of the distributed scheduler in use; None if Dask runs in this process."""
    if "distributed" in sys.modules:
        with contextlib.suppress(ValueError):
            return sys.modules["distributed"].get_client()
    return None


# -- on the workers ---------------------------------------------------------------------------------------------------


class _Bad:
    """The result of a task that met bad points: a row with these values, or what the message says."""

    def __init__(self, row=None, values=None, message=None):
        self.row, self.values, self.message = row, values, message


def _rows(block, dtype):
    rows = readable(as_rows(block, "a partition")[0])
    return rows if rows.dtype == dtype else rows.astype(dtype)


def _look(block, number, allows_missing):
    """(n_rows, n_columns, dtype, number of rows that can't be used, the first of them, its values, whether values are
    missing).
    """
    rows, _ = as_rows(block, f"partition {number}")
    rows = readable(rows)
    bad = unusable_rows(rows, allows_missing)
    first = int(bad[0]) if bad.size else 0
    row = rows[first].copy() if bad.size else None
    return *rows.shape, rows.dtype, len(bad), first, row, allows_missing and lacks_values(rows)


def _take(block, index, dtype):
    return as_rows(block, "a partition")[0][index].astype(dtype)


def _head(block, length):
    return np.ascontiguousarray(as_rows(block, "a partition")[0][:length])


def _sums_of(pieces, first, stop, annotations, assignment, cells, shared):
    """(`kernels.Sums`, labels of the cells) of the points from first to stop: rows [low, high) of the pieces.

    `_Bad` takes the place of the sums if a row can't be used.
    """
    inputs, offsets, settings, dtype, n_threads = shared
    blocks, n_features = [_rows(block, dtype) for block, *_ in pieces], offsets.shape[1]
    if any(rows.shape != (length, n_features) for rows, (*_, length) in zip(blocks, pieces, strict=True)):
        shapes = " and ".join(str(rows.shape) for rows in blocks)
        return _Bad(message=f"rows {first} to {stop - 1} are in blocks of other shapes than before, {shapes}"), None
    blocks = [rows[low:high] for rows, (_, low, high, _) in zip(blocks, pieces, strict=True)]
    sums = kernels.Pass(inputs, offsets, cells=cells, **settings)
    with thread_limits(n_threads):
        for start, rows in aligned(blocks, sums.leaf, n_features, first, annotations.most_rows):
            sums.add(rows, annotations.part(start - first, start - first + len(rows), assignment), start)
            if not sums.is_finite and (bad := nonfinite_rows(rows)).size:
                return _Bad(start + int(bad[0]), rows[bad[0]].copy()), None
        return sums.sums(), cells and cells.labels


def _merged(parts):
    total = None
    for part in parts:
        if isinstance(part, _Bad):
            return part
        total = part if total is None else total + part
    return total
