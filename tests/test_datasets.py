"""The data sets that ship with the package, and the generator of mixtures with a given overlap."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from fastem.datasets import load_faithful, load_galaxies, load_penguins, load_reaven_miller, make_mixture
from fastem.model.families import FAMILIES, STANDARD

from .grids import exhaustive, grid

LOADERS = [load_faithful, load_galaxies, load_penguins, load_reaven_miller]


def test_faithful_is_rs_faithful():
    faithful = load_faithful()
    assert faithful.data.shape == (272, 2)
    assert faithful.data.dtype == np.float64
    assert faithful.feature_names == ["eruptions", "waiting"]
    # What R prints for mean and sd of each column, and the first and last row.
    assert_allclose(faithful.data.mean(axis=0), [3.487783, 70.89706], rtol=1e-6)
    assert_allclose(faithful.data.std(axis=0, ddof=1), [1.141371, 13.59497], rtol=1e-6)
    assert faithful.data[[0, -1]].tolist() == [[3.6, 79.0], [4.467, 74.0]]


def test_galaxies_are_rs_without_the_misprint():
    galaxies = load_galaxies()
    assert galaxies.data.shape == (82, 1)
    assert galaxies.feature_names == ["velocity"]
    velocities = galaxies.data[:, 0]
    assert velocities[77] == 26960
    assert (np.diff(velocities) > 0).all()
    # What R prints for summary(MASS::galaxies), to five digits, which has the misprint.
    velocities[77] = 26690
    summary = [*np.quantile(velocities, [0, 0.25, 0.5, 0.75, 1]), velocities.mean()]
    assert_allclose(summary, [9172, 19532, 20834, 23133, 34279, 20828], atol=0.5)


def test_penguins_are_palmerpenguins_complete_rows():
    penguins = load_penguins()
    assert penguins.data.shape == (342, 4)
    assert penguins.target_names.tolist() == ["Adelie", "Chinstrap", "Gentoo"]
    # Published with the R package: numbers of birds (152, 68, 124, of which an Adelie and a Gentoo lack measurements),
    # means by species, and mean and standard deviation of all.
    assert np.bincount(penguins.target).tolist() == [151, 68, 123]
    means = [penguins.data[penguins.target == species].mean(axis=0) for species in range(3)]
    expected = [[38.79, 18.35, 189.95, 3700.66], [48.83, 18.42, 195.82, 3733.09], [47.50, 14.98, 217.19, 5076.02]]
    assert_allclose(means, expected, atol=0.006)
    assert_allclose(penguins.data.mean(axis=0), [43.92193, 17.15117, 200.9152, 4201.754], rtol=1e-6)
    assert_allclose(penguins.data.std(axis=0, ddof=1), [5.459584, 1.974793, 14.061714, 801.9545], rtol=1e-6)


def test_reaven_miller_is_not_mclusts_flawed_copy():
    diabetes = load_reaven_miller()
    assert diabetes.data.shape == (145, 3)
    assert diabetes.target_names.tolist() == ["chemical", "normal", "overt"]
    assert np.bincount(diabetes.target).tolist() == [36, 76, 33]
    # mclust's documentation: its 104th glucose area is 45 and should be 455; its glucose is fasting glucose, 75.
    assert diabetes.data[103].tolist() == [455, 392, 242]
    # What R prints for the means of heplots::Diabetes by group.
    means = [diabetes.data[diabetes.target == group].mean(axis=0) for group in range(3)]
    expected = [[493.9444, 288.0, 208.9722], [349.9737, 172.6447, 114.0], [1043.7576, 106.0, 318.8788]]
    assert_allclose(means, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("load", "sources"),
    [
        (load_faithful, ["R's package `datasets`", "Azzalini", "Härdle"]),
        (load_galaxies, ["`MASS`", "Postman", "Roeder", "Terms: "]),
        (load_penguins, ["`palmerpenguins`", "Gorman", "CC0"]),
        (load_reaven_miller, ["`heplots`", "Reaven", "Andrews", "Terms: "]),
    ],
)
def test_each_states_its_source(load, sources):
    bunch = load()
    assert [source for source in sources if source not in bunch.DESCR] == []
    assert f":Number of points: {len(bunch.data)}" in bunch.DESCR
    assert [name for name in bunch.feature_names if f"- {name}: " not in bunch.DESCR] == []


@pytest.mark.parametrize("load", LOADERS)
def test_file_is_where_the_bunch_says(load):
    bunch = load()
    lines = files(bunch.data_module).joinpath(bunch.filename).read_text().splitlines()
    assert len(lines) == 1 + len(bunch.data)
    assert [name for name in bunch.feature_names if name not in lines[0]] == []


@pytest.mark.parametrize("load", LOADERS)
def test_each_load_is_a_fresh_copy(load):
    load().data[:] = 0
    assert load()["data"].min() > 0


def test_loaders_take_no_arguments():
    with pytest.raises(TypeError):
        load_faithful("iris")


def test_data_files_are_small():
    """`.ci/check_package.py` checks that they are packaged."""
    folder = Path(__file__).parents[1] / "fastem" / "datasets"
    data_files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"]
    assert len(data_files) >= 2 * len(LOADERS)
    assert sum(path.stat().st_size for path in data_files) < 40_000


def components(model):
    """SciPy's own Gaussians for a model."""
    n_features = model.means_.shape[1]
    covariances = {
        "full": lambda: model.covariances_,
        "tied": lambda: [model.covariances_] * len(model.means_),
        "diag": lambda: [np.diag(variances) for variances in model.covariances_],
        "spherical": lambda: [variance * np.eye(n_features) for variance in model.covariances_],
    }[model.covariance_type]()
    return [stats.multivariate_normal(*args) for args in zip(model.means_, covariances, strict=True)]


