"""Penalised EM, `GaussianMixture(prior=...)`: against plain NumPy by mclust's formulas, and by what a mode is."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

import fastem
from fastem import GaussianMixture
from fastem.callbacks import Frames

from . import data_sets, held, naive
from .fits import PARAMETERS, assert_same_bits, mixture, points, quietly
from .grids import grid
from .problems import partly_known, three_groups

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
MIXTURE = ("weights_", "means_", "covariances_")

each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["tied", "spherical"])
each_algorithm = pytest.mark.parametrize("algorithm", ["em", "auto"])


def of_one(covariance_type, n_features, size=1.0):
    """A covariance in the shape of one component's."""
    matrix = size * (np.eye(n_features) + 0.3)
    return {"full": matrix, "tied": matrix, "diag": np.diagonal(matrix).copy(), "spherical": size}[covariance_type]


def given_prior(covariance_type, n_features):
    return {
        "shrinkage": 2.5,
        "mean": np.linspace(-1, 2, n_features),
        "degrees_of_freedom": n_features + 7.5,
        "scale": of_one(covariance_type, n_features, 3.0),
    }


def textbook(X, covariance_type, n_components=3, **params):
    """An estimator with a start of its own."""
    start = data_sets.start(X, n_components, covariance_type)
    return mixture(n_components, covariance_type=covariance_type, **{"algorithm": "em", "tol": 0, **start, **params})


def mixture_of(model):
    return model.weights_, model.means_, model.covariances_


def penalised_bound(X, model):
    """Mean log-likelihood and log-density of the prior, of the model as it is, nats per point."""
    log_prior = naive.log_prior(model.means_, model.covariances_, model.covariance_type, **model.prior_)
    return model.score(X) + log_prior / len(X)


def assert_never_falls(bounds):
    bounds = np.array(bounds)
    assert np.all(np.diff(bounds) >= -1e-12 * np.abs(bounds[1:]))


# -- against the formulas ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["default", "given", "no mean"])
@grid("reg_covar", [0, 1e-2], quick=[1e-2])
@each_type
def test_every_step_against_mclusts_formulas(covariance_type, reg_covar, prior):
    X, _ = three_groups()
    prior = {
        "default": "default",
        "given": given_prior(covariance_type, 3),
        "no mean": {"shrinkage": 0, "degrees_of_freedom": 4.0},
    }[prior]
    model = textbook(X, covariance_type, max_iter=0, prior=prior, reg_covar=reg_covar).fit(X)
    found, of_prior = mixture_of(model), model.prior_
    bounds = []
    for n_iter in range(1, 8):
        likelihoods, responsibilities = naive.e_step(X, *found, covariance_type)
        log_prior = naive.log_prior(found[1], found[2], covariance_type, **of_prior)
        bounds.append(likelihoods.mean() + log_prior / len(X))
        found = naive.map_m_step(X, responsibilities, covariance_type, reg_covar=reg_covar, **of_prior)
        quietly(model.set_params(max_iter=n_iter), X)
        for name, value in zip(MIXTURE, found, strict=True):
            assert_allclose(getattr(model, name), value, rtol=1e-9, atol=1e-10, err_msg=name)
        assert_allclose(model.lower_bounds_, bounds, rtol=1e-11)
    assert penalised_bound(X, model) > bounds[-1]


@each_type
@grid("n_features", [1, 3], quick=[3])
def test_the_default_is_mclusts(n_features, covariance_type):
    """R/mclust.R, defaultPrior: of G components' volume; spherical for the families without correlations."""
    X = three_groups()[0][:, :n_features]
    prior = quietly(mixture(5, covariance_type=covariance_type, prior="default"), X).prior_
    covariance = np.atleast_2d(np.cov(X.T)) * (1 / 5) ** (2 / n_features)
    variance = np.trace(covariance) / n_features
    expected = {"full": covariance, "tied": covariance, "diag": np.full(n_features, variance), "spherical": variance}
    assert (prior["shrinkage"], prior["degrees_of_freedom"]) == (0.01, n_features + 2)
    assert_allclose(prior["mean"], X.mean(axis=0), rtol=1e-12)
    assert_allclose(prior["scale"], expected[covariance_type], rtol=1e-12)
    again = quietly(mixture(5, covariance_type=covariance_type, prior=prior), X)
    assert_same_bits(again, quietly(mixture(5, covariance_type=covariance_type, prior="default"), X))


