"""K-means on few points, block by block: k-means++ seeds, then Lloyd's iterations."""

import numpy as np

from .blocks import sum_of_row
from .compiler.jit import kernel
from .vectors import add, div, fma, lanes, load, mul, select_greater, splat, store, sub, sum_of_lanes


@kernel
def copy(source, target):
    """target: OUT, a copy of source, both of two dimensions. (A slice assignment takes half a second to compile.)"""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@kernel
def set_zero(values):
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[i, j] = 0.0


@kernel
def total_weight(weights):
    total = 0.0
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            total += weights[i, j]
    return total


@kernel
def _squared_distance(z, first, mean, b):
    """Squared distances of a vector of points from b on from a mean.  z: features in rows from `first` on."""
    total = splat(0.0, z)
    for i in range(mean.size):
        difference = sub(load(z, first + i, b), splat(mean[i], z))
        total = fma(difference, difference, total)
    return total


@kernel
def _drawn(odds, sums, left):
    """(block, point) at which the running total of the odds, (blocks, block), exceeds `left`; sums: those of blocks."""
    found = point = 0
    for j in range(sums.size):
        if sums[j] > 0:
            found = j
            if left < sums[j]:
                break
            left -= sums[j]
    for b in range(odds.shape[1]):
        if odds[found, b] > 0:
            point = b
            if left < odds[found, b]:
                break
            left -= odds[found, b]
    return found, point


@kernel
def seeds(z, weights, uniforms, means):
    """k-means++ with several candidates for each seed (Arthur & Vassilvitskii 2007), drawn as scikit-learn draws them.

    z: (blocks * D, block); means: OUT (K, D).
    """
    n_components, n_features = means.shape
    n_blocks, block = weights.shape
    n_trials = (uniforms.size - 1) // max(1, n_components - 1)
    odds = np.zeros((n_blocks, block))  # weight times squared distance from the nearest seed; at first the weight
    trial, best = np.zeros((n_blocks, block)), np.zeros((n_blocks, block))
    sums, mean = np.zeros((3, n_blocks)), np.empty(n_features)  # of each block's odds: now, in this trial, in the best
    copy(weights, odds)
    for j in range(n_blocks):
        for b in range(block):
            sums[0, j] += odds[j, b]
    for k in range(n_components):
        total = 0.0
        for j in range(n_blocks):
            total += sums[0, j]
        least = np.inf
        for t in range(1 if k == 0 else n_trials):
            j, b = _drawn(odds, sums[0], total * uniforms[0 if k == 0 else 1 + (k - 1) * n_trials + t])
            for i in range(n_features):
                mean[i] = z[j * n_features + i, b]
            potential = 0.0
            for j in range(n_blocks):
                sum_of_block = splat(0.0, z)
                for b in range(0, block, lanes(z)):
                    value = mul(load(weights, j, b), _squared_distance(z, j * n_features, mean, b))
                    if k > 0:
                        old = load(odds, j, b)
                        value = select_greater(value, old, old, value)
                    store(trial, j, b, value)
                    sum_of_block = add(sum_of_block, value)
                sums[1, j] = sum_of_lanes(sum_of_block)
                potential += sums[1, j]
            if potential < least:
                least = potential
                for i in range(n_features):
                    means[k, i] = mean[i]
                for j in range(n_blocks):
                    sums[2, j] = sums[1, j]
                copy(trial, best)
        for j in range(n_blocks):
            sums[0, j] = sums[2, j]
        copy(best, odds)


@kernel
def _find_nearest(z, first, means, nearest, labels, j):
    """labels[j]: OUT the nearest mean of each point of a block, as floats.  nearest: scratch (1, block)."""
    for k in range(means.shape[0]):
        for b in range(0, z.shape[1], lanes(z)):
            distance = _squared_distance(z, first, means[k], b)
            if k > 0:
                old = load(nearest, 0, b)
                label = select_greater(old, distance, splat(float(k), z), load(labels, j, b))
                distance = select_greater(old, distance, distance, old)
                store(labels, j, b, label)
            else:
                store(labels, j, b, splat(0.0, z))
            store(nearest, 0, b, distance)


@kernel
def select(labels, j, k, weights, chosen):
    """chosen: OUT (1, block), the weight of each point of a block with this label, 0 for the others."""
    zero, below, above = splat(0.0, weights), splat(k - 0.5, weights), splat(k + 0.5, weights)
    for b in range(0, weights.shape[1], lanes(weights)):
        label = load(labels, j, b)
        not_before = select_greater(label, below, load(weights, j, b), zero)
        store(chosen, 0, b, select_greater(label, above, zero, not_before))


@kernel
def kmeans(z, weights, means, labels, max_iter, tolerance):
    """Lloyd's k-means, which ends once means move by no more than `tolerance`, the sum of the moves' squares.

    means: IN OUT (K, D); labels: OUT (blocks, block).
    """
    n_components, n_features = means.shape
    n_blocks, block = weights.shape
    n_lanes = lanes(z)
    nearest, chosen = np.zeros((1, block)), np.zeros((1, block))
    sums, mass = np.zeros(means.shape), np.zeros(n_components)
    is_done = False
    for iteration in range(max_iter + 1):
        is_last = is_done or iteration == max_iter  # the labels are those of the last means
        set_zero(sums)
        for k in range(n_components):
            mass[k] = 0.0
        for j in range(n_blocks):
            _find_nearest(z, j * n_features, means, nearest, labels, j)
            for k in range(0 if is_last else n_components):
                select(labels, j, k, weights, chosen)
                mass[k] += sum_of_row(chosen, block)
                for i in range(n_features):
                    total0 = total1 = splat(0.0, z)  # two sums hide the latency
                    row = j * n_features + i
                    for b in range(0, block, 2 * n_lanes):
                        total0 = fma(load(chosen, 0, b), load(z, row, b), total0)
                        total1 = fma(load(chosen, 0, b + n_lanes), load(z, row, b + n_lanes), total1)
                    sums[k, i] += sum_of_lanes(add(total0, total1))
        if is_last:
            break
        moved = 0.0
        for k in range(n_components):
            if mass[k] > 0:
                for i in range(n_features):
                    mean = sums[k, i] / mass[k]
                    moved += (mean - means[k, i]) ** 2
                    means[k, i] = mean
        is_done = moved <= tolerance


@kernel
def in_units(x, unit):
    """The points, (blocks * D, block), with each feature in its own unit, (D,); they themselves if all units are 1."""
    is_same = True
    for i in range(unit.size):
        is_same = is_same and unit[i] == 1.0
    if is_same:
        return x
    z = np.empty(x.shape)
    for row in range(x.shape[0]):
        divisor = splat(unit[row % unit.size], x)
        for b in range(0, x.shape[1], lanes(x)):
            store(z, row, b, div(load(x, row, b), divisor))
    return z
