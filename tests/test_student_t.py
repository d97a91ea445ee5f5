"""StudentTMixture: against ECM in plain NumPy, SciPy's densities, and what a t distribution is."""

import copy
import json
import pickle
import warnings

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import estimator_checks_generator

import fastem
from fastem import GaussianMixture, StudentTMixture
from fastem.model.families import FAMILIES
from fastem.model.families.degrees_of_freedom import MOST, gap, log_constant, solved
from fastem.model.families.student import StudentFamily, StudentParameters
from fastem.plotting import ConditionalDisplay, MahalanobisDisplay, MixtureDisplay, ResponsibilityDisplay
from fastem.sources import ArraySource

from . import data_sets, held, naive
from .fits import quietly
from .grids import exhaustive, grid
from .problems import make_problem, partly_known

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
ARRAYS = "weights_", "means_", "scales_", "degrees_of_freedom_", "precisions_", "precisions_cholesky_"
each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["full", "diag"])
each_algorithm = pytest.mark.parametrize("algorithm", ["em", "auto"])


def student(n_components=3, **params):
    return StudentTMixture(n_components, **{"random_state": 0, "n_threads": 1, **params})


def scattered(n_samples=400, n_features=3, n_components=3, degrees=4.0, seed=0, distance=4.0):
    """(X, the group that each is from): groups with heavy tails."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_components, size=n_samples)
    spread = rng.uniform(0.5, 1.5, size=(n_components, n_features))
    tails = np.sqrt(degrees / rng.chisquare(degrees, size=(n_samples, 1)))
    return distance * groups[:, None] + rng.normal(size=(n_samples, n_features)) * spread[groups] * tails, groups


def known(n_features=3, covariance_type="full", degrees=(0.7, 4.0, np.inf)):
    """(a model of known parameters, points all over it)."""
    problem = make_problem(300, n_features, len(degrees), covariance_type)
    arrays = problem.weights, problem.means, problem.covariances, np.array(degrees)
    return StudentTMixture.from_parameters(*arrays, covariance_type=covariance_type, random_state=0), problem.X


def densities(model, X):
    """Each component's log-density by SciPy, with its weight, (n, K)."""
    scales = naive.matrices(model.scales_, model.covariance_type, *model.means_.shape)
    return np.stack(
        [
            np.log(w) + stats.multivariate_t(mean, scale, df=nu).logpdf(X).reshape(len(X))
            for w, mean, scale, nu in zip(model.weights_, model.means_, scales, model.degrees_of_freedom_, strict=True)
        ],
        axis=1,
    )


def assert_same(one, other):
    assert one.lower_bounds_ == other.lower_bounds_
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def assert_never_falls(bounds):
    bounds = np.array(bounds)
    assert (np.diff(bounds) > -1e-12 * np.maximum(1, np.abs(bounds[1:]))).all()


# -- densities ---------------------------------------------------------------------------------------------------------


def test_degrees_of_freedom_and_constants_are_accurate():
    nu = np.concatenate([np.geomspace(0.0101, 9.9e5, 60), [39.9, 40.0, 40.1]])
    with mpmath.workdps(40):
        exact = np.array([float(mpmath.log(mpmath.mpf(x) / 2) - mpmath.digamma(mpmath.mpf(x) / 2)) for x in nu])
        for n_features in (1, 2, 25):
            half = mpmath.mpf(n_features) / 2
            constants = [
                float(mpmath.loggamma(z + half) - mpmath.loggamma(z) - half * mpmath.log(z))
                for z in (mpmath.mpf(x) / 2 for x in nu)
            ]
            assert_allclose(log_constant(nu, n_features), constants, atol=1e-13)
    assert_allclose(gap(nu), exact, rtol=1e-13)
    assert_allclose(solved(exact), nu, rtol=1e-13)
    assert_array_equal(solved(np.array([0.0, -1.0, 1e9])), [MOST, MOST, 1e-2])
    assert log_constant(np.inf, 3) == 0


