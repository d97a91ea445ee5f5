"""What the README shows is true: its Python runs, each block in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .grids import exhaustive

README = Path(__file__).parents[1] / "README.md"
# Headings of sections whose blocks run as they stand; the others show calls on data of the reader's.
RUN = "Ten lines of Python", "Gallery"


def _blocks():
    """(title of the nearest heading, code) of each block in the sections that run."""
    section = title = ""
    found = []
    for part in re.split(r"(?m)^(#+ .*$|```python$[\s\S]*?^```$)", README.read_text(encoding="utf-8")):
        if part.startswith("#"):
            level, title = part.split(" ", 1)
            section = title if level == "##" else section
        elif part.startswith("```") and section in RUN:
            marks = () if section == RUN[0] else exhaustive
            found.append(pytest.param(part.split("\n", 1)[1].rsplit("\n", 1)[0], id=title, marks=marks))
    return found


@pytest.mark.parametrize("code", _blocks())
def test_code_runs(code, tmp_path):
    pytest.importorskip("matplotlib", reason="the recipes draw")
    root = str(README.parent)
    environment = {**os.environ, "PYTHONPATH": root, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def test_there_are_recipes():
    assert len(_blocks()) >= 7
