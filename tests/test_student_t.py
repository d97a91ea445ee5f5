"""StudentTMixture: against ECM in plain NumPy, SciPy's densities, and what a t distribution is."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastem import StudentTMixture

from . import data_sets, naive
from .fits import quietly
from .grids import grid

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["full", "tied", "diag"])


def student(n_components=3, **params):
    return StudentTMixture(n_components, **{"random_state": 0, "n_threads": 1, **params})


def scattered(n_samples=400, n_features=3, n_components=3, degrees=4.0, seed=0, distance=4.0):
    """(X, the group that each is from): groups with heavy tails."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_components, size=n_samples)
    spread = rng.uniform(0.5, 1.5, size=(n_components, n_features))
    tails = np.sqrt(degrees / rng.chisquare(degrees, size=(n_samples, 1)))
    return distance * groups[:, None] + rng.normal(size=(n_samples, n_features)) * spread[groups] * tails, groups


@pytest.mark.parametrize("kind", [None, "shared", "fixed"])
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
    for _ in range(25):
        *state, bound = naive.student_step(X, *state, covariance_type, kind=kind, sample_weight=weight)
        quietly(model, X, sample_weight=weight)
        found = model.weights_, model.means_, model.scales_, model.degrees_of_freedom_, model.lower_bound_
        for value, expected in zip(found, (*state, bound), strict=True):
            assert_allclose(value, expected, rtol=1e-9, atol=1e-11)
