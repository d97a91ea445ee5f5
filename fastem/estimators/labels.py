"""Labels as users have them (words, categories, numbers, some of them missing) as numbers of components."""

from numbers import Integral, Real

import numpy as np

from ..model.names import all_named

_SHOWN = 5  # words that an error lists, at most
_NOISE = "noise"


def coded(labels, n_components, known=None, has_noise=False):
    """Labels as numbers of components, -1 where there is none; what isn't a vector of labels is returned as it is.

    Words are numbered in alphabetical order, categories in their own. None, NaN, NA, "" and -1 are no label.

    Parameters
    ----------
    labels : array-like
    n_components : int
    known : sequence of str, default=None
        Names of the components that there are already; words must be among them.
    has_noise : bool
        Whether there is a noise component: the word 'noise' is its label, -2.

    Returns
    -------
    labels : array-like
    names : ndarray of str objects of shape (n_components,), or None if labels aren't words
        Components without labelled points are called 'new 1', 'new 2', ...

    Raises
    ------
    ValueError
        If there are more words than components, unknown ones, or words and numbers.
    """
    if isinstance(labels, np.ma.MaskedArray):
        return labels, None
    values, categories = getattr(labels, "array", labels), None
    if hasattr(values, "categories") and hasattr(values, "codes"):  # pandas' categorical
        categories, codes = list(values.categories), np.asarray(values.codes)
        codes = np.where(codes < 0, len(categories), codes)
        distinct = [*categories, None]
    else:
        array = np.asarray(labels)
        if array.ndim != 1 or array.dtype.kind not in "fUSO":
            return labels, None
        if array.dtype.kind == "f":
            return _whole(array, labels), None
        # A list of words and NaN would become words only.
        objects = labels if isinstance(labels, list | tuple) else array.tolist()
        number_of = {}
        codes = np.array([number_of.setdefault(value, len(number_of)) for value in objects], dtype=np.intp)
        distinct = list(number_of)
    distinct = [_plain(value) for value in distinct]
    present = [value for value in dict.fromkeys(distinct) if value is not None]
    if not all(isinstance(value, str) for value in present):
        if not all(isinstance(value, int) for value in present):
            odd = next((value for value in present if not isinstance(value, int | str)), None)
            said = f"one is {odd!r}, a {type(odd).__name__}" if odd is not None else "they are some of each"
            raise ValueError(
                f"labels should be all integers or all words, with None, NaN or -1 for unknown, but {said}"
            )
        return np.array([-1 if value is None else value for value in distinct], dtype=np.int64)[codes], None
    noise = {_NOISE: -2} if has_noise else {}
    used = set(codes.tolist())
    present = [word for word in present if word not in noise and (categories is None or categories.index(word) in used)]
    words = _words(present, categories is not None, n_components, known) if present else []
    number_of = {**{word: k for k, word in enumerate(words)}, **noise}
    numbers = np.array([-1 if value is None else number_of.get(value, -1) for value in distinct], dtype=np.int64)
    return numbers[codes], np.array(words, dtype=object) if present else None


def _whole(array, labels):
    """Floats that are whole numbers or NaN as integers; others as they were, for later checks to refuse."""
    missing = np.isnan(array)
    whole = array[~missing]
    is_whole = np.isfinite(whole).all() and (whole == np.floor(whole)).all() and (np.abs(whole) < 2**53).all()
    if not (len(whole) and is_whole):
        return labels
    return np.where(missing, -1, array).astype(np.int64)


def _plain(value):
    """A label as str or int, None for none; another value as it is."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value) or None
    if isinstance(value, Integral | np.bool_):
        return None if value == -1 else int(value)
    if isinstance(value, Real):
        if np.isnan(value) or value == -1:
            return None
        return int(value) if float(value).is_integer() else value
    return value


def _words(present, are_ordered, n_components, known):
    """The names of all components, given the words among the labels."""
    if known is not None:
        unknown = [word for word in present if word not in known]
        if unknown:
            raise ValueError(
                f"labels has the word {unknown[0]!r}, but the fitted components are called {', '.join(known)}"
            )
        return list(known)
    words = present if are_ordered else sorted(present)
    if len(words) > n_components:
        few = ", ".join(words[:_SHOWN]) + (", ..." if len(words) > _SHOWN else "")
        raise ValueError(
            f"labels has {len(words)} different words ({few}), more than n_components = {n_components}: raise "
            "n_components, or make labels that count for no component None"
        )
    return all_named(dict(enumerate(words)), n_components)
