"""Models to scikit-learn's estimators and back, and by those to ONNX."""

import copy
import re

import numpy as np
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fastem import GaussianMixture, load

from .data_sets import COVARIANCE_TYPES, start
from .fits import PARAMETERS, assert_same_bits, fitted, points, quietly
from .grids import grid
from .held import frame

X, _ = points()
TYPES = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
SOME_DTYPES = grid("dtype", ["float64", "float32"], quick=["float64"])


def theirs(X, n_components=3, **params):
    return quietly(sklearn.mixture.GaussianMixture(n_components, random_state=0, **params), X)


def assert_same_predictions(one, other, X):
    rtol = 1e-9 if X.dtype == np.float64 else 1e-4
    assert_array_equal(one.predict(X), other.predict(X))
    for method in ("predict_proba", "score_samples", "score", "bic", "aic"):
        assert_allclose(getattr(one, method)(X), getattr(other, method)(X), rtol=rtol, atol=1e-2 * rtol, err_msg=method)


# -- to scikit-learn --------------------------------------------------------------------------------------------------


@TYPES
@SOME_DTYPES
def test_scikit_learns_estimator_predicts_the_same(covariance_type, dtype):
    points = X.astype(dtype)
    model = fitted(points, covariance_type=covariance_type)
    other = model.to_sklearn()
    assert type(other) is sklearn.mixture.GaussianMixture
    assert_same_predictions(other, model, points)
    for theirs, ours in zip(other.sample(30), model.sample(30), strict=True):
        assert_allclose(theirs, ours, rtol=1e-12 if dtype == "float64" else 1e-5)


def test_parameters_and_attributes_that_both_have_are_taken_over():
    given = {"tol": 1e-5, "reg_covar": 1e-4, "max_iter": 77, "verbose_interval": 3, **start(X, 3, "full")}
    model = fitted(frame(X), **given, algorithm="em", forgetting=0.5)
    other = model.to_sklearn()
    params = other.get_params()
    assert params.keys() == sklearn.mixture.GaussianMixture().get_params().keys()
    for name, value in params.items():
        assert_array_equal(value, model.get_params()[name], err_msg=name)
    assert_same_bits(other, model)
    assert (other.n_features_in_, other.feature_names_in_.tolist()) == (4, ["length", "width", "height", "weight"])
    fresh = vars(quietly(sklearn.mixture.GaussianMixture(3, random_state=0), frame(X)))
    assert {name for name in fresh if name.endswith("_")} <= set(vars(other))
    assert clone(other).get_params()["tol"] == 1e-5


def test_the_two_share_nothing():
    model = fitted(X, random_state=np.random.RandomState(5), **start(X, 3, "full"))
    before = copy.deepcopy(model)
    other = model.to_sklearn()
    twin = GaussianMixture.from_sklearn(other)
    for name in (*PARAMETERS, "means_init"):
        getattr(other, name)[:] = 0
    other.lower_bounds_.clear()
    other.random_state.uniform(size=3)
    assert_same_bits(model, before)
    assert_same_bits(twin, before)
    assert_array_equal(twin.means_init, before.means_init)
    assert_array_equal(model.means_init, before.means_init)
    assert_array_equal(model.random_state.uniform(size=3), before.random_state.uniform(size=3))


def test_scikit_learn_goes_on_from_the_fit():
    model = fitted(X, tol=1e-8)
    other = model.to_sklearn().set_params(warm_start=True).fit(X)
    assert other.n_iter_ == 1
    assert_allclose(other.lower_bound_, model.lower_bound_, rtol=1e-9)


def test_only_fitted_models_are_converted():
    with pytest.raises(NotFittedError):
        GaussianMixture().to_sklearn()
    with pytest.raises(NotFittedError):
        GaussianMixture.from_sklearn(sklearn.mixture.GaussianMixture())


# -- from scikit-learn ------------------------------------------------------------------------------------------------


