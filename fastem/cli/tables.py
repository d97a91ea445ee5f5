"""Tables of numbers from delimited text, .npy and Parquet files, and the choice of their columns."""

import os
import tempfile
import weakref
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..extras import needed
from ..sources import ArraySource, BlockSource, ParquetSource
from ..sources.base import VALUES
from ..sources.blocks import as_rows
from ..sources.npy import mapped
from .columns import Columns
from .labels import Labels, spelled
from .messages import TableError, many, note, one_line
from .missing import Unusable
from .records import quoted
from .text import TextFile

pa = needed("pyarrow", "cli")

# Bytes of numbers read from text that are held in memory; more go to a temporary file.
_IN_MEMORY = 64 << 20

# Rows of a Parquet file that are looked at to see whether a column numbers the rows.
_FIRST = 100


@dataclass
class Data:
    """The data of a fit: points, weights and labels."""

    points: object
    """Source of the points; its `feature_names` are those of the file, if any."""
    n_rows: int
    names: list
    """Names of the features."""
    weights: object
    """Sample weights: ndarray of shape (n,), or None."""
    labels: object
    """`Labels`, or None."""
    ids: object
    """What the column of `--id` holds in each row, dropped ones included: a list of Arrow arrays; or None."""
    kept: object
    """Which rows have no missing value, if the others were dropped: bool ndarray; None if no row was dropped."""
    refuse_missing: object
    """Function to call after an error: raises TableError if a value of the points can't be used, and says which."""


def open_table(path, delimiter=None, header=None, allows_missing=False):
    """Open the table in a file. Its attribute `names` are the column names; x1, x2, ... if the file has none.

    Parameters
    ----------
    path : str
        '-': text from standard input. 'faithful', if there is no such file: the data set that comes with fastem. A
        .npy file; a .parquet or .parq file or a folder of those; anything else is delimited text.
    delimiter : str, default=None
        Of text. None: detected.
    header : bool, default=None
        Whether the first line of text holds the names of the columns. None: detected.
    allows_missing : bool
        Whether values of features may be missing (NaN).

    Raises
    ------
    TableError, OSError
    """
    table = _opened(path, delimiter, header)
    table.allows_missing = allows_missing
    return table


def _opened(path, delimiter, header):
    if path == "faithful" and not os.path.exists(path):
        from fastem.datasets import load_faithful

        bunch = load_faithful()
        return ArrayTable(path, bunch.data, bunch.feature_names)
    if path.lower().endswith(".npy"):
        return ArrayTable(path, _mapped(path))
    if os.path.isdir(path) or path.lower().endswith((".parquet", ".parq")):
        return ParquetTable(path)
    return TextTable(path, delimiter, header)


class _Table(Columns):
    """A table of any file format."""

    allows_missing = False
    # How `records` are written as text; text tables have ways of their own.
    delimiter, decimal_point, titles = ",", ".", None

    def read(self, features, weights=None, labels=None, watch=None, ids=None, drop_missing=False):
        """`Data` of these columns, given by number.

        watch: a function that is called with the number of rows now and then (text only). drop_missing: whether rows
        that lack a value of a feature are left out.
        """
        points, kept = self.points(features), None
        if drop_missing:
            kept = np.concatenate([~np.isnan(rows).any(axis=1) for rows in self.blocks(features)])
            kept = self._noted(kept)
        if kept is not None:
            points = _NamedBlocks(partial(self._kept_blocks, features, kept), self._shown(features))
        column = None if weights is None else np.concatenate([rows[:, 0] for rows in self.blocks([weights])])
        column = column if column is None or kept is None else column[kept]
        self._check(column, weights)
        vocabulary = None
        if labels is not None:
            vocabulary = Labels(self._named(labels))
            for words in self._words(labels):
                vocabulary.add(words)
            vocabulary.keep(kept)
        return Data(
            points,
            self.n_rows if kept is None else int(kept.sum()),
            self._names(features),
            column,
            vocabulary,
            None if ids is None else list(self._words(ids)),
            kept,
            partial(self.refuse_missing, features),
        )

    def _kept_blocks(self, features, kept):
        """Rows of these columns, some at a time, without those that aren't kept."""
        first = 0
        for rows in self.blocks(features):
            yield rows[kept[first : first + len(rows)]]
            first += len(rows)

    def _noted(self, kept):
        """Which rows are kept, or None if all are; says how many are not, and raises TableError if no row is."""
        n_dropped = len(kept) - int(kept.sum())
        if not n_dropped:
            return None
        if n_dropped == len(kept):
            raise TableError(f"{self.path}: every row lacks a value of a feature, so --drop-missing leaves none")
        said = "lacks a value and is" if n_dropped == 1 else "lack a value and are"
        note(f"{self.path}: {many(n_dropped, 'row')} {said} left out")
        return kept

    def with_words(self, features, words):
        """Yield blocks of (rows of the features; what another column, `words`, holds in each row: an Arrow array)."""
        return zip(self.blocks(features), self._words(words), strict=True)

    def refuse_missing(self, features, blocks=None, first=0):
        """Raise TableError if a value of these columns is infinite, or missing where none may be.

        blocks: the rows to look at, of which the first has the number `first`; None: all rows.
        """
        unusable = Unusable(self.path, self.allows_missing)
        for rows in self.blocks(features) if blocks is None else blocks:
            bad = unusable.among(rows)
            if bad.any() and not unusable.n:
                i, j = np.argwhere(bad)[0]
                unusable.first = f"row {first + i + 1}, column {features[j] + 1} ({self.names[features[j]]})"
            unusable.count(rows[bad])
            first += len(rows)
        unusable.refuse()

    def _check(self, weights, j):
        """Raise TableError if `weights`, read from column j, are invalid."""
        if weights is None:
            return
        bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if bad.size:
            what = "is negative or missing" if bad.size == 1 else "are negative or missing"
            raise TableError(f"{self._named(j)}: {many(bad.size, 'weight')} {what}, the first in row {bad[0] + 1}")
        if not weights.any():
            raise TableError(f"{self._named(j)}: all weights are 0")

    @property
    def preamble(self):
        """The lines before the rows, in text."""
        return (",".join(map(quoted, self.names)) + "\n").encode()


