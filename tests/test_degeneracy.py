"""What reg_covar or too few points decide about a mixture: found, and said once."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastem
from fastem import DegenerateFitWarning, GaussianMixture, StudentTMixture
from fastem.fitting.degeneracy import degeneracy, n_degenerate
from fastem.model.families import FAMILIES
from fastem.model.parameters import Parameters

from .data_sets import COVARIANCE_TYPES, load
from .grids import grid
from .problems import three_groups

REG_COVAR = 1e-6
each_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


def mixture(covariance_type, matrices, means, weights=None):
    """Parameters with these covariance matrices, (K, D, D), as far as the family can have them."""
    matrices = np.asarray(matrices, dtype=float)
    covariances = {
        "full": lambda: matrices,
        "tied": lambda: matrices[0],
        "diag": lambda: np.diagonal(matrices, axis1=1, axis2=2).copy(),
        "spherical": lambda: np.trace(matrices, axis1=1, axis2=2) / matrices.shape[1],
    }[covariance_type]()
    family = FAMILIES[covariance_type]
    weights = np.full(len(means), 1 / len(means)) if weights is None else np.asarray(weights)
    return Parameters(family, weights, np.asarray(means, float), covariances, family.precisions_cholesky(covariances))


def rotation(n_features, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n_features, n_features)))[0]


def warned(model, *args, **kwargs):
    """The texts of the warnings of a fit that are DegenerateFitWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*args, **kwargs)
    return [str(each.message) for each in caught if each.category is DegenerateFitWarning]


# -- what is degenerate -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_features", [2, 5, 12])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e5])
def test_a_flat_component_is_on_the_floor(n_features, scale):
    """Flat in a direction of its own, in which the others and so all points spread."""
    turn = rotation(n_features)
    variances = np.r_[0.3, np.ones(n_features - 1)]
    flat = turn @ np.diag(np.r_[0.0, np.ones(n_features - 1)]) @ turn.T
    usual = turn @ np.diag(variances) @ turn.T
    reg_covar = REG_COVAR * scale**2
    matrices = scale**2 * np.array([usual, flat, usual]) + reg_covar * np.eye(n_features)
    means = scale * np.random.default_rng(1).normal(size=(3, n_features))
    found = degeneracy(mixture("full", matrices, means), 1000, reg_covar)
    assert_array_equal(found.at_floor, [1])
    assert_array_equal(found.components, [1])
    assert n_degenerate(mixture("full", matrices, means), 1000, reg_covar) == 1
    assert found.n_dependent == found.features.size == found.constant.size == 0
    axis_aligned = mixture("diag", np.array([np.diag(variances), np.diag(variances), np.diag(variances * 0)]) * scale**2
                           + reg_covar * np.eye(n_features), means)  # fmt: skip
    assert_array_equal(degeneracy(axis_aligned, 1000, reg_covar).at_floor, [2])


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_what_is_flat_in_all_points_is_a_matter_of_the_features(covariance_type):
    """Dependent features say nothing against a component."""
    turn = rotation(4)
    matrix = turn @ np.diag([0.0, 1.0, 2.0, 0.5]) @ turn.T
    offsets = np.array([[0, 1.0, 0, 2.0], [0, -1, 3, 0], [0, 0, 0, 0]]) @ turn.T
    parameters = mixture(covariance_type, [matrix + REG_COVAR * np.eye(4)] * 3, offsets)
    found = degeneracy(parameters, 1000, REG_COVAR)
    assert found.n_dependent == 1
    assert found.components.size == found.constant.size == 0
    assert n_degenerate(parameters, 1000, REG_COVAR) == 0


@each_type
def test_a_constant_feature_says_nothing_against_a_component(covariance_type):
    matrix = np.diag([1.0, 0.0, 2.0]) + REG_COVAR * np.eye(3)
    found = degeneracy(mixture(covariance_type, [matrix] * 2, [[0, 7, 0], [1, 7, 3]]), 1000, REG_COVAR)
    assert_array_equal(found.constant, [] if covariance_type == "spherical" else [1])
    assert found.components.size == found.n_dependent == found.features.size == 0


