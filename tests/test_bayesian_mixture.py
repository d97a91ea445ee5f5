"""BayesianGaussianMixture: against scikit-learn's, against plain NumPy, and what scikit-learn's lacks."""

import copy
import math
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import estimator_checks_generator
from threadpoolctl import threadpool_limits

import fastem
from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.callbacks import Frames
from fastem.datasets import load_galaxies, load_penguins, make_mixture
from fastem.fitting import em, posterior_moves, posterior_search
from fastem.fitting.acceleration import Extrapolation
from fastem.fitting.posterior_merging import Merging, in_order, union
from fastem.model.families import FAMILIES
from fastem.model.priors.penalized import ConjugatePrior, PenalizedFamily
from fastem.model.priors.variational import Posterior, Priors, VariationalFamily
from fastem.sources import ArraySource, SourceError
from fastem.sources.annotations import Annotations

from . import data_sets, held, naive
from .fits import points, quietly
from .grids import exhaustive, grid
from .problems import make_problem, partly_known, three_groups
from .test_faults import Faulty, nan_in_block_2

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
PRIOR_TYPES = ("dirichlet_process", "dirichlet_distribution")
MIXTURE = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
POSTERIOR = (*MIXTURE, "weight_concentration_", "mean_precision_", "degrees_of_freedom_")
PRIORS = (
    "weight_concentration_prior_", "mean_precision_prior_", "mean_prior_", "degrees_of_freedom_prior_",
    "covariance_prior_",
)  # fmt: skip

each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["full", "diag"])
each_prior_type = pytest.mark.parametrize("prior_type", PRIOR_TYPES)
prior_types = grid("prior_type", PRIOR_TYPES, quick=["dirichlet_process"])


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_scikit_learn():
    """For so few points another only waits."""
    with threadpool_limits(1):
        yield


def bayesian(n_components=3, **params):
    """One thread: for so few points another only waits."""
    return BayesianGaussianMixture(**{"n_components": n_components, "random_state": 0, "n_threads": 1, **params})


def textbook(n_components=3, **params):
    return bayesian(n_components, **{"algorithm": "em", "init_params": "random", **params})


def of_one(covariance_type, n_features, size=1.0):
    """A covariance in the shape of one component's."""
    matrix = size * (np.eye(n_features) + 0.3)
    return {"full": matrix, "tied": matrix, "diag": np.diagonal(matrix).copy(), "spherical": size}[covariance_type]


def given_priors(which, covariance_type, n_features):
    """Arguments of the constructor."""
    concentration = {"weight_concentration_prior": 3.5}
    mean = {"mean_prior": np.linspace(-1, 2, n_features), "mean_precision_prior": 0.2}
    covariance = {
        "covariance_prior": of_one(covariance_type, n_features, 0.7),
        "degrees_of_freedom_prior": n_features + 1.5,
    }
    return {
        "none": {},
        "concentration": concentration,
        "mean": mean,
        "covariance": covariance,
        "all": {**concentration, **mean, **covariance},
    }[which]


def assert_same(ours, theirs, names=POSTERIOR, rtol=1e-6):
    """To rtol of each attribute's largest entry."""
    for name in names:
        value, expected = np.asarray(getattr(ours, name)), np.asarray(getattr(theirs, name))
        assert value.shape == expected.shape, name
        assert_allclose(value, expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name)


def fit_both(X, n_components, **params):
    params = {"n_components": n_components, "random_state": 0, **params}
    theirs = sklearn.mixture.BayesianGaussianMixture(**params)
    return quietly(BayesianGaussianMixture(algorithm="em", n_threads=1, **params), X), quietly(theirs, X)


def assert_never_falls(bounds):
    bounds = np.array(bounds)
    assert np.all(np.diff(bounds) >= -1e-12 * np.abs(bounds[1:]))


# -- scikit-learn's -------------------------------------------------------------------------------------------------


def scikit_learns_checks():
    for estimator in (
        BayesianGaussianMixture(),
        BayesianGaussianMixture(covariance_type="tied", weight_concentration_prior_type="dirichlet_distribution"),
    ):
        for instance, check in estimator_checks_generator(estimator):
            yield pytest.param(instance, check, id=f"{estimator.covariance_type}-{check.func.__name__}")


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize(("estimator", "check"), list(scikit_learns_checks()))
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_the_constructor_is_scikit_learns():
    ours, theirs = BayesianGaussianMixture(), sklearn.mixture.BayesianGaussianMixture()
    params = theirs.get_params()
    assert {name: ours.get_params()[name] for name in params} == params
    assert set(ours.get_params()) - set(params) == {"assignment", "algorithm", "n_threads", "forgetting"}
    with pytest.raises(TypeError):
        BayesianGaussianMixture(3)
    assert [name for name in dir(theirs) if not name.startswith("_") and not hasattr(ours, name)] == []
    assert not hasattr(ours, "bic")
    assert not hasattr(ours, "aic")


@grid("which", ["none", "concentration", "mean", "covariance", "all"], quick=["all"])
@each_prior_type
@each_type
def test_same_iterates_from_the_same_start(covariance_type, prior_type, which):
    X, _ = data_sets.load("iris")
    params = {
        "covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "init_params": "random",
        "tol": 0, **given_priors(which, covariance_type, X.shape[1]),
    }  # fmt: skip
    for n_iter in (0, 1, 2, 3, 10):
        ours, theirs = fit_both(X, 4, max_iter=n_iter, **params)
        assert_same(ours, theirs)
        assert_same(ours, theirs, PRIORS, rtol=1e-10)
        assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-8)
        assert (ours.n_iter_, ours.converged_) == (n_iter, False)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@grid("name", ["faithful", "wine", "cancer"], quick=["wine"])
@prior_types
@each_type
def test_same_fit_with_more_components_than_needed(covariance_type, prior_type, name):
    X, _ = data_sets.load(name)
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    ours, theirs = fit_both(X, 6, init_params="random", max_iter=60, tol=1e-2, **params)
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-8)
    assert ours.lower_bound_ == ours.lower_bounds_[-1]
    assert isinstance(ours.lower_bounds_, list)
    assert_same(ours, theirs)
    assert isinstance(ours.weight_concentration_, tuple) == isinstance(theirs.weight_concentration_, tuple)
    assert np.ndim(ours.degrees_of_freedom_) == np.ndim(theirs.degrees_of_freedom_)
    assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-6, atol=1e-6)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5, atol=1e-6)
    assert type(ours.score(X)) is float
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-7)
    sure = np.diff(np.sort(theirs.predict_proba(X), axis=1)[:, -2:])[:, 0] > 1e-5
    assert_array_equal(ours.predict(X)[sure], theirs.predict(X)[sure])
    (drawn, labels), (expected, expected_labels) = ours.sample(40), theirs.sample(40)
    assert_array_equal(labels, expected_labels)
    assert_allclose(drawn, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_array_equal(ours.fit_predict(X), ours.predict(X))


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data"])
@each_prior_type
def test_same_start_from_the_same_seed(prior_type, init_params):
    X, n_components = data_sets.load("faithful")
    params = {"init_params": init_params, "weight_concentration_prior_type": prior_type, "tol": 1e-4}
    ours, theirs = fit_both(X, n_components, max_iter=200, random_state=7, **params)
    # Seeds come with covariances of reg_covar in scikit-learn, too; the first bounds see what rounding makes of them.
    first = 0 if init_params == "kmeans" else 1
    assert ours.n_iter_ == theirs.n_iter_
    assert_allclose(ours.lower_bounds_[first:], theirs.lower_bounds_[first:], rtol=1e-8)
    assert_same(ours, theirs)


@each_type
@each_prior_type
def test_one_feature_and_one_component(prior_type, covariance_type):
    X, _ = data_sets.load("iris")
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    for data, n_components in ((X[:, :1], 3), (X, 1), (X[:, 2:3], 1)):
        ours, theirs = fit_both(data, n_components, init_params="random", max_iter=15, **params)
        assert ours.n_iter_ == theirs.n_iter_
        assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-8)
        assert_same(ours, theirs)


def test_restarts_keep_scikit_learns_best():
    X, n_components = data_sets.load("iris")
    ours, theirs = fit_both(X, n_components, init_params="random", n_init=5, max_iter=30)
    assert_allclose(ours.lower_bound_, theirs.lower_bound_, rtol=1e-8)
    assert ours.n_iter_ == theirs.n_iter_
    assert_same(ours, theirs)


