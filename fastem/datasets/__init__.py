"""Real data that ship with the package, and a generator of mixtures with a given overlap."""

from ._generator import make_mixture
from ._loaders import load_faithful, load_galaxies, load_penguins, load_reaven_miller

__all__ = ["load_faithful", "load_galaxies", "load_penguins", "load_reaven_miller", "make_mixture"]
