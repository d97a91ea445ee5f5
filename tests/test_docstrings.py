"""Docstrings: their parameters are those of the signatures, and what is public has an example, which runs."""

import ast
import doctest
import re

import pytest

from fastem.sources import Source

from . import public

# The sections of numpydoc, in its order.
SECTIONS = (
    "Parameters", "Returns", "Yields", "Other Parameters", "Attributes", "Raises", "Warns", "See Also", "Notes",
    "References", "Examples",
)  # fmt: skip
OBJECTS = public.objects()
# Written by users' subclasses or called by a fit, not by users: how they work together is in the class's docstring.
CALLED_BY_A_FIT = "setup", "teardown", "on_fit_task_begin", "on_fit_task_end"
SIMPLE = bool, int, float, str, tuple, range


def is_called_by_a_fit(each):
    return each.owner and (issubclass(each.owner, Source) or each.callable.__name__ in CALLED_BY_A_FIT)


def sections(doc):
    """Heading to text of each section, '' for what comes before the first."""
    parts = re.split(r"(?m)^(\S.*)\n-{3,}$\n?", doc)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(doc):
    """(name, what is said of it) of each parameter, in order; two names may share a line."""
    lines = re.findall(r"(?m)^(\S.*?)(?: : (.*))?$", sections(doc).get("Parameters", ""))
    return [(name.strip(), said) for names, said in lines for name in names.split(",")]


def as_written(parameter):
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    return stars.get(parameter.kind, "") + parameter.name


def is_same(default, text):
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text in (repr(default), getattr(default, "__name__", None))
    return value == default and isinstance(value, bool) == isinstance(default, bool)


def wrong_defaults(each):
    """Defaults that are stated otherwise than in the signature, or, where a reader can't guess them, not at all."""
    for (name, said), parameter in zip(described(each.doc), each.parameters, strict=True):
        default = parameter.default
        stated = re.search(r"default=(.*)$", said)
        if stated and default is parameter.empty:
            yield f"{name} has no default"
        elif stated and not is_same(default, stated[1]):
            yield f"{name}: the default is {default!r}, not {stated[1]}"
        elif not stated and isinstance(default, SIMPLE) and not said.startswith(("ignored", "as in")):
            yield f"{name}: say default={default!r}"


@pytest.mark.parametrize("each", OBJECTS, ids=lambda each: each.name)
def test_sections_are_numpydocs(each):
    assert each.doc, "no docstring"
    assert each.doc.splitlines()[0].endswith((".", ":")), "the summary is one line"
    headings = [heading for heading in sections(each.doc) if heading]
    assert [heading for heading in headings if heading not in SECTIONS] == []
    assert headings == sorted(headings, key=SECTIONS.index)
    for heading, line in re.findall(r"(?m)^(\S.*)\n(-{3,})$", each.doc):
        assert len(heading) == len(line)


@pytest.mark.parametrize("each", [each for each in OBJECTS if each.is_called], ids=lambda each: each.name)
def test_parameters_are_those_of_the_signature(each):
    names = [name for name, _ in described(each.doc)]
    if not names and is_called_by_a_fit(each):
        return
    assert names == [as_written(parameter) for parameter in each.parameters]
    assert list(wrong_defaults(each)) == []


def test_no_module_hides_an_exported_name():
    """`import fastem.x` makes the module x an attribute of fastem, whatever was there before."""
    modules = {module.__name__ for module in public.modules()}
    exported = [f"{module.__name__}.{name}" for module in public.MODULES for name, _ in public.exported(module)]
    assert [name for name in [*exported, "fastem.warm_up"] if name in modules] == []


def test_what_is_wrong_would_be_found():
    def wrong(a, b=1, c="x", *, d=None, e=True):
        """Do nothing.

        Parameters
        ----------
        a : int, default=3
        b : int, default=True
        c : str
        d, e : as in `right`
        """

    each = public.Public("wrong", wrong)
    assert [name for name, _ in described(each.doc)] == ["a", "b", "c", "d", "e"]
    assert list(wrong_defaults(each)) == ["a has no default", "b: the default is 1, not True", "c: say default='x'"]


def test_every_public_object_has_an_example():
    lacking = [
        each.name
        for each in OBJECTS
        if ">>> " not in each.doc and not is_called_by_a_fit(each) and each.is_called | (each.owner is not None)
    ]
    assert lacking == []


def _examples():
    """A parameter for each docstring of the package that has examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for module in public.modules():
        for test in finder.find(module, module.__name__):
            if test.examples:
                found[test.filename, test.lineno] = test
    return [pytest.param(test, id=test.name) for test in found.values()]


@pytest.mark.parametrize("test", _examples())
def test_examples_run(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    said = []
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.DocTestRunner(optionflags=options, verbose=False).run(test, out=said.append)
    assert not failed, "".join(said)
    assert tried, "all examples are skipped"