@grid("n_features", [1, 2, 3, 5, 10], quick=[1, 5])
@each_type
def test_densities_are_scipys(covariance_type, n_features):
    model, X = known(n_features, covariance_type)
    parts = densities(model, X)
    expected = naive.log_likelihoods(parts)
    assert_allclose(model.score_samples(X), expected, rtol=1e-11, atol=1e-11)
    assert_allclose(model.predict_proba(X), np.exp(parts - expected[:, None]), atol=1e-11)
    assert_array_equal(model.predict(X), parts.argmax(axis=1))
    assert_allclose(model.component_log_densities(X), parts - np.log(model.weights_), rtol=1e-11, atol=1e-11)
    assert model.score(X) == pytest.approx(expected.mean(), rel=1e-12)
    single = model.score_samples(X.astype(np.float32))
    assert_allclose(single, expected, atol=2e-4)
    if n_features == 1:
        deviation = np.sqrt(naive.matrices(model.scales_, covariance_type, 3, 1)[1, 0, 0])
        of_one = stats.t(4.0, model.means_[1, 0], deviation).logpdf(X[:, 0])
        assert_allclose(model.component_log_densities(X)[:, 1], of_one, rtol=1e-11)


def test_infinite_degrees_of_freedom_are_a_gaussian_mixture():
    model, X = known(degrees=(np.inf, np.inf))
    gaussian = GaussianMixture.from_parameters(model.weights_, model.means_, model.scales_)
    assert_allclose(model.score_samples(X), gaussian.score_samples(X), rtol=1e-13)
    start = {"weights_init": model.weights_, "means_init": model.means_, "precisions_init": model.precisions_}
    params = {**start, "algorithm": "em", "tol": 0, "max_iter": 6}
    one = quietly(student(2, degrees_of_freedom=np.inf, **params), X)
    other = quietly(GaussianMixture(2, **params), X)
    assert_allclose(one.scales_, other.covariances_, rtol=1e-12)
    assert_array_equal(one.degrees_of_freedom_, np.inf)


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_components_far_apart_are_seen_from_their_own_means(covariance_type):
    model, X = known(covariance_type=covariance_type, degrees=(3.0, 3.0))
    shift = np.array([[0.0], [1e9]]) * np.ones(3)
    means = np.zeros((2, 3)) + shift
    far = StudentTMixture.from_parameters(
        [0.5, 0.5], means, model.scales_, model.degrees_of_freedom_, covariance_type=covariance_type
    )
    labels = np.arange(len(X)) % 2
    points = np.round(X * 1024) / 1024 + shift[labels]  # exact in float64
    assert_array_equal(far.predict(points), labels)
    own = far.component_log_densities(points)[np.arange(len(X)), labels]
    assert_allclose(far.score_samples(points), own - np.log(2), rtol=1e-9)
    fit = quietly(far.set_params(warm_start=True, max_iter=3, tol=0, n_components=2), points)
    assert_allclose(fit.means_ - means, np.zeros((2, 3)), atol=3)


# -- the iterations ----------------------------------------------------------------------------------------------------


