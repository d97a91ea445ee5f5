"""A fitted mixture set out for reading in a terminal."""

import math

from .messages import many

PAGE_WIDTH = 80


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
        "data": f"{result['data']}: {many(result['n_samples'], 'point')}, {many(result['n_features'], 'feature')}",
        "model": f"{many(result['n_components'], 'component')}, {result['covariance_type']} covariance",
        "log-likelihood": f"{result['log_likelihood']:.3f} nats ({result['log_likelihood_per_sample']:.6f} per point)",
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