def weighted_densities(model, points):
    """w_k N(x; m_k, S_k), (K, n), by SciPy."""
    return np.array([w * c.pdf(points) for w, c in zip(model.weights_, components(model), strict=True)])


def integrated_overlap(model, n_nodes):
    """1 minus the integral of max_k w_k N(x; m_k, S_k), by the trapezoidal rule on a grid."""
    deviations = np.sqrt([np.diag(component.cov) for component in components(model)])
    low = (model.means_ - 7 * deviations).min(axis=0)
    high = (model.means_ + 7 * deviations).max(axis=0)
    axes = [np.linspace(*ends, n_nodes) for ends in zip(low, high, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    volume = np.prod((high - low) / (n_nodes - 1))
    return 1 - weighted_densities(model, nodes).max(axis=0).sum() * volume


@grid("overlap", [0.002, 0.05, 0.3, 0.45], quick=[0.05])
@grid("n_features", [1, 2, 20], quick=[1, 2])
def test_overlap_of_two_equal_components_is_the_closed_form(overlap, n_features):
    mixture = make_mixture(1, 2, n_features, overlap=overlap, covariance_type="tied", random_state=3)
    gap = np.subtract(*mixture.model.means_)
    distance = np.sqrt(gap @ np.linalg.solve(mixture.model.covariances_, gap))
    assert mixture.overlap == pytest.approx(overlap, rel=1e-3)
    assert stats.norm.cdf(-distance / 2) == pytest.approx(mixture.overlap, abs=4 * mixture.overlap_error)
    assert mixture.overlap_error < 0.02 * overlap


@pytest.mark.parametrize("covariance_type", STANDARD)
@grid("overlap", [0.01, 0.1, 0.58], quick=[0.58])
@grid(("n_features", "n_nodes"), [(1, 200_001), (2, 1201)], quick=slice(1))
def test_overlap_is_the_integral(covariance_type, overlap, n_features, n_nodes):
    weights = [0.1, 0.4, 0.3, 0.2]  # 0.58: just below the largest there is, 0.6
    mixture = make_mixture(
        1, 4, n_features, overlap=overlap, covariance_type=covariance_type, weights=weights, random_state=1
    )
    assert integrated_overlap(mixture.model, n_nodes) == pytest.approx(overlap, abs=4 * mixture.overlap_error)
    assert mixture.overlap_error < 0.02 * overlap


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_overlap_is_the_share_of_points_that_bayes_rule_gets_wrong(covariance_type):
    n_samples = 50_000
    mixture = make_mixture(n_samples, 16, 10, overlap=0.05, covariance_type=covariance_type, random_state=2)
    errors = weighted_densities(mixture.model, mixture.data).argmax(axis=0) != mixture.target
    deviation = np.hypot(np.sqrt(0.05 * 0.95 / n_samples), mixture.overlap_error)
    assert errors.mean() == pytest.approx(0.05, abs=4 * deviation)


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_points_are_drawn_from_the_model(covariance_type):
    weights = np.array([0.5, 0.3, 0.2])
    mixture = make_mixture(60_000, 3, 4, covariance_type=covariance_type, weights=weights, random_state=0)
    assert_allclose(mixture.model.weights_, weights)
    counts = np.bincount(mixture.target)
    assert stats.chisquare(counts, 60_000 * weights).pvalue > 1e-4
    for index, component in enumerate(components(mixture.model)):
        # Whitened by the true component, the points are standard normal: means and covariances within 5 deviations.
        centred = mixture.data[mixture.target == index] - component.mean
        whitened = np.linalg.solve(np.linalg.cholesky(component.cov), centred.T)
        assert_allclose(whitened.mean(axis=1), 0, atol=5 / np.sqrt(counts[index]))
        assert_allclose(np.cov(whitened), np.eye(4), atol=5 * np.sqrt(2 / counts[index]))
        assert stats.kstest(whitened.ravel(), "norm").pvalue > 1e-4
    # In random order: no component comes first.
    assert stats.kstest(np.flatnonzero(mixture.target == 0) / 60_000, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_mixture_has_the_shapes_and_variety_it_should(covariance_type):
    mixture = make_mixture(50, 3, 4, covariance_type=covariance_type, random_state=0)
    shape = {"full": (3, 4, 4), "tied": (4, 4), "diag": (3, 4), "spherical": (3,)}[covariance_type]
    assert mixture.model.covariances_.shape == shape
    assert np.unique(mixture.model.covariances_.round(6)).size > 2  # neither all alike nor all round
    assert (mixture.data.shape, mixture.data.dtype) == ((50, 4), np.float64)
    assert (mixture.target.shape, mixture.target.dtype) == ((50,), np.int64)


def test_defaults_are_three_equal_components_in_the_plane():
    mixture = make_mixture(random_state=0)
    assert mixture.data.shape == (1000, 2)
    assert_allclose(mixture.model.weights_, [1 / 3] * 3)
    assert mixture.overlap == pytest.approx(0.05, rel=1e-3)


def test_same_seed_same_mixture_and_points():
    first, again, other = (make_mixture(100, random_state=seed) for seed in (0, np.random.RandomState(0), 1))
    assert_array_equal(first.data, again.data)
    assert_array_equal(first.target, again.target)
    assert_array_equal(first.model.covariances_, again.model.covariances_)
    assert not np.isin(first.data, other.data).any()


def test_the_mixture_does_not_depend_on_the_number_of_points():
    few, many = (make_mixture(n_samples, random_state=0).model for n_samples in (1, 1000))
    assert_array_equal(few.means_, many.means_)
    assert_array_equal(few.covariances_, many.covariances_)


def test_float32_points_are_the_float64_ones_rounded():
    single, double = (make_mixture(100, dtype=dtype, random_state=0) for dtype in (np.float32, np.float64))
    assert single.data.dtype == np.float32
    assert_array_equal(single.data, double.data.astype(np.float32))
    assert single.model.means_.dtype == np.float64


@exhaustive
def test_hard_cases_are_met():
    """Many components on a line, hardly any overlap, nearly all there is of it, many features."""
    for n_components, n_features, overlap in ((16, 1, 0.01), (3, 2, 1e-5), (3, 2, 0.665), (5, 60, 0.7)):
        mixture = make_mixture(10, n_components, n_features, overlap=overlap, random_state=0)
        assert mixture.overlap == pytest.approx(overlap, rel=1e-3)
        assert 0 < mixture.overlap_error < 0.5 * overlap


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "n_samples"),
        ({"n_samples": 10.0}, TypeError, "n_samples"),
        ({"n_components": 1}, ValueError, "n_components"),
        ({"n_features": 0}, ValueError, "n_features"),
        ({"overlap": 0}, ValueError, "overlap should be above 0"),
        ({"overlap": float("nan")}, ValueError, "overlap should be above 0"),
        ({"overlap": 0.667}, ValueError, "at most .* = 0.666, but got 0.667"),
        ({"overlap": 0.3, "weights": [0.8, 0.1, 0.1]}, ValueError, "at most .* = 0.1998, but got 0.3"),
        ({"overlap": "5%"}, TypeError, "overlap"),
        ({"covariance_type": "round"}, ValueError, f"one of {', '.join(FAMILIES)}, but got 'round'"),
        ({"weights": [0.5, 0.5]}, ValueError, "weights"),
        ({"weights": [0.5, 0.5, 0.0]}, ValueError, "weights should be positive, but component 2 has weight 0"),
        ({"weights": [0.5, 0.5, 0.5]}, ValueError, "weights"),
        ({"dtype": int}, ValueError, "float32 or float64, but got int64"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        make_mixture(**arguments)
