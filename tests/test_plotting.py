"""Pictures: what is drawn stands where the numbers say, looks as it did, and nothing is left behind."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.callbacks import Frames
from fastem.datasets import load_faithful, load_penguins
from fastem.model.families import FAMILIES, FOURTEEN
from fastem.plotting import (
    ConditionalDisplay,
    DataDisplay,
    IterationDisplay,
    LogLikelihoodDisplay,
    MahalanobisDisplay,
    MixtureDisplay,
    ResponsibilityDisplay,
    SelectionDisplay,
    _colors,
    _film_file,
    _mixture,
    _panels,
    _points,
    _run,
    _words,
    animate_fit,
)

from .grids import exhaustive, grid

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'fastem[plot]'")
image = pytest.importorskip("PIL.Image", reason="films need Pillow: pip install 'fastem[plot]'")
matplotlib.use("Agg")
mcolors = pytest.importorskip("matplotlib.colors")
plt = pytest.importorskip("matplotlib.pyplot")
Text = pytest.importorskip("matplotlib.text").Text
Legend = pytest.importorskip("matplotlib.legend").Legend
Affine2D = pytest.importorskip("matplotlib.transforms").Affine2D

MINUS = "\N{MINUS SIGN}"
IMAGES = Path(__file__).parent / "images"
NAMES = ["eruptions", "waiting"]
RESTARTS = GaussianMixture(2, algorithm="em", n_init=4, init_params="random_from_data", random_state=0)


pytestmark = pytest.mark.usefixtures("settings_kept")


@pytest.fixture(scope="module")
def faithful():
    X = load_faithful().data
    return X, GaussianMixture(2, random_state=0).fit(X)


@pytest.fixture(scope="module")
def iris():
    X = load_iris().data
    return X, GaussianMixture(3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def frames(faithful):
    """Those of a fit with four starts."""
    X, _ = faithful
    frames = Frames()
    clone(RESTARTS).set_callbacks(frames).fit(X)
    return frames


def gaussians(n=200, offset=0.0, scale=1.0):
    """Two groups in a plane."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(n, 2)), rng.normal(size=(n // 2, 2)) * [0.5, 1] + [4, 3]])
    return X * scale + offset


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


# The mixture over its points


def test_an_ellipse_has_the_axes_of_the_covariance(faithful):
    X, model = faithful
    display = MixtureDisplay.from_estimator(model, X)
    for k, outlines in enumerate(display.ellipses_):
        inverse = np.linalg.inv(model.covariances_[k])
        for sigma, outline in zip((1, 2, 3), outlines, strict=True):
            enlarged = outline.get_path().transformed(Affine2D().scale(1e4))  # curves are drawn to a tenth of a pixel
            points = enlarged.to_polygons()[0] / 1e4 - model.means_[k]
            distances = np.sqrt(np.einsum("ij,jk,ik->i", points, inverse, points))
            np.testing.assert_allclose(distances, sigma, rtol=2e-3)  # Bezier curves are that close to a circle
            variances, axes = np.linalg.eigh(model.covariances_[k])
            reach = np.abs(points @ axes).max(axis=0)
            np.testing.assert_allclose(reach, sigma * np.sqrt(variances), rtol=1e-2)


def test_axes_hold_all_ellipses_and_are_labelled(faithful):
    X, model = faithful
    display = MixtureDisplay.from_estimator(model, X, feature_names=NAMES)
    ax = display.ax_
    for outlines in display.ellipses_:
        low, high = outlines[-1].get_path().get_extents().get_points()
        assert ax.get_xlim()[0] < low[0] < high[0] < ax.get_xlim()[1]
        assert ax.get_ylim()[0] < low[1] < high[1] < ax.get_ylim()[1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions", "waiting")
    assert texts(display.legend_)[:2] == ["0: weight 0.36, mean (2.04, 54.5)", "1: weight 0.64, mean (4.29, 80.0)"]
    assert ax.get_title(loc="left").startswith(
        f"2 components, full covariance, 272 points\nlog-likelihood {MINUS}4.155 nats"
    )


def test_nothing_overlaps_and_nothing_is_cut_off(faithful):
    X, model = faithful
    figure = MixtureDisplay.from_estimator(model, X).figure_
    figure.canvas.draw()
    (ax,) = figure.axes
    parts = [ax.get_legend(), ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
    boxes = [part.get_window_extent() for part in parts if not hasattr(part, "get_text") or part.get_text()]
    boxes.append(ax.get_window_extent())
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_points_are_mixed_from_the_colours_of_the_components(faithful):
    X, model = faithful
    display = MixtureDisplay.from_estimator(model, X)
    shares = model.predict_proba(X)
    expected = _colors.to_rgb(shares @ _colors.to_lab(_colors.palette(2)))
    np.testing.assert_allclose(display.points_.get_facecolor()[:, :3], expected, atol=1e-12)


def test_shaded_regions_hold_what_the_legend_says(faithful):
    X, model = faithful
    display = MixtureDisplay.from_estimator(model, X)
    levels = display.contours_.levels[:3]
    drawn = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_, random_state=1)
    log_density = model.score_samples(drawn.sample(100_000)[0])
    held = [(log_density >= level).mean() for level in levels]
    np.testing.assert_allclose(held, [0.99, 0.90, 0.50], atol=0.01)
    assert texts(display.legend_)[-1] == "the densest 50, 90, 99 % of the mixture"


@pytest.mark.parametrize("covariance_type", [name for name in FAMILIES if FAMILIES[name].ignores_factors])
def test_curves_are_those_of_the_density(faithful, covariance_type):
    X = faithful[0][:, :1]
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    panel = MixtureDisplay.from_estimator(model, X).panels_[0]
    x, total = panel.total.get_data()
    np.testing.assert_allclose(total, np.exp(model.score_samples(x[:, None])), rtol=1e-9)
    np.testing.assert_allclose(np.sum([curve.get_ydata() for curve in panel.curves], axis=0), total, rtol=1e-12)
    assert integrate.trapezoid(total, x) == pytest.approx(1, abs=0.01)
    heights, edges, _ = panel.histogram.get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1)


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_the_density_in_a_plane_is_the_models(faithful, covariance_type):
    X, _ = faithful
    model = GaussianMixture(3, covariance_type=covariance_type, n_factors=1, random_state=0).fit(X)
    np.testing.assert_allclose(_mixture.Mixture.of(model).log_density(X), model.score_samples(X), rtol=1e-9)


def test_a_corner_shows_the_marginals(iris):
    X, model = iris
    display = MixtureDisplay.from_estimator(model, X, feature_names=load_iris().feature_names)
    assert display.axes_.shape == (4, 4)
    assert all((display.axes_[i, j] is None) == (j > i) for i in range(4) for j in range(4))
    x, total = display.panels_[2, 2].total.get_data()
    expected = stats.norm.pdf(x[:, None], model.means_[:, 2], np.sqrt(model.covariances_[:, 2, 2])) @ model.weights_
    np.testing.assert_allclose(total, expected, rtol=1e-9)
    outline = display.panels_[3, 1].ellipses[0][0].get_path().vertices - model.means_[0, [1, 3]]
    inverse = np.linalg.inv(model.covariances_[0][np.ix_([1, 3], [1, 3])])
    on_curve = outline[::3][:8]  # the first of three vertices of each Bezier curve lies on it
    np.testing.assert_allclose(np.einsum("ij,jk,ik->i", on_curve, inverse, on_curve), 1, rtol=1e-6)
    assert display.axes_[3, 0].get_xlabel() == "sepal length (cm)"
    assert display.axes_[2, 0].get_ylabel() == "petal length (cm)"
    assert display.axes_[3, 0].get_xlim() == display.axes_[0, 0].get_xlim()


