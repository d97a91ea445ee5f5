"""What `select` over mclust's fourteen families costs, beside scikit-learn's four types scaled to fourteen.

    python asv_benchmarks/selecting.py [--points 1000000] [--features 4] [--most 9] [--part 5] [--rounds 3]

Times are CPU seconds of one thread, so that other programs disturb the ratio little. `select` is warm: its kernels are
compiled or read before. scikit-learn fits each of its four types once for each number of components, with its defaults,
to one part of the points; its time is multiplied by the number of parts and by 14/4. The two take turns.
"""

import argparse
import time

import numpy as np
import sklearn.mixture
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings
from threadpoolctl import threadpool_limits

import fastem
from fastem.datasets import make_mixture

TYPES = "full", "tied", "diag", "spherical"


def of_fastem(X, most):
    """(CPU seconds, Selection)."""
    began = time.process_time()
    selection = fastem.select(X, range(1, most + 1), "all", random_state=0, n_threads=1)
    return time.process_time() - began, selection


@ignore_warnings(category=ConvergenceWarning)
def of_sklearn(X, most):
    """CPU seconds for four types, each with 1 to `most` components."""
    began = time.process_time()
    for covariance_type in TYPES:
        for n_components in range(1, most + 1):
            sklearn.mixture.GaussianMixture(n_components, covariance_type=covariance_type, random_state=0).fit(X)
    return time.process_time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("points", 1_000_000), ("features", 4), ("most", 9), ("part", 5), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    X = make_mixture(args.points, 5, args.features, overlap=0.05, random_state=0).data
    ours, theirs = [], []
    with threadpool_limits(1):
        of_fastem(X[:: args.part], args.most)  # compiles
        for _ in range(args.rounds):
            seconds, selection = of_fastem(X, args.most)
            ours.append(seconds)
            print(f"fastem {seconds:.1f} CPU s", flush=True)
            theirs.append(args.part * 14 / 4 * of_sklearn(X[:: args.part], args.most))
            print(f"scikit-learn {theirs[-1]:.0f} CPU s, scaled", flush=True)
    ratio = np.median(theirs) / np.median(ours)
    statuses = dict(zip(*np.unique(selection.results_["status"], return_counts=True), strict=True))
    print(f"\n{args.points:,} x {args.features}, 14 families, K = 1 to {args.most}: {np.median(ours):.1f} CPU seconds")
    outcome = ", ".join(f"{count} {status}" for status, count in statuses.items())
    print(f"{outcome}; scikit-learn takes {ratio:.0f} times as long")


if __name__ == "__main__":
    main()
