"""The command line: ``fastem fit FILE -k K`` reads a table, fits a mixture, prints and saves it.

Heavy imports stand inside the functions, so that ``--help`` and usage errors are instant.
"""

import argparse
import math
import os
import sys
import time
import warnings
from contextlib import ExitStack, contextmanager

from .messages import many, note, one_line
from .reporting import report
from .tables import load

_COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments after the program's name; those of the process when left out.

    Returns
    -------
    int
        0 if all went well, 1 if the data are bad or the fit failed, 130 after Ctrl-C.
        A usage error leaves with `SystemExit` 2, as argparse does.
    """
    args = make_parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print("fastem: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone: give the flush at exit somewhere harmless to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, MemoryError) as error:
        print(f"fastem: error: {one_line(error)}", file=sys.stderr)
        return 1


def make_parser():
    """Build the argument parser; its defaults are the estimator's, but for the seed."""
    parser = argparse.ArgumentParser(prog="fastem", description="Fast Gaussian mixture models.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_warm_up(commands)
    return parser


def _add_warm_up(commands):
    warm_up = commands.add_parser(
        "warm-up",
        help="compile the kernels ahead of time",
        description="Compile the kernels and cache them on disk, so that no later fit or prediction waits for it.",
        epilog="Example: fastem warm-up full diag --dtype float64",
        allow_abbrev=False,
    )
    warm_up.add_argument(
        "covariance_types",
        metavar="TYPE",
        nargs="*",
        type=_covariance_type,
        help=f"{', '.join(_COVARIANCE_TYPES)} (default: all)",
    )
    warm_up.add_argument("--dtype", choices=("float64", "float32"), help="of the data to come (default: both)")

    warm_up.set_defaults(run=warm_up_command)


def warm_up_command(args):
    from ..warm_up import warm_up

    dtypes = [args.dtype] if args.dtype else ("float64", "float32")
    warm_up(args.covariance_types or _COVARIANCE_TYPES, dtypes, verbose=True)


def _covariance_type(text):
    if text not in _COVARIANCE_TYPES:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(_COVARIANCE_TYPES)}, got {text!r}")
    return text


def _add_fit(commands):
    fit = commands.add_parser(
        "fit",
        help="fit a Gaussian mixture to a table of numbers",
        description="Fit a Gaussian mixture to a table of numbers and print what was found.",
        epilog="Example: fastem fit faithful -k 2",
        allow_abbrev=False,
    )
    count, real = _number(int, 1), _number(float, 0)
    fit.add_argument(
        "file",
        metavar="FILE",
        help=".csv (with or without a header; comma, semicolon, tab or whitespace between columns) "
        "or .npy; 'faithful' is the Old Faithful data set that ships with fastem",
    )
    fit.add_argument("-k", "--components", metavar="K", type=count, required=True, help="number of components")
    fit.add_argument("--columns", metavar="A,B,...", help="use only these columns (names, or numbers counted from 1)")

    model = fit.add_argument_group("model")
    model.add_argument(
        "--covariance-type",
        choices=_COVARIANCE_TYPES,
        default="full",
        help="shape of the components (default: %(default)s)",
    )
    model.add_argument(
        "--tol",
        metavar="T",
        type=real,
        default=1e-3,
        help="stop when the log-likelihood per point rises by less than this (default: %(default)s)",
    )
    model.add_argument(
        "--max-iter", metavar="N", type=count, default=100, help="iteration limit (default: %(default)s)"
    )
    model.add_argument(
        "--n-init", metavar="N", type=count, default=1, help="starts; the best is kept (default: %(default)s)"
    )
    model.add_argument(
        "--reg-covar",
        metavar="R",
        type=real,
        default=1e-6,
        help="added to the diagonal of each covariance (default: %(default)s)",
    )
    model.add_argument(
        "--init",
        choices=("kmeans", "k-means++", "random", "random_from_data"),
        default="kmeans",
        help="how the start is found (default: %(default)s)",
    )
    model.add_argument(
        "--seed",
        metavar="S",
        type=_number(int, 0, 2**32 - 1),
        default=0,
        help="the same seed gives the same result (default: %(default)s)",
    )
    model.add_argument("--threads", metavar="N", type=count, help="number of threads (default: all)")

    output = fit.add_argument_group("output")
    output.add_argument(
        "--labels",
        metavar="OUT",
        type=_path(".csv", ".npy"),
        help="write each point's component, counted from 0 (.csv or .npy)",
    )
    output.add_argument(
        "--model",
        metavar="OUT",
        type=_path(".npz"),
        help="write weights, means and covariances (.npz, for numpy.load)",
    )
    style = output.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print everything as JSON, in full precision")
    style.add_argument("-q", "--quiet", action="store_true", help="print nothing but notes and errors")
    fit.set_defaults(run=fit_command)


