"""`GaussianMixture(shrinkage=...)`: against scikit-learn's covariance estimators, and a plain EM that calls them."""

import numpy as np
import pytest
import sklearn.covariance
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import estimator_checks_generator

import fastem
from fastem import GaussianMixture
from fastem.model.families import FOURTEEN

from . import data_sets, naive
from .fits import assert_same_bits, mixture, points, quietly
from .grids import grid
from .problems import partly_known, three_groups

KINDS = ["oas", "ledoit-wolf", 0.3]
TYPES = ["full", "tied", "diag"]

each_kind = pytest.mark.parametrize("shrinkage", KINDS)
each_type = grid("covariance_type", TYPES, quick=["full", "diag"])


def by_sklearn(shrinkage, X):
    """(covariance, coefficient) of scikit-learn."""
    if shrinkage == "oas":
        return sklearn.covariance.oas(X)
    if shrinkage == "ledoit-wolf":
        return sklearn.covariance.ledoit_wolf(X)
    return sklearn.covariance.shrunk_covariance(sklearn.covariance.empirical_covariance(X), shrinkage), shrinkage


def coefficient(shrinkage, offsets, shares, is_diagonal):
    """The coefficient for offsets from the mean, (n, D), with shares, (n,): scikit-learn's formulas, by sums."""
    if not isinstance(shrinkage, str):
        return shrinkage
    count, n_features = shares.sum(), offsets.shape[1]
    S = (shares[:, None] * offsets).T @ offsets / count
    products = offsets[:, :, None] * offsets[:, None, :]
    if is_diagonal:
        S, products = np.diag(np.diag(S)), products * np.eye(n_features)
    target = np.trace(S) / n_features * np.eye(n_features)
    if shrinkage == "ledoit-wolf":
        noise = (shares[:, None, None] * (products - S) ** 2).sum() / count**2
        return min(1.0, noise / ((S - target) ** 2).sum())
    if not is_diagonal:
        noise = (S**2).sum() + np.trace(S) ** 2
        return min(1.0, noise / ((count + 1) * ((S**2).sum() - np.trace(S) ** 2 / n_features)))
    a = 0.5  # the oracle's coefficient, with the sum of squared true variances replaced again and again
    for _ in range(5000):
        true = np.trace(((1 - a) * S + a * target) @ S)
        c = 2 * (1 - 1 / n_features) / count
        a = c * true / ((1 + c) * true - np.trace(S) ** 2 / n_features)
    return min(1.0, a)


def m_step(X, shares, shrinkage, covariance_type, reg_covar):
    """(weights, means, covariances, coefficients), one component after the other."""
    n_components, n_features = shares.shape[1], X.shape[1]
    mass = shares.sum(axis=0)
    means = shares.T @ X / mass[:, None]
    groups = [(X - means[k], shares[:, k]) for k in range(n_components)]
    if covariance_type == "tied":
        groups = [tuple(map(np.concatenate, zip(*groups, strict=True)))]
    found, coefficients = [], []
    for offsets, share in groups:
        a = coefficient(shrinkage, offsets, share, covariance_type == "diag")
        S = (share[:, None] * offsets).T @ offsets / share.sum()
        S = np.diag(np.diag(S)) if covariance_type == "diag" else S
        found.append((1 - a) * S + (a * np.trace(S) / n_features + reg_covar) * np.eye(n_features))
        coefficients.append(a)
    found = np.array(found)
    covariances = {"full": found, "tied": found[0], "diag": np.diagonal(found, axis1=1, axis2=2)}[covariance_type]
    return mass / mass.sum(), means, covariances, np.broadcast_to(coefficients, n_components)


# -- against the formulas ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@each_kind
@pytest.mark.parametrize("shape", [(40, 5), (6, 12), (500, 2), (30, 1)])
def test_one_component_is_sklearns(shape, shrinkage, covariance_type):
    rng = np.random.default_rng(shape)
    X = rng.standard_t(5, size=shape) @ (np.eye(shape[1]) + 0.5 * rng.normal(size=(shape[1], shape[1])))
    model = mixture(1, covariance_type=covariance_type, shrinkage=shrinkage, reg_covar=0).fit(X)
    covariance, a = by_sklearn(shrinkage, X)
    assert_allclose(model.covariances_.reshape(covariance.shape), covariance, rtol=1e-11, atol=1e-13)
    assert_allclose(model.shrinkage_, [a], rtol=1e-11)


