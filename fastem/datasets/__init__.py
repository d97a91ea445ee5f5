"""Real data that ships with the package."""

from importlib.resources import files

__all__ = ["load_faithful"]

_FAITHFUL_DESCR = """\
Old Faithful geyser eruptions
-----------------------------

272 eruptions of the Old Faithful geyser in Yellowstone National Park, Wyoming,
USA, as in the data set `faithful` of R's package `datasets`.

:Number of points: 272
:Features:
    - eruptions: duration of the eruption, in minutes
    - waiting: time until the next eruption, in minutes
:Missing values: none

Short eruptions are followed by short waits and long ones by long waits, which
makes two clear groups: the textbook example of a two-component mixture.

References
----------
Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful
geyser. Applied Statistics 39, 357-365.

Härdle, W. (1991). Smoothing Techniques with Implementation in S. Springer,
New York.
"""


def load_faithful():
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
    import numpy as np
    from sklearn.utils import Bunch

    with files(__name__).joinpath("faithful.csv").open(encoding="utf-8") as lines:
        feature_names = [name.strip('"') for name in next(lines).rstrip().split(",")]
        data = np.loadtxt(lines, delimiter=",")
    return Bunch(
        data=data,
        feature_names=feature_names,
        DESCR=_FAITHFUL_DESCR,
        filename="faithful.csv",
        data_module=__name__,
    )
