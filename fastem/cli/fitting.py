"""`fastem fit` and `fastem select`: read, fit, save, draw, print."""

import json
import math
import os
import time
import warnings
from contextlib import ExitStack

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import fastem

from ..kernels.compiler.jit import seconds_of_compiling
from ..model.families import STANDARD
from ..model.names import all_named, are_numbers
from ..sources import ArraySource
from . import reporting
from .live import Live
from .messages import TableError, many, note, one_line
from .naming import for_json, form_of, in_words, names_of, noise_of, shapes_for_json
from .outputs import check_names, named, replacing, spread, text_to, texts_of, write_rows
from .pictures import FILMS, PICTURES, check_suffix, plotting, save
from .tables import open_table

# Options that name an output file.
_FILES = "save", "assign", "plot", "animate"

# Seconds of compiling from which the report tells them apart. Loading the kernels takes less.
_LONG = 1.0


def fit(options):
    """Run `fastem fit` with its parsed `options`."""
    live = Live(not options.quiet)
    with ExitStack() as stack:
        outputs = _Outputs(stack, options)
        with live.showing():
            data, labels, names = _read(options, live)
            model, watch, warned = _fit(data, labels, options, live)
            if names is not None:
                model.component_names_ = np.array(names, dtype=object)
                if not are_numbers(names):
                    model.classes_ = model.component_names_.copy()
            outputs.write(model, data, live)
            result = _describe(model, data, options, watch, warned)
    if options.json:
        print(json.dumps(result, indent=1))
    elif not options.quiet:
        reporting.show(*_report(result, model))


def select(options):
    """Run `fastem select` with its parsed `options`."""
    live = Live(not options.quiet)
    with ExitStack() as stack:
        outputs = _Outputs(stack, options)
        with live.showing():
            estimator = _estimator(options)
            data, _, _ = _read(options, live)
            live.say("fitting one mixture after the other")
            watch = _Stopwatch()
            with _noted(options, data, min(options.components)) as warned:
                selection = fastem.select(
                    data.points,
                    n_components=options.components,
                    covariance_type=options.covariance,
                    criterion=options.criterion,
                    estimator=estimator,
                    sample_weight=data.weights,
                    callbacks=live.selecting(),
                    **_arguments(options),
                )
            watch.stop()
            model = selection.best_estimator_
            for said in selection.notes:
                warned.append(said)
                note(said)
            _note_moving_digits(model, warned)
            outputs.write(model, data, live, selection)
    rows = {name: list(values) for name, values in selection.results_.items()}
    if options.json:
        result = _describe(model, data, options, watch, warned)
        result["criterion"] = options.criterion
        # As above: log_likelihood is that of all the points, nats.
        mean = rows.pop("log_likelihood")
        total = [value * _weight(data) for value in mean]
        rows = {"log_likelihood": total, "log_likelihood_per_sample": mean, **rows}
        result["results"] = [dict(zip(rows, map(_plain, row), strict=True)) for row in zip(*rows.values(), strict=True)]
        print(json.dumps(result, indent=1))
    elif not options.quiet:
        result = _describe(model, data, options, watch, warned)
        reporting.show(*reporting.selection(selection), *_report(result, model))


class _Stopwatch:
    """Seconds from its making to `stop`, and how many of them were spent compiling kernels."""

    def __init__(self):
        self._began, self._before = time.perf_counter(), seconds_of_compiling()

    def stop(self):
        self.seconds = time.perf_counter() - self._began
        self.compiling = min(self.seconds, seconds_of_compiling() - self._before)


class _Outputs:
    """The output files of a command. They are opened before the work begins, so that a bad path is refused at once."""

    def __init__(self, stack, options):
        self._options = options
        if options.id is not None and options.assign is None:
            raise TableError("--id names a column that goes into the file of --assign; give this, too")
        paths = {name: getattr(options, name) for name in _FILES}
        paths = {name: path for name, path in paths.items() if path is not None}
        option_of = {}
        for name, path in paths.items():
            other = option_of.setdefault(os.path.realpath(path), name)
            if other != name:
                raise TableError(f"--{other} and --{name} name the same file, {path}")
        for name, kinds in ("plot", PICTURES), ("animate", FILMS):
            if name in paths:
                plotting()
                check_suffix(f"--{name}", paths[name], kinds)
        save = paths.get("save")
        if save and os.path.exists(save) and not (os.path.isfile(save) or os.path.isdir(save)):
            raise TableError(f"{save}: is not a regular file, so a model can't replace it")
        to_stdout = paths.get("assign") == "-" and paths.pop("assign")
        self._partial = {name: stack.enter_context(replacing(path, options.file)) for name, path in paths.items()}
        check_names(text=[("--assign", options.assign)], models=[("--save", options.save)])
        if to_stdout:
            if options.json:
                raise TableError("--assign - and --json would both write to standard output; give --assign a file name")
            options.quiet = True
            self._partial["assign"] = "-"

    def write(self, model, data, live, selection=None):
        """Write all output files."""
        work = {
            "save": ("saving the model", model.save),
            "assign": ("labelling the points", lambda path: _write_labels(path, model, data, self._options)),
            "plot": ("drawing the fit", lambda path: _draw(path, model, data, selection)),
            "animate": ("filming EM from a random start", lambda path: _film(path, model, data)),
        }
        for name, path in self._partial.items():
            said, write = work[name]
            live.say(said)
            with named(getattr(self._options, name), path):
                write(path)