class TextTable(_Table):
    """Delimited text, which can be read only once."""

    def __init__(self, path, delimiter=None, header=None):
        self._file = TextFile(path, delimiter, header)
        self.path = self._file.path
        self.names, self.has_names = self._file.names, self._file.has_names
        self.has_row_names, self.empty_columns = self._file.has_row_names, self._file.empty_columns
        self.delimiter, self.decimal_point = self._file.delimiter, self._file.decimal_point
        self.titles = self._file.titles
        self.n_bytes = None if path == "-" else os.path.getsize(path)

    @property
    def position(self):
        """Bytes read so far, of `n_bytes`."""
        return self._file.position

    def blocks(self, numbers):
        """Rows of these columns, some at a time."""
        return (rows for rows, _ in self._file.blocks(numbers, allows_missing=self.allows_missing))

    def with_words(self, features, words):
        for rows, (strings,) in self._file.blocks(features, (words,), allows_missing=self.allows_missing):
            yield rows, strings

    def records(self, numbers):
        """Yield blocks of (rows of these columns, in which values may be missing; all fields, as CSV has them)."""
        return self._file.records(numbers)

    @property
    def preamble(self):
        return self._file.preamble

    def _first_values(self, j):
        return [fields[j] for fields in self._file.sample if j < len(fields)]

    def read(self, features, weights=None, labels=None, watch=None, ids=None, drop_missing=False):
        spool, column, kept, called = _Spool(len(features)), [], [], None if ids is None else []
        vocabulary = None if labels is None else Labels(self._named(labels))
        words = [j for j in (labels, ids) if j is not None]
        for rows, strings in self._file.blocks(features, words, weights, self.allows_missing):
            if labels is not None:
                vocabulary.add(strings[0])
            if ids is not None:
                called.append(strings[-1])
            if drop_missing:
                kept.append(~np.isnan(rows[:, : len(features)]).any(axis=1))
                rows = rows[kept[-1]]
            spool.append(rows[:, : len(features)])
            if weights is not None:
                column.append(rows[:, -1].copy())
            if watch:
                watch(spool.n_rows)
        kept = self._noted(np.concatenate(kept)) if kept else None
        if labels is not None:
            vocabulary.keep(kept)
        points = ArraySource(spool.array())
        points.feature_names = self._shown(features)
        column = None if weights is None else np.concatenate(column)
        self._check(column, weights)
        checked = lambda: None  # noqa: E731  (the reader has checked them)
        return Data(points, spool.n_rows, self._names(features), column, vocabulary, called, kept, checked)