@each_type
@each_prior_type
def test_data_far_from_the_origin(prior_type, covariance_type):
    """scikit-learn's own formulas lose all digits there, but for 'full': the data nearby are the reference."""
    X, _ = data_sets.load("iris")
    X = np.round(X * 64) / 64  # that sums with 2**20 round to nothing
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "max_iter": 20}
    near, far = quietly(textbook(**params), X), quietly(textbook(**params), X + 2.0**20)
    # A random start magnifies what the means are rounded by, some 1e-10.
    assert_allclose(far.lower_bounds_, near.lower_bounds_, rtol=0, atol=1e-4)
    assert_allclose(far.evidence_lower_bound_, near.evidence_lower_bound_, rtol=0, atol=1e-4)
    assert_allclose(far.means_ - 2.0**20, near.means_, rtol=1e-6)
    assert_same(far, near, [name for name in POSTERIOR if name != "means_"], rtol=1e-6)
    if covariance_type == "full":
        ours, theirs = fit_both(X + 1e6, 3, init_params="random", max_iter=10)
        assert_allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=1e-8)
        assert_same(ours, theirs)


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
@each_prior_type
def test_float32(prior_type, covariance_type):
    X, _ = data_sets.load("iris")
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "max_iter": 8}
    single, double = quietly(textbook(**params), X.astype(np.float32)), quietly(textbook(**params), X)
    for name in MIXTURE:
        assert getattr(single, name).dtype == np.float32, name
    assert_same(single, double, rtol=1e-4)
    assert_allclose(single.lower_bounds_, double.lower_bounds_, atol=0.01)
    assert single.evidence_lower_bound_ == pytest.approx(double.evidence_lower_bound_, abs=0.01)
    assert single.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert_allclose(single.score_samples(X), double.score_samples(X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("verbose", [1, 2])
def test_verbose_prints_what_scikit_learn_prints(verbose, capsys):
    import re

    X, n_components = data_sets.load("faithful")
    printed = []
    for model in (textbook(n_components), sklearn.mixture.BayesianGaussianMixture(n_components=n_components)):
        params = {"init_params": "random", "random_state": 0, "n_init": 2, "verbose": verbose, "verbose_interval": 2}
        quietly(model.set_params(**params), X)
        printed.append(re.sub(r"lapse [0-9.]+s.*", "lapse", capsys.readouterr().out))
    assert printed[0] == printed[1]


@pytest.mark.parametrize(
    ("covariance_type", "params"),
    [
        *((each, {"mean_prior": [0.0, 0]}) for each in COVARIANCE_TYPES),
        ("full", {"mean_prior": np.zeros((1, 4))}),
        ("full", {"covariance_prior": np.eye(3)}),
        ("tied", {"covariance_prior": np.ones(4)}),
        ("diag", {"covariance_prior": np.eye(4)}),
        ("full", {"covariance_prior": -np.eye(4)}),
        ("full", {"covariance_prior": np.eye(4) + np.triu(np.ones((4, 4)), 1)}),
        ("tied", {"covariance_prior": np.ones((4, 4))}),
        ("diag", {"covariance_prior": [1, 1, 1, -1.0]}),
        ("diag", {"covariance_prior": [1, 1, 1, 0.0]}),
        ("full", {"degrees_of_freedom_prior": 3}),
        ("spherical", {"degrees_of_freedom_prior": 2.99}),
        ("spherical", {"covariance_prior": -1.0}),
        ("full", {"mean_precision_prior": 0}),
        ("full", {"weight_concentration_prior": -1}),
        ("full", {"weight_concentration_prior": "a"}),
        ("full", {"weight_concentration_prior_type": "sticks"}),
        ("full", {"mean_prior": 3}),
        ("full", {"degrees_of_freedom_prior": -1.0}),
        ("full", {"tol": -1}),
        ("full", {"covariance_prior": "wide"}),
    ],
)
def test_the_same_errors(covariance_type, params):
    X, _ = data_sets.load("iris")
    params = {"n_components": 2, "covariance_type": covariance_type, **params}
    with pytest.raises(ValueError) as theirs:
        sklearn.mixture.BayesianGaussianMixture(**params).fit(X)
    model = BayesianGaussianMixture(**params)
    with pytest.raises(ValueError) as ours:
        model.fit(X)
    assert type(ours.value) is type(theirs.value)
    assert str(ours.value).startswith(str(theirs.value).rstrip("."))
    assert not hasattr(model, "means_")
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(
    ("covariance_type", "params", "match"),
    [
        ("full", {"mean_prior": [0, 0, 0, np.nan]}, "NaN"),
        ("full", {"covariance_prior": np.full((4, 4), np.inf)}, "infinity"),
        ("full", {"covariance_prior": np.zeros((2, 4, 4))}, "full covariance_prior"),
        ("full", {"covariance_prior": 2.0}, "full covariance_prior"),
        ("spherical", {"covariance_prior": np.ones(4)}, "spherical covariance_prior"),
        ("spherical", {"covariance_prior": np.nan}, "nan"),
    ],
)
def test_what_else_is_wrong_with_priors(covariance_type, params, match):
    X, _ = data_sets.load("iris")
    with pytest.raises(ValueError, match=match):
        bayesian(covariance_type=covariance_type, **params).fit(X)


def test_errors_leave_a_fitted_model_as_it_was():
    X, _ = data_sets.load("iris")
    model = bayesian().fit(X)
    before = copy.deepcopy(model.__dict__)
    with pytest.raises(ValueError, match="means"):
        model.set_params(mean_prior=[0.0]).fit(X[:, :3])
    model.set_params(mean_prior=None)
    assert model.__dict__.keys() == before.keys()
    assert_same(model, bayesian().fit(X), rtol=0)
    assert model.n_features_in_ == 4


def test_not_fitted_and_too_few_points():
    with pytest.raises(NotFittedError, match="This BayesianGaussianMixture instance is not fitted yet"):
        bayesian().predict([[0.0]])
    with pytest.raises(ValueError, match="Expected n_samples >= n_components"):
        bayesian(5).fit(np.eye(3))


def test_no_iterations():
    X, _ = data_sets.load("iris")
    model = bayesian(max_iter=0).fit(X)
    assert (model.n_iter_, model.converged_, model.lower_bounds_, model.lower_bound_) == (0, False, [], -np.inf)
    assert np.isnan(model.evidence_lower_bound_)
    assert model.predict(X).shape == (150,)


def test_one_warning():
    X, _ = data_sets.load("iris")
    with pytest.warns(ConvergenceWarning, match="did not converge") as caught:
        bayesian(max_iter=1, n_init=3).fit(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__


# -- the bound of the evidence ----------------------------------------------------------------------------------------


def priors_of(model):
    return {
        "is_process": model.weight_concentration_prior_type == "dirichlet_process",
        "weight_concentration": model.weight_concentration_prior_,
        "mean_precision": model.mean_precision_prior_,
        "mean": model.mean_prior_,
        "degrees_of_freedom": model.degrees_of_freedom_prior_,
        "covariance": model.covariance_prior_,
    }


def posterior_of(model):
    return {
        "concentration": model.weight_concentration_,
        "mean_precision": model.mean_precision_,
        "means": model.means_,
        "degrees": np.broadcast_to(model.degrees_of_freedom_, len(model.means_)),
        "covariances": model.covariances_,
    }


@grid("which", ["none", "all"], quick=["all"])
@each_prior_type
@each_type
def test_every_step_and_its_evidence_against_bishops_formulas(covariance_type, prior_type, which):
    X, _ = three_groups()
    params = {
        "covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "reg_covar": 1e-3, "tol": 0,
        **given_priors(which, covariance_type, X.shape[1]),
    }  # fmt: skip
    model = textbook(4, max_iter=0, **params).fit(X)
    posterior, priors = posterior_of(model), priors_of(model)
    for n_iter in range(1, 6):
        likelihoods, responsibilities = naive.variational_e_step(X, posterior, covariance_type)
        assert_allclose(model.score_samples(X), likelihoods, rtol=1e-9)
        assert_allclose(model.predict_proba(X), responsibilities, rtol=1e-7, atol=1e-12)
        quietly(model.set_params(max_iter=n_iter), X)
        posterior = naive.variational_posterior(X, responsibilities, covariance_type, priors, reg_covar=1e-3)
        for name, value in posterior_of(model).items():
            assert_allclose(value, posterior[name], rtol=1e-9, atol=1e-9, err_msg=name)
        bound = naive.evidence_bound(X, responsibilities, posterior, priors, covariance_type)
        assert model.evidence_lower_bound_ == pytest.approx(bound, rel=1e-10)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("n_features", [1, 3])
def test_the_evidence_of_one_gaussian_is_exact(n_features, covariance_type):
    X = three_groups(40)[0][:, :n_features]
    params = given_priors("all", covariance_type, n_features)
    model = textbook(
        1, covariance_type=covariance_type, weight_concentration_prior_type="dirichlet_distribution", reg_covar=0,
        **params,
    )  # fmt: skip
    quietly(model, X)
    exact = naive.log_evidence_of_one(X, covariance_type, priors_of(model))
    assert model.evidence_lower_bound_ == pytest.approx(exact, rel=1e-11)


@each_prior_type
@grid("covariance_type", COVARIANCE_TYPES, quick=["tied"])
def test_the_bound_is_below_the_evidence_and_not_far(covariance_type, prior_type):
    """Of eight points: the evidence is a sum over all 256 assignments."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(8, 2))
    X[4:] += 3
    params = {
        "covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "tol": 0, "reg_covar": 0,
        "weight_concentration_prior": 0.6, "mean_precision_prior": 0.7, "mean_prior": X.mean(axis=0) + 0.1,
        "degrees_of_freedom_prior": 3.5, "covariance_prior": of_one(covariance_type, 2, 0.8),
    }  # fmt: skip
    bounds = []
    for seed in range(4):
        for n_iter in (1, 3, 100):
            model = quietly(textbook(2, random_state=seed, max_iter=n_iter, **params), X)
            bounds.append(model.evidence_lower_bound_)
    exact = naive.log_evidence_of_all_assignments(X, 2, covariance_type, priors_of(model))
    assert max(bounds) < exact
    assert max(bounds) > exact - 5


@grid("name", ["faithful", "iris", "wine", "cancer"], quick=["iris"])
@prior_types
@each_type
def test_no_bound_falls(covariance_type, prior_type, name):
    """scikit-learn's for all types; the evidence's where the posterior is the best of its kind: full."""
    X, n_components = data_sets.load(name)
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "reg_covar": 0}
    frames = Frames()
    model = textbook(2 * n_components, tol=0, max_iter=40, **params)
    quietly(model.set_callbacks(frames), X)
    assert_never_falls(model.lower_bounds_)
    if covariance_type == "full":
        assert_never_falls([frame.evidence_lower_bound_ for frame in frames.best[1:]])


@exhaustive
def test_more_data_tell_more_components_and_the_evidence_prefers_the_truth():
    X, _ = three_groups(600, distance=4.0)
    evidence = {
        k: quietly(
            bayesian(k, weight_concentration_prior_type="dirichlet_distribution", max_iter=500), X
        ).evidence_lower_bound_ + math.lgamma(k + 1)  # of the components' names
        for k in (1, 2, 3, 4, 5)
    }  # fmt: skip
    assert max(evidence, key=evidence.get) == 3
    model = quietly(bayesian(8, max_iter=1000), X)
    assert model.n_components_effective_ == 3
    assert type(model.n_components_effective_) is int


# -- many components, few of use --------------------------------------------------------------------------------------


def test_components_without_points_are_the_priors():
    X, _ = three_groups(distance=8.0)
    model = quietly(bayesian(10, max_iter=2000, tol=1e-9, weight_concentration_prior=1e-3), X)
    empty = model.mean_precision_ - model.mean_precision_prior_ < 1e-3
    assert empty.sum() == 10 - model.n_components_effective_ == 7
    assert_allclose(model.degrees_of_freedom_[empty], model.degrees_of_freedom_prior_, rtol=1e-3)
    assert_allclose(model.means_[empty], np.tile(model.mean_prior_, (7, 1)), rtol=1e-2)
    assert np.isfinite(model.evidence_lower_bound_)
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@prior_types
@each_type
def test_data_without_any_spread_in_a_feature(covariance_type, prior_type):
    X, _ = data_sets.load("iris")
    X = np.column_stack([X, np.full(len(X), 5.0)])
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    ours, theirs = fit_both(X, 3, init_params="random", max_iter=20, **params)
    assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-8)
    assert_same(ours, theirs, [name for name in POSTERIOR if "prec" not in name])


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@each_type
def test_more_features_than_points(covariance_type):
    X = np.random.default_rng(0).normal(size=(10, 20))
    ours, theirs = fit_both(X, 2, covariance_type=covariance_type, init_params="random", max_iter=20)
    assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-8)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_few_points_none_of_them_alike():
    X = np.array([[0.0, 0], [1, 0], [0, 1]])
    for covariance_type in COVARIANCE_TYPES:
        for algorithm in ("em", "auto"):
            model = quietly(bayesian(3, covariance_type=covariance_type, algorithm=algorithm), X)
            assert np.isfinite(model.lower_bound_)
            assert_array_equal(model.predict(X) >= 0, True)


# -- weights ----------------------------------------------------------------------------------------------------------


def go_on(model, X, **known):
    """Fits that go on from the same posterior have no chance in them."""
    model = copy.deepcopy(model).set_params(warm_start=True, max_iter=10, tol=0)
    return quietly(model, X, **known)


@each_prior_type
@each_type
def test_weights_are_repeated_rows(covariance_type, prior_type):
    X, _ = three_groups()
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = np.repeat(X, weights, axis=0)
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    start = quietly(textbook(max_iter=0, **params), X)
    one, other = go_on(start, X, sample_weight=weights), go_on(start, repeated)
    assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-11)
    assert one.evidence_lower_bound_ == pytest.approx(other.evidence_lower_bound_, rel=1e-11)
    assert_same(one, other, (*POSTERIOR, *PRIORS), rtol=1e-10)
    assert_allclose(one.mean_prior_, repeated.mean(axis=0), rtol=1e-12)
    covariance = np.cov(repeated.T)
    variances = np.diagonal(covariance)
    expected = {"full": covariance, "tied": covariance, "diag": variances, "spherical": variances.mean()}
    assert_allclose(one.covariance_prior_, expected[covariance_type], rtol=1e-12)
    assert one.score(X, sample_weight=weights) == pytest.approx(other.score(repeated), rel=1e-12)


@pytest.mark.parametrize("algorithm", ["auto", "em"])
def test_points_of_no_weight_are_absent(algorithm):
    X, groups = three_groups(distance=6.0)
    weights = np.where(groups == 2, 0.0, 1.0)
    model = quietly(bayesian(4, algorithm=algorithm, max_iter=500), X, sample_weight=weights)
    assert model.n_components_effective_ == 2
    assert model.means_.max() < X[groups < 2].max()
    assert_allclose(model.mean_precision_.sum() - 4, weights.sum(), rtol=1e-9)


def test_twice_the_weights_are_twice_the_evidence():
    X, _ = three_groups(60)
    start = quietly(textbook(max_iter=0), X)
    once, tiny = go_on(start, X), go_on(start, X, sample_weight=np.full(60, 1e-3))
    many = go_on(start, X, sample_weight=np.full(60, 1e3))
    assert_allclose(many.mean_precision_.sum() - 3, 60_000, rtol=1e-9)
    assert_allclose(once.mean_precision_.sum() - 3, 60, rtol=1e-9)
    assert_allclose(tiny.mean_precision_.sum() - 3, 0.06, rtol=1e-9)
    assert_allclose(tiny.means_, np.tile(tiny.mean_prior_, (3, 1)), atol=0.2)
    huge = go_on(start, X, sample_weight=np.full(60, 1e9))
    assert_allclose(huge.mean_precision_.sum() - 3, 6e10, rtol=1e-9)


# -- what is known ----------------------------------------------------------------------------------------------------


@each_prior_type
@each_type
def test_all_labels_known_is_one_step(covariance_type, prior_type):
    X, labels = three_groups()
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "reg_covar": 0}
    model = bayesian(**params).fit(X, labels=labels)
    assert model.converged_
    responsibilities = np.eye(3)[labels]
    priors = priors_of(model)
    posterior = naive.variational_posterior(X, responsibilities, covariance_type, priors)
    for name, value in posterior_of(model).items():
        assert_allclose(value, posterior[name], rtol=1e-10, atol=1e-12, err_msg=name)
    bound = naive.evidence_bound(X, responsibilities, posterior, priors, covariance_type)
    assert model.evidence_lower_bound_ == pytest.approx(bound, rel=1e-11)
    assert len(model.lower_bounds_) == 1


@each_type
def test_the_evidence_of_known_labels_is_exact(covariance_type):
    """p(X, labels): of Dirichlet and groups, but for tied, whose posterior is scikit-learn's, not the best."""
    X, labels = three_groups(30)
    params = given_priors("all", covariance_type, X.shape[1])
    model = bayesian(
        covariance_type=covariance_type, weight_concentration_prior_type="dirichlet_distribution", reg_covar=0, **params
    ).fit(X, labels=labels)
    priors, counts = priors_of(model), np.bincount(labels)
    alpha = priors["weight_concentration"]
    exact = math.lgamma(3 * alpha) - math.lgamma(3 * alpha + 30)
    exact += sum(math.lgamma(alpha + count) - math.lgamma(alpha) for count in counts)
    if covariance_type == "tied":
        exact += naive.log_evidence_of_groups([X[labels == k] for k in range(3)], priors)
        assert model.evidence_lower_bound_ < exact
    else:
        exact += sum(naive.log_evidence_of_one(X[labels == k], covariance_type, priors) for k in range(3))
        assert model.evidence_lower_bound_ == pytest.approx(exact, rel=1e-10)


@each_type
@pytest.mark.parametrize("weighted", [False, True])
@grid("kind", ["labels", "shares"], quick=["labels"])
def test_labels_of_some_points_against_plain_numpy(kind, weighted, covariance_type):
    X, groups = three_groups()
    labels = partly_known(groups)
    shares = naive.allowed(labels, 3)
    if kind == "shares":
        shares = np.random.default_rng(5).gamma(0.5, size=(len(X), 3))
    weights = np.random.default_rng(3).exponential(size=len(X)) if weighted else np.ones(len(X))
    given = labels if kind == "labels" else shares
    start = quietly(textbook(max_iter=0, covariance_type=covariance_type), X)
    model = start.set_params(warm_start=True)
    posterior = posterior_of(model)
    for _ in range(4):
        quietly(model.set_params(max_iter=1, tol=0), X, labels=given, sample_weight=weights if weighted else None)
        _, responsibilities = naive.variational_e_step(X, posterior, covariance_type)
        responsibilities = responsibilities * shares
        responsibilities /= responsibilities.sum(axis=1, keepdims=True)
        responsibilities *= weights[:, None]
        posterior = naive.variational_posterior(X, responsibilities, covariance_type, priors_of(model), 1e-6)
        for name, value in posterior_of(model).items():
            assert_allclose(value, posterior[name], rtol=1e-8, atol=1e-9, err_msg=name)
        with np.errstate(divide="ignore"):
            allowed = np.where(responsibilities > 0, np.log(shares), 0.0)
        bound = naive.evidence_bound(X, responsibilities, posterior, priors_of(model), covariance_type)
        bound += (responsibilities * allowed).sum()
        assert model.evidence_lower_bound_ == pytest.approx(bound, rel=1e-9)


@each_type
@pytest.mark.parametrize("algorithm", ["auto", "em"])
def test_component_k_is_class_k(algorithm, covariance_type):
    X, groups = three_groups(distance=4.0)
    labels = partly_known(np.array([2, 0, 1])[groups], share=0.1)
    model = quietly(bayesian(covariance_type=covariance_type, algorithm=algorithm), X, labels=labels)
    assert np.mean(model.predict(X) == np.array([2, 0, 1])[groups]) > 0.97


@each_type
@pytest.mark.parametrize("prior_type", PRIOR_TYPES)
def test_hard_assignment(prior_type, covariance_type):
    X, _ = three_groups()
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "reg_covar": 0}
    start = quietly(textbook(max_iter=0, assignment="hard", **params), X)
    model = start.set_params(warm_start=True, max_iter=1)
    posterior = posterior_of(model)
    for _ in range(4):
        quietly(model, X)
        _, responsibilities = naive.variational_e_step(X, posterior, covariance_type)
        responsibilities = np.eye(3)[responsibilities.argmax(axis=1)]
        posterior = naive.variational_posterior(X, responsibilities, covariance_type, priors_of(model))
        for name, value in posterior_of(model).items():
            assert_allclose(value, posterior[name], rtol=1e-8, atol=1e-9, err_msg=name)
        bound = naive.evidence_bound(X, responsibilities, posterior, priors_of(model), covariance_type)
        assert model.evidence_lower_bound_ == pytest.approx(bound, rel=1e-9)
    assert quietly(model.set_params(max_iter=200), X).converged_


@each_type
def test_stochastic_assignment(covariance_type):
    X, groups = three_groups(distance=4.0)
    params = {"covariance_type": covariance_type, "assignment": "stochastic", "max_iter": 300}
    one, other = (quietly(bayesian(**params, n_threads=n), X) for n in (1, 2))
    assert_same(one, other, rtol=0)
    agreement = max(np.mean(np.array(order)[one.predict(X)] == groups) for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2],
                    [1, 2, 0], [2, 0, 1], [2, 1, 0]))  # fmt: skip
    assert agreement > 0.95
    assert one.lower_bound_ == max(one.lower_bounds_)


