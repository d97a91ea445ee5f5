"""Components whose likelihood says nothing about the data: on reg_covar's floor, or on too few points."""


class DegenerateFitWarning(UserWarning):
    """A fit has components whose covariance is set by reg_covar, or by too few points, not by the data."""
