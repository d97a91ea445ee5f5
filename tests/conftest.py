"""Which tests run: the quick ones, unless `--exhaustive` asks for all or a test is named by its id."""

import sys

import pytest

OPTION = "--exhaustive"


def pytest_addoption(parser):
    parser.addoption(OPTION, action="store_true", help="run the tests marked exhaustive, too, as .ci/run does")


def _are_all_wanted(config):
    return config.getoption(OPTION) or any("::" in argument for argument in config.args)


def pytest_report_header(config):
    return None if _are_all_wanted(config) else f"the quick tests; {OPTION} adds those marked exhaustive"


def pytest_collection_modifyitems(config, items):
    if _are_all_wanted(config):
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(autouse=True)
def _figures_closed():
    """Every picture is forgotten."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def settings_kept():
    """No setting of matplotlib has changed at the end."""
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.rcParams.copy()
    yield
    assert matplotlib.rcParams == before
