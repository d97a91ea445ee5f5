"""Values that can't be used: missing or infinite."""

from .messages import TableError, many


class Missing:
    """Counts values that aren't finite, and keeps the place of the first."""

    def __init__(self, path):
        self._path, self.first, self.n = path, None, 0

    def note(self, where):
        self.n += 1
        self.first = self.first or where

    def refuse(self):
        if self.n:
            raise TableError(
                f"{self._path}: {many(self.n, 'missing or infinite value')}, the first in {self.first}; "
                "drop those rows, or fill them in"
            )
