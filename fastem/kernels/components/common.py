"""What several kinds of density offer alike."""

from ..compiler.jit import part_of_kernel


@part_of_kernel
def features_themselves(parameters, x, n_points, work):
    """`coordinates` of parameters that use a block's features unchanged."""
    return x


@part_of_kernel
def one_more_than_features(parameters):
    """`work_rows` of parameters that keep a row for each feature and one for the root of the responsibilities."""
    return parameters.bias.shape[1] + 1
