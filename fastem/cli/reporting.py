"""Reports of a fitted mixture for a terminal."""

import sys

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..fitting.report import FitReport
from ..model.families import FAMILIES
from ..model.families.base import family_arrays
from .messages import many, printable

_MAX_COMPONENTS, _MAX_FEATURES = 32, 24
_WIDTH = 80  # characters of a line that is not for a terminal
_MAX_SELECTED = 10
_TITLES = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "held_out": "held out"}
_MARKS = {  # of rows of a selection, by their status
    "stopped": ("~", "estimated from a sample that showed it can't win"),
    "spurious": ("?", "predicts left-out points worse than a simpler combination, so it is passed over"),
    "collapsed": ("!", "has components limited by --reg-covar or on too few points: ranked last"),
}

# Decimals that are printed of a weight.
_WEIGHT_DIGITS = 4


def facts(pairs):
    """A table of names and values, from a dict; values of None are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is not None:
            table.add_row(name, plain(str(value)))
    return table


def components(model, names, labels=None):
    """Tables of the components' weights, means and standard deviations (and the correlation of 2 features)."""
    n_components, n_features = model.means_.shape
    family = FAMILIES[model.covariance_type]
    covariances = family.covariances_of(family_arrays(vars(model)))
    deviations = np.sqrt(family.variances(covariances, n_components, n_features))
    shown = np.sort(np.argsort(-model.weights_, kind="stable")[:_MAX_COMPONENTS])
    features = range(min(n_features, _MAX_FEATURES))
    change = getattr(model, "fit_report_", FitReport()).remaining_change
    of_weights = _WEIGHT_DIGITS - n_moving_digits(change)
    texts = {j: _with_deviations(model.means_[:, j], deviations[:, j], change) for j in features}
    widths = {j: max(min(plain(names[j]).cell_len, 15), *(len(texts[j][k]) for k in shown)) for j in features}
    correlated = n_features == 2 and not family.is_axis_aligned
    label_width = min(16, max(plain(label).cell_len for label in ["label", *labels.values()])) if labels else 0
    others = [9, 6, *([label_width] if labels else []), *([11] if correlated else [])]
    for here in _pages(widths, _console().width - 2 - sum(width + 3 for width in others)):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
        table.add_column("component", justify="right", no_wrap=True, min_width=9)
        if labels:
            table.add_column("label", overflow="ellipsis", no_wrap=True, max_width=label_width)
        table.add_column("weight", justify="right", no_wrap=True, min_width=6)
        for j in here:
            table.add_column(
                plain(names[j]),
                justify="right",
                overflow="ellipsis",
                no_wrap=True,
                min_width=widths[j],
                max_width=widths[j],
            )
        if correlated:
            table.add_column("correlation", justify="right")
            across = family.matrices(covariances, n_components, n_features)[:, 0, 1]
        for k in shown:
            label = [plain(labels.get(int(k), ""))] if labels else []
            row = [str(k), *label, f"{model.weights_[k]:.{of_weights}f}", *(texts[j][k] for j in here)]
            if correlated:
                row.append(f"{across[k] / np.prod(deviations[k]):.3f}")
            table.add_row(*row)
        yield table
    if len(shown) < n_components:
        yield Text(f"Only the {len(shown)} heaviest of {n_components} components are shown.")
    if len(features) < n_features:
        yield Text(f"Only the first {len(features)} of {n_features} features are shown.")
    spread, named = (
        ("root of the scale", "scales") if hasattr(model, "scales_") else ("standard deviation", "covariances")
    )
    yield Text(f"mean ± {spread}; --json prints {named}, in full precision", style="dim")


def n_moving_digits(change):
    """Number of a weight's four printed decimals that may still change, given the report's `remaining_change`."""
    return _WEIGHT_DIGITS - max(1, min(_WEIGHT_DIGITS, _settled(change)))


def _settled(change):
    """Number of decimals that such a change leaves as they are; 99 if the change is 0 or unknown."""
    return int(np.floor(-np.log10(2 * change))) if 0 < change < np.inf else 99


def _pages(widths, room):
    """The columns split into tables, so that each table's widths and separators fit into `room` characters."""
    pages = [[]]
    for j, width in widths.items():
        here = pages[-1]
        if here and sum(widths[i] + 3 for i in here) + width > room:
            pages.append([])
        pages[-1].append(j)
    return pages


def selection(found):
    """A table of the best combinations that `select` tried; those that couldn't be fitted come last."""
    results = found.results_
    names = ["bic", "held_out" if "held_out" in results else "aic", "icl"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    has_factors = "n_factors" in results
    for title in (
        "K",
        "covariance",
        *(["factors"] if has_factors else []),
        "log-likelihood",
        *(_TITLES[name] for name in names),
    ):
        table.add_column(title, justify="right", no_wrap=True)
    shown = np.argsort(results["rank"])[:_MAX_SELECTED]
    for i in shown:
        style = "bold" if i == found.best_index_ else None
        shape = str(results["n_components"][i]), str(results["covariance_type"][i])
        if has_factors:
            shape = *shape, str(results["n_factors"][i] or "")
        if np.isnan(results["log_likelihood"][i]):
            table.add_row(*shape, "no fit", style=style)
        else:
            mark, _ = _MARKS.get(results["status"][i], ("", ""))
            numbers = [_criterion(results[name][i]) for name in names]
            table.add_row(*shape, f"{mark}{results['log_likelihood'][i]:.6f}", *numbers, style=style)
    yield table
    for status, (mark, meaning) in _MARKS.items():
        if status in results["status"][shown]:
            yield Text(f"{mark} {meaning}")
    if len(results["rank"]) > _MAX_SELECTED:
        yield Text(
            f"Only the best {_MAX_SELECTED} of {len(results['rank'])} combinations are shown; --json prints all."
        )
    yield Text("")


def plain(text):
    """Text without control characters, and not read as markup."""
    return Text(printable(text))


def show(*parts):
    """Print to standard output, as wide as the terminal."""
    out, console = sys.stdout, _console()
    with console.capture() as captured:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, Text))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    encoding = out.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "replace").decode(encoding))


def _console():
    """A console for standard output; 80 columns wide unless it is a terminal."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)


def data_facts(path, n_samples, n_features):
    """'FILE: 272 points, 2 features'."""
    return f"{path}: {many(n_samples, 'point')}, {many(n_features, 'feature')}"


def _criterion(value):
    """A criterion in at most 12 characters."""
    return f"{value:,.3f}" if abs(value) < 1e6 else f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.6g}"


def _with_deviations(means, deviations, change):
    """Texts of each mean and deviation. Deviations have three digits, or fewer if `change` would alter these.

    change: estimate of what a mean may still change, in its component's deviations.
    """
    texts = []
    for mean, deviation in zip(means.tolist(), deviations.tolist(), strict=True):
        largest = max(abs(mean), deviation)
        if deviation > 0 and (largest >= 1e6 or largest < 1e-3):
            texts.append(f"{mean:.4g} ± {deviation:.3g}")
            continue
        decimals = 3 if deviation <= 0 else int(np.clip(2 - np.floor(np.log10(deviation)), 0, 6))
        decimals = max(0, min(decimals, _settled(change * deviation)))
        texts.append(f"{mean:.{decimals}f} ± {deviation:.{decimals}f}")
    return texts
