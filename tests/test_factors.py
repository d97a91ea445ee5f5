"""Mixtures of factor analyzers, beside naive EM with full matrices and scikit-learn's FactorAnalysis."""

import copy
import json
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.decomposition import FactorAnalysis

import fastem
from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.fitting.degeneracy import DegenerateFitWarning
from fastem.model import reduction
from fastem.model.coordinates import Coordinates
from fastem.model.families import factors as factors_module
from fastem.model.families.base import NotInFamily
from fastem.model.families.factors import Factors, joined
from fastem.model.parameters import Parameters
from fastem.sources import ArraySource

from . import naive
from .fits import assert_same_bits, quietly
from .grids import exhaustive, grid


def mixture_of(n_components, n_features, n_factors, seed=0, noise=1.0, distance=2.0):
    """(weights, means, loadings, noise variances) of a random mixture."""
    rng = np.random.default_rng([seed, n_components, n_features, n_factors])
    weights = rng.dirichlet(np.full(n_components, 5.0))
    means = distance * rng.normal(size=(n_components, n_features))
    loadings = rng.normal(size=(n_components, n_features, n_factors))
    return weights, means, loadings, noise * rng.uniform(0.3, 2, size=(n_components, n_features))


def drawn(n_samples, weights, means, loadings, noise, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(weights), n_samples, p=weights)
    factors = rng.normal(size=(n_samples, loadings.shape[2]))
    X = means[labels] + np.einsum("ndq,nq->nd", loadings[labels], factors)
    return X + rng.normal(size=X.shape) * np.sqrt(noise[labels])


def parameters_of(weights, means, loadings, noise):
    family, covariances = Factors(loadings.shape[2]), joined(loadings, noise)
    return Parameters(family, weights, means, covariances, family.precisions_cholesky(covariances))


def model_of(weights, means, loadings, noise, **params):
    params = {"covariance_type": "factors", "n_threads": 1, **params}
    return GaussianMixture.from_parameters(weights, means, (loadings, noise), **params)


def model(n_components=3, n_factors=2, **params):
    params = {"random_state": 0, "n_threads": 1, **params}
    return GaussianMixture(n_components, covariance_type="factors", n_factors=n_factors, **params)


THREE = mixture_of(3, 7, 2)
X = drawn(900, *THREE)


# -- densities and statistics -----------------------------------------------------------------------------------------


@grid("n_features, n_factors", [(2, 1), (5, 2), (9, 7), (20, 13), (70, 4)], quick=slice(3))
@grid("dtype", [np.float64, np.float32], quick=[np.float64])
def test_densities_are_those_of_the_matrices(n_features, n_factors, dtype):
    given = mixture_of(3, n_features, n_factors)
    points = drawn(300, *given).astype(dtype)
    fitted = model_of(*given)
    log_likelihoods, shares = naive.e_step(points, given[0], given[1], naive.factor_covariances(*given[2:]), "full")
    single = dtype == np.float32
    assert_allclose(fitted.score_samples(points), log_likelihoods, rtol=1e-5 if single else 1e-11, atol=1e-9)
    assert_allclose(fitted.predict_proba(points), shares, atol=2e-4 if single else 1e-10)
    assert_array_equal(fitted.predict(points), shares.argmax(axis=1))


@grid("dtype", [np.float64, np.float32], quick=[np.float64])
@grid("n_factors", [1, 6, 8], quick=[6])
@pytest.mark.parametrize("distance", [0.1, 5.0])  # all points shared, or few of a block in each component
def test_an_m_step_is_the_textbooks(n_factors, distance, dtype):
    given = mixture_of(4, 11, n_factors, distance=distance)
    points = drawn(700, *given).astype(dtype)
    parameters, source = parameters_of(*given), ArraySource(points)
    source.scan()
    found = parameters.family.maximize(source.e_step(parameters), 1e-6)
    _, shares = naive.e_step(points, given[0], given[1], naive.factor_covariances(*given[2:]), "full")
    expected = naive.factor_m_step(points.astype(np.float64), shares, given[2], 1e-6, given[3])
    got = found.weights, found.means, found.covariances[..., :-1], found.covariances[..., -1]
    tolerance = 2e-4 if dtype == np.float32 else 1e-9
    for value, wanted in zip(got, expected, strict=True):
        assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("noise", [1e-6, 1e-10])
