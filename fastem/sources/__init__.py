"""What `fit` can run over: arrays, blocks from a function, tables, files, Dask collections, and sources of your own.

The same points give the same numbers from every source: how sums are divided, and so rounded, depends only on the
number of points, not on how they come.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .array import ArraySource
from .base import Source
from .blocks import BlockSource, as_rows
from .dask import DaskSource, is_dask
from .incomplete import IncompleteSource
from .npy import mapped
from .numbers import check_numbers
from .parquet import ParquetSource
from .rows import SourceError

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ArraySource", "BlockSource", "DaskSource", "IncompleteSource", "ParquetSource", "Source", "SourceError",
    "as_rows", "as_source", "check_numbers",
]  # fmt: skip


def as_source(X: Any) -> Source | None:
    """The source for the given data; None if they are array-like, to be validated as scikit-learn does.

    Parameters
    ----------
    X : Source, callable, str, Path, Dask collection, Arrow table or dataset, or array-like
        A callable returns a fresh iterator of blocks for each pass; a path is that of a `.npy` file, or of a Parquet
        file or folder.

    Returns
    -------
    source : Source or None

    Raises
    ------
    TypeError
        For an iterator, which could be read only once.
    SourceError
        For a path to something else.

    Examples
    --------
    >>> from fastem.datasets import load_faithful
    >>> from fastem.sources import as_source
    >>> X = load_faithful().data
    >>> type(as_source(lambda: iter([X]))).__name__
    'BlockSource'
    >>> as_source(X) is None
    True
    """
    if isinstance(X, Source):
        return X
    if isinstance(X, str | Path):
        return _of_path(Path(X))
    if is_dask(X):
        return DaskSource(X)
    if hasattr(X, "to_batches"):  # an Arrow table or dataset
        return BlockSource(X.to_batches)
    if hasattr(X, "__next__"):
        raise TypeError(
            "X is an iterator, which can be read only once, but a fit reads the points many times: "
            "pass a function that returns a fresh one"
        )
    if callable(X) and not hasattr(X, "__array__"):
        return BlockSource(X)
    return None


def _of_path(path):
    if path.suffix == ".npy":
        try:
            X = mapped(path)
        except FileNotFoundError:
            raise SourceError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise SourceError(f"{path}: can't be read as .npy ({' '.join(str(error).split())})") from None
        rows, _ = as_rows(X, f"{path}: it")
        if not len(rows):
            raise SourceError(f"{path}: no rows")
        return ArraySource(X)
    if path.is_dir() or path.suffix in (".parquet", ".parq"):
        return ParquetSource(path)
    if not path.exists():
        raise SourceError(f"{path}: no such file")
    raise SourceError(
        f"{path}: fastem reads .npy and Parquet files. Load others into an array, or pass a function that returns "
        "blocks of rows"
    )
