"""Predictions and an EM step against exact arithmetic, on data chosen to go wrong.

The references are mpmath's with 50 digits, and rational numbers, of the very floats that fastem is given; the mixture
is one of float64 parameters. What users can rely on, eps being 2.2e-16 for float64 data and 1.2e-7 for float32:

| | error |
| --- | --- |
| log-densities, scores, lower bounds, relative to 1 + their size | 8 eps |
| the same where components are d < 6e6 deviations apart | d eps |
| the same where a covariance matrix has the condition c | 2 c eps (float32 data: 200 eps) |
| responsibilities, L being the largest size of the point's log-densities | 2 L eps; never NaN, rows sum to 1 |
| means, relative to deviation + distance from the origin and the other means; weights | 20 eps (D > N: 400) |
| variances and covariances, relative to deviations | 30 eps (float32 data at 1e8: 100) |
| the same of a component on a few points, much smaller than before the step | 2e-9, float32 data 3e-4 |
| variances of data at 1e8 | as elsewhere; about the mean as it is rounded, + (eps mean / deviation)**2 |
| features of 1e-150 to 1e150, each its own | 50 times the above |
| a component of fewer than 1e-6 points | its weight to 4e-15 / N, its mean between the points and where it was |
| constant columns, dependent ones or D > N, `reg_covar=0` | an error naming the component; 'diag': 4 eps abs(mean) |
"""

import re
import warnings
from dataclasses import dataclass, replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.model.families import FAMILIES
from fastem.model.statistics import SufficientStatistics

from .data_sets import COVARIANCE_TYPES
from .grids import exhaustive, grid

EPS = np.finfo(np.float64).eps
LIGHT = 1e-6  # mass of a component that is all but empty
GUARD = 10 * EPS  # scikit-learn's, in the mass of every component


@pytest.fixture(autouse=True)
def digits():
    with mpmath.workdps(50):
        yield


# -- the truth ----------------------------------------------------------------------------------------------------


def exactly(values):
    """Nested lists of the same numbers."""
    return [exactly(value) for value in values] if np.ndim(values) else mpf(float(values))


def factor_of(matrix):
    """Lower triangular L with L L' the matrix."""
    lower = []
    for i, row in enumerate(matrix):
        lower.append([])
        for j in range(i + 1):
            rest = row[j] - mpmath.fdot(lower[i][:j], lower[j][:j])
            lower[i].append(mpmath.sqrt(rest) if i == j else rest / lower[j][j])
    return lower


def log_density(offset, lower):
    """Of a normal distribution whose covariance is L L', at this offset from its mean."""
    z = []
    for i, row in enumerate(lower):
        z.append((offset[i] - mpmath.fdot(row[:i], z)) / row[i])
    return -(len(z) * mpmath.log(2 * mpmath.pi) + mpmath.fdot(z, z)) / 2 - sum(
        mpmath.log(lower[i][i]) for i in range(len(z))
    )