def test_of_many_features_those_that_separate_are_shown():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 20)) * np.logspace(-6, 6, 20)
    X[:200, [3, 11]] += 5 * np.logspace(-6, 6, 20)[[3, 11]]
    model = GaussianMixture(2, covariance_type="diag", reg_covar=1e-18, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(model, X)
    assert display.axes_.shape == (6, 6) and {"feature 3", "feature 11"} <= set(display.points.names)
    assert "6 of 20 features" in display.title
    chosen = MixtureDisplay.from_estimator(model, X, features=["feature 11", 3])
    assert (chosen.ax_.get_xlabel(), chosen.ax_.get_ylabel()) == ("feature 11", "feature 3")
    assert list(_mixture.most_separating(_mixture.Mixture.of(model), 2)) == [3, 11]


def test_many_points_are_an_image_of_their_number():
    X = np.tile(gaussians(), (100, 1))
    display = MixtureDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(X), X)
    assert display.points_ in display.ax_.images
    assert display.panels_[0].cloud.counts.sum() == len(X)
    pixels = display.points_.get_array()
    assert ((pixels[:, :, 3] > 0) == (display.panels_[0].cloud.counts > 0)).all()


def test_far_outliers_are_left_out_and_counted():
    X = np.tile(gaussians(), (20, 1))
    model = GaussianMixture(2, random_state=0).fit(X)
    X = np.vstack([X, [[1e4, 0]] * 3])
    display = MixtureDisplay.from_estimator(model, X)
    assert display.ax_.get_xlim()[1] < 100
    assert display.panels_[0].outside.get_text() == "3 points outside"


def test_of_more_points_a_sample_is_drawn(faithful):
    X, model = faithful
    display = MixtureDisplay.from_estimator(model, X, max_points=100)
    assert len(display.points_.get_offsets()) == 100
    assert "100 of 272 points" in display.title


def test_with_many_components_the_legend_names_the_heaviest():
    X = np.random.default_rng(0).normal(size=(600, 2))
    model = GaussianMixture(15, random_state=0, max_iter=1000).fit(X)
    words = texts(MixtureDisplay.from_estimator(model, X).legend_)
    named = [int(word.split(":")[0]) for word in words[:10]]
    assert set(named) == set(np.argsort(-model.weights_, kind="stable")[:10]) and words[10] == "+ 5 more, faded"


def test_given_axes_and_figures_are_drawn_on(faithful, iris):
    X, model = faithful
    figure = plt.figure()
    left, right = figure.subfigures(1, 2)
    ax = left.add_subplot()
    display = MixtureDisplay.from_estimator(model, X, ax=ax)
    assert display.ax_ is ax and display.figure_ is left
    assert MixtureDisplay.from_estimator(iris[1], iris[0], fig=right).figure_ is right
    assert len(plt.get_fignums()) == 1


def test_whatever_fit_takes_can_be_drawn(faithful, tmp_path):
    pandas = pytest.importorskip("pandas")
    X, model = faithful
    np.save(tmp_path / "X.npy", X)
    for same in (tmp_path / "X.npy", lambda: iter([X[:100], X[100:]]), X.tolist(), X.astype(np.float32)):
        display = MixtureDisplay.from_estimator(model, same)
        np.testing.assert_allclose(display.points.values, X, rtol=1e-6)
    table = pandas.DataFrame(X, columns=NAMES)
    display = MixtureDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(table), table)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("eruptions", "waiting")


@grid(("offset", "scale"), [(1e8, 1), (0, 1e-12), (0, 1e12), (0, np.array([1e-12, 1e8]))], quick=slice(3, 4))
def test_any_place_and_scale_looks_the_same(offset, scale):
    plain, X = gaussians(), gaussians(offset=offset, scale=scale)
    model = GaussianMixture.from_parameters([0.7, 0.3], [[0, 0], [4, 3]], [np.eye(2), np.diag([0.25, 1])])
    covariances = model.covariances_ * np.multiply.outer(np.ones(2) * scale, np.ones(2) * scale)
    moved = GaussianMixture.from_parameters([0.7, 0.3], model.means_ * scale + offset, covariances)
    pictures = []
    for mixture, points in ((model, plain), (moved, X)):
        display = MixtureDisplay.from_estimator(mixture, points)
        to_axes = display.ax_.transData + display.ax_.transAxes.inverted()
        outlines = np.concatenate([outline.get_path().vertices for each in display.ellipses_ for outline in each])
        pictures.append(to_axes.transform(outlines))
        display.figure_.canvas.draw()
    np.testing.assert_allclose(*pictures, atol=1e-5)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@exhaustive
def test_degenerate_data_can_be_drawn():
    X = gaussians()
    constant = np.column_stack([X[:, 0], np.full(len(X), 7.0)])
    for values in (constant, constant[:, ::-1], constant[:, 1:]):
        model = GaussianMixture(2, random_state=0, tol=1e9).fit(values)
        MixtureDisplay.from_estimator(model, values).figure_.canvas.draw()
        DataDisplay.from_data(values).figure_.canvas.draw()
    model = GaussianMixture(1).fit(X)
    for draw in (MixtureDisplay, ResponsibilityDisplay, MahalanobisDisplay):
        draw.from_estimator(model, X[:1]).figure_.canvas.draw()


def test_errors_are_the_models_own(faithful):
    X, model = faithful
    for draw in (MixtureDisplay, ResponsibilityDisplay, MahalanobisDisplay):
        with pytest.raises(NotFittedError):
            draw.from_estimator(GaussianMixture(2), X)
        with pytest.raises(ValueError, match="X has 1 features, but GaussianMixture is expecting 2"):
            draw.from_estimator(model, X[:, :1])
        with pytest.raises(ValueError, match="NaN"):
            draw.from_estimator(model, np.where(X > 90, np.nan, X))
    with pytest.raises(ValueError, match="features: there is no feature 'depth' among feature 0, feature 1"):
        MixtureDisplay.from_estimator(model, X, features=["depth"])
    with pytest.raises(ValueError, match="features: there is no feature 2; they are numbered 0 to 1"):
        MixtureDisplay.from_estimator(model, X, features=[0, 2])
    with pytest.raises(ValueError, match="feature_names should be 2 names, but got 1"):
        MixtureDisplay.from_estimator(model, X, feature_names=["eruptions"])


# The data