@grid("kind", [None, "shared", "fixed"], quick=slice(None))
@each_type
def test_every_iteration_of_em_is_naive_ecm(covariance_type, kind):
    X, _ = scattered()
    weight = np.random.default_rng(1).uniform(0.2, 3, len(X))
    start = data_sets.start(X, 3, covariance_type)
    precisions = start["precisions_init"]
    scales = np.linalg.inv(precisions) if covariance_type in ("full", "tied") else 1 / precisions
    state = start["weights_init"], start["means_init"], scales, np.full(3, 10.0)
    model = student(covariance_type=covariance_type, algorithm="em", tol=0, max_iter=1, warm_start=True, **start)
    model.degrees_of_freedom = 10.0 if kind == "fixed" else kind
    for _ in range(20):
        *state, bound = naive.student_step(X, *state, covariance_type, kind=kind, sample_weight=weight)
        quietly(model, X, sample_weight=weight)
        found = model.weights_, model.means_, model.scales_, model.degrees_of_freedom_, model.lower_bound_
        for value, expected in zip(found, (*state, bound), strict=True):
            assert_allclose(value, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("n_features", [1, 2])
def test_iterations_in_few_features_and_with_labels(n_features):
    X, groups = scattered(300, n_features, degrees=2.0)
    labels = partly_known(groups)
    start = data_sets.start(X, 3, "full")
    state = start["weights_init"], start["means_init"], np.linalg.inv(start["precisions_init"]), np.full(3, 10.0)
    model = quietly(student(algorithm="em", tol=0, max_iter=12, **start), X, labels=labels)
    for _ in range(12):
        *state, bound = naive.student_step(X, *state, "full", shares=naive.allowed(labels, 3))
    for value, expected in zip((model.weights_, model.means_, model.scales_), state[:3], strict=True):
        assert_allclose(value, expected, rtol=1e-9)
    assert_allclose(model.degrees_of_freedom_, state[3], rtol=1e-9)
    assert model.lower_bound_ == pytest.approx(bound, rel=1e-12)


@grid("degrees", [None, "shared", 4.0], quick=[None])
@each_type
def test_every_kind_of_step_is_monotone_and_ends_at_a_fixed_point(covariance_type, degrees):
    X, _ = scattered(degrees=3.0, distance=2.0)
    model = student(covariance_type=covariance_type, degrees_of_freedom=degrees, tol=1e-9, max_iter=1000, reg_covar=0)
    model.fit(X)
    assert_never_falls(model.lower_bounds_)
    state = model.weights_, model.means_, model.scales_, model.degrees_of_freedom_
    kind = "fixed" if degrees == 4.0 else degrees
    *after, bound = naive.student_step(X, *state, covariance_type, kind=kind, reg_covar=0)
    assert_allclose(after[1], model.means_, atol=2e-3)
    assert bound >= model.lower_bound_ - 1e-12
    assert naive.student_step(X, *after, covariance_type, kind=kind, reg_covar=0)[-1] - bound < 1e-7


@each_type
@pytest.mark.parametrize("is_expanded", [False, True])
@pytest.mark.parametrize("degrees", [None, "shared", np.array(4.0)])
def test_gradients_of_the_coordinates_are_those_of_the_likelihood(covariance_type, degrees, is_expanded):
    problem = make_problem(200, 2, 3, covariance_type)
    family, parameters = StudentFamily(FAMILIES[covariance_type], degrees, is_expanded), problem.parameters
    nu = np.array([3.0, 0.7, 20.0]) if degrees is None else np.full(3, 4.0)
    arrays = parameters.weights, parameters.means, parameters.covariances, parameters.precisions_cholesky
    reference, source = StudentParameters(family, *arrays, nu), ArraySource(problem.X)
    coordinates = reference.coordinates()
    n = len(coordinates.deviations)
    at = coordinates.decode(0.05 * np.random.default_rng(0).normal(size=n) * coordinates.deviations)
    theta, successor = coordinates.encode(*at.theta), family.maximize(source.e_step(at), 0.0)
    gradient = coordinates.gradient(*(each[None] for each in at.theta), [each[None] for each in successor.sums])[0]

    def bound(values):
        return source.e_step(coordinates.decode(values)).lower_bound

    expected = [(bound(theta + step) - bound(theta - step)) / 2e-5 for step in 1e-5 * np.eye(n)]
    assert_allclose(gradient, expected, atol=1e-8)


def test_parameter_expansion_and_longer_steps_need_fewer_iterations():
    X, _ = scattered(2000, degrees=2.0, distance=2.0)
    start = data_sets.start(X, 3, "full")
    textbook = student(algorithm="em", tol=1e-9, max_iter=5000, **start).fit(X)
    quick = student(tol=1e-7, max_iter=5000, **start).fit(X)
    assert quick.lower_bound_ > textbook.lower_bound_ - 1e-6
    assert quick.n_iter_ < textbook.n_iter_ / 3


# -- degrees of freedom ------------------------------------------------------------------------------------------------


@grid("degrees", [3.0, 8.0, 30.0, 1e6], quick=[3.0, 1e6])
@grid("n_features", [1, 4], quick=[4])
def test_degrees_of_freedom_are_recovered(n_features, degrees):
    rng = np.random.default_rng(3)
    shape = rng.normal(size=(n_features, n_features)) + 2 * np.eye(n_features)
    X = (rng.normal(size=(20_000, n_features)) @ shape) * np.sqrt(degrees / rng.chisquare(degrees, size=(20_000, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = student(1, max_iter=500).fit(X)
    # 1 / nu has about the standard error sqrt(2 / (D (D + 2) n)) where it is small.
    error = np.sqrt(2 / (n_features * (n_features + 2) * len(X)))
    assert abs(1 / model.degrees_of_freedom_[0] - 1 / degrees) < 5 * error + 0.05 / degrees
    assert_allclose(model.scales_[0], shape.T @ shape, atol=0.06 * np.linalg.norm(shape.T @ shape))


@each_algorithm
@each_type
def test_tails_no_heavier_than_a_gaussians_end_as_one_quietly(covariance_type, algorithm):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.uniform(-1, 1, size=(300, 2)), rng.uniform(4, 6, size=(300, 2))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = student(2, covariance_type=covariance_type, algorithm=algorithm, max_iter=300).fit(X)
    assert (model.degrees_of_freedom_ > (1e5 if algorithm == "auto" else 15)).all()
    gaussian = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    if algorithm == "auto":
        assert model.n_iter_ < 40  # EM alone would need thousands
        assert model.score(X) == pytest.approx(gaussian.score(X), abs=1e-4)
        found, expected = model.scales_, gaussian.covariances_
        if covariance_type != "tied":
            found, expected = found[model.means_[:, 0].argsort()], expected[gaussian.means_[:, 0].argsort()]
        assert_allclose(found, expected, rtol=1e-2, atol=1e-4)


@grid("share", [0.05, 0.2], quick=slice(None))
@grid("seed", range(4), quick=[0])
def test_shapes_are_recovered_among_outliers(share, seed):
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 0.0], [8.0, 1.0], [2.0, 8.0]])
    shapes = np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.6, -0.3], [-0.3, 1.0]], [[1.5, 0.0], [0.0, 0.4]]])
    groups = rng.choice(3, p=[0.4, 0.35, 0.25], size=3000)
    points = means[groups] + np.einsum("nij,nj->ni", np.linalg.cholesky(shapes)[groups], rng.normal(size=(3000, 2)))
    X = np.vstack([points, rng.uniform([-20, -20], [30, 30], size=(int(share * 3000), 2))])

    def errors(model, matrices):
        nearest = [np.argmin(((model.means_ - mean) ** 2).sum(axis=1)) for mean in means]
        correlations = [m / np.sqrt(np.linalg.det(m)) for m in matrices[nearest]]
        return np.abs(model.means_[nearest] - means).max(), np.abs(
            correlations - shapes / np.sqrt(np.linalg.det(shapes))[:, None, None]
        ).max()

    robust = student(degrees_of_freedom="shared", max_iter=500).fit(X)
    of_mean, of_shape = errors(robust, robust.scales_)
    assert of_mean < 0.15
    assert of_shape < 0.25  # five standard errors of a group of 750 points
    gaussian = GaussianMixture(3, random_state=0, max_iter=500).fit(X)
    assert max(errors(gaussian, gaussian.covariances_)) > 1
    clean = robust.predict(points)
    together = sum(np.bincount(groups[clean == k], minlength=3).max() for k in range(3))
    assert together > 0.99 * 3000


