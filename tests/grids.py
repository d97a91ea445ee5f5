"""Grids of which the quick tests keep a few cells."""

import pytest

exhaustive = pytest.mark.exhaustive


def grid(names, cells, quick, **options):
    """`pytest.mark.parametrize` whose cells are marked exhaustive, all but the `quick` ones: a slice, or the cells."""
    cells = list(cells)
    kept = range(len(cells))[quick] if isinstance(quick, slice) else [cells.index(cell) for cell in quick]
    is_single = isinstance(names, str) and "," not in names
    return pytest.mark.parametrize(
        names,
        [
            pytest.param(*((cell,) if is_single else cell), marks=() if position in kept else exhaustive)
            for position, cell in enumerate(cells)
        ],
        **options,
    )
