"""Names of components."""

import re
from itertools import count


def all_named(known, n_components):
    """A name for each component, given those of some.

    If all known names are whole numbers, the others get the next numbers, else 'new 1', 'new 2', ...

    Parameters
    ----------
    known : dict of int to str
        Names of some components.
    n_components : int

    Returns
    -------
    names : list of str
    """
    taken = set(known.values())
    if are_numbers(taken):
        free = map(str, count(max(map(int, taken)) + 1))
    else:
        free = (name for i in count(1) if (name := f"new {i}") not in taken)
    return [known[k] if k in known else next(free) for k in range(n_components)]


def are_numbers(names):
    """Whether all names are whole numbers."""
    return all(re.fullmatch(r"-?\d{1,18}", name) for name in names)
