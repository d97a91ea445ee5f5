"""Fits in processes that were forked, and from several threads at once."""

import multiprocessing
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from fastem import GaussianMixture

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def points():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(20_000, 3)), 4 + rng.normal(size=(20_000, 3))])


def fitted(n_threads=None):
    return GaussianMixture(3, random_state=0, max_iter=20, n_threads=n_threads).fit(points())


def means(n_threads=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fitted(n_threads).means_
    return result, [str(warning.message) for warning in caught if "one thread" in str(warning.message)]


@needs_fork
def test_a_forked_child_fits_to_the_same_bits():
    expected = fitted().means_
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        for found, notes in pool.map(means, [None, 1, None]):
            np.testing.assert_array_equal(found, expected)
            assert len(notes) <= 1  # a process says so once
    np.testing.assert_array_equal(fitted().means_, expected)  # and the parent has its threads


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_os_fork():
    fitted()
    child = os.fork()
    if child == 0:
        try:
            warnings.simplefilter("ignore")
            os._exit(0 if np.isfinite(fitted().means_).all() else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    fitted()


def test_threads_at_once_do_not_disturb_each_other():
    expected = fitted().means_
    with ThreadPoolExecutor(4) as pool:
        for model in pool.map(fitted, [None, 1, 2, None, 1, None, 2, 1]):
            np.testing.assert_array_equal(model.means_, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="the layers differ there")
def test_the_number_of_threads_of_a_fit_does_not_leak():
    import numba

    before = numba.get_num_threads()
    fitted(n_threads=1)
    assert numba.get_num_threads() == before