class ArrayTable(_Table):
    """An array of numbers, memory-mapped or not."""

    has_row_names = False
    n_bytes = None

    def __init__(self, path, X, names=None):
        self.path, self._X, self.n_rows = path, X, len(X)
        self.has_names = names is not None
        self.names = list(names) if names is not None else [f"x{j + 1}" for j in range(X.shape[1])]

    def blocks(self, numbers):
        """Rows of these columns, some at a time."""
        step = max(1, VALUES // len(self.names))
        return (self._X[start : start + step][:, numbers] for start in range(0, len(self._X), step))

    def records(self, numbers):
        """As `TextTable.records`."""
        for rows in self.blocks(range(len(self.names))):
            cells = [list(map(repr, row)) for row in rows.tolist()]
            yield rows[:, numbers].astype(np.float64), cells

    def points(self, features):
        """A source of these columns; the array itself if they are all its columns, in order."""
        names = self._names(features) if self.has_names else None
        if features != list(range(len(self.names))):
            return _NamedBlocks(lambda: self.blocks(features), names)
        source = ArraySource(self._X)
        source.feature_names = names
        return source

    def _words(self, j):
        return (pa.array(rows[:, 0].astype(np.float64), from_pandas=True) for rows in self.blocks([j]))


class ParquetTable(_Table):
    """A Parquet file, or a folder of Parquet files."""

    has_names, has_row_names = True, False
    n_bytes = None

    def __init__(self, path):
        self.path = path
        self._all = ParquetSource(path)
        self.names = self._all.all_columns

    @property
    def n_rows(self):
        return sum(file.metadata.num_rows for file in self._files())

    def blocks(self, numbers):
        """Rows of these columns, some at a time."""
        return self.points(numbers).read()

    def records(self, numbers):
        """As `TextTable.records`."""
        for _, _, batch in self._all.batches(self.names):
            rows, _ = as_rows(batch.select(self._names(numbers)), self.path)
            columns = [
                ["" if value is None else quoted(str(value)) for value in each.to_pylist()] for each in batch.columns
            ]
            yield rows.astype(np.float64), list(map(list, zip(*columns, strict=True)))

    def points(self, features):
        """A source of these columns."""
        source = ParquetSource(self.path, self._names(features))
        return source if self.has_names else BlockSource(source.read)

    def _of_numbers(self):
        for name in self._all.index_columns:
            note(f"{name!r} is the table's index and is left out; --columns can include it")
        return [self.names.index(name) for name in self._all.columns]

    def _first_values(self, j):
        first = next(self._all.batches([self.names[j]]), None)
        return [] if first is None else [spelled(value) for value in first[-1].column(0)[:_FIRST].to_pylist()]

    def with_words(self, features, words):
        names = self._names(features)
        for _, _, batch in self._all.batches(list(dict.fromkeys([*names, self.names[words]]))):
            rows, _ = as_rows(batch.select(names), self.path)
            yield rows, batch.column(batch.schema.names.index(self.names[words]))

    def _words(self, j):
        return (batch.column(0) for _, _, batch in self._all.batches([self.names[j]]))

    def _files(self):
        for path in self._all.files:
            with needed("pyarrow.parquet", "cli").ParquetFile(path) as file:
                yield file


class _NamedBlocks(BlockSource):
    """A source of blocks with given column names."""

    def __init__(self, blocks, names):
        super().__init__(blocks)
        self._names = names

    def _rows_of(self, block, number):
        rows = super()._rows_of(block, number)
        self.feature_names = self._names
        return rows


class _Spool:
    """Collects blocks of rows: in memory up to `_IN_MEMORY` bytes, beyond that in a temporary file."""

    def __init__(self, n_columns):
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed with the spool)
        weakref.finalize(self, self._file.close)  # a memory map outlives the file
        self._n_columns, self.n_rows = n_columns, 0

    def append(self, rows):
        try:
            self._file.write(np.ascontiguousarray(rows, np.float64).data)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise TableError(f"{folder}: {error.strerror}; set TMPDIR to another folder for temporary files") from None
        self.n_rows += len(rows)

    def array(self):
        """All the rows as one array; a memory map if they are in a file."""
        shape = self.n_rows, self._n_columns
        self._file.seek(0)
        if 8 * self.n_rows * self._n_columns <= _IN_MEMORY:
            return np.frombuffer(self._file.read()).reshape(shape)
        self._file.flush()
        return np.memmap(self._file, np.float64, "r", shape=shape)


def _mapped(path):
    """A .npy file as a memory-mapped array of 2 dimensions; a vector becomes one column."""
    try:
        X = mapped(path)
    except ValueError as error:
        raise TableError(f"{path}: can't be read as .npy ({one_line(error)})") from None
    if X.dtype.kind not in "fiub" or X.ndim not in (1, 2):
        raise TableError(f"{path}: should hold real numbers in 1 or 2 dimensions, but holds {X.dtype} in {X.ndim}")
    if not X.size:
        raise TableError(f"{path}: the array is empty, of shape {X.shape}")
    return X if X.ndim == 2 else X.reshape(-1, 1)
