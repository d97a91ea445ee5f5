"""What a pass can be over: one file for each kind of density, each a NamedTuple of arrays with kernels of its own.

Kernels call what the type of their parameters offers, under these names (static methods, compiled; their arguments
are as in `blocks.py` and `pruning.py`):

- `coordinates`: what the log-densities of a block are computed from;
- `log_densities`: log weight + log-density of the active components at every point of a block;
- `add_moments`: add a block's statistics, given its responsibilities;
- `work_rows`: rows of scratch for a block, which these three share: what the first two leave there, the third finds;
- `whitened`: a feature of the middle of a box, as bounds need it; only where `bounding_coefficients` isn't None.

Python calls `zero_moments`, `split_moments`, `largest_coefficient`, `sum_of_terms` and `bounding_coefficients`.
"""
