"""The CPU that code is compiled for: that of NUMBA_CPU_FEATURES if set, else this machine's."""

import llvmlite.binding
import numba


def has(feature):
    """Whether compiled code may use a CPU feature, by its LLVM name, such as 'avx512f'."""
    chosen = numba.config.CPU_FEATURES
    if chosen is None:
        return bool(llvmlite.binding.get_host_cpu_features().get(feature))
    return f"+{feature}" in chosen.split(",")


REGISTER = 64 if has("avx512f") else 32
"""Bytes of a vector: 64 with AVX-512; 32 with AVX2, and with SSE or NEON, where it takes two registers."""

REGISTERS = 32 if has("avx512f") else 16
"""How many vectors of `REGISTER` bytes the registers hold."""