def test_known_groups_get_their_gaussians():
    X, y = load_iris(return_X_y=True)
    names = np.array(load_iris().target_names)[y].astype(object)
    names[::10] = None
    display = DataDisplay.from_data(X, names, features=[2, 3])
    known = np.array([name is not None for name in names])
    fitted = GaussianMixture(3, reg_covar=0).fit(X[known][:, 2:], labels=y[known])
    np.testing.assert_allclose(display.mixture.weights, fitted.weights_)
    np.testing.assert_allclose(display.mixture.means, fitted.means_)
    np.testing.assert_allclose(display.mixture.covariances, fitted.covariances_)
    assert texts(display.legend_)[0].startswith("0 setosa: weight 0.33, mean (1.4")
    assert display.title == "150 points, 3 groups, 15 unknown"
    drawn = display.points_.get_facecolor()[:, :3]
    np.testing.assert_allclose(drawn[known], _colors.palette(3)[y[known]], atol=1e-6)
    assert len(np.unique(drawn[~known].round(6), axis=0)) == 1


def test_labels_stay_with_their_points_in_a_sample():
    X = np.arange(2000.0).reshape(1000, 2)
    display = DataDisplay.from_data(X, (X[:, 0] >= 1000).astype(int), max_points=100)
    is_second = np.isclose(display.lab, _colors.to_lab(_colors.palette(2)[1])).all(axis=1)
    np.testing.assert_array_equal(is_second, display.points.values[:, 0] >= 1000)


def test_labels_that_say_nothing_or_too_little_are_refused():
    X = gaussians()
    with pytest.raises(ValueError, match=r"labels should have the shape \(300,\), one for each point"):
        DataDisplay.from_data(X, np.zeros(10, int))
    with pytest.raises(ValueError, match="labels should be known for at least one point"):
        DataDisplay.from_data(X, np.full(300, -1))


def test_points_alone_have_one_colour():
    display = DataDisplay.from_data(gaussians())
    assert len(np.unique(display.points_.get_facecolor(), axis=0)) == 1 and display.legend_ is None


def test_bins_of_rounded_values_are_no_comb():
    x = np.random.default_rng(0).normal(size=400).round(1)
    heights, edges, _ = DataDisplay.from_data(x[:, None]).panels_[0].histogram.get_data()
    steps = np.diff(edges) / 0.1
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1)


# Responsibilities


def test_entropy_is_that_of_the_responsibilities(iris):
    X, model = iris
    display = ResponsibilityDisplay.from_estimator(model, X)
    shares = model.predict_proba(X)
    expected = -np.sum(np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1)), 0), axis=1)
    np.testing.assert_allclose(display.entropy, expected, atol=1e-12)
    np.testing.assert_array_equal(display.labels, model.predict(X))
    assert display.colorbar_.vmin == 0 and display.colorbar_.vmax == pytest.approx(max(np.log(2), expected.max()))
    hard = {mcolors.to_hex(color) for color in display.panels_[0].cloud.artist.get_facecolor()}
    assert hard == {mcolors.to_hex(color) for color in _colors.palette(3)}


def test_responsibilities_over_a_line_are_the_models(faithful):
    X = faithful[0][:, :1]
    model = GaussianMixture(3, random_state=0).fit(X)
    bars, lines, (entropy,) = ResponsibilityDisplay.from_estimator(model, X).panels_
    x = lines[0].get_xdata()
    shares = model.predict_proba(x[:, None])
    np.testing.assert_allclose(np.column_stack([line.get_ydata() for line in lines]), shares, atol=1e-9)
    np.testing.assert_allclose(entropy.get_ydata(), stats.entropy(shares, axis=1), atol=1e-9)
    assert len(bars) == 3


# One feature along another


def test_a_column_is_the_conditional_density(iris):
    X, model = iris
    display = ConditionalDisplay.from_estimator(model, X, features=[3, 1], given={0: 5.5})
    left, right, bottom, top = display.image_.get_extent()
    n = display.density_.shape[0]
    y = bottom + (top - bottom) * (np.arange(n) + 0.5) / n
    for column in (40, 200):
        x = left + (right - left) * (column + 0.5) / display.density_.shape[1]
        given = model.conditional({0: 5.5, 3: x}).marginal(0)
        np.testing.assert_allclose(display.density_[:, column], np.exp(given.score_samples(y[:, None])), rtol=1e-6)
        means, variances = given.means_[:, 0], given.covariances_[:, 0, 0]
        mean = given.weights_ @ means
        deviation = np.sqrt(given.weights_ @ (variances + (means - mean) ** 2))
        np.testing.assert_allclose(display.mixture.regression(np.array([x])), [[mean], [deviation]], rtol=1e-9)
    assert display.ax_.get_title(loc="left") == "feature 1 given feature 3, feature 0 = 5.5"
    assert "150 points, condition ignored" in texts(display.legend_)


def test_the_picture_fades_where_the_model_knows_little(faithful):
    X, model = faithful
    apart = GaussianMixture.from_parameters([0.5, 0.5], [[-20, 0], [20, 5]], [np.eye(2)] * 2)
    display = ConditionalDisplay.from_estimator(apart)
    opacity = display.image_.get_array()[0, :, 3]
    assert opacity[len(opacity) // 2] < 1e-6 and opacity.max() == 1
    x, y = display.mean_.get_data()
    assert np.isnan(y[np.abs(x) < 15]).all() and np.isfinite(y[np.abs(np.abs(x) - 20) < 2]).all()
    assert display.points_ is None and np.isfinite(display.density_).all()
    axes = plt.figure().subplots()
    shown = ConditionalDisplay.from_estimator(model, X, feature_names=NAMES, features=["waiting", "eruptions"], ax=axes)
    assert shown.ax_ is axes and shown.colorbar_ is None
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("waiting", "eruptions")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": [0]}, "features should name two different features"),
        ({"features": [1, 1]}, "features should name two different features"),
        ({"features": [0, 1], "given": {1: 3.0}}, "given should hold other features than the two shown"),
        ({"given": {0: np.nan}}, "given should hold finite values, but that of feature 0 is nan"),
        ({"given": {0: 1, 1: 1, 2: 1}}, "given should leave two features to show, but holds 3 of 4"),
        ({"given": {"depth": 1}}, "there is no feature 'depth'"),
    ],
)
def test_what_cannot_be_shown_along_another_is_refused(iris, settings, message):
    with pytest.raises(ValueError, match=message):
        ConditionalDisplay.from_estimator(iris[1], **settings)


# Missing values


@pytest.fixture(scope="module")
def incomplete():
    """Penguins, some of whose sizes were not measured, and their mixture."""
    X = load_penguins().data.copy()
    X[np.random.default_rng(0).uniform(size=X.shape) < 0.1] = np.nan
    return X, GaussianMixture(3, missing="em", random_state=0).fit(X)


def n_seen(X, *features):
    return int((~np.isnan(X[:, features])).all(axis=1).sum())


