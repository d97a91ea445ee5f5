"""The commands and their options. Other modules of this package do the work.

They are imported inside functions, so that --help and usage errors are instant.
"""

import importlib
import math
import os
from functools import partial
from types import SimpleNamespace
from typing import Annotated, Literal, get_args

import typer
import typer.core

from .._version import __version__
from ..model.families import FAMILIES, FOURTEEN, STANDARD


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
_OF_A_PRIOR = "shrinkage", "degrees_of_freedom"


def _option(*names, panel=None, **settings):
    return typer.Option(*names, rich_help_panel=panel, **settings)


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


def _as_finite(value):
    if not 0 <= value < float("inf"):
        raise typer.BadParameter(f"should be finite and 0 or more, got {value}")
    return value


def _as_counts_or_none(text):
    return None if text is None else _as_counts(text)


def _as_count(value):
    if value is not None and value < 1:
        raise typer.BadParameter(f"should be 1 or more, got {value}")
    return value


def _as_seed(value):
    if not 0 <= value < 2**32:
        raise typer.BadParameter(f"should be between 0 and {2**32 - 1}, got {value}")
    return value


def _as_delimiter(text):
    text = "\t" if text == "\\t" else text
    if text is not None and (len(text) != 1 or text in '"\r\n'):
        raise typer.BadParameter(f"should be one character, or \\t for a tab, got {text!r}")
    return text


def _as_types(types):
    for each in types or ():
        if each not in FAMILIES:
            raise typer.BadParameter(f"{each!r} is not a covariance type; choose from {', '.join(FAMILIES)}")
    return types


def _as_noise(text):
    """The estimator's argument `noise` from 'auto' or a volume; None if there is to be no noise."""
    if text is None or text == "auto":
        return text and True
    try:
        volume = float(text)
    except ValueError:
        volume = math.nan
    if not 0 < volume < math.inf:
        raise typer.BadParameter(f"should be auto, or a volume above 0, got {text!r}")
    return volume


def _as_listed_types(text):
    """The covariance types that 'full,tied' lists, or all fourteen of mclust."""
    return list(FOURTEEN) if text.strip() == "all" else _as_types([each.strip() for each in text.split(",")])


def _as_counts(text):
    """The numbers (of components, of factors) that '1-9' or '2,4,8' lists."""
    counts = set()
    for part in text.split(","):
        low, dash, high = part.partition("-")
        if low.isdecimal() and (high.isdecimal() or not dash):
            counts.update(range(int(low), int(high or low) + 1))
        else:
            counts.add(0)
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"should be like 1-9 or 2,4,8, got {text!r}")
    return sorted(counts)


def _as_degrees(text):
    """The estimator's argument `degrees_of_freedom` from 'shared' or a number; None: one estimate a component."""
    if text is None or text == "shared":
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise typer.BadParameter(f"should be shared, or a number above 0, got {text!r}")
    return value


def _as_prior(text):
    """The estimator's argument `prior` from 'default' or 'shrinkage=0.1,degrees_of_freedom=5'."""
    if text is None or text == "default":
        return text
    prior = {}
    for part in text.split(","):
        name, _, value = (each.strip() for each in part.partition("="))
        try:
            prior[_OF_A_PRIOR[_OF_A_PRIOR.index(name)]] = float(value)
        except ValueError:
            like = "shrinkage=0.1 or shrinkage=0.1,degrees_of_freedom=5"
            raise typer.BadParameter(f"should be default, or like {like}, got {text!r}") from None
    return prior


def _as_shrinkage(text):
    """The estimator's argument `shrinkage` from 'oas', 'ledoit-wolf' or a number from 0 to 1."""
    if text in (None, "oas", "ledoit-wolf"):
        return text
    try:
        if 0 <= (value := float(text)) <= 1:
            return value
    except ValueError:
        pass
    raise typer.BadParameter(f"should be oas, ledoit-wolf or a number from 0 to 1, got {text!r}")


