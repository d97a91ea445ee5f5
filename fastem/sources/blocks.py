"""Points that come in blocks, anew for each pass: from a function, the batches of a table, or a reader of files."""

from __future__ import annotations

import queue
import threading
from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from .base import Source
from .numbers import check_numbers
from .rows import SourceError, nonfinite_error, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from numpy.typing import NDArray


class BlockSource(Source):
    """Points that a function hands out in blocks, from a fresh iterator for each pass.

    Parameters
    ----------
    blocks : callable
        Without arguments; returns an iterable of blocks: arrays of shape (m, D), pandas DataFrames, Arrow tables or
        record batches. Every call must give the same rows in the same order; how they are cut doesn't matter.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> from fastem.sources import BlockSource
    >>> source = BlockSource(lambda: (X[start : start + 100] for start in range(0, len(X), 100)))
    >>> round(GaussianMixture(2, random_state=0).fit(source).lower_bound_, 3)
    -4.155
    """

    def __init__(self, blocks: Callable[[], Iterable[Any]]) -> None:
        self._make_blocks = blocks
        self._starts = []  # first row numbers of the blocks of the current pass, or of the last one

    def scan(self, estimator: str = "GaussianMixture") -> None:
        self.n_samples = self.n_features = self.dtype = None
        bad, first, row = 0, None, None
        for start, rows in self._numbered():
            wrong = self._unusable_rows(rows)
            if wrong.size and first is None:
                first, row = start + int(wrong[0]), rows[wrong[0]].copy()
            bad += wrong.size
        if not self._starts:
            raise SourceError(f"{self._what} gave no rows")
        if bad:
            raise nonfinite_error(bad, self.where(first), row, self.feature_names, self.allows_missing, estimator)
        self._cells = kernels.NearestComponents(self.n_samples)

    _what = "the function that makes blocks"

    def _new_blocks(self):
        return self._make_blocks()

    def where(self, row: int) -> str:
        number = bisect_right(self._starts, row) - 1
        return f"row {row - self._starts[number]} of block {number} (row {row} of all)"

    def read(self) -> Iterable[NDArray[Any]]:
        return (rows for _, rows in self._numbered())

    def _numbered(self):
        """(number of the first row, rows) of each block, checked against the first pass."""
        expected, self._starts, first = self.n_samples, [], 0
        blocks = self._new_blocks()
        if not hasattr(blocks, "__iter__"):
            raise SourceError(f"{self._what} should return an iterable of blocks, but returned {type(blocks).__name__}")
        for number, block in enumerate(self._each(blocks)):
            rows = self._rows_of(block, number)
            if not len(rows):
                continue
            self._starts.append(first)
            if expected is not None and first + len(rows) > expected:
                raise self._other_length("more than", expected)
            yield first, rows
            first += len(rows)
        if expected is None:
            self.n_samples = first
        elif first != expected:
            raise self._other_length(f"{first} rows now, not", expected)

    def _each(self, blocks):
        """The blocks; any error in making one becomes a SourceError."""
        number, blocks = 0, iter(blocks)
        while True:
            try:
                block = next(blocks)
            except StopIteration:
                return
            except SourceError:
                raise
            except Exception as error:
                raise SourceError(f"{self._what} failed at block {number} ({type(error).__name__}: {error})") from error
            yield block
            number += 1

    def _other_length(self, given, expected):
        return SourceError(
            f"{self._what} gave {given} the {expected} rows of the pass before: every pass must see the same points"
        )

    def _rows_of(self, block, number):
        """A block as an array that kernels read in place, with the columns and dtype of the first block."""
        rows, names = as_rows(block, f"block {number}")
        if self.n_features is None:
            rows = readable(rows)
            self.n_features, self.dtype, self.feature_names = rows.shape[1], rows.dtype, names
        if rows.shape[1] != self.n_features:
            raise SourceError(f"block {number} has {rows.shape[1]} columns, not {self.n_features} like those before")
        if names is not None and self.feature_names is not None and names != self.feature_names:
            raise SourceError(
                f"block {number} has the columns {', '.join(names)}, but those before have "
                f"{', '.join(self.feature_names)}, in this order"
            )
        if rows.dtype != self.dtype:
            if not (np.can_cast(rows.dtype, self.dtype, "safe") or rows.dtype.kind == self.dtype.kind == "f"):
                raise SourceError(f"block {number} is of dtype {rows.dtype}, not {self.dtype} like those before")
            rows = rows.astype(self.dtype)
        return readable(rows)


