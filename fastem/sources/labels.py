"""Room for labels of every point: in memory, or in a temporary file if the points themselves are on disk."""

import mmap
import tempfile

import numpy as np

IN_MEMORY = 32 << 20
"""Bytes of labels that are kept in memory even of points on disk."""

_WRITTEN = 1 << 20  # zeros written at a time


class Labels:
    """Rows of 16-bit labels, 0 at first.

    In a file, labels take no memory but the pages in use; `release` hands these back. The file goes with the labels.

    Parameters
    ----------
    n_rows, n_samples : int
    is_in_memory : bool
        Whether the points are.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_samples), uint16

    Raises
    ------
    ValueError
        If the temporary file can't be made, or the disk is full.
    """

    def __init__(self, n_rows, n_samples, is_in_memory):
        n_bytes = 2 * n_rows * n_samples
        self._map = None
        if is_in_memory or n_bytes <= IN_MEMORY:
            self.rows = np.zeros((n_rows, n_samples), np.uint16)
            return
        try:
            with tempfile.TemporaryFile() as file:
                _fill(file, n_bytes)
                self._map = mmap.mmap(file.fileno(), n_bytes)  # which holds the file open by itself
        except OSError as error:
            raise ValueError(
                f"labels of points on disk need a temporary file of {n_bytes:,} bytes, but {tempfile.gettempdir()}: "
                f"{error.strerror}; set TMPDIR to another folder for temporary files"
            ) from None
        self.rows = np.frombuffer(self._map, np.uint16).reshape(n_rows, n_samples)

    def release(self):
        """Release the pages of a file from this process; they stay in the system's cache until it needs the memory."""
        if self._map is not None and hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _fill(file, n_bytes):
    """Write zeros, not a hole: on a full disk a write raises an error, but a mapped page kills the process."""
    zeros = memoryview(bytes(_WRITTEN))
    for start in range(0, n_bytes, _WRITTEN):
        file.write(zeros[: n_bytes - start])
    file.flush()
