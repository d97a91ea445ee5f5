"""How many components, and which covariances: `select`, and what it returns and tells."""

from .selected import Selection, SelectionProgress
from .selecting import select

__all__ = ["Selection", "SelectionProgress", "select"]