# -- any source, any number of threads --------------------------------------------------------------------------------


def assert_same_bits(one, other):
    for name in (*POSTERIOR, *PRIORS):
        assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.lower_bounds_ == other.lower_bounds_
    assert one.evidence_lower_bound_ == other.evidence_lower_bound_
    assert one.n_components_effective_ == other.n_components_effective_


X_OF_SOURCES = points()[0]


@pytest.fixture(scope="module", params=["full", "tied", "diag", "spherical"])
def in_memory(request):
    return quietly(bayesian(covariance_type=request.param, max_iter=12), X_OF_SOURCES)


@grid("how", ["memmap", ".npy", "arrays", "Parquet folder"], quick=["arrays"])
def test_every_source_gives_the_same_bits(how, in_memory, tmp_path):
    source = held.HELD[how](X_OF_SOURCES, tmp_path)
    assert_same_bits(quietly(clone(in_memory), source), in_memory)
    if how == "arrays":
        assert_array_equal(in_memory.predict(source), in_memory.predict(X_OF_SOURCES))


def test_dask_gives_the_same_bits(in_memory):
    array = pytest.importorskip("dask.array", reason="dask is optional")
    chunked = array.from_array(X_OF_SOURCES, chunks=(777, 4))
    assert_same_bits(quietly(clone(in_memory), chunked), in_memory)
    assert_array_equal(in_memory.predict_proba(chunked).compute(), in_memory.predict_proba(X_OF_SOURCES))