@pytest.mark.parametrize(("ratio", "told"), [(5.0, True), (9.9, True), (10.1, False), (1e3, False)])
@each_type
def test_features_that_reg_covar_decides(covariance_type, ratio, told):
    """More than a tenth of the variance of all points, or, these apart, of a component's points."""
    if covariance_type != "spherical":  # which has no variance of a feature's own
        all_points = mixture(covariance_type, [np.diag([1.0, ratio * 0.01 + 0.01])] * 2, [[-10, 0], [10, 0]])
        found = degeneracy(all_points, 1000, 0.01)
        assert_array_equal(found.features, [1] if told else [])
        assert found.features_within.size == 0
    within = mixture(covariance_type, np.eye(2) * (ratio * 0.01 + 0.01) * np.ones((2, 1, 1)), [[-9, 9], [9, -9]])
    found = degeneracy(within, 1000, 0.01)
    assert_array_equal(found.features_within, [0, 1] if told else [])
    assert found.features.size == found.components.size == 0


@pytest.mark.parametrize("n_features", [1, 2, 7])
def test_components_on_few_points(n_features):
    means = np.random.default_rng(0).normal(size=(3, n_features))
    eyes = np.tile(np.eye(n_features), (3, 1, 1))
    for covariance_type, least in ("full", n_features + 1), ("diag", 2), ("spherical", 2):
        n_points = 40
        few = (least - 0.01) / n_points
        weights = [few, least / n_points + 1e-9, 1 - few - least / n_points - 1e-9]
        found = degeneracy(mixture(covariance_type, eyes, means, weights), n_points, REG_COVAR)
        assert_array_equal(found.on_few_points, [0])
    tied = mixture("tied", eyes, means)
    assert_array_equal(degeneracy(tied, n_features + 2, REG_COVAR).on_few_points, [0, 1, 2])
    assert degeneracy(tied, n_features + 3, REG_COVAR).on_few_points.size == 0


# -- what a fit says ------------------------------------------------------------------------------------------------


@each_type
@grid("name", ["faithful", "iris", "wine"], quick=["iris"])
def test_a_sound_fit_says_nothing(name, covariance_type):
    X, n_components = load(name)
    model = GaussianMixture(n_components, covariance_type=covariance_type, random_state=0)
    assert warned(model, X) == []
    assert model.fit_report_.degenerate == model.fit_report_.notes == []


@pytest.mark.parametrize("params", [{}, {"algorithm": "em"}, {"n_init": 3}, {"assignment": "hard"}])
def test_it_is_said_once_what_why_and_what_to_do(params):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(200, 2)), np.tile([[9.0, 9.0]], (40, 1))])  # one value repeats
    model = GaussianMixture(2, random_state=0, **params)
    texts = warned(model, X)
    assert len(texts) == 1
    spike = int(np.argmin(model.weights_))
    assert f"Component {spike} has a variance below reg_covar=1e-06" in texts[0]
    for remedy in "Lower n_components", "covariance_type", "prior='default'":
        assert remedy in texts[0]
    assert model.fit_report_.degenerate == [spike]
    assert texts[0].startswith(model.fit_report_.notes[0])
    assert model.fit_report_.notes[0] in str(model.fit_report_)
    assert warned(GaussianMixture(2, random_state=0, prior="default", **params), X) == []


@pytest.mark.parametrize(
    ("estimator", "advised"),
    [
        (GaussianMixture(2, random_state=0), "set prior='default' or shrinkage='oas', or choose"),
        (GaussianMixture(2, shrinkage=0.0, random_state=0), "n_components, or choose"),
        (StudentTMixture(2, random_state=0), "n_components, or choose"),
    ],
)
def test_only_remedies_that_the_model_has_are_advised(estimator, advised):
    X = np.random.default_rng(0).normal(size=(14, 6))
    (text,) = warned(estimator, X)
    assert advised in text