@each_kind
@each_type
@pytest.mark.parametrize("weighted", [False, True])
def test_every_step_against_plain_numpy(weighted, covariance_type, shrinkage):
    X, _ = three_groups()
    start = data_sets.start(X, 3, covariance_type)
    weights = np.random.default_rng(1).uniform(0, 3, len(X)) if weighted else np.ones(len(X))
    precisions = start["precisions_init"]
    covariances = 1 / precisions if covariance_type == "diag" else np.linalg.inv(precisions)
    found = start["weights_init"], start["means_init"], covariances
    model = mixture(
        3, covariance_type=covariance_type, shrinkage=shrinkage, algorithm="em", tol=0, reg_covar=0.01, **start
    )
    bounds = []
    for n_iter in range(1, 7):
        likelihoods, shares = naive.e_step(X, *found, covariance_type)
        bounds.append(weights @ likelihoods / weights.sum())
        *found, a = m_step(X, weights[:, None] * shares, shrinkage, covariance_type, 0.01)
        quietly(model.set_params(max_iter=n_iter), X, sample_weight=weights if weighted else None)
        for name, value in zip(("weights_", "means_", "covariances_", "shrinkage_"), [*found, a], strict=True):
            assert_allclose(getattr(model, name), value, rtol=1e-9, atol=1e-12, err_msg=name)
        assert_allclose(model.lower_bounds_, bounds, rtol=1e-11)


@each_kind
@each_type
def test_the_end_is_a_fixed_point(covariance_type, shrinkage):
    """With either algorithm: the same mixture after one more step of plain EM."""
    X, _ = three_groups()
    for algorithm in "em", "auto":
        model = mixture(
            3, covariance_type=covariance_type, shrinkage=shrinkage, algorithm=algorithm, tol=1e-11, max_iter=3000
        ).fit(X)
        assert model.converged_
        assert set(model.fit_report_.kinds) == {"plain"}
        _, shares = naive.e_step(X, model.weights_, model.means_, model.covariances_, covariance_type)
        for value, name in zip(
            m_step(X, shares, shrinkage, covariance_type, 1e-6),
            ("weights_", "means_", "covariances_", "shrinkage_"),
            strict=True,
        ):
            assert_allclose(getattr(model, name), value, rtol=2e-3, atol=2e-4, err_msg=name)


def test_the_bound_may_fall_as_documented():
    """No prior has such an M-step as its mode: were one found, this would fail."""
    X, _ = data_sets.load("faithful")
    bounds = mixture(3, shrinkage=0.2, algorithm="em", tol=1e-8, max_iter=1000).fit(X).lower_bounds_
    assert np.diff(bounds).min() < -1e-3
    assert "may fall" in " ".join(GaussianMixture.__doc__.split())


def test_no_penalty_has_the_m_step_as_its_mode():
    """The gradient of such a penalty, at the M-step's result, has derivatives that aren't symmetric."""
    values, step = np.array([1.0, 2.0, 5.0]), 1e-6

    def gradient(values):
        return values.mean() / values**2 - 1 / values

    derivatives = np.array([(gradient(values + e) - gradient(values - e)) / (2 * step) for e in step * np.eye(3)])
    assert np.abs(derivatives - derivatives.T).max() > 0.1


def test_coefficient_0_is_em():
    X, _ = three_groups()
    start = data_sets.start(X, 3, "full")
    plain, shrunk = (mixture(3, algorithm="em", shrinkage=each, **start).fit(X) for each in (None, 0.0))
    assert_same_bits(plain, shrunk)
    assert_array_equal(shrunk.shrinkage_, 0)
    assert not hasattr(plain, "shrinkage_")


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_it_finds_more_in_few_points_of_many_features():
    """30 points in each of three groups of 25 features with correlations: shrunk covariances predict others better."""
    rng = np.random.default_rng(1)
    root = np.eye(25) + 0.6 * np.ones((25, 1)) @ rng.normal(size=(1, 25))
    X, others = (
        np.concatenate([rng.normal(size=(n, 25)) @ root + 3 * k * (np.arange(25) % 3 == k) for k in range(3)])
        for n in (30, 1000)
    )
    scores = {
        each: mixture(3, shrinkage=each, reg_covar=1e-3, max_iter=500).fit(X).score(others) for each in (None, "oas")
    }
    assert scores["oas"] > scores[None] + 5