@dataclass
class Case:
    """Points and a mixture."""

    X: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance_type: str
    reg_covar: float = 0.0

    @property
    def matrices(self):
        shape = self.means.shape
        return exactly(FAMILIES[self.covariance_type].matrices(self.covariances, *shape))

    @property
    def model(self):
        """The mixture, which a fit takes one step of EM from."""
        return GaussianMixture.from_parameters(
            self.weights, self.means, self.covariances, covariance_type=self.covariance_type,
            algorithm="em", warm_start=True, max_iter=1, tol=1e300, reg_covar=self.reg_covar,
        )  # fmt: skip

    def log_densities(self):
        """log(weight_k N(x_i; mean_k, covariance_k)), n rows of K."""
        lowers = [factor_of(matrix) for matrix in self.matrices]
        mixture = list(zip(map(mpmath.log, exactly(self.weights)), exactly(self.means), lowers, strict=True))
        return [
            [
                log_weight + log_density([a - b for a, b in zip(x, mean, strict=True)], lower)
                for log_weight, mean, lower in mixture
            ]
            for x in exactly(self.X)
        ]

    def step(self, responsibilities):
        """Weights, means and covariances as matrices; a component without mass stays where it is."""
        X, old, columns = exactly(self.X), exactly(self.means), list(zip(*responsibilities, strict=True))
        features = range(len(old[0]))
        masses = [mpmath.fsum(column) + mpf(GUARD) for column in columns]
        means = [
            [c[i] + mpmath.fsum(r * (x[i] - c[i]) for r, x in zip(column, X, strict=True)) / mass for i in features]
            for column, c, mass in zip(columns, old, masses, strict=True)
        ]
        scatters = [
            [
                [
                    mpmath.fsum(r * (x[i] - m[i]) * (x[j] - m[j]) for r, x in zip(column, X, strict=True))
                    for j in features
                ]
                for i in features
            ]
            for column, m in zip(columns, means, strict=True)
        ]
        reg, total = mpf(self.reg_covar), mpmath.fsum(masses)
        if self.covariance_type == "tied":
            pooled = [[mpmath.fsum(s[i][j] for s in scatters) / total for j in features] for i in features]
            matrices = [pooled] * len(masses)
        else:
            matrices = [[[v / mass for v in row] for row in s] for s, mass in zip(scatters, masses, strict=True)]
        if self.covariance_type in ("diag", "spherical"):
            least = [(4 * EPS * max(abs(mean[i]) for mean in old)) ** 2 for i in features]
            for k, matrix in enumerate(matrices):
                variances = [max(matrix[i][i], least[i]) if masses[k] > 2 * GUARD else mpf(0) for i in features]
                if self.covariance_type == "spherical":
                    variances = [mpmath.fsum(variances) / len(features)] * len(features)
                matrices[k] = [[variances[i] if i == j else mpf(0) for j in features] for i in features]
        matrices = [[[row[j] + (reg if i == j else 0) for j in features] for i, row in enumerate(m)] for m in matrices]
        return masses, means, matrices


def assert_inside(point, box):
    """The point is inside the smallest box of these, but for rounding."""
    slack = 4 * np.finfo(box.dtype).eps * np.abs(box).max(axis=0)
    assert (point >= box.min(axis=0) - slack).all()
    assert (point <= box.max(axis=0) + slack).all()


def log_sum_exp(row):
    largest = max(row)
    return largest + mpmath.log(mpmath.fsum(mpmath.exp(value - largest) for value in row))


def relative(value, truth, size=None):
    """Error of a number in units of its size, or of size."""
    return float(abs(mpf(float(value)) - truth) / (abs(truth) if size is None else size))


def errors(case, steps=True):
    """Errors of predictions and of one step: a dict, in units of the data's eps."""
    model, densities = case.model, case.log_densities()
    likelihoods = [log_sum_exp(row) for row in densities]
    responsibilities = [
        [mpmath.exp(value - likelihood) for value in row]
        for row, likelihood in zip(densities, likelihoods, strict=True)
    ]
    mean = mpmath.fsum(likelihoods) / len(likelihoods)
    found, shares, labels = model.score_samples(case.X), model.predict_proba(case.X), model.predict(case.X)
    assert_allclose(shares.sum(axis=1), 1, rtol=4 * np.finfo(case.X.dtype).eps)
    assert_array_equal(labels, shares.argmax(axis=1))
    sizes = [1 + max(abs(value) for value in row if value > -1e300) for row in densities]
    worst = {
        "log-density": max(relative(*pair, 1 + abs(pair[1])) for pair in zip(found, likelihoods, strict=True)),
        "responsibility": max(
            relative(value, truth, size)
            for rows in zip(shares, responsibilities, sizes, strict=True)
            for value, truth, size in zip(rows[0], rows[1], [rows[2]] * len(rows[0]), strict=True)
        ),
        "score": relative(model.score(case.X), mean, 1 + abs(mean)),
    }
    for label, row, size in zip(labels, densities, sizes, strict=True):
        worst["label"] = max(worst.get("label", 0), float((max(row) - row[label]) / size))
    if steps:
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            model.fit(case.X)
        worst["lower bound"] = relative(model.lower_bound_, mean, 1 + abs(mean))
        worst |= step_errors(case, model, responsibilities)
    eps = np.finfo(case.X.dtype).eps
    return {name: value / eps for name, value in worst.items()}


