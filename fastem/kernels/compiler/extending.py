"""Numba's `intrinsic` and `overload`, or what stands in for them where NUMBA_DISABLE_JIT switches compiling off."""

import numba

if numba.config.DISABLE_JIT:
    from .interpreted import intrinsic, overload
else:
    from numba.extending import intrinsic, overload

__all__ = ["intrinsic", "overload"]