def test_panels_leave_out_points_that_lack_what_they_show(incomplete):
    X, model = incomplete
    corner = MixtureDisplay.from_estimator(model, X)
    assert len(corner.panels_[2, 1].points.get_offsets()) == n_seen(X, 1, 2)
    heights, edges, _ = corner.panels_[3, 3].histogram.get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1)
    n = len(X) - n_seen(X, 0, 1, 2, 3)
    words = texts(corner.legend_)[-1].split("\n")
    assert words[:2] == [f"{n} of 342 points lack a value shown here:", f"  feature 0 {len(X) - n_seen(X, 0)}"]
    plane = MixtureDisplay.from_estimator(model, X, features=[0, 1])
    seen = ~np.isnan(X[:, :2]).any(axis=1)
    expected = _colors.to_rgb(model.predict_proba(X)[seen] @ _colors.to_lab(_colors.palette(3)))
    np.testing.assert_allclose(plane.points_.get_facecolor()[:, :3], expected, atol=1e-9)
    assert texts(plane.legend_)[-1] == f"{len(X) - seen.sum()} of 342 points lack a value shown here"
    line = ResponsibilityDisplay.from_estimator(model, X, features=[0])
    bars = [part.get_data() for part in line.panels_[0]]
    filled = sum(np.sum((values - base) * np.diff(edges)) for values, edges, base in bars)
    assert filled == pytest.approx(1)
    along = ConditionalDisplay.from_estimator(model, X, features=[0, 1])
    assert texts(along.legend_)[-1] == texts(plane.legend_)[-1]
    for display in (corner, plane, line, along, ResponsibilityDisplay.from_estimator(model, X)):
        display.figure_.canvas.draw()


def test_points_without_a_model_may_lack_values(incomplete):
    X, _ = incomplete
    display = DataDisplay.from_data(X, features=[0, 1])
    assert len(display.points_.get_offsets()) == n_seen(X, 0, 1)
    n = len(X) - n_seen(X, 0, 1)
    assert display.ax_.get_title(loc="left") == f"342 points\n{n} of 342 points lack a value shown here"
    no_points = _panels.LinePanel(plt.figure().subplots(), X[:0, 0], "x", (0, 9), _colors.palette(1))
    no_points.show(_mixture.Mixture(np.ones(1), np.full((1, 1), 5.0), np.full((1, 1, 1), 0.01)))
    assert no_points.ax.get_ylim()[1] == pytest.approx(1.12 * stats.norm.pdf(0, scale=0.1))
    never_together = np.array([[0, np.nan], [1, np.nan], [np.nan, 5], [np.nan, 6]])
    assert len(DataDisplay.from_data(never_together).points_.get_offsets()) == 0


def test_groups_that_lack_values_are_fitted_by_em(incomplete):
    X, _ = incomplete
    y = load_penguins().target
    display = DataDisplay.from_data(X, y)
    for k in range(3):
        alone = GaussianMixture(1, missing="em", reg_covar=0, tol=1e-9, max_iter=500).fit(X[y == k])
        np.testing.assert_allclose(display.mixture.means[k], alone.means_[0], rtol=2e-3)
        np.testing.assert_allclose(display.mixture.covariances[k], alone.covariances_[0], rtol=0.1, atol=0.1)
    X = np.where((y == 1)[:, None] & (np.arange(4) == 2), np.nan, X)
    with pytest.raises(ValueError, match="the points of group '1' have no value of feature 2"):
        DataDisplay.from_data(X, y)


def test_distances_of_incomplete_points_have_their_own_degrees_of_freedom():
    rng = np.random.default_rng(0)
    model = GaussianMixture.from_parameters([1], [[0, 0, 0]], [np.eye(3) + 0.5]).set_params(missing="em")
    X = rng.multivariate_normal(np.zeros(3), np.eye(3) + 0.5, size=3000)
    X[rng.uniform(size=X.shape) < 0.3] = np.nan
    display = MahalanobisDisplay.from_estimator(model, X)
    without = int(np.isnan(X).all(axis=1).sum())
    assert len(display.distances[0]) == len(X) - without
    assert stats.kstest(display.distances[0], stats.chi2(3).cdf).pvalue > 0.01
    assert display.remark.endswith(f"exceeded as rarely in 3 features; {without} without any left out")


def test_a_fit_to_incomplete_points_is_filmed(tmp_path, incomplete):
    X, model = incomplete
    frames = Frames()
    GaussianMixture(3, missing="em", algorithm="em", random_state=0).set_callbacks(frames).fit(X)
    strip = IterationDisplay.from_frames(frames, X, n_frames=2)
    assert strip.run.log_likelihood[-1] == pytest.approx(frames.best[-1].score(X), rel=1e-9)
    assert len(strip.panels_[0].points.get_offsets()) == n_seen(X, *strip.features)
    run = _run.random_run(clone(model), X[:100])
    assert run[-1].score(X[:100]) > run[0].score(X[:100])
    with image.open(animate_fit(model, X, tmp_path / "fit.gif", frames=frames, max_frames=3)) as film:
        assert film.n_frames > 1


# Iterations


def test_iterations_that_are_asked_for_are_shown(faithful, frames):
    X, _ = faithful
    display = IterationDisplay.from_frames(frames, X, chosen=[0, 2, 3])
    assert display.n_iter_.tolist() == [0, 2, 3]
    score = frames.best[2].score(X)
    assert display.axes_[1].get_title(loc="left") == f"iteration 2: {score:.3f}".replace("-", MINUS)
    with pytest.raises(
        ValueError, match=r"chosen should list iterations that have a frame \(0, 1, 2, .*\), but got 999"
    ):
        IterationDisplay.from_frames(frames, X, chosen=[999])


@exhaustive
def test_chosen_iterations_begin_at_the_start_and_end_at_the_end(faithful, frames):
    X, _ = faithful
    display = IterationDisplay.from_frames(frames, X, n_frames=3)
    assert len(display.n_iter_) == 3 and (np.diff(display.n_iter_) > 0).all()
    assert (display.n_iter_[0], display.n_iter_[-1]) == (0, frames.best[-1].n_iter_)
    last = display.panels_[-1]
    np.testing.assert_allclose([dot.get_xydata()[0] for dot in last.means], frames.best[-1].means_)
    with pytest.raises(ValueError, match="frames should hold at least one fitted model"):
        IterationDisplay.from_frames([], X)


# Log-likelihood


def test_the_curve_is_that_of_the_lower_bounds(iris):
    model = GaussianMixture(3, random_state=0, init_params="random").fit(iris[0])
    display = LogLikelihoodDisplay.from_estimator(model)
    x, y = display.lines_[0].get_data()
    np.testing.assert_array_equal(y, model.lower_bounds_)
    np.testing.assert_array_equal(x, np.arange(1, len(y) + 1))
    is_accelerated = np.array(model.fit_report_.kinds) == "accelerated"
    assert is_accelerated.any()
    np.testing.assert_array_equal(display.accelerated_.get_ydata(), y[is_accelerated])


def test_stages_of_the_search_stand_before_the_curve():
    X = np.tile(gaussians(), (1000, 1)) + np.random.default_rng(0).normal(scale=0.1, size=(300_000, 2))
    model = GaussianMixture(2, random_state=0).fit(X)
    assert any(stage.name == "sample" for stage in model.fit_report_.stages)
    display = LogLikelihoodDisplay.from_estimator(model)
    samples = next(line for line in display.stages_ if line.get_label() == "sample")
    reached = [stage.lower_bound for stage in model.fit_report_.stages if stage.name == "sample"]
    np.testing.assert_array_equal(samples.get_ydata(), reached)
    assert max(line.get_xdata().max() for line in display.stages_) < 0.5