@TYPES
@DTYPES
def test_a_model_of_scikit_learns_predicts_the_same(covariance_type, dtype):
    points = X.astype(dtype)
    other = theirs(points, covariance_type=covariance_type)
    model = GaussianMixture.from_sklearn(other)
    assert_same_bits(model, other)
    assert_same_predictions(model, other, points)


@TYPES
@SOME_DTYPES
def test_there_and_back_are_the_same_bits(covariance_type, dtype, tmp_path):
    points = frame(X.astype(dtype))
    model = fitted(points, covariance_type=covariance_type, tol=1e-5)
    own = {name: model.get_params()[name] for name in ("assignment", "algorithm", "n_threads", "forgetting")}
    twin = GaussianMixture.from_sklearn(model.to_sklearn(), **own)
    assert_same_bits(twin, model)
    assert twin.get_params() == model.get_params()
    for method in ("predict", "predict_proba", "score_samples"):
        assert_array_equal(getattr(twin, method)(points), getattr(model, method)(points))
    twin.save(tmp_path / "model.npz")
    assert_same_bits(load(tmp_path / "model.npz"), model)
    assert_same_bits(twin.set_params(warm_start=True).fit(points), model.set_params(warm_start=True).fit(points))


def test_a_fit_goes_on_where_scikit_learns_stopped():
    other = theirs(X, max_iter=3, tol=0, **start(X, 3, "full"))
    model = GaussianMixture.from_sklearn(other, warm_start=True, algorithm="em", max_iter=4, n_threads=1)
    assert (model.n_iter_, model.converged_, model.tol) == (3, False, 0)
    quietly(model, X)
    assert_allclose(model.means_, quietly(other.set_params(max_iter=7, warm_start=False), X).means_, rtol=1e-9)


def test_constructor_arguments_replace_the_models():
    other = theirs(frame(X), tol=1e-4)
    model = GaussianMixture.from_sklearn(other, tol=1e-6, assignment="hard")
    assert (model.tol, model.assignment, model.n_components) == (1e-6, "hard", 3)
    assert list(model.feature_names_in_) == list(other.feature_names_in_)
    assert model.partial_fit(frame(X)).n_samples_seen_ == 3000
    with pytest.raises(TypeError, match="depth"):
        GaussianMixture.from_sklearn(other, depth=3)
    with pytest.raises(ValueError, match="'tol' parameter"):
        GaussianMixture.from_sklearn(other, tol=-1)
    with pytest.raises(ValueError, match=r"covariances_' should have the shape of \(3, 4\), but got \(3, 4, 4\)"):
        GaussianMixture.from_sklearn(other, covariance_type="diag")


@pytest.mark.parametrize("other", [sklearn.mixture.BayesianGaussianMixture(), GaussianMixture(2), None, "model.pkl"])
def test_other_estimators_are_refused(other):
    if hasattr(other, "fit"):
        quietly(other, X[:100])
    kind = re.escape(f"{type(other).__module__}.{type(other).__qualname__}")
    with pytest.raises(TypeError, match=rf"takes a sklearn\.mixture\.GaussianMixture, but got a {kind}"):
        GaussianMixture.from_sklearn(other)


class Ours(GaussianMixture):
    pass


class Theirs(sklearn.mixture.GaussianMixture):
    pass


def test_subclasses_are_as_their_bases():
    model = Ours.from_sklearn(quietly(Theirs(2, random_state=0), X))
    assert type(model) is Ours
    assert type(model.to_sklearn()) is sklearn.mixture.GaussianMixture


def by_hand(covariance_type, factors, **params):
    """scikit-learn's estimator with known numbers in it: the way to make one predict without a fit."""
    other = sklearn.mixture.GaussianMixture(3, covariance_type=covariance_type, **params)
    fit = theirs(X, covariance_type=covariance_type)
    other.weights_, other.means_, other.covariances_ = fit.weights_, fit.means_.tolist(), fit.covariances_
    other.means_ = np.array(other.means_)
    other.precisions_cholesky_ = factors(fit)
    return other


