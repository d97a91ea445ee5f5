"""fastem: Gaussian mixtures fitted by Expectation-Maximization, many times faster than scikit-learn's."""

from .gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
