"""A column of labels: which component each of them stands for."""

import re

import numpy as np

from ..extras import needed
from .fields import MISSING, number_in
from .messages import TableError

pa = needed("pyarrow", "cli")

# Number of different labels in a column, at most.
_LABELS = 10_000


class Labels:
    """A column of labels (numbers or words), some of which may be missing."""

    def __init__(self, where):
        self._where, self._codes, self._number_of = where, [], {}

    def add(self, words):
        """Add an Arrow array of labels."""
        if isinstance(words, pa.DictionaryArray):  # its dictionary may hold words that no row has
            words = words.dictionary_decode()
        encoded = words.dictionary_encode()
        for word in encoded.dictionary.to_pylist():
            self._number_of.setdefault(spelled(word), len(self._number_of))
        if len(self._number_of) > _LABELS:
            raise TableError(f"{self._where} has more than {_LABELS:,} different values, too many for labels")
        new = [self._number_of[spelled(word)] for word in encoded.dictionary.to_pylist()]
        nothing = self._number_of.setdefault("", len(self._number_of))
        codes = encoded.indices.fill_null(len(new)).to_numpy(zero_copy_only=False)
        self._codes.append(np.array([*new, nothing], np.int32)[codes])

    def keep(self, kept):
        """Forget the labels of rows that aren't kept: a bool array of all rows, or None if all are."""
        if kept is not None:
            self._codes = [np.concatenate(self._codes)[kept]]

    def components(self, n_components, has_noise=False):
        """(component of each point, -1 if unknown; dict of component to label).

        If all labels are whole numbers from 0 to n_components - 1, they are the components. Otherwise the components
        are numbered in the order of the labels: numbers by size, words by the alphabet. Missing labels and -1 are
        unknown. has_noise: -2 and 'noise' are noise, -2.
        """
        noise = {"-2", "noise"} if has_noise else set()
        words = [word for word in self._number_of if word.lower() not in MISSING | noise and word != "-1"]
        whole = all(re.fullmatch(r"-?(0|[1-9]\d{0,17})", word) for word in words)
        words.sort(key=(lambda word: int(word)) if whole else None)
        if whole and all(0 <= int(word) < n_components for word in words):
            component_of = {word: int(word) for word in words}
        else:
            if len(words) > n_components:
                few = ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
                raise TableError(
                    f"{self._where} has {len(words)} different labels ({few}), more than -k {n_components}"
                )
            component_of = {word: k for k, word in enumerate(words)}
        if not words:
            raise TableError(f"{self._where} has no labels: all values are missing or -1")
        unknown = {word: -2 for word in self._number_of if word.lower() in noise}
        component = np.array([component_of.get(word, unknown.get(word, -1)) for word in self._number_of])
        return component[np.concatenate(self._codes)], {k: word for word, k in component_of.items()}


def spelled(word):
    """A label as text. Whole numbers of any type give the same text; codes with leading zeros, as 007, stay as is."""
    if word is None:
        return ""
    if isinstance(word, bytes):
        word = word.decode("utf-8", "replace")
    if isinstance(word, bool):
        return str(int(word))
    if isinstance(word, float):
        return str(int(word)) if word.is_integer() else repr(word)
    text = str(word).strip()
    if re.match(r"[+-]?0\d", text):
        return text
    try:
        return str(int(number_in(text))) if number_in(text).is_integer() else text
    except ValueError:
        return text
