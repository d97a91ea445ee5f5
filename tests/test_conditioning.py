"""Marginals, conditionals and missing values of fitted mixtures, against textbook formulas."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.linear_model import LinearRegression

import fastem
from fastem import GaussianMixture
from fastem.datasets import load_penguins
from fastem.model.conditioning import conditional
from fastem.model.families import FAMILIES, STANDARD
from fastem.model.parameters import Parameters

from . import naive
from .fits import quietly
from .grids import grid

each_type = grid("covariance_type", STANDARD, quick=["full", "diag"])


def points(n=300, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    turn = rng.normal(size=(2, n_features, n_features))
    labels = rng.integers(2, size=n)
    return np.einsum("ij,ijk->ik", rng.normal(size=(n, n_features)), turn[labels]) + 3 * labels[:, None]


def mixture(covariance_type, X=None, K=3):
    X = points() if X is None else X
    return quietly(GaussianMixture(K, covariance_type=covariance_type, random_state=0), X)


def matrices(model):
    return naive.matrices(model.covariances_, model.covariance_type, *model.means_.shape)


@each_type
def test_component_log_densities(covariance_type):
    X, model = points(), mixture(covariance_type)
    found = model.component_log_densities(X)
    for k, (mean, matrix) in enumerate(zip(model.means_, matrices(model), strict=True)):
        np.testing.assert_allclose(found[:, k], stats.multivariate_normal(mean, matrix).logpdf(X), rtol=1e-10)
    np.testing.assert_allclose(logsumexp(found + np.log(model.weights_), axis=1), model.score_samples(X), rtol=1e-10)


@each_type
def test_a_marginal_has_the_moments_of_its_features(covariance_type):
    model = mixture(covariance_type)
    marginal = model.marginal([2, 0])
    assert marginal.covariance_type == covariance_type
    np.testing.assert_array_equal(marginal.means_, model.means_[:, [2, 0]])
    np.testing.assert_allclose(matrices(marginal), matrices(model)[:, [2, 0]][:, :, [2, 0]], rtol=1e-12)
    np.testing.assert_allclose(marginal.weights_, model.weights_, rtol=1e-15)
    assert marginal.sample(10)[0].shape == (10, 2)


@each_type
def test_marginal_times_conditional_is_the_joint_density(covariance_type):
    X, model = points(), mixture(covariance_type)
    for row in X[:20]:
        conditional = model.conditional([np.nan, row[1], np.nan, row[3]])
        assert conditional.covariance_type == covariance_type
        together = model.marginal([1, 3]).score_samples(row[None, [1, 3]]) + conditional.score_samples(
            row[None, [0, 2]]
        )
        np.testing.assert_allclose(together, model.score_samples(row[None]), rtol=1e-10)


def test_a_far_point_has_a_conditional():
    far = mixture("full").conditional([1e6, np.nan, np.nan, np.nan])
    assert np.isfinite(far.means_).all() and far.weights_.sum() == pytest.approx(1)


@each_type
def test_imputed_values_are_conditional_expectations(covariance_type):
    X, model = points(), mixture(covariance_type)
    hidden = np.random.default_rng(1).uniform(size=X.shape) < 0.4
    hidden[0], hidden[1] = True, False
    incomplete = np.where(hidden, np.nan, X)
    filled, std = model.impute(incomplete, return_std=True)
    np.testing.assert_array_equal(filled[~hidden], X[~hidden])
    assert (std[~hidden] == 0).all() and (std[hidden] > 0).all()
    np.testing.assert_allclose(filled[0], model.weights_ @ model.means_, rtol=1e-10)
    for row, mask, value, deviation in zip(incomplete[2:40], hidden[2:40], filled[2:40], std[2:40], strict=True):
        if mask.any() and not mask.all():
            given = model.conditional(row)
            mean = given.weights_ @ given.means_
            np.testing.assert_allclose(value[mask], mean, rtol=1e-9)
            variances = np.diagonal(matrices(given), axis1=1, axis2=2)
            variance = given.weights_ @ (variances + (given.means_ - mean) ** 2)
            np.testing.assert_allclose(deviation[mask] ** 2, variance, rtol=1e-9)


def test_draws_have_the_moments_of_the_conditional():
    model = mixture("full")
    row = np.array([[np.nan, 1.0, np.nan, 2.0]])
    draws = model.impute(np.repeat(row, 200, axis=0), n_draws=500, random_state=0)
    assert draws.shape == (500, 200, 4)
    assert (draws[..., 1] == 1.0).all() and (draws[..., 3] == 2.0).all()
    values = draws[..., [0, 2]].reshape(-1, 2)
    conditional = model.conditional(row[0])
    mean = conditional.weights_ @ conditional.means_
    apart = conditional.means_ - mean
    covariance = np.einsum(
        "k,kij->ij", conditional.weights_, matrices(conditional) + apart[:, :, None] * apart[:, None]
    )
    error = np.sqrt(np.diag(covariance) / len(values))
    assert (np.abs(values.mean(axis=0) - mean) < 5 * error).all()
    np.testing.assert_allclose(np.cov(values.T), covariance, rtol=0.03, atol=0.03 * np.diag(covariance).max())
    np.testing.assert_array_equal(draws, model.impute(np.repeat(row, 200, axis=0), n_draws=500, random_state=0))


def test_one_gaussian_is_linear_regression():
    X = points()
    model = mixture("full", X, K=1).set_params(reg_covar=0).fit(X)
    wanted = LinearRegression().fit(X[:, :3], X[:, 3]).predict(X[:, :3])
    found = model.impute(np.column_stack([X[:, :3], np.full(len(X), np.nan)]))[:, 3]
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8)


def test_names_stay_with_their_features():
    bunch = load_penguins()
    frame = pd.DataFrame(bunch.data, columns=bunch.feature_names)
    model = quietly(GaussianMixture(3, random_state=0), frame)
    first, *_, last = bunch.feature_names
    assert model.marginal(last).feature_names_in_.tolist() == [last]
    assert model.marginal([last, 0]).feature_names_in_.tolist() == [last, first]
    given = model.conditional({first: frame[first][0], last: frame[last][0]})
    assert given.feature_names_in_.tolist() == bunch.feature_names[1:-1]
    same = model.conditional([frame[first][0], np.nan, np.nan, frame[last][0]])
    np.testing.assert_array_equal(given.means_, same.means_)
    frame.iloc[::3, 1] = np.nan
    assert not np.isnan(model.impute(frame)).any()


def test_a_bayesian_mixture_has_them_too():
    model = quietly(fastem.BayesianGaussianMixture(n_components=2, random_state=0), points())
    assert model.marginal([0]).means_.shape == (2, 1)
    assert model.impute([[np.nan, 0, 0, 0]]).shape == (1, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.marginal([0, 0]), "each feature should be named once"),
        (lambda model: model.marginal([]), "at least one feature"),
        (lambda model: model.marginal([4]), "indices below 4; got 4"),
        (lambda model: model.marginal("a"), "no feature 'a': its features have no names"),
        (lambda model: model.conditional([1, 2, 3, 4]), "leave at least one feature unknown"),
        (lambda model: model.conditional([1, np.nan]), r"shape \(4,\)"),
        (lambda model: model.conditional({0: np.inf}), "it holds infinity"),
        (lambda model: model.impute([[1, np.nan]]), "expecting 4 features"),
        (lambda model: model.impute([[1, np.inf, 1, 1]]), "infinity"),
        (lambda model: model.impute([[1, np.nan, 1, 1]], n_draws=0), "n_draws should be 1 or more"),
        (lambda model: model.impute([[1, np.nan, 1, 1]], n_draws=1, return_std=True), "exclude each other"),
        (lambda model: model.component_log_densities([[1, np.nan, 1, 1]]), "NaN"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(mixture("diag"))


def test_what_is_a_function_of_the_known_features_has_no_conditional():
    covariances = np.array([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]])  # the third feature is the first
    parameters = Parameters(FAMILIES["full"], np.ones(1), np.zeros((1, 3)), covariances, np.eye(3)[None])
    with pytest.raises(ValueError, match="component 0 the unknown features are functions of the known ones"):
        conditional(parameters, [0, 1], [2], np.zeros(2))


def test_it_must_be_fitted_first():
    for call in ("marginal", "conditional", "impute", "component_log_densities"):
        with pytest.raises(ValueError, match="not fitted"):
            getattr(GaussianMixture(), call)([0])