def test_strong_loadings_lose_no_digits(noise):
    """|y|**2 - |u|**2 would: the residual's form is exact, as longer numbers tell."""
    weights, means, loadings, psi = mixture_of(1, 40, 3, noise=noise)
    points = drawn(200, weights, means, loadings, psi)
    d = (points - means[0]).astype(np.longdouble)
    scaled = loadings[0].astype(np.longdouble) / np.sqrt(psi[0].astype(np.longdouble))[:, None]
    y = d / np.sqrt(psi[0].astype(np.longdouble))
    inner = np.eye(3, dtype=np.longdouble) + scaled.T @ scaled
    inverse = np.linalg.inv(inner.astype(np.float64)).astype(np.longdouble)
    for _ in range(3):  # Newton's steps
        inverse = inverse @ (2 * np.eye(3, dtype=np.longdouble) - inner @ inverse)
    along = y @ scaled
    squares = (y * y).sum(axis=1) - np.einsum("nq,qr,nr->n", along, inverse, along)
    log_determinant = np.log(psi[0]).sum() + np.linalg.slogdet(inner.astype(np.float64))[1]
    expected = -0.5 * (40 * np.log(2 * np.pi) + log_determinant + squares.astype(np.float64))
    assert_allclose(model_of(weights, means, loadings, psi).score_samples(points), expected, atol=3e-7)


def test_statistics_give_the_parameters_back():
    parameters = parameters_of(*THREE)
    found = parameters.family.maximize(parameters.family.statistics_of(parameters, 123.0, 1e-6), 1e-6)
    for name in ("weights", "means", "covariances"):
        assert_allclose(getattr(found, name), getattr(parameters, name), rtol=1e-12)


# -- EM ---------------------------------------------------------------------------------------------------------------


@grid("n_components", [2, 3, 10], quick=[3])
def test_every_iteration_is_naive_ems(n_components):
    given = mixture_of(n_components, 8, 3)
    points = drawn(1000, *given)
    start = mixture_of(n_components, 8, 3, seed=7)
    start = start[0], given[1] + 0.5, start[2], start[3]
    fitted = quietly(model_of(*start, warm_start=True, algorithm="em", tol=0, max_iter=20, reg_covar=1e-3), points)
    weights, means, loadings, noise = start
    bounds = []
    for _ in range(20):
        covariances = naive.factor_covariances(loadings, noise)
        log_likelihoods, shares = naive.e_step(points, weights, means, covariances, "full")
        bounds.append(log_likelihoods.mean())
        weights, means, loadings, noise = naive.factor_m_step(points, shares, loadings, 1e-3, noise)
    assert_allclose(fitted.lower_bounds_, bounds, rtol=1e-10)
    assert_allclose(fitted.weights_, weights, atol=1e-8)
    assert_allclose(fitted.means_, means, atol=1e-7)
    assert_allclose(fitted.covariances_, naive.factor_covariances(loadings, noise), atol=1e-7)


@grid(
    "points, n_factors",
    [
        (load_wine().data / load_wine().data.std(axis=0), 3),
        (load_digits().data[:, load_digits().data.std(axis=0) > 0.5], 10),
        (load_diabetes().data[:, [0, 1, 2, 3, 6, 7, 8, 9]] * 20, 1),
        (drawn(500, *mixture_of(1, 15, 4)), 4),
    ],
    quick=slice(1),
)
@grid("algorithm", ["auto", "em"], quick=["auto"])
def test_one_component_is_factor_analysis(points, n_factors, algorithm):
    theirs = FactorAnalysis(n_factors, tol=1e-9, max_iter=20_000, svd_method="lapack").fit(points)
    ours = model(1, n_factors, tol=1e-9, max_iter=3000, reg_covar=1e-12, algorithm=algorithm).fit(points)
    assert ours.score(points) >= theirs.score(points) - 1e-6 * abs(theirs.score(points))
    assert_allclose(ours.score(points), theirs.score(points), rtol=1e-6)


def log_likelihood(points, weights, means, loadings, noise):
    covariances = naive.factor_covariances(loadings, noise)
    return naive.log_likelihoods(naive.log_densities(points, weights, means, covariances, "full")).mean()