def test_restarts_lie_over_each_other(frames):
    display = LogLikelihoodDisplay.from_frames(frames)
    assert len(display.lines_) == 4
    ends = [run[-1].lower_bound_ for run in frames.runs]
    assert display.best == int(np.argmax(ends))
    for run, line in zip(frames.runs, display.lines_, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), [model.lower_bound_ for model in run[1:]])
    with pytest.raises(ValueError, match="frames hold no iterations"):
        LogLikelihoodDisplay.from_frames(Frames())


def test_a_model_that_made_no_iterations_has_no_curve():
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(ValueError, match="the model has made no iterations"):
        LogLikelihoodDisplay.from_estimator(model)


# Model selection


def test_fourteen_curves_of_a_selection_can_be_told_apart():
    """Each is named at its end, in order of the ends and without overlap, and has a look of its own."""
    counts, offsets = np.tile([1, 2, 3], 14), np.repeat(np.linspace(0, 1, 14) ** 4, 3)
    results = {
        "n_components": counts,
        "covariance_type": np.repeat(FOURTEEN, 3),
        "bic": 100.0 - 10 * counts + 50 * offsets,
        "status": np.repeat(["ok"] * 12 + ["collapsed"] * 2, 3),
    }
    display = SelectionDisplay.from_results(results)
    display.figure_.canvas.draw()
    looks = {(tuple(line.get_color()), line.get_marker(), line.get_linestyle()) for line in display.lines_.values()}
    assert len(looks) == 14
    texts = [text for text in display.ax_.texts if text.get_text() in FOURTEEN]
    assert [text.get_text() for text in texts] == list(FOURTEEN)  # the order of their last values
    boxes = [Text.get_window_extent(text) for text in texts]  # without the line to the curve
    assert all(below.y1 <= above.y0 + 1 for below, above in itertools.pairwise(boxes))
    assert all(display.ax_.bbox.x1 < box.x0 and box.x1 <= display.figure_.bbox.x1 for box in boxes)
    assert [text.get_text() for text in display.legend_.get_texts()] == ["best: EII 3", "collapsed"]


def test_the_best_model_is_marked():
    results = {
        "n_components": [1, 2, 3, 1, 2, 3],
        "covariance_type": ["full"] * 3 + ["diag"] * 3,
        "bic": [30.0, 10.0, np.nan, 25.0, 20.0, 5.0],
        "status": ["ok", "ok", "collapsed", "ok", "ok", "not converged"],
    }
    display = SelectionDisplay.from_results(results)
    assert display.best_ == 1 and display.ax_.get_title(loc="left") == "best: 2 components, full: 10.0"
    np.testing.assert_array_equal(display.lines_["diag"].get_ydata(), results["bic"][3:])
    assert texts(display.legend_)[:2] == ["full", "diag"]
    assert SelectionDisplay.from_results(results, greater_is_better=True).best_ == 0
    cv_results = {"param_n_components": [2, 1], "mean_test_score": [-3.0, -4.0]}
    display = SelectionDisplay.from_results(cv_results, "mean_test_score", greater_is_better=True)
    assert display.best_ == 0 and display.lines_[""].get_xdata().tolist() == [1, 2]
    with pytest.raises(ValueError, match="results should have a column 'aic', but has only n_components"):
        SelectionDisplay.from_results(results, "aic")


def test_collapsed_models_are_crosses_at_the_edge():
    results = {
        "n_components": [1, 2, 3, 4],
        "bic": [30.0, 10.0, 12.0, -5000.0],
        "status": ["ok", "ok", "stopped", "collapsed"],
    }
    display = SelectionDisplay.from_results(results)
    assert display.best_ == 1
    assert texts(display.legend_)[-2:] == ["best: 2", "collapsed"]
    low, high = display.ax_.get_ylim()
    assert (low, high) == pytest.approx((10 - 1.6, 30 + 1.6))
    crosses = [line for line in display.ax_.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in crosses] == [(4, pytest.approx(low))]
    results["status"] = ["collapsed"] * 4
    assert SelectionDisplay.from_results(results).best_ == 3
    assert SelectionDisplay.from_results(results, best=0).best_ == 0  # by another rule, such as one standard error


# Mahalanobis distances


def test_quantiles_are_those_of_chi_square(iris):
    X, model = iris
    display = MahalanobisDisplay.from_estimator(model, X)
    labels = model.predict(X)
    for k, line in enumerate(display.lines_):
        offsets = X[labels == k] - model.means_[k]
        squares = np.sort(np.einsum("ij,jk,ik->i", offsets, model.precisions_[k], offsets))
        n = len(squares)
        np.testing.assert_allclose(line.get_ydata(), squares, rtol=1e-6)
        np.testing.assert_allclose(line.get_xdata(), stats.chi2.ppf((np.arange(n) + 0.5) / n, 4), rtol=1e-9)
        test = stats.kstest(squares, stats.chi2(4).cdf)
        expected = f"Kolmogorov distance {test.statistic:.3f}, p = {test.pvalue:.2f}"
        assert display.axes_[k].texts[0].get_text() == expected


def test_the_band_holds_points_of_a_gaussian():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3))
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 3)), np.eye(3)[None])
    display = MahalanobisDisplay.from_estimator(model, X)
    band = display.bands_[0].get_paths()[0]
    x, y = display.lines_[0].get_data()
    assert len(x) <= 400 and y[-1] == pytest.approx((X**2).sum(axis=1).max())
    inside = [band.contains_point(point) for point in zip(x[1:-1], y[1:-1], strict=True)]
    assert np.mean(inside) > 0.8


# Weights and names


def table(n_features=2, seed=0):
    """A table of values and their multiplicities, some of them 0, the rows that it stands for, and a mixture of it."""
    rng = np.random.default_rng(seed)
    X = np.round(np.vstack([rng.normal(size=(150, n_features)), rng.normal(4, 0.7, size=(90, n_features))]), 1)
    weights = rng.integers(0, 6, size=len(X)).astype(float)
    weights[:3] = 0
    rows = np.repeat(X, weights.astype(int), axis=0)
    return X, weights, rows, GaussianMixture(2, random_state=0).fit(X, sample_weight=weights)


def test_the_histogram_counts_weights():
    X, weights, rows, model = table(1)
    display = MixtureDisplay.from_estimator(model, X, sample_weight=weights)
    heights, edges, _ = display.points_.get_data()
    expected, _ = np.histogram(rows, edges)
    np.testing.assert_allclose(heights, expected / (len(rows) * np.diff(edges)))
    n_drawn = np.count_nonzero(weights)
    assert display.title == (
        f"2 components, full covariance, {n_drawn} of 240 points, sum of weights {weights.sum():,g}\n"
        f"log-likelihood {_words.nats(model.score(rows))} nats per point"
    )
    scaled = MixtureDisplay.from_estimator(model, X, sample_weight=weights * 2**-20)  # the scale says nothing
    assert f"sum of weights {weights.sum() * 2**-20:,g}" in scaled.title
    by_label = ResponsibilityDisplay.from_estimator(model, X, sample_weight=weights)
    for k, part in enumerate(by_label.panels_[0]):
        top, edges, bottom = part.get_data()
        expected, _ = np.histogram(rows[model.predict(rows) == k], edges)
        np.testing.assert_allclose(top - bottom, expected / (len(rows) * np.diff(edges)), atol=1e-12)
    assert by_label.figure_.get_suptitle() == f"{n_drawn} of 240 points, sum of weights {weights.sum():,g}"


