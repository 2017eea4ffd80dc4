"""``ppcls show-data``."""

from __future__ import annotations

import argparse

from ppcls.commands.command import Command, add_recipe_options, load_recipe
from ppcls.utils.paths import user_path


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_recipe_options(parser)
    parser.add_argument("-n", type=int, default=16, metavar="N", help="images (default: 16)")
    parser.add_argument("--split", choices=("Train", "Eval"), default="Train")
    parser.add_argument("--epoch", type=int, default=0, help="whose order and augmentation (default: 0)")
    parser.add_argument("--out", default="data.png", metavar="FILE", help="the picture (default: data.png)")


def _run(options: argparse.Namespace) -> int:
    config = load_recipe(options)
    from ppcls.engine.inspection import show_data

    show_data(config, user_path(options.out), options.n, options.split, options.epoch)
    print(options.out)
    return 0


COMMAND = Command(
    "show-data", "draw what the model will see: images after augmentation and mixing, with labels", _add_options, _run
)