def test_any_number_of_threads_gives_the_same_bits(in_memory):
    assert_same_bits(quietly(clone(in_memory).set_params(n_threads=2), X_OF_SOURCES), in_memory)


@exhaustive
def test_a_sample_is_enough_for_the_start(monkeypatch):
    """Where points are many: and the same in blocks as in memory."""
    from fastem.fitting import posterior_search

    monkeypatch.setattr(posterior_search, "_SAMPLE_SIZE", 400)
    monkeypatch.setattr(posterior_search, "_SAMPLE_SIZE_A_COMPONENT", 1)
    for covariance_type in COVARIANCE_TYPES:
        model = bayesian(covariance_type=covariance_type, max_iter=500)
        sampled = quietly(clone(model), X_OF_SOURCES)
        assert_same_bits(quietly(clone(model), held.blocks_of(X_OF_SOURCES)), sampled)
        assert_same_bits(quietly(clone(model).set_params(n_threads=2), X_OF_SOURCES), sampled)
        plain = quietly(clone(model).set_params(algorithm="em"), X_OF_SOURCES)
        assert sampled.lower_bound_ >= plain.lower_bound_ - 0.1
        weights = np.random.default_rng(0).exponential(size=len(X_OF_SOURCES))
        weighted = quietly(clone(model), X_OF_SOURCES, sample_weight=weights)
        assert_allclose(weighted.mean_precision_.sum() - 3, weights.sum(), rtol=1e-9)


