"""Pictures of scikit-learn's fitted mixtures are those of fastem's with the same parameters."""

import numpy as np
import pytest
import sklearn.mixture
from sklearn.exceptions import NotFittedError

import fastem
from fastem.datasets import load_faithful

from .grids import grid

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'fastem[plot]'")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
X = load_faithful().data


@pytest.mark.parametrize("name", ["GaussianMixture", "BayesianGaussianMixture"])
@grid("covariance_type", ["full", "tied", "diag", "spherical"], quick=["tied"])
def test_pictures_take_scikit_learns_models(name, covariance_type):
    theirs = getattr(sklearn.mixture, name)(n_components=2, covariance_type=covariance_type, random_state=0).fit(X)
    ours = getattr(fastem, name).from_sklearn(theirs)
    one, other = (fastem.plotting.MixtureDisplay.from_estimator(model, X) for model in (theirs, ours))
    np.testing.assert_array_equal(one.mixture.covariances, other.mixture.covariances)
    np.testing.assert_array_equal(one.lab, other.lab)
    for display in ("ConditionalDisplay", "ResponsibilityDisplay", "MahalanobisDisplay"):
        getattr(fastem.plotting, display).from_estimator(theirs, X)
    fastem.plotting.LogLikelihoodDisplay.from_estimator(theirs)


def test_a_model_that_is_not_fitted():
    with pytest.raises(NotFittedError):
        fastem.plotting.MixtureDisplay.from_estimator(sklearn.mixture.GaussianMixture(2), X)
