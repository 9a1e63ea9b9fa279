"""``python -m raypipe``: the command line, for places where the console script is not on the path."""

from __future__ import annotations

import sys

from raypipe.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
