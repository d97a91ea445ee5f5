"""`fastem info`: what a saved model is. It does without scikit-learn and Numba, whose imports take a second."""

import json

from ..files.summary import summary
from . import reporting
from .messages import TableError, many
from .naming import feature_names, for_json, form_of, names_of, noise_of, shapes_for_json

# Suffixes of tables.
_TABLES = ".csv", ".tsv", ".txt", ".npy", ".parquet", ".parq", ".gz", ".bz2", ".xz"


def info(options):
    """Print a model's parameters and how it was fitted."""
    model = summary(options.model) or load(options.model)
    names = feature_names(model)
    result = {
        "model": options.model,
        "class": getattr(model, "class_name", type(model).__name__),
        "n_components": len(model.means_),
        "covariance_type": model.covariance_type,
        "feature_names": names,
        "n_samples_seen": getattr(model, "n_samples_seen_", None),
        "n_iter": int(model.n_iter_),
        "converged": bool(model.converged_),
        "lower_bounds": list(map(float, model.lower_bounds_)),
        "weights": model.weights_.tolist(),
        "means": model.means_.tolist(),
        **shapes_for_json(model),
        **for_json(model),
    }
    if options.json:
        print(json.dumps(result, indent=1))
        return
    stages = str(model.fit_report_).splitlines() if model.fit_report_.stages else []
    seen = result["n_samples_seen"]
    bound = f", {model.lower_bound_:.6f} nats per point" if model.lower_bounds_ else ""
    reporting.show(
        reporting.facts(
            {
                "model": f"{options.model}: {many(len(model.means_), 'component')}, "
                f"{form_of(model)}, {many(len(names), 'feature')}",
                "noise": noise_of(model),
                "fitted to": None if seen is None else many(seen, "point"),
                "iterations": f"{model.n_iter_}, {'converged' if model.converged_ else 'not converged'}{bound}",
            }
        ),
        *reporting.components(model, names, names_of(model)),
        *([reporting.plain("")] + [reporting.plain(line) for line in stages] if options.history else []),
    )


def load(path):
    """`fastem.load`, with messages of its own for a directory and for a table."""
    import fastem

    try:
        return fastem.load(path)
    except IsADirectoryError:
        raise TableError(f"{path}: is a directory, not a model") from None
    except ValueError:
        if path.lower().endswith(_TABLES):
            raise TableError(f"{path}: is a table, not a model; MODEL, which fit --save wrote, comes first") from None
        raise
