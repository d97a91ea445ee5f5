"""Time to choose the number of components, and the bound or BIC reached: fastem beside scikit-learn.

    python asv_benchmarks/components_beside_sklearn.py            # a quarter of an hour
    python asv_benchmarks/components_beside_sklearn.py select     # or bayesian, one of the two

`select` over 1 to 15 components and four covariance types at 1,000,000 x 4 is compared with a loop over scikit-learn's
GaussianMixture by BIC. BayesianGaussianMixture with 16 components at 1,000,000 x 10 uses each library's defaults.
"""

import sys
import time
import warnings

import sklearn.mixture

import fastem
from fastem.datasets import make_mixture

COUNTS = range(1, 16)
TYPES = "full", "tied", "diag", "spherical"


def timed(function):
    """(seconds, what it returned)."""
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def row(name, seconds, reached, ratio=""):
    """One line of the table."""
    print(f"{name:<48} {seconds:>9.2f} s  {reached:>18,.1f} {ratio}", flush=True)


def select():
    """Time and lowest BIC of sixty mixtures; lower is better."""
    X = make_mixture(1_000_000, 8, 4, overlap=0.1, random_state=1).data
    fastem.select(X[:50_000], range(1, 3))  # loads the kernels
    ours, selection = timed(lambda: fastem.select(X, COUNTS, TYPES, random_state=0))

    def loop():
        models = (sklearn.mixture.GaussianMixture(k, covariance_type=t, random_state=0) for t in TYPES for k in COUNTS)
        return min(model.fit(X).bic(X) for model in models)

    theirs, bic = timed(loop)
    row("select, BIC: scikit-learn's loop", theirs, bic)
    row("select, BIC: fastem", ours, selection.results_["bic"].min(), f"{theirs / ours:.0f} times")


def bayesian():
    """Time and `lower_bound_`, nats in all, with the same terms omitted as in scikit-learn; higher is better."""
    X = make_mixture(1_000_000, 16, 10, overlap=0.1, random_state=0).data
    params = {"n_components": 16, "random_state": 0}
    fastem.BayesianGaussianMixture(**params).fit(X[:50_000])
    ours, model = timed(lambda: fastem.BayesianGaussianMixture(**params).fit(X))
    theirs, other = timed(lambda: sklearn.mixture.BayesianGaussianMixture(**params).fit(X))
    row("BayesianGaussianMixture, bound: scikit-learn", theirs, other.lower_bound_)
    row("BayesianGaussianMixture, bound: fastem", ours, model.lower_bound_, f"{theirs / ours:.0f} times")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for what in sys.argv[1:] or ("select", "bayesian"):
        {"select": select, "bayesian": bayesian}[what]()