def test_a_fault_keeps_the_last_iteration_and_the_fit_can_go_on(monkeypatch, tmp_path):
    monkeypatch.setattr("fastem.estimators.em_mixture._SMALL", 0)
    params = {"algorithm": "em", "init_params": "random", "tol": 1e-7, "max_iter": 300}
    whole = bayesian(**params).fit(X_OF_SOURCES)
    model = bayesian(**params)
    with pytest.raises(SourceError):
        model.fit(Faulty(nan_in_block_2, from_pass=whole.n_iter_))  # some before are those of the start
    n_iter = model.n_iter_
    assert 0 < n_iter < whole.n_iter_
    assert model.lower_bounds_ == whole.lower_bounds_[:n_iter]
    assert np.isfinite(model.evidence_lower_bound_)
    model.save(tmp_path / "model")
    assert_same_bits(model.set_params(warm_start=True).fit(Faulty()), whole)
    loaded = fastem.load(tmp_path / "model").set_params(warm_start=True).fit(Faulty())  # a file has no earlier bounds
    assert loaded.lower_bounds_ == whole.lower_bounds_[n_iter:]
    assert_array_equal(loaded.means_, whole.means_)


def test_columns_by_name(tmp_path):
    X, groups = three_groups()
    labels = partly_known(groups)
    file = held.parquet(X, tmp_path / "points.parquet", label=labels, w=np.linspace(0.5, 2, len(X)))
    model = quietly(bayesian(), file, labels="label", sample_weight="w")
    expected = quietly(bayesian(), X, labels=labels, sample_weight=np.linspace(0.5, 2, len(X)))
    assert_same_bits(model, expected)
    assert list(model.feature_names_in_) == ["length", "width", "height"]


# -- going on, batches ------------------------------------------------------------------------------------------------


@each_prior_type
@each_type
def test_a_warm_start_goes_on(covariance_type, prior_type):
    X, _ = data_sets.load("iris")
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "tol": 0}
    whole = quietly(textbook(max_iter=12, **params), X)
    parts, bounds = textbook(max_iter=4, warm_start=True, **params), []
    for _ in range(3):
        bounds += quietly(parts, X).lower_bounds_
    assert_allclose(bounds, whole.lower_bounds_, rtol=1e-12)
    assert_same(parts, whole, rtol=1e-10)
    assert parts.evidence_lower_bound_ == pytest.approx(whole.evidence_lower_bound_, rel=1e-11)
    with pytest.raises(ValueError, match="warm_start=True can't go on"):
        parts.set_params(n_components=2).fit(X)


def test_a_warm_start_takes_new_priors():
    X, _ = data_sets.load("iris")
    model = quietly(textbook(), X).set_params(warm_start=True, weight_concentration_prior=1e6)
    assert quietly(model, X).weight_concentration_prior_ == 1e6
    model.set_params(weight_concentration_prior_type="dirichlet_distribution")
    assert quietly(model, X).weight_concentration_.shape == (3,)


def family_with_a_prior(kind, covariance_type, n_features):
    plain, mean = FAMILIES[covariance_type], np.linspace(-1, 1, n_features)
    scale = of_one(covariance_type, n_features, 0.5)
    if kind == "penalised":
        return PenalizedFamily(plain, ConjugatePrior(0.3, mean, n_features + 2.0, np.asarray(scale)))
    if kind == "penalised, no mean":
        return PenalizedFamily(plain, ConjugatePrior(0.0, mean, n_features + 2.0, np.asarray(scale)))
    if kind == "plain":
        return plain
    is_process = kind == "process"
    return VariationalFamily(plain, Priors(is_process, 0.7, 0.3, mean, n_features + 0.5, np.asarray(scale)))


@each_type
@pytest.mark.parametrize("kind", ["plain", "penalised", "penalised, no mean", "process", "distribution"])
@pytest.mark.parametrize("reg_covar", [0, 0.2])
def test_statistics_of_is_the_inverse_of_maximize(reg_covar, kind, covariance_type):
    problem = make_problem(500, 3, 4, covariance_type)
    weights = np.random.default_rng(0).exponential(size=500)
    source = ArraySource(problem.X + 1e4)
    mixture = make_problem(500, 3, 4, covariance_type).parameters
    mixture = type(mixture)(mixture.family, mixture.weights, mixture.means + 1e4, mixture.covariances,
                            mixture.precisions_cholesky)  # fmt: skip
    statistics = source.e_step(mixture, Annotations(weights))
    family = family_with_a_prior(kind, covariance_type, 3)
    found = family.maximize(statistics, reg_covar)
    again = family.maximize(family.statistics_of(found, statistics.weight, reg_covar), reg_covar)
    names = ["weights", "means", "covariances", "precisions_cholesky"]
    if kind in ("process", "distribution"):
        names += ["weight_concentration", "mean_precision", "degrees_of_freedom"]
    for name in names:
        expected = getattr(found, name)
        # 'diag' and 'spherical' points about a prior 1e4 away: the difference of squares as long
        assert_allclose(getattr(again, name), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max(), err_msg=name)


@prior_types
@each_type
def test_one_batch_of_everything_is_a_fit(covariance_type, prior_type):
    X, _ = three_groups(2000)
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    model = bayesian(algorithm="em", max_iter=500, tol=1e-6, **params)
    fitted = quietly(clone(model), X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        streamed = clone(model).partial_fit(X)
    assert_same(streamed, fitted, rtol=1e-9)
    assert streamed.n_samples_seen_ == 2000


@prior_types
@each_type
def test_batches_that_are_all_remembered_end_near_the_fit(covariance_type, prior_type):
    X, _ = three_groups(6000, distance=5.0)
    params = {
        "covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "forgetting": 0,
        "covariance_prior": of_one(covariance_type, 3), "mean_prior": X.mean(axis=0),
    }  # fmt: skip
    fitted = quietly(bayesian(algorithm="em", tol=1e-6, max_iter=500, **params), X)
    model = bayesian(algorithm="em", max_iter=300, **params)
    for start in range(0, 6000, 500):
        model.partial_fit(X[start : start + 500])
    order = np.argsort(model.means_[:, 0])
    other = np.argsort(fitted.means_[:, 0])
    assert_allclose(model.weights_[order], fitted.weights_[other], atol=0.01)
    assert_allclose(model.means_[order], fitted.means_[other], atol=0.1)
    assert_allclose(model.mean_precision_.sum() - 3, 6000, rtol=0.2)  # of what the last M-step saw
    assert model.score(X) > fitted.score(X) - 0.02
    assert (model.n_samples_seen_, model.n_components_effective_) == (6000, 3)


@each_type
def test_batches_after_a_fit(covariance_type):
    X, _ = three_groups(3000, distance=5.0)
    model = quietly(bayesian(covariance_type=covariance_type, forgetting=0), X[:1000])
    score = model.score(X[1000:])
    model.partial_fit(X[1000:])
    assert model.n_samples_seen_ == 3000
    assert model.lower_bounds_ == [pytest.approx(score)]  # of the batch, nats per point: none in all beside it
    assert model.n_iter_ == 1
    assert_allclose(model.mean_precision_.sum() - 3, 3000, rtol=1e-9)
    assert_allclose(model.mean_prior_, X[:1000].mean(axis=0))  # the prior is that of the first points
    fitted = quietly(bayesian(covariance_type=covariance_type), X)
    assert model.score(X) == pytest.approx(fitted.score(X), abs=0.02)


def test_small_batches_take_the_same_way():
    X, _ = three_groups(3000)
    one, other = (bayesian(algorithm="em", covariance_type="diag") for _ in range(2))
    for start in range(0, 3000, 50):
        batch = X[start : start + 50]
        one.partial_fit(batch)
        other.partial_fit(batch, sample_weight=np.ones(len(batch)))
    assert_same(one, other, rtol=1e-8)


# -- life of an estimator ---------------------------------------------------------------------------------------------


def test_clone_pickle_and_copy():
    X, _ = three_groups()
    model = bayesian(covariance_prior=np.eye(3), mean_prior=[0.0, 1, 2]).fit(X)
    assert str(clone(model).get_params()) == str(model.get_params())
    assert not hasattr(clone(model), "means_")
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
        assert_same_bits(go_on(twin, X), go_on(model, X))


@pytest.mark.parametrize("algorithm", ["em", "auto"])
def test_frames_go_from_the_start_to_the_fit(algorithm):
    X, _ = three_groups()
    frames = Frames()
    model = bayesian(algorithm=algorithm, n_init=2, init_params="random", max_iter=500).set_callbacks(frames)
    quietly(model, X)
    assert [frame.n_iter_ for frame in frames.best] == list(range(model.n_iter_ + 1))
    assert [frame.lower_bound_ for frame in frames.best] == [-np.inf, *model.lower_bounds_]
    assert_array_equal(frames.best[-1].means_, model.means_)
    assert isinstance(frames.best[1], BayesianGaussianMixture)
    silent = quietly(clone(model).set_callbacks(), X)
    assert_same_bits(silent, model)  # to be looked at changes nothing


def test_what_is_printed_and_reported():
    X, _ = three_groups()
    model = quietly(bayesian(max_iter=500), X)
    assert str(model.fit_report_)
    assert sum(stage.n_iter for stage in model.fit_report_.stages) >= model.n_iter_


@prior_types
@each_type
def test_a_file_keeps_all(covariance_type, prior_type, tmp_path):
    X, _ = three_groups()
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    model = quietly(bayesian(mean_prior=[0.0, 0, 0], max_iter=5, **params), X)
    model.save(tmp_path / "model")
    loaded = fastem.load(tmp_path / "model")
    assert type(loaded) is BayesianGaussianMixture
    assert_same_bits(loaded, model)
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert isinstance(loaded.weight_concentration_, tuple) == (prior_type == "dirichlet_process")
    assert_same_bits(go_on(loaded, X), go_on(model, X))


@prior_types
@each_type
def test_to_scikit_learn_and_back(covariance_type, prior_type):
    X, _ = three_groups()
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    ours, theirs = fit_both(X, 3, init_params="random", **params)
    back = BayesianGaussianMixture.from_sklearn(theirs)
    assert_same(back, theirs, (*POSTERIOR, *PRIORS), rtol=1e-12)
    assert_allclose(back.predict_proba(X), theirs.predict_proba(X), rtol=1e-9, atol=1e-12)
    there = ours.to_sklearn()
    assert type(there) is sklearn.mixture.BayesianGaussianMixture
    assert_allclose(there.predict_proba(X), ours.predict_proba(X), rtol=1e-9, atol=1e-12)
    assert_allclose(there.score_samples(X), ours.score_samples(X), rtol=1e-9)
    assert_same(there, ours, (*POSTERIOR, *PRIORS), rtol=0)


def test_feature_names():
    X, _ = three_groups()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = quietly(bayesian(), frame)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])


