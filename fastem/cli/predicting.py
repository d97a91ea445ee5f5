"""`fastem predict`, `score`, `sample` and `plot`: the commands that use a saved model."""

import json

import numpy as np

from ..sources import ArraySource
from . import reporting
from .describing import load
from .live import Live
from .messages import TableError, many, note, one_line
from .naming import feature_names, in_words, names_of
from .outputs import check_names, free_name, named, replacing, spread, text_to, texts_of, write_rows, wrote
from .pictures import PICTURES, check_suffix, plotting, save
from .tables import open_table

# The picture's name if the user gives none, and there is no such file yet.
_PICTURE = "fit.png"

_DISPLAYS = {
    "mixture": "MixtureDisplay",
    "responsibilities": "ResponsibilityDisplay",
    "qq": "MahalanobisDisplay",
    "log-likelihood": "LogLikelihoodDisplay",
}


def predict(options):
    """Label the rows of a table, block by block."""
    model = load(options.model)
    live = Live(options.out not in (None, "-"))
    with text_to(options.out, options.file, options.model) as stream, live.showing():
        check_names(text=[("--out", options.out)])
        table, features = table_for(model, options)
        ids = None if options.id is None else table.column(options.id)
        if ids in features:
            raise TableError(f"--id {options.id} is a feature of {options.model}; name a column beside the features")
        watch, n_rows, n_dropped = live.reading(table), 0, 0
        names = [*([] if ids is None else [table.names[ids]]), "label"]
        if options.proba:
            called = names_of(model)
            names += [f"p_{called[k]}" if called else f"p{k}" for k in range(len(model.means_))]
            names += ["p_noise"] * hasattr(model, "noise_weight_")
        if options.density:
            names.append("log_density")
        n_values = len(names) - (ids is not None)
        blocks = ((block, None) for block in table.blocks(features)) if ids is None else table.with_words(features, ids)
        for block, words in blocks:
            kept = None
            if options.drop_missing and not (kept := ~np.isnan(block).any(axis=1)).all():
                n_dropped += int((~kept).sum())
            some = block if kept is None else block[kept]
            rows = ArraySource(some)
            rows.allows_missing = table.allows_missing
            try:
                rows.scan()
            except ValueError:
                table.refuse_missing(features, [block], n_rows)
                raise
            columns = _labelled(model, rows, options) if len(some) else [np.empty(0)] * n_values
            columns = [spread(column, kept) for column in columns]
            if ids is not None:
                columns.insert(0, np.array(texts_of([words]), dtype=object))
            write_rows(stream, columns, names if n_rows == 0 else None)
            n_rows += len(block)
            if watch:
                watch(n_rows)
        if not n_rows:
            raise TableError(f"{table.path}: no rows")
    if n_dropped:
        note(f"{table.path}: the labels of {many(n_dropped, 'row')} that lack a value are empty")
    wrote(options.out)


def _labelled(model, rows, options):
    """Columns of labels, and of what else the options ask for."""
    columns = [in_words(model, model.predict(rows))]
    if options.proba:
        shares = model.predict_proba(rows)
        columns += list(shares.T)
        if hasattr(model, "noise_weight_"):
            columns.append(np.maximum(1 - shares.sum(axis=1), 0.0))
    if options.density:
        columns.append(model.score_samples(rows))
    return columns


def score(options):
    """Print the log-likelihood of a table's rows, BIC, AIC and ICL."""
    model = load(options.model)
    live = Live()
    with live.showing():
        table, features = table_for(model, options)
        weights = None if options.weights is None else table.column(options.weights)
        data = table.read(features, weights, watch=live.reading(table), drop_missing=options.drop_missing)
        points, known = data.points, {"sample_weight": data.weights}
        try:
            mean = float(model.score(points, **known))
            criteria = {name: float(getattr(model, name)(points, **known)) for name in ("bic", "aic", "icl")}
        except ValueError as error:
            data.refuse_missing()
            raise TableError(f"{table.path}: {one_line(error)}") from None
    weight = float(data.n_rows if data.weights is None else data.weights.sum())
    result = {
        "data": options.file,
        "model": options.model,
        "n_samples": data.n_rows,
        "log_likelihood": mean * weight,
        "log_likelihood_per_sample": mean,
        **criteria,
    }
    if options.json:
        print(json.dumps(result, indent=1))
        return
    reporting.show(
        reporting.facts(
            {
                "data": reporting.data_facts(table.path, data.n_rows, len(data.names)),
                "log-likelihood": f"{mean * weight:,.3f} nats ({mean:.6f} per point)",
                **{name.upper(): f"{value:,.3f}" for name, value in criteria.items()},
            }
        )
    )


def sample(options):
    """Draw points and write them as CSV."""
    model = load(options.model).set_params(random_state=options.seed)
    points, labels = model.sample(options.number)
    order = np.random.RandomState(options.seed).permutation(len(points))  # they come grouped by component
    columns = list(points[order].T)
    names = feature_names(model)
    if options.labels:
        columns, names = [*columns, in_words(model, labels[order])], [*names, "label"]
    with text_to(options.out, options.model) as stream:
        check_names(text=[("--out", options.out)])
        write_rows(stream, columns, names)
    wrote(options.out)


def plot(options):
    """Draw a model and the points of a table."""
    model = load(options.model)
    out = free_name(_PICTURE) if options.out is None else options.out
    check_suffix("--out", out, PICTURES)
    display = getattr(plotting(), _DISPLAYS[options.kind])
    live = Live()
    with replacing(out, options.file) as partial, live.showing():
        if options.kind == "log-likelihood":
            drawn = display.from_estimator(model)
        else:
            if options.file is None:
                raise TableError(f"--kind {options.kind} needs a FILE of points")
            table, features = table_for(model, options)
            weights = None if options.weights is None else table.column(options.weights)
            data = table.read(features, weights, watch=live.reading(table), drop_missing=options.drop_missing)
            try:
                drawn = display.from_estimator(model, data.points, sample_weight=data.weights)
            except ValueError:
                data.refuse_missing()
                raise
        live.say("drawing")
        with named(out, partial):
            save(drawn, partial)
    wrote(out)


def table_for(model, options):
    """(table, numbers of the columns that are the model's features), matched by name if both have names.

    Values may be missing if they may be missing in fits of the model.
    """
    allows_missing = getattr(model, "missing", "error") == "em" or getattr(options, "drop_missing", False)
    table = open_table(options.file, options.delimiter, options.header, allows_missing)
    wanted = feature_names(model)
    if options.columns is not None:
        features = table.chosen(options.columns, exclude=options.exclude)
        table.has_names = False  # --columns gives the features in order, whatever their names
    elif all(name in table.names for name in wanted):
        features = [table.column(name) for name in wanted]
    elif table.has_names and hasattr(model, "feature_names_in_"):
        missing = next(name for name in wanted if name not in table.names)
        raise TableError(
            f"{table.path}: no column {missing!r}, a feature of {options.model}; choose columns with --columns"
        )
    else:
        weights, ids = getattr(options, "weights", None), getattr(options, "id", None)
        aside = [table.column(name) for name in (weights, ids) if name is not None]
        features = table.chosen(None, aside, weights is not None, options.exclude)
    if len(features) != len(wanted):
        raise TableError(
            f"{table.path}: {many(len(features), 'column')}, but {options.model} has {many(len(wanted), 'feature')}; "
            "choose columns with --columns"
        )
    return table, features
