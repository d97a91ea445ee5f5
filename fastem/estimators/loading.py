"""`fastem.load`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..files import saving
from .bayesian_mixture import BayesianGaussianMixture
from .gaussian_mixture import GaussianMixture
from .student_mixture import StudentTMixture

if TYPE_CHECKING:
    from pathlib import Path


def load(path: str | Path) -> GaussianMixture | BayesianGaussianMixture | StudentTMixture:
    """Load a model from a file that its method `save` wrote (which documents the format).

    Loading never runs code from the file. All that is read is checked, down to the shapes of the arrays.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    model : GaussianMixture, BayesianGaussianMixture or StudentTMixture
        With all that was saved: constructor arguments, fitted attributes, fit report. `warm_start=True` goes on from
        it.

    Raises
    ------
    OSError
        If the file can't be read: FileNotFoundError, PermissionError, ...
    ValueError
        If the file isn't a model, is damaged, or has a later format. The message names the file and the fault.
    """
    return saving.read(path, [GaussianMixture, BayesianGaussianMixture, StudentTMixture])