def test_the_gradient_at_the_end_is_zero():
    fitted = model(tol=1e-12, max_iter=2000).fit(X)
    values = [fitted.weights_, fitted.means_, fitted.loadings_, fitted.noise_variances_]
    for number in (1, 2, 3):
        for place in list(np.ndindex(values[number].shape))[::5]:
            step = 1e-5
            both = []
            for sign in (1, -1):
                changed = [value.copy() for value in values]
                changed[number][place] += sign * step
                both.append(log_likelihood(X, *changed))
            assert abs(both[0] - both[1]) / (2 * step) < 1e-5


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("algorithm", ["auto", "em"])
def test_the_bound_never_falls(algorithm):
    points = load_digits().data[:600] / 16
    fitted = quietly(model(5, 4, algorithm=algorithm, tol=1e-5, max_iter=60, reg_covar=1e-4), points)
    assert (np.diff(fitted.lower_bounds_) >= -1e-10).all()
    assert_allclose(fitted.lower_bounds_[-1], fitted.score(points), atol=1e-2)


def test_auto_is_quicker_and_as_good():
    auto, em = (quietly(model(algorithm=name, tol=1e-6, max_iter=500), X) for name in ("auto", "em"))
    assert auto.score(X) >= em.score(X) - 1e-4
    assert auto.score(X) >= model_of(*THREE).score(X)


def test_coordinates_have_the_gradient_of_the_likelihood():
    parameters = parameters_of(*mixture_of(3, 5, 2, seed=3))
    source = ArraySource(X[:, :5])
    source.scan()
    successor = parameters.family.maximize(source.e_step(parameters), 0.0)
    coordinates = Coordinates(parameters)
    gradient = coordinates.gradient(
        parameters.weights, parameters.means, parameters.precisions_cholesky,
        (successor.weights, successor.means, successor.covariances),
    )  # fmt: skip
    zero = coordinates.encode(parameters.weights, parameters.means, parameters.precisions_cholesky)
    assert_allclose(zero, 0, atol=1e-12)
    for i in range(len(gradient)):
        step = np.zeros(len(gradient))
        step[i] = 1e-5
        high, low = (source.log_likelihood(coordinates.decode(sign * step))[0] for sign in (1, -1))
        assert_allclose(gradient[i], (high - low) / 2e-5 / len(X), atol=2e-6)
    moved = coordinates.decode(0.1 * gradient)
    again = coordinates.encode(moved.weights, moved.means, moved.precisions_cholesky)
    assert_allclose(again[3:], 0.1 * gradient[3:], atol=1e-9)  # all but the weights, which are normalised


# -- points near and far, in every kind of source ---------------------------------------------------------------------


def test_the_origin_does_not_matter():
    near, far = model(tol=1e-6).fit(X), model(tol=1e-6).fit(X + 1e8)
    assert_allclose(far.score(X + 1e8), near.score(X), atol=1e-6)


def test_threads_and_sources_change_no_bit():
    one = model(n_threads=1).fit(X)
    for points, n_threads in ((X, 2), (lambda: iter([X[:333], X[333:]]), 2), (np.asfortranarray(X), 1)):
        assert_same_bits(model(n_threads=n_threads).fit(points), one)


def test_weights_are_repeated_points():
    counts = np.random.default_rng(0).integers(0, 3, len(X))
    start = {"warm_start": True, "algorithm": "em", "tol": 0, "max_iter": 5}
    weighted = quietly(model_of(*THREE, **start), X, sample_weight=counts.astype(float))
    repeated = quietly(model_of(*THREE, **start), np.repeat(X, counts, axis=0))
    assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-12)
    assert_allclose(weighted.covariances_, repeated.covariances_, atol=1e-9)


@exhaustive
def test_float32_points():
    fitted = model().fit(X.astype(np.float32))
    for name in ("means_", "loadings_", "noise_variances_", "covariances_", "precisions_cholesky_"):
        assert getattr(fitted, name).dtype == np.float32
    assert_allclose(fitted.score(X), model().fit(X).score(X), atol=2e-3)


@pytest.mark.parametrize("assignment", ["hard", "stochastic"])
def test_other_assignments(assignment):
    fitted = quietly(model(assignment=assignment, max_iter=200), X)
    assert fitted.score(X) > model_of(*THREE).score(X) - 0.1
    if assignment == "hard":
        assert (np.diff(fitted.lower_bounds_) >= -1e-12).all()


