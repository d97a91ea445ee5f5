"""Kernels that only other kernels call aren't compiled by themselves.

Numba optimises every function and makes machine code of it at each level of calls. Without that a first fit waits a
fifth less (8.9 against 11.1 s of a full covariance, 3.6 against 4.9 of a tied one), for which this leans on Numba's
classes of libraries; where they are no more, `PIPELINE` is empty and all is compiled as usual.
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
    """The code of a kernel that only other kernels call: linked into theirs and optimised there, never by itself."""

    def finalize(self):
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return 0  # there is none, and no one calls it

    @property
    def codegen(self):
        return _NoEnvironment(self._codegen)


class _NoEnvironment:
    """A code generator for code without an environment of its own: it takes its caller's."""

    def __init__(self, codegen):
        self._codegen = codegen

    def __getattr__(self, name):
        return getattr(self._codegen, name)

    def set_env(self, name, environment):
        pass


class _LinkedCompiler(CompilerBase):
    """Numba's pipeline, with a library of the kind above."""

    def define_pipelines(self):
        self.state.library = _LinkedOnly(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


PIPELINE = {"pipeline_class": _LinkedCompiler} if _is_known else {}
"""Options of `njit`."""
