"""Who imports whom, by folders: `python -m tests.layers` draws it for CONTRIBUTING.md, `test_layers.py` checks it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / ".github" / "CONTRIBUTING.md"
BEGIN, END = "<!-- layers -->\n", "<!-- end of layers -->\n"

# From the ground up; a folder, or a file beside them, imports only what is below it.
FLOORS = (
    "_version", "extras", "tables", "kernels", "model", "sources", "fitting", "files", "estimators", "callbacks",
    "selection", "imputer", "warming", "datasets", "plotting", "cli",
)  # fmt: skip


def imports():
    """The pairs (importing, imported) of floors, imports inside functions counted, and of modules without those."""
    floors, modules = set(), set()
    for path in (ROOT / "fastem").rglob("*.py"):
        name = path.relative_to(ROOT).with_suffix("").parts
        package = name[:-1]
        if name[-1] == "__init__":
            name = package
        if len(name) < 2 or name[1] == "__main__":
            continue  # fastem itself, which leads to what users call
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            target = package[: len(package) - node.level + 1] + tuple(
                (node.module or "").split(".") if node.module else ()
            )
            targets = [target] if len(target) > 1 else [(*target, alias.name) for alias in node.names]
            for each in targets:
                if each[1] != name[1]:
                    floors.add((name[1], each[1]))
                if node in tree.body:
                    modules.add((".".join(name), ".".join(each)))
    return floors, modules


def upward(floors):
    """The imports that go up."""
    return sorted((one, other) for one, other in floors if FLOORS.index(other) >= FLOORS.index(one))


def picture(floors):
    """The floors in Mermaid, arrows to the next ones alone: those that other arrows lead to are left out."""
    below = {floor: {other for one, other in floors if one == floor} for floor in FLOORS}

    def reached(floor):
        return set().union(*({other} | reached(other) for other in below[floor]))

    lines = []
    for floor in reversed(FLOORS):
        direct = {each for each in below[floor] if not any(each in reached(other) for other in below[floor] - {each})}
        lines += [f"    {floor} --> {each}" for each in sorted(direct, key=FLOORS.index, reverse=True)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def with_picture(text, drawn):
    """The text with the picture between its marks."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + drawn + END + rest.partition(END)[2]


if __name__ == "__main__":
    PICTURE.write_text(with_picture(PICTURE.read_text(), picture(imports()[0])))
