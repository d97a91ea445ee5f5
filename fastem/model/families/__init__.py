"""Covariance families by name, as in `covariance_type`.

Formulas: Bishop 2006, 'Pattern Recognition and Machine Learning', eqs. 9.24 to 9.26; the constrained families as in
scikit-learn. mclust's fourteen families: Celeux & Govaert 1995, 'Gaussian parsimonious clustering models'. Their three
letters say whether volume, shape and axes of the covariances are Equal, Varying or those of the Identity.
"""

import importlib
from collections.abc import Mapping


class _Registry(Mapping):
    """Families by name, in order. A family's module is imported at its first use, so that listing names is cheap.

    places: for each name the module and class, 'module.Class', or the name of a family of which it is an alias.
    """

    def __init__(self, **places):
        self._places = places
        self._families = dict.fromkeys(places)

    def __getitem__(self, name):
        if self._families[name] is None:
            module, dot, attribute = self._places[name].partition(".")
            if dot:
                self._families[name] = getattr(importlib.import_module(f".{module}", __name__), attribute)()
            else:
                self._families[name] = self[self._places[name]]
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


FAMILIES = _Registry(
    full="full.Full",
    tied="tied.Tied",
    diag="diagonal.Diagonal",
    spherical="spherical.Spherical",
    EII="axis_aligned_constrained.EII",
    VII="spherical",
    EEI="axis_aligned_constrained.EEI",
    VEI="axis_aligned_constrained.VEI",
    EVI="axis_aligned_constrained.EVI",
    VVI="diag",
    EEE="tied",
    VEE="ellipsoidal_constrained.VEE",
    EVE="common_axes.EVE",
    VVE="common_axes.VVE",
    EEV="ellipsoidal_constrained.EEV",
    VEV="ellipsoidal_constrained.VEV",
    EVV="ellipsoidal_constrained.EVV",
    VVV="full",
    E="EII",
    V="VII",
    factors="factors.Factors",
)
"""All families, registered ones included; code that validates names reads this at each call."""

STANDARD = "full", "tied", "diag", "spherical"
"""scikit-learn's four: what `select` and `warm_up` take by default."""

FOURTEEN = "EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"
"""mclust's fourteen, by their codes."""