# -- the better start -------------------------------------------------------------------------------------------------


def few_sets():
    galaxies = np.asarray(load_galaxies().data, dtype=float).reshape(-1, 1)
    penguins = np.asarray(load_penguins().data, dtype=float)
    return {
        "faithful": data_sets.load("faithful")[0],
        "iris": datasets.load_iris().data,
        "wine": datasets.load_wine().data,
        "galaxies": galaxies,
        "penguins": penguins[np.isfinite(penguins).all(axis=1)],
    }


@grid("name", ["faithful", "iris", "wine", "galaxies", "penguins"], quick=["wine"])
@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_auto_ends_as_high_as_scikit_learn(covariance_type, name):
    X = few_sets()[name]
    for seed in range(3):
        params = {"covariance_type": covariance_type, "max_iter": 300, "random_state": seed}
        theirs = quietly(sklearn.mixture.BayesianGaussianMixture(n_components=6, **params), X)
        ours = quietly(bayesian(6, **params), X)
        assert ours.lower_bound_ >= np.ravel(theirs.lower_bound_)[0] - 0.1


# -- merging, deleting, splitting -------------------------------------------------------------------------------------


def unmoved(best, *args, **kwargs):
    """In place of `posterior_moves.improved`."""
    return best


def apart(n_samples, n_features, n_groups, spread, seed):
    """Points of normal groups of unit variances, unequally many, whose means scatter by `spread`; the group of each."""
    rng = np.random.default_rng(seed)
    groups = rng.choice(n_groups, n_samples, p=rng.dirichlet(np.full(n_groups, 6.0)))
    return rng.normal(0, spread, (n_groups, n_features))[groups] + rng.normal(size=(n_samples, n_features)), groups


def evidence_from_labels(model, X, groups):
    """The evidence's bound at the fixed point that the true groups lead to."""
    labelled = clone(model).fit(X, labels=np.eye(model.n_components)[groups])
    return quietly(labelled.set_params(warm_start=True), X).evidence_lower_bound_


@grid(
    ("n_samples", "n_features", "n_groups", "n_components", "spread"),
    [(600, 1, 2, 8, 12.0), (700, 2, 3, 9, 7.0), (900, 6, 5, 18, 3.5), (1200, 13, 5, 12, 3.0), (1200, 22, 3, 10, 2.5)],
    quick=[(700, 2, 3, 9, 7.0), (1200, 13, 5, 12, 3.0)],
)
@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_components_that_the_data_do_not_need_are_emptied(
    covariance_type, n_samples, n_features, n_groups, n_components, spread
):
    for seed, prior_type in enumerate(PRIOR_TYPES):
        X, groups = apart(n_samples, n_features, n_groups, spread, seed=10 * n_features + seed)
        params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "max_iter": 1000}
        model = quietly(bayesian(n_components, random_state=seed, **params), X)
        assert model.n_components_effective_ == n_groups
        assert model.evidence_lower_bound_ > evidence_from_labels(model, X, groups) - 1e-2
        assert_never_falls(model.lower_bounds_)
        assert model.converged_
        names = {stage.name.split()[0] for stage in model.fit_report_.stages}
        assert names <= {"start", "search", "seeds", "run", "split", "merged", "moved", "further", "deleted", "all"}


def test_scikit_learn_keeps_what_is_not_needed():
    """That the test above can fail."""
    X, _ = apart(1200, 22, 3, 2.5, seed=220)
    model = quietly(bayesian(10, algorithm="em", max_iter=1000), X)
    assert model.n_components_effective_ > 3


@grid("init_params", ["kmeans", "random", "k-means++"], quick=["kmeans"])
@grid("covariance_type", COVARIANCE_TYPES, quick=["tied"])
def test_one_gaussian_is_one_component(covariance_type, init_params):
    X = np.random.default_rng(3).normal(size=(1500, 2)) @ [[2.0, 0], [0, 2]]
    model = quietly(bayesian(10, covariance_type=covariance_type, init_params=init_params, max_iter=300), X)
    assert model.n_components_effective_ == 1
    assert model.evidence_lower_bound_ > evidence_from_labels(model, X, np.zeros(1500, dtype=int)) - 1e-2


@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
def test_splits_find_the_groups_that_a_start_lacks(covariance_type):
    X, groups = apart(1500, 5, 7, 5.0, seed=4)
    model = quietly(bayesian(12, covariance_type=covariance_type, init_params="random", max_iter=1000), X)
    assert model.n_components_effective_ == 7
    assert model.evidence_lower_bound_ > evidence_from_labels(model, X, groups) - 1e-2


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_unneeded_components_are_emptied_on_a_sample(covariance_type, monkeypatch):
    """Whose points count ten times: what a component gains there by chance doesn't keep it."""
    monkeypatch.setattr(posterior_search, "_SAMPLE_SIZE", 800)
    monkeypatch.setattr(posterior_search, "_SAMPLE_SIZE_A_COMPONENT", 1)
    X, groups = apart(8000, 9, 4, 3.0, seed=1)
    model = quietly(bayesian(13, covariance_type=covariance_type, max_iter=1000), X)
    assert model.n_components_effective_ == 4
    assert model.evidence_lower_bound_ > evidence_from_labels(model, X, groups) - 1e-2


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_unneeded_components_of_weighted_points_are_emptied(covariance_type):
    X, groups = apart(900, 12, 3, 2.5, seed=2)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, size=900) * (groups < 2)
    model = quietly(bayesian(9, covariance_type=covariance_type, max_iter=1000), X, sample_weight=weights)
    assert model.n_components_effective_ == 2
    assert_allclose(model.mean_precision_.sum() - 9, weights.sum())


@grid("n_samples, n_features, n_groups", [(40, 1, 2), (60, 2, 2), (80, 2, 3)], quick=slice(1))
def test_groups_of_few_points_are_kept(n_samples, n_features, n_groups, monkeypatch):
    """The evidence prefers fewer; left-out points don't."""
    overlap = {1: 0.03, 2: 0.02}[n_features]
    chosen = {}
    for weight_of_loss in posterior_moves._LOSS, 0.0:
        monkeypatch.setattr(posterior_moves, "_LOSS", weight_of_loss)
        chosen[weight_of_loss] = []
        for seed in range(4):
            found = make_mixture(n_samples, n_groups, n_features, overlap=overlap, random_state=seed)
            model = quietly(bayesian(8, max_iter=300), found.data)
            chosen[weight_of_loss].append(model.n_components_effective_)
    usual, by_evidence = chosen.values()
    assert usual.count(n_groups) >= max(2, by_evidence.count(n_groups) + 1)


