"""mclust's fourteen families against the textbook (`naive`), on eight real data sets."""

import functools
import itertools
import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import datasets
from sklearn.base import clone
from sklearn.decomposition import PCA

import fastem
import fastem.datasets
from fastem import DegenerateFitWarning, GaussianMixture
from fastem.callbacks import Frames
from fastem.fitting.degeneracy import n_degenerate
from fastem.model.families import FAMILIES, FOURTEEN
from fastem.model.families.base import NotInFamily
from fastem.sources import ArraySource
from fastem.sources.annotations import Annotations

from . import naive
from .fits import quietly
from .grids import grid

NEW = naive.PARSIMONIOUS
SETS = "faithful", "galaxies", "penguins", "reaven_miller", "iris", "wine", "cancer", "digits"


@functools.cache
def real(name):
    """(X, groups): standardised features, and a hard partition, by what is known of the points."""
    if name == "faithful":
        X = fastem.datasets.load_faithful().data
        groups = (X[:, 0] > 3).astype(int)
    elif name == "galaxies":
        X = fastem.datasets.load_galaxies().data
        groups = np.digitize(X[:, 0], np.quantile(X[:, 0], [0.3, 0.7]))
    elif name in ("penguins", "reaven_miller"):
        known = getattr(fastem.datasets, f"load_{name}")()
        X, groups = known.data, known.target
    else:
        load = datasets.load_breast_cancer if name == "cancer" else getattr(datasets, f"load_{name}")
        X, groups = load(return_X_y=True)
        X = PCA(8, random_state=0).fit_transform(X) if name == "digits" else X[:, : 10 if name == "cancer" else None]
    return (X - X.mean(axis=0)) / X.std(axis=0), groups


def n_free(code, K, D):
    """Free parameters of the covariances, as published (Celeux & Govaert 1995, table 1)."""
    axes = D * (D - 1) // 2
    volumes = K if code[0] == "V" else 1
    shapes = {"E": D - 1, "V": K * (D - 1), "I": 0}[code[1]]
    return volumes + shapes + {"E": axes, "V": K * axes, "I": 0}[code[2]]


def expected(mass, own, matrices):
    """Twice the negative expected log-likelihood per point, but for constants."""
    total = 0.0
    for m, each, matrix in zip(mass, own, matrices, strict=True):
        total += m * (np.linalg.slogdet(matrix)[1] + np.trace(np.linalg.solve(matrix, each)))
    return total / mass.sum()


def own_covariances(X, groups):
    K = groups.max() + 1
    mass, _, full = naive.m_step(X, np.eye(K)[groups], "full", 1e-6)
    return mass * len(X), full


def in_shape(family, full):
    if not family.is_axis_aligned:
        return full
    variances = np.einsum("kii->ki", full)
    return variances.mean(axis=1) if len(family.shape(1, 2)) == 1 else variances


def constrained(code, mass, full):
    """Matrices of the family, (K, D, D), by the package."""
    family = FAMILIES[code]
    covariances = family.in_family(mass, in_shape(family, full))
    return family.matrices(covariances, *full.shape[:2])


def start_of(parameters):
    return {
        "weights_init": parameters.weights,
        "means_init": parameters.means,
        "precisions_init": parameters.precisions(),
    }


def turned(n_samples=900, n_features=3, seed=0, distance=3.0):
    rng = np.random.default_rng(seed)
    groups = np.arange(n_samples) % 3
    axes = np.linalg.qr(rng.normal(size=(3, n_features, n_features))).Q
    points = rng.normal(size=(n_samples, n_features)) * np.geomspace(0.5, 1.5, n_features)
    points = np.einsum("nij,nj->ni", axes[groups], points) * np.array([0.7, 1.0, 1.4])[groups, None]
    return points + distance * rng.normal(size=(3, n_features))[groups], groups


def mixture(code, K=3, **params):
    return GaussianMixture(K, **{"covariance_type": code, "random_state": 0, "n_threads": 1, **params})


# -- names ------------------------------------------------------------------------------------------------------------