def test_fixed_degrees_of_freedom_stay():
    X, _ = scattered()
    degrees = np.array([2.0, 5.0, np.inf])
    model = student(degrees_of_freedom=degrees, max_iter=200).fit(X)
    assert_array_equal(model.degrees_of_freedom_, degrees)
    assert_never_falls(model.lower_bounds_)
    n_free = 2 + 9 + 18
    n = len(X)
    assert model.bic(X) == pytest.approx(-2 * n * model.score(X) + n_free * np.log(n))
    assert_same(student(degrees_of_freedom=[4.0] * 3).fit(X), student(degrees_of_freedom=4).fit(X))
    free = student(max_iter=200).fit(X)
    assert free.aic(X) == pytest.approx(-2 * n * free.score(X) + 2 * (n_free + 3))
    one = student(degrees_of_freedom="shared", max_iter=200).fit(X)
    assert one.aic(X) == pytest.approx(-2 * n * one.score(X) + 2 * (n_free + 1))
    assert len(set(one.degrees_of_freedom_.tolist())) == 1
    assert one.icl(X) >= one.bic(X)
    assert free.score(X) >= one.score(X) - 1e-6


# -- the estimator -----------------------------------------------------------------------------------------------------


@exhaustive
@pytest.mark.parametrize("algorithm", ["auto", "em"])
def test_check_estimator(algorithm):
    for estimator, check in estimator_checks_generator(StudentTMixture(algorithm=algorithm)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(estimator)
        except Exception as error:
            if type(error).__name__ != "SkipTest":
                raise


@exhaustive
def test_float32_gives_float32():
    X, _ = scattered(2000)
    double = quietly(student(max_iter=30), X)
    single = quietly(student(max_iter=30), X.astype(np.float32))
    for name in ARRAYS:
        assert getattr(single, name).dtype == np.float32, name
    assert single.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, abs=1e-4)
    assert_allclose(single.means_, double.means_, atol=0.02)