_FILE = "A CSV, .npy or Parquet file, or - (stdin)."
_TOL = "Stop at gains below T nats."
File = Annotated[str, typer.Argument(metavar="FILE", help=_FILE, show_default=False)]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model, written by fit --save.", show_default=False)]
Columns = Annotated[str | None, _option(metavar="A,B,3-9", help="Features, by name, number or range.", panel="Data")]
Delimiter = Annotated[
    str | None,
    _option(metavar="CHAR", callback=_as_delimiter, help="It separates columns; \\t is a tab.", panel="Data"),
]
Exclude = Annotated[str | None, _option(metavar="A,B,3-9", help="Leave these columns out.", panel="Data")]
Id = Annotated[str | None, _option(metavar="COLUMN", help="Copy it beside the labels.", panel="Data")]
DropMissing = Annotated[bool, _option("--drop-missing", help="Leave out rows that lack a value.", panel="Data")]
Header = Annotated[
    bool | None,
    _option("--header/--no-header", help="Whether line 1 names the columns.", panel="Data", show_default=False),
]
Missing = Annotated[
    Literal["error", "em"],
    _option(
        metavar="HOW",
        help="What empty cells are: error (default), em.",
        panel="Model",
        show_default=False,
    ),
]
NoiseVolume = Annotated[
    str | None,
    _option("--noise", metavar="HOW", callback=_as_noise, help="Noise component: auto, or volume.", panel="Model"),
]
Weights = Annotated[str | None, _option(metavar="COLUMN", help="Its numbers are the weights.", panel="Data")]
Json = Annotated[bool, _option("--json", help="Print JSON, with all digits.", panel="Output")]
Quiet = Annotated[bool, _option("--quiet", "-q", help="Print only notes and errors.", panel="Output")]
Save = Annotated[str | None, _option(metavar="OUT", help="Write the model to this file.", panel="Output")]
Assign = Annotated[
    str | None, _option(metavar="OUT.csv", help="Write the label of each row to this file.", panel="Output")
]
Threads = Annotated[
    int | None, _option(metavar="N", callback=_as_count, help="Use N threads; by default all.", panel="Model")
]
Seed = Annotated[int, _option(metavar="S", callback=_as_seed, help="The seed of random numbers.", panel="Model")]
Tol = Annotated[float, _option(metavar="T", callback=_as_finite, help=_TOL, panel="Model")]
MaxIter = Annotated[int, _option(metavar="N", callback=_as_count, help="Stop after N iterations.", panel="Model")]
NInit = Annotated[int, _option(metavar="N", callback=_as_count, help="Keep the best of N searches.", panel="Model")]
RegCovar = Annotated[float, _option(metavar="R", callback=_as_finite, help="Add R to every variance.", panel="Model")]
Prior = Annotated[
    str | None,
    _option(metavar="HOW", callback=_as_prior, help="Prevent collapse: default, or shrinkage=S.", panel="Model"),
]
Out = Annotated[
    str | None, _option("--out", "-o", metavar="OUT.csv", help="Write to this file, not to standard output.")
]
Tails = Annotated[
    Literal["gaussian", "student-t"],
    _option(metavar="NAME", help="gaussian, or student-t: for outliers.", panel="Model", show_default=False),
]
Df = Annotated[
    str | None,
    _option("--df", metavar="NU", callback=_as_degrees, help="Degrees of freedom: shared, or a number.", panel="Model"),
]
Shrinkage = Annotated[
    str | None,
    _option(metavar="HOW", callback=_as_shrinkage, help="Shrink covariances: oas, ledoit-wolf, 0.1.", panel="Model"),
]


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
        _option("--components", "-k", metavar="K", callback=_as_count, help="The number of components.", panel="Model"),
    ],
    columns: Columns = None,
    exclude: Exclude = None,
    id: Id = None,
    drop_missing: DropMissing = False,
    labels: Annotated[
        str | None,
        _option(metavar="COLUMN", help="It names groups that are known.", panel="Data"),
    ] = None,
    weights: Weights = None,
    delimiter: Delimiter = None,
    header: Header = None,
    covariance: Annotated[
        CovarianceType,
        _option(
            metavar="TYPE",
            help=f"The form: {', '.join(STANDARD)} (default full), factors, EII to VVV.",
            show_default=False,
            panel="Model",
        ),
    ] = "full",
    factors: Annotated[
        int | None, _option(metavar="Q", callback=_as_count, help="Number of factors, for factors.", panel="Model")
    ] = None,
    init: Annotated[
        Initialization,
        _option(
            metavar="HOW",
            help=f"How to start: {', '.join(get_args(Initialization))} (default kmeans).",
            show_default=False,
            panel="Model",
        ),
    ] = "kmeans",
    algorithm: Annotated[
        Literal["auto", "em", "truncated"],
        _option(
            metavar="NAME",
            help="auto (default) searches; em: textbook EM; truncated: for thousands of components.",
            show_default=False,
            panel="Model",
        ),
    ] = "auto",
    assignment: Annotated[
        Literal["soft", "hard", "stochastic"],
        _option(metavar="HOW", help="Assign soft (default), hard, stochastic.", show_default=False, panel="Model"),
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
        str | None, _option(metavar="OUT.png", help="Draw the fit, as .png, .pdf or .svg.", panel="Output")
    ] = None,
    animate: Annotated[
        str | None,
        _option(metavar="OUT.gif", help="Film EM from a random start, as .gif or .mp4.", panel="Output"),
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
        typer.Option(metavar="M", callback=_as_count, help="Write M tables, with values drawn at random."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", callback=_as_seed, help="The seed of the draws.")] = 0,
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
        int, typer.Option("--number", "-n", metavar="N", callback=_as_count, help="The number of points.")
    ] = 100,
    seed: Annotated[int, typer.Option(metavar="S", callback=_as_seed, help="The seed of random numbers.")] = 0,
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
        _option(
            "--components",
            "-k",
            metavar="1-9",
            callback=_as_counts,
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
        _option(metavar="TYPES", callback=_as_listed_types, help="The covariance types to try, or all.", panel="Model"),
    ] = ",".join(STANDARD),
    factors: Annotated[
        str | None, _option(metavar="1-6", callback=_as_counts_or_none, help="Numbers of factors.", panel="Model")
    ] = None,
    criterion: Annotated[
        Literal["bic", "aic", "icl", "held_out"],
        _option(metavar="NAME", help="Choose by bic (default), aic, icl, held_out.", show_default=False, panel="Model"),
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
        str | None, _option(metavar="OUT.png", help="Draw the criterion, as .png, .pdf or .svg.", panel="Output")
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
            metavar="TYPE", callback=_as_types, help="Covariance types; by default full, tied, diag and spherical."
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
