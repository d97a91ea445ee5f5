"""The data sets: `load_NAME` reads the table NAME.csv and its description NAME.txt."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.utils import Bunch


def load_faithful() -> Bunch:
    """Load the Old Faithful eruptions: 272 points, 2 features, 2 clear groups.

    Returns
    -------
    sklearn.utils.Bunch
        A dictionary whose keys are also attributes:

        data : ndarray of shape (272, 2), float64
            Duration of each eruption and the wait for the next, in minutes.
        feature_names : list of str
            ``['eruptions', 'waiting']``.
        DESCR : str
            What the data are and where they come from.
        filename, data_module : str
            The file the data were read from, and the package that holds it.

    References
    ----------
    The data set `faithful` of R's package `datasets`; A. Azzalini and A. W. Bowman,
    *A look at some data on the Old Faithful geyser*, Applied Statistics 39 (1990), 357-365;
    W. Härdle, *Smoothing Techniques with Implementation in S*, Springer (1991).

    Examples
    --------
    >>> from fastem.datasets import load_faithful
    >>> load_faithful().data.mean(axis=0).round(3)
    array([ 3.488, 70.897])
    """
    return _load("faithful")


def load_galaxies() -> Bunch:
    """Load the velocities of 82 galaxies: 1 feature, several modes, an uncertain number of components.

    Returns
    -------
    sklearn.utils.Bunch
        As in `load_faithful`, with

        data : ndarray of shape (82, 1), float64
            Velocities away from us, in km/s, in ascending order.
        feature_names : list of str
            ``['velocity']``.

    References
    ----------
    K. Roeder, *Density estimation with confidence sets exemplified by superclusters and voids in the galaxies*,
    Journal of the American Statistical Association 85 (1990), 617-624; the data set `galaxies` of R's package `MASS`,
    with its misprint corrected.

    Examples
    --------
    >>> from fastem.datasets import load_galaxies
    >>> load_galaxies().data[:3, 0]
    array([9172., 9350., 9483.])
    """
    return _load("galaxies")


# The two penguins of which nothing was measured: their places among all 344, and their species.
_NOT_MEASURED = (3, "Adelie"), (271, "Gentoo")


def load_penguins(*, incomplete: bool = False) -> Bunch:
    """Load the sizes of 342 penguins of three species: 4 features, labelled.

    Parameters
    ----------
    incomplete : bool, default=False
        Whether to keep the two further penguins of which only the species is known, at their places: rows of NaN.

    Returns
    -------
    sklearn.utils.Bunch
        As in `load_faithful`, with

        data : ndarray of shape (342, 4), float64
            Length and depth of the bill and length of the flipper, in mm, and body mass, in g.
        target : ndarray of shape (342,), int64
            Index of each penguin's species in target_names.
        target_names : ndarray of shape (3,), str
            ``['Adelie', 'Chinstrap', 'Gentoo']``.
        feature_names : list of str
            ``['bill_length', 'bill_depth', 'flipper_length', 'body_mass']``.

    References
    ----------
    K. B. Gorman, T. D. Williams and W. R. Fraser, *Ecological sexual dimorphism and environmental variability within
    a community of Antarctic penguins (genus Pygoscelis)*, PLoS ONE 9 (2014), e90081; public domain (CC0).

    Examples
    --------
    >>> from fastem.datasets import load_penguins
    >>> penguins = load_penguins()
    >>> penguins.data[penguins.target == 2].mean(axis=0).round(1)
    array([  47.5,   15. ,  217.2, 5076. ])
    """
    return _load("penguins", is_labelled=True, incomplete=_NOT_MEASURED if incomplete else ())


def load_reaven_miller() -> Bunch:
    """Load Reaven and Miller's diabetes data: 145 points, 3 features, labelled; groups of very different shapes.

    Returns
    -------
    sklearn.utils.Bunch
        As in `load_faithful`, with

        data : ndarray of shape (145, 3), float64
            Areas under the curves of plasma glucose and insulin in a glucose tolerance test, and steady state plasma
            glucose; units in DESCR.
        target : ndarray of shape (145,), int64
            Index of each person's diagnosis in target_names.
        target_names : ndarray of shape (3,), str
            ``['chemical', 'normal', 'overt']``.
        feature_names : list of str
            ``['glucose_area', 'insulin_area', 'sspg']``.

    References
    ----------
    G. M. Reaven and R. G. Miller, *An attempt to define the nature of chemical diabetes using a multidimensional
    analysis*, Diabetologia 16 (1979), 17-24; D. F. Andrews and A. M. Herzberg, *Data*, Springer (1985), chapter 36.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.datasets import load_reaven_miller
    >>> np.bincount(load_reaven_miller().target)
    array([36, 76, 33])
    """
    return _load("reaven_miller", is_labelled=True)


def _load(name, is_labelled=False, incomplete=()):
    """The Bunch of a table with a header. If it is labelled, its last column holds names of classes.

    incomplete: (place, class) of rows without values that the table lacks.
    """
    from sklearn.utils import Bunch

    folder = files(__package__)
    with folder.joinpath(f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    for place, label in incomplete:
        rows.insert(place, ["nan"] * (len(header) - 1) + [label])
    classes = {}
    if is_labelled:
        names, target = np.unique([row.pop() for row in rows], return_inverse=True)
        classes = {"target": target, "target_names": names}
        header.pop()
    return Bunch(
        data=np.array(rows, dtype=np.float64),
        **classes,
        feature_names=header,
        DESCR=folder.joinpath(f"{name}.txt").read_text(encoding="utf-8"),
        filename=f"{name}.csv",
        data_module=__package__,
    )
