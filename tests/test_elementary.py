"""Vector exp and log against mpmath, over their whole ranges."""

import mpmath
import numpy as np
import pytest
from numba import njit

from fastem.kernels import elementary
from fastem.kernels.vectors import lanes, load, store


@njit
def exp_rows(x, out):
    for b in range(0, x.shape[1], lanes(x)):
        store(out, 0, b, elementary.exp(load(x, 0, b)))


@njit
def log_rows(x, out):
    for b in range(0, x.shape[1], lanes(x)):
        store(out, 0, b, elementary.log(load(x, 0, b)))


def evaluate(kernel, x):
    padded = np.ones((1, -(-len(x) // 16) * 16), x.dtype)
    padded[0, : len(x)] = x
    out = np.empty_like(padded)
    kernel(padded, out)
    return out[0, : len(x)]


def worst_ulp(x, values, reference):
    """Largest distance from the true value, in units of the last place of the true value rounded."""
    with mpmath.workprec(200):
        exact = [reference(mpmath.mpf(float(point))) for point in x]
        return max(
            float(abs(mpmath.mpf(float(value)) - true) / float(np.spacing(abs(x.dtype.type(float(true))))))
            for value, true in zip(values, exact, strict=True)
        )


def spread(low, high, n, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, n).astype(dtype)


@pytest.mark.parametrize(("low", "high"), [(-690, 0), (-1, 0), (-1e-3, 0), (-40, 0), (0, 709)])
def test_exp(low, high):
    x = spread(low, high, 4000)
    assert worst_ulp(x, evaluate(exp_rows, x), mpmath.exp) < 1.0


def test_exp_where_the_reduction_changes_step():
    steps = (np.arange(-990, 1) + 0.5) * np.log(2)
    x = np.concatenate([steps, np.nextafter(steps, -np.inf), np.nextafter(steps, np.inf)])
    x = x[(x > -690) & (x < 0)]
    assert worst_ulp(x, evaluate(exp_rows, x), mpmath.exp) < 1.0


def test_exp_of_special_values():
    x = np.array([0.0, -0.0, -np.inf, np.nan, -690.1, -700.0, -745.0, -1e5, -1e308])
    assert evaluate(exp_rows, x).tolist() == [1.0, 1.0, 0, 0, 0, 0, 0, 0, 0]
    values = evaluate(exp_rows, np.linspace(-720, -680, 4001))
    assert not np.any((values > 0) & (values < np.finfo(float).tiny))  # denormals are slow
    assert values[-1] > 0


@pytest.mark.parametrize("power", [-1021, -500, -60, -2, -1, 0, 1, 2, 60, 500, 1023])
def test_log(power):
    x = spread(1, 2, 1000) * 2.0**power
    assert worst_ulp(x, evaluate(log_rows, x), mpmath.log) < 1.0


def test_log_near_one_and_where_the_exponent_changes():
    near = 1 + np.concatenate([spread(-1e-3, 1e-3, 2000), 2.0**-52 * np.arange(-20, 21)])
    x = near[near != 1]
    assert worst_ulp(x, evaluate(log_rows, x), mpmath.log) < 1.0
    borders = np.array([np.sqrt(0.5), np.sqrt(2), 0.5, 2.0, 1024.0])
    x = np.concatenate([borders, np.nextafter(borders, 0), np.nextafter(borders, np.inf)])
    assert worst_ulp(x, evaluate(log_rows, x), mpmath.log) < 1.0
    assert evaluate(log_rows, np.ones(1))[0] == 0.0


@pytest.mark.parametrize(("low", "high"), [(-70, 0), (-1, 0), (-1e-3, 0), (0, 87)])
def test_exp_in_float32(low, high):
    x = spread(low, high, 4000, dtype=np.float32)
    assert worst_ulp(x, evaluate(exp_rows, x), mpmath.exp) < 1.0


def test_exp_of_special_values_in_float32():
    x = np.array([0.0, -0.0, -np.inf, np.nan, -70.1, -100.0, -1e5, -3e38], np.float32)
    assert evaluate(exp_rows, x).tolist() == [1.0, 1.0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("power", [-126, -60, -2, -1, 0, 1, 2, 60, 127])
def test_log_in_float32(power):
    x = spread(1, 2, 1000, dtype=np.float32) * np.float32(2.0) ** power
    assert worst_ulp(x, evaluate(log_rows, x), mpmath.log) < 1.0


def test_log_near_one_in_float32():
    near = 1 + np.concatenate([spread(-1e-3, 1e-3, 2000), 2.0**-23 * np.arange(-20, 21)])
    x = near.astype(np.float32)
    x = x[x != 1]
    assert worst_ulp(x, evaluate(log_rows, x), mpmath.log) < 1.0
    assert evaluate(log_rows, np.ones(1, np.float32))[0] == 0.0
