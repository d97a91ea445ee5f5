"""The data sets that ship with the package."""

import numpy as np
import pytest

from fastem.datasets import load_faithful


def test_faithful_is_rs_faithful():
    faithful = load_faithful()
    assert faithful.data.shape == (272, 2)
    assert faithful.data.dtype == np.float64
    assert faithful.feature_names == ["eruptions", "waiting"]
    # What R prints for mean and sd of each column, and the first and last row.
    np.testing.assert_allclose(faithful.data.mean(axis=0), [3.487783, 70.89706], rtol=1e-6)
    np.testing.assert_allclose(faithful.data.std(axis=0, ddof=1), [1.141371, 13.59497], rtol=1e-6)
    assert faithful.data[[0, -1]].tolist() == [[3.6, 79.0], [4.467, 74.0]]


def test_faithful_states_its_source():
    faithful = load_faithful()
    for source in ("R's package `datasets`", "Azzalini", "Härdle"):
        assert source in faithful.DESCR


def test_faithful_file_is_where_the_bunch_says():
    from importlib.resources import files

    faithful = load_faithful()
    lines = files(faithful.data_module).joinpath(faithful.filename).read_text().splitlines()
    assert len(lines) == 1 + len(faithful.data)


def test_each_load_is_a_fresh_copy():
    load_faithful().data[:] = 0
    assert load_faithful()["data"].min() > 1


def test_faithful_takes_no_arguments():
    with pytest.raises(TypeError):
        load_faithful("iris")