def test_rounded_items_and_ties():
    """Answers from 1 to 5: each component sits on one value of some item."""
    items = np.clip(np.round(np.random.default_rng(0).normal(3, 1, (300, 6))), 1, 5)
    model = GaussianMixture(9, covariance_type="diag", random_state=0)
    assert len(warned(model, items)) == 1
    flat = (model.covariances_ < 2e-6).any(axis=1)
    assert_array_equal(model.fit_report_.degenerate, np.flatnonzero(flat))
    assert flat.any()


@pytest.mark.parametrize(("n_samples", "n_features"), [(20, 30), (30, 90)])
def test_fewer_points_than_features(n_samples, n_features):
    X = np.random.default_rng(0).normal(size=(n_samples, n_features))
    (text,) = warned(GaussianMixture(2, random_state=0), X)
    assert f"{n_samples} points are too few for 2 components ('full' covariance of {n_features} features" in text
    assert warned(GaussianMixture(2, random_state=1, covariance_type="diag"), X) == []


@pytest.mark.parametrize("unit", [1e-5, 1e-4])
@each_type
def test_small_units_are_told_and_the_remedies_work(covariance_type, unit):
    rng = np.random.default_rng(3)
    X = np.vstack([rng.normal([1, 2], 0.1, (300, 2)), rng.normal([3, 1], 0.2, (200, 2))])
    (text,) = warned(GaussianMixture(2, covariance_type=covariance_type, random_state=0), X * unit)
    assert "Scale the data to unit variance, or lower reg_covar" in text
    assert "Features 0 and 1" in text
    for model, scale in (GaussianMixture(2, reg_covar=1e-6 * unit**2), unit), (GaussianMixture(2), 1.0):
        model.set_params(covariance_type=covariance_type, random_state=0)
        assert warned(model, X * scale) == []
        order = np.argsort(model.means_[:, 0])
        np.testing.assert_allclose(model.means_[order] / scale, [[1, 2], [3, 1]], atol=0.05)


def test_features_are_named_as_the_user_does():
    pandas = pytest.importorskip("pandas")
    X, _ = three_groups(200)
    frame = pandas.DataFrame({"width": X[:, 0], "always 1": 1.0, "depth": X[:, 1] * 1e-5})
    (text,) = warned(GaussianMixture(2, random_state=0), frame)
    assert "Feature 'always 1' is constant" in text
    assert "Feature 'depth' has a variance below ten times reg_covar=1e-06" in text


def test_dependent_features_are_told():
    X, _ = three_groups(300)
    (text,) = warned(GaussianMixture(2, random_state=0), np.c_[X, X.sum(axis=1)])
    assert "Features are linearly dependent: 1 of 4 directions have no variance" in text
    assert warned(GaussianMixture(2, random_state=0, covariance_type="diag"), np.c_[X, X.sum(axis=1)]) == []


def test_weights_count_rows_not_their_scale():
    X, _ = three_groups(100)
    weights = np.ones(100)
    assert warned(GaussianMixture(2, random_state=0), X, sample_weight=weights / 1e9) == []
    weights[3:] = 0
    (text,) = warned(GaussianMixture(2, random_state=0), X, sample_weight=weights)
    assert "3 points are too few for 2 components" in text


def test_known_labels_too():
    X, labels = three_groups(100)
    labels = np.where(labels == 2, 1, labels)
    labels[0] = 2
    (text,) = warned(GaussianMixture(3), X, labels=labels)
    assert "Component 2" in text


@pytest.mark.filterwarnings("error")
def test_warnings_as_errors_leave_the_estimator_as_it_was():
    model = GaussianMixture(2)
    with pytest.raises(DegenerateFitWarning):
        model.fit(np.ones((10, 2)))
    assert not any(name.endswith("_") and not name.startswith("_") for name in vars(model))


def test_a_report_comes_back_from_a_file(tmp_path):
    model = GaussianMixture(2, random_state=0)
    warned(model, np.repeat(np.eye(2), 20, axis=0))
    model.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz").fit_report_
    assert model.fit_report_.notes
    assert (again.notes, again.degenerate) == (model.fit_report_.notes, model.fit_report_.degenerate)
    assert again.remaining_change == pytest.approx(model.fit_report_.remaining_change, nan_ok=True)