# -- with all else ----------------------------------------------------------------------------------------------------


@each_kind
@each_type
def test_weights_are_repeated_points(covariance_type, shrinkage):
    X, _ = three_groups(150)
    counts = np.random.default_rng(0).integers(0, 3, len(X))
    start = data_sets.start(X, 3, covariance_type)
    params = {"covariance_type": covariance_type, "shrinkage": shrinkage, "algorithm": "em", **start}
    weighted = quietly(mixture(3, **params), X, sample_weight=counts)
    repeated = quietly(mixture(3, **params), np.repeat(X, counts, axis=0))
    assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-9)
    assert_allclose(weighted.shrinkage_, repeated.shrinkage_, rtol=1e-9)


@each_kind
@each_type
def test_all_labels_known(covariance_type, shrinkage):
    X, labels = three_groups()
    model = mixture(3, covariance_type=covariance_type, shrinkage=shrinkage).fit(X, labels=labels)
    _, means, covariances, a = m_step(X, np.eye(3)[labels], shrinkage, covariance_type, 1e-6)
    assert_allclose(model.covariances_, covariances, rtol=1e-9, atol=1e-12)
    assert_allclose(model.shrinkage_, a, rtol=1e-9)
    assert_allclose(model.means_, means, rtol=1e-9)


@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("known", ["nothing", "labels", "shares"])
def test_labels_and_assignment(known, assignment):
    """A step from a given start: the sums over points of 'ledoit-wolf' count them as the kernels do."""
    X, labels = three_groups()
    some = partly_known(labels)
    shares_given = np.where(some[:, None] >= 0, np.eye(3)[some] + 0.2, 1.0)
    given = {"nothing": None, "labels": some, "shares": shares_given}[known]
    start = data_sets.start(X, 3, "full")
    params = {"assignment": assignment, "algorithm": "em", "max_iter": 1, "reg_covar": 0, **start}
    model = quietly(mixture(3, shrinkage="ledoit-wolf", **params), X, labels=given)
    covariances = np.linalg.inv(start["precisions_init"])
    _, shares = naive.e_step(X, start["weights_init"], start["means_init"], covariances, "full")
    if known == "labels":
        shares = np.where(some[:, None] >= 0, np.eye(3)[some], shares)
    if known == "shares":
        shares = shares * shares_given / (shares * shares_given).sum(axis=1, keepdims=True)
    if assignment == "hard":
        shares = np.eye(3)[shares.argmax(axis=1)]
    expected = m_step(X, shares, "ledoit-wolf", "full", 0)
    assert_allclose(model.shrinkage_, expected[3], rtol=1e-9)
    assert_allclose(model.covariances_, expected[2], rtol=1e-9, atol=1e-12)


def test_stochastic_assignment():
    """Fourth moments are summed by probabilities, S is as drawn."""
    X, _ = points(3000)
    model = quietly(mixture(3, shrinkage="ledoit-wolf", assignment="stochastic"), X)
    _, shares = naive.e_step(X, model.weights_, model.means_, model.covariances_, "full")
    assert_allclose(model.shrinkage_, m_step(X, shares, "ledoit-wolf", "full", 0)[3], rtol=0.3)


@each_kind
def test_sources_threads_and_far_data(shrinkage, tmp_path):
    X, _ = points(3000)
    np.save(tmp_path / "X.npy", X)
    params = {"shrinkage": shrinkage, "max_iter": 10}
    model = quietly(mixture(3, **params), X)
    blocks = quietly(mixture(3, **params), lambda: iter(np.array_split(X, 7)))
    mapped = quietly(mixture(3, **params), np.load(tmp_path / "X.npy", mmap_mode="r"))
    threads = quietly(GaussianMixture(3, random_state=0, n_threads=2, **params), X)
    for other in blocks, mapped, threads:
        assert_same_bits(model, other)
        assert_array_equal(model.shrinkage_, other.shrinkage_)
    start = data_sets.start(X, 3, "full")
    near = quietly(mixture(3, algorithm="em", **params, **start), X)
    far = quietly(mixture(3, algorithm="em", **params, **{**start, "means_init": start["means_init"] + 1e6}), X + 1e6)
    assert_allclose(far.shrinkage_, near.shrinkage_, rtol=1e-6)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("shrinkage", ["oas", "ledoit-wolf"])
