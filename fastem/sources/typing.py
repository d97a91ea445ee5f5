"""Types of what users pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from .base import Source

Points: TypeAlias = ArrayLike | Source | str | Path | Callable[[], Iterable[Any]]
"""An array, or whatever `as_source` makes a source of. Arrow tables and Dask collections are array-like here."""
