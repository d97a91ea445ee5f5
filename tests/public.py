"""What is public: the functions and classes of the public modules, those that they return, and their methods."""

import functools
import inspect
import types
import warnings
from typing import NamedTuple

import fastem
import fastem.callbacks
import fastem.datasets
import fastem.plotting
import fastem.sources
from fastem.selection import Selection, SelectionProgress

MODULES = fastem, fastem.callbacks, fastem.datasets, fastem.plotting, fastem.sources
# Not exported, as users get them from `select`.
RETURNED = Selection, SelectionProgress

_METHODS = types.FunctionType, classmethod, staticmethod, property, functools.cached_property


class Public(NamedTuple):
    """A class, function, method or property. `owner` is the class that defines a method, else None."""

    name: str
    object: object
    owner: type | None = None

    @property
    def doc(self):
        return inspect.getdoc(getattr(self.owner, self.name.rpartition(".")[2]) if self.owner else self.object) or ""

    @property
    def callable(self):
        """The function itself, of a property the one that reads it; a class stays one."""
        if isinstance(self.object, property):
            return self.object.fget
        if isinstance(self.object, functools.cached_property):
            return self.object.func
        return inspect.unwrap(getattr(self.object, "__func__", self.object))

    @property
    def is_called(self):
        """Whether users pass arguments: not to a property, nor to what they are only given."""
        is_given = isinstance(self.object, type) and (issubclass(self.object, BaseException) or self.object in RETURNED)
        return not is_given and not isinstance(self.object, property | functools.cached_property)

    @property
    def only_raises(self):
        """Whether it says that a class lacks what its base has."""
        return getattr(self.callable, "__annotations__", {}).get("return") == "NoReturn"

    @property
    def parameters(self):
        """The parameters that a caller passes."""
        of = self.object.__init__ if isinstance(self.object, type) else self.callable
        if of is object.__init__:
            return []
        found = list(inspect.signature(of).parameters.values())
        is_bound = (self.owner and not isinstance(self.object, staticmethod)) or isinstance(self.object, type)
        return found[1:] if is_bound else found


def exported(module):
    """Names and values of what the module exports, other modules left out."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    for name in names:
        value = getattr(module, name)
        if callable(value):
            yield name, value


def objects():
    """Every public object once: a method where it is documented, however many classes inherit or override it."""
    found = {}
    tops = [(f"{module.__name__}.{name}", value) for module in MODULES for name, value in exported(module)]
    for name, value in [*tops, *((f"fastem.{cls.__name__}", cls) for cls in RETURNED)]:
        found.setdefault(id(value), Public(name, value))
        if not isinstance(value, type):
            continue
        for owner in value.__mro__:
            if not owner.__module__.startswith("fastem"):
                continue
            for method, each in vars(owner).items():
                if method.startswith("_") or not isinstance(each, _METHODS):
                    continue
                public = Public(f"{name}.{method}", each, owner)
                has_own = public.callable.__doc__ or not any(hasattr(base, method) for base in owner.__mro__[1:])
                if has_own and not public.only_raises:
                    found.setdefault(id(each), public)
    return list(found.values())


def names(module):
    """What the module's page in the reference explains: what it exports, and each method of a class."""
    for name, value in exported(module):
        yield name
        if isinstance(value, type):
            for method in dir(value):
                each = inspect.getattr_static(value, method)
                if not method.startswith("_") and isinstance(each, _METHODS) and _is_ours(each):
                    yield f"{name}.{method}"


def _is_ours(each):
    return Public("", each).callable.__module__.startswith("fastem")


def modules():
    """Every module of the package."""
    import importlib
    import pkgutil

    with warnings.catch_warnings():
        return [
            importlib.import_module(each.name)
            for each in pkgutil.walk_packages(fastem.__path__, "fastem.")
            if not each.name.endswith("__main__")
        ]
