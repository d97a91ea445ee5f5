"""Pictures of difficult data: what must be seen is seen, and no text covers another."""

import matplotlib
import numpy as np
import pytest
from scipy import integrate, stats

from fastem import GaussianMixture
from fastem.callbacks import Frames
from fastem.datasets import load_faithful, load_penguins, make_mixture
from fastem.plotting import (
    ConditionalDisplay,
    DataDisplay,
    IterationDisplay,
    LogLikelihoodDisplay,
    MahalanobisDisplay,
    MixtureDisplay,
    ResponsibilityDisplay,
    SelectionDisplay,
    _badges,
    _colors,
    _film_file,
    _legend,
    _limits,
    _mixture,
    _words,
    animate_fit,
)

from .grids import exhaustive, grid

matplotlib.use("Agg")
mcolors = pytest.importorskip("matplotlib.colors")
plt = pytest.importorskip("matplotlib.pyplot")
Affine2D = pytest.importorskip("matplotlib.transforms").Affine2D
Text = pytest.importorskip("matplotlib.text").Text

MINUS = "\N{MINUS SIGN}"
DEGENERATE = pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
LONG = [
    "mean corpuscular haemoglobin concentration (g/dL)",
    "systolic_blood_pressure_mmHg",
    "total_serum_cholesterol_level",
    "body mass index (kg per square metre)",
    "fasting plasma glucose concentration",
    "resting heart rate, beats per minute",
    "white blood cell count (thousands)",
    "estimatedglomerularfiltrationrateofbothkidneystogether",
]


pytestmark = pytest.mark.usefixtures("settings_kept")


@pytest.fixture(scope="module")
def faithful():
    X = load_faithful().data
    return X, GaussianMixture(2, random_state=0).fit(X)


@pytest.fixture(scope="module")
def frames(faithful):
    frames = Frames()
    model = GaussianMixture(2, algorithm="em", init_params="random_from_data", random_state=0)
    model.set_callbacks(frames).fit(faithful[0])
    return frames


@pytest.fixture(scope="module")
def named():
    """Penguins and a mixture whose components have names."""
    penguins = load_penguins()
    model = GaussianMixture(3, random_state=0).fit(penguins.data, labels=penguins.target)
    model.component_names_ = np.array(["Adelie", "Chinstrap", "Gentoo"], dtype=object)
    return penguins.data, model


@pytest.fixture(scope="module")
def crowd():
    """A mixture of 30 components in four features, and points drawn from it."""
    rng = np.random.default_rng(2)
    weights = rng.dirichlet(np.full(30, 2.0))
    covariances = np.array([np.diag(row) for row in rng.uniform(0.05, 1, size=(30, 4))])
    model = GaussianMixture.from_parameters(weights, 4 * rng.normal(size=(30, 4)), covariances, random_state=0)
    return model.sample(2000)[0], model


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def with_strays(X, n=7):
    return np.vstack([X, np.random.default_rng(5).normal(size=(n, X.shape[1])) * 2e3])


def overlapping(boxes):
    return [(i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)]


# Strays


def drawn_with_strays(name, X, model, frames):
    if name == "mixture":
        return MixtureDisplay.from_estimator(model, X).ax_
    if name == "responsibilities":
        return ResponsibilityDisplay.from_estimator(model, X).axes_[0]
    if name == "conditional":
        return ConditionalDisplay.from_estimator(model, X).ax_
    if name == "iterations":
        return IterationDisplay.from_frames(frames, X, n_frames=2).axes_[0]
    return DataDisplay.from_data(X).ax_


@grid("name", ["mixture", "data", "responsibilities", "conditional", "iterations"], quick=slice(2))
def test_strays_hide_nothing_and_are_counted(faithful, frames, name):
    X, model = faithful
    ax = drawn_with_strays(name, with_strays(X), model, frames)
    for j, limits in enumerate((ax.get_xlim(), ax.get_ylim())):
        assert limits[0] < X[:, j].min() < X[:, j].max() < limits[1]
        assert np.ptp(X[:, j]) > 0.4 * np.ptp(limits)
    assert "7 points outside" in [text.get_text() for text in ax.texts]


