"""Plain fits of far fewer points than features, which are made in the directions of the points."""

import numpy as np
import pytest
import sklearn.mixture

from fastem import GaussianMixture
from fastem.fitting import wide
from fastem.model.families import embedded

from .fits import quietly

pytestmark = pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")

MATRICES = "full", "tied"


def points(n=30, n_features=300, seed=0):
    """Two groups of points, on features of different scales."""
    rng = np.random.default_rng(seed)
    X = 5 + rng.normal(size=(n, n_features)) * np.exp(0.5 * rng.normal(size=n_features))
    X[: n // 2, ::5] += 3
    return X


def in_all_features(monkeypatch, model, X, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr(wide, "applies", lambda *_: False)
        return quietly(model, X, **kwargs)


@pytest.mark.parametrize("covariance_type", MATRICES)
@pytest.mark.parametrize("case", ["plain", "weights", "k-means++", "random", "random_from_data", "far", "repeated"])
def test_the_mixture_is_that_of_em_in_all_features(covariance_type, case, monkeypatch):
    X, kwargs, params = points(), {}, {"covariance_type": covariance_type, "random_state": 1, "reg_covar": 1e-4}
    if case == "weights":
        kwargs = {"sample_weight": np.arange(30.0) % 4}
    elif case == "far":
        X = X + 1e4
    elif case == "repeated":
        X[5:10] = X[4]
        X[:, 7] = 2.0
    elif case != "plain":
        params["init_params"] = case
    assert X.shape[1] > wide._MANY
    model = quietly(GaussianMixture(2, **params), X, **kwargs)
    expected = in_all_features(monkeypatch, GaussianMixture(2, **params), X, **kwargs)
    assert model.n_iter_ == expected.n_iter_ and model.converged_ == expected.converged_
    np.testing.assert_allclose(model.lower_bounds_, expected.lower_bounds_, rtol=1e-7 if case == "far" else 1e-9)
    np.testing.assert_allclose(model.weights_, expected.weights_, atol=1e-12)
    np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-12)
    scale = np.abs(expected.covariances_).max()
    np.testing.assert_allclose(
        model.covariances_, expected.covariances_, atol=(1e-9 if case == "far" else 1e-13) * scale
    )
    scale = np.abs(expected.precisions_cholesky_).max()
    rounding = 1e-4 if case == "far" else 1e-7
    np.testing.assert_allclose(model.precisions_cholesky_, expected.precisions_cholesky_, atol=rounding * scale)
    (stage,) = model.fit_report_.stages
    assert (stage.name, stage.n_samples, stage.n_iter) == ("all", 30, model.n_iter_)
    assert stage.lower_bound == model.lower_bound_


@pytest.mark.parametrize("covariance_type", MATRICES)
def test_the_mixture_is_scikit_learns(covariance_type):
    X = points(24, 260)
    params = {"covariance_type": covariance_type, "random_state": 0, "reg_covar": 1e-3}
    model = quietly(GaussianMixture(2, **params), X)
    theirs = quietly(sklearn.mixture.GaussianMixture(2, **params), X)
    assert model.lower_bound_ == pytest.approx(theirs.lower_bound_, rel=1e-9)
    np.testing.assert_allclose(model.means_, theirs.means_, rtol=1e-10)
    np.testing.assert_allclose(model.covariances_, theirs.covariances_, atol=1e-11)
    np.testing.assert_allclose(model.score_samples(X), theirs.score_samples(X), rtol=1e-7)
    np.testing.assert_allclose(model.precisions_, theirs.precisions_, atol=1e-6 * np.abs(theirs.precisions_).max())


@pytest.mark.parametrize("shape", [(5, 1), (64, 3), (65, 2), (150, 9), (130, 140)])
@pytest.mark.parametrize("variance", [1e-6, 1.0])
def test_factors_are_those_of_the_inverse(shape, variance):
    root = np.random.default_rng(0).normal(size=shape)
    root[3:5] = 0.0
    factor = embedded._precision_factor(root, variance)
    covariance = root @ root.T + variance * np.eye(len(root))
    np.testing.assert_array_equal(factor, np.triu(factor))
    assert (np.diagonal(factor) > 0).all()
    np.testing.assert_allclose(factor.T @ covariance @ factor, np.eye(len(root)), atol=1e-8)
    lower = np.linalg.inv(np.linalg.cholesky(covariance))
    np.testing.assert_allclose(factor, lower.T, atol=1e-7 * np.abs(lower).max())


def test_who_listens_changes_nothing_and_hears_of_mixtures_in_all_features():
    class Listener:
        def __init__(self):
            self.heard = []

        def setup(self, estimator, context):
            pass

        on_fit_task_begin = teardown = setup

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "iteration":
                self.heard.append(fitted_estimator)

    X, listener = points(), Listener()
    model = quietly(GaussianMixture(2, random_state=0), X)
    told = quietly(GaussianMixture(2, random_state=0).set_callbacks(listener), X)
    assert [each.lower_bound_ for each in listener.heard] == model.lower_bounds_
    for each in told, listener.heard[-1]:
        assert each.lower_bounds_ == model.lower_bounds_
        for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
            np.testing.assert_array_equal(getattr(each, name), getattr(model, name))


@pytest.mark.parametrize(
    "case", ["float32", "labels", "no reg_covar", "axes", "more points", "means given", "constrained"]
)
def test_other_fits_are_made_in_all_features(case, monkeypatch):
    def never(*_):
        raise AssertionError("the fit was made in few directions")

    monkeypatch.setattr(wide, "fit", never)
    X, params, kwargs = points(), {"covariance_type": "full", "reg_covar": 1e-2}, {}
    if case == "float32":
        X = X.astype(np.float32)
    elif case == "labels":
        kwargs = {"labels": np.r_[0, 1, np.full(28, -1)]}
    elif case == "no reg_covar":
        params["reg_covar"] = 0
    elif case == "axes":
        params["covariance_type"] = "diag"
    elif case == "more points":
        X = points(200)
    elif case == "means given":
        params["means_init"] = X[:2]
    elif case == "constrained":
        params["covariance_type"] = "EEV"
    if case == "no reg_covar":
        with pytest.raises(ValueError, match="collapsed"):
            quietly(GaussianMixture(2, random_state=0, **params), X, **kwargs)
    else:
        assert quietly(GaussianMixture(2, random_state=0, max_iter=2, **params), X, **kwargs).means_.shape == (2, 300)
