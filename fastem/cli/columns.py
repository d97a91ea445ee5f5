"""The columns of a table: found by name or number, and chosen as features."""

import csv
import re

from .headers import are_words, identifies_rows, is_usual_for_rows, numbering_of
from .messages import TableError, many, note


class Columns:
    """For tables with the attributes `path`, `names`, `has_names` and `has_row_names`."""

    empty_columns = ()

    def chosen(self, columns=None, aside=(), is_weighted=False, exclude=None):
        """Numbers of the feature columns: the given `columns` in that order, by default all that may be features.

        By default, columns that only name or number the rows are left out unless there are no others. Columns without
        a name and without values, and those `aside`, are always left out.

        Parameters
        ----------
        columns : str, default=None
            Names, numbers from 1 on, or ranges of numbers, separated by commas.
        aside : collection of int
            Columns of weights and labels.
        is_weighted : bool
            Whether one of the columns aside holds weights.
        exclude : str, default=None
            Columns that are no features, as in `columns`.
        """
        excluded = [] if exclude is None else self._listed(exclude, "--exclude")
        if columns is not None:
            numbers = [j for j in self._asked_for(columns, aside) if j not in excluded]
            if not numbers:
                raise TableError(f"{self.path}: no column is left for the features")
            return numbers
        left_out = [*self._empty_columns_left_out(), *excluded]
        numbers = [j for j in self._of_numbers() if j not in aside and j not in left_out]
        of_rows = {j: said for j in numbers if (said := self._said_of_rows(j))}
        if len(of_rows) < len(numbers):
            for said in of_rows.values():
                note(f"{said}; --columns can include it")
            numbers = [j for j in numbers if j not in of_rows]
        if len(numbers) > 1:
            for j in numbers:
                if said := self._doubted(j, is_weighted):
                    note(f"{self._quoted(j)} {said}, but is used as a feature; --exclude {j + 1} leaves it out")
        if not numbers:
            raise TableError(f"{self.path}: no column is left for the features")
        return numbers

    def _asked_for(self, columns, aside):
        numbers = self._listed(columns, "--columns")
        if both := set(numbers).intersection(aside):
            raise TableError(f"{self._named(both.pop())} is in --columns, but also in --weights, --labels or --id")
        return numbers

    def _listed(self, columns, option):
        """The numbers of the columns that an option lists."""
        numbers = []
        for name in _listed(columns):
            numbers += self._range(name, option) or [self.column(name)]
        if len(set(numbers)) < max(len(numbers), 1):
            raise TableError(f"{option} should name one or more columns, each once, got {columns!r}")
        return numbers

    def _range(self, text, option):
        """The numbers of the columns in a range such as '2-9'; None if the text is no range, or a column's name."""
        match = re.fullmatch(r"(\d+) ?- ?(\d+)", text)
        if not match or text in self.names:
            return None
        first, last = int(match[1]), int(match[2])
        if not 1 <= first <= last <= len(self.names):
            raise TableError(
                f"{self.path}: {option} {text}: the table has {many(len(self.names), 'column')}, numbered from 1"
            )
        return range(first - 1, last)

    def _empty_columns_left_out(self):
        """Numbers of the columns without a name and values; prints a note about them."""
        numbers = [str(j + 1) for j in self.empty_columns]
        if len(numbers) == 1:
            note(f"column {numbers[0]} has neither a name nor values and is left out")
        elif numbers:
            few = ", ".join(numbers[:-1]) if len(numbers) < 10 else f"{numbers[0]}, {numbers[1]}, ..."
            note(f"columns {few} and {numbers[-1]} have neither a name nor values and are left out")
        return self.empty_columns

    def _said_of_rows(self, j):
        """A sentence that says how a column only names or numbers the rows; None if it doesn't."""
        if j == 0 and self.has_row_names:
            return "column 1 has no name and is left out as row names"
        if j > 0 and not is_usual_for_rows(self.names[j]):
            return None
        values = self._first_values(j)
        if j == 0 and are_words(values):
            return f"{self._quoted(j)} has a different word in each row and is left out as row names"
        said, is_clear = numbering_of(self.names[j], values)
        return f"{self._quoted(j)} {said} and is left out" if is_clear else None

    def _doubted(self, j, is_weighted):
        """Words that say why a feature might rather number or name the rows; None if it shouldn't."""
        if j == 0 and not is_weighted and (said := numbering_of(self.names[0], self._first_values(0))[0]):
            return said
        is_id = self.has_names and identifies_rows(self.names[j], self._first_values(j))
        return "has another number in each row" if is_id else None

    def _quoted(self, j):
        return repr(self.names[j]) if self.has_names else f"column {j + 1}"

    def _first_values(self, j):
        """The first values of a column, as text; empty for formats in which they aren't looked at."""
        return []

    def column(self, name):
        """The number (from 0) of a column, given by its name or its number counted from 1."""
        names = self.names
        if names.count(name) > 1:
            raise TableError(f"{self.path}: {names.count(name)} columns are called {name!r}; give the number of one")
        if name in names:
            return names.index(name)
        if name.isdecimal() and 1 <= int(name) <= len(names):
            return int(name) - 1
        known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise TableError(f"{self.path}: no column {name!r} among its {many(len(names), 'column')} ({known})")

    def _of_numbers(self):
        """Columns that may be features."""
        return range(len(self.names))

    def _shown(self, features):
        """Names of these columns for a source; None if the file has none."""
        return self._names(features) if self.has_names else None

    def _names(self, columns):
        return [self.names[j] for j in columns]

    def _named(self, j):
        return f"{self.path}: column {j + 1} ({self.names[j]})"


def _listed(columns):
    """The names in a list such as 'waiting,"a,b",1'."""
    return [text.strip() for text in next(csv.reader([columns], skipinitialspace=True), [])]