def as_rows(block, name):
    """A block of rows as an array, with the names of its columns.

    Parameters
    ----------
    block : array-like of shape (m, D), DataFrame, Arrow table or record batch
    name : str
        What to call the block in messages.

    Returns
    -------
    rows : ndarray of shape (m, D)
    names : list of str or None
        None if the columns have no names.

    Raises
    ------
    SourceError
        If it isn't a table of real numbers.

    Examples
    --------
    >>> from fastem.sources import as_rows
    >>> as_rows([[1.0, 2.0], [3.0, 4.0]], "block 0")
    (array([[1., 2.],
           [3., 4.]]), None)
    """
    names = None
    if hasattr(block, "column_names") or hasattr(getattr(block, "schema", None), "names"):  # Arrow
        index = index_columns(block.schema)
        if index and set(index) != set(block.schema.names):
            block = block.select([column for column in block.schema.names if column not in index])
        names = list(block.schema.names)
        rows = from_arrow(block, name)
    else:
        check_numbers(block, name)
        if hasattr(block, "columns") and all(isinstance(column, str) for column in block.columns):
            names = list(block.columns)
        rows = np.asarray(block)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise SourceError(f"{name} has the shape {rows.shape}, but should be two-dimensional, with at least one column")
    if rows.dtype == object:
        try:
            rows = block.to_numpy(np.float64, na_value=np.nan) if hasattr(block, "columns") else rows.astype(np.float64)
        except (TypeError, ValueError):
            raise SourceError(f"{name} holds values that are not numbers") from None
    if rows.dtype.kind not in "fiub":
        raise SourceError(f"{name} is of dtype {rows.dtype}, but should hold real numbers")
    return rows, names


def index_columns(schema):
    """Columns of an Arrow schema that number or name the rows: a table's index, written by pandas or Dask.

    The metadata that both add to the schema names these columns. An index that is a range has no column.
    """
    try:
        described = (schema.pandas_metadata or {}).get("index_columns", ())
        return [name for name in described if isinstance(name, str) and name in schema.names]
    except (AttributeError, TypeError, ValueError):  # metadata of another kind than pandas writes
        return []


def from_arrow(table, name):
    """An Arrow table or record batch as a C-contiguous array: float32 if all columns are; integers become float64."""
    columns = []
    for label, column in zip(table.schema.names, table.columns, strict=True):
        values = np.asarray(column)  # a missing value becomes NaN
        if str(column.type) == "bool" and values.dtype == object:  # some are missing
            values = np.asarray(column.cast("uint8"))
        if values.dtype.kind not in "fiub":
            check_numbers(values, f"{name}: column {label!r}")
            raise SourceError(f"{name}: column {label!r} is of type {column.type}, not a number")
        columns.append(values)
    if not columns:
        raise SourceError(f"{name} has no columns")
    dtype = np.result_type(*columns)
    rows = np.empty((len(columns[0]), len(columns)), dtype if dtype.kind == "f" else np.float64)
    for i, values in enumerate(columns):
        rows[:, i] = values
    return rows


def read_ahead(items):
    """The items of an iterator; while one is used, a thread makes the next one."""
    # SimpleQueue, as an interrupt (Ctrl-C) while waiting may leave the locks of other queues in disorder.
    ready, wanted, stopped = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()

    def run():
        try:
            for item in items:
                ready.put(("item", item))
                wanted.get()
                if stopped.is_set():
                    return
            ready.put(("end", None))
        except BaseException as error:
            ready.put(("error", error))

    thread = threading.Thread(target=run, daemon=True, name="fastem-read-ahead")
    try:
        thread.start()
        while True:
            what, value = ready.get()
            if what == "error":
                raise value
            if what == "end":
                return
            wanted.put(None)
            yield value
    finally:
        stopped.set()
        wanted.put(None)
        if thread.ident is not None:
            thread.join()