def test_same_bits_from_every_source_and_number_of_threads(tmp_path):
    X, _ = scattered(2500)
    expected = quietly(student(), X)
    sources = [held.npy(X, tmp_path), held.memmap(X, tmp_path), held.blocks_of(X), np.asfortranarray(X)]
    for source in sources:
        assert_same(quietly(student(), source), expected)
    assert_same(quietly(student(n_threads=2), X), expected)
    assert_array_equal(quietly(student(), sources[0]).predict(sources[0]), expected.predict(X))


def test_dask_gives_the_same_bits():
    da = pytest.importorskip("dask.array")
    X, _ = scattered(6000)
    lazy = da.from_array(X, chunks=(2000, 3))
    model = quietly(student(algorithm="em", max_iter=5), lazy)
    assert_same(model, quietly(student(algorithm="em", max_iter=5), X))
    assert_array_equal(np.asarray(model.predict(lazy)), model.predict(X))


def test_integer_weights_are_repeated_rows():
    X, _ = scattered(200)
    counts = np.random.default_rng(2).integers(0, 4, len(X))
    start = {**data_sets.start(X, 3, "full"), "tol": 0, "max_iter": 15, "algorithm": "em"}
    one = quietly(student(**start), X, sample_weight=counts)
    other = quietly(student(**start), np.repeat(X, counts, axis=0))
    for name in ARRAYS:
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-7)
    assert one.score(X, sample_weight=counts) == pytest.approx(other.score(np.repeat(X, counts, axis=0)))


def test_labels_of_all_points_give_each_group_its_own_fit():
    X, groups = scattered(900, degrees=3.0)
    model = student(max_iter=500, tol=1e-9).fit(X, labels=groups)
    for k in range(3):
        alone = student(1, max_iter=500, tol=1e-9).fit(X[groups == k])
        assert_allclose(model.means_[k], alone.means_[0], atol=1e-3)
        assert model.degrees_of_freedom_[k] == pytest.approx(alone.degrees_of_freedom_[0], rel=1e-2)
    assert_allclose(model.weights_, np.bincount(groups) / len(X))


@grid("init_params", ["k-means++", "random", "random_from_data"], quick=["random"])
@each_algorithm
def test_other_starts(init_params, algorithm):
    X, _ = scattered(800, distance=8.0)
    model = student(init_params=init_params, algorithm=algorithm, n_init=3, max_iter=300).fit(X)
    assert_never_falls(model.lower_bounds_)
    margin = {"auto": 0.05, "em": 0.4}[algorithm] if init_params != "random" else 2.0
    assert model.score(X) > student(max_iter=300).fit(X).score(X) - margin


@pytest.mark.parametrize("assignment", ["hard", "stochastic"])
def test_other_assignments(assignment):
    X, groups = scattered(800, distance=6.0)
    model = quietly(student(assignment=assignment, max_iter=100), X)
    if assignment == "hard":
        assert_never_falls(model.lower_bounds_)
    together = sum(np.bincount(groups[model.predict(X) == k], minlength=3).max() for k in range(3))
    assert together > 0.97 * len(X)