@DEGENERATE
def test_a_component_on_a_stray_is_outside_as_well(faithful):
    X = np.vstack([faithful[0], [[1e9, -1e9]]])
    model = GaussianMixture(3, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(model, X)
    assert display.ax_.get_xlim()[1] < 10 and display.ax_.get_ylim()[1] < 150
    assert display.panels_[0].outside.get_text() == "1 point and 1 mean outside"
    display.figure_.canvas.draw()
    which, _ = display.panels_[0].badges.centres()
    assert len(which) == 2
    one = MixtureDisplay.from_estimator(model, X, features=[0])
    assert one.ax_.get_xlim()[1] < 10 and one.panels_[0].outside.get_text() == "1 point and 1 mean outside"
    ruined = GaussianMixture(1).fit(X)  # its one ellipse has the size of the stray's distance
    display = MixtureDisplay.from_estimator(ruined, X)
    assert np.ptp(display.ax_.get_xlim()) < 20
    assert display.panels_[0].outside.get_text() == "1 point and 1 mean outside"


def test_what_is_no_stray_stays_inside():
    rng = np.random.default_rng(0)
    small = np.concatenate([rng.normal(size=960), rng.normal(1000, 1, size=40)])  # 4 % of the points
    heavy = stats.t(4).rvs(5000, random_state=0)
    few = np.array([0.0, 1, 2, 1e9])
    zeros = np.concatenate([np.zeros(990), np.arange(10) * 100.0])
    for x in (small, few, zeros):
        low, high = _limits.limits(x)
        assert low < x.min() and x.max() < high
    low, high = _limits.limits(heavy)
    assert ((heavy < low) | (heavy > high)).mean() <= 0.003
    # A weight is a number of points: one heavy row is no stray, one light row is.
    x, weights = np.append(rng.normal(size=200), 1e6), np.ones(201)
    assert _limits.limits(x, weights=weights)[1] < 100
    weights[-1] = 50
    assert _limits.limits(x, weights=weights)[1] > 1e6
    # Without strays all of a component is shown, although no point lies there.
    interval = np.array([-50.0]), np.array([-40.0])
    assert _limits.limits(rng.normal(size=100), interval)[0] < -50


@pytest.mark.parametrize("offset", [0, 1e8])
def test_limits_move_with_the_data_and_scale_with_them(offset):
    x = with_strays(np.random.default_rng(0).normal(size=(300, 1)))[:, 0]
    expected = np.array(_limits.limits(x))
    np.testing.assert_allclose(_limits.limits(x + offset), expected + offset, atol=1e-6)
    np.testing.assert_allclose(_limits.limits(-x), -expected[::-1])
    np.testing.assert_allclose(_limits.limits(1e-9 * x), 1e-9 * expected)


# Densities


def test_a_collapsed_component_flattens_no_density(faithful):
    X = faithful[0][:, :1]
    variances = np.array([0.07, 0.17, 1e-12])[:, None, None]
    model = GaussianMixture.from_parameters([0.5, 0.45, 0.05], [[2.0], [4.3], [3.0]], variances)
    display = MixtureDisplay.from_estimator(model, X)
    broad = 0.5 * stats.norm.pdf(0, scale=0.07**0.5)
    tallest = display.panels_[0].histogram.get_data().values.max()
    assert display.ax_.get_ylim()[1] <= 1.2 * max(broad, tallest)
    display.figure_.canvas.draw()
    which, centres = display.panels_[0].badges.centres()
    assert which.tolist() == [0, 1, 2]
    assert (centres[:, 1] < display.ax_.bbox.y1).all()  # its badge stands below the upper edge, which its peak crosses


@DEGENERATE
def test_a_bar_of_a_constant_feature_flattens_no_density(faithful):
    X = np.column_stack([faithful[0], np.full(272, 7.0)])
    model = GaussianMixture(2, random_state=0).fit(X)
    panel = MixtureDisplay.from_estimator(model, X).panels_[2, 2]
    highest = panel.total.get_ydata().max()
    assert highest > 0.15 * panel.ax.get_ylim()[1]


# Badges


def centres_of(badges):
    which, centres = badges.centres()
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)[np.triu_indices(len(which), 1)]
    return which, centres, distances


def test_badges_of_equal_means_stand_apart():
    X = np.random.default_rng(0).normal(size=(300, 2))
    means = np.array([[0.0, 0], [0, 0], [0.05, 0], [0, 0.05], [0, 0]])
    model = GaussianMixture.from_parameters(np.full(5, 0.2), means, [np.eye(2) * s for s in (1, 0.8, 0.6, 0.4, 0.2)])
    display = MixtureDisplay.from_estimator(model, X)
    display.figure_.canvas.draw()
    badges, dots = display.panels_[0].badges, display.figure_.dpi / 72
    which, centres, distances = centres_of(badges)
    assert len(which) == 5 and distances.min() > badges._diameter * dots
    places = display.ax_.transData.transform(means)
    assert np.linalg.norm(centres - places, axis=1).max() < 3 * badges._diameter * dots


def test_badges_are_clipped_by_no_edge(faithful):
    X, _ = faithful
    model = GaussianMixture.from_parameters([0.5, 0.5], [[1.0, 43], [5.2, 97]], [np.eye(2) * 1e-4] * 2)
    display = MixtureDisplay.from_estimator(model, X)
    display.ax_.set(xlim=(1, 5.2), ylim=(43, 97))  # as a user may zoom
    display.figure_.canvas.draw()
    which, centres, _ = centres_of(display.panels_[0].badges)
    radius, box = 0.5 * display.panels_[0].badges._diameter * display.figure_.dpi / 72, display.ax_.bbox
    assert len(which) == 2
    assert (centres >= box.min + radius).all() and (centres <= box.max - radius).all()
    display.ax_.set(xlim=(2, 5))
    assert len(display.panels_[0].badges.centres()[0]) == 0  # both means are outside now