@grid("init_params", ["k-means++", "random", "random_from_data"], quick=["random"])
def test_other_starts(init_params):
    fitted = quietly(model(init_params=init_params, max_iter=300), X)
    assert fitted.score(X) > model_of(*THREE).score(X) - 0.05


def test_a_noise_component():
    noise = np.random.default_rng(0).uniform(-12, 12, size=(60, 7))
    fitted = quietly(model(noise=True, max_iter=200), np.vstack([X, noise]))
    assert 0.03 < fitted.noise_weight_ < 0.1
    assert (np.diff(fitted.lower_bounds_) >= -1e-10).all()
    assert (fitted.predict(noise) == -1).mean() > 0.9


def test_labels():
    labels = model_of(*THREE).predict(X)
    known = model(tol=1e-9, max_iter=1000).fit(X, labels=labels)
    assert_allclose(known.means_, [X[labels == k].mean(axis=0) for k in range(3)], atol=1e-12)
    for k in range(3):
        alone = FactorAnalysis(2, tol=1e-9, max_iter=20_000, svd_method="lapack").fit(X[labels == k])
        assert_allclose(known.covariances_[k], alone.get_covariance(), atol=2e-3)
    some = np.where(np.arange(len(X)) % 3 == 0, labels, -1)
    fitted = quietly(model(), X, labels=some)
    assert (fitted.predict(X) == labels).mean() > 0.97


# -- memory -----------------------------------------------------------------------------------------------------------


def test_no_matrix_of_features_is_made(monkeypatch):
    given = mixture_of(4, 300, 3)
    points = drawn(2000, *given)

    def refuse(*args):
        raise AssertionError("(K, D, D) was made")

    monkeypatch.setattr(factors_module.Factors, "matrices", refuse)
    quietly(model(2, 1), points[:300, :9])  # compiles
    tracemalloc.start()
    fitted = quietly(model(4, 3, reg_covar=1e-3), points)
    fitted.predict(points), fitted.sample(10), fitted.bic(points)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * points.nbytes  # samples and k-means; matrices of 22 components would take 16 MB each
    assert fitted.score(points) > model_of(*given).score(points) - 1


# -- attributes -------------------------------------------------------------------------------------------------------


def test_matrices_are_made_when_asked_for():
    fitted = model().fit(X)
    assert not hasattr(model(), "covariances_")
    assert not {"covariances_", "precisions_", "precisions_cholesky_"} & vars(fitted).keys()
    expected = naive.factor_covariances(fitted.loadings_, fitted.noise_variances_)
    assert_allclose(fitted.covariances_, expected, rtol=1e-12)
    assert_allclose(fitted.precisions_ @ expected, np.tile(np.eye(7), (3, 1, 1)), atol=1e-9)
    assert_allclose(fitted.precisions_cholesky_ @ fitted.precisions_cholesky_.transpose(0, 2, 1), fitted.precisions_)
    for twin in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert_same_bits(twin, fitted)
    full = fitted.to_sklearn()
    assert_allclose(full.score_samples(X), fitted.score_samples(X), rtol=1e-9)
    fitted.set_params(covariance_type="diag").fit(X)
    assert not hasattr(fitted, "loadings_")
    assert fitted.covariances_.shape == (3, 7)


def test_loadings_are_in_canonical_axes():
    fitted = model(3, 2).fit(X)
    scaled = fitted.loadings_ / np.sqrt(fitted.noise_variances_)[..., None]
    products = scaled.transpose(0, 2, 1) @ scaled
    assert_allclose(products[:, 0, 1], 0, atol=1e-9 * products.max())
    assert (products[:, 0, 0] >= products[:, 1, 1]).all()
    largest = np.take_along_axis(fitted.loadings_, np.abs(fitted.loadings_).argmax(axis=1)[:, None], axis=1)
    assert (largest > 0).all()


def test_free_parameters():
    fitted = model_of(*THREE)
    assert fitted._n_parameters() == 2 + 3 * 7 + 3 * (7 * 2 + 7 - 1)
    assert model_of(*mixture_of(1, 4, 3))._n_parameters() == 4 + 10  # as many as a full matrix has, not 13


