"""The processor that code is compiled for: the user's NUMBA_CPU_FEATURES, or this machine's."""

import llvmlite.binding
import numba


def has(feature):
    """Whether code may use a feature by LLVM's name, such as 'avx512f'."""
    chosen = numba.config.CPU_FEATURES
    if chosen is None:
        return bool(llvmlite.binding.get_host_cpu_features().get(feature))
    return f"+{feature}" in chosen.split(",")


REGISTER = 64 if has("avx512f") else 32
"""A vector's bytes: 64 with AVX-512; 32 with AVX2 and, as two registers each, with SSE or NEON."""
