"""From a block's log-densities to what its moments are weighted by: responsibilities, or one component a point."""

from .blocks import assign, copy_responsibilities, copy_row, draw, normalise
from .compiler.jit import part_of_kernel

SOFT, HARD, STOCHASTIC = range(3)


@part_of_kernel
def share_out(
    annotations, grid, rows, count, n_points, components, n_active, weights, responsibilities, factor, log_likelihoods
):
    """Turn log-densities into responsibilities, or copy those given; returns the weighted sum of log-likelihoods."""
    if not annotations.e_step:
        copy_responsibilities(annotations, rows, count, weights, factor, responsibilities)
        return 0.0
    if annotations.assignment == HARD:
        active = components[:n_active]
        log_likelihood = assign(responsibilities, active, weights, n_points, factor, log_likelihoods)
        copy_row(weights, factor)
        return log_likelihood
    log_likelihood = normalise(responsibilities, n_active, weights, n_points, factor, log_likelihoods)
    if annotations.assignment == STOCHASTIC:
        draw(annotations.seed, grid.first_row, rows, count, n_active, responsibilities, weights, factor)
    return log_likelihood