def test_partial_fit_follows_the_stream():
    X, _ = scattered(12_000, degrees=3.0, distance=6.0)
    quietly(student(degrees_of_freedom=[1.0, 2.0, 3.0]), X[:100]).partial_fit(X[:500])
    stream = student(degrees_of_freedom="shared")
    for batch in np.array_split(X, 24):
        stream.partial_fit(batch)
    whole = student(degrees_of_freedom="shared").fit(X)
    assert stream.score(X) > whole.score(X) - 0.02
    assert stream.degrees_of_freedom_[0] == pytest.approx(whole.degrees_of_freedom_[0], rel=0.25)
    assert_allclose(np.sort(stream.means_[:, 0]), np.sort(whole.means_[:, 0]), atol=0.2)


def test_warm_start_goes_on():
    X, _ = scattered()
    start = data_sets.start(X, 3, "full")
    whole = quietly(student(algorithm="em", tol=0, max_iter=17, **start), X)
    parts = student(algorithm="em", tol=0, max_iter=5, warm_start=True, **start)
    quietly(parts, X)
    quietly(parts.set_params(max_iter=12), X)
    for name in ARRAYS:
        assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-10)
    with pytest.raises(ValueError, match="scales_ of shape"):
        parts.set_params(n_components=2, **dict.fromkeys(start)).fit(X)


@each_type
def test_save_load_pickle_and_clone(tmp_path, covariance_type):
    X, _ = scattered()
    model = quietly(student(covariance_type=covariance_type, max_iter=8), X)
    model.save(tmp_path / "model.npz")
    for other in (fastem.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert type(other) is StudentTMixture
        assert_same(other, model)
        assert_array_equal(other.score_samples(X), model.score_samples(X))
        assert other.get_params() == model.get_params()
    fixed = quietly(student(degrees_of_freedom=[2.0, np.inf, 4.0], max_iter=3), X)
    fixed.save(tmp_path / "fixed.npz")
    assert_array_equal(fastem.load(tmp_path / "fixed.npz").degrees_of_freedom_, [2.0, np.inf, 4.0])
    assert not hasattr(clone(model), "means_")


def test_a_damaged_file_is_refused(tmp_path):
    model, _ = known(degrees=(2.0, 3.0))
    model.degrees_of_freedom_ = np.array([2.0, -1.0])
    with pytest.raises(ValueError, match="degrees_of_freedom_ should be above 0"):
        model.save(tmp_path / "model.npz")
    model.degrees_of_freedom_ = np.array([2.0])
    with pytest.raises(ValueError, match="degrees_of_freedom_"):
        model.save(tmp_path / "model.npz")


def test_samples_have_the_tails():
    model, _ = known(2, degrees=(3.0,))
    X, labels = model.sample(20_000)
    assert_array_equal(labels, 0)
    squares = np.einsum("ni,ij,nj->n", X - model.means_[0], model.precisions_[0], X - model.means_[0])
    assert stats.kstest(squares / 2, stats.f(2, 3.0).cdf).pvalue > 1e-3
    assert_array_equal(model.sample(50)[0], model.sample(50)[0])


@each_type
def test_marginals_and_conditionals(covariance_type):
    model, X = known(3, covariance_type, degrees=(3.0, 8.0))
    pair = model.marginal([2, 0])
    assert type(pair) is StudentTMixture
    assert_allclose(pair.score_samples(X[:, [2, 0]]), naive.log_likelihoods(densities(pair, X[:, [2, 0]])))
    grid = np.linspace(-60, 60, 4001)
    joint = np.array([[X[0, 0], X[0, 1], value] for value in grid])
    other = model.marginal([0, 1])
    given = model.conditional([X[0, 0], X[0, 1], np.nan])
    assert_allclose(given.score_samples(grid[:, None]), model.score_samples(joint) - other.score_samples(X[:1, :2]))
    assert_allclose(given.degrees_of_freedom_, [5.0, 10.0])


def test_select_fits_it():
    X, _ = scattered(600, degrees=2.5, distance=10.0)
    estimator = student(degrees_of_freedom="shared", algorithm="em")
    selection = fastem.select(X, range(2, 5), ["full", "spherical"], estimator=estimator)
    assert type(selection.best_estimator_) is StudentTMixture
    assert selection.best_estimator_.n_components == 3
    assert selection.best_estimator_.degrees_of_freedom == "shared"
    assert_allclose(selection.best_estimator_.bic(X), selection.results_["bic"][selection.best_index_])


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_a_collapsed_scale_is_known():
    X, _ = scattered(300, n_features=2, distance=8.0)
    X = np.vstack([X, np.tile([30.0, 30.0], (40, 1))])
    model = student(4, algorithm="em", tol=1e-2)
    with pytest.warns(fastem.DegenerateFitWarning, match="below reg_covar"):
        quietly(model, X)
    assert_array_equal(model.fit_report_.degenerate, [np.argmax(model.means_[:, 0])])
    selection = fastem.select(X, [3, 4], "full", estimator=student(algorithm="em"))
    assert "collapsed" in selection.results_["status"]


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"degrees_of_freedom": -1.0}, "degrees_of_freedom"),
        ({"degrees_of_freedom": "each"}, "degrees_of_freedom"),
        ({"degrees_of_freedom": [1.0, 2.0]}, r"'degrees_of_freedom' should have the shape of \(3,\)"),
        ({"degrees_of_freedom": [1.0, 2.0, 0.0]}, "degrees_of_freedom should be above 0"),
        ({"degrees_of_freedom": np.nan}, "degrees_of_freedom"),
        ({"covariance_type": "VVE"}, "covariance_type"),
        ({"means_init": np.zeros((2, 3))}, "means"),
    ],
)
def test_bad_arguments_are_named(params, message):
    X, _ = scattered(50)
    model = student()
    before = dict(vars(model.set_params(**params)))
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    assert vars(model).keys() == before.keys()


