"""``python -m fastem``: the command line."""

import sys

from fastem.cli import main

if __name__ == "__main__":
    sys.exit(main())