def test_many_discs_are_spread_within_their_corners():
    rng = np.random.default_rng(0)
    wished = rng.normal(scale=3, size=(30, 2)) + 50
    centres = _badges.spread(wished, 10.0, np.zeros(2), np.full(2, 100.0))
    distances = np.linalg.norm(centres[:, None] - centres, axis=2)[np.triu_indices(30, 1)]
    assert distances.min() > 9.5 and centres.min() >= 0 and centres.max() <= 100
    alone = np.array([[20.0, 20], [60, 60]])
    np.testing.assert_array_equal(_badges.spread(alone, 10.0, np.zeros(2), np.full(2, 100.0)), alone)


def test_numbers_can_be_read_on_their_badges():
    colors = _colors.palette(40)
    for color in colors:
        light = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        lighter, darker = sorted([light, _colors.on_top(color)[0]], reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) > 2.5  # contrast as WCAG defines it


# Many components


def test_of_thirty_components_the_heaviest_ten_stand_in_front(crowd):
    X, model = crowd
    X = X[:, :3]
    model = model.marginal([0, 1, 2])
    heaviest = set(np.argsort(-model.weights_, kind="stable")[:10].tolist())
    display = MixtureDisplay.from_estimator(model, X)
    display.figure_.canvas.draw()
    words = texts(display.legend_)
    assert {int(word.split(":")[0]) for word in words[:10]} == heaviest and words[10] == "+ 20 more, faded"
    for i in range(3):
        for j in range(i + 1):
            which, _, distances = centres_of(display.panels_[i, j].badges)
            assert set(which.tolist()) <= heaviest and len(which) >= 9
            assert distances.min() > 0.95 * display.panels_[i, j].badges._diameter * display.figure_.dpi / 72
    panel = display.panels_[1, 0]
    for k, outlines in enumerate(panel.ellipses):
        seen = [outline.get_alpha() for outline in outlines if outline.get_alpha()]
        assert len(seen) == (3 if k in heaviest else 1) and max(seen) == (1 if k in heaviest else pytest.approx(0.3375))


# Names


@pytest.mark.parametrize(
    "names", [LONG, [name.replace(" ", "") for name in LONG], [10 * "long " + str(j) for j in range(8)]]
)
def test_long_names_do_not_run_into_each_other(names):
    X = np.random.default_rng(0).normal(size=(60, 8))
    display = DataDisplay.from_data(X, feature_names=names)
    display.figure_.canvas.draw()
    axes = display.axes_
    labels = [axes[-1, j].xaxis.label for j in range(6)], [axes[i, 0].yaxis.label for i in range(1, 6)]
    for group in labels:
        boxes = [label.get_window_extent() for label in group]
        assert not overlapping(boxes)
        for box in boxes:
            assert display.figure_.bbox.x0 <= box.x0 and box.x1 <= display.figure_.bbox.x1
            assert display.figure_.bbox.y0 <= box.y0 and box.y1 <= display.figure_.bbox.y1
    assert len({label.get_text() for label in labels[0]}) == 6  # shortened names still differ


def test_names_are_broken_and_shortened():
    assert _words.wrapped("eruptions", 20, 2) == ["eruptions"]
    assert _words.wrapped("systolic_blood_pressure_mmHg", 20, 2) == ["systolic_blood_", "pressure_mmHg"]
    lines = _words.wrapped("a" * 30 + " first " + "b" * 30 + " 17", 20, 2)
    assert len(lines) == 2 and max(map(len, lines)) <= 20 and "…" in "".join(lines) and lines[-1].endswith(" 17")
    assert _words.shortened("versicolor", 7) == "ver…lor" and _words.shortened("versicolor", 10) == "versicolor"


def test_long_names_of_a_conditional_picture_fit_into_it():
    X = np.random.default_rng(0).normal(size=(60, 8))
    model = GaussianMixture(1).fit(X)
    display = ConditionalDisplay.from_estimator(model, X, features=[3, 7], feature_names=LONG)
    display.figure_.canvas.draw()
    parts = [
        display.ax_._left_title,
        display.ax_.xaxis.label,
        display.ax_.yaxis.label,
        display.colorbar_.ax.yaxis.label,
    ]
    boxes = [part.get_window_extent() for part in parts]
    figure = display.figure_.bbox
    assert not overlapping(boxes)
    assert all(figure.x0 <= box.x0 and box.x1 <= figure.x1 for box in boxes)
    assert all(figure.y0 <= box.y0 and box.y1 <= figure.y1 for box in boxes)


