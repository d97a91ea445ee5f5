"""Write the API reference: a page of HTML for each public module, made from the docstrings by pdoc.

Usage: python .ci/build_reference.py FOLDER. A warning is an error, and so is a public name that no page explains.
"""

import sys
import warnings
from pathlib import Path

import pdoc

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import public  # noqa: E402


class AsWritten(str):
    """A type as the source writes it: `ArrayLike`, not the union of ten types that it stands for."""

    def __repr__(self):
        return str(self)


def build(folder):
    warnings.simplefilter("error")
    pdoc.doc.safe_eval_type = lambda annotation, *_: (
        AsWritten(annotation) if isinstance(annotation, str) else annotation
    )
    pdoc.render.configure(
        docformat="numpy", show_source=False, search=True, template_directory=ROOT / ".github" / "reference"
    )
    pdoc.pdoc("fastem", output_directory=folder)
    lacking = []
    for module in public.MODULES:
        page = (folder / f"{module.__name__.replace('.', '/')}.html").read_text("utf-8")
        lacking += [f"{module.__name__}.{name}" for name in public.names(module) if f'id="{name}"' not in page]
    return lacking


if __name__ == "__main__":
    sys.exit("\n".join(f"the reference lacks {name}" for name in build(Path(sys.argv[1]))) or None)
