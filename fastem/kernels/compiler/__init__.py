"""The only place that touches Numba's insides: compiling, caching, calling in parallel, and how wide a register is."""
