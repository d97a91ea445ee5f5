"""What holds for any mixture, any points and any order of calls, of which hypothesis makes some."""

import copy
import itertools
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastem
from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource
from fastem.sources.annotations import Annotations

from .data_sets import COVARIANCE_TYPES
from .grids import exhaustive, grid
from .problems import Problem, make_problem

# Hypothesis makes points that are few, or repeat.
pytestmark = pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")

properties = settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
of_each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["full"])


@st.composite
def sizes(draw):
    """Numbers of points, features and components, and a seed: arguments of `make_problem`."""
    return (
        draw(st.integers(30, 400)),
        draw(st.integers(1, 6)),
        draw(st.integers(1, 5)),
        draw(st.integers(0, 1000)),
    )


def problem_of(size, covariance_type):
    """A mixture, and points on a grid: small shifts and sums of them are exact."""
    n_samples, n_features, n_components, seed = size
    problem = make_problem(n_samples, n_features, n_components, covariance_type, seed)
    problem.X = np.round(problem.X * 2**16) / 2**16
    return problem


def predictions(problem):
    """Log-densities, responsibilities and the mean of the former, by the estimator."""
    model = GaussianMixture.from_parameters(*problem.mixture[:3], covariance_type=problem.covariance_type)
    return model.score_samples(problem.X), model.predict_proba(problem.X), model.score(problem.X)


def step(problem, sample_weight=None):
    """One of EM: weights, means, the covariances as matrices, the lower bound."""
    statistics = ArraySource(problem.X).e_step(problem.parameters, Annotations(sample_weight))
    assume(statistics.mass.min() > 0.1)
    family, shape = FAMILIES[problem.covariance_type], problem.means.shape
    new = family.maximize(statistics, 1e-6)
    return new.weights, new.means, np.array(family.matrices(new.covariances, *shape)), statistics.lower_bound


def assert_steps(step, expected, rtol=1e-9):
    for value, reference in zip(step, expected, strict=True):
        assert_allclose(value, reference, rtol=rtol, atol=rtol)


# -- equivariance -------------------------------------------------------------------------------------------------


@of_each_type
@properties
@given(size=sizes(), shift=st.integers(-(10**8), 10**8))
def test_shifted(covariance_type, size, shift):
    problem = problem_of(size, covariance_type)
    means = np.round(problem.means * 2**16) / 2**16  # so that both are the same mixture
    problem = Problem(problem.X, problem.weights, means, problem.covariances, covariance_type)
    moved = Problem(problem.X + shift, problem.weights, means + shift, problem.covariances, covariance_type)
    for value, reference in zip(predictions(moved), predictions(problem), strict=True):
        assert_allclose(value, reference, rtol=1e-7, atol=1e-7)  # the origin that kernels work about is rounded
    weights, means, covariances, bound = step(moved)
    assert_steps((weights, means - shift, covariances, bound), step(problem), rtol=2e-7)


@of_each_type
@properties
@given(size=sizes(), powers=st.lists(st.integers(-400, 400), min_size=6, max_size=6), factor=st.floats(0.5, 2))
def test_scaled(covariance_type, size, powers, factor):
    problem = problem_of(size, covariance_type)
    n_features = problem.X.shape[1]
    scales = factor * 2.0 ** np.array(
        powers[:1] * n_features if covariance_type == "spherical" else powers[:n_features]
    )
    outer = {"diag": scales**2, "spherical": scales[0] ** 2}.get(covariance_type, np.outer(scales, scales))
    scaled = Problem(
        problem.X * scales, problem.weights, problem.means * scales, problem.covariances * outer, covariance_type
    )
    lost = np.log(scales).sum()
    likelihoods, shares, score = predictions(scaled)
    expected = predictions(problem)
    assert_allclose(likelihoods + lost, expected[0], rtol=1e-11, atol=1e-11)
    assert_allclose(shares, expected[1], rtol=1e-9, atol=1e-11)
    assert score + lost == pytest.approx(expected[2], abs=1e-11, rel=1e-11)