@pytest.mark.parametrize("n_points", [3, 4, 10])
def test_the_default_of_few_points_is_mclusts(n_points):
    """No more than features: their variances alone."""
    X = np.random.default_rng(0).normal(size=(n_points, 4))
    scale = quietly(mixture(2, prior="default"), X).prior_["scale"] * 2 ** (2 / 4)
    expected = np.cov(X.T) if n_points > 4 else np.diag(X.var(axis=0, ddof=1))
    assert_allclose(scale, expected, rtol=1e-12)


def test_the_default_of_features_in_very_different_units():
    X = three_groups()[0] * [1e-8, 1, 1e8]
    scale = quietly(mixture(2, prior="default", reg_covar=0), X).prior_["scale"] * 2 ** (2 / 3)
    assert_allclose(scale, np.cov(X.T), rtol=1e-10)


def test_a_prior_with_some_of_it_given():
    X, _ = three_groups()
    default = quietly(mixture(prior="default"), X).prior_
    some = quietly(mixture(prior={"shrinkage": 3}), X).prior_
    assert some["shrinkage"] == 3
    assert_array_equal(some["scale"], default["scale"])
    assert_array_equal(some["mean"], default["mean"])
    assert_same_bits(quietly(mixture(prior={}), X), quietly(mixture(prior="default"), X))


@each_type
def test_many_points_outweigh_the_prior(covariance_type):
    X, _ = points(20_000)
    start = data_sets.start(X, 3, covariance_type)
    plain, penalised = (
        quietly(mixture(covariance_type=covariance_type, algorithm="em", max_iter=30, prior=prior, **start), X)
        for prior in (None, "default")
    )
    assert_allclose(penalised.means_, plain.means_, atol=0.02)
    assert_allclose(penalised.covariances_, plain.covariances_, atol=0.05)


def test_off_by_default():
    X, _ = three_groups()
    assert mixture().prior is None
    model = mixture(prior="default").fit(X)
    model.set_params(prior=None).fit(X)
    assert_same_bits(model, mixture().fit(X))
    assert not hasattr(model, "prior_")


@pytest.mark.parametrize(("estimator", "check"), [
    pytest.param(estimator, check, id=check.func.__name__)
    for estimator, check in estimator_checks_generator(GaussianMixture(prior="default"))
])  # fmt: skip
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# -- what a mode is ---------------------------------------------------------------------------------------------------


@grid("name", ["faithful", "iris", "wine", "cancer"], quick=["wine"])
@each_algorithm
@each_type
def test_no_bound_falls(covariance_type, algorithm, name):
    X, n_components = data_sets.load(name)
    model = textbook(X, covariance_type, n_components, prior="default", reg_covar=0, max_iter=60, algorithm=algorithm)
    assert_never_falls(quietly(model, X).lower_bounds_)


def free_parameters(weights, means, covariances, covariance_type):
    """As one vector: logarithms of weights, means, Cholesky factors or logarithms of variances."""
    if covariance_type in ("full", "tied"):
        factors = np.linalg.cholesky(covariances)
        factors = factors[..., *np.tril_indices(factors.shape[-1])]
    else:
        factors = np.log(covariances)
    return np.concatenate([np.log(weights[1:] / weights[0]), means.ravel(), np.ravel(factors)])


def of_free_parameters(vector, n_components, n_features, covariance_type):
    logits, vector = np.concatenate([[0.0], vector[: n_components - 1]]), vector[n_components - 1 :]
    weights = np.exp(logits) / np.exp(logits).sum()
    means = vector[: n_components * n_features].reshape(n_components, n_features)
    rest = vector[n_components * n_features :]
    if covariance_type in ("full", "tied"):
        shape = (n_components,) if covariance_type == "full" else ()
        factors = np.zeros((*shape, n_features, n_features))
        factors[..., *np.tril_indices(n_features)] = rest.reshape(*shape, -1)
        return weights, means, factors @ np.swapaxes(factors, -1, -2)
    return weights, means, np.exp(rest).reshape((n_components, n_features) if covariance_type == "diag" else -1)