def step_errors(case, model, responsibilities):
    """Errors of weights; of means and covariances, in deviations of theirs, of components that aren't all but empty."""
    masses, means, matrices = case.step(responsibilities)
    found = FAMILIES[case.covariance_type].matrices(model.covariances_, *case.means.shape)
    origin, features, worst = exactly(case.weights @ case.means), range(case.means.shape[1]), {}
    worst["weight"] = max(
        relative(weight, mass / mpmath.fsum(masses), mass + 0.01)
        for weight, mass in zip(model.weights_, masses, strict=True)
    )
    for k, (mass, mean, matrix) in enumerate(zip(masses, means, matrices, strict=True)):
        if mass < LIGHT:
            assert_inside(model.means_[k], np.vstack([case.X, case.means[k]]))
            assert (np.diagonal(found[k]) > 0).all()
            continue
        deviations = [mpmath.sqrt(matrix[i][i]) for i in features]
        for i in features:
            size = abs(mean[i]) + abs(mean[i] - origin[i]) + deviations[i]
            worst["mean"] = max(worst.get("mean", 0), relative(model.means_[k, i], mean[i], size))
            for j in features:
                error = relative(found[k][i, j], matrix[i][j], deviations[i] * deviations[j])
                worst["covariance"] = max(worst.get("covariance", 0), error)
    return worst


# -- the cases ----------------------------------------------------------------------------------------------------


def ordinary(covariance_type, n_samples=16, n_features=3, n_components=2, seed=0):
    rng = np.random.default_rng([seed, n_samples, n_features, n_components])
    means = 2 * rng.normal(size=(n_components, n_features))
    rotations = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features)))[0]
    full = (rotations * rng.uniform(0.3, 3, size=(n_components, 1, n_features))) @ rotations.transpose(0, 2, 1)
    full = (full + full.transpose(0, 2, 1)) / 2
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": rng.uniform(0.3, 3, size=(n_components, n_features)),
        "spherical": rng.uniform(0.3, 3, size=n_components),
    }[covariance_type]
    X = means[rng.integers(n_components, size=n_samples)] + 1.5 * rng.normal(size=(n_samples, n_features))
    return Case(X, rng.dirichlet(np.full(n_components, 5.0)), means, covariances, covariance_type)


def at(offset, **sizes):
    def case(covariance_type, seed):
        case = ordinary(covariance_type, seed=seed, **sizes)
        return replace(case, X=case.X + offset, means=case.means + offset, reg_covar=1e-6)

    return case


def scaled(*scales):
    def case(covariance_type, seed):
        case = ordinary(covariance_type, seed=seed)
        factor = np.array(scales)
        if covariance_type == "spherical":
            factor = np.full(3, scales[seed % 2 * 2])
        outer = {"diag": factor**2, "spherical": factor[0] ** 2}.get(covariance_type, factor * factor[:, None])
        return replace(case, X=case.X * factor, means=case.means * factor, covariances=case.covariances * outer)

    return case


def far(distance):
    def case(covariance_type, seed):
        case = ordinary(covariance_type, seed=seed)
        case.X[0] = distance
        case.X[1, 0] = -distance
        return case

    return case


def apart(distance):
    def case(covariance_type, seed):
        case = ordinary(covariance_type, seed=seed)
        shift = np.full((2, 3), [[0.0], [distance]])
        return replace(case, X=case.X + shift[np.arange(16) % 2], means=case.means + shift, reg_covar=1e-6)

    return case


def duplicates(covariance_type, seed):
    case = ordinary(covariance_type, seed=seed)
    return replace(case, X=np.repeat(case.X[:5], 4, axis=0), reg_covar=1e-6)


def constant(offset):
    def case(covariance_type, seed):
        case = at(offset)(covariance_type, seed)
        case.X[:, 1] = case.means[0, 1] + 0.125
        return replace(case, reg_covar=1e-6)

    return case


def condition(number):
    def case(covariance_type, seed):
        rng = np.random.default_rng(seed)
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        root = rotation * np.array([1, number**-0.25, number**-0.5])
        covariance = root @ root.T
        covariance = (covariance + covariance.T) / 2
        means = rng.normal(size=3) + np.array([[0, 0, 0], [1, 1, 1]]) @ root.T
        X = means[rng.integers(2, size=16)] + rng.normal(size=(16, 3)) @ root.T
        covariances = covariance if covariance_type == "tied" else np.array([covariance, 2 * covariance])
        return Case(X, np.array([0.4, 0.6]), means, covariances, covariance_type)

    return case


def light(weight):
    def case(covariance_type, seed):
        case = ordinary(covariance_type, seed=seed)
        return replace(case, weights=np.array([1 - weight, weight]), reg_covar=1e-6)

    return case


def few(n_samples, n_features, n_components):
    def case(covariance_type, seed):
        case = ordinary(covariance_type, n_samples, n_features, n_components, seed)
        return replace(case, reg_covar=1e-6)

    return case