@of_each_type
@properties
@given(size=sizes(), powers=st.lists(st.integers(-400, 400), min_size=6, max_size=6))
def test_scaled_by_powers_of_2_to_the_bit(covariance_type, size, powers):
    problem = problem_of(size, covariance_type)
    n_components, n_features = problem.means.shape
    labels = np.arange(len(problem.X)) % n_components
    scales = 2.0 ** np.array(powers[:1] * n_features if covariance_type == "spherical" else powers[:n_features])
    model, scaled = (
        GaussianMixture(n_components, covariance_type=covariance_type, reg_covar=0).fit(X, labels=labels)
        for X in (problem.X, problem.X * scales)
    )
    outer = {"diag": scales**2, "spherical": scales[0] ** 2}.get(covariance_type, np.outer(scales, scales))
    assert_array_equal(scaled.weights_, model.weights_)
    assert_array_equal(scaled.means_, model.means_ * scales)
    assert_array_equal(scaled.covariances_, model.covariances_ * outer)


@properties
@given(size=sizes(), seed=st.integers(0, 1000))
@grid("covariance_type", ["full", "tied", "spherical"], quick=["tied"])
def test_rotated(covariance_type, size, seed):
    problem = problem_of(size, covariance_type)
    n_features = problem.X.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(n_features, n_features)))[0]
    covariances = problem.covariances
    if covariance_type != "spherical":
        covariances = rotation.T @ covariances @ rotation
        covariances = (covariances + np.swapaxes(covariances, -1, -2)) / 2
    rotated = Problem(problem.X @ rotation, problem.weights, problem.means @ rotation, covariances, covariance_type)
    for value, reference in zip(predictions(rotated), predictions(problem), strict=True):
        assert_allclose(value, reference, rtol=1e-8, atol=1e-8)
    weights, means, matrices, bound = step(rotated)
    assert_steps((weights, means @ rotation.T, rotation @ matrices @ rotation.T, bound), step(problem), rtol=1e-8)


@of_each_type
@properties
@given(size=sizes(), seed=st.integers(0, 1000))
def test_in_another_order(covariance_type, size, seed):
    problem = problem_of(size, covariance_type)
    rng = np.random.default_rng(seed)
    points, components = rng.permutation(len(problem.X)), rng.permutation(len(problem.weights))
    features = rng.permutation(problem.X.shape[1])
    matrices = FAMILIES[covariance_type].matrices(problem.covariances, *problem.means.shape)
    covariances = {
        "full": lambda: problem.covariances[components][:, features][:, :, features],
        "tied": lambda: problem.covariances[features][:, features],
        "diag": lambda: problem.covariances[components][:, features],
        "spherical": lambda: problem.covariances[components],
    }[covariance_type]()
    means = problem.means[components][:, features]
    other = Problem(problem.X[points][:, features], problem.weights[components], means, covariances, covariance_type)
    likelihoods, shares, score = predictions(problem)
    found = predictions(other)
    assert_allclose(found[0], likelihoods[points], rtol=1e-9, atol=1e-9)
    assert_allclose(found[1], shares[points][:, components], rtol=1e-7, atol=1e-9)
    assert found[2] == pytest.approx(score, rel=1e-9)
    weights, means, matrices, bound = step(problem)
    matrices = matrices[components][:, features][:, :, features]
    assert_steps(step(other), (weights[components], means[components][:, features], matrices, bound))


# -- weights, merging, cutting ------------------------------------------------------------------------------------


@of_each_type
@properties
@given(size=sizes(), seed=st.integers(0, 1000))
def test_weights_are_repetition(covariance_type, size, seed):
    problem = problem_of(size, covariance_type)
    counts = np.random.default_rng(seed).integers(0, 4, len(problem.X))
    repeated = Problem(np.repeat(problem.X, counts, axis=0), *problem.mixture)
    assert_steps(step(problem, counts.astype(float)), step(repeated))