def _number(kind, low, high=math.inf):
    """Return an argparse type: a finite number between `low` and `high`."""

    def parse(text):
        value = kind(text)
        if not low <= value <= high or math.isinf(value):
            limit = f"between {low} and {high}" if high < math.inf else f"at least {low}"
            finite = " and finite" if kind is float else ""
            raise argparse.ArgumentTypeError(f"must be {limit}{finite}, got {text}")
        return value

    parse.__name__ = kind.__name__  # argparse names it in "invalid int value"
    return parse


def _path(*suffixes):
    """Return an argparse type: a file name that ends in one of `suffixes`."""

    def parse(text):
        if not text.lower().endswith(suffixes):
            raise argparse.ArgumentTypeError(f"must end in {' or '.join(suffixes)}, got {text!r}")
        return text

    return parse


def fit_command(args):
    """Read, fit, save and print, as the parsed `args` ask."""
    with ExitStack() as outputs:
        # Opened before the work begins, so that a path that can't be written is refused at once.
        labels_file, model_file = (
            path and outputs.enter_context(_replacing(path, keep=args.file)) for path in (args.labels, args.model)
        )
        X, feature_names = load(args.file, args.columns)
        model, seconds = _fit(X, args)
        if labels_file:
            _write_labels(labels_file, model.predict(X), as_csv=args.labels.lower().endswith(".csv"))
        if model_file:
            _write_model(model_file, model, feature_names)
        result = _describe(model, X, feature_names, args, seconds)
    if args.json:
        import json

        print(json.dumps(result, indent=1))
    elif not args.quiet:
        encoding = sys.stdout.encoding or "utf-8"
        print(report(result).encode(encoding, "replace").decode(encoding))


def _fit(X, args):
    """Fit and time it; warnings become notes."""
    from sklearn.exceptions import ConvergenceWarning

    from fastem import GaussianMixture

    model = GaussianMixture(
        n_components=args.components,
        covariance_type=args.covariance_type,
        tol=args.tol,
        reg_covar=args.reg_covar,
        max_iter=args.max_iter,
        n_init=args.n_init,
        init_params=args.init,
        random_state=args.seed,
        n_threads=args.threads,
    )
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X)
    seconds = time.perf_counter() - began
    if not model.converged_:
        note(f"not converged after {many(model.n_iter_, 'iteration')}: raise --max-iter or --tol")
    for message in dict.fromkeys(one_line(warning.message) for warning in caught):
        if "did not converge" not in message:  # said above, in this command's words
            note(message)
    return model, seconds


def _describe(model, X, feature_names, args, seconds):
    """Collect what --json prints and `report` sets out."""
    n_samples, n_features = X.shape
    per_sample = float(model.score(X))
    return {
        "data": args.file,
        "n_samples": n_samples,
        "n_features": n_features,
        "feature_names": feature_names,
        "n_components": args.components,
        "covariance_type": args.covariance_type,
        "log_likelihood": per_sample * n_samples,
        "log_likelihood_per_sample": per_sample,
        "bic": float(model.bic(X)),
        "n_iter": int(model.n_iter_),
        "converged": bool(model.converged_),
        "seconds": seconds,
        "weights": model.weights_.tolist(),
        "means": model.means_.tolist(),
        "covariances": model.covariances_.tolist(),
    }


@contextmanager
def _replacing(path, keep):
    """Open a file that takes the name `path` only if the block ends well; `keep` may not be it."""
    target = os.path.realpath(path)  # through a link, as open() would
    if os.path.exists(keep) and os.path.exists(target) and os.path.samefile(keep, target):
        raise ValueError(f"{path}: would overwrite the data")
    if os.path.isdir(target):
        raise ValueError(f"{path}: is a directory")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise ValueError(f"{path}: is write-protected")
    folder, name = os.path.split(target)
    partial = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    try:
        file = open(partial, "wb")  # noqa: SIM115  (closed below; only this line may fail as "can't be written")
    except OSError as error:
        raise ValueError(f"{path}: can't be written ({error.strerror})") from None
    try:
        with file:
            yield file
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def _write_labels(file, labels, as_csv):
    import numpy as np

    if as_csv:
        np.savetxt(file, labels, fmt="%d", header="label", comments="")
    else:
        np.save(file, labels, allow_pickle=False)


def _write_model(file, model, feature_names):
    import numpy as np

    np.savez(
        file,
        weights=model.weights_,
        means=model.means_,
        covariances=model.covariances_,
        covariance_type=np.array(model.covariance_type),
        feature_names=np.array(feature_names),
    )