@grid("shrinkage", [0.0, 0.8], quick=[0.8])
@grid("algorithm", ["em", "auto"], quick=["auto"])
@each_type
def test_the_gradient_of_the_posterior_is_zero(covariance_type, algorithm, shrinkage):
    X, _ = three_groups(150)
    prior = {"shrinkage": shrinkage, "mean": [1.0, 2, 3], "degrees_of_freedom": 6.0}
    params = {"covariance_type": covariance_type, "algorithm": algorithm, "reg_covar": 0, "tol": 1e-13}
    model = quietly(mixture(prior=prior, max_iter=5000, **params), X)
    assert model.converged_

    def log_posterior(vector):
        found = of_free_parameters(vector, 3, 3, covariance_type)
        likelihoods, _ = naive.e_step(X, *found, covariance_type)
        return likelihoods.sum() + naive.log_prior(found[1], found[2], covariance_type, **model.prior_)

    at = free_parameters(*mixture_of(model), covariance_type)
    assert log_posterior(at) / len(X) == pytest.approx(model.lower_bound_, rel=1e-10)
    step = 1e-5
    gradient = [(log_posterior(at + d) - log_posterior(at - d)) / (2 * step) for d in step * np.eye(len(at))]
    assert np.abs(gradient).max() < 2e-3
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert log_posterior(at + 0.01 * rng.normal(size=len(at))) < log_posterior(at)


@grid("name", ["faithful", "iris", "wine", "cancer"], quick=["iris"])
@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_auto_ends_as_high_as_em(covariance_type, name):
    X, n_components = data_sets.load(name)
    params = {"covariance_type": covariance_type, "tol": 1e-5, "max_iter": 3000, "prior": "default"}
    for seed in range(2):
        auto, em = (
            quietly(mixture(n_components, algorithm=way, random_state=seed, **params), X) for way in ("auto", "em")
        )
        assert auto.converged_
        assert auto.lower_bound_ >= em.lower_bound_ - 1e-4


# -- what would collapse ----------------------------------------------------------------------------------------------


SINGULAR = {
    "repeated": (np.repeat(data_sets.load("iris")[0][:8], 10, axis=0), 4),
    "as many as components": (np.array([[0.0, 0], [1, 0.5], [0.2, 1]]), 3),
    "more features than points": (np.random.default_rng(0).normal(size=(10, 20)), 2),
    "as many features as points": (np.random.default_rng(0).normal(size=(5, 5)), 2),
    "three places": (np.repeat(np.random.default_rng(0).normal(size=(3, 4)), 5, axis=0), 3),
    "in a plane": (np.random.default_rng(0).normal(size=(60, 2)) @ np.random.default_rng(1).normal(size=(2, 3)), 2),
    "whole numbers": (np.random.default_rng(0).integers(0, 3, size=(100, 2)).astype(float), 6),
}


@grid("name", SINGULAR, quick=slice(0, None, 3))
@grid("reg_covar", [0, 1e-6], quick=[0])
@grid("algorithm", ["em", "auto"], quick=["auto"])
@each_type
def test_singular_data_do_not_collapse(covariance_type, algorithm, reg_covar, name):
    X, n_components = SINGULAR[name]
    params = {"covariance_type": covariance_type, "algorithm": algorithm, "reg_covar": reg_covar}
    model = quietly(mixture(n_components, prior="default", max_iter=200, **params), X)
    matrices = naive.matrices(model.covariances_, covariance_type, *model.means_.shape)
    spread = pdist(X).max() ** 2
    assert np.linalg.eigvalsh(matrices).min() > 1e-4 * spread / (len(X) + 10)
    assert np.isfinite(model.lower_bounds_).all()
    assert np.isfinite(model.score(X))
    if algorithm == "em" and reg_covar == 0:
        assert_never_falls(model.lower_bounds_)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("reg_covar", [0, 1e-6])
@each_algorithm
@each_type
def test_a_feature_without_spread(covariance_type, algorithm, reg_covar):
    """The default prior knows no more than the data of its variance: what there is comes from reg_covar."""
    X = np.column_stack([data_sets.load("iris")[0], np.full(150, 5.0)])
    model = mixture(covariance_type=covariance_type, algorithm=algorithm, reg_covar=reg_covar, prior="default")
    if reg_covar == 0 and covariance_type in ("full", "tied"):
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            model.fit(X)
        return
    quietly(model, X)
    assert model.converged_
    assert np.isfinite(model.lower_bounds_).all()
    assert_allclose(model.means_[:, 4], 5.0, rtol=1e-12)


def test_one_point_alone_keeps_the_priors_covariance():
    X = np.concatenate([three_groups(100)[0], [[1e3, 0, 0]]])
    model = mixture(4, prior="default", means_init=[*X[:3], X[-1]], reg_covar=0).fit(X)
    assert model.weights_[3] == pytest.approx(1 / 101, rel=1e-6)
    prior = model.prior_
    offset = X[-1] - prior["mean"]
    share = prior["shrinkage"] / (1 + prior["shrinkage"])
    expected = (prior["scale"] + share * np.outer(offset, offset)) / (prior["degrees_of_freedom"] + 3 + 2 + 1)
    assert_allclose(model.covariances_[3], expected, rtol=1e-6)


