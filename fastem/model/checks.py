"""What makes arrays those of a mixture: the same checks for users' arguments and for files.

The texts are scikit-learn's word for word, though one of them swaps min and max: users' tests may match them.
"""

import numpy as np


def check_shape(values, shape, name):
    """Raise ValueError where an array has another shape; None in the shape allows any length but 0."""
    allowed = len(values.shape) == len(shape) and all(
        length == found if length is not None else found > 0 for length, found in zip(shape, values.shape, strict=True)
    )
    if not allowed:
        expected = str(shape).replace("None", "any")
        raise ValueError(f"The parameter '{name}' should have the shape of {expected}, but got {values.shape}")


def check_weights(weights, name, tolerance):
    """Raise ValueError where weights are not in [0, 1], or their sum differs from 1 by more than the tolerance."""
    if (weights < 0).any() or (weights > 1).any():
        raise ValueError(
            f"The parameter '{name}' should be in the range [0, 1], "
            f"but got max value {weights.min():.5f}, min value {weights.max():.5f}"
        )
    total = weights.sum(dtype=np.float64)
    if abs(1 - total) > tolerance:
        raise ValueError(f"The parameter '{name}' should be normalized, but got sum(weights) = {total:.5f}")
