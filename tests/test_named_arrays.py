"""Files of models explain themselves: arrays have the names of what they are, and old files still load."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastem
from fastem import BayesianGaussianMixture

from .fits import assert_same_bits, fitted, points
from .test_saving import unfinished

X, _ = points(200)


def test_arrays_have_the_names_of_attributes(tmp_path):
    file = tmp_path / "model.npz"
    model = fitted(X, means_init=X[:3], random_state=np.random.RandomState(0))
    model.save(file)
    with np.load(file) as found:
        attributes = ["weights", "means", "covariances", "precisions", "precisions_cholesky"]
        assert sorted(found) == sorted([*attributes, "header", "params.means_init", "params.random_state"])
        for name in attributes:
            assert_array_equal(found[name], getattr(model, f"{name}_"))
        assert_array_equal(found["params.means_init"], X[:3])


def test_arrays_of_what_is_not_finished_say_what_they_are(tmp_path):
    file = tmp_path / "model.npz"
    model = unfinished()
    model.save(file)
    with np.load(file) as found:
        names = set(found)
        assert_array_equal(found["unfinished.accepted.means"], model._unfinished.accepted.means)
    assert not [name for name in names if name.startswith("array_")]
    assert_same_bits(fastem.load(file), model)
    BayesianGaussianMixture(n_components=2, random_state=0).fit(X).save(file)
    with np.load(file) as found:
        assert {"weight_concentration.0", "weight_concentration.1", "mean_precision", "covariance_prior"} <= set(found)


@pytest.mark.parametrize("name", ["full", "tied-prior", "dirichlet", "unfinished-quasi-newton"])
def test_an_old_file_becomes_one_with_names(name, tmp_path):
    old = Path(__file__).parent / "data" / "v1" / f"{name}.npz"
    with np.load(old) as found:
        assert "array_0" in found and "means" not in found
    model = fastem.load(old)
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as found:
        assert_array_equal(found["means"], model.means_)
    assert_same_bits(fastem.load(tmp_path / "model.npz"), model)
