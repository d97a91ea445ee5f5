"""Compiling, caching, parallel calls and register width: all code that depends on Numba's internals."""
