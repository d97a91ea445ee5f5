"""What a newcomer waits for: small data beside scikit-learn, a busy machine, compiling, start-up.

    python asv_benchmarks/first_second.py [small] [predict] [one-column] [wide] [busy] [start-up]

Without a name all tables are printed. Wall seconds are medians of five seeds with kernels cached; start-up and
compiling are CPU seconds of whole processes, medians of five (compiling: one).
"""

import argparse
import functools
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import sklearn.mixture
from sklearn.datasets import load_iris, load_wine

import fastem
from fastem.datasets import load_faithful, load_penguins

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
SEEDS = range(5)
BUSY = 2  # processes beside the fit


def gaussians(n_samples, n_features, n_components, seed=0):
    """Points of overlapping Gaussians."""
    rng = np.random.default_rng(seed)
    means = 3 * rng.normal(size=(n_components, n_features)) / n_features**0.25
    labels = rng.integers(n_components, size=n_samples)
    scales = rng.uniform(0.5, 1.5, size=(n_components, n_features))
    return means[labels] + rng.normal(size=(n_samples, n_features)) * scales[labels]


SMALL = {  # name: (points, number of components)
    "faithful": lambda: (load_faithful().data, 2),
    "iris": lambda: (load_iris().data, 3),
    "wine": lambda: (load_wine().data, 3),
    "penguins": lambda: (load_penguins().data, 3),
    "1,000 x 4": lambda: (gaussians(1000, 4, 4), 4),
    "3,000 x 8": lambda: (gaussians(3000, 8, 5), 5),
    "5,000 x 8": lambda: (gaussians(5000, 8, 5), 5),
    "10,000 x 2": lambda: (gaussians(10_000, 2, 5), 5),
}


def seconds(call, repeats=1):
    """Wall seconds of a call."""
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def fits(classes, X, seeds=SEEDS, **arguments):
    """For each class in turn, seed by seed: (median seconds, median lower bound)."""
    times, bounds = ([[] for _ in classes] for _ in range(2))
    for each in classes:
        each(random_state=0, **arguments).fit(X)
    for seed in seeds:
        for i, each in enumerate(classes):
            model = each(random_state=seed, **arguments)
            times[i].append(seconds(lambda model=model: model.fit(X)))
            bounds[i].append(model.lower_bound_)
    return [(statistics.median(t), statistics.median(b)) for t, b in zip(times, bounds, strict=True)]


def em(**arguments):
    return fastem.GaussianMixture(algorithm="em", **arguments)


def small():
    print(
        "| data | covariance | fastem ms | em ms | scikit-learn ms | ratio | ratio, em | score above scikit-learn's |"
    )
    print("| --- | --- | --: | --: | --: | --: | --: | --: |")
    ratios = []
    for name, load in SMALL.items():
        X, n_components = load()
        for covariance_type in COVARIANCE_TYPES:
            classes = fastem.GaussianMixture, em, sklearn.mixture.GaussianMixture
            ours, plain, theirs = fits(classes, X, n_components=n_components, covariance_type=covariance_type)
            ratios.append((ours[0] / theirs[0], plain[0] / theirs[0], ours[1] - theirs[1]))
            times = " | ".join(f"{1e3 * each[0]:.2f}" for each in (ours, plain, theirs))
            numbers = f"{ratios[-1][0]:.2f} | {ratios[-1][1]:.2f} | {ratios[-1][2]:+.5f}"
            print(f"| {name} | {covariance_type} | {times} | {numbers} |", flush=True)
    ratio, ratio_of_em, gain = np.array(ratios).T
    n_cells = f"no slower in {(ratio <= 1).sum()} of {len(ratio)}"
    print(f"\nfits: median ratio {np.median(ratio):.2f}, worst {ratio.max():.2f}, {n_cells}")
    worst = f"worst {ratio_of_em.max():.2f}; lowest gain {gain.min():+.5f}"
    print(f"em: median ratio {np.median(ratio_of_em):.2f}, {worst}\n")


def predict():
    print("| rows | method | fastem us | scikit-learn us | ratio |")
    print("| --: | --- | --: | --: | --: |")
    X = gaussians(1000, 4, 4)
    models = [each(4, random_state=0).fit(X) for each in (fastem.GaussianMixture, sklearn.mixture.GaussianMixture)]
    for n_rows in 1, 10, 1000:
        for method in "predict", "score_samples", "predict_proba":
            times = [[], []]
            for _ in range(15):
                for i, model in enumerate(models):
                    call = functools.partial(getattr(model, method), X[:n_rows])
                    times[i].append(seconds(call, 50))
            ours, theirs = (1e6 * statistics.median(each) for each in times)
            print(f"| {n_rows} | {method} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |")
    print()