def test_names_of_components_stand_in_legends(named):
    X, model = named
    frames = Frames()
    GaussianMixture(3, algorithm="em", random_state=0).set_callbacks(frames).fit(X)
    for each in frames.best:
        each.component_names_ = model.component_names_
    names = ["0 Adelie", "1 Chinstrap", "2 Gentoo"]
    assert texts(ResponsibilityDisplay.from_estimator(model, X).legend_)[:3] == names
    assert set(names) < set(texts(ConditionalDisplay.from_estimator(model, X).legend_))
    assert texts(IterationDisplay.from_frames(frames, X, n_frames=2).legend_)[:3] == names
    corner = texts(MixtureDisplay.from_estimator(model, X).legend_)
    assert [word.split(":")[0] for word in corner[:3]] == names
    longer = [f"{name} of the Palmer Archipelago, Antarctica" for name in names]
    model = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_)
    model.component_names_ = np.array(longer, dtype=object)
    display = MixtureDisplay.from_estimator(model, X, features=[0, 1])
    display.figure_.canvas.draw()
    box, figure = display.legend_.get_window_extent(), display.figure_.bbox
    assert figure.x0 <= box.x0 and box.x1 <= figure.x1


# Legends that explain ellipses


def test_every_picture_with_ellipses_says_what_they_hold(named, frames, faithful):
    X, model = named
    held = [stats.chi2(2).cdf(sigma**2) for sigma in (1, 2, 3)]
    of = ", ".join(f"{100 * share:.0f}" for share in held)
    assert of == "39, 86, 99"
    corner = texts(MixtureDisplay.from_estimator(model, X).legend_)
    assert corner[-2:] == [f"1, 2, 3 standard deviations: {of} % of a component", "all together"]
    pair = texts(MixtureDisplay.from_estimator(model, X, features=[0, 1]).legend_)
    assert f"1, 2, 3 standard deviations: {of} %" in pair
    groups = texts(DataDisplay.from_data(X, model.predict(X), features=[0, 1]).legend_)
    assert groups[-1] == f"1, 2, 3 standard deviations: {of} %"
    assert (
        texts(ResponsibilityDisplay.from_estimator(model, X).legend_)[-1]
        == "2 standard deviations: 86 % of a component"
    )
    strip = IterationDisplay.from_frames(frames, faithful[0], n_frames=2)
    assert texts(strip.legend_) == ["1, 2 standard deviations: 39, 86 % of a component"]


# Numbers


def test_a_log_likelihood_has_no_digits_that_say_nothing():
    assert _words.nats(-4.1553) == f"{MINUS}4.155"
    assert _words.nats(-57781630.031) == f"{MINUS}5.78e7"
    assert _words.nats(-6.49e67) == f"{MINUS}6.49e67"
    assert _words.nats(-np.inf) == f"{MINUS}inf"
    model = GaussianMixture.from_parameters([0.5, 0.5], [[0, 0], [1, 1]], [np.eye(2) * 1e-5] * 2)
    X = load_faithful().data
    title = IterationDisplay.from_frames([model], X).axes_[0].get_title(loc="left")
    assert title == f"iteration 0: {MINUS}2.54e8"
    assert f"log-likelihood {MINUS}2.54e8 nats" in MixtureDisplay.from_estimator(model, X).title


def decimals_of(text):
    """The number of decimals of each coordinate in a legend's line."""
    numbers = text.split("mean ")[1].strip("()").split(", ")
    return [len(number.partition(".")[2]) for number in numbers]


def test_coordinates_of_alike_features_have_alike_digits():
    means = np.array([[0.5, 3.66], [4.36, -1.76], [-2.4242, 12.3573]])
    spreads = [np.diag([0.99, 1.01]) ** 2, np.diag([1.01, 0.99]) ** 2, np.eye(2) * 0.97]
    model = GaussianMixture.from_parameters([0.3, 0.3, 0.4], means, spreads, random_state=0)
    words = texts(MixtureDisplay.from_estimator(model, model.sample(100)[0]).legend_)[:3]
    assert len({tuple(decimals_of(word)) for word in words}) == 1 and len(set(decimals_of(words[0]))) == 1
    # Other units have other digits: minutes of an eruption, and of the time between two.
    X = load_faithful().data
    words = texts(MixtureDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(X), X).legend_)[:2]
    assert [decimals_of(word) for word in words] == [[2, 1], [2, 1]]
    far = X + 1e8
    words = texts(MixtureDisplay.from_estimator(GaussianMixture(2, random_state=0).fit(far), far).legend_)[:2]
    assert [decimals_of(word) for word in words] == [[2, 1], [2, 1]]


def test_one_collapsed_component_gives_the_others_no_digits():
    digits = _words.decimals(
        np.array([[2.0], [4.3], [3.0]]), np.array([[0.26], [0.4], [1e-6]]), np.array([0.5, 0.4, 0.1])
    )
    assert digits.tolist() == [2]
    assert _words.decimals(np.zeros((1, 1)), np.zeros((1, 1))).tolist() == [1]


