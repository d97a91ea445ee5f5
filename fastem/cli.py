"""The command line: ``fastem fit FILE -k K`` reads a table, fits a mixture, prints and saves it.

Heavy imports stand inside the functions, so that ``--help`` and usage errors are instant.
"""

import argparse
import csv
import math
import os
import re
import sys
import time
import warnings
from array import array
from contextlib import ExitStack, contextmanager
from itertools import islice

PAGE_WIDTH = 80
# None is any whitespace. The semicolon comes first: files that use it may hold decimal commas.
DELIMITERS = (";", "\t", ",", None)
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", ".", "-"}


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
        fit_command(args)
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
        print(f"fastem: error: {_one_line(error)}", file=sys.stderr)
        return 1


# ---------------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------------


def make_parser():
    """Build the argument parser; its defaults are the estimator's, but for the seed."""
    parser = argparse.ArgumentParser(
        prog="fastem", description="Fast Gaussian mixture models.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
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
    fit.add_argument(
        "-k", "--components", metavar="K", type=count, required=True, help="number of components"
    )
    fit.add_argument(
        "--columns", metavar="A,B,...", help="use only these columns (names, or numbers counted from 1)"
    )

    model = fit.add_argument_group("model")
    model.add_argument(
        "--covariance-type",
        choices=("full", "tied", "diag", "spherical"),
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
    return parser


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


# ---------------------------------------------------------------------------------------------------
# fastem fit
# ---------------------------------------------------------------------------------------------------


def fit_command(args):
    """Read, fit, save and print, as the parsed `args` ask."""
    with ExitStack() as outputs:
        # Opened before the work begins, so that a path that can't be written is refused at once.
        labels_file, model_file = (
            path and outputs.enter_context(_replacing(path, keep=args.file))
            for path in (args.labels, args.model)
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
        _note(f"not converged after {_many(model.n_iter_, 'iteration')}: raise --max-iter or --tol")
    for message in dict.fromkeys(_one_line(warning.message) for warning in caught):
        if "did not converge" not in message:  # said above, in this command's words
            _note(message)
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


def _note(message):
    print(f"fastem: note: {message}", file=sys.stderr)


def _one_line(error):
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


# ---------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------


def load(path, columns=None):
    """Load a table of numbers.

    Parameters
    ----------
    path : str
        A .npy file, which is memory-mapped; ``'faithful'``, if there is no such file, for the data
        set that ships with fastem; anything else is read as delimited text.
    columns : str, optional
        Comma-separated names, or numbers counted from 1, of the columns to keep, in that order.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    feature_names : list of str
        Made up (x1, x2, ...) where the file has none.
    """
    if path == "faithful" and not os.path.exists(path):
        from fastem.datasets import load_faithful

        bunch = load_faithful()
        X, names = bunch.data, bunch.feature_names
    elif path.lower().endswith(".npy"):
        X = _read_npy(path)
        names = [f"x{j + 1}" for j in range(X.shape[1])]
    else:
        return _read_text(path, columns)
    if columns is None:
        return X, names
    chosen = _choose(columns, names, path)
    return X[:, chosen], [names[j] for j in chosen]


def _read_npy(path):
    """Memory-map a .npy file as a table; a vector is one column."""
    import numpy as np

    try:
        X = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a readable .npy array ({_one_line(error)})") from None
    if X.dtype.kind not in "fiub" or X.ndim not in (1, 2):
        raise ValueError(f"{path}: needs real numbers in 1 or 2 dimensions, has {X.dtype} in {X.ndim}")
    return X if X.ndim == 2 else X.reshape(-1, 1)


def _read_text(path, columns=None):
    """Read delimited text; see `load`."""
    import numpy as np

    encoding = _encoding(path)
    delimiter, header, n_header_lines, width = _sniff(path, encoding)
    names = [(header[j] if header else "") or f"x{j + 1}" for j in range(width)]
    if columns is not None:
        chosen = _choose(columns, names, path)
    elif header and not header[0] and width > 1:
        # What R and pandas write before the first column when they are not told otherwise.
        chosen = list(range(1, width))
        _note("column 1 has no name and is taken for row names; --columns can ask for it")
    else:
        chosen = list(range(width))

    # numpy's reader is quick, but says neither where a fault is nor what: then read again, slowly.
    try:
        X = np.loadtxt(
            path,
            delimiter=delimiter,
            skiprows=n_header_lines,
            comments=None,
            quotechar='"',
            ndmin=2,
            encoding=encoding,
        )
        good = X.shape[1] == width
    except ValueError:
        good = False
    if good:
        X = X if chosen == list(range(width)) else X[:, chosen]
        good = np.isfinite(X).all()
    if not good:
        X = _read_slowly(path, encoding, delimiter, bool(header), width, names, chosen)
    return X, [names[j] for j in chosen]


def _read_slowly(path, encoding, delimiter, has_header, width, names, chosen):
    """Parse the text value by value; raise a ValueError that says where the first fault is."""
    import numpy as np

    values, n_bad, first_bad = array("d"), 0, None
    with open(path, newline="", encoding=encoding, errors="replace") as lines:
        for line, fields in islice(_records(path, lines, delimiter), int(has_header), None):
            if len(fields) != width:
                raise ValueError(f"{path}: line {line} has {_many(len(fields), 'column')}, not {width}")
            for j in chosen:
                try:
                    value = float(fields[j])
                except ValueError:
                    if fields[j].lower() not in MISSING:
                        where = f"column {j + 1} ({names[j]}), line {line}"
                        hint = "; choose columns with --columns" if width > 1 else ""
                        raise ValueError(f"{path}: {where}: {fields[j]!r} is not a number{hint}") from None
                    value = math.nan
                if not math.isfinite(value):
                    n_bad += 1
                    first_bad = first_bad or f"line {line}, column {j + 1} ({names[j]})"
                values.append(value)
    if n_bad:
        raise ValueError(f"{path}: {_many(n_bad, 'missing or infinite value')}, the first in {first_bad}")
    return np.array(values).reshape(-1, len(chosen))


def _encoding(path):
    """Guess the encoding of a text file from its beginning; refuse what isn't text."""
    import codecs

    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise ValueError(f"{path}: not a text file; fastem reads .csv and .npy")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"  # the numbers are ASCII in either; only names can suffer
    return "utf-8-sig"


def _sniff(path, encoding):
    """Return delimiter, header or None, number of lines before the data, and number of columns."""
    with open(path, newline="", encoding=encoding, errors="replace") as file:
        lines = list(islice(file, 100))
    samples = [list(_records(path, lines, delimiter)) for delimiter in DELIMITERS]
    if not samples[0]:
        raise ValueError(f"{path}: the file is empty")

    def fitness(sample):
        """How well a delimiter does: splits all lines alike, splits most, splits few."""
        widths = [len(fields) for _, fields in sample[1:] or sample]
        return min(widths) > 1 and min(widths) == max(widths), 2 * sum(w > 1 for w in widths) > len(widths)

    scores = [fitness(sample) for sample in samples]
    best = scores.index(max(scores)) if any(max(scores)) else DELIMITERS.index(",")  # ',': one column
    sample = samples[best]
    first_line, first = sample[0]
    second = sample[1][1] if len(sample) > 1 else []
    # Names are text all along the line, or text where the next line has a number.
    is_header = all(map(_is_text, first)) or any(
        _is_text(name) and not _is_text(value) for name, value in zip(first, second, strict=False)
    )
    if is_header and len(sample) == 1:
        raise ValueError(f"{path}: no rows after the header")
    header = [" ".join(name.split()) for name in first] if is_header else None
    return DELIMITERS[best], header, first_line if is_header else 0, len(first)


def _records(path, lines, delimiter):
    """Yield (line number, fields) for each line that isn't blank."""
    if delimiter is None:
        for number, line in enumerate(lines, start=1):
            fields = [field.strip('"') for field in re.findall(r'"[^"]*"|\S+', line)]
            if fields:
                yield number, fields
    else:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        try:
            for fields in reader:
                fields = [field.strip() for field in fields]
                if fields and fields != [""]:
                    yield reader.line_num, fields
        except csv.Error as error:  # most likely a quotation mark without its partner
            where = f"{path}: line {reader.line_num}"
            raise ValueError(f"{where}: {error}; is a quotation mark missing?") from None


def _is_text(field):
    """Tell whether a field is neither a number nor a way to write a missing one."""
    try:
        float(field)
    except ValueError:
        return field.lower() not in MISSING
    return False


def _choose(columns, names, path):
    """Turn 'waiting,1' into column indices."""
    chosen = []
    for column in (text.strip() for text in next(csv.reader([columns], skipinitialspace=True), [])):
        if names.count(column) > 1:
            raise ValueError(f"{path}: {names.count(column)} columns are called {column!r}; use numbers")
        if column in names:
            chosen.append(names.index(column))
        elif column.isdecimal() and 1 <= int(column) <= len(names):
            chosen.append(int(column) - 1)
        else:
            known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise ValueError(f"{path}: no column {column!r} among its {len(names)}: {known}")
    if len(set(chosen)) < max(len(chosen), 1):
        raise ValueError(f"--columns needs one or more different columns, got {columns!r}")
    return chosen


def _many(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


# ---------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------


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
        file = open(partial, "wb")
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


# ---------------------------------------------------------------------------------------------------
# Printing
# ---------------------------------------------------------------------------------------------------


def report(result, max_lines=100, max_components=32, max_features=24):
    """Set out what `fastem fit` found, for reading in 80 columns.

    Every mean and covariance is printed where that takes no more than `max_lines` lines; else tables
    of means and standard deviations, of the heaviest components and the first features.

    Parameters
    ----------
    result : dict
        What --json prints.

    Returns
    -------
    str
    """
    facts = {
        "data": f"{result['data']}: {_many(result['n_samples'], 'point')}, "
        f"{_many(result['n_features'], 'feature')}",
        "model": f"{_many(result['n_components'], 'component')}, {result['covariance_type']} covariance",
        "log-likelihood": f"{result['log_likelihood']:.3f} nats "
        f"({result['log_likelihood_per_sample']:.6f} per point)",
        "BIC": f"{result['bic']:.3f} (lower is better)",
        "iterations": f"{result['n_iter']}, {'converged' if result['converged'] else 'not converged'}",
        "seconds": f"{result['seconds']:.3f}",
    }
    lines = [f"{fact:<16}{value}" for fact, value in facts.items()]
    full = _all_components(result)
    if full is None or len(full) > max_lines:
        full = _summary(result, max_components, max_features)
    return "\n".join(lines + full)


def _all_components(result):
    """Return lines with each component's weight, mean and covariance; None if too wide."""
    stub = ["", *map(_clip, result["feature_names"])]
    kind, shared = result["covariance_type"], result["covariance_type"] == "tied"
    lines = []
    for k, (weight, mean) in enumerate(zip(result["weights"], result["means"], strict=True)):
        covariance = result["covariances"] if shared else result["covariances"][k]
        columns = [["mean", *_numbers(mean)]]
        if kind == "full":
            columns += _matrix(covariance)
        elif kind == "diag":
            columns.append(["variance", *_numbers(covariance)])
        elif kind == "spherical":
            columns.append(["variance", *_numbers([covariance] * len(mean))])
        tables = _tables(stub, columns)
        if len(tables) > 1:
            return None
        lines += ["", f"component {k}, weight {weight:.4f}", *tables[0]]
    if shared:
        tables = _tables(stub, _matrix(result["covariances"]))
        if len(tables) > 1:
            return None
        lines += ["", "all components", *tables[0]]
    return lines


def _summary(result, max_components, max_features):
    """Return lines with tables of means and standard deviations, component by component."""
    import numpy as np

    weights, means = np.array(result["weights"]), np.array(result["means"])
    kind, covariances = result["covariance_type"], np.array(result["covariances"])
    variances = {
        "full": lambda: covariances.diagonal(axis1=1, axis2=2),
        "tied": lambda: covariances.diagonal(),
        "diag": lambda: covariances,
        "spherical": lambda: covariances[:, np.newaxis],
    }[kind]()
    deviations = np.broadcast_to(np.sqrt(variances), means.shape)

    shown = np.sort(np.argsort(-weights, kind="stable")[:max_components])
    names = [_clip(name, 12) for name in result["feature_names"][:max_features]]
    stub = ["component", *map(str, shown)]
    lines = []
    for title, table in ("means", means), ("standard deviations", deviations):
        columns = [[name, *_numbers(table[shown, j], one_unit=True)] for j, name in enumerate(names)]
        if table is means:
            columns.insert(0, ["weight", *(f"{weight:.4f}" for weight in weights[shown])])
        for part in _tables(stub, columns):
            lines += ["", title, *part]
    lines.append("")
    if len(shown) < len(weights):
        lines.append(f"Only the {len(shown)} heaviest of {len(weights)} components are shown.")
    if len(names) < means.shape[1]:
        lines.append(f"Only the first {len(names)} of {means.shape[1]} features are shown.")
    return [*lines, "--json prints everything, covariances included."]


def _matrix(covariance):
    """Return the columns of a covariance matrix, the first with a heading."""
    columns = [["", *_numbers(column)] for column in zip(*covariance, strict=True)]
    columns[0][0] = "covariance"
    return columns


def _numbers(values, one_unit=False):
    """Format a column of numbers with the same decimals, five digits for the largest."""
    sizes = [abs(value) for value in values if value != 0]
    largest, smallest = max(sizes, default=1), min(sizes, default=1)
    # Features of different units may differ so much that the small ones would read 0.000.
    if not 1e-4 <= largest < 1e8 or (smallest < 1e-3 * largest and not one_unit):
        return [f"{value:#.5g}" for value in values]
    decimals = max(0, 4 - math.floor(math.log10(largest)))
    return [f"{value:.{decimals}f}" for value in values]


def _tables(stub, columns):
    """Lay columns of text out right-aligned beside `stub`; as many tables as the page width asks for."""
    stub_width = max(map(len, stub)) + 2
    tables, width = [], PAGE_WIDTH
    for column in columns:
        column_width = max(map(len, column)) + 2
        if width + column_width > PAGE_WIDTH:
            tables.append([f"  {text:<{stub_width - 2}}" for text in stub])
            width = stub_width
        tables[-1] = [line + f"{text:>{column_width}}" for line, text in zip(tables[-1], column, strict=True)]
        width += column_width
    return [[line.rstrip() for line in table] for table in tables]


def _clip(name, width=20):
    """Shorten a name, and keep control characters off the terminal."""
    name = "".join(character if character.isprintable() else "?" for character in name)
    return name if len(name) <= width else name[: width - 1] + "…"
