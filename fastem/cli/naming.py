"""What components are called: the labels of the groups that a fit was told, in the model as `component_names_`."""

import re
from itertools import count

import numpy as np


def all_named(known, n_components):
    """A name for each component, of which some have one.

    The others get the next numbers where all names are whole numbers, else 'new 1', 'new 2', ...

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
    if all(re.fullmatch(r"-?\d{1,18}", name) for name in taken):
        free = map(str, count(max(map(int, taken)) + 1))
    else:
        free = (name for i in count(1) if (name := f"new {i}") not in taken)
    return [known[k] if k in known else next(free) for k in range(n_components)]


def names_of(model):
    """{0: name of component 0, ...}; None where components are called by their numbers."""
    names = getattr(model, "component_names_", None)
    return None if names is None else dict(enumerate(names))


def for_json(model):
    """{'labels': {'0': name of component 0, ...}}, or {} where components are called by their numbers."""
    names = names_of(model)
    return {} if names is None else {"labels": {str(k): name for k, name in names.items()}}


def in_words(model, components):
    """The names of these components; where they have none, their numbers."""
    names = getattr(model, "component_names_", None)
    return components if names is None else np.asarray(names, dtype=object)[components]
