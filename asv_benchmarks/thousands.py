"""Truncated EM with hundreds to thousands of components, beside the exact pass, EM and scikit-learn.

    python asv_benchmarks/thousands.py                                     # some minutes: 200,000 points, diag
    python asv_benchmarks/thousands.py --points 1000000 --types diag full  # the guide's table: a quarter of an hour
    python asv_benchmarks/thousands.py --components 256 --em               # EM from the same start, too
    python asv_benchmarks/thousands.py --components 256 --sklearn

All times are CPU seconds of one thread. An iteration of truncated EM is the mean over those of a fit over all the
points, with its lists of candidates and the passes whose candidates were put back. An exact iteration is EM's second,
over so few points that these and the components make 50 million pairs, scaled to all of them; so is scikit-learn's. The
log-likelihood is that of points held out. With --em both algorithms start from the mixture that truncated EM begins
with on its sample, and end by the same `tol`.
"""

import argparse
import time

import sklearn.mixture
from benchmarks.common import fit, make_points

from fastem import DegenerateFitWarning, GaussianMixture
from fastem.kernels.threads import thread_limits

PAIRS, HELD_OUT = 50_000_000, 20_000
START = "weights", "means", "precisions"


class Clock:
    """A callback: CPU seconds at the end of every iteration."""

    def setup(self, estimator, context):
        self.times = []

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "iteration":
            self.times.append(time.process_time())

    def teardown(self, estimator, context):
        pass

    @property
    def mean(self):
        """Seconds of an iteration, without the first."""
        return (self.times[-1] - self.times[0]) / max(1, len(self.times) - 1)


def timed(X, n_components, **params):
    """(model, CPU seconds of the whole fit, of an iteration)."""
    clock = Clock()
    began = time.process_time()
    model = GaussianMixture(n_components, random_state=0, **params).set_callbacks(clock).fit(X)
    return model, time.process_time() - began, clock.mean


def of_one_iteration(cls, X, n_components, **params):
    """CPU seconds of an iteration over X, from one over few points: a run of two less a run of one."""
    few, seconds = X[: PAIRS // n_components], []
    for n_iter in (1, 1, 2):  # the first compiles
        began = time.process_time()
        fit(few, n_components, cls, max_iter=n_iter, tol=0, **params)
        seconds.append(time.process_time() - began)
    return (seconds[2] - seconds[1]) * len(X) / len(few)


def start_of(X, n_components, covariance_type):
    """The start of truncated EM, as arguments."""
    params = {"covariance_type": covariance_type, "algorithm": "truncated", "random_state": 0, "max_iter": 0}
    model = fit(X, n_components, **params)
    return {f"{name}_init": getattr(model, f"{name}_") for name in START}


def row(*cells):
    print("| " + " | ".join(str(each) for each in cells) + " |", flush=True)


def measure(X, held_out, n_components, covariance_type, args):
    """Print a row for each algorithm that was asked for."""
    params = {"covariance_type": covariance_type}
    start = start_of(X, n_components, covariance_type)
    exact = of_one_iteration(GaussianMixture, X, n_components, algorithm="em", **params, **start)
    theirs = ""
    if args.sklearn:
        theirs = f"{of_one_iteration(sklearn.mixture.GaussianMixture, X, n_components, **params, **start):.1f}"
    runs = {"truncated": {"algorithm": "truncated"}}
    if args.em:
        runs["truncated, same start"] = {"algorithm": "truncated", **start}
        runs["em, same start"] = {"algorithm": "em", **start}
    for name, more in runs.items():
        model, whole, iteration = timed(X, n_components, **params, **more)
        cells = f"{model.n_iter_}", f"{iteration:.2f}", f"{exact:.1f}", theirs, f"{whole:.0f}"
        row(n_components, covariance_type, name, *cells, f"{model.lower_bound_:.4f}", f"{model.score(held_out):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--components", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--types", nargs="+", default=["diag"])
    parser.add_argument("--em", action="store_true", help="also EM from the same start, to the end")
    parser.add_argument("--sklearn", action="store_true", help="also an iteration of scikit-learn")
    args = parser.parse_args()
    print(f"{args.points:,} x {args.features}, overlapping\n")
    row("K", "type", "fit", "iterations", "s each", "s exact", "s scikit-learn", "s whole", "bound", "held-out")
    row("--:", "---", "---", *["--:"] * 7)
    with thread_limits(1):
        for covariance_type in args.types:
            for n_components in args.components:
                X, _ = make_points.__wrapped__(args.points + HELD_OUT, args.features, n_components)
                measure(X[:-HELD_OUT], X[-HELD_OUT:], n_components, covariance_type, args)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore", DegenerateFitWarning)
    warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
    main()
