"""What README and guide show is true: programs run and print what the pages say, and links lead somewhere."""

import re
import shutil
import sys

import pytest

import fastem

from .documents import PAGES, ROOT, agree, anchors, links, programs, run
from .grids import exhaustive

README = PAGES[0]


def _programs():
    return [
        pytest.param(blocks, id=f"{page.stem}: {heading}", marks=() if page is README else exhaustive)
        for page in PAGES
        for heading, blocks in programs(page).items()
    ]


@pytest.mark.parametrize("blocks", _programs())
def test_programs_run_and_print_what_is_shown(blocks, tmp_path):
    pytest.importorskip("matplotlib", reason="they draw")
    if any(block.language == "sh" for block in blocks) and (sys.platform == "win32" or not shutil.which("bash")):
        pytest.skip("no bash")
    for block, printed in zip(blocks, run(blocks, tmp_path), strict=True):
        if block.printed is not None:
            assert agree(block.printed, printed), f"{block.code}\nprints\n{printed}\nnot\n{block.printed}"


def test_the_pages_hold_programs():
    assert len(_programs()) >= 20
    assert (
        sum(block.printed is not None for page in PAGES for found in programs(page).values() for block in found) >= 15
    )


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("[ 4.29 2.04]", "[4.29  2.04]\n", True),
        ("0.20 of 131", "0.21 of 131", True),
        ("0.20 of 131", "0.23 of 131", False),
        ("3 components", "4 components", False),
        ("BIC 7,309.1", "BIC 7312", True),
        ("BIC 7,309.1", "BIC 7340", False),
        ("1.2e-05 nats", "1.3e-05 nats", True),
        ("1.2e-05 nats", "1.2e-04 nats", False),
        ("first\n...\nlast 1", "first\nand\nmore\nlast 1", True),
        ("first\n...\nlast 1", "first\nand\nmore\nlast", False),
        ("Adelie", "Gentoo", False),
    ],
)
def test_what_is_shown_is_compared(shown, printed, same):
    assert agree(shown, printed) is same


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(ROOT / ".github").glob("*.md"), ROOT / "asv_benchmarks" / "README.md"],
    ids=lambda page: page.name,
)
def test_links_lead_somewhere(page):
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor}"


def test_every_page_of_the_guide_is_linked_from_the_readme():
    linked = {(README.parent / path).resolve() for path, _ in links(README)}
    assert {page.resolve() for page in PAGES[1:]} <= linked


def test_the_readme_is_short():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1200


@pytest.mark.parametrize(
    "command",
    [
        "pip install '.[cli,plot]' && python -m fastem fit faithful -k 2 --animate faithful.gif",
        "pip install '.[test]' && python -m pytest -n 2",
    ],
)
def test_ci_runs_the_readmes_commands(command):
    for page in README, ROOT / ".github" / "workflows" / "ci.yml":
        assert command in page.read_text(encoding="utf-8")


def test_the_citation_is_of_this_version():
    version = re.search(r"version = \{(.*)\}", README.read_text(encoding="utf-8"))[1]
    assert version == fastem.__version__
    assert f"## {version}" in (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