# -- what the user may give -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("covariance_type", "prior", "match"),
    [
        (
            "full",
            {"dof": 3},
            "prior has the unknown key 'dof': its keys may be shrinkage, mean, degrees_of_freedom, scale",
        ),
        ("full", {"shrinkage": -1}, "shrinkage should be a number of 0 or more, but got -1"),
        ("full", {"shrinkage": "a"}, "shrinkage should be a number"),
        ("full", {"shrinkage": None}, "shrinkage should be a number"),
        ("full", {"shrinkage": np.nan}, "shrinkage should be a number"),
        ("full", {"shrinkage": np.inf}, "shrinkage should be a number"),
        ("full", {"degrees_of_freedom": 2.0}, "degrees_of_freedom should be a number above n_features - 1 = 2"),
        ("spherical", {"degrees_of_freedom": 1.0}, "degrees_of_freedom should be a number above"),
        ("full", {"mean": [0.0, 0]}, "mean of the prior"),
        ("full", {"mean": [0.0, 0, np.nan]}, "NaN"),
        ("full", {"mean": 3.0}, "."),
        ("full", {"scale": np.eye(2)}, "scale of the prior"),
        ("full", {"scale": np.ones(3)}, "scale of the prior"),
        ("full", {"scale": -np.eye(3)}, "positive-definite"),
        ("tied", {"scale": np.ones((3, 3))}, "positive-definite"),
        ("full", {"scale": np.eye(3) + np.triu(np.ones((3, 3)), 1)}, "symmetric"),
        ("diag", {"scale": np.eye(3)}, "scale of the prior"),
        ("diag", {"scale": [1.0, 1, 0]}, "positive"),
        ("spherical", {"scale": np.ones(3)}, "scale of the prior"),
        ("spherical", {"scale": 0.0}, "positive"),
        ("full", {"scale": np.full((3, 3), np.nan)}, "NaN"),
        ("full", "strong", "prior"),
        ("full", True, "prior"),
        ("full", [0.01], "prior"),
    ],
)
def test_what_is_wrong_with_a_prior(covariance_type, prior, match):
    X, _ = three_groups()
    model = mixture(covariance_type=covariance_type, prior=prior)
    with pytest.raises((ValueError, TypeError), match=match):
        model.fit(X)
    assert not hasattr(model, "means_")
    assert not hasattr(model, "n_features_in_")


def test_what_the_user_gave_is_left_alone():
    X, _ = three_groups()
    prior = {"shrinkage": 1, "mean": [0, 1, 2], "scale": [[2, 0, 0], [0, 2, 0], [0, 0, 2]]}
    before = copy.deepcopy(prior)
    model = quietly(mixture(prior=prior), X)
    assert model.prior is prior
    assert prior == before
    assert type(model.prior_["shrinkage"]) is float
    assert model.prior_["mean"].dtype == model.prior_["scale"].dtype == np.float64


# -- weights, labels, ways to assign ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["default", "given"])
@each_type
def test_weights_are_repeated_rows(covariance_type, prior):
    X, _ = three_groups()
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = np.repeat(X, weights, axis=0)
    prior = given_prior(covariance_type, 3) if prior == "given" else prior
    start = data_sets.start(X, 3, covariance_type)
    params = {"covariance_type": covariance_type, "max_iter": 10, "algorithm": "em", "prior": prior, **start}
    one = quietly(mixture(**params), X, sample_weight=weights)
    other = quietly(mixture(**params), repeated)
    assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-11)
    for name in PARAMETERS:
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-12, err_msg=name)
    assert_allclose(one.prior_["scale"], other.prior_["scale"], rtol=1e-12)


@pytest.mark.parametrize("factor", [1e-9, 1e-2, 1e2, 1e9])
def test_the_scale_of_weights_counts(factor):
    """They are numbers of points, which the prior is weighed against; without a prior only their ratios count."""
    X, _ = three_groups()
    params = {"covariance_type": "diag", "algorithm": "em", "max_iter": 5, "tol": 0, **data_sets.start(X, 3, "diag")}
    prior = {**given_prior("diag", 3), "shrinkage": 1.0}
    start = quietly(mixture(**{**params, "max_iter": 0}, prior=prior), X)
    weights = np.full(len(X), factor)
    model = quietly(mixture(**params, prior=prior), X, sample_weight=weights)
    found = mixture_of(start)
    for _ in range(5):
        _, responsibilities = naive.e_step(X, *found, "diag")
        found = naive.map_m_step(X, factor * responsibilities, "diag", reg_covar=1e-6, **prior)
    for name, value in zip(MIXTURE, found, strict=True):
        assert_allclose(getattr(model, name), value, rtol=1e-6, err_msg=name)


