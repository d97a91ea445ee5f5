"""Imports go downwards only, and the picture in CONTRIBUTING.md is of them."""

import graphlib

from . import layers


def test_no_import_goes_up():
    floors, _ = layers.imports()
    assert layers.upward(floors) == []


def test_no_modules_import_each_other():
    _, modules = layers.imports()
    graph = {}
    for one, other in modules:
        if other != one.rpartition(".")[0]:  # a package may hold what its modules need
            graph.setdefault(one, set()).add(other)
    graphlib.TopologicalSorter(graph).prepare()


def test_the_picture_is_current():
    text = layers.PICTURE.read_text()
    assert layers.with_picture(text, layers.picture(layers.imports()[0])) == text, "run python -m tests.layers"