# What is allowed, in units of eps: log-densities, scores and lower bounds, relative to 1 + their size;
# responsibilities, relative to 1 + the size of the point's log-densities; weights, and means in deviations; covariances
# in deviations. It is about three times the largest error of 12 mixtures of each kind.
CASES = {
    "ordinary": (at(0.0), (6, 1.5, 3, 30), (5, 1, 2, 15)),
    "at 1e4": (at(1e4), (6, 1.5, 2, 15), (5, 1.5, 2, 20)),
    "at 1e8": (at(1e8), (6, 1.5, 2, 25), (5, 1.5, 2, 100)),
    "features of 1e-18, 1 and 1e18": (scaled(1e-18, 1.0, 1e18), (25, 6, 40, 40), (1e-6, 1e-6, 1.5, 1.5)),
    "features of 1e-150, 1 and 1e150": (scaled(1e-150, 1.0, 1e150), (200, 40, 450, 1500), None),
    "points 1e6 deviations away": (far(1e6), (8, 1.5, 3, 8), (6, 1, 2, 12)),
    "points 1e12 deviations away": (far(1e12), (8, 1.5, 3, 8), (6, 1, None, None)),
    "components 1e5 apart": (apart(1e5), (1e5, 1, 2, 6e4), (5, 1, None, None)),
    "components 1e8 apart": (apart(1e8), (8, 1, 2, 10), (5, 1, None, None)),
    "components 1e12 apart": (apart(1e12), (8, 1, 2, 3e7), (5, 1, None, None)),
    "components 1e18 apart": (apart(1e18), (8, 1, None, None), (5, 1, None, None)),
    "components 1e30 apart": (apart(1e30), (8, 1, None, None), (5, 1, None, None)),
    "duplicates": (duplicates, (5, 1, 8, 6e4), (5, 1, 4, 8e3)),
    "a constant column": (constant(0.0), (6, 1.5, 16, 10), (5, 1, 2, 10)),
    "a constant column at 1e8": (constant(1e8), (5, 1.5, 2, 12), (5, 1, 5, 100)),
    "condition 1e4": (condition(1e4), (2e4, 2e3, 700, 3e3), (200, 60, 10, 50)),
    "condition 1e8": (condition(1e8), (8e6, 2e6, 5e6, 5e6), (0.02, 0.01, 1.5, 1.5)),
    "condition 1e12": (condition(1e12), (5e10, 1.5e10, 5e10, 8e10), (100, 25, 100, 150)),
    "N_k of 1e-10": (light(1e-10), (8, 1, 8, 8e5), (5, 1, 12, 1500)),
    "N_k of 1e-100": (light(1e-100), (6, 1e-9, 2, 8), (5, 1e-9, 1, 9)),
    "N_k of 1e-300": (light(1e-300), (6, 1e-9, 2, 8), (5, 1e-9, 1, 9)),
    "4 components, 5 points": (few(5, 2, 4), (8, 1, 400, 1e6), (6, 1, 10, 2500)),
    "9 features, 5 points": (few(5, 9, 2), (6, 0.3, 150, 8e6), (5, 0.3, 3, 2500)),
}
MAY_COLLAPSE = {  # full and tied covariances whose condition is beyond the digits of the sums
    ("points 1e12 deviations away", "f8"), ("points 1e6 deviations away", "f4"), ("4 components, 5 points", "f4"),
    ("9 features, 5 points", "f4"),
}  # fmt: skip
KINDS = (("log-density", "score", "lower bound"), ("responsibility",), ("weight", "mean"), ("covariance",))


CELLS = [
    (name, dtype, covariance_type)
    for name, (_, *allowed) in CASES.items()
    for dtype, most in zip(("f8", "f4"), allowed, strict=True)
    for covariance_type in (COVARIANCE_TYPES[:2] if name.startswith("condition") else COVARIANCE_TYPES)
    if most is not None
]


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@grid(("name", "dtype", "covariance_type"), CELLS, quick=[cell for cell in CELLS if cell[1:] == ("f8", "full")])
def test_predictions_and_a_step(name, dtype, covariance_type):
    make, *allowed = CASES[name]
    allowed = allowed[dtype == "f4"]
    for seed in range(5):
        case = make(covariance_type, seed)
        case.X = case.X.astype(dtype)
        try:
            found = errors(case, steps=allowed[2] is not None)
        except ValueError as error:
            assert "collapsed at iteration 1" in str(error)
            assert (name, dtype) in MAY_COLLAPSE and covariance_type in ("full", "tied")
            found = errors(case, steps=False)
        for kinds, most in zip(KINDS, allowed, strict=True):
            for kind in kinds:
                assert found.get(kind, 0) <= (most or 0), (seed, kind, found)
        assert found["label"] <= 5, found


