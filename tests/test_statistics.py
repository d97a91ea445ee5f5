"""Sufficient statistics, merged, moved and scaled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from fastem.sources import ArraySource
from fastem.sources.annotations import Annotations

from . import naive
from .data_sets import COVARIANCE_TYPES
from .problems import make_problem

FIELDS = ("mass", "first", "second", "log_likelihood", "weight")


def assert_same(one, other, rtol=1e-11):
    for name in FIELDS:
        expected = np.asarray(getattr(other, name))
        assert_allclose(getattr(one, name), expected, rtol=rtol, atol=rtol * (1 + np.abs(expected).max()), err_msg=name)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(1, 299), min_size=1, max_size=6, unique=True), seed=st.integers(0, 5))
def test_parts_add_up_to_the_whole(covariance_type, cuts, seed):
    problem = make_problem(300, 3, 2, covariance_type, seed)
    whole = ArraySource(problem.X).accumulate(problem.parameters)
    parts = [ArraySource(X).accumulate(problem.parameters) for X in np.split(problem.X, sorted(cuts))]
    forwards, backwards = parts[0], parts[-1]
    for part in parts[1:]:
        forwards = forwards + part
    for part in parts[-2::-1]:
        backwards = part + backwards
    assert_same(forwards, whole)
    assert_same(backwards, whole)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_about_other_centres(covariance_type):
    problem = make_problem(300, 3, 2, covariance_type)
    source = ArraySource(problem.X)
    centres = problem.means + np.random.default_rng(0).normal(size=(2, 3))
    expected = source.accumulate(problem.parameters, centres=centres, exact=True)
    moved = source.accumulate(problem.parameters).about(centres)
    assert_same(moved, expected)
    assert_same(moved.about(problem.means), source.accumulate(problem.parameters))
    # adding moves the second to the first one's centres
    assert_same(expected + source.accumulate(problem.parameters), expected.scaled(2.0))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_scaled_is_reweighted(covariance_type):
    problem = make_problem(300, 3, 2, covariance_type)
    source = ArraySource(problem.X)
    expected = source.accumulate(problem.parameters, annotations=Annotations(np.full(300, 0.25)))
    scaled = source.accumulate(problem.parameters).scaled(0.25)
    assert_same(scaled, expected)
    assert_allclose(scaled.magnitude, expected.magnitude, rtol=1e-12)
    assert scaled.lower_bound == pytest.approx(expected.lower_bound)
    assert_allclose(scaled.means, expected.means, rtol=1e-12)


def test_only_like_adds_to_like():
    full, diag = (
        ArraySource(problem.X).accumulate(problem.parameters)
        for problem in (make_problem(50, 2, 2, "full"), make_problem(50, 2, 2, "diag"))
    )
    with pytest.raises(ValueError, match="can't add diag statistics"):
        full + diag
    other = make_problem(50, 2, 3, "full")
    with pytest.raises(ValueError, match=r"of shape \(3, 2\) to full ones of shape \(2, 2\)"):
        full + ArraySource(other.X).accumulate(other.parameters)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_digits_kept(covariance_type):
    problem = make_problem(300, 3, 2, covariance_type)
    source = ArraySource(problem.X)
    assert source.accumulate(problem.parameters).digits_kept > 1e-2
    far = source.accumulate(problem.parameters, centres=problem.means + 1e5, exact=True)
    assert far.digits_kept < 1e-8
    assert far.about(far.means).digits_kept < 1e-8  # what is lost stays lost


@pytest.mark.parametrize("weight", [1.0, 1e-9, 1e-300])
def test_a_component_without_points_keeps_its_centre(weight):
    problem = make_problem(100, 2, 3, "full")
    known = Annotations(weights=np.full(100, weight), labels=np.zeros(100, np.int64), e_step=False)
    statistics = ArraySource(problem.X).accumulate(problem.parameters, annotations=known)
    assert_allclose(statistics.means[0], problem.X.mean(axis=0), rtol=1e-12)
    assert_allclose(statistics.means[1:], problem.means[1:])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_means_of_less_than_a_point(covariance_type):
    problem = make_problem(300, 3, 2, covariance_type)
    statistics = ArraySource(problem.X).accumulate(problem.parameters, annotations=Annotations(np.full(300, 1e-4)))
    assert statistics.mass.max() < 1
    _, responsibilities = naive.e_step(problem.X, *problem.mixture)
    assert_allclose(statistics.means, naive.m_step(problem.X, responsibilities, covariance_type)[1], rtol=1e-11)
    kept = statistics.digits_kept
    assert kept == pytest.approx(ArraySource(problem.X).accumulate(problem.parameters).digits_kept, rel=1e-6)