# Logarithmic axes


@pytest.fixture(scope="module")
def skewed():
    X = np.exp(np.random.default_rng(0).normal(size=(2000, 2)) * [0.8, 1.2] + 5)
    return X, GaussianMixture(3, random_state=0).fit(X)


@pytest.mark.parametrize("passed", [False, True])
def test_ellipses_and_points_stand_right_on_logarithmic_axes(skewed, passed):
    X, model = skewed
    if passed:
        ax = plt.figure().subplots()
        ax.set(xscale="log", yscale="log")
        display = MixtureDisplay.from_estimator(model, X, ax=ax)
    else:
        display = MixtureDisplay.from_estimator(model, X, log=True)
    ax = display.ax_
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log") and ax.get_xlim()[0] > 0
    inside = ((ax.get_xlim()[0] < X[:, 0]) & (X[:, 0] < ax.get_xlim()[1])).mean()
    assert inside > 0.995 and ax.get_xlim()[1] < 3 * X[:, 0].max()
    for k, outlines in enumerate(display.ellipses_):
        vertices = outlines[0].get_path().vertices
        offsets = vertices[(vertices > ax.get_xlim()[0]).all(axis=1)] - model.means_[k]
        squares = np.einsum("ij,jk,ik->i", offsets, model.precisions_[k], offsets)
        positive = squares[np.abs(squares - 1) < 0.5]
        np.testing.assert_allclose(positive, 1, rtol=1e-6)
        assert len(positive) > 50
    display.figure_.canvas.draw()


def test_a_density_over_a_logarithmic_axis_is_one_per_decade(skewed):
    X = np.vstack([skewed[0][:, :1], [[-1.0]], [[0.0]]])
    model = GaussianMixture(1).fit(np.log10(X[X > 0])[:, None])
    model = GaussianMixture.from_parameters([1.0], [[10 ** model.means_[0, 0]]], [[[1.0]]])
    panel = MixtureDisplay.from_estimator(model, X, log=True).panels_[0]
    x, density = panel.total.get_data()
    assert integrate.trapezoid(density, np.log10(x)) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(density, np.exp(model.score_samples(x[:, None])) * x * np.log(10), rtol=1e-9)
    heights, edges, _ = panel.histogram.get_data()
    assert np.sum(heights * np.diff(np.log10(edges))) == pytest.approx(2000 / 2002, abs=0.002)
    assert panel.ax.get_ylabel() == "density per decade" and "2 points outside" in panel.outside.get_text()


def test_limits_of_logarithmic_axes():
    x = np.random.default_rng(0).lognormal(size=300)
    low, high = _limits.bounds_of(np.append(x, -5.0)[:, None], logs=[True])[0]
    assert 0 < low < x.min() and x.max() < high < 2 * x.max()
    one = _mixture.Mixture(np.ones(1), np.full((1, 1), 5.0), np.full((1, 1, 1), 100.0))  # from -25 to 35
    low, high = _limits.bounds_of(x[:, None], one, logs=[True])[0]
    assert 0.5 * x.min() < low < x.min() and 35 < high < 60
    strays = np.append(x, 1e60)
    assert _limits.bounds_of(strays[:, None], one, logs=[True])[0][1] < 1e6
    assert _limits.bounds_of(np.full((3, 1), -1.0), logs=[True]) == [(1.0, 10.0)]


