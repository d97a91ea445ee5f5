"""Parameters of a mixture as kernels take them: for each kind of density a file with a NamedTuple and its kernels.

Kernels call these compiled static methods of the parameters' type (with arguments as in `blocks.py` and `pruning.py`):

- `coordinates`: the coordinates of a block that its log-densities are computed from;
- `log_densities`: log weight + log-density of the active components at every point of a block;
- `add_moments`: add a block's statistics, given its responsibilities;
- `work_rows`: rows of scratch for a block; the three methods above share the scratch and pass values on in it;
- `whitened`: a whitened feature in the middle of a box, for bounds; called only if `has_bounds`.
- `m_step`, `run_of`: the M-step of whole compiled runs, and the parameters of one of them (`runs.py`);
- `add_prior`, `mass_of`: the prior's part of the M-step of posteriors, and a component's points (`posteriors.py`);
- `marginal`, `add_completed`, `expect`: for points with missing features (`patterns.py`).

Python calls `zero_moments`, `split_moments`, `largest_coefficient`, `sum_of_terms` and `bounding_coefficients`, and
reads, if there are such, `relative_work`: the work for a point in that of a component with a full covariance, and
`adds_features`: whether passes may end log-densities early, as `leading.py` says.
"""