def test_what_it_does_not_do_is_said_in_one_sentence():
    X, _ = scattered(50)
    model = quietly(student(), X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 5, np.nan, X))
    with pytest.raises(NotImplementedError, match="missing='em'"):
        model.impute(X)
    with pytest.raises(TypeError, match="no mixture of t"):
        model.to_sklearn()
    with pytest.raises(TypeError, match="convert it to a GaussianMixture"):
        StudentTMixture.from_sklearn(None)
    with pytest.raises(ValueError, match="above 0"):
        StudentTMixture.from_parameters([1.0], [[0.0]], [[[1.0]]], 0.0)


# -- pictures, the command line ----------------------------------------------------------------------------------------


@exhaustive
def test_ellipses_hold_what_they_state():
    pytest.importorskip("matplotlib")
    model, X = known(2, degrees=(2.0, 5.0))
    display = MixtureDisplay.from_estimator(model, X)
    outlines = display.panels_[0].ellipses if hasattr(display, "panels_") else display.panel_.ellipses
    rng = np.random.default_rng(0)
    for k, ellipses in enumerate(outlines):
        tails = np.sqrt(model.degrees_of_freedom_[k] / rng.chisquare(model.degrees_of_freedom_[k], size=(40_000, 1)))
        points = model.means_[k] + tails * rng.multivariate_normal(np.zeros(2), model.scales_[k], 40_000)
        for sigma, ellipse in zip((1, 2, 3), ellipses, strict=True):
            inside = ellipse.get_path().contains_points(points).mean()
            assert inside == pytest.approx(-np.expm1(-(sigma**2) / 2), abs=0.01)
    assert "coverages: 39, 86, 99 %" in [text.get_text() for text in display.legend_.get_texts()]
    levels = display.mixture.levels()
    draws, _ = model.set_params(random_state=1).sample(40_000)
    assert_allclose(np.mean(model.score_samples(draws) > levels[:, None], axis=1), [0.5, 0.9, 0.99], atol=0.01)


def test_other_pictures():
    pytest.importorskip("matplotlib")
    X, _ = scattered(2000, n_features=2, degrees=3.0, distance=12.0)
    model = student().fit(X)
    display = MahalanobisDisplay.from_estimator(model, X)
    gaussian = GaussianMixture(3, random_state=0).fit(X)
    wrong = MahalanobisDisplay.from_estimator(gaussian, X)
    assert max(d.max() for d in display.distances) < 30 < max(d.max() for d in wrong.distances)
    ResponsibilityDisplay.from_estimator(model, X)
    mixture = ConditionalDisplay.from_estimator(model, X).mixture
    mean, deviation = mixture.regression(np.array([0.5]))
    one = model.conditional([0.5, np.nan])
    parts = one.scales_[:, 0, 0] * one.degrees_of_freedom_ / (one.degrees_of_freedom_ - 2)
    expected = one.weights_ @ one.means_[:, 0]
    assert mean[0] == pytest.approx(expected)
    second = one.weights_ @ (parts + one.means_[:, 0] ** 2)
    assert deviation[0] == pytest.approx(np.sqrt(second - expected**2))


