"""fastem: Gaussian mixtures fitted by Expectation-Maximization, many times faster than scikit-learn's."""

import importlib
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from . import callbacks, datasets, plotting, sources
    from .estimators.bayesian_mixture import BayesianGaussianMixture
    from .estimators.gaussian_mixture import GaussianMixture
    from .estimators.loading import load
    from .estimators.student_mixture import StudentTMixture
    from .fitting.degeneracy import DegenerateFitWarning
    from .imputer import MixtureImputer
    from .selection import select
    from .warm_up import warm_up

__all__ = [
    "BayesianGaussianMixture", "DegenerateFitWarning", "GaussianMixture", "MixtureImputer", "StudentTMixture",
    "__version__", "callbacks", "datasets", "load", "plotting", "select", "sources", "warm_up",
]  # fmt: skip

_HOME = {
    "BayesianGaussianMixture": "estimators.bayesian_mixture",
    "DegenerateFitWarning": "fitting.degeneracy",
    "GaussianMixture": "estimators.gaussian_mixture",
    "MixtureImputer": "imputer",
    "StudentTMixture": "estimators.student_mixture",
    "load": "estimators.loading",
    "select": "selection",
    "warm_up": "warm_up",
}
_SUBMODULES = "callbacks", "datasets", "plotting", "sources"


def __getattr__(name):
    """Import a public name at its first use, so that `import fastem` and the command line's --help are fast."""
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return list(__all__)
