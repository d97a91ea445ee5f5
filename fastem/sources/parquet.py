"""Points in Parquet files."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..extras import needed
from .base import VALUES
from .blocks import BlockSource, as_rows, index_columns, read_ahead
from .rows import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..sources.base import Source


class ParquetSource(BlockSource):
    """Points in a Parquet file, or in all Parquet files of a folder in the order of their names.

    They are read row group by row group; the next rows are read while the kernels work on these.

    Parameters
    ----------
    path : str or Path
        A file, or a folder, with its `.parquet` and `.parq` files, also those in folders below.
    columns : list of str, default=None
        The features; by default all columns of numbers, except an index that pandas or Dask wrote.

    Attributes
    ----------
    files : list of Path
    columns : list of str

    Examples
    --------
    >>> import pyarrow, pyarrow.parquet
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> from fastem.sources import ParquetSource
    >>> table = pyarrow.table({"eruption": X[:, 0], "waiting": X[:, 1]})
    >>> pyarrow.parquet.write_table(table, "faithful.parquet")
    >>> source = ParquetSource("faithful.parquet", columns=["eruption", "waiting"])
    >>> round(GaussianMixture(2, random_state=0).fit(source).lower_bound_, 3)
    -4.155
    """

    def __init__(self, path: str | Path, columns: Sequence[str] | None = None) -> None:
        super().__init__(None)
        self._parquet = needed("pyarrow.parquet", "parquet")
        self.path = Path(path)
        if self.path.is_dir():
            files = [f for f in self.path.rglob("*") if f.suffix in (".parquet", ".parq")]
            self.files = sorted(f for f in files if not f.name.startswith(("_", ".")))
            if not self.files:
                raise SourceError(f"{self.path}: no .parquet file in this folder")
        else:
            self.files = [self.path]
        self._is_open = columns is None
        self.columns = self._known_columns(columns)
        if not self.columns:
            index = self.index_columns
            but = f" except the index: to use it as features, pass columns={sorted(index)}" if index else ""
            raise SourceError(f"{self.files[0]}: no columns of numbers{but}")
        self._what = str(self.path)
        self._places = []  # (number of first row, file, row group, first row in it) of each block of the current pass

    @property
    def all_columns(self) -> list[str]:
        """Names of the first file's columns, whatever they hold."""
        with self._open(self.files[0]) as (_, schema):
            return list(schema.names)

    @property
    def index_columns(self) -> set[str]:
        """Names of the columns that hold an index written by pandas or Dask; they are features only if asked for."""
        with self._open(self.files[0]) as (_, schema):
            return index_columns(schema)

    @contextmanager
    def _open(self, path):
        """(the file, its schema), open during the block."""
        try:
            file = self._parquet.ParquetFile(path)
            schema = file.schema_arrow
        except FileNotFoundError:
            raise SourceError(f"{path}: no such file") from None
        except Exception as error:  # a damaged file makes Arrow raise errors of all kinds
            raise SourceError(f"{path}: can't be read as Parquet ({_one_line(error)})") from None
        with file:
            yield file, schema

    def _known_columns(self, columns):
        with self._open(self.files[0]) as (_, schema):
            pass
        if columns is None:
            index = index_columns(schema)
            return [field.name for field in schema if _is_number(field.type) and field.name not in index]
        if isinstance(columns, str):
            raise SourceError(f"columns should be a list of names, but got {columns!r}")
        for name in columns:
            if name not in schema.names:
                raise SourceError(f"{self.files[0]}: no column {name!r} among {', '.join(map(repr, schema.names))}")
        return list(columns)

    def choosing(self, *, only: Sequence[str] | None = None, without: Sequence[str] = ()) -> Source:
        other = copy.copy(self)
        if self._is_open:
            other.columns = self._known_columns(only) if only else [c for c in self.columns if c not in without]
        return other

    def column(self, values: Any) -> Any:
        """Weights or labels: another column, if given by its name, as an array (n,); else as given."""
        if not isinstance(values, str):
            return values
        column = np.concatenate([rows[:, 0] for _, _, rows in self._groups(self._known_columns([values]))])
        is_whole = column.dtype == np.float64 and np.all(column == np.rint(column))
        return column.astype(np.int64) if is_whole else column

    def labels(self, values: Any) -> Any:
        """As `column`, but the column may hold words: a list of str and None, then."""
        if not isinstance(values, str):
            return values
        with self._open(self.files[0]) as (_, schema):
            if values not in schema.names or _is_number(schema.field(values).type):
                return self.column(values)
        return [each for *_, batch in self.batches([values]) for each in batch.column(0).to_pylist()]

    def where(self, row: int) -> str:
        first, file, group, start = next(place for place in reversed(self._places) if place[0] <= row)
        return f"row {row - first + start} of row group {group} of {file} (row {row} of all)"

    def _new_blocks(self):
        self._places = []
        first = 0
        for file, (group, start), rows in read_ahead(self._groups(self.columns)):
            self._places.append((first, file, group, start))
            yield rows
            first += len(rows)

    def _groups(self, columns):
        """(file, (row group, number of the first row in it), rows), a few MiB at a time."""
        for path, (group, start), batch in self.batches(columns):
            rows, _ = as_rows(batch, f"{path}, row group {group}, from row {start} on")
            yield path, (group, start), rows

    def batches(self, columns: Sequence[str] | None) -> Iterable[Any]:
        """(file, (row group, number of the first row in it), Arrow batch of these columns), a few MiB at a time."""
        most = max(1, VALUES // max(1, len(columns)))
        for path in self.files:
            with self._open(path) as (file, schema):
                missing = [name for name in columns if name not in schema.names]
                if missing:
                    raise SourceError(f"{path}: no column {missing[0]!r}, but {self.files[0]} has one")
                for group in range(file.num_row_groups):
                    start, batches = 0, file.iter_batches(most, row_groups=[group], columns=columns)
                    while True:
                        try:
                            batch = next(batches, None)
                            if batch is None:
                                break
                            # The columns in this order, without metadata: an index asked for is a column like others.
                            batch = batch.select(columns).replace_schema_metadata(None)
                        except Exception as error:
                            raise SourceError(f"{path}: row group {group} can't be read ({_one_line(error)})") from None
                        yield path, (group, start), batch
                        start += len(batch)

    def _rows_of(self, block, number):
        rows = super()._rows_of(block, number)
        self.feature_names = self.columns
        return rows


def _is_number(arrow_type):
    types = needed("pyarrow.types", "parquet")
    return types.is_integer(arrow_type) or types.is_floating(arrow_type) or types.is_boolean(arrow_type)


def _one_line(error):
    return " ".join(str(error).split())[:200]