@exhaustive
def test_only_the_features_that_are_named_are_logarithmic(skewed):
    X = np.column_stack([skewed[0], np.random.default_rng(1).normal(size=2000)])
    model = GaussianMixture(2, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(model, X, log=[0, "feature 1"])
    scales = [[(ax.get_xscale(), ax.get_yscale()) for ax in row if ax is not None] for row in display.axes_]
    assert scales == [
        [("log", "linear")],
        [("log", "log"), ("log", "linear")],
        [("log", "linear"), ("log", "linear"), ("linear", "linear")],
    ]
    display.figure_.canvas.draw()
    with pytest.raises(ValueError, match="there is no feature 'depth'"):
        MixtureDisplay.from_estimator(model, X, log=["depth"])


def test_an_image_of_many_points_on_logarithmic_axes():
    X = np.exp(np.random.default_rng(0).normal(size=(20_000, 2)))
    X[:3, 1] = 0
    display = DataDisplay.from_data(X, log=True)
    cloud = display.panels_[0].cloud
    n_outside = int(display.panels_[0].outside.get_text().split()[0]) if display.panels_[0].outside.get_text() else 0
    assert n_outside >= 3 and cloud.counts.sum() == 20_000 - n_outside
    corners = np.log10(cloud.artist.get_coordinates())
    np.testing.assert_allclose(np.diff(corners[0, :, 0]), np.diff(corners[0, :2, 0])[0])  # cells are equally wide
    display.figure_.canvas.draw()


def test_a_conditional_picture_needs_linear_axes(faithful):
    ax = plt.figure().subplots()
    ax.set_xscale("log")
    with pytest.raises(ValueError, match="ax should have linear axes"):
        ConditionalDisplay.from_estimator(faithful[1], ax=ax)


def test_a_corner_in_a_small_figure_keeps_room_for_its_panels(named):
    X, model = named
    figure = plt.figure(figsize=(4, 4), layout="constrained")
    display = MixtureDisplay.from_estimator(model, X, fig=figure)
    figure.canvas.draw()
    boxes = [ax.get_window_extent() for ax in display.axes_.ravel() if ax is not None]
    assert min(box.width for box in boxes) > 0.15 * figure.bbox.width
    legend = display.legend_.get_window_extent()
    assert legend.x1 <= figure.bbox.x1 + 1 and not legend.overlaps(boxes[0])


# Model selection

RESULTS = {
    "n_components": [1, 2, 3, 4] * 3,
    "covariance_type": ["full"] * 4 + ["diag"] * 4 + ["spherical"] * 4,
    "bic": [2607.0, 2322, 2325, 2345, 2880, 2350, 2320, 2315, 1e5, 8e4, 6e4, 5.5e4],
}


@pytest.mark.parametrize("sign", [1, -1])
def test_the_worst_family_squashes_no_other(sign):
    results = {**RESULTS, "bic": sign * np.array(RESULTS["bic"])}
    display = SelectionDisplay.from_results(results, greater_is_better=sign < 0)
    ax = display.ax_
    assert display.best_ == 7
    np.testing.assert_array_equal(display.lines_["full"].get_ydata(), results["bic"][:4])
    display.figure_.canvas.draw()
    heights = ax.transAxes.inverted().transform(ax.transData.transform([(0, y) for y in results["bic"]]))[:, 1]
    assert 0 < heights.min() < heights.max() < 1
    assert np.ptp(heights[:8]) > 0.4 and np.ptp(heights[[1, 2, 3, 5, 6, 7]]) > 0.2
    plus = "+" if sign > 0 else MINUS
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "best" and {f"{plus}10", f"{plus}1,000", f"{plus}100,000"} <= set(labels[1:])
    tick = ax.get_yticks()[labels.index(f"{plus}10")]
    assert tick == pytest.approx(sign * 2325) and ax.get_ylabel() == "BIC, difference to the best"


def test_the_title_tells_the_best_from_the_next():
    results = {"n_components": [1, 2, 3], "score": [-4.61, -4.163, -4.1654]}
    title = SelectionDisplay.from_results(results, "score", greater_is_better=True).ax_.get_title(loc="left")
    assert title == f"best: 2 components: {MINUS}4.1630"


def test_an_axis_that_shows_all_models_stays_linear():
    results = {name: values[:8] for name, values in RESULTS.items()}
    results["bic"] = [40.0, 10, 12, 15, 45, 20, 18, 25]
    display = SelectionDisplay.from_results(results)
    assert display.ax_.get_yscale() == "linear" and display.ax_.get_ylabel() == "BIC (the lower the better)"


def test_collapsed_models_stay_at_the_edge_of_a_logarithmic_axis():
    results = {**RESULTS, "bic": [*RESULTS["bic"][:-1], -1e6], "status": ["ok"] * 11 + ["collapsed"]}
    display = SelectionDisplay.from_results(results)
    assert display.ax_.get_yscale() == "function"
    low, high = display.ax_.get_ylim()
    assert 2000 < low < 2315 and high > 1e5
    crosses = [line for line in display.ax_.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in crosses] == [(4, pytest.approx(low))]


# Q-Q plots


def test_one_far_point_flattens_no_quantiles(faithful):
    X, model = faithful
    display = MahalanobisDisplay.from_estimator(model, with_strays(X))
    display.figure_.canvas.draw()
    ax, line = display.axes_[1], display.lines_[1]
    heights = ax.transAxes.inverted().transform(ax.transData.transform(line.get_xydata()))[:, 1]
    usual = line.get_ydata() < 10
    assert line.get_ydata().max() > 1e5 and heights.max() <= 1
    assert heights[usual].max() > 0.2 and np.count_nonzero(~usual) >= 5
    assert display.axes_[0].get_yscale() == "linear"
    assert "logarithmic above" in [text.get_text() for text in ax.texts]


def test_the_p_value_is_that_of_a_known_gaussian():
    rng = np.random.default_rng(0)
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 2)), np.eye(2)[None])
    for X in (rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) * 1.2, rng.normal(size=(20, 2)) ** 3):
        expected = stats.kstest((X**2).sum(axis=1), stats.chi2(2).cdf)
        said = MahalanobisDisplay.from_estimator(model, X).axes_[0].texts[0].get_text()
        distance, p = said.split(", ")
        assert distance == f"Kolmogorov distance {expected.statistic:.3f}"
        if expected.pvalue < 0.001:
            assert p == "p < 0.001"
        else:
            assert float(p.removeprefix("p = ")) == pytest.approx(expected.pvalue, rel=0.06, abs=0.005)
    few = MahalanobisDisplay.from_estimator(model, rng.normal(size=(3, 2))).axes_[0].texts[0].get_text()
    assert "p" not in few  # as many points fit any Gaussian


