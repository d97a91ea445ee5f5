"""Models from files."""

from ..files import saving
from .bayesian_mixture import BayesianGaussianMixture
from .gaussian_mixture import GaussianMixture


def load(path):
    """A model from a file that its `save` wrote, whose notes tell of the format.

    No code is run, whatever the file: what isn't a model, down to the shapes of its arrays, is refused.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    model : GaussianMixture or BayesianGaussianMixture
        With everything that it had: parameters, fitted attributes, history. `warm_start=True` goes on from it.

    Raises
    ------
    OSError
        FileNotFoundError, PermissionError, ...: where the file can't be read.
    ValueError
        Where it isn't one of a model, is damaged, or of a later format; it says which file and what is wrong.
    """
    return saving.read(path, [GaussianMixture, BayesianGaussianMixture])