# -- rational numbers ---------------------------------------------------------------------------------------------


def rational_moments(X):
    """Mean and covariance of the rows: of these very floats, without rounding."""
    X = [[Fraction(float(value)) for value in row] for row in X]
    n, features = len(X), range(len(X[0]))
    mean = [sum(row[i] for row in X) / n for i in features]
    covariance = [[sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in X) / n for j in features] for i in features]
    return mean, covariance


SAMPLES = {
    "small integers": lambda rng: rng.integers(-9, 10, size=(300, 2)).astype(float),
    "1 at 1e8": lambda rng: 1e8 + rng.normal(size=(300, 2)),
    "1e-4 at 1e8": lambda rng: 1e8 + 1e-4 * rng.normal(size=(300, 2)),
    "1 beside 1e9": lambda rng: (
        np.where(np.arange(600).reshape(300, 2) % 7 < 3, 0, 1e9) + rng.integers(9, size=(300, 2))
    ),
    "1e-150 and 1e150": lambda rng: rng.normal(size=(300, 2)) * [1e-150, 1e150],
    "100 values, one of 1e100": lambda rng: np.vstack([rng.normal(size=(99, 2)), [[1e100, -1e100]]]),
    "dependent but for the last digits": lambda rng: rng.normal(size=(300, 1)) + 1e-7 * rng.normal(size=(300, 2)),
}


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_component_has_the_rational_moments(covariance_type, sample):
    X = SAMPLES[sample](np.random.default_rng(0))
    model = GaussianMixture(covariance_type=covariance_type, reg_covar=0, max_iter=1, tol=1e300)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        try:
            model.fit(X)
        except ValueError as error:  # of condition 1e200: rounding says whether it is singular
            assert "collapsed" in str(error)
            assert sample == "100 values, one of 1e100" and covariance_type in ("full", "tied")
            return
    mean, covariance = rational_moments(X)
    deviations = [float(covariance[i][i]) ** 0.5 for i in range(2)]
    for i in range(2):
        assert abs(Fraction(model.means_[0, i]) - mean[i]) <= 2 * EPS * (abs(mean[i]) + Fraction(deviations[i]))
    truth = np.array([[float(value) for value in row] for row in covariance])
    found = FAMILIES[covariance_type].matrices(model.covariances_, 1, 2)[0]
    if covariance_type == "diag":
        truth = np.diag(np.diag(truth))
    elif covariance_type == "spherical":
        truth = np.eye(2) * np.mean(np.diag(truth))
        deviations = [1.0, 1.0] * np.sqrt(np.diag(truth))
    scale = np.outer(deviations, deviations)
    # They are about the mean that the model has, which is a float.
    rounding = max(EPS * abs(float(value)) / deviation for value, deviation in zip(mean, deviations, strict=True))
    assert_allclose(found / scale, truth / scale, atol=8 * EPS + rounding**2, rtol=0)


# -- the right answer or a clear error ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize(("dtype", "value"), [("f8", 1e170), ("f8", -1.7e308), ("f4", 3e38)])
def test_points_where_every_density_is_0(covariance_type, dtype, value):
    case = ordinary(covariance_type)
    case.X[3] = value
    case.X = case.X.astype(dtype)
    model = case.model
    shares = model.predict_proba(case.X)
    assert_allclose(shares.sum(axis=1), 1, rtol=4 * np.finfo(dtype).eps)
    assert_array_equal(model.predict(case.X), shares.argmax(axis=1))
    assert not np.isnan(model.score_samples(case.X)).any()
    if dtype == "f8":  # in float32 it depends: computed in float64, it is just very low
        assert model.score_samples(case.X)[3] == model.score(case.X) == -np.inf
    before = model.means_
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning), np.errstate(all="ignore"):
        try:
            model.fit(case.X)
        except ValueError as error:
            assert "collapsed at iteration 1" in str(error)
            assert model.means_ is before
        else:  # the point counts for no component, and the bound says so
            assert model.lower_bound_ == -np.inf
            assert_inside(model.means_, np.delete(case.X, 3, axis=0))
            assert_allclose(model.weights_.sum(), 1, rtol=4 * np.finfo(dtype).eps)
        other = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0)
        try:
            other.fit(case.X)
        except ValueError as error:
            assert re.search("collapsed at (the start|iteration 1)", str(error))
        else:
            assert np.isfinite(other.covariances_).all() and np.isfinite(other.score(case.X))


