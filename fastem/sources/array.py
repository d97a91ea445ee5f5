"""Points in an array, in memory or memory-mapped."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from ..kernels import READ_IN_PLACE
from .base import VALUES, Source
from .rows import SourceError, nonfinite_error, readable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray


_MAPPED = 16 << 20  # bytes of a mapped file that are read at a time
_MAPPED_AROUND = 2 << 20  # bytes that Linux may map before the page that is asked for


class ArraySource(Source):
    """Points in an array: read in place, never copied whole.

    A memory-mapped file is read from its beginning to its end. The next part is read ahead while the kernels work on
    this one, and pages that have been read are released, so the process stays small whatever the file's size.

    Parameters
    ----------
    X : ndarray of shape (n, D), of any real dtype and layout

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> from fastem.sources import ArraySource
    >>> round(GaussianMixture(2, random_state=0).fit(ArraySource(X)).lower_bound_, 3)
    -4.155
    """

    def __init__(self, X: NDArray[Any]) -> None:
        self.X = X.view(np.uint8) if X.dtype == np.bool_ else X
        self.n_samples, self.n_features = X.shape
        self.dtype = self.X.dtype
        self._cells = kernels.NearestComponents(len(X))
        self._file = _MappedFile.under(self.X)

    @property
    def is_in_memory(self) -> bool:
        return self._file is None

    def scan(self, estimator: str = "GaussianMixture") -> None:
        bad, first = 0, None
        for start, rows in self.parts(1, max(1, VALUES // self.n_features)):
            wrong = self._unusable_rows(rows)
            if wrong.size:
                first = start + int(wrong[0]) if first is None else first
                bad += wrong.size
        if bad:
            row = readable(self.X[first])
            raise nonfinite_error(bad, self.where(first), row, self.feature_names, self.allows_missing, estimator)

    def where(self, row: int) -> str:
        return f"row {row}" if self._file is None else f"{self._file.name}: row {row}"

    def read(self) -> Iterable[NDArray[Any]]:
        return (rows for _, rows in self.parts(1))

    def parts(self, leaf: int, most_rows: int | None = None) -> Iterable[tuple[int, NDArray[Any]]]:
        X = self.X
        bytes_a_row = abs(X.strides[0])
        if X.dtype not in READ_IN_PLACE:
            most = VALUES // self.n_features
        elif self._file is not None:
            most = _MAPPED // max(1, bytes_a_row)
        else:
            most = self.n_samples
        if most_rows is not None:
            most = min(most, most_rows)
        step = self.n_samples if most >= self.n_samples else max(1, most // leaf) * leaf
        for start in range(0, self.n_samples, max(1, step)):
            stop = min(start + step, self.n_samples)
            if self._file is not None:
                self._file.expect(X[start:stop], X[stop : stop + step])
            yield start, readable(X[start:stop])
            if self._file is not None:
                self._file.hand_back(X[start:stop])

    def rows(self, index: Any) -> NDArray[Any]:
        if self._file is None:
            return np.array(self.X[index], dtype=self.precision, order="C")
        return super().rows(index)


def in_memory(source, index=slice(None)):
    """Some points of a source, or all, copied to memory as a source."""
    return source.like(ArraySource(source.rows(index)))


def sample(source, size, random_state, weights=None):
    """A source of `size` points drawn by weight, one from each of `size` stretches of the data of equal weight.

    So the sample is representative even of sorted data. Without weights no point is drawn twice.
    """
    where = random_state.uniform(size=size)
    if weights is None:
        edges = np.arange(size + 1) * source.n_samples // size
        index = edges[:-1] + (where * np.diff(edges)).astype(np.intp)
    else:
        total = np.cumsum(weights)
        steps = (np.arange(size) + where) * (total[-1] / size)
        index = np.minimum(np.searchsorted(total, steps, side="right"), source.n_samples - 1)
    return in_memory(source, index)


class _MappedFile:
    """The file behind a memory-mapped array: ranges of its rows are read ahead, and released after use."""

    def __init__(self, array, is_by_rows):
        self._map = array._mmap
        self._address = np.frombuffer(self._map, np.uint8).__array_interface__["data"][0]
        self._filename = array.filename
        self._offset = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY  # of the map in the file
        # In mode 'c' releasing pages would lose what was written; column by column, rows have no pages of their own.
        self._is_ours = array.mode in ("r", "r+") and hasattr(self._map, "madvise") and is_by_rows
        self.name = "the memory-mapped file" if array.filename is None else str(array.filename)

    @classmethod
    def under(cls, array):
        """The file behind an array, or None if the array is in memory."""
        is_by_rows = abs(array.strides[0]) >= array.shape[1] * abs(array.strides[1])
        while array is not None:
            if isinstance(array, np.memmap) and isinstance(array._mmap, mmap.mmap):
                return cls(array, is_by_rows)
            array = getattr(array, "base", None)
        return None

    def _range(self, rows):
        """First byte and number of bytes of rows in the map, from the beginning of a page."""
        low = high = rows.__array_interface__["data"][0] - self._address
        for length, stride in zip(rows.shape, rows.strides, strict=True):
            low, high = low + min(0, (length - 1) * stride), high + max(0, (length - 1) * stride)
        start = low // mmap.PAGESIZE * mmap.PAGESIZE
        return start, high + rows.itemsize - start

    def expect(self, rows, later):
        """Before rows are read: check that the file still has them, and start reading ahead those that come later."""
        start, length = self._range(rows)
        size = self._size()
        if size is not None and size < self._offset + start + length:
            raise SourceError(f"{self.name}: the file has shrunk to {size} bytes since it was opened")
        if self._is_ours and later.size:
            self._map.madvise(mmap.MADV_WILLNEED, *self._range(later))

    def _size(self):
        """Size of the file in bytes; None if it has been deleted, which the map survives."""
        try:
            return os.stat(self._filename).st_size
        except (OSError, TypeError):
            return None

    def hand_back(self, rows):
        """After rows are read: release their pages from this process; they stay in the system's cache."""
        if self._is_ours:
            start, length = self._range(rows)
            stop = (start + length) // mmap.PAGESIZE * mmap.PAGESIZE  # the last page may hold rows to come
            start = max(0, start - _MAPPED_AROUND)
            if stop > start:
                self._map.madvise(mmap.MADV_DONTNEED, start, stop - start)