# Curves of log-likelihood


def test_the_legend_covers_no_curve():
    X = np.random.default_rng(0).normal(size=(300, 2))
    model = GaussianMixture(2, random_state=0).fit(X)
    display = LogLikelihoodDisplay.from_estimator(model)
    display.figure_.canvas.draw()
    box = display.legend_.get_window_extent()
    inside = [box.contains(*point) for point in display.ax_.transData.transform(display.lines_[0].get_xydata())]
    assert not any(inside)


# Styles

DISPLAYS = {
    "plane": lambda X, model, frames: MixtureDisplay.from_estimator(model, X),
    "line": lambda X, model, frames: MixtureDisplay.from_estimator(model, X, features=[0]),
    "corner": lambda X, model, frames: DataDisplay.from_data(np.c_[X, X[:, :1] + X[:, 1:] ** 2], model.predict(X)),
    "data": lambda X, model, frames: DataDisplay.from_data(X),
    "responsibilities": lambda X, model, frames: ResponsibilityDisplay.from_estimator(model, X),
    "conditional": lambda X, model, frames: ConditionalDisplay.from_estimator(model, X),
    "quantiles": lambda X, model, frames: MahalanobisDisplay.from_estimator(model, X),
    "iterations": lambda X, model, frames: IterationDisplay.from_frames(frames, X, n_frames=2),
    "curve": lambda X, model, frames: LogLikelihoodDisplay.from_estimator(model),
    "selection": lambda X, model, frames: SelectionDisplay.from_results(RESULTS),
}


def lightness(color):
    return float(_colors.to_lab(mcolors.to_rgb(color))[0])


@grid("name", DISPLAYS, quick=["plane", "line", "quantiles", "selection"])
def test_a_dark_background_is_respected(faithful, frames, name):
    with plt.style.context("dark_background"):
        display = DISPLAYS[name](*faithful, frames)
        figure = display.figure_
        figure.canvas.draw()
        assert lightness(figure.get_facecolor()) < 0.1
        badges = {text for each in figure.findobj(_badges.Badges) for text in each.texts}
        for text in figure.findobj(Text):
            if text.get_text() and text not in badges:
                assert lightness(text.get_color()) > 0.5, text.get_text()
        for ax in figure.axes:
            assert lightness(ax.get_facecolor()) < 0.1
            for spine in ax.spines.values():
                assert not spine.get_visible() or lightness(spine.get_edgecolor()) > 0.5
            for line in ax.lines:
                assert lightness(line.get_color()) > 0.4
        if name in ("plane", "data"):
            drawn = _colors.to_lab(display.points_.get_facecolor()[:, :3])
            assert drawn[:, 0].min() > 0.5


def test_colours_differ_on_a_dark_background():
    with plt.style.context("dark_background"):
        lab = _colors.to_lab(_colors.palette(10))
    apart = np.linalg.norm(lab[:, None] - lab, axis=2)[np.triu_indices(10, 1)]
    assert apart.min() > 0.04 and lab[:, 0].min() > 0.5


def test_what_the_user_has_set_stays(faithful):
    X, model = faithful
    settings = {"font.size": 14, "axes.spines.top": True, "axes.linewidth": 3.0, "figure.dpi": 72, "axes.grid": True}
    with matplotlib.rc_context(settings):
        display = MixtureDisplay.from_estimator(model, X)
        display.figure_.canvas.draw()
    ax = display.ax_
    assert display.figure_.dpi == 72 and ax.spines["left"].get_linewidth() == 3
    assert ax.xaxis.label.get_fontsize() == 14 and ax._left_title.get_fontsize() == 14
    assert any(line.get_visible() for line in ax.get_xgridlines())
    box = display.legend_.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= display.figure_.bbox.x1  # the figure has grown with the text
    plain = MixtureDisplay.from_estimator(model, X)
    assert plain.ax_.xaxis.label.get_fontsize() == 9 and plain.figure_.dpi == 150


# Films


@pytest.fixture
def filmed(monkeypatch, tmp_path):
    """What would be written to the file."""
    seen = []
    monkeypatch.setattr(_film_file, "_write_gif", lambda path, film, moments, *_: seen.append(film) or path.touch())

    def film(model, X, **settings):
        animate_fit(model, X, tmp_path / "fit.gif", max_frames=3, size=(400, 200), **settings)
        return seen[-1]

    return film


