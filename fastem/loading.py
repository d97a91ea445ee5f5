"""Models from files."""

from . import saving
from .gaussian_mixture import GaussianMixture


def load(path):
    """A model from a file that its `save` wrote; no code in the file is run.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    model : GaussianMixture

    Raises
    ------
    FileNotFoundError
    ValueError
        Where the file isn't one of a model, or of a later format.
    """
    return saving.read(path, [GaussianMixture])
