"""README and guide as the tests read them: their programs, what these should print, and their links.

A page consists of programs: the code under a heading of the second level, or of the whole page if it is one of `WHOLE`.
Fenced blocks of Python and shell (`sh`) run one after the other, Python's with names in common. A `text` block after
one of them is what it prints. "..." in it stands for anything, and numbers may differ in the last digit shown. What is
indented or in another language is only shown.

    python -m tests.documents [PAGE ...]

runs the programs and shows what they print.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / ".github" / "guide"
PAGES = [ROOT / "README.md", *sorted(GUIDE.glob("*.md"))]

# Pages whose programs need what the ones before made.
WHOLE = ["command-line", "models", "pictures"]

_END = "- - - end of a block - - -"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_NUMBER = r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?"

# In bash, the command `fastem` is this Python's.
_SHELL = """
import subprocess as _subprocess, sys as _sys
_subprocess.run(
    ["bash", "-eu", "-c", 'fastem() {{ "$0" -m fastem "$@"; }}\\n' + {code!r}, _sys.executable],
    check=True,
)
"""


class Block(NamedTuple):
    language: str
    code: str
    printed: str | None  # None: the page doesn't show it


def programs(page):
    """{heading: its blocks} of a page."""
    text = page.read_text(encoding="utf-8")
    found = {}
    for heading, section in _sections(text):
        blocks = found.setdefault("" if page.stem in WHOLE else heading, [])
        for language, code in _FENCE.findall(section):
            if language in ("python", "sh"):
                blocks.append(Block(language, code, None))
            elif language == "text":
                assert blocks and blocks[-1].printed is None, f"{page.name}, {heading}: printed by which block?"
                blocks[-1] = blocks[-1]._replace(printed=code)
    return {heading: blocks for heading, blocks in found.items() if blocks}


def _sections(text):
    """(heading, text) of each section of the second level; what stands before the first one has heading ""."""
    parts = re.split(r"(?m)^## (.*)$", text)
    return [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]


def run(blocks, folder):
    """What each of the blocks prints; AssertionError, with the traceback, if one fails."""
    code = ""
    for block in blocks:
        code += block.code if block.language == "python" else _SHELL.format(code=block.code)
        code += f"\nprint({_END!r}, flush=True)\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split(f"{_END}\n")[:-1]


def agree(shown, printed):
    """Whether a page shows what was printed: the same words, and numbers that are equal as far as they are written."""
    pattern, numbers = "", []
    for part in re.split(rf"(\.\.\.|(?<![\w.]){_NUMBER}|\s+)", shown.strip()):
        if part == "...":
            pattern += r"[\s\S]*?"
        elif re.fullmatch(_NUMBER, part):
            numbers.append(part)
            pattern += f"({_NUMBER})"
        else:
            pattern += r"\s*" if part.isspace() else re.escape(part)
    match = re.fullmatch(pattern, printed.strip())
    return match is not None and all(map(_are_close, numbers, match.groups()))


def _are_close(shown, printed):
    """Whether numbers agree to a unit of the last decimal or to a thousandth; whole ones below 100 have to be equal."""
    shown, printed = shown.replace(",", ""), printed.replace(",", "")
    mantissa, _, exponent = shown.partition("e")
    decimals = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0
    size = abs(float(shown))
    return abs(float(shown) - float(printed)) <= max(1.01 * unit, 1e-3 * size if decimals or size >= 100 else 0)


def links(page):
    """Relative links of a page, pictures included: (path, heading's anchor or "") of each."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text)
    targets = [first or second for first, second in targets]
    return [tuple(target.partition("#")[::2]) for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def environment():
    """Environment variables for `run`: this checkout's fastem, pictures without a screen, tables of one width."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "COLUMNS": "100", "NO_COLOR": "1"}


def _show(names):
    """Run the programs of some pages, and print each block that prints something, with what it prints."""
    for page in PAGES:
        if not names or page.stem in names:
            for heading, blocks in programs(page).items():
                with tempfile.TemporaryDirectory() as folder:
                    for block, printed in zip(blocks, run(blocks, folder), strict=True):
                        mark = (
                            ""
                            if block.printed is None or agree(block.printed, printed)
                            else "(the page shows something else)"
                        )
                        if printed:
                            print(
                                f"# {page.name}: {heading}", block.code, "prints", printed, mark, sep="\n", flush=True
                            )


if __name__ == "__main__":
    _show(sys.argv[1:])
