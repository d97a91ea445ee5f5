"""Numba's `intrinsic` and `overload`, or their plain Python stand-ins if NUMBA_DISABLE_JIT is set."""

import numba

if numba.config.DISABLE_JIT:
    from .interpreted import intrinsic, overload
else:
    from numba.extending import intrinsic, overload

INLINED = {"forceinline": True}
"""Options of an overload that is compiled into its callers."""

__all__ = ["INLINED", "intrinsic", "overload"]