def test_a_film_says_whose_run_it_shows(faithful, frames, filmed):
    X, model = faithful
    heading = filmed(model, X).figure.axes[0].get_title(loc="left")
    assert heading.split("\n") == ["EM from a random start, made for this film", "2 components, 272 points"]
    assert filmed(model, X, frames=frames).figure.axes[0].get_title(loc="left") == "2 components, 272 points"


def test_strays_hide_nothing_in_a_film(faithful, frames, filmed):
    X, model = faithful
    film = filmed(model, with_strays(X), frames=frames)
    assert film.panel.ax.get_xlim()[1] < 20
    film.show(0)
    assert "7 points" in film.panel.outside.get_text()


def test_the_heaviest_are_in_front():
    mixture = _mixture.Mixture(
        np.array([0.1, 0.4, 0.2, 0.3]), np.zeros((4, 1)), np.ones((4, 1, 1)), np.array([False, False, False, True])
    )
    assert mixture.in_front(2).tolist() == [False, True, True, False]
    assert mixture.in_front().tolist() == [True, True, True, False]


# -- axes of the user -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height", "texts"), [(6, 4, 4), (2.2, 2.2, 2), (1.5, 2, 2)])
def test_a_legend_inside_small_axes_is_short(faithful, width, height, texts):
    X, model = faithful
    fig, ax = plt.subplots(figsize=(width, height))
    display = MixtureDisplay.from_estimator(model, X, ax=ax)
    fig.canvas.draw()
    legend, axes = (each.get_window_extent() for each in (display.legend_, ax))
    assert legend.x0 >= axes.x0 - 1 and legend.x1 <= axes.x1 + 1
    said = [text.get_text() for text in display.legend_.get_texts()]
    assert len(said) == texts and all(text.startswith(str(k)) for k, text in enumerate(said[:2]))
    assert ("mean" in said[0]) == (width == 6)
    title = ax.get_title(loc="left")
    assert title.startswith("2 components") and ("nats" in title) == (width == 6)
    assert ax._left_title.get_window_extent().x1 <= axes.x1 + 1


def test_a_brief_legend_keeps_names_and_what_was_left_out():
    texts = ["0 a: weight 0.5, mean (1, 2): weight 3, mean (4, 5)", "noise: weight 0.1", "the densest 50 %", "3 points"]
    assert _legend.brief(texts, 80, 9) == ([0, 1, 2, 3], texts)
    assert _legend.brief(texts, 40, 3, 1) == ([0, 1, 3], ["0 a: weight 0.5, mean (1, 2): weight 3", texts[1], texts[3]])
    assert _legend.brief(texts, 5, 3, 1) == ([0, 1, 3], ["0 a: weight 0.5, mean (1, 2)", "noise", texts[3]])


def test_titles_lose_their_last_clauses():
    title = "3 components, full covariance, 600 points\nlog-likelihood 1"
    assert _words.clipped(title, 60) == title
    assert _words.clipped(title, 30) == "3 components, full covariance\nlog-likelihood 1"
    assert _words.clipped(title, 12) == "3 components"
    assert _words.clipped(title, 5) == ""


def test_the_run_itself_is_no_start_beside_its_curve(faithful):
    model = faithful[1]
    stages = LogLikelihoodDisplay.from_estimator(model).stages
    assert [stage.name for stage in stages] == ["search"] and len(model.fit_report_.stages) == 2
    labels = [text.get_text() for text in LogLikelihoodDisplay.from_estimator(model).legend_.get_texts()]
    assert labels == ["all points", "other starts, the best"]


def test_axes_for_too_many_features_are_refused_and_a_part_of_a_figure_is_filled():
    X = load_penguins().data
    model = GaussianMixture(2, random_state=0).fit(X)
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match=r"ax holds one or two features, not 4: choose them by features=.*pass fig"):
        MixtureDisplay.from_estimator(model, X, ax=ax)
    with pytest.raises(ValueError, match="ax holds one or two features, not 4"):
        DataDisplay.from_data(X, ax=ax)
    assert MixtureDisplay.from_estimator(model, X, ax=ax, features=[0, 1]).ax_ is ax
    left, right = plt.figure(figsize=(8, 4)).subfigures(1, 2)
    assert MixtureDisplay.from_estimator(model, X, fig=left).figure_ is left and not right.axes


def test_a_long_legend_of_a_corner_plot_covers_no_panel():
    data = make_mixture(2000, n_components=12, n_features=3, overlap=0.01, random_state=0)
    display = MixtureDisplay.from_estimator(data.model, data.data)
    display.figure_.canvas.draw()
    legend = display.legend_.get_window_extent()
    assert len(display.legend_.get_texts()) >= 12
    assert not any(legend.overlaps(ax.get_window_extent()) for ax in display.axes_.flat if ax is not None)
