"""Covariance families, by the names that `covariance_type` has for them.

Formulas: Bishop 2006, 'Pattern Recognition and Machine Learning', eqs. 9.24 to 9.26; the constrained families as in
scikit-learn.
"""

import importlib
from collections.abc import Mapping


class _Registry(Mapping):
    """Families by name, in order; a module is imported when its family is asked for, so that names cost nothing."""

    def __init__(self, **modules):
        self._modules = modules
        self._families = dict.fromkeys(modules)

    def __getitem__(self, name):
        if self._families[name] is None:
            self._families[name] = importlib.import_module(f".{self._modules[name]}", __name__).FAMILY
        return self._families[name]

    def __iter__(self):
        return iter(self._families)

    def __len__(self):
        return len(self._families)

    def register(self, family):
        """Make an object of a family known by its name, in place of an earlier one; return it."""
        self._families[family.name] = family
        return family


FAMILIES = _Registry(full="full", tied="tied", diag="diagonal", spherical="spherical")
"""All families. Whatever chooses among names looks here each time."""

STANDARD = tuple(FAMILIES)
"""scikit-learn's four."""
