"""The commands and their options. Other modules of this package do the work.

They are imported inside functions, so that --help and usage errors are instant.
"""

import importlib
import os
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Literal, get_args

import typer
import typer.core

from .._version import __version__
from ..model.families import FAMILIES, STANDARD
from .options import (
    Assign,
    Columns,
    Delimiter,
    Df,
    DropMissing,
    Exclude,
    File,
    Header,
    Id,
    Json,
    MaxIter,
    Missing,
    Model,
    NInit,
    NoiseVolume,
    Out,
    Prior,
    Quiet,
    RegCovar,
    Save,
    Seed,
    Shrinkage,
    Tails,
    Threads,
    Tol,
    Weights,
    option,
)
from .values import as_count, as_counts, as_counts_or_none, as_listed_types, as_seed, as_types


class _Plain:
    """A command whose flags stand in its help without a type: '--quiet <bool>' looks as if it took a value."""

    def get_params(self, ctx):
        parameters = super().get_params(ctx)
        for each in parameters:
            if getattr(each, "is_flag", False) and each.metavar is None:
                each.metavar = ""
        return parameters


class _Command(_Plain, typer.core.TyperCommand):
    pass


class _Group(_Plain, typer.core.TyperGroup):
    pass


app = typer.Typer(
    name="fastem",
    cls=_Group,
    help="Fit Gaussian mixtures to tables; label, score, fill in and draw points with them.",
    epilog="Example: fastem fit faithful -k 2 --animate faithful.gif",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

_command = partial(app.command, cls=_Command)

CovarianceType = Literal[tuple(FAMILIES)]
Initialization = Literal["kmeans", "k-means++", "random", "random_from_data"]


def _print_version(is_wanted):
    if is_wanted:
        typer.echo(f"fastem {__version__}")
        raise typer.Exit


@app.callback()
def _of_all(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
):
    pass


def _to_do(module, command, options):
    """A function that runs the command, called by `main`, as typer handles Ctrl-C and closed pipes in its own way."""

    def run():
        for name in "model", "file":
            if options.get(name) not in (None, "-", "faithful"):
                os.stat(options[name])  # FileNotFoundError, before imports that take seconds
        getattr(importlib.import_module(f".{module}", __package__), command)(SimpleNamespace(**options))

    return run


@_command(epilog="Example: fastem fit iris.csv -k 3 --labels species --plot fit.png")
def fit(
    file: File,
    components: Annotated[
        int,
        option("--components", "-k", metavar="K", callback=as_count, help="The number of components.", panel="Model"),
    ],
    columns: Columns = None,
    exclude: Exclude = None,
    id: Id = None,
    drop_missing: DropMissing = False,
    labels: Annotated[
        str | None,
        option(metavar="COLUMN", help="It names groups that are known.", panel="Data"),
    ] = None,
    weights: Weights = None,
    delimiter: Delimiter = None,
    header: Header = None,
    covariance: Annotated[
        CovarianceType,
        option(
            metavar="TYPE",
            help=f"The form: {', '.join(STANDARD)} (default full), factors, EII to VVV.",
            show_default=False,
            panel="Model",
        ),
    ] = "full",
    factors: Annotated[
        int | None, option(metavar="Q", callback=as_count, help="Number of factors, for factors.", panel="Model")
    ] = None,
    init: Annotated[
        Initialization,
        option(
            metavar="HOW",
            help=f"How to start: {', '.join(get_args(Initialization))} (default kmeans).",
            show_default=False,
            panel="Model",
        ),
    ] = "kmeans",
    algorithm: Annotated[
        Literal["auto", "em", "truncated"],
        option(
            metavar="NAME",
            help="auto (default) searches; em: textbook EM; truncated: for thousands of components.",
            show_default=False,
            panel="Model",
        ),
    ] = "auto",
    assignment: Annotated[
        Literal["soft", "hard", "stochastic"],
        option(metavar="HOW", help="Assign soft (default), hard, stochastic.", show_default=False, panel="Model"),
    ] = "soft",
    tol: Tol = 1e-3,
    max_iter: MaxIter = 100,
    n_init: NInit = 1,
    reg_covar: RegCovar = 1e-6,
    prior: Prior = None,
    tails: Tails = "gaussian",
    df: Df = None,
    shrinkage: Shrinkage = None,
    missing: Missing = "error",
    noise_volume: NoiseVolume = None,
    seed: Seed = 0,
    threads: Threads = None,
    save: Save = None,
    assign: Assign = None,
    plot: Annotated[
        str | None, option(metavar="OUT.png", help="Draw the fit, as .png, .pdf or .svg.", panel="Output")
    ] = None,
    animate: Annotated[
        str | None,
        option(metavar="OUT.gif", help="Film EM from a random start, as .gif or .mp4.", panel="Output"),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Fit a Gaussian mixture to a table, and print its parameters."""
    return _to_do("fitting", "fit", locals())


@_command(epilog="Example: fastem predict model.npz new.csv --proba > labels.csv")
def predict(
    model: Model,
    file: File,
    proba: Annotated[bool, typer.Option("--proba", help="Write the probability of each component, too.")] = False,
    density: Annotated[bool, typer.Option("--density", help="Write the log-density in nats, too.")] = False,
    out: Out = None,
    columns: Columns = None,
    exclude: Exclude = None,
    id: Id = None,
    drop_missing: DropMissing = False,
    delimiter: Delimiter = None,
    header: Header = None,
):
    """Write the most probable component of each row, in the order of the rows."""
    return _to_do("predicting", "predict", locals())


@_command(epilog="Example: fastem impute model.npz holes.csv -o filled.csv")
def impute(
    model: Model,
    file: File,
    draws: Annotated[
        int | None,
        typer.Option(metavar="M", callback=as_count, help="Write M tables, with values drawn at random."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", callback=as_seed, help="The seed of the draws.")] = 0,
    std: Annotated[bool, typer.Option("--std", help="Write the standard deviation of each value, too.")] = False,
    out: Out = None,
    columns: Columns = None,
    exclude: Exclude = None,
    delimiter: Delimiter = None,
    header: Header = None,
):
    """Fill in the empty cells of a table with what the model expects there, or with random draws."""
    return _to_do("imputing", "impute", locals())


@_command(epilog="Example: fastem score model.npz held-out.csv")
def score(
    model: Model,
    file: File,
    columns: Columns = None,
    exclude: Exclude = None,
    drop_missing: DropMissing = False,
    weights: Weights = None,
    delimiter: Delimiter = None,
    header: Header = None,
    json: Json = False,
):
    """Print the log-likelihood of a table under a model, and BIC, AIC and ICL."""
    return _to_do("predicting", "score", locals())


@_command(epilog="Example: fastem sample model.npz -n 1000 --seed 1 > points.csv")
def sample(
    model: Model,
    number: Annotated[
        int, typer.Option("--number", "-n", metavar="N", callback=as_count, help="The number of points.")
    ] = 100,
    seed: Annotated[int, typer.Option(metavar="S", callback=as_seed, help="The seed of random numbers.")] = 0,
    labels: Annotated[bool, typer.Option("--labels", help="Write the component of each point, too.")] = False,
    out: Out = None,
):
    """Draw points from a model and write them as CSV."""
    return _to_do("predicting", "sample", locals())


@_command(epilog="Example: fastem select faithful -k 1-6 --covariance full,tied --criterion bic")
def select(
    file: File,
    components: Annotated[
        str,
        option(
            "--components",
            "-k",
            metavar="1-9",
            callback=as_counts,
            help="The numbers of components to try.",
            panel="Model",
        ),
    ] = "1-9",
    columns: Columns = None,
    exclude: Exclude = None,
    id: Id = None,
    drop_missing: DropMissing = False,
    weights: Weights = None,
    delimiter: Delimiter = None,
    header: Header = None,
    covariance: Annotated[
        str,
        option(metavar="TYPES", callback=as_listed_types, help="The covariance types to try, or all.", panel="Model"),
    ] = ",".join(STANDARD),
    factors: Annotated[
        str | None, option(metavar="1-6", callback=as_counts_or_none, help="Numbers of factors.", panel="Model")
    ] = None,
    criterion: Annotated[
        Literal["bic", "aic", "icl", "held_out"],
        option(metavar="NAME", help="Choose by bic (default), aic, icl, held_out.", show_default=False, panel="Model"),
    ] = "bic",
    tol: Tol = 1e-3,
    max_iter: MaxIter = 100,
    n_init: NInit = 1,
    reg_covar: RegCovar = 1e-6,
    prior: Prior = None,
    tails: Tails = "gaussian",
    df: Df = None,
    shrinkage: Shrinkage = None,
    missing: Missing = "error",
    noise_volume: NoiseVolume = None,
    seed: Seed = 0,
    threads: Threads = None,
    save: Save = None,
    assign: Assign = None,
    plot: Annotated[
        str | None, option(metavar="OUT.png", help="Draw the criterion, as .png, .pdf or .svg.", panel="Output")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Fit several numbers of components and covariance types, and keep the best."""
    return _to_do("fitting", "select", {**locals(), "animate": None})


@_command(epilog="Example: fastem plot model.npz data.csv -o fit.png")
def plot(
    model: Model,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="A table of points; --kind log-likelihood needs none.", show_default=False),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT.png",
            help="Write .png, .pdf or .svg; by default fit.png, or fit-2.png, ...",
        ),
    ] = None,
    kind: Annotated[
        Literal["mixture", "responsibilities", "qq", "log-likelihood"],
        typer.Option(metavar="WHAT", help="Draw mixture, responsibilities, qq or log-likelihood."),
    ] = "mixture",
    columns: Columns = None,
    exclude: Exclude = None,
    drop_missing: DropMissing = False,
    weights: Weights = None,
    delimiter: Delimiter = None,
    header: Header = None,
):
    """Draw a model: fit, responsibilities, Q-Q plot or log-likelihood curve."""
    return _to_do("predicting", "plot", locals())


@_command(epilog="Example: fastem info model.npz --history")
def info(
    model: Model,
    history: Annotated[bool, typer.Option("--history", help="Print the stages of the fit, too.")] = False,
    json: Json = False,
):
    """Print the parameters of a saved model."""
    return _to_do("describing", "info", locals())


@_command("warm-up", epilog="Example: fastem warm-up full diag --dtype float64")
def warm_up(
    types: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TYPE", callback=as_types, help="Covariance types; by default full, tied, diag and spherical."
        ),
    ] = None,
    dtype: Annotated[
        Literal["float64", "float32"] | None, typer.Option(help="The type of the data; by default both.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Compile the kernels for missing values, too.")] = False,
):
    """Compile the kernels and cache them on disk, so that later fits start at once."""
    return lambda: _warm_up(types or STANDARD, [dtype] if dtype else ("float64", "float32"), missing)


def _warm_up(types, dtypes, missing):
    from fastem import warm_up

    warm_up(types, dtypes, missing=missing, verbose=True)