def test_a_saved_model_goes_on(tmp_path):
    begun = quietly(model(max_iter=6, warm_start=True, algorithm="em"), X)
    begun.save(tmp_path / "m.npz")
    loaded = fastem.load(tmp_path / "m.npz")
    assert_same_bits(loaded, begun)
    both = [quietly(each.set_params(max_iter=40), X) for each in (loaded, begun)]
    assert_same_bits(*both)
    assert both[0].n_iter_ > 6


def test_drawn_points_have_the_covariance():
    points, labels = model_of(*THREE, random_state=0).sample(30_000)
    for k in range(3):
        own = points[labels == k]
        assert_allclose(np.cov(own.T), naive.factor_covariances(*THREE[2:])[k], atol=0.25)
        assert_allclose(own.mean(axis=0), THREE[1][k], atol=0.1)


def test_marginal_and_conditional():
    fitted = model_of(*THREE)
    covariances = naive.factor_covariances(*THREE[2:])
    assert_allclose(fitted.marginal([1, 4]).covariances_, covariances[:, [1, 4]][:, :, [1, 4]])
    given = fitted.conditional({0: 0.3})
    ratio = covariances[:, 1:, 0] / covariances[:, :1, 0]
    assert_allclose(given.means_, THREE[1][:, 1:] + ratio * (0.3 - THREE[1][:, :1]))


def test_a_stream():
    streamed = model()
    for start in range(0, len(X), 60):
        streamed.partial_fit(X[start : start + 60])
    assert streamed.score(X) > model().fit(X).score(X) - 0.1
    assert streamed.loadings_.shape == (3, 7, 2)


# -- merging and splitting --------------------------------------------------------------------------------------------


def test_a_union_keeps_mean_and_variances():
    parameters = parameters_of(*THREE)
    union = reduction.merged(parameters, 1)
    mean = THREE[0] @ THREE[1]
    covariances = naive.factor_covariances(*THREE[2:])
    offsets = THREE[1] - mean
    total = np.tensordot(THREE[0], covariances + offsets[:, :, None] * offsets[:, None], axes=1)
    found = parameters.family.matrices(union.covariances, 1, 7)[0]
    assert_allclose(union.means[0], mean)
    assert_allclose(np.diag(found), np.diag(total))
    assert abs(found - total).sum() < abs(np.diag(np.diag(total)) - total).sum()  # factors explain some of it


def test_halves_have_the_mean_and_covariance_of_the_whole():
    parameters = parameters_of(*(value[:1] if value.ndim > 1 else np.ones(1) for value in THREE))
    halves = reduction.split(parameters, np.random.RandomState(0))
    offset = halves.means[0] - parameters.means[0]
    whole = halves.family.matrices(halves.covariances, 2, 7)[0] + np.outer(offset, offset)
    assert_allclose(halves.means.mean(axis=0), parameters.means[0])
    assert_allclose(whole, naive.factor_covariances(*THREE[2:])[0], atol=1e-9)
    length = offset @ np.linalg.solve(naive.factor_covariances(*THREE[2:])[0], offset)
    assert_allclose(parameters.squared_lengths(offset[None]), length)
    assert 0.1 < length < 0.64


def test_losses_are_those_of_the_determinants():
    parts = parameters_of(*THREE).family.parts(parameters_of(*THREE))
    w, means, covariances = THREE[0], THREE[1], naive.factor_covariances(*THREE[2:])
    i, j = np.array([0, 0, 1]), np.array([1, 2, 2])
    expected = []
    for a, b in zip(i, j, strict=True):
        share, d = w[b] / (w[a] + w[b]), means[b] - means[a]
        union = (1 - share) * covariances[a] + share * covariances[b] + share * (1 - share) * np.outer(d, d)
        logs = [np.linalg.slogdet(each)[1] for each in (union, covariances[a], covariances[b])]
        expected.append((w[a] + w[b]) * logs[0] - w[a] * logs[1] - w[b] * logs[2])
    assert_allclose(parts.losses(i, j), expected)


# -- selection, command line, pictures --------------------------------------------------------------------------------