@each_type
@pytest.mark.parametrize("kind", ["labels", "shares", "hard"])
def test_labels_and_hard_assignment_against_the_formulas(kind, covariance_type):
    X, groups = three_groups()
    labels = partly_known(groups)
    shares = naive.allowed(labels, 3) if kind == "labels" else np.random.default_rng(5).gamma(0.5, size=(len(X), 3))
    given = {"labels": labels, "shares": shares, "hard": None}[kind]
    prior = given_prior(covariance_type, 3)
    model = textbook(X, covariance_type, prior=prior, assignment="hard" if kind == "hard" else "soft")
    found = mixture_of(quietly(clone(model).set_params(max_iter=0), X))
    bounds = []
    for n_iter in range(1, 5):
        densities = naive.log_densities(X, *found, covariance_type)
        if kind == "hard":
            likelihoods, responsibilities = densities.max(axis=1), np.eye(3)[densities.argmax(axis=1)]
        else:
            with np.errstate(divide="ignore"):
                densities = densities + np.log(shares)
            likelihoods = naive.log_likelihoods(densities)
            responsibilities = np.exp(densities - likelihoods[:, None])
        bounds.append(likelihoods.mean() + naive.log_prior(found[1], found[2], covariance_type, **prior) / len(X))
        found = naive.map_m_step(X, responsibilities, covariance_type, reg_covar=1e-6, **prior)
        quietly(model.set_params(max_iter=n_iter), X, labels=given)
        for name, value in zip(MIXTURE, found, strict=True):
            assert_allclose(getattr(model, name), value, rtol=1e-8, atol=1e-9, err_msg=name)
        assert_allclose(model.lower_bounds_, bounds, rtol=1e-10)


@each_type
def test_all_labels_known_is_one_step(covariance_type):
    X, labels = three_groups()
    prior = given_prior(covariance_type, 3)
    model = mixture(covariance_type=covariance_type, prior=prior, reg_covar=0).fit(X, labels=labels)
    expected = naive.map_m_step(X, np.eye(3)[labels], covariance_type, **prior)
    for name, value in zip(MIXTURE, expected, strict=True):
        assert_allclose(getattr(model, name), value, rtol=1e-10, err_msg=name)
    densities = naive.log_densities(X, *expected, covariance_type)[np.arange(len(X)), labels]
    log_prior = naive.log_prior(expected[1], expected[2], covariance_type, **prior)
    assert_allclose(model.lower_bounds_, [densities.mean() + log_prior / len(X)], rtol=1e-11)
    assert model.converged_


def test_a_class_of_one_point():
    X, labels = three_groups(50)
    labels[:] = 0
    labels[0] = 1
    model = mixture(2, prior="default").fit(X, labels=labels)
    assert np.linalg.eigvalsh(model.covariances_[1]).min() > 0.01


@each_type
def test_stochastic_assignment(covariance_type):
    X, _ = three_groups()
    model = quietly(mixture(covariance_type=covariance_type, assignment="stochastic", prior="default"), X)
    assert model.lower_bound_ == max(model.lower_bounds_)
    assert penalised_bound(X, model) == pytest.approx(model.lower_bound_, abs=0.02)


# -- sources, batches, files ------------------------------------------------------------------------------------------


@grid("how", [".npy", "arrays", "Parquet file"], quick=[".npy"])
@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
def test_every_source_gives_the_same_bits(covariance_type, how, tmp_path):
    X, _ = points()
    params = {"covariance_type": covariance_type, "prior": "default"}
    expected = quietly(mixture(**params), X)
    assert_same_bits(quietly(mixture(**params), held.HELD[how](X, tmp_path)), expected)
    assert_same_bits(quietly(mixture(**{**params, "n_threads": 2}), X), expected)


@grid("covariance_type", COVARIANCE_TYPES, quick=["spherical"])
def test_samples_of_many_points(covariance_type):
    X, _ = points(60_000)
    model = quietly(mixture(covariance_type=covariance_type, prior="default", tol=1e-5), X)
    assert model.converged_
    assert_never_falls(model.lower_bounds_)
    plain = quietly(mixture(covariance_type=covariance_type, tol=1e-5), X)
    assert model.score(X) == pytest.approx(plain.score(X), abs=1e-3)