def one_column():
    """What synthetic-data tools fit to every numeric column."""
    print("| rows | column | fastem s | scikit-learn s | times faster | bound above scikit-learn's |")
    print("| --: | --- | --: | --: | --: | --: |")
    classes = fastem.BayesianGaussianMixture, sklearn.mixture.BayesianGaussianMixture
    arguments = dict(
        n_components=10, weight_concentration_prior=0.001, weight_concentration_prior_type="dirichlet_process"
    )
    for n_rows in 1000, 10_000, 100_000, 1_000_000:
        rng = np.random.default_rng(0)
        lognormal = rng.lognormal(size=(n_rows, 1))
        bimodal = rng.normal(size=(n_rows, 1)) + 6 * rng.integers(2, size=(n_rows, 1))
        columns = {"lognormal": lognormal, "bimodal": bimodal, "rounded": np.round(20 * lognormal)}
        for name, X in columns.items():
            ours, theirs = fits(classes, X, range(3 if n_rows < 1_000_000 else 1), **arguments)
            ratio, gain = theirs[0] / ours[0], (ours[1] - theirs[1]) / n_rows
            print(f"| {n_rows} | {name} | {ours[0]:.3f} | {theirs[0]:.3f} | {ratio:.1f} | {gain:+.5f} |", flush=True)
    print()


def wide():
    print("| data | covariance | fastem s | scikit-learn s | ratio | score above scikit-learn's |")
    print("| --- | --- | --: | --: | --: | --: |")
    for n_features in 800, 3000:
        X = np.random.default_rng(0).normal(size=(30, n_features))
        for covariance_type in COVARIANCE_TYPES:
            seeds = SEEDS if n_features == 800 or covariance_type in ("diag", "spherical") else range(1)
            classes = fastem.GaussianMixture, sklearn.mixture.GaussianMixture
            ours, theirs = fits(classes, X, seeds, n_components=2, covariance_type=covariance_type)
            gain = ours[1] - theirs[1]
            numbers = f"{ours[0]:.3f} | {theirs[0]:.3f} | {ours[0] / theirs[0]:.2f} | {gain:+.5f}"
            print(f"| 30 x {n_features} | {covariance_type} | {numbers} |", flush=True)
    print()


def busy():
    print(f"| data | quiet ms | beside {BUSY} busy processes, ms | times | the slowest |")
    print("| --- | --: | --: | --: | --: |")
    for name in "faithful", "1,000 x 4", "5,000 x 8", "10,000 x 2":
        X, n_components = SMALL[name]()

        def times(X=X, n_components=n_components):
            return [
                seconds(lambda seed=seed: fastem.GaussianMixture(n_components, random_state=seed).fit(X))
                for seed in [*SEEDS] * 4
            ]

        times()
        quiet = statistics.median(times())
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
        try:
            time.sleep(0.5)
            loud = times()
        finally:
            for each in others:
                each.kill()
                each.wait()
        middle, slowest = statistics.median(loud), max(loud)
        print(
            f"| {name} | {1e3 * quiet:.1f} | {1e3 * middle:.1f} | {middle / quiet:.1f} | {slowest / quiet:.1f} |",
            flush=True,
        )
    print()


def cpu_seconds(command, times=5, **environment):
    """Median CPU seconds of a process."""
    used = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime - before.ru_utime)
    return statistics.median(used)


def start_up():
    fit = (
        "import time, resource, numpy as np, fastem; fastem.GaussianMixture; X = {data};"
        "begin = time.process_time(); fastem.GaussianMixture({k}, covariance_type='{kind}').fit(X);"
        "print(time.process_time() - begin)"
    )
    faithful, large = "fastem.datasets.load_faithful().data", "np.random.default_rng(0).normal(size=(100_000, 10))"
    print("| cold first fit, import aside | CPU s |")
    print("| --- | --: |")
    for kind in COVARIANCE_TYPES:
        for name, data, k in ("faithful", faithful, 2), ("100,000 x 10", large, 8):
            with tempfile.TemporaryDirectory() as cache:
                code = fit.format(kind=kind, data=data, k=k)
                code = code.replace("import time", "import fastem.datasets, time")
                environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
                out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
            print(f"| {kind}, {name} | {float(out.stdout):.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        model, film = os.path.join(folder, "model.npz"), os.path.join(folder, "film.gif")
        fastem.GaussianMixture(2).fit(load_faithful().data).save(model)
        run = [sys.executable, "-m", "fastem"]
        commands = {
            "import sklearn.mixture": [sys.executable, "-c", "import sklearn.mixture"],
            "import fastem; fastem.GaussianMixture": [sys.executable, "-c", "import fastem; fastem.GaussianMixture"],
            "fastem --help": [*run, "--help"],
            "fastem info model.npz": [*run, "info", model],
            "fastem fit missing.csv -k 2": [*run, "fit", os.path.join(folder, "missing.csv"), "-k", "2"],
            "fastem fit faithful -k 2": [*run, "fit", "faithful", "-k", "2"],
            "... --animate film.gif": [*run, "fit", "faithful", "-k", "2", "--animate", film],
        }
        print("\n| command | CPU s |")
        print("| --- | --: |")
        for name, command in commands.items():
            print(f"| {name} | {cpu_seconds(command):.2f} |", flush=True)
    print()


TABLES = {
    "small": small,
    "predict": predict,
    "one-column": one_column,
    "wide": wide,
    "busy": busy,
    "start-up": start_up,
}


def processor():
    """The processor's name, and whether it has AVX-512."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = file.read().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {'AVX-512' if any('avx512f' in line for line in lines) else 'no AVX-512'}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", choices=[*TABLES, []], default=[])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{processor()}, {os.cpu_count()} processors\n")
    for name in args.tables or TABLES:
        TABLES[name]()


if __name__ == "__main__":
    main()
