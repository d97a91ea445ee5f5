"""scikit-learn's own tests of GaussianMixture and BayesianGaussianMixture, run on fastem's.

Left out are those that call scikit-learn's private functions or methods instead of the class, and those for its
array API support, which fastem doesn't claim.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import fastem

from .grids import exhaustive

REACHES_INTO_PRIVATE_FUNCTIONS = {
    "test_suffstat_sk_full",
    "test_suffstat_sk_tied",
    "test_suffstat_sk_diag",
    "test_gaussian_suffstat_sk_spherical",
    "test_compute_log_det_cholesky",
    "test_gaussian_mixture_log_probabilities",
    "test_gaussian_mixture_precisions_init",
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters",
    "test_log_dirichlet_norm",
    "test_log_wishart_norm",
    "test_compare_covar_type",  # calls _check_parameters and _initialize_parameters
}

TAKE_SECONDS = {
    "test_init_of_gaussian_mixture",
    "test_multiple_init_of_gaussian_mixture",
    "test_bayesian_mixture_fit_predict_n_init_of_bayesian_mixture",
    "test_warm_start_of_gaussian_mixture",
    "test_gaussian_mixture_fit_of_gaussian_mixture",
    "test_gaussian_mixture_fit_predict_n_init_of_gaussian_mixture",
    "test_bayesian_mixture_fit_predict_of_bayesian_mixture",
    "test_gaussian_mixture_fit_best_params_of_gaussian_mixture",
    "test_invariant_translation_of_bayesian_mixture",
    "test_monotonic_likelihood_of_gaussian_mixture",
    "test_monotonic_likelihood_of_bayesian_mixture",
    "test_check_covariance_precision_of_bayesian_mixture",
}

CLASSES = {"GaussianMixture", "BayesianGaussianMixture"}

pytestmark = pytest.mark.filterwarnings("ignore")  # scikit-learn's tests warn freely


@pytest.fixture(params=[pytest.param(np.float32, marks=exhaustive), np.float64])
def global_dtype(request):
    return request.param


@pytest.fixture(params=[0, pytest.param(42, marks=exhaustive)])
def global_random_seed(request):
    return request.param


def _tests_of(module_name):
    """The test functions of a scikit-learn module, with fastem's classes in place of its own."""
    path = Path(importlib.util.find_spec("sklearn.mixture").origin).parent / "tests" / f"{module_name}.py"
    source = path.read_text(encoding="utf-8")
    if module_name == "test_mixture":  # makes its estimators when imported
        source = source.replace("from sklearn.mixture import", "from fastem import")
    namespace = {"__name__": f"sklearn_{module_name}"}
    exec(compile(source, str(path), "exec"), namespace)
    namespace.update({name: getattr(fastem, name) for name in CLASSES})
    return {
        f"{name}_of_{module_name.removeprefix('test_')}": value
        for name, value in namespace.items()
        if name.startswith("test_") and name not in REACHES_INTO_PRIVATE_FUNCTIONS and "array_api" not in name
    }


_TESTS = {**_tests_of("test_gaussian_mixture"), **_tests_of("test_bayesian_mixture"), **_tests_of("test_mixture")}
globals().update({name: exhaustive(test) if name in TAKE_SECONDS else test for name, test in _TESTS.items()})


def test_the_suite_is_there():
    assert sum(name.endswith("of_gaussian_mixture") for name in _TESTS) >= 28
    assert sum(name.endswith("of_bayesian_mixture") for name in _TESTS) >= 11
    assert sum(name.endswith("of_mixture") for name in _TESTS) >= 2
    (parametrized,) = _TESTS["test_gaussian_mixture_n_iter_of_mixture"].pytestmark
    assert [type(each) for each in parametrized.args[1]] == [fastem.GaussianMixture, fastem.BayesianGaussianMixture]
    for test in _TESTS.values():
        for name in CLASSES & test.__globals__.keys():
            assert test.__globals__[name] is getattr(fastem, name)
