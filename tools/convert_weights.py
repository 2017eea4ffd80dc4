"""Convert a weight file. See ``ppcls convert --help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a clone works without being installed

from ppcls.cli import tool

if __name__ == "__main__":
    sys.exit(tool("convert"))