def test_select_finds_components_and_factors():
    points = drawn(1500, *mixture_of(2, 8, 2, distance=3.0))
    found = fastem.select(points, [1, 2, 3], ["factors", "diag"], n_factors=[1, 2, 3], random_state=0, n_threads=1)
    best, results = found.best_estimator_, found.results_
    assert (best.n_components, best.n_factors) == (2, 2)
    assert sorted(set(results["n_factors"][results["covariance_type"] == "factors"])) == [1, 2, 3]
    assert (results["n_factors"][results["covariance_type"] == "diag"] == 0).all()
    assert_allclose(results["bic"][found.best_index_], best.bic(points))


def test_the_command_line(tmp_path):
    np.savetxt(tmp_path / "points.csv", X, delimiter=",")
    command = [
        sys.executable,
        "-m",
        "fastem",
        "fit",
        str(tmp_path / "points.csv"),
        "-k",
        "3",
        "--covariance",
        "factors",
    ]
    done = subprocess.run([*command, "--factors", "2", "--json", "--threads", "1"], capture_output=True, text=True)
    result = json.loads(done.stdout)
    assert np.shape(result["loadings"]) == (3, 7, 2)
    assert np.shape(result["noise_variances"]) == (3, 7)
    assert "covariances" not in result
    without = subprocess.run(command, capture_output=True, text=True)
    assert without.returncode != 0
    assert "n_factors" in without.stderr


def test_a_picture():
    pytest.importorskip("matplotlib").use("Agg")
    from fastem.plotting import MixtureDisplay

    fitted = model().fit(X)
    display = MixtureDisplay.from_estimator(fitted, X)
    assert display.axes_.shape[0] > 1


# -- what is refused, and what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_factors": None}, "needs n_factors"),
        ({"n_factors": 7}, "n_factors=7 should be less than the number of features, 7"),
        ({"n_factors": 0}, "'n_factors' parameter"),
        ({"precisions_init": np.ones((3, 7, 7))}, "takes no precisions_init"),
        ({"prior": "default"}, "doesn't support priors"),
        ({"missing": "em"}, "doesn't support missing='em'"),
        ({"shrinkage": 0.1}, "doesn't support shrinkage"),
    ],
)
def test_bad_arguments(params, message):
    refused = model(**{"n_factors": 2, **params})
    with pytest.raises(ValueError, match=message):
        refused.fit(X)
    assert not hasattr(refused, "n_features_in_")


def test_other_refusals():
    with pytest.raises(NotInFamily, match="doesn't support priors"):
        BayesianGaussianMixture(n_components=2, covariance_type="factors").fit(X)
    weights, means, loadings, noise = THREE
    for given, message in (
        (loadings, "should be two arrays"),
        ((loadings[:2], noise), "should have the shapes"),
        ((loadings, -noise), "should be positive, but component 0"),
    ):
        with pytest.raises(ValueError, match=message):
            GaussianMixture.from_parameters(weights, means, given, covariance_type="factors")
    fitted = model().fit(X)
    with pytest.raises(ValueError, match="of another shape"):
        fitted.set_params(warm_start=True, n_factors=3).fit(X)
    with pytest.raises(ValueError, match="doesn't fit"):
        fitted.predict(X)
    with pytest.raises(ValueError, match="covariance_type='diag' doesn't fit loadings_"):
        fitted.set_params(covariance_type="diag", n_factors=2).predict(X)
    with pytest.raises(NotInFamily, match="missing"):
        model().fit(X).impute(X)


def test_a_heywood_case_is_reported():
    points = X[:, :5].copy()
    points[:, 4] = points[:, 0] + points[:, 1]  # a function of others: its noise vanishes
    fitted = quietly(model(1, 3, max_iter=500, reg_covar=1e-3), points)
    assert any("Heywood" in note for note in fitted.fit_report_.notes)
    assert fitted.noise_variances_.min() == pytest.approx(1e-3)
    assert fitted.fit_report_.degenerate == []


def test_too_few_points_are_reported():
    with pytest.warns(DegenerateFitWarning, match="too few"):
        fitted = quietly(model(2, 3), X[:7])
    assert np.isfinite(fitted.score(X))


def test_a_constant_feature():
    with pytest.warns(DegenerateFitWarning, match="Feature 7 is constant"):
        fitted = quietly(model(), np.column_stack([X, np.ones(len(X))]))
    assert_allclose(fitted.noise_variances_[:, 7], 1e-6)
    assert_allclose(fitted.loadings_[:, 7], 0, atol=1e-12)
