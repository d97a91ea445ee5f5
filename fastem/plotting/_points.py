"""The points of a picture, and a model's responsibilities for them."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .. import kernels
from ..estimators.gaussian_mixture import GaussianMixture
from ..estimators.validation import check_sample_weight
from ..sources import ArraySource
from ..sources.annotations import Annotations
from ..sources.incomplete import incomplete_rows
from ._colors import NOISE, palette, to_lab
from ._words import counted

MAX_POINTS = 1_000_000
_BLOCK = 1 << 22  # responsibilities computed at a time


@dataclass(frozen=True)
class Points:
    """Points to draw.

    Attributes
    ----------
    values : ndarray of shape (n, D), float64
        NaN where a value is missing.
    names : list of str, length D
    n_all : int
        Number of points from which these are an even sample.
    index : slice or ndarray of int
        Rows of the values among all points.
    weights : ndarray of shape (n,), or None
        Weights of the values; none is 0.
    weight_of_all : float or None
        Sum of the weights of all points.
    """

    values: np.ndarray
    names: list
    n_all: int
    index: slice | np.ndarray
    weights: np.ndarray = None
    weight_of_all: float = None

    def __len__(self):
        return len(self.values)

    def only(self, features):
        """The same points with these features only."""
        return replace(self, values=self.values[:, features], names=[self.names[j] for j in features])

    def __str__(self):
        points = counted(self.n_all, "point") if len(self) == self.n_all else f"{len(self):,} of {self.n_all:,} points"
        return points if self.weights is None else f"{points}, sum of weights {self.weight_of_all:,g}"

    @property
    def omission(self):
        """'12 of 342 points lack a value shown here', and of which of more than two features; '' if none do."""
        is_missing = np.isnan(self.values)
        n = int(np.count_nonzero(is_missing.any(axis=1)))
        if not n:
            return ""
        text = f"{n:,} of {counted(len(self), 'point')} {'lacks' if n == 1 else 'lack'} a value shown here"
        if len(self.names) < 3:
            return text
        each = zip(self.names, is_missing.sum(axis=0), strict=True)
        return "\n".join([f"{text}:", *(f"  {name} {count:,}" for name, count in each if count)])

    @property
    def in_words(self):
        """The sum of their weights and how many lack a value, as far as that applies; else their number."""
        words = [str(self)] if self.weights is not None or not self.omission else []
        return "; ".join([*words, self.omission] if self.omission else words)


def points_of(X, model=None, feature_names=None, max_points=MAX_POINTS, sample_weight=None):
    """Points from anything that `fit` takes, checked by the model that they are for; points of weight 0 are left out.

    Without a model, and for one with `missing='em'`, values may be missing (NaN).

    Raises
    ------
    NotFittedError
        If the model isn't fitted.
    ValueError
        If X doesn't suit the model, or the weights are invalid; the message is the model's.
    """
    columns = [str(name) for name in getattr(X, "columns", ())]
    learns = model is None
    if learns:
        model = GaussianMixture(missing="em")
    else:
        check_is_fitted(model)
    source = model._source(X, reset=learns, excluded_columns=(sample_weight,))
    source = model._scan(source, reset=learns)
    n_all = source.n_samples
    weights = check_sample_weight(source.column(sample_weight), n_all, rescale=False)
    if weights is None or weights.all():
        index = _even_sample(n_all, max_points)
    else:
        index = np.flatnonzero(weights)
        index = index[_even_sample(len(index), max_points)]
    in_place = isinstance(source, ArraySource) and isinstance(index, slice)
    values = np.asarray(source.X if in_place else source.rows(index), dtype=np.float64)
    names = feature_names_of(model, feature_names, columns)
    if weights is None:
        return Points(values, names, n_all, index)
    return Points(values, names, n_all, index, weights[index], float(weights.sum()))


def source_of(values):
    """The source of points in memory, which may lack values."""
    return incomplete_rows(values) if np.isnan(values).any() else ArraySource(values)


def is_seen(values):
    """Which points have all these values: bool, (n,)."""
    return ~np.isnan(values).any(axis=1)


def _even_sample(n, size):
    """Which points to take: all, or one drawn from each of `size` equal stretches."""
    if n <= size:
        return slice(None)
    where = np.random.RandomState(0).uniform(size=size)
    return ((np.arange(size) + where) * (n / size)).astype(np.intp)


def feature_names_of(model, given, others=()):
    """The names given; else those that the model knows, the others, or 'feature 0' and so on."""
    known, n_features = getattr(model, "feature_names_in_", others), model.n_features_in_
    if given is not None:
        if len(given) != n_features:
            raise ValueError(f"feature_names should be {n_features} names, but got {len(given)}")
        return [str(name) for name in given]
    if len(known) == n_features:
        return [str(name) for name in known]
    return [f"feature {j}" for j in range(n_features)]


def responsibilities(model, values):
    """Yield (slice, responsibilities of those points) in blocks, because (n, K) may need too much memory."""
    step = max(1, _BLOCK // len(model.weights_))
    for start in range(0, len(values), step):
        rows = slice(start, min(start + step, len(values)))
        shape = rows.stop - start, len(model.weights_)
        yield rows, model._evaluate_source(source_of(values[rows]), kernels.responsibilities, np.float64, shape[1])


def mixed_colors(model, values, order=None):
    """OKLab colours of points, (n, 3): the colours of components, and grey for noise, mixed by responsibility.

    order : ndarray of int, default=None
        order[k] is the number in the model of the component with colour k.
    """
    components = to_lab(palette(len(model.weights_)))
    if order is not None:
        components = components[np.argsort(order)]
    lab = np.empty((len(values), 3))
    for rows, shares in responsibilities(model, values):
        lab[rows] = shares @ components
        if hasattr(model, "noise_weight_"):
            lab[rows] += (1 - shares.sum(axis=1))[:, None] * to_lab(NOISE)
    return lab


def mean_log_likelihood(model, values, weights=None):
    """Mean log-likelihood of the model, nats per point or per unit of weight."""
    total, n_points = source_of(values).log_likelihood(model._parameters(), Annotations(weights))
    return total / n_points


def size_of(n, weights=None):
    """The effective number of points: n without weights; the sum of integer weights, which are multiplicities.

    For other weights, of any scale, it is (sum w)**2 / sum w**2 (Kish 1965).
    """
    if weights is None:
        return n
    total = weights.sum()
    return float(total if (weights == np.rint(weights)).all() else total**2 / np.sum(weights**2))
