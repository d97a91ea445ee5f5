"""Sizes of the samples that a search uses before all the points."""

import math

# Multiplications that take as long as one exp, to measure the work of a pass in multiplications.
EXP = 20
# Work of a pass below which no samples are used: a search over all the points takes almost no time.
_INSTANT_PASS = 1e7
# Work of a pass, without exps, beyond which a sample is used even if the points are few for the number of parameters.
_LONG_PASS = 1e9

# Points per component in the first sample, at least; their number rises to the component's number of parameters,
_POINTS = 200
# but at most to this many points per component and feature (or direction, if covariances have fewer).
_POINTS_A_FEATURE = 20
# Ratio of the sizes of successive samples, about.
_GROWTH = 3.5
# Least ratio of all the points to the first sample; below it, no samples are used.
_LEAST_GROWTH = 2.5

# Bytes that a sample may take; more only if 4 points per component and feature, or direction, need more, or so many
# points per component: with half of them, of 784 features, factor analyzers started from components of a few points,
# and ended 11 nats lower.
_MEMORY, _POINTS_ANYWAY = 16 << 20, 500


def sample_sizes(source, family, n_components, tol):
    """Sizes of the samples that are used before all the points, the smallest first; none if the points are few.

    The first sample suffices for a rough covariance of every component. No further one follows if all the points could
    gain less than tol over the last one, or are hardly more.
    """
    n_samples, n_features = source.n_samples, source.n_features
    n_free = family.n_free_in_all(n_components, n_features)
    n_directions = family.n_directions(n_features)
    first = n_components * max(_POINTS, min(n_free // n_components, _POINTS_A_FEATURE * n_directions))
    most = max(_MEMORY // (8 * n_features), n_components * max(_POINTS_ANYWAY, 4 * n_directions))
    first = min(first, most, n_samples // 4 if n_samples * n_free > _LONG_PASS else n_samples)
    growth = n_samples / first
    if n_samples * (n_free + EXP * n_components) < _INSTANT_PASS or growth < _LEAST_GROWTH:
        return []
    n_sizes = round(math.log(growth) / math.log(_GROWTH))
    sizes = []
    for i in range(n_sizes):
        size = int(first * growth ** (i / n_sizes))
        if size > most or (sizes and noise(n_free, sizes[-1]) < tol):
            break
        sizes.append(size)
    return sizes


def noise(n_free, n_samples):
    """Expected gain of the maximum on n points over the true mixture, nats per point: p / 2n (Akaike 1974)."""
    return n_free / (2 * n_samples)