@each_type
def test_batches(covariance_type):
    X, _ = three_groups(6000, distance=5.0)
    prior = {
        "shrinkage": 5.0,
        "mean": [0.0, 0, 0],
        "degrees_of_freedom": 50.0,
        "scale": of_one(covariance_type, 3, 9.0),
    }
    params = {"covariance_type": covariance_type, "forgetting": 0, "prior": prior, "algorithm": "em"}
    fitted = quietly(mixture(tol=1e-7, max_iter=500, **params), X)
    model = mixture(**params)
    for start in range(0, 6000, 500):
        model.partial_fit(X[start : start + 500])
    order, other = np.argsort(model.means_[:, 0]), np.argsort(fitted.means_[:, 0])
    assert_allclose(model.means_[order], fitted.means_[other], atol=0.1)
    assert penalised_bound(X, model) == pytest.approx(penalised_bound(X, fitted), abs=0.02)
    assert_array_equal(model.prior_["scale"], prior["scale"])
    after = quietly(mixture(**params), X[:3000]).partial_fit(X[3000:])
    assert penalised_bound(X, after) == pytest.approx(penalised_bound(X, fitted), abs=0.02)
    one = mixture(**params, tol=1e-7, max_iter=500).partial_fit(X)
    assert_allclose(one.means_, fitted.means_, rtol=1e-10)


def test_a_warm_start_goes_on():
    X, _ = three_groups()
    whole = quietly(textbook(X, "full", prior="default", max_iter=12), X)
    parts, bounds = textbook(X, "full", prior="default", max_iter=4, warm_start=True), []
    for _ in range(3):
        bounds += quietly(parts, X).lower_bounds_
    assert_allclose(bounds, whole.lower_bounds_, rtol=1e-13)
    quietly(parts.set_params(prior=None), X)
    assert not hasattr(parts, "prior_")


@pytest.mark.parametrize("prior", ["default", "given"])
@each_type
def test_a_file_keeps_the_prior(covariance_type, prior, tmp_path):
    X, _ = three_groups()
    prior = given_prior(covariance_type, 3) if prior == "given" else prior
    model = quietly(mixture(covariance_type=covariance_type, prior=prior, max_iter=4), X)
    model.save(tmp_path / "model")
    for twin in (fastem.load(tmp_path / "model"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same_bits(twin, model)
        assert twin.prior_.keys() == model.prior_.keys()
        for name, value in model.prior_.items():
            assert_array_equal(twin.prior_[name], value)
        if prior != "default":
            assert_array_equal(twin.prior["scale"], prior["scale"])
        going_on = [quietly(copy.deepcopy(each).set_params(warm_start=True), X) for each in (twin, model)]
        assert_same_bits(*going_on)


def test_what_else_there_is_of_a_fit():
    X, _ = three_groups()
    frames = Frames()
    model = quietly(mixture(prior="default", init_params="random").set_callbacks(frames), X)
    assert [frame.lower_bound_ for frame in frames.best] == [-np.inf, *model.lower_bounds_]
    assert model.bic(X) == pytest.approx(-2 * 300 * model.score(X) + model._n_parameters() * np.log(300))
    assert model._n_parameters() == mixture().fit(X)._n_parameters()
    assert str(model.fit_report_)
    there = model.to_sklearn()
    assert_allclose(there.predict_proba(X), model.predict_proba(X), atol=1e-9)
    assert model.sample(5)[0].shape == (5, 3)


@each_type
def test_float32(covariance_type):
    X, _ = three_groups()
    single = quietly(textbook(X, covariance_type, prior="default", max_iter=8), X.astype(np.float32))
    double = quietly(textbook(X, covariance_type, prior="default", max_iter=8), X)
    for name in PARAMETERS:
        value, expected = getattr(single, name), getattr(double, name)
        assert value.dtype == np.float32
        assert_allclose(value, expected, rtol=1e-3, atol=1e-3)


@each_type
def test_data_far_from_the_origin(covariance_type):
    X, _ = three_groups()
    X = np.round(X * 64) / 64
    near, far = (quietly(mixture(covariance_type=covariance_type, prior="default"), X + by) for by in (0.0, 2.0**20))
    assert_allclose(far.lower_bound_, near.lower_bound_, atol=1e-4)
    assert_allclose(far.covariances_, near.covariances_, rtol=1e-2, atol=1e-3)
