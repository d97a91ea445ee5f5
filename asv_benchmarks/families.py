"""What an iteration of each of mclust's fourteen families costs, beside the classic family of the same kernel.

    python asv_benchmarks/families.py [--points 1000000] [--features 10] [--components 16] [--rounds 7]

An iteration is a pass and the M-step from the mixture before, both warm. Families take turns, and times are CPU seconds
of one thread, so that other programs disturb the ratios little. Each round times all families one after the other.
"""

import argparse
import time

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._testing import ignore_warnings

from fastem import GaussianMixture
from fastem.datasets import make_mixture
from fastem.kernels.threads import thread_limits
from fastem.model.families import FAMILIES, FOURTEEN
from fastem.sources import ArraySource

CLASSIC = {"AxisAligned": "VVI", "Shared": "EEE", "Triangular": "VVV"}


@ignore_warnings(category=ConvergenceWarning)
def mixture(X, n_components, code):
    """A mixture of the family after three iterations from points of the data."""
    means = X[check_random_state(0).choice(len(X), n_components, replace=False)]
    model = GaussianMixture(n_components, covariance_type=code, means_init=means, algorithm="em", max_iter=3, tol=0)
    return model.fit(X[:20_000])._parameters()


def iteration(source, parameters):
    """(the next mixture, CPU seconds of the pass, of the M-step)."""
    began = time.process_time()
    statistics = source.e_step(parameters)
    passed = time.process_time()
    successor = parameters.family.maximize(statistics, 1e-6, parameters)
    return successor, passed - began, time.process_time() - passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("points", 1_000_000), ("features", 10), ("components", 16), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    X = make_mixture(args.points, args.components, args.features, overlap=0.05, random_state=0).data
    source = ArraySource(X)
    source.scan()
    mixtures = {code: mixture(X, args.components, code) for code in FOURTEEN}
    seconds = {code: [] for code in FOURTEEN}
    with thread_limits(1):
        for n in range(args.rounds + 1):
            for code in FOURTEEN:
                mixtures[code], of_pass, of_step = iteration(source, mixtures[code])
                if n:  # the first compiles
                    seconds[code].append((of_pass + of_step, of_step))
    print(f"{args.points:,} x {args.features}, K={args.components}: medians of {args.rounds}, CPU seconds\n")
    print("| family | kernel | iteration | M-step | beside its kernel's classic |\n| --- | --- | --: | --: | --: |")
    medians = {code: np.median(times, axis=0) for code, times in seconds.items()}
    for code in FOURTEEN:
        kernel = type(mixtures[code].kernel_inputs()).__name__
        classic = CLASSIC[kernel]
        ratios = np.array(seconds[code])[:, 0] / np.array(seconds[classic])[:, 0]  # round by round
        total, step = medians[code]
        print(f"| {FAMILIES[code].name} ({code}) | {kernel} | {total:.3f} | {step:.4f} | {np.median(ratios):.2f} |")


if __name__ == "__main__":
    main()