@of_each_type
@properties
@given(size=sizes(), cuts=st.tuples(st.integers(1, 29), st.integers(1, 29)), factor=st.floats(0.01, 100))
def test_merging_is_associative(covariance_type, size, cuts, factor):
    problem = problem_of(size, covariance_type)
    rng = np.random.default_rng(size[-1])
    a, b, c = (
        (  # each about centres of its own
            ArraySource(X).accumulate(problem.parameters, centres=problem.means + rng.normal(size=problem.means.shape))
            for X in np.split(problem.X, sorted(cuts))
            if len(X)
        )
        if cuts[0] != cuts[1]
        else (ArraySource(problem.X).accumulate(problem.parameters),) * 3
    )
    for one, other in (
        ((a + b) + c, a + (b + c)),
        ((a + b).about(c.centres), (b + a).about(c.centres)),
        ((a + b).scaled(factor), a.scaled(factor) + b.scaled(factor)),
        (a.about(b.centres).about(c.centres), a.about(c.centres)),
    ):
        for name in ("mass", "first", "second", "log_likelihood", "weight"):
            value, reference = getattr(one, name), np.asarray(getattr(other, name))
            assert_allclose(value, reference, rtol=1e-10, atol=1e-11 * (1 + np.abs(reference).max()), err_msg=name)


@of_each_type
@properties
@given(size=sizes(), seed=st.integers(0, 1000), dtype=st.sampled_from(["f8", "f4"]), weighted=st.booleans())
def test_cuts_change_no_bit(covariance_type, size, seed, dtype, weighted):
    problem = problem_of(size, covariance_type)
    X = np.tile(problem.X, (4, 1)).astype(dtype)
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 2, len(X)) if weighted else None
    model = GaussianMixture.from_parameters(
        *problem.mixture[:3], covariance_type=covariance_type, warm_start=True, tol=1e300, max_iter=2
    )
    cuts = np.sort(rng.integers(0, len(X) + 1, size=5))
    blocked, whole = copy.deepcopy(model), model
    blocked.fit(lambda: iter(np.split(X, cuts)), sample_weight=weights)
    whole.fit(X, sample_weight=weights)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        assert_array_equal(getattr(blocked, name), getattr(whole, name))
    assert_array_equal(blocked.predict_proba(lambda: iter(np.split(X, cuts))), whole.predict_proba(X))


# -- fits ---------------------------------------------------------------------------------------------------------