def _write_labels(path, model, data, options):
    """Write a label for each row of the table; an empty one for a row that was dropped."""
    labels = (in_words(model, model.predict(ArraySource(rows))) for rows in data.points.read())
    with text_to(path) if path == "-" else open(path, "wb") as stream:
        names = ["label"]
        if data.ids is not None or data.kept is not None:
            labels = [spread(np.concatenate(list(labels)), data.kept)]
        if data.ids is not None:
            names = [options.id_name, "label"]
            labels = [[np.array(texts_of(data.ids), dtype=object), labels[0]]]
        for columns in labels:
            write_rows(stream, columns if isinstance(columns, list) else [columns], names)
            names = None


def _film(path, model, data):
    plotting().animate_fit(model, data.points, path, sample_weight=data.weights)


def _draw(path, model, data, selection):
    if selection is None:
        display = plotting().MixtureDisplay.from_estimator(model, data.points, sample_weight=data.weights)
    else:
        display = plotting().SelectionDisplay.from_results(
            selection.results_,
            selection.criterion,
            greater_is_better=selection.criterion == "held_out",
            best=selection.best_index_,
        )
    save(display, path)


def _read(options, live):
    """(Data, component of each point or None, names of the components or None if these are their numbers)."""
    if options.drop_missing and options.missing == "em":
        raise TableError("--drop-missing and --missing em exclude each other: leave those rows out, or fit to them")
    table = open_table(options.file, options.delimiter, options.header, options.missing == "em" or options.drop_missing)
    weights = None if options.weights is None else table.column(options.weights)
    labels = None if getattr(options, "labels", None) is None else table.column(options.labels)
    ids = None if options.id is None else table.column(options.id)
    features = table.chosen(options.columns, (weights, labels, ids), weights is not None, options.exclude)
    data = table.read(features, weights, labels, live.reading(table), ids, options.drop_missing)
    options.id_name = None if ids is None else table.names[ids]
    if labels is None:
        return data, None, None
    components, known = data.labels.components(options.components, options.noise_volume is not None)
    if all(str(k) == word for k, word in known.items()):
        return data, components, None
    names = all_named(known, options.components)
    if unnamed := [k for k in range(options.components) if k not in known]:
        called = ", ".join(names[k] for k in unnamed[:5]) + (", ..." if len(unnamed) > 5 else "")
        note(f"column {options.labels} has no label for {many(len(unnamed), 'component')}, called {called}")
    return data, components, names


def _arguments(options):
    """Constructor arguments of the estimator that both commands have as options."""
    return {
        "tol": options.tol,
        "reg_covar": options.reg_covar,
        "max_iter": options.max_iter,
        "n_init": options.n_init,
        "random_state": options.seed,
        "n_threads": options.threads,
        **({} if options.tails == "student-t" else {"missing": options.missing}),
        **({} if options.shrinkage is None else {"shrinkage": options.shrinkage}),
        **({} if options.prior is None else {"prior": options.prior}),
        **({} if options.factors is None else {"n_factors": options.factors}),
        **({} if options.noise_volume is None else {"noise": options.noise_volume}),
    }


def _estimator(options, **arguments):
    """An unfitted mixture of the kind that is asked for."""
    if options.factors is not None and "factors" not in np.atleast_1d(options.covariance):
        raise TableError("--factors is for --covariance factors: other covariances have none")
    if options.tails == "gaussian":
        if options.df is not None:
            raise TableError("--df is for --tails student-t: Gaussians have no degrees of freedom")
        return fastem.GaussianMixture(**arguments)
    for_gaussians = {
        "--missing em": options.missing == "em",
        "--prior": options.prior is not None,
        "--shrinkage": options.shrinkage is not None,
        "--noise": options.noise_volume is not None,
    }
    if any(for_gaussians.values()):
        refused = next(name for name, is_given in for_gaussians.items() if is_given)
        raise TableError(f"{refused} is for Gaussian mixtures, not for --tails student-t")
    if options.covariance not in STANDARD and not set(options.covariance) <= set(STANDARD):
        raise TableError(f"--tails student-t takes --covariance {', '.join(STANDARD)}, not others")
    return fastem.StudentTMixture(degrees_of_freedom=options.df, **arguments)


def _fit(data, labels, options, live):
    """(fitted model, stopwatch, notes): fit, and turn warnings into notes."""
    model = _estimator(
        options,
        n_components=options.components,
        covariance_type=options.covariance,
        init_params=options.init,
        algorithm=options.algorithm,
        assignment=options.assignment,
        **_arguments(options),
    )
    model.set_callbacks(*live.callbacks(data.n_rows))
    watch = _Stopwatch()
    with _noted(options, data, options.components) as warned:
        model.fit(data.points, sample_weight=data.weights, labels=labels)
    watch.stop()
    model.set_callbacks()
    if not model.converged_:
        warned.append(f"not converged after {many(model.n_iter_, 'iteration')}: raise --max-iter or --tol")
        note(warned[-1])
    _note_moving_digits(model, warned)
    return model, watch, warned


