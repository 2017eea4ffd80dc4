"""Predict images with an exported model, as PaddleClas's script of this name does. See docs/paddleclas.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # a clone works without being installed

from ppcls.cli import script
from ppcls.commands.predict_cls import COMMAND

if __name__ == "__main__":
    sys.exit(script(COMMAND))