def given_responsibilities(covariance_type, prior_type, n_components=5):
    """(points, responsibilities, those with most points first; priors; family; sufficient statistics)."""
    X, _ = three_groups()
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "reg_covar": 0}
    model = textbook(n_components, max_iter=1, **params, **given_priors("all", covariance_type, 3))
    quietly(model, X)
    shares = np.random.default_rng(5).dirichlet([1.6, 0.9, 0.5, 0.3, 0.2][:n_components], size=len(X))
    shares = in_order_of_points(shares)
    family = model._fitted_family()
    statistics = ArraySource(X).e_step(model._parameters(), Annotations(responsibilities=shares, e_step=False))
    return X, shares, priors_of(model), family, statistics


def in_order_of_points(responsibilities):
    return responsibilities[:, np.argsort(-responsibilities.sum(axis=0), kind="stable")]


def merged_shares(responsibilities, i, j):
    shares = responsibilities.copy()
    shares[:, i] += shares[:, j]
    shares[:, j] = 0.0
    return shares


@prior_types
@each_type
def test_what_a_merger_gains_against_bishops_formulas(covariance_type, prior_type):
    X, shares, priors, family, statistics = given_responsibilities(covariance_type, prior_type)

    def bound(responsibilities):
        responsibilities = in_order_of_points(responsibilities)
        posterior = naive.variational_posterior(X, responsibilities, covariance_type, priors)
        return naive.evidence_bound(X, responsibilities, posterior, priors, covariance_type)

    expected = np.full((5, 5), -np.inf)
    for i in range(5):
        for j in range(i + 1, 5):
            expected[i, j] = bound(merged_shares(shares, i, j)) - bound(shares)
    merging = Merging(family, statistics, shares, 0.0, -np.inf)
    assert_allclose(merging._gains, expected, rtol=1e-7)
    rewarded = Merging(family, statistics, shares, 0.0, -np.inf, 1e4)
    assert_allclose(rewarded._gains, expected + 1e4, rtol=1e-7)
    pairs = rewarded.pairs()
    assert len(pairs) == 2 and len({*pairs[0], *pairs[1]}) == 4
    assert pairs[0] == np.unravel_index(np.argmax(expected), (5, 5))
    assert Merging(family, statistics, shares, 0.0, expected.max() + 1e-3).pairs() == []

    merging = Merging(family, statistics, shares, 0.0, -np.inf, -1e5)
    merging.merge_while_higher(5)
    assert merging.n_merged == 0
    merging.merge_while_higher(4)
    i, j = pairs[0]
    assert merging.n_merged == 1
    again = bound(merged_shares(shares, i, j))
    for a in range(5):
        for b in range(a + 1, 5):
            if j in (a, b):
                assert merging._gains[a, b] == -np.inf
            elif i in (a, b):  # others are looked at again when they are merged themselves
                gain = bound(merged_shares(merged_shares(shares, i, j), a, b)) - again
                assert merging._gains[a, b] + 1e5 == pytest.approx(gain, rel=1e-7)
    rewarded.merge_while_higher(5)
    assert rewarded.n_merged == 4
    assert rewarded.statistics.mass.max() == pytest.approx(len(X))


@each_type
def test_statistics_of_a_union_are_those_of_summed_responsibilities(covariance_type):
    X, shares, _, _, statistics = given_responsibilities(covariance_type, "dirichlet_process")
    together = merged_shares(merged_shares(shares, 0, 3), 2, 1)
    posterior, _ = two_posteriors(covariance_type)
    five = posterior.family.maximize(statistics, 1e-6)
    expected = ArraySource(X).e_step(five, Annotations(responsibilities=together, e_step=False)).about(np.zeros((5, 3)))
    before = statistics.mass.copy()
    found = union(statistics, [(0, 3), (2, 1)]).about(np.zeros((5, 3)))
    for name in ("mass", "first", "second"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-8, err_msg=name)
    assert_array_equal(statistics.mass, before)
    for n_components, order in ((3, [2, 0, 4]), (7, [2, 0, 4])):
        some = in_order(union(statistics, [(0, 3), (2, 1)]), n_components).about(np.zeros((n_components, 3)))
        for name in ("mass", "first", "second"):
            values, wanted = getattr(some, name), getattr(expected, name)
            if covariance_type != "tied" or name != "second":
                wanted = wanted[sorted(order, key=lambda k: -expected.mass[k])][:n_components]
                assert_allclose(values[: len(wanted)], wanted, rtol=1e-9, atol=1e-8)
                assert_array_equal(values[len(wanted) :], 0.0)
            else:
                assert_allclose(values, wanted, rtol=1e-9, atol=1e-8)


@each_prior_type
@each_type
def test_without_a_component_points_go_to_the_others(covariance_type, prior_type):
    X, _ = three_groups()
    model = quietly(textbook(4, covariance_type=covariance_type, weight_concentration_prior_type=prior_type), X)
    posterior = posterior_of(model)
    concentration = posterior["concentration"]
    is_process = isinstance(concentration, tuple)
    left = {name: np.delete(value, 1, axis=0) for name, value in posterior.items()
            if name not in ("concentration", "covariances")}  # fmt: skip
    is_tied = covariance_type == "tied"
    left["covariances"] = posterior["covariances"] if is_tied else np.delete(posterior["covariances"], 1, axis=0)
    left["concentration"] = (
        tuple(np.delete(each, 1) for each in concentration) if is_process else np.delete(concentration, 1)
    )
    _, expected = naive.variational_e_step(X, left, covariance_type)
    mass = ArraySource(X).e_step(model._parameters().without([1])).mass
    assert_allclose(mass, np.insert(expected.sum(axis=0), 1, 0.0), rtol=1e-8)


@grid("covariance_type", COVARIANCE_TYPES, quick=["spherical"])
def test_moves_that_lead_lower_change_nothing(covariance_type, monkeypatch):
    """Pairs and components that no one would merge or delete are tried, and undone."""
    X, _ = apart(800, 3, 4, 6.0, seed=0)
    model = bayesian(4, covariance_type=covariance_type, max_iter=500)
    good = quietly(clone(model), X)
    monkeypatch.setattr(Merging, "pairs", lambda merging: [(0, 1), (2, 3)])
    monkeypatch.setattr(posterior_moves._Moves, "_needless", lambda moves, posterior: np.array([1, 2, 0]))
    tried = quietly(clone(model), X)
    stages = [stage.name for stage in tried.fit_report_.stages]
    assert stages.count("deleted") == 2
    assert stages.count("merged") >= stages.count("deleted")
    for name in POSTERIOR:
        assert_allclose(getattr(tried, name), getattr(good, name), rtol=1e-6, err_msg=name)
    assert tried.lower_bounds_ == good.lower_bounds_


@pytest.mark.exhaustive
@each_prior_type
def test_no_seed_ends_lower_by_moves(prior_type, monkeypatch):
    for name, X in few_sets().items():
        params = {"weight_concentration_prior_type": prior_type, "max_iter": 300}
        moved = quietly(bayesian(7, **params), X)
        with monkeypatch.context() as patch:
            patch.setattr(posterior_moves, "improved", unmoved)
            still = quietly(bayesian(7, **params), X)
        assert moved.lower_bound_ >= still.lower_bound_ - 1e-3, name
        assert moved.evidence_lower_bound_ >= still.evidence_lower_bound_ - 1e-3, name


# -- features that depend on each other -------------------------------------------------------------------------------