def test_a_table_of_many_points_has_the_bins_of_the_points():
    midpoints = np.arange(0.58, 0.70, 0.004)
    counts = np.rint(900 * np.exp(-(((midpoints - 0.645) / 0.019) ** 2) / 2)) + 1
    model = GaussianMixture(1).fit(midpoints[:, None], sample_weight=counts)
    heights, edges, _ = MixtureDisplay.from_estimator(
        model, midpoints[:, None], sample_weight=counts
    ).points_.get_data()
    assert len(heights) >= 30 and np.diff(edges) == pytest.approx(0.004)
    np.testing.assert_allclose(heights.sum() * 0.004, 1, rtol=1e-9)


@pytest.mark.parametrize("copies", [1, 40])
def test_a_plane_counts_weights(copies):
    X, weights, rows, model = table()
    X, weights = np.tile(X, (copies, 1)), np.tile(weights, copies)
    X[:, 0] += np.linspace(0, 1e-3, len(X))
    rows = np.repeat(X, weights.astype(int), axis=0)
    display = MixtureDisplay.from_estimator(model, X, sample_weight=weights)
    is_image = copies > 1
    cloud, w = display.panels_[0].cloud, weights[weights > 0]
    assert (cloud.counts is not None) == is_image == (len(w) > 5000)
    if is_image:
        (left, right), (bottom, top) = display.panels_[0].bounds
        n_rows, n_columns = cloud.counts.shape
        edges = np.linspace(bottom, top, n_rows + 1), np.linspace(left, right, n_columns + 1)
        expected, *_ = np.histogram2d(rows[:, 1], rows[:, 0], edges)
        different = cloud.counts * w.mean() - expected
        assert np.abs(different).sum() < 1e-3 * expected.sum()  # but for rounding at the edges of cells
        opacity = cloud.artist.get_array()[:, :, 3]
        np.testing.assert_array_equal(opacity > 0, cloud.counts > 0)
    else:
        areas = cloud.artist.get_sizes()
        np.testing.assert_allclose(areas / areas[0], w / w[0])
        assert len(cloud.artist.get_offsets()) == len(w)
    hard = ResponsibilityDisplay.from_estimator(model, X, sample_weight=weights).panels_[2].cloud
    if not is_image:
        offsets, areas = hard.artist.get_offsets(), hard.artist.get_sizes()
        of = {tuple(point): weight for point, weight in zip(X[weights > 0], w, strict=True)}
        expected = np.array([of[tuple(point)] for point in offsets.tolist()])
        np.testing.assert_allclose(areas / areas[0], expected / expected[0])


def test_groups_of_weighted_points_are_those_of_repeated_ones():
    X, weights, rows, model = table()
    labels = model.predict(X) + 1
    display = DataDisplay.from_data(X, labels, sample_weight=weights)
    expected = DataDisplay.from_data(rows, np.repeat(labels, weights.astype(int))).mixture
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(display.mixture, name), getattr(expected, name), rtol=1e-9)
    assert [text.get_text() for text in display.panels_[0].numbers] == ["1", "2"]
    assert texts(display.legend_)[0].startswith("1: weight")


def test_quantiles_of_weighted_points():
    X, weights, _, model = table()
    X = X + np.random.default_rng(1).normal(size=X.shape) * 1e-3  # no two at the same distance
    rows = np.repeat(X, weights.astype(int), axis=0)
    display = MahalanobisDisplay.from_estimator(model, X, sample_weight=weights)
    repeated = MahalanobisDisplay.from_estimator(model, rows)
    of_ones = MahalanobisDisplay.from_estimator(model, X, sample_weight=np.ones(len(X)))
    alone = MahalanobisDisplay.from_estimator(model, X)
    for k, line in enumerate(display.lines_):
        said = [each.axes_[k].texts[0].get_text() for each in (display, repeated)]
        assert said[0] == said[1]  # Kolmogorov's distance
        n, mass = np.count_nonzero(weights[model.predict(X) == k]), weights[model.predict(X) == k].sum()
        assert display.axes_[k].get_title(loc="left") == f"{k}: {n} points, weight {mass:g}"
        # A point of weight m stands in the middle of its m repetitions.
        squares, p = repeated.distances[k], stats.chi2.cdf(line.get_xdata(), 2)
        middle = [np.flatnonzero(np.isclose(squares, y, rtol=1e-12)).mean() + 0.5 for y in line.get_ydata()]
        np.testing.assert_allclose(p, np.array(middle) / len(squares), rtol=1e-9)
        np.testing.assert_allclose(of_ones.lines_[k].get_xdata(), alone.lines_[k].get_xdata(), rtol=1e-9)


def test_corners_strips_and_films_count_weights(tmp_path, monkeypatch):
    X, weights, rows, model = table(3)
    corner = MixtureDisplay.from_estimator(model, X, sample_weight=weights)
    heights, edges, _ = corner.panels_[1, 1].histogram.get_data()
    np.testing.assert_allclose(heights, np.histogram(rows[:, 1], edges)[0] / (len(rows) * np.diff(edges)))
    drawn = weights[weights > 0]
    areas = corner.panels_[1, 0].cloud.artist.get_sizes()
    np.testing.assert_allclose(areas / areas[0], drawn / drawn[0])
    frames = Frames()
    clone(model).set_params(algorithm="em").set_callbacks(frames).fit(X, sample_weight=weights)
    strip = IterationDisplay.from_frames(frames, X, sample_weight=weights, n_frames=2)
    assert strip.run.log_likelihood[-1] == pytest.approx(frames.best[-1].score(rows), rel=1e-12)
    assert strip.figure_.get_suptitle() == f"{len(drawn)} of 240 points, sum of weights {weights.sum():,g}"
    seen = []
    monkeypatch.setattr(_film_file, "_write_gif", lambda path, film, *_: seen.append(film) or path.touch())
    film(model, X, tmp_path / "fit.gif", sample_weight=weights)
    run = seen[0]._run
    assert run.log_likelihood[-1] == pytest.approx(model.score(rows), abs=1e-3)
    assert run.models[-1].score(rows) == pytest.approx(run.log_likelihood[-1], rel=1e-12)