def test_layout_and_unit_of_the_points_dont_matter(shrinkage, covariance_type):
    """Fourth powers of data in the largest and smallest units would overflow, or vanish."""
    X, _ = points(300, 4, 2)
    fits = {"covariance_type": covariance_type, "shrinkage": shrinkage, "algorithm": "em"}
    expected = quietly(mixture(2, **fits), X)
    assert (expected.shrinkage_ > 0).all() and (expected.shrinkage_ < 0.5).all()
    assert_same_bits(quietly(mixture(2, **fits), np.asfortranarray(X)), expected)
    for unit in (2.0**-400, 2.0**400):
        model = quietly(mixture(2, reg_covar=1e-6 * unit**2, **fits), X * unit)
        assert_allclose(model.shrinkage_, expected.shrinkage_, rtol=1e-9)
        assert_allclose(model.means_, expected.means_ * unit, rtol=1e-9)


@each_kind
def test_float32(shrinkage):
    X, _ = points(2000)
    start = data_sets.start(X, 3, "full")
    single = quietly(mixture(3, shrinkage=shrinkage, algorithm="em", max_iter=5, **start), X.astype(np.float32))
    double = quietly(mixture(3, shrinkage=shrinkage, algorithm="em", max_iter=5, **start), X)
    assert single.covariances_.dtype == np.float32
    assert_allclose(single.covariances_, double.covariances_, rtol=1e-3, atol=1e-4)
    assert_allclose(single.shrinkage_, double.shrinkage_, rtol=1e-3)


@each_kind
def test_saved_and_loaded(shrinkage, tmp_path):
    X, _ = three_groups()
    model = quietly(mixture(3, shrinkage=shrinkage, max_iter=3), X)
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert loaded.shrinkage == shrinkage
    assert_array_equal(loaded.shrinkage_, model.shrinkage_)
    on, again = (quietly(each.set_params(warm_start=True, max_iter=50), X) for each in (model, loaded))
    assert_allclose(again.covariances_, on.covariances_, rtol=1e-3)
    whole = mixture(3, shrinkage=shrinkage, max_iter=500, tol=1e-9).fit(X)
    assert_allclose(on.lower_bound_, whole.lower_bound_, atol=0.01)


@each_kind
@each_type
def test_partial_fit_goes_on_from_a_fit(covariance_type, shrinkage):
    """After a fit and the same points again, S is as before: the fit's statistics are taken back exactly."""
    X, _ = points(2000)
    params = {"covariance_type": covariance_type, "shrinkage": shrinkage, "forgetting": 0.0, "reg_covar": 1e-2}
    model = mixture(3, tol=1e-12, max_iter=5000, **params).fit(X)
    before, a = model.covariances_, model.shrinkage_
    model.partial_fit(X)
    if shrinkage == 0.3:
        assert_allclose(model.covariances_, before, rtol=1e-3, atol=1e-4)
        assert_array_equal(model.shrinkage_, 0.3)
    elif shrinkage == "oas":
        assert_allclose(model.shrinkage_, a / 2, rtol=0.02)  # twice as many points
    else:
        assert ((a / 3 < model.shrinkage_) & (model.shrinkage_ < a)).all()  # Gaussian fourth moments


def test_partial_fit_from_the_first_batch():
    X, _ = points(4000)
    model = mixture(3, shrinkage="oas")
    for batch in np.array_split(X, 10):
        model.partial_fit(batch)
    assert_allclose(model.score(X), mixture(3, shrinkage="oas").fit(X).lower_bound_, atol=0.02)
    assert ((model.shrinkage_ > 0) & (model.shrinkage_ < 0.1)).all()


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@each_kind
def test_missing_values(covariance_type, shrinkage):
    """One step shrinks the covariances that a step without shrinkage has; Ledoit and Wolf's is Gaussian points'."""
    X, _ = three_groups(400)
    holes = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.15, np.nan, X)
    start = data_sets.start(X, 3, covariance_type)
    params = {"covariance_type": covariance_type, "missing": "em", "algorithm": "em", "reg_covar": 0.0, **start}
    plain, shrunk = (quietly(mixture(3, shrinkage=each, max_iter=1, **params), holes) for each in (None, shrinkage))
    counts = np.full(1, 400) if covariance_type == "tied" else 400 * plain.weights_
    S = plain.covariances_.reshape(-1, 3, 3)
    traces, squares = np.trace(S, axis1=1, axis2=2), (S**2).sum(axis=(1, 2))
    distances = squares - traces**2 / 3
    a = {
        "oas": (squares + traces**2) / ((counts + 1) * distances),
        "ledoit-wolf": (squares + traces**2) / (counts * distances),
        0.3: np.full(len(S), 0.3),
    }[shrinkage]
    a = np.minimum(a, 1)
    expected = (1 - a)[:, None, None] * S + (a * traces / 3)[:, None, None] * np.eye(3)
    assert_allclose(shrunk.covariances_.reshape(expected.shape), expected, rtol=1e-9, atol=1e-12)
    assert_allclose(shrunk.shrinkage_, np.broadcast_to(a, 3), rtol=1e-9)
    whole = mixture(3, shrinkage=shrinkage, covariance_type=covariance_type, missing="em", max_iter=500).fit(holes)
    assert np.isfinite(whole.lower_bound_)