@exhaustive
@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("Mixture", [GaussianMixture, BayesianGaussianMixture])
def test_float32_data_whose_variances_float32_can_not_hold(Mixture, covariance_type, scale):
    case = ordinary(covariance_type, n_samples=200)
    plain, scaled = (
        Mixture(
            n_components=2, covariance_type=covariance_type, reg_covar=0, random_state=0, tol=1e-6, max_iter=1000
        ).fit((case.X * factor).astype(np.float32))
        for factor in (1.0, scale)
    )
    assert plain.means_.dtype == plain.covariances_.dtype == np.float32
    assert scaled.means_.dtype == scaled.covariances_.dtype == np.float64
    assert_allclose(scaled.covariances_ / scale**2, plain.covariances_, rtol=2e-3, atol=2e-3)
    score = scaled.score((case.X * scale).astype(np.float32)) + 3 * np.log(scale)
    assert score == pytest.approx(plain.score(case.X.astype(np.float32)), abs=1e-4)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("Mixture", [GaussianMixture, BayesianGaussianMixture])
@grid("algorithm", ["auto", "em"], quick=["auto"])
@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
@pytest.mark.parametrize(("n_samples", "n_features", "n_components"), [(5, 2, 5), (5, 2, 4), (6, 20, 2), (2, 50, 2)])
def test_as_many_components_or_features_as_points(
    n_samples, n_features, n_components, covariance_type, algorithm, Mixture
):
    X = np.random.default_rng(0).normal(size=(n_samples, n_features))
    model = Mixture(
        n_components=n_components, covariance_type=covariance_type, algorithm=algorithm, random_state=0, max_iter=500
    )
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(X)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bound_"):
        assert np.isfinite(getattr(model, name)).all()
    assert_inside(model.means_, X)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=4 * EPS)
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize("offset", [1.0, 1e8, 1e-100])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_constant_column_without_reg_covar(covariance_type, offset):
    X = np.random.default_rng(0).normal(size=(100, 3))
    X[:, 1] = 1.1 * offset
    model = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0)
    if covariance_type in ("full", "tied"):
        with pytest.raises(ValueError, match=r"ill-defined empirical covariance .* collapsed at the start"):
            model.fit(X)
    else:
        model.fit(X)
        assert np.isfinite(model.score(X))
        if covariance_type == "diag":  # the least that rounding lets one tell from 0
            assert_allclose(np.sqrt(model.covariances_[:, 1]), 4 * EPS * 1.1 * offset, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_given_matrices_of_any_scale(covariance_type):
    scales = np.array([1e-150, 1.0, 1e150])
    case = ordinary(covariance_type)
    good = case.covariances * np.outer(scales, scales)
    model = replace(case, covariances=good, means=case.means * scales).model
    user = GaussianMixture(2, covariance_type=covariance_type, precisions_init=model.precisions_, reg_covar=0, tol=1)
    assert np.isfinite(user.fit(case.X * scales, labels=None).lower_bound_)
    bad = good.copy()
    bad[..., 0, 1] = bad[..., 1, 0] = 1.1 * np.sqrt(good[..., 0, 0] * good[..., 1, 1])
    for singular in (bad, np.zeros_like(good), np.full_like(good, 2.0)):
        with pytest.raises(ValueError, match="should be symmetric, positive-definite"):
            replace(case, covariances=singular).model  # noqa: B018
        user.set_params(precisions_init=singular)
        with pytest.raises(ValueError, match="should be symmetric, positive-definite"):
            user.fit(case.X)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_digits_kept_of_sums_of_any_scale(scale):
    first, second = np.full((1, 1), 1e5 * scale), np.full((1, 1), 1e6 * scale**2)
    statistics = SufficientStatistics(np.zeros((1, 1)), np.array([1e6]), first, second, "diag", second, 0.0, 1e6)
    assert statistics.digits_kept == pytest.approx(0.99)