@TYPES
def test_attributes_that_were_set_by_hand(covariance_type):
    other = by_hand(covariance_type, lambda fit: fit.precisions_cholesky_)
    model = GaussianMixture.from_sklearn(other)
    assert_same_predictions(model, other, X)
    assert (model.n_iter_, model.converged_, model.lower_bound_, model.lower_bounds_) == (0, False, -np.inf, [])
    inverse = np.linalg.inv if covariance_type in ("full", "tied") else np.reciprocal
    assert_allclose(model.precisions_, inverse(model.covariances_), rtol=1e-9, atol=1e-12)
    assert model.set_params(warm_start=True).fit(X).converged_


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_lower_factors_that_were_set_by_hand(covariance_type):
    other = by_hand(covariance_type, lambda fit: np.linalg.cholesky(np.linalg.inv(fit.covariances_)))
    model = GaussianMixture.from_sklearn(other)
    assert_same_predictions(model, other, X)
    assert_array_equal(model.precisions_cholesky_, np.triu(model.precisions_cholesky_))


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2), (2, 5)], ids=str)
def test_any_factor_of_a_precision_that_was_set_by_hand(size, dtype, covariance_type):
    rng = np.random.default_rng(0)
    n_components, n_features = size
    root = rng.normal(size=(n_components, n_features, n_features))
    covariances = root @ root.transpose(0, 2, 1) + np.eye(n_features)
    covariances = covariances[0] if covariance_type == "tied" else covariances
    weights, means = np.full(n_components, 1 / n_components), rng.normal(size=size)
    model = GaussianMixture.from_parameters(weights, means, covariances, covariance_type=covariance_type)
    points = rng.normal(size=(9, n_features))
    upper, expected = model.precisions_cholesky_, model.score_samples(points)
    lower = np.linalg.cholesky(np.linalg.inv(covariances))
    turned = upper @ np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    for factors in (lower, turned):
        model.precisions_cholesky_ = factors.astype(dtype)
        rtol = 1e-5 if dtype == np.float32 else 1e-12
        assert_allclose(model.score_samples(points), expected, rtol=rtol)
        other = model.to_sklearn()
        assert_allclose(other.score_samples(points), expected, rtol=rtol)
        assert_array_equal(other.precisions_cholesky_, np.triu(other.precisions_cholesky_))
    for wrong in (-upper, 0 * upper, np.tril(np.ones_like(upper), -1)):
        model.precisions_cholesky_ = wrong
        with pytest.raises(ValueError, match="upper triangular with a positive diagonal"):
            model.score_samples(points)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("means_", lambda means: means[:2], r"weights_' should have the shape of \(2,\), but got \(3,\)"),
        ("means_", lambda means: means * np.nan, "means_ holds NaN"),
        ("means_", lambda means: means[0], "means_' should have the shape of"),
        ("weights_", lambda weights: weights / 2, "weights_' should be normalized"),
        ("covariances_", lambda covariances: covariances[:, 0], r"covariances_' should have the shape of \(3, 4, 4\)"),
        ("precisions_cholesky_", lambda factors: -factors, "with a positive diagonal"),
        ("n_features_in_", lambda n: 3, "n_features_in_ should be 4"),
    ],
)
def test_numbers_that_are_no_mixture_are_refused(name, change, match):
    other = theirs(X)
    setattr(other, name, change(getattr(other, name)))
    with pytest.raises(ValueError, match=match):
        GaussianMixture.from_sklearn(other)


def test_what_lacks_a_parameter_is_not_fitted():
    other = theirs(X)
    del other.covariances_
    with pytest.raises(NotFittedError):
        GaussianMixture.from_sklearn(other)


# -- ONNX -------------------------------------------------------------------------------------------------------------


@TYPES
def test_onnx(covariance_type):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is optional")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is optional")
    points = X.astype(np.float32)
    model = fitted(points, covariance_type=covariance_type)
    graph = skl2onnx.to_onnx(model.to_sklearn(), points[:1]).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    labels, responsibilities = session.run(None, {session.get_inputs()[0].name: points})
    assert_array_equal(labels.ravel(), model.predict(points))
    assert_allclose(responsibilities, model.predict_proba(points), atol=1e-5)