def dependent(name):
    rng = np.random.default_rng(2)
    return {
        "two values": np.eye(2)[rng.integers(0, 2, 80)],
        "indicators": np.eye(4)[rng.integers(0, 4, 200)],
        "copied": np.repeat(rng.normal(size=(90, 1)), 2, axis=1),
        "constant": np.column_stack([rng.normal(size=90), np.full(90, 3.0)]),
        "one value": np.full((40, 2), 2.0),
    }[name]


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("name", ["two values", "indicators", "copied", "constant", "one value"])
@prior_types
@each_type
def test_dependent_features_make_a_fit_or_a_sentence(covariance_type, prior_type, name):
    X = dependent(name)
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    model = quietly(bayesian(6, **params), X)
    assert np.isfinite(model.evidence_lower_bound_)
    assert np.isfinite(model.score_samples(X)).all()
    if name in ("two values", "indicators"):
        assert model.n_components_effective_ == X.shape[1]
        assert len(np.unique(model.predict(X))) == X.shape[1]
    spread = np.cov(X.T)
    expected = {"full": spread, "tied": spread, "diag": np.diagonal(spread), "spherical": np.diagonal(spread).mean()}
    is_singular = {"constant": covariance_type != "spherical", "one value": True}
    added = is_singular.get(name, covariance_type in ("full", "tied")) * 1e-6
    added = added * (np.eye(X.shape[1]) if covariance_type in ("full", "tied") else 1.0)
    assert_allclose(model.covariance_prior_, expected[covariance_type] + added, rtol=1e-9, atol=1e-12)
    for algorithm in ("auto", "em"):
        try:
            quietly(bayesian(6, algorithm=algorithm, reg_covar=0, **params), X)
        except ValueError as error:
            assert type(error) is ValueError
            assert str(error).startswith("Fitting the mixture model failed because some components have ill-defined")
            assert "collapsed at" in str(error)


# -- in scikit-learn's searches ---------------------------------------------------------------------------------------


@exhaustive
@pytest.mark.parametrize("model", [GaussianMixture(random_state=0), BayesianGaussianMixture(random_state=0)])
def test_in_other_processes(model):
    X, _ = three_groups(600, distance=4.0)
    grid = {"n_components": [1, 3], "covariance_type": ["full", "tied"]}
    parallel = GridSearchCV(model, grid, cv=3, n_jobs=2, error_score="raise").fit(X)
    alone = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X)
    assert parallel.best_params_ == alone.best_params_
    assert parallel.best_params_["n_components"] == 3
    assert_array_equal(parallel.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    scores = cross_val_score(model, X, cv=3, n_jobs=2)
    assert_array_equal(scores, cross_val_score(model, X, cv=3))


# -- steps of algorithm='auto' ----------------------------------------------------------------------------------------


def two_posteriors(covariance_type, prior_type="dirichlet_process"):
    """A posterior and the one after it, a step of variational Bayes apart."""
    X, _ = three_groups(600)
    params = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "algorithm": "em"}
    params |= {"tol": 0, "init_params": "random", "random_state": 0}
    return [quietly(bayesian(**params, max_iter=n_iter), X)._parameters() for n_iter in (20, 21)]


def natural_parameters(posterior):
    """Sums over points, of which a posterior is linear, by the textbook (Bishop 2006, eqs. 10.58 to 10.63)."""
    n_components, n_features = posterior.means.shape
    beta, offsets = posterior.mean_precision, posterior.means - posterior.family.priors.mean
    outer = np.einsum("k,ki,kj->kij", beta, offsets, offsets)
    of_means = {
        "full": outer,
        "tied": outer.sum(axis=0) / n_components,
        "diag": np.diagonal(outer, axis1=1, axis2=2),
        "spherical": np.trace(outer, axis1=1, axis2=2) / n_features,
    }[posterior.family.name]
    degrees = np.reshape(posterior.degrees_of_freedom, (-1,) + (1,) * (posterior.covariances.ndim - 1))
    scatter = degrees.reshape(()) if posterior.family.name == "tied" else degrees
    return [
        posterior.weight_concentration,
        beta,
        posterior.degrees_of_freedom,
        beta[:, None] * offsets,
        scatter * posterior.covariances + of_means,
    ]


@pytest.mark.parametrize("prior_type", ["dirichlet_process", "dirichlet_distribution"])
@each_type
def test_an_extrapolated_posterior_lies_on_the_line(covariance_type, prior_type):
    before, after = two_posteriors(covariance_type, prior_type)
    further = after.beyond(before, 1.5)
    for first, second, third in zip(*map(natural_parameters, (before, after, further)), strict=True):
        assert_allclose(third - second, 1.5 * (second - first), rtol=1e-6, atol=1e-9 * np.abs(second).max())
    assert after.beyond(before, 1e9) is None  # where a component would have no points left, or less


@grid("covariance_type", COVARIANCE_TYPES, quick=["tied"])
def test_auto_ends_in_order_and_higher_than_its_plain_steps(covariance_type, monkeypatch):
    X, _ = three_groups(600)
    params = {"covariance_type": covariance_type, "max_iter": 2000, "random_state": 3}
    model = quietly(bayesian(n_components=6, **params), X)
    plain = quietly(bayesian(n_components=6, algorithm="em", **params), X)
    assert model.lower_bound_ >= plain.lower_bound_ - 1e-3
    assert np.diff(model.lower_bounds_).min() >= -1e-9 * abs(model.lower_bound_)
    n_points = model.mean_precision_ - model.mean_precision_prior_
    assert np.diff(n_points).max() <= 1e-9 * n_points.max()
    monkeypatch.setattr(posterior_moves, "improved", unmoved)
    still = quietly(bayesian(n_components=6, **params), X)
    assert sum(stage.n_accelerated for stage in still.fit_report_.stages) > 0


class TooFar(Extrapolation):
    """Goes on along every step, whatever it gained."""

    def observe(self, parameters, successor, bound):
        super().observe(parameters, successor, bound)
        further = successor.beyond(parameters, 30.0)
        self._is_ordering, self.kind = False, "plain" if further is None else "accelerated"
        return further or successor


@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
def test_an_extrapolation_that_leads_lower_costs_a_pass_and_no_more(covariance_type, monkeypatch):
    X, _ = three_groups(200)
    params = {"covariance_type": covariance_type, "max_iter": 500, "tol": 1e-4}
    plain = quietly(bayesian(algorithm="em", **params), X)
    monkeypatch.setattr(posterior_search, "Extrapolation", TooFar)
    model = quietly(bayesian(**params), X)
    assert sum(stage.n_rejected for stage in model.fit_report_.stages) > 0
    assert_never_falls(model.lower_bounds_)
    assert model.lower_bound_ >= plain.lower_bound_ - 1e-9 * abs(plain.lower_bound_)


def test_an_order_that_is_worse_is_tried_once(monkeypatch):
    X, _ = three_groups(600)
    tried = []

    def disorder(posterior):
        tried.append(posterior)
        return posterior.family.maximize(ArraySource(X).e_step(posterior, Annotations(labels=np.arange(600) % 6)), 1e-6)

    model = quietly(bayesian(6, algorithm="em", max_iter=2000), X)
    source = ArraySource(X)
    monkeypatch.setattr(Posterior, "in_order", disorder)
    result = em.run(source, model._parameters(), model._settings(source), steps=Extrapolation())
    assert len(tried) == 1 and result.n_rejected >= 1
    assert_never_falls(result.lower_bounds)


@each_type
def test_sticks_in_the_order_of_their_points(covariance_type):
    posterior, _ = two_posteriors(covariance_type, "dirichlet_process")
    priors = posterior.family.priors
    mass = np.array([30.0, 10.0, 50.0])
    posterior = replace(posterior, mean_precision=priors.mean_precision + mass)
    ordered, order = posterior.in_order(), [2, 0, 1]
    for name in ("weights", "means", "mean_precision"):
        assert_array_equal(getattr(ordered, name), getattr(posterior, name)[order])
    for name in ("covariances", "precisions_cholesky", "degrees_of_freedom"):
        value = getattr(posterior, name)
        assert_array_equal(getattr(ordered, name), value if covariance_type == "tied" else value[order])
    # Blei & Jordan 2006, eqs. 18 and 19
    behind = priors.weight_concentration + np.array([40.0, 10.0, 0.0])
    assert_allclose(ordered.weight_concentration, [[51.0, 31.0, 11.0], behind])
    assert ordered.in_order() is None


@pytest.mark.parametrize(("gap", "is_tied"), [(1e-4, True), (1e-2, False)])
def test_sticks_with_as_many_points_to_rounding_stay(gap, is_tied):
    posterior, _ = two_posteriors("full", "dirichlet_process")
    mass = np.array([1e6, 1e6 + gap, 1.0])  # sums of a million points are good to 1e-3 and better
    posterior = replace(posterior, mean_precision=posterior.family.priors.mean_precision + mass)
    assert (posterior.in_order() is None) == is_tied


def test_a_dirichlet_distribution_has_no_order():
    posterior, _ = two_posteriors("full", "dirichlet_distribution")
    posterior = replace(posterior, mean_precision=posterior.mean_precision + np.arange(3.0) * 1e3)
    assert posterior.in_order() is None