def test_weights_that_are_none_are_refused(faithful):
    X, model = faithful
    with pytest.raises(ValueError, match="sample_weight"):
        MixtureDisplay.from_estimator(model, X, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        MahalanobisDisplay.from_estimator(model, X, sample_weight=-np.ones(len(X)))
    sampled = MixtureDisplay.from_estimator(model, X, sample_weight=np.arange(len(X)), max_points=100)
    assert len(sampled.points) == 100 and sampled.points.weights.min() > 0
    np.testing.assert_array_equal(X[sampled.points.weights.astype(int)], sampled.points.values)
    assert f"100 of 272 points, sum of weights {271 * 136:,}" in sampled.title


def test_components_are_called_by_their_names(iris):
    X, _ = iris
    model = GaussianMixture(3, random_state=0).fit(X)
    model.component_names_ = np.array(["3", "1", "2"], dtype=object)
    display = MixtureDisplay.from_estimator(model, X, features=[2, 3])
    assert [text.get_text() for text in display.panels_[0].numbers] == ["3", "1", "2"]
    assert [text.split(":")[0] for text in texts(display.legend_)[:3]] == ["3", "1", "2"]
    line = MixtureDisplay.from_estimator(model, X, features=[2])
    assert [text.get_text() for text in line.panels_[0].numbers] == ["3", "1", "2"]
    assert [ax.get_title(loc="left")[:2] for ax in MahalanobisDisplay.from_estimator(model, X).axes_] == [
        "3:",
        "1:",
        "2:",
    ]
    labels = ResponsibilityDisplay.from_estimator(model, X, features=[2]).axes_[0].get_legend()
    assert texts(labels) == ["3", "1", "2"]
    model.component_names_ = np.array(["setosa", "versicolor", "b"], dtype=object)
    display = MixtureDisplay.from_estimator(model, X, features=[2, 3])
    assert [text.get_text() for text in display.panels_[0].numbers] == ["0", "1", "2"]
    assert [text.split(":")[0] for text in texts(display.legend_)[:3]] == ["0 setosa", "1 versicolor", "2 b"]
    run = _run.run_of(_run.random_run(model, X), X, like=model)
    assert run.mixtures[0].names == ["setosa", "versicolor", "b"]


# Films


def film(model, X, path, **settings):
    return animate_fit(model, X, path, **{"max_frames": 6, "size": (400, 200), **settings})


@grid("n_features", [1, 2, 4], quick=[2])
def test_a_film_goes_from_a_random_start_to_the_model(tmp_path, iris, n_features):
    X = iris[0][:, :n_features]
    model = GaussianMixture(2, random_state=0).fit(X)
    path = film(model, X, tmp_path / "fit.gif")
    with image.open(path) as gif:
        pictures = []
        for i in range(gif.n_frames):
            gif.seek(i)
            pictures.append(np.asarray(gif.convert("RGB")))
            duration = gif.info["duration"]
    assert 4 <= len(pictures) <= 6 and pictures[0].shape == (200, 400, 3)
    assert duration == 2500
    assert (pictures[0] != pictures[-1]).any() and (pictures[0][0, 0] == 255).all()
    assert list(tmp_path.iterdir()) == [path]
    assert not plt.get_fignums()


@exhaustive
def test_the_run_that_is_filmed_ends_where_the_model_is(iris):
    X, model = iris
    run = _run.run_of(_run.random_run(model, X), X, like=model)
    assert run.n_iter[0] == 0 and run.log_likelihood[0] < run.log_likelihood[-1]
    assert run.log_likelihood[-1] == pytest.approx(model.score(X), abs=1e-3)
    np.testing.assert_allclose(run.mixtures[-1].means, model.means_, atol=0.05)
    assert (np.diff(run.log_likelihood) > -1e-9).all()


def test_moments_are_frames_or_between_them(frames, faithful):
    run = _run.run_of(frames, faithful[0])
    moments = _run.moments(run, 40)
    last = len(run.mixtures) - 1
    assert (moments[0], moments[-1]) == (0, last) and len(moments) <= 40 and (np.diff(moments) > 0).all()
    halfway = run.mixtures[0].toward(run.mixtures[1], 0.5)
    np.testing.assert_allclose(halfway.means, (run.mixtures[0].means + run.mixtures[1].means) / 2)


def test_a_fit_that_was_made_is_filmed(tmp_path, faithful, frames, monkeypatch):
    X, model = faithful
    seen = []
    monkeypatch.setattr(
        _film_file, "_write_gif", lambda path, film, moments, *_: seen.append((film, moments)) or path.touch()
    )
    film(model, X, tmp_path / "fit.gif", frames=frames)
    ((shown, moments),) = seen
    last = shown.show(moments[-1])
    order = np.argsort(frames.best[-1].means_[:, 0])
    np.testing.assert_array_equal(last.means[np.argsort(model.means_[:, 0])], frames.best[-1].means_[order])
    assert shown._title.get_text().startswith(f"iteration {frames.best[-1].n_iter_}: {MINUS}4.155")
    shown.show(0.5)
    assert shown._title.get_text() == "iteration 0 to 1"


@grid("n_features", [1, 2, 4], quick=[1, 2])
def test_a_picture_is_that_of_all_artists_drawn_anew(tmp_path, iris, monkeypatch, n_features):
    X, seen = iris[0][:, :n_features], []
    monkeypatch.setattr(
        _film_file, "_write_gif", lambda path, film, moments, *_: seen.append((film, moments)) or path.touch()
    )
    film(GaussianMixture(2, random_state=0), X, tmp_path / "fit.gif")
    ((shown, moments),) = seen
    pictures = []
    for moment in moments:
        shown.show(moment)
        pictures.append(shown.pixels())
    for artist in shown.figure.findobj():
        artist.set_animated(False)
    for moment, picture in zip(moments, pictures, strict=True):
        shown.show(moment)
        shown.canvas.draw()
        np.testing.assert_array_equal(picture, np.asarray(shown.canvas.buffer_rgba())[:, :, :3])


def test_a_film_that_is_broken_off_leaves_nothing(tmp_path, faithful, monkeypatch):
    X, model = faithful
    path = tmp_path / "fit.gif"
    path.write_bytes(b"before")

    def interrupted(path, *_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(_film_file, "_write_gif", interrupted)
    with pytest.raises(KeyboardInterrupt):
        film(model, X, path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_films_of_other_kinds_are_refused_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"a film should be a \.gif or \.mp4 file"):
        animate_fit(GaussianMixture(2), None, tmp_path / "fit.avi")
    monkeypatch.setitem(matplotlib.rcParams, "animation.ffmpeg_path", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match="needs ffmpeg, which isn't found"):
        animate_fit(GaussianMixture(2), None, tmp_path / "fit.mp4")


@exhaustive
def test_mp4_is_written_by_ffmpeg(tmp_path, faithful, monkeypatch):
    """With a stand-in that keeps the pixels."""
    stand_in = tmp_path / "ffmpeg"
    stand_in.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())\n")
    stand_in.chmod(0o755)
    monkeypatch.setitem(matplotlib.rcParams, "animation.ffmpeg_path", str(stand_in))
    X, model = faithful
    path = film(model, X, tmp_path / "fit.mp4", fps=5)
    size = 200 * 400 * 4
    assert path.stat().st_size % size == 0 and path.stat().st_size // size >= 4 + 12
    assert sorted(tmp_path.iterdir()) == [stand_in, path]


@exhaustive
def test_a_model_that_is_not_fitted_is_filmed_in_its_own_settings(tmp_path):
    model = GaussianMixture(3, covariance_type="tied")
    assert film(model, gaussians(), tmp_path / "fit.gif").exists()
    assert not hasattr(model, "means_")


def test_components_are_matched_to_the_models(faithful):
    X, model = faithful
    swapped = GaussianMixture.from_parameters(model.weights_[::-1], model.means_[::-1], model.covariances_[::-1])
    run = _run.run_of([swapped], X, like=model)
    np.testing.assert_array_equal(run.mixtures[0].means, model.means_)
    same = _points.mixed_colors(swapped, X, run.order)
    np.testing.assert_allclose(same, _points.mixed_colors(model, X), atol=1e-12)


# Colours and numbers


def test_oklab_is_what_its_author_says():
    """The table of Ottosson 2020 for XYZ holds for the colours of sRGB, too: white, and red from his code."""
    np.testing.assert_allclose(_colors.to_lab([1, 1, 1]), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(_colors.to_lab([1, 0, 0]), [0.6279554, 0.2248631, 0.1258463], atol=1e-6)
    rgb = np.random.default_rng(0).uniform(size=(50, 3))
    np.testing.assert_allclose(_colors.to_rgb(_colors.to_lab(rgb)), rgb, atol=1e-6)


@pytest.mark.parametrize(
    "seen_as",
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ],
    ids=["usual", "protanopia", "deuteranopia"],
)
def test_colours_can_be_told_apart_by_everyone(seen_as):
    """Machado, Oliveira & Fernandes 2009: how linear light looks without one kind of cones."""
    rgb = _colors.palette(6)
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(light @ np.transpose(seen_as), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = _colors.to_lab(seen)
    apart = np.linalg.norm(lab[:, None] - lab, axis=2)[np.triu_indices(6, 1)]
    assert apart.min() > 0.05  # 0.02 is just seen


def test_any_number_of_colours_differ():
    colors = _colors.palette(40)
    assert ((colors >= 0) & (colors <= 1)).all() and len(np.unique(colors.round(3), axis=0)) == 40


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (2.0364, 0.26, "2.04"),
        (54.4785, 5.8, "54.5"),
        (80.0, 6.0, "80.0"),
        (19812.0, 700.0, "19810"),
        (-0.04, 1.0, "0.0"),
        (-1.26, 1.0, MINUS + "1.3"),
        (1e8 + 4, 1.0, "100000004.0"),
        (4e-12, 1e-12, "4e-12"),
        (0.0, 0.0, "0.0"),
    ],
)
def test_numbers_have_the_digits_that_mean_something(value, spread, text):
    assert _words.number(value, spread) == text