def test_few_points():
    """Two points for each component, in ten features: covariances are regular without reg_covar, and no warning."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(2, 10)) + 20 * k for k in range(4)])
    for shrinkage in "oas", 0.5:
        model = mixture(4, shrinkage=shrinkage, reg_covar=0.0).fit(X)
        assert_allclose(sorted(model.weights_), 0.25)
        assert np.linalg.eigvalsh(model.covariances_).min() > 1e-3


@pytest.mark.parametrize("shrinkage", KINDS)
def test_one_point_is_degenerate(shrinkage):
    """A single point has no mean variance either."""
    X = np.concatenate([np.random.default_rng(0).normal(size=(50, 3)), np.full((1, 3), 40.0)])
    with pytest.warns(fastem.DegenerateFitWarning, match="2 for each component"):
        mixture(2, shrinkage=shrinkage, means_init=[[0, 0, 0], [40, 40, 40]]).fit(X)


def test_select():
    X, _ = three_groups()
    found = fastem.select(X, [1, 3], ["full", "tied", "EVE"], shrinkage="oas", random_state=0)
    assert found.best_estimator_.shrinkage == "oas"
    assert found.best_estimator_.shrinkage_.shape == (found.best_estimator_.n_components,)
    status = dict(zip(found.results_["covariance_type"], found.results_["status"], strict=True))
    assert "doesn't support shrinkage" in status["EVE"]
    row = int(np.flatnonzero((found.results_["n_components"] == 3) & (found.results_["covariance_type"] == "full"))[0])
    model = quietly(mixture(3, shrinkage="oas"), X)
    assert found.results_["log_likelihood"][row] >= model.score(X) - 0.01


def test_marginals_and_conversion():
    X, _ = three_groups()
    model = mixture(3, shrinkage=0.3).fit(X)
    assert_allclose(model.marginal([0, 2]).covariances_, model.covariances_[:, [0, 2]][:, :, [0, 2]])
    assert_allclose(model.to_sklearn().score(X), model.score(X))


# -- what can't be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", [*FOURTEEN, "spherical"])
def test_families(covariance_type):
    X, _ = three_groups()
    model = mixture(3, covariance_type=covariance_type, shrinkage=0.1)
    if covariance_type in ("EEE", "VVI", "VVV"):
        assert quietly(model, X).shrinkage_.shape == (3,)
    else:
        with pytest.raises(ValueError, match="doesn't support shrinkage: use 'full', 'tied' or 'diag'"):
            model.fit(X)
        assert not hasattr(model, "means_")


@pytest.mark.parametrize("shrinkage", [-0.1, 1.1, np.nan, "lw"])
def test_bad_values(shrinkage):
    with pytest.raises(ValueError, match="'shrinkage' parameter of GaussianMixture"):
        mixture(shrinkage=shrinkage).fit(np.eye(5))


def test_what_excludes_it():
    X, _ = three_groups()
    with pytest.raises(ValueError, match="prior and shrinkage"):
        mixture(shrinkage=0.1, prior="default").fit(X)


@pytest.mark.parametrize(("estimator", "check"), [
    pytest.param(
        estimator, check, id=f"{estimator.shrinkage}-{check.func.__name__}",
        marks=[pytest.mark.exhaustive] if estimator.shrinkage == 0.1 else [],
    )
    for shrinkage in ("ledoit-wolf", 0.1)
    for estimator, check in estimator_checks_generator(GaussianMixture(shrinkage=shrinkage))
])  # fmt: skip
def test_scikit_learns_checks(estimator, check):
    check(estimator)
