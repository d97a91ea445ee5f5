"""Kernels that only other kernels call are not compiled by themselves.

Numba optimises and compiles every function separately, at each level of calls. Without that a first fit compiles a
fifth faster (full covariances: 8.9 against 11.1 s; tied: 3.6 against 4.9 s). This relies on Numba's internal library
classes; if they are gone, `PIPELINE` is empty and everything is compiled as usual.
"""

try:
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
except ImportError:
    JITCodeLibrary = CompilerBase = object
    _is_known = False
else:
    _is_known = hasattr(JITCodeLibrary, "_get_module_for_linking") and hasattr(CompilerBase, "define_pipelines")


class _LinkedOnly(JITCodeLibrary):
    """The code of a kernel that only other kernels call: linked into their code and optimised there."""

    def finalize(self):
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return 0  # no machine code, never called

    @property
    def codegen(self):
        return _NoEnvironment(self._codegen)


class _NoEnvironment:
    """A code generator for code that uses its caller's environment in place of its own."""

    def __init__(self, codegen):
        self._codegen = codegen

    def __getattr__(self, name):
        return getattr(self._codegen, name)

    def set_env(self, name, environment):
        pass


class _LinkedCompiler(CompilerBase):
    """Numba's pipeline with a `_LinkedOnly` library."""

    def define_pipelines(self):
        self.state.library = _LinkedOnly(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


PIPELINE = {"pipeline_class": _LinkedCompiler} if _is_known else {}
"""Options of `njit` for kernels that only other kernels call."""