def _note_moving_digits(model, warned):
    """Note if fewer digits are printed than usual, because a longer run would change them."""
    change = model.fit_report_.remaining_change
    if model.converged_ and reporting.n_moving_digits(change):
        warned.append(
            f"iterations stopped at --tol: weights may still change by {change:.1g}, means by {change:.1g} standard "
            "deviations, so fewer digits are printed; a lower --tol goes on"
        )
        note(warned[-1])


class _noted(warnings.catch_warnings):
    """Context of a fit with at least `n_components`: warnings become notes, and errors name the file.

    `with _noted(...) as warned`: the notes are in the list `warned` after the block.
    """

    def __init__(self, options, data, n_components):
        super().__init__(record=True)
        self._path, self._data = _path(options.file), data
        if data.n_rows < n_components:
            raise TableError(f"{self._path}: {many(data.n_rows, 'row')}, fewer than -k {n_components}")
        if data.n_rows < 2:
            raise TableError(f"{self._path}: 1 row, but a fit needs 2 or more")

    def __enter__(self):
        self._caught, self._notes = super().__enter__(), []
        for category in (ConvergenceWarning, fastem.DegenerateFitWarning):
            warnings.simplefilter("always", category)
        return self._notes

    def __exit__(self, kind, error, traceback):
        super().__exit__(kind, error, traceback)
        for message in dict.fromkeys(one_line(warning.message) for warning in self._caught):
            if "did not converge" not in message:  # the command words this one itself
                self._notes.append(message)
                note(message)
        if isinstance(error, ValueError):
            self._data.refuse_missing()
            _refuse_empty(self._data, self._path)
            message = one_line(error)
            is_named = message.startswith(self._path) or f"{self._path}:" in message
            raise TableError(message if is_named else f"{self._path}: {message}") from None


def _refuse_empty(data, path):
    """Raise TableError if a feature has no value in any row."""
    has_value = np.zeros(len(data.names), bool)
    for rows in data.points.read():
        has_value |= ~np.isnan(rows).all(axis=0)
    if not has_value.all():
        name = data.names[has_value.argmin()]
        raise TableError(f"{path}: column {name!r} has no values; leave it out with --columns")


def _describe(model, data, options, watch, warned):
    """The results that --json and the report print, as a dict."""
    points = data.points
    score = float(model.score(points, sample_weight=data.weights))
    weight = _weight(data)
    n_missing = 0
    if options.missing == "em":
        n_missing = sum(int(np.isnan(rows).sum()) for rows in points.read())
    return {
        "data": options.file,
        "n_samples": data.n_rows,
        "n_features": len(data.names),
        "n_missing": n_missing,
        "feature_names": data.names,
        "sum_of_weights": None if data.weights is None else weight,
        "n_components": model.n_components,
        "covariance_type": model.covariance_type,
        "tails": options.tails,
        "log_likelihood": score * weight,
        "log_likelihood_per_sample": score,
        "bic": float(model.bic(points, sample_weight=data.weights)),
        "n_iter": int(model.n_iter_),
        "converged": bool(model.converged_),
        "seconds": watch.seconds,
        "seconds_compiling": watch.compiling,
        "weights": model.weights_.tolist(),
        "means": model.means_.tolist(),
        **shapes_for_json(model),
        **for_json(model),
        "warnings": warned,
        "files": {name: path for name in _FILES if (path := getattr(options, name)) is not None},
    }


def _weight(data):
    """Number of points, or the sum of their weights."""
    return float(data.n_rows if data.weights is None else data.weights.sum())


def _report(result, model):
    n_iter = f"{result['n_iter']}, {'converged' if result['converged'] else 'not converged'}"
    total, mean = result["log_likelihood"], result["log_likelihood_per_sample"]
    weight = result["sum_of_weights"]
    yield reporting.facts(
        {
            "data": reporting.data_facts(_path(result["data"]), result["n_samples"], result["n_features"]),
            "missing": many(result["n_missing"], "value") if result["n_missing"] else None,
            "weights": None if weight is None else f"{weight:,g} in all",
            "model": f"{many(result['n_components'], 'component')}, {form_of(model)}",
            "noise": noise_of(model),
            "log-likelihood": f"{total:,.3f} nats ({mean:.6f} per point)",
            "BIC": f"{result['bic']:,.3f} (lower is better)",
            "iterations": n_iter,
            "seconds": _seconds(result),
            "wrote": ", ".join(result["files"].values()) or None,
        }
    )
    yield from reporting.components(model, result["feature_names"], names_of(model))


def _seconds(result):
    """'24.102, of which 23.8 for compiling kernels, once on this machine'."""
    compiling = result["seconds_compiling"]
    said = f", of which {compiling:.1f} for compiling kernels, once on this machine" if compiling >= _LONG else ""
    return f"{result['seconds']:.3f}{said}"


def _path(file):
    return "standard input" if file == "-" else file


def _plain(value):
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