def test_the_command_line(tmp_path, capsys):
    from fastem import cli

    def run(line):
        assert cli.main(line.split()) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    path = tmp_path / "model.npz"
    found = json.loads(run(f"fit faithful -k 2 --tails student-t --df shared --save {path} --json"))
    assert len(found["scales"]) == len(found["degrees_of_freedom"]) == 2
    assert "Student-t, full scale, degrees of freedom" in run(f"info {path}")
    assert float(json.loads(run(f"score {path} faithful --json"))["log_likelihood"]) == pytest.approx(
        found["log_likelihood"]
    )
    assert run(f"predict {path} faithful").count("\n") == 273
    assert "full" in run("select faithful -k 2 --tails student-t --covariance full")
    for line, message in (
        ("fit faithful -k 2 --df 3", "--df is for --tails student-t"),
        ("fit faithful -k 2 --tails student-t --missing em", "--missing em is for Gaussian mixtures"),
        ("fit faithful -k 2 --tails student-t --prior default", "--prior is for Gaussian mixtures"),
        ("select faithful --tails student-t --covariance all", "takes --covariance full"),
    ):
        assert cli.main(line.split()) != 0
        assert message in capsys.readouterr().err


@exhaustive
@pytest.mark.parametrize("seed", range(12))
@each_type
def test_fits_of_all_sorts_are_monotone(covariance_type, seed):
    rng = np.random.default_rng(seed)
    n_features, n_components = rng.integers(1, 6), rng.integers(1, 6)
    X, _ = scattered(int(rng.integers(60, 800)), n_features, n_components, rng.uniform(0.8, 20), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for degrees in (None, "shared", 2.5):
            model = student(n_components, covariance_type=covariance_type, degrees_of_freedom=degrees).fit(X)
            assert_never_falls(model.lower_bounds_)
            assert np.isfinite(model.score_samples(X)).all()


# -- names, order, messages -------------------------------------------------------------------------------------------


def test_parts_of_a_mixture_keep_the_names_of_components():
    X, groups = scattered(300)
    model = quietly(student(), X, labels=np.array(["c", "b", "a"])[groups])
    for part in model.marginal([0, 2]), model.conditional({1: X[0, 1]}):
        assert part.classes_.tolist() == ["a", "b", "c"]
        assert set(part.predict(X[:, [0, 2]])) <= {"a", "b", "c"}


@pytest.mark.parametrize("goes_on", ["fit", "partial_fit"])
def test_fixed_degrees_of_freedom_move_with_their_components(goes_on):
    X, _ = scattered(300)
    model = quietly(student(degrees_of_freedom=[3.0, 5.0, 9.0]), X)
    order = [2, 0, 1]
    turned = model.sorted(by=order)
    assert_array_equal(model.degrees_of_freedom, [3.0, 5.0, 9.0])
    getattr(turned.set_params(warm_start=True), goes_on)(X)
    assert_array_equal(turned.degrees_of_freedom_, [9.0, 3.0, 5.0])


def test_degrees_of_freedom_fixed_between_batches_hold_from_then_on():
    X, _ = scattered(1200)
    model = student().partial_fit(X[:900])
    model.set_params(degrees_of_freedom=5.0).partial_fit(X[900:])
    assert_array_equal(model.degrees_of_freedom_, 5.0)


@pytest.mark.parametrize("degrees", ["shared", ["a", "b"]])
def test_degrees_of_freedom_that_are_no_numbers(degrees):
    with pytest.raises(ValueError, match="degrees_of_freedom should be numbers above 0"):
        StudentTMixture.from_parameters([0.5, 0.5], [[0.0], [5.0]], [[[1.0]], [[1.0]]], degrees)