@st.composite
def clouds(draw):
    """Points in some groups, some of them equal, perhaps with a column of few values."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n_samples, n_features = draw(st.integers(12, 150)), draw(st.integers(1, 4))
    groups = draw(st.integers(1, 4))
    spread = 10.0 ** draw(st.integers(-3, 3))
    X = rng.normal(size=(n_samples, n_features)) + spread * rng.integers(groups, size=(n_samples, 1))
    if draw(st.booleans()):
        X[: n_samples // 3] = X[-1]
    if draw(st.booleans()):
        X[:, 0] = np.round(X[:, 0])
    return X * 10.0 ** draw(st.integers(-2, 4))


@of_each_type
@settings(properties, max_examples=25)
@given(
    X=clouds(),
    n_components=st.integers(1, 4),
    algorithm=st.sampled_from(["auto", "em"]),
    init_params=st.sampled_from(["kmeans", "random", "k-means++", "random_from_data"]),
    kind=st.sampled_from(["likelihood", "hard", "prior", "process", "distribution"]),
    weighted=st.booleans(),
)
def test_what_is_maximised_never_falls(covariance_type, X, n_components, algorithm, init_params, kind, weighted):
    params = {
        "n_components": n_components, "covariance_type": covariance_type, "algorithm": algorithm,
        "init_params": init_params, "tol": 1e-7, "max_iter": 60, "random_state": 0, "reg_covar": 1e-9 * X.var(),
    }  # fmt: skip
    if kind in ("process", "distribution"):
        model = BayesianGaussianMixture(weight_concentration_prior_type=f"dirichlet_{kind}", **params)
    else:
        model = GaussianMixture(
            assignment="hard" if kind == "hard" else "soft", prior="default" if kind == "prior" else None, **params
        )
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X)) if weighted else None
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        try:
            model.fit(X, sample_weight=weights)
        except ValueError as error:
            assert "collapsed" in str(error)
            assert kind in ("likelihood", "hard")
            return
    bounds = np.array(model.lower_bounds_)
    if model.algorithm == "auto" or kind != "hard":
        assert (np.diff(bounds) >= -1e-9 * (1 + np.abs(bounds[1:]))).all(), np.diff(bounds).min()
    shares = model.predict_proba(X)
    assert_allclose(shares.sum(axis=1), 1, rtol=1e-14)
    assert_array_equal(model.predict(X), shares.argmax(axis=1))
    assert model.score(X) == pytest.approx(model.score_samples(X).mean(), rel=1e-12, abs=1e-12)


@of_each_type
@properties
@given(size=sizes(), scale=st.integers(-60, 60))
def test_float32_is_near_float64(covariance_type, size, scale):
    problem = problem_of(size, covariance_type)
    scale = 2.0**scale
    X = (problem.X * scale).astype(np.float32)
    mixture = problem.weights, problem.means * scale, problem.covariances * scale**2
    model = GaussianMixture.from_parameters(
        *mixture,
        covariance_type=covariance_type,
        warm_start=True,
        max_iter=1,
        tol=1e300,
        reg_covar=1e-4 * scale**2,
        algorithm="em",
    )
    single, double = model, copy.deepcopy(model)
    condition = np.linalg.cond(FAMILIES[covariance_type].matrices(problem.covariances, *problem.means.shape)).max()
    likelihoods = double.score_samples(X.astype(float))
    rtol = 1e-6 * (1 + np.sqrt(condition))
    assert_allclose(single.score_samples(X), likelihoods, rtol=rtol, atol=rtol)
    size = np.abs(likelihoods + problem.X.shape[1] * np.log(scale)).max() + 50
    assert_allclose(single.predict_proba(X), double.predict_proba(X.astype(float)), atol=rtol * size)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        double.fit(X.astype(float))
        single.fit(X)
    if double.weights_.min() > 0.02:
        reach = 1e-5 * (1 + condition**0.5)
        assert_allclose(single.weights_, double.weights_, rtol=reach)
        assert_allclose(single.means_ / scale, double.means_ / scale, rtol=reach, atol=reach)
        assert_allclose(single.covariances_ / scale**2, double.covariances_ / scale**2, rtol=reach, atol=reach)


# -- any order of calls -------------------------------------------------------------------------------------------


def points(n_samples, n_features, seed, dtype=np.float64):
    """Three groups."""
    rng = np.random.default_rng([seed, n_samples, n_features])
    X = rng.normal(size=(n_samples, n_features)) + 3.0 * rng.integers(3, size=(n_samples, 1))
    return X.astype(dtype)


def state_of(model):
    """Copies of all that a model is: params and attributes; not what a stream or an unfinished fit holds inside."""
    inside = ("_online", "_online_params", "_unfinished")
    return copy.deepcopy({name: value for name, value in vars(model).items() if name not in inside})


def assert_same_state(state, expected):
    assert state.keys() ^ expected.keys() == set()
    for name in state.keys() - {"fit_report_"}:
        assert_array_equal(state[name], expected[name], err_msg=name)
        if isinstance(state[name], np.ndarray):
            assert state[name].dtype == expected[name].dtype


class LifeOfAModel(RuleBasedStateMachine):
    """Calls in any order. What fails raises a documented error and changes nothing; what is fitted is consistent."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model = None

    def teardown(self):
        self.folder.cleanup()

    @initialize(Mixture=st.sampled_from([GaussianMixture, BayesianGaussianMixture]), n_components=st.integers(1, 3))
    def begin(self, Mixture, n_components):
        self.model = Mixture(n_components=n_components, random_state=0, max_iter=20)

    def attempt(self, call, errors=(ValueError,)):
        """The result of a call, or None where it raised one of these errors and changed nothing."""
        before = state_of(self.model)
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            try:
                return call()
            except errors as error:
                assert str(error) and not isinstance(error, np.linalg.LinAlgError)
                assert_same_state(state_of(self.model), before)
                return None

    @property
    def is_fitted(self):
        return hasattr(self.model, "means_")

    @rule(
        method=st.sampled_from(["fit", "partial_fit", "fit_predict"]),
        n_samples=st.sampled_from([1, 2, 5, 60, 350]),
        n_features=st.sampled_from([2, 2, 2, 3]),
        seed=st.integers(0, 3),
        dtype=st.sampled_from(["f8", "f4", "i4"]),
        known=st.sampled_from([None, None, "weights", "labels", "all labels", "shares"]),
        bad=st.sampled_from([None, None, None, "nan", "weights", "labels", "1d"]),
    )
    def learn(self, method, n_samples, n_features, seed, dtype, known, bad):
        X, given = points(n_samples, n_features, seed, dtype), {}
        rng, n_components = np.random.default_rng(seed), self.model.n_components
        if known == "weights":
            given["sample_weight"] = rng.integers(0, 3, n_samples)
        elif known == "labels":
            given["labels"] = rng.integers(-1, n_components, n_samples)
        elif known == "all labels":
            given["labels"] = np.arange(n_samples) % n_components
        elif known == "shares":
            given["labels"] = rng.uniform(0.1, 1, size=(n_samples, n_components))
        if bad == "nan":
            X = X.astype(float)
            X[-1, 0] = np.nan
        elif bad == "weights":
            given["sample_weight"] = np.full(n_samples, -1.0)
        elif bad == "labels":
            given["labels"] = np.full(n_samples, n_components)
        elif bad == "1d":
            X = X[:, 0]
        result = self.attempt(lambda: getattr(self.model, method)(X, **given))
        assert result is None or bad is None
        if method == "fit_predict" and result is not None:
            assert_array_equal(result, self.model.predict(X))

    @rule(
        params=st.sampled_from(
            [
                {"warm_start": True}, {"warm_start": False}, {"n_components": 2}, {"n_components": 4},
                {"covariance_type": "full"}, {"covariance_type": "tied"}, {"covariance_type": "diag"},
                {"covariance_type": "spherical"}, {"algorithm": "em"}, {"algorithm": "auto"}, {"max_iter": 0},
                {"max_iter": 1}, {"max_iter": 30}, {"reg_covar": 0}, {"reg_covar": 1e-3}, {"forgetting": 1.0},
                {"forgetting": 0.0}, {"assignment": "hard"}, {"assignment": "soft"}, {"assignment": "stochastic"},
                {"init_params": "random"}, {"n_init": 2}, {"n_threads": 1}, {"tol": -1.0}, {"tol": 1e-3},
                {"init_params": "kmeans"}, {"max_iter": "many"},
            ]
        )
    )  # fmt: skip
    def change(self, params):
        self.model.set_params(**params)

    @rule(
        n_samples=st.sampled_from([1, 40]), n_features=st.sampled_from([2, 2, 3]), dtype=st.sampled_from(["f8", "f4"])
    )
    def predict(self, n_samples, n_features, dtype):
        X = points(n_samples, n_features, 9, dtype)
        shares = self.attempt(lambda: self.model.predict_proba(X))
        if shares is None:
            for method in ("predict", "score_samples", "score"):
                assert self.attempt(lambda: getattr(self.model, method)(X)) is None  # noqa: B023
            return
        assert shares.shape == (n_samples, len(self.model.means_))
        assert_allclose(shares.sum(axis=1), 1, rtol=4 * np.finfo(dtype).eps)
        assert_array_equal(self.model.predict(X), shares.argmax(axis=1))
        likelihoods = self.model.score_samples(X)
        assert np.isfinite(likelihoods).all()
        assert self.model.score(X) == pytest.approx(likelihoods.mean(), rel=1e-4, abs=1e-4)

    @rule(n_samples=st.sampled_from([0, 1, 50]))
    def sample(self, n_samples):
        drawn = self.attempt(lambda: self.model.sample(n_samples))
        if drawn is not None:
            assert drawn[0].shape == (n_samples, self.model.n_features_in_)
            assert np.isfinite(drawn[0]).all()
            assert len(drawn[1]) == n_samples and set(drawn[1]) <= set(range(len(self.model.means_)))

    @rule(how=st.sampled_from(["file", "pickle", "deepcopy"]))
    def copy(self, how):
        if how == "file":
            path = Path(self.folder.name) / "model"
            if self.attempt(lambda: [self.model.save(path)], (ValueError, TypeError)) is None:
                return
            twin = fastem.load(path)
        else:
            twin = pickle.loads(pickle.dumps(self.model)) if how == "pickle" else copy.deepcopy(self.model)
        assert_same_state(state_of(twin), state_of(self.model))
        if self.is_fitted:
            X = points(30, self.model.n_features_in_, 7)
            expected = self.attempt(lambda: self.model.predict_proba(X))
            if expected is not None:
                assert_array_equal(twin.predict_proba(X), expected)
        self.model = twin

    @rule()
    def clone(self):
        twin = clone(self.model)
        assert twin.get_params() == self.model.get_params()
        assert [name for name in vars(twin) if name.endswith("_") and not name.startswith("_")] == []
        with pytest.raises(NotFittedError):
            twin.predict(points(3, 2, 0))

    @invariant()
    def is_consistent(self):
        if self.model is None or not self.is_fitted:
            return
        model = self.model
        n_components, n_features = model.means_.shape
        assert model.n_features_in_ == n_features
        shapes = {family.shape(n_components, n_features) for family in FAMILIES.values() if family.ignores_factors}
        assert model.covariances_.shape in shapes
        assert model.covariances_.shape == model.precisions_.shape == model.precisions_cholesky_.shape
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            assert np.isfinite(getattr(model, name)).all()
            assert getattr(model, name).dtype == model.means_.dtype
        assert_allclose(model.weights_.sum(), 1, rtol=8 * np.finfo(model.means_.dtype).eps)
        assert (model.weights_ >= 0).all()
        assert model.n_iter_ == len(model.lower_bounds_)
        assert model.n_samples_seen_ >= 1


@grid("n_features", [2, 3], quick=[2])
@pytest.mark.parametrize(("fitted", "changed"), list(itertools.permutations(COVARIANCE_TYPES, 2)))
def test_another_covariance_type_after_the_fit(fitted, changed, n_features):
    X = points(60, n_features, 0)
    model = GaussianMixture(2, covariance_type=fitted, random_state=0).fit(X)  # tied and diag may have the same shape
    expected = model.predict_proba(X)
    model.set_params(covariance_type=changed)
    for call in (model.predict, model.predict_proba, model.score, model.bic, lambda X: model.sample(3)):
        with pytest.raises(ValueError, match=f"covariance_type='{changed}' doesn't fit precisions_cholesky_"):
            call(X)
    with pytest.raises(ValueError, match="covariance_type"):
        model.partial_fit(X)
    assert_array_equal(model.set_params(covariance_type=fitted).predict_proba(X), expected)


TestLifeOfAModel = exhaustive(LifeOfAModel.TestCase)
TestLifeOfAModel.settings = settings(
    derandomize=True, deadline=None, max_examples=60, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
