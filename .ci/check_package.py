"""Check what was built: a pure wheel and an sdist that hold the files in git that they should, and nothing else.

Usage: check_package.py FOLDER, which holds the two.
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
# Of the repository but not of the sdist: pictures are for its pages, benchmarks compare commits.
NOT_IN_SDIST = ".github/pictures/", ".github/workflows/", ".pre-commit-config.yaml", "asv_benchmarks/"


def in_git(*under):
    listed = subprocess.run(["git", "ls-files", *under], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(listed.stdout.split("\n")) - {""}


def differences(what, files, wanted):
    return [f"{what} lacks {name}" for name in sorted(wanted - files)] + [
        f"{what} holds {name}, which git doesn't, or shouldn't" for name in sorted(files - wanted)
    ]


def faults(folder):
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    version = re.search(r'__version__ = "(.*)"', (ROOT / "fastem" / "_version.py").read_text())[1]
    if wheel.name != f"fastem-{version}-py3-none-any.whl":
        yield f"the wheel is named {wheel.name}"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = f"fastem-{version}.dist-info/"
        metadata = message_from_bytes(archive.read(about + "METADATA"))
    own = {about + name for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    yield from differences("the wheel", names, in_git("fastem") | own)
    if (metadata["Version"], metadata["Description-Content-Type"]) != (version, "text/markdown"):
        yield f"the wheel's metadata say {metadata['Version']}, {metadata['Description-Content-Type']}"
    with tarfile.open(sdist) as archive:
        files = {str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in archive if member.isfile()}
    wanted = {name for name in in_git() if not name.startswith(NOT_IN_SDIST)}
    yield from differences("the sdist", files, wanted | {"PKG-INFO"})


if __name__ == "__main__":
    sys.exit("\n".join(faults(Path(sys.argv[1]))) or None)