def test_four_codes_are_other_names():
    for code, name in {**naive.CODES, "E": "EII", "V": "VII"}.items():
        assert FAMILIES[code] is FAMILIES[name]
    assert set(FOURTEEN) == {*NEW, *naive.CODES}
    X, _ = turned(300)
    one, other = quietly(mixture("VVV"), X), quietly(mixture("full"), X)
    assert_array_equal(one.covariances_, other.covariances_)
    assert clone(one).covariance_type == one.get_params()["covariance_type"] == "VVV"


@pytest.mark.parametrize("code", FOURTEEN)
def test_free_parameters_are_as_published(code):
    for K, D in itertools.product((1, 2, 5), (1, 2, 7)):
        assert FAMILIES[code].n_free(K, D) == n_free(code, K, D)


# -- the M-step -------------------------------------------------------------------------------------------------------


@grid("name", SETS, quick=["faithful", "galaxies", "iris", "penguins"])
@pytest.mark.parametrize("code", NEW)
def test_m_steps_of_real_sets_are_the_naive_ones(code, name):
    X, groups = real(name)
    mass, full = own_covariances(X, groups)
    _, _, covariances = naive.m_step(X, np.eye(len(mass))[groups], code, 1e-6)
    ours = constrained(code, mass, full)
    reference = naive.matrices(covariances, code, *full.shape[:2])
    found, best = expected(mass, full, ours), expected(mass, full, reference)
    assert found < best + 1e-9 * abs(best)
    if code not in ("EVE", "VVE"):  # whose axes may have several optima
        assert_allclose(ours, reference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("code", ["EVE", "VVE"])
@pytest.mark.parametrize("seed", range(3))
def test_common_axes_are_as_good_as_those_from_random_starts(code, seed):
    rng = np.random.default_rng(seed)
    K, D = 3, 4
    mass, points = rng.uniform(20, 200, K), rng.normal(size=(K, 12, D)) @ rng.normal(size=(K, D, D))
    full = points.transpose(0, 2, 1) @ points / 12
    found = expected(mass, full, constrained(code, mass, full))
    reached = []
    for _ in range(4):
        axes = naive.common_axes(mass, full, code, np.linalg.qr(rng.normal(size=(D, D))).Q)
        reached.append(naive.along_axes(mass, full, axes, code) + D)
    assert found < min(reached) + 1e-9


@pytest.mark.parametrize("code", ["EVE", "VVE"])
def test_common_axes_are_stationary(code):
    """No small rotation of two axes raises the expected log-likelihood, and commuting matrices stay as they are."""
    X, groups = real("iris")
    mass, full = own_covariances(X, groups)
    ours = constrained(code, mass, full)
    axes = np.linalg.eigh(np.tensordot([1.0, 1.4, 1.9], ours, axes=1))[1]
    assert_allclose(
        np.abs(axes.T @ ours @ axes - [np.diag(np.diag(axes.T @ each @ axes)) for each in ours]).max(), 0, atol=1e-12
    )
    for i, j in itertools.combinations(range(4), 2):
        slopes = []
        for angle in (-1e-5, 1e-5):
            rotation = np.eye(4)
            rotation[[i, j], [i, j]], rotation[i, j], rotation[j, i] = np.cos(angle), -np.sin(angle), np.sin(angle)
            slopes.append(naive.along_axes(mass, full, axes @ rotation, code))
        assert abs(slopes[1] - slopes[0]) / 2e-5 < 1e-7
        assert min(slopes) > naive.along_axes(mass, full, axes, code) - 1e-14
    assert_allclose(constrained(code, mass, ours), ours, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("code", NEW)
def test_an_m_step_leaves_what_is_in_the_family(code):
    X, groups = turned(300, 4)
    mass, full = own_covariances(X, groups)
    once = constrained(code, mass, full)
    assert_allclose(constrained(code, mass[::-1], once), once, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("code", NEW)
def test_a_component_without_points_has_no_say(code):
    X, groups = turned(300, 3)
    mass, full = own_covariances(X, groups)
    more = np.concatenate([full, 1e-6 * np.eye(3)[None]])
    assert_allclose(
        constrained(code, np.append(mass, 1e-14), more)[:3], constrained(code, mass, full), rtol=1e-6, atol=1e-8
    )


# -- fits -------------------------------------------------------------------------------------------------------------


@grid("name", SETS, quick=["faithful", "galaxies", "iris"])
@pytest.mark.parametrize("code", FOURTEEN)
def test_em_from_a_hard_partition_reaches_what_the_textbook_reaches(code, name):
    X, groups = real(name)
    K = groups.max() + 1
    n_iter = 4 if code in ("EVE", "VVE") and X.shape[1] > 8 else 15
    weights, means, covariances = naive.m_step(X, np.eye(K)[groups], code)
    family = FAMILIES[code]
    precisions = 1 / covariances if family.is_axis_aligned else np.linalg.inv(covariances)
    start = {"weights_init": weights, "means_init": means, "precisions_init": precisions}
    model = quietly(mixture(code, K, algorithm="em", tol=0, max_iter=n_iter, reg_covar=0, **start), X)
    *_, bounds = naive.steps(n_iter, X, weights, means, covariances, code, reg_covar=0)
    assert (np.diff(model.lower_bounds_) > -1e-12 * abs(bounds[-1])).all()
    if code in ("EVE", "VVE"):
        assert model.lower_bounds_[-1] > bounds[-1] - 1e-7 * abs(bounds[-1])
    else:
        assert_allclose(model.lower_bounds_, bounds, rtol=1e-7)


@pytest.mark.parametrize("code", NEW)
def test_em_never_falls_on_raw_features(code):
    """Thirty features with variances from 7e-6 to 3e5, and no reg_covar."""
    X = datasets.load_breast_cancer().data
    model = quietly(mixture(code, 2, algorithm="em", tol=0, max_iter=20, reg_covar=0), X)
    assert (np.diff(model.lower_bounds_) > -1e-11).all()


@pytest.mark.parametrize("code", NEW)
@pytest.mark.parametrize("algorithm", ["em", "auto"])
def test_every_mixture_of_a_fit_is_in_the_family(code, algorithm):
    X, _ = turned()
    frames = Frames()
    model = quietly(mixture(code, algorithm=algorithm, tol=1e-5).set_callbacks(frames), X)
    family = FAMILIES[code]
    for frame in frames.best[1:]:
        family.check(frame.covariances_, 3, 3, "covariances")
    assert (np.diff(model.lower_bounds_) > -1e-11).all()
    assert model.covariances_.shape == family.shape(3, 3)
    n_parameters = 2 + 9 + n_free(code, 3, 3)
    assert model.bic(X) == pytest.approx(-2 * model.score(X) * len(X) + n_parameters * np.log(len(X)))


@pytest.mark.parametrize("code", NEW)
def test_files_sklearn_and_known_parameters(code, tmp_path):
    X, _ = turned(600)
    model = quietly(mixture(code), X)
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert loaded.covariance_type == code
    scores = model.score_samples(X)
    assert_array_equal(loaded.score_samples(X), scores)
    assert_allclose(model.to_sklearn().score_samples(X), scores, rtol=1e-9)
    known = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_, covariance_type=code)
    assert_allclose(known.score_samples(X), scores, rtol=1e-9)
    wrong = model.covariances_ * np.random.default_rng(0).uniform(1, 1.01, size=model.covariances_.shape)
    wrong = 0.5 * (wrong + wrong.transpose(0, 2, 1)) if wrong.ndim == 3 else wrong
    with pytest.raises(NotInFamily, match=re.escape(f"covariance_type='{code}' has a constraint that 'covariances'")):
        GaussianMixture.from_parameters(model.weights_, model.means_, wrong, covariance_type=code)
    precisions = 1 / wrong if FAMILIES[code].is_axis_aligned else np.linalg.inv(wrong)
    with pytest.raises(NotInFamily, match="'precision'"):
        mixture(code, precisions_init=precisions).fit(X)


@pytest.mark.parametrize("given", ["weights", "labels", "hard", "partial_fit", "float32", "missing", "marginal"])
@grid("code", NEW, quick=["EII", "VEI", "VVE", "VEV"])
def test_the_rest_of_a_fit_knows_it(code, given):
    X, groups = turned()
    if given == "partial_fit":
        model = mixture(code)
        for part in np.array_split(X, 6):
            model.partial_fit(part)
    elif given == "weights":
        model = quietly(mixture(code), X, sample_weight=np.random.default_rng(0).uniform(0, 2, len(X)))
    elif given == "labels":
        model = quietly(mixture(code), X, labels=np.where(np.arange(len(X)) % 3 == 0, groups, -1))
    elif given == "hard":
        model = quietly(mixture(code, assignment="hard"), X)
    elif given == "missing":
        holes = X.copy()
        holes[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
        model = quietly(mixture(code, missing="em"), holes)
        assert (np.diff(model.lower_bounds_) > -1e-10).all()
    elif given == "marginal":
        model = quietly(mixture(code), X)
        part = model.marginal([0, 2])
        assert_allclose(part.means_, model.means_[:, [0, 2]])
        assert np.isfinite(model.conditional({1: X[0, 1]}).score(X[:, [0, 2]]))
    else:
        model = quietly(mixture(code), X.astype(np.float32))
        assert model.covariances_.dtype == np.float32
    tolerance = 1e-3 if given == "float32" else 1e-9
    family, values = FAMILIES[code], model.covariances_.astype(np.float64)
    assert_allclose(family.in_family(np.full(3, 1 / 3), values), values, rtol=tolerance, atol=tolerance)
    assert model.score(X) > quietly(mixture("EII", 1), X).score(X)


@pytest.mark.parametrize("code", NEW)
def test_priors_are_refused(code):
    with pytest.raises(NotInFamily, match=f"covariance_type='{code}' doesn't support priors"):
        mixture(code, prior="default").fit(turned(90)[0])


# -- degenerate fits --------------------------------------------------------------------------------------------------


def test_an_eev_component_collapses_by_its_shared_shape():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(3, 4)) * 0.1 + 30  # on a plane, but the shape is that of the others
    X = np.concatenate([rng.normal(size=(200, 4)), few])
    labels = np.repeat([0, 1], [200, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateFitWarning)
        quietly(mixture("EEV", 2), X, labels=labels)
        quietly(mixture("VEE", 2), X, labels=labels)
    for code in ("EVV", "VVE", "EVE"):
        with pytest.warns(DegenerateFitWarning, match=r"needs 5 for each component"):
            quietly(mixture(code, 2), X, labels=labels)
    flat = X @ np.diag([1.0, 1, 1, 0])
    flat[200:, 3] = 1.0
    with pytest.warns(DegenerateFitWarning, match=r"Components 0 and 1 have a variance below reg_covar"):
        quietly(mixture("EEV", 2), flat, labels=labels)


def with_flat_points(n_flat=60):
    """(X, groups): a round group, and one in a plane."""
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(n_flat, 3))
    flat[:, 0] = 6.0
    return np.concatenate([rng.normal(size=(300, 3)), flat]), np.repeat([0, 1], [300, n_flat])


@pytest.mark.parametrize("code", ["EVI", "EVE", "EVV"])
def test_a_common_volume_hides_no_flat_component(code):
    """Its covariance is scaled up to the others' volume, reg_covar's part of it, too."""
    X, groups = with_flat_points()
    model = mixture(code, 2)
    with pytest.warns(DegenerateFitWarning, match=r"Component 1 has a variance below reg_covar=1e-06"):
        quietly(model, X, labels=groups)
    assert np.diag(np.atleast_2d(FAMILIES[code].matrices(model.covariances_, 2, 3)[1])).min() > 2e-5
    assert model.fit_report_.degenerate == [1]
    family, parameters = FAMILIES[code], model._parameters()
    statistics = ArraySource(X).accumulate(parameters, annotations=Annotations(labels=groups, e_step=False))
    found = family.maximize(statistics, 1e-6)
    own = found.before_scaling
    assert n_degenerate(found, len(X), 1e-6) == 1
    volumes = np.linalg.det(family.matrices(own.covariances, 2, 3))
    assert volumes[0] > 100 * volumes[1]
    assert_allclose(family.variances(own.covariances, 2, 3)[1, 0], 1e-6, rtol=0.05)
    assert_allclose(
        own.precisions().reshape(2, -1) * own.covariances.reshape(2, -1) if family.is_axis_aligned
        else (own.precisions() @ own.covariances).reshape(2, -1),
        1.0 if family.is_axis_aligned else np.tile(np.eye(3).ravel(), (2, 1)), atol=1e-9,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@grid(("kind", "collapsed"), [
    ("one plane", {"EVI", "VVI", "EVE", "VVE", "EVV", "VVV"}),
    ("two planes", {"EVI", "VVI", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"}),
    ("parallel planes", set(FOURTEEN) - {"EII", "VII"}),
], quick=slice(1))  # fmt: skip
def test_select_sees_which_families_collapse(kind, collapsed):
    """Those whose shapes or axes can follow the points into planes; no best mixture is one of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) * [1.0, 1.0, 0.0]
    if kind == "one plane":
        X, _ = with_flat_points()
    elif kind == "two planes":
        X[150:] = X[150:] @ np.linalg.qr(rng.normal(size=(3, 3))).Q + 8
    else:
        X[150:, 2] = 10.0
    found = fastem.select(X, 2, "all", random_state=0)
    status = dict(zip(found.results_["covariance_type"], found.results_["status"], strict=True))
    assert {code for code in FOURTEEN if status[code] == "collapsed"} == collapsed
    assert found.best_estimator_.covariance_type not in collapsed


@pytest.mark.parametrize("code", ["VVE", "VVV"])
def test_no_start_wins_by_a_flat_component(code):
    rng = np.random.default_rng(3)
    flat = rng.normal(size=(150, 3)) * [3.0, 1.0, 0.0] + [3.0, 0.0, 0.5]
    X = np.concatenate([rng.normal(size=(150, 3)), rng.normal(size=(150, 3)) + np.array([6.0, 0.0, 0.0]), flat])
    model = mixture(code, 2, n_init=3).fit(X)  # no warning
    assert model.fit_report_.degenerate == []
    with pytest.warns(DegenerateFitWarning):
        collapsed = mixture(code, 2).fit(X, labels=np.repeat([0, 1], [300, 150]))
    with pytest.warns(DegenerateFitWarning):
        collapsed.set_params(warm_start=True, algorithm="em").fit(X)
    assert collapsed.lower_bound_ > model.lower_bound_ + 1


@pytest.mark.parametrize("code", NEW)
def test_points_are_counted_as_the_constraint_needs_them(code):
    """From random points, the covariances are regular exactly where no component lacks points."""
    family, rng, K, D = FAMILIES[code], np.random.default_rng(1), 3, 4
    for counts in itertools.product((1, 2, 3, 5, 9), repeat=K):
        mass = np.array(counts, float)
        lacking = family.points_lacking(mass, D)
        own = []
        for count in counts:
            points = rng.normal(size=(count, D))
            points -= points.mean(axis=0)
            own.append(points.T @ points / count)
        own = in_shape(family, np.array(own))
        if code in ("EVE", "VVE", "EVV"):
            least = np.linalg.eigvalsh(own)[:, 0]
        elif family.is_axis_aligned:
            least = family.in_family(mass, own).reshape(K, -1).min(axis=1)
        else:
            least = np.linalg.eigvalsh(np.nan_to_num(family.in_family(mass, own)))[:, 0]
        regular = least > 1e-9
        if code in ("VEE", "VEV"):  # likelihoods may be unbounded though every matrix is regular
            assert regular.all() or lacking.any(), counts
        else:
            assert_array_equal(lacking, ~regular, err_msg=str(counts))


def test_select_ranks_all_fourteen():
    X = datasets.load_iris().data
    selection = fastem.select(X, [2, 3], "all", random_state=0, tol=1e-6, max_iter=500)
    best = selection.best_estimator_
    assert (best.covariance_type, best.n_components) == ("VEV", 2)  # as mclust, whose BIC is -561.73
    assert best.bic(X) == pytest.approx(561.73, abs=0.05)
    assert set(selection.results_["covariance_type"]) == set(FOURTEEN)
