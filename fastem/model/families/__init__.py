"""Covariance families by name, as in `covariance_type`.

Formulas: Bishop 2006, 'Pattern Recognition and Machine Learning', eqs. 9.24 to 9.26; the constrained families as in
scikit-learn.
"""

import importlib
from collections.abc import Mapping


class _Registry(Mapping):
    """Families by name, in order. A family's module is imported at its first use, so that listing names is cheap."""

    def __init__(self, **modules):
        self._modules = modules
        self._families = dict.fromkeys(modules)

    def __getitem__(self, name):
        if self._families[name] is None:
            self._families[name] = importlib.import_module(f".{self._modules[name]}", __name__).FAMILY
        return self._families[name]

    def __contains__(self, name):
        return name in self._families

    def __iter__(self):
        return iter(self._families)

    def __len__(self):
        return len(self._families)

    def register(self, family):
        """Add a family under its name, replacing any earlier one; return it."""
        self._families[family.name] = family
        return family


FAMILIES = _Registry(full="full", tied="tied", diag="diagonal", spherical="spherical")
"""All families, registered ones included; code that validates names reads this at each call."""

STANDARD = "full", "tied", "diag", "spherical"
"""scikit-learn's four: what `select` and `warm_up` take by default."""