# Reference images


def rounding(n):
    """What measuring to 0.2 minutes and 5 minutes leaves out."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, size=(n, 2)) * [0.2, 5]


PICTURES = {
    "mixture": lambda fig, X, iris, frames: MixtureDisplay.from_estimator(
        GaussianMixture(2, random_state=0).fit(X), X, ax=fig.add_subplot(), legend=False
    ),
    "line": lambda fig, X, iris, frames: MixtureDisplay.from_estimator(
        GaussianMixture(2, random_state=0).fit(X[:, :1]), X[:, :1], ax=fig.add_subplot(), legend=False
    ),
    "corner": lambda fig, X, iris, frames: MixtureDisplay.from_estimator(
        GaussianMixture(3, random_state=0).fit(iris), iris, features=[0, 2, 3], fig=fig, legend=False
    ),
    "image": lambda fig, X, iris, frames: MixtureDisplay.from_estimator(
        GaussianMixture(2, random_state=0).fit(X),
        np.repeat(X, 20, axis=0) + rounding(5440),
        ax=fig.add_subplot(),
        legend=False,
    ),
    "iterations": lambda fig, X, iris, frames: IterationDisplay.from_frames(frames, X, n_frames=2, fig=fig),
}


def draw_picture(name, X, iris, frames, path):
    """Without words and without their layout, which differ between versions of matplotlib and FreeType."""
    figure = plt.figure(figsize=(6, 4.5))
    PICTURES[name](figure, X, iris, frames)
    for artist in (*figure.findobj(Text), *figure.findobj(Legend)):
        artist.set_visible(False)
    figure.savefig(path, dpi=80)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_look_as_they_did(name, faithful, iris, frames, tmp_path):
    """`python -m tests.test_plotting` draws the references anew: look at them."""
    draw_picture(name, faithful[0], iris[0], frames, tmp_path / "now.png")
    with image.open(tmp_path / "now.png") as now, image.open(IMAGES / f"{name}.png") as reference:
        assert now.size == reference.size
        # Blurred, for antialiasing differs as well.
        small = [np.asarray(each.convert("RGB").reduce(4), dtype=float) for each in (now, reference)]
    # matplotlib 3.8 and 3.11 are 3 apart where cells of an image meet pixels, 0.5 elsewhere.
    assert np.sqrt(np.mean((small[0] - small[1]) ** 2)) < (5 if name == "image" else 1.5)


@exhaustive
def test_pictures_import_matplotlib_when_they_are_drawn():
    code = "import sys, fastem.plotting; sys.exit(any(name.startswith('matplotlib') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_it_says_what_to_install(faithful, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    X, model = faithful
    with pytest.raises(ImportError, match=r"matplotlib is needed for this: pip install 'fastem\[plot\]'"):
        MixtureDisplay.from_estimator(model, X)


@exhaustive
def test_a_million_points_are_an_image_in_about_a_second(faithful):
    """The bound is generous: machines of continuous integration are slow, and markers would take a minute."""
    from time import process_time

    X = np.random.default_rng(0).normal(size=(1_000_000, 2))
    model = GaussianMixture.from_parameters([0.5, 0.5], [[-1, 0], [1, 0]], [np.eye(2)] * 2)
    MixtureDisplay.from_estimator(model, X[:6000]).figure_.canvas.draw()
    begun = process_time()
    display = MixtureDisplay.from_estimator(model, X)
    display.figure_.canvas.draw()
    assert process_time() - begun < 10
    assert not display.ax_.collections or max(len(c.get_offsets()) for c in display.ax_.collections) < 5000


def _draw_references():
    X, iris, kept = load_faithful().data, load_iris().data, Frames()
    clone(RESTARTS).set_callbacks(kept).fit(X)
    IMAGES.mkdir(exist_ok=True)
    for name in PICTURES:
        path = IMAGES / f"{name}.png"
        draw_picture(name, X, iris, kept, path)
        with image.open(path) as drawn:
            small = drawn.convert("RGB").quantize(128)
        small.save(path, optimize=True)


if __name__ == "__main__":
    _draw_references()


def test_empty_components_of_a_bayesian_mixture_are_not_drawn():
    X = load_faithful().data
    model = BayesianGaussianMixture(n_components=6, max_iter=500, random_state=0).fit(X)
    assert model.n_components_effective_ == 2
    display = MixtureDisplay.from_estimator(model, X)
    seen = [all(outline.get_visible() for outline in outlines) for outlines in display.ellipses_]
    assert sum(seen) == 2
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert "+ 4 empty" in texts and sum("weight" in text for text in texts) == 2
