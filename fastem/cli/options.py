"""Arguments and options that several commands share."""

from typing import Annotated, Literal

import typer

from .values import as_count, as_degrees, as_delimiter, as_finite, as_noise, as_prior, as_seed, as_shrinkage


def option(*names, panel=None, **settings):
    """A typer option, in a panel of the help."""
    return typer.Option(*names, rich_help_panel=panel, **settings)


_FILE = "A CSV, .npy or Parquet file, or - (stdin)."
_TOL = "Stop at gains below T nats."
File = Annotated[str, typer.Argument(metavar="FILE", help=_FILE, show_default=False)]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model, written by fit --save.", show_default=False)]
Columns = Annotated[str | None, option(metavar="A,B,3-9", help="Features, by name, number or range.", panel="Data")]
Delimiter = Annotated[
    str | None,
    option(metavar="CHAR", callback=as_delimiter, help="It separates columns; \\t is a tab.", panel="Data"),
]
Exclude = Annotated[str | None, option(metavar="A,B,3-9", help="Leave these columns out.", panel="Data")]
Id = Annotated[str | None, option(metavar="COLUMN", help="Copy it beside the labels.", panel="Data")]
DropMissing = Annotated[bool, option("--drop-missing", help="Leave out rows that lack a value.", panel="Data")]
Header = Annotated[
    bool | None,
    option("--header/--no-header", help="Whether line 1 names the columns.", panel="Data", show_default=False),
]
Missing = Annotated[
    Literal["error", "em"],
    option(
        metavar="HOW",
        help="What empty cells are: error (default), em.",
        panel="Model",
        show_default=False,
    ),
]
NoiseVolume = Annotated[
    str | None,
    option("--noise", metavar="HOW", callback=as_noise, help="Noise component: auto, or volume.", panel="Model"),
]
Weights = Annotated[str | None, option(metavar="COLUMN", help="Its numbers are the weights.", panel="Data")]
Json = Annotated[bool, option("--json", help="Print JSON, with all digits.", panel="Output")]
Quiet = Annotated[bool, option("--quiet", "-q", help="Print only notes and errors.", panel="Output")]
Save = Annotated[str | None, option(metavar="OUT", help="Write the model to this file.", panel="Output")]
Assign = Annotated[
    str | None, option(metavar="OUT.csv", help="Write the label of each row to this file.", panel="Output")
]
Threads = Annotated[
    int | None, option(metavar="N", callback=as_count, help="Use N threads; by default all.", panel="Model")
]
Seed = Annotated[int, option(metavar="S", callback=as_seed, help="The seed of random numbers.", panel="Model")]
Tol = Annotated[float, option(metavar="T", callback=as_finite, help=_TOL, panel="Model")]
MaxIter = Annotated[int, option(metavar="N", callback=as_count, help="Stop after N iterations.", panel="Model")]
NInit = Annotated[int, option(metavar="N", callback=as_count, help="Keep the best of N searches.", panel="Model")]
RegCovar = Annotated[float, option(metavar="R", callback=as_finite, help="Add R to every variance.", panel="Model")]
Prior = Annotated[
    str | None,
    option(metavar="HOW", callback=as_prior, help="Prevent collapse: default, or shrinkage=S.", panel="Model"),
]
Out = Annotated[
    str | None, option("--out", "-o", metavar="OUT.csv", help="Write to this file, not to standard output.")
]
Tails = Annotated[
    Literal["gaussian", "student-t"],
    option(metavar="NAME", help="gaussian, or student-t: for outliers.", panel="Model", show_default=False),
]
Df = Annotated[
    str | None,
    option("--df", metavar="NU", callback=as_degrees, help="Degrees of freedom: shared, or a number.", panel="Model"),
]
Shrinkage = Annotated[
    str | None,
    option(metavar="HOW", callback=as_shrinkage, help="Shrink covariances: oas, ledoit-wolf, 0.1.", panel="Model"),
]
